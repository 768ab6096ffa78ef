/* SPDX-License-Identifier: MIT */
/*
 * virtio_pci.c - virtio devices as PCI functions ("modern" only: no legacy I/O ports).
 *
 * Source: VIRTIO 1.2, "Virtio Over PCI Bus".  Vendor 1af4, device 1040 + the type, revision 1.
 *
 *   BAR 1, 4 KiB     MSI-X: vectors for each queue and for configuration changes
 *   BAR 4, 16 KiB    64-bit:
 *     offset  size        what
 *     0x0000  1, 2, 4     common configuration; 64-bit members also in halves
 *     0x1000  1           interrupt status, cleared by reading
 *     0x2000  1, 2, 4     the device's own configuration
 *     0x3000  2           4 bytes a queue: any write notifies it
 *
 * The same can be reached through a window in the configuration registers.  Without MSI-X it
 * interrupts by INTA.
 */
#include "dev/virtio/virtio.h"

#include <errno.h>

#include "sundog/err.h"

enum { VENDOR = 0x1af4, DEVICE_BASE = 0x1040, SUBDEVICE = 0x1100 };
enum { BAR_MSIX = 1, BAR_REGS = 4, REGS_SIZE = 0x4000, AREA = 0x1000, NOTIFY_STEP = 4 };
enum { AT_COMMON = 0, AT_ISR = 0x1000, AT_DEVICE = 0x2000, AT_NOTIFY = 0x3000 };
enum { /* a vendor-specific capability */
       CAP_ID = 9,
       CAP_LEN = 2,
       CAP_TYPE = 3,
       CAP_BAR = 4,
       CAP_OFFSET = 8,
       CAP_LENGTH = 12,
       CAP_EXTRA = 16, /* the step of notifications, or the window */
       CAP_SIZE = 16,
       CAP_SIZE_EXTRA = 20,
};

void virtio_interrupt(struct virtio *v, u16 vector, u8 isr)
{
	if (msix_is_on(&v->msix)) {
		msix_send(&v->msix, vector);
		return;
	}
	v->isr |= isr;
	pci_set_intx(&v->pci, true);
}

static u8 read_isr(struct virtio *v)
{
	u8 isr = v->isr;

	v->isr = 0;
	pci_set_intx(&v->pci, false);
	return isr;
}

/* --- the common configuration -------------------------------------------------------------- */

static struct virtqueue *selected(struct virtio *v)
{
	return v->queue_select < v->nr_queues ? &v->queue[v->queue_select] : NULL;
}

static void fill_queue(struct virtio *v, const struct virtqueue *q, u8 *c)
{
	st_le16(c + COMMON_QUEUE_SIZE, q->size);
	st_le16(c + COMMON_QUEUE_VECTOR, q->vector);
	st_le16(c + COMMON_QUEUE_ENABLE, q->enabled);
	st_le16(c + COMMON_QUEUE_NOTIFY, q->index);
	st_le16(c + COMMON_QUEUE_DATA, q->index);
	st_le64(c + COMMON_QUEUE_DESC, q->desc);
	st_le64(c + COMMON_QUEUE_DRIVER, q->driver);
	st_le64(c + COMMON_QUEUE_DEVICE, q->device);
	/* 1 as long as the reset goes on. */
	st_le16(c + COMMON_QUEUE_RESET, !q->enabled && q->busy);
}

/* It is read when a driver starts, not later: so all of it is made for each access. */
static void fill_common(struct virtio *v, u8 *c)
{
	const struct virtqueue *q = selected(v);

	memset(c, 0, COMMON_SIZE);
	st_le32(c + COMMON_DEVICE_SELECT, v->device_select);
	if (v->device_select < 2)
		st_le32(c + COMMON_DEVICE_FEATURES, (u32)(v->offered >> 32 * v->device_select));
	st_le32(c + COMMON_DRIVER_SELECT, v->driver_select);
	if (v->driver_select < 2)
		st_le32(c + COMMON_DRIVER_FEATURES, (u32)(v->features >> 32 * v->driver_select));
	st_le16(c + COMMON_CONFIG_VECTOR, v->config_vector);
	st_le16(c + COMMON_NR_QUEUES, v->nr_queues);
	c[COMMON_STATUS] = virtio_get_status(v);
	c[COMMON_GENERATION] = v->generation;
	st_le16(c + COMMON_QUEUE_SELECT, v->queue_select);
	if (q)
		fill_queue(v, q, c);
}

