/* SPDX-License-Identifier: MIT */
/* refcount.c - which host clusters are in use: counting, giving out, the refcount table's growth.
 */
#include <errno.h>
#include <stdlib.h>

#include "block/qcow2/qcow2.h"

int q_refs_add(struct qrefs *l, u64 cluster, u64 nr)
{
	struct qref *last = l->nr ? &l->ref[l->nr - 1] : NULL;

	if (last && last->cluster + last->nr == cluster) {
		last->nr += nr;
		return 0;
	}
	if (l->nr == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct qref *ref = realloc(l->ref, room * sizeof(*ref));

		if (!ref)
			return -ENOMEM;
		l->ref = ref;
		l->room = room;
	}
	l->ref[l->nr++] = (struct qref){cluster, nr};
	return 0;
}

static size_t set_slot(const struct qset *s, u64 key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15ull >> 20) & (s->room - 1);

	while (s->slot[i] && s->slot[i] != key)
		i = (i + 1) & (s->room - 1);
	return i;
}

bool q_set_has(const struct qset *s, u64 cluster)
{
	return s->room && s->slot[set_slot(s, cluster + 1)];
}

static int set_grow(struct qset *s)
{
	struct qset n = {.nr = s->nr, .room = s->room ? s->room * 2 : 64};

	n.slot = calloc(n.room, sizeof(*n.slot));
	if (!n.slot)
		return -ENOMEM;
	for (size_t i = 0; i < s->room; i++)
		if (s->slot[i])
			n.slot[set_slot(&n, s->slot[i])] = s->slot[i];
	free(s->slot);
	*s = n;
	return 0;
}

int q_set_add(struct qset *s, u64 cluster)
{
	size_t i;

	if (s->nr * 2 >= s->room) {
		int r = set_grow(s);

		if (r)
			return r;
	}
	i = set_slot(s, cluster + 1);
	s->nr += s->slot[i] == 0;
	s->slot[i] = cluster + 1;
	return 0;
}

void q_set_del(struct qset *s, u64 cluster)
{
	size_t i;

	if (!q_set_has(s, cluster))
		return;
	i = set_slot(s, cluster + 1);
	s->slot[i] = 0;
	s->nr--;
	/* What probed past this slot has to be found without it. */
	for (i = (i + 1) & (s->room - 1); s->slot[i]; i = (i + 1) & (s->room - 1)) {
		u64 key = s->slot[i];

		s->slot[i] = 0;
		s->slot[set_slot(s, key)] = key;
	}
}

int q_table_read(struct qcow *q, u64 off, u64 *t, u32 n)
{
	int r = n ? hf_pread(q->file, off, t, n * 8ul) : 0;

	for (u32 i = 0; r == 0 && i < n; i++)
		t[i] = ld_be64(t + i);
	return r;
}

u64 q_rc_load(const u8 *block, unsigned order, u64 i)
{
	unsigned per = 8 >> order;

	switch (order) {
	case 3: return block[i];
	case 4: return ld_be16(block + i * 2);
	case 5: return ld_be32(block + i * 4);
	case 6: return ld_be64(block + i * 8);
	default: return block[i / per] >> (i % per << order) & q_rc_max(order);
	}
}

void q_rc_store(u8 *block, unsigned order, u64 i, u64 val)
{
	unsigned per = 8 >> order, shift;
	u8 mask;

	switch (order) {
	case 3: block[i] = (u8)val; return;
	case 4: st_be16(block + i * 2, (u16)val); return;
	case 5: st_be32(block + i * 4, (u32)val); return;
	case 6: st_be64(block + i * 8, val); return;
	default: break;
	}
	shift = (unsigned)(i % per) << order;
	mask = (u8)(q_rc_max(order) << shift);
	block[i / per] = (u8)((block[i / per] & ~mask) | (val << shift & mask));
}

static u64 table_entries(const struct qcow *q)
{
	return (u64)q->reftable_clusters << (q->cluster_bits - 3);
}

/* The block that counts this cluster; NULL and 0: there is none yet. */
static struct qpage *block_of(struct qcow *q, u64 cluster, int *r)
{
	u64 idx = cluster >> q->rb_bits, host;

