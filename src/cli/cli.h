/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the subcommands, and what they end with.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "sundog/machine.h" /* EXIT_... */
#include "sundog/types.h"

struct err;
struct option;

struct command {
	const char *name;
	const char *usage; /* what follows the name */
	const char *doc;
	const struct option *options; /* ended by one without a name */
	const char *help_tail;	      /* examples, tables: printed as it is */
	int (*run)(int argc, char **argv);
};

extern const struct command *const commands[]; /* NULL-ended; src/cli/commands.c */
extern const struct command command_run, command_doctor, command_ps, command_status,
	command_console, command_pause, command_resume, command_reset, command_stop,
	command_hotplug, command_unplug, command_resize, command_events, command_metrics,
	command_img;

/* "sundog: cause; cure" on stderr; returns the exit status that fits e->code. */
int err_report(const struct err *e);
int err_status(int code);

void print_help(FILE *f);
void print_command_help(const struct command *c, FILE *f);

#endif
