/* SPDX-License-Identifier: MIT */
/* manage.h - how a machine is reached while it runs: name, control socket, console, detaching. */
#ifndef CLI_MANAGE_H
#define CLI_MANAGE_H

#include "control/control.h"
#include "control/rundir.h"
#include "sundog/machine.h"

struct managed {
	/* What the user said; NULL: nothing. */
	const char *name, *where;
	bool detach;

	bool needed; /* the user wants what a name is for: without one, nothing runs */
	struct run_name taken;
	char socket[RUN_PATH_MAX], console[RUN_PATH_MAX + 8]; /* path; chardev spec */
	struct control *control;
	int ready_fd; /* whoever waits until the machine runs; -1: nobody */
};

/*
 * With --detach: the caller goes on in a process of its own; this one waits until that runs or
 * has failed, and ends.  Before there are threads.
 */
int manage_detach(struct managed *g, struct err *e);
/* Take a name, and fill in cfg->console. */
int manage_claim(struct managed *g, struct machine_cfg *cfg, struct err *e);
/* Before machine_start(): open the control socket. */
int manage_start(struct managed *g, struct machine *m, struct err *e);
/* The machine runs: with --detach, let go of the terminal. */
int manage_ready(struct managed *g, struct err *e);
void manage_stop(struct managed *g); /* nobody runs the loop any more */
void manage_free(struct managed *g); /* after machine_free(); twice is harmless */

#endif
