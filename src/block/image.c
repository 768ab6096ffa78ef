/* SPDX-License-Identifier: MIT */
/* image.c - what tools do with images, as far as no format has a say in it. */
#include "block/image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/format.h"

enum { FULL_CHUNK = 1 << 20 };

const char *blk_format_at(unsigned i)
{
	return blk_formats[i] ? blk_formats[i]->name : NULL;
}

/* What the image's format cannot do. */
static int cannot(const struct blk *b, const char *what, struct err *e)
{
	return err_set(e, -EOPNOTSUPP, "%s: %s images have no %s; convert it to qcow2", blk_path(b),
		       b->format->name, what);
}

static int read_only(const struct blk *b, struct err *e)
{
	return err_set(e, -EROFS, "%s is open for reading only; open it for writing", blk_path(b));
}

char *blk_path_beside(const char *image, const char *name)
{
	const char *slash = strrchr(image, '/');
	char *path;

	if (name[0] == '/' || !slash)
		return strdup(name);
	if (asprintf(&path, "%.*s/%s", (int)(slash - image), image, name) < 0)
		return NULL;
	return path;
}

/* Looks at the image that is to be behind a new one: its size if none is given, its format. */
static int complete_from_backing(struct blk_create *c, struct err *e)
{
	char *path = blk_path_beside(c->path, c->backing);
	struct blk_cfg cfg = {.file = path, .format = c->backing_format, .read_only = true};
	struct blk *b;

	if (!path)
		return err_set(e, -ENOMEM, "out of memory; close something");
	b = blk_open(&cfg, e);
	free(path);
	if (!b) {
		err_prefix(e, "backing image: ");
		return e->code;
	}
	if (!c->size)
		c->size = blk_size(b);
	for (unsigned i = 0; blk_formats[i]; i++)
		if (strcmp(blk_formats[i]->name, blk_format_name(b)) == 0)
			c->backing_format = blk_formats[i]->name;
	return blk_close(b, e);
}

static int check_create(const struct blk_create *c, const struct blk_format *fmt, struct err *e)
{
	struct stat st;

	if (!fmt->create)
		return err_set(e, -EOPNOTSUPP, "%s images can only be read; use qcow2", fmt->name);
	if (lstat(c->path, &st) == 0)
		return err_set(e, -EEXIST, "%s exists; choose another name, or remove it first",
			       c->path);
	if (c->size % BLK_SECTOR)
		return err_set(e, -EINVAL,
			       "%llu bytes are not whole sectors of %d; write %llu for the size",
			       (unsigned long long)c->size, BLK_SECTOR,
			       (unsigned long long)(c->size / BLK_SECTOR + 1) * BLK_SECTOR);
	if (!c->size && !c->backing)
		return err_set(e, -EINVAL, "%s: a disk of no size; give one, like 20G", c->path);
	if (c->backing && !fmt->set_backing)
		return err_set(e, -EOPNOTSUPP, "%s images have no backing image; use qcow2",
			       fmt->name);
	return 0;
}

int blk_create(const struct blk_create *given, struct err *e)
{
	struct blk_create c = *given;
	const struct blk_format *fmt = blk_format_find(c.format, e);
	int r;

	if (!fmt)
		return e->code;
	r = check_create(&c, fmt, e);
	if (r == 0 && c.backing)
		r = complete_from_backing(&c, e);
	if (r)
		return r;
	r = fmt->create(&c, e);
	/* Somebody else's that has come in between stays. */
	if (r && r != -EEXIST)
		unlink(c.path);
	return r;
}

int blk_give_room(struct hostfile *f, u64 off, u64 len, enum blk_prealloc how)
{
	u8 *zeroes;
	int r = 0;

	if (how == PREALLOC_FALLOC)
		return hf_allocate(f, off, len);
	if (how != PREALLOC_FULL)
		return 0;
	zeroes = calloc(1, FULL_CHUNK);
	if (!zeroes)
		return -ENOMEM;
	while (len && r == 0) {
		size_t part = len < FULL_CHUNK ? (size_t)len : FULL_CHUNK;

		r = hf_pwrite(f, off, zeroes, part);
		off += part;
		len -= part;
	}
	free(zeroes);
	return r;
}

int blk_check(struct blk *b, struct blk_check *c, struct err *e)
{
	if (!b->format->check)
		return err_set(e, -EOPNOTSUPP,
			       "%s: %s images have nothing to check: every content is valid",
			       blk_path(b), b->format->name);
	if ((c->fix_leaks || c->fix_errors) && b->read_only)
		return read_only(b, e);
	return b->format->check(b, c, e);
}

