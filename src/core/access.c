/* SPDX-License-Identifier: MIT */
/*
 * access.c - accesses to an address space: by CPUs, and by devices (DMA).
 *
 * One rule covers odd accesses: what lies in a device is cut into the largest pieces that
 * its .sizes has, aligned, and what no piece fits is dropped (reads as all ones), as is what
 * lies nowhere.
 */
#include <errno.h>

#include "core/addrspace.h"
#include "sundog/guestmem.h"
#include "sundog/machine.h"
#include "sundog/trace.h"

static u64 ones(unsigned size)
{
	return size >= 8 ? ~0ull : (1ull << size * 8) - 1;
}

/* The largest access the device takes at off, of at most max bytes; 0: none. */
static unsigned piece_size(const struct region *r, u64 off, unsigned max)
{
	for (unsigned n = 8; n; n /= 2) {
		if (n <= max && !(off & (n - 1)) && (r->ops->sizes & n))
			return n;
	}
	return 0;
}

static u64 io_read(const struct region *r, u64 off, unsigned size)
{
	u64 val = 0;

	if (r->owner)
		lock(&r->owner->lock);
	for (unsigned i = 0, n; i < size; i += n ? n : 1) {
		u64 v = 0xff;

		n = piece_size(r, off + i, size - i);
		if (n) {
			v = r->ops->read(r->opaque, off + i, n) & ones(n);
			trace_io_read(r->name, off + i, n, v);
		}
		val |= v << i * 8;
	}
	if (r->owner)
		unlock(&r->owner->lock);
	return val;
}

static void io_write(const struct region *r, u64 off, u64 val, unsigned size)
{
	if (r->owner)
		lock(&r->owner->lock);
	for (unsigned i = 0, n; i < size; i += n ? n : 1) {
		u64 v = val >> i * 8;

		n = piece_size(r, off + i, size - i);
		if (!n)
			continue;
		trace_io_write(r->name, off + i, n, v & ones(n));
		r->ops->write(r->opaque, off + i, v & ones(n), n);
	}
	if (r->owner)
		unlock(&r->owner->lock);
}

/* All of it in one entry; sizes other than 1, 2, 4, 8 come from accesses that were cut. */
static u64 load_one(const struct as_entry *ent, u64 addr, unsigned size)
{
	u64 off = addr - ent->r.base, val = 0;

	if (ent->r.kind == REGION_IO)
		return io_read(&ent->r, off, size);
	if (!(size & (size - 1)))
		return guestmem_load((const u8 *)ent->r.host + off, size);
	for (unsigned i = 0; i < size; i++)
		val |= guestmem_load((const u8 *)ent->r.host + off + i, 1) << i * 8;
	return val;
}

static void store_one(const struct as_entry *ent, u64 addr, u64 val, unsigned size)
{
	u64 off = addr - ent->r.base;

	switch (ent->r.kind) {
	case REGION_IO: io_write(&ent->r, off, val, size); return;
	case REGION_ROM: return;
	case REGION_RAM: break;
	}
	if (!(size & (size - 1))) {
		guestmem_store((u8 *)ent->r.host + off, val, size);
		return;
	}
	for (unsigned i = 0; i < size; i++)
		guestmem_store((u8 *)ent->r.host + off + i, val >> i * 8, 1);
}

/* How much of [addr, addr + max) is in ent; one byte if nothing is there. */
static unsigned span(const struct as_entry *ent, u64 addr, unsigned max)
{
	if (!ent)
		return 1;
	return ent->last - addr >= max - 1 ? max : (unsigned)(ent->last - addr + 1);
}

u64 as_load(struct addrspace *as, u64 addr, unsigned size)
{
	struct as_reader rd;
	const struct as_table *t = as_enter(as, &rd);
	u64 val = 0;

	for (unsigned i = 0, n; i < size; i += n) {
		const struct as_entry *ent = as_lookup(t, addr + i);

		if (addr + i < addr)
			ent = NULL; /* past the end, not at the beginning */
		n = span(ent, addr + i, size - i);
		val |= (ent ? load_one(ent, addr + i, n) : 0xff) << i * 8;
	}
	as_leave(&rd);
	return val;
}

void as_store(struct addrspace *as, u64 addr, u64 val, unsigned size)
{
	struct as_reader rd;
	const struct as_table *t = as_enter(as, &rd);

	for (unsigned i = 0, n; i < size; i += n) {
		const struct as_entry *ent = as_lookup(t, addr + i);

		if (addr + i < addr)
			ent = NULL;
		n = span(ent, addr + i, size - i);
		if (ent)
			store_one(ent, addr + i, val >> i * 8, n);
	}
	as_leave(&rd);
}

