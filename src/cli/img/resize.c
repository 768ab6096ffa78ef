/* SPDX-License-Identifier: MIT */
/* resize.c - sundog img resize. */
#include <jansson.h>
#include <stdio.h>

#include "cli/img/img.h"
#include "sundog/opts.h"

/* "20G", "+5G", "-1G". */
static int new_size(const char *text, u64 old, u64 *size, struct err *e)
{
	bool plus = text[0] == '+', minus = text[0] == '-';
	u64 n;

	if (parse_size(text + (plus || minus), &n) || (plus && n > UINT64_MAX - old))
		return err_set(e, -EINVAL, "%s is no size; write it like 20G, +5G or -1G", text);
	if (minus && n >= old)
		return err_set(e, -EINVAL, "%s takes away all of it; its size is %llu bytes", text,
			       (unsigned long long)old);
	*size = plus ? old + n : minus ? old - n : n;
	return 0;
}

static int resize(struct blk *b, const struct img_args *a, struct err *e)
{
	u64 old = blk_size(b), size = 0;
	char from[IMG_SIZE_TEXT], to[IMG_SIZE_TEXT];
	int r = new_size(a->rest.items[1], old, &size, e);

	if (r)
		return r;
	if (size < old && !a->shrink)
		return err_set(e, -EINVAL,
			       "that would cut off %s of the disk's end; use --shrink if they are "
			       "not needed",
			       img_size_text(from, old - size));
	r = blk_resize(b, size, e);
	if (r == 0 && a->json)
		return img_print_json(json_pack("{s:o, s:I}", "filename",
						img_json_text(blk_path(b)), "virtual-size",
						(json_int_t)blk_size(b)),
				      e);
	if (r == 0 && !a->quiet)
		printf("%s: %s, was %s\n", blk_path(b), img_size_text(to, size),
		       img_size_text(from, old));
	return r;
}

static int resize_run(struct img_args *a, struct err *e)
{
	struct blk *b = img_open(a, a->rest.items[0], IMG_WRITE, e);

	return b ? img_close(b, resize(b, a, e), e) : e->code;
}

static const struct option options[] = {
	IMG_FORMAT,
	{"shrink", NULL, "the disk may become smaller: its end is lost", OPTION_FLAG,
	 IMG_AT(shrink)},
	IMG_JSON,
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_resize = {
	.c = {.name = "img resize",
	      .usage = "[OPTION]... FILE [+|-]SIZE",
	      .doc = "make a disk larger or smaller",
	      .options = options,
	      .help_tail =
		      "What is added reads as zeroes. Partitions and file systems stay as they\n"
		      "are: before a disk becomes smaller they have to.\n"
		      "\n"
		      "Examples:\n"
		      "  sundog img resize disk.qcow2 +10G\n"
		      "  sundog img resize --shrink disk.img 2G\n"
		      "  sundog img resize --shrink disk.img -1G\n"},
	.min_args = 2,
	.max_args = 2,
	.run = resize_run,
};
