/* SPDX-License-Identifier: MIT */
/* throttle_test.c - rates over a minute of simulated time, bursts, large requests, order of kinds.
 */
#include <stdio.h>
#include <stdlib.h>

#include "block/throttle.h"

#define check(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static const u64 second = 1000000000;

/* How many requests get through in so many seconds, asking whenever it may be. */
static u64 get_through(const struct blk_limits *l, enum blk_op op, u64 len, u64 seconds)
{
	struct throttle t;
	u64 now = 5 * second, end = now + seconds * second, n = 0;

	throttle_init(&t, l, now);
	while (now < end) {
		u64 wait = throttle_take(&t, op, len, now);

		check(wait <= second);
		n += wait == 0;
		now += wait + 1000;
	}
	return n;
}

/* The rate, and a second's worth at once. */
static void check_rate(const struct blk_limits *l, enum blk_op op, u64 len, u64 rate)
{
	u64 n = get_through(l, op, len, 60);

	if (n < rate * 59 || n > rate * 62) {
		fprintf(stderr, "%llu in a minute, at %llu a second\n", (unsigned long long)n,
			(unsigned long long)rate);
		abort();
	}
}

int main(void)
{
	struct throttle t;

	check_rate(&(struct blk_limits){.iops = 100}, BLK_READ, 512, 100);
	check_rate(&(struct blk_limits){.iops = 1}, BLK_WRITE, 1 << 30, 1);
	check_rate(&(struct blk_limits){.iops = 5000, .iops_write = 10}, BLK_WRITE, 512, 10);
	check_rate(&(struct blk_limits){.iops = 5000, .iops_write = 10}, BLK_READ, 512, 5000);
	check_rate(&(struct blk_limits){.bps = 1 << 20}, BLK_WRITE, 4096, 256);
	check_rate(&(struct blk_limits){.bps_read = 1 << 20}, BLK_READ, 65536, 16);
	/* Larger than the bucket: still at the rate. */
	check(get_through(&(struct blk_limits){.bps = 1 << 20}, BLK_READ, 4 << 20, 60) >= 15);
	check(get_through(&(struct blk_limits){.bps = 1 << 20}, BLK_READ, 4 << 20, 60) <= 17);
	/* Nonsense is no division by zero and no overflow. */
	check(get_through(&(struct blk_limits){.bps = UINT64_MAX}, BLK_READ, 4096, 1) > 1000);

	throttle_init(&t, &(struct blk_limits){0}, 0);
	check(!t.on && throttle_take(&t, BLK_READ, 1, 0) == 0);
	throttle_init(&t, &(struct blk_limits){.iops = 1}, 0);
	check(t.on && throttle_take(&t, BLK_READ, 1, 0) == 0);
	check(throttle_take(&t, BLK_FLUSH, 0, 0) == 0 && throttle_take(&t, BLK_READ, 1, 0) > 0);
	return 0;
}
