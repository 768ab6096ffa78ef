/* SPDX-License-Identifier: MIT */
/* count.c - how often each host cluster is referred to, by all tables of an image. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/qcow2/qcow2.h"

void q_found(struct qcount *k, u64 *counter, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	if (!k->c)
		return;
	++*counter;
	if (!k->c->found)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	k->c->found(k->c, text);
}

static void bad_entry(struct qcount *k, const char *what, u64 entry)
{
	u64 none, *errors = k->c ? &k->c->errors : &none;

	k->bad_entries++;
	q_found(k, errors, "ERROR %s: entry %#llx", what, (unsigned long long)entry);
}

/* False: it does not lie in the file. */
static bool refer(struct qcount *k, u64 off, u64 len)
{
	u64 end = k->nr << k->q->cluster_bits;

	if (!len)
		return true;
	if (!range_fits(off, len, end))
		return false;
	for (u64 c = off >> k->q->cluster_bits; c <= (off + len - 1) >> k->q->cluster_bits; c++)
		k->refs[c] += k->refs[c] != ~0u;
	return true;
}

static void note(struct qcount *k, u64 entry, u64 host)
{
	if (!k->c)
		return;
	k->c->allocated++;
	k->c->compressed += (entry & Q_COMPRESSED) != 0;
	k->c->fragmented += k->next_host && host != k->next_host;
	k->next_host = entry & Q_COMPRESSED ? 0 : host + k->q->cluster;
}

static void count_entry(struct qcount *k, u64 entry, bool active)
{
	struct qcow *q = k->q;
	u64 host = entry & Q_OFFSET;
	u32 len = q->cluster;

	if (entry & Q_COMPRESSED) {
		q_compressed_at(q, entry, &host, &len);
		/* Its last sector may lie behind the end of the file. */
		if (!range_fits(host, len, k->nr << q->cluster_bits) &&
		    host < k->nr << q->cluster_bits)
			len = (u32)((k->nr << q->cluster_bits) - host);
	} else if (!host) {
		return;
	} else if (host % q->cluster) {
		bad_entry(k, "data cluster is not aligned", entry);
		return;
	}
	if (q->data != q->file)
		return;
	if (active)
		note(k, entry, host);
	if (!refer(k, host, len))
		bad_entry(k, "data cluster is outside the file", entry);
}

static int count_l1(struct qcount *k, const u64 *l1, u32 n, bool active)
{
	struct qcow *q = k->q;
	u32 words = q->cluster / 8;
	u64 *table = malloc(q->cluster);
	struct qset seen = {0};
	int r = table ? 0 : -ENOMEM;

	for (u32 i = 0; i < n && r == 0; i++) {
		u64 host = l1[i] & Q_OFFSET;

		if (k->c && k->c->progress && active)
			k->c->progress(k->c, i, n);
		if (!host)
			continue;
		if (host % q->cluster || !refer(k, host, q->cluster)) {
			bad_entry(k, "L2 table is not aligned or outside the file", l1[i]);
			continue;
		}
		if (q_set_has(&seen, host >> q->cluster_bits)) {
			bad_entry(k, "L2 table is used twice", l1[i]);
			continue;
		}
		r = q_set_add(&seen, host >> q->cluster_bits);
		if (r == 0)
			r = q_table_read(q, host, table, words);
		for (u32 w = 0; w < words && r == 0; w += q->entry_size / 8)
			count_entry(k, table[w], active);
	}
	free(seen.slot);
	free(table);
	return r;
}

static int count_snapshot(struct qcount *k, const struct qsnap *s)
{
	u64 *l1;
	int r;

	if (!refer(k, s->l1_off, s->l1_size * 8ull)) {
		bad_entry(k, "L1 table of a snapshot is outside the file", s->l1_off);
		return 0;
	}
	l1 = calloc(s->l1_size + 1ul, 8);
	r = l1 ? q_table_read(k->q, s->l1_off, l1, s->l1_size) : -ENOMEM;
	if (r == 0)
		r = count_l1(k, l1, s->l1_size, false);
	free(l1);
	return r;
}

