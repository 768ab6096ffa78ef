/* SPDX-License-Identifier: MIT */
/*
 * rings.c - a driver gone mad: random rings, requests and registers for every virtio device and
 * NVMe controller on PCI bus 0.
 *
 * It lays hands on no memory but an arena of its own, so that what devices write harms nobody;
 * what it names besides is not RAM.  The machine has to survive it, and the devices have to
 * work afterwards: that, and that they were there, is all there is to check.
 *
 * Two CPUs do it at the same time, to the same devices and rings.
 *
 * cpus: 2
 * memory: 64M
 * disk: 8M,device=virtio
 * disk: 8M,device=nvme
 * device: virtio-rng-pci,packed=on
 * device: virtio-rng-pci,max-bytes=65536,period=50
 * qemu: no its virtio devices rightly end in a broken state that only a reset ends
 */
#include "apic.h"

enum { ECAM = 0xb0000000, BARS = 0xc0000000, SLOTS = 8, BAR_SIZE = 0x10000 };
enum { ARENA = 0x2000000, ARENA_SIZE = 0x100000, RINGS = ARENA, RING_SIZE = 0x4000 };
enum { ROUNDS = 40000 };
enum { KIND_NONE, KIND_VIRTIO, KIND_NVME };

/* The common configuration of a virtio device, at the beginning of BAR 4. */
enum {
	DRIVER_SELECT = 0x08,
	DRIVER_FEATURES = 0x0c,
	STATUS = 0x14,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE = 0x18,
	QUEUE_ENABLE = 0x1c,
	QUEUE_DESC = 0x20,
	QUEUE_DRIVER = 0x28,
	QUEUE_DEVICE = 0x30,
	DEVICE_SELECT = 0x00,
	DEVICE_FEATURES = 0x04,
	NOTIFY = 0x3000,
};

struct queue {
	u64 ring; /* descriptors, the driver's area 4 KiB behind, the device's another 4 KiB */
	bool packed, wrap;
	u16 size, next, idx;
};

static struct {
	u8 kind;
	u16 device;
	volatile u8 *regs;
	struct queue queue[2];
} slots[SLOTS];

static u64 seeds[MAX_CPUS];

static u32 rnd(u32 below)
{
	u64 *seed = &seeds[this_cpu()];

	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (u32)(*seed >> 16) % below;
}

static volatile u8 *config(unsigned slot, unsigned off)
{
	return (volatile u8 *)(u64)(ECAM + (slot << 15) + off);
}

static void put(volatile u8 *at, u64 val, unsigned size)
{
	switch (size) {
	case 1: *at = (u8)val; break;
	case 2: *(volatile u16 *)at = (u16)val; break;
	case 4: *(volatile u32 *)at = (u32)val; break;
	default: *(volatile u64 *)at = val; break;
	}
}

static u32 get(volatile u8 *at, unsigned size)
{
	return size == 1 ? *at : size == 2 ? *(volatile u16 *)at : *(volatile u32 *)at;
}

/* An address: mostly in the arena; else where there is no RAM of ours. */
static u64 some_address(void)
{
	static const u64 odd[] = {0x4000000,  0xfffffffffffffff0, 0xb0008000, 0x8000000000000000,
				  0xfee00000, 0x3fffff8,	  0xa0000,    0xffffffffff,
				  0xc0000000};

	if (rnd(12) == 0)
		return odd[rnd(ARRAY_SIZE(odd))] + rnd(16);
	return ARENA + rnd(ARENA_SIZE - 0x20000);
}

static u32 some_length(void)
{
	static const u32 lens[] = {0, 1, 16, 16, 16, 20, 512, 512, 4096, 4096, 8192, 65536};

	return rnd(40) ? lens[rnd(ARRAY_SIZE(lens))] : 1u << rnd(17);
}

/* --- virtio -------------------------------------------------------------------------------- */

static u64 ring_of(unsigned slot, unsigned queue)
{
	return RINGS + slot * 2 * RING_SIZE + (queue & 1) * RING_SIZE;
}

