/* SPDX-License-Identifier: MIT */
/*
 * file.c - a kernel, initrd or module.
 *
 * Of a regular file only the head is kept in memory; the rest is read when it is wanted, at
 * each reset, and never mapped: somebody may truncate it meanwhile.  Pipes ("<(zcat x)") are
 * read to their end.
 */
#include "board/boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sundog/err.h"

enum { MAX_PIPE = 1 << 30 };

static int fail(struct err *e, const struct boot_file *f, const char *why)
{
	return err_set(e, -ENOEXEC, "cannot read the %s %s: %s", f->what, f->path, why);
}

static int read_pipe(struct boot_file *f, int fd, struct err *e)
{
	size_t cap = 1 << 20, len = 0;
	u8 *buf = malloc(cap);
	ssize_t n;

	for (;;) {
		if (buf && len == cap && cap < MAX_PIPE) {
			u8 *more = realloc(buf, cap * 2);

			if (!more)
				free(buf);
			buf = more;
			cap *= 2;
		}
		if (!buf || len == cap) {
			free(buf);
			return fail(e, f, "it is too large for a pipe; use a file");
		}
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (n < 0) {
		free(buf);
		return fail(e, f, strerror(errno));
	}
	f->head = buf;
	f->head_len = f->size = len;
	return len ? 0 : fail(e, f, "it is empty");
}

int boot_file_read(const struct boot_file *f, u64 off, void *buf, u64 len)
{
	u8 *to = buf;

	if (!range_fits(off, len, f->size))
		return -EIO;
	if (!f->regular) {
		memcpy(to, f->head + off, len);
		return 0;
	}
	while (len) {
		ssize_t n = pread(f->fd, to, len, (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		to += n;
		off += (u64)n;
		len -= (u64)n;
	}
	return 0;
}

int boot_file_refresh(struct boot_file *f, struct err *e)
{
	struct stat st;
	int rc;

	if (!f->regular)
		return 0;
	if (fstat(f->fd, &st) < 0)
		return fail(e, f, strerror(errno));
	f->size = (u64)st.st_size;
	if (!f->size)
		return fail(e, f, "it is empty");
	f->head_len = f->size < BOOT_FILE_HEAD ? f->size : BOOT_FILE_HEAD;
	if (!f->head)
		f->head = malloc(BOOT_FILE_HEAD);
	if (!f->head)
		return err_set(e, -ENOMEM, "out of memory");
	rc = boot_file_read(f, 0, f->head, f->head_len);
	return rc ? fail(e, f, strerror(-rc)) : 0;
}

int boot_file_take(struct boot_file *f, int fd, const char *path, const char *what, struct err *e)
{
	int rc;

	*f = (struct boot_file){.path = path, .what = what, .regular = true, .fd = fd};
	rc = boot_file_refresh(f, e);
	if (rc)
		boot_file_close(f);
	return rc;
}

int boot_file_open(struct boot_file *f, const char *path, const char *what, struct err *e)
{
	struct stat st;
	int fd, rc;

	*f = (struct boot_file){.path = path, .what = what, .fd = -1};
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(e, f, strerror(errno));
	if (fstat(fd, &st) < 0) {
		rc = fail(e, f, strerror(errno));
	} else if (S_ISREG(st.st_mode)) {
		return boot_file_take(f, fd, path, what, e);
	} else if (S_ISDIR(st.st_mode)) {
		rc = fail(e, f, "it is a directory; name the file in it");
	} else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) {
		rc = read_pipe(f, fd, e);
	} else {
		rc = fail(e, f, "it is a device; name a file");
	}
	close(fd);
	if (rc)
		boot_file_close(f);
	return rc;
}

void boot_file_close(struct boot_file *f)
{
	if (f->regular)
		close(f->fd);
	free(f->head);
	*f = (struct boot_file){.path = f->path, .what = f->what, .fd = -1};
}
