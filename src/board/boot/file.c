/* SPDX-License-Identifier: MIT */
/*
 * file.c - a kernel, initrd or module in memory.
 *
 * Regular files are mapped privately, so that they cost no memory; pipes ("<(zcat x)") are
 * read to their end.
 */
#include "board/boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sundog/err.h"

enum { MAX_PIPE = 1 << 30 };

static int fail(struct err *e, const char *what, const char *path, const char *why)
{
	return err_set(e, -ENOEXEC, "cannot read the %s %s: %s", what, path, why);
}

static int read_pipe(struct boot_file *f, int fd, const char *what, struct err *e)
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
			return fail(e, what, f->path, "it is too large for a pipe; use a file");
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
		return fail(e, what, f->path, strerror(errno));
	}
	f->data = buf;
	f->size = len;
	return 0;
}

static int map_file(struct boot_file *f, int fd, u64 size, const char *what, struct err *e)
{
	void *p;

	if (size == 0)
		return fail(e, what, f->path, "it is empty");
	p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return fail(e, what, f->path, strerror(errno));
	f->data = p;
	f->size = size;
	f->mapped = true;
	return 0;
}

int boot_file_open(struct boot_file *f, const char *path, const char *what, struct err *e)
{
	struct stat st;
	int fd, rc;

	*f = (struct boot_file){.path = path};
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(e, what, path, strerror(errno));
	if (fstat(fd, &st) < 0)
		rc = fail(e, what, path, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		rc = fail(e, what, path, "it is a directory; name the file in it");
	else if (S_ISREG(st.st_mode))
		rc = map_file(f, fd, (u64)st.st_size, what, e);
	else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		rc = read_pipe(f, fd, what, e);
	else
		rc = fail(e, what, path, "it is a device; name a file");
	close(fd);
	if (rc == 0 && f->size == 0) {
		boot_file_close(f);
		rc = fail(e, what, path, "it is empty");
	}
	return rc;
}

void boot_file_close(struct boot_file *f)
{
	if (f->mapped)
		munmap((void *)f->data, f->size);
	else
		free((void *)f->data);
	f->data = NULL;
	f->size = 0;
}
