/* SPDX-License-Identifier: MIT */
/*
 * qcow2.h - what the files of the qcow2 format share.
 *
 * Source: QEMU's docs/interop/qcow2.txt, whose terms are used throughout; "host" offsets are
 * those in the image file, "guest" ones those on the disk.  qcow2.c opens with how the parts
 * work together.
 *
 * Locks: q->big is for everything that changes or loads metadata and is held over metadata's
 * I/O, never over data's.  q->map is short, for what locate() reads: the L1 table, the cached
 * L2 tables and the list of requests.  Who changes those holds both; who reads them, either.
 */
#ifndef BLOCK_QCOW2_QCOW2_H
#define BLOCK_QCOW2_QCOW2_H

#include "block/format.h"
#include "block/image.h"

#define Q_COPIED (1ull << 63)
#define Q_COMPRESSED (1ull << 62)
#define Q_ZERO 1ull
#define Q_OFFSET 0x00fffffffffffe00ull
#define Q_ALL_ZERO 0xffffffff00000000ull /* subcluster bitmap */
#define Q_ALL_DATA 0x00000000ffffffffull

enum {
	Q_MAGIC = 0x514649fb,
	Q_MAX_L1_BYTES = 32 << 20,
	Q_MAX_REFTABLE_BYTES = 8 << 20,
	Q_MAX_SNAPSHOTS = 65536,
	Q_MAX_SNAPSHOT_TABLE = 64 << 20,
	Q_MAX_HEADER = 4096, /* of the fixed fields */
	Q_SUBCLUSTERS = 32,
	Q_IOVS = 62, /* pieces of memory in one transfer */
};

/* Fields of the header, by offset. */
enum {
	QH_VERSION = 4,
	QH_BACKING_OFF = 8,
	QH_BACKING_LEN = 16,
	QH_CLUSTER_BITS = 20,
	QH_SIZE = 24,
	QH_CRYPT = 32,
	QH_L1_SIZE = 36,
	QH_L1_OFF = 40,
	QH_REFTABLE_OFF = 48,
	QH_REFTABLE_CLUSTERS = 56,
	QH_NB_SNAPSHOTS = 60,
	QH_SNAPSHOTS_OFF = 64,
	QH_V2_LEN = 72,
	QH_INCOMPATIBLE = 72,
	QH_COMPATIBLE = 80,
	QH_AUTOCLEAR = 88,
	QH_REFCOUNT_ORDER = 96,
	QH_LENGTH = 100,
	QH_COMPRESSION = 104,
	QH_V3_LEN = 112,
};

enum {
	QI_DIRTY = 1,
	QI_CORRUPT = 2,
	QI_DATA_FILE = 4,
	QI_COMPRESSION = 8,
	QI_EXTENDED_L2 = 16,
	QI_KNOWN = 31,
};
enum { QC_LAZY = 1, QA_BITMAPS = 1, QA_RAW_DATA = 2 };

enum {
	QX_END = 0,
	QX_BACKING_FORMAT = 0xe2792aca,
	QX_FEATURES = 0x6803f857,
	QX_BITMAPS = 0x23852875,
	QX_ENCRYPTION = 0x0537be77,
	QX_DATA_FILE = 0x44415441,
};

/* A cached table: one cluster of L2 entries or refcounts, as on disk. */
struct qpage {
	u64 host;   /* where it lies */
	u32 lo, hi; /* bytes that differ from the file; lo == hi: none */
	bool fresh; /* L2: nothing on disk refers to it yet */
	bool used;  /* since the clock's hand passed */
	u32 slot;   /* which entry of the table above refers to it */
	struct qpage *next;
	u8 data[];
};

struct qcache {
	struct qpage **page; /* one for each entry of the table above; NULL: not loaded */
	u32 slots;
	struct qpage *pages, **hand;
	u32 nr, limit;
};

/* A reference to clusters that has been given up. */
struct qref {
	u64 cluster, nr;
};

struct qrefs {
	struct qref *ref;
	size_t nr, room;
};

/* A request whose data is being moved with q->big not held. */
struct qop {
	u64 gen;
	struct qop *next, **prev;
};

/* Guest clusters that a write is filling: others that would change their entry wait. */
struct qbusy {
	u64 first, nr;
	struct qbusy *next;
};

/* Clusters that hold metadata, which no data may be written over. */
struct qset {
	u64 *slot; /* cluster number + 1; 0: empty */
	size_t nr, room;
};

/* The compressed cluster that was read last, so that reading on does not unpack it again. */
struct qunpacked {
	struct lock lock; /* a leaf */
	u64 entry;	  /* 0: none */
	u64 first, last;  /* the host clusters it lies in */
	u8 *bytes;
};

enum qkind { QK_BACKING, QK_ZERO, QK_DATA, QK_COMPRESSED };

/* What is at a guest offset, and for how long it stays like that. */
struct qmap {
	enum qkind kind;
	bool copied; /* host is this disk's alone */
	u64 host;    /* of the offset asked for; compressed: the entry; 0: none */
	u64 len;
};

