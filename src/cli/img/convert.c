/* SPDX-License-Identifier: MIT */
/* convert.c - sundog img convert: a copy of a disk, perhaps in another format. */
#include <jansson.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/img/chunks.h"
#include "cli/img/img.h"
#include "cli/img/target.h"
#include "sundog/opts.h"

enum {
	RAW_GRANULE = 4096,
	PUSH = 16 << 20, /* bytes written between pushes */
};

struct conversion {
	const struct img_args *a;
	struct target *target;
	struct blk *src, *dst;
	struct blk *backing; /* dst's; NULL: what is not written reads as zeroes */
	/* What is decided to be written or left out as one; a cluster where dst has such. */
	u32 granule;
	atomic_ullong written; /* since the target was pushed, bytes */
};

/* What the target needs, for one granule. */
enum need { NOTHING, ZEROES, DATA };

static int next(void *opaque, u64 off, u64 *len, struct err *e)
{
	struct conversion *c = opaque;
	u64 behind = c->backing ? blk_size(c->backing) : 0;
	struct blk_status st;
	bool zero;
	int r = blk_get_status(c->src, off, *len, &st);

	if (r)
		return img_failed(c->src, "map", off, r, e);
	*len = st.len;
	zero = st.zero;
	if (!zero || off >= behind)
		return !zero;
	r = blk_get_status(c->backing, off, *len < behind - off ? *len : behind - off, &st);
	if (r)
		return img_failed(c->backing, "map", off, r, e);
	*len = st.len;
	return !st.zero;
}

static enum need need(const u8 *data, const u8 *there, size_t len)
{
	bool zero = img_is_zero(data, len);

	if (!there)
		return zero ? NOTHING : DATA;
	if (memcmp(data, there, len) == 0)
		return NOTHING;
	return zero ? ZEROES : DATA;
}

static int write_compressed(struct conversion *c, u64 off, const u8 *data, size_t len)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i += c->granule) {
		size_t n = len - i < c->granule ? len - i : c->granule;

		r = blk_write_compressed(c->dst, off + i, data + i, n);
	}
	return r;
}

static int put(struct conversion *c, enum need what, u64 off, const u8 *data, size_t len,
	       struct err *e)
{
	int r = 0;

	if (what == ZEROES)
		r = blk_write_zeroes(c->dst, off, len, BLK_UNMAP);
	else if (what == DATA && c->a->compressed)
		r = write_compressed(c, off, data, len);
	else if (what == DATA)
		r = blk_write(c->dst, off, data, len);
	if (r)
		return img_failed(c->dst, "write", off, r, e);
	if (what == DATA && atomic_fetch_add(&c->written, len) + len >= PUSH) {
		atomic_store(&c->written, 0);
		target_push(c->target);
	}
	return 0;
}

static int work(void *opaque, u64 off, size_t len, u8 *buf, struct err *e)
{
	struct conversion *c = opaque;
	u8 *there = c->backing ? buf + CHUNK : NULL;
	size_t start = 0;
	enum need run = NOTHING;
	int r = img_read(c->src, off, buf, len, e);

	if (r == 0 && there)
		r = img_read(c->backing, off, there, len, e);
	for (size_t i = 0; i < len && r == 0; i += c->granule) {
		size_t n = len - i < c->granule ? len - i : c->granule;
		enum need what = need(buf + i, there ? there + i : NULL, n);

		if (what == run)
			continue;
		r = put(c, run, off + start, buf + start, i - start, e);
		run = what;
		start = i;
	}
	return r ? r : put(c, run, off + start, buf + start, len - start, e);
}

static int copy(struct conversion *c, struct err *e)
{
	struct chunks chunks = {
		.size = blk_size(c->src),
		.unit = c->granule,
		.threads = c->a->threads,
		.buffers = c->backing ? 2 : 1,
		.what = "converting",
		.quiet = c->a->quiet,
		.next = next,
		.work = work,
		.opaque = c,
	};

	return chunks_run(&chunks, e);
}

