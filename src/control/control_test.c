/* SPDX-License-Identifier: MIT */
/* Tests of the protocol without sockets: tables, requests, errors; and of names. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/fields.h"
#include "control/rundir.h"
#include "control/server.h"
#include "sundog/err.h"
#include "sundog/machine.h"

static const struct field item[] = {{"n", FIELD_INT, "a number", .max = 9}, {NULL}};
static const struct field table[] = {
	{"flag", FIELD_BOOL, "a flag"},
	{"text", FIELD_STRING, "a text", true},
	{"id", FIELD_ID, "an id", true},
	{"ratio", FIELD_NUMBER, "a ratio", true},
	{"small", FIELD_INT, "up to ten", true, 10},
	{"list", FIELD_LIST, "items", true, .sub = item},
	{"any", FIELD_OBJECT, "any object", true},
	{NULL},
};

static int check_text(const struct field *t, const char *text, struct err *e)
{
	json_t *obj = json_loads(text, 0, NULL);
	int r;

	assert_non_null(obj);
	r = fields_check(t, obj, e);
	json_decref(obj);
	return r;
}

static void test_fields(void **state)
{
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{"{\"flag\":true}", NULL},
		{"{\"flag\":false,\"text\":\"\",\"id\":null,\"ratio\":1,\"small\":10}", NULL},
		{"{\"flag\":true,\"id\":3,\"ratio\":0.5,\"list\":[],\"any\":{\"x\":1}}", NULL},
		{"{}", "\"flag\" is missing"},
		{"{\"flag\":1}", "must be true or false"},
		{"{\"flag\":true,\"text\":null}", "must be a string"},
		{"{\"flag\":true,\"id\":[]}", "must be"},
		{"{\"flag\":true,\"small\":11}", "from 0 to 10"},
		{"{\"flag\":true,\"small\":-1}", "from 0 to 10"},
		{"{\"flag\":true,\"small\":1.0}", "an integer"},
		{"{\"flag\":true,\"list\":{}}", "an array"},
		{"{\"flag\":true,\"any\":[]}", "an object"},
		{"{\"flag\":true,\"txet\":\"\"}", "did you mean \"text\"?"},
		{"{\"flag\":true,\"whatever\":\"\"}", "no member"},
	};
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = check_text(table, cases[i].text, &e);

		assert_int_equal(r, cases[i].complaint ? -EINVAL : 0);
		if (cases[i].complaint)
			assert_non_null(strstr(e.msg, cases[i].complaint));
	}
	assert_int_equal(check_text(NULL, "{}", &e), 0);
	assert_int_equal(check_text(NULL, "{\"x\":1}", &e), -EINVAL);
}

static void test_text(void **state)
{
	json_t *text = fields_text("a\xff"
				   "b");

	assert_string_equal(json_string_value(text), "a?b");
	json_decref(text);
}

static void test_codes(void **state)
{
	static const int codes[] = {-EBADMSG, -EMSGSIZE, -ENOSYS,     -EINVAL,
				    -ENOENT,  -EBUSY,	 -EOPNOTSUPP, -EIO};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		assert_int_equal(control_code(control_code_name(codes[i])), codes[i]);
	assert_string_equal(control_code_name(-ENOMEM), "failed");
	assert_int_equal(control_code("what is this"), -EIO);
}

/* Each name once, each documented, and an event for each of the enum. */
static void test_tables(void **state)
{
	unsigned n = 0;

	for (const struct control_command *c = control_commands; c->name; c++) {
		assert_non_null(c->run);
		assert_true(*c->doc);
		for (const struct control_command *d = control_commands; d < c; d++)
			assert_string_not_equal(c->name, d->name);
	}
	for (const struct control_event_row *r = control_events; r->name; r++)
		n++;
	assert_int_equal(n, CONTROL_DISK_ERROR + 1);
}

static void test_event(void **state)
{
	struct control_note note = {.reason = "r", .status = 3};
	json_t *event = control_event_json(CONTROL_SHUTDOWN, &note);
	const char *name, *reason;
	json_int_t time;
	int status;

	assert_int_equal(json_unpack(event, "{s:s,s:I,s:{s:s,s:i!}!}", "event", &name, "time",
				     &time, "data", "reason", &reason, "status", &status),
			 0);
	assert_string_equal(name, "shutdown");
	assert_string_equal(reason, "r");
	assert_int_equal(status, 3);
	json_decref(event);
	event = control_event_json(CONTROL_PAUSED, NULL);
	assert_int_equal(json_object_size(json_object_get(event, "data")), 0);
	json_decref(event);
}

