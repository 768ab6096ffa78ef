/* SPDX-License-Identifier: MIT */
/* write.c - writing what cannot be overwritten in place, write-zeroes and discard. */
#include <errno.h>
#include <stdlib.h>

#include "block/qcow2/qcow2.h"

enum { MAX_FREED = 65536 };

/* One run of guest clusters that get their bytes at once. */
struct fill {
	u64 first, nr; /* guest clusters */
	u64 host;      /* of the first */
	u64 off, len;  /* what the guest writes */
	u64 from, to;  /* what is written: with what was there before, up to whole (sub)clusters */
	bool taken;    /* the host clusters are new, and nothing refers to them */
	bool whole;    /* all subclusters, since the old cluster is left */
};

bool q_wait_busy(struct qcow *q, u64 first, u64 nr)
{
	bool waited = false;

again:
	for (struct qbusy *y = q->busy; y; y = y->next) {
		if (first < y->first + y->nr && y->first < first + nr) {
			lock_wait(&q->big, &q->idle);
			waited = true;
			goto again;
		}
	}
	return waited;
}

static u64 align_down(u64 x, u64 to)
{
	return x & ~(to - 1);
}

static u64 align_up(u64 x, u64 to)
{
	return align_down(x + to - 1, to);
}

/* Find room for [off, off + m->len), or for less of it. */
static int plan(struct qcow *q, const struct qmap *m, u64 off, struct fill *f)
{
	u64 mask = q->cluster - 1, unit, got;
	bool fresh = false, nothing;
	int r = 0;

	*f = (struct fill){.first = off >> q->cluster_bits, .off = off, .len = m->len};
	f->nr = q_clusters(q, (off & mask) + m->len);
	f->whole = q->ext_l2 && (m->kind == QK_COMPRESSED || (m->host && !m->copied));
	if (q->data != q->file) {
		f->host = align_down(off, q->cluster);
	} else if (m->copied) {
		f->host = align_down(m->host, q->cluster);
		if (q_overlaps_meta(q, f->host, f->nr << q->cluster_bits))
			return q_corrupt(q, "data where metadata is", f->host);
	} else {
		r = q_alloc(q, f->nr, false, &f->host, &got, &fresh);
		f->taken = true;
		if (r == 0 && got < f->nr) {
			f->nr = got;
			f->len = (got << q->cluster_bits) - (off & mask);
		}
	}
	nothing = m->kind == QK_ZERO || (m->kind == QK_BACKING && !q->has_backing);
	unit = f->whole ? q->cluster : 1ull << q->unit_bits;
	if (fresh && nothing && !f->whole)
		unit = 1;
	f->from = align_down(off, unit);
	f->to = align_up(off + f->len, unit);
	return r;
}

/* The guest's bytes, with what was around them before, in one transfer. */
static int fill_clusters(struct qcow *q, const struct fill *f, struct qiter *it)
{
	u64 head = f->off - f->from, tail = f->to - f->off - f->len;
	struct iovec iov[Q_IOVS + 2];
	unsigned n = 0, parts;
	u8 *around = NULL;
	int r = 0;

	if (head + tail) {
		around = malloc(head + tail);
		if (!around)
			return -ENOMEM;
		r = head ? q_read_range(q, f->from, around, head) : 0;
		if (r == 0 && tail)
			r = q_read_range(q, f->off + f->len, around + head, tail);
	}
	if (r == 0) {
		if (head)
			iov[n++] = (struct iovec){around, head};
		(void)!q_iter_take(it, f->len, iov + n, Q_IOVS, &parts);
		n += parts;
		if (tail)
			iov[n++] = (struct iovec){around + head, tail};
		r = hf_pwritev(q->data, f->host + (f->from - (f->first << q->cluster_bits)), iov,
			       n);
	}
	free(around);
	return r;
}

/* The subclusters of guest cluster c after the fill. */
static u64 new_bitmap(const struct qcow *q, const struct fill *f, u64 c, u64 entry, u64 bits)
{
	u64 start = c << q->cluster_bits, sub = 1ull << q->unit_bits;

	if (!q->ext_l2)
		return 0;
	if (f->whole)
		return Q_ALL_DATA;
	for (unsigned i = 0; i < Q_SUBCLUSTERS; i++) {
		u64 at = start + i * sub;

		if (at + sub > f->from && at < f->to)
			bits = (bits | 1ull << i) & ~(1ull << 32 << i);
	}
	return bits;
}

