/* SPDX-License-Identifier: MIT */
/* map.c - from guest offsets to what is there: L1 and L2 tables, and locate() above them. */
#include <errno.h>

#include "block/qcow2/qcow2.h"

u64 q_l1_index(const struct qcow *q, u64 off)
{
	return off >> (q->cluster_bits + q->l2_bits);
}

u32 q_l2_index(const struct qcow *q, u64 off)
{
	return (u32)(off >> q->cluster_bits & ((1ull << q->l2_bits) - 1));
}

u64 q_entry(const struct qcow *q, const struct qpage *p, u32 i)
{
	return ld_be64(p->data + i * q->entry_size);
}

u64 q_bitmap(const struct qcow *q, const struct qpage *p, u32 i)
{
	return q->ext_l2 ? ld_be64(p->data + i * q->entry_size + 8) : 0;
}

void q_set_entry(struct qcow *q, struct qpage *p, u32 i, u64 entry, u64 bitmap)
{
	lock(&q->map);
	st_be64(p->data + i * q->entry_size, entry);
	if (q->ext_l2)
		st_be64(p->data + i * q->entry_size + 8, bitmap);
	unlock(&q->map);
	q_page_dirty(p, i * q->entry_size, q->entry_size);
	q->l2_dirty = true;
}

bool q_overlaps_meta(const struct qcow *q, u64 host, u64 len)
{
	for (u64 c = host >> q->cluster_bits; c < q_clusters(q, host + len); c++)
		if (q_set_has(&q->meta, c))
			return true;
	return false;
}

void q_compressed_at(const struct qcow *q, u64 entry, u64 *off, u32 *len)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	u64 sectors = ((entry & ~Q_COMPRESSED) >> x & ((1ull << (q->cluster_bits - 8)) - 1)) + 1;

	*off = entry & ((1ull << x) - 1) & (Q_OFFSET | (BLK_SECTOR - 1));
	*len = (u32)(sectors * BLK_SECTOR - *off % BLK_SECTOR);
}

/* The state of the (sub)cluster at off; -EBADMSG: that makes no sense. */
static int unit_at(const struct qcow *q, const struct qpage *p, u64 off, struct qmap *u)
{
	u32 i = q_l2_index(q, off);
	u64 entry = q_entry(q, p, i), host = entry & Q_OFFSET;
	bool outside = q->data != q->file, there, data, zero;

	*u = (struct qmap){.kind = QK_BACKING, .host = entry};
	if (entry & Q_COMPRESSED) {
		u->kind = QK_COMPRESSED;
		return outside ? -EBADMSG : 0;
	}
	there = host || (outside && entry & Q_COPIED);
	if (q->ext_l2) {
		u64 bits = q_bitmap(q, p, i);
		unsigned sub = (unsigned)(off >> q->unit_bits) % Q_SUBCLUSTERS;

		data = bits >> sub & 1;
		zero = bits >> 32 >> sub & 1;
		if (data && (zero || !there))
			return -EBADMSG;
	} else {
		zero = q->version >= 3 && entry & Q_ZERO;
		data = there && !zero;
	}
	u->kind = data ? QK_DATA : zero ? QK_ZERO : QK_BACKING;
	u->copied = there && entry & Q_COPIED;
	u->host = there ? host + (off & (q->cluster - 1)) : 0;
	if (!there)
		return 0;
	if (host % q->cluster || (outside && host != (off & ~(u64)(q->cluster - 1))))
		return -EBADMSG;
	return outside || host < q->file_end ? 0 : -EBADMSG;
}

static bool continues(const struct qcow *q, const struct qmap *m, const struct qmap *u, u64 dist)
{
	if (u->kind != m->kind || u->copied != m->copied || m->kind == QK_COMPRESSED)
		return false;
	if (!m->host != !u->host && q->data == q->file)
		return false;
	return !m->host || u->host == m->host + dist;
}

static int map_page(const struct qcow *q, const struct qpage *p, u64 off, u64 len, struct qmap *m)
{
	u64 unit = 1ull << q->unit_bits, at;
	u64 span = 1ull << (q->cluster_bits + q->l2_bits), left = span - (off & (span - 1));
	int r = unit_at(q, p, off, m);

	if (r)
		return r;
	len = len < left ? len : left;
	if (m->kind == QK_COMPRESSED)
		unit = q->cluster;
	for (at = unit - (off & (unit - 1)); at < len; at += unit) {
		struct qmap u;

		if (unit_at(q, p, off + at, &u) || !continues(q, m, &u, at))
			break;
	}
	m->len = at < len ? at : len;
	return 0;
}

static bool bad_l1(const struct qcow *q, u64 entry)
{
	return (entry & Q_OFFSET) % q->cluster || (entry & Q_OFFSET) >= q->file_end;
}

/* No L2 table here: nothing as far as there is none. */
static void map_hole(const struct qcow *q, u64 off, u64 len, struct qmap *m)
{
	u64 i = q_l1_index(q, off), span = 1ull << (q->cluster_bits + q->l2_bits);
	u64 left = span - (off & (span - 1));

	while (left < len && !(q->l1[++i] & Q_OFFSET))
		left += span;
	*m = (struct qmap){.kind = QK_BACKING, .len = left < len ? left : len};
}

int q_map_locked(struct qcow *q, u64 off, u64 len, struct qmap *m)
{
	u64 i = q_l1_index(q, off), entry = q->l1[i];
	struct qpage *p;
	int r;

	if (!(entry & Q_OFFSET)) {
		map_hole(q, off, len, m);
		return 0;
	}
	if (bad_l1(q, entry))
		return q_corrupt(q, "bad L2 table", entry & Q_OFFSET);
	p = q_page_get(q, &q->l2, (u32)i, entry & Q_OFFSET, true, &r);
	if (!p)
		return r;
	r = map_page(q, p, off, len, m);
	return r ? q_corrupt(q, "bad L2 entry for the disk", off) : 0;
}

