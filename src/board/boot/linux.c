/* SPDX-License-Identifier: MIT */
/*
 * linux.c - Linux bzImage, by the 64-bit boot protocol, or the 32-bit one for 32-bit kernels.
 *
 * Source: Documentation/arch/x86/boot.rst and zero-page.rst of Linux.
 *
 * Memory: the kernel goes to its preferred address (the decompressor moves there anyway), the
 * initrd as high as the header allows, all small things below 640 KiB (boot.h).
 */
#include "board/boot/boot.h"

#include <errno.h>
#include <inttypes.h>

#include "isa/x86/state.h"
#include "sundog/err.h"

/* The setup header, by offset in the file and in the zero page. */
enum {
	SETUP_SECTS = 0x1f1,
	SYSSIZE = 0x1f4,
	BOOT_FLAG = 0x1fe,
	JUMP_LEN = 0x201,
	HEADER_MAGIC = 0x202,
	VERSION = 0x206,
	TYPE_OF_LOADER = 0x210,
	LOADFLAGS = 0x211,
	CODE32_START = 0x214,
	RAMDISK_IMAGE = 0x218,
	RAMDISK_SIZE = 0x21c,
	CMD_LINE_PTR = 0x228,
	INITRD_ADDR_MAX = 0x22c,
	KERNEL_ALIGNMENT = 0x230,
	RELOCATABLE = 0x234,
	XLOADFLAGS = 0x236,
	CMDLINE_SIZE = 0x238,
	SETUP_DATA = 0x250,
	PREF_ADDRESS = 0x258,
	INIT_SIZE = 0x260,
	HEADER_END = 0x264,
	HEADER_MAX = 0x290,

	/* The zero page alone. */
	ACPI_RSDP_ADDR = 0x70,
	E820_ENTRIES = 0x1e8,
	E820_TABLE = 0x2d0,
	E820_ENTRY_SIZE = 20,
	ZERO_PAGE_SIZE = 0x1000,
};

enum { LOADED_HIGH = 1, XLF_KERNEL_64 = 1, ENTRY_64 = 0x200, SECTOR = 512 };
enum { SETUP_RNG_SEED = 9, SEED_LEN = 32, SETUP_DATA_HEADER = 16 };
enum { LOADER_UNDEFINED = 0xff, MIN_VERSION = 0x20c };

static bool linux_match(const struct boot_file *f)
{
	return f->size >= HEADER_END && memcmp(f->head + HEADER_MAGIC, "HdrS", 4) == 0;
}

static int bad(struct boot *b, struct err *e, const char *why)
{
	return err_set(e, -ENOEXEC, "%s: not a usable Linux kernel: %s", b->kernel.path, why);
}

static int check_header(struct boot *b, struct err *e)
{
	const u8 *h = b->kernel.head;
	u32 version = ld_le16(h + VERSION);
	u64 setup, length;

	if (ld_le16(h + BOOT_FLAG) != 0xaa55)
		return bad(b, e, "the boot flag 0xaa55 is missing; the file is damaged");
	if (version < MIN_VERSION)
		return err_set(e, -ENOEXEC,
			       "%s: boot protocol %u.%02u is too old: 2.12 (Linux 3.8) is needed",
			       b->kernel.path, version >> 8, version & 0xff);
	if (!(h[LOADFLAGS] & LOADED_HIGH))
		return bad(b, e, "it is a zImage; build a bzImage");
	setup = (u64)((h[SETUP_SECTS] ? h[SETUP_SECTS] : 4) + 1) * SECTOR;
	length = (u64)ld_le32(h + SYSSIZE) * 16;
	if (!range_fits(setup, length, b->kernel.size)) {
		return err_set(e, -ENOEXEC,
			       "%s: truncated: the header tells of %" PRIu64
			       " bytes, the file has %" PRIu64 "; fetch it again",
			       b->kernel.path, setup + length, b->kernel.size);
	}
	if (length <= ENTRY_64)
		return bad(b, e, "there is no code after the header");
	b->plan.file_off = setup;
	b->plan.file_len = length;
	b->plan.long_mode = ld_le16(h + XLOADFLAGS) & XLF_KERNEL_64;
	return 0;
}

