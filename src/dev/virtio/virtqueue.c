/* SPDX-License-Identifier: MIT */
/*
 * virtqueue.c - split and packed rings, from the device's side.
 *
 * Problem: both sides change the rings while the other one looks.  The driver may be wrong or
 * malicious, and nothing that it can write may make us loop, read or write outside guest
 * memory, or decide by one value and act on another.
 *
 * 1. A word of guest memory is read once, by guestmem_load(), and only the copy is used.
 * 2. An index is checked against the ring's or table's size before it is used.
 * 3. Each descriptor adds at least one entry to a chain, which has room for a fixed number; a
 *    table is walked at most as often as it has entries.  So every walk ends.
 * 4. Loads acquire and stores release: what the driver wrote before it moved an index (or set
 *    a descriptor's flags) is seen after we read that, and the other way round.  Where we store
 *    and then load (an index, then whether an interrupt is wanted; where we want to be notified,
 *    then whether there is more) a full fence stands between, as one does in the driver: one
 *    of the two sees what the other did.
 * 5. A ring's memory was all checked to be RAM when the queue was started.
 * 6. What we write is told to those who keep translated code, rings once for a batch.
 */
#include "dev/virtio/virtqueue.h"

#include <errno.h>
#include <stdatomic.h>

#include "dev/virtio/virtio_ids.h"
#include "sundog/guestmem.h"
#include "sundog/machine.h"

enum { DESC_SIZE = 16 };
enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_AVAIL = 0x80, DESC_USED = 0x8000 };
enum { /* split: the driver's area and the device's */
       RING_FLAGS = 0,
       RING_IDX = 2,
       RING_ENTRIES = 4,
       AVAIL_ENTRY = 2,
       USED_ENTRY = 8,
       RING_EVENT = 2, /* bytes, behind the entries */
};
enum { RING_NO_INTERRUPT = 1, RING_NO_NOTIFY = 1 };
enum { EVENT_SIZE = 4, EVENT_ON = 0, EVENT_OFF = 1, EVENT_DESC = 2 }; /* packed: both areas */

/* A descriptor in a local; split has no id and packed no next. */
struct desc {
	u64 addr;
	u32 len;
	u16 flags, next, id;
};

static int fail(struct virtqueue *q, const char *why)
{
	q->error = why;
	return -EINVAL;
}

void vq_init(struct virtqueue *q, struct device *dev, u16 index, u16 max_size)
{
	*q = (struct virtqueue){.dev = dev, .index = index, .max_size = max_size};
	vq_reset(q);
}

void vq_reset(struct virtqueue *q)
{
	*q = (struct virtqueue){
		.dev = q->dev,
		.index = q->index,
		.max_size = q->max_size,
		.size = q->max_size,
		.vector = VQ_NO_VECTOR,
		.avail_wrap = true,
		.used_wrap = true,
		.life = q->life + 1,
		.busy = q->busy,
	};
}

static size_t driver_size(const struct virtqueue *q)
{
	return q->packed ? EVENT_SIZE : RING_ENTRIES + AVAIL_ENTRY * q->size + RING_EVENT;
}

static size_t device_size(const struct virtqueue *q)
{
	return q->packed ? EVENT_SIZE : RING_ENTRIES + USED_ENTRY * q->size + RING_EVENT;
}

static bool is_sane(const struct virtqueue *q)
{
	if (!q->size || q->size > q->max_size)
		return false;
	if (q->packed)
		return q->avail < q->size && q->used < q->size && q->avail_wrap <= 1 &&
		       q->used_wrap <= 1;
	return !(q->size & (q->size - 1));
}

