/* SPDX-License-Identifier: MIT */
/*
 * progress.h - a line on the terminal that says how far long work is: percent, speed, time left.
 *
 * Only where standard error is a terminal, and then only when the work takes a moment.  One
 * thread at a time calls these.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "sundog/types.h"

struct progress {
	const char *what; /* "converting disk.img"; borrowed */
	bool on, shown;
	u64 start, last; /* ns, monotonic */
};

void progress_start(struct progress *p, const char *what, bool quiet);
/* done of all; in bytes if the speed is to be shown, else of anything. */
void progress_show(struct progress *p, u64 done, u64 all, bool bytes);
/* Takes the line away: what comes next begins at its left. */
void progress_end(struct progress *p);

/* One line of text without its end, of at most width columns: what progress_show() writes. */
void progress_format(char *line, size_t width, const char *what, u64 done, u64 all, u64 ns,
		     bool bytes);

#endif
