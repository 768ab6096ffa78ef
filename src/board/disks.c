/* SPDX-License-Identifier: MIT */
/* disks.c - the disks of --disk: opened before all devices, closed after them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "board/pc.h"
#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/opts.h"

enum { MAX_DISKS = 64 };

struct pc_disk {
	struct blk_spec spec;
	char id[16]; /* where the user gave none */
	struct blk *blk;
};

static int open_disk(struct pc *pc, struct pc_disk *d, unsigned n, const char *text, struct err *e)
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

int pc_open_disks(struct pc *pc, const char *const *specs, struct err *e)
{
	unsigned n = 0;

	while (specs && specs[n])
		n++;
	if (n == 0)
		return 0;
	if (n > MAX_DISKS)
		return err_set(e, -EINVAL, "%u disks: there may be %d; leave out some", n,
			       MAX_DISKS);
	pc->disks = calloc(n, sizeof(*pc->disks));
	if (!pc->disks)
		return err_set(e, -ENOMEM, "out of memory");
	while (pc->nr_disks < n) {
		unsigned i = pc->nr_disks++;
		int r = open_disk(pc, &pc->disks[i], i, specs[i], e);

		if (r)
			return err_prefix(e, "--disk "), r;
	}
	return 0;
}

static int add_device(struct pc *pc, struct pc_disk *d, const char *type, struct err *e)
{
	struct opts *o = opts_new(type);
	int r = 0;

	if (!o || opts_set(o, "drive", blk_id(d->blk)) ||
	    (*d->spec.serial && opts_set(o, "serial", d->spec.serial)))
		r = err_set(e, -ENOMEM, "out of memory");
	else if (!device_add(pc->m, o, e))
		r = e->code ? e->code : -EINVAL;
	opts_free(o);
	return r;
}

int pc_add_disk_devices(struct pc *pc, struct err *e)
{
	for (unsigned i = 0; i < pc->nr_disks; i++) {
		struct pc_disk *d = &pc->disks[i];
		bool nvme = strcmp(d->spec.device, "nvme") == 0;
		int r = 0;

		if (strcmp(d->spec.device, "none") != 0)
			r = add_device(pc, d, nvme ? "nvme" : "virtio-blk-pci", e);
		if (r)
			return err_prefix(e, "--disk %s: ", d->spec.cfg.file), r;
	}
	return 0;
}

void pc_close_disks(struct pc *pc)
{
	for (unsigned i = 0; i < pc->nr_disks; i++) {
		struct pc_disk *d = &pc->disks[i];
		struct err e = {0};

		if (d->blk) {
			blk_remove(pc->m, d->blk);
			if (blk_close(d->blk, &e))
				fprintf(stderr, "sundog: %s: %s\n", d->spec.cfg.file, e.msg);
		}
		blk_spec_destroy(&d->spec);
	}
	free(pc->disks);
	pc->disks = NULL;
	pc->nr_disks = 0;
}
