/* SPDX-License-Identifier: MIT */
/* A thread that waits for the signals that ask us to end. */
#include <errno.h>
#include <string.h>

#include "chardev/term.h"
#include "cli/cli.h"
#include "cli/signals.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { DONE_SIGNAL = 7 }; /* after SIGRTMIN: ends the thread */

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static void die_of(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	signal(sig, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	raise(sig);
}

static void *watch_main(void *opaque)
{
	struct signal_watch *w = opaque;
	struct machine *m;
	int sig;

	if (sigwait(&w->set, &sig) || w->done)
		return NULL;
	m = atomic_load(&w->machine);
	if (m && sig == SIGTERM && machine_power_button(m)) {
		fputs("sundog: SIGTERM: pressed the power button and wait for the guest; "
		      "a second SIGTERM turns it off\n",
		      stderr);
		if (sigwait(&w->set, &sig) || w->done)
			return NULL;
	}
	if (m) {
		atomic_store(&w->caught, sig);
		machine_request_end(m, EXIT_HOST, "signal");
		if (sigwait(&w->set, &sig) || w->done)
			return NULL;
	}
	term_restore();
	if (w->before_death)
		w->before_death(w->opaque);
	die_of(sig);
	return NULL;
}

void signals_block(struct signal_watch *w)
{
	struct sigaction a;

	memset(w, 0, sizeof(*w));
	sigemptyset(&w->set);
	/* What was ignored when we were started, nohup(1) say, stays ignored. */
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (sigaction(ending[i], NULL, &a) == 0 && a.sa_handler != SIG_IGN)
			sigaddset(&w->set, ending[i]);
	sigaddset(&w->set, SIGRTMIN + DONE_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &w->set, &w->old);
}

int signals_watch(struct signal_watch *w, struct err *e)
{
	int r = pthread_create(&w->thread, NULL, watch_main, w);

	if (r)
		return err_set(e, -r, "cannot start a thread: %s; raise the process limit",
			       strerror(r));
	return 0;
}

void signals_unwatch(struct signal_watch *w)
{
	w->done = true;
	pthread_kill(w->thread, SIGRTMIN + DONE_SIGNAL);
	pthread_join(w->thread, NULL);
}

void signals_finish(struct signal_watch *w)
{
	int sig = atomic_load(&w->caught);

	if (sig)
		die_of(sig);
	pthread_sigmask(SIG_SETMASK, &w->old, NULL);
}
