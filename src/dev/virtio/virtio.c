/* SPDX-License-Identifier: MIT */
/*
 * virtio.c - features, status, life of queues, and configuration of virtio devices.
 *
 * A driver that does what the specification forbids in a way that leaves nothing to go on with
 * gets DEVICE_NEEDS_RESET, and the device does nothing more until it is reset; what can simply
 * be ignored is, as a guest error.
 */
#include "dev/virtio/virtio.h"

#include <errno.h>

#include "sundog/err.h"
#include "sundog/machine.h"

int virtio_realize(struct virtio *v, const struct virtio_ops *ops, u64 features, unsigned nr_queues,
		   unsigned queue_size, struct err *e)
{
	struct device *dev = &v->pci.dev;

	if (queue_size < 2 || queue_size > VQ_MAX_SIZE || queue_size & (queue_size - 1))
		return err_set(e, -EINVAL, "queue-size=%u: a power of two from 2 to %d", queue_size,
			       VQ_MAX_SIZE);
	v->ops = ops;
	v->offered = features | VIRTIO_F(VERSION_1) | VIRTIO_F(RING_RESET);
	if (v->packed)
		v->offered |= VIRTIO_F(RING_PACKED);
	if (v->event_idx)
		v->offered |= VIRTIO_F(EVENT_IDX);
	if (v->indirect)
		v->offered |= VIRTIO_F(INDIRECT_DESC);
	v->nr_queues = (u16)nr_queues;
	for (unsigned i = 0; i < nr_queues; i++)
		vq_init(&v->queue[i], dev, (u16)i, (u16)queue_size);
	return virtio_pci_init(v, e);
}

/* What the driver's reset does, too. */
static void reset(struct virtio *v)
{
	v->features = 0;
	v->device_select = v->driver_select = 0;
	v->status = v->isr = 0;
	v->config_vector = VQ_NO_VECTOR;
	v->queue_select = 0;
	pci_set_intx(&v->pci, false);
	for (unsigned i = 0; i < v->nr_queues; i++)
		virtio_reset_queue(v, &v->queue[i]);
}

void virtio_unrealize(struct virtio *v)
{
	pci_detach(&v->pci);
	/* An access that is still on its way finds a device that is off. */
	lock(&v->pci.dev.lock);
	reset(v);
	unlock(&v->pci.dev.lock);
}

void virtio_reset(struct virtio *v)
{
	reset(v);
	v->generation = 0;
	virtio_pci_reset(v);
}

int virtio_post_load(struct virtio *v, struct err *e)
{
	if (v->features & ~v->offered)
		return err_set(e, -EINVAL, "%s: the saved state has features that it has not",
			       v->pci.dev.id);
	pci_post_load(&v->pci);
	for (unsigned i = 0; i < v->nr_queues; i++) {
		struct virtqueue *q = &v->queue[i];

		if (q->enabled && !(v->status & VIRTIO_NEEDS_RESET) && vq_start(q, v->features))
			return err_set(e, -EINVAL, "%s: the saved state has %s", v->pci.dev.id,
				       q->error);
	}
	return 0;
}

bool virtio_is_running(const struct virtio *v)
{
	return v->status & VIRTIO_DRIVER_OK && !(v->status & VIRTIO_NEEDS_RESET) &&
	       pci_is_master(&v->pci);
}

void virtio_fail(struct virtio *v, const char *why)
{
	guest_error(&v->pci.dev, why);
	if (v->status & VIRTIO_NEEDS_RESET)
		return;
	v->status |= VIRTIO_NEEDS_RESET;
	virtio_config_changed(v);
}

int virtio_pop(struct virtio *v, struct virtqueue *q, struct vq_chain *c)
{
	int rc = virtio_is_running(v) ? vq_pop(q, c) : 0;

	if (rc < 0)
		virtio_fail(v, q->error);
	return rc;
}

bool virtio_rearm(struct virtio *v, struct virtqueue *q)
{
	return virtio_is_running(v) && vq_rearm(q);
}

void virtio_flush(struct virtio *v, struct virtqueue *q)
{
	if (vq_flush(q))
		virtio_interrupt(v, q->vector, VIRTIO_ISR_QUEUE);
}

