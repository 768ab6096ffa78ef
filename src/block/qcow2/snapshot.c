/* SPDX-License-Identifier: MIT */
/* snapshot.c - internal snapshots: each an L1 table of its own, whose clusters count once more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "block/qcow2/qcow2.h"

enum { ENTRY_LEN = 40, EXTRA_LEN = 16, MAX_EXTRA = 1024 };

static int fail(struct qcow *q, int r, const char *what, struct err *e)
{
	return err_set(e, r, "%s: cannot %s: %s", hf_name(q->file), what, strerror(-r));
}

static void snap_free(struct qsnap *s)
{
	free(s->id);
	free(s->name);
	free(s->extra);
}

void q_snapshots_free(struct qcow *q)
{
	for (u32 i = 0; q->snaps && i < q->nr_snaps; i++)
		snap_free(&q->snaps[i]);
	free(q->snaps);
	q->snaps = NULL;
}

static int read_bytes(struct qcow *q, u64 off, u32 len, u8 **to)
{
	*to = calloc(1, len + 1ul);
	return *to ? hf_pread(q->file, off, *to, len) : -ENOMEM;
}

/* One entry at off; *len: of it, padded. */
static int read_one(struct qcow *q, u64 off, struct qsnap *s, u64 *len)
{
	u8 h[ENTRY_LEN + EXTRA_LEN];
	u32 id_len, name_len, extra;
	int r = hf_pread(q->file, off, h, sizeof(h));

	if (r)
		return r;
	id_len = ld_be16(h + 12);
	name_len = ld_be16(h + 14);
	extra = ld_be32(h + 36);
	*s = (struct qsnap){
		.l1_off = ld_be64(h),
		.l1_size = ld_be32(h + 8),
		.sec = ld_be32(h + 16),
		.nsec = ld_be32(h + 20),
		.vm_clock = ld_be64(h + 24),
		.vm_state = extra >= 8 ? ld_be64(h + 40) : ld_be32(h + 32),
		.disk_size = extra >= 16 ? ld_be64(h + 48) : q->b->size,
		.has_extra = extra < EXTRA_LEN ? extra : EXTRA_LEN,
	};
	if (extra > MAX_EXTRA || s->l1_size > Q_MAX_L1_BYTES / 8 || s->l1_off % q->cluster ||
	    s->l1_off > Q_OFFSET)
		return -EBADMSG;
	s->extra_len = extra > EXTRA_LEN ? extra - EXTRA_LEN : 0;
	r = read_bytes(q, off + ENTRY_LEN + EXTRA_LEN, s->extra_len, &s->extra);
	if (r == 0)
		r = read_bytes(q, off + ENTRY_LEN + extra, id_len, (u8 **)&s->id);
	if (r == 0)
		r = read_bytes(q, off + ENTRY_LEN + extra + id_len, name_len, (u8 **)&s->name);
	*len = (ENTRY_LEN + extra + id_len + name_len + 7ull) / 8 * 8;
	return r;
}

int q_snapshots_read(struct qcow *q, struct err *e)
{
	u64 size = hf_size(q->file), off = q->snaps_off, len = 0;
	u32 nr = q->nr_snaps;

	q->nr_snaps = 0;
	q->snaps = calloc(nr ? nr : 1, sizeof(*q->snaps));
	if (!q->snaps)
		return err_set(e, -ENOMEM, "out of memory");
	for (; q->nr_snaps < nr; off += len) {
		int r = off - q->snaps_off > Q_MAX_SNAPSHOT_TABLE || off >= size ? -EBADMSG : 0;
		struct qsnap *s = &q->snaps[q->nr_snaps];

		if (r == 0) {
			q->nr_snaps++;
			r = read_one(q, off, s, &len);
		}
		if (r == -EBADMSG)
			return err_set(e, -ENOEXEC, "%s: damaged: bad snapshot table",
				       hf_name(q->file));
		if (r)
			return fail(q, r, "read the snapshots", e);
	}
	q->snaps_bytes = off - q->snaps_off;
	return 0;
}

