/* SPDX-License-Identifier: MIT */
/* boot.c - the ways to boot, and what they share: files, command line, placing, copying. */
#include "board/boot/boot.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sundog/err.h"
#include "sundog/machine.h"

/* In the order they are tried: a file may have a multiboot header and a PVH note. */
const struct boot_ops *const boot_ways[] = {
	&boot_linux,
	&boot_multiboot,
	&boot_pvh,
	NULL,
};

int boot_put(struct boot *b, gpa_t to, const void *p, u64 len)
{
	void *host = as_ram(b->m->mem, to, len, true);

	if (!host)
		return -EFAULT;
	memcpy(host, p, len);
	return 0;
}

int boot_clear(struct boot *b, gpa_t to, u64 len)
{
	void *host;

	if (!len)
		return 0;
	host = as_ram(b->m->mem, to, len, true);
	if (!host)
		return -EFAULT;
	memset(host, 0, len);
	return 0;
}

int boot_put_file(struct boot *b, gpa_t to, const struct boot_file *f, u64 off, u64 len,
		  struct err *e)
{
	void *host = len ? as_ram(b->m->mem, to, len, true) : NULL;
	int rc;

	if (len && !host)
		return err_set(e, -ENOEXEC, "%s: does not fit in guest memory", f->path);
	rc = len ? boot_file_read(f, off, host, len) : 0;
	if (rc)
		return err_set(e, -ENOEXEC, "cannot read the %s %s: %s", f->what, f->path,
			       strerror(-rc));
	return 0;
}

int boot_no_room(struct boot *b, u64 need, struct err *e)
{
	u64 mib = (need >> 20) + 1;

	if (need >= 0xb0000000)
		return err_set(e, -ENOEXEC,
			       "%s needs memory up to 0x%" PRIx64
			       ", more than there is below 4 GiB; use a smaller kernel or initrd",
			       b->kernel.path, need);
	return err_set(e, -ENOEXEC,
		       "memory is too small for the kernel and what comes with it: %" PRIu64
		       " MiB are needed at least, use --memory %" PRIu64 "M or more",
		       mib, mib);
}

int boot_place(struct boot *b, u64 len, u64 floor, u64 limit, u64 *at, struct err *e)
{
	u64 end = limit < b->low_end ? limit : b->low_end;

	floor = (floor + 0xfff) & ~0xfffull;
	if (len > end || ((end - len) & ~0xfffull) < floor) {
		if (limit <= b->low_end)
			return err_set(e, -ENOEXEC,
				       "%s wants its initrd below 0x%" PRIx64 ": %" PRIu64
				       " MiB do not fit there",
				       b->kernel.path, limit, (len >> 20) + 1);
		return boot_no_room(b, floor + ((len + 0xfff) & ~0xfffull), e);
	}
	*at = (end - len) & ~0xfffull;
	return 0;
}

static int find_way(struct boot *b, struct err *e)
{
	for (unsigned i = 0; boot_ways[i]; i++) {
		if (boot_ways[i]->match(&b->kernel)) {
			b->ops = boot_ways[i];
			return 0;
		}
	}
	return err_set(e, -ENOEXEC,
		       "%s is %s, not a kernel: give a Linux bzImage, or an ELF file with a PVH "
		       "note or a multiboot header",
		       b->kernel.path, boot_describe(&b->kernel));
}