static void put_desc(const struct queue *q, u64 at, u64 addr, u32 len, u16 flags, u16 next)
{
	put((u8 *)at, addr, 8);
	put((u8 *)at + 8, len, 4);
	put((u8 *)at + 12, q->packed ? next : flags, 2);
	put((u8 *)at + 14, q->packed ? flags : next, 2);
}

/* A request as a disk expects it, in buffers as they should be. */
static void put_request(struct queue *q)
{
	static const u8 types[] = {0, 0, 1, 1, 4, 8, 11, 13, 2, 99};
	u64 head = ARENA + 0x80000 + 64 * rnd(64);
	u8 type = types[rnd(ARRAY_SIZE(types))];
	u16 first = q->next;

	put((u8 *)head, type, 8);
	put((u8 *)head + 8, rnd(8) ? rnd(4096) : (u64)rnd(65536) << rnd(48), 8);
	for (unsigned i = 0; i < 3; i++) {
		u16 flags = (i < 2 ? 1 : 0) | (i == 2 || (i == 1 && type != 1) ? 2 : 0);
		u16 next = (first + i + 1) % q->size;

		if (q->packed)
			flags |= q->wrap ? 0x80 : 0x8000;
		put_desc(q, q->ring + 16 * q->next, i == 1 ? some_address() : head + 32 * i,
			 i == 0	  ? 16
			 : i == 1 ? some_length()
				  : 1,
			 flags, q->packed ? 0 : next);
		q->wrap ^= next == 0;
		q->next = next;
	}
	if (q->packed)
		return;
	put((u8 *)q->ring + 0x1004 + 2 * (q->idx % q->size), first, 2);
	put((u8 *)q->ring + 0x1002, ++q->idx, 2);
}

static void spoil(struct queue *q)
{
	u64 ring = q->ring;

	switch (rnd(6)) {
	case 0:
		put_desc(q, ring + 16 * rnd(16), some_address(), some_length(), rnd(8), rnd(20));
		break;
	case 1: put_desc(q, ring + 16 * rnd(16), some_address(), 16 * rnd(40), 4, 0); break;
	case 2:
		put_desc(q, ARENA + 16 * rnd(ARENA_SIZE / 32), some_address(), some_length(),
			 rnd(8), rnd(20));
		break;
	case 3: put((u8 *)ring + rnd(RING_SIZE), rnd(65536), 1); break;
	case 4: put((u8 *)ring + 0x1004 + 2 * rnd(16), rnd(20), 2); break;
	default: put((u8 *)ring + 0x1000, rnd(8), rnd(8) ? 2 : 4); break;
	}
}

static void virtio_bring_up(unsigned slot)
{
	volatile u8 *r = slots[slot].regs;
	u32 low, high;

	put(r + STATUS, 0, 1);
	put(r + STATUS, 3, 1);
	put(r + DEVICE_SELECT, 0, 4);
	low = get(r + DEVICE_FEATURES, 4);
	put(r + DEVICE_SELECT, 1, 4);
	high = get(r + DEVICE_FEATURES, 4);
	if (rnd(2))
		high &= ~4u; /* split */
	if (rnd(4) == 0)
		low &= ~(1u << rnd(32));
	put(r + DRIVER_SELECT, 0, 4);
	put(r + DRIVER_FEATURES, low, 4);
	put(r + DRIVER_SELECT, 1, 4);
	put(r + DRIVER_FEATURES, high, 4);
	put(r + STATUS, 11, 1);
	for (unsigned n = 0; n < 2; n++) {
		struct queue *q = &slots[slot].queue[n];
		u64 ring = ring_of(slot, n);
		u16 size;

		memset((void *)ring, 0, 0x3000);
		put(r + QUEUE_SELECT, n, 2);
		size = (u16)get(r + QUEUE_SIZE, 2);
		/* One by one: the other CPU may be dividing by the size. */
		q->ring = ring;
		q->packed = high & 4;
		q->wrap = true;
		q->size = size && size <= 16 ? size : 16;
		q->next = q->idx = 0;
		put(r + QUEUE_SIZE, rnd(32) ? q->size : rnd(300), 2);
		put(r + QUEUE_DESC, rnd(64) ? ring : some_address(), 8);
		put(r + QUEUE_DRIVER, rnd(64) ? ring + 0x1000 : some_address(), 8);
		put(r + QUEUE_DEVICE, rnd(64) ? ring + 0x2000 : some_address(), 8);
		put(r + QUEUE_ENABLE, 1, 2);
	}
	put(r + STATUS, 15, 1);
}

