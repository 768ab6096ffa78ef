/* SPDX-License-Identifier: MIT */
/*
 * driver.h - the driver's side of virtio on a testbed machine, for unit tests and fuzzers:
 * written from the specification alone, with no line in common with the devices.
 */
#ifndef DEV_VIRTIO_DRIVER_H
#define DEV_VIRTIO_DRIVER_H

#include "dev/testbed.h"
#include "dev/virtio/virtio_ids.h"

enum { DRV_MAX = 256, DRV_NEXT = 1, DRV_WRITE = 2, DRV_INDIRECT = 4 };

struct drv_buf {
	gpa_t addr;
	u32 len;
	bool in;
};

/* A ring: the three areas one behind the other at .at, at most 16 KiB. */
struct drv_ring {
	struct machine *m;
	bool packed, event_idx;
	u16 size;
	gpa_t desc, driver, device;
	u16 next, seen; /* split: free-running; packed: slots */
	bool wrap, seen_wrap;
	u16 free[DRV_MAX], nr_free;  /* descriptors (split), ids (packed) */
	u16 chain[DRV_MAX][DRV_MAX]; /* what a chain took: its descriptors */
	u16 taken[DRV_MAX];
	unsigned slots; /* packed: in use */
};

static inline void drv_ring_init(struct drv_ring *r, struct machine *m, bool packed, bool event_idx,
				 u16 size, gpa_t at)
{
	*r = (struct drv_ring){.m = m, .packed = packed, .event_idx = event_idx, .size = size};
	r->desc = at;
	r->driver = at + 16u * size;
	r->device = (r->driver + 6 + 2u * size + 3) & ~3ull;
	r->wrap = r->seen_wrap = true;
	for (unsigned i = 0; i < 16u * size + 10u * size + 32; i++)
		as_store(m->mem, at + i, 0, 1);
	for (u16 i = 0; i < size; i++)
		r->free[r->nr_free++] = (u16)(size - 1 - i);
}

static inline void drv_put_desc(struct machine *m, gpa_t at, u64 addr, u32 len, u16 a, u16 b)
{
	as_store(m->mem, at, addr, 8);
	as_store(m->mem, at + 8, len, 4);
	as_store(m->mem, at + 12, a, 2);
	as_store(m->mem, at + 14, b, 2);
}

/* A table of these at .table, for one descriptor to point to. */
static inline void drv_put_table(struct drv_ring *r, gpa_t table, const struct drv_buf *b,
				 unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		u16 flags = b[i].in ? DRV_WRITE : 0;

		if (r->packed)
			drv_put_desc(r->m, table + 16 * i, b[i].addr, b[i].len, 0, flags);
		else
			drv_put_desc(r->m, table + 16 * i, b[i].addr, b[i].len,
				     flags | (i + 1 < n ? DRV_NEXT : 0), (u16)(i + 1));
	}
}

static inline int drv_add_split(struct drv_ring *r, const struct drv_buf *b, unsigned n, u16 extra)
{
	u16 *chain, head;

	if (r->nr_free < n)
		return -1;
	head = r->free[r->nr_free - 1];
	chain = r->chain[head];
	r->taken[head] = (u16)n;
	for (unsigned i = 0; i < n; i++)
		chain[i] = r->free[--r->nr_free];
	for (unsigned i = 0; i < n; i++)
		drv_put_desc(r->m, r->desc + 16u * chain[i], b[i].addr, b[i].len,
			     (b[i].in ? DRV_WRITE : 0) | extra | (i + 1 < n ? DRV_NEXT : 0),
			     i + 1 < n ? chain[i + 1] : 0xabcd);
	as_store(r->m->mem, r->driver + 4 + 2u * (r->next % r->size), head, 2);
	r->next++;
	as_store(r->m->mem, r->driver + 2, r->next, 2);
	return head;
}

static inline void drv_step(const struct drv_ring *r, u16 *slot, bool *wrap, unsigned n)
{
	while (n--) {
		if (++*slot == r->size) {
			*slot = 0;
			*wrap = !*wrap;
		}
	}
}