struct qsnap {
	u64 l1_off;
	u32 l1_size;
	u64 vm_state, disk_size, vm_clock;
	u32 sec, nsec;
	char *id, *name;
	u8 *extra; /* from byte 56 on, which nobody here knows */
	u32 extra_len, has_extra;
};

struct qcow {
	struct blk *b;
	struct lock big, map;
	pthread_cond_t idle; /* with big: a struct qbusy is gone */
	struct hostfile *file, *data;

	/* The header. */
	unsigned version, cluster_bits, refcount_order, compression;
	u32 cluster, header_len;
	u64 incompatible, compatible, autoclear;
	u8 *head; /* its first cluster, as on disk */
	char *data_name;
	bool ext_l2, writing, corrupt, failed;
	u64 file_end; /* host bytes below may hold anything; at and behind it, zeroes */
	bool has_backing;

	/* Guest mapping. */
	u64 l1_off;
	u64 *l1;		   /* in the host's byte order */
	u32 l1_size, l1_lo, l1_hi; /* entries that differ from the file */
	unsigned l2_bits, entry_size, unit_bits;
	struct qcache l2;

	/* Refcounts. */
	u64 reftable_off;
	u64 *reftable;
	u32 reftable_clusters;
	unsigned rb_bits; /* log2 of the refcounts in a block */
	struct qcache rb;
	u64 free_hint; /* no cluster below it is free */
	struct qset meta;

	/* References given up: not yet committed, and committed but perhaps still read. */
	struct qrefs freed, limbo;
	u64 gen, limbo_gen;
	struct qop *ops;
	struct qbusy *busy;
	struct qunpacked unpacked;
	u64 packed; /* where the next compressed cluster may go; 0: in a new one */
	bool rb_dirty, l2_dirty;

	struct qsnap *snaps;
	u32 nr_snaps;
	u64 snaps_off, snaps_bytes;
};

static inline u64 q_clusters(const struct qcow *q, u64 bytes)
{
	return (bytes >> q->cluster_bits) + ((bytes & (q->cluster - 1)) != 0);
}

/* qcow2.c: find anew where metadata lie; while no request is under way. */
int q_collect_meta(struct qcow *q) must_check;

/* header.c */
bool q_probe(const u8 *head, size_t len);
int q_header_read(struct qcow *q, struct err *e) must_check;
/* Find an extension in q->head; NULL: there is none. */
const u8 *q_extension(const struct qcow *q, u32 type, u32 *len);
/* Change fields of the header on disk and in q->head; within one sector, so never torn. */
int q_header_set(struct qcow *q, u32 off, const void *bytes, u32 len) must_check;
int q_set_incompatible(struct qcow *q, u64 bits) must_check;
/* Everything that has to be on the medium before the first change of the image. */
int q_begin_writing_locked(struct qcow *q) must_check;
/* A table that disagrees with others: nothing is written any more.  -EIO. */
int q_corrupt(struct qcow *q, const char *what, u64 off);
/* Compose a first cluster; name, format, data_file NULL: none. */
int q_header_build(u8 *to, u32 cluster, const u8 *fixed, u32 fixed_len, const struct qcow *old,
		   const char *backing, const char *format, const char *data_file) must_check;

/* cache.c */
int q_cache_init(struct qcache *c, u32 slots, u32 limit) must_check;
int q_cache_grow(struct qcache *c, u32 slots) must_check;
void q_cache_free(struct qcache *c);
void q_page_dirty(struct qpage *p, u32 off, u32 len);
/* The pointer is good until the next call for the same cache. */
struct qpage *q_page_get(struct qcow *q, struct qcache *c, u32 slot, u64 host, bool load, int *r);
void q_page_drop(struct qcow *q, struct qcache *c, u32 slot);
int q_sync(struct qcow *q) must_check;
int q_commit_locked(struct qcow *q) must_check;
int q_write_refcounts_locked(struct qcow *q) must_check;
/* Give up references; taken back into use after the next commit. */
int q_defer_locked(struct qcow *q, u64 cluster, u64 nr) must_check;
void q_reap_locked(struct qcow *q);

/* refcount.c */
int q_refs_add(struct qrefs *l, u64 cluster, u64 nr) must_check;
u64 q_rc_load(const u8 *block, unsigned order, u64 i);
void q_rc_store(u8 *block, unsigned order, u64 i, u64 val);
static inline u64 q_rc_max(unsigned order)
{
	return order == 6 ? ~0ull : (1ull << (1u << order)) - 1;
}
int q_rc_get(struct qcow *q, u64 cluster, u64 *val) must_check;
int q_rc_set(struct qcow *q, u64 cluster, u64 val) must_check;
int q_rc_add(struct qcow *q, u64 cluster, u64 nr, int delta) must_check;
/* 1 to want clusters in a row, all: exactly want; their refcount is 1.  *fresh: read as zeroes. */
int q_alloc(struct qcow *q, u64 want, bool all, u64 *host, u64 *got, bool *fresh) must_check;
int q_set_add(struct qset *s, u64 cluster) must_check;
void q_set_del(struct qset *s, u64 cluster);
bool q_set_has(const struct qset *s, u64 cluster);
/* Read table t of n entries at off, in the host's byte order. */
int q_table_read(struct qcow *q, u64 off, u64 *t, u32 n) must_check;

