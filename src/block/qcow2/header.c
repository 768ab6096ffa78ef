/* SPDX-License-Identifier: MIT */
/* header.c - the qcow2 header and its extensions: checked, changed, composed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "block/qcow2/qcow2.h"

static const struct {
	u8 type, bit;
	const char *name;
} features[] = {
	{0, 0, "dirty bit"},	    {0, 1, "corrupt bit"},	   {0, 2, "external data file"},
	{0, 3, "compression type"}, {0, 4, "extended L2 entries"}, {1, 0, "lazy refcounts"},
	{2, 0, "bitmaps"},	    {2, 1, "raw external data"},
};

enum { FEATURE_LEN = 48, FEATURE_NAME = 46, MAX_BACKING_NAME = 1023 };

bool q_probe(const u8 *head, size_t len)
{
	return len >= 8 && ld_be32(head) == Q_MAGIC && ld_be32(head + QH_VERSION) >= 2 &&
	       ld_be32(head + QH_VERSION) <= 3;
}

const u8 *q_extension(const struct qcow *q, u32 type, u32 *len)
{
	u32 at = q->header_len;

	while (range_fits(at, 8, q->cluster)) {
		u32 t = ld_be32(q->head + at), n = ld_be32(q->head + at + 4);

		if (t == QX_END || !range_fits(at + 8, n, q->cluster))
			return NULL;
		*len = n;
		if (t == type)
			return q->head + at + 8;
		at += 8 + (n + 7) / 8 * 8;
	}
	return NULL;
}

/* The extensions must not run into what follows. */
static int check_extensions(struct qcow *q, struct err *e)
{
	u64 name = ld_be64(q->head + QH_BACKING_OFF);
	u32 limit = name && name < q->cluster ? (u32)name : q->cluster;
	u64 at = q->header_len;

	while (range_fits(at, 8, limit)) {
		u32 t = ld_be32(q->head + at), n = ld_be32(q->head + at + 4);

		if (t == QX_END)
			break;
		if (!range_fits(at + 8, n, limit))
			return err_set(e, -ENOEXEC, "%s: a header extension is too long",
				       hf_name(q->file));
		at += 8 + (n + 7ull) / 8 * 8;
	}
	return 0;
}

static char *string_at(const u8 *from, u32 len)
{
	return memchr(from, 0, len) ? NULL : strndup((const char *)from, len);
}

static int read_strings(struct qcow *q, struct err *e)
{
	u64 off = ld_be64(q->head + QH_BACKING_OFF);
	u32 len = ld_be32(q->head + QH_BACKING_LEN), n;
	const u8 *x;

	if (off && len) {
		if (len > MAX_BACKING_NAME || !range_fits(off, len, q->cluster))
			return err_set(e, -ENOEXEC, "%s: the backing file's name is out of bounds",
				       hf_name(q->file));
		q->b->backing_name = string_at(q->head + off, len);
		if (!q->b->backing_name)
			return err_set(e, -ENOEXEC, "%s: the backing file's name is no string",
				       hf_name(q->file));
		q->has_backing = true;
		x = q_extension(q, QX_BACKING_FORMAT, &n);
		if (x && n)
			q->b->backing_format = string_at(x, n);
	}
	x = q_extension(q, QX_DATA_FILE, &n);
	if (x && n && n <= MAX_BACKING_NAME)
		q->data_name = string_at(x, n);
	return 0;
}

