/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk_test.c - disks: every kind of request, errors, requests that take their time,
 * resets and removal in the middle of them, several queues, both kinds of ring.
 */
#include "dev/virtio/driver.h"

#include "dev/devices.h"
#include "dev/memdisk.h"
#include "dev/pci/host.h"
#include "dev/virtio/virtio.h"

#define F_COMMON (VIRTIO_F(VERSION_1) | VIRTIO_F(INDIRECT_DESC) | VIRTIO_F(EVENT_IDX))

enum { RING = 0x10000, TABLE = 0x60000, HEAD = 0x80000, DATA = 0x81000, STATUS = 0x90000 };
enum { F_RO = 5, F_FLUSH = 9, F_WCE = 11, F_DISCARD = 13, F_ZEROES = 14 };
enum { IN, OUT, FLUSH = 4, GET_ID = 8, DISCARD = 11, ZEROES = 13 };
enum { CFG = DRV_DEVICE };

/* --- requests ------------------------------------------------------------------------------ */

const struct device_type *const device_types[] = {&pci_host_type, &virtio_blk_type, NULL};

static struct machine *m;

static void put_header(unsigned n, u32 type, u64 sector)
{
	as_store(m->mem, HEAD + 16 * n, type, 8);
	as_store(m->mem, HEAD + 16 * n + 8, sector, 8);
	tb_ram[STATUS + n] = 0xee;
}

/* Request n, with data or not; does not notify. */
static int put(struct drv_ring *r, unsigned n, u32 type, u64 sector, gpa_t data, u32 len)
{
	bool in = type == IN || type == GET_ID;
	struct drv_buf b[3] = {{HEAD + 16 * n, 16, false}};
	unsigned nr = 1;

	put_header(n, type, sector);
	if (len)
		b[nr++] = (struct drv_buf){data, len, in};
	b[nr++] = (struct drv_buf){STATUS + n, 1, true};
	return n & 1 ? drv_add_indirect(r, TABLE + 64 * n, b, nr) : drv_add(r, b, nr);
}

static struct drv start(struct drv_ring *r, bool packed, u64 features)
{
	struct drv d;

	drv_plug(&d, m, 1, true);
	CHECK(drv_negotiate(&d, F_COMMON | features | (packed ? VIRTIO_F(RING_PACKED) : 0)));
	drv_ring_init(r, m, packed, true, 16, RING);
	drv_enable(&d, 0, r);
	drv_want_interrupt(r);
	drv_go(&d);
	return d;
}

/* A request there and back: its status. */
static u8 call(const struct drv *d, struct drv_ring *r, u32 type, u64 sector, gpa_t data, u32 len)
{
	u32 used;

	CHECK(put(r, 0, type, sector, data, len) >= 0);
	drv_kick(d, 0);
	CHECK(drv_used(r, &used) >= 0);
	CHECK(used == (type == IN || type == GET_ID ? len + 1 : 1));
	return tb_ram[STATUS];
}

static void test_kinds(bool packed)
{
	static struct drv_ring r;
	struct drv d = start(&r, packed, 1u << F_FLUSH | 1u << F_DISCARD | 1u << F_ZEROES);

	for (unsigned i = 0; i < 0x2000; i++)
		tb_ram[DATA + i] = (u8)(i * 7 + i / 256);
	CHECK(call(&d, &r, OUT, 8, DATA, 0x2000) == 0 && disk.last.op == BLK_WRITE);
	CHECK(!disk.last.flags && !memcmp(disk.data + 4096, tb_ram + DATA, 0x2000));
	CHECK(call(&d, &r, IN, 8, DATA + 0x4000, 0x2000) == 0);
	CHECK(!memcmp(tb_ram + DATA, tb_ram + DATA + 0x4000, 0x2000));
	CHECK(call(&d, &r, FLUSH, 0, 0, 0) == 0 && disk.last.op == BLK_FLUSH);
	CHECK(call(&d, &r, GET_ID, 0, DATA, 20) == 0);
	CHECK(!memcmp(tb_ram + DATA, "0123456789abcdefghij", 20));
	CHECK(call(&d, &r, GET_ID, 0, DATA, 5) == 0);
	CHECK(call(&d, &r, 99, 0, DATA, 16) == 2 && call(&d, &r, 2, 0, DATA, 512) == 2);
	/* The size of data, the place on the disk. */
	CHECK(call(&d, &r, IN, 0, DATA, 511) == 1 && call(&d, &r, OUT, 0, DATA, 513) == 1);
	CHECK(call(&d, &r, IN, MEMDISK_SIZE / 512, DATA, 512) == 1);
	CHECK(call(&d, &r, IN, MEMDISK_SIZE / 512 - 1, DATA, 512) == 0);
	CHECK(call(&d, &r, IN, 1ull << 55, DATA, 512) == 1);
	CHECK(call(&d, &r, OUT, ~0ull, DATA, 512) == 1);
	disk.error = -EIO;
	CHECK(call(&d, &r, IN, 0, DATA, 512) == 1 && call(&d, &r, FLUSH, 0, 0, 0) == 1);
	disk.error = -ENOSPC;
	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 1);
	disk.error = -EOPNOTSUPP;
	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 2);
	disk.error = 0;
}