static inline int drv_add_packed(struct drv_ring *r, const struct drv_buf *b, unsigned n, u16 extra)
{
	u16 id, first = r->next, first_flags = 0;

	if (!r->nr_free || r->slots + n > r->size)
		return -1;
	id = r->free[--r->nr_free];
	r->taken[id] = (u16)n;
	r->slots += n;
	for (unsigned i = 0; i < n; i++) {
		u16 flags = (b[i].in ? DRV_WRITE : 0) | extra | (i + 1 < n ? DRV_NEXT : 0) |
			    (r->wrap ? 0x80 : 0x8000);

		/* The first one's flags last: then all of it is there. */
		drv_put_desc(r->m, r->desc + 16u * r->next, b[i].addr, b[i].len, id,
			     i ? flags : (u16)(flags ^ 0x8080));
		if (!i)
			first_flags = flags;
		drv_step(r, &r->next, &r->wrap, 1);
	}
	as_store(r->m->mem, r->desc + 16u * first + 14, first_flags, 2);
	return id;
}

/* Make a chain available; its id, or -1: no room. */
static inline int drv_add(struct drv_ring *r, const struct drv_buf *b, unsigned n)
{
	return r->packed ? drv_add_packed(r, b, n, 0) : drv_add_split(r, b, n, 0);
}

static inline int drv_add_indirect(struct drv_ring *r, gpa_t table, const struct drv_buf *b,
				   unsigned n)
{
	const struct drv_buf d = {table, 16 * n, false};

	drv_put_table(r, table, b, n);
	return r->packed ? drv_add_packed(r, &d, 1, DRV_INDIRECT)
			 : drv_add_split(r, &d, 1, DRV_INDIRECT);
}

/* The next used chain: its id and *len, or -1: none. */
static inline int drv_used(struct drv_ring *r, u32 *len)
{
	struct addrspace *mem = r->m->mem;
	u16 id;

	if (r->packed) {
		u16 flags = (u16)as_load(mem, r->desc + 16u * r->seen + 14, 2);

		if (!!(flags & 0x80) != r->seen_wrap || !!(flags & 0x8000) != r->seen_wrap)
			return -1;
		id = (u16)as_load(mem, r->desc + 16u * r->seen + 12, 2);
		*len = (u32)as_load(mem, r->desc + 16u * r->seen + 8, 4);
		CHECK(id < r->size && r->taken[id] && !!(flags & DRV_WRITE) == (*len != 0));
		drv_step(r, &r->seen, &r->seen_wrap, r->taken[id]);
		r->slots -= r->taken[id];
		r->free[r->nr_free++] = id;
	} else {
		gpa_t entry = r->device + 4 + 8u * (r->seen % r->size);

		if ((u16)as_load(mem, r->device + 2, 2) == r->seen)
			return -1;
		CHECK(as_load(mem, entry, 4) < r->size);
		id = (u16)as_load(mem, entry, 4);
		*len = (u32)as_load(mem, entry + 4, 4);
		CHECK(r->taken[id]);
		r->seen++;
		for (unsigned i = 0; i < r->taken[id]; i++)
			r->free[r->nr_free++] = r->chain[id][i];
	}
	r->taken[id] = 0;
	return id;
}

/* Ask for an interrupt at the next used chain. */
static inline void drv_want_interrupt(struct drv_ring *r)
{
	struct addrspace *mem = r->m->mem;

	if (r->packed)
		as_store(mem, r->driver,
			 r->event_idx ? r->seen | (u32)r->seen_wrap << 15 | 2u << 16 : 0, 4);
	else if (r->event_idx)
		as_store(mem, r->driver + 4 + 2u * r->size, r->seen, 2);
	else
		as_store(mem, r->driver, 0, 2);
}

/* ... or for none.  By event index alone that cannot be said. */
static inline void drv_want_none(struct drv_ring *r)
{
	if (r->packed)
		as_store(r->m->mem, r->driver, 1u << 16, 4);
	else
		as_store(r->m->mem, r->driver, 1, 2);
}

/* Does the device want to hear of chains from .from (as .next was) on? */
static inline bool drv_must_kick(struct drv_ring *r, u16 from, bool from_wrap)
{
	struct addrspace *mem = r->m->mem;
	u32 event;
	u16 slot;

	if (!r->packed && r->event_idx)
		return (u16)(r->next - (u16)as_load(mem, r->device + 4 + 8u * r->size, 2) - 1) <
		       (u16)(r->next - from);
	if (!r->packed)
		return !(as_load(mem, r->device, 2) & 1);
	event = (u32)as_load(mem, r->device, 4);
	if (event >> 16 != 2)
		return event >> 16 == 0;
	/* Walk from there to where we are: did we pass the slot? */
	slot = event & 0x7fff;
	while (from != r->next || from_wrap != r->wrap) {
		if (from == slot && from_wrap == (bool)(event & 0x8000))
			return true;
		drv_step(r, &from, &from_wrap, 1);
	}
	return false;
}

/* --- the PCI function -------------------------------------------------------------------- */

