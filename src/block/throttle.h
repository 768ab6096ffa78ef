/* SPDX-License-Identifier: MIT */
/*
 * throttle.h - so many operations and bytes a second, and no more.
 *
 * Six buckets, each of which fills up to what a second allows.  A request goes when none is in
 * debt, and then takes what it costs: so one that is larger than a bucket goes, too, and those
 * after it wait longer.
 */
#ifndef BLOCK_THROTTLE_H
#define BLOCK_THROTTLE_H

#include "sundog/block.h"

enum { THROTTLE_BUCKETS = 6 };

struct throttle {
	struct bucket {
		u64 rate;  /* a second; 0: no limit */
		i64 level; /* in billionths; below 0: in debt */
	} bucket[THROTTLE_BUCKETS];
	u64 last; /* ns: when they were filled */
	bool on;
};

void throttle_init(struct throttle *t, const struct blk_limits *l, u64 now);
/* 0: the request goes, and is paid for.  Else: how many ns until it may be asked for again. */
u64 throttle_take(struct throttle *t, enum blk_op op, u64 len, u64 now);

#endif
