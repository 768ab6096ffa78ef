/* SPDX-License-Identifier: MIT */
/* create.c - making an empty image, perhaps with its clusters given out beforehand. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "block/qcow2/qcow2.h"

enum { DEFAULT_CLUSTER = 65536 };

/* What goes where: header, refcount table, refcount blocks, L1 table. */
struct layout {
	u32 cluster, bits, order, version;
	u64 l1_entries, l1_clusters, blocks, table, all;
};

static int check_options(const struct blk_create *c, struct layout *l, struct err *e)
{
	unsigned bits = c->refcount_bits ? c->refcount_bits : 16;

	*l = (struct layout){
		.cluster = c->cluster_size ? c->cluster_size : DEFAULT_CLUSTER,
		.version = c->version ? c->version : 3,
	};
	if (l->cluster & (l->cluster - 1) || l->cluster < 512 || l->cluster > 2 << 20)
		return err_set(e, -EINVAL, "the cluster size is a power of two from 512 to 2M");
	if (l->version < 2 || l->version > 3)
		return err_set(e, -EINVAL, "qcow2 has the versions 2 and 3");
	if (bits & (bits - 1) || bits > 64)
		return err_set(e, -EINVAL, "the refcount width is a power of two from 1 to 64");
	if (l->version == 2 && (bits != 16 || c->lazy_refcounts || c->extended_l2 || c->data_file ||
				(c->compression && strcmp(c->compression, "zlib"))))
		return err_set(e, -EINVAL, "version 2 has none of these options; use version 3");
	if (c->compression && strcmp(c->compression, "zlib") && strcmp(c->compression, "zstd"))
		return err_set(e, -EINVAL, "unknown compression \"%s\"; use zlib or zstd",
			       c->compression);
	if (c->extended_l2 && l->cluster < 16384)
		return err_set(e, -EINVAL, "extended L2 entries need clusters of 16K or more");
	if (c->data_file_raw && (!c->data_file || c->backing))
		return err_set(e, -EINVAL,
			       "a raw data file needs a data file, and no backing image");
	if (c->prealloc != PREALLOC_OFF && c->backing)
		return err_set(e, -EINVAL, "an image with a backing image cannot be preallocated");
	if (c->backing && !*c->backing)
		return err_set(e, -EINVAL, "the backing image has no name");
	while (1u << l->bits < l->cluster)
		l->bits++;
	while (1u << l->order < bits)
		l->order++;
	return 0;
}

static u64 div_up(u64 a, u64 b)
{
	return a / b + (a % b != 0);
}

static int lay_out(const struct blk_create *c, struct layout *l, struct err *e)
{
	u64 span = (u64)l->cluster * (l->cluster / (c->extended_l2 ? 16 : 8));
	u64 per = (u64)l->cluster * 8 >> l->order;

	l->l1_entries = div_up(c->size, span);
	if (l->l1_entries > Q_MAX_L1_BYTES / 8 || c->size > 1ull << 62)
		return err_set(e, -EFBIG, "too big a disk for clusters of %u bytes", l->cluster);
	l->l1_clusters = div_up(l->l1_entries * 8, l->cluster);
	if (!l->l1_clusters)
		l->l1_clusters = 1;
	do {
		l->all = 1 + l->table + l->blocks + l->l1_clusters;
		l->blocks = div_up(l->all, per);
		l->table = div_up(l->blocks * 8, l->cluster);
	} while (l->all != 1 + l->table + l->blocks + l->l1_clusters);
	return 0;
}

static u64 host(const struct layout *l, u64 cluster)
{
	return cluster << l->bits;
}

static int write_header(struct hostfile *f, const struct blk_create *c, const struct layout *l)
{
	u8 h[QH_V3_LEN] = {0}, *head = malloc(l->cluster);
	bool zstd = c->compression && strcmp(c->compression, "zstd") == 0;
	u64 incompatible = (c->data_file ? QI_DATA_FILE : 0) | (zstd ? QI_COMPRESSION : 0) |
			   (c->extended_l2 ? QI_EXTENDED_L2 : 0);
	int r;

	if (!head)
		return -ENOMEM;
	st_be32(h, Q_MAGIC);
	st_be32(h + QH_VERSION, l->version);
	st_be32(h + QH_CLUSTER_BITS, l->bits);
	st_be64(h + QH_SIZE, (c->size + BLK_SECTOR - 1) & ~(u64)(BLK_SECTOR - 1));
	st_be32(h + QH_L1_SIZE, (u32)l->l1_entries);
	st_be64(h + QH_L1_OFF, host(l, 1 + l->table + l->blocks));
	st_be64(h + QH_REFTABLE_OFF, host(l, 1));
	st_be32(h + QH_REFTABLE_CLUSTERS, (u32)l->table);
	st_be64(h + QH_INCOMPATIBLE, incompatible);
	st_be64(h + QH_COMPATIBLE, c->lazy_refcounts ? QC_LAZY : 0);
	st_be64(h + QH_AUTOCLEAR, c->data_file_raw ? QA_RAW_DATA : 0);
	st_be32(h + QH_REFCOUNT_ORDER, l->order);
	st_be32(h + QH_LENGTH, QH_V3_LEN);
	h[QH_COMPRESSION] = zstd;
	r = q_header_build(head, l->cluster, h, l->version == 2 ? QH_V2_LEN : QH_V3_LEN, NULL,
			   c->backing, c->backing ? c->backing_format : NULL, c->data_file);
	if (r == 0)
		r = hf_pwrite(f, 0, head, l->cluster);
	free(head);
	return r;
}

