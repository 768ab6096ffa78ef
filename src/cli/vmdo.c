/* SPDX-License-Identifier: MIT */
/* vmdo.c - pause, resume, reset, stop, hotplug, unplug: a machine told to do something. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/config.h"
#include "cli/vm.h"
#include "sundog/err.h"
#include "sundog/opts.h"

static const struct option plain_options[] = {VM_OPTION_JSON, VM_OPTION_HELP, {NULL}};

static int do_plain(const struct command *c, int argc, char **argv)
{
	struct vm_args a = {0};
	int status;

	if (vm_parse(c, argc, argv, 1, &a, &status))
		status = vm_do(&a, c->name, NULL);
	return vm_done(&a, status);
}

static int pause_main(int argc, char **argv)
{
	return do_plain(&command_pause, argc, argv);
}

static int resume_main(int argc, char **argv)
{
	return do_plain(&command_resume, argc, argv);
}

static int reset_main(int argc, char **argv)
{
	return do_plain(&command_reset, argc, argv);
}

/* The machine may be in another folder, so that a relative path says something else there. */
static json_t *plug_args(const char *spec, struct err *e)
{
	static const char disk[] = "disk=";
	const struct option *o = option_find(command_run.options, "disk", strlen("disk"));
	char *cwd = getcwd(NULL, 0), *dir = NULL, *path = NULL;
	json_t *args = NULL;

	err_set(e, -EINVAL, "%s is not UTF-8 text; rename the file", spec);
	if (strncmp(spec, disk, strlen(disk)) != 0)
		args = json_pack("{s:s}", "spec", spec);
	else if (!cwd)
		err_set(e, -errno, "the current folder has no name; change to another");
	else if (asprintf(&dir, "%s/", cwd) >= 0 &&
		 (path = config_resolve(o, dir, spec + strlen(disk))))
		args = json_pack("{s:s+}", "spec", disk, path);
	free(cwd);
	free(dir);
	free(path);
	return args;
}

static int hotplug_main(int argc, char **argv)
{
	struct vm_args a = {0};
	struct err e;
	json_t *args;
	int status;

	if (vm_parse(&command_hotplug, argc, argv, 2, &a, &status)) {
		args = plug_args(a.rest.items[1], &e);
		status = args ? vm_do(&a, "device_add", args) : err_report(&e);
	}
	return vm_done(&a, status);
}

static int unplug_main(int argc, char **argv)
{
	struct vm_args a = {0};
	int status;

	if (vm_parse(&command_unplug, argc, argv, 2, &a, &status))
		status = vm_do(&a, "device_del",
			       json_pack("{s:s,s:b}", "id", a.rest.items[1], "force", a.force));
	return vm_done(&a, status);
}

static int resize_main(int argc, char **argv)
{
	struct vm_args a = {0};
	struct err e;
	u64 size;
	int status;

	if (vm_parse(&command_resize, argc, argv, 3, &a, &status)) {
		if (parse_size(a.rest.items[2], &size) || size > INT64_MAX) {
			err_set(&e, -EINVAL, "%s is no size; write it like 20G", a.rest.items[2]);
			status = err_report(&e);
		} else {
			status = vm_do(&a, "disk_resize",
				       json_pack("{s:s,s:I}", "id", a.rest.items[1], "size",
						 (json_int_t)size));
		}
	}
	return vm_done(&a, status);
}

/* --- stop ------------------------------------------------------------------------------- */

enum { STOP_DEFAULT_S = 60 };

/*
 * Until the connection ends: only then are the process and its name gone.  What the machine said
 * of its end, or NULL.
 */
static json_t *wait_for_end(struct control_client *c, struct err *e)
{
	json_t *message, *data = NULL;

	while ((message = control_next(c, -1, e))) {
		const char *event = json_string_value(json_object_get(message, "event"));

		if (event && strcmp(event, "shutdown") == 0) {
			json_decref(data);
			data = json_incref(json_object_get(message, "data"));
		}
		json_decref(message);
	}
	return data;
}

