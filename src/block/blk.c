/* SPDX-License-Identifier: MIT */
/* blk.c - disks: the blocking calls, and the list of a machine's. */
#include <errno.h>
#include <stdlib.h>

#include "block/core.h"

u64 blk_size(const struct blk *b)
{
	return b->size;
}

static int write_zero_bytes(struct blk *b, u64 off, u64 len)
{
	static const u8 zeroes[64 << 10];
	int r = 0;

	while (len && r == 0) {
		size_t n = len < sizeof(zeroes) ? (size_t)len : sizeof(zeroes);
		struct iovec iov = {(void *)zeroes, n};

		r = b->format->write(b, off, &iov, 1);
		off += n;
		len -= n;
	}
	return r;
}

static int zero(struct blk *b, u64 off, u64 len, bool unmap)
{
	int r = b->format->zero ? b->format->zero(b, off, len, unmap) : -EOPNOTSUPP;

	return r == -EOPNOTSUPP ? write_zero_bytes(b, off, len) : r;
}

int blk_serve(struct blk *b, const struct blk_req *req)
{
	const struct blk_format *fmt = b->format;
	int r = blk_check_req(b, req);

	if (r)
		return r;
	switch (req->op) {
	case BLK_READ: return fmt->read(b, req->offset, req->iov, req->iovcnt);
	case BLK_WRITE: r = fmt->write(b, req->offset, req->iov, req->iovcnt); break;
	case BLK_DISCARD: r = fmt->discard(b, req->offset, req->len); break;
	case BLK_WRITE_ZEROES: r = zero(b, req->offset, req->len, req->flags & BLK_UNMAP); break;
	case BLK_FLUSH: return b->read_only ? 0 : fmt->flush(b);
	default: return -EINVAL;
	}
	return r == 0 && req->flags & BLK_FUA ? fmt->flush(b) : r;
}

int blk_read(struct blk *b, u64 off, void *buf, size_t len)
{
	struct iovec iov = {buf, len};

	return blk_serve(
		b, &(struct blk_req){
			   .op = BLK_READ, .offset = off, .len = len, .iov = &iov, .iovcnt = 1});
}

int blk_write(struct blk *b, u64 off, const void *buf, size_t len)
{
	struct iovec iov = {(void *)buf, len};

	return blk_serve(
		b, &(struct blk_req){
			   .op = BLK_WRITE, .offset = off, .len = len, .iov = &iov, .iovcnt = 1});
}

int blk_flush(struct blk *b)
{
	return blk_serve(b, &(struct blk_req){.op = BLK_FLUSH});
}

int blk_discard(struct blk *b, u64 off, u64 len)
{
	return blk_serve(b, &(struct blk_req){.op = BLK_DISCARD, .offset = off, .len = len});
}

int blk_write_zeroes(struct blk *b, u64 off, u64 len, u32 flags)
{
	return blk_serve(
		b, &(struct blk_req){
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

bool blk_is_guessed(const struct blk *b)
{
	return b->guessed;
}

const char *blk_path(const struct blk *b)
{
	return b->cfg->file;
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
	blk_core_attach(b, m);
	lock(&m->lock);
	b->next = m->disks;
	m->disks = b;
	unlock(&m->lock);
}

void blk_remove(struct machine *m, struct blk *b)
{
	blk_core_detach(b);
	lock(&m->lock);
	for (struct blk **p = &m->disks; *p; p = &(*p)->next) {
		if (*p == b) {
			*p = b->next;
			break;
		}
	}
	unlock(&m->lock);
}

struct blk *blk_next(struct machine *m, const struct blk *b)
{
	return b ? b->next : m->disks;
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

struct blk *blk_claim(struct machine *m, const char *id, struct blk_user *u, struct err *e)
{
	struct blk *b = blk_find(m, id);

	if (!b) {
		err_set(e, -EINVAL, "no disk '%s': name one that --disk has opened", id);
		return NULL;
	}
	if (b->user) {
		err_set(e, -EINVAL, "disk '%s' is that of %s; give it device=none, or name another",
			id, b->user->owner->id);
		return NULL;
	}
	b->user = u;
	return b;
}

void blk_release(struct blk *b, struct blk_user *u)
{
	if (b->user == u)
		b->user = NULL;
}
