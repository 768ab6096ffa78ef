/* SPDX-License-Identifier: MIT */
/* Tests of configuration files: what they say, and what they must not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/config.h"
#include "cli/dryrun.h"
#include "sundog/err.h"

struct args {
	bool flag, other, here;
	const char *kernel, *text, *addr, *console, *control;
	u64 size;
	unsigned num;
	struct strlist devices, disks, modules, rest;
	struct config config;
};

#define AT(member) offsetof(struct args, member)

static const struct option table[] = {
	{"flag", NULL, "", OPTION_FLAG, AT(flag)},
	{"other", NULL, "", OPTION_FLAG, AT(other)},
	{"memory", "SIZE", "", OPTION_SIZE, AT(size)},
	{"cpus", "N", "", OPTION_NUM, AT(num)},
	{"kernel", "FILE", "", OPTION_STR, AT(kernel), .path = ""},
	{"console", "WHERE", "", OPTION_STR, AT(console), .path = "file: socket:"},
	{"control", "PATH", "", OPTION_STR, AT(control), .path = ""},
	{"append", "TEXT", "", OPTION_STR, AT(text)},
	{"module", "FILE", "", OPTION_LIST, AT(modules), .path = ""},
	{"device", "SPEC", "", OPTION_LIST, AT(devices), .first = "name"},
	{"disk", "SPEC", "", OPTION_LIST, AT(disks), .path = "", .first = "file",
	 .path_keys = "backing overlay"},
	{"gdb", "HOST:PORT", "", OPTION_ADDR, AT(addr), ":1234"},
	{"file", "FILE", "", OPTION_FILE, AT(config), .letter = 'f', .only_here = true},
	{"here", NULL, "", OPTION_FLAG, AT(here), .only_here = true},
	{NULL},
};

static int parse(struct args *a, const char *name, const char *text, struct err *e)
{
	*a = (struct args){0};
	*e = (struct err){0};
	return config_parse(table, name, text, strlen(text), a, &a->config, e);
}

static void done(struct args *a)
{
	strlist_free(&a->devices);
	strlist_free(&a->disks);
	strlist_free(&a->modules);
	strlist_free(&a->rest);
	config_free(&a->config);
}

static void takes_all_kinds(void **state)
{
	struct args a;
	struct err e;

	assert_int_equal(parse(&a, "vm.yaml",
			       "# a machine\n"
			       "flag: true\n"
			       "other: off\n"
			       "memory: 2M\n"
			       "cpus: 4\n"
			       "kernel: k\n"
			       "append: >-\n"
			       "  a\n"
			       "  b\n"
			       "module: [x=1, 'y']\n"
			       "device:\n"
			       "  - plain,key=1\n"
			       "  - {iobase: 0xe9, name: debugcon}\n"
			       "  - name: a,b\n"
			       "    text: c,d\n"
			       "    on: true\n"
			       "    off: false\n"
			       "gdb: true\n",
			       &e),
			 0);
	assert_true(a.flag);
	assert_false(a.other);
	assert_int_equal(a.size, 2 << 20);
	assert_int_equal(a.num, 4);
	assert_string_equal(a.kernel, "k");
	assert_string_equal(a.text, "a b");
	assert_int_equal(a.modules.n, 2);
	assert_string_equal(a.modules.items[0], "x=1");
	assert_int_equal(a.devices.n, 3);
	assert_string_equal(a.devices.items[0], "plain,key=1");
	assert_string_equal(a.devices.items[1], "debugcon,iobase=0xe9");
	assert_string_equal(a.devices.items[2], "a,,b,text=c,,d,on=on,off=off");
	assert_string_equal(a.addr, ":1234");
	done(&a);
	/* One of a list needs no list, a number may be a string, and JSON is YAML. */
	assert_int_equal(
		parse(&a, "vm", "{\"device\": \"x\", \"cpus\": \"3\", \"gdb\": false}", &e), 0);
	assert_string_equal(a.devices.items[0], "x");
	assert_int_equal(a.num, 3);
	assert_null(a.addr);
	done(&a);
}