static int stop(const struct vm_args *a, struct control_client *c, struct err *e)
{
	json_t *ret, *data = NULL;
	const char *reason;

	ret = control_request(c, "events", NULL, e);
	if (ret) {
		json_decref(ret);
		ret = control_request(c, "stop", json_pack("{s:i}", "timeout", (int)a->timeout), e);
	}
	if (!ret)
		return e->code;
	data = wait_for_end(c, e);
	reason = json_string_value(json_object_get(data, "reason"));
	if (a->json)
		vm_print_json(data, JSON_INDENT(2) | JSON_ENCODE_ANY);
	else if (a->timeout && reason && strcmp(reason, "control") == 0)
		fprintf(stderr,
			json_is_true(json_object_get(ret, "heard"))
				? "sundog: %s did not power off within %u s, and was turned off\n"
				: "sundog: %s does not listen to the power button, and was turned "
				  "off\n",
			a->rest.items[0], a->timeout);
	json_decref(ret);
	json_decref(data);
	return 0;
}

static int stop_main(int argc, char **argv)
{
	struct vm_args a = {.timeout = STOP_DEFAULT_S};
	struct control_client c = {.fd = -1};
	struct err e = {0};
	int status;

	if (vm_parse(&command_stop, argc, argv, 1, &a, &status)) {
		if (control_connect(&c, a.rest.items[0], &e) || stop(&a, &c, &e))
			status = err_report(&e);
		control_close(&c);
	}
	return vm_done(&a, status);
}

static const struct option stop_options[] = {
	{"timeout", "S", "seconds to wait for the guest (default: 60); 0: turn it off at once",
	 OPTION_NUM, offsetof(struct vm_args, timeout)},
	VM_OPTION_JSON,
	VM_OPTION_HELP,
	{NULL},
};

static const struct option unplug_options[] = {
	{"force", NULL, "remove it now, whatever the guest does with it", OPTION_FLAG,
	 offsetof(struct vm_args, force)},
	VM_OPTION_JSON,
	VM_OPTION_HELP,
	{NULL},
};

const struct command command_pause = {
	.name = "pause",
	.usage = "[OPTION]... NAME",
	.doc = "bring a machine to rest",
	.options = plain_options,
	.help_tail = "Its clock stands still meanwhile.\n",
	.run = pause_main,
};

const struct command command_resume = {
	.name = "resume",
	.usage = "[OPTION]... NAME",
	.doc = "let a paused machine run again",
	.options = plain_options,
	.help_tail = "",
	.run = resume_main,
};

const struct command command_reset = {
	.name = "reset",
	.usage = "[OPTION]... NAME",
	.doc = "reset a machine, without asking its guest",
	.options = plain_options,
	.help_tail = "",
	.run = reset_main,
};

const struct command command_stop = {
	.name = "stop",
	.usage = "[OPTION]... NAME",
	.doc = "press a machine's power button, wait, then turn it off",
	.options = stop_options,
	.help_tail = "Comes back when the machine's process has ended.\n",
	.run = stop_main,
};

const struct command command_resize = {
	.name = "resize",
	.usage = "[OPTION]... NAME DISK SIZE",
	.doc = "change the size of a disk of a machine that runs",
	.options = plain_options,
	.help_tail = "sundog status NAME lists the disks with their ids.  What is behind the new "
		     "end of one\n"
		     "that gets smaller is lost.\n",
	.run = resize_main,
};

const struct command command_hotplug = {
	.name = "hotplug",
	.usage = "[OPTION]... NAME DEVICE[,KEY=VALUE]...",
	.doc = "add a device to a machine that runs",
	.options = plain_options,
	.help_tail = "Devices are those of sundog run --device help, and disk=FILE[,KEY=VALUE]..., "
		     "where\n"
		     "the keys are those of sundog run --disk.\n",
	.run = hotplug_main,
};

const struct command command_unplug = {
	.name = "unplug",
	.usage = "[OPTION]... NAME ID",
	.doc = "remove a device that was added while the machine ran",
	.options = unplug_options,
	.help_tail = "sundog status NAME lists the devices with their ids.  The guest is asked to "
		     "let go of\n"
		     "it, and it goes when the guest has.\n",
	.run = unplug_main,
};
