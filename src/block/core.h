/* SPDX-License-Identifier: MIT */
/*
 * core.h - requests in flight: what submit.c, aio.c and blk.c share.
 *
 * A request that is not finished at once is cut in operations: pieces that lie in one host
 * file each, for io_uring or a worker thread, or the request as a whole for the format's own
 * functions, on a worker thread.  The last one that completes finishes the request.
 *
 * Operations are allocated as they are needed and kept for the next requests.
 */
#ifndef BLOCK_CORE_H
#define BLOCK_CORE_H

#include <errno.h>

#include "block/format.h"
#include "block/throttle.h"
#include "sundog/machine.h"

struct blk_io {
	struct blk_io *next;
	struct blk_req *req;
	struct hostfile *f; /* NULL: the whole request, by the format */
	u64 off;
	size_t len;
	const struct iovec *iov; /* own, or the request's */
	unsigned n;
	bool dsync;
	struct iovec *own;
	unsigned own_cap;
};

struct op_list {
	struct blk_io *first, **end;
};

struct blk_ring; /* ring.c */

/*
 * A format that quiesces waits for pieces, perhaps with a lock held for which the workers of
 * other requests wait: so one worker is left to pieces, and a disk is born with two.
 */
enum { BLK_MIN_WORKERS = 2, BLK_MAX_WORKERS = 8 };

struct blk_core {
	struct blk *blk;
	struct machine *machine; /* whose loop we use; NULL: nobody's */
	struct lock lock;	 /* a leaf: what follows, up to .ring */
	pthread_cond_t changed;	 /* in_flight or .located have become 0, or quiescing has ended */
	pthread_cond_t work;	 /* for the workers */
	struct blk_io *free_ops;
	unsigned in_flight;	      /* requests that somebody works on */
	struct op_list pieces, whole; /* for the workers */
	pthread_t workers[BLK_MAX_WORKERS];
	unsigned nr_workers, idle_workers, format_workers;
	bool quit;
	struct op_list throttled, stopped; /* each stands for a request that waits */
	bool told;			   /* the user knows that the machine has stopped */
	struct throttle throttle;

	struct blk_ring *ring; /* NULL: workers do it */
	struct timer timer;    /* when the next throttled request may go */
	struct run_hook resume;

	_Atomic unsigned located;   /* requests in flight that locate() has placed */
	_Atomic unsigned quiescing; /* there is somebody who wants none */
	_Atomic u64 stalled_until;  /* ns: inline writes were slow; none before that */
};

int blk_core_new(struct blk *b, struct err *e) must_check;
/* Waits for what is in flight; what waits for something else is forgotten. */
void blk_core_free(struct blk *b);
void blk_core_attach(struct blk *b, struct machine *m);
void blk_core_detach(struct blk *b);

/* May it be served at all?  The disk may have become smaller since it was last asked. */
static inline int blk_check_req(const struct blk *b, const struct blk_req *req)
{
	if (!range_fits(req->offset, req->len, b->size))
		return -EINVAL;
	return b->read_only && req->op != BLK_READ && req->op != BLK_FLUSH ? -EROFS : 0;
}

/* Blocking, on the caller's thread, with what checks need to be made. */
int blk_serve(struct blk *b, const struct blk_req *req) must_check;

/* submit.c: an operation has been carried out; holding nothing. */
void blk_op_done(struct blk_core *c, struct blk_io *op, int res);

/* aio.c */
void blk_op_queue(struct blk_core *c, struct blk_io *op); /* for a worker */
int blk_workers_start(struct blk_core *c, struct err *e) must_check;
void blk_workers_stop(struct blk_core *c);

/* ring.c */
struct blk_ring *blk_ring_new(struct blk_core *c, struct loop *loop); /* NULL: forbidden here */
void blk_ring_free(struct blk_ring *r);
int blk_ring_start(struct blk_ring *r, struct blk_io *op) must_check; /* -errno: it cannot */
void blk_ring_plug(struct blk_ring *r, bool plug);
/* Complete what is done, waiting a little for it. */
void blk_ring_reap(struct blk_ring *r, int timeout_ms);

void op_list_init(struct op_list *l);
void op_list_add(struct op_list *l, struct blk_io *op);
struct blk_io *op_list_take(struct op_list *l); /* the first; NULL: there is none */

#endif