/* map.c */
u32 q_l2_index(const struct qcow *q, u64 off);
u64 q_l1_index(const struct qcow *q, u64 off);
u64 q_entry(const struct qcow *q, const struct qpage *p, u32 i);
u64 q_bitmap(const struct qcow *q, const struct qpage *p, u32 i);
void q_set_entry(struct qcow *q, struct qpage *p, u32 i, u64 entry, u64 bitmap);
/* The first piece of [off, off + len), which lies on the disk. */
int q_map_locked(struct qcow *q, u64 off, u64 len, struct qmap *m) must_check;
/* Same, holding nothing; op is begun when it returns 0. */
int q_map(struct qcow *q, u64 off, u64 len, struct qmap *m, struct qop *op) must_check;
void q_op_begin_locked(struct qcow *q, struct qop *op);
void q_op_end(struct qcow *q, struct qop *op);
int q_l2_for_write(struct qcow *q, u64 off, struct qpage **p) must_check;
int q_free_entry(struct qcow *q, u64 entry) must_check;
bool q_overlaps_meta(const struct qcow *q, u64 host, u64 len);
int qcow2_locate(struct blk *b, enum blk_op op, u64 off, u64 len, struct blk_extent *x);
int qcow2_status(struct blk *b, u64 off, u64 len, struct blk_status *st);
/* Of a compressed entry: where and how long at most. */
void q_compressed_at(const struct qcow *q, u64 entry, u64 *off, u32 *len);

/* read.c, write.c, compress.c */
struct qiter {
	const struct iovec *iov;
	unsigned n;
	size_t skip; /* of iov[0] */
};
/* At most len bytes and max pieces of it into to. */
u64 q_iter_take(struct qiter *it, u64 len, struct iovec *to, unsigned max, unsigned *n);
int q_read_range(struct qcow *q, u64 off, void *buf, u64 len) must_check;
int qcow2_read(struct blk *b, u64 off, const struct iovec *iov, unsigned n);
int q_read_compressed(struct qcow *q, u64 entry, u64 off, const struct iovec *iov,
		      unsigned n) must_check;
int qcow2_write(struct blk *b, u64 off, const struct iovec *iov, unsigned n);
int qcow2_discard(struct blk *b, u64 off, u64 len);
int qcow2_zero(struct blk *b, u64 off, u64 len, bool unmap);
int qcow2_write_compressed(struct blk *b, u64 off, const void *buf, size_t len);
/* A host cluster is about to count as free. */
void q_unpacked_forget(struct qcow *q, u64 cluster);
/* With big held: until no write is filling these. */
bool q_wait_busy(struct qcow *q, u64 first, u64 nr);

/* snapshot.c */
int q_snapshots_read(struct qcow *q, struct err *e) must_check;
void q_snapshots_free(struct qcow *q);
/* Make the disk what the snapshot says, for reading. */
int q_snapshot_open(struct qcow *q, const char *name, struct err *e) must_check;
int qcow2_snapshot_list(struct blk *b, struct blk_snapshot **list, unsigned *n, struct err *e);
int qcow2_snapshot_create(struct blk *b, const char *name, struct err *e);
int qcow2_snapshot_apply(struct blk *b, const char *name, struct err *e);
int qcow2_snapshot_delete(struct blk *b, const char *name, struct err *e);

/* Make bit 63 of all active entries agree with the counts; commits. */
int q_fix_copied(struct qcow *q) must_check;

/* count.c: the references that there are, for check.c */
struct qcount {
	struct qcow *q;
	struct blk_check *c; /* NULL: count only */
	u32 *refs;	     /* of each cluster of the file */
	u64 nr;
	bool bad_blocks; /* the refcount table is damaged itself */
	u64 bad_entries; /* of other tables: nobody can tell what they should be */
	u64 next_host;	 /* where the next guest cluster would not be fragmented */
};
void q_found(struct qcount *k, u64 *counter, const char *fmt, ...) printf_fmt(3);
int q_count_all(struct qcount *k, bool blocks, struct err *e) must_check;

/* check.c, create.c, resize.c */
int qcow2_check(struct blk *b, struct blk_check *c, struct err *e);
int qcow2_create(const struct blk_create *c, struct err *e);
int qcow2_info(struct blk *b, struct blk_image_info *info, struct err *e);
int qcow2_resize(struct blk *b, u64 size, struct err *e);
int qcow2_set_backing(struct blk *b, const char *name, const char *format, struct err *e);
/* A table has moved: q->meta follows.  Host offsets and numbers of clusters. */
void q_move_meta(struct qcow *q, u64 from, u64 from_nr, u64 to, u64 to_nr);
/* Put the L1 table elsewhere, with n entries; for an image that no request uses. */
int q_l1_move(struct qcow *q, const u64 *l1, u32 n) must_check;

#endif
