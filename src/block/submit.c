/* SPDX-License-Identifier: MIT */
/*
 * submit.c - requests of devices.
 *
 * A read of what the page cache has, and a small write into it, are done at once, on the
 * thread of the vCPU that asks: that costs less than waking anybody.  All else becomes
 * operations (core.h).  Writes into the page cache stop there only when the host has too much
 * to write back; when one was slow, the next go to io_uring for a while.
 *
 * Locks: c->lock is a leaf and guards the lists and counters; nothing is called with it held.
 * A request is counted in in_flight from before its first operation until done() has returned.
 * Those that wait (throttled, stopped) are not; they are held by an operation, so that a device
 * that goes away can take its requests with it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/core.h"
#include "sundog/clock.h"
#include "sundog/control.h"

enum {
	MAX_PIECES = 8,
	MAX_SLICES = 64,
	MAX_INLINE_WRITE = 256 << 10,
	SLOW_NS = 2000000,
	STALL_NS = 100000000,
	REAP_MS = 5,
};

/* --- operations ----------------------------------------------------------------------------- */

static struct blk_io *op_get(struct blk_core *c, struct blk_req *req)
{
	struct blk_io *op;

	lock(&c->lock);
	op = c->free_ops;
	if (op)
		c->free_ops = op->next;
	unlock(&c->lock);
	if (!op)
		op = calloc(1, sizeof(*op));
	if (op) {
		op->req = req;
		op->f = NULL;
		op->next = NULL;
	}
	return op;
}

static void op_put_locked(struct blk_core *c, struct blk_io *op)
{
	op->next = c->free_ops;
	c->free_ops = op;
}

static void op_put(struct blk_core *c, struct blk_io *op)
{
	lock(&c->lock);
	op_put_locked(c, op);
	unlock(&c->lock);
}

static void op_free_all(struct blk_io *op)
{
	while (op) {
		struct blk_io *next = op->next;

		free(op->own);
		free(op);
		op = next;
	}
}

static void enter_flight(struct blk_core *c)
{
	lock(&c->lock);
	c->in_flight++;
	unlock(&c->lock);
}

static void leave_flight(struct blk_core *c)
{
	lock(&c->lock);
	if (--c->in_flight == 0)
		pthread_cond_broadcast(&c->changed);
	unlock(&c->lock);
}

/* --- quiescing ------------------------------------------------------------------------------ */

static void leave_located(struct blk_core *c)
{
	/* Pairs with blk_quiesce_begin(): one of the two sees the other. */
	if (atomic_fetch_sub(&c->located, 1) != 1 || !atomic_load(&c->quiescing))
		return;
	lock(&c->lock);
	pthread_cond_broadcast(&c->changed);
	unlock(&c->lock);
}

static bool enter_located(struct blk_core *c)
{
	atomic_fetch_add(&c->located, 1);
	if (!atomic_load(&c->quiescing))
		return true;
	leave_located(c);
	return false;
}

void blk_quiesce_begin(struct blk *b)
{
	struct blk_core *c = b->core;

	if (!c)
		return;
	atomic_fetch_add(&c->quiescing, 1);
	lock(&c->lock);
	while (atomic_load(&c->located))
		lock_wait(&c->lock, &c->changed);
	unlock(&c->lock);
}

void blk_quiesce_end(struct blk *b)
{
	if (b->core)
		atomic_fetch_sub(&b->core->quiescing, 1);
}

/* --- pieces --------------------------------------------------------------------------------- */

struct piece {
	struct blk_extent x;
	u64 at; /* from the request's beginning */
	bool finished;
};

/* The bytes [at, at + len) of the request; -E2BIG: more than max parts. */
static int slice(const struct blk_req *req, u64 at, u64 len, struct iovec *to, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < req->iovcnt && len; i++) {
		const struct iovec *v = &req->iov[i];
		size_t part;

		if (at >= v->iov_len) {
			at -= v->iov_len;
			continue;
		}
		part = v->iov_len - at < len ? v->iov_len - (size_t)at : (size_t)len;
		if (n == max)
			return -E2BIG;
		to[n++] = (struct iovec){(u8 *)v->iov_base + at, part};
		len -= part;
		at = 0;
	}
	return (int)n;
}

/* Where the request is; 0: too scattered, or not to be said without waiting. */
static unsigned find_pieces(struct blk *b, const struct blk_req *req, struct piece *p)
{
	unsigned n = 0;

	for (u64 at = 0; at < req->len; at += p[n++].x.len) {
		if (n == MAX_PIECES)
			return 0;
		if (b->format->locate(b, req->op, req->offset + at, req->len - at, &p[n].x))
			return 0;
		if (!p[n].x.len || p[n].x.len > req->len - at)
			return 0;
		if (!p[n].x.f && req->op != BLK_READ)
			return 0;
		p[n].at = at;
		p[n].finished = false;
	}
	return n;
}