static void *table_ram(const struct as_table *t, u64 addr, size_t len, bool write)
{
	const struct as_entry *ent = as_lookup(t, addr);

	if (!ent || !(ent->r.kind == REGION_RAM || (ent->r.kind == REGION_ROM && !write)))
		return NULL;
	if (!range_fits(addr - ent->r.base, len, ent->r.size))
		return NULL;
	return (u8 *)ent->r.host + (addr - ent->r.base);
}

void *as_ram(struct addrspace *as, u64 addr, size_t len, bool write)
{
	struct as_reader rd;
	void *p = table_ram(as_enter(as, &rd), addr, len, write);

	as_leave(&rd);
	return p;
}

bool as_ram_window(struct addrspace *as, u64 addr, struct ram_window *w)
{
	struct as_reader rd;
	const struct as_entry *ent = as_lookup(as_enter(as, &rd), addr);
	bool found = ent && ent->r.kind != REGION_IO;

	if (found)
		*w = (struct ram_window){ent->r.base, ent->r.size, ent->r.host,
					 ent->r.kind == REGION_RAM};
	as_leave(&rd);
	return found;
}

/* --- DMA ------------------------------------------------------------------------------ */

/* Is all of it RAM (ROM will do to read)? It may lie in several regions that touch. */
static bool all_ram(const struct as_table *t, gpa_t addr, size_t len, bool write)
{
	while (len) {
		const struct as_entry *ent = as_lookup(t, addr);
		u64 n;

		if (!ent || !table_ram(t, addr, 1, write))
			return false;
		n = ent->last - addr;
		if (len - 1 <= n)
			return true;
		len -= n + 1;
		addr += n + 1;
		if (!addr)
			return false; /* past the end of the space */
	}
	return true;
}

static int dma_copy(struct addrspace *as, gpa_t addr, void *in, const void *out, size_t len)
{
	struct as_reader rd;
	const struct as_table *t = as_enter(as, &rd);
	bool ok = all_ram(t, addr, len, out != NULL);

	while (ok && len) {
		const struct as_entry *ent = as_lookup(t, addr);
		size_t n = ent->last - addr >= len - 1 ? len : (size_t)(ent->last - addr + 1);
		u8 *ram = (u8 *)ent->r.host + (addr - ent->r.base);

		if (out) {
			guestmem_write(ram, out, n);
			out = (const u8 *)out + n;
		} else {
			guestmem_read(in, ram, n);
			in = (u8 *)in + n;
		}
		addr += n;
		len -= n;
	}
	as_leave(&rd);
	return ok ? 0 : -EFAULT;
}

static void tell_written(struct addrspace *as, gpa_t addr, u64 len)
{
	/* Listeners come and go only while nobody runs the machine. */
	for (struct as_listener *l = atomic_load(&as->listeners); l; l = l->next) {
		if (l->written)
			l->written(l, addr, len);
	}
}

int as_peek(struct addrspace *as, gpa_t addr, void *buf, size_t len)
{
	return dma_copy(as, addr, buf, NULL, len);
}

int as_poke(struct addrspace *as, gpa_t addr, const void *buf, size_t len)
{
	int r = len ? dma_copy(as, addr, NULL, buf, len) : 0;

	if (!r && len)
		tell_written(as, addr, len);
	return r;
}

int dma_read(struct device *dev, gpa_t addr, void *buf, size_t len)
{
	int r = dma_copy(dev->machine->mem, addr, buf, NULL, len);

	trace_dma_read(dev->id, addr, len, r);
	return r;
}

int dma_write(struct device *dev, gpa_t addr, const void *buf, size_t len)
{
	int r = len ? dma_copy(dev->machine->mem, addr, NULL, buf, len) : 0;

	trace_dma_write(dev->id, addr, len, r);
	if (!r && len)
		tell_written(dev->machine->mem, addr, len);
	return r;
}

void *dma_map(struct device *dev, gpa_t addr, size_t len, enum dma_dir dir)
{
	return as_ram(dev->machine->mem, addr, len, dir == DMA_FROM_DEVICE);
}

void dma_unmap(struct device *dev, gpa_t addr, size_t len, enum dma_dir dir)
{
	if (dir != DMA_FROM_DEVICE || !len)
		return;
	trace_dma_write(dev->id, addr, len, 0);
	tell_written(dev->machine->mem, addr, len);
}
