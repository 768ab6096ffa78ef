/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk_fuzz.c - a virtio disk and an entropy device: registers, configuration registers,
 * rings and requests as the input says, on a disk that finishes some requests later.
 */
#include "fuzz/fuzz_testbed.h"

#include "dev/devices.h"
#include "dev/pci/host.h"
#include "dev/virtio/driver.h"
#include "sundog/block.h"

enum { DISK_SIZE = 1 << 16, MAX_HELD = 32, RING = 0x10000, HEAD = 0x80000, AREA = 0x8000 };

static struct blk {
	u8 data[DISK_SIZE];
	struct blk_req *held[MAX_HELD];
	unsigned nr_held;
	u8 mood;
} disk;

struct blk *blk_claim(struct machine *m, const char *id, struct blk_user *u, struct err *e)
{
	return &disk;
}

void blk_release(struct blk *b, struct blk_user *u)
{
}

u64 blk_size(const struct blk *b)
{
	return DISK_SIZE;
}

bool blk_is_read_only(const struct blk *b)
{
	return false;
}

static int work(struct blk *b, struct blk_req *r)
{
	u64 at = r->offset, sum = 0;

	if (!range_fits(r->offset, r->len, DISK_SIZE))
		return -22;
	for (unsigned i = 0; i < r->iovcnt; at += r->iov[i++].iov_len) {
		sum += r->iov[i].iov_len;
		CHECK(sum <= r->len);
		if (r->op == BLK_READ)
			memcpy(r->iov[i].iov_base, b->data + at, r->iov[i].iov_len);
		else
			memcpy(b->data + at, r->iov[i].iov_base, r->iov[i].iov_len);
	}
	return 0;
}

int blk_submit(struct blk *b, struct blk_req *r)
{
	if (!(b->mood & 1) || b->nr_held == MAX_HELD)
		return b->mood & 2 ? -5 : work(b, r);
	b->held[b->nr_held++] = r;
	return BLK_PENDING;
}

static void finish(void)
{
	struct blk_req *r = disk.held[--disk.nr_held];

	lock(&r->owner->lock);
	r->done(r, work(&disk, r));
	unlock(&r->owner->lock);
}

void blk_drain(struct blk *b)
{
	while (disk.nr_held)
		finish();
}

void blk_cancel_waiting(struct blk *b, struct device *owner)
{
}

const struct device_type *const device_types[] = {&pci_host_type, &virtio_blk_type,
						  &virtio_rng_type, NULL};

static struct drv_ring rings[2];
static struct drv drvs[2];

/* As a driver does it, so that the input need not find out how. */
static void bring_up(struct machine *m, unsigned n, u8 how)
{
	struct drv_ring *r = &rings[n];

	drv_plug(&drvs[n], m, n + 1, how & 1);
	if (!drv_negotiate(&drvs[n], drv_offered(&drvs[n]) &
					     ~(how & 2 ? VIRTIO_F(RING_PACKED) : 0) &
					     ~(how & 4 ? VIRTIO_F(EVENT_IDX) : 0)))
		return;
	drv_ring_init(r, m, !(how & 2), !(how & 4), 8, RING + AREA * n);
	drv_enable(&drvs[n], 0, r);
	drv_go(&drvs[n]);
}

static void request(struct machine *m, struct input *in, unsigned n)
{
	struct drv_ring *r = &rings[n];
	u8 what = (u8)input_take(in, 1);
	struct drv_buf b[3] = {
		{HEAD, 16, false},
		{HEAD + 0x1000 + 16 * (input_take(in, 1)), (u32)input_take(in, 2), !(what & 1)},
		{HEAD + 32, 1, true},
	};
	int id;

	if (!r->m)
		return;
	as_store(m->mem, HEAD, what & 15, 4);
	as_store(m->mem, HEAD + 8, what & 0x80 ? input_take(in, 8) : what >> 4 & 7, 8);
	if (what & 0x40)
		id = drv_add_indirect(r, RING + 0x4000, b, 3);
	else
		id = drv_add(r, b, what & 0x20 ? 2 : 3);
	drv_kick(&drvs[n], 0);
	/* The input may have spoilt what is used: rather than reap it, begin anew. */
	if (id < 0)
		bring_up(m, n, what);
}

static void extra(struct input *in)
{
	struct machine *m = &tb_machine;
	u8 what = (u8)input_take(in, 1);
	unsigned n = what >> 3 & 1;

	switch (what & 7) {
	case 0: bring_up(m, n, what >> 4); break;
	case 1: request(m, in, n); break;
	case 2: disk.mood = what >> 3; break;
	case 3:
		if (disk.nr_held)
			finish();
		break;
	case 4: drv_kick(&(struct drv){m, n + 1}, what >> 4); break;
	case 5: as_store(m->mem, RING + AREA * n + input_take(in, 1), input_take(in, 2), 2); break;
	case 6: loop_step(m->loop); break;
	default: device_reset_all(m); break;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const specs[] = {"q35-pcihost", "virtio-blk-pci,drive=d,packed=on",
					    "virtio-rng-pci,packed=on", NULL};
	static const struct fuzz_range ranges[] = {
		{DRV_BAR + (1 << 20), 0x40, true},
		{DRV_BAR + (2 << 20), 0x40, true},
		{DRV_BAR + (1 << 20), 0x4000, true},
		{DRV_BAR_MSIX + (1 << 20), 0x1000, true},
		{DRV_ECAM + 0x8000, 0x100, true},
		{DRV_ECAM + 0x10000, 0x100, true},
		{RING, 2 * AREA, true},
	};
	struct machine *m = fuzz_machine(specs);

	memset(rings, 0, sizeof(rings));
	blk_drain(&disk);
	disk.mood = 0;
	for (unsigned n = 0; n < 2; n++)
		bring_up(m, n, size > n ? data[n] : 0);
	fuzz_run(m, data, size, ranges, ARRAY_SIZE(ranges), extra);
	return 0;
}
