/* SPDX-License-Identifier: MIT */
/* check.c - comparing counts with references, and making them agree. */
#include <errno.h>
#include <stdlib.h>

#include "block/qcow2/qcow2.h"

enum { MAX_CLUSTERS = 1 << 28 };

/* Compare one cluster; with fix, set what is wrong. */
static int compare_one(struct qcount *k, u64 cluster, u64 count, bool fix)
{
	struct blk_check *c = k->c;
	u64 refs = cluster < k->nr ? k->refs[cluster] : 0, max = q_rc_max(k->q->refcount_order);

	if (count == refs)
		return 0;
	if (fix) {
		bool leak = count > refs;

		/* More than can be counted: it stays an error, but must not seem to be free. */
		if (refs > max)
			return c->fix_errors ? q_rc_set(k->q, cluster, max) : 0;

		if (leak ? !c->fix_leaks && !c->fix_errors : !c->fix_errors)
			return 0;
		if (leak && c->leaks) {
			c->leaks--;
			c->leaks_fixed++;
		} else if (!leak && c->errors) {
			c->errors--;
			c->errors_fixed++;
		}
		return q_rc_set(k->q, cluster, refs);
	}
	if (count > refs)
		q_found(k, &c->leaks, "Leaked cluster %llu refcount=%llu reference=%llu",
			(unsigned long long)cluster, (unsigned long long)count,
			(unsigned long long)refs);
	else
		q_found(k, &c->errors, "ERROR cluster %llu refcount=%llu reference=%llu",
			(unsigned long long)cluster, (unsigned long long)count,
			(unsigned long long)refs);
	return 0;
}

static int compare(struct qcount *k, bool fix)
{
	struct qcow *q = k->q;
	u64 per = 1ull << q->rb_bits, n = (u64)q->reftable_clusters << (q->cluster_bits - 3);
	u8 *block = malloc(q->cluster);
	int r = block ? 0 : -ENOMEM;

	for (u64 i = 0; r == 0 && i < n; i++) {
		u64 host = q->reftable[i];
		bool good = host && host % q->cluster == 0 && host < q->file_end;

		if (!good && i * per >= k->nr)
			continue;
		memset(block, 0, q->cluster);
		r = good ? hf_pread(q->file, host, block, q->cluster) : 0;
		for (u64 j = 0; j < per && r == 0; j++)
			r = compare_one(k, i * per + j, q_rc_load(block, q->refcount_order, j),
					fix);
	}
	for (u64 i = n * per; r == 0 && i < k->nr; i++)
		r = compare_one(k, i, 0, fix);
	free(block);
	return r;
}

static u64 refs_of(const struct qcount *k, u64 host)
{
	u64 cluster = host >> k->q->cluster_bits;

	return cluster < k->nr ? k->refs[cluster] : 0;
}

static void check_copied(struct qcount *k, const char *what, u64 entry, u64 *wrong)
{
	u64 host = entry & Q_OFFSET, refs = refs_of(k, host);

	if (!host || (entry & Q_COPIED) == (refs == 1 ? Q_COPIED : 0))
		return;
	++*wrong;
	q_found(k, &k->c->errors, "ERROR OFLAG_COPIED %s: entry=%#llx refcount=%llu", what,
		(unsigned long long)entry, (unsigned long long)refs);
}

/* How often bit 63 does not say what it should. */
static int check_copied_all(struct qcount *k, u64 *wrong)
{
	struct qcow *q = k->q;
	u64 *table = malloc(q->cluster);
	int r = table ? 0 : -ENOMEM;

	for (u32 i = 0; i < q->l1_size && r == 0; i++) {
		u64 host = q->l1[i] & Q_OFFSET;

		if (!host || host % q->cluster || host >= q->file_end)
			continue;
		check_copied(k, "L2 cluster", q->l1[i], wrong);
		/* One that is used twice has been reported, and is not walked again and again. */
		if (refs_of(k, host) > 1 && !q->nr_snaps)
			continue;
		r = q_table_read(q, host, table, q->cluster / 8);
		for (u32 w = 0; r == 0 && q->data == q->file && w < q->cluster / 8;
		     w += q->entry_size / 8)
			if (!(table[w] & Q_COMPRESSED))
				check_copied(k, "data cluster", table[w], wrong);
	}
	free(table);
	return r;
}

