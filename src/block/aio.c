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

static struct blk_io *next_op_locked(struct blk_core *c)
{
	struct blk_io *op = op_list_take(&c->pieces);

	if (!op && c->format_workers < BLK_MAX_FORMAT_WORKERS) {
		op = op_list_take(&c->whole);
		c->format_workers += op != NULL;
	}
	return op;
}

static void *work(void *arg)
{
	struct blk_core *c = arg;

	pthread_setname_np(pthread_self(), "disk");
	lock(&c->lock);
	for (;;) {
		struct blk_io *op = next_op_locked(c);
		bool whole = op && !op->f;

		if (op) {
			unlock(&c->lock);
			blk_op_run(c, op); /* and then it is somebody else's */
			lock(&c->lock);
			c->format_workers -= whole;
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

static unsigned count_waiting(const struct op_list *l, unsigned most)
{
	unsigned n = 0;

	for (const struct blk_io *op = l->first; op && n < most; op = op->next)
		n++;
	return n;
}

static void add_worker_locked(struct blk_core *c)
{
	unsigned most = c->idle_workers + 1;
	unsigned n = count_waiting(&c->pieces, most) + count_waiting(&c->whole, most);

	if (n > c->idle_workers && c->nr_workers < BLK_MAX_WORKERS &&
	    pthread_create(&c->workers[c->nr_workers], NULL, work, c) == 0)
		c->nr_workers++;
}

void blk_op_queue(struct blk_core *c, struct blk_io *op)
{
	bool stranded;

	lock(&c->lock);
	op_list_add(op->f ? &c->pieces : &c->whole, op);
	add_worker_locked(c);
	stranded = !c->nr_workers;
	/* Without a single thread it is done here, which is slow but goes on. */
	if (stranded)
		op = op_list_take(op->f ? &c->pieces : &c->whole);
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