int vq_start(struct virtqueue *q, u64 features)
{
	struct device *dev = q->dev;

	q->packed = features & VIRTIO_F(RING_PACKED);
	q->indirect = features & VIRTIO_F(INDIRECT_DESC);
	q->event_idx = features & VIRTIO_F(EVENT_IDX);
	q->enabled = 0;
	if (!is_sane(q))
		return fail(q, "a virtqueue of no possible size");
	q->desc_ram = dma_map(dev, q->desc, DESC_SIZE * (size_t)q->size,
			      q->packed ? DMA_FROM_DEVICE : DMA_TO_DEVICE);
	q->driver_ram = dma_map(dev, q->driver, driver_size(q), DMA_TO_DEVICE);
	q->device_ram = dma_map(dev, q->device, device_size(q), DMA_FROM_DEVICE);
	if (!q->desc_ram || !q->driver_ram || !q->device_ram)
		return fail(q, "a virtqueue outside RAM");
	q->enabled = 1;
	return 0;
}

/* --- buffers -------------------------------------------------------------------------- */

/* The host's address of a buffer's beginning; *len is cut to what lies in one piece. */
static u8 *map_some(struct virtqueue *q, gpa_t addr, u64 *len, bool write)
{
	struct ram_window *w = &q->window;
	u64 left;

	if (!range_fits(addr - w->base, 1, w->size) &&
	    !as_ram_window(q->dev->machine->mem, addr, w))
		return NULL;
	if (write && !w->writable)
		return NULL;
	left = w->size - (addr - w->base);
	if (*len > left)
		*len = left;
	return w->host + (addr - w->base);
}

static int add_buffer(struct virtqueue *q, struct vq_chain *c, const struct desc *d)
{
	bool in = d->flags & DESC_WRITE;
	gpa_t at = d->addr;
	u64 left = d->len, n;

	if (!left || !range_fits(at, left, UINT64_MAX))
		return fail(q, "a descriptor of no possible length");
	if (!in && c->nr_in)
		return fail(q, "a descriptor to read behind one to write");
	for (; left; at += n, left -= n) {
		unsigned i = c->nr_out + c->nr_in;
		u8 *p;

		n = left;
		p = map_some(q, at, &n, in);
		if (!p)
			return fail(q, "a descriptor of what is not RAM");
		if (i == c->max)
			return fail(q, "a chain of too many descriptors");
		c->iov[i] = (struct iovec){p, n};
		if (in)
			c->seg[c->nr_in++] = (struct vq_seg){at, n};
		else
			c->nr_out++;
	}
	*(in ? &c->in_len : &c->out_len) += d->len;
	return 0;
}

static void begin(const struct virtqueue *q, struct vq_chain *c)
{
	c->nr_out = c->nr_in = 0;
	c->out_len = c->in_len = 0;
	c->life = q->life;
}

static int finish(struct virtqueue *q, struct vq_chain *c)
{
	c->out = c->iov;
	c->in = c->iov + c->nr_out;
	c->nr_seg = c->nr_in;
	q->busy++;
	return 1;
}

/* An indirect table; *nr: its entries. */
static const u8 *map_table(struct virtqueue *q, const struct desc *d, unsigned *nr)
{
	u64 len = d->len;
	const u8 *table = NULL;

	*nr = d->len / DESC_SIZE;
	if (q->indirect && !(d->flags & DESC_NEXT) && len && len % DESC_SIZE == 0)
		table = map_some(q, d->addr, &len, false);
	if (table && len == d->len)
		return table;
	fail(q, "an indirect descriptor that is not allowed, or of what is no table");
	return NULL;
}

/* --- split ---------------------------------------------------------------------------- */

static struct desc load_split(const u8 *p)
{
	u64 addr = guestmem_load(p, 8), rest = guestmem_load(p + 8, 8);

	return (struct desc){
		.addr = addr,
		.len = (u32)rest,
		.flags = (u16)(rest >> 32),
		.next = (u16)(rest >> 48),
	};
}

