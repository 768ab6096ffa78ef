/* SPDX-License-Identifier: MIT */
/*
 * image.h - what tools do with images beyond reading and writing: create, check, snapshots.
 *
 * Everything here blocks and is for images that no machine uses.
 */
#ifndef BLOCK_IMAGE_H
#define BLOCK_IMAGE_H

#include "sundog/block.h"

enum blk_prealloc { PREALLOC_OFF, PREALLOC_METADATA, PREALLOC_FALLOC, PREALLOC_FULL };

struct blk_create {
	const char *path, *format;
	u64 size; /* bytes; 0 with a backing image: its size */
	const char *backing, *backing_format;
	/* qcow2 only; 0 and NULL are its defaults. */
	u32 cluster_size;	 /* 512 to 2 MiB; default 64 KiB */
	unsigned version;	 /* 2 or 3; default 3 */
	unsigned refcount_bits;	 /* 1 to 64; default 16 */
	const char *compression; /* "zlib" (default) or "zstd" */
	bool lazy_refcounts, extended_l2;
	const char *data_file; /* keep the guest's bytes in a raw file of their own */
	bool data_file_raw;
	enum blk_prealloc prealloc;
};

/* For formats: the host's side of preallocation, room or bytes. */
struct hostfile;
int blk_give_room(struct hostfile *f, u64 off, u64 len, enum blk_prealloc how) must_check;

/* Refuses to overwrite an existing file.  On failure nothing is left behind. */
int blk_create(const struct blk_create *c, struct err *e) must_check;

/* Filled by blk_check(); repairs only what the flags ask for. */
struct blk_check {
	bool fix_leaks, fix_errors;
	u64 errors, leaks; /* found, and still there */
	u64 errors_fixed, leaks_fixed;
	u64 clusters, allocated, fragmented, compressed;
	u64 image_end;					      /* the highest offset in use, bytes */
	void (*found)(struct blk_check *c, const char *what); /* each finding; may be NULL */
	void (*progress)(struct blk_check *c, u64 done, u64 all); /* may be NULL */
	void *opaque;
};

int blk_check(struct blk *b, struct blk_check *c, struct err *e) must_check;

struct blk_image_info {
	u64 virtual_size, disk_size; /* bytes; disk_size: what the file takes on the host */
	u32 cluster_size;	     /* 0: it has none */
	unsigned version, refcount_bits;
	const char *compression; /* a constant */
	bool lazy_refcounts, extended_l2, dirty, corrupt, encrypted, data_file_raw;
	const char *data_file; /* as long as the image is open */
};

int blk_info(struct blk *b, struct blk_image_info *info, struct err *e) must_check;

struct blk_snapshot {
	char id[32], name[256];
	u64 vm_state_size; /* bytes */
	u64 date_sec, vm_clock_ns;
	u32 date_nsec;
	u64 disk_size;
};

/* *list: free() it. */
int blk_snapshots(struct blk *b, struct blk_snapshot **list, unsigned *n, struct err *e) must_check;
/* name: a name, or failing that an id. */
int blk_snapshot_create(struct blk *b, const char *name, struct err *e) must_check;
int blk_snapshot_apply(struct blk *b, const char *name, struct err *e) must_check;
int blk_snapshot_delete(struct blk *b, const char *name, struct err *e) must_check;

/* Backing images.  backing(): NULL, or what is behind b, borrowed. */
struct blk *blk_backing(const struct blk *b);
/* Do the two lie in one host file, under whatever name? */
bool blk_same_file(const struct blk *a, const struct blk *b);
const char *blk_backing_name(const struct blk *b);
const char *blk_backing_format(const struct blk *b);
/* Only what the header says; the bytes are not touched.  NULL: none from here on. */
int blk_set_backing(struct blk *b, const char *name, const char *format, struct err *e) must_check;
/* cluster-sized and aligned, but for the disk's end; -EOPNOTSUPP: the format cannot. */
int blk_write_compressed(struct blk *b, u64 off, const void *buf, size_t len) must_check;
/* The unit in which space is given out, bytes; 0: none to speak of. */
u32 blk_cluster_size(struct blk *b);

const char *blk_format_at(unsigned i); /* the names of all formats; NULL: there are no more */

/* Where a name in an image leads: relative ones to the image's folder.  free() it. */
char *blk_path_beside(const char *image, const char *name);

#endif
