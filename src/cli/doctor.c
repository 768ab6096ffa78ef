/* SPDX-License-Identifier: MIT */
/* sundog doctor: what this host can do, and what to do about what it cannot. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "sundog/engine.h"
#include "sundog/err.h"
#include "sundog/memfd.h"

enum verdict { OK, NOTE, BAD };

struct report {
	bool json;
	unsigned printed;
	bool any_engine, any_bad;
};

static void print_json_string(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s < ' ')
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

__attribute__((format(printf, 5, 6))) static void
say(struct report *r, enum verdict v, const char *group, const char *name, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "note", "bad"};
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->any_bad |= v == BAD;
	if (!r->json) {
		printf("%-5s %-8s %-14s %s\n", words[v], group, name, text);
		return;
	}
	printf("%s\n  {\"group\": ", r->printed++ ? "," : "");
	print_json_string(group);
	printf(", \"name\": ");
	print_json_string(name);
	printf(", \"verdict\": \"%s\", \"text\": ", words[v]);
	print_json_string(text);
	putchar('}');
}

static void check_engines(struct report *r)
{
	for (int i = 0; engines[i]; i++) {
		struct err e = {0};

		if (engines[i]->probe(&e)) {
			say(r, NOTE, "engine", engines[i]->name, "not here: %s", e.msg);
			continue;
		}
		say(r, OK, "engine", engines[i]->name, "%s%s", engines[i]->doc,
		    r->any_engine ? "" : "; the default here");
		r->any_engine = true;
	}
	if (!r->any_engine)
		say(r, BAD, "engine", "none", "no engine runs on this host");
}

static void check_cpu(struct report *r)
{
	char line[256], model[200] = "unknown";
	FILE *f = fopen("/proc/cpuinfo", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "model name : %199[^\n]", model) == 1)
			break;
	if (f)
		fclose(f);
	say(r, OK, "host", "cpu", "%s, %ld online", model, sysconf(_SC_NPROCESSORS_ONLN));
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
		say(r, OK, "host", "x86-64-v2", "the default guest CPU can be shown");
	else
		say(r, BAD, "host", "x86-64-v2",
		    "this CPU lacks SSE4.2 or POPCNT; guests built for x86-64-v2 will not run");
}

static void check_memory(struct report *r)
{
	struct sysinfo si;
	int fd = memfd_new("sundog-doctor", 1 << 20);

	if (fd < 0)
		say(r, BAD, "host", "memfd", "%s; guest memory needs memfd_create(2)",
		    strerror(-fd));
	else
		say(r, OK, "host", "memfd", "guest memory can be made");
	if (fd >= 0)
		close(fd);
	if (sysinfo(&si) < 0)
		return;
	say(r, OK, "host", "memory", "%llu MiB, %llu MiB free",
	    (unsigned long long)si.totalram * si.mem_unit >> 20,
	    (unsigned long long)(si.freeram + si.bufferram) * si.mem_unit >> 20);
}

static void check_permissions(struct report *r)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		say(r, OK, "access", "/dev/kvm", "can be opened; no engine here uses it yet");
	else if (errno == EACCES)
		say(r, NOTE, "access", "/dev/kvm",
		    "no permission; add yourself to the group kvm (no engine here needs it)");
	else
		say(r, NOTE, "access", "/dev/kvm", "%s (no engine here needs it)", strerror(errno));
	if (fd >= 0)
		close(fd);
	fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		say(r, NOTE, "access", "pty", "%s; --console pty will not work", strerror(errno));
	else
		say(r, OK, "access", "pty", "--console pty works");
	if (fd >= 0)
		close(fd);
	if (isatty(STDIN_FILENO))
		say(r, OK, "access", "terminal", "stdin is one: Ctrl-A x quits a guest");
	else
		say(r, NOTE, "access", "terminal", "stdin is none: the Ctrl-A keys are off");
}

static void check_kernel(struct report *r)
{
	struct utsname u;

	if (uname(&u) == 0)
		say(r, OK, "host", "kernel", "%s %s %s", u.sysname, u.release, u.machine);
}

struct doctor_args {
	struct strlist rest;
	bool json, help;
};

static const struct option options[] = {
	{"json", NULL, "as JSON, for programs", OPTION_FLAG, offsetof(struct doctor_args, json)},
	{"help", NULL, "this text", OPTION_FLAG, offsetof(struct doctor_args, help)},
	{NULL},
};

static int doctor_main(int argc, char **argv)
{
	struct doctor_args a = {0};
	struct report r = {0};
	struct err e = {0};
	int status = 0;

	if (options_parse(options, argc, argv, &a, &a.rest, &e)) {
		status = err_report(&e);
	} else if (a.rest.n) {
		err_set(&e, -EINVAL, "doctor takes no %s; see sundog doctor --help",
			a.rest.items[0]);
		status = err_report(&e);
	} else if (a.help) {
		print_command_help(&command_doctor, stdout);
	} else {
		r.json = a.json;
		if (r.json)
			printf("{\"version\": \"%s\", \"checks\": [", SUNDOG_VERSION);
		check_engines(&r);
		check_kernel(&r);
		check_cpu(&r);
		check_memory(&r);
		check_permissions(&r);
		if (r.json)
			printf("\n], \"ok\": %s}\n", r.any_bad ? "false" : "true");
		status = r.any_bad ? EXIT_CANNOT : 0;
	}
	strlist_free(&a.rest);
	return status;
}

const struct command command_doctor = {
	.name = "doctor",
	.usage = "[OPTION]...",
	.doc = "say what this host can do, and why not more",
	.options = options,
	.help_tail = "Exit status:\n"
		     "  0  guests can run    4  they cannot; the lines marked \"bad\" say why\n",
	.run = doctor_main,
};
