/* SPDX-License-Identifier: MIT */
/*
 * multiboot.c - multiboot 1 kernels: ELF, or any file whose header gives its addresses.
 *
 * Source: Multiboot Specification version 0.6.96.  As with QEMU, the command line begins with
 * the kernel's path, and modules are "file arguments".
 *
 * Not offered: video modes (a kernel that asks for one gets none), ELF section headers, APM,
 * drives.
 */
#include "board/boot/elf.h"
#include "board/boot/info.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "isa/x86/state.h"
#include "sundog/err.h"

enum {
	MB_MAGIC = 0x1badb002,
	MB_LOADED = 0x2badb002,
	SEARCH = 8192,
	HEADER = 12,
	HEADER_ADDR = 32
};
enum { MB_ALIGN = 1, MB_MEMORY = 2, MB_VIDEO = 4, MB_ADDRESSES = 1 << 16, MB_MUST = 0xffff };
enum { INFO_SIZE = 88, MODULE_SIZE = 16, RANGE_SIZE = 24 };
enum { HAS_MEM = 1, HAS_CMDLINE = 4, HAS_MODS = 8, HAS_MMAP = 0x40, HAS_LOADER = 0x200 };

/* Offset of the header, or -1. */
static i64 find_header(const struct boot_file *f)
{
	for (u64 at = 0; at + HEADER <= f->size && at + HEADER <= SEARCH; at += 4) {
		const u8 *h = f->head + at;

		if (ld_le32(h) == MB_MAGIC && ld_le32(h) + ld_le32(h + 4) + ld_le32(h + 8) == 0)
			return (i64)at;
	}
	return -1;
}

static bool multiboot_match(const struct boot_file *f)
{
	return find_header(f) >= 0;
}

static int bad(struct boot *b, struct err *e, const char *why)
{
	return err_set(e, -ENOEXEC, "%s: unusable multiboot header: %s", b->kernel.path, why);
}

/* The addresses are in the header (the "a.out kludge"). */
static int check_addresses(struct boot *b, u64 at, struct err *e)
{
	const u8 *h = b->kernel.head + at;
	u64 header, load, load_end, bss_end, off, len;

	if (!range_fits(at, HEADER_ADDR, b->kernel.size))
		return bad(b, e, "it is truncated");
	header = ld_le32(h + 12);
	load = ld_le32(h + 16);
	load_end = ld_le32(h + 20);
	bss_end = ld_le32(h + 24);
	if (header < load || header - load > at)
		return bad(b, e, "it loads from before the file's start");
	off = at - (header - load);
	len = load_end ? load_end - load : b->kernel.size - off;
	if ((load_end && load_end < load) || !range_fits(off, len, b->kernel.size))
		return bad(b, e, "it loads more than the file has");
	if (bss_end && bss_end < load + len)
		return bad(b, e, "its bss ends before its data");
	if (load < BOOT_HIGH)
		return bad(b, e, "it loads below 1 MiB, where the boot information goes");
	b->plan.base = load;
	b->plan.size = bss_end ? bss_end - load : len;
	b->plan.file_off = off;
	b->plan.file_len = len;
	b->plan.entry = ld_le32(h + 28);
	if (!range_fits(load, b->plan.size, b->low_end))
		return boot_no_room(b, load + b->plan.size, e);
	return 0;
}

static int check_elf(struct boot *b, struct err *e)
{
	struct elf elf;

	if (!elf_open(&elf, &b->kernel))
		return bad(b, e, "it has no load addresses, and the file is not an x86 ELF");
	b->plan.entry = elf_entry(&elf);
	b->plan.file_len = 0;
	return elf_check(b, &elf, e);
}

static int multiboot_check(struct boot *b, struct err *e)
{
	i64 at = find_header(&b->kernel);
	u32 flags;
	int rc;

	if (at < 0)
		return bad(b, e, "there is none");
	flags = ld_le32(b->kernel.head + at + 4);
	if (flags & MB_MUST & ~(MB_ALIGN | MB_MEMORY | MB_VIDEO))
		return bad(b, e, "it demands a feature that version 1 does not have");
	rc = flags & MB_ADDRESSES ? check_addresses(b, (u64)at, e) : check_elf(b, e);
	if (rc)
		return rc;
	if (!range_fits(b->plan.entry - b->plan.base, 1, b->plan.size))
		return bad(b, e, "its entry lies outside of what it loads");
	if (strlen(b->kernel.path) + strlen(b->cmdline) + 2 > BOOT_CMDLINE_MAX)
		return err_set(e, -ENOEXEC, "the kernel command line is too long");
	return info_place_modules(b, b->plan.base + b->plan.size, MODULES_FOLLOW, e);
}