static struct qsnap *find(struct qcow *q, const char *name, struct err *e)
{
	for (u32 i = 0; i < q->nr_snaps; i++)
		if (strcmp(q->snaps[i].name, name) == 0)
			return &q->snaps[i];
	for (u32 i = 0; i < q->nr_snaps; i++)
		if (strcmp(q->snaps[i].id, name) == 0)
			return &q->snaps[i];
	err_set(e, -ENOENT, "%s has no snapshot named \"%s\"", hf_name(q->file), name);
	return NULL;
}

static int read_l1(struct qcow *q, const struct qsnap *s, u32 room, u64 **l1)
{
	int r;

	*l1 = calloc(room + 1ul, 8);
	if (!*l1)
		return -ENOMEM;
	r = q_table_read(q, s->l1_off, *l1, s->l1_size);
	if (r) {
		free(*l1);
		*l1 = NULL;
	}
	return r;
}

int q_snapshot_open(struct qcow *q, const char *name, struct err *e)
{
	struct qsnap *s = find(q, name, e);
	u64 *l1;
	int r;

	if (!s)
		return e->code;
	q->b->size = (s->disk_size + BLK_SECTOR - 1) & ~(u64)(BLK_SECTOR - 1);
	if (s->disk_size > 1ull << 62 ||
	    (q->b->size && q_l1_index(q, q->b->size - 1) >= s->l1_size))
		return err_set(e, -ENOEXEC, "%s: damaged: bad size of snapshot \"%s\"",
			       hf_name(q->file), name);
	r = read_l1(q, s, s->l1_size, &l1);
	if (r == 0)
		r = q_cache_grow(&q->l2, s->l1_size);
	if (r)
		return fail(q, r, "read the snapshot", e);
	free(q->l1);
	q->l1 = l1;
	q->l1_size = s->l1_size;
	return 0;
}

int qcow2_snapshot_list(struct blk *b, struct blk_snapshot **list, unsigned *n, struct err *e)
{
	struct qcow *q = b->priv;

	*list = calloc(q->nr_snaps ? q->nr_snaps : 1, sizeof(**list));
	if (!*list)
		return err_set(e, -ENOMEM, "out of memory");
	*n = q->nr_snaps;
	for (u32 i = 0; i < q->nr_snaps; i++) {
		struct qsnap *s = &q->snaps[i];
		struct blk_snapshot *to = &(*list)[i];

		snprintf(to->id, sizeof(to->id), "%s", s->id);
		snprintf(to->name, sizeof(to->name), "%s", s->name);
		to->vm_state_size = s->vm_state;
		to->date_sec = s->sec;
		to->date_nsec = s->nsec;
		to->vm_clock_ns = s->vm_clock;
		to->disk_size = s->disk_size;
	}
	return 0;
}

static size_t put_snap(u8 *to, const struct qsnap *s)
{
	size_t id = strlen(s->id), name = strlen(s->name), at = ENTRY_LEN + EXTRA_LEN;

	if (to) {
		st_be64(to, s->l1_off);
		st_be32(to + 8, s->l1_size);
		st_be16(to + 12, (u16)id);
		st_be16(to + 14, (u16)name);
		st_be32(to + 16, s->sec);
		st_be32(to + 20, s->nsec);
		st_be64(to + 24, s->vm_clock);
		st_be32(to + 32, (u32)s->vm_state);
		st_be32(to + 36, EXTRA_LEN + s->extra_len);
		st_be64(to + 40, s->vm_state);
		st_be64(to + 48, s->disk_size);
		if (s->extra_len)
			memcpy(to + at, s->extra, s->extra_len);
		memcpy(to + at + s->extra_len, s->id, id);
		memcpy(to + at + s->extra_len + id, s->name, name);
	}
	at += s->extra_len + id + name;
	return (at + 7) / 8 * 8;
}

/* Write bytes to clusters of their own; what counts them is on the medium with them. */
static int write_anew(struct qcow *q, const void *bytes, u64 len, u64 *host)
{
	u64 nr = q_clusters(q, len), got;
	bool fresh;
	int r = q_alloc(q, nr, true, host, &got, &fresh);

	if (r)
		return r;
	r = hf_pwrite(q->file, *host, bytes, len);
	if (r == 0)
		r = q_write_refcounts_locked(q);
	if (r)
		(void)!q_rc_add(q, *host >> q->cluster_bits, nr, -1);
	return r;
}

