/* SPDX-License-Identifier: MIT */
/*
 * rundir.h - the run directory, and who has which name there.
 *
 * $SUNDOG_RUN_DIR, else $XDG_RUNTIME_DIR/sundog, else /tmp/sundog-UID: ours alone.  Of a machine
 * NAME there are NAME.lock, which its process holds locked as long as it lives and which has its
 * pid; NAME.sock, the control socket; and NAME.console.  What no lock is held for is left over
 * and is replaced by the next of that name.
 */
#ifndef CONTROL_RUNDIR_H
#define CONTROL_RUNDIR_H

#include <sys/types.h>

#include "sundog/types.h"

struct err;

enum { RUN_NAME_MAX = 64, RUN_PATH_MAX = 4096 };

struct run_name {
	char name[RUN_NAME_MAX + 1]; /* [A-Za-z0-9._-]+, not beginning with a dot or a dash */
	int lock_fd;		     /* -1: not ours */
};

/* NAME.suffix in the run directory, which is made if need be. */
int run_path(char path[RUN_PATH_MAX], const char *name, const char *suffix,
	     struct err *e) must_check;

/* Take a name; -EBUSY and who has it.  Nothing of an earlier machine is left there. */
int run_claim(struct run_name *n, const char *name, struct err *e) must_check;
/* The same by what is booted: its base name up to a comma, with -2, -3... if that is taken. */
int run_claim_for(struct run_name *n, const char *file, struct err *e) must_check;
/* Give it back: its files go, too.  Harmless if nothing was taken. */
void run_release(struct run_name *n);

/* Of the process that has the name; 0: nobody. */
pid_t run_owner(const char *name);

/*
 * The names that are taken, sorted, ended by NULL; run_list_free() frees them.  NULL and *e, also
 * of the run directory.
 */
char **run_list(struct err *e);
void run_list_free(char **names);

#endif