static int link_one(struct qcow *q, const struct fill *f, u64 i)
{
	u64 c = f->first + i, entry;
	u32 k = q_l2_index(q, c << q->cluster_bits);
	struct qpage *p;
	int r = q_l2_for_write(q, c << q->cluster_bits, &p);

	if (r)
		return r;
	entry = q_entry(q, p, k);
	r = f->taken ? q_free_entry(q, entry) : 0;
	if (r)
		return r;
	q_set_entry(q, p, k, (f->host + (i << q->cluster_bits)) | Q_COPIED,
		    new_bitmap(q, f, c, entry, q_bitmap(q, p, k)));
	return 0;
}

/* Let the disk's tables refer to what has been written, or give it back. */
static int link_clusters(struct qcow *q, const struct fill *f, int r)
{
	u64 i = 0;

	while (r == 0 && i < f->nr) {
		r = link_one(q, f, i);
		i += r == 0;
	}
	if (r && f->taken)
		(void)!q_rc_add(q, (f->host >> q->cluster_bits) + i, f->nr - i, -1);
	return r;
}

static int write_new_locked(struct qcow *q, const struct qmap *m, u64 off, struct qiter *it,
			    u64 *done)
{
	struct fill f;
	struct qbusy y, **yp;
	int r = plan(q, m, off, &f);

	if (r)
		return r;
	y = (struct qbusy){f.first, f.nr, q->busy};
	q->busy = &y;
	unlock(&q->big);
	r = fill_clusters(q, &f, it);
	lock(&q->big);
	if (r == 0 && q->corrupt)
		r = -EIO;
	r = link_clusters(q, &f, r);
	for (yp = &q->busy; *yp != &y; yp = &(*yp)->next)
		;
	*yp = y.next;
	pthread_cond_broadcast(&q->idle);
	*done = f.len;
	return r;
}

static int write_in_place_locked(struct qcow *q, const struct qmap *m, struct qiter *it)
{
	struct iovec iov[Q_IOVS];
	struct qop op;
	unsigned n;
	int r;

	if (q->data == q->file && q_overlaps_meta(q, m->host, m->len))
		return q_corrupt(q, "data where metadata is", m->host);
	lock(&q->map);
	q_op_begin_locked(q, &op);
	unlock(&q->map);
	unlock(&q->big);
	(void)!q_iter_take(it, m->len, iov, Q_IOVS, &n);
	r = hf_pwritev(q->data, m->host, iov, n);
	q_op_end(q, &op);
	lock(&q->big);
	return r;
}

static int write_some(struct qcow *q, u64 off, u64 len, struct qiter *it, u64 *done)
{
	struct qmap m;
	int r;

	do {
		r = q_begin_writing_locked(q);
		if (r == 0)
			r = q_map_locked(q, off, len, &m);
		if (r)
			return r;
		if (m.kind == QK_DATA && m.copied) {
			*done = m.len;
			return write_in_place_locked(q, &m, it);
		}
	} while (q_wait_busy(q, off >> q->cluster_bits,
			     q_clusters(q, (off & (q->cluster - 1)) + m.len)));
	if (q->freed.nr > MAX_FREED) {
		r = q_commit_locked(q);
		if (r)
			return r;
	}
	return write_new_locked(q, &m, off, it, done);
}

int qcow2_write(struct blk *b, u64 off, const struct iovec *iov, unsigned n)
{
	struct qcow *q = b->priv;
	struct qiter it = {iov, n};
	int r = 0;

	lock(&q->big);
	while (r == 0 && it.n) {
		struct iovec part[Q_IOVS];
		struct qiter ahead = it;
		unsigned parts;
		u64 len = q_iter_take(&ahead, ~0ull, part, Q_IOVS, &parts);

		if (!len)
			break;
		r = write_some(q, off, len, &it, &len);
		off += len;
	}
	unlock(&q->big);
	return r;
}

enum how { DISCARD, UNMAP, KEEP };

