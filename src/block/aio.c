/* SPDX-License-Identifier: MIT */
/*
 * aio.c - threads for what cannot be done without waiting: the functions of formats, and all
 * of a host that has no io_uring.
 *
 * BLK_MIN_WORKERS are there from the beginning, so that there is always somebody; more are made as
 * they are needed, up to BLK_MAX_WORKERS.  They end with the disk.
 */
#include <errno.h>
#include <signal.h>

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

static struct blk_io *next_op_locked(struct blk_core *c)
{
	struct blk_io *op = op_list_take(&c->pieces);

	if (!op && c->format_workers + 1 < c->nr_workers) {
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
			blk_op_done(c, op, carry_out(c, op)); /* and then it is another's */
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

/* Signals are for others, also where nobody has blocked them yet. */
static int add_worker_locked(struct blk_core *c)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&c->workers[c->nr_workers], NULL, work, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	c->nr_workers += r == 0;
	return r;
}

void blk_op_queue(struct blk_core *c, struct blk_io *op)
{
	unsigned most;

	lock(&c->lock);
	op_list_add(op->f ? &c->pieces : &c->whole, op);
	most = c->idle_workers + 1;
	/* One more than there is work for; a host that has no room for it has these. */
	if (count_waiting(&c->pieces, most) + count_waiting(&c->whole, most) >= c->idle_workers &&
	    c->nr_workers < BLK_MAX_WORKERS)
		(void)!add_worker_locked(c);
	pthread_cond_signal(&c->work);
	unlock(&c->lock);
}

int blk_workers_start(struct blk_core *c, struct err *e)
{
	int r = 0;

	lock(&c->lock);
	while (r == 0 && c->nr_workers < BLK_MIN_WORKERS)
		r = add_worker_locked(c);
	unlock(&c->lock);
	return r ? err_set(e, -r, "cannot start a disk's thread: %s; raise the limits", strerror(r))
		 : 0;
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