/* The names of unknown features, by the image's own table if it has one. */
static int refuse_features(struct qcow *q, u64 bits, struct err *e)
{
	char names[160] = "";
	u32 len = 0;
	const u8 *t = q_extension(q, QX_FEATURES, &len);

	for (unsigned bit = 0; bit < 64; bit++) {
		char name[FEATURE_NAME + 1];
		size_t at = strlen(names);

		if (!(bits >> bit & 1))
			continue;
		snprintf(name, sizeof(name), "bit %u", bit);
		for (u32 i = 0; t && i + FEATURE_LEN <= len; i += FEATURE_LEN)
			if (t[i] == 0 && t[i + 1] == bit)
				snprintf(name, sizeof(name), "%.46s", (const char *)t + i + 2);
		for (char *c = name; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		snprintf(names + at, sizeof(names) - at, "%s%s", at ? ", " : "", name);
	}
	return err_set(e, -EOPNOTSUPP, "%s uses features that are not supported: %s",
		       hf_name(q->file), names);
}

static int check_fields(struct qcow *q, struct err *e)
{
	const u8 *h = q->head;
	const char *bad = NULL;

	if (ld_be32(h + QH_CRYPT))
		return err_set(e, -EOPNOTSUPP,
			       "%s is encrypted, which is not supported; convert it with qemu-img",
			       hf_name(q->file));
	if (q->incompatible & ~(u64)QI_KNOWN)
		return refuse_features(q, q->incompatible & ~(u64)QI_KNOWN, e);
	if (q->refcount_order > 6)
		bad = "refcount width";
	else if (q->compression > 1 || !(q->incompatible & QI_COMPRESSION) != !q->compression)
		bad = "compression type";
	else if (q->ext_l2 && q->cluster_bits < 14)
		bad = "cluster size for extended L2 entries";
	else if (q->l1_off % q->cluster || q->l1_off > Q_OFFSET)
		bad = "L1 table offset";
	else if (q->l1_size > Q_MAX_L1_BYTES / 8)
		bad = "L1 table size";
	else if (q->reftable_off % q->cluster || q->reftable_off > Q_OFFSET || !q->reftable_off)
		bad = "refcount table offset";
	else if (!q->reftable_clusters ||
		 q->reftable_clusters > Q_MAX_REFTABLE_BYTES >> q->cluster_bits)
		bad = "refcount table size";
	else if (q->nr_snaps > Q_MAX_SNAPSHOTS)
		bad = "number of snapshots";
	else if (q->nr_snaps && (q->snaps_off % q->cluster || q->snaps_off > Q_OFFSET))
		bad = "snapshot table offset";
	else if (q->b->size > 1ull << 62 ||
		 (q->b->size && q_l1_index(q, q->b->size - 1) >= q->l1_size))
		bad = "disk size for its L1 table";
	return bad ? err_set(e, -ENOEXEC, "%s: damaged: bad %s", hf_name(q->file), bad) : 0;
}

static void load_fields(struct qcow *q)
{
	const u8 *h = q->head;

	q->b->size = ld_be64(h + QH_SIZE);
	if (q->b->size <= 1ull << 62)
		q->b->size = (q->b->size + BLK_SECTOR - 1) & ~(u64)(BLK_SECTOR - 1);
	q->l1_size = ld_be32(h + QH_L1_SIZE);
	q->l1_off = ld_be64(h + QH_L1_OFF);
	q->reftable_off = ld_be64(h + QH_REFTABLE_OFF);
	q->reftable_clusters = ld_be32(h + QH_REFTABLE_CLUSTERS);
	q->nr_snaps = ld_be32(h + QH_NB_SNAPSHOTS);
	q->snaps_off = ld_be64(h + QH_SNAPSHOTS_OFF);
	q->refcount_order = 4;
	if (q->version >= 3) {
		q->incompatible = ld_be64(h + QH_INCOMPATIBLE);
		q->compatible = ld_be64(h + QH_COMPATIBLE);
		q->autoclear = ld_be64(h + QH_AUTOCLEAR);
		q->refcount_order = ld_be32(h + QH_REFCOUNT_ORDER);
		if (q->header_len > QH_COMPRESSION)
			q->compression = h[QH_COMPRESSION];
	}
	q->ext_l2 = q->incompatible & QI_EXTENDED_L2;
	q->entry_size = q->ext_l2 ? 16 : 8;
	q->l2_bits = q->cluster_bits - (q->ext_l2 ? 4 : 3);
	q->unit_bits = q->cluster_bits - (q->ext_l2 ? 5 : 0);
	q->rb_bits = q->cluster_bits + 3 - (q->refcount_order & 7);
}

int q_header_read(struct qcow *q, struct err *e)
{
	const char *name = hf_name(q->file);
	u8 h[QH_V3_LEN];
	int r = hf_pread(q->file, 0, h, sizeof(h));

	if (r)
		return err_set(e, r, "cannot read %s: %s", name, strerror(-r));
	if (!q_probe(h, sizeof(h)))
		return err_set(e, -ENOEXEC, "%s is not a qcow2 image of version 2 or 3", name);
	q->version = ld_be32(h + QH_VERSION);
	q->cluster_bits = ld_be32(h + QH_CLUSTER_BITS);
	if (q->cluster_bits < 9 || q->cluster_bits > 21)
		return err_set(e, -ENOEXEC, "%s: damaged: bad cluster size", name);
	q->cluster = 1u << q->cluster_bits;
	q->header_len = q->version == 2 ? QH_V2_LEN : ld_be32(h + QH_LENGTH);
	if (q->version == 3 && (q->header_len < QH_COMPRESSION || q->header_len % 8 ||
				q->header_len > q->cluster || q->header_len > Q_MAX_HEADER))
		return err_set(e, -ENOEXEC, "%s: damaged: bad header length", name);
	q->head = malloc(q->cluster);
	if (!q->head)
		return err_set(e, -ENOMEM, "out of memory");
	r = hf_pread(q->file, 0, q->head, q->cluster);
	if (r)
		return err_set(e, r, "cannot read %s: %s", name, strerror(-r));
	load_fields(q);
	q->file_end = q_clusters(q, hf_size(q->file)) << q->cluster_bits;
	r = check_fields(q, e);
	if (r == 0)
		r = check_extensions(q, e);
	return r ? r : read_strings(q, e);
}

int q_header_set(struct qcow *q, u32 off, const void *bytes, u32 len)
{
	int r = hf_pwrite(q->file, off, bytes, len);

	if (r == 0)
		memcpy(q->head + off, bytes, len);
	return r;
}

int q_set_incompatible(struct qcow *q, u64 bits)
{
	u8 field[8];
	int r;

	st_be64(field, bits);
	r = q_header_set(q, QH_INCOMPATIBLE, field, sizeof(field));
	if (r == 0)
		r = q_sync(q);
	if (r == 0)
		q->incompatible = bits;
	return r;
}

int q_begin_writing_locked(struct qcow *q)
{
	u64 keep = q->autoclear & QA_RAW_DATA;
	u8 field[8];
	int r = 0;

	if (q->corrupt)
		return -EIO;
	if (q->failed)
		return -EIO;
	if (q->writing)
		return 0;
	if (q->autoclear != keep) {
		st_be64(field, keep);
		r = q_header_set(q, QH_AUTOCLEAR, field, sizeof(field));
		if (r == 0)
			r = q_sync(q);
		if (r)
			return r;
		q->autoclear = keep;
	}
	if (q->version >= 3 && q->compatible & QC_LAZY && !(q->incompatible & QI_DIRTY))
		r = q_set_incompatible(q, q->incompatible | QI_DIRTY);
	if (r == 0) {
		lock(&q->map);
		q->writing = true;
		unlock(&q->map);
	}
	return r;
}

int q_corrupt(struct qcow *q, const char *what, u64 off)
{
	bool said;

	lock(&q->map);
	said = q->corrupt;
	q->corrupt = true;
	unlock(&q->map);
	if (said)
		return -EIO;
	fprintf(stderr, "sundog: %s: damaged: %s at offset %llu; check the image\n", blk_id(q->b),
		what, (unsigned long long)off);
	if (!q->b->read_only && q->version >= 3)
		(void)!q_set_incompatible(q, q->incompatible | QI_CORRUPT);
	return -EIO;
}

struct writer {
	u8 *to;
	u32 at, size;
};

static void put(struct writer *w, u32 type, const void *data, u32 len)
{
	u64 need = 8 + (len + 7ull) / 8 * 8;

	if (!range_fits(w->at, need, w->size)) {
		w->at = w->size + 1;
		return;
	}
	st_be32(w->to + w->at, type);
	st_be32(w->to + w->at + 4, len);
	if (len)
		memcpy(w->to + w->at + 8, data, len);
	w->at += (u32)need;
}

static void put_features(struct writer *w, u32 room)
{
	u8 table[ARRAY_SIZE(features) * FEATURE_LEN] = {0};

	if (!range_fits(w->at, 8 + sizeof(table) + room, w->size))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		table[i * FEATURE_LEN] = features[i].type;
		table[i * FEATURE_LEN + 1] = features[i].bit;
		memcpy(table + i * FEATURE_LEN + 2, features[i].name, strlen(features[i].name));
	}
	put(w, QX_FEATURES, table, sizeof(table));
}

