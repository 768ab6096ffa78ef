/* SPDX-License-Identifier: MIT */
/*
 * virtio.h - what every virtio device has: features, status, queues, configuration, interrupts.
 *
 * A device's struct begins with a struct virtio, whose first member is the PCI function.  Its
 * realize() calls virtio_realize(); from there on the driver's register accesses come to
 * virtio.c and virtio_pci.c, and the device hears of what concerns it through its ops.
 *
 * A reset never waits.  While requests of before are in flight, the driver reads a status that
 * is not 0 yet, which the specification lets it wait for.
 *
 * Everything with the device's lock held, but realize, unrealize.
 *
 * Source: VIRTIO 1.2, "Basic Facilities of a Virtio Device", "Virtio Over PCI Bus".
 */
#ifndef DEV_VIRTIO_VIRTIO_H
#define DEV_VIRTIO_VIRTIO_H

#include "dev/pci/msix.h"
#include "dev/virtio/virtio_ids.h"
#include "dev/virtio/virtqueue.h"

enum { VIRTIO_MAX_QUEUES = 64, VIRTIO_MAX_CONFIG = 64 };

struct virtio;

struct virtio_ops {
	u16 id;
	u32 class_code;	 /* of the PCI function */
	u16 config_size; /* bytes of v->config */
	/* There may be something in the queue; never while the device is not to work. */
	void (*notified)(struct virtio *v, struct virtqueue *q);
	/* A queue has begun a new life, or all have: forget what was put off.  May be NULL. */
	void (*queue_reset)(struct virtio *v, struct virtqueue *q);
	/* v->features are settled; may be NULL. */
	void (*features_set)(struct virtio *v);
	/* The driver wrote to v->config, as far as v->config_writable lets it; may be NULL. */
	void (*config_written)(struct virtio *v);
};

struct virtio {
	struct pci_dev pci;
	struct msix msix;
	const struct virtio_ops *ops;

	u64 offered, features; /* ours, and what the driver took of them */
	u32 device_select, driver_select;
	u8 status, generation, isr;
	u16 config_vector, queue_select;
	u16 nr_queues;
	struct virtqueue queue[VIRTIO_MAX_QUEUES];

	u8 config[VIRTIO_MAX_CONFIG]; /* the device's own part */
	u8 config_writable[VIRTIO_MAX_CONFIG];
	u8 pci_cap; /* where the capability for access by configuration registers is */
	bool packed, event_idx, indirect; /* options */
};

/* features: the device's own.  nr_queues: up to VIRTIO_MAX_QUEUES, queue_size as vq_init(). */
int virtio_realize(struct virtio *v, const struct virtio_ops *ops, u64 features, unsigned nr_queues,
		   unsigned queue_size, struct err *e) must_check;
void virtio_unrealize(struct virtio *v);
void virtio_reset(struct virtio *v); /* power-on */
int virtio_post_load(struct virtio *v, struct err *e) must_check;

static inline bool virtio_has(const struct virtio *v, unsigned feature)
{
	return v->features >> feature & 1;
}

/* May it use its queues? */
bool virtio_is_running(const struct virtio *v);
/* As vq_pop(); what the driver did wrong makes the device need a reset. */
int virtio_pop(struct virtio *v, struct virtqueue *q, struct vq_chain *c) must_check;
/* As vq_rearm(), and false if it may not use the queue any more. */
bool virtio_rearm(struct virtio *v, struct virtqueue *q) must_check;
/* After a batch of vq_push(): interrupt the driver if it wants to be. */
void virtio_flush(struct virtio *v, struct virtqueue *q);
/* v->config has changed: tell the driver. */
void virtio_config_changed(struct virtio *v);
/* As if the driver had notified it. */
void virtio_notify(struct virtio *v, unsigned queue);
/* The driver broke the rules: stop until it resets the device. */
void virtio_fail(struct virtio *v, const char *why);

/* --- between virtio.c and virtio_pci.c -------------------------------------------------- */

int virtio_pci_init(struct virtio *v, struct err *e) must_check;
void virtio_pci_reset(struct virtio *v);
void virtio_interrupt(struct virtio *v, u16 vector, u8 isr);
void virtio_set_status(struct virtio *v, u8 status);
u8 virtio_get_status(const struct virtio *v);
void virtio_enable_queue(struct virtio *v, struct virtqueue *q);
void virtio_reset_queue(struct virtio *v, struct virtqueue *q);
void virtio_write_config(struct virtio *v, unsigned off, u64 val, unsigned size);

/* Rows of a device's tables: type's first member is a struct virtio called virtio. */
#define VIRTIO_PARAMS(type)                                                                 \
	{"packed", PARAM_BOOL, offsetof(type, virtio.packed), "off", "offer packed rings"}, \
		{"event_idx", PARAM_BOOL, offsetof(type, virtio.event_idx), "on",           \
		 "offer to be told when to interrupt"},                                     \
	{                                                                                   \
		"indirect_desc", PARAM_BOOL, offsetof(type, virtio.indirect), "on",         \
			"offer tables of descriptors"                                       \
	}

extern const struct state_field virtio_state[];

#endif