	*r = 0;
	if (idx >= table_entries(q))
		return NULL;
	host = q->reftable[idx];
	if (!host)
		return NULL;
	if (host % q->cluster || host >= q->file_end) {
		*r = q_corrupt(q, "bad refcount block", host);
		return NULL;
	}
	return q_page_get(q, &q->rb, (u32)idx, host, true, r);
}

static u64 in_block(const struct qcow *q, u64 cluster)
{
	return cluster & ((1ull << q->rb_bits) - 1);
}

int q_rc_get(struct qcow *q, u64 cluster, u64 *val)
{
	int r;
	struct qpage *p = block_of(q, cluster, &r);

	*val = p ? q_rc_load(p->data, q->refcount_order, in_block(q, cluster)) : 0;
	return r;
}

static void store(struct qcow *q, struct qpage *p, u64 i, u64 val)
{
	u32 len = 1u << q->refcount_order >> 3;

	q_rc_store(p->data, q->refcount_order, i, val);
	q_page_dirty(p, (u32)(i << q->refcount_order >> 3), len ? len : 1);
	q->rb_dirty = true;
}

static int meta_add(struct qcow *q, u64 host, u64 nr)
{
	int r = 0;

	lock(&q->map);
	for (u64 i = 0; i < nr && r == 0; i++)
		r = q_set_add(&q->meta, (host >> q->cluster_bits) + i);
	unlock(&q->map);
	return r;
}

static void used_to(struct qcow *q, u64 end)
{
	lock(&q->map);
	if (end > q->file_end)
		q->file_end = end;
	unlock(&q->map);
}

/*
 * A block whose first count is its own.  It is on the medium before the table refers to it,
 * and that is there before anything it counts is referred to, by the commit's order.
 */
static int new_block(struct qcow *q, u64 idx)
{
	u64 cluster = idx << q->rb_bits, host = cluster << q->cluster_bits;
	u8 entry[8];
	struct qpage *p;
	int r;

	if (host > Q_OFFSET)
		return -EFBIG;
	if (q_overlaps_meta(q, host, q->cluster))
		return q_corrupt(q, "a free cluster holds metadata", host);
	p = q_page_get(q, &q->rb, (u32)idx, host, false, &r);
	if (!p)
		return r;
	used_to(q, host + q->cluster);
	q_rc_store(p->data, q->refcount_order, 0, 1);
	r = meta_add(q, host, 1);
	if (r == 0)
		r = hf_pwrite(q->file, host, p->data, q->cluster);
	if (r == 0 && !(q->incompatible & QI_DIRTY))
		r = q_sync(q);
	st_be64(entry, host);
	if (r == 0)
		r = hf_pwrite(q->file, q->reftable_off + idx * 8, entry, 8);
	if (r == 0) {
		q->reftable[idx] = host;
		return 0;
	}
	q_page_drop(q, &q->rb, (u32)idx);
	lock(&q->map);
	q_set_del(&q->meta, cluster);
	unlock(&q->map);
	return r;
}

/* Where a bigger table and the blocks that count it go: behind all that the old one counts. */
struct growth {
	u64 first, entries;
	u32 blocks, clusters;
	u64 *table;
};

static int plan_growth(struct qcow *q, struct growth *g)
{
	u64 per = 1ull << q->rb_bits, old = table_entries(q), n;

	*g = (struct growth){.first = old << q->rb_bits, .blocks = 1};
	do {
		n = q_clusters(q, (old + g->blocks + 1) * 8);
		g->clusters = (u32)n;
		if (g->clusters < q->reftable_clusters + q->reftable_clusters / 2 + 1)
			g->clusters = q->reftable_clusters + q->reftable_clusters / 2 + 1;
		n = (g->blocks + g->clusters + per - 1) / per;
		if (n <= g->blocks)
			break;
		g->blocks = (u32)n;
	} while (true);
	g->entries = (u64)g->clusters << (q->cluster_bits - 3);
	if ((u64)g->clusters << q->cluster_bits > Q_MAX_REFTABLE_BYTES)
		return -EFBIG;
	if ((g->first + g->blocks + g->clusters) << q->cluster_bits > Q_OFFSET)
		return -EFBIG;
	g->table = calloc(g->entries, 8);
	if (!g->table)
		return -ENOMEM;
	memcpy(g->table, q->reftable, old * 8);
	for (u32 i = 0; i < g->blocks; i++)
		g->table[old + i] = (g->first + i) << q->cluster_bits;
	return 0;
}

