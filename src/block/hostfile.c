/* SPDX-License-Identifier: MIT */
/* hostfile.c - host files by plain system calls. */
#include "block/hostfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sundog/err.h"

struct hostfile {
	int fd, dir;
	unsigned flags;
	char *name;
};

struct hostfile *hf_from_fd(int fd, const char *name, unsigned flags, struct err *e)
{
	struct hostfile *f = calloc(1, sizeof(*f));

	if (f)
		f->name = strdup(name);
	if (!f || !f->name) {
		free(f);
		close(fd);
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	f->fd = fd;
	f->dir = -1;
	f->flags = flags;
	return f;
}

struct hostfile *hf_open(int dirfd, const char *path, unsigned flags, struct err *e)
{
	int how = (flags & HF_WRITE ? O_RDWR : O_RDONLY) | O_CLOEXEC;
	int fd;

	if (flags & HF_CREATE)
		how |= O_CREAT | O_EXCL;
	fd = openat(dirfd, path, how, 0666);
	if (fd < 0) {
		err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
		return NULL;
	}
	return hf_from_fd(fd, path, flags, e);
}

void hf_close(struct hostfile *f)
{
	if (!f)
		return;
	close(f->fd);
	free(f->name);
	free(f);
}

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

int hf_pread(struct hostfile *f, u64 off, void *buf, size_t len)
{
	u8 *to = buf;

	while (len) {
		ssize_t n = pread(f->fd, to, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0) {
			memset(to, 0, len);
			return 0;
		}
		to += n;
		off += (u64)n;
		len -= (size_t)n;
	}
	return 0;
}

int hf_pwrite(struct hostfile *f, u64 off, const void *buf, size_t len)
{
	const u8 *from = buf;

	while (len) {
		ssize_t n = pwrite(f->fd, from, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		off += (u64)n;
		len -= (size_t)n;
	}
	return 0;
}

int hf_preadv(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n; off += iov[i++].iov_len) {
		int r = hf_pread(f, off, iov[i].iov_base, iov[i].iov_len);

		if (r)
			return r;
	}
	return 0;
}

int hf_pwritev(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n; off += iov[i++].iov_len) {
		int r = hf_pwrite(f, off, iov[i].iov_base, iov[i].iov_len);

		if (r)
			return r;
	}
	return 0;
}

int hf_sync(struct hostfile *f)
{
	if (f->flags & HF_UNSAFE)
		return 0;
	return fdatasync(f->fd) ? -errno : 0;
}

int hf_zero(struct hostfile *f, u64 off, u64 len, bool unmap)
{
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_ZERO_RANGE;

	return fallocate(f->fd, mode, (off_t)off, (off_t)len) ? -errno : 0;
}

void hf_discard(struct hostfile *f, u64 off, u64 len)
{
	(void)!fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
}

int hf_truncate(struct hostfile *f, u64 size)
{
	return ftruncate(f->fd, (off_t)size) ? -errno : 0;
}

int hf_allocate(struct hostfile *f, u64 off, u64 len)
{
	return fallocate(f->fd, 0, (off_t)off, (off_t)len) ? -errno : 0;
}

int hf_extent(struct hostfile *f, u64 off, u64 *len, bool *data)
{
	off_t at = lseek(f->fd, (off_t)off, SEEK_DATA), end;
	u64 size = hf_size(f);

	if (at < 0 && errno != ENXIO)
		return -errno;
	*data = at == (off_t)off;
	end = *data ? lseek(f->fd, (off_t)off, SEEK_HOLE) : at;
	*len = (end < 0 ? size : (u64)end) - off;
	return 0;
}
