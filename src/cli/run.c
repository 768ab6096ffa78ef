/* SPDX-License-Identifier: MIT */
/* sundog run: a machine from the command line, until it ends. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/boot/boot.h"
#include "cli/cli.h"
#include "cli/config.h"
#include "cli/dryrun.h"
#include "cli/lists.h"
#include "cli/manage.h"
#include "cli/options.h"
#include "cli/seed.h"
#include "cli/signals.h"
#include "debug/gdbstub.h"
#include "sundog/block.h"
#include "sundog/counters.h"
#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/trace.h"

struct run_args {
	struct machine_cfg cfg;
	struct strlist modules, devices, disks, ssh_keys, rest;
	struct managed managed;
	const char *trace, *trace_file;
	struct config config;
	struct seed_cfg seed;
	bool help, dry_run, json;
};

#define CFG(member) offsetof(struct run_args, cfg.member)

static const struct option options[] = {
	{"kernel", "FILE", "what to boot: bzImage, multiboot or PVH ELF", OPTION_STR, CFG(kernel),
	 .path = ""},
	{"initrd", "FILE", "the initial RAM disk; none: not even the one that is on a disk",
	 OPTION_STR, CFG(initrd), .path = ""},
	{"append", "TEXT", "add to the default kernel command line", OPTION_STR, CFG(append)},
	{"cmdline", "TEXT", "the whole kernel command line, instead of the default", OPTION_STR,
	 CFG(cmdline)},
	{"module", "FILE[=TEXT]", "a multiboot module and its command line; may be repeated",
	 OPTION_LIST, offsetof(struct run_args, modules), .path = ""},
	{"memory", "SIZE", "guest memory (default: 512M)", OPTION_SIZE, CFG(memory)},
	{"cpus", "N", "number of CPUs (default: 1)", OPTION_NUM, CFG(nr_cpus)},
	{"cpu", "MODEL", "CPU model (default: x86-64-v2; v3, max...); \"help\" lists them",
	 OPTION_STR, CFG(cpu)},
	{"engine", "NAME[,KEY=VALUE]...",
	 "what runs the guest's instructions (default: auto);\n\"help\" lists them", OPTION_STR,
	 CFG(engine), .first = "name"},
	{"console", "WHERE",
	 "the first serial port: stdio (default), socket (for sundog\nconsole), pty, file:PATH, "
	 "none",
	 OPTION_STR, CFG(console), .path = "file: socket:"},
	{"name", "NAME", "what sundog ps calls the machine (default: as what it boots)", OPTION_STR,
	 offsetof(struct run_args, managed.name)},
	{"control", "PATH", "the control socket, instead of one by name; none: none", OPTION_STR,
	 offsetof(struct run_args, managed.where), .path = ""},
	{"detach", NULL,
	 "run in the background, and print the name as soon as it does;\n"
	 "the console is then on a socket",
	 OPTION_FLAG, offsetof(struct run_args, managed.detach)},
	{"device", "NAME[,KEY=VALUE]...",
	 "add a device, or change one that the board has;\n\"help\" lists them, \"NAME,help\" its "
	 "keys;\n"
	 "may be repeated",
	 OPTION_LIST, offsetof(struct run_args, devices), .first = "name"},
	{"disk", "FILE[,KEY=VALUE]...",
	 "a disk: a raw or qcow2 image; \"help\" lists the keys;\nmay be repeated", OPTION_LIST,
	 offsetof(struct run_args, disks), .path = "", .first = "file",
	 .path_keys = "overlay backing log"},
	{"trace", "PATTERNS", "print matching events, like 'io_*,irq_*'; \"help\" lists them",
	 OPTION_STR, offsetof(struct run_args, trace)},
	{"trace-file", "FILE", "write them there instead of to standard error", OPTION_STR,
	 offsetof(struct run_args, trace_file), .path = ""},
	{"stats", NULL, "print the engine's counters at the end", OPTION_FLAG, CFG(stats)},
	{"no-reboot", NULL, "end when the guest reboots", OPTION_FLAG, CFG(no_reboot)},
	{"gdb", "HOST:PORT", "wait for a debugger (default: localhost:1234)", OPTION_ADDR, CFG(gdb),
	 "localhost:1234"},
	{"user", "NAME", "cloud-init makes this user, who may do all by sudo, at the first boot",
	 OPTION_STR, offsetof(struct run_args, seed.user)},
	{"ssh-key", "FILE", "an SSH public key that lets that user in; may be repeated",
	 OPTION_LIST, offsetof(struct run_args, ssh_keys), .path = ""},
	{"hostname", "NAME", "cloud-init gives the guest this name", OPTION_STR,
	 offsetof(struct run_args, seed.hostname)},
	{"user-data", "FILE", "cloud-init gets this file, too, which has the last word", OPTION_STR,
	 offsetof(struct run_args, seed.user_data), .path = ""},
	{"file", "FILE", "options from a YAML file (short: -f); what stands behind it counts more",
	 OPTION_FILE, offsetof(struct run_args, config), .letter = 'f', .only_here = true},
	{"dry-run", NULL, "print the machine as a file for --file instead of running it",
	 OPTION_FLAG, offsetof(struct run_args, dry_run), .only_here = true},
	{"json", NULL, "with --dry-run: as JSON", OPTION_FLAG, offsetof(struct run_args, json),
	 .only_here = true},
	{"help", NULL, "this text", OPTION_FLAG, offsetof(struct run_args, help),
	 .only_here = true},
	{NULL},
};

/* "--engine help" and the like.  True: there was one, and *status is how to end. */
static bool answer_help(const struct run_args *a, int *status)
{
	struct err e;

	*status = 0;
	if (a->help)
		print_command_help(&command_run, stdout);
	else if (strcmp(a->cfg.engine, "help") == 0)
		list_engines(stdout);
	else if (strcmp(a->cfg.cpu, "help") == 0)
		list_cpus(stdout);
	else if (a->cfg.console && strcmp(a->cfg.console, "help") == 0)
		list_consoles(stdout);
	else if (a->trace && strcmp(a->trace, "help") == 0)
		trace_list(stdout);
	else if (a->disks.n && strcmp(a->disks.items[0], "help") == 0)
		list_disk_keys(stdout);
	else {
		for (size_t i = 0; i < a->devices.n; i++) {
			const char *spec = a->devices.items[i];
			size_t len = strcspn(spec, ",");
			char name[64];

			if (strcmp(spec, "help") == 0) {
				list_devices(stdout);
				return true;
			}
			if (strcmp(spec + len, ",help") != 0)
				continue;
			snprintf(name, sizeof(name), "%.*s", (int)len, spec);
			if (list_device(name, stdout, &e))
				*status = err_report(&e);
			return true;
		}
		return false;
	}
	return true;
}