static void put_range(u64 sector, u32 n, u32 flags)
{
	as_store(m->mem, DATA, sector, 8);
	as_store(m->mem, DATA + 8, n, 4);
	as_store(m->mem, DATA + 12, flags, 4);
}

static void test_ranges(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, 1u << F_FLUSH | 1u << F_DISCARD | 1u << F_ZEROES);

	put_range(16, 100, 0);
	CHECK(call(&d, &r, DISCARD, 0, DATA, 16) == 0 && disk.last.op == BLK_DISCARD);
	CHECK(disk.last.offset == 16 * 512 && disk.last.len == 100 * 512 && !disk.last.flags);
	CHECK(call(&d, &r, ZEROES, 0, DATA, 16) == 0 && disk.last.op == BLK_WRITE_ZEROES);
	CHECK(call(&d, &r, ZEROES, 0, DATA, 32) == 1 && call(&d, &r, ZEROES, 0, DATA, 15) == 1);
	put_range(16, 100, 1);
	CHECK(call(&d, &r, DISCARD, 0, DATA, 16) == 2);
	CHECK(call(&d, &r, ZEROES, 0, DATA, 16) == 0 && disk.last.flags == BLK_UNMAP);
	put_range(16, 100, 2);
	CHECK(call(&d, &r, ZEROES, 0, DATA, 16) == 2);
	put_range(16, ~0u, 0);
	CHECK(call(&d, &r, DISCARD, 0, DATA, 16) == 1);
	put_range(~0ull, 1, 0);
	CHECK(call(&d, &r, DISCARD, 0, DATA, 16) == 1);
	put_range(MEMDISK_SIZE / 512 - 1, 2, 0);
	CHECK(call(&d, &r, DISCARD, 0, DATA, 16) == 1);
}

/* Header, data and status cut as it pleases the driver. */
static void test_framing(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, 0);
	const struct drv_buf read[] = {{HEAD, 3, false},
				       {HEAD + 3, 13, false},
				       {DATA, 1, true},
				       {DATA + 1, 510, true},
				       {DATA + 511, 2, true}};
	const struct drv_buf write[] = {
		{HEAD, 100, false}, {HEAD + 100, 428, false}, {STATUS, 1, true}};
	u32 len;

	for (unsigned i = 0; i < 512; i++)
		disk.data[i] = (u8)(i ^ 0x5a);
	put_header(0, IN, 0);
	tb_ram[DATA + 512] = 0xee;
	CHECK(drv_add(&r, read, 5) >= 0);
	drv_kick(&d, 0);
	CHECK(drv_used(&r, &len) >= 0 && len == 513 && tb_ram[DATA + 512] == 0);
	CHECK(!memcmp(tb_ram + DATA, disk.data, 512));

	put_header(0, OUT, 2);
	for (unsigned i = 16; i < 528; i++)
		tb_ram[HEAD + i] = (u8)i;
	CHECK(drv_add(&r, write, 3) >= 0);
	drv_kick(&d, 0);
	CHECK(drv_used(&r, &len) >= 0 && len == 1 && tb_ram[STATUS] == 0);
	CHECK(!memcmp(disk.data + 1024, tb_ram + HEAD + 16, 512));
}

static void test_no_requests(void)
{
	static struct drv_ring r;
	const struct drv_buf bad[][2] = {
		{{HEAD, 15, false}, {STATUS, 1, true}}, /* no header */
		{{HEAD, 16, false}, {DATA, 16, false}}, /* no status */
		{{DATA, 16, true}, {STATUS, 1, true}},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct drv d = start(&r, false, 0);

		CHECK(drv_add(&r, bad[i], 2) >= 0);
		drv_kick(&d, 0);
		CHECK(drv_read(&d, COMMON_STATUS, 1) & VIRTIO_NEEDS_RESET);
		drv_write(&d, COMMON_STATUS, 0, 1);
		CHECK(drv_read(&d, COMMON_STATUS, 1) == 0);
	}
}