static void put_old(struct writer *w, const struct qcow *old)
{
	for (u32 at = old->header_len; range_fits(at, 8, old->cluster);) {
		u32 t = ld_be32(old->head + at), n = ld_be32(old->head + at + 4);

		if (t == QX_END || !range_fits(at + 8, n, old->cluster))
			break;
		if (t != QX_BACKING_FORMAT && t != QX_DATA_FILE)
			put(w, t, old->head + at + 8, n);
		at += 8 + (n + 7) / 8 * 8;
	}
}

int q_header_build(u8 *to, u32 cluster, const u8 *fixed, u32 fixed_len, const struct qcow *old,
		   const char *backing, const char *format, const char *data_file)
{
	u32 len = backing ? (u32)strlen(backing) : 0;
	struct writer w = {to, fixed_len, cluster};

	if (len > MAX_BACKING_NAME)
		return -ENAMETOOLONG;
	memset(to, 0, cluster);
	memcpy(to, fixed, fixed_len);
	if (format)
		put(&w, QX_BACKING_FORMAT, format, (u32)strlen(format));
	if (data_file)
		put(&w, QX_DATA_FILE, data_file, (u32)strlen(data_file));
	if (old)
		put_old(&w, old);
	else if (ld_be32(fixed + QH_VERSION) >= 3)
		put_features(&w, 8 + len);
	put(&w, QX_END, NULL, 0);
	if (!range_fits(w.at, len, cluster))
		return -ENAMETOOLONG;
	if (len)
		memcpy(to + w.at, backing, len);
	st_be64(to + QH_BACKING_OFF, len ? w.at : 0);
	st_be32(to + QH_BACKING_LEN, len);
	return 0;
}
