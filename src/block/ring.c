/* SPDX-License-Identifier: MIT */
/*
 * ring.c - operations by io_uring; the machine's loop completes them.
 *
 * Whoever submits and whoever reaps takes the ring's lock for as long as the ring itself is
 * touched.  What the kernel gives back as undone, or done in part, is left to a worker.
 */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/core.h"

enum { ENTRIES = 256, BATCH = 32, BATCHES = 32, TRIES = 100 };

struct blk_ring {
	struct blk_core *core;
	struct loop *loop;
	struct lock lock; /* a leaf: .ring and .plugged */
	struct io_uring ring;
	unsigned plugged;
	struct watch watch;
};

static void on_event(struct watch *w, u32 events)
{
	blk_ring_reap(container_of(w, struct blk_ring, watch), 0);
}

struct blk_ring *blk_ring_new(struct blk_core *c, struct loop *loop)
{
	struct blk_ring *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	if (io_uring_queue_init(ENTRIES, &r->ring, IORING_SETUP_CLAMP)) {
		free(r);
		return NULL;
	}
	r->core = c;
	r->loop = loop;
	lock_init(&r->lock, LOCK_LEAF, "block ring");
	r->watch = (struct watch){.fn = on_event, .events = EPOLLIN};
	r->watch.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->watch.fd >= 0 && io_uring_register_eventfd(&r->ring, r->watch.fd) == 0 &&
	    loop_watch(loop, &r->watch) == 0)
		return r;
	blk_ring_free(r);
	return NULL;
}

void blk_ring_free(struct blk_ring *r)
{
	if (!r)
		return;
	loop_unwatch(r->loop, &r->watch);
	io_uring_queue_exit(&r->ring);
	if (r->watch.fd >= 0)
		close(r->watch.fd);
	lock_destroy(&r->lock);
	free(r);
}

/* What stays in the queue after that goes when the loop comes by. */
static void submit_locked(struct blk_ring *r)
{
	for (int i = 0; i < TRIES && io_uring_sq_ready(&r->ring); i++) {
		int n = io_uring_submit(&r->ring);

		if (n < 0 && n != -EINTR && n != -EAGAIN && n != -EBUSY)
			break;
	}
	if (io_uring_sq_ready(&r->ring))
		eventfd_write(r->watch.fd, 1);
}

static struct io_uring_sqe *get_entry_locked(struct blk_ring *r)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

	if (sqe)
		return sqe;
	submit_locked(r);
	return io_uring_get_sqe(&r->ring);
}

int blk_ring_start(struct blk_ring *r, struct blk_io *op)
{
	struct io_uring_sqe *sqe;
	int fd = hf_fd(op->f);

	/* As many as a system call takes. */
	if (op->n > 1024 || op->len > INT32_MAX)
		return -EINVAL;
	lock(&r->lock);
	sqe = get_entry_locked(r);
	if (sqe) {
		if (op->req->op == BLK_READ)
			io_uring_prep_readv(sqe, fd, op->iov, op->n, op->off);
		else
			io_uring_prep_writev2(sqe, fd, op->iov, op->n, op->off,
					      op->dsync ? RWF_DSYNC : 0);
		io_uring_sqe_set_data(sqe, op);
		if (!r->plugged)
			submit_locked(r);
	}
	unlock(&r->lock);
	return sqe ? 0 : -EAGAIN;
}

void blk_ring_plug(struct blk_ring *r, bool plug)
{
	lock(&r->lock);
	if (plug)
		r->plugged++;
	else if (r->plugged && --r->plugged == 0)
		submit_locked(r);
	unlock(&r->lock);
}

static void complete(struct blk_core *c, struct blk_io *op, int res)
{
	bool again = res >= 0 ? (size_t)res != op->len
			      : res == -EAGAIN || res == -EINTR || res == -EINVAL ||
					res == -EOPNOTSUPP || res == -ECANCELED;

	if (!again && res < 0 && op->dsync)
		hf_dsync_failed(op->f, res);
	if (again)
		blk_op_queue(c, op);
	else
		blk_op_done(c, op, res < 0 ? res : 0);
}

static unsigned take(struct blk_ring *r, struct blk_io **ops, int *res)
{
	struct io_uring_cqe *cqe[BATCH];
	unsigned n;

	lock(&r->lock);
	/* Left behind when the kernel was out of memory, or collected by one who waits himself. */
	submit_locked(r);
	n = io_uring_peek_batch_cqe(&r->ring, cqe, BATCH);
	for (unsigned i = 0; i < n; i++) {
		ops[i] = io_uring_cqe_get_data(cqe[i]);
		res[i] = cqe[i]->res;
	}
	io_uring_cq_advance(&r->ring, n);
	unlock(&r->lock);
	return n;
}

void blk_ring_reap(struct blk_ring *r, int timeout_ms)
{
	struct pollfd p = {.fd = r->watch.fd, .events = POLLIN};
	struct blk_io *ops[BATCH];
	int res[BATCH];
	unsigned n;
	u64 count;

	if (timeout_ms)
		(void)!poll(&p, 1, timeout_ms);
	/* Before looking: what comes later wakes again. */
	(void)!read(r->watch.fd, &count, sizeof(count));
	for (unsigned batch = 0; batch < BATCHES; batch++) {
		n = take(r, ops, res);
		if (!n)
			return;
		for (unsigned i = 0; i < n; i++)
			complete(r->core, ops[i], res[i]);
	}
	/* A guest that is as fast as we are must not keep the loop from all else. */
	eventfd_write(r->watch.fd, 1);
}
