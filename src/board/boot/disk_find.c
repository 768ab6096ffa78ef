/* SPDX-License-Identifier: MIT */
/*
 * disk_find.c - which kernel a disk would boot, by what distributions leave in /boot.
 *
 * In this order, in the root file system's /boot, then in the roots of other ext4 file systems
 * (a separate /boot):
 *   1. the newest boot loader entry (loader/entries/NAME.conf; Source: UAPI.1 Boot Loader
 *      Specification) that names one kernel and at most one initrd,
 *   2. the newest vmlinuz-VERSION that has an initrd of its version, else the newest,
 *   3. the links vmlinuz and initrd.img, there or in the root.
 * grub.cfg is not interpreted: it is a program.
 */
#include "board/boot/disk.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fs/ext4.h"
#include "fs/parts.h"
#include "sundog/err.h"

enum { NAME_MAX_LEN = 255, ENTRY_MAX = 16 << 10, MAX_NAMES = 4096 };

struct search {
	const struct fs_source *src;
	struct parts parts;
	struct disk_found *found;
	struct ext4 *fs; /* the volume that is looked at */
	const char *dir; /* in it: "/boot" or "" */
	char best[NAME_MAX_LEN + 1];
	bool best_has_initrd;
	unsigned names;
	struct err why; /* of the first ext4 that could not be opened */
};

/* Only what anybody would call a kernel: names are shown, and go into paths. */
static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._+~-@:/=,", *s))
			return false;
	return true;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

static bool join(char out[DISK_PATH_MAX], const char *dir, const char *name)
{
	int n = snprintf(out, DISK_PATH_MAX, "%s/%s", dir, name);

	return n > 0 && n < DISK_PATH_MAX;
}

/* Distributions' names for the initrd of a version. */
static bool find_initrd(struct search *s, const char *version, char out[DISK_PATH_MAX])
{
	static const struct {
		const char *before, *after;
	} forms[] = {{"initrd.img-", ""},
		     {"initramfs-", ".img"},
		     {"initrd-", ".img"},
		     {"initrd-", ""},
		     {"initramfs-", ""}};

	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++) {
		char name[DISK_PATH_MAX];

		snprintf(name, sizeof(name), "%s%s%s", forms[i].before, version, forms[i].after);
		if (join(out, s->dir, name) && ext4_is_file(s->fs, out))
			return true;
	}
	out[0] = 0;
	return false;
}

static bool newer(const struct search *s, const char *name, bool has_initrd)
{
	if (!s->best[0] || has_initrd != s->best_has_initrd)
		return !s->best[0] || has_initrd;
	return strverscmp(name, s->best) > 0;
}

/* What is no kernel that anybody wants to boot: left over by packaging, or signatures. */
static bool is_leftover(const char *name)
{
	static const char *const ends[] = {".old",	".bak", ".dpkg-new", ".dpkg-old",
					   ".dpkg-tmp", ".sig", ".hmac",     "~"};

	for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
		if (ends_with(name, ends[i]))
			return true;
	return false;
}

static int each_kernel(void *opaque, const char *name)
{
	struct search *s = opaque;
	char path[DISK_PATH_MAX], initrd[DISK_PATH_MAX];
	bool has_initrd;

	if (++s->names > MAX_NAMES)
		return 1;
	if (strncmp(name, "vmlinuz-", 8) != 0 || !is_plain(name) || is_leftover(name) ||
	    !join(path, s->dir, name) || !ext4_is_file(s->fs, path))
		return 0;
	has_initrd = find_initrd(s, name + 8, initrd);
	if (newer(s, name, has_initrd)) {
		snprintf(s->best, sizeof(s->best), "%s", name);
		s->best_has_initrd = has_initrd;
	}
	return 0;
}

static bool by_version(struct search *s)
{
	s->best[0] = 0;
	s->names = 0;
	if (ext4_list(s->fs, *s->dir ? s->dir : "/", each_kernel, s) || !s->best[0])
		return false;
	(void)find_initrd(s, s->best + 8, s->found->initrd);
	return join(s->found->kernel, s->dir, s->best);
}

static bool by_links(struct search *s)
{
	static const char *const initrds[] = {"initrd.img", "initrd", "initramfs.img"};
	const char *dirs[] = {s->dir, ""};

	for (unsigned i = 0; i < ARRAY_SIZE(dirs); i++) {
		if (!join(s->found->kernel, dirs[i], "vmlinuz") ||
		    !ext4_is_file(s->fs, s->found->kernel))
			continue;
		for (unsigned k = 0; k < ARRAY_SIZE(initrds); k++)
			if (join(s->found->initrd, dirs[i], initrds[k]) &&
			    ext4_is_file(s->fs, s->found->initrd))
				return true;
		s->found->initrd[0] = 0;
		return true;
	}
	s->found->kernel[0] = 0;
	return false;
}