/* Follow .next through a table from entry i.  An indirect descriptor is left in *last. */
static int walk(struct virtqueue *q, struct vq_chain *c, const u8 *table, unsigned nr, unsigned i,
		struct desc *last)
{
	for (unsigned n = 0; n < nr; n++) {
		struct desc d;
		int rc;

		if (i >= nr)
			return fail(q, "a descriptor outside its table");
		d = load_split(table + DESC_SIZE * (size_t)i);
		*last = d;
		if (d.flags & DESC_INDIRECT)
			return 0;
		rc = add_buffer(q, c, &d);
		if (rc || !(d.flags & DESC_NEXT))
			return rc;
		i = d.next;
	}
	return fail(q, "a loop of descriptors");
}

static int pop_split(struct virtqueue *q, struct vq_chain *c)
{
	u16 ready = (u16)(guestmem_load(q->driver_ram + RING_IDX, 2) - q->avail), head;
	const u8 *slot = q->driver_ram + RING_ENTRIES + AVAIL_ENTRY * (q->avail & (q->size - 1));
	struct desc d;
	unsigned nr;
	int rc;

	if (!ready)
		return 0;
	if (ready > q->size)
		return fail(q, "more chains than a virtqueue holds");
	begin(q, c);
	head = (u16)guestmem_load(slot, 2);
	rc = walk(q, c, q->desc_ram, q->size, head, &d);
	if (rc == 0 && d.flags & DESC_INDIRECT) {
		const u8 *table = map_table(q, &d, &nr);

		if (!table)
			return -EINVAL;
		rc = walk(q, c, table, nr, 0, &d);
		if (rc == 0 && d.flags & DESC_INDIRECT)
			rc = fail(q, "an indirect table in an indirect table");
	}
	if (rc)
		return rc;
	c->id = head;
	c->slots = 1;
	q->avail++;
	return finish(q, c);
}

static void push_split(struct virtqueue *q, const struct vq_chain *c, u32 written)
{
	u8 *entry = q->device_ram + RING_ENTRIES + USED_ENTRY * (q->used & (q->size - 1));

	guestmem_store(entry, c->id, 4);
	guestmem_store(entry + 4, written, 4);
	q->used++;
	guestmem_store(q->device_ram + RING_IDX, q->used, 2);
}

/* --- packed --------------------------------------------------------------------------- */

static u64 load_packed_flags(const struct virtqueue *q, u16 slot)
{
	return guestmem_load(q->desc_ram + DESC_SIZE * (size_t)slot + 8, 8);
}

static bool is_avail(u64 rest, bool wrap)
{
	u16 flags = (u16)(rest >> 48);

	return !!(flags & DESC_AVAIL) == wrap && !!(flags & DESC_USED) != wrap;
}

static struct desc load_packed(const u8 *p, u64 rest)
{
	return (struct desc){
		.addr = guestmem_load(p, 8),
		.len = (u32)rest,
		.id = (u16)(rest >> 32),
		.flags = (u16)(rest >> 48),
	};
}

/* All of a packed ring's indirect table is the chain; its flags but WRITE mean nothing. */
static int add_table(struct virtqueue *q, struct vq_chain *c, const struct desc *d)
{
	unsigned nr;
	const u8 *p = map_table(q, d, &nr);
	int rc = p ? 0 : -EINVAL;

	for (; rc == 0 && nr; nr--, p += DESC_SIZE) {
		struct desc entry = load_packed(p, guestmem_load(p + 8, 8));

		rc = entry.flags & DESC_INDIRECT ? fail(q, "an indirect table in an indirect table")
						 : add_buffer(q, c, &entry);
	}
	return rc;
}

static void advance(const struct virtqueue *q, u16 *slot, u8 *wrap, u16 n)
{
	unsigned next = *slot + n;

	if (next >= q->size) {
		next -= q->size;
		*wrap = !*wrap;
	}
	*slot = (u16)next;
}