static void set_features(struct virtio *v, u32 val)
{
	unsigned shift = 32 * v->driver_select;

	if (v->status & VIRTIO_FEATURES_OK)
		guest_error(&v->pci.dev, "features after they were agreed on");
	else if (v->driver_select < 2)
		v->features = (v->features & ~(0xffffffffull << shift)) | (u64)val << shift;
	else if (val)
		guest_error(&v->pci.dev, "features that do not exist");
}

static u16 vector(const struct virtio *v, u16 val)
{
	return val < v->msix.nr ? val : VQ_NO_VECTOR;
}

/* Where the queue is and how large; only before it is enabled.  False: no such register. */
static bool set_up_queue(struct virtio *v, struct virtqueue *q, unsigned off, u32 val,
			 unsigned size)
{
	gpa_t *const areas[] = {&q->desc, &q->driver, &q->device};

	if (off == COMMON_QUEUE_SIZE && size == 2) {
		q->size = (u16)val;
		return true;
	}
	if (off < COMMON_QUEUE_DESC || off >= COMMON_QUEUE_DATA || size != 4)
		return false;
	off -= COMMON_QUEUE_DESC;
	*areas[off / 8] = off & 4 ? (u32)*areas[off / 8] | (u64)val << 32
				  : (*areas[off / 8] & ~0xffffffffull) | val;
	return true;
}

static void write_queue(struct virtio *v, unsigned off, u32 val, unsigned size)
{
	struct virtqueue *q = selected(v);

	if (!q)
		return;
	if (off == COMMON_QUEUE_VECTOR && size == 2)
		q->vector = vector(v, (u16)val);
	else if (off == COMMON_QUEUE_ENABLE && size == 2 && val == 1)
		virtio_enable_queue(v, q);
	else if (off == COMMON_QUEUE_RESET && size == 2 && val == 1 &&
		 virtio_has(v, VIRTIO_F_RING_RESET))
		virtio_reset_queue(v, q);
	else if (q->enabled || !set_up_queue(v, q, off, val, size))
		guest_error(&v->pci.dev, "no such register of a virtqueue, or not now");
}

static void write_common(struct virtio *v, unsigned off, u32 val, unsigned size)
{
	if (off == COMMON_DEVICE_SELECT && size == 4)
		v->device_select = val;
	else if (off == COMMON_DRIVER_SELECT && size == 4)
		v->driver_select = val;
	else if (off == COMMON_DRIVER_FEATURES && size == 4)
		set_features(v, val);
	else if (off == COMMON_CONFIG_VECTOR && size == 2)
		v->config_vector = vector(v, (u16)val);
	else if (off == COMMON_STATUS && size == 1)
		virtio_set_status(v, (u8)val);
	else if (off == COMMON_QUEUE_SELECT && size == 2)
		v->queue_select = (u16)val;
	else
		write_queue(v, off, val, size);
}

/* --- the BAR ------------------------------------------------------------------------------ */

static u64 bytes(const u8 *p, unsigned off, unsigned size, unsigned limit)
{
	u64 val = 0;

	for (unsigned i = 0; i < size && off + i < limit; i++)
		val |= (u64)p[off + i] << 8 * i;
	return val;
}

static u64 regs_read(void *opaque, u64 off, unsigned size)
{
	struct virtio *v = opaque;
	unsigned at = off % AREA;
	u8 common[COMMON_SIZE];

	switch (off - at) {
	case AT_COMMON: fill_common(v, common); return bytes(common, at, size, COMMON_SIZE);
	case AT_ISR: return at ? 0 : read_isr(v);
	case AT_DEVICE: return bytes(v->config, at, size, v->ops->config_size);
	default: return 0;
	}
}

static void regs_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct virtio *v = opaque;
	unsigned at = off % AREA;

	switch (off - at) {
	case AT_COMMON: write_common(v, at, (u32)val, size); break;
	case AT_DEVICE: virtio_write_config(v, at, val, size); break;
	case AT_NOTIFY: virtio_notify(v, at / NOTIFY_STEP); break;
	default: break;
	}
}

static const struct io_ops regs_io = {
	.read = regs_read,
	.write = regs_write,
	.sizes = IO_8 | IO_16 | IO_32,
};

/* --- the window in the configuration registers ------------------------------------------- */