struct text {
	char bytes[ENTRY_MAX + 1];
	size_t len;
};

static int to_text(void *opaque, const void *buf, size_t len)
{
	struct text *t = opaque;

	if (len > ENTRY_MAX - t->len)
		return -EFBIG;
	memcpy(t->bytes + t->len, buf, len);
	t->len += len;
	return 0;
}

/* One boot loader entry. */
struct entry {
	char version[NAME_MAX_LEN + 1];
	struct disk_found f;
	bool usable;
};

static void take_path(struct entry *en, char out[DISK_PATH_MAX], const char *value)
{
	if (out[0] || !is_plain(value) ||
	    (unsigned)snprintf(out, DISK_PATH_MAX, "%s%s", *value == '/' ? "" : "/", value) >=
		    DISK_PATH_MAX)
		en->usable = false;
}

/* Of the entry's options, only what says where the root is. */
static void take_root(struct entry *en, char *options)
{
	static const char *const keys[] = {"root=", "rootflags=", "rootfstype=", "ro", "rw"};
	char *rest = NULL;

	for (char *w = strtok_r(options, " \t", &rest); w; w = strtok_r(NULL, " \t", &rest)) {
		size_t used = strlen(en->f.root);

		for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
			size_t n = strlen(keys[i]);

			if (strncmp(w, keys[i], n) != 0 || (keys[i][n - 1] != '=' && w[n]) ||
			    !is_plain(w) || used + strlen(w) + 2 > sizeof(en->f.root))
				continue;
			snprintf(en->f.root + used, sizeof(en->f.root) - used, "%s%s",
				 used ? " " : "", w);
			break;
		}
	}
}

static void take_line(struct entry *en, char *line)
{
	size_t key = strcspn(line, " \t");
	char *value = line + key + strspn(line + key, " \t");
	char *first = value + strcspn(value, " \t");

	line[key] = 0;
	if (strcmp(line, "options") == 0) {
		take_root(en, value);
	} else if (strcmp(line, "version") == 0) {
		snprintf(en->version, sizeof(en->version), "%.*s", NAME_MAX_LEN, value);
	} else if (strcmp(line, "linux") == 0) {
		*first = 0;
		take_path(en, en->f.kernel, value);
	} else if (strcmp(line, "initrd") == 0) {
		/* Behind it there may be what GRUB is to fill in: "$tuned_initrd". */
		if (*first && first[1 + strspn(first + 1, " \t")] != '$')
			en->usable = false;
		*first = 0;
		take_path(en, en->f.initrd, value);
	}
}

static void read_entry(struct search *s, const char *path, struct entry *en)
{
	struct text *t = calloc(1, sizeof(*t));
	struct err ignored;
	char *rest = NULL;

	en->usable = t && ext4_load(s->fs, path, ENTRY_MAX, to_text, t, &ignored) == 0;
	if (en->usable)
		for (char *line = strtok_r(t->bytes, "\r\n", &rest); line;
		     line = strtok_r(NULL, "\r\n", &rest))
			take_line(en, line + strspn(line, " \t"));
	free(t);
	if (!ext4_is_file(s->fs, en->f.kernel) ||
	    (en->f.initrd[0] && !ext4_is_file(s->fs, en->f.initrd)))
		en->usable = false;
}

static int each_entry(void *opaque, const char *name)
{
	struct search *s = opaque;
	struct disk_found *f = s->found;
	struct entry en = {0};
	char dir[DISK_PATH_MAX], path[DISK_PATH_MAX];

	if (++s->names > MAX_NAMES)
		return 1;
	if (!ends_with(name, ".conf") || !join(dir, s->dir, "loader/entries") ||
	    !join(path, dir, name))
		return 0;
	snprintf(en.version, sizeof(en.version), "%s", name);
	read_entry(s, path, &en);
	if (!en.usable || (s->best[0] && strverscmp(en.version, s->best) <= 0))
		return 0;
	memcpy(s->best, en.version, sizeof(s->best));
	memcpy(f->kernel, en.f.kernel, sizeof(f->kernel));
	memcpy(f->initrd, en.f.initrd, sizeof(f->initrd));
	memcpy(f->root, en.f.root, sizeof(f->root));
	return 0;
}

static bool by_entries(struct search *s)
{
	char dir[DISK_PATH_MAX];

	s->best[0] = 0;
	s->names = 0;
	return join(dir, s->dir, "loader/entries") && ext4_list(s->fs, dir, each_entry, s) == 0 &&
	       s->best[0];
}

static bool find_kernel(struct search *s, const char *dir)
{
	s->dir = dir;
	return by_entries(s) || by_version(s) || by_links(s);
}

static bool looks_like_root(const struct search *s, struct ext4 *fs)
{
	return s->parts.table == PARTS_NONE || ext4_exists(fs, "/sbin/init") ||
	       ext4_exists(fs, "/etc/fstab");
}