/* When a write has to be durable: "Device Operation" of the block device. */
static void test_write_cache(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, 0);

	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 0 && disk.last.flags == BLK_FUA);
	drv_write(&d, CFG + 32, 0, 1); /* not negotiated */
	CHECK(drv_read(&d, CFG + 32, 1) == 1);
	d = start(&r, false, 1u << F_FLUSH);
	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 0 && !disk.last.flags);
	d = start(&r, false, 1u << F_FLUSH | 1u << F_WCE);
	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 0 && !disk.last.flags);
	drv_write(&d, CFG + 32, 0, 1);
	drv_write(&d, CFG, 0, 4);
	CHECK(drv_read(&d, CFG + 32, 1) == 0 && drv_read(&d, CFG, 4) == MEMDISK_SIZE / 512);
	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 0 && disk.last.flags == BLK_FUA);
	drv_write(&d, CFG + 32, 0xff, 1);
	CHECK(drv_read(&d, CFG + 32, 1) == 1);
	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 0 && !disk.last.flags);
}

/* --- requests that take their time --------------------------------------------------------- */

static void test_pending(bool packed)
{
	static struct drv_ring r;
	struct drv d = start(&r, packed, 1u << F_FLUSH);
	unsigned msis = tb.msis, done = 0;
	u32 len;

	disk.hold = true;
	disk.data[3 * 512] = 0x33;
	for (unsigned n = 0; n < 5; n++)
		CHECK(put(&r, n, IN, n, DATA + 512 * n, 512) >= 0);
	drv_kick(&d, 0);
	CHECK(disk.nr_held == 5 && tb.msis == msis && drv_used(&r, &len) < 0);
	memdisk_finish(3);
	CHECK(tb.msis == msis + 1 && drv_used(&r, &len) >= 0 && tb_ram[DATA + 512 * 3] == 0x33);
	CHECK(tb_ram[STATUS + 3] == 0 && tb_ram[STATUS + 1] == 0xee);
	blk_drain(&disk);
	while (drv_used(&r, &len) >= 0)
		done++;
	CHECK(done == 4);
	disk.hold = false;
}

/* The driver resets in the middle, goes on, and what is late harms nobody. */
static void test_reset_in_flight(bool packed)
{
	static struct drv_ring r;
	struct drv d = start(&r, packed, 0);
	u32 len;

	disk.hold = true;
	for (unsigned n = 0; n < 4; n++)
		CHECK(put(&r, n, IN, n, DATA + 512 * n, 512) >= 0);
	drv_kick(&d, 0);
	CHECK(disk.nr_held == 4);
	drv_write(&d, COMMON_STATUS, 0, 1);
	CHECK(drv_read(&d, COMMON_STATUS, 1) != 0); /* not over yet */
	memdisk_finish(0);
	CHECK(drv_read(&d, COMMON_STATUS, 1) != 0 && tb_ram[STATUS] == 0xee);
	/* It does not wait. */
	d = start(&r, packed, 0);
	disk.hold = false;
	CHECK(call(&d, &r, IN, 0, DATA, 512) == 0);
	blk_drain(&disk);
	CHECK(drv_used(&r, &len) < 0 && tb_ram[STATUS + 2] == 0xee);
	CHECK(call(&d, &r, IN, 0, DATA, 512) == 0);
	drv_write(&d, COMMON_STATUS, 0, 1);
	CHECK(drv_read(&d, COMMON_STATUS, 1) == 0);

	/* The same for a queue alone, and for the whole machine. */
	d = start(&r, packed, VIRTIO_F(RING_RESET));
	disk.hold = true;
	CHECK(put(&r, 1, IN, 1, DATA, 512) >= 0);
	drv_kick(&d, 0);
	drv_write(&d, COMMON_QUEUE_RESET, 1, 2);
	CHECK(drv_read(&d, COMMON_QUEUE_RESET, 2) == 1);
	CHECK(drv_read(&d, COMMON_QUEUE_ENABLE, 2) == 0);
	blk_drain(&disk);
	CHECK(drv_read(&d, COMMON_QUEUE_RESET, 2) == 0);
	d = start(&r, packed, 0);
	CHECK(put(&r, 2, IN, 1, DATA, 512) >= 0);
	drv_kick(&d, 0);
	device_reset_all(m);
	blk_drain(&disk);
	CHECK(tb_ram[STATUS + 2] == 0xee);
	disk.hold = false;
	start(&r, packed, 0);
}

