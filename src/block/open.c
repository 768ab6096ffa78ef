/* SPDX-License-Identifier: MIT */
/* open.c - opening a disk: its image, the chain of backing images, an overlay; closing it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/core.h"
#include "block/image.h"
#include "block/log.h"

enum { MAX_CHAIN = 64 };

static struct blk *open_layer(const struct blk_cfg *cfg, struct blk *parent, int dirfd,
			      struct err *e);

/* --- backing images ------------------------------------------------------------------------ */

/* A path below the image's folder, also if it is written from the root; else as it is. */
static const char *below_folder(const struct blk *b, const char *name)
{
	char link[32], folder[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", hf_dir(b->file));
	n = name[0] == '/' ? readlink(link, folder, sizeof(folder)) : 0;
	if (n > 0 && n < (ssize_t)sizeof(folder) && strncmp(name, folder, (size_t)n) == 0 &&
	    name[n] == '/')
		name += n + strspn(name + n, "/");
	return name;
}

/* "json:{...}", "nbd://...": QEMU takes such names for more than files. */
static bool is_no_path(const char *name)
{
	size_t n = strcspn(name, "/:");

	return name[n] == ':';
}

static int open_backing(struct blk *b, struct err *e)
{
	const struct blk_cfg *cfg = b->cfg;
	const char *name = cfg->backing ? cfg->backing : b->backing_name;
	struct blk_cfg behind = {
		.file = name,
		.format = cfg->backing || cfg->backing_format ? cfg->backing_format
							      : b->backing_format,
		.read_only = true,
		.direct = cfg->direct,
		.no_lock = cfg->no_lock,
		.repair = cfg->repair,
	};
	int dirfd = AT_FDCWD;

	if (!name || cfg->no_backing)
		return 0;
	if (!cfg->backing) {
		if (is_no_path(name) || hf_dir(b->file) < 0)
			return err_set(e, -EINVAL,
				       "%s: its backing image '%s' is no path; give backing=PATH",
				       cfg->file, name);
		behind.file = below_folder(b, name);
		dirfd = hf_dir(b->file);
	}
	b->backing = open_layer(&behind, b, dirfd, e);
	if (b->backing || b->parent)
		return b->backing ? 0 : e->code;
	err_prefix(e, "%s: backing image: ", cfg->file);
	if (!cfg->backing && (e->code == -EXDEV || e->code == -ENOENT)) {
		size_t n = strlen(e->msg);

		snprintf(e->msg + n, sizeof(e->msg) - n, "; backing=PATH says where it is");
		e->code = -ENOENT;
	}
	return e->code;
}

static int check_chain(const struct blk *b, struct err *e)
{
	unsigned depth = 0;

	for (const struct blk *p = b->parent; p; p = p->parent) {
		if (hf_same(p->file, b->file))
			return err_set(e, -ELOOP, "%s is behind itself; the image is damaged",
				       b->cfg->file);
		if (++depth == MAX_CHAIN)
			return err_set(e, -ELOOP,
				       "more than %d images behind each other; commit some",
				       MAX_CHAIN);
	}
	return 0;
}

/* --- one image ----------------------------------------------------------------------------- */

static unsigned file_flags(const struct blk *b)
{
	return (b->read_only ? 0u : HF_WRITE) | (b->cfg->direct ? HF_DIRECT : 0u) |
	       (b->cfg->unsafe ? HF_UNSAFE : 0u);
}

static int open_file(struct blk *b, int dirfd, struct err *e)
{
	const struct blk_cfg *cfg = b->cfg;
	/* Locked later: a chain that is a loop would meet its own lock, and complain of that. */
	unsigned flags = file_flags(b) | HF_NO_LOCK;
	int r;

	if (cfg->fd > 0)
		b->file = hf_from_fd(cfg->fd, cfg->file, flags, e);
	else
		b->file = hf_open(dirfd, cfg->file, flags, e);
	if (!b->file)
		return e->code;
	r = check_chain(b, e);
	if (r == 0 && !cfg->no_lock)
		r = hf_lock(b->file, e);
	if (r || !cfg->log)
		return r;
	b->log = log_open(cfg->log, hf_size(b->file), e);
	if (!b->log)
		return e->code;
	hf_set_log(b->file, b->log);
	return 0;
}

static int open_image(struct blk *b, int dirfd, struct err *e)
{
	int r = open_file(b, dirfd, e);

	if (r == 0)
		r = blk_choose_format(b, e);
	if (r)
		return r;
	b->opened = true; /* close() also if open() fails half way */
	r = b->format->open(b, e);
	return r ? r : open_backing(b, e);
}

static struct blk *open_layer(const struct blk_cfg *cfg, struct blk *parent, int dirfd,
			      struct err *e)
{
	struct blk *b = calloc(1, sizeof(*b));
	struct err ignored;

	if (!b) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	b->own_cfg = *cfg;
	b->cfg = &b->own_cfg;
	b->parent = parent;
	b->read_only = cfg->read_only || cfg->snapshot;
	if (open_image(b, dirfd, e) == 0)
		return b;
	(void)!blk_close(b, &ignored);
	return NULL;
}

/* --- overlays ------------------------------------------------------------------------------- */

/* Another name of the image, from the overlay's folder; free() it.  NULL: it is gone. */
static char *name_from(const char *overlay, const char *image)
{
	const char *slash = strrchr(overlay, '/');
	char *folder = slash ? strndup(overlay, (size_t)(slash - overlay) + 1) : strdup(".");
	char *from = folder ? realpath(folder, NULL) : NULL;
	char *path = realpath(image, NULL);
	size_t n = from ? strlen(from) : 0;

	if (path && n > 1 && strncmp(path, from, n) == 0 && path[n] == '/')
		memmove(path, path + n + 1, strlen(path + n + 1) + 1);
	free(folder);
	free(from);
	return path;
}

static int create_overlay(const char *path, const struct blk *base, struct err *e)
{
	const struct blk_format *fmt = blk_format_find("qcow2", e);
	struct blk_create c = {
		.path = path,
		.format = "qcow2",
		.size = base->size,
		.backing_format = base->format->name,
	};
	char *name;
	int r;

	if (!fmt)
		return e->code;
	name = name_from(path, base->cfg->file);
	if (!name)
		return err_set(e, -ENOENT, "%s: %s", base->cfg->file, strerror(ENOENT));
	c.backing = name;
	r = fmt->create(&c, e);
	free(name);
	if (r && r != -EEXIST)
		unlink(path);
	return r;
}

/* Was this overlay made over that image? */
static int check_overlay(const struct blk *b, const struct blk *base, struct err *e)
{
	const char *name = b->backing_name, *slash = strrchr(b->cfg->file, '/');
	struct stat st, want;
	char path[PATH_MAX];

	if (!name)
		return err_set(e, -EINVAL, "overlay %s has no backing image; open it as the disk",
			       b->cfg->file);
	if (name[0] == '/' || !slash)
		snprintf(path, sizeof(path), "%s", name);
	else
		snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - b->cfg->file), b->cfg->file,
			 name);
	if (stat(path, &st) == 0 && fstat(hf_fd(base->file), &want) == 0 &&
	    st.st_dev == want.st_dev && st.st_ino == want.st_ino)
		return 0;
	return err_set(e, -EINVAL, "overlay %s was made over %s and not over %s; name another",
		       b->cfg->file, name, base->cfg->file);
}