static void paths_are_relative_to_the_file(void **state)
{
	struct args a;
	struct err e;

	assert_int_equal(parse(&a, "../v,m/vm.yaml",
			       "kernel: boot/k\n"
			       "append: boot/k\n"
			       "control: none\n"
			       "console: file:log\n"
			       "module: [m=arg, /abs]\n"
			       "device: [x]\n"
			       "disk:\n"
			       "  - a.img,ro,overlay=o,,1,serial=s,backing=/b\n"
			       "  - {file: a.img, overlay: on, backing: b, serial: s}\n"
			       "  - {file: /d, overlay: true}\n"
			       "  - file=e,overlay=off\n",
			       &e),
			 0);
	assert_string_equal(a.kernel, "../v,m/boot/k");
	assert_string_equal(a.text, "boot/k");
	assert_string_equal(a.control, "none");
	assert_string_equal(a.console, "file:../v,m/log");
	assert_string_equal(a.modules.items[0], "../v,m/m=arg");
	assert_string_equal(a.modules.items[1], "/abs");
	assert_string_equal(a.devices.items[0], "x");
	assert_string_equal(a.disks.items[0],
			    "../v,,m/a.img,ro,overlay=../v,,m/o,,1,serial=s,backing=/b");
	assert_string_equal(a.disks.items[1],
			    "../v,,m/a.img,overlay=on,backing=../v,,m/b,serial=s");
	assert_string_equal(a.disks.items[2], "/d,overlay=on");
	assert_string_equal(a.disks.items[3], "../v,,m/e,overlay=off");
	done(&a);
	assert_int_equal(parse(&a, "d/vm.yaml", "console: socket:s\n", &e), 0);
	assert_string_equal(a.console, "socket:d/s");
	done(&a);
	assert_int_equal(parse(&a, "d/vm.yaml", "console: socket\n", &e), 0);
	assert_string_equal(a.console, "socket");
	done(&a);
}

static void expect_error(const char *text, const char *message)
{
	struct args a;
	struct err e;

	assert_int_equal(parse(&a, "vm.yaml", text, &e), -EINVAL);
	if (!strstr(e.msg, message))
		fail_msg("\"%s\" is not in \"%s\"", message, e.msg);
	assert_null(strchr(e.msg, '\n'));
	done(&a);
}

static void says_where_and_what(void **state)
{
	expect_error("cpus: 1\nmemroy: 1\n",
		     "vm.yaml:2:1: unknown key memroy; did you mean memory?");
	expect_error("zzzzzzzzz: 1\n", "vm.yaml:1:1: unknown key zzzzzzzzz; --help");
	expect_error("here: true\n", "vm.yaml:1:1: here is for the command line only");
	expect_error("file: vm.yaml\n", "command line only");
	expect_error("cpus: 1\ncpus: 2\n", "vm.yaml:2:1: cpus is given twice; leave one");
	expect_error("disk: a\ndisk: b\n", "vm.yaml:2:1: disk is given twice; make it a list");
	expect_error("cpus: many\n", "vm.yaml:1:7: --cpus many is not a number");
	expect_error("memory: -1\n", "vm.yaml:1:9: --memory -1 is not a size");
	expect_error("flag: 1\n", "vm.yaml:1:7: flag is true or false, not '1'");
	expect_error("flag: 'true'\n", "flag is true or false");
	expect_error("kernel:\ncpus: 1\n", "kernel has no value");
	expect_error("kernel: ~\n", "kernel has no value");
	expect_error("kernel: [a]\n", "vm.yaml:1:9: kernel takes one value here");
	expect_error("kernel: {a: b}\n", "kernel takes one value here");
	expect_error("module:\n  - a: b\n", "vm.yaml:2:5: module takes one value here");
	expect_error("device: [[a]]\n", "device takes one value here");
	expect_error("device: {name: [a]}\n", "name takes one value here");
	expect_error("device: {iobase: 1}\n", "vm.yaml:1:9: name is missing");
	expect_error("device: {name: a, k: 1, k: 2}\n", "vm.yaml:1:25: k is given twice");
	expect_error("device: {name: a, 'k,x': 2}\n", "'k,x' cannot be a key");
	expect_error("kernel: \"a\\0b\"\n", "NUL byte");
	expect_error("[a]: b\n", "the name of an option takes one value");
}

