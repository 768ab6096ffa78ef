/* SPDX-License-Identifier: MIT */
/* scatter.c - an image format for tests of the block core; see scatter.h. */
#include "block/scatter.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "block/format.h"
#include "core/test.h"

enum { BLOCK = 4096, MAX_BLOCKS = 4096 };

static struct {
	pthread_mutex_t mutex;	    /* the map; held by everything that is slow */
	unsigned place[MAX_BLOCKS]; /* in the file, plus 1; 0: nowhere, so zeroes */
	bool used[2 * MAX_BLOCKS];
	unsigned seed, room;
	u64 size;
} s = {.mutex = PTHREAD_MUTEX_INITIALIZER};

void scatter_room(unsigned blocks)
{
	pthread_mutex_lock(&s.mutex);
	s.room = blocks;
	pthread_mutex_unlock(&s.mutex);
}

void scatter_reset(u64 size, unsigned room)
{
	memset(s.place, 0, sizeof(s.place));
	memset(s.used, 0, sizeof(s.used));
	s.seed = 5;
	s.size = size;
	s.room = room;
}

static unsigned roll(unsigned n)
{
	return (unsigned)rand_r(&s.seed) % n;
}

/* A free place; mostly the one behind the last block, so that requests have long pieces. */
static int allocate(unsigned block, unsigned *place)
{
	unsigned at =
		block && s.place[block - 1] && roll(4) ? s.place[block - 1] : roll(2 * MAX_BLOCKS);

	if (!s.room)
		return -ENOSPC;
	s.room--;
	while (s.used[at % (2 * MAX_BLOCKS)])
		at++;
	at %= 2 * MAX_BLOCKS;
	s.used[at] = true;
	*place = at + 1;
	return 0;
}

static int scatter_open(struct blk *b, struct err *e)
{
	b->size = s.size;
	return 0;
}

static int scatter_locate(struct blk *b, enum blk_op op, u64 off, u64 len, struct blk_extent *x)
{
	unsigned block = (unsigned)(off / BLOCK), n = 1;
	u64 most;

	if (pthread_mutex_trylock(&s.mutex))
		return -EAGAIN;
	*x = (struct blk_extent){.len = BLOCK - off % BLOCK};
	if (s.place[block]) {
		x->f = b->file;
		x->off = (u64)(s.place[block] - 1) * BLOCK + off % BLOCK;
		for (; x->len < len && s.place[block + n] == s.place[block] + n; n++)
			x->len += BLOCK;
	}
	most = len;
	x->len = x->len < most ? x->len : most;
	pthread_mutex_unlock(&s.mutex);
	return x->f || op == BLK_READ ? 0 : -EAGAIN;
}

/* Copies one block elsewhere and spoils where it was. */
static int move(struct blk *b, unsigned block)
{
	unsigned old = s.place[block], place;
	u8 bytes[BLOCK];
	int r = allocate(block, &place);

	if (r)
		return r;
	blk_quiesce_begin(b);
	r = hf_pread(b->file, (u64)(old - 1) * BLOCK, bytes, BLOCK);
	if (r == 0)
		r = hf_pwrite(b->file, (u64)(place - 1) * BLOCK, bytes, BLOCK);
	s.place[block] = place;
	memset(bytes, 0xbd, BLOCK);
	if (r == 0)
		r = hf_pwrite(b->file, (u64)(old - 1) * BLOCK, bytes, BLOCK);
	s.used[old - 1] = false;
	blk_quiesce_end(b);
	return r;
}

static int one_block(struct blk *b, u64 off, u8 *buf, size_t len, bool write)
{
	unsigned block = (unsigned)(off / BLOCK), place;
	u8 bytes[BLOCK] = {0};
	int r;

	if (!write && !s.place[block]) {
		memset(buf, 0, len);
		return 0;
	}
	if (!write)
		return hf_pread(b->file, (u64)(s.place[block] - 1) * BLOCK + off % BLOCK, buf, len);
	if (s.place[block]) {
		r = roll(8) ? 0 : move(b, block);
		return r ? r
			 : hf_pwrite(b->file, (u64)(s.place[block] - 1) * BLOCK + off % BLOCK, buf,
				     len);
	}
	r = allocate(block, &place);
	if (r)
		return r;
	memcpy(bytes + off % BLOCK, buf, len);
	r = hf_pwrite(b->file, (u64)(place - 1) * BLOCK, bytes, BLOCK);
	s.place[block] = place;
	return r;
}

static int transfer(struct blk *b, u64 off, const struct iovec *iov, unsigned n, bool write)
{
	int r = 0;

	pthread_mutex_lock(&s.mutex);
	for (unsigned i = 0; i < n; i++) {
		u8 *p = iov[i].iov_base;

		for (size_t left = iov[i].iov_len; left && r == 0;) {
			size_t part = BLOCK - off % BLOCK < left ? BLOCK - off % BLOCK : left;

			r = one_block(b, off, p, part, write);
			p += part;
			off += part;
			left -= part;
		}
	}
	pthread_mutex_unlock(&s.mutex);
	return r;
}

static int scatter_read(struct blk *b, u64 off, const struct iovec *iov, unsigned n)
{
	return transfer(b, off, iov, n, false);
}

static int scatter_write(struct blk *b, u64 off, const struct iovec *iov, unsigned n)
{
	return transfer(b, off, iov, n, true);
}

static int scatter_flush(struct blk *b)
{
	return 0;
}

/* Whole blocks are freed. */
static int scatter_discard(struct blk *b, u64 off, u64 len)
{
	u64 first = (off + BLOCK - 1) / BLOCK, end = (off + len) / BLOCK;

	pthread_mutex_lock(&s.mutex);
	blk_quiesce_begin(b);
	for (; first < end; first++) {
		if (s.place[first])
			s.used[s.place[first] - 1] = false;
		s.place[first] = 0;
	}
	blk_quiesce_end(b);
	pthread_mutex_unlock(&s.mutex);
	return 0;
}

static int scatter_zero(struct blk *b, u64 off, u64 len, bool unmap)
{
	return -EOPNOTSUPP;
}

static const struct blk_format scatter = {
	.name = "scatter",
	.doc = "for tests",
	.open = scatter_open,
	.locate = scatter_locate,
	.read = scatter_read,
	.write = scatter_write,
	.flush = scatter_flush,
	.discard = scatter_discard,
	.zero = scatter_zero,
};

const struct blk_format *const blk_formats[] = {&blk_raw, &scatter, NULL};
