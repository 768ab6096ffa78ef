/* SPDX-License-Identifier: MIT */
/* addrspace_test.c - mapping, cutting accesses to fit, DMA, listeners, readers beside changes. */
#include <errno.h>
#include <stdatomic.h>

#include "core/test.h"
#include "sundog/machine.h"

const struct device_type *const device_types[] = {NULL};

/* A device that answers with the bytes of its offsets and notes how it was asked. */
struct probe {
	unsigned nr;
	struct {
		u64 off, val;
		unsigned size;
	} seen[16];
};

static void note(struct probe *p, u64 off, u64 val, unsigned size)
{
	check(p->nr < ARRAY_SIZE(p->seen));
	p->seen[p->nr].off = off;
	p->seen[p->nr].val = val;
	p->seen[p->nr++].size = size;
}

static u64 probe_read(void *dev, u64 off, unsigned size)
{
	u64 val = 0;

	note(dev, off, 0, size);
	for (unsigned i = 0; i < size; i++)
		val |= (off + i) << i * 8;
	return val | ~0ull << (size * 8 - 1) << 1; /* rubbish above, for the bus to drop */
}

static void probe_write(void *dev, u64 off, u64 val, unsigned size)
{
	note(dev, off, val, size);
}

static const struct io_ops ops8 = {probe_read, probe_write, IO_8};
static const struct io_ops ops32 = {probe_read, probe_write, IO_32};
static const struct io_ops ops_all = {probe_read, probe_write, IO_8 | IO_16 | IO_32 | IO_64};

static void test_map(void)
{
	struct addrspace *as = as_new("test", 0x10000);
	struct region a = {
		.name = "a", .base = 0x100, .size = 0x100, .ops = &ops8, .kind = REGION_IO};
	struct region b = {.name = "b", .base = 0x180, .size = 1, .ops = &ops8, .kind = REGION_IO};
	struct region out = {.name = "out", .base = 0xffff, .size = 2, .kind = REGION_IO};
	struct region none = {.name = "none", .base = 5, .size = 0, .kind = REGION_IO};

	check(!as_map(as, &a));
	check(as_map(as, &a) == -EEXIST);
	check(as_map(as, &b) == -EEXIST);
	check(as_map(as, &out) == -EINVAL);
	check(as_map(as, &none) == -EINVAL);
	out.base = ~0ull;
	check(as_map(as, &out) == -EINVAL);
	b.base = 0x200;
	check(!as_map(as, &b));
	check(as_find(as, 0x1ff) == &a && as_find(as, 0x200) == &b);
	check(!as_find(as, 0xff) && !as_find(as, 0x201));

	/* Moved in one batch. */
	as_begin(as);
	as_unmap(as, &a);
	a.base = 0x1000;
	check(!as_map(as, &a));
	check(as_find(as, 0x100) == &a); /* not yet */
	as_commit(as);
	check(!as_find(as, 0x100) && as_find(as, 0x1000) == &a);
	as_synchronize(as);
	as_free(as);
}