static int write_growth(struct qcow *q, const struct growth *g)
{
	u64 left = g->blocks + g->clusters, per = 1ull << q->rb_bits;
	size_t len = (size_t)g->clusters << q->cluster_bits;
	u8 *buf = calloc(1, len > q->cluster ? len : q->cluster);
	int r = buf ? 0 : -ENOMEM;

	for (u32 i = 0; i < g->blocks && r == 0; i++) {
		memset(buf, 0, q->cluster);
		for (u64 k = 0; k < per && left; k++, left--)
			q_rc_store(buf, q->refcount_order, k, 1);
		r = hf_pwrite(q->file, (g->first + i) << q->cluster_bits, buf, q->cluster);
	}
	for (u64 i = 0; i < g->entries && r == 0; i++)
		st_be64(buf + i * 8, g->table[i]);
	if (r == 0)
		r = hf_pwrite(q->file, (g->first + g->blocks) << q->cluster_bits, buf, len);
	free(buf);
	return r ? r : q_sync(q);
}

static int grow_table(struct qcow *q)
{
	u64 old_off = q->reftable_off, host;
	u32 old_clusters = q->reftable_clusters;
	struct growth g;
	u8 field[12];
	int r = plan_growth(q, &g);

	if (r)
		return r;
	host = (g.first + g.blocks) << q->cluster_bits;
	used_to(q, (g.first + g.blocks + g.clusters) << q->cluster_bits);
	r = write_growth(q, &g);
	if (r == 0)
		r = meta_add(q, g.first << q->cluster_bits, g.blocks + g.clusters);
	if (r == 0)
		r = q_cache_grow(&q->rb, (u32)g.entries);
	if (r) {
		free(g.table);
		return r;
	}
	st_be64(field, host);
	st_be32(field + 8, g.clusters);
	r = q_header_set(q, QH_REFTABLE_OFF, field, sizeof(field));
	if (r == 0)
		r = q_sync(q);
	if (r) { /* Which of the two the header has is not known any more. */
		q->failed = true;
		free(g.table);
		return r;
	}
	free(q->reftable);
	q->reftable = g.table;
	q->reftable_off = host;
	q->reftable_clusters = g.clusters;
	lock(&q->map);
	for (u32 i = 0; i < old_clusters; i++)
		q_set_del(&q->meta, (old_off >> q->cluster_bits) + i);
	unlock(&q->map);
	return q_rc_add(q, old_off >> q->cluster_bits, old_clusters, -1);
}

/* The block of a cluster, made if need be. */
static struct qpage *need_block(struct qcow *q, u64 cluster, int *r)
{
	struct qpage *p;

	*r = 0;
	while (*r == 0 && cluster >> q->rb_bits >= table_entries(q))
		*r = grow_table(q);
	if (*r)
		return NULL;
	p = block_of(q, cluster, r);
	if (p || *r)
		return p;
	*r = new_block(q, cluster >> q->rb_bits);
	return *r ? NULL : block_of(q, cluster, r);
}

int q_rc_set(struct qcow *q, u64 cluster, u64 val)
{
	int r;
	struct qpage *p = need_block(q, cluster, &r);

	if (!p)
		return r;
	store(q, p, in_block(q, cluster), val);
	if (val == 0 && cluster < q->free_hint)
		q->free_hint = cluster;
	if (val == 0 && q->packed >> q->cluster_bits == cluster)
		q->packed = 0;
	if (val == 0)
		q_unpacked_forget(q, cluster);
	return 0;
}

int q_rc_add(struct qcow *q, u64 cluster, u64 nr, int delta)
{
	for (u64 i = 0; i < nr; i++) {
		u64 val;
		int r = q_rc_get(q, cluster + i, &val);

		if (r)
			return r;
		if (val == 0)
			return q_corrupt(q, "a cluster in use counts as free",
					 (cluster + i) << q->cluster_bits);
		if (delta > 0 && val >= q_rc_max(q->refcount_order))
			return -EOVERFLOW;
		r = q_rc_set(q, cluster + i, val + (u64)(i64)delta);
		if (r)
			return r;
	}
	return 0;
}