static int check_memory(struct boot *b, struct err *e)
{
	const u8 *h = b->kernel.head;
	u64 pref = ld_le64(h + PREF_ADDRESS);
	u64 size = ld_le32(h + INIT_SIZE);
	u64 limit = (u64)ld_le32(h + INITRD_ADDR_MAX) + 1;

	if (size < b->plan.file_len)
		size = b->plan.file_len;
	if (pref < BOOT_HIGH || pref >= 1ull << 32)
		return bad(b, e, "its preferred address is not between 1 MiB and 4 GiB");
	b->plan.base = pref;
	b->plan.size = size;
	if (!range_fits(pref, size + b->initrd.size, b->low_end))
		return boot_no_room(b, pref + size + b->initrd.size, e);
	if (!b->initrd.size)
		return 0;
	return boot_place(b, b->initrd.size, pref + size, limit, &b->plan.initrd, e);
}

static int linux_check(struct boot *b, struct err *e)
{
	size_t len = strlen(b->cmdline), max;
	int rc = check_header(b, e);

	if (rc == 0)
		rc = check_memory(b, e);
	if (rc)
		return rc;
	max = ld_le32(b->kernel.head + CMDLINE_SIZE);
	if (max > BOOT_CMDLINE_MAX - 1)
		max = BOOT_CMDLINE_MAX - 1;
	if (len > max)
		return err_set(e, -ENOEXEC,
			       "the kernel command line has %zu bytes, this kernel takes %zu", len,
			       max);
	if (b->nr_modules)
		return err_set(e, -ENOEXEC, "a Linux kernel takes no modules: use --initrd");
	return 0;
}

/* Entropy for the guest from its first instruction on. */
static int put_seed(struct boot *b)
{
	u8 data[SETUP_DATA_HEADER + SEED_LEN] = {0};

	st_le32(data + 8, SETUP_RNG_SEED);
	st_le32(data + 12, SEED_LEN);
	boot_random(b, data + SETUP_DATA_HEADER, SEED_LEN);
	return boot_put(b, BOOT_SETUP_DATA, data, sizeof(data));
}

static int put_zero_page(struct boot *b)
{
	u8 zp[ZERO_PAGE_SIZE] = {0};
	const u8 *h = b->kernel.head;
	u64 end = HEADER_MAGIC + h[JUMP_LEN];

	if (end > HEADER_MAX)
		end = HEADER_MAX;
	if (end > b->kernel.size)
		end = b->kernel.size;
	if (end > SETUP_SECTS)
		memcpy(zp + SETUP_SECTS, h + SETUP_SECTS, end - SETUP_SECTS);
	zp[TYPE_OF_LOADER] = LOADER_UNDEFINED;
	st_le32(zp + CODE32_START, (u32)b->plan.base);
	st_le32(zp + RAMDISK_IMAGE, (u32)b->plan.initrd);
	st_le32(zp + RAMDISK_SIZE, (u32)b->initrd.size);
	st_le32(zp + CMD_LINE_PTR, BOOT_CMDLINE);
	st_le64(zp + SETUP_DATA, BOOT_SETUP_DATA);
	st_le64(zp + ACPI_RSDP_ADDR, b->rsdp);
	zp[E820_ENTRIES] = (u8)b->nr_ranges;
	for (unsigned i = 0; i < b->nr_ranges; i++) {
		u8 *p = zp + E820_TABLE + i * E820_ENTRY_SIZE;

		st_le64(p, b->map[i].base);
		st_le64(p + 8, b->map[i].size);
		st_le32(p + 16, b->map[i].type);
	}
	return boot_put(b, BOOT_PARAMS, zp, sizeof(zp));
}

static int linux_load(struct boot *b, struct err *e)
{
	int rc = boot_put_file(b, b->plan.base, &b->kernel, b->plan.file_off, b->plan.file_len, e);

	if (rc == 0)
		rc = boot_put_file(b, b->plan.initrd, &b->initrd, 0, b->initrd.size, e);
	if (rc)
		return rc;
	rc = boot_put(b, BOOT_CMDLINE, b->cmdline, strlen(b->cmdline) + 1);
	if (rc == 0)
		rc = put_seed(b);
	if (rc == 0)
		rc = put_zero_page(b);
	if (rc == 0)
		rc = b->plan.long_mode ? boot_enter_long(b, b->plan.base + ENTRY_64)
				       : boot_enter_flat32(b, b->plan.base);
	if (rc)
		return err_set(e, rc, "%s: does not fit in guest memory", b->kernel.path);
	boot_cpu(b)->gpr[RSI] = BOOT_PARAMS;
	return 0;
}

const struct boot_ops boot_linux = {
	.name = "Linux bzImage",
	.dflt_cmdline = BOOT_LINUX_CMDLINE,
	.tells_panic = true,
	.match = linux_match,
	.check = linux_check,
	.load = linux_load,
};
