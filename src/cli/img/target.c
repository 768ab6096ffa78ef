/* SPDX-License-Identifier: MIT */
/* target.c - a new file under a temporary name, renamed when it is complete. */
#include "cli/img/target.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/img/img.h"

/* Nobody may have the file that is replaced: its next write would be lost. */
static int lock_old(struct target *t, struct err *e)
{
	struct blk_cfg cfg = {.format = "raw", .no_backing = true};
	struct stat st;

	if (stat(t->path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(e, -errno, "cannot make %s: %s; choose another place",
					 t->path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return err_set(e, -EISDIR, "%s is a folder; name a file in it", t->path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s is a device or a pipe; name a file", t->path);
	if (t->mode == TARGET_NEW)
		return err_set(e, -EEXIST, "%s exists; use --force to replace it", t->path);
	if (t->mode == TARGET_HELD)
		return 0;
	cfg.file = t->path;
	t->old = blk_open(&cfg, e);
	return t->old ? 0 : e->code;
}

static void on_signal(void *opaque)
{
	struct target *t = opaque;

	lock(&t->lock);
	if (!t->done)
		unlink(t->temp);
	/* Held until we are dead: the file must not be made again, nor get its name. */
}

static char *temp_name(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char *temp;
	u32 n;

	if (getrandom(&n, sizeof(n), 0) != sizeof(n))
		n = (u32)getpid();
	/* A part of the name will do, since a name has at most 255 bytes. */
	if (asprintf(&temp, "%.*s.%.200s.%08x.part", (int)(name - path), path, name, n) < 0)
		return NULL;
	return temp;
}

int target_begin(struct target *t, const char *path, enum target_mode mode, struct err *e)
{
	int r;

	memset(t, 0, sizeof(*t));
	t->mode = mode;
	t->sync_fd = -1;
	t->path = realpath(path, NULL);
	if (!t->path)
		t->path = strdup(path);
	t->temp = t->path ? temp_name(t->path) : NULL;
	lock_init(&t->lock, LOCK_LEAF, "target");
	r = t->temp ? lock_old(t, e) : img_no_memory(e);
	if (r)
		goto fail;
	signals_block(&t->signals);
	t->signals.before_death = on_signal;
	t->signals.opaque = t;
	r = signals_watch(&t->signals, e);
	if (r == 0) {
		t->umask = umask(0);
		/* Until it gets the old one's permissions nobody else may read the new one. */
		umask(mode == TARGET_NEW ? t->umask : 077);
		return 0;
	}
	signals_finish(&t->signals);
fail:
	if (t->old)
		r = img_close(t->old, r, e);
	lock_destroy(&t->lock);
	free(t->temp);
	free(t->path);
	return r;
}

/* The new name has to survive a crash of the host, too. */
static int sync_folder(const char *path)
{
	char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;
	int fd, r = 0;

	if (slash)
		slash[slash == copy] = 0;
	fd = copy ? open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	/* Some file systems cannot do that: then they need not. */
	if (fd >= 0 && fsync(fd) < 0 && errno != EINVAL)
		r = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return r;
}

/* The file's descriptor for syncing; below 0: it cannot be had. */
static int sync_fd(struct target *t)
{
	lock(&t->lock);
	if (t->sync_fd < 0)
		t->sync_fd = open(t->temp, O_WRONLY | O_CLOEXEC);
	unlock(&t->lock);
	return t->sync_fd;
}

void target_push(struct target *t)
{
	if (sync_fd(t) >= 0)
		(void)!sync_file_range(t->sync_fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static int rename_new(const struct target *t)
{
	struct stat st;

	if (t->mode != TARGET_NEW) {
		/* The new one belongs to whom the old one did, as far as we may say so. */
		if (stat(t->path, &st) == 0) {
			(void)!chown(t->temp, st.st_uid, st.st_gid);
			(void)!chmod(t->temp, st.st_mode & 0777);
		}
		return rename(t->temp, t->path) ? -errno : 0;
	}
	if (renameat2(AT_FDCWD, t->temp, AT_FDCWD, t->path, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	/* A file system without that: link() does not replace either. */
	if (link(t->temp, t->path) < 0)
		return -errno;
	unlink(t->temp);
	return 0;
}

int target_finish(struct target *t, struct err *e)
{
	int r;

	if (sync_fd(t) < 0 || fsync(t->sync_fd) < 0)
		return err_set(e, -errno, "cannot sync %s: %s; look at its disk", t->path,
			       strerror(errno));
	lock(&t->lock);
	r = rename_new(t);
	t->done = r == 0;
	unlock(&t->lock);
	if (r == -EEXIST)
		return err_set(e, r, "%s has come into being meanwhile; use --force to replace it",
			       t->path);
	if (r == 0)
		r = sync_folder(t->path);
	return r ? err_set(e, r, "cannot give %s its name: %s; look at its folder", t->path,
			   strerror(-r))
		 : 0;
}

void target_explain(const struct target *t, struct err *e)
{
	char *at = strstr(e->msg, t->temp), rest[sizeof(e->msg)];
	size_t room;

	if (!at)
		return;
	strcpy(rest, at + strlen(t->temp));
	room = sizeof(e->msg) - (size_t)(at - e->msg);
	snprintf(at, room, "%s%s", t->path, rest);
}

void target_end(struct target *t)
{
	struct err ignored = {0};

	signals_unwatch(&t->signals);
	umask(t->umask);
	if (t->sync_fd >= 0)
		close(t->sync_fd);
	if (!t->done)
		unlink(t->temp);
	if (t->old)
		(void)!img_close(t->old, 0, &ignored);
	signals_finish(&t->signals);
	lock_destroy(&t->lock);
	free(t->temp);
	free(t->path);
}
