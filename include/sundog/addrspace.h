/* SPDX-License-Identifier: MIT */
/*
 * addrspace.h - an address space: what answers at which guest address.
 *
 * A machine has two: guest-physical memory (m->mem) and the 64 KiB of I/O ports
 * (m->pio).  Each is a flat, sorted list of regions that never overlap; a board
 * that wants a hole in RAM maps the RAM in two pieces.
 *
 * Ownership: an address space borrows regions, it never frees one.
 * Locking:   changes are made between as_begin() and as_commit(), which publishes a
 *            new table at once; readers take no lock (RCU).  Commit does not wait for
 *            readers, so a handler may run once more after its region is unmapped;
 *            only device_del() waits a grace period, holding nothing.  An access to a
 *            device takes the owner's lock around the handler.
 * PCI:       mappings are computed anew from all configuration registers at each
 *            change; a BAR that overlaps is left out, counted, and tried again then.
 */
#ifndef SUNDOG_ADDRSPACE_H
#define SUNDOG_ADDRSPACE_H

#include "sundog/types.h"

enum region_kind { REGION_RAM, REGION_ROM, REGION_IO };

/*
 * Register access of a device.  The bus has checked everything before it calls:
 * size is one of those in .sizes, off is a multiple of size, and [off, off + size)
 * lies inside the region.  Values are host integers; the bus does endianness.
 * There is no error return: real registers have none.  A register that does not
 * exist reads as zero and ignores writes (and calls guest_error()).
 */
struct io_ops {
	u64 (*read)(void *dev, u64 off, unsigned size);
	void (*write)(void *dev, u64 off, u64 val, unsigned size);
	u8 sizes; /* IO_8 | IO_16 | ...: wider accesses are split, others dropped */
};

enum { IO_8 = 1, IO_16 = 2, IO_32 = 4, IO_64 = 8 };

struct device;

struct region {
	const char *name; /* for traces and the monitor: "ram-low", "uart0" */
	u64 base;
	u64 size;
	enum region_kind kind;
	void *host;		  /* RAM, ROM: the backing memory */
	const struct io_ops *ops; /* IO: the handlers ... */
	void *opaque;		  /* ... what they are called with ... */
	struct device *owner;	  /* ... and whose lock is taken; NULL: it locks itself */
};

struct addrspace;
struct device;

struct addrspace *as_new(const char *name, u64 size);
void as_free(struct addrspace *as);

/*
 * Changes come in batches; guest accesses see all of a batch or nothing.  Batches nest in
 * one thread; a change outside a batch is one by itself.
 */
void as_begin(struct addrspace *as);
void as_commit(struct addrspace *as);

/* -EEXIST: overlaps a mapped region.  -EINVAL: empty, or outside the space. */
int as_map(struct addrspace *as, const struct region *r) must_check;
void as_unmap(struct addrspace *as, const struct region *r);

/*
 * Wait until nobody uses what was unmapped before.  Holding nothing, and not from inside an
 * access (a register handler).
 */
void as_synchronize(struct addrspace *as);

/* The region at addr, or NULL.  For engines filling a TLB or a memory slot. */
const struct region *as_find(struct addrspace *as, u64 addr);

/*
 * One access of 1, 2, 4 or 8 bytes, as a CPU makes it; RAM or device.  Nothing
 * mapped: reads give all ones, writes are dropped.  Writes to ROM are dropped.
 * Aligned accesses to RAM are single-copy atomic, as on the hardware.
 * vCPUs come here through vcpu_load()/vcpu_store() only.
 */
u64 as_load(struct addrspace *as, u64 addr, unsigned size);
void as_store(struct addrspace *as, u64 addr, u64 val, unsigned size);

/*
 * For engines: the host address of [addr, addr + len) if it is all in one RAM region (or
 * ROM, unless write), else NULL.  Valid until the region is unmapped.
 */
void *as_ram(struct addrspace *as, u64 addr, size_t len, bool write);

/*
 * The same for who looks up many addresses: all of the RAM (or ROM) around addr.  A board
 * does not unmap RAM while it has devices, so they may keep it.
 */
struct ram_window {
	gpa_t base;
	u64 size;
	u8 *host;
	bool writable;
};

bool as_ram_window(struct addrspace *as, u64 addr, struct ram_window *w);

/*
 * What devices use.  RAM only (a device cannot DMA into a device): all of
 * [addr, addr + len) or -EFAULT and nothing at all.  Guest memory changes under
 * you: read a descriptor once into a local, then check and use the local.  The device
 * is the handle: bus-master enable, an IOMMU and the dirty log have one place.
 */
int dma_read(struct device *dev, gpa_t addr, void *buf, size_t len) must_check;
int dma_write(struct device *dev, gpa_t addr, const void *buf, size_t len) must_check;

/*
 * The same for who is no device: a debugger.  ROM can be read; what is written is told to the
 * listeners, as DMA is.
 */
int as_peek(struct addrspace *as, gpa_t addr, void *buf, size_t len) must_check;
int as_poke(struct addrspace *as, gpa_t addr, const void *buf, size_t len) must_check;

/*
 * Zero copy: a host pointer good for len bytes, or NULL if they are not all in one
 * RAM region.  No accessor here lacks a length.  dma_unmap() with DMA_FROM_DEVICE
 * marks the bytes dirty and makes engines drop code translated from them.
 */
enum dma_dir { DMA_TO_DEVICE, DMA_FROM_DEVICE };

void *dma_map(struct device *dev, gpa_t addr, size_t len, enum dma_dir dir) must_check;
void dma_unmap(struct device *dev, gpa_t addr, size_t len, enum dma_dir dir);

/* Told of every change: KVM memory slots, a JIT's caches, vhost, the dirty log. */
struct as_listener {
	void (*mapped)(struct as_listener *l, const struct region *r);
	void (*unmapped)(struct as_listener *l, const struct region *r);
	void (*written)(struct as_listener *l, gpa_t addr, u64 len); /* by a device */
	struct as_listener *next;
};

/*
 * Replays mapped() for what is already there.  mapped() and unmapped() come with the update
 * lock held, after the new table is in force, all unmapped() first; written() comes after
 * the bytes are there, on the writer's thread.  While nobody runs the machine.
 */
void as_listen(struct addrspace *as, struct as_listener *l);
void as_unlisten(struct addrspace *as, struct as_listener *l);

#endif
