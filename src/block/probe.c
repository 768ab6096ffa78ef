/* SPDX-License-Identifier: MIT */
/*
 * probe.c - which format an image has.
 *
 * A guest writes what it likes into a raw disk: a qcow2 header, for example, that names
 * /etc/shadow as its backing image.  So what is in a file never decides.  The user says it, or
 * the name of the file does, or it is raw; and if a file that nobody has named a format for
 * looks like something else, that is an error and not a guess.
 */
#include <errno.h>

#include "block/format.h"
#include "sundog/opts.h"

enum { HEAD = 4096, MAX_FORMATS = 16 };

/* Formats that Sundog cannot open, so that nobody gives one to a guest as raw by mistake. */
static const struct foreign {
	const char *name, *magic;
	size_t len, off;
} foreign[] = {
	{"qcow2", "QFI\xfb", 4, 0},
	{"VMDK", "KDMV", 4, 0},
	{"VMDK", "# Disk DescriptorFile", 21, 0},
	{"VHDX", "vhdxfile", 8, 0},
	{"VHD", "conectix", 8, 0},
	{"VDI", "\x7f\x10\xda\xbe", 4, 64},
	{"QED", "QED", 4, 0},
	{"parallels", "WithoutFreeSpace", 16, 0},
	{"LUKS", "LUKS\xba\xbe", 6, 0},
};

const struct blk_format *blk_format_find(const char *name, struct err *e)
{
	const char *names[MAX_FORMATS + 1], *near;
	unsigned n = 0;

	for (; blk_formats[n] && n < MAX_FORMATS; n++) {
		names[n] = blk_formats[n]->name;
		if (strcmp(names[n], name) == 0)
			return blk_formats[n];
	}
	names[n] = NULL;
	near = nearest(name, names);
	err_set(e, -EINVAL, "there is no image format '%s'; %s%s", name,
		near ? "did you mean " : "use raw or qcow2", near ? near : "");
	return NULL;
}

static const char *looks_like(const u8 *head, size_t len)
{
	for (unsigned i = 0; blk_formats[i]; i++)
		if (blk_formats[i]->probe && blk_formats[i]->probe(head, len))
			return blk_formats[i]->name;
	for (unsigned i = 0; i < ARRAY_SIZE(foreign); i++) {
		const struct foreign *f = &foreign[i];

		if (range_fits(f->off, f->len, len) && !memcmp(head + f->off, f->magic, f->len))
			return f->name;
	}
	return NULL;
}

static int refuse_lookalike(struct blk *b, struct err *e)
{
	const char *file = b->cfg->file, *like;
	u64 size = hf_size(b->file);
	size_t len = size < HEAD ? (size_t)size : HEAD;
	struct err ignored;
	u8 head[HEAD];
	int r = hf_pread(b->file, 0, head, len);

	if (r)
		return err_set(e, r, "cannot read %s: %s", file, strerror(-r));
	like = looks_like(head, len);
	if (!like)
		return 0;
	if (blk_format_find(like, &ignored))
		return err_set(e, -EINVAL,
			       "%s looks like a %s image; say format=%s, or format=raw "
			       "if the guest wrote that",
			       file, like, like);
	return err_set(e, -ENOEXEC,
		       "%s looks like a %s image, which must be converted first; "
		       "format=raw gives its bytes to the guest",
		       file, like);
}

int blk_choose_format(struct blk *b, struct err *e)
{
	const char *file = b->cfg->file, *dot = strrchr(file, '.');
	const char *name = b->cfg->format;

	if (!name && dot && (strcmp(dot, ".qcow2") == 0 || strcmp(dot, ".raw") == 0))
		name = dot + 1;
	if (!name) {
		int r = refuse_lookalike(b, e);

		if (r)
			return r;
		b->guessed = true;
		name = "raw";
	}
	b->format = blk_format_find(name, e);
	if (b->format)
		return 0;
	err_prefix(e, "%s: ", file);
	return e->code;
}
