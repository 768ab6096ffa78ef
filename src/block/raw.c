/* SPDX-License-Identifier: MIT */
/* raw.c - an image without a format: byte n of the disk is byte n of the file. */
#include <errno.h>
#include <fcntl.h>

#include "block/format.h"
#include "block/image.h"

static int raw_open(struct blk *b, struct err *e)
{
	if (b->cfg->snapshot)
		return err_set(e, -EOPNOTSUPP, "%s: raw images have no snapshots", b->cfg->file);
	b->size = (hf_size(b->file) + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;
	return 0;
}

static int raw_locate(struct blk *b, enum blk_op op, u64 off, u64 len, struct blk_extent *x)
{
	*x = (struct blk_extent){.len = len, .f = b->file, .off = off};
	return 0;
}

static int raw_read(struct blk *b, u64 off, const struct iovec *iov, unsigned n)
{
	return hf_preadv(b->file, off, iov, n);
}

static int raw_write(struct blk *b, u64 off, const struct iovec *iov, unsigned n)
{
	return hf_pwritev(b->file, off, iov, n);
}

static int raw_flush(struct blk *b)
{
	return hf_sync(b->file);
}

static int raw_discard(struct blk *b, u64 off, u64 len)
{
	hf_discard(b->file, off, len);
	return 0;
}

static int raw_zero(struct blk *b, u64 off, u64 len, bool unmap)
{
	return hf_zero(b->file, off, len, unmap);
}

static int raw_status(struct blk *b, u64 off, u64 len, struct blk_status *st)
{
	u64 n;
	bool data;
	int r = hf_extent(b->file, off, &n, &data);

	*st = (struct blk_status){
		.len = n < len ? n : len,
		.data = data,
		.zero = !data,
		.has_offset = data,
		.offset = off,
	};
	return r;
}

static int raw_resize(struct blk *b, u64 size, struct err *e)
{
	int r = hf_truncate(b->file, size);

	if (r)
		return err_set(e, r, "cannot resize %s: %s", b->cfg->file, strerror(-r));
	b->size = size;
	return 0;
}

static int raw_create(const struct blk_create *c, struct err *e)
{
	struct hostfile *f;
	int r;

	if (c->prealloc == PREALLOC_METADATA)
		return err_set(e, -EINVAL,
			       "raw images have no metadata; preallocate falloc or full");
	f = hf_open(AT_FDCWD, c->path, HF_WRITE | HF_CREATE, e);
	if (!f)
		return e->code;
	r = hf_truncate(f, c->size);
	if (r == 0)
		r = blk_give_room(f, 0, c->size, c->prealloc);
	hf_close(f);
	return r ? err_set(e, r, "cannot make %s: %s", c->path, strerror(-r)) : 0;
}

const struct blk_format blk_raw = {
	.name = "raw",
	.doc = "the disk's bytes and nothing else",
	.open = raw_open,
	.locate = raw_locate,
	.plain = true,
	.read = raw_read,
	.write = raw_write,
	.flush = raw_flush,
	.discard = raw_discard,
	.zero = raw_zero,
	.status = raw_status,
	.resize = raw_resize,
	.create = raw_create,
};