/* A new table with the nr snapshots at list; then the old one's clusters are free. */
static int write_table(struct qcow *q, const struct qsnap *list, u32 nr)
{
	u64 host = 0, old = q->snaps_off, old_nr = q_clusters(q, q->snaps_bytes);
	size_t len = 0, at = 0;
	u8 field[12], *buf;
	int r = 0;

	for (u32 i = 0; i < nr; i++)
		len += put_snap(NULL, &list[i]);
	if (len > Q_MAX_SNAPSHOT_TABLE)
		return -EFBIG;
	buf = calloc(1, len + 1);
	if (!buf)
		return -ENOMEM;
	for (u32 i = 0; i < nr; i++)
		at += put_snap(buf + at, &list[i]);
	if (len)
		r = write_anew(q, buf, len, &host);
	free(buf);
	if (r)
		return r;
	st_be32(field, nr);
	st_be64(field + 4, host);
	r = q_header_set(q, QH_NB_SNAPSHOTS, field, sizeof(field));
	if (r == 0)
		r = q_sync(q);
	if (r) {
		q->failed = true;
		return r;
	}
	q_move_meta(q, old, old ? old_nr : 0, host, q_clusters(q, len));
	q->snaps_off = host;
	q->snaps_bytes = len;
	/* What cannot be given back is lost, but the new table is there. */
	if (old)
		(void)!q_rc_add(q, old >> q->cluster_bits, old_nr, -1);
	return 0;
}

/* How far a change of counts has come, so that it can be taken back. */
struct walk {
	int delta;
	u64 done, limit;
};

static int count_refs(struct qcow *q, u64 off, u32 len, struct walk *w)
{
	u64 first = off >> q->cluster_bits, last = (off + len - 1) >> q->cluster_bits;

	for (u64 c = first; c <= last && w->done < w->limit; c++) {
		int r = q_rc_add(q, c, 1, w->delta);

		if (r)
			return r;
		w->done++;
	}
	return 0;
}

static int walk_l2(struct qcow *q, u64 host, u64 *table, struct walk *w)
{
	u32 words = q->cluster / 8;
	int r = q_table_read(q, host, table, words);

	for (u32 i = 0; i < words && r == 0; i += q->entry_size / 8) {
		u64 off = table[i] & Q_OFFSET;
		u32 len = 1;

		if (table[i] & Q_COMPRESSED)
			q_compressed_at(q, table[i], &off, &len);
		if (off)
			r = count_refs(q, off, len, w);
	}
	return r ? r : count_refs(q, host, 1, w);
}

/* Add delta to the counts of all that an L1 table reaches; the file has it all. */
static int walk_l1(struct qcow *q, const u64 *l1, u32 n, struct walk *w)
{
	u64 *table = malloc(q->cluster);
	int r = table ? 0 : -ENOMEM;

	for (u32 i = 0; i < n && r == 0; i++) {
		u64 host = l1[i] & Q_OFFSET;

		if (!host)
			continue;
		if (host % q->cluster || host >= q->file_end)
			r = q_corrupt(q, "bad L2 table", host);
		else
			r = walk_l2(q, host, table, w);
	}
	free(table);
	return r;
}

static int count_l1(struct qcow *q, const u64 *l1, u32 n, int delta)
{
	struct walk w = {.delta = delta, .limit = ~0ull};
	int r = walk_l1(q, l1, n, &w);

	if (r && delta > 0) {
		struct walk back = {.delta = -delta, .limit = w.done};

		(void)!walk_l1(q, l1, n, &back);
	}
	return r;
}

static int fix_copied_l2(struct qcow *q, u32 slot)
{
	int r = 0;

	for (u32 k = 0; k < 1u << q->l2_bits && r == 0; k++) {
		struct qpage *p = q_page_get(q, &q->l2, slot, q->l1[slot] & Q_OFFSET, true, &r);
		u64 entry = p ? q_entry(q, p, k) : 0, refs, now;

		if (r || entry & Q_COMPRESSED || !(entry & Q_OFFSET))
			continue;
		r = q_rc_get(q, (entry & Q_OFFSET) >> q->cluster_bits, &refs);
		now = refs == 1 ? entry | Q_COPIED : entry & ~Q_COPIED;
		if (r == 0 && now != entry)
			q_set_entry(q, p, k, now, q_bitmap(q, p, k));
	}
	return r;
}