static int set_traces(const struct run_args *a, struct err *e)
{
	int r = 0;

	if (a->trace_file && !a->trace)
		return err_set(e, -EINVAL,
			       "--trace-file without --trace stays empty; say what to trace");
	if (a->trace_file)
		r = trace_to(a->trace_file, e);
	return r || !a->trace ? r : trace_enable(a->trace, e);
}

/* The file without an option: a kernel, or else a disk, which is the first one then. */
static int take_file(struct run_args *a, const char *file, struct err *e)
{
	enum boot_input is = boot_classify(file);
	struct blk_spec spec = {0};
	struct err ignored;

	if (is == BOOT_INPUT_UNKNOWN && blk_spec_parse(&spec, file, &ignored) == 0)
		is = boot_classify(spec.cfg.file); /* "disk.qcow2,ro" */
	blk_spec_destroy(&spec);
	if (a->cfg.kernel && is == BOOT_INPUT_KERNEL)
		return err_set(e, -EINVAL, "there are two things to boot, %s and %s; name one",
			       a->cfg.kernel, file);
	if (!a->cfg.kernel && is != BOOT_INPUT_DISK)
		a->cfg.kernel = file;
	else if (strlist_insert(&a->disks, file))
		return err_set(e, -ENOMEM, "out of memory; close something");
	return 0;
}

static int check_args(struct run_args *a, struct err *e)
{
	struct machine_cfg *cfg = &a->cfg;
	int r;

	if (a->rest.n > 1)
		return err_set(e, -EINVAL, "there are two things to boot, %s and %s; name one",
			       a->rest.items[1], a->rest.items[0]);
	r = a->rest.n ? take_file(a, a->rest.items[0], e) : 0;
	if (r)
		return r;
	if (!cfg->kernel && !a->disks.n)
		return err_set(e, -EINVAL,
			       "nothing to boot; name a kernel or a disk: sundog run FILE");
	if (cfg->append && cfg->cmdline)
		return err_set(e, -EINVAL,
			       "--append adds to the command line that --cmdline replaces; "
			       "give one of them");
	if (!cfg->nr_cpus)
		return err_set(e, -EINVAL, "a machine without a CPU runs nothing; use --cpus 1");
	cfg->modules = a->modules.items;
	cfg->devices = a->devices.items;
	cfg->disks = a->disks.items;
	a->seed.ssh_keys = a->ssh_keys.items;
	if (a->json && !a->dry_run)
		return err_set(e, -EINVAL, "--json says how --dry-run prints; add that");
	if (a->dry_run)
		return 0;
	if (cfg->initrd && strcmp(cfg->initrd, "none") == 0) {
		cfg->initrd = NULL;
		cfg->no_initrd = true;
	}
	if (seed_wanted(&a->seed)) {
		cfg->seed_fd = seed_new(&a->seed, e);
		if (cfg->seed_fd < 0)
			return cfg->seed_fd;
	}
	return set_traces(a, e);
}