/* More chains than there are descriptors: only a driver that lies has them, or one of before. */
static void test_no_request_left(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, 0);
	u32 len;

	disk.hold = true;
	for (unsigned life = 0; life < 4; life++) {
		for (unsigned n = 0; n < 5; n++)
			CHECK(put(&r, n, IN, n, DATA, 512) >= 0);
		drv_kick(&d, 0);
		d = start(&r, false, 0);
	}
	CHECK(disk.nr_held == 16); /* queue-size */
	for (unsigned n = 0; n < 3; n++)
		CHECK(put(&r, n, IN, n, DATA, 512) >= 0);
	drv_kick(&d, 0);
	CHECK(disk.nr_held == 16 && drv_used(&r, &len) < 0);
	memdisk_finish(0);
	CHECK(disk.nr_held == 16);
	disk.hold = false;
	memdisk_finish(0);
	CHECK(drv_used(&r, &len) >= 0);
	blk_drain(&disk);
	CHECK(drv_used(&r, &len) >= 0 && drv_used(&r, &len) >= 0);
}

/* Served in batches, with one interrupt each, and never for ever in one go. */
static void test_batch(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, 0);
	unsigned msis = tb.msis, before = disk.submitted, done = 0;
	u32 len;

	for (unsigned n = 0; n < 5; n++)
		CHECK(put(&r, n, IN, n, DATA, 512) >= 0);
	drv_kick(&d, 0);
	CHECK(disk.submitted == before + 5 && tb.msis == msis + 1);
	while (drv_used(&r, &len) >= 0)
		done++;
	CHECK(done == 5);
}

static struct drv_ring busy_ring;
static unsigned busy_left, busy_len;

static void keep_busy(void)
{
	u32 len;

	if (!busy_left)
		return;
	busy_left--;
	while (drv_used(&busy_ring, &len) >= 0)
		;
	CHECK(put(&busy_ring, busy_left % 4, IN, 0, DATA, busy_len) >= 0);
}

/* A driver that always has another one does not hold up the CPU that notifies for ever. */
static void test_endless(u32 len, unsigned most)
{
	struct drv d = start(&busy_ring, false, 0);
	unsigned before = disk.submitted;

	busy_left = 1000;
	busy_len = len;
	disk.error = -EIO;
	disk.meanwhile = keep_busy;
	keep_busy();
	drv_kick(&d, 0);
	CHECK(disk.submitted - before > most / 2 && disk.submitted - before <= most);
	for (unsigned i = 0; i < 2000 / most; i++)
		loop_step(m->loop);
	CHECK(busy_left == 0 && disk.submitted - before == 1000);
	disk.meanwhile = NULL;
	disk.error = 0;
}

static void test_queues(void)
{
	static struct drv_ring r[3];
	struct drv d;
	u32 len;

	drv_plug(&d, m, 1, true);
	CHECK(drv_read(&d, COMMON_NR_QUEUES, 2) == 3 && drv_read(&d, CFG + 34, 2) == 3);
	CHECK(drv_negotiate(&d, F_COMMON | 1u << 12));
	for (unsigned i = 0; i < 3; i++) {
		drv_ring_init(&r[i], m, false, true, 16, RING + 0x4000 * i);
		drv_enable(&d, i, &r[i]);
		drv_want_interrupt(&r[i]);
	}
	/* Before DRIVER_OK nothing is taken, then all of it. */
	CHECK(put(&r[2], 2, IN, 0, DATA, 512) >= 0);
	drv_kick(&d, 2);
	CHECK(drv_used(&r[2], &len) < 0);
	drv_go(&d);
	CHECK(drv_used(&r[2], &len) >= 0 && tb.msi.data == 0x43);
	CHECK(put(&r[0], 0, IN, 0, DATA, 512) >= 0 && put(&r[1], 1, IN, 0, DATA, 512) >= 0);
	drv_kick(&d, 1);
	CHECK(tb.msi.data == 0x42 && drv_used(&r[0], &len) < 0 && drv_used(&r[1], &len) >= 0);
	drv_kick(&d, 0);
	CHECK(drv_used(&r[0], &len) >= 0);
	drv_kick(&d, 3);
	drv_kick(&d, 1000);
}

