/* SPDX-License-Identifier: MIT */
/* info.c - modules and boot tables, for PVH and multiboot. */
#include "board/boot/info.h"

#include <errno.h>

#include "sundog/err.h"

enum { MODULE_ALIGN = 0x1000 };

u32 info_add(struct info *info, const void *p, u64 len)
{
	u64 at = info->at;

	if (info->rc)
		return 0;
	if (!range_fits(at, len, BOOT_TABLES_END))
		info->rc = -E2BIG;
	else
		info->rc = boot_put(info->b, at, p, len);
	if (info->rc)
		return 0;
	info->at = (at + len + 7) & ~7ull;
	return (u32)at;
}

u32 info_string(struct info *info, const char *s)
{
	return info_add(info, s, strlen(s) + 1);
}

static u64 aligned(u64 v)
{
	return (v + MODULE_ALIGN - 1) & ~(u64)(MODULE_ALIGN - 1);
}

bool info_module(struct boot *b, unsigned n, struct info_module *mod)
{
	unsigned skip = b->initrd.size != 0;
	u64 at = b->plan.initrd;

	if (n >= b->nr_modules + skip)
		return false;
	for (unsigned i = 0; i < n; i++)
		at += aligned(i < skip ? b->initrd.size : b->modules[i - skip].size);
	*mod = (struct info_module){
		.file = n < skip ? &b->initrd : &b->modules[n - skip],
		.args = n < skip ? b->initrd.path : b->module_args[n - skip],
		.at = at,
	};
	return true;
}

int info_place_modules(struct boot *b, u64 floor, enum module_place where, struct err *e)
{
	u64 total = aligned(b->initrd.size), strings = 0;

	for (unsigned i = 0; i < b->nr_modules; i++) {
		total += aligned(b->modules[i].size);
		strings += strlen(b->module_args[i]) + 8;
	}
	if (strings > BOOT_CMDLINE_MAX)
		return err_set(e, -ENOEXEC, "the modules' command lines are too long");
	if (!total)
		return 0;
	if (where == MODULES_HIGH)
		return boot_place(b, total, floor, b->low_end, &b->plan.initrd, e);
	b->plan.initrd = aligned(floor);
	if (!range_fits(b->plan.initrd, total, b->low_end))
		return boot_no_room(b, b->plan.initrd + total, e);
	return 0;
}

int info_put_modules(struct boot *b, struct err *e)
{
	struct info_module mod;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && info_module(b, i, &mod); i++)
		rc = boot_put_file(b, mod.at, mod.file, 0, mod.file->size, e);
	return rc;
}
