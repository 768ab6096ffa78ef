/* SPDX-License-Identifier: MIT */
/* info.c - sundog img info; its JSON has qemu-img's fields. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/img/img.h"

static void set_flag(json_t *o, const char *key, bool value)
{
	(void)!json_object_set_new(o, key, json_boolean(value));
}

static json_t *specific(const struct blk_image_info *i)
{
	json_t *data = json_object();

	(void)!json_object_set_new(data, "compat", json_string(i->version == 2 ? "0.10" : "1.1"));
	(void)!json_object_set_new(data, "refcount-bits", json_integer(i->refcount_bits));
	if (i->compression)
		(void)!json_object_set_new(data, "compression-type", json_string(i->compression));
	if (i->version > 2) {
		set_flag(data, "lazy-refcounts", i->lazy_refcounts);
		set_flag(data, "corrupt", i->corrupt);
		set_flag(data, "extended-l2", i->extended_l2);
	}
	if (i->data_file) {
		(void)!json_object_set_new(data, "data-file", img_json_text(i->data_file));
		set_flag(data, "data-file-raw", i->data_file_raw);
	}
	return data;
}

static json_t *backing_path(struct blk *b)
{
	char *full = blk_path_beside(blk_path(b), blk_backing_name(b));
	json_t *s = full ? img_json_text(full) : NULL;

	free(full);
	return s;
}

static json_t *to_json(struct blk *b, const struct blk_image_info *i, json_t *snapshots)
{
	json_t *o =
		json_pack("{s:o, s:s, s:I, s:I, s:b}", "filename", img_json_text(blk_path(b)),
			  "format", blk_format_name(b), "virtual-size", (json_int_t)i->virtual_size,
			  "actual-size", (json_int_t)i->disk_size, "dirty-flag", i->dirty);

	if (i->cluster_size)
		(void)!json_object_set_new(o, "cluster-size", json_integer(i->cluster_size));
	if (i->encrypted)
		set_flag(o, "encrypted", true);
	if (blk_backing_name(b)) {
		(void)!json_object_set_new(o, "backing-filename",
					   img_json_text(blk_backing_name(b)));
		(void)!json_object_set_new(o, "full-backing-filename", backing_path(b));
	}
	if (blk_backing_name(b) && blk_backing_format(b))
		(void)!json_object_set_new(o, "backing-filename-format",
					   img_json_text(blk_backing_format(b)));
	if (json_array_size(snapshots))
		(void)!json_object_set(o, "snapshots", snapshots);
	if (i->version)
		(void)!json_object_set_new(o, "format-specific",
					   json_pack("{s:s, s:o}", "type", blk_format_name(b),
						     "data", specific(i)));
	return o;
}

static void print_size(const char *label, u64 bytes)
{
	char text[IMG_SIZE_TEXT];

	printf("%-16s %s (%llu bytes)\n", label, img_size_text(text, bytes),
	       (unsigned long long)bytes);
}

static void print_name(const char *label, const char *name)
{
	printf("%-16s ", label);
	img_put(name);
	putchar('\n');
}

static void print_specific(const struct blk_image_info *i)
{
	if (i->cluster_size)
		printf("%-16s %u\n", "cluster size:", i->cluster_size);
	if (!i->version)
		return;
	printf("%-16s v%u%s%s%s%s%s%s\n", "version:", i->version,
	       i->lazy_refcounts ? ", lazy refcounts" : "", i->extended_l2 ? ", extended L2" : "",
	       i->data_file_raw ? ", raw data file" : "", i->encrypted ? ", encrypted" : "",
	       i->dirty ? ", not closed in order (img check --repair leaks)" : "",
	       i->corrupt ? ", corrupt (img check --repair all)" : "");
	printf("%-16s %u bits\n", "refcounts:", i->refcount_bits);
	if (i->compression)
		printf("%-16s %s\n", "compression:", i->compression);
	if (i->data_file)
		print_name("data file:", i->data_file);
}

static void print_text(struct blk *b, const struct blk_image_info *i)
{
	printf("%-16s %s\n%-16s %s\n", "image:", blk_path(b), "format:", blk_format_name(b));
	print_size("virtual size:", i->virtual_size);
	print_size("on the host:", i->disk_size);
	print_specific(i);
	if (blk_backing_name(b)) {
		print_name("backing image:", blk_backing_name(b));
		print_name("its format:",
			   blk_backing_format(b) ? blk_backing_format(b) : "not said");
	}
}

/* One image; its JSON goes to the array. */
static int show(struct blk *b, const struct img_args *a, json_t *array, struct err *e)
{
	struct blk_image_info info;
	struct blk_snapshot *list;
	unsigned n;
	int r = blk_info(b, &info, e);

	if (r == 0)
		r = blk_snapshots(b, &list, &n, e);
	if (r)
		return r;
	if (array) {
		json_t *snapshots = img_snapshots_json(list, n);

		if (json_array_append_new(array, to_json(b, &info, snapshots)))
			r = img_no_memory(e);
		json_decref(snapshots);
	} else {
		print_text(b, &info);
		if (n) {
			puts("snapshots:");
			img_snapshots_print(list, n);
		}
	}
	free(list);
	return r;
}

static int info_run(struct img_args *a, struct err *e)
{
	struct blk *top = img_open(a, a->rest.items[0], a->chain ? 0 : IMG_LAYER, e);
	json_t *array = a->json ? json_array() : NULL;
	int r = 0;

	if (!top) {
		json_decref(array);
		return e->code;
	}
	for (struct blk *b = top; b && r == 0; b = blk_backing(b)) {
		if (b != top && !array)
			putchar('\n');
		r = show(b, a, array, e);
	}
	if (array && r == 0)
		r = img_print_json(
			a->chain ? json_incref(array) : json_incref(json_array_get(array, 0)), e);
	json_decref(array);
	return img_close(top, r, e);
}

static const struct option options[] = {
	IMG_FORMAT,
	IMG_BACKING,
	{"backing-chain", NULL, "the images behind it, too", OPTION_FLAG, IMG_AT(chain)},
	IMG_NO_LOCK,
	IMG_JSON,
	IMG_HELP,
	{NULL},
};

const struct img_command img_info = {
	.c = {.name = "img info",
	      .usage = "[OPTION]... FILE",
	      .doc = "say what an image is",
	      .options = options,
	      .help_tail = "Examples:\n"
			   "  sundog img info disk.qcow2\n"
			   "  sundog img info --backing-chain --json today.qcow2\n"},
	.min_args = 1,
	.max_args = 1,
	.run = info_run,
};