/* --- NVMe ---------------------------------------------------------------------------------- */

static void nvme_bring_up(unsigned slot)
{
	volatile u8 *r = slots[slot].regs;

	put(r + 0x14, 0, 4);
	memset((void *)ring_of(slot, 0), 0, 2 * RING_SIZE);
	put(r + 0x24, 15u << 16 | 15, 4);
	put(r + 0x28, rnd(16) ? ring_of(slot, 0) : some_address(), 8);
	put(r + 0x30, rnd(16) ? ring_of(slot, 0) + 0x1000 : some_address(), 8);
	put(r + 0x14, 0x460001, 4);
}

static void nvme_command(unsigned slot)
{
	static const u8 ops[] = {0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 16, 17, 0x80};
	u64 at = ring_of(slot, rnd(2)) + 64 * rnd(16);

	put((u8 *)at, ops[rnd(ARRAY_SIZE(ops))] | rnd(4) << 8 * rnd(2) | rnd(65536) << 16, 4);
	put((u8 *)at + 4, rnd(3), 4);
	put((u8 *)at + 24, rnd(4) ? ring_of(slot, 1) : some_address(), 8);
	put((u8 *)at + 32, some_address(), 8);
	for (unsigned i = 40; i < 64; i += 4)
		put((u8 *)at + i, rnd(4) ? rnd(20) : rnd(65536) << rnd(16), 4);
	put(slots[slot].regs + 0x1000 + 8 * rnd(3) + 4 * rnd(2), rnd(18), 4);
}

/* --- both ---------------------------------------------------------------------------------- */

static void touch_register(unsigned slot)
{
	static const u8 sizes[] = {1, 2, 4, 8};
	unsigned size = sizes[rnd(4)];
	u32 off = rnd(3) ? rnd(0x40) : rnd(0x4000);

	off &= ~(size - 1);
	/* Where registers hold addresses, none of ours but the arena's. */
	if (rnd(3) == 0)
		get(slots[slot].regs + off, size == 8 ? 4 : size);
	else if (off >= 0x20 && off < 0x38)
		put(slots[slot].regs + (off & ~7u), some_address(), 8);
	else
		put(slots[slot].regs + off, rnd(4) ? rnd(32) : rnd(65536) * 0x10001ull, size);
}

/* Masks, the window of virtio, vectors; BARs and command come back at the end of it. */
static void touch_config(unsigned slot)
{
	put(config(slot, 0x40 + 4 * rnd(48)), rnd(2) ? rnd(16) : rnd(65536) * 0x10001ull, 4);
	if (rnd(8) == 0) {
		put(config(slot, 4), rnd(8), 2);
		put(config(slot, 0x10 + 4 * rnd(6)), some_address(), 4);
	}
}

static void place(unsigned slot)
{
	unsigned bar = slots[slot].kind == KIND_VIRTIO ? 4 : 0;

	put(config(slot, 4), 0, 2);
	put(config(slot, 0x10), 0, 4);
	put(config(slot, 0x14), BARS + 0x800000 + (bar ? slot * BAR_SIZE : 0), 4);
	put(config(slot, 0x10 + 4 * bar), BARS + slot * BAR_SIZE, 4);
	put(config(slot, 0x14 + 4 * bar), 0, 4);
	put(config(slot, 4), 6, 2);
	slots[slot].regs = (volatile u8 *)(u64)(BARS + slot * BAR_SIZE);
}