static int make_cmdline(struct boot *b, const struct machine_cfg *cfg, struct err *e)
{
	const char *dflt = cfg->cmdline ? cfg->cmdline : b->ops->dflt_cmdline;
	const char *add = cfg->append ? cfg->append : "";
	const char *root = b->disk && b->disk->root && !cfg->cmdline ? b->disk->root : "";
	const char *gap = *dflt && *root ? " " : "", *gap2 = *dflt && *add ? " " : "";

	b->own_cmdline = cfg->cmdline;
	if (asprintf(&b->cmdline, "%s%s%s%s%s", dflt, gap, root, gap2, add) < 0) {
		b->cmdline = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	if (strlen(b->cmdline) >= BOOT_CMDLINE_MAX)
		return err_set(e, -ENOEXEC, "the kernel command line is longer than %u bytes",
			       BOOT_CMDLINE_MAX - 1);
	return 0;
}

/* "FILE=ARGUMENTS" or "FILE ARGUMENTS": the kernel is told "FILE ARGUMENTS". */
static int open_module(struct boot *b, const char *spec, struct err *e)
{
	unsigned n = b->nr_modules;
	size_t len = strcspn(spec, "= ");
	int rc;

	if (n == BOOT_MAX_MODULES)
		return err_set(e, -ENOEXEC, "more than %d modules", BOOT_MAX_MODULES);
	b->module_args[n] = strdup(spec);
	b->module_paths[n] = strndup(spec, len);
	if (!b->module_args[n] || !b->module_paths[n]) {
		rc = err_set(e, -ENOMEM, "out of memory");
	} else {
		if (spec[len])
			b->module_args[n][len] = ' ';
		rc = boot_file_open(&b->modules[n], b->module_paths[n], "module", e);
	}
	if (rc == 0) {
		b->nr_modules++;
	} else {
		free(b->module_args[n]);
		free(b->module_paths[n]);
	}
	return rc;
}

static int open_files(struct boot *b, const struct machine_cfg *cfg, struct err *e)
{
	int rc = cfg->kernel ? boot_file_open(&b->kernel, cfg->kernel, "kernel", e)
			     : boot_disk_read(b, cfg, e);

	if (rc == 0 && cfg->initrd)
		rc = boot_file_open(&b->initrd, cfg->initrd, "initrd", e);
	for (unsigned i = 0; rc == 0 && cfg->modules && cfg->modules[i]; i++)
		rc = open_module(b, cfg->modules[i], e);
	return rc;
}

static void close_files(struct boot *b)
{
	boot_file_close(&b->kernel);
	boot_file_close(&b->initrd);
	for (unsigned i = 0; i < b->nr_modules; i++) {
		boot_file_close(&b->modules[i]);
		free(b->module_paths[i]);
		free(b->module_args[i]);
	}
	b->nr_modules = 0;
	free(b->cmdline);
	b->cmdline = NULL;
}

static int open_and_check(struct boot *b, const struct machine_cfg *cfg, struct err *e)
{
	int rc = open_files(b, cfg, e);

	if (rc == 0)
		rc = find_way(b, e);
	if (rc == 0)
		rc = make_cmdline(b, cfg, e);
	return rc ? rc : b->ops->check(b, e);
}

int boot_open(struct boot *b, struct machine *m, const struct machine_cfg *cfg, struct err *e)
{
	int rc;

	b->m = m;
	rc = open_and_check(b, cfg, e);
	if (rc)
		boot_close(b);
	return rc;
}

void boot_close(struct boot *b)
{
	close_files(b);
	if (b->disk)
		boot_disk_close(b->disk);
}

/* Files are as they are now; what a disk boots may be another one altogether. */
static int refresh(struct boot *b, struct err *e)
{
	int rc;

	if (b->disk) {
		close_files(b);
		return open_and_check(b, b->m->cfg, e);
	}
	rc = boot_file_refresh(&b->kernel, e);
	if (rc == 0 && b->initrd.size)
		rc = boot_file_refresh(&b->initrd, e);
	for (unsigned i = 0; rc == 0 && i < b->nr_modules; i++)
		rc = boot_file_refresh(&b->modules[i], e);
	if (rc)
		return rc;
	if (!b->ops->match(&b->kernel))
		return err_set(e, -ENOEXEC, "%s was a %s kernel and is now %s; start again",
			       b->kernel.path, b->ops->name, boot_describe(&b->kernel));
	return b->ops->check(b, e);
}

int boot_load(struct boot *b, struct err *e)
{
	int rc = refresh(b, e);

	return rc ? rc : b->ops->load(b, e);
}
