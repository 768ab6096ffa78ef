/* SPDX-License-Identifier: MIT */
/* disk.c - from a disk to the files and the command line that boot it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "board/boot/boot.h"
#include "board/boot/disk.h"
#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/machine.h"

struct blk_source {
	struct fs_source source;
	struct blk *blk;
};

static int read_blk(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	return blk_read(container_of(s, struct blk_source, source)->blk, off, buf, len);
}

static bool names_root(const char *cmdline)
{
	return cmdline && (strncmp(cmdline, "root=", 5) == 0 || strstr(cmdline, " root="));
}

/*
 * An initrd finds a file system by its UUID.  The kernel alone only knows partitions, and the
 * disk's name where there are none.
 */
static int make_root(struct boot_disk *d, const struct disk_found *f, bool has_initrd,
		     const struct machine_cfg *cfg, struct err *e)
{
	const char *device = strcmp(d->device, "nvme") == 0 ? "/dev/nvme0n1" : "/dev/vda";
	int n;

	free(d->root);
	d->root = NULL;
	if (*f->root && has_initrd)
		n = asprintf(&d->root, "%s", f->root);
	else if (*f->root_uuid && has_initrd)
		n = asprintf(&d->root, "root=UUID=%s ro", f->root_uuid);
	else if (*f->root_partuuid)
		n = asprintf(&d->root, "root=PARTUUID=%s ro", f->root_partuuid);
	else if (f->has_root)
		n = asprintf(&d->root, "root=%s ro", device);
	else if (names_root(cfg->append) || cfg->cmdline)
		n = asprintf(&d->root, "ro");
	else
		return err_set(
			e, -ENOEXEC,
			"%s is in it, and no ext4 that looks like a root; say where that is: "
			"--append root=...",
			f->kernel);
	if (n >= 0)
		return 0;
	d->root = NULL;
	return err_set(e, -ENOMEM, "out of memory");
}

static int describe(struct boot_disk *d, const struct disk_found *f, const struct machine_cfg *cfg,
		    struct err *e)
{
	const char *initrd = cfg->no_initrd ? "" : cfg->initrd ? cfg->initrd : f->initrd;
	char where[32] = "";

	if (f->partition)
		snprintf(where, sizeof(where), " partition %u", f->partition);
	free(d->line);
	if (asprintf(&d->line, "%s%s: kernel %s, %s%s, %s, as %s%s", blk_path(d->blk), where,
		     f->kernel, *initrd ? "initrd " : "no initrd", initrd,
		     cfg->cmdline ? "root by --cmdline" : d->root, d->device,
		     f->dirty ? " (not unmounted: its journal is not looked at)" : "") >= 0)
		return 0;
	d->line = NULL;
	return err_set(e, -ENOMEM, "out of memory");
}

void boot_disk_say(struct boot_disk *d)
{
	if (!d->said || strcmp(d->line, d->said) != 0)
		fprintf(stderr, "sundog: %s\n", d->line);
	free(d->said);
	d->said = d->line;
	d->line = NULL;
}

static int name_file(char **name, const struct boot_disk *d, const char *path, struct err *e)
{
	free(*name);
	if (asprintf(name, "%s in %s", path, blk_path(d->blk)) >= 0)
		return 0;
	*name = NULL;
	return err_set(e, -ENOMEM, "out of memory");
}

/* Takes both descriptors. */
static int take_files(struct boot *b, const struct disk_found *f, int kernel, int initrd,
		      struct err *e)
{
	struct boot_disk *d = b->disk;
	int r = name_file(&d->kernel, d, f->kernel, e);

	if (r == 0)
		r = name_file(&d->initrd, d, f->initrd, e);
	if (r) {
		close(kernel);
		if (initrd >= 0)
			close(initrd);
		return r;
	}
	r = boot_file_take(&b->kernel, kernel, d->kernel, "kernel", e);
	if (initrd < 0)
		return r;
	if (r == 0)
		return boot_file_take(&b->initrd, initrd, d->initrd, "initrd", e);
	close(initrd);
	return r;
}

int boot_disk_read(struct boot *b, const struct machine_cfg *cfg, struct err *e)
{
	struct boot_disk *d = b->disk;
	const struct blk_source s = {{.size = blk_size(d->blk), .read = read_blk}, d->blk};
	struct disk_found *f = malloc(sizeof(*f));
	int kernel = -1, initrd = -1, r;
	bool has_initrd;

	if (!f)
		return err_set(e, -ENOMEM, "out of memory");
	r = disk_read_confined(&s.source, f, &kernel, &initrd, e);
	if (r)
		goto out;
	if ((cfg->initrd || cfg->no_initrd) && initrd >= 0) {
		close(initrd);
		initrd = -1;
	}
	has_initrd = cfg->initrd || initrd >= 0;
	/* Kernels have NVMe built in more often than virtio, which is a module. */
	if (!d->device)
		d->device = has_initrd ? "virtio" : "nvme";
	r = take_files(b, f, kernel, initrd, e);
	if (r == 0)
		r = make_root(d, f, has_initrd, cfg, e);
	if (r == 0)
		r = describe(d, f, cfg, e);
out:
	if (r)
		err_prefix(e, "%s: ", blk_path(d->blk));
	free(f);
	return r;
}

void boot_disk_close(struct boot_disk *d)
{
	free(d->kernel);
	free(d->initrd);
	free(d->root);
	free(d->line);
	free(d->said);
	d->kernel = d->initrd = d->root = d->line = d->said = NULL;
}