static unsigned find_devices(void)
{
	unsigned n = 0;

	for (unsigned slot = 1; slot < SLOTS; slot++) {
		u32 id = get(config(slot, 0), 4), class = get(config(slot, 8), 4) >> 8;

		slots[slot].device = (u16)(id >> 16);
		if ((id & 0xffff) == 0x1af4)
			slots[slot].kind = KIND_VIRTIO;
		else if (id != 0xffffffff && class == 0x010802)
			slots[slot].kind = KIND_NVME;
		if (!slots[slot].kind)
			continue;
		place(slot);
		n++;
	}
	return n;
}

static void bring_up(unsigned slot)
{
	place(slot);
	if (slots[slot].kind == KIND_VIRTIO)
		virtio_bring_up(slot);
	else
		nvme_bring_up(slot);
}

static void one_round(unsigned slot)
{
	unsigned queue = rnd(2);

	switch (rnd(16)) {
	case 0: bring_up(slot); break;
	case 1: touch_register(slot); break;
	case 2:
		touch_config(slot);
		place(slot);
		break;
	case 3: put(slots[slot].regs + 0x1000, 0, 1); break;
	default:
		if (slots[slot].kind == KIND_NVME) {
			nvme_command(slot);
			break;
		}
		if (get(slots[slot].regs + STATUS, 1) != 15)
			bring_up(slot);
		put_request(&slots[slot].queue[queue]);
		if (rnd(6) == 0)
			spoil(&slots[slot].queue[queue]);
		put(slots[slot].regs + NOTIFY + 4 * queue, 0, 2);
		break;
	}
}

/* After all that, a good driver gets its random bytes. */
static bool rng_works(unsigned slot)
{
	volatile u8 *r = slots[slot].regs;
	u64 ring = ring_of(slot, 0);

	place(slot);
	put(r + STATUS, 0, 1);
	for (unsigned i = 0; i < 1000000 && get(r + STATUS, 1); i++)
		;
	memset((void *)ring, 0, 0x3000);
	put(r + STATUS, 3, 1);
	put(r + DRIVER_SELECT, 0, 4);
	put(r + DRIVER_FEATURES, 0, 4);
	put(r + DRIVER_SELECT, 1, 4);
	put(r + DRIVER_FEATURES, 1, 4);
	put(r + STATUS, 11, 1);
	put(r + QUEUE_SELECT, 0, 2);
	put(r + QUEUE_SIZE, 8, 2);
	put(r + QUEUE_DESC, ring, 8);
	put(r + QUEUE_DRIVER, ring + 0x1000, 8);
	put(r + QUEUE_DEVICE, ring + 0x2000, 8);
	put(r + QUEUE_ENABLE, 1, 2);
	put(r + STATUS, 15, 1);
	put((u8 *)ring, ARENA + 0xf0000, 8);
	put((u8 *)ring + 8, 64, 4);
	put((u8 *)ring + 12, 2, 4);
	put((u8 *)ring + 0x1002, 1, 2);
	put(r + NOTIFY, 0, 2);
	/* One may have given all it may in its period. */
	for (unsigned i = 0; i < 500000000 && !get((u8 *)ring + 0x2002, 2); i++)
		barrier();
	return get((u8 *)ring + 0x2002, 2) == 1;
}

static void go_mad(unsigned cpu)
{
	seeds[cpu] += cpu;
	for (unsigned i = 0; i < ROUNDS; i++) {
		unsigned slot = 1 + rnd(SLOTS - 1);

		if (slots[slot].kind)
			one_round(slot);
	}
	smp_meet(2);
}

int main(void)
{
	unsigned found = find_devices();

	seeds[0] = seeds[1] = rdtsc() | 1;
	print("seed %lx, %u devices\n", seeds[0], found);
	check_true("devices are there", found >= 4);
	for (unsigned slot = 1; slot < SLOTS; slot++)
		if (slots[slot].kind)
			bring_up(slot);
	check("CPUs", smp_start(2, go_mad), 2);
	go_mad(0);
	for (unsigned slot = 1; slot < SLOTS; slot++)
		if (slots[slot].device == 0x1044)
			check_true("an entropy device works afterwards", rng_works(slot));
	return 0;
}
