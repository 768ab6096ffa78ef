/* SPDX-License-Identifier: MIT */
/*
 * signals.h - being asked to end: SIGTERM presses the power button, if the guest listens to it;
 * that signal again, and else SIGINT, SIGTERM and SIGHUP, shut the machine down in order; one
 * more ends us at once.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

struct err;
struct machine;

struct signal_watch {
	/* NULL: it is being built, so there is nothing to end in order. */
	_Atomic(struct machine *) machine;
	void (*before_death)(void *opaque); /* on the thread, when no machine runs; or NULL */
	void *opaque;
	sigset_t set, old;
	pthread_t thread;
	atomic_bool done;
	atomic_int caught; /* the first signal, or 0 */
};

/* Before any other thread is started: they inherit that these signals are not for them. */
void signals_block(struct signal_watch *w);
int signals_watch(struct signal_watch *w, struct err *e);
void signals_unwatch(struct signal_watch *w);
/* If one was caught: die of it now, as whoever waits for us expects. */
void signals_finish(struct signal_watch *w);

#endif
