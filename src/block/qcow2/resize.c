/* SPDX-License-Identifier: MIT */
/* resize.c - changing what the header says: size, backing image; and telling it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "block/qcow2/qcow2.h"

static void drop_l2_pages(struct qcow *q)
{
	for (u32 i = 0; i < q->l2.slots; i++)
		q_page_drop(q, &q->l2, i);
}

/* Size and L1 table, in one write. */
static int set_l1_fields(struct qcow *q, u64 host, u32 n)
{
	u8 field[QH_REFTABLE_OFF - QH_SIZE];
	int r;

	st_be64(field, q->b->size);
	st_be32(field + (QH_CRYPT - QH_SIZE), 0);
	st_be32(field + (QH_L1_SIZE - QH_SIZE), n);
	st_be64(field + (QH_L1_OFF - QH_SIZE), host);
	r = q_header_set(q, QH_SIZE, field, sizeof(field));
	if (r == 0)
		r = q_sync(q);
	if (r)
		q->failed = true;
	return r;
}

void q_move_meta(struct qcow *q, u64 from, u64 from_nr, u64 to, u64 to_nr)
{
	lock(&q->map);
	for (u64 i = 0; i < from_nr; i++)
		q_set_del(&q->meta, (from >> q->cluster_bits) + i);
	for (u64 i = 0; i < to_nr; i++)
		if (q_set_add(&q->meta, (to >> q->cluster_bits) + i))
			break;
	unlock(&q->map);
}

int q_l1_move(struct qcow *q, const u64 *l1, u32 n)
{
	u64 old = q->l1_off, old_nr = q_clusters(q, q->l1_size * 8ull), host, got, *copy;
	u64 nr = q_clusters(q, n * 8ull);
	size_t len = (size_t)nr << q->cluster_bits;
	bool fresh;
	u8 *buf = calloc(1, len + 1);
	int r = q_commit_locked(q);

	copy = malloc(n * 8ul + 8);
	if (!buf || !copy)
		r = -ENOMEM;
	if (r == 0)
		r = q_alloc(q, nr, true, &host, &got, &fresh);
	if (r)
		goto out;
	for (u32 i = 0; i < n; i++)
		st_be64(buf + i * 8ul, l1[i]);
	memcpy(copy, l1, n * 8ul);
	r = hf_pwrite(q->file, host, buf, len);
	if (r == 0)
		r = q_write_refcounts_locked(q);
	drop_l2_pages(q);
	if (r == 0)
		r = q_cache_grow(&q->l2, n);
	if (r) {
		(void)!q_rc_add(q, host >> q->cluster_bits, nr, -1);
		goto out;
	}
	r = set_l1_fields(q, host, n);
	if (r)
		goto out;
	q_move_meta(q, old, old_nr, host, nr);
	lock(&q->map);
	free(q->l1);
	q->l1 = copy;
	q->l1_size = n;
	q->l1_off = host;
	unlock(&q->map);
	copy = NULL;
	/* What cannot be given back is lost, but the table has moved. */
	(void)!q_rc_add(q, old >> q->cluster_bits, old_nr, -1);
out:
	free(copy);
	free(buf);
	return r;
}

static int write_zeroes(struct qcow *q, u64 off, u64 len)
{
	int r = qcow2_zero(q->b, off, len, true);
	u8 *buf;

	if (r != -EOPNOTSUPP)
		return r;
	buf = calloc(1, q->cluster);
	r = buf ? 0 : -ENOMEM;
	while (r == 0 && len) {
		u64 part = len < q->cluster ? len : q->cluster;

		r = qcow2_write(q->b, off, &(struct iovec){buf, part}, 1);
		off += part;
		len -= part;
	}
	free(buf);
	return r;
}

static int grow(struct qcow *q, u64 size)
{
	u64 old = q->b->size, n = q_l1_index(q, size - 1) + 1, to = size, *l1;
	int r = 0;

	if (n > Q_MAX_L1_BYTES / 8)
		return -EFBIG;
	lock(&q->big);
	r = q_begin_writing_locked(q);
	if (r == 0 && n > q->l1_size) {
		l1 = calloc(n, 8);
		r = l1 ? q_commit_locked(q) : -ENOMEM;
		if (l1)
			memcpy(l1, q->l1, q->l1_size * 8ul);
		if (r == 0)
			r = q_l1_move(q, l1, (u32)n);
		free(l1);
	}
	unlock(&q->big);
	if (r)
		return r;
	/* What the old size hid: the end of its last cluster, and of a longer backing image. */
	q->b->size = size;
	if (q->has_backing)
		to = q->b->backing ? q->b->backing->size : size;
	for (u64 i = q->l1_size; i-- > 0;) {
		u64 span = 1ull << (q->cluster_bits + q->l2_bits);

		if (q->l1[i] & Q_OFFSET) {
			to = (i + 1) * span > to ? (i + 1) * span : to;
			break;
		}
	}
	to = to < size ? to : size;
	r = to > old ? write_zeroes(q, old, to - old) : 0;
	if (r)
		q->b->size = old;
	return r;
}