int q_fix_copied(struct qcow *q)
{
	int r = 0;

	for (u32 i = 0; i < q->l1_size && r == 0; i++) {
		u64 host = q->l1[i] & Q_OFFSET, refs;

		if (!host)
			continue;
		if (host % q->cluster || host >= q->file_end)
			return q_corrupt(q, "bad L2 table", host);
		r = fix_copied_l2(q, i);
		if (r == 0)
			r = q_rc_get(q, host >> q->cluster_bits, &refs);
		if (r)
			break;
		lock(&q->map);
		q->l1[i] = host | (refs == 1 ? Q_COPIED : 0);
		unlock(&q->map);
	}
	q->l1_lo = 0;
	q->l1_hi = q->l1_size;
	q->l2_dirty = true;
	return r ? r : q_commit_locked(q);
}

/* Everything is in the file, and nothing waits to be freed. */
static int begin(struct qcow *q)
{
	int r = q_begin_writing_locked(q);

	if (r == 0)
		r = q_commit_locked(q);
	q_reap_locked(q);
	return r;
}

static u64 next_id(const struct qcow *q)
{
	u64 max = 0;

	for (u32 i = 0; i < q->nr_snaps; i++) {
		u64 id = strtoull(q->snaps[i].id, NULL, 10);

		max = id > max && id < 1ull << 62 ? id : max;
	}
	return max + 1;
}

/* The snapshot's own L1 table, in the file. */
static int write_snapshot_l1(struct qcow *q, struct qsnap *s)
{
	size_t len = q->l1_size * 8ul;
	u8 *l1 = malloc(len + 1);
	int r = l1 ? 0 : -ENOMEM;

	for (u32 i = 0; r == 0 && i < q->l1_size; i++)
		st_be64(l1 + i * 8ul, q->l1[i] & ~Q_COPIED);
	s->l1_size = q->l1_size;
	if (r == 0 && len)
		r = write_anew(q, l1, len, &s->l1_off);
	free(l1);
	return r;
}