static int pop_packed(struct virtqueue *q, struct vq_chain *c)
{
	u64 rest = load_packed_flags(q, q->avail);
	u16 slot = q->avail, n;
	u8 wrap = q->avail_wrap;
	struct desc d;

	if (!is_avail(rest, wrap))
		return 0;
	begin(q, c);
	for (n = 1;; n++) {
		int rc;

		d = load_packed(q->desc_ram + DESC_SIZE * (size_t)slot, rest);
		rc = d.flags & DESC_INDIRECT ? add_table(q, c, &d) : add_buffer(q, c, &d);
		if (rc)
			return rc;
		advance(q, &slot, &wrap, 1);
		if (!(d.flags & DESC_NEXT))
			break;
		if (n == q->size)
			return fail(q, "a loop of descriptors");
		rest = load_packed_flags(q, slot);
	}
	c->id = d.id;
	c->slots = n;
	q->avail = slot;
	q->avail_wrap = wrap;
	return finish(q, c);
}

static void push_packed(struct virtqueue *q, const struct vq_chain *c, u32 written)
{
	u8 *p = q->desc_ram + DESC_SIZE * (size_t)q->used;
	u16 flags = written ? DESC_WRITE : 0;

	if (q->used_wrap)
		flags |= DESC_AVAIL | DESC_USED;
	guestmem_store(p + 8, written, 4);
	guestmem_store(p + 12, c->id, 2);
	guestmem_store(p + 14, flags, 2);
	advance(q, &q->used, &q->used_wrap, c->slots);
}

/* --- both ----------------------------------------------------------------------------- */

int vq_pop(struct virtqueue *q, struct vq_chain *c)
{
	if (q->error)
		return -EINVAL;
	if (!q->enabled)
		return 0;
	return q->packed ? pop_packed(q, c) : pop_split(q, c);
}

bool vq_is_current(const struct virtqueue *q, const struct vq_chain *c)
{
	return q->enabled && c->life == q->life;
}

void vq_push(struct virtqueue *q, const struct vq_chain *c, u32 written)
{
	/* Late or not, it was written to. */
	for (unsigned i = 0; i < c->nr_seg; i++)
		dma_unmap(q->dev, c->seg[i].addr, c->seg[i].len, DMA_FROM_DEVICE);
	q->busy--;
	if (!vq_is_current(q, c))
		return;
	if (q->packed)
		push_packed(q, c, written);
	else
		push_split(q, c, written);
	q->since += c->slots;
	q->touched = true;
}

/* Was event among the last n that ended with now - 1? */
static bool passed(u16 event, u16 now, u32 n)
{
	return (u16)(now - event - 1) < n;
}

static bool wants_interrupt(const struct virtqueue *q, u32 since)
{
	const u8 *area = q->driver_ram;
	u32 event;
	u16 slot;

	if (!q->packed && q->event_idx)
		return passed((u16)guestmem_load(area + RING_ENTRIES + AVAIL_ENTRY * q->size, 2),
			      q->used, since);
	if (!q->packed)
		return !(guestmem_load(area + RING_FLAGS, 2) & RING_NO_INTERRUPT);
	event = (u32)guestmem_load(area, EVENT_SIZE);
	if (event >> 16 != EVENT_DESC || !q->event_idx)
		return event >> 16 != EVENT_OFF;
	slot = event & 0x7fff;
	if (!!(event & 0x8000) != q->used_wrap)
		slot -= q->size; /* of the round before */
	return passed(slot, q->used, since);
}

bool vq_flush(struct virtqueue *q)
{
	u32 since = q->since;

	if (q->touched) {
		dma_unmap(q->dev, q->device, device_size(q), DMA_FROM_DEVICE);
		if (q->packed)
			dma_unmap(q->dev, q->desc, DESC_SIZE * (size_t)q->size, DMA_FROM_DEVICE);
	}
	q->touched = false;
	q->since = 0;
	if (!since)
		return false;
	/* Pairs with the driver's between its event and its look at what is used. */
	atomic_thread_fence(memory_order_seq_cst);
	return wants_interrupt(q, since);
}

