/* SPDX-License-Identifier: MIT */
/*
 * aio.c - threads for what cannot be done without waiting: the functions of formats, and all
 * of a host that has no io_uring.
 *
 * They are made as they are needed, up to BLK_MAX_WORKERS, and end with the disk.
 */
#include <errno.h>

#include "block/core.h"

void op_list_init(struct op_list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

void op_list_add(struct op_list *l, struct blk_io *op)
{
	op->next = NULL;
	*l->end = op;
	l->end = &op->next;
}

struct blk_io *op_list_take(struct op_list *l)
{
	struct blk_io *op = l->first;

	if (op) {
		l->first = op->next;
		if (!l->first)
			l->end = &l->first;
	}
	return op;
}

static int carry_out(struct blk_core *c, const struct blk_io *op)
{
	if (!op->f)
		return blk_serve(c->blk, op->req);
	if (op->req->op == BLK_READ)
		return hf_preadv(op->f, op->off, op->iov, op->n);
	if (op->dsync)
		return hf_pwritev_dsync(op->f, op->off, op->iov, op->n);
	return hf_pwritev(op->f, op->off, op->iov, op->n);
}

void blk_op_run(struct blk_core *c, struct blk_io *op)
{
	blk_op_done(c, op, carry_out(c, op));
}

static void *work(void *arg)
{
	struct blk_core *c = arg;
	struct blk_io *op;

	pthread_setname_np(pthread_self(), "disk");
	lock(&c->lock);
	for (;;) {
		op = op_list_take(&c->queue);
		if (op) {
			unlock(&c->lock);
			blk_op_run(c, op);
			lock(&c->lock);
			continue;
		}
		if (c->quit)
			break;
		c->idle_workers++;
		lock_wait(&c->lock, &c->work);
		c->idle_workers--;
	}
	unlock(&c->lock);
	return NULL;
}

static bool want_worker_locked(const struct blk_core *c)
{
	unsigned waiting = 0;

	for (const struct blk_io *op = c->queue.first; op && waiting <= c->idle_workers;
	     op = op->next)
		waiting++;
	return waiting > c->idle_workers && c->nr_workers < BLK_MAX_WORKERS;
}

void blk_op_queue(struct blk_core *c, struct blk_io *op)
{
	bool stranded = false;

	lock(&c->lock);
	op_list_add(&c->queue, op);
	if (want_worker_locked(c)) {
		if (pthread_create(&c->workers[c->nr_workers], NULL, work, c) == 0)
			c->nr_workers++;
		stranded = c->nr_workers == 0;
	}
	/* Without a single thread it is done here, which is slow but goes on. */
	if (stranded)
		op = op_list_take(&c->queue);
	else
		pthread_cond_signal(&c->work);
	unlock(&c->lock);
	if (stranded)
		blk_op_run(c, op);
}

void blk_workers_stop(struct blk_core *c)
{
	lock(&c->lock);
	c->quit = true;
	pthread_cond_broadcast(&c->work);
	unlock(&c->lock);
	for (unsigned i = 0; i < c->nr_workers; i++)
		pthread_join(c->workers[i], NULL);
}
