/* SPDX-License-Identifier: MIT */
/* check.c - sundog img check; its exit statuses and JSON fields are qemu-img's. */
#include <jansson.h>
#include <stdio.h>

#include "cli/img/img.h"
#include "cli/progress.h"

enum { CHECK_FAILED = 1, CHECK_ERRORS = 2, CHECK_LEAKS = 3 };

struct checking {
	const struct img_args *a;
	struct progress progress;
};

static void found(struct blk_check *c, const char *what)
{
	struct checking *s = c->opaque;

	if (s->progress.shown)
		fputs("\r\033[K", stderr);
	if (!s->a->quiet && !s->a->json)
		printf("%s\n", what);
}

static void progress(struct blk_check *c, u64 done, u64 all)
{
	struct checking *s = c->opaque;

	progress_show(&s->progress, done, all, false);
}

static json_t *to_json(struct blk *b, const struct blk_check *c)
{
	return json_pack("{s:o, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "filename",
			 img_json_text(blk_path(b)), "format", blk_format_name(b), "check-errors",
			 0, "image-end-offset", (json_int_t)c->image_end, "corruptions",
			 (json_int_t)c->errors, "leaks", (json_int_t)c->leaks, "corruptions-fixed",
			 (json_int_t)c->errors_fixed, "leaks-fixed", (json_int_t)c->leaks_fixed,
			 "total-clusters", (json_int_t)c->clusters, "allocated-clusters",
			 (json_int_t)c->allocated, "fragmented-clusters", (json_int_t)c->fragmented,
			 "compressed-clusters", (json_int_t)c->compressed);
}

static void count(const char *fmt, u64 n)
{
	if (n)
		printf(fmt, (unsigned long long)n, n == 1 ? "" : "s");
}

static void print_text(struct blk *b, const struct blk_check *c)
{
	char size[IMG_SIZE_TEXT];
	u64 all = c->clusters ? c->clusters : 1;

	count("%llu error%s repaired\n", c->errors_fixed);
	count("%llu leaked cluster%s given back\n", c->leaks_fixed);
	if (!c->errors && !c->leaks)
		printf("%s is sound\n", blk_path(b));
	count("%llu error%s: data may be lost; make a copy, then use --repair all\n", c->errors);
	count("%llu leaked cluster%s: space is wasted, nothing is lost; use --repair leaks\n",
	      c->leaks);
	printf("%llu of %llu clusters in use (%llu %%), %llu fragmented, %llu compressed; "
	       "the image ends at %s\n",
	       (unsigned long long)c->allocated, (unsigned long long)c->clusters,
	       (unsigned long long)(c->allocated * 100 / all), (unsigned long long)c->fragmented,
	       (unsigned long long)c->compressed, img_size_text(size, c->image_end));
}

static int parse_repair(const struct img_args *a, struct blk_check *c, struct err *e)
{
	if (!a->repair)
		return 0;
	c->fix_leaks = true;
	c->fix_errors = strcmp(a->repair, "all") == 0;
	if (!c->fix_errors && strcmp(a->repair, "leaks"))
		return err_set(e, -EINVAL, "--repair %s is unknown; give leaks or all", a->repair);
	return 0;
}

static int check_run(struct img_args *a, struct err *e)
{
	struct checking s = {.a = a};
	struct blk_check c = {.found = found, .progress = progress, .opaque = &s};
	struct blk *b;
	int r = parse_repair(a, &c, e);

	if (r)
		return r;
	b = img_open(a, a->rest.items[0], IMG_LAYER | IMG_REPAIR | (a->repair ? IMG_WRITE : 0), e);
	if (!b)
		return e->code;
	progress_start(&s.progress, "checking", a->quiet);
	r = blk_check(b, &c, e);
	progress_end(&s.progress);
	if (r == 0 && a->json)
		r = img_print_json(to_json(b, &c), e);
	else if (r == 0 && !a->quiet)
		print_text(b, &c);
	if (r == 0)
		r = c.errors ? CHECK_ERRORS : c.leaks ? CHECK_LEAKS : 0;
	return img_close(b, r, e);
}

static const struct option options[] = {
	IMG_FORMAT,
	{"repair", "leaks|all", "give leaked clusters back; all: repair errors, too", OPTION_STR,
	 IMG_AT(repair), .letter = 'r'},
	IMG_NO_LOCK,
	IMG_JSON,
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_check = {
	.c = {.name = "img check",
	      .usage = "[OPTION]... FILE",
	      .doc = "look for errors in an image, and repair them",
	      .options = options,
	      .help_tail = "Exit status: 0 sound (or all is repaired), 1 it could not be checked,\n"
			   "2 errors, 3 only leaked clusters.\n"
			   "\n"
			   "Examples:\n"
			   "  sundog img check disk.qcow2\n"
			   "  sundog img check --repair leaks disk.qcow2\n"},
	.min_args = 1,
	.max_args = 1,
	.error_status = CHECK_FAILED,
	.run = check_run,
};
