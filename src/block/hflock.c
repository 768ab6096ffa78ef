/* SPDX-License-Identifier: MIT */
/*
 * hflock.c - locks on images that QEMU and its tools respect, and theirs.
 *
 * Each use of an image is a set of permissions.  Who has permission n holds a shared lock on
 * byte 100 + n of the file; who cannot bear that another has it, on byte 200 + n.  After that
 * one looks whether a byte in the way is locked by anybody else.  The numbers are QEMU's
 * (block/file-posix.c, "RAW_LOCK_PERM_BASE"); the locks belong to the open file (F_OFD_*), so
 * they go when it is closed by the last process that has it.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/hfpriv.h"
#include "sundog/err.h"

enum { PERM_BASE = 100, SHARED_BASE = 200 };
enum { PERM_READ = 0, PERM_WRITE = 1, PERM_RESIZE = 3, NR_PERMS = 5 };

static int set_lock(int fd, short type, off_t byte)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_SETLK, &l) ? -errno : 0;
}

/* 1: somebody else has it locked. */
static int is_locked(int fd, off_t byte)
{
	struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	if (fcntl(fd, F_OFD_GETLK, &l))
		return -errno;
	return l.l_type != F_UNLCK;
}

/* Does this process have the file open, other than by us? */
static bool has_open(const char *pid, const struct hostfile *f)
{
	char path[64];
	struct dirent *d;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (d = readdir(dir))) {
		struct stat st;

		found = fstatat(dirfd(dir), d->d_name, &st, 0) == 0 && st.st_dev == f->dev &&
			st.st_ino == f->ino && (atoi(pid) != getpid() || atoi(d->d_name) != f->fd);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* "qemu-img (process 1234)", as far as we may look. */
static void name_holder(const struct hostfile *f, char *who, size_t size)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;

	snprintf(who, size, "another process");
	while (proc && (d = readdir(proc))) {
		char path[64], comm[32] = "";
		FILE *in;

		if (!isdigit((unsigned char)d->d_name[0]) || !has_open(d->d_name, f))
			continue;
		snprintf(path, sizeof(path), "/proc/%.16s/comm", d->d_name);
		in = fopen(path, "re");
		if (in && !fgets(comm, sizeof(comm), in))
			comm[0] = 0;
		if (in)
			fclose(in);
		comm[strcspn(comm, "\n")] = 0;
		if (atoi(d->d_name) == getpid())
			snprintf(who, size, "this very process");
		else
			snprintf(who, size, "%s (process %.16s)", comm, d->d_name);
		break;
	}
	if (proc)
		closedir(proc);
}

static int in_use(const struct hostfile *f, struct err *e)
{
	char who[80];

	name_holder(f, who, sizeof(who));
	if (f->flags & HF_WRITE)
		return err_set(e, -EBUSY,
			       "%s is in use by %s; end that first, or use ro or overlay", f->name,
			       who);
	return err_set(
		e, -EBUSY,
		"%s is being written by %s; end that first, or read it all the same: lock=off, "
		"or with sundog img -U",
		f->name, who);
}

/* Network file systems and others without such locks: nobody can know, as with QEMU. */
static bool no_such_locks(int r)
{
	return r == -EINVAL || r == -ENOLCK || r == -EOPNOTSUPP || r == -ENOSYS;
}

int hf_lock(struct hostfile *f, struct err *e)
{
	u32 perms = 1u << PERM_READ;
	const u32 unshared = 1u << PERM_WRITE | 1u << PERM_RESIZE;
	int r = 0;

	if (f->flags & HF_WRITE)
		perms |= unshared;
	for (int n = 0; n < NR_PERMS && r == 0; n++) {
		if (perms & 1u << n)
			r = set_lock(f->fd, F_RDLCK, PERM_BASE + n);
		if (r == 0 && unshared & 1u << n)
			r = set_lock(f->fd, F_RDLCK, SHARED_BASE + n);
	}
	for (int n = 0; n < NR_PERMS && r == 0; n++) {
		if (perms & 1u << n)
			r = is_locked(f->fd, SHARED_BASE + n);
		if (r == 0 && unshared & 1u << n)
			r = is_locked(f->fd, PERM_BASE + n);
	}
	if (r > 0 || r == -EAGAIN || r == -EACCES)
		return in_use(f, e);
	if (r == 0 || no_such_locks(r))
		return 0;
	return err_set(e, r, "cannot lock %s: %s; lock=off does without", f->name, strerror(-r));
}
