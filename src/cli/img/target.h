/* SPDX-License-Identifier: MIT */
/*
 * target.h - a new file that appears under its name only when it is complete.
 *
 * Until then it has another name in the same folder.  When the work fails, or one of the
 * signals that end us comes, that is removed, and what had the name is untouched.
 */
#ifndef CLI_IMG_TARGET_H
#define CLI_IMG_TARGET_H

#include <stdbool.h>
#include <sys/types.h>

#include "cli/signals.h"
#include "sundog/lock.h"

struct blk;
struct err;

enum target_mode {
	TARGET_NEW,	/* what exists is an error */
	TARGET_REPLACE, /* it may be a file that nobody else uses; *t keeps it locked */
	TARGET_HELD,	/* the caller has the lock of the file that is replaced */
};

struct target {
	enum target_mode mode;
	char *path;	 /* symbolic links followed, where there is one */
	char *temp;	 /* make the file here */
	struct blk *old; /* holds the lock of the file that is to be replaced; NULL: none is */
	mode_t umask;	 /* as it was */
	struct signal_watch signals;
	struct lock lock;
	int sync_fd; /* of temp, once it was needed; or -1 */
	bool done;   /* under the lock: temp is no more */
};

/* Blocks the signals: call it before any thread is started. */
int target_begin(struct target *t, const char *path, enum target_mode mode, struct err *e);
/* Begin to write to the medium what is cached of it, so that the end need not wait long. */
void target_push(struct target *t);
/* The file is complete and closed: it is synced and gets its name.  target_end() follows in any
 * case. */
int target_finish(struct target *t, struct err *e);
/* In a message, the name that the user knows instead of the temporary one. */
void target_explain(const struct target *t, struct err *e);
/* Removes what is not finished.  Only after a target_begin() that succeeded. */
void target_end(struct target *t);

#endif