static int fill(struct conversion *c, const struct blk_create *made, struct err *e)
{
	/* The user has named the backing image, so it may lie anywhere. */
	char *backing = made->backing ? blk_path_beside(made->path, made->backing) : NULL;
	struct blk_cfg cfg = {
		.file = made->path,
		.format = made->format,
		.backing = backing,
		.backing_format = made->backing_format,
		.unsafe = true, /* a file that fails is thrown away, and one that does not is synced
				 */
	};
	struct blk_image_info info;
	int r;

	c->dst = made->backing && !backing ? NULL : blk_open(&cfg, e);
	if (!c->dst) {
		free(backing);
		return made->backing && !backing ? img_no_memory(e) : e->code;
	}
	c->backing = blk_backing(c->dst);
	r = blk_info(c->dst, &info, e);
	c->granule = info.cluster_size > RAW_GRANULE ? info.cluster_size : RAW_GRANULE;
	if (r == 0 && c->a->compressed)
		c->granule = info.cluster_size;
	if (r == 0)
		r = copy(c, e);
	r = img_close(c->dst, r, e);
	free(backing);
	return r;
}

static bool same_file(const struct stat *st, const char *path)
{
	struct stat other;

	return stat(path, &other) == 0 && st->st_dev == other.st_dev && st->st_ino == other.st_ino;
}

/*
 * The target may replace neither the source nor anything that the source stands on.  Found out
 * before it is locked: the source could not be opened then.
 */
static int check_target(const struct img_args *a, struct err *e)
{
	struct img_args unlocked = *a;
	char *path, *next;
	struct stat st;
	struct blk *src;
	int r = 0;

	if (stat(a->rest.items[1], &st) < 0)
		return 0;
	unlocked.no_lock = true;
	src = img_open(&unlocked, a->rest.items[0], 0, e);
	if (!src)
		return e->code;
	path = strdup(blk_path(src));
	for (struct blk *b = src; b && r == 0; b = blk_backing(b)) {
		if (path && same_file(&st, path))
			r = err_set(e, -EINVAL, "%s is what is to be read; name another target",
				    a->rest.items[1]);
		if (path && blk_backing(b)) {
			next = blk_path_beside(path, blk_path(blk_backing(b)));
			free(path);
			path = next;
		}
		if (!path)
			r = img_no_memory(e);
	}
	free(path);
	return img_close(src, r, e);
}

static int report(const struct img_args *a, const char *format, struct err *e)
{
	const char *path = a->rest.items[1];
	char disk[IMG_SIZE_TEXT], size[IMG_SIZE_TEXT];
	struct img_args layer = {.format = format};
	struct blk *b = img_open(&layer, path, IMG_LAYER, e);
	struct blk_image_info i;
	int r;

	if (!b)
		return e->code;
	r = blk_info(b, &i, e);
	if (r == 0 && a->json)
		r = img_print_json(json_pack("{s:o, s:s, s:I, s:I}", "filename",
					     img_json_text(path), "format", format, "virtual-size",
					     (json_int_t)i.virtual_size, "actual-size",
					     (json_int_t)i.disk_size),
				   e);
	else if (r == 0)
		printf("%s: %s, %s, takes %s\n", path, format, img_size_text(size, i.virtual_size),
		       img_size_text(disk, i.disk_size));
	return img_close(b, r, e);
}

static int convert(struct conversion *c, struct target *t, struct blk_create *create, struct err *e)
{
	const struct img_args *a = c->a;
	struct blk_cfg cfg = {
		.file = a->rest.items[0],
		.format = a->format,
		.read_only = true,
		.no_lock = a->no_lock,
		.snapshot = a->snapshot,
		.backing = a->backing,
	};
	int r;

	c->target = t;
	c->src = blk_open(&cfg, e);
	if (!c->src)
		return e->code;
	create->path = t->temp;
	create->size = blk_size(c->src);
	r = blk_create(create, e);
	if (r == 0)
		r = fill(c, create, e);
	r = img_close(c->src, r, e);
	return r ? r : target_finish(t, e);
}