static void takes_no_more_yaml_than_it_needs(void **state)
{
	expect_error("", "vm.yaml is empty");
	expect_error("# nothing\n", "vm.yaml is empty");
	expect_error("just words\n", "options are written as 'name: value'");
	expect_error("- kernel\n", "options are written as");
	expect_error("kernel: &a k\n", "anchors and aliases");
	expect_error("a: &a [x,x]\nb: &b [*a,*a]\n", "vm.yaml:1:1: unknown key");
	expect_error("device: &a [x,x]\n", "anchors and aliases");
	expect_error("device: [*a]\n", "anchors and aliases");
	expect_error("<<: {cpus: 1}\n", "unknown key <<");
	expect_error("cpus: !!int 1\n", "tags are not taken");
	expect_error("device: !x [a]\n", "tags are not taken");
	expect_error("--- !x\ncpus: 1\n", "tags are not taken");
	expect_error("cpus: 1\n---\ncpus: 2\n", "a second document");
	expect_error("cpus: 1\n\tmemory: 1\n", "vm.yaml:2:1: ");
	expect_error("cpus: [1\n", "vm.yaml:");
	expect_error("cpus: \x01\n", "is it a text file?");
	expect_error("cpus: \xff\xfe\n", "is it a text file?");
}

static void command_line_counts_more(void **state)
{
	char name[] = "/tmp/config_test.XXXXXX";
	char *argv[] = {"--cpus",   "7",  "--disk=before", "-f",   name,
			"--memory", "3M", "--disk",	   "after"};
	struct args a = {0};
	struct err e = {0};
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "memory: 2M\ncpus: 5\ndisk: [/x]\n") > 0);
	close(fd);
	assert_int_equal(options_parse(table, ARRAY_SIZE(argv), argv, &a, &a.rest, &e), 0);
	unlink(name);
	assert_int_equal(a.size, 3 << 20);
	assert_int_equal(a.num, 5);
	assert_int_equal(a.disks.n, 3);
	assert_string_equal(a.disks.items[0], "before");
	assert_string_equal(a.disks.items[1], "/x");
	assert_string_equal(a.disks.items[2], "after");
	done(&a);
}

static void unreadable_files_are_named(void **state)
{
	struct args a = {0};
	struct err e;

	assert_int_equal(config_read(table, "/nonexistent.yaml", &a, &a.config, &e), -ENOENT);
	assert_non_null(strstr(e.msg, "cannot read /nonexistent.yaml: No such file"));
	assert_int_equal(config_read(table, "/tmp", &a, &a.config, &e), -EISDIR);
	assert_int_equal(config_read(table, "/dev/zero", &a, &a.config, &e), -EFBIG);
	assert_non_null(strstr(e.msg, "larger than"));
	done(&a);
}

/* What is printed says the same when it is read again, in both forms. */
static void prints_what_it_reads(void **state)
{
	static const char text[] = "flag: true\nmemory: 3M\nkernel: 'no'\nappend: \"# 'x' \\n 1\"\n"
				   "gdb: 99\ncpus: 2\ndevice: [{name: a, b: c}]\ndisk: [d, '/e']\n";
	char *out[3], cwd[4096];
	size_t size;
	struct args a;
	struct err e;

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	for (int i = 0; i < 3; i++) {
		FILE *f = open_memstream(&out[i], &size);

		assert_int_equal(parse(&a, "vm.yaml", i ? out[i - 1] : text, &e), 0);
		assert_true(a.flag);
		assert_int_equal(a.size, 3 << 20);
		assert_string_equal(a.text, "# 'x' \n 1");
		assert_string_equal(a.addr, "99");
		assert_string_equal(a.devices.items[0], "a,b=c");
		assert_int_equal(a.disks.n, 2);
		assert_string_equal(a.disks.items[1], "/e");
		if (i) {
			assert_memory_equal(a.kernel, cwd, strlen(cwd));
			assert_string_equal(a.kernel + strlen(cwd), "/no");
			assert_memory_equal(a.disks.items[0], cwd, strlen(cwd));
		}
		assert_int_equal(print_options(table, &a, i == 1, f, &e), 0);
		fclose(f);
		done(&a);
	}
	assert_string_equal(out[0], out[2]);
	assert_int_equal(out[1][0], '{');
	for (int i = 0; i < 3; i++)
		free(out[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_all_kinds),
		cmocka_unit_test(paths_are_relative_to_the_file),
		cmocka_unit_test(says_where_and_what),
		cmocka_unit_test(takes_no_more_yaml_than_it_needs),
		cmocka_unit_test(command_line_counts_more),
		cmocka_unit_test(unreadable_files_are_named),
		cmocka_unit_test(prints_what_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
