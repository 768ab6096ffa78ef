/* SPDX-License-Identifier: MIT */
/* rebase.c - sundog img rebase: what an image names as its backing image. */
#include <stdlib.h>

#include "cli/img/img.h"

/* The new one has to be there, and must not stand on this image itself: opening it tells. */
static int try_backing(const struct img_args *a, const char *path, struct err *e)
{
	struct blk_cfg cfg = {
		.file = path,
		.format = a->format,
		.read_only = true,
		.backing = a->backing,
		.backing_format = a->backing_format,
	};
	struct blk *b = blk_open(&cfg, e);

	return b ? img_close(b, 0, e) : e->code;
}

static int rebase_run(struct img_args *a, struct err *e)
{
	const char *path = a->rest.items[0];
	const char *backing = a->backing && *a->backing ? a->backing : NULL;
	struct blk *b;
	int r = 0;

	if (!a->unsafe)
		return err_set(e, -EINVAL,
			       "only the name is changed: give --unsafe if the new image has the "
			       "same content, else convert");
	if (!a->backing)
		return err_set(e, -EINVAL,
			       "on what? give --backing FILE, or --backing '' for "
			       "nothing");
	if (backing && !a->backing_format)
		return err_set(e, -EINVAL, "give --backing-format, too: raw or qcow2");
	if (backing)
		r = try_backing(a, path, e);
	if (r)
		return r;
	b = img_open(a, path, IMG_WRITE | IMG_LAYER, e);
	if (!b)
		return e->code;
	r = blk_set_backing(b, backing, backing ? a->backing_format : NULL, e);
	return img_close(b, r, e);
}

static const struct option options[] = {
	IMG_FORMAT,
	{"backing", "FILE", "the new backing image; '': none", OPTION_STR, IMG_AT(backing),
	 .letter = 'b'},
	{"backing-format", "FORMAT", "its format", OPTION_STR, IMG_AT(backing_format),
	 .letter = 'F'},
	{"unsafe", NULL, "the content is the same: change the name only", OPTION_FLAG,
	 IMG_AT(unsafe), .letter = 'u'},
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_rebase = {
	.c = {.name = "img rebase",
	      .usage = "--unsafe --backing FILE --backing-format FORMAT OVERLAY",
	      .doc = "change the name of an image's backing image",
	      .options = options,
	      .help_tail =
		      "Examples:\n"
		      "  sundog img rebase --unsafe -b moved/base.qcow2 -F qcow2 today.qcow2\n"},
	.min_args = 1,
	.max_args = 1,
	.run = rebase_run,
};
