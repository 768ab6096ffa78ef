/* SPDX-License-Identifier: MIT */
/* hfopen.c - opening host files: what they are, where they may lie, what O_DIRECT wants. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block/hfpriv.h"
#include "sundog/err.h"

/* --- O_DIRECT ------------------------------------------------------------------------------ */

static bool can_read_direct(int fd, u32 align)
{
	void *buf;
	bool ok;

	if (posix_memalign(&buf, 4096, 4096))
		return false;
	ok = pread(fd, buf, align, 0) >= 0;
	free(buf);
	return ok;
}

static int find_alignment(struct hostfile *f)
{
	struct statx st = {0};

	f->align = f->mem_align = 0;
#ifdef STATX_DIOALIGN
	if (statx(f->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) == 0 &&
	    st.stx_mask & STATX_DIOALIGN) {
		f->align = st.stx_dio_offset_align;
		f->mem_align = st.stx_dio_mem_align;
		if (!f->align)
			return -EINVAL; /* this file system has no O_DIRECT */
	}
#endif
	for (u32 a = 512; !f->align && a <= 4096; a *= 2)
		if (can_read_direct(f->fd, a))
			f->align = f->mem_align = a;
	f->bounce_align = f->mem_align < 4096 ? 4096 : f->mem_align;
	return f->align && f->align <= 64 << 10 ? 0 : -EINVAL;
}

static int set_direct(struct hostfile *f, struct err *e)
{
	int how = fcntl(f->fd, F_GETFL), r = 0;

	f->align = f->mem_align = f->bounce_align = 1;
	if (!(f->flags & HF_DIRECT))
		return 0;
	if (how < 0 || fcntl(f->fd, F_SETFL, how | O_DIRECT))
		r = -errno;
	if (r == 0)
		r = find_alignment(f);
	if (r)
		return err_set(e, -EOPNOTSUPP,
			       "%s: its file system has no O_DIRECT; leave out cache=none",
			       f->name);
	return 0;
}

/* --- what it is ------------------------------------------------------------------------------ */

static int check_kind(struct hostfile *f, struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st))
		return err_set(e, -errno, "cannot look at %s: %s", f->name, strerror(errno));
	f->dev = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
	f->ino = S_ISBLK(st.st_mode) ? 0 : st.st_ino;
	f->is_device = S_ISBLK(st.st_mode);
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return 0;
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EISDIR, "%s is a folder; name an image in it", f->name);
	return err_set(e, -ENOEXEC, "%s is neither a file nor a block device; name an image",
		       f->name);
}

static int prepare(struct hostfile *f, struct err *e)
{
	int r = check_kind(f, e);

	if (r == 0)
		r = set_direct(f, e);
	if (r || f->flags & HF_NO_LOCK)
		return r;
	return hf_lock(f, e);
}

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
	pthread_rwlock_init(&f->blocks, NULL);
	if (prepare(f, e) == 0)
		return f;
	hf_close(f);
	return NULL;
}

void hf_close(struct hostfile *f)
{
	if (!f)
		return;
	close(f->fd);
	if (f->dir >= 0)
		close(f->dir);
	pthread_rwlock_destroy(&f->blocks);
	free(f->name);
	free(f);
}

/* --- where it is ------------------------------------------------------------------------------ */

static int open_at(int dirfd, const char *path, int how)
{
	struct open_how h = {
		.flags = (u64)(how | O_CLOEXEC),
		.mode = how & O_CREAT ? 0666 : 0,
		.resolve = dirfd == AT_FDCWD ? 0 : RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd;

	if (dirfd == AT_FDCWD)
		fd = open(path, how | O_CLOEXEC, 0666);
	else
		fd = (int)syscall(SYS_openat2, dirfd, path, &h, sizeof(h));
	return fd < 0 ? -errno : fd;
}

/* The folder of path, for files that the image names; -1 if it cannot be opened. */
static int open_folder(int dirfd, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder;
	int fd;

	if (!slash)
		folder = strdup(".");
	else
		folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!folder)
		return -1;
	fd = open_at(dirfd, folder, O_PATH | O_DIRECTORY);
	free(folder);
	return fd < 0 ? -1 : fd;
}

static int cannot_open(int dirfd, const char *path, unsigned flags, int code, struct err *e)
{
	const char *cure = "";

	if (dirfd != AT_FDCWD && (code == -EXDEV || code == -ELOOP))
		return err_set(e, code, "%s leads out of the folder of the image that names it",
			       path);
	/* For writing, a folder says this before it says what it is. */
	if (code == -EISDIR)
		return err_set(e, code, "%s is a folder; name an image in it", path);
	if (code == -ENXIO)
		return err_set(e, -ENOEXEC,
			       "%s is neither a file nor a block device; name an image", path);
	if ((code == -EACCES || code == -EROFS || code == -EPERM) && flags & HF_WRITE)
		cure = "; if only reading is allowed, use ro or overlay";
	return err_set(e, code == -EROFS || code == -EPERM ? -EACCES : code, "cannot open %s: %s%s",
		       path, strerror(-code), cure);
}

struct hostfile *hf_open(int dirfd, const char *path, unsigned flags, struct err *e)
{
	/* A FIFO would make us wait for its other end. */
	int how = (flags & HF_WRITE ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY;
	struct hostfile *f;
	int fd;

	if (flags & HF_CREATE)
		how |= O_CREAT | O_EXCL;
	fd = open_at(dirfd, path, how);
	if (fd < 0) {
		cannot_open(dirfd, path, flags, fd, e);
		return NULL;
	}
	(void)!fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	f = hf_from_fd(fd, path, flags, e);
	if (f)
		f->dir = open_folder(dirfd, path);
	return f;
}
