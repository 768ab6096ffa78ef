/* SPDX-License-Identifier: MIT */
/*
 * block.h - a disk: where a guest's blocks live.
 *
 * A disk is an image in some format, in a host file, perhaps with a chain of backing images
 * behind it.  Device models submit requests; tools and the boot code use the blocking calls.
 *
 * Offsets and lengths are bytes.  Requests of a device are multiples of BLK_SECTOR; the
 * blocking calls take any.  What lies outside the disk is -EINVAL, writing to a read-only
 * disk -EROFS; both are checked here for every format.  Bytes count as written once a flush
 * that was submitted after their completion has completed, or when the write had BLK_FUA.
 *
 * Locks: all functions from any thread, several at a time, but open, close and resize, which
 * are the owner's.  blk_submit() never waits for a disk longer than the host's page cache
 * takes; the blocking calls do, so they are neither for a vCPU nor for the loop of a machine
 * that runs.
 */
#ifndef SUNDOG_BLOCK_H
#define SUNDOG_BLOCK_H

#include <sys/uio.h>

#include "sundog/device.h"
#include "sundog/types.h"

struct blk;
struct opts;

enum { BLK_SECTOR = 512, BLK_PENDING = 1 };
enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES };
enum {
	BLK_FUA = 1,   /* writes: on the medium before they complete */
	BLK_UNMAP = 2, /* BLK_WRITE_ZEROES: space may be given back */
};

struct blk_req {
	enum blk_op op;
	u32 flags;
	u64 offset, len;	 /* BLK_FLUSH: 0 */
	const struct iovec *iov; /* of len bytes in all; stays put until done() */
	unsigned iovcnt;

	/*
	 * When blk_submit() returned BLK_PENDING: called exactly once, on any thread, with the
	 * owner's lock held and nothing else, with 0 or a negative errno.  The request is
	 * yours again from there on.
	 */
	void (*done)(struct blk_req *req, int res);
	struct device *owner;
	void *opaque; /* yours */

	struct { /* the block layer's, from blk_submit() to done() */
		struct blk *blk;
		unsigned left; /* pieces that are in flight */
		int res;
		bool located;
	} priv;
};

/*
 * 0 or a negative errno: it is finished, and done() is not called.  BLK_PENDING: done() will
 * be.  With the owner's lock held.
 */
int blk_submit(struct blk *b, struct blk_req *req) must_check;
/* In between, requests may be collected and handed to the host at once.  Nests. */
void blk_plug(struct blk *b);
void blk_unplug(struct blk *b);
/*
 * Wait until nothing is in flight in the host.  Holding no lock; new requests are not held
 * back meanwhile.  Those that wait for room on the host's disk (on_error) or for a throttle
 * stay where they are.
 */
void blk_drain(struct blk *b);
/* The same, and then those of this owner are done() with -ECANCELED; when a device goes. */
void blk_cancel_waiting(struct blk *b, struct device *owner);

/* Blocking; 0 or a negative errno. */
int blk_read(struct blk *b, u64 off, void *buf, size_t len) must_check;
int blk_write(struct blk *b, u64 off, const void *buf, size_t len) must_check;
int blk_flush(struct blk *b) must_check;
int blk_discard(struct blk *b, u64 off, u64 len) must_check;
int blk_write_zeroes(struct blk *b, u64 off, u64 len, u32 flags) must_check;

u64 blk_size(const struct blk *b); /* a multiple of BLK_SECTOR */
bool blk_is_read_only(const struct blk *b);
const char *blk_id(const struct blk *b);
const char *blk_format_name(const struct blk *b);
const char *blk_path(const struct blk *b); /* as the user named it */
bool blk_is_guessed(const struct blk *b);  /* taken as raw, since nobody said a format */

/* What a stretch of the disk is. */
struct blk_status {
	u64 len;   /* this much, from the offset asked for, is alike */
	bool zero; /* reads as zeroes */
	bool data; /* there are bytes in a file: this image's or one behind it */
	bool compressed;
	bool present;	 /* an image of the chain says what it is; else all leave it to the next */
	unsigned depth;	 /* 0: it is in the image itself, 1: in its backing image... */
	bool has_offset; /* whether .offset is where it lies in that image's file */
	u64 offset;
};

int blk_get_status(struct blk *b, u64 off, u64 len, struct blk_status *st) must_check;

/* Of the disk, as the guest sees it; the device tells the guest.  Growing adds zeroes. */
int blk_resize(struct blk *b, u64 size, struct err *e) must_check;

enum blk_on_error { BLK_REPORT, BLK_STOP, BLK_STOP_ENOSPC };

/* Operations and bytes a second; 0: no limit. */
struct blk_limits {
	u64 iops, iops_read, iops_write;
	u64 bps, bps_read, bps_write;
};

/* How to open one; the strings are borrowed for the disk's life. */
struct blk_cfg {
	const char *id;	    /* "disk0": for messages; NULL: the path */
	const char *file;   /* a path ... */
	int fd;		    /* ... or, if above 0, a descriptor, which the disk takes over */
	const char *format; /* NULL: see block/probe.c */
	const char *backing, *backing_format; /* instead of what the image says; NULL */
	const char *snapshot;		      /* read this internal snapshot, read-only; NULL */
	bool read_only;
	bool direct;	     /* O_DIRECT */
	bool unsafe;	     /* flushes are not waited for: for disks that are thrown away */
	bool no_lock;	     /* others may have it open */
	bool no_backing;     /* open this layer alone: for tools */
	bool repair;	     /* tools: open what has to be repaired first, and leave it as it is */
	const char *overlay; /* NULL: none; "": a throw-away one; else a file to keep it in */
	const char *log;     /* record writes and flushes of the host file there: see log.h */
	bool threads;	     /* do not use io_uring */
	enum blk_on_error on_error;
	struct blk_limits limits;
};

/* A disk as a user writes it: "disk.qcow2,format=qcow2,ro". */
struct blk_spec {
	struct blk_cfg cfg; /* its strings are opts' */
	const char *device; /* "virtio", "nvme", or "none": no device uses it yet */
	const char *serial; /* "": none given */
	const char *cache, *aio, *on_error;
	bool lock;
	struct opts *opts;
};

extern const struct param blk_params[]; /* of struct blk_spec */
int blk_spec_parse(struct blk_spec *s, const char *text, struct err *e) must_check;
void blk_spec_destroy(struct blk_spec *s); /* also when it was not parsed */

struct blk *blk_open(const struct blk_cfg *cfg, struct err *e);
/* Finishes what is in flight and writes back what is cached.  -errno: that failed. */
int blk_close(struct blk *b, struct err *e);

/*
 * The disks of a machine, by id.  The board opens them before the devices that use them and
 * closes them after those; the list has the machine's lock.
 */
void blk_add(struct machine *m, struct blk *b);
void blk_remove(struct machine *m, struct blk *b);
struct blk *blk_find(struct machine *m, const char *id); /* NULL: no such disk */

/* The device that a disk is for: one at a time, from its realize() to its unrealize(). */
struct blk_user {
	struct device *owner;
	void (*resized)(struct device *owner); /* blk_size() has changed; with its lock held */
};

/* NULL and *e: there is no such disk, or another device has it.  The loop's thread. */
struct blk *blk_claim(struct machine *m, const char *id, struct blk_user *u, struct err *e);
void blk_release(struct blk *b, struct blk_user *u);
/* The one behind b, or the first for NULL.  The loop's thread, on which disks come and go. */
struct blk *blk_next(struct machine *m, const struct blk *b);

#endif