static bool may_write_inline(const struct blk_core *c, const struct blk_req *req,
			     const struct hostfile *f)
{
	u64 until = atomic_load(&c->stalled_until);

	if (req->flags & BLK_FUA || req->len > MAX_INLINE_WRITE || !hf_is_cached(f))
		return false;
	return !until || clock_now(NULL, CLOCK_HOST) >= until;
}

static int write_inline(struct blk_core *c, struct hostfile *f, u64 off, const struct iovec *iov,
			unsigned n)
{
	u64 begin = clock_now(NULL, CLOCK_HOST), end;
	int r = hf_pwritev(f, off, iov, n);

	end = clock_now(NULL, CLOCK_HOST);
	if (end - begin > SLOW_NS)
		atomic_store(&c->stalled_until, end + STALL_NS);
	return r;
}

/* Without waiting; -EAGAIN: it would have to. */
static int piece_now(struct blk_core *c, const struct blk_req *req, const struct piece *p)
{
	struct iovec part[MAX_SLICES];
	const struct iovec *iov = req->iov;
	int n = (int)req->iovcnt;

	if (p->x.len != req->len) {
		n = slice(req, p->at, p->x.len, part, MAX_SLICES);
		iov = part;
	}
	if (n < 0)
		return -EAGAIN;
	if (!p->x.f) {
		for (int i = 0; i < n; i++)
			memset(iov[i].iov_base, 0, iov[i].iov_len);
		return 0;
	}
	if (req->op == BLK_READ)
		return hf_try_preadv(p->x.f, p->x.off, iov, (unsigned)n);
	if (!may_write_inline(c, req, p->x.f))
		return -EAGAIN;
	return write_inline(c, p->x.f, p->x.off, iov, (unsigned)n);
}

static struct blk_io *piece_op(struct blk_core *c, struct blk_req *req, const struct piece *p)
{
	struct blk_io *op = op_get(c, req);
	int n;

	if (!op)
		return NULL;
	op->f = p->x.f;
	op->off = p->x.off;
	op->len = (size_t)p->x.len;
	op->dsync = req->flags & BLK_FUA && !hf_is_unsafe(p->x.f);
	op->iov = req->iov;
	op->n = req->iovcnt;
	if (p->x.len == req->len)
		return op;
	if (op->own_cap < req->iovcnt) {
		struct iovec *own = realloc(op->own, req->iovcnt * sizeof(*own));

		if (!own) {
			op_put(c, op);
			return NULL;
		}
		op->own = own;
		op->own_cap = req->iovcnt;
	}
	n = slice(req, p->at, p->x.len, op->own, op->own_cap);
	op->iov = op->own;
	op->n = (unsigned)n;
	return op;
}

static void start_op(struct blk_core *c, struct blk_io *op)
{
	if (c->ring && op->f && hf_takes_async(op->f, op->off, op->iov, op->n) &&
	    blk_ring_start(c->ring, op) == 0)
		return;
	blk_op_queue(c, op);
}

static int start_located(struct blk_core *c, struct blk_req *req)
{
	struct piece p[MAX_PIECES];
	unsigned n = find_pieces(c->blk, req, p), left = 0;
	struct blk_io *ops = NULL, *next;

	if (n == 0)
		return -EAGAIN;
	for (unsigned i = 0; i < n; i++) {
		int r = piece_now(c, req, &p[i]);

		if (r && r != -EAGAIN)
			return r;
		p[i].finished = r == 0;
		left += r != 0;
	}
	if (!left)
		return 0;
	for (unsigned i = 0; i < n; i++) {
		struct blk_io *op = p[i].finished ? NULL : piece_op(c, req, &p[i]);

		if (!op && !p[i].finished) {
			for (; ops; ops = next) {
				next = ops->next;
				op_put(c, ops);
			}
			return -EAGAIN;
		}
		if (op) {
			op->next = ops;
			ops = op;
		}
	}
	req->priv.left = left;
	req->priv.located = true;
	enter_flight(c);
	for (; ops; ops = next) {
		next = ops->next;
		start_op(c, ops); /* the last may finish req */
	}
	return BLK_PENDING;
}

/* 0, -errno, or BLK_PENDING. */
static int start(struct blk_core *c, struct blk_req *req)
{
	const struct blk_format *fmt = c->blk->format;
	bool bytes = req->op == BLK_READ || req->op == BLK_WRITE;
	struct blk_io *op;

	req->priv.res = 0;
	req->priv.located = false;
	if (bytes && !req->len)
		return 0;
	if (bytes && fmt->locate && (fmt->plain || !(req->flags & BLK_FUA)) && enter_located(c)) {
		int r = start_located(c, req);

		if (r != BLK_PENDING)
			leave_located(c);
		if (r != -EAGAIN)
			return r;
	}
	op = op_get(c, req);
	if (!op)
		return -ENOMEM;
	req->priv.left = 1;
	enter_flight(c);
	blk_op_queue(c, op);
	return BLK_PENDING;
}