#define DRV_ECAM 0xb0000000ull
enum { DRV_BAR_MSIX = 0xc0000000, DRV_BAR = 0xc0010000, DRV_NOTIFY = 0x3000, DRV_DEVICE = 0x2000 };

struct drv {
	struct machine *m;
	unsigned slot; /* its BARs are at DRV_BAR... + slot * 1 MiB */
};

static inline u64 drv_config_addr(const struct drv *d, unsigned off)
{
	return DRV_ECAM + (d->slot << 15) + off;
}

static inline u32 drv_read(const struct drv *d, unsigned off, unsigned size)
{
	return (u32)as_load(d->m->mem, DRV_BAR + (d->slot << 20) + off, size);
}

static inline void drv_write(const struct drv *d, unsigned off, u64 val, unsigned size)
{
	as_store(d->m->mem, DRV_BAR + (d->slot << 20) + off, val, size);
}

/* Map its BARs, be a bus master; MSI-X on with all vectors unmasked, data 0x40 + the vector. */
static inline void drv_plug(struct drv *d, struct machine *m, unsigned slot, bool msix)
{
	*d = (struct drv){m, slot};
	as_store(m->mem, drv_config_addr(d, 0x14), DRV_BAR_MSIX + (slot << 20), 4);
	as_store(m->mem, drv_config_addr(d, 0x20), DRV_BAR + (slot << 20), 8);
	as_store(m->mem, drv_config_addr(d, 4), 6, 2);
	for (unsigned cap = (u8)as_load(m->mem, drv_config_addr(d, 0x34), 1); msix && cap;
	     cap = (u8)as_load(m->mem, drv_config_addr(d, cap + 1), 1)) {
		unsigned nr = (u16)as_load(m->mem, drv_config_addr(d, cap + 2), 2) & 0x7ff;

		if (as_load(m->mem, drv_config_addr(d, cap), 1) != 0x11)
			continue;
		as_store(m->mem, drv_config_addr(d, cap + 2), 0x8000, 2);
		for (unsigned v = 0; v <= nr; v++) {
			u64 entry = DRV_BAR_MSIX + (slot << 20) + 16 * v;

			as_store(m->mem, entry, 0xfee00000, 8);
			as_store(m->mem, entry + 8, 0x40 + v, 8);
		}
	}
}

static inline u64 drv_offered(const struct drv *d)
{
	u64 low;

	drv_write(d, COMMON_DEVICE_SELECT, 0, 4);
	low = drv_read(d, COMMON_DEVICE_FEATURES, 4);
	drv_write(d, COMMON_DEVICE_SELECT, 1, 4);
	return low | (u64)drv_read(d, COMMON_DEVICE_FEATURES, 4) << 32;
}

/* Reset, and up to FEATURES_OK; false: the device does not take them. */
static inline bool drv_negotiate(const struct drv *d, u64 features)
{
	drv_write(d, COMMON_STATUS, 0, 1);
	drv_write(d, COMMON_STATUS, VIRTIO_ACKNOWLEDGE, 1);
	drv_write(d, COMMON_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER, 1);
	for (unsigned i = 0; i < 2; i++) {
		drv_write(d, COMMON_DRIVER_SELECT, i, 4);
		drv_write(d, COMMON_DRIVER_FEATURES, (u32)(features >> 32 * i), 4);
	}
	drv_write(d, COMMON_STATUS, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK, 1);
	return drv_read(d, COMMON_STATUS, 1) & VIRTIO_FEATURES_OK;
}

static inline void drv_enable(const struct drv *d, unsigned n, const struct drv_ring *r)
{
	drv_write(d, COMMON_QUEUE_SELECT, n, 2);
	drv_write(d, COMMON_QUEUE_SIZE, r->size, 2);
	drv_write(d, COMMON_QUEUE_VECTOR, n + 1, 2);
	drv_write(d, COMMON_QUEUE_DESC, r->desc, 8);
	drv_write(d, COMMON_QUEUE_DRIVER, r->driver, 8);
	drv_write(d, COMMON_QUEUE_DEVICE, r->device, 8);
	drv_write(d, COMMON_QUEUE_ENABLE, 1, 2);
}

/* Vector 0 for configuration changes, and off it goes. */
static inline void drv_go(const struct drv *d)
{
	drv_write(d, COMMON_CONFIG_VECTOR, 0, 2);
	drv_write(d, COMMON_STATUS,
		  VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK, 1);
}

static inline void drv_kick(const struct drv *d, unsigned n)
{
	drv_write(d, DRV_NOTIFY + 4 * n, n, 2);
}

#endif
