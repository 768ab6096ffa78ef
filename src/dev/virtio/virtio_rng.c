/* SPDX-License-Identifier: MIT */
/*
 * virtio_rng.c - virtio entropy device (as QEMU's virtio-rng-pci).
 *
 * Source: VIRTIO 1.2, "Entropy Device": one queue of buffers, filled with random bytes of the
 * host's kernel.  It has no configuration.
 *
 * A buffer is filled as far as max-bytes a period, and what may be done at one go, allow; at
 * least one byte, or it stays in the queue until the next period.  Nothing ever waits.
 */
#include "dev/devices.h"

#include <errno.h>
#include <sys/random.h>

#include "dev/virtio/virtio.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { QUEUE_SIZE = 8, AT_ONCE = 256 << 10, PIECE = 256, RETRY_MS = 100 };

struct vrng {
	struct virtio virtio;
	struct timer timer; /* the next period, or another try */
	u64 left;	    /* bytes of this period */
	struct task more;
	struct vq_chain chain;
	struct iovec iov[QUEUE_SIZE];
	struct vq_seg seg[QUEUE_SIZE];

	u64 max_bytes; /* options */
	u32 period;
};

static void arm(struct vrng *r, u32 ms)
{
	struct machine *m = r->virtio.pci.dev.machine;

	if (!r->timer.deadline)
		timer_arm(m->loop, &r->timer, clock_now(m, CLOCK_GUEST) + ms * 1000000ull);
}

/* Up to max random bytes into the chain; how many. */
static u64 fill(struct vq_chain *c, const u8 *first, u64 max)
{
	u8 buf[PIECE];
	u64 done = 0;

	memcpy(buf, first, PIECE);
	while (done < max) {
		size_t n = max - done < PIECE ? (size_t)(max - done) : PIECE;

		if (!vq_give(c, buf, n))
			break;
		done += n;
		if (getrandom(buf, PIECE, GRND_NONBLOCK) != PIECE)
			break;
	}
	return done;
}

/* Serve one buffer with up to *left bytes.  False: there is none, or it has to wait. */
static bool serve(struct vrng *r, struct virtqueue *q, u64 *left)
{
	struct vq_chain *c = &r->chain;
	u64 max = *left;
	u8 first[PIECE];

	if (r->max_bytes && r->left < max)
		max = r->left;
	/* Before it is taken: then it can be left where it is. */
	if (!max || getrandom(first, PIECE, GRND_NONBLOCK) != PIECE) {
		arm(r, max ? RETRY_MS : r->period);
		return false;
	}
	if (virtio_pop(&r->virtio, q, c) <= 0)
		return false;
	max = fill(c, first, c->in_len < max ? c->in_len : max);
	vq_push(q, c, (u32)max);
	if (!max)
		virtio_fail(&r->virtio, "a request for entropy without room for it");
	if (r->max_bytes)
		r->left -= max;
	/* However small, it has cost a piece. */
	*left -= max < PIECE ? PIECE < *left ? PIECE : *left : max;
	return max;
}

static void vrng_notified(struct virtio *v, struct virtqueue *q)
{
	struct vrng *r = container_of(v, struct vrng, virtio);
	u64 left = AT_ONCE;

	vq_hush(q);
	do {
		while (left && serve(r, q, &left))
			;
	} while (left && !r->timer.deadline && virtio_rearm(v, q));
	if (!left)
		loop_defer(v->pci.dev.machine->loop, &r->more);
	virtio_flush(v, q);
}

static void run_more(struct task *t)
{
	virtio_notify(&container_of(t, struct vrng, more)->virtio, 0);
}

static void next_period(struct timer *t)
{
	struct vrng *r = container_of(t, struct vrng, timer);

	r->left = r->max_bytes;
	virtio_notify(&r->virtio, 0);
}

static const struct virtio_ops vrng_ops = {
	.id = VIRTIO_ID_RNG,
	.class_code = 0x00ff00,
	.notified = vrng_notified,
};

static int vrng_realize(struct device *dev, struct err *e)
{
	struct vrng *r = (struct vrng *)dev;

	if (!r->period)
		return err_set(e, -EINVAL, "period=0: at least a millisecond");
	r->timer = (struct timer){.owner = dev, .fn = next_period, .clock = CLOCK_GUEST};
	r->more = (struct task){.owner = dev, .fn = run_more};
	r->chain.iov = r->iov;
	r->chain.seg = r->seg;
	r->chain.max = QUEUE_SIZE;
	return virtio_realize(&r->virtio, &vrng_ops, 0, 1, QUEUE_SIZE, e);
}

static void vrng_unrealize(struct device *dev)
{
	struct vrng *r = (struct vrng *)dev;

	virtio_unrealize(&r->virtio);
	timer_cancel(dev->machine->loop, &r->timer);
	loop_cancel(dev->machine->loop, &r->more);
}

static void vrng_reset(struct device *dev)
{
	struct vrng *r = (struct vrng *)dev;

	virtio_reset(&r->virtio);
	timer_cancel(dev->machine->loop, &r->timer);
	r->left = r->max_bytes;
}

static int vrng_post_load(struct device *dev, struct err *e)
{
	struct vrng *r = (struct vrng *)dev;
	int rc = virtio_post_load(&r->virtio, e);

	/* What had been put off when the state was saved. */
	if (rc == 0)
		loop_defer(dev->machine->loop, &r->more);
	return rc;
}

static const struct param vrng_params[] = {
	{"max-bytes", PARAM_SIZE, offsetof(struct vrng, max_bytes), "0",
	 "at most so many a period; 0: no limit"},
	{"period", PARAM_U32, offsetof(struct vrng, period), "65536", "milliseconds"},
	VIRTIO_PARAMS(struct vrng),
	{0},
};

static const struct state_field vrng_state[] = {
	{"virtio", STATE_STRUCT, offsetof(struct vrng, virtio), sizeof(struct virtio), 1,
	 virtio_state},
	STATE_FIELD(struct vrng, timer, STATE_TIMER),
	STATE_FIELD(struct vrng, left, STATE_INT),
	{0},
};

const struct device_type virtio_rng_type = {
	.name = "virtio-rng-pci",
	.doc = "virtio entropy source",
	.size = sizeof(struct vrng),
	.version = 1,
	.params = vrng_params,
	.state = vrng_state,
	.realize = vrng_realize,
	.unrealize = vrng_unrealize,
	.reset = vrng_reset,
	.post_load = vrng_post_load,
};