int blk_info(struct blk *b, struct blk_image_info *info, struct err *e)
{
	struct stat st;

	*info = (struct blk_image_info){.virtual_size = b->size};
	if (fstat(hf_fd(b->file), &st) < 0)
		return err_set(e, -errno, "%s: %s; its file system fails", blk_path(b),
			       strerror(errno));
	info->disk_size = (u64)st.st_blocks * 512;
	return b->format->info ? b->format->info(b, info, e) : 0;
}

u32 blk_cluster_size(struct blk *b)
{
	struct blk_image_info info;
	struct err ignored;

	return blk_info(b, &info, &ignored) ? 0 : info.cluster_size;
}

int blk_snapshots(struct blk *b, struct blk_snapshot **list, unsigned *n, struct err *e)
{
	*list = NULL;
	*n = 0;
	return b->format->snapshot_list ? b->format->snapshot_list(b, list, n, e) : 0;
}

static int change_snapshot(struct blk *b, const char *name,
			   int (*change)(struct blk *b, const char *name, struct err *e),
			   struct err *e)
{
	if (!change)
		return cannot(b, "snapshots", e);
	if (b->read_only)
		return read_only(b, e);
	if (!*name || strlen(name) >= sizeof(((struct blk_snapshot *)0)->name))
		return err_set(e, -EINVAL, "a snapshot's name has 1 to 255 bytes; choose another");
	return change(b, name, e);
}

int blk_snapshot_create(struct blk *b, const char *name, struct err *e)
{
	return change_snapshot(b, name, b->format->snapshot_create, e);
}

int blk_snapshot_apply(struct blk *b, const char *name, struct err *e)
{
	return change_snapshot(b, name, b->format->snapshot_apply, e);
}

int blk_snapshot_delete(struct blk *b, const char *name, struct err *e)
{
	return change_snapshot(b, name, b->format->snapshot_delete, e);
}

struct blk *blk_backing(const struct blk *b)
{
	return b->backing;
}

bool blk_same_file(const struct blk *a, const struct blk *b)
{
	return hf_same(a->file, b->file);
}

const char *blk_backing_name(const struct blk *b)
{
	return b->backing_name;
}

const char *blk_backing_format(const struct blk *b)
{
	return b->backing_format;
}

int blk_set_backing(struct blk *b, const char *name, const char *format, struct err *e)
{
	if (!b->format->set_backing)
		return cannot(b, "backing image", e);
	return b->read_only ? read_only(b, e) : b->format->set_backing(b, name, format, e);
}

int blk_write_compressed(struct blk *b, u64 off, const void *buf, size_t len)
{
	if (!b->format->write_compressed)
		return -EOPNOTSUPP;
	if (!range_fits(off, len, b->size))
		return -EINVAL;
	return b->read_only ? -EROFS : b->format->write_compressed(b, off, buf, len);
}

int blk_get_status(struct blk *b, u64 off, u64 len, struct blk_status *st)
{
	unsigned depth = 0;

	if (!len || !range_fits(off, len, b->size))
		return -EINVAL;
	for (;; b = b->backing, depth++) {
		u64 left = b->size - off;
		int r = b->format->status(b, off, len < left ? len : left, st);

		if (r)
			return r;
		len = st->len;
		st->depth = depth;
		st->present = st->data || st->zero;
		if (st->present)
			return 0;
		/* A backing image may end before its overlay does: there are zeroes behind it. */
		if (!b->backing || off >= b->backing->size) {
			st->zero = true;
			return 0;
		}
	}
}

static void tell_resized(struct blk *b)
{
	struct blk_user *u = b->user;

	if (!u)
		return;
	lock(&u->owner->lock);
	u->resized(u->owner);
	unlock(&u->owner->lock);
}

int blk_resize(struct blk *b, u64 size, struct err *e)
{
	int r;

	if (size % BLK_SECTOR || !size)
		return err_set(e, -EINVAL,
			       "%llu bytes are no size of a disk; use whole sectors of %d",
			       (unsigned long long)size, BLK_SECTOR);
	if (!b->format->resize)
		return err_set(e, -EOPNOTSUPP, "%s: %s images cannot change their size; convert it",
			       blk_path(b), b->format->name);
	if (b->read_only)
		return read_only(b, e);
	if (size == b->size)
		return 0;
	r = b->format->resize(b, size, e);
	if (r == 0)
		tell_resized(b);
	return r;
}
