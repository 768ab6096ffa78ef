/* SPDX-License-Identifier: MIT */
/*
 * qcow2.c - images in QEMU's format: opening, flushing, closing, and how the parts keep it whole.
 *
 * The problem.  One write of the guest's may change a count in a refcount block, an entry of an
 * L2 table and one of the L1 table, in any order on the medium, since the host writes back as
 * it likes.  If the power goes in between, a table may refer to a cluster that counts as free,
 * or to one whose bytes never arrived, or to one that another table still has.  The first and
 * the last lose data later.  What may be lost is only what the guest has not flushed; what may
 * be left over is a cluster that counts as used and is not (a leak).
 *
 * The answer is that tables change in memory and get to the file by a commit alone (cache.c):
 *
 *  A. Refcount blocks, in which new clusters count as used, and L2 tables that nothing refers
 *     to yet.  Sync.  That also puts the bytes on the medium that were written to the new clusters.
 *  B. L2 and L1 entries, each of which refers to clusters that A has made safe.  Sync.
 *  C. References that have been given up meanwhile, kept aside until now, since before B the
 *     file still had them: their counts fall, in memory, and the clusters may be used again.
 *
 * A guest's flush is a commit, or with nothing to commit a sync.  A full cache commits too.
 *
 * Invariants:
 *  1. An entry refers to a cluster in memory only after the cluster's bytes have been written.
 *  2. An entry is written to the file only after a sync that followed all it depends on.
 *  3. A count falls only after a sync that followed the loss of the reference.  So counts in the
 *     file are never too low (but with the dirty bit), and those of memory never lower than the
 *     references of file and memory taken together.
 *  4. A cluster that has been freed is not used again while a request may still be moving data
 *     there: each carries the generation it began in (struct qop), and those that locate() sent
 *     to the file are waited for by blk_quiesce_begin().
 *  5. The tables above tables (refcount table, L1 table, header) change in place only by entries
 *     that do not cross a sector, and move by: write anew, sync, change the header, sync.
 *  6. An error in A or B leaves what was to be written as it is in memory, to be tried again; but
 *     after a sync that failed for more than lack of room, nothing is changed any more.
 *
 * Example: a guest overwrites 4 KiB in a cluster that a snapshot has too.  A new cluster is
 * counted in memory; the 64 KiB with the new bytes are written there; the entry in memory
 * refers to it, and the old cluster goes to q->freed.  Power cut: the file has the old entry.
 * Flush: A writes the count and syncs; power cut: the old entry, and one leak.  B writes the entry
 * and syncs; power cut: the new entry, and a count of 2 for a cluster that the snapshot alone has.
 * C lets it fall to 1.
 *
 * With lazy refcounts, the dirty bit is set before the first change, A writes no counts, and
 * who opens the image after a cut counts anew (check.c).
 *
 * Hostile images: no offset from a table is used before it is known to be aligned and in the
 * file; data is never written over the header or an active table (q->meta has their clusters).
 */
#include <errno.h>
#include <stdlib.h>

#include "block/qcow2/qcow2.h"

enum { L2_CACHE = 32 << 20, RB_CACHE = 8 << 20, MIN_PAGES = 16 };

static int out_of_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory");
}

static int open_data_file(struct qcow *q, struct err *e)
{
	const struct blk_cfg *cfg = q->b->cfg;
	unsigned flags = cfg->read_only ? 0 : HF_WRITE;

	q->data = q->file;
	if (!(q->incompatible & QI_DATA_FILE))
		return 0;
	if (!q->data_name)
		return err_set(e, -ENOEXEC, "%s: damaged: its data file has no name",
			       hf_name(q->file));
	if (cfg->log)
		return err_set(e, -EOPNOTSUPP,
			       "%s: log= records one file, and this image has a data file; "
			       "leave log= out",
			       hf_name(q->file));
	flags |= cfg->direct ? HF_DIRECT : 0;
	flags |= cfg->no_lock ? HF_NO_LOCK : 0;
	flags |= cfg->unsafe ? HF_UNSAFE : 0;
	q->data = hf_open(hf_dir(q->file), q->data_name, flags, e);
	if (q->data && !hf_same(q->data, q->file))
		return 0;
	/* The guest would write its own tables. */
	if (q->data)
		err_set(e, -ENOEXEC, "%s: damaged: it names itself as its data file",
			hf_name(q->file));
	hf_close(q->data);
	q->data = q->file;
	return e->code;
}

static int add_meta(struct qcow *q, u64 off, u64 bytes)
{
	int r = 0;

	for (u64 c = off >> q->cluster_bits; c < q_clusters(q, off + bytes) && r == 0; c++)
		r = q_set_add(&q->meta, c);
	return r;
}

int q_collect_meta(struct qcow *q)
{
	u32 blocks = q->reftable_clusters << (q->cluster_bits - 3);
	int r;

	free(q->meta.slot);
	q->meta = (struct qset){0};
	r = add_meta(q, 0, q->cluster);
	if (r == 0)
		r = add_meta(q, q->l1_off, q->l1_size * 8ull);
	if (r == 0)
		r = add_meta(q, q->reftable_off, blocks * 8ull);
	if (r == 0 && q->nr_snaps)
		r = add_meta(q, q->snaps_off, q->snaps_bytes);
	for (u32 i = 0; i < q->l1_size && r == 0; i++)
		if (q->l1[i] & Q_OFFSET)
			r = add_meta(q, q->l1[i] & Q_OFFSET, 1);
	for (u32 i = 0; i < blocks && r == 0; i++)
		if (q->reftable[i])
			r = add_meta(q, q->reftable[i] & ~511ull, 1);
	return r;
}

