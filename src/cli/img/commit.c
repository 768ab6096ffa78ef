/* SPDX-License-Identifier: MIT */
/* commit.c - sundog img commit: an overlay's content goes into its backing image. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "cli/img/chunks.h"
#include "cli/img/img.h"
#include "cli/img/target.h"
#include "sundog/lock.h"

struct commit {
	const struct img_args *a;
	struct blk *top, *base, *found;
	char *base_path;
	const char *base_format;
	struct lock lock;
	u64 written; /* bytes */
};

static int next(void *opaque, u64 off, u64 *len, struct err *e)
{
	struct commit *c = opaque;
	struct blk_status st;
	int r = blk_get_status(c->top, off, *len, &st);

	*len = st.len;
	return r ? img_failed(c->top, "map", off, r, e) : st.present;
}

static int work(void *opaque, u64 off, size_t len, u8 *buf, struct err *e)
{
	struct commit *c = opaque;
	int r = img_read(c->top, off, buf, len, e);

	if (r)
		return r;
	if (img_is_zero(buf, len))
		r = blk_write_zeroes(c->base, off, len, BLK_UNMAP);
	else
		r = blk_write(c->base, off, buf, len);
	if (r)
		return img_failed(c->base, "write", off, r, e);
	lock(&c->lock);
	c->written += len;
	unlock(&c->lock);
	return 0;
}

static int write_down(struct commit *c, struct err *e)
{
	struct chunks chunks = {
		.size = blk_size(c->top),
		.unit = BLK_SECTOR,
		.threads = c->a->threads,
		.what = "committing",
		.quiet = c->a->quiet,
		.next = next,
		.work = work,
		.opaque = c,
	};
	int r = 0;

	if (blk_size(c->top) > blk_size(c->base))
		r = blk_resize(c->base, blk_size(c->top), e);
	if (r == 0)
		r = chunks_run(&chunks, e);
	if (r)
		return r;
	r = blk_flush(c->base);
	return r ? img_failed(c->base, "flush", 0, r, e) : 0;
}

/*
 * Which image is behind it, found by the rules for a machine's disks.  It stays open, not locked,
 * to tell whether the one that is opened for writing is the same.
 */
static int find_base(struct commit *c, const char *path, struct err *e)
{
	struct img_args unlocked = *c->a;
	struct blk *b;
	int r = 0;

	unlocked.no_lock = true;
	b = c->found = img_open(&unlocked, path, 0, e);
	if (!b)
		return e->code;
	if (!blk_backing(b))
		r = err_set(e, -EINVAL, "%s has no backing image; there is nowhere to commit to",
			    path);
	else
		c->base_path = c->a->backing ? strdup(c->a->backing)
					     : blk_path_beside(path, blk_backing_name(b));
	for (unsigned i = 0; r == 0 && blk_format_at(i); i++)
		if (strcmp(blk_format_at(i), blk_format_name(blk_backing(b))) == 0)
			c->base_format = blk_format_at(i);
	if (r == 0 && !c->base_path)
		r = img_no_memory(e);
	return r;
}

/* Both, for writing; only then is the chain that has named the base not needed any more. */
static int open_both(struct commit *c, const char *path, struct err *e)
{
	struct blk_cfg base = {0};
	int r = find_base(c, path, e);

	if (r == 0) {
		c->top = img_open(c->a, path, IMG_WRITE | IMG_LAYER, e);
		r = c->top ? 0 : e->code;
	}
	if (r == 0) {
		base.file = c->base_path;
		base.format = c->base_format;
		c->base = blk_open(&base, e);
		r = c->base ? 0 : e->code;
	}
	if (r == 0 && !blk_same_file(c->base, blk_backing(c->found)))
		r = err_set(e, -ESTALE, "%s has just been replaced; look who writes in its folder",
			    c->base_path);
	return c->found ? img_close(c->found, r, e) : r;
}

/* Why the overlay has to stay as it is, or NULL. */
static const char *why_not_empty(const struct img_args *a, const struct blk_image_info *i,
				 unsigned snapshots)
{
	if (a->keep)
		return "";
	if (snapshots)
		return "it has snapshots";
	return i->data_file ? "it has a data file" : NULL;
}

