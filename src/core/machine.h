/* SPDX-License-Identifier: MIT */
/* core/machine.h - what build.c (making a machine) and machine.c (running it) share. */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include "sundog/machine.h"

enum machine_request { REQUEST_PAUSE = 1, REQUEST_RESET = 2, REQUEST_SHUTDOWN = 4 };

struct machine_core {
	struct machine *machine;
	struct lock lock; /* a leaf: for what follows, and setting VCPU_STOP */
	pthread_cond_t changed;
	unsigned stops;	  /* how many want the vCPUs stopped */
	unsigned running; /* vCPUs past the gate */
	u32 requests;	  /* enum machine_request */
	int exit_code;	  /* of REQUEST_SHUTDOWN */
	const char *reason;
	bool quit; /* threads are to end */
	struct run_hook *run_hooks;
	struct task task; /* serves the requests on the loop */
};

/* The vCPUs are born stopped, once: machine_start() lets them go. */
int machine_core_new(struct machine *m, struct err *e) must_check;
void machine_core_quit(struct machine *m); /* returns when no vCPU thread is left */
void machine_core_free(struct machine *m);

/* Everything to its power-on state; the vCPUs are stopped, the loop's thread or nobody's. */
int machine_reset_now(struct machine *m, struct err *e) must_check;

#endif
