/* SPDX-License-Identifier: MIT */
/*
 * term.h - the terminal we were started on: raw while a machine uses it, as it was whenever
 * we stop, however that comes about.
 *
 * There is one per process, and signals are the process's too; so this is the one place with
 * state of its own.
 */
#ifndef CHARDEV_TERM_H
#define CHARDEV_TERM_H

/*
 * Take fd for a console.  1: it is a terminal, now raw; 0: it is something else; -EBUSY: it
 * was taken before.  Crashes, SIGQUIT, SIGTSTP and exit() give the terminal back by
 * themselves; SIGCONT takes it again.
 */
int term_acquire(int fd);
void term_release(void);

/* Settings as they were.  Safe in a signal handler, and when nothing was taken. */
void term_restore(void);

#endif
