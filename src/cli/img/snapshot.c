/* SPDX-License-Identifier: MIT */
/* snapshot.c - sundog img snapshot: states of a disk that its image keeps. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cli/img/img.h"

json_t *img_snapshots_json(const struct blk_snapshot *list, unsigned n)
{
	json_t *array = json_array();

	for (unsigned i = 0; i < n; i++) {
		const struct blk_snapshot *s = &list[i];

		(void)!json_array_append_new(
			array,
			json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "id", img_json_text(s->id),
				  "name", img_json_text(s->name), "vm-state-size",
				  (json_int_t)s->vm_state_size, "date-sec", (json_int_t)s->date_sec,
				  "date-nsec", (json_int_t)s->date_nsec, "vm-clock-sec",
				  (json_int_t)(s->vm_clock_ns / 1000000000), "vm-clock-nsec",
				  (json_int_t)(s->vm_clock_ns % 1000000000)));
	}
	return array;
}

void img_snapshots_print(const struct blk_snapshot *list, unsigned n)
{
	printf("  %-6s %-20s %-12s %s\n", "ID", "DATE", "MEMORY", "NAME");
	for (unsigned i = 0; i < n; i++) {
		char size[IMG_SIZE_TEXT], date[32] = "?";
		time_t sec = (time_t)list[i].date_sec;
		struct tm tm;

		if (localtime_r(&sec, &tm))
			strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
		printf("  ");
		img_put(list[i].id);
		printf("%*s %-20s %-12s ", (int)(6 - strnlen(list[i].id, 6)), "", date,
		       img_size_text(size, list[i].vm_state_size));
		img_put(list[i].name);
		putchar('\n');
	}
}

static int show_list(struct blk *b, const struct img_args *a, struct err *e)
{
	struct blk_snapshot *list;
	unsigned n;
	int r = blk_snapshots(b, &list, &n, e);

	if (r)
		return r;
	if (a->json)
		r = img_print_json(img_snapshots_json(list, n), e);
	else if (n)
		img_snapshots_print(list, n);
	else
		printf("%s has no snapshots\n", blk_path(b));
	free(list);
	return r;
}

static int snapshot_run(struct img_args *a, struct err *e)
{
	const char *path = a->rest.items[0];
	int actions = a->list + !!a->snap_create + !!a->snap_apply + !!a->snap_delete, r;
	bool change = a->snap_create || a->snap_apply || a->snap_delete;
	struct blk *b;

	if (actions > 1)
		return err_set(e, -EINVAL,
			       "one thing at a time; give --list, --create, --apply or "
			       "--delete");
	b = img_open(a, path, IMG_LAYER | (change ? IMG_WRITE : 0), e);
	if (!b)
		return e->code;
	if (a->snap_create)
		r = blk_snapshot_create(b, a->snap_create, e);
	else if (a->snap_apply)
		r = blk_snapshot_apply(b, a->snap_apply, e);
	else if (a->snap_delete)
		r = blk_snapshot_delete(b, a->snap_delete, e);
	else
		r = show_list(b, a, e);
	return img_close(b, r, e);
}

static const struct option options[] = {
	IMG_FORMAT,
	{"list", NULL, "say which there are; so does no option", OPTION_FLAG, IMG_AT(list),
	 .letter = 'l'},
	{"create", "NAME", "keep the disk's content of now", OPTION_STR, IMG_AT(snap_create),
	 .letter = 'c'},
	{"apply", "NAME", "go back to that content; what is there now is lost", OPTION_STR,
	 IMG_AT(snap_apply), .letter = 'a'},
	{"delete", "NAME", "forget it", OPTION_STR, IMG_AT(snap_delete), .letter = 'd'},
	IMG_NO_LOCK,
	IMG_JSON,
	IMG_QUIET,
	IMG_HELP,
	{NULL},
};

const struct img_command img_snapshot = {
	.c = {.name = "img snapshot",
	      .usage = "[OPTION]... FILE",
	      .doc = "list, make, apply and delete snapshots in a qcow2 image",
	      .options = options,
	      .help_tail = "NAME may be an ID, if nothing is named so.\n"
			   "\n"
			   "Examples:\n"
			   "  sundog img snapshot disk.qcow2 --create before-upgrade\n"
			   "  sundog img snapshot disk.qcow2 --apply before-upgrade\n"
			   "  sundog img convert disk.qcow2 old.img --snapshot before-upgrade\n"},
	.min_args = 1,
	.max_args = 1,
	.run = snapshot_run,
};
