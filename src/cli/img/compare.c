/* SPDX-License-Identifier: MIT */
/* compare.c - sundog img compare: have two disks the same content? */
#include <jansson.h>
#include <stdio.h>

#include "cli/img/chunks.h"
#include "cli/img/img.h"
#include "sundog/lock.h"

enum { DIFFERENT = 1, COMPARE_FAILED = 2 };

struct comparison {
	struct blk *image[2];
	u64 size; /* of the smaller one */
	struct lock lock;
	u64 first; /* the lowest offset that differs; UINT64_MAX: none */
};

static int status(struct blk *b, u64 off, u64 *len, bool *zero, struct err *e)
{
	struct blk_status st;
	int r = off < blk_size(b) ? blk_get_status(b, off, *len, &st) : -EINVAL;

	if (r)
		return img_failed(b, "map", off, r, e);
	*len = st.len < *len ? st.len : *len;
	*zero = st.zero;
	return 0;
}

static int next(void *opaque, u64 off, u64 *len, struct err *e)
{
	struct comparison *c = opaque;
	bool zero[2] = {true, true};

	for (int i = 0; i < 2; i++) {
		u64 left = blk_size(c->image[i]) > off ? blk_size(c->image[i]) - off : 0;
		int r;

		if (!left) /* what lies behind the end counts as zeroes */
			continue;
		*len = left < *len ? left : *len;
		r = status(c->image[i], off, len, &zero[i], e);
		if (r)
			return r;
	}
	return !zero[0] || !zero[1];
}

static int work(void *opaque, u64 off, size_t len, u8 *buf, struct err *e)
{
	struct comparison *c = opaque;
	u8 *other = buf + CHUNK;
	size_t i = 0;
	int r = img_read(c->image[0], off, buf, len, e);

	if (r == 0)
		r = img_read(c->image[1], off, other, len, e);
	if (r || memcmp(buf, other, len) == 0)
		return r;
	while (buf[i] == other[i])
		i++;
	lock(&c->lock);
	if (off + i < c->first)
		c->first = off + i;
	unlock(&c->lock);
	return 1;
}

static int run(struct comparison *c, const struct img_args *a, struct err *e)
{
	u64 sizes[] = {blk_size(c->image[0]), blk_size(c->image[1])};
	struct chunks chunks = {
		.size = sizes[0] > sizes[1] ? sizes[0] : sizes[1],
		.unit = BLK_SECTOR,
		.threads = a->threads,
		.buffers = 2,
		.what = "comparing",
		.quiet = a->quiet,
		.next = next,
		.work = work,
		.opaque = c,
	};
	bool same;
	int r;

	c->size = sizes[0] < sizes[1] ? sizes[0] : sizes[1];
	c->first = a->strict && sizes[0] != sizes[1] ? c->size : UINT64_MAX;
	r = c->first == UINT64_MAX ? chunks_run(&chunks, e) : 0;
	if (r)
		return r;
	same = c->first == UINT64_MAX;
	if (a->json) {
		json_t *j = json_pack("{s:b}", "identical", same);

		if (!same)
			(void)!json_object_set_new(j, "offset", json_integer((json_int_t)c->first));
		r = img_print_json(j, e);
	} else if (!a->quiet && a->strict && sizes[0] != sizes[1]) {
		printf("the sizes differ: %llu and %llu bytes\n", (unsigned long long)sizes[0],
		       (unsigned long long)sizes[1]);
	} else if (!a->quiet && same) {
		printf("the contents are the same%s\n",
		       sizes[0] != sizes[1] ? "; one is larger, by zeroes" : "");
	} else if (!a->quiet) {
		printf("the contents differ, first at %llu (%#llx)\n", (unsigned long long)c->first,
		       (unsigned long long)c->first);
	}
	return r ? r : same ? 0 : DIFFERENT;
}

static int compare_run(struct img_args *a, struct err *e)
{
	struct comparison c = {0};
	struct img_args second = *a;
	int r;

	second.format = a->second_format;
	second.backing = NULL;
	c.image[0] = img_open(a, a->rest.items[0], 0, e);
	if (!c.image[0])
		return e->code;
	c.image[1] = img_open(&second, a->rest.items[1], 0, e);
	if (!c.image[1])
		return img_close(c.image[0], e->code, e);
	lock_init(&c.lock, LOCK_LEAF, "comparison");
	r = run(&c, a, e);
	lock_destroy(&c.lock);
	r = img_close(c.image[1], r, e);
	return img_close(c.image[0], r, e);
}

static const struct option options[] = {
	IMG_FORMAT,
	{"backing", "FILE", "what is behind the first one, instead of the image it names",
	 OPTION_STR, IMG_AT(backing)},
	{"second-format", "FORMAT", "the same of the second one", OPTION_STR, IMG_AT(second_format),
	 .letter = 'F'},
	{"strict", NULL, "different sizes are a difference, too", OPTION_FLAG, IMG_AT(strict),
	 .letter = 's'},
	{"threads", "N", "work on so many pieces at a time", OPTION_NUM, IMG_AT(threads)},
	IMG_NO_LOCK,
	IMG_JSON,
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_compare = {
	.c = {.name = "img compare",
	      .usage = "[OPTION]... FILE FILE",
	      .doc = "say whether two disks have the same content",
	      .options = options,
	      .help_tail = "Exit status: 0 the same, 1 different, 2 they could not be compared.\n"
			   "A disk that is larger by nothing but zeroes is the same.\n"
			   "\n"
			   "Examples:\n"
			   "  sundog img compare disk.qcow2 copy.img\n"},
	.min_args = 2,
	.max_args = 2,
	.error_status = COMPARE_FAILED,
	.run = compare_run,
};