/* The code of the error that a line is answered with; NULL: it is served. */
static const char *ask(struct control *c, const char *line, size_t len)
{
	bool subscribe = false;
	json_t *answer, *request = control_parse(line, len, &answer);
	const char *code;

	if (request) {
		assert_null(answer);
		answer = control_answer(c, request, &subscribe);
		json_decref(request);
	}
	assert_non_null(answer);
	assert_non_null(json_object_get(answer, "id"));
	code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
	assert_true((code == NULL) == (json_object_get(answer, "return") != NULL));
	code = code ? control_code_name(control_code(code)) : NULL;
	json_decref(answer);
	return code;
}

static void test_requests(void **state)
{
	static const char nul[] = "{\"command\":\"he\0llo\"}";
	struct control c = {.cfg = {.name = "n"}};
	static const struct {
		const char *line, *code;
	} cases[] = {
		{"{\"command\":\"hello\"}", NULL},
		{"{\"id\":\"x\",\"command\":\"hello\",\"arguments\":{}}", NULL},
		{"{\"command\":\"schema\"}", NULL},
		{"{\"command\":\"commands\"}", NULL},
		{"{\"command\":\"events\",\"arguments\":{\"subscribe\":false}}", NULL},
		{"{\"command\":\"console\"}", "unsupported"},
		{"{\"command\":\"helo\"}", "unknown-command"},
		{"{\"command\":\"hello\",\"arguments\":{\"a\":1}}", "bad-argument"},
		{"{\"command\":\"device_add\"}", "bad-argument"},
		{"{\"id\":{},\"command\":\"hello\"}", "bad-message"},
		{"[1]", "bad-message"},
		{"", "bad-message"},
		{"{\"command\":\"\xc0\x80\"}", "bad-message"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *code = ask(&c, cases[i].line, strlen(cases[i].line));

		if (cases[i].code)
			assert_string_equal(code, cases[i].code);
		else
			assert_null(code);
	}
	assert_string_equal(ask(&c, nul, sizeof(nul) - 1), "bad-message");
}

static void test_names(void **state)
{
	char dir[] = "/tmp/sdcXXXXXX", path[RUN_PATH_MAX];
	struct run_name a, b, again;
	struct err e = {0};
	char **names;

	assert_non_null(mkdtemp(dir));
	setenv("SUNDOG_RUN_DIR", dir, 1);
	assert_int_equal(run_claim_for(&a, "/boot/my kernel", &e), 0);
	assert_string_equal(a.name, "my_kernel");
	assert_int_equal(run_claim_for(&b, "my_kernel", &e), 0);
	assert_string_equal(b.name, "my_kernel-2");
	/* Two machines of one process are strangers to each other, too. */
	assert_int_equal(run_claim(&again, "my_kernel", &e), -EBUSY);
	assert_int_equal(run_owner("my_kernel"), getpid());
	names = run_list(&e);
	assert_string_equal(names[0], "my_kernel");
	assert_string_equal(names[1], "my_kernel-2");
	assert_null(names[2]);
	run_list_free(names);
	run_release(&a);
	run_release(&a);
	assert_int_equal(run_owner("my_kernel"), 0);
	assert_int_equal(run_claim(&again, "my_kernel", &e), 0);
	run_release(&again);
	assert_int_equal(run_path(path, "my_kernel", "lock", &e), 0);
	assert_int_equal(access(path, F_OK), -1);
	run_release(&b);
	assert_int_equal(run_claim_for(&a, "/x/disk.img,format=raw,backing=/y/z", &e), 0);
	assert_string_equal(a.name, "disk");
	run_release(&a);
	assert_int_equal(run_claim_for(&a, "/", &e), 0);
	assert_string_equal(a.name, "vm");
	run_release(&a);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(run_claim(&a, "x", &e), -EPERM);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields), cmocka_unit_test(test_text),
		cmocka_unit_test(test_codes),  cmocka_unit_test(test_tables),
		cmocka_unit_test(test_event),  cmocka_unit_test(test_requests),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
