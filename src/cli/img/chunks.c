/* SPDX-License-Identifier: MIT */
/* chunks.c - threads that each take the next piece of a disk. */
#include "cli/img/chunks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/progress.h"
#include "sundog/err.h"
#include "sundog/lock.h"

enum { MIN_THREADS = 2, MAX_THREADS = 16, PAGE = 4096 };

struct run {
	const struct chunks *c;
	/* The outermost: next() goes into the block layer with it. */
	struct lock lock;
	u64 at;	       /* what is in front has been given out */
	u64 work_end;  /* up to here next() has said that there is work */
	u64 failed_at; /* the lowest piece that failed, with e */
	bool stop, failed;
	struct err e;
	struct progress progress;
};

static void fail_locked(struct run *r, u64 off, const struct err *e)
{
	if (!r->failed || off < r->failed_at) {
		r->failed_at = off;
		r->e = *e;
	}
	r->failed = r->stop = true;
}

/* Go on to where there is work; false: there is none left, or it failed. */
static bool find_work_locked(struct run *r)
{
	const struct chunks *c = r->c;

	while (r->at < c->size && r->at >= r->work_end) {
		u64 len = c->size - r->at, end;
		struct err e = {0};
		int found = c->next(c->opaque, r->at, &len, &e);

		if (found < 0) {
			fail_locked(r, r->at, &e);
			return false;
		}
		end = r->at + len;
		if (end < c->size && !found)
			end -= end % c->unit;
		if (found || end <= r->at) /* or the unit has something behind the hole */
			r->work_end = end > r->at ? end : r->at + 1;
		else
			r->at = end;
	}
	return r->at < c->size;
}

static bool take(struct run *r, u64 *off, size_t *len)
{
	const struct chunks *c = r->c;
	bool found;

	lock(&r->lock);
	found = !r->stop && find_work_locked(r);
	if (found) {
		u64 end = r->at - r->at % CHUNK + CHUNK;
		u64 units = (r->work_end + c->unit - 1) / c->unit * c->unit;

		end = units < end ? units : end;
		end = c->size < end ? c->size : end;
		*off = r->at;
		*len = (size_t)(end - r->at);
		r->at = end;
	}
	progress_show(&r->progress, r->at, c->size, true);
	unlock(&r->lock);
	return found;
}

static void *worker(void *opaque)
{
	struct run *r = opaque;
	const struct chunks *c = r->c;
	struct err e = {0};
	size_t len;
	u8 *buf;
	u64 off = 0;

	/* Aligned as O_DIRECT likes it. */
	buf = aligned_alloc(PAGE, (size_t)CHUNK * (c->buffers ? c->buffers : 1));
	if (!buf) {
		lock(&r->lock);
		err_set(&e, -ENOMEM, "out of memory; close something");
		fail_locked(r, 0, &e);
		unlock(&r->lock);
		return NULL;
	}
	while (take(r, &off, &len)) {
		int res = c->work(c->opaque, off, len, buf, &e);

		if (!res)
			continue;
		lock(&r->lock);
		r->stop = true;
		if (res < 0)
			fail_locked(r, off, &e);
		unlock(&r->lock);
	}
	free(buf);
	return NULL;
}

static unsigned thread_count(const struct chunks *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (c->threads)
		return c->threads < MAX_THREADS ? c->threads : MAX_THREADS;
	if (cpus < MIN_THREADS) /* one waits for the disk while the other works */
		return MIN_THREADS;
	return cpus < MAX_THREADS ? (unsigned)cpus : MAX_THREADS;
}

int chunks_run(const struct chunks *c, struct err *e)
{
	struct run r = {.c = c};
	pthread_t threads[MAX_THREADS];
	unsigned n = 0, want = thread_count(c) - 1;

	lock_init(&r.lock, LOCK_MACHINE, "chunks");
	progress_start(&r.progress, c->what, c->quiet);
	/* Fewer than wanted are enough: this thread works, too. */
	while (n < want && pthread_create(&threads[n], NULL, worker, &r) == 0)
		n++;
	worker(&r);
	while (n)
		pthread_join(threads[--n], NULL);
	progress_end(&r.progress);
	lock_destroy(&r.lock);
	if (r.failed)
		*e = r.e;
	return r.failed ? r.e.code : 0;
}