static int check_args(const struct img_args *a, const struct blk_create *c, struct err *e)
{
	if (strcmp(c->format, "raw") == 0 && a->compressed)
		return err_set(e, -EINVAL,
			       "raw images cannot be compressed; use --output-format "
			       "qcow2");
	if (c->data_file)
		return err_set(e, -EINVAL,
			       "a data file would not be renamed with the image; "
			       "convert without data_file=");
	if (a->backing_format && !a->output_backing)
		return err_set(e, -EINVAL,
			       "--backing-format without --output-backing; name that "
			       "image");
	return 0;
}

static int convert_run(struct img_args *a, struct err *e)
{
	const char *path = a->rest.items[1];
	struct conversion c = {.a = a};
	struct blk_create create = {
		.format = a->output_format ? a->output_format : img_format_of(path),
		.backing = a->output_backing,
		.backing_format = a->backing_format,
	};
	struct opts *opts = NULL;
	struct target t;
	int r = img_create_options(&a->create_options, &create, &opts, e);

	if (r == 0)
		r = check_args(a, &create, e);
	if (r == 0)
		r = check_target(a, e);
	if (r == 0)
		r = target_begin(&t, path, a->force ? TARGET_REPLACE : TARGET_NEW, e);
	if (r == 0) {
		r = convert(&c, &t, &create, e);
		if (r)
			target_explain(&t, e);
		target_end(&t);
		if (r == 0 && !a->quiet)
			r = report(a, create.format, e);
	}
	opts_free(opts);
	return r;
}

static const struct option options[] = {
	IMG_FORMAT,
	IMG_BACKING,
	{"output-format", "FORMAT", "the new one's; else its name says it (.qcow2), or raw",
	 OPTION_STR, IMG_AT(output_format), .letter = 'O'},
	{"option", "KEY=VALUE[,...]", "see below; may be repeated", OPTION_LIST,
	 IMG_AT(create_options), .letter = 'o'},
	{"compressed", NULL, "compress (qcow2)", OPTION_FLAG, IMG_AT(compressed), .letter = 'c'},
	{"output-backing", "FILE",
	 "write only what is not the same in this image, which\nthe new "
	 "one has as its backing image",
	 OPTION_STR, IMG_AT(output_backing), .letter = 'B'},
	{"backing-format", "FORMAT", "its format", OPTION_STR, IMG_AT(backing_format),
	 .letter = 'F'},
	{"snapshot", "NAME", "read this snapshot of the source", OPTION_STR, IMG_AT(snapshot),
	 .letter = 'l'},
	{"force", NULL, "replace an existing file, when all is done", OPTION_FLAG, IMG_AT(force)},
	{"threads", "N", "work on so many pieces at a time", OPTION_NUM, IMG_AT(threads),
	 .letter = 'm'},
	{"progress", NULL, "for habit's sake: on a terminal there is progress", OPTION_FLAG,
	 IMG_AT(progress), .letter = 'p'},
	IMG_NO_LOCK,
	IMG_JSON,
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_convert = {
	.c = {.name = "img convert",
	      .usage = "[OPTION]... SOURCE TARGET",
	      .doc = "copy a disk into another format",
	      .options = options,
	      .help_tail = IMG_CREATE_KEYS
	      "\n"
	      "Zeroes take no space. The target appears when it is complete and on the disk.\n"
	      "\n"
	      "Examples:\n"
	      "  sundog img convert disk.img disk.qcow2\n"
	      "  sundog img convert -c -o compression_type=zstd disk.qcow2 archive.qcow2\n"
	      "  sundog img convert --output-backing base.qcow2 disk.img changes.qcow2\n"},
	.min_args = 2,
	.max_args = 2,
	.run = convert_run,
};