static void test_cut(void)
{
	struct addrspace *as = as_new("test", 0x10000);
	struct probe p = {0}, q = {0};
	struct region r8 = {"r8", 0x10, 8, REGION_IO, NULL, &ops8, &p, NULL};
	struct region r32 = {"r32", 0x20, 16, REGION_IO, NULL, &ops32, &p, NULL};
	struct region all = {"all", 0x18, 8, REGION_IO, NULL, &ops_all, &q, NULL};

	check(!as_map(as, &r8) && !as_map(as, &r32) && !as_map(as, &all));
	check(as_load(as, 0x10, 4) == 0x03020100 && p.nr == 4);
	p.nr = 0;
	check(as_load(as, 0x18, 8) == 0x0706050403020100 && q.nr == 1 && q.seen[0].size == 8);
	q.nr = 0;
	check(as_load(as, 0x19, 4) == 0x04030201 && q.nr == 3); /* 1 + 2 + 1 */
	q.nr = 0;
	check(as_load(as, 0x20, 8) == 0x0706050403020100 && p.nr == 2);
	p.nr = 0;
	check(as_load(as, 0x20, 2) == 0xffff && p.nr == 0); /* too narrow: dropped */
	check(as_load(as, 0x22, 8) == 0xffff07060504ffff && p.nr == 1);
	p.nr = 0;
	check(as_load(as, 0x16, 4) == 0x01000706 && p.nr == 2 && q.nr == 1); /* two devices */
	p.nr = q.nr = 0;
	check(as_load(as, 0xe, 4) == 0x0100ffff); /* from nowhere into r8 */
	p.nr = 0;
	as_store(as, 0x20, 0x1122334455667788, 8);
	check(p.nr == 2 && p.seen[0].val == 0x55667788 && p.seen[1].val == 0x11223344);
	check(as_load(as, 0xfffe, 4) == 0xffffffff);
	check(as_load(as, ~0ull - 1, 8) == ~0ull);
	as_store(as, ~0ull - 1, 0, 8);
	as_free(as);
}

static u8 ram_a[4096] __attribute__((aligned(64))), ram_b[4096] __attribute__((aligned(64)));
static u8 rom[4096];

static struct {
	unsigned mapped, unmapped, written;
	u64 addr, len;
} told;

static void on_mapped(struct as_listener *l, const struct region *r)
{
	told.mapped++;
}

static void on_unmapped(struct as_listener *l, const struct region *r)
{
	told.unmapped++;
	told.addr = r->base;
}

static void on_written(struct as_listener *l, gpa_t addr, u64 len)
{
	told.written++;
	told.addr = addr;
	told.len = len;
}

static void test_dma(struct device *dev)
{
	struct addrspace *as = dev->machine->mem;
	u8 buf[64] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

	/* Over the seam of two regions, and not at all if one byte is missing. */
	check(!dma_write(dev, 0x1ffd, buf, 9));
	check(told.written == 1 && told.addr == 0x1ffd && told.len == 9);
	check(ram_a[4095] == 3 && ram_b[0] == 4 && ram_b[5] == 9);
	memset(buf, 0, sizeof(buf));
	check(!dma_read(dev, 0x1ffd, buf, 9) && buf[0] == 1 && buf[8] == 9);
	check(dma_write(dev, 0x2ffd, buf, 9) == -EFAULT); /* runs into the ROM */
	check(ram_b[4093] == 0 && told.written == 1);
	check(!dma_read(dev, 0x2ffd, buf, 9)); /* which can be read */
	check(dma_read(dev, 0x3ffd, buf, 9) == -EFAULT);
	check(dma_read(dev, 0x5000, buf, 1) == -EFAULT); /* a device */
	check(dma_read(dev, ~0ull - 3, buf, 16) == -EFAULT);
	check(!dma_write(dev, ~0ull, buf, 0));

	check(dma_map(dev, 0x1010, 16, DMA_FROM_DEVICE) == ram_a + 16);
	dma_unmap(dev, 0x1010, 16, DMA_TO_DEVICE);
	check(told.written == 1);
	dma_unmap(dev, 0x1010, 16, DMA_FROM_DEVICE);
	check(told.written == 2 && told.addr == 0x1010 && told.len == 16);
	check(!dma_map(dev, 0x1ffd, 9, DMA_TO_DEVICE)); /* not in one piece */
	check(!as_ram(as, 0x3000, 1, true) && as_ram(as, 0x3000, 4096, false) == rom);
	check(!as_ram(as, 0x3000, 4097, false) && !as_ram(as, 0x3000, SIZE_MAX, false));
}

