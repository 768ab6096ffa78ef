/* SPDX-License-Identifier: MIT */
/* vm.c - what the subcommands share that talk to a machine which runs. */
#include "cli/vm.h"

#include <errno.h>
#include <stdio.h>

static int check_words(const struct command *c, const struct vm_args *a, unsigned nr, struct err *e)
{
	if (a->rest.n > nr)
		return err_set(e, -EINVAL, "%s is one too many; usage: sundog %s %s",
			       a->rest.items[nr], c->name, c->usage);
	if (a->rest.n < nr && !a->rest.n)
		return err_set(e, -EINVAL,
			       "which machine? usage: sundog %s %s (sundog ps lists them)", c->name,
			       c->usage);
	if (a->rest.n < nr)
		return err_set(e, -EINVAL, "something is missing; usage: sundog %s %s", c->name,
			       c->usage);
	return 0;
}

bool vm_parse(const struct command *c, int argc, char **argv, unsigned nr, struct vm_args *a,
	      int *status)
{
	struct err e = {0};

	*status = 0;
	if (options_parse(c->options, argc, argv, a, &a->rest, &e))
		*status = err_report(&e);
	else if (a->help)
		print_command_help(c, stdout);
	else if (check_words(c, a, nr, &e))
		*status = err_report(&e);
	else
		return true;
	return false;
}

int vm_done(struct vm_args *a, int status)
{
	strlist_free(&a->rest);
	return status;
}

json_t *vm_call(const char *who, const char *command, json_t *args, struct err *e)
{
	struct control_client c;
	json_t *ret = NULL;

	if (control_connect(&c, who, e) == 0)
		ret = control_request(&c, command, args, e);
	else
		json_decref(args);
	control_close(&c);
	return ret;
}

int vm_do(const struct vm_args *a, const char *command, json_t *args)
{
	struct err e = {0};
	json_t *ret = vm_call(a->rest.items[0], command, args, &e);

	if (!ret)
		return err_report(&e);
	if (a->json)
		vm_print_json(ret, JSON_INDENT(2));
	json_decref(ret);
	return 0;
}

void vm_print_json(const json_t *value, size_t flags)
{
	json_dumpf(value, stdout, flags);
	putchar('\n');
	fflush(stdout);
}
