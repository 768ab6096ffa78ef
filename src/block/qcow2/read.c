/* SPDX-License-Identifier: MIT */
/* read.c - reading what locate() could not say. */
#include <errno.h>

#include "block/qcow2/qcow2.h"

u64 q_iter_take(struct qiter *it, u64 len, struct iovec *to, unsigned max, unsigned *n)
{
	u64 taken = 0;

	for (*n = 0; *n < max && taken < len && it->n;) {
		size_t left = it->iov->iov_len - it->skip;
		size_t part = left < len - taken ? left : (size_t)(len - taken);

		if (part)
			to[(*n)++] = (struct iovec){(u8 *)it->iov->iov_base + it->skip, part};
		taken += part;
		it->skip += part;
		if (it->skip == it->iov->iov_len) {
			it->iov++;
			it->n--;
			it->skip = 0;
		}
	}
	return taken;
}

static int read_piece(struct qcow *q, const struct qmap *m, u64 off, const struct iovec *iov,
		      unsigned n)
{
	switch (m->kind) {
	case QK_DATA: return hf_preadv(q->data, m->host, iov, n);
	case QK_COMPRESSED: return q_read_compressed(q, m->host, off, iov, n);
	case QK_BACKING:
		if (q->has_backing)
			return blk_read_backing(q->b, off, iov, n);
		break;
	case QK_ZERO: break;
	}
	for (unsigned i = 0; i < n; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
	return 0;
}

static u64 iov_bytes(const struct iovec *iov, unsigned n)
{
	u64 len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

int qcow2_read(struct blk *b, u64 off, const struct iovec *iov, unsigned n)
{
	struct qcow *q = b->priv;
	struct qiter it = {iov, n};
	u64 len = iov_bytes(iov, n);

	while (len) {
		struct iovec part[Q_IOVS];
		unsigned parts;
		struct qmap m;
		struct qop op;
		u64 got;
		int r = q_map(q, off, len, &m, &op);

		if (r)
			return r;
		got = q_iter_take(&it, m.len, part, Q_IOVS, &parts);
		r = read_piece(q, &m, off, part, parts);
		q_op_end(q, &op);
		if (r)
			return r;
		off += got;
		len -= got;
	}
	return 0;
}

int q_read_range(struct qcow *q, u64 off, void *buf, u64 len)
{
	u64 there = off >= q->b->size ? 0 : q->b->size - off < len ? q->b->size - off : len;
	struct iovec iov = {buf, (size_t)there};

	memset((u8 *)buf + there, 0, (size_t)(len - there));
	return there ? qcow2_read(q->b, off, &iov, 1) : 0;
}
