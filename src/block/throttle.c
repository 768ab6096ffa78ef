/* SPDX-License-Identifier: MIT */
/* throttle.c - token buckets. */
#include "block/throttle.h"

/* A level is kept in thousandths, so that a rate of 1 fills in steps of a millisecond. */
enum { UNIT = 1000 };
#define MAX_RATE (1ull << 40)

enum { ALL_OPS, READ_OPS, WRITE_OPS, ALL_BYTES, READ_BYTES, WRITE_BYTES };

void throttle_init(struct throttle *t, const struct blk_limits *l, u64 now)
{
	const u64 rates[THROTTLE_BUCKETS] = {l->iops, l->iops_read, l->iops_write,
					     l->bps,  l->bps_read,  l->bps_write};

	*t = (struct throttle){.last = now};
	for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
		struct bucket *b = &t->bucket[i];

		b->rate = rates[i] < MAX_RATE ? rates[i] : MAX_RATE;
		b->level = (i64)(b->rate * UNIT);
		t->on |= b->rate != 0;
	}
}

/* In whole microseconds, so that none is lost by asking often. */
static void fill(struct throttle *t, u64 now)
{
	u64 us = now > t->last ? (now - t->last) / 1000 : 0;

	if (us < 1000)
		return;
	t->last += us * 1000;
	us = us < 1000000 ? us : 1000000;
	for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
		struct bucket *b = &t->bucket[i];
		i64 full = (i64)(b->rate * UNIT);
		i64 more = (i64)(b->rate * us / (1000000 / UNIT));

		b->level = b->level > full - more ? full : b->level + more;
	}
}

static bool concerns(unsigned bucket, enum blk_op op)
{
	switch (bucket % 3) {
	case READ_OPS: return op == BLK_READ;
	case WRITE_OPS: return op != BLK_READ;
	default: return true;
	}
}

u64 throttle_take(struct throttle *t, enum blk_op op, u64 len, u64 now)
{
	u64 wait = 0;

	/* A flush is not work of its own. */
	if (!t->on || op == BLK_FLUSH)
		return 0;
	fill(t, now);
	for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
		const struct bucket *b = &t->bucket[i];
		u64 ns;

		if (!b->rate || !concerns(i, op) || b->level > 0)
			continue;
		ns = (u64)((double)(1 - b->level) * 1e9 / UNIT / (double)b->rate) + 1000000;
		wait = ns > wait ? ns : wait;
	}
	if (wait)
		return wait < 1000000000 ? wait : 1000000000;
	for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
		struct bucket *b = &t->bucket[i];
		u64 cost = i < ALL_BYTES ? 1 : len;

		if (b->rate && concerns(i, op))
			b->level -= (i64)(cost < MAX_RATE ? cost : MAX_RATE) * UNIT;
	}
	return 0;
}