/* The overlay itself; what is behind it is opened already. */
static struct blk *open_top(const struct blk_cfg *cfg, const char *path, struct blk *base,
			    struct err *e)
{
	struct blk_cfg top = *cfg;
	struct blk *b;

	top.file = path;
	top.fd = 0;
	top.format = "qcow2";
	top.backing = top.backing_format = top.overlay = NULL;
	top.no_backing = true;
	if (!*cfg->overlay)
		top.unsafe = top.no_lock = true;
	b = open_layer(&top, NULL, AT_FDCWD, e);
	if (!b)
		return NULL;
	b->own_cfg.file = *cfg->overlay ? path : cfg->file;
	if (check_overlay(b, base, e) == 0) {
		b->backing = base;
		base->parent = b;
		return b;
	}
	(void)!blk_close(b, &(struct err){0});
	return NULL;
}

static struct blk *open_throw_away(const struct blk_cfg *cfg, struct blk *base, struct err *e)
{
	const char *tmp = getenv("TMPDIR");
	char folder[PATH_MAX - 16], path[PATH_MAX];
	struct blk *b = NULL;

	/* Not /tmp, which is often memory. */
	snprintf(folder, sizeof(folder), "%s/sundog-XXXXXX", tmp && *tmp ? tmp : "/var/tmp");
	if (!mkdtemp(folder)) {
		err_set(e, -errno, "cannot make %s: %s; set TMPDIR to a folder for the overlay",
			folder, strerror(errno));
		return NULL;
	}
	snprintf(path, sizeof(path), "%s/overlay", folder);
	if (create_overlay(path, base, e) == 0)
		b = open_top(cfg, path, base, e);
	unlink(path);
	rmdir(folder);
	return b;
}

static struct blk *open_overlay(const struct blk_cfg *cfg, struct err *e)
{
	struct blk_cfg below = *cfg;
	struct blk *base, *b = NULL;

	below.read_only = true;
	below.overlay = below.log = NULL;
	below.id = NULL;
	base = open_layer(&below, NULL, AT_FDCWD, e);
	if (!base)
		return NULL;
	if (!*cfg->overlay)
		b = open_throw_away(cfg, base, e);
	else if (access(cfg->overlay, F_OK) == 0 || create_overlay(cfg->overlay, base, e) == 0)
		b = open_top(cfg, cfg->overlay, base, e);
	if (!b)
		(void)!blk_close(base, &(struct err){0});
	return b;
}

/* --- the whole -------------------------------------------------------------------------------- */

struct blk *blk_open(const struct blk_cfg *cfg, struct err *e)
{
	struct blk *b;

	e->code = 0;
	b = cfg->overlay ? open_overlay(cfg, e) : open_layer(cfg, NULL, AT_FDCWD, e);
	if (b && blk_core_new(b, e)) {
		(void)!blk_close(b, &(struct err){0});
		b = NULL;
	}
	return b;
}

int blk_close(struct blk *b, struct err *e)
{
	struct err ignored;
	int r = 0, bad;

	blk_core_free(b);
	if (b->opened && b->format->close)
		r = b->format->close(b, e);
	if (b->backing)
		(void)!blk_close(b->backing, &ignored);
	hf_close(b->file);
	bad = log_close(b->log);
	if (r == 0 && bad)
		r = err_set(e, bad, "the log %s is not whole; give it more room", b->cfg->log);
	free(b->backing_name);
	free(b->backing_format);
	free(b);
	return r;
}