static int load_tables(struct qcow *q, struct err *e)
{
	u32 blocks = q->reftable_clusters << (q->cluster_bits - 3);
	u32 pages = L2_CACHE >> q->cluster_bits, rb_pages = RB_CACHE >> q->cluster_bits;
	int r;

	q->l1 = calloc(q->l1_size + 1ul, 8);
	q->reftable = calloc(blocks, 8);
	if (!q->l1 || !q->reftable)
		return out_of_memory(e);
	if (q_cache_init(&q->l2, q->l1_size, pages < MIN_PAGES ? MIN_PAGES : pages) ||
	    q_cache_init(&q->rb, blocks, rb_pages < MIN_PAGES ? MIN_PAGES : rb_pages))
		return out_of_memory(e);
	r = q_table_read(q, q->l1_off, q->l1, q->l1_size);
	if (r == 0)
		r = q_table_read(q, q->reftable_off, q->reftable, blocks);
	return r ? err_set(e, r, "cannot read %s: %s", hf_name(q->file), strerror(-r)) : 0;
}

static int repair_dirty(struct blk *b, struct err *e)
{
	struct blk_check c = {.fix_errors = true, .fix_leaks = true};
	int r = qcow2_check(b, &c, e);

	if (r == 0 && c.errors)
		r = err_set(e, -ENOEXEC, "%s was not closed and has errors that cannot be repaired",
			    hf_name(b->file));
	return r;
}

static int qcow2_open(struct blk *b, struct err *e)
{
	struct qcow *q = calloc(1, sizeof(*q));
	bool writable = !b->read_only && !b->cfg->repair;
	int r;

	if (!q)
		return out_of_memory(e);
	b->priv = q;
	q->b = b;
	q->file = q->data = b->file;
	lock_init(&q->big, LOCK_VCPU, "qcow2");
	lock_init(&q->map, LOCK_LEAF, "qcow2 map");
	lock_init(&q->unpacked.lock, LOCK_LEAF, "qcow2 unpacked");
	pthread_cond_init(&q->idle, NULL);
	r = q_header_read(q, e);
	if (r == 0 && q->incompatible & QI_CORRUPT && writable && !b->cfg->snapshot)
		r = err_set(e, -ENOEXEC,
			    "%s is marked as damaged; open it read-only, or repair it first",
			    hf_name(q->file));
	if (r == 0)
		r = open_data_file(q, e);
	if (r == 0)
		r = load_tables(q, e);
	if (r == 0)
		r = q_snapshots_read(q, e);
	if (r == 0 && q_collect_meta(q))
		r = out_of_memory(e);
	if (r == 0 && b->cfg->snapshot) {
		b->read_only = true;
		r = q_snapshot_open(q, b->cfg->snapshot, e);
	} else if (r == 0 && q->incompatible & QI_DIRTY && writable) {
		r = repair_dirty(b, e);
	}
	return r;
}

static int qcow2_flush(struct blk *b)
{
	struct qcow *q = b->priv;
	int r;

	if (b->read_only)
		return 0;
	lock(&q->big);
	if (q->failed || !q->l2_dirty) {
		r = q->failed ? -EIO : 0;
		unlock(&q->big);
		return r ? r : q_sync(q);
	}
	r = q_commit_locked(q);
	if (r == 0)
		q_reap_locked(q);
	unlock(&q->big);
	return r;
}

static int write_all(struct qcow *q)
{
	int r = q_commit_locked(q);

	if (r == 0) {
		q_reap_locked(q);
		r = q_write_refcounts_locked(q);
	}
	if (r == 0)
		r = q_sync(q);
	if (r == 0 && q->incompatible & QI_DIRTY && !q->corrupt)
		r = q_set_incompatible(q, q->incompatible & ~(u64)QI_DIRTY);
	return r;
}

static int qcow2_close(struct blk *b, struct err *e)
{
	struct qcow *q = b->priv;
	int r = 0;

	if (!q)
		return 0;
	lock(&q->big);
	if (q->writing && !q->corrupt)
		r = q->failed ? -EIO : write_all(q);
	unlock(&q->big);
	if (r)
		err_set(e, r, "%s could not be written back: %s", hf_name(q->file), strerror(-r));
	q_snapshots_free(q);
	q_cache_free(&q->l2);
	q_cache_free(&q->rb);
	if (q->data != q->file)
		hf_close(q->data);
	free(q->data_name);
	free(q->freed.ref);
	free(q->limbo.ref);
	free(q->meta.slot);
	free(q->reftable);
	free(q->l1);
	free(q->head);
	free(q->unpacked.bytes);
	pthread_cond_destroy(&q->idle);
	lock_destroy(&q->unpacked.lock);
	lock_destroy(&q->big);
	lock_destroy(&q->map);
	free(q);
	b->priv = NULL;
	return r;
}

const struct blk_format blk_qcow2 = {
	.name = "qcow2",
	.doc = "QEMU's images: sparse, with backing images, snapshots and compression",
	.probe = q_probe,
	.open = qcow2_open,
	.close = qcow2_close,
	.locate = qcow2_locate,
	.read = qcow2_read,
	.write = qcow2_write,
	.flush = qcow2_flush,
	.discard = qcow2_discard,
	.zero = qcow2_zero,
	.write_compressed = qcow2_write_compressed,
	.status = qcow2_status,
	.resize = qcow2_resize,
	.create = qcow2_create,
	.check = qcow2_check,
	.info = qcow2_info,
	.set_backing = qcow2_set_backing,
	.snapshot_list = qcow2_snapshot_list,
	.snapshot_create = qcow2_snapshot_create,
	.snapshot_apply = qcow2_snapshot_apply,
	.snapshot_delete = qcow2_snapshot_delete,
};
