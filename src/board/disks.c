/* SPDX-License-Identifier: MIT */
/* disks.c - the disks of --disk: opened before all devices, closed after them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "board/pc.h"
#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/opts.h"

enum { MAX_DISKS = 64 };

#define SEED "cloud-init seed,id=seed,serial=cidata,format=raw,ro,lock=off"

struct pc_disk {
	struct blk_spec spec;
	char id[16]; /* where the user gave none */
	struct blk *blk;

	/* Of those that come while the machine runs. */
	struct pc_disk *next;
	struct device *dev;
};

/* Number n; fd is 0, or what to open instead of the file that text names. */
static int open_disk(struct pc *pc, struct pc_disk *d, unsigned n, const char *text, int fd,
		     struct err *e)
{
	int r = blk_spec_parse(&d->spec, text, e);

	if (r)
		return r;
	if (!d->spec.cfg.id) {
		snprintf(d->id, sizeof(d->id), "disk%u", n);
		d->spec.cfg.id = d->id;
	}
	if (!*d->spec.cfg.id || blk_find(pc->m, d->spec.cfg.id))
		return err_set(e, -EINVAL, "%s: id '%s' is %s; give another", d->spec.cfg.file,
			       d->spec.cfg.id, *d->spec.cfg.id ? "taken" : "empty");
	if (fd) {
		d->spec.cfg.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (d->spec.cfg.fd < 0)
			return err_set(e, -errno, "too many open files; see ulimit -n");
	}
	d->blk = blk_open(&d->spec.cfg, e);
	if (!d->blk)
		return e->code;
	blk_add(pc->m, d->blk);
	if (!blk_size(d->blk))
		return err_set(e, -ENOEXEC, "%s is empty, and no disk; sundog img create makes one",
			       d->spec.cfg.file);
	if (blk_is_guessed(d->blk))
		fprintf(stderr,
			"sundog: --disk %s: taken as raw; format=raw says so, and this goes\n",
			d->spec.cfg.file);
	return 0;
}

int pc_open_disks(struct pc *pc, const struct machine_cfg *cfg, struct err *e)
{
	const char *const *specs = cfg->disks;
	unsigned n = 0;
	int r = 0;

	while (specs && specs[n])
		n++;
	if (n == 0 && !cfg->seed_fd)
		return 0;
	if (n > MAX_DISKS)
		return err_set(e, -EINVAL, "%u disks: there may be %d; leave out some", n,
			       MAX_DISKS);
	pc->disks = calloc(n + 1, sizeof(*pc->disks));
	if (!pc->disks)
		return err_set(e, -ENOMEM, "out of memory");
	while (!r && pc->nr_disks < n) {
		unsigned i = pc->nr_disks++;

		r = open_disk(pc, &pc->disks[i], i, specs[i], 0, e);
	}
	if (r)
		return err_prefix(e, "--disk "), r;
	if (!cfg->seed_fd)
		return 0;
	pc->seed = &pc->disks[n];
	pc->nr_disks++;
	return open_disk(pc, pc->seed, n, SEED, cfg->seed_fd, e);
}

int pc_open_kernel(struct pc *pc, const struct machine_cfg *cfg, struct err *e)
{
	struct pc_disk *d = pc->disks;
	int r;

	if (!cfg->kernel && !(cfg->disks && cfg->disks[0]))
		return 0;
	if (!cfg->kernel) {
		pc->boot_disk.blk = d->blk;
		pc->boot_disk.device = opts_get(d->spec.opts, "device");
		pc->boot.disk = &pc->boot_disk;
	}
	r = boot_open(&pc->boot, pc->m, cfg, e);
	pc->has_kernel = r == 0;
	if (pc->has_kernel && !cfg->kernel)
		d->spec.device = pc->boot_disk.device;
	return r;
}

static struct device *add_device(struct pc *pc, struct pc_disk *d, struct err *e)
{
	bool nvme = strcmp(d->spec.device, "nvme") == 0;
	struct opts *o = opts_new(nvme ? "nvme" : "virtio-blk-pci");
	struct device *dev = NULL;

	if (!o || opts_set(o, "drive", blk_id(d->blk)) ||
	    (*d->spec.serial && opts_set(o, "serial", d->spec.serial)))
		err_set(e, -ENOMEM, "out of memory");
	else
		dev = device_add(pc->m, o, e);
	opts_free(o);
	return dev;
}

int pc_add_disk_devices(struct pc *pc, struct err *e)
{
	/* Found as early as the first disk, because it is of the same kind. */
	if (pc->seed && strcmp(pc->disks->spec.device, "none") != 0)
		pc->seed->spec.device = pc->disks->spec.device;
	for (unsigned i = 0; i < pc->nr_disks; i++) {
		struct pc_disk *d = &pc->disks[i];

		if (strcmp(d->spec.device, "none") == 0 || add_device(pc, d, e))
			continue;
		err_prefix(e, "--disk %s: ", d->spec.cfg.file);
		return e->code ? e->code : -EINVAL;
	}
	return 0;
}

static void close_disk(struct pc *pc, struct pc_disk *d)
{
	struct err e = {0};

	if (d->blk) {
		blk_remove(pc->m, d->blk);
		if (blk_close(d->blk, &e))
			fprintf(stderr, "sundog: %s: %s\n", d->spec.cfg.file, e.msg);
	}
	blk_spec_destroy(&d->spec);
}

/* The first name that is free, from where those of --disk end. */
static unsigned free_number(struct pc *pc)
{
	char id[16];
	unsigned n = pc->nr_disks;

	do
		snprintf(id, sizeof(id), "disk%u", n++);
	while (blk_find(pc->m, id));
	return n - 1;
}

struct device *pc_add_disk(struct pc *pc, const char *spec, struct err *e)
{
	struct pc_disk *d = calloc(1, sizeof(*d));

	if (!d) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	if (open_disk(pc, d, free_number(pc), spec, 0, e))
		goto fail;
	if (strcmp(d->spec.device, "none") == 0) {
		err_set(e, -EINVAL, "%s: device=none shows it to nobody; leave that out",
			d->spec.cfg.file);
		goto fail;
	}
	d->dev = add_device(pc, d, e);
	if (!d->dev)
		goto fail;
	d->next = pc->plugged;
	pc->plugged = d;
	return d->dev;
fail:
	close_disk(pc, d);
	free(d);
	return NULL;
}

void pc_del_disk_device(struct pc *pc, struct device *dev)
{
	struct pc_disk **p = &pc->plugged, *d;

	device_del(dev);
	while (*p && (*p)->dev != dev)
		p = &(*p)->next;
	d = *p;
	if (!d)
		return;
	*p = d->next;
	close_disk(pc, d);
	free(d);
}

void pc_close_disks(struct pc *pc)
{
	while (pc->plugged) {
		struct pc_disk *d = pc->plugged;

		pc->plugged = d->next;
		close_disk(pc, d);
		free(d);
	}
	for (unsigned i = 0; i < pc->nr_disks; i++)
		close_disk(pc, &pc->disks[i]);
	free(pc->disks);
	pc->disks = pc->seed = NULL;
	pc->nr_disks = 0;
}