/* With q->map held. */
static int map_cached(struct qcow *q, u64 off, u64 len, struct qmap *m)
{
	u64 i = q_l1_index(q, off);
	struct qpage *p = q->l2.page[i];

	if (!(q->l1[i] & Q_OFFSET)) {
		map_hole(q, off, len, m);
		return 0;
	}
	if (!p || map_page(q, p, off, len, m))
		return -EAGAIN;
	return 0;
}

void q_op_begin_locked(struct qcow *q, struct qop *op)
{
	op->gen = q->gen;
	op->next = q->ops;
	op->prev = &q->ops;
	if (q->ops)
		q->ops->prev = &op->next;
	q->ops = op;
}

void q_op_end(struct qcow *q, struct qop *op)
{
	lock(&q->map);
	*op->prev = op->next;
	if (op->next)
		op->next->prev = op->prev;
	unlock(&q->map);
}

int q_map(struct qcow *q, u64 off, u64 len, struct qmap *m, struct qop *op)
{
	int r;

	lock(&q->map);
	r = map_cached(q, off, len, m);
	if (r == 0)
		q_op_begin_locked(q, op);
	unlock(&q->map);
	if (r != -EAGAIN)
		return r;
	lock(&q->big);
	r = q_map_locked(q, off, len, m);
	if (r == 0) {
		lock(&q->map);
		q_op_begin_locked(q, op);
		unlock(&q->map);
	}
	unlock(&q->big);
	return r;
}

int q_l2_for_write(struct qcow *q, u64 off, struct qpage **p)
{
	u32 i = (u32)q_l1_index(q, off);
	u64 old = q->l1[i], host, got;
	bool fresh;
	int r = 0;

	if (old & Q_OFFSET && bad_l1(q, old))
		return q_corrupt(q, "bad L2 table", old & Q_OFFSET);
	if (old & Q_OFFSET && old & Q_COPIED) {
		*p = q_page_get(q, &q->l2, i, old & Q_OFFSET, true, &r);
		return r;
	}
	r = q_alloc(q, 1, false, &host, &got, &fresh);
	if (r)
		return r;
	*p = q_page_get(q, &q->l2, i, old & Q_OFFSET, old & Q_OFFSET, &r);
	lock(&q->map);
	if (r == 0)
		r = q_set_add(&q->meta, host >> q->cluster_bits);
	unlock(&q->map);
	if (r == 0 && old & Q_OFFSET)
		r = q_defer_locked(q, (old & Q_OFFSET) >> q->cluster_bits, 1);
	lock(&q->map);
	if (r)
		q_set_del(&q->meta, host >> q->cluster_bits);
	else if (old & Q_OFFSET)
		q_set_del(&q->meta, (old & Q_OFFSET) >> q->cluster_bits);
	if (r == 0)
		q->l1[i] = host | Q_COPIED;
	unlock(&q->map);
	if (r)
		return q_rc_add(q, host >> q->cluster_bits, 1, -1) ? -EIO : r;
	(*p)->host = host;
	(*p)->fresh = true;
	if (q->l1_lo == q->l1_hi)
		q->l1_lo = q->l1_hi = i;
	q->l1_lo = i < q->l1_lo ? i : q->l1_lo;
	q->l1_hi = i + 1 > q->l1_hi ? i + 1 : q->l1_hi;
	q->l2_dirty = true;
	return 0;
}

int q_free_entry(struct qcow *q, u64 entry)
{
	u64 off = entry & Q_OFFSET, first;
	u32 len = 1;

	if (entry & Q_COMPRESSED)
		q_compressed_at(q, entry, &off, &len);
	if (q->data != q->file || !off)
		return 0;
	first = off >> q->cluster_bits;
	return q_defer_locked(q, first, ((off + len - 1) >> q->cluster_bits) - first + 1);
}

int qcow2_locate(struct blk *b, enum blk_op op, u64 off, u64 len, struct blk_extent *x)
{
	struct qcow *q = b->priv;
	struct qmap m;
	int r;

	lock(&q->map);
	r = map_cached(q, off, len, &m);
	if (r == 0 && op == BLK_WRITE &&
	    (m.kind != QK_DATA || !m.copied || !q->writing || q->corrupt || q->failed))
		r = -EAGAIN;
	if (r == 0 && op == BLK_WRITE && q->data == q->file && q_overlaps_meta(q, m.host, m.len))
		r = -EAGAIN;
	unlock(&q->map);
	if (r)
		return r;
	*x = (struct blk_extent){.len = m.len};
	if (m.kind == QK_COMPRESSED || (m.kind == QK_BACKING && q->has_backing))
		return -EAGAIN;
	if (m.kind == QK_DATA) {
		x->f = q->data;
		x->off = m.host;
	}
	return 0;
}

int qcow2_status(struct blk *b, u64 off, u64 len, struct blk_status *st)
{
	struct qcow *q = b->priv;
	struct qmap m;
	int r;

	lock(&q->big);
	r = q_map_locked(q, off, len, &m);
	unlock(&q->big);
	if (r)
		return r;
	*st = (struct blk_status){
		.len = m.len,
		.zero = m.kind == QK_ZERO,
		.data = m.kind == QK_DATA || m.kind == QK_COMPRESSED,
		.compressed = m.kind == QK_COMPRESSED,
		.has_offset = m.kind == QK_DATA,
		.offset = m.kind == QK_DATA ? m.host : 0,
	};
	return 0;
}