static void test_ram(void)
{
	struct addrspace *as = as_new("mem", 1ull << 40);
	struct machine m = {.mem = as};
	struct device dev = {.machine = &m, .id = "dev0"};
	struct as_listener l = {
		.mapped = on_mapped, .unmapped = on_unmapped, .written = on_written};
	struct probe p = {0};
	struct region a = {"a", 0x1000, 0x1000, REGION_RAM, ram_a};
	struct region b = {"b", 0x2000, 0x1000, REGION_RAM, ram_b};
	struct region c = {"c", 0x3000, 0x1000, REGION_ROM, rom};
	struct region d = {"d", 0x5000, 0x1000, REGION_IO, NULL, &ops_all, &p};

	check(!as_map(as, &a) && !as_map(as, &b));
	as_listen(as, &l);
	check(told.mapped == 2);
	check(!as_map(as, &c) && !as_map(as, &d));
	check(told.mapped == 4 && !told.unmapped);

	rom[0] = 0x5a;
	as_store(as, 0x1ffc, 0x1122334455667788, 8);
	check(as_load(as, 0x1ffc, 8) == 0x1122334455667788 && ram_b[0] == 0x44);
	as_store(as, 0x3000, 0, 1);
	check(as_load(as, 0x3000, 1) == 0x5a);
	check(as_load(as, 0x1001, 2) == 0 && as_load(as, 0x3fff, 2) == 0xff00);
	memset(ram_a, 0, sizeof(ram_a));
	memset(ram_b, 0, sizeof(ram_b));

	test_dma(&dev);
	as_begin(as);
	as_unmap(as, &d);
	d.base = 0x7000;
	check(!as_map(as, &d));
	as_commit(as);
	check(told.mapped == 5 && told.unmapped == 1 && told.addr == 0x5000); /* where it was */
	as_unlisten(as, &l);
	as_unmap(as, &d);
	check(told.unmapped == 1);
	as_free(as);
}

/* --- readers beside a changer ----------------------------------------------------------------- */

enum { READERS = 3, ROUNDS = 3000 };

struct race {
	struct addrspace *as;
	_Atomic bool stop;
	_Atomic u64 hits;
};

struct moving {
	struct region r;
	_Atomic u64 alive; /* cleared once nobody can come any more */
};

static u64 moving_read(void *dev, u64 off, unsigned size)
{
	struct moving *mv = dev;

	check(atomic_load(&mv->alive) == 0x600d);
	return 0x42;
}

static void moving_write(void *dev, u64 off, u64 val, unsigned size)
{
}

static const struct io_ops moving_ops = {moving_read, moving_write, IO_8};

static void *reader(void *arg)
{
	struct race *race = arg;

	while (!atomic_load(&race->stop)) {
		u64 fixed = as_load(race->as, 0x10, 4);
		u64 v = as_load(race->as, 0x1000, 1) & as_load(race->as, 0x2000, 1);

		check(fixed == 0x12345678);
		check(v == 0x42 || v == 0xff);
		if (v == 0x42)
			race->hits++;
	}
	return NULL;
}

static void test_race(void)
{
	u8 bytes[4096] __attribute__((aligned(8))) = {0};
	struct region ram = {"ram", 0, sizeof(bytes), REGION_RAM, bytes};
	struct race race = {.as = as_new("race", 1 << 20)};
	pthread_t t[READERS];

	st_le32(bytes + 0x10, 0x12345678);
	check(!as_map(race.as, &ram));
	for (int i = 0; i < READERS; i++)
		pthread_create(&t[i], NULL, reader, &race);
	for (int i = 0; i < ROUNDS; i++) {
		struct moving *mv = calloc(1, sizeof(*mv));

		mv->alive = 0x600d;
		mv->r = (struct region){"moving", i & 1 ? 0x1000 : 0x2000,
					16,	  REGION_IO,
					NULL,	  &moving_ops,
					mv,	  NULL};
		check(!as_map(race.as, &mv->r));
		if (i % 64 == 0)
			sched_yield();
		as_unmap(race.as, &mv->r);
		as_synchronize(race.as);
		mv->alive = 0;
		free(mv);
	}
	race.stop = true;
	for (int i = 0; i < READERS; i++)
		pthread_join(t[i], NULL);
	as_free(race.as);
}

int main(void)
{
	test_map();
	test_cut();
	test_ram();
	test_race();
	return 0;
}
