/* SPDX-License-Identifier: MIT */
/* vm.h - what the subcommands share that talk to a machine which runs. */
#ifndef CLI_VM_H
#define CLI_VM_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "control/client.h"
#include "sundog/err.h"

struct vm_args {
	struct strlist rest; /* what is no option: the machine's name first */
	bool json, help;
	bool force;	    /* unplug */
	unsigned timeout;   /* stop: seconds */
	const char *format; /* metrics */
};

#define VM_OPTION_JSON                                                                             \
	{                                                                                          \
		"json", NULL, "as JSON, for programs", OPTION_FLAG, offsetof(struct vm_args, json) \
	}
#define VM_OPTION_HELP                                                                 \
	{                                                                              \
		"help", NULL, "this text", OPTION_FLAG, offsetof(struct vm_args, help) \
	}

/*
 * The command line of c, which takes nr words besides its options.  False: *status is how to
 * end.  vm_done() frees what is in *a, whatever it was, and returns its status.
 */
bool vm_parse(const struct command *c, int argc, char **argv, unsigned nr, struct vm_args *a,
	      int *status);
int vm_done(struct vm_args *a, int status);

/* One command to one machine; NULL and *e. */
json_t *vm_call(const char *who, const char *command, json_t *args, struct err *e);
/* The same, what comes back printed if --json was given; returns the exit status. */
int vm_do(const struct vm_args *a, const char *command, json_t *args);

void vm_print_json(const json_t *value, size_t flags);

#endif