void virtio_config_changed(struct virtio *v)
{
	v->generation++;
	/* "The device MUST NOT send ... before setting DRIVER_OK": nobody would take it away. */
	if (v->status & VIRTIO_DRIVER_OK)
		virtio_interrupt(v, v->config_vector, VIRTIO_ISR_CONFIG);
}

/* --- what the driver does ---------------------------------------------------------------- */

u8 virtio_get_status(const struct virtio *v)
{
	if (v->status)
		return v->status;
	/* "The driver SHOULD consider a reset complete when it reads device_status as 0". */
	for (unsigned i = 0; i < v->nr_queues; i++)
		if (v->queue[i].busy)
			return VIRTIO_NEEDS_RESET;
	return 0;
}

static bool features_ok(const struct virtio *v)
{
	return !(v->features & ~v->offered) && v->features & VIRTIO_F(VERSION_1);
}

void virtio_set_status(struct virtio *v, u8 status)
{
	u8 fresh = status & ~v->status & ~VIRTIO_NEEDS_RESET;

	if (!status) {
		reset(v);
		return;
	}
	if (fresh & VIRTIO_FEATURES_OK && !features_ok(v)) {
		guest_error(&v->pci.dev, "features that were not offered, or of before 1.0");
		fresh &= ~VIRTIO_FEATURES_OK;
	}
	if (fresh & VIRTIO_DRIVER_OK && !((v->status | fresh) & VIRTIO_FEATURES_OK)) {
		guest_error(&v->pci.dev, "a driver that has not agreed on features");
		fresh &= ~VIRTIO_DRIVER_OK;
	}
	v->status |= fresh;
	if (fresh & VIRTIO_FEATURES_OK && v->ops->features_set)
		v->ops->features_set(v);
	if (!(fresh & VIRTIO_DRIVER_OK))
		return;
	/* What was put into the queues before. */
	for (unsigned i = 0; i < v->nr_queues; i++)
		virtio_notify(v, i);
}

void virtio_enable_queue(struct virtio *v, struct virtqueue *q)
{
	if (!(v->status & VIRTIO_FEATURES_OK) || q->enabled) {
		guest_error(&v->pci.dev, "a virtqueue enabled twice or too early");
		return;
	}
	if (vq_start(q, v->features))
		virtio_fail(v, q->error);
}

void virtio_reset_queue(struct virtio *v, struct virtqueue *q)
{
	vq_reset(q);
	if (v->ops->queue_reset)
		v->ops->queue_reset(v, q);
}

void virtio_notify(struct virtio *v, unsigned queue)
{
	if (queue < v->nr_queues && v->queue[queue].enabled && virtio_is_running(v))
		v->ops->notified(v, &v->queue[queue]);
}

void virtio_write_config(struct virtio *v, unsigned off, u64 val, unsigned size)
{
	bool any = false;

	for (unsigned i = off; i < off + size && i < v->ops->config_size; i++, val >>= 8) {
		u8 mask = v->config_writable[i];

		any |= mask;
		v->config[i] = (v->config[i] & ~mask) | ((u8)val & mask);
	}
	if (any && v->ops->config_written)
		v->ops->config_written(v);
}

#define STATE_ROW(member, kind) STATE_FIELD(struct virtio, member, kind)

const struct state_field virtio_state[] = {
	STATE_ROW(pci.config, STATE_BLOB),
	{"msix", STATE_STRUCT, offsetof(struct virtio, msix), sizeof(struct msix), 1, msix_state},
	STATE_ROW(features, STATE_INT),
	STATE_ROW(device_select, STATE_INT),
	STATE_ROW(driver_select, STATE_INT),
	STATE_ROW(status, STATE_INT),
	STATE_ROW(generation, STATE_INT),
	STATE_ROW(isr, STATE_INT),
	STATE_ROW(config_vector, STATE_INT),
	STATE_ROW(queue_select, STATE_INT),
	{"queue", STATE_ARRAY, offsetof(struct virtio, queue), sizeof(struct virtqueue), 1,
	 virtqueue_state, VIRTIO_MAX_QUEUES},
	STATE_ROW(config, STATE_BLOB),
	{0},
};