/* All that the disk has counts once more; then the table names the snapshot. */
static int add_snapshot(struct qcow *q, struct qsnap *s)
{
	struct qsnap *list;
	int r = q_write_refcounts_locked(q);

	if (r == 0)
		r = q_fix_copied(q);
	if (r)
		return r;
	list = realloc(q->snaps, (q->nr_snaps + 1ul) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	q->snaps = list;
	list[q->nr_snaps] = *s;
	r = write_table(q, list, q->nr_snaps + 1);
	q->nr_snaps += r == 0;
	return r;
}

static int take(struct qcow *q, struct qsnap *s)
{
	bool counted;
	int r = begin(q);

	if (r == 0)
		r = write_snapshot_l1(q, s);
	if (r)
		return r;
	r = count_l1(q, q->l1, q->l1_size, 1);
	counted = r == 0;
	if (r == 0)
		r = add_snapshot(q, s);
	/* As it was; but after a failed sync nobody knows what the file has. */
	if (r && !q->failed) {
		if (counted && count_l1(q, q->l1, q->l1_size, -1) == 0)
			(void)!q_fix_copied(q);
		(void)!q_rc_add(q, s->l1_off >> q->cluster_bits, q_clusters(q, s->l1_size * 8ull),
				-1);
	}
	return r;
}

/* There the tables' offsets are none of the image, and nothing counts them. */
static int refuse_data_file(struct qcow *q, struct err *e)
{
	return q->data == q->file
		       ? 0
		       : err_set(e, -EOPNOTSUPP, "%s: no snapshots with an external data file",
				 hf_name(q->file));
}

static int check_name(struct qcow *q, const char *name, struct err *e)
{
	if (strlen(name) > 255 || !*name)
		return err_set(e, -EINVAL, "a snapshot's name has 1 to 255 bytes");
	if (q->nr_snaps >= Q_MAX_SNAPSHOTS)
		return err_set(e, -ENOSPC, "%s has too many snapshots", hf_name(q->file));
	for (u32 i = 0; i < q->nr_snaps; i++)
		if (strcmp(q->snaps[i].name, name) == 0)
			return err_set(e, -EEXIST, "%s already has a snapshot named \"%s\"",
				       hf_name(q->file), name);
	return 0;
}

int qcow2_snapshot_create(struct blk *b, const char *name, struct err *e)
{
	struct qcow *q = b->priv;
	struct timespec now;
	struct qsnap s = {.disk_size = b->size};
	int r = refuse_data_file(q, e);

	if (r == 0)
		r = check_name(q, name, e);
	if (r)
		return r;
	clock_gettime(CLOCK_REALTIME, &now);
	s.sec = (u32)now.tv_sec;
	s.nsec = (u32)now.tv_nsec;
	s.name = strdup(name);
	r = s.name && asprintf(&s.id, "%llu", (unsigned long long)next_id(q)) > 0 ? 0 : -ENOMEM;
	lock(&q->big);
	if (r == 0)
		r = take(q, &s);
	unlock(&q->big);
	if (r == 0)
		return 0;
	snap_free(&s);
	if (r == -EOVERFLOW)
		return err_set(e, r,
			       "%s: refcounts of %u bits are too narrow for another snapshot; "
			       "convert it with more refcount_bits",
			       hf_name(q->file), 1u << q->refcount_order);
	return fail(q, r, "make the snapshot", e);
}

static int drop(struct qcow *q, struct qsnap *s)
{
	u32 i = (u32)(s - q->snaps), nr = q->nr_snaps - 1;
	struct qsnap gone = *s;
	u64 *l1;
	int r = begin(q);

	if (r == 0)
		r = read_l1(q, s, s->l1_size, &l1);
	if (r)
		return r;
	memmove(s, s + 1, (nr - i) * sizeof(*s));
	r = write_table(q, q->snaps, nr);
	if (r) {
		memmove(s + 1, s, (nr - i) * sizeof(*s));
		*s = gone;
		free(l1);
		return r;
	}
	q->nr_snaps = nr;
	r = count_l1(q, l1, gone.l1_size, -1);
	if (r == 0 && gone.l1_size)
		r = q_rc_add(q, gone.l1_off >> q->cluster_bits, q_clusters(q, gone.l1_size * 8ull),
			     -1);
	free(l1);
	snap_free(&gone);
	return r ? r : q_fix_copied(q);
}

int qcow2_snapshot_delete(struct blk *b, const char *name, struct err *e)
{
	struct qcow *q = b->priv;
	struct qsnap *s = refuse_data_file(q, e) ? NULL : find(q, name, e);
	int r;

	if (!s)
		return e->code;
	lock(&q->big);
	r = drop(q, s);
	unlock(&q->big);
	return r ? fail(q, r, "delete the snapshot", e) : 0;
}

static int apply(struct qcow *q, const struct qsnap *s)
{
	u32 n = s->l1_size > q->l1_size ? s->l1_size : q->l1_size, old_n = q->l1_size;
	u64 *l1, *old = malloc(old_n * 8ul + 1), old_size = q->b->size;
	int r = old ? begin(q) : -ENOMEM;

	if (r == 0)
		r = read_l1(q, s, n, &l1);
	if (r) {
		free(old);
		return r;
	}
	memcpy(old, q->l1, old_n * 8ul);
	r = count_l1(q, l1, n, 1);
	if (r == 0) {
		q->b->size = s->disk_size;
		r = q_l1_move(q, l1, n);
		if (r)
			q->b->size = old_size;
		if (r && !q->failed)
			(void)!count_l1(q, l1, n, -1);
	}
	free(l1);
	if (r == 0)
		r = count_l1(q, old, old_n, -1);
	free(old);
	return r ? r : q_fix_copied(q);
}

int qcow2_snapshot_apply(struct blk *b, const char *name, struct err *e)
{
	struct qcow *q = b->priv;
	struct qsnap *s = refuse_data_file(q, e) ? NULL : find(q, name, e);
	int r;

	if (!s)
		return e->code;
	if (s->disk_size % BLK_SECTOR || s->disk_size > 1ull << 62 ||
	    (s->disk_size && q_l1_index(q, s->disk_size - 1) >= s->l1_size))
		return err_set(e, -ENOEXEC, "%s: damaged: bad size of snapshot \"%s\"",
			       hf_name(q->file), name);
	lock(&q->big);
	r = apply(q, s);
	unlock(&q->big);
	return r ? fail(q, r, "go back to the snapshot", e) : 0;
}