/* Give up a table that the file has as it is, and all that it refers to. */
static int free_l2(struct qcow *q, u32 i)
{
	u64 host = q->l1[i] & Q_OFFSET;
	int r;
	struct qpage *p = q_page_get(q, &q->l2, i, host, true, &r);

	if (!p)
		return r;
	for (u32 k = 0; k < 1u << q->l2_bits && r == 0; k++)
		r = q_free_entry(q, q_entry(q, p, k));
	if (r == 0)
		r = q_defer_locked(q, host >> q->cluster_bits, 1);
	if (r) { /* What is given up is referred to still. */
		lock(&q->map);
		q->failed = true;
		unlock(&q->map);
		return r;
	}
	q_page_drop(q, &q->l2, i);
	lock(&q->map);
	q->l1[i] = 0;
	q_set_del(&q->meta, host >> q->cluster_bits);
	unlock(&q->map);
	q->l1_lo = q->l1_lo == q->l1_hi || i < q->l1_lo ? i : q->l1_lo;
	q->l1_hi = i + 1 > q->l1_hi ? i + 1 : q->l1_hi;
	q->l2_dirty = true;
	return 0;
}

/* All behind the new size is given up, L2 tables too. */
static int shrink(struct qcow *q, u64 size)
{
	u64 end = q_clusters(q, size) << q->cluster_bits, span = 1ull << q->l2_bits;
	int r = 0;

	if (end < q->b->size)
		r = q->has_backing ? qcow2_zero(q->b, end, q->b->size - end, true)
				   : qcow2_discard(q->b, end, q->b->size - end);
	if (r && r != -EOPNOTSUPP)
		return r;
	lock(&q->big);
	r = q_begin_writing_locked(q);
	if (r == 0)
		r = q_commit_locked(q);
	for (u64 i = (q_clusters(q, size) + span - 1) / span; i < q->l1_size && r == 0; i++) {
		if (q->l1[i] & Q_OFFSET)
			r = free_l2(q, (u32)i);
	}
	unlock(&q->big);
	return r;
}

int qcow2_resize(struct blk *b, u64 size, struct err *e)
{
	struct qcow *q = b->priv;
	u64 old = b->size;
	int r;

	if (size % BLK_SECTOR)
		return err_set(e, -EINVAL, "a disk's size is a multiple of %d bytes", BLK_SECTOR);
	if (size == old)
		return 0;
	if (q->version < 3 && q->nr_snaps)
		return err_set(e, -EOPNOTSUPP,
			       "%s: version 2 with snapshots cannot change its size; delete them",
			       hf_name(q->file));
	r = size > old ? grow(q, size) : shrink(q, size);
	lock(&q->big);
	if (r == 0)
		r = q_commit_locked(q);
	if (r == 0) {
		q->b->size = size;
		r = set_l1_fields(q, q->l1_off, q->l1_size);
	}
	unlock(&q->big);
	if (r == 0 && q->data != q->file)
		r = hf_truncate(q->data, size);
	if (r) {
		b->size = old;
		return err_set(e, r, "cannot resize %s: %s", hf_name(q->file), strerror(-r));
	}
	return 0;
}

int qcow2_set_backing(struct blk *b, const char *name, const char *format, struct err *e)
{
	struct qcow *q = b->priv;
	char *n = name ? strdup(name) : NULL, *f = name && format ? strdup(format) : NULL;
	u8 *head = malloc(q->cluster);
	int r = head && (n || !name) && (f || !format || !name) ? 0 : -ENOMEM;

	if (r == 0 && name && q->data != q->file && q->autoclear & QA_RAW_DATA)
		r = -EOPNOTSUPP;
	lock(&q->big);
	if (r == 0)
		r = q_begin_writing_locked(q);
	if (r == 0)
		r = q_header_build(head, q->cluster, q->head, q->header_len, q, n, f, q->data_name);
	if (r == 0)
		r = q_header_set(q, 0, head, q->cluster);
	if (r == 0)
		r = q_sync(q);
	unlock(&q->big);
	free(head);
	if (r) {
		free(n);
		free(f);
		return err_set(e, r, "cannot change the backing image of %s: %s", hf_name(q->file),
			       strerror(-r));
	}
	free(b->backing_name);
	free(b->backing_format);
	b->backing_name = n;
	b->backing_format = f;
	q->has_backing = n;
	return 0;
}

int qcow2_info(struct blk *b, struct blk_image_info *info, struct err *e)
{
	struct qcow *q = b->priv;
	struct stat st;

	*info = (struct blk_image_info){
		.virtual_size = b->size,
		.disk_size = fstat(hf_fd(q->file), &st) ? 0 : (u64)st.st_blocks * 512,
		.cluster_size = q->cluster,
		.version = q->version,
		.refcount_bits = 1u << q->refcount_order,
		.compression = q->compression ? "zstd" : "zlib",
		.lazy_refcounts = q->compatible & QC_LAZY,
		.extended_l2 = q->ext_l2,
		.dirty = q->incompatible & QI_DIRTY,
		.corrupt = q->incompatible & QI_CORRUPT,
		.data_file_raw = q->autoclear & QA_RAW_DATA,
		.data_file = q->data != q->file ? q->data_name : NULL,
	};
	return 0;
}
