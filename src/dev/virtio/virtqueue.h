/* SPDX-License-Identifier: MIT */
/*
 * virtqueue.h - the device's side of a virtqueue, split or packed.
 *
 * The driver makes chains of buffers available; the device pops them, works on the guest
 * memory they name, and pushes them back used, in any order.  Rings and buffers are guest
 * memory, written by others at any time: each word of them is read once, and whatever is
 * wrong with them makes a queue fail (.error), which it stays until it is reset.
 *
 * A queue has lives: it is born when the driver enables it and ends by a reset.  A chain that
 * was popped in an earlier life is pushed like any other, but does not touch the ring.
 *
 * Everything with the device's lock held.
 *
 * Source: Virtual I/O Device (VIRTIO) 1.2, "Split Virtqueues", "Packed Virtqueues".
 */
#ifndef DEV_VIRTIO_VIRTQUEUE_H
#define DEV_VIRTIO_VIRTQUEUE_H

#include <sys/uio.h>

#include "sundog/device.h"

enum { VQ_MAX_SIZE = 1024 };
enum { VQ_NO_VECTOR = 0xffff };

struct virtqueue {
	/* What the driver has set. */
	u16 size, vector;
	u8 enabled;
	gpa_t desc, driver, device; /* the three areas */

	/* Where we are.  Split: free-running; packed: a slot and a wrap counter. */
	u16 avail, used;
	u8 avail_wrap, used_wrap; /* 0 or 1 */
	u32 since;		  /* slots used since the driver was last interrupted, or not */

	/* Features; how the areas are mapped; from vq_start() to vq_reset(). */
	bool packed, indirect, event_idx;
	u8 *desc_ram, *driver_ram, *device_ram;

	struct device *dev;
	u16 index, max_size;
	const char *error; /* what the driver did wrong; NULL: nothing */
	u32 life;
	unsigned busy; /* chains popped and not pushed, of all lives */
	bool touched;  /* the ring was written to since the last vq_flush() */
	struct ram_window window;
};

/* Guest memory to write, by its guest address. */
struct vq_seg {
	gpa_t addr;
	u64 len;
};

/*
 * A chain.  Of iov and seg there are max each, the caller's; a chain that needs more fails
 * the queue.  out is what the driver gives, in what it takes; both point into iov.
 */
struct vq_chain {
	struct iovec *iov;
	struct vq_seg *seg;
	unsigned max;

	struct iovec *out, *in;
	unsigned nr_out, nr_in;
	u64 out_len, in_len; /* bytes */

	unsigned nr_seg; /* the queue's own from here */
	u16 id, slots;
	u32 life;
};

/* index: for traces.  max_size: what the driver finds; a power of two up to VQ_MAX_SIZE. */
void vq_init(struct virtqueue *q, struct device *dev, u16 index, u16 max_size);
void vq_reset(struct virtqueue *q);
/* Enable it as the driver has set it up, or as it was saved.  -EINVAL and .error: it cannot be. */
int vq_start(struct virtqueue *q, u64 features) must_check;

/* 1: *c is the next chain.  0: there is none.  -EINVAL and .error: the driver broke it. */
int vq_pop(struct virtqueue *q, struct vq_chain *c) must_check;
/* Give it back, with the first written bytes of its in part written. */
void vq_push(struct virtqueue *q, const struct vq_chain *c, u32 written);
/* Is it of the queue's present life? */
bool vq_is_current(const struct virtqueue *q, const struct vq_chain *c);
/* After pushing, once for several: does the driver want to be interrupted? */
bool vq_flush(struct virtqueue *q) must_check;

/* While the device looks at the queue anyway, the driver need not notify it... */
void vq_hush(struct virtqueue *q);
/* ... and from here on it has to again.  True: there is more in it already. */
bool vq_rearm(struct virtqueue *q) must_check;

/*
 * Copy the next bytes out of, or into, the chain, and take them off it.  All or, if there are
 * not as many, nothing: false.
 */
bool vq_take(struct vq_chain *c, void *buf, size_t len) must_check;
bool vq_give(struct vq_chain *c, const void *buf, size_t len) must_check;
/* Take the last byte to write off the chain, to be stored by guestmem_store(); NULL: none. */
void *vq_last(struct vq_chain *c);

extern const struct state_field virtqueue_state[];

#endif