static int write_tables(struct hostfile *f, const struct layout *l)
{
	u64 per = (u64)l->cluster * 8 >> l->order;
	u8 *buf = calloc(l->table, l->cluster);
	int r = buf ? 0 : -ENOMEM;

	for (u64 i = 0; i < l->blocks && r == 0; i++)
		st_be64(buf + i * 8, host(l, 1 + l->table + i));
	if (r == 0)
		r = hf_pwrite(f, host(l, 1), buf, l->table << l->bits);
	for (u64 i = 0; i < l->blocks && r == 0; i++) {
		memset(buf, 0, l->cluster);
		for (u64 k = 0; k < per && i * per + k < l->all; k++)
			q_rc_store(buf, l->order, k, 1);
		r = hf_pwrite(f, host(l, 1 + l->table + i), buf, l->cluster);
	}
	free(buf);
	return r ? r : hf_truncate(f, host(l, l->all));
}

static int link_run(struct qcow *q, u64 first, u64 nr, u64 at)
{
	for (u64 i = 0; i < nr; i++) {
		u64 off = (first + i) << q->cluster_bits;
		struct qpage *p;
		int r = q_l2_for_write(q, off, &p);

		if (r)
			return r;
		q_set_entry(q, p, q_l2_index(q, off), (at + (i << q->cluster_bits)) | Q_COPIED,
			    Q_ALL_DATA);
	}
	return 0;
}

/* Every guest cluster gets a host cluster, in order. */
static int preallocate(struct qcow *q, enum blk_prealloc how)
{
	u64 nr = q_clusters(q, q->b->size), span = 1ull << q->l2_bits, at, got;
	bool fresh;
	int r = q_begin_writing_locked(q);

	for (u64 c = 0; c < nr && r == 0; c += got) {
		got = span - c % span < nr - c ? span - c % span : nr - c;
		if (q->data != q->file) {
			at = c << q->cluster_bits;
		} else {
			r = q_alloc(q, got, false, &at, &got, &fresh);
			if (r == 0)
				r = blk_give_room(q->file, at, got << q->cluster_bits, how);
		}
		if (r == 0)
			r = link_run(q, c, got, at);
	}
	if (r == 0)
		r = q_commit_locked(q);
	if (r == 0 && q->data == q->file && hf_size(q->file) < q->file_end)
		r = hf_truncate(q->file, q->file_end);
	return r;
}

/* The tables are in the file: open it as any other to do the rest. */
static int finish(const struct blk_create *c, enum blk_prealloc how, struct err *e)
{
	struct blk_cfg cfg = {.file = c->path, .format = "qcow2", .no_backing = true};
	struct blk *b = blk_open(&cfg, e);
	struct qcow *q;
	int r;

	if (!b)
		return e->code;
	q = b->priv;
	lock(&q->big);
	r = q->data != q->file ? blk_give_room(q->data, 0, c->size, how) : 0;
	if (r == 0)
		r = preallocate(q, how);
	unlock(&q->big);
	if (r) {
		struct err ignored;

		(void)!blk_close(b, &ignored);
		return err_set(e, r, "cannot make %s: %s", c->path, strerror(-r));
	}
	return blk_close(b, e);
}

static int create_data_file(struct hostfile *f, const struct blk_create *c, struct err *e)
{
	struct hostfile *d = hf_open(hf_dir(f), c->data_file, HF_WRITE | HF_CREATE, e);
	int r;

	if (!d)
		return e->code;
	r = hf_truncate(d, c->size);
	if (r)
		(void)!unlinkat(hf_dir(f), c->data_file, 0);
	hf_close(d);
	return r ? err_set(e, r, "cannot make %s: %s", c->data_file, strerror(-r)) : 0;
}

int qcow2_create(const struct blk_create *c, struct err *e)
{
	enum blk_prealloc how = c->prealloc;
	bool data_made = false;
	struct hostfile *f;
	struct layout l;
	int r = check_options(c, &l, e);

	if (r == 0)
		r = lay_out(c, &l, e);
	if (r)
		return r;
	/* What reads the data file by itself must not miss clusters that have not been mapped. */
	if (c->data_file_raw && how == PREALLOC_OFF)
		how = PREALLOC_METADATA;
	f = hf_open(AT_FDCWD, c->path, HF_WRITE | HF_CREATE, e);
	if (!f)
		return e->code;
	r = write_tables(f, &l);
	if (r == 0)
		r = write_header(f, c, &l);
	if (r == 0)
		r = hf_sync(f);
	if (r)
		err_set(e, r, "cannot make %s: %s", c->path, strerror(-r));
	if (r == 0 && c->data_file) {
		r = create_data_file(f, c, e);
		data_made = r == 0;
	}
	if (r && data_made)
		(void)!unlinkat(hf_dir(f), c->data_file, 0);
	hf_close(f);
	if (r == 0 && how != PREALLOC_OFF)
		r = finish(c, how, e);
	if (r)
		(void)!unlink(c->path);
	return r;
}