static void put_modules(struct boot *b, struct info *info, u8 *mbi)
{
	u8 list[(BOOT_MAX_MODULES + 1) * MODULE_SIZE] = {0};
	struct info_module mod;
	unsigned n = 0;

	for (; info_module(b, n, &mod); n++) {
		u8 *p = list + n * MODULE_SIZE;

		st_le32(p, (u32)mod.at);
		st_le32(p + 4, (u32)(mod.at + mod.file->size));
		st_le32(p + 8, info_string(info, mod.args));
	}
	st_le32(mbi + 20, n);
	if (n)
		st_le32(mbi + 24, info_add(info, list, n * MODULE_SIZE));
}

static void put_map(struct boot *b, struct info *info, u8 *mbi)
{
	u8 map[BOOT_MAX_RANGES * RANGE_SIZE] = {0};

	for (unsigned i = 0; i < b->nr_ranges; i++) {
		u8 *p = map + i * RANGE_SIZE;

		st_le32(p, RANGE_SIZE - 4);
		st_le64(p + 4, b->map[i].base);
		st_le64(p + 12, b->map[i].size);
		st_le32(p + 20, b->map[i].type);
		if (b->map[i].base == 0)
			st_le32(mbi + 4, (u32)(b->map[i].size >> 10));
	}
	st_le32(mbi + 8, (u32)((b->low_end - BOOT_HIGH) >> 10));
	st_le32(mbi + 44, b->nr_ranges * RANGE_SIZE);
	st_le32(mbi + 48, info_add(info, map, b->nr_ranges * RANGE_SIZE));
}

static int put_info(struct boot *b)
{
	struct info info = {.b = b, .at = BOOT_TABLES};
	u8 mbi[INFO_SIZE] = {0};
	char *line;

	if (asprintf(&line, "%s%s%s", b->kernel.path, *b->cmdline ? " " : "", b->cmdline) < 0)
		return -ENOMEM;
	st_le32(mbi, HAS_MEM | HAS_CMDLINE | HAS_MODS | HAS_MMAP | HAS_LOADER);
	put_map(b, &info, mbi);
	put_modules(b, &info, mbi);
	st_le32(mbi + 16, info_string(&info, line));
	st_le32(mbi + 64, info_string(&info, "sundog"));
	free(line);
	return info.rc ? info.rc : boot_put(b, BOOT_PARAMS, mbi, sizeof(mbi));
}

static int put_kernel(struct boot *b, struct err *e)
{
	struct elf elf;
	int rc;

	if (b->plan.file_len) {
		rc = boot_put_file(b, b->plan.base, &b->kernel, b->plan.file_off, b->plan.file_len,
				   e);
		if (rc)
			return rc;
		rc = boot_clear(b, b->plan.base + b->plan.file_len,
				b->plan.size - b->plan.file_len);
		return rc ? err_set(e, rc, "%s: does not fit in memory", b->kernel.path) : 0;
	}
	if (!elf_open(&elf, &b->kernel))
		return err_set(e, -ENOEXEC, "%s: changed on disk; start again", b->kernel.path);
	return elf_load(b, &elf, e);
}

static int multiboot_load(struct boot *b, struct err *e)
{
	int rc = put_kernel(b, e);

	if (rc == 0)
		rc = info_put_modules(b, e);
	if (rc)
		return rc;
	rc = put_info(b);
	if (rc == 0)
		rc = boot_enter_flat32(b, b->plan.entry);
	if (rc)
		return err_set(e, rc, "%s: does not fit in guest memory", b->kernel.path);
	boot_cpu(b)->gpr[RAX] = MB_LOADED;
	boot_cpu(b)->gpr[RBX] = BOOT_PARAMS;
	return 0;
}

const struct boot_ops boot_multiboot = {
	.name = "multiboot",
	.dflt_cmdline = "",
	.match = multiboot_match,
	.check = multiboot_check,
	.load = multiboot_load,
};
