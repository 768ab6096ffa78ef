/* SPDX-License-Identifier: MIT */
/* log.c - recording what is done to a host file. */
#include "block/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sundog/err.h"
#include "sundog/lock.h"

enum { HEAD_SIZE = 24 };

struct blk_log {
	struct lock lock;
	FILE *out;
	int failed; /* -errno */
};

struct blk_log *log_open(const char *path, u64 size, struct err *e)
{
	struct blk_log *log = calloc(1, sizeof(*log));
	u8 head[HEAD_SIZE] = "SUNDOGLG";

	if (!log) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	log->out = fopen(path, "we");
	if (!log->out) {
		err_set(e, -errno, "cannot write the log %s: %s; name another file", path,
			strerror(errno));
		free(log);
		return NULL;
	}
	lock_init(&log->lock, LOCK_LEAF, "block log");
	st_le32(head + 8, 1);
	st_le64(head + 16, size);
	if (fwrite(head, sizeof(head), 1, log->out) != 1)
		log->failed = -EIO;
	return log;
}

int log_close(struct blk_log *log)
{
	int r;

	if (!log)
		return 0;
	r = fclose(log->out) ? -errno : 0;
	r = log->failed ? log->failed : r;
	lock_destroy(&log->lock);
	free(log);
	return r;
}

static int record(struct blk_log *log, enum blk_log_kind kind, u32 flags, u64 off, u64 len,
		  const struct iovec *iov, unsigned n)
{
	u8 head[HEAD_SIZE];
	bool ok;
	int r;

	st_le32(head, kind);
	st_le32(head + 4, flags);
	st_le64(head + 8, off);
	st_le64(head + 16, len);
	lock(&log->lock);
	ok = !log->failed && fwrite(head, sizeof(head), 1, log->out) == 1;
	for (unsigned i = 0; i < n; i++)
		ok = ok && fwrite(iov[i].iov_base, 1, iov[i].iov_len, log->out) == iov[i].iov_len;
	/* A test may kill us at any time. */
	ok = ok && fflush(log->out) == 0;
	if (!ok && !log->failed)
		log->failed = -EIO;
	r = log->failed;
	unlock(&log->lock);
	return r;
}

int log_write(struct blk_log *log, u64 off, const struct iovec *iov, unsigned n, bool dsync)
{
	u64 len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	return record(log, LOG_WRITE, dsync ? LOG_DSYNC : 0, off, len, iov, n);
}

int log_zero(struct blk_log *log, u64 off, u64 len)
{
	return record(log, LOG_ZERO, 0, off, len, NULL, 0);
}

int log_discard(struct blk_log *log, u64 off, u64 len)
{
	return record(log, LOG_DISCARD, 0, off, len, NULL, 0);
}

int log_truncate(struct blk_log *log, u64 size)
{
	return record(log, LOG_TRUNCATE, 0, 0, size, NULL, 0);
}

int log_sync(struct blk_log *log)
{
	return record(log, LOG_SYNC, 0, 0, 0, NULL, 0);
}
