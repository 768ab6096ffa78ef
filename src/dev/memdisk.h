/* SPDX-License-Identifier: MIT */
/*
 * memdisk.h - a disk in memory that finishes requests when it is told to: the block layer of
 * tests and fuzzers of disks' devices.
 *
 * Included by exactly one file of a program.
 */
#ifndef DEV_MEMDISK_H
#define DEV_MEMDISK_H

#include <errno.h>

#include "dev/check.h"
#include "sundog/block.h"
#include "sundog/err.h"

enum { MEMDISK_SIZE = 1 << 20, MEMDISK_HELD = 64 };

static struct blk {
	u64 size;
	bool read_only, hold, wait; /* wait: as for a throttle, until they are cancelled */
	struct blk_user *user;
	int error, plugs;
	u8 data[MEMDISK_SIZE];
	struct blk_req *held[MEMDISK_HELD], *waiting[MEMDISK_HELD], last;
	unsigned nr_held, nr_waiting, submitted, flushes;
	void (*meanwhile)(void); /* what another CPU does while a request is served */
	void (*draining)(void);	 /* ... or while somebody waits for those in flight */
} disk = {.size = MEMDISK_SIZE};

struct blk *blk_claim(struct machine *m, const char *id, struct blk_user *u, struct err *e)
{
	if (strcmp(id, "d0") != 0) {
		err_set(e, -EINVAL, "no disk");
		return NULL;
	}
	disk.user = u;
	return &disk;
}

void blk_release(struct blk *b, struct blk_user *u)
{
	disk.user = NULL;
}

static inline void disk_resize(u64 size)
{
	struct device *dev = disk.user->owner;

	disk.size = size;
	lock(&dev->lock);
	disk.user->resized(dev);
	unlock(&dev->lock);
}

u64 blk_size(const struct blk *b)
{
	return b->size;
}

bool blk_is_read_only(const struct blk *b)
{
	return b->read_only;
}

static int memdisk_work(struct blk *b, struct blk_req *r)
{
	u64 at = r->offset, sum = 0;

	if (b->error)
		return b->error;
	if (!range_fits(r->offset, r->len, b->size))
		return -EINVAL;
	for (unsigned i = 0; i < r->iovcnt; at += r->iov[i++].iov_len) {
		sum += r->iov[i].iov_len;
		CHECK(sum <= r->len);
		if (r->op == BLK_READ)
			memcpy(r->iov[i].iov_base, b->data + at, r->iov[i].iov_len);
		else
			memcpy(b->data + at, r->iov[i].iov_base, r->iov[i].iov_len);
	}
	CHECK(sum == r->len || r->op >= BLK_FLUSH);
	if (r->op == BLK_DISCARD || r->op == BLK_WRITE_ZEROES)
		memset(b->data + r->offset, 0, r->len);
	b->flushes += r->op == BLK_FLUSH;
	return 0;
}

int blk_submit(struct blk *b, struct blk_req *r)
{
	b->last = *r;
	b->submitted++;
	if (b->meanwhile)
		b->meanwhile();
	if (b->wait) {
		CHECK(b->nr_waiting < MEMDISK_HELD);
		b->waiting[b->nr_waiting++] = r;
		return BLK_PENDING;
	}
	if (!b->hold || b->nr_held == MEMDISK_HELD)
		return memdisk_work(b, r);
	b->held[b->nr_held++] = r;
	return BLK_PENDING;
}

void blk_plug(struct blk *b)
{
	b->plugs++;
}

void blk_unplug(struct blk *b)
{
	CHECK(b->plugs-- > 0);
}

static inline void memdisk_give_back(struct blk_req *r, int res)
{
	lock(&r->owner->lock);
	r->done(r, res);
	unlock(&r->owner->lock);
}

void blk_cancel_waiting(struct blk *b, struct device *owner)
{
	while (b->nr_waiting)
		memdisk_give_back(b->waiting[--b->nr_waiting], -ECANCELED);
}

/* As a worker thread does it. */
static inline void memdisk_finish(unsigned i)
{
	struct blk_req *r = disk.held[i];

	disk.held[i] = disk.held[--disk.nr_held];
	memdisk_give_back(r, memdisk_work(&disk, r));
}

void blk_drain(struct blk *b)
{
	while (b->nr_held) {
		if (b->draining)
			b->draining();
		memdisk_finish(0);
	}
}

#endif
