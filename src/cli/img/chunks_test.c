/* SPDX-License-Identifier: MIT */
/* Tests of working on a disk in pieces: each byte of work once, no hole touched, errors. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/img/chunks.h"
#include "sundog/err.h"
#include "sundog/lock.h"

enum { BLOCK = 512, BLOCKS = 40000 };

/* A disk of blocks that are work or not, and how often each was worked on. */
struct disk {
	u8 work[BLOCKS], done[BLOCKS];
	u32 unit;
	u64 fail_at, stop_at;
	struct lock lock;
};

static int next(void *opaque, u64 off, u64 *len, struct err *e)
{
	struct disk *d = opaque;
	u64 first = off / BLOCK, n = first;

	assert_int_equal(off % BLOCK, 0);
	assert_int_equal(off + *len, (u64)BLOCKS * BLOCK);
	while (n < BLOCKS && d->work[n] == d->work[first])
		n++;
	*len = (n - first) * BLOCK;
	return d->work[first];
}

static int work(void *opaque, u64 off, size_t len, u8 *buf, struct err *e)
{
	struct disk *d = opaque;

	assert_int_equal(off % d->unit, 0);
	assert_true(len && len <= CHUNK);
	memset(buf, 1, len);
	lock(&d->lock);
	for (u64 i = off / BLOCK; i < (off + len) / BLOCK; i++)
		d->done[i]++;
	unlock(&d->lock);
	if (range_fits(d->fail_at, 1, off + len) && d->fail_at >= off)
		return err_set(e, -EIO, "at %llu", (unsigned long long)off);
	return range_fits(d->stop_at, 1, off + len) && d->stop_at >= off;
}

static struct disk *make(unsigned seed)
{
	struct disk *d = calloc(1, sizeof(*d));
	unsigned i = 0;

	assert_non_null(d);
	srand(seed);
	while (i < BLOCKS) {
		unsigned n = rand() % 4 ? rand() % 30 + 1 : rand() % 9000;
		u8 kind = rand() % 2;

		while (n-- && i < BLOCKS)
			d->work[i++] = kind;
	}
	d->fail_at = d->stop_at = UINT64_MAX;
	lock_init(&d->lock, LOCK_LEAF, "disk");
	return d;
}

static void destroy(struct disk *d)
{
	lock_destroy(&d->lock);
	free(d);
}

static int run(struct disk *d, u32 unit, unsigned threads, struct err *e)
{
	struct chunks c = {
		.size = (u64)BLOCKS * BLOCK,
		.unit = unit,
		.threads = threads,
		.what = "testing",
		.quiet = true,
		.next = next,
		.work = work,
		.opaque = d,
	};

	d->unit = unit;
	return chunks_run(&c, e);
}

static void test_once(void **state)
{
	static const u32 units[] = {512, 4096, 65536, CHUNK};
	struct err e;

	for (unsigned seed = 0; seed < 24; seed++) {
		struct disk *d = make(seed);
		u32 unit = units[seed % 4], blocks = unit / BLOCK;

		assert_int_equal(run(d, unit, seed % 3 + 1, &e), 0);
		for (unsigned i = 0; i < BLOCKS; i += blocks) {
			unsigned end = i + blocks < BLOCKS ? i + blocks : BLOCKS, any = 0;

			for (unsigned j = i; j < end; j++)
				any |= d->work[j];
			/* A unit is worked on as a whole, if anything of it is work. */
			for (unsigned j = i; j < end; j++)
				assert_true(d->done[j] <= 1 && d->done[j] >= d->work[j] &&
					    d->done[j] <= any);
		}
		destroy(d);
	}
}

static void test_failure(void **state)
{
	struct disk *d = make(1);
	struct err e = {0};

	memset(d->work, 1, BLOCKS);
	d->fail_at = 3 * CHUNK + 7;
	assert_int_equal(run(d, 512, 3, &e), -EIO);
	assert_string_equal(e.msg, "at 6291456");
	destroy(d);
}

static void test_stop(void **state)
{
	struct disk *d = make(2);
	struct err e = {0};

	memset(d->work, 1, BLOCKS);
	d->stop_at = 2 * CHUNK;
	assert_int_equal(run(d, 512, 1, &e), 0);
	/* All in front of it was looked at, and nothing behind. */
	for (unsigned i = 0; i < BLOCKS; i++)
		assert_int_equal(d->done[i], i < 3 * CHUNK / BLOCK);
	destroy(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_once),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
