/* SPDX-License-Identifier: MIT */
/* status.c - ps and status: which machines run, and what they are. */
#include <errno.h>
#include <stdio.h>

#include "cli/vm.h"
#include "control/rundir.h"

/* What ps shows of a machine that does not say what it is. */
static json_t *ask(const char *name)
{
	struct err e = {0};
	json_t *status = vm_call(name, "status", NULL, &e);
	pid_t pid;

	if (status)
		return status;
	/* Gone meanwhile: it was not there. */
	pid = run_owner(name);
	return pid ? json_pack("{s:s,s:i,s:s}", "name", name, "pid", (int)pid, "state", "unknown")
		   : NULL;
}

static void format_time(char *text, size_t size, u64 s)
{
	if (s < 24 * 3600)
		snprintf(text, size, "%u:%02u:%02u", (unsigned)(s / 3600), (unsigned)(s / 60 % 60),
			 (unsigned)(s % 60));
	else
		snprintf(text, size, "%llud %uh", (unsigned long long)s / 86400,
			 (unsigned)(s / 3600 % 24));
}

static const char *text_of(const json_t *status, const char *key)
{
	const char *s = json_string_value(json_object_get(status, key));

	return s ? s : "-";
}

static long long number_of(const json_t *status, const char *key)
{
	return (long long)json_number_value(json_object_get(status, key));
}

static void print_row(const json_t *s)
{
	char uptime[32];

	format_time(uptime, sizeof(uptime), (u64)number_of(s, "uptime"));
	printf("%-20s %8lld %-8s %-7s %4lld %7lldM %10s\n", text_of(s, "name"), number_of(s, "pid"),
	       text_of(s, "state"), text_of(s, "engine"), number_of(s, "cpus"),
	       number_of(s, "memory") >> 20, uptime);
}

static int list(bool json)
{
	struct err e = {0};
	char **names = run_list(&e);
	json_t *all = json_array();

	if (!names) {
		json_decref(all);
		return err_report(&e);
	}
	if (!json)
		printf("%-20s %8s %-8s %-7s %4s %8s %10s\n", "NAME", "PID", "STATE", "ENGINE",
		       "CPUS", "MEMORY", "UPTIME");
	for (char **name = names; *name; name++) {
		json_t *status = ask(*name);

		if (status && !json)
			print_row(status);
		if (status)
			json_array_append_new(all, status);
	}
	if (json)
		vm_print_json(all, JSON_INDENT(2));
	json_decref(all);
	run_list_free(names);
	return 0;
}

static int ps_main(int argc, char **argv)
{
	struct vm_args a = {0};
	int status;

	if (vm_parse(&command_ps, argc, argv, 0, &a, &status))
		status = list(a.json);
	return vm_done(&a, status);
}

/* --- status ----------------------------------------------------------------------------- */

static void print_disks(const json_t *disks)
{
	const json_t *disk;
	size_t i;

	if (json_array_size(disks))
		puts("disks");
	json_array_foreach(disks, i, disk)
		printf("  %-20s %s, %lldM, %s%s\n", text_of(disk, "id"), text_of(disk, "format"),
		       number_of(disk, "size") >> 20, text_of(disk, "file"),
		       json_is_true(json_object_get(disk, "read_only")) ? ", read-only" : "");
}

static void print_status(const json_t *s)
{
	json_t *devices = json_object_get(s, "devices"), *dev;
	char uptime[32];
	size_t i;

	format_time(uptime, sizeof(uptime), (u64)number_of(s, "uptime"));
	printf("name    %s\npid     %lld\nstate   %s\nboard   %s\nengine  %s\ncpus    %lld\n"
	       "memory  %lldM\nuptime  %s\ndevices\n",
	       text_of(s, "name"), number_of(s, "pid"), text_of(s, "state"), text_of(s, "board"),
	       text_of(s, "engine"), number_of(s, "cpus"), number_of(s, "memory") >> 20, uptime);
	json_array_foreach(devices, i, dev)
		printf("  %-20s %s%s\n", text_of(dev, "id"), text_of(dev, "type"),
		       json_is_true(json_object_get(dev, "plugged")) ? ", plugged in" : "");
	print_disks(json_object_get(s, "disks"));
}

static int show_status(const struct vm_args *a)
{
	struct err e = {0};
	json_t *status = vm_call(a->rest.items[0], "status", NULL, &e);

	if (!status)
		return err_report(&e);
	if (a->json)
		vm_print_json(status, JSON_INDENT(2));
	else
		print_status(status);
	json_decref(status);
	return 0;
}

static int status_main(int argc, char **argv)
{
	struct vm_args a = {0};
	int status;

	if (vm_parse(&command_status, argc, argv, 1, &a, &status))
		status = show_status(&a);
	return vm_done(&a, status);
}

static const struct option options[] = {VM_OPTION_JSON, VM_OPTION_HELP, {NULL}};

const struct command command_ps = {
	.name = "ps",
	.usage = "[OPTION]...",
	.doc = "list the machines that run",
	.options = options,
	.help_tail = "Only this user's, in one run directory: $SUNDOG_RUN_DIR, else\n"
		     "$XDG_RUNTIME_DIR/sundog, else /tmp/sundog-UID.\n",
	.run = ps_main,
};

const struct command command_status = {
	.name = "status",
	.usage = "[OPTION]... NAME",
	.doc = "show what a machine is and does",
	.options = options,
	.help_tail = "",
	.run = status_main,
};