static void say_engine(const struct machine *m)
{
	if (m->passed_over.code)
		fprintf(stderr, "sundog: running on %s, which is slower; %s\n", m->engine->name,
			m->passed_over.msg);
}

static void print_stats(struct machine *m)
{
	machine_stop_vcpus(m);
	counters_print(m, stderr);
	machine_start_vcpus(m);
}

static int start_machine(struct managed *g, struct machine *m, struct err *e)
{
	int r = manage_start(g, m, e);

	if (r == 0)
		r = machine_start(m, e);
	return r ? r : manage_ready(g, e);
}

static int run_machine(const struct machine_cfg *cfg, struct managed *g)
{
	struct signal_watch signals;
	struct gdbstub *gdb = NULL;
	struct machine *m;
	struct err e = {0};
	int status;

	signals_block(&signals);
	/* Already now: opening a kernel waits for ever if it is a FIFO that nobody writes. */
	if (signals_watch(&signals, &e))
		return err_report(&e);
	m = machine_new(cfg, &e);
	if (!m) {
		signals_unwatch(&signals);
		return err_report(&e);
	}
	atomic_store(&signals.machine, m);
	if (cfg->gdb)
		gdb = gdbstub_start(m, cfg->gdb, &e);
	if (cfg->gdb && !gdb) {
		status = -1;
	} else {
		say_engine(m);
		status = start_machine(g, m, &e) ? -1 : 0;
	}
	if (status == 0)
		status = machine_run(m);
	manage_stop(g);
	gdbstub_stop(gdb, status);
	signals_unwatch(&signals);
	if (cfg->stats)
		print_stats(m);
	machine_free(m);
	manage_free(g); /* now: we may be about to die of a signal */
	/* The terminal is cooked again only now. */
	if (status < 0)
		status = err_report(&e);
	signals_finish(&signals);
	return status;
}

static void free_args(struct run_args *a)
{
	strlist_free(&a->modules);
	strlist_free(&a->devices);
	strlist_free(&a->disks);
	strlist_free(&a->ssh_keys);
	strlist_free(&a->rest);
	config_free(&a->config);
	if (a->cfg.seed_fd > 0)
		close(a->cfg.seed_fd);
}

static int run_named(struct run_args *a)
{
	struct err e = {0};
	int status;

	if (manage_detach(&a->managed, &e) || manage_claim(&a->managed, &a->cfg, &e))
		status = err_report(&e);
	else
		status = run_machine(&a->cfg, &a->managed);
	manage_free(&a->managed);
	return status;
}

static int run_main(int argc, char **argv)
{
	struct run_args a = {
		.cfg = {.board = "pc",
			.engine = "auto",
			.cpu = "x86-64-v2",
			.nr_cpus = 1,
			.memory = 512 << 20},
	};
	struct err e = {0};
	int status;

	if (options_parse(options, argc, argv, &a, &a.rest, &e))
		status = err_report(&e);
	else if (answer_help(&a, &status))
		;
	else if (check_args(&a, &e))
		status = err_report(&e);
	else if (a.dry_run)
		status = print_options(options, &a, a.json, stdout, &e) ? err_report(&e) : 0;
	else
		status = run_named(&a);
	free_args(&a);
	return status;
}

const struct command command_run = {
	.name = "run",
	.usage = "[OPTION]... [FILE]",
	.doc = "boot a kernel or a disk in a virtual machine",
	.options = options,
	.help_tail = "FILE is a kernel, or a disk image whose own kernel is booted.\n"
		     "\n"
		     "Examples:\n"
		     "  sundog run debian.qcow2 --memory 2G\n"
		     "  sundog run vmlinuz --initrd initrd.img --append quiet\n"
		     "  sundog run --memory 1G --cpus 4 --console file:boot.log vmlinuz\n"
		     "  sundog run tests.elf --device isa-debug-exit --no-reboot < /dev/null\n"
		     "  sundog run vmlinuz --disk debian.qcow2 --disk scratch.raw,cache=unsafe\n"
		     "  sundog run hobby-os.elf --gdb     then: gdb -ex 'target remote :1234'\n"
		     "\n"
		     "Keys, when standard input is a terminal:\n"
		     "  Ctrl-A x quits, Ctrl-A p presses the power button, Ctrl-A h helps,\n"
		     "  Ctrl-A Ctrl-A sends Ctrl-A.\n"
		     "\n"
		     "Exit status:\n"
		     "  0  the guest powered off          3  an input cannot be used\n"
		     "  1  the host failed                4  engine or host cannot do it\n"
		     "  2  wrong command line             5  guest panic or triple fault\n"
		     "  6  the engine has a bug: please report what it says\n"
		     "  (value << 1) | 1 when the guest writes value to isa-debug-exit\n",
	.run = run_main,
};