/* What a cluster's entry becomes; false: it stays. */
static bool new_entry(const struct qcow *q, enum how how, u64 *entry, u64 *bits)
{
	u64 e = *entry, b = *bits;
	bool there = e & (Q_COMPRESSED | Q_OFFSET) || (q->data != q->file && e & Q_COPIED);

	if (how == DISCARD && (!there || (q->version < 3 && q->has_backing)))
		return false;
	*entry = 0;
	*bits = 0;
	if (how == KEEP && there && (e & (Q_COPIED | Q_COMPRESSED)) == Q_COPIED)
		*entry = e & (Q_OFFSET | Q_COPIED);
	if (q->has_backing || *entry) {
		if (q->ext_l2)
			*bits = Q_ALL_ZERO;
		else
			*entry |= Q_ZERO;
	}
	return *entry != e || *bits != b;
}

static int punch_one(struct qcow *q, u64 c, enum how how)
{
	u64 off = c << q->cluster_bits, entry = 0, bits = 0, old;
	u32 k = q_l2_index(q, off);
	struct qpage *p;
	struct qmap m;
	int r;

	q_wait_busy(q, c, 1);
	r = q_begin_writing_locked(q);
	if (r == 0 && q->freed.nr > MAX_FREED)
		r = q_commit_locked(q);
	if (r == 0)
		r = q_map_locked(q, off, 1, &m);
	if (r)
		return r;
	p = q->l2.page[q_l1_index(q, off)];
	if (p) {
		entry = q_entry(q, p, k);
		bits = q_bitmap(q, p, k);
	}
	old = entry;
	if (!new_entry(q, how, &entry, &bits))
		return 0;
	r = q_l2_for_write(q, off, &p);
	if (r == 0 && !(entry & Q_OFFSET))
		r = q_free_entry(q, old);
	if (r == 0)
		q_set_entry(q, p, k, entry, bits);
	return r;
}

static int punch(struct qcow *q, u64 first, u64 nr, enum how how)
{
	u64 span = 1ull << q->l2_bits;
	int r = 0;

	lock(&q->big);
	for (u64 c = first; c < first + nr && r == 0;) {
		if (!(q->l1[c >> q->l2_bits] & Q_OFFSET) && (how == DISCARD || !q->has_backing)) {
			c = (c / span + 1) * span;
			continue;
		}
		r = punch_one(q, c++, how);
	}
	unlock(&q->big);
	return r;
}

static bool raw_data(const struct qcow *q)
{
	return q->data != q->file && q->autoclear & QA_RAW_DATA;
}

/* The whole clusters in a range, of which the disk's last may be short. */
static u64 whole_clusters(const struct qcow *q, u64 off, u64 len, u64 *first)
{
	u64 end = (off + len) >> q->cluster_bits;

	if (off + len == q->b->size)
		end = q_clusters(q, off + len);
	*first = q_clusters(q, off);
	return end > *first ? end - *first : 0;
}

int qcow2_discard(struct blk *b, u64 off, u64 len)
{
	struct qcow *q = b->priv;
	u64 first, nr = whole_clusters(q, off, len, &first);

	return raw_data(q) || !nr ? 0 : punch(q, first, nr, DISCARD);
}

/* Parts of clusters: bytes, but where it reads as zeroes already. */
static int zero_bytes(struct qcow *q, u64 off, u64 len)
{
	u8 *zeroes = calloc(1, q->cluster);
	int r = zeroes ? 0 : -ENOMEM;

	while (r == 0 && len) {
		struct qmap m;

		lock(&q->big);
		r = q_map_locked(q, off, len < q->cluster ? len : q->cluster, &m);
		unlock(&q->big);
		if (r)
			break;
		if (m.kind != QK_ZERO && (m.kind != QK_BACKING || q->has_backing))
			r = qcow2_write(q->b, off, &(struct iovec){zeroes, m.len}, 1);
		off += m.len;
		len -= m.len;
	}
	free(zeroes);
	return r;
}

int qcow2_zero(struct blk *b, u64 off, u64 len, bool unmap)
{
	struct qcow *q = b->priv;
	u64 first, nr = whole_clusters(q, off, len, &first), from, to;
	int r;

	if (raw_data(q) || (q->version < 3 && (q->has_backing || !unmap)))
		return -EOPNOTSUPP;
	if (!nr)
		return zero_bytes(q, off, len);
	from = first << q->cluster_bits;
	to = (first + nr) << q->cluster_bits;
	r = zero_bytes(q, off, from - off);
	if (r == 0)
		r = punch(q, first, nr, unmap ? UNMAP : KEEP);
	return r == 0 && to < off + len ? zero_bytes(q, to, off + len - to) : r;
}