void vq_hush(struct virtqueue *q)
{
	if (!q->enabled || (!q->packed && q->event_idx))
		return;
	if (q->packed)
		guestmem_store(q->device_ram + 2, EVENT_OFF, 2);
	else
		guestmem_store(q->device_ram + RING_FLAGS, RING_NO_NOTIFY, 2);
	q->touched = true;
}

static void store_event(struct virtqueue *q)
{
	u8 *area = q->device_ram;

	if (!q->packed && q->event_idx)
		guestmem_store(area + RING_ENTRIES + USED_ENTRY * q->size, q->avail, 2);
	else if (!q->packed)
		guestmem_store(area + RING_FLAGS, 0, 2);
	else if (q->event_idx)
		guestmem_store(area, q->avail | (u32)q->avail_wrap << 15 | (u32)EVENT_DESC << 16,
			       EVENT_SIZE);
	else
		guestmem_store(area + 2, EVENT_ON, 2);
	q->touched = true;
}

bool vq_rearm(struct virtqueue *q)
{
	if (!q->enabled || q->error)
		return false;
	store_event(q);
	/* Pairs with the driver's between what it makes available and its look at our event. */
	atomic_thread_fence(memory_order_seq_cst);
	if (q->packed)
		return is_avail(load_packed_flags(q, q->avail), q->avail_wrap);
	return (u16)guestmem_load(q->driver_ram + RING_IDX, 2) != q->avail;
}

/* --- what is in a chain ---------------------------------------------------------------- */

/* Take len bytes off the beginning, copying them if buf is not NULL; there are as many. */
static void copy(struct iovec **iov, unsigned *nr, void *out, const void *in, size_t len)
{
	while (len) {
		size_t n = (*iov)->iov_len < len ? (*iov)->iov_len : len;

		if (out) {
			guestmem_read(out, (*iov)->iov_base, n);
			out = (u8 *)out + n;
		} else {
			guestmem_write((*iov)->iov_base, in, n);
			in = (const u8 *)in + n;
		}
		(*iov)->iov_base = (u8 *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
		len -= n;
		if (!(*iov)->iov_len) {
			(*iov)++;
			(*nr)--;
		}
	}
}

bool vq_take(struct vq_chain *c, void *buf, size_t len)
{
	if (len > c->out_len)
		return false;
	copy(&c->out, &c->nr_out, buf, NULL, len);
	c->out_len -= len;
	return true;
}

bool vq_give(struct vq_chain *c, const void *buf, size_t len)
{
	if (len > c->in_len)
		return false;
	copy(&c->in, &c->nr_in, NULL, buf, len);
	c->in_len -= len;
	return true;
}

void *vq_last(struct vq_chain *c)
{
	struct iovec *last;

	if (!c->nr_in)
		return NULL;
	last = &c->in[c->nr_in - 1];
	last->iov_len--;
	c->in_len--;
	if (!last->iov_len)
		c->nr_in--;
	return (u8 *)last->iov_base + last->iov_len;
}

const struct state_field virtqueue_state[] = {
	STATE_FIELD(struct virtqueue, size, STATE_INT),
	STATE_FIELD(struct virtqueue, vector, STATE_INT),
	STATE_FIELD(struct virtqueue, enabled, STATE_INT),
	STATE_FIELD(struct virtqueue, desc, STATE_INT),
	STATE_FIELD(struct virtqueue, driver, STATE_INT),
	STATE_FIELD(struct virtqueue, device, STATE_INT),
	STATE_FIELD(struct virtqueue, avail, STATE_INT),
	STATE_FIELD(struct virtqueue, used, STATE_INT),
	STATE_FIELD(struct virtqueue, avail_wrap, STATE_INT),
	STATE_FIELD(struct virtqueue, used_wrap, STATE_INT),
	STATE_FIELD(struct virtqueue, since, STATE_INT),
	{0},
};