/* All zeroes: it was made without one. */
static void note_uuid(struct disk_found *f, const u8 *uuid)
{
	static const u8 none[16];

	if (memcmp(uuid, none, sizeof(none)) != 0)
		fs_format_uuid(f->root_uuid, uuid);
}

static struct ext4 *open_part(struct search *s, const struct part *p)
{
	struct err why = {0};
	struct ext4 *fs = ext4_open(s->src, p->off, p->len, &why);
	const char *what = fs_describe(s->src, p->off, p->len);

	if (!fs && !s->why.code && what && strcmp(what, "an ext4 file system") == 0)
		s->why = why;
	return fs;
}

/*
 * The root: an ext4 that looks like one, one with the right type before others.  Where none
 * does, a partition of that type may hold another file system, which Linux can mount.
 */
static const struct part *find_root(struct search *s)
{
	const struct part *root = NULL;

	for (unsigned i = 0; i < s->parts.n; i++) {
		const struct part *p = &s->parts.list[i];
		bool typed = part_is_linux_root(&s->parts, p);
		struct ext4 *fs = !root || typed ? open_part(s, p) : NULL;

		if (fs && looks_like_root(s, fs)) {
			root = p;
			note_uuid(s->found, ext4_uuid(fs));
		}
		ext4_close(fs);
		if (root == p && typed)
			return p;
	}
	for (unsigned i = 0; !root && i < s->parts.n; i++)
		if (part_is_linux_root(&s->parts, &s->parts.list[i]))
			root = &s->parts.list[i];
	return root;
}

static int load(struct search *s, const struct part *p, const struct disk_sinks *to, struct err *e)
{
	struct disk_found *f = s->found;
	int r;

	f->partition = p->number;
	f->dirty = ext4_is_dirty(s->fs);
	r = ext4_load(s->fs, f->kernel, DISK_KERNEL_MAX, to->kernel, to->opaque, e);
	if (r == 0 && f->initrd[0])
		r = ext4_load(s->fs, f->initrd, DISK_INITRD_MAX, to->initrd, to->opaque, e);
	return r;
}

/* 1: there is no kernel in it. */
static int try_part(struct search *s, const struct part *p, bool is_root,
		    const struct disk_sinks *to, struct err *e)
{
	int r = 1;

	s->fs = open_part(s, p);
	if (!s->fs)
		return 1;
	if (find_kernel(s, "/boot") || (!is_root && find_kernel(s, "")))
		r = load(s, p, to, e);
	ext4_close(s->fs);
	return r;
}

static int no_kernel(const struct search *s, const struct part *root, struct err *e)
{
	const char *what = NULL;

	if (s->found->root_uuid[0])
		return err_set(e, -ENOENT,
			       "no kernel in the /boot of its file system; install one there, or "
			       "use --kernel");
	if (s->why.code) {
		*e = s->why;
		return e->code;
	}
	for (unsigned i = 0; i < s->parts.n && !what; i++)
		what = fs_describe(s->src, s->parts.list[i].off, s->parts.list[i].len);
	if (what && strcmp(what, "an ext4 file system") == 0)
		return err_set(e, -ENOENT,
			       "no partition with /boot: its ext4 has neither a kernel nor an "
			       "/etc/fstab; install a system there, or use --kernel");
	if (s->parts.table != PARTS_NONE)
		return err_set(e, -ENOENT, "no partition with /boot on ext4%s%s; use --kernel",
			       what ? ": the first has " : ": nothing known is in any",
			       what ? what : "");
	if (what)
		return err_set(e, -ENOEXEC,
			       "it is %s, and kernels are read from ext4 only; "
			       "use --kernel",
			       what);
	return err_set(e, -ENOEXEC,
		       "it has neither partitions nor a file system; install a system "
		       "on it with --kernel and --initrd");
}

int disk_find(const struct fs_source *src, struct disk_found *found, const struct disk_sinks *to,
	      struct err *e)
{
	struct search *s = calloc(1, sizeof(*s));
	const struct part *root;
	int r;

	*found = (struct disk_found){0};
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->src = src;
	s->found = found;
	r = parts_read(src, &s->parts, e);
	if (r)
		goto out;
	root = find_root(s);
	found->has_root = root != NULL;
	if (root)
		snprintf(found->root_partuuid, sizeof(found->root_partuuid), "%s", root->uuid);
	r = root ? try_part(s, root, true, to, e) : 1;
	for (unsigned i = 0; r == 1 && i < s->parts.n; i++)
		if (&s->parts.list[i] != root)
			r = try_part(s, &s->parts.list[i], false, to, e);
	if (r == 1)
		r = no_kernel(s, root, e);
out:
	free(s);
	return r;
}
