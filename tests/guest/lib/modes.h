/* SPDX-License-Identifier: MIT */
/* modes.h - tests of 64-bit payloads that are the same in ring 0 and 3, by global pages and others.
 */
#ifndef GUEST_MODES_H
#define GUEST_MODES_H

#include "paging.h"

/* How the pages of a test are mapped, and so in which ring they run. */
struct mode {
	const char *name;
	bool user;
	u64 flags;
};

enum { NR_MODES = 3 };
extern const struct mode modes[NR_MODES]; /* the first: in ring 0, nothing special */
extern const struct mode *mode;		  /* the one at hand */

/* Flags of the pages' entries. */
u64 rights(void);
/* To run code as the mode says. */
struct ctx context(const void *code);
/* "a-b-c", until the next call. */
const char *named(const char *a, const char *b, const char *c);
/* Did code that counts R12 down come to its end? */
bool ended(const struct ctx *c);

#endif
