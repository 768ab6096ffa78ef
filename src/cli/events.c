/* SPDX-License-Identifier: MIT */
/* events.c - what happens to a machine, a line each, until it ends. */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "cli/vm.h"

static void print_event(const json_t *event)
{
	json_int_t ns = json_integer_value(json_object_get(event, "time"));
	time_t s = (time_t)(ns / 1000000000);
	json_t *data = json_object_get(event, "data"), *v;
	char date[32] = "";
	const char *key;
	struct tm tm;

	if (localtime_r(&s, &tm))
		strftime(date, sizeof(date), "%F %T", &tm);
	printf("%s.%03d %s", date, (int)(ns / 1000000 % 1000),
	       json_string_value(json_object_get(event, "event")));
	json_object_foreach(data, key, v)
	{
		if (json_is_string(v))
			printf(" %s=%s", key, json_string_value(v));
		else
			printf(" %s=%lld", key, (long long)json_integer_value(v));
	}
	putchar('\n');
	fflush(stdout);
}

static int follow(const struct vm_args *a, struct control_client *c, struct err *e)
{
	json_t *message = control_request(c, "events", NULL, e);

	if (!message)
		return e->code;
	do {
		if (!json_is_string(json_object_get(message, "event")))
			; /* the reply */
		else if (a->json)
			vm_print_json(message, JSON_COMPACT);
		else
			print_event(message);
		json_decref(message);
	} while (!ferror(stdout) && (message = control_next(c, -1, e)));
	return e->code == -ECONNRESET ? 0 : e->code;
}

static int events_main(int argc, char **argv)
{
	struct vm_args a = {0};
	struct control_client c = {.fd = -1};
	struct err e = {0};
	int status;

	if (vm_parse(&command_events, argc, argv, 1, &a, &status)) {
		if (control_connect(&c, a.rest.items[0], &e) || follow(&a, &c, &e))
			status = err_report(&e);
		control_close(&c);
	}
	return vm_done(&a, status);
}

static const struct option options[] = {VM_OPTION_JSON, VM_OPTION_HELP, {NULL}};

const struct command command_events = {
	.name = "events",
	.usage = "[OPTION]... NAME",
	.doc = "show what happens to a machine, until it ends",
	.options = options,
	.help_tail = "",
	.run = events_main,
};
