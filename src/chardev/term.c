/* SPDX-License-Identifier: MIT */
/* The terminal we were started on, put back whatever happens. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "chardev/term.h"
#include "sundog/types.h"

/* What ends us with a core dump; each handler passes on to what was there before. */
static const int fatal_signals[] = {
	SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP, SIGQUIT,
};

static struct {
	atomic_bool taken;
	atomic_bool raw; /* the terminal must be restored */
	bool hooked;	 /* signals are ours */
	bool at_exit;
	int fd;
	struct termios saved, ours;
	struct sigaction old_fatal[ARRAY_SIZE(fatal_signals)];
	struct sigaction old_tstp, old_cont;
} term;

/* From the background, tcsetattr() would stop us with SIGTTOU. */
static int set_attr(const struct termios *t)
{
	sigset_t block, old;
	int r;

	sigemptyset(&block);
	sigaddset(&block, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &block, &old);
	do
		r = tcsetattr(term.fd, TCSANOW, t);
	while (r < 0 && errno == EINTR);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

void term_restore(void)
{
	int saved_errno = errno;

	if (atomic_exchange(&term.raw, false))
		set_attr(&term.saved);
	errno = saved_errno;
}

static void on_fatal(int sig, siginfo_t *info, void *context)
{
	term_restore();
	for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++)
		if (fatal_signals[i] == sig)
			sigaction(sig, &term.old_fatal[i], NULL);
	/* A fault happens again on return; a signal that was sent does not. */
	if (info->si_code <= 0)
		raise(sig);
}

static void on_stop(int sig)
{
	term_restore();
	kill(getpid(), SIGSTOP);
}

static void on_continue(int sig)
{
	int saved_errno = errno;

	/* In the background the terminal is the shell's; "fg" continues us once more. */
	pid_t front = atomic_load(&term.taken) ? tcgetpgrp(term.fd) : 0;

	/* -1: it controls no session of ours, so no shell wants it. */
	if (front == getpgrp() || front == -1) {
		atomic_store(&term.raw, true);
		set_attr(&term.ours);
	}
	errno = saved_errno;
}

static void hook_signals(void)
{
	struct sigaction fatal = {.sa_sigaction = on_fatal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	struct sigaction stop = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
	struct sigaction cont = {.sa_handler = on_continue, .sa_flags = SA_RESTART};

	for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++)
		sigaction(fatal_signals[i], &fatal, &term.old_fatal[i]);
	sigaction(SIGTSTP, &stop, &term.old_tstp);
	sigaction(SIGCONT, &cont, &term.old_cont);
}

static void unhook_signals(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(fatal_signals); i++)
		sigaction(fatal_signals[i], &term.old_fatal[i], NULL);
	sigaction(SIGTSTP, &term.old_tstp, NULL);
	sigaction(SIGCONT, &term.old_cont, NULL);
}

int term_acquire(int fd)
{
	if (atomic_exchange(&term.taken, true))
		return -EBUSY;
	term.fd = fd;
	if (!isatty(fd) || tcgetattr(fd, &term.saved) < 0)
		return 0;
	term.ours = term.saved;
	cfmakeraw(&term.ours);
	/* Output stays cooked, so that our own messages look right between the guest's. */
	term.ours.c_oflag = term.saved.c_oflag;
	hook_signals();
	term.hooked = true;
	if (!term.at_exit)
		atexit(term_restore);
	term.at_exit = true;
	atomic_store(&term.raw, true);
	set_attr(&term.ours);
	return 1;
}

void term_release(void)
{
	if (term.hooked)
		unhook_signals();
	term.hooked = false;
	term_restore();
	atomic_store(&term.taken, false);
}