/* Does this access concern the window, and does the window name a register? */
static bool in_window(const struct virtio *v, unsigned off, unsigned size, u32 *at, u32 *len)
{
	const u8 *cap = v->pci.config + v->pci_cap;

	*at = ld_le32(cap + CAP_OFFSET);
	*len = ld_le32(cap + CAP_LENGTH);
	return off < v->pci_cap + CAP_SIZE_EXTRA && off + size > v->pci_cap + CAP_EXTRA &&
	       cap[CAP_BAR] == BAR_REGS && (*len == 1 || *len == 2 || *len == 4) &&
	       !(*at & (*len - 1)) && range_fits(*at, *len, REGS_SIZE);
}

static void config_reads(struct pci_dev *p, unsigned off, unsigned size)
{
	struct virtio *v = (struct virtio *)p;
	u32 at, len;

	if (in_window(v, off, size, &at, &len))
		st_le32(p->config + v->pci_cap + CAP_EXTRA, (u32)regs_read(v, at, len));
}

static void config_written(struct pci_dev *p, unsigned off, unsigned size)
{
	struct virtio *v = (struct virtio *)p;
	u32 at, len;

	msix_config_written(&v->msix);
	if (msix_is_on(&v->msix))
		pci_set_intx(p, false);
	if (in_window(v, off, size, &at, &len))
		regs_write(v, at, bytes(p->config, v->pci_cap + CAP_EXTRA, len, PCI_CONFIG_SIZE),
			   len);
}

/* --- making one --------------------------------------------------------------------------- */

static u8 add_cap(struct virtio *v, u8 type, u32 at, u32 len, u8 size)
{
	u8 pos = pci_add_cap(&v->pci, CAP_ID, size), *cap = v->pci.config + pos;

	if (!pos)
		return 0;
	cap[CAP_LEN] = size;
	cap[CAP_TYPE] = type;
	cap[CAP_BAR] = BAR_REGS;
	st_le32(cap + CAP_OFFSET, at);
	st_le32(cap + CAP_LENGTH, len);
	if (type == VIRTIO_CAP_NOTIFY)
		st_le32(cap + CAP_EXTRA, NOTIFY_STEP);
	return pos;
}

static int add_caps(struct virtio *v)
{
	u8 *writable;

	if (!add_cap(v, VIRTIO_CAP_COMMON, AT_COMMON, COMMON_SIZE, CAP_SIZE) ||
	    !add_cap(v, VIRTIO_CAP_ISR, AT_ISR, 1, CAP_SIZE) ||
	    !add_cap(v, VIRTIO_CAP_NOTIFY, AT_NOTIFY, NOTIFY_STEP * v->nr_queues, CAP_SIZE_EXTRA))
		return -ENOSPC;
	if (v->ops->config_size &&
	    !add_cap(v, VIRTIO_CAP_DEVICE, AT_DEVICE, v->ops->config_size, CAP_SIZE))
		return -ENOSPC;
	v->pci_cap = add_cap(v, VIRTIO_CAP_PCI, 0, 0, CAP_SIZE_EXTRA);
	if (!v->pci_cap)
		return -ENOSPC;
	writable = v->pci.writable + v->pci_cap;
	writable[CAP_BAR] = 0xff;
	memset(writable + CAP_OFFSET, 0xff, CAP_SIZE_EXTRA - CAP_OFFSET);
	return 0;
}

int virtio_pci_init(struct virtio *v, struct err *e)
{
	const struct pci_ids ids = {
		.vendor = VENDOR,
		.device = DEVICE_BASE + v->ops->id,
		.subvendor = VENDOR,
		.subdevice = SUBDEVICE,
		.class_code = v->ops->class_code,
		.revision = 1,
		.pin = 1,
	};

	pci_init(&v->pci, &ids);
	v->pci.config_reads = config_reads;
	v->pci.config_written = config_written;
	pci_add_bar(&v->pci, BAR_MSIX, MSIX_SIZE, 0, &msix_io, &v->msix);
	pci_add_bar(&v->pci, BAR_REGS, REGS_SIZE, PCI_BAR_64 | PCI_BAR_PREFETCH, &regs_io, v);
	if (add_caps(v))
		return err_set(e, -ENOSPC, "no room for capabilities");
	if (msix_init(&v->msix, &v->pci, v->nr_queues + 1u, BAR_MSIX, 0, e))
		return e->code;
	return pci_attach(&v->pci, -1, e);
}

void virtio_pci_reset(struct virtio *v)
{
	u8 *window = v->pci.config + v->pci_cap;

	window[CAP_BAR] = BAR_REGS;
	memset(window + CAP_OFFSET, 0, CAP_SIZE_EXTRA - CAP_OFFSET);
	pci_reset(&v->pci);
	msix_reset(&v->msix);
}
