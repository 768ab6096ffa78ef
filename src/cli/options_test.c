/* SPDX-License-Identifier: MIT */
/* Tests of the option parser. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "cli/options.h"
#include "sundog/err.h"

struct args {
	bool flag;
	const char *str, *addr;
	u64 size;
	unsigned num;
	struct strlist list, rest;
};

static const struct option table[] = {
	{"flag", NULL, "", OPTION_FLAG, offsetof(struct args, flag)},
	{"memory", "SIZE", "", OPTION_SIZE, offsetof(struct args, size)},
	{"cpus", "N", "", OPTION_NUM, offsetof(struct args, num)},
	{"kernel", "FILE", "", OPTION_STR, offsetof(struct args, str)},
	{"module", "FILE", "", OPTION_LIST, offsetof(struct args, list)},
	{"gdb", "HOST:PORT", "", OPTION_ADDR, offsetof(struct args, addr), ":1234"},
	{NULL},
};

static int parse(struct args *a, struct err *e, char **argv)
{
	int n = 0;

	*a = (struct args){0};
	*e = (struct err){0};
	while (argv[n])
		n++;
	return options_parse(table, n, argv, a, &a->rest, e);
}

#define PARSE(a, e, ...) parse(a, e, (char *[]){__VA_ARGS__, NULL})

static void done(struct args *a)
{
	strlist_free(&a->list);
	strlist_free(&a->rest);
}

static void takes_all_kinds(void **state)
{
	struct args a;
	struct err e;

	assert_int_equal(PARSE(&a, &e, "--flag", "--memory=2M", "f1", "--cpus", "4", "--kernel",
			       "k", "--module", "x=1", "--module=y", "--gdb", "--", "--flag"),
			 0);
	assert_true(a.flag);
	assert_int_equal(a.size, 2 << 20);
	assert_int_equal(a.num, 4);
	assert_string_equal(a.str, "k");
	assert_int_equal(a.list.n, 2);
	assert_string_equal(a.list.items[0], "x=1");
	assert_string_equal(a.list.items[1], "y");
	assert_string_equal(a.addr, ":1234");
	assert_int_equal(a.rest.n, 2);
	assert_string_equal(a.rest.items[0], "f1");
	assert_string_equal(a.rest.items[1], "--flag");
	assert_null(a.rest.items[2]);
	done(&a);
}

static void gdb_takes_only_addresses(void **state)
{
	struct args a;
	struct err e;

	assert_int_equal(PARSE(&a, &e, "--gdb", "host:99", "vmlinuz"), 0);
	assert_string_equal(a.addr, "host:99");
	done(&a);
	assert_int_equal(PARSE(&a, &e, "--gdb", "vmlinuz-6.1"), 0);
	assert_string_equal(a.addr, ":1234");
	assert_string_equal(a.rest.items[0], "vmlinuz-6.1");
	done(&a);
	assert_int_equal(PARSE(&a, &e, "--gdb=unix", "x"), 0);
	assert_string_equal(a.addr, "unix");
	done(&a);
}

static void expect_error(const char *message, char **argv)
{
	struct args a;
	struct err e;

	assert_int_equal(parse(&a, &e, argv), -EINVAL);
	assert_non_null(strstr(e.msg, message));
	done(&a);
}

#define EXPECT_ERROR(message, ...) expect_error(message, (char *[]){__VA_ARGS__, NULL})

static void refuses_nonsense(void **state)
{
	EXPECT_ERROR("did you mean --memory?", "--memroy", "1");
	EXPECT_ERROR("unknown option --zzzzzzzz", "--zzzzzzzz");
	EXPECT_ERROR("write --kernel FILE", "--kernel");
	EXPECT_ERROR("takes no value", "--flag=1");
	EXPECT_ERROR("not a size", "--memory", "lots");
	EXPECT_ERROR("not a number", "--cpus", "4x");
	EXPECT_ERROR("not a number", "--cpus", "-1");
	EXPECT_ERROR("not a number", "--cpus", "5000000000");
	EXPECT_ERROR("begin with --", "-m");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_all_kinds),
		cmocka_unit_test(gdb_takes_only_addresses),
		cmocka_unit_test(refuses_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