static int count_bitmap(struct qcount *k, u64 off, u32 n)
{
	u64 *table;
	int r;

	if (off % k->q->cluster || !refer(k, off, n * 8ull)) {
		bad_entry(k, "table of a bitmap", off);
		return 0;
	}
	table = calloc(n + 1ul, 8);
	r = table ? q_table_read(k->q, off, table, n) : -ENOMEM;
	for (u32 i = 0; i < n && r == 0; i++) {
		u64 host = table[i] & Q_OFFSET;

		if (host && (host % k->q->cluster || !refer(k, host, k->q->cluster)))
			bad_entry(k, "cluster of a bitmap", table[i]);
	}
	free(table);
	return r;
}

static int count_bitmaps(struct qcount *k)
{
	struct qcow *q = k->q;
	u32 len = 0;
	const u8 *x = q_extension(q, QX_BITMAPS, &len);
	u64 size, off, at = 0;
	int r = 0;

	if (!x || len < 24 || !(q->autoclear & QA_BITMAPS))
		return 0;
	size = ld_be64(x + 8);
	off = ld_be64(x + 16);
	if (off % q->cluster || !refer(k, off, size)) {
		bad_entry(k, "bitmap directory", off);
		return 0;
	}
	for (u32 i = 0; i < ld_be32(x) && r == 0 && range_fits(at, 24, size); i++) {
		u8 h[24];

		r = hf_pread(q->file, off + at, h, sizeof(h));
		if (r == 0)
			r = count_bitmap(k, ld_be64(h), ld_be32(h + 8));
		at += (24 + ld_be16(h + 18) + (u64)ld_be32(h + 20) + 7) / 8 * 8;
	}
	return r;
}

/*
 * Clusters in use that no block counts: a block made for them now would be put over one of them.
 */
static bool misses_blocks(const struct qcount *k)
{
	const struct qcow *q = k->q;
	u64 n = (u64)q->reftable_clusters << (q->cluster_bits - 3);

	for (u64 c = 0; c < k->nr; c++)
		if (k->refs[c] && (c >> q->rb_bits >= n || !q->reftable[c >> q->rb_bits]))
			return true;
	return false;
}

static void count_blocks(struct qcount *k)
{
	struct qcow *q = k->q;
	u32 n = q->reftable_clusters << (q->cluster_bits - 3);

	if (!refer(k, q->reftable_off, (u64)q->reftable_clusters << q->cluster_bits)) {
		q_found(k, &k->c->errors, "ERROR refcount table is outside the file");
		k->bad_blocks = true;
	}
	for (u32 i = 0; i < n; i++) {
		u64 host = q->reftable[i];

		if (!host)
			continue;
		if (host % q->cluster == 0 && refer(k, host, q->cluster)) {
			if (k->refs[host >> q->cluster_bits] == 1)
				continue;
			q_found(k, &k->c->errors, "ERROR refcount block %u is used otherwise", i);
		} else {
			q_found(k, &k->c->errors,
				"ERROR refcount block %u is not aligned or outside "
				"the file",
				i);
		}
		k->bad_blocks = true;
	}
	k->bad_blocks |= misses_blocks(k);
}

int q_count_all(struct qcount *k, bool blocks, struct err *e)
{
	struct qcow *q = k->q;
	int r;

	k->bad_entries = 0;
	memset(k->refs, 0, k->nr * sizeof(*k->refs));
	refer(k, 0, q->cluster);
	if (!refer(k, q->l1_off, q->l1_size * 8ull))
		bad_entry(k, "L1 table is outside the file", q->l1_off);
	if (q->nr_snaps && !refer(k, q->snaps_off, q->snaps_bytes))
		bad_entry(k, "snapshot table is outside the file", q->snaps_off);
	r = count_l1(k, q->l1, q->l1_size, true);
	for (u32 i = 0; i < q->nr_snaps && r == 0; i++)
		r = count_snapshot(k, &q->snaps[i]);
	if (r == 0)
		r = count_bitmaps(k);
	if (r == 0 && blocks)
		count_blocks(k);
	return r ? err_set(e, r, "cannot check %s: %s", hf_name(q->file), strerror(-r)) : 0;
}
