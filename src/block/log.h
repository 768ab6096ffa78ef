/* SPDX-License-Identifier: MIT */
/*
 * log.h - recording what is done to a host file, to replay crashes from it.
 *
 * The log begins with the eight bytes "SUNDOGLG", a u32 version (1), a u32 of zero and the
 * file's size at the beginning (u64).  Then come records: u32 kind, u32 flags, u64 offset, u64
 * length, and for a write that many bytes.  All integers are little-endian.
 *
 *   LOG_WRITE     offset, length, bytes; with LOG_DSYNC it is on the medium by itself
 *   LOG_ZERO      offset, length: reads as zeroes
 *   LOG_DISCARD   offset, length: reads as anything
 *   LOG_TRUNCATE  length: the file's size
 *   LOG_SYNC      all that is recorded before is on the medium
 *
 * A write is recorded when it has completed, a sync when it begins: so a record before a sync
 * is always covered by it, and one behind may be lost.  tests/block/replay.py makes images of
 * what a crash can leave.
 */
#ifndef BLOCK_LOG_H
#define BLOCK_LOG_H

#include <sys/uio.h>

#include "sundog/types.h"

struct blk_log;
struct err;

enum blk_log_kind { LOG_WRITE = 1, LOG_ZERO, LOG_DISCARD, LOG_TRUNCATE, LOG_SYNC };
enum { LOG_DSYNC = 1 };

/* A new file, or an old one's bytes go.  size: of the file that is recorded. */
struct blk_log *log_open(const char *path, u64 size, struct err *e);
int log_close(struct blk_log *log); /* -errno: something could not be recorded */

/* Any thread.  After the first failure all fail: a log with a gap is worth nothing. */
int log_write(struct blk_log *log, u64 off, const struct iovec *iov, unsigned n,
	      bool dsync) must_check;
int log_zero(struct blk_log *log, u64 off, u64 len) must_check;
int log_discard(struct blk_log *log, u64 off, u64 len) must_check;
int log_truncate(struct blk_log *log, u64 size) must_check;
int log_sync(struct blk_log *log) must_check;

#endif
