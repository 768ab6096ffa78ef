/* SPDX-License-Identifier: MIT */
/*
 * pvh.c - an ELF kernel with a PVH entry (vmlinux, Xen-aware kernels, Rust VMM guests).
 *
 * Source: Xen, "x86/HVM direct boot ABI": 32-bit protected mode without paging, EBX points
 * to struct hvm_start_info, version 1 with a memory map.
 */
#include "board/boot/elf.h"
#include "board/boot/info.h"

#include <errno.h>

#include "isa/x86/state.h"
#include "sundog/err.h"

enum { XEN_ELFNOTE_PHYS32_ENTRY = 18 };
enum { START_MAGIC = 0x336ec578, START_SIZE = 56, MODULE_SIZE = 32, RANGE_SIZE = 24 };

/* The entry address that the note names; false: there is no such note. */
static bool pvh_entry(const struct boot_file *f, struct elf *elf, u64 *entry)
{
	u8 desc[8];
	u32 len;

	if (!elf_open(elf, f))
		return false;
	len = elf_note(elf, "Xen", XEN_ELFNOTE_PHYS32_ENTRY, desc, sizeof(desc));
	if (len != 4 && len != 8)
		return false;
	*entry = len == 4 ? ld_le32(desc) : ld_le64(desc);
	return true;
}

static bool pvh_match(const struct boot_file *f)
{
	struct elf elf;
	u64 entry;

	return pvh_entry(f, &elf, &entry);
}

static int pvh_check(struct boot *b, struct err *e)
{
	struct elf elf;
	u64 floor;
	int rc;

	if (!pvh_entry(&b->kernel, &elf, &b->plan.entry))
		return err_set(e, -ENOEXEC, "%s: has no PVH entry", b->kernel.path);
	rc = elf_check(b, &elf, e);
	if (rc)
		return rc;
	if (!range_fits(b->plan.entry - b->plan.base, 1, b->plan.size))
		return err_set(e, -ENOEXEC, "%s: its PVH entry lies outside of what it loads",
			       b->kernel.path);
	floor = b->plan.base + b->plan.size;
	return info_place_modules(b, floor, MODULES_HIGH, e);
}

static int put_modules(struct boot *b, struct info *info, u8 *start)
{
	u8 list[(BOOT_MAX_MODULES + 1) * MODULE_SIZE] = {0};
	struct info_module mod;
	unsigned n = 0;

	for (; info_module(b, n, &mod); n++) {
		u8 *p = list + n * MODULE_SIZE;

		st_le64(p, mod.at);
		st_le64(p + 8, mod.file->size);
		st_le64(p + 16, info_string(info, mod.args));
	}
	st_le32(start + 12, n);
	if (n)
		st_le64(start + 16, info_add(info, list, n * MODULE_SIZE));
	return info->rc;
}

static int put_start_info(struct boot *b)
{
	struct info info = {.b = b, .at = BOOT_TABLES};
	u8 start[START_SIZE] = {0};
	u8 map[BOOT_MAX_RANGES * RANGE_SIZE] = {0};
	int rc;

	for (unsigned i = 0; i < b->nr_ranges; i++) {
		st_le64(map + i * RANGE_SIZE, b->map[i].base);
		st_le64(map + i * RANGE_SIZE + 8, b->map[i].size);
		st_le32(map + i * RANGE_SIZE + 16, b->map[i].type);
	}
	st_le32(start, START_MAGIC);
	st_le32(start + 4, 1);
	st_le64(start + 24, BOOT_CMDLINE);
	st_le64(start + 32, b->rsdp);
	st_le64(start + 40, info_add(&info, map, b->nr_ranges * RANGE_SIZE));
	st_le32(start + 48, b->nr_ranges);
	rc = put_modules(b, &info, start);
	if (rc == 0)
		rc = boot_put(b, BOOT_PARAMS, start, sizeof(start));
	return rc;
}

static int pvh_load(struct boot *b, struct err *e)
{
	struct elf elf;
	u64 entry;
	int rc;

	if (!pvh_entry(&b->kernel, &elf, &entry))
		return err_set(e, -ENOEXEC, "%s: changed on disk; start again", b->kernel.path);
	rc = elf_load(b, &elf, e);
	if (rc == 0)
		rc = info_put_modules(b, e);
	if (rc)
		return rc;
	rc = boot_put(b, BOOT_CMDLINE, b->cmdline, strlen(b->cmdline) + 1);
	if (rc == 0)
		rc = put_start_info(b);
	if (rc == 0)
		rc = boot_enter_flat32(b, b->plan.entry);
	if (rc)
		return err_set(e, rc, "%s: does not fit in guest memory", b->kernel.path);
	boot_cpu(b)->gpr[RBX] = BOOT_PARAMS;
	return 0;
}

const struct boot_ops boot_pvh = {
	.name = "ELF by PVH",
	.dflt_cmdline = BOOT_LINUX_CMDLINE,
	.tells_panic = true,
	.match = pvh_match,
	.check = pvh_check,
	.load = pvh_load,
};
