/* SPDX-License-Identifier: MIT */
/*
 * format.h - what an image format is: to add one, write its ops and add it to formats.c.
 *
 * A format's functions block and are called on worker threads (or a tool's), several at a
 * time: a format locks for itself.  Before them, on the thread that submits, locate() is
 * asked where the bytes of a request are; what it can say without waiting goes to the host
 * file directly, by the page cache or asynchronously, with no worker in between.
 *
 * What locate() has given out is in flight until the request is done.  A format that is about
 * to use freed clusters anew, or to move some, brackets that with blk_quiesce_begin() and
 * blk_quiesce_end(): no request is in flight by locate() in between, and new ones take the
 * slow way.
 */
#ifndef BLOCK_FORMAT_H
#define BLOCK_FORMAT_H

#include "block/hostfile.h"
#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/lock.h"

struct blk_create;
struct blk_check;
struct blk_image_info;
struct blk_log;
struct blk_snapshot;

struct blk_extent {
	u64 len;	    /* this much of what was asked for is in one piece; not 0 */
	struct hostfile *f; /* NULL: it reads as zeroes */
	u64 off;	    /* where in it */
};

struct blk_format {
	const char *name, *doc;
	/* Do these bytes, the first len of a file, look like it?  NULL: no way to tell (raw). */
	bool (*probe)(const u8 *head, size_t len);

	/* b->file and b->cfg are set; sets b->size, b->backing_name...; leaves b->priv. */
	int (*open)(struct blk *b, struct err *e);
	/* After the last request, also when open() failed half way.  Writes back metadata. */
	int (*close)(struct blk *b, struct err *e);

	/*
	 * Without waiting: where [off, off + len) is, for a read, or may be overwritten in place,
	 * for a write.  -EAGAIN: ask the functions below.  NULL: always ask them.
	 */
	int (*locate)(struct blk *b, enum blk_op op, u64 off, u64 len, struct blk_extent *x);
	/* A write that was located is on the medium when its bytes are: there are no metadata. */
	bool plain;

	int (*read)(struct blk *b, u64 off, const struct iovec *iov, unsigned n);
	int (*write)(struct blk *b, u64 off, const struct iovec *iov, unsigned n);
	int (*flush)(struct blk *b);
	/* The two may do nothing for the parts of clusters at both ends. */
	int (*discard)(struct blk *b, u64 off, u64 len);
	/* -EOPNOTSUPP: the caller writes zeroes. */
	int (*zero)(struct blk *b, u64 off, u64 len, bool unmap);
	/* A whole, aligned cluster, stored compressed; NULL: it cannot.  See image.h. */
	int (*write_compressed)(struct blk *b, u64 off, const void *buf, size_t len);
	/* Of this layer alone: depth 0, or neither data nor zero if it is left to the backing. */
	int (*status)(struct blk *b, u64 off, u64 len, struct blk_status *st);
	int (*resize)(struct blk *b, u64 size, struct err *e);

	/* Tools: see image.h.  NULL: the format has no such thing. */
	int (*create)(const struct blk_create *c, struct err *e);
	int (*check)(struct blk *b, struct blk_check *c, struct err *e);
	int (*info)(struct blk *b, struct blk_image_info *info, struct err *e);
	int (*set_backing)(struct blk *b, const char *name, const char *format, struct err *e);
	int (*snapshot_list)(struct blk *b, struct blk_snapshot **list, unsigned *n, struct err *e);
	int (*snapshot_create)(struct blk *b, const char *name, struct err *e);
	int (*snapshot_apply)(struct blk *b, const char *name, struct err *e);
	int (*snapshot_delete)(struct blk *b, const char *name, struct err *e);
};

extern const struct blk_format *const blk_formats[]; /* formats.c; NULL-ended */
extern const struct blk_format blk_raw, blk_qcow2;

struct blk {
	const struct blk_format *format;
	const struct blk_cfg *cfg; /* own_cfg */
	struct blk_cfg own_cfg;
	struct hostfile *file;
	void *priv; /* the format's */
	_Atomic u64 size;
	bool read_only;
	bool opened, guessed; /* format->open() was called; nobody named the format */
	char *backing_name, *backing_format; /* what the image says; owned; NULL: none */
	struct blk *backing;		     /* what is read where the image has nothing; owned */
	struct blk *parent;		     /* whose backing image this is */
	struct blk_log *log;
	struct blk_user *user; /* NULL: none */
	struct blk *next;      /* of the machine's disks */
	struct blk_core *core; /* core.h: requests, workers; NULL behind another image */
};

/* By name; NULL and *e. */
const struct blk_format *blk_format_find(const char *name, struct err *e);
/* probe.c: sets b->format by b->cfg, b->file's name and, to refuse it, what is in it. */
int blk_choose_format(struct blk *b, struct err *e) must_check;

void blk_quiesce_begin(struct blk *b);
void blk_quiesce_end(struct blk *b);

/* Read from the backing image; what lies behind its end reads as zeroes, as all does without. */
int blk_read_backing(struct blk *b, u64 off, const struct iovec *iov, unsigned n) must_check;

#endif
