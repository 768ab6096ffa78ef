/* SPDX-License-Identifier: MIT */
/* open.c - what all of "sundog img" does: opening, closing, sizes, errors, JSON. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/img/img.h"

struct blk *img_open(const struct img_args *a, const char *path, unsigned flags, struct err *e)
{
	struct blk_cfg cfg = {
		.file = path,
		.format = a->format,
		.read_only = !(flags & IMG_WRITE),
		.no_backing = flags & IMG_LAYER,
		.no_lock = a->no_lock,
		.backing = a->backing,
		.repair = flags & IMG_REPAIR,
	};

	if (flags & IMG_WRITE && a->no_lock) {
		err_set(e, -EINVAL, "--force-share is for reading; end who uses %s", path);
		return NULL;
	}
	return blk_open(&cfg, e);
}

int img_close(struct blk *b, int r, struct err *e)
{
	struct err own = {0};
	int closed = blk_close(b, &own);

	if (r < 0 || closed == 0)
		return r;
	*e = own;
	return closed;
}

int img_no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory; close something");
}

int img_failed(const struct blk *b, const char *what, u64 off, int r, struct err *e)
{
	return err_set(e, r, "cannot %s %s at %llu: %s; %s", what, blk_path(b),
		       (unsigned long long)off, strerror(-r),
		       r == -ENOSPC ? "make room on that disk" : "check the image and its disk");
}

int img_read(struct blk *b, u64 off, u8 *buf, size_t len, struct err *e)
{
	u64 left = blk_size(b) > off ? blk_size(b) - off : 0;
	size_t there = left < len ? (size_t)left : len;
	int r = there ? blk_read(b, off, buf, there) : 0;

	memset(buf + there, 0, len - there);
	return r ? img_failed(b, "read", off, r, e) : 0;
}

const char *img_format_of(const char *path)
{
	size_t n = strlen(path), end = strlen(".qcow2");

	return n > end && strcmp(path + n - end, ".qcow2") == 0 ? "qcow2" : "raw";
}

bool img_is_zero(const u8 *p, size_t len)
{
	/* All bytes are alike if each is like the one in front of it; memcmp() is wide. */
	return !len || (!p[0] && memcmp(p, p + 1, len - 1) == 0);
}

const char *img_size_text(char buf[IMG_SIZE_TEXT], u64 bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double n = (double)bytes;
	unsigned i = 0;

	for (; n >= 1024; i++)
		n /= 1024;
	snprintf(buf, IMG_SIZE_TEXT, i && n < 100 ? "%.3g %s" : "%.0f %s", n, units[i]);
	return buf;
}

json_t *img_json_text(const char *s)
{
	json_t *j = json_string(s);
	char *copy;

	if (j)
		return j;
	copy = strdup(s);
	for (char *p = copy; p && *p; p++)
		if (*p & 0x80)
			*p = '?';
	j = copy ? json_string(copy) : NULL;
	free(copy);
	return j;
}

void img_put(const char *s)
{
	for (; *s; s++)
		putchar((unsigned char)*s < ' ' || *s == 0x7f ? '?' : *s);
}

int img_print_json(struct json_t *j, struct err *e)
{
	int r = j ? json_dumpf(j, stdout, JSON_INDENT(2)) : -1;

	json_decref(j);
	if (r)
		return img_no_memory(e);
	putchar('\n');
	return 0;
}