/* An empty image that is otherwise the same takes the overlay's place. */
static int empty(struct commit *c, struct target *t, struct err *e)
{
	struct blk_image_info info;
	struct blk_snapshot *list;
	unsigned n;
	const char *why;
	struct blk_create create = {
		.path = t->temp,
		.format = blk_format_name(c->top),
		.size = blk_size(c->top),
		.backing = blk_backing_name(c->top),
		.backing_format = c->base_format,
	};
	int r = blk_info(c->top, &info, e);

	if (r == 0)
		r = blk_snapshots(c->top, &list, &n, e);
	if (r)
		return r;
	free(list);
	why = why_not_empty(c->a, &info, n);
	if (why) {
		if (*why && !c->a->quiet)
			fprintf(stderr, "sundog: %s is not emptied: %s\n", blk_path(c->top), why);
		return 0;
	}
	create.cluster_size = info.cluster_size;
	create.version = info.version;
	create.refcount_bits = info.refcount_bits;
	create.compression = info.compression;
	create.lazy_refcounts = info.lazy_refcounts;
	create.extended_l2 = info.extended_l2;
	r = blk_create(&create, e);
	return r ? r : target_finish(t, e);
}

static int report(const struct commit *c, const char *path, struct err *e)
{
	char size[IMG_SIZE_TEXT];

	if (c->a->json)
		return img_print_json(json_pack("{s:o, s:o, s:I}", "filename", img_json_text(path),
						"backing-filename", img_json_text(c->base_path),
						"written", (json_int_t)c->written),
				      e);
	printf("%s: %s written into %s\n", path, img_size_text(size, c->written), c->base_path);
	return 0;
}

/* An empty overlay stands on the image that it names itself: the bytes have to be in that one. */
static int check_named(const struct commit *c, struct err *e)
{
	const char *name = blk_backing_name(c->top);
	char *path = name ? blk_path_beside(blk_path(c->top), name) : NULL;
	struct stat named, base;
	bool same = path && stat(path, &named) == 0 && stat(c->base_path, &base) == 0 &&
		    named.st_dev == base.st_dev && named.st_ino == base.st_ino;

	free(path);
	if (same || c->a->keep)
		return 0;
	return err_set(e, -EINVAL,
		       "%s does not name %s as its backing image; rebase it, or --keep it",
		       blk_path(c->top), c->base_path);
}

static int commit(struct commit *c, struct target *t, struct err *e)
{
	const char *path = c->a->rest.items[0];
	int r = open_both(c, path, e);

	if (r == 0)
		r = check_named(c, e);
	if (r == 0)
		r = write_down(c, e);
	if (c->base)
		r = img_close(c->base, r, e);
	if (r == 0)
		r = empty(c, t, e);
	if (c->top)
		r = img_close(c->top, r, e);
	return r || c->a->quiet ? r : report(c, path, e);
}

static int commit_run(struct img_args *a, struct err *e)
{
	struct commit c = {.a = a};
	struct target t;
	int r = target_begin(&t, a->rest.items[0], TARGET_HELD, e);

	if (r)
		return r;
	lock_init(&c.lock, LOCK_LEAF, "commit");
	r = commit(&c, &t, e);
	if (r)
		target_explain(&t, e);
	target_end(&t);
	lock_destroy(&c.lock);
	free(c.base_path);
	return r;
}

static const struct option options[] = {
	IMG_FORMAT,
	IMG_BACKING,
	{"keep", NULL, "leave the overlay as it is", OPTION_FLAG, IMG_AT(keep), .letter = 'd'},
	{"threads", "N", "work on so many pieces at a time", OPTION_NUM, IMG_AT(threads)},
	{"progress", NULL, "for habit's sake: on a terminal there is progress", OPTION_FLAG,
	 IMG_AT(progress), .letter = 'p'},
	IMG_JSON,
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_commit = {
	.c = {.name = "img commit",
	      .usage = "[OPTION]... OVERLAY",
	      .doc = "write an overlay's content into its backing image, and empty it",
	      .options = options,
	      .help_tail = "Other overlays of that backing image are worthless afterwards.\n"
			   "If it is broken off, start it again: the overlay is emptied last.\n"
			   "\n"
			   "Examples:\n"
			   "  sundog img commit today.qcow2\n"},
	.min_args = 1,
	.max_args = 1,
	.run = commit_run,
};