/* Write refcount blocks and table anew behind the end of the file, and let the header say so. */
static int rebuild(struct qcount *k)
{
	struct qcow *q = k->q;
	u64 per = 1ull << q->rb_bits, blocks = 1, clusters = 1, all,
	    max = q_rc_max(q->refcount_order);
	u64 *table = NULL;
	u8 *buf = NULL, field[12];
	int r = 0;

	for (;;) {
		all = k->nr + blocks + clusters;
		if ((all + per - 1) / per <= blocks && q_clusters(q, blocks * 8) <= clusters)
			break;
		blocks = (all + per - 1) / per;
		clusters = q_clusters(q, blocks * 8);
	}
	if (clusters << q->cluster_bits > Q_MAX_REFTABLE_BYTES)
		return -EFBIG;
	table = calloc(clusters, q->cluster);
	buf = malloc(q->cluster);
	r = table && buf ? 0 : -ENOMEM;
	for (u64 i = 0; i < blocks && r == 0; i++) {
		memset(buf, 0, q->cluster);
		for (u64 c = i * per; c < (i + 1) * per && c < all; c++) {
			u64 refs = c < k->nr ? k->refs[c] : 1;

			q_rc_store(buf, q->refcount_order, c % per, refs < max ? refs : max);
		}
		st_be64(table + i, (k->nr + i) << q->cluster_bits);
		r = hf_pwrite(q->file, (k->nr + i) << q->cluster_bits, buf, q->cluster);
	}
	st_be64(field, (k->nr + blocks) << q->cluster_bits);
	st_be32(field + 8, (u32)clusters);
	if (r == 0)
		r = hf_pwrite(q->file, (k->nr + blocks) << q->cluster_bits, table,
			      clusters << q->cluster_bits);
	if (r == 0)
		r = q_sync(q);
	if (r == 0)
		r = q_header_set(q, QH_REFTABLE_OFF, field, sizeof(field));
	if (r == 0)
		r = q_sync(q);
	if (r == 0) {
		for (u64 i = 0; i < clusters * q->cluster / 8; i++)
			table[i] = ld_be64(table + i);
		q_cache_free(&q->rb);
		r = q_cache_init(&q->rb, (u32)(clusters * q->cluster / 8), 16);
		free(q->reftable);
		q->reftable = table;
		q->reftable_off = ld_be64(field);
		q->reftable_clusters = (u32)clusters;
		q->file_end = all << q->cluster_bits;
		q->free_hint = 0;
		table = NULL;
		/* Where the old blocks were is free now. */
		if (r == 0)
			r = q_collect_meta(q);
	}
	free(table);
	free(buf);
	return r;
}

static int fix(struct qcount *k, u64 wrong_copied, struct err *e)
{
	struct qcow *q = k->q;
	struct blk_check *c = k->c;
	u64 keep;
	int r = 0;

	if (c->fix_errors && k->bad_blocks) {
		struct qcount anew = {.q = q, .refs = k->refs, .nr = k->nr};

		r = q_count_all(&anew, false, e);
		if (r)
			return r;
		r = rebuild(k);
		if (r == 0) {
			keep = k->bad_entries;
			c->errors_fixed += c->errors - wrong_copied - keep;
			c->leaks_fixed += c->leaks;
			c->errors = wrong_copied + keep;
			c->leaks = 0;
		}
	} else if (c->fix_errors || (c->fix_leaks && !k->bad_blocks)) {
		r = compare(k, true);
		if (r == 0)
			r = q_write_refcounts_locked(q);
	}
	if (r == 0 && c->fix_errors && wrong_copied && !k->bad_entries) {
		r = q_fix_copied(q);
		c->errors -= r ? 0 : wrong_copied;
		c->errors_fixed += r ? 0 : wrong_copied;
	}
	if (r == 0 && c->fix_errors && !c->errors && q->incompatible & (QI_DIRTY | QI_CORRUPT))
		r = q_set_incompatible(q, q->incompatible & ~(u64)(QI_DIRTY | QI_CORRUPT));
	return r ? err_set(e, r, "cannot repair %s: %s", hf_name(q->file), strerror(-r)) : 0;
}

static int check_locked(struct qcount *k, struct err *e)
{
	struct blk_check *c = k->c;
	struct qcow *q = k->q;
	u64 wrong = 0;
	int r = q_count_all(k, true, e);

	if (r)
		return r;
	r = compare(k, false);
	if (r == 0)
		r = check_copied_all(k, &wrong);
	if (r)
		return err_set(e, r, "cannot check %s: %s", hf_name(q->file), strerror(-r));
	for (u64 i = 0; i < k->nr; i++)
		if (k->refs[i])
			c->image_end = (i + 1) << q->cluster_bits;
	if (q->b->read_only || !(c->fix_errors || c->fix_leaks))
		return 0;
	return fix(k, wrong, e);
}

int qcow2_check(struct blk *b, struct blk_check *c, struct err *e)
{
	struct qcow *q = b->priv;
	struct qcount k = {.q = q, .c = c};
	int r;

	c->clusters = q_clusters(q, b->size);
	lock(&q->big);
	r = b->read_only ? 0 : q_commit_locked(q);
	if (r == 0 && !b->read_only) {
		q_reap_locked(q);
		r = q_write_refcounts_locked(q);
	}
	/* Only now is everything in the file. */
	k.nr = q_clusters(q, hf_size(q->file));
	k.refs = k.nr > MAX_CLUSTERS ? NULL : calloc(k.nr + 1, sizeof(*k.refs));
	if (r)
		err_set(e, r, "cannot write %s: %s", hf_name(q->file), strerror(-r));
	else if (k.nr > MAX_CLUSTERS)
		r = err_set(e, -EFBIG, "%s has too many clusters to be checked", hf_name(q->file));
	else if (!k.refs)
		r = err_set(e, -ENOMEM, "out of memory");
	else
		r = check_locked(&k, e);
	unlock(&q->big);
	free(k.refs);
	return r;
}
