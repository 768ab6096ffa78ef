/* SPDX-License-Identifier: MIT */
/*
 * hostfile.c - host files: reading and writing them, with O_DIRECT or without.
 *
 * With O_DIRECT, offsets, lengths and memory have to be aligned as the host's disk says.  What
 * is not goes through a buffer; a write of part of a block reads the rest of it first, and
 * nothing else is written to this file meanwhile.  Past this file (hf_takes_async) go only
 * requests that are aligned by themselves, on files whose blocks are no larger than a sector:
 * so no two of them share a block.
 */
#include "block/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/hfpriv.h"
#include "block/log.h"
#include "sundog/block.h"
#include "sundog/err.h"

enum { BOUNCE = 256 << 10, MAX_IOV = 64, HOST_MAX_IOV = 1024 };

const char *hf_name(const struct hostfile *f)
{
	return f->name;
}

int hf_fd(const struct hostfile *f)
{
	return f->fd;
}

int hf_dir(const struct hostfile *f)
{
	return f->dir;
}

u64 hf_size(struct hostfile *f)
{
	off_t end = lseek(f->fd, 0, SEEK_END);

	return end < 0 ? 0 : (u64)end;
}

bool hf_same(const struct hostfile *a, const struct hostfile *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

bool hf_is_cached(const struct hostfile *f)
{
	return !(f->flags & HF_DIRECT);
}

bool hf_is_unsafe(const struct hostfile *f)
{
	return f->flags & HF_UNSAFE;
}

void hf_set_log(struct hostfile *f, struct blk_log *log)
{
	f->log = log;
}

static size_t iov_bytes(const struct iovec *iov, unsigned n)
{
	size_t len = 0;

	for (unsigned i = 0; i < n; i++)
		len += iov[i].iov_len;
	return len;
}

/* --- system calls, until all is done ------------------------------------------------------- */

/* One call's worth of what is left of iov from byte skip on. */
static int window(const struct iovec *iov, unsigned n, size_t skip, struct iovec *to)
{
	int nr = 0;

	for (unsigned i = 0; i < n && nr < MAX_IOV; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		to[nr].iov_base = (u8 *)iov[i].iov_base + skip;
		to[nr++].iov_len = iov[i].iov_len - skip;
		skip = 0;
	}
	return nr;
}

/* From byte `done` on, the buffers are zeroes: the file ends there. */
static void clear_rest(const struct iovec *iov, unsigned n, size_t done)
{
	for (unsigned i = 0; i < n; i++) {
		if (done < iov[i].iov_len)
			memset((u8 *)iov[i].iov_base + done, 0, iov[i].iov_len - done);
		done -= done < iov[i].iov_len ? done : iov[i].iov_len;
	}
}

static int read_all(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	size_t len = iov_bytes(iov, n), done = 0;

	while (done < len) {
		struct iovec part[MAX_IOV];
		int nr = window(iov, n, done, part);
		ssize_t got = preadv(f->fd, part, nr, (off_t)(off + done));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		done += (size_t)got;
		/* Past the end of a file, O_DIRECT would be asked from an odd offset. */
		if (f->flags & HF_DIRECT && done % f->align)
			break;
	}
	clear_rest(iov, n, done);
	return 0;
}

static int write_all(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n, int flags)
{
	size_t len = iov_bytes(iov, n), done = 0;

	while (done < len) {
		struct iovec part[MAX_IOV];
		int nr = window(iov, n, done, part);
		ssize_t put = pwritev2(f->fd, part, nr, (off_t)(off + done), flags);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put ? -errno : -EIO;
		done += (size_t)put;
	}
	return 0;
}

/* --- O_DIRECT ------------------------------------------------------------------------------ */

static bool aligned(const struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	if (!(f->flags & HF_DIRECT))
		return true;
	if (off % f->align)
		return false;
	for (unsigned i = 0; i < n; i++)
		if ((uintptr_t)iov[i].iov_base % f->mem_align || iov[i].iov_len % f->align)
			return false;
	return true;
}

/* Copy between buf and the bytes of iov from `at` on. */
static void copy_iov(const struct iovec *iov, unsigned n, size_t at, u8 *buf, size_t len, bool to)
{
	for (unsigned i = 0; i < n && len; i++) {
		size_t part;

		if (at >= iov[i].iov_len) {
			at -= iov[i].iov_len;
			continue;
		}
		part = iov[i].iov_len - at < len ? iov[i].iov_len - at : len;
		if (to)
			memcpy((u8 *)iov[i].iov_base + at, buf, part);
		else
			memcpy(buf, (u8 *)iov[i].iov_base + at, part);
		buf += part;
		len -= part;
		at = 0;
	}
}

struct bounce {
	u8 *buf;
	u64 start;   /* in the file, aligned */
	size_t head; /* of the buffer, before the bytes that are meant */
	size_t len;  /* of these */
	size_t all;  /* aligned */
};

/* The piece of a request that begins at off; left bytes are to be done. */
static void next_bounce(const struct hostfile *f, struct bounce *b, u64 off, size_t left)
{
	b->head = off % f->align;
	b->start = off - b->head;
	b->len = BOUNCE - b->head < left ? BOUNCE - b->head : left;
	b->all = (b->head + b->len + f->align - 1) / f->align * f->align;
}

static int read_bounced(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	size_t len = iov_bytes(iov, n), done = 0;
	struct bounce b;
	int r = posix_memalign((void **)&b.buf, f->bounce_align, BOUNCE) ? -ENOMEM : 0;

	if (r)
		return r;
	while (done < len && r == 0) {
		next_bounce(f, &b, off + done, len - done);
		r = read_all(f, b.start, &(struct iovec){b.buf, b.all}, 1);
		copy_iov(iov, n, done, b.buf + b.head, r ? 0 : b.len, true);
		done += b.len;
	}
	free(b.buf);
	return r;
}

/* Reads what stays of the first and last block.  A file that grows, grows by whole blocks. */
static int write_bounced(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n,
			 int flags)
{
	size_t len = iov_bytes(iov, n), done = 0;
	struct bounce b;
	int r = posix_memalign((void **)&b.buf, f->bounce_align, BOUNCE) ? -ENOMEM : 0;

	if (r)
		return r;
	while (done < len && r == 0) {
		next_bounce(f, &b, off + done, len - done);
		if (b.all != b.len)
			r = read_all(f, b.start, &(struct iovec){b.buf, b.all}, 1);
		if (r)
			break;
		copy_iov(iov, n, done, b.buf + b.head, b.len, false);
		r = write_all(f, b.start, &(struct iovec){b.buf, b.all}, 1, flags);
		done += b.len;
	}
	free(b.buf);
	return r;
}

int hf_preadv(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	if (aligned(f, off, iov, n))
		return read_all(f, off, iov, n);
	return read_bounced(f, off, iov, n);
}

static int write_one_by_one(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n,
			    int flags)
{
	bool whole = aligned(f, off, iov, n);
	int r;

	if (!(f->flags & HF_DIRECT))
		return write_all(f, off, iov, n, flags);
	if (whole)
		pthread_rwlock_rdlock(&f->blocks);
	else
		pthread_rwlock_wrlock(&f->blocks);
	r = whole ? write_all(f, off, iov, n, flags) : write_bounced(f, off, iov, n, flags);
	pthread_rwlock_unlock(&f->blocks);
	return r;
}

int hf_pwritev(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	int r = write_one_by_one(f, off, iov, n, 0);

	return r || !f->log ? r : log_write(f->log, off, iov, n, false);
}

int hf_pwritev_dsync(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	int r;

	if (f->flags & HF_UNSAFE)
		return hf_pwritev(f, off, iov, n);
	r = write_one_by_one(f, off, iov, n, RWF_DSYNC);
	if (r)
		hf_dsync_failed(f, r);
	return r || !f->log ? r : log_write(f->log, off, iov, n, true);
}

int hf_pread(struct hostfile *f, u64 off, void *buf, size_t len)
{
	return hf_preadv(f, off, &(struct iovec){buf, len}, 1);
}

int hf_pwrite(struct hostfile *f, u64 off, const void *buf, size_t len)
{
	return hf_pwritev(f, off, &(struct iovec){(void *)buf, len}, 1);
}

/* --- past the functions above --------------------------------------------------------------- */

int hf_try_preadv(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	ssize_t got;

	/* O_DIRECT waits for the disk whatever is said. */
	if (f->flags & HF_DIRECT || n > HOST_MAX_IOV || atomic_load(&f->no_nowait))
		return -EAGAIN;
	got = preadv2(f->fd, iov, (int)n, (off_t)off, RWF_NOWAIT);
	if (got < 0 && errno == EOPNOTSUPP)
		atomic_store(&f->no_nowait, true);
	return got >= 0 && (size_t)got == iov_bytes(iov, n) ? 0 : -EAGAIN;
}

bool hf_takes_async(const struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	if (f->log)
		return false;
	return !(f->flags & HF_DIRECT) || (f->align <= BLK_SECTOR && aligned(f, off, iov, n));
}

/* --- everything but bytes --------------------------------------------------------------------- */

void hf_dsync_failed(struct hostfile *f, int r)
{
	/* No room is most likely the write's own trouble. */
	if (r != -ENOSPC && r != -EDQUOT && !(f->flags & HF_DIRECT))
		atomic_store(&f->lost, true);
}

/*
 * The host says once that it could not write its page cache back, and then counts those pages
 * as written: the next sync would find nothing wrong.
 */
int hf_sync(struct hostfile *f)
{
	int r;

	if (f->flags & HF_UNSAFE)
		return 0;
	/* Recorded first: what completes meanwhile is not covered. */
	r = f->log ? log_sync(f->log) : 0;
	if (r == 0 && fdatasync(f->fd)) {
		r = -errno;
		if (!(f->flags & HF_DIRECT))
			atomic_store(&f->lost, true);
	} else if (r == 0 && atomic_load(&f->lost)) {
		r = -EIO;
	}
	return r;
}

static int fallocate_all(struct hostfile *f, int mode, u64 off, u64 len)
{
	int r;

	do
		r = fallocate(f->fd, mode, (off_t)off, (off_t)len) ? -errno : 0;
	while (r == -EINTR);
	return r;
}

static int punch(struct hostfile *f, u64 off, u64 len)
{
	return fallocate_all(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len);
}

static int zero_range(struct hostfile *f, u64 off, u64 len, bool unmap)
{
	u64 range[2] = {off, len};
	int r = unmap ? punch(f, off, len) : -EOPNOTSUPP;

	if (r == -EOPNOTSUPP)
		r = fallocate_all(f, FALLOC_FL_ZERO_RANGE, off, len);
	if (r == -EOPNOTSUPP && !unmap && !f->is_device) {
		r = punch(f, off, len);
		if (r == 0)
			r = fallocate_all(f, 0, off, len);
	}
	if (r == -EOPNOTSUPP && f->is_device)
		r = ioctl(f->fd, BLKZEROOUT, range) ? -EOPNOTSUPP : 0;
	return r;
}

int hf_zero(struct hostfile *f, u64 off, u64 len, bool unmap)
{
	int r = len ? zero_range(f, off, len, unmap) : 0;

	/* Devices refuse what is no whole block. */
	if (r == -EINVAL)
		r = -EOPNOTSUPP;
	return r || !f->log ? r : log_zero(f->log, off, len);
}

void hf_discard(struct hostfile *f, u64 off, u64 len)
{
	u64 range[2] = {off, len};
	int r = len ? punch(f, off, len) : 0;

	if (r && f->is_device)
		r = ioctl(f->fd, BLKDISCARD, range) ? -errno : 0;
	/* If it cannot be recorded, the log is broken, and the next write says so. */
	if (r == 0 && f->log)
		(void)!log_discard(f->log, off, len);
}

int hf_truncate(struct hostfile *f, u64 size)
{
	if (f->is_device)
		return size <= hf_size(f) ? 0 : -ENOSPC;
	if (ftruncate(f->fd, (off_t)size))
		return -errno;
	return f->log ? log_truncate(f->log, size) : 0;
}

int hf_allocate(struct hostfile *f, u64 off, u64 len)
{
	u64 before = hf_size(f);
	int r;

	if (f->is_device)
		return off + len <= before ? 0 : -ENOSPC;
	r = fallocate_all(f, 0, off, len);
	if (r == 0 && f->log && off + len > before)
		r = log_truncate(f->log, off + len);
	return r;
}

int hf_extent(struct hostfile *f, u64 off, u64 *len, bool *data)
{
	u64 size = hf_size(f);
	off_t at, end;

	if (off >= size) {
		*data = false;
		*len = UINT64_MAX - off;
		return 0;
	}
	at = lseek(f->fd, (off_t)off, SEEK_DATA);
	if (at < 0 && errno == ENXIO) {
		*data = false;
		*len = size - off;
		return 0;
	}
	/* Where the host cannot tell, all is data. */
	*data = at < 0 || at == (off_t)off;
	end = at < 0 ? (off_t)size : *data ? lseek(f->fd, (off_t)off, SEEK_HOLE) : at;
	*len = (end < (off_t)off ? size : (u64)end) - off;
	return 0;
}
