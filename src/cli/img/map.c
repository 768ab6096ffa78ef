/* SPDX-License-Identifier: MIT */
/* map.c - sundog img map: where a disk's bytes are; its JSON is qemu-img's. */
#include <jansson.h>
#include <stdio.h>

#include "cli/img/img.h"

struct range {
	u64 start;
	struct blk_status st;
};

static bool continues(const struct range *r, const struct blk_status *st)
{
	const struct blk_status *p = &r->st;

	return p->zero == st->zero && p->data == st->data && p->present == st->present &&
	       p->depth == st->depth && p->compressed == st->compressed &&
	       p->has_offset == st->has_offset &&
	       (!p->has_offset || p->offset + p->len == st->offset);
}

static struct blk *layer(struct blk *b, unsigned depth)
{
	while (depth-- && blk_backing(b))
		b = blk_backing(b);
	return b;
}

/* By hand, a line for each: a map may have millions. */
static void print_json(const struct range *r, bool first)
{
	printf("%s{ \"start\": %llu, \"length\": %llu, \"depth\": %u, \"present\": %s, "
	       "\"zero\": %s, \"data\": %s, \"compressed\": %s",
	       first ? "[" : ",\n", (unsigned long long)r->start, (unsigned long long)r->st.len,
	       r->st.depth, r->st.present ? "true" : "false", r->st.zero ? "true" : "false",
	       r->st.data ? "true" : "false", r->st.compressed ? "true" : "false");
	if (r->st.has_offset)
		printf(", \"offset\": %llu", (unsigned long long)r->st.offset);
	putchar('}');
}

static void print_text(struct blk *b, const struct range *r)
{
	const struct blk_status *st = &r->st;
	char offset[24] = "-";

	if (!st->data || st->zero)
		return;
	if (st->has_offset)
		snprintf(offset, sizeof(offset), "%#llx", (unsigned long long)st->offset);
	printf("%-16llx %-16llx %-16s %s%s\n", (unsigned long long)r->start,
	       (unsigned long long)st->len, offset, blk_path(layer(b, st->depth)),
	       st->compressed ? " (compressed)" : "");
}

static void print(struct blk *b, bool json, const struct range *r, unsigned *printed)
{
	if (!r->st.len)
		return;
	if (json)
		print_json(r, !(*printed)++);
	else
		print_text(b, r);
}

static int map_run(struct img_args *a, struct err *e)
{
	struct blk *b = img_open(a, a->rest.items[0], 0, e);
	struct range now = {0};
	unsigned printed = 0;
	u64 off = 0;
	int r = 0;

	if (!b)
		return e->code;
	if (!a->json)
		printf("%-16s %-16s %-16s %s\n", "START", "LENGTH", "AT", "FILE");
	while (off < blk_size(b)) {
		struct blk_status st;

		r = blk_get_status(b, off, blk_size(b) - off, &st);
		if (r) {
			r = img_failed(b, "map", off, r, e);
			break;
		}
		if (now.st.len && continues(&now, &st)) {
			now.st.len += st.len;
		} else {
			print(b, a->json, &now, &printed);
			now = (struct range){off, st};
		}
		off += st.len;
	}
	if (r == 0) {
		print(b, a->json, &now, &printed);
		fputs(!a->json ? "" : printed ? "]\n" : "[]\n", stdout);
	}
	return img_close(b, r, e);
}

static const struct option options[] = {
	IMG_FORMAT, IMG_BACKING, IMG_NO_LOCK, IMG_JSON, IMG_HELP, {NULL},
};

const struct img_command img_map = {
	.c = {.name = "img map",
	      .usage = "[OPTION]... FILE",
	      .doc = "say which parts of a disk have data, and where that is",
	      .options = options,
	      .help_tail =
		      "Numbers are bytes, hexadecimal; holes are left out. --json has all, with\n"
		      "qemu-img's fields.\n"
		      "\n"
		      "Examples:\n"
		      "  sundog img map disk.qcow2\n"
		      "  sundog img map --json disk.qcow2 | jq 'map(select(.data).length) | "
		      "add'\n"},
	.min_args = 1,
	.max_args = 1,
	.run = map_run,
};