/* The first block behind all blocks and all that the file has. */
static u64 end_index(const struct qcow *q)
{
	u64 idx = table_entries(q), used = q_clusters(q, q->file_end) >> q->rb_bits;

	while (idx && !q->reftable[idx - 1])
		idx--;
	used += (q_clusters(q, q->file_end) & ((1ull << q->rb_bits) - 1)) != 0;
	return idx > used ? idx : used;
}

/* nr blocks in a row that count themselves first, on the medium before the table has them. */
static int write_region(struct qcow *q, u64 idx, u64 nr)
{
	u64 per = 1ull << q->rb_bits, host = idx << q->rb_bits << q->cluster_bits;
	u8 *buf = malloc(q->cluster), *entries = calloc(nr, 8);
	int r = buf && entries ? 0 : -ENOMEM;

	for (u64 i = 0; i < nr && r == 0; i++) {
		memset(buf, 0, q->cluster);
		for (u64 k = 0; k < per && i * per + k < nr; k++)
			q_rc_store(buf, q->refcount_order, k, 1);
		st_be64(entries + i * 8, host + (i << q->cluster_bits));
		r = hf_pwrite(q->file, host + (i << q->cluster_bits), buf, q->cluster);
	}
	if (r == 0)
		r = q_sync(q);
	if (r == 0) {
		r = hf_pwrite(q->file, q->reftable_off + idx * 8, entries, nr * 8);
		q->failed |= r != 0; /* which of them the file has is not known any more */
	}
	free(buf);
	free(entries);
	return r;
}

/*
 * For more clusters in a row than lie between two blocks: blocks side by side, at the end, and
 * what they count behind them.
 */
static int open_region(struct qcow *q, u64 want, u64 *at)
{
	u64 per = 1ull << q->rb_bits, nr = (want + per - 2) / (per - 1), idx = end_index(q), host;
	int r = 0;

	for (; r == 0 && idx + nr > table_entries(q); idx = end_index(q))
		r = grow_table(q);
	if (r)
		return r;
	host = idx << q->rb_bits << q->cluster_bits;
	r = meta_add(q, host, nr);
	if (r == 0)
		r = write_region(q, idx, nr);
	if (r) {
		q_move_meta(q, host, nr, 0, 0);
		return r;
	}
	used_to(q, host + (nr << q->cluster_bits));
	for (u64 i = 0; i < nr; i++)
		q->reftable[idx + i] = host + (i << q->cluster_bits);
	*at = (idx << q->rb_bits) + nr;
	return 0;
}

/* From *at on: nr free clusters in a row, at most want. */
static int find_free(struct qcow *q, u64 want, bool all, u64 *at, u64 *nr)
{
	u64 c = *at, run = 0;

	while (run < want) {
		int r;
		struct qpage *p = need_block(q, c, &r);

		if (!p)
			return r;
		for (u64 i = in_block(q, c); i < 1ull << q->rb_bits && run < want; i++, c++) {
			if (q_rc_load(p->data, q->refcount_order, i) == 0)
				run++;
			else if (run && !all)
				goto found;
			else
				run = 0;
		}
	}
found:
	*at = c - run;
	*nr = run;
	return 0;
}

int q_alloc(struct qcow *q, u64 want, bool all, u64 *host, u64 *got, bool *fresh)
{
	u64 at, nr = 0;
	int r;

	q_reap_locked(q);
	at = q->free_hint;
	if (all && want >= 1ull << q->rb_bits) {
		nr = want;
		r = open_region(q, want, &at);
	} else {
		r = find_free(q, want, all, &at, &nr);
	}
	if (r)
		return r;
	*host = at << q->cluster_bits;
	if ((at + nr) << q->cluster_bits > Q_OFFSET)
		return -EFBIG;
	if (q_overlaps_meta(q, *host, nr << q->cluster_bits))
		return q_corrupt(q, "a free cluster holds metadata", *host);
	for (u64 i = 0; i < nr; i++) {
		r = q_rc_set(q, at + i, 1);
		if (r)
			return r;
	}
	if (!all)
		q->free_hint = at + nr;
	*got = nr;
	*fresh = *host >= q->file_end;
	used_to(q, (at + nr) << q->cluster_bits);
	return 0;
}
