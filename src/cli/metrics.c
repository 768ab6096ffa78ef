/* SPDX-License-Identifier: MIT */
/* metrics.c - the counters of a machine, for people, programs and Prometheus. */
#include <errno.h>
#include <stdio.h>

#include "cli/vm.h"

static void print_value(const json_t *v)
{
	if (json_is_integer(v))
		printf("%lld", (long long)json_integer_value(v));
	else
		printf("%.3f", json_number_value(v));
}

static const char *member(const json_t *metric, const char *key)
{
	const char *s = json_string_value(json_object_get(metric, key));

	return s ? s : "";
}

static void print_text(const json_t *metrics)
{
	const json_t *m;
	size_t i;

	json_array_foreach(metrics, i, m)
	{
		printf("%-28s ", member(m, "name"));
		print_value(json_object_get(m, "value"));
		printf("  (%s)\n", member(m, "doc"));
	}
}

/* Prometheus' "Exposition formats": names, labels and values need no escapes here. */
static void print_prometheus(const json_t *metrics, const char *name)
{
	const json_t *m;
	size_t i;

	json_array_foreach(metrics, i, m)
	{
		printf("# HELP sundog_%s %s\n# TYPE sundog_%s untyped\nsundog_%s{vm=\"%s\"} ",
		       member(m, "name"), member(m, "doc"), member(m, "name"), member(m, "name"),
		       name);
		print_value(json_object_get(m, "value"));
		putchar('\n');
	}
}

static int check_format(const char *format, struct err *e)
{
	if (strcmp(format, "text") == 0 || strcmp(format, "prometheus") == 0)
		return 0;
	return err_set(e, -EINVAL, "no format \"%s\"; use text or prometheus", format);
}

static int show(const struct vm_args *a)
{
	struct err e = {0};
	struct control_client c = {.fd = -1};
	json_t *hello = NULL, *ret = NULL;
	const json_t *metrics;

	if (check_format(a->format, &e) || control_connect(&c, a->rest.items[0], &e) ||
	    !(hello = control_request(&c, "hello", NULL, &e)) ||
	    !(ret = control_request(&c, "metrics", NULL, &e))) {
		control_close(&c);
		json_decref(hello);
		return err_report(&e);
	}
	metrics = json_object_get(ret, "metrics");
	if (a->json)
		vm_print_json(ret, JSON_INDENT(2));
	else if (strcmp(a->format, "prometheus") == 0)
		print_prometheus(metrics, member(hello, "name"));
	else
		print_text(metrics);
	control_close(&c);
	json_decref(hello);
	json_decref(ret);
	return 0;
}

static int metrics_main(int argc, char **argv)
{
	struct vm_args a = {.format = "text"};
	int status;

	if (vm_parse(&command_metrics, argc, argv, 1, &a, &status))
		status = show(&a);
	return vm_done(&a, status);
}

static const struct option options[] = {
	{"format", "NAME", "text (default), or prometheus", OPTION_STR,
	 offsetof(struct vm_args, format)},
	VM_OPTION_JSON,
	VM_OPTION_HELP,
	{NULL},
};

const struct command command_metrics = {
	.name = "metrics",
	.usage = "[OPTION]... NAME",
	.doc = "show a machine's counters",
	.options = options,
	.help_tail = "The CPUs stop for a moment to be counted.\n",
	.run = metrics_main,
};