static void test_resize(struct device *dev)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, 0);
	unsigned gen = drv_read(&d, COMMON_GENERATION, 1), msis = tb.msis;

	disk_resize(MEMDISK_SIZE / 2);
	CHECK(tb.msis == msis + 1 && tb.msi.data == 0x40);
	CHECK(drv_read(&d, COMMON_GENERATION, 1) != gen);
	CHECK(drv_read(&d, CFG, 4) == MEMDISK_SIZE / 1024 && drv_read(&d, CFG + 4, 4) == 0);
	/* A driver that is not there yet is not interrupted. */
	device_reset_all(m);
	disk_resize(MEMDISK_SIZE);
	CHECK(tb.msis == msis + 1 && !tb.level[17]);
	drv_plug(&d, m, 1, false);
	CHECK(drv_read(&d, CFG, 4) == MEMDISK_SIZE / 512);
}

/* Saved, reset and loaded it goes on, with what was in a queue and what the driver has set. */
static void test_state(struct device *dev)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, 1u << F_FLUSH | 1u << F_WCE);
	struct buf one = {0}, two = {0};
	struct err e = {0};
	u32 len;

	drv_write(&d, CFG + 32, 0, 1);
	for (unsigned i = 0; i < 21; i++)
		CHECK(call(&d, &r, OUT, i, DATA, 512) == 0);
	CHECK(put(&r, 1, OUT, 0, DATA, 512) >= 0); /* and the driver is about to notify */
	CHECK(device_save(dev, &one) == 0);
	device_reset_all(m);
	CHECK(device_load(dev, &one, &e) == 0 && device_save(dev, &two) == 0);
	CHECK(one.len == two.len && !memcmp(one.data, two.data, one.len));
	CHECK(drv_used(&r, &len) < 0);
	loop_step(m->loop);
	CHECK(drv_used(&r, &len) >= 0 && tb_ram[STATUS + 1] == 0 && disk.last.flags == BLK_FUA);
	CHECK(call(&d, &r, OUT, 0, DATA, 512) == 0 && disk.last.flags == BLK_FUA);
	buf_destroy(&one);
	buf_destroy(&two);
}

static void test_options(void)
{
	static const char *const bad[] = {
		"virtio-blk-pci",
		"virtio-blk-pci,drive=d1",
		"virtio-blk-pci,drive=d0,queue-size=100",
		"virtio-blk-pci,drive=d0,queue-size=2",
		"virtio-blk-pci,drive=d0,queue-size=2048",
		"virtio-blk-pci,drive=d0,num-queues=65",
		"virtio-blk-pci,drive=d0,logical_block_size=500",
		"virtio-blk-pci,drive=d0,logical_block_size=4096",
		"virtio-blk-pci,drive=d0,serial=123456789012345678901",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = {0};

		CHECK(!tb_try_add(m, bad[i], &e) && e.code == -EINVAL);
	}
}

static void test_read_only(void)
{
	struct device *dev;
	struct drv d;

	disk.read_only = true;
	dev = tb_add(m,
		     "virtio-blk-pci,drive=d0,logical_block_size=4096,physical_block_size=16384");
	drv_plug(&d, m, 1, true);
	CHECK(drv_offered(&d) & 1u << F_RO);
	CHECK(!(drv_offered(&d) & (1u << F_DISCARD | 1u << F_ZEROES)));
	CHECK(drv_read(&d, CFG + 20, 4) == 4096 && drv_read(&d, CFG + 24, 1) == 2);
	CHECK(drv_read(&d, CFG + 36, 4) == 0);
	device_del(dev);
	disk.read_only = false;
}

static void test_removal(void)
{
	static struct drv_ring r;
	struct device *dev = tb_add(m, "virtio-blk-pci,drive=d0");
	struct drv d = start(&r, false, 0);

	disk.hold = true;
	for (unsigned n = 0; n < 5; n++)
		CHECK(put(&r, n, IN, n, DATA, 512) >= 0);
	drv_kick(&d, 0);
	CHECK(disk.nr_held == 5);
	device_del(dev);
	CHECK(disk.nr_held == 0);
	disk.hold = false;
}

/* Another CPU goes on as if the device were there ... */
static struct device *going;
static unsigned rounds;