/* --- what waits for room ---------------------------------------------------------------------- */

static void tell_error(const struct blk_core *c, const struct blk_req *req, int res)
{
	static const char *const names[] = {
		[BLK_READ] = "read",
		[BLK_WRITE] = "write",
		[BLK_FLUSH] = "flush",
		[BLK_DISCARD] = "discard",
		[BLK_WRITE_ZEROES] = "write-zeroes",
	};
	struct control_note note = {
		.device = blk_id(c->blk), .operation = names[req->op], .reason = strerror(-res)};

	if (c->machine && res < 0)
		control_event(c->machine, CONTROL_DISK_ERROR, &note);
}

static bool stops_machine(const struct blk_core *c, int res)
{
	switch (c->blk->cfg->on_error) {
	case BLK_STOP: return c->machine && res < 0;
	case BLK_STOP_ENOSPC: return c->machine && (res == -ENOSPC || res == -EDQUOT);
	default: return false;
	}
}

static int stop_for(struct blk_core *c, struct blk_req *req, int res)
{
	struct blk_io *op = op_get(c, req);
	bool tell;

	if (!op)
		return res;
	lock(&c->lock);
	op_list_add(&c->stopped, op);
	tell = !c->told;
	c->told = true;
	unlock(&c->lock);
	if (tell) {
		fprintf(stderr,
			"sundog: %s: %s; the machine pauses, and tries again when resumed\n",
			blk_id(c->blk), strerror(-res));
		machine_request_pause(c->machine);
	}
	return BLK_PENDING;
}

static void give_back(struct blk_req *req, int res)
{
	struct device *owner = req->owner;

	if (owner)
		lock(&owner->lock);
	req->done(req, res);
	if (owner)
		unlock(&owner->lock);
}

static void finish(struct blk_core *c, struct blk_req *req, int res)
{
	tell_error(c, req, res);
	if (!stops_machine(c, res) || stop_for(c, req, res) != BLK_PENDING)
		give_back(req, res);
}

void blk_op_done(struct blk_core *c, struct blk_io *op, int res)
{
	struct blk_req *req = op->req;
	bool last, located;

	lock(&c->lock);
	if (res && !req->priv.res)
		req->priv.res = res;
	last = --req->priv.left == 0;
	res = req->priv.res;
	located = req->priv.located;
	op_put_locked(c, op);
	unlock(&c->lock);
	if (!last)
		return;
	if (located)
		leave_located(c);
	finish(c, req, res);
	leave_flight(c);
}

/* One that has waited; holding nothing. */
static void start_again(struct blk_core *c, struct blk_req *req)
{
	int r = blk_check_req(c->blk, req);

	enter_flight(c);
	if (r) {
		give_back(req, r);
	} else {
		r = start(c, req);
		if (r != BLK_PENDING)
			finish(c, req, r);
	}
	leave_flight(c);
}

static void on_resume(struct run_hook *h)
{
	struct blk_core *c = container_of(h, struct blk_core, resume);
	struct op_list again;
	struct blk_io *op;

	op_list_init(&again);
	lock(&c->lock);
	c->told = false;
	while ((op = op_list_take(&c->stopped)))
		op_list_add(&again, op);
	unlock(&c->lock);
	while ((op = op_list_take(&again))) {
		struct blk_req *req = op->req;

		op_put(c, op);
		start_again(c, req);
	}
	c->timer.fn(&c->timer);
}

/* --- throttling ----------------------------------------------------------------------------------
 */

/* True: it waits now, behind those that did already. */
static bool must_wait(struct blk_core *c, struct blk_req *req)
{
	struct blk_io *op;
	u64 now = clock_now(NULL, CLOCK_HOST), ns = 0;
	bool first;

	lock(&c->lock);
	first = !c->throttled.first;
	if (first)
		ns = throttle_take(&c->throttle, req->op, req->len, now);
	unlock(&c->lock);
	if (first && !ns)
		return false;
	op = op_get(c, req);
	if (!op)
		return false;
	lock(&c->lock);
	first = !c->throttled.first;
	op_list_add(&c->throttled, op);
	unlock(&c->lock);
	if (first)
		timer_arm(c->machine->loop, &c->timer, now + (ns ? ns : 1));
	return true;
}

