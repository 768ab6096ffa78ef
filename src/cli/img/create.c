/* SPDX-License-Identifier: MIT */
/* create.c - sundog img create. */
#include <jansson.h>
#include <stdio.h>

#include "cli/img/img.h"
#include "sundog/opts.h"

static int report(const struct img_args *a, const struct blk_create *c, struct err *e)
{
	struct img_args layer = {.format = c->format};
	struct blk *b = img_open(&layer, c->path, IMG_LAYER, e);
	char size[IMG_SIZE_TEXT];
	int r = 0;

	if (!b)
		return e->code;
	if (a->json)
		r = img_print_json(json_pack("{s:o, s:s, s:I}", "filename", img_json_text(c->path),
					     "format", c->format, "virtual-size",
					     (json_int_t)blk_size(b)),
				   e);
	else
		printf("%s: %s, %s%s%s\n", c->path, c->format, img_size_text(size, blk_size(b)),
		       c->backing ? ", on top of " : "", c->backing ? c->backing : "");
	return img_close(b, r, e);
}

static int create_run(struct img_args *a, struct err *e)
{
	struct blk_create c = {
		.path = a->rest.items[0],
		.format = a->format ? a->format : img_format_of(a->rest.items[0]),
		.backing = a->backing,
		.backing_format = a->backing_format,
	};
	struct opts *opts = NULL;
	int r = 0;

	if (a->rest.n > 1 && (parse_size(a->rest.items[1], &c.size) || !c.size))
		return err_set(e, -EINVAL, "%s is no size of a disk; write it like 512M or 20G",
			       a->rest.items[1]);
	if (a->rest.n < 2 && !a->backing)
		return err_set(e, -EINVAL, "which size? write sundog img create %s 20G", c.path);
	if (a->backing_format && !a->backing)
		return err_set(e, -EINVAL, "--backing-format without --backing; name that image");
	r = img_create_options(&a->create_options, &c, &opts, e);
	if (r == 0)
		r = blk_create(&c, e);
	if (r == 0 && !a->quiet)
		r = report(a, &c, e);
	opts_free(opts);
	return r;
}

static const struct option options[] = {
	{"format", "FORMAT", "raw or qcow2; else the name says it (.qcow2), or raw", OPTION_STR,
	 IMG_AT(format), .letter = 'f'},
	{"backing", "FILE",
	 "what is not written yet is read from this image,\nwhich from then on "
	 "must not change; relative to the new\nimage's folder",
	 OPTION_STR, IMG_AT(backing), .letter = 'b'},
	{"backing-format", "FORMAT", "its format", OPTION_STR, IMG_AT(backing_format),
	 .letter = 'F'},
	{"option", "KEY=VALUE[,...]", "see below; may be repeated", OPTION_LIST,
	 IMG_AT(create_options), .letter = 'o'},
	IMG_JSON,
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_create = {
	.c = {.name = "img create",
	      .usage = "[OPTION]... FILE [SIZE]",
	      .doc = "make an empty image; an existing file is never replaced",
	      .options = options,
	      .help_tail = IMG_CREATE_KEYS
	      "\n"
	      "Examples:\n"
	      "  sundog img create disk.qcow2 20G\n"
	      "  sundog img create disk.img 512M\n"
	      "  sundog img create --backing base.qcow2 today.qcow2\n"
	      "  sundog img create -o cluster_size=2M,compression_type=zstd big.qcow2 4T\n"},
	.min_args = 1,
	.max_args = 2,
	.run = create_run,
};