static void keep_asking(void)
{
	const struct drv d = {m, 1};
	u32 len;

	CHECK(rounds++ < 100);
	while (drv_used(&busy_ring, &len) >= 0)
		;
	put(&busy_ring, rounds % 4, IN, 0, DATA, 512);
	drv_kick(&d, 0);
}

static void late_write(unsigned off, u64 val, unsigned size)
{
	const struct pci_bar *bar = &((struct virtio *)going)->pci.bar[4];

	bar->ops->write(bar->opaque, off, val, size);
}

/* ... or starts it anew, by accesses that found it before it went. */
static void start_late(void)
{
	const struct drv_ring *r = &busy_ring;

	keep_asking();
	lock(&going->lock);
	((struct virtio *)going)->pci.config[PCI_COMMAND] |= PCI_CMD_MASTER;
	late_write(COMMON_DRIVER_SELECT, 1, 4);
	late_write(COMMON_DRIVER_FEATURES, 1, 4);
	late_write(COMMON_STATUS, 0xf, 1);
	late_write(COMMON_QUEUE_DESC, (u32)r->desc, 4);
	late_write(COMMON_QUEUE_DRIVER, (u32)r->driver, 4);
	late_write(COMMON_QUEUE_DEVICE, (u32)r->device, 4);
	late_write(COMMON_QUEUE_ENABLE, 1, 2);
	late_write(DRV_NOTIFY, 0, 2);
	unlock(&going->lock);
}

static void test_removal_while_busy(void (*meanwhile)(void))
{
	struct drv d;
	unsigned before;

	going = tb_add(m, "virtio-blk-pci,drive=d0");
	d = start(&busy_ring, false, 0);
	disk.hold = true;
	for (unsigned n = 0; n < 3; n++)
		CHECK(put(&busy_ring, n, IN, n, DATA, 512) >= 0);
	drv_kick(&d, 0);
	before = disk.submitted;
	rounds = 0;
	disk.draining = meanwhile;
	device_del(going);
	CHECK(disk.nr_held == 0 && disk.submitted == before && rounds == 3);
	disk.hold = false;
	disk.draining = NULL;
}

/* What waits for its turn while the machine is reset never gets it. */
static void test_reset_while_waiting(void)
{
	static struct drv_ring r;
	struct device *dev = tb_add(m, "virtio-blk-pci,drive=d0,queue-size=4");
	struct drv d;

	drv_plug(&d, m, 1, true);
	CHECK(drv_negotiate(&d, F_COMMON));
	drv_ring_init(&r, m, false, true, 4, RING);
	drv_enable(&d, 0, &r);
	drv_go(&d);
	disk.wait = true;
	for (unsigned n = 0; n < 4; n++)
		CHECK(put(&r, 1, IN, 0, DATA, 512) >= 0);
	drv_kick(&d, 0);
	CHECK(disk.nr_waiting == 4);
	device_reset_all(m);
	dev->type->quiesce(dev, false);
	CHECK(disk.nr_waiting == 4);
	dev->type->quiesce(dev, true);
	CHECK(disk.nr_waiting == 0 && tb_ram[STATUS + 1] == 0xee && drv_used(&r, &(u32){0}) < 0);
	disk.wait = false;
	device_del(dev);
}

int main(void)
{
	struct device *dev;

	m = tb_new();
	disk.size = MEMDISK_SIZE;
	tb_add(m, "q35-pcihost");
	test_options();
	for (unsigned packed = 0; packed < 2; packed++) {
		dev = tb_add(
			m, packed ? "virtio-blk-pci,drive=d0,serial=0123456789abcdefghij,packed=on"
				  : "virtio-blk-pci,drive=d0,serial=0123456789abcdefghij");
		test_kinds(packed);
		test_pending(packed);
		test_reset_in_flight(packed);
		device_del(dev);
	}
	dev = tb_add(m, "virtio-blk-pci,drive=d0,queue-size=16");
	test_ranges();
	test_framing();
	test_no_requests();
	test_write_cache();
	test_no_request_left();
	test_batch();
	test_endless(512, 256);
	test_endless(256 << 10, 128);
	test_resize(dev);
	test_state(dev);
	device_del(dev);
	dev = tb_add(m, "virtio-blk-pci,drive=d0,num-queues=3");
	test_queues();
	device_del(dev);
	test_read_only();
	test_removal();
	test_removal_while_busy(keep_asking);
	test_removal_while_busy(start_late);
	test_reset_while_waiting();
	tb_free(m);
	return 0;
}