static void on_timer(struct timer *t)
{
	struct blk_core *c = container_of(t, struct blk_core, timer);

	/* While the machine rests, nothing new goes to the host; on_resume() comes here. */
	while (atomic_load(&c->machine->state) == MACHINE_RUNNING) {
		u64 now = clock_now(NULL, CLOCK_HOST), ns = 0;
		struct blk_req *req = NULL;
		struct blk_io *op;

		lock(&c->lock);
		op = c->throttled.first;
		if (op) {
			req = op->req;
			ns = throttle_take(&c->throttle, req->op, req->len, now);
		}
		if (op && !ns) {
			op_list_take(&c->throttled);
			op_put_locked(c, op);
		}
		unlock(&c->lock);
		if (ns)
			timer_arm(c->machine->loop, t, now + ns);
		if (!op || ns)
			return;
		start_again(c, req);
	}
}

/* --- for devices ---------------------------------------------------------------------------------
 */

int blk_submit(struct blk *b, struct blk_req *req)
{
	struct blk_core *c = b->core;
	int r = blk_check_req(b, req);

	if (r)
		return r;
	req->priv.blk = b;
	if (c->throttle.on && c->machine && must_wait(c, req))
		return BLK_PENDING;
	r = start(c, req);
	tell_error(c, req, r);
	return stops_machine(c, r) ? stop_for(c, req, r) : r;
}

void blk_plug(struct blk *b)
{
	if (b->core->ring)
		blk_ring_plug(b->core->ring, true);
}

void blk_unplug(struct blk *b)
{
	if (b->core->ring)
		blk_ring_plug(b->core->ring, false);
}

/* The loop may wait here itself, so it completes what io_uring has done. */
void blk_drain(struct blk *b)
{
	struct blk_core *c = b->core;

	for (;;) {
		bool busy;

		lock(&c->lock);
		while (!c->ring && c->in_flight)
			lock_wait(&c->lock, &c->changed);
		busy = c->in_flight != 0;
		unlock(&c->lock);
		if (!busy)
			return;
		blk_ring_reap(c->ring, REAP_MS);
	}
}

static void cancel_in(struct blk_core *c, struct op_list *l, struct device *owner,
		      struct op_list *out)
{
	struct op_list keep;
	struct blk_io *op;

	op_list_init(&keep);
	while ((op = op_list_take(l)))
		op_list_add(op->req->owner == owner ? out : &keep, op);
	while ((op = op_list_take(&keep)))
		op_list_add(l, op);
}

void blk_cancel_waiting(struct blk *b, struct device *owner)
{
	struct blk_core *c = b->core;
	struct op_list out;
	struct blk_io *op;

	/* What fails meanwhile may come to wait. */
	blk_drain(b);
	op_list_init(&out);
	lock(&c->lock);
	cancel_in(c, &c->throttled, owner, &out);
	cancel_in(c, &c->stopped, owner, &out);
	unlock(&c->lock);
	while ((op = op_list_take(&out))) {
		struct blk_req *req = op->req;

		op_put(c, op);
		give_back(req, -ECANCELED);
	}
}

/* --- birth and end
 * --------------------------------------------------------------------------------- */

int blk_core_new(struct blk *b, struct err *e)
{
	struct blk_core *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->blk = b;
	lock_init(&c->lock, LOCK_LEAF, "disk");
	pthread_cond_init(&c->changed, NULL);
	pthread_cond_init(&c->work, NULL);
	op_list_init(&c->pieces);
	op_list_init(&c->whole);
	op_list_init(&c->throttled);
	op_list_init(&c->stopped);
	c->timer = (struct timer){.fn = on_timer, .clock = CLOCK_HOST};
	c->resume.fn = on_resume;
	throttle_init(&c->throttle, &b->cfg->limits, clock_now(NULL, CLOCK_HOST));
	b->core = c;
	return blk_workers_start(c, e);
}

void blk_core_attach(struct blk *b, struct machine *m)
{
	struct blk_core *c = b->core;

	c->machine = m;
	if (m->core)
		machine_add_run_hook(m, &c->resume);
	if (m->loop && !b->cfg->threads)
		c->ring = blk_ring_new(c, m->loop);
}

void blk_core_detach(struct blk *b)
{
	struct blk_core *c = b->core;
	struct machine *m = c->machine;

	if (!m)
		return;
	blk_drain(b);
	blk_ring_free(c->ring);
	c->ring = NULL;
	if (m->loop)
		timer_cancel(m->loop, &c->timer);
	if (m->core)
		machine_remove_run_hook(m, &c->resume);
	c->machine = NULL;
}

void blk_core_free(struct blk *b)
{
	struct blk_core *c = b->core;

	if (!c)
		return;
	blk_core_detach(b);
	blk_drain(b);
	blk_workers_stop(c);
	op_free_all(c->free_ops);
	op_free_all(c->throttled.first);
	op_free_all(c->stopped.first);
	pthread_cond_destroy(&c->changed);
	pthread_cond_destroy(&c->work);
	lock_destroy(&c->lock);
	free(c);
	b->core = NULL;
}
