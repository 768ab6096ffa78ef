/* SPDX-License-Identifier: MIT */
/* blk.c - disks: opening a chain of images, checking requests, handing them on. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "block/format.h"
#include "sundog/machine.h"

static int open_image(struct blk *b, struct err *e)
{
	const struct blk_cfg *cfg = b->cfg;
	unsigned flags = cfg->read_only ? 0 : HF_WRITE;
	int r;

	b->format = &blk_raw;
	for (unsigned i = 0; cfg->format && blk_formats[i]; i++)
		if (strcmp(blk_formats[i]->name, cfg->format) == 0)
			b->format = blk_formats[i];
	b->read_only = cfg->read_only;
	if (cfg->fd > 0)
		b->file = hf_from_fd(cfg->fd, cfg->file, flags, e);
	else
		b->file = hf_open(AT_FDCWD, cfg->file, flags, e);
	if (!b->file)
		return e->code;
	r = b->format->open(b, e);
	if (r || !b->backing_name)
		return r;
	b->backing = blk_open(&(struct blk_cfg){.file = b->backing_name,
						.format = b->backing_format,
						.read_only = true},
			      e);
	return b->backing ? 0 : e->code;
}

struct blk *blk_open(const struct blk_cfg *cfg, struct err *e)
{
	struct blk *b = calloc(1, sizeof(*b));
	struct err ignored;

	if (!b) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	b->own_cfg = *cfg;
	b->cfg = &b->own_cfg;
	if (open_image(b, e) == 0)
		return b;
	(void)!blk_close(b, &ignored);
	return NULL;
}

int blk_close(struct blk *b, struct err *e)
{
	int r = 0;

	if (b->file && b->format->close)
		r = b->format->close(b, e);
	if (b->backing)
		(void)!blk_close(b->backing, e);
	hf_close(b->file);
	free(b->backing_name);
	free(b->backing_format);
	free(b);
	return r;
}

u64 blk_size(const struct blk *b)
{
	return b->size;
}

static int check(const struct blk *b, enum blk_op op, u64 off, u64 len)
{
	if (!range_fits(off, len, b->size))
		return -EINVAL;
	return b->read_only && op != BLK_READ && op != BLK_FLUSH ? -EROFS : 0;
}

static int serve(struct blk *b, const struct blk_req *req)
{
	const struct blk_format *fmt = b->format;
	int r = check(b, req->op, req->offset, req->len);

	if (r)
		return r;
	switch (req->op) {
	case BLK_READ: return fmt->read(b, req->offset, req->iov, req->iovcnt);
	case BLK_WRITE: r = fmt->write(b, req->offset, req->iov, req->iovcnt); break;
	case BLK_DISCARD: r = fmt->discard(b, req->offset, req->len); break;
	case BLK_WRITE_ZEROES:
		r = fmt->zero(b, req->offset, req->len, req->flags & BLK_UNMAP);
		break;
	case BLK_FLUSH: return fmt->flush(b);
	}
	return r == 0 && req->flags & BLK_FUA ? fmt->flush(b) : r;
}

int blk_submit(struct blk *b, struct blk_req *req)
{
	return serve(b, req);
}

void blk_drain(struct blk *b)
{
}

int blk_read(struct blk *b, u64 off, void *buf, size_t len)
{
	struct iovec iov = {buf, len};

	return serve(b,
		     &(struct blk_req){
			     .op = BLK_READ, .offset = off, .len = len, .iov = &iov, .iovcnt = 1});
}

int blk_write(struct blk *b, u64 off, const void *buf, size_t len)
{
	struct iovec iov = {(void *)buf, len};

	return serve(b,
		     &(struct blk_req){
			     .op = BLK_WRITE, .offset = off, .len = len, .iov = &iov, .iovcnt = 1});
}

int blk_flush(struct blk *b)
{
	return serve(b, &(struct blk_req){.op = BLK_FLUSH});
}

int blk_discard(struct blk *b, u64 off, u64 len)
{
	return serve(b, &(struct blk_req){.op = BLK_DISCARD, .offset = off, .len = len});
}

int blk_write_zeroes(struct blk *b, u64 off, u64 len, u32 flags)
{
	return serve(b, &(struct blk_req){
				.op = BLK_WRITE_ZEROES, .offset = off, .len = len, .flags = flags});
}

bool blk_is_read_only(const struct blk *b)
{
	return b->read_only;
}

const char *blk_id(const struct blk *b)
{
	return b->cfg->id ? b->cfg->id : b->cfg->file;
}

const char *blk_format_name(const struct blk *b)
{
	return b->format->name;
}

const char *blk_path(const struct blk *b)
{
	return b->cfg->file;
}

void blk_quiesce_begin(struct blk *b)
{
}

void blk_quiesce_end(struct blk *b)
{
}

int blk_read_backing(struct blk *b, u64 off, const struct iovec *iov, unsigned n)
{
	u64 size = b->backing ? b->backing->size : 0;

	for (unsigned i = 0; i < n; off += iov[i++].iov_len) {
		size_t len = iov[i].iov_len;
		size_t there = off >= size ? 0 : size - off < len ? (size_t)(size - off) : len;
		int r = there ? blk_read(b->backing, off, iov[i].iov_base, there) : 0;

		if (r)
			return r;
		memset((u8 *)iov[i].iov_base + there, 0, len - there);
	}
	return 0;
}

void blk_add(struct machine *m, struct blk *b)
{
	lock(&m->lock);
	b->next = m->disks;
	m->disks = b;
	unlock(&m->lock);
}

void blk_remove(struct machine *m, struct blk *b)
{
	lock(&m->lock);
	for (struct blk **p = &m->disks; *p; p = &(*p)->next) {
		if (*p == b) {
			*p = b->next;
			break;
		}
	}
	unlock(&m->lock);
}

struct blk *blk_find(struct machine *m, const char *id)
{
	struct blk *b;

	lock(&m->lock);
	for (b = m->disks; b && strcmp(blk_id(b), id) != 0; b = b->next)
		;
	unlock(&m->lock);
	return b;
}
