/* SPDX-License-Identifier: MIT */
/* detect.c - what a file is, by its name and first bytes. */
#include <sys/stat.h>

#include "board/boot/boot.h"
#include "board/boot/elf.h"
#include "fs/source.h"
#include "sundog/err.h"

static const struct magic {
	u32 offset;
	u32 len;
	const char *bytes;
	const char *what;
} magics[] = {
	{0, 3, "\x1f\x8b\x08", "gzip-compressed (unpack it first: zcat)"},
	{0, 4, "\x28\xb5\x2f\xfd", "zstd-compressed (unpack it first: zstdcat)"},
	{0, 6,
	 "\xfd"
	 "7zXZ\0",
	 "xz-compressed (unpack it first: xzcat)"},
	{0, 3, "BZh", "bzip2-compressed (unpack it first: bzcat)"},
	{0, 4, "\x04\x22\x4d\x18", "lz4-compressed (unpack it first: lz4cat)"},
	{0, 4, "\x02\x21\x4c\x18", "lz4-compressed (unpack it first: lz4cat)"},
	{0, 4, "QFI\xfb", "a qcow2 disk image"},
	{0, 4, "KDMV", "a VMDK disk image"},
	{0, 8, "vhdxfile", "a VHDX disk image"},
	{0x40, 4, "\x7f\x10\xda\xbe", "a VDI disk image"},
	{0x8001, 5, "CD001", "an ISO 9660 image"},
	{0x438, 2, "\x53\xef", "an ext4 file system image"},
	{0, 4, "hsqs", "a squashfs image"},
	{0, 6, "070701", "a cpio archive (an initrd? use --initrd)"},
	{0x101, 5, "ustar", "a tar archive"},
	{0, 7, "!<arch>", "an ar archive or Debian package (unpack it: dpkg-deb -x)"},
	{0, 4, "PK\x03\x04", "a zip archive"},
	{0, 2, "#!", "a script"},
	{0x200, 8, "EFI PART", "a raw disk image with a GPT"},
};

static const char *describe_elf(const struct boot_file *f)
{
	struct elf elf;
	u16 machine = f->head_len >= 20 ? ld_le16(f->head + 18) : 0;

	if (f->head_len < 20 || f->head[5] != 1 || (machine != 3 && machine != 62))
		return "an ELF file for another CPU";
	if (elf_open(&elf, f) && elf_truncated(&elf))
		return "an ELF file that is truncated (fetch or build it again)";
	return "an ELF file with neither a PVH note nor a multiboot header";
}

/* Of a DOS or PE file: 16-bit x86 code would be a boot sector. */
static const char *describe_pe(const struct boot_file *f)
{
	u64 at = f->head_len >= 0x40 ? ld_le32(f->head + 0x3c) : f->head_len;

	if (range_fits(at, 6, f->head_len) && memcmp(f->head + at, "PE\0\0", 4) == 0)
		return ld_le16(f->head + at + 4) == 0xaa64 ? "an ARM64 EFI image or kernel"
							   : "an EFI or Windows program";
	return "a DOS program";
}

static bool is_text(const struct boot_file *f)
{
	u64 n = f->head_len < 512 ? f->head_len : 512;

	for (u64 i = 0; i < n; i++) {
		u8 c = f->head[i];

		if (c < 0x20 && c != '\n' && c != '\t' && c != '\r' && c != 0x1b)
			return false;
	}
	return true;
}

const char *boot_describe(const struct boot_file *f)
{
	if (f->head_len >= 4 && memcmp(f->head,
				       "\x7f"
				       "ELF",
				       4) == 0)
		return describe_elf(f);
	for (unsigned i = 0; i < ARRAY_SIZE(magics); i++) {
		const struct magic *g = &magics[i];

		if (range_fits(g->offset, g->len, f->head_len) &&
		    memcmp(f->head + g->offset, g->bytes, g->len) == 0)
			return g->what;
	}
	if (f->head_len >= 2 && memcmp(f->head, "MZ", 2) == 0)
		return describe_pe(f);
	if (f->head_len >= 512 && ld_le16(f->head + 510) == 0xaa55)
		return "a raw disk image or boot sector";
	if (is_text(f))
		return "a text file";
	return "no format that is known here";
}

struct file_source {
	struct fs_source source;
	const struct boot_file *file;
};

static int read_file(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	return boot_file_read(container_of(s, struct file_source, source)->file, off, buf, len);
}

static enum boot_input classify_bytes(const struct boot_file *f)
{
	const struct file_source s = {{.size = f->size, .read = read_file}, f};

	for (unsigned i = 0; boot_ways[i]; i++)
		if (boot_ways[i]->match(f))
			return BOOT_INPUT_KERNEL;
	if (fs_describe(&s.source, 0, f->size) ||
	    (f->head_len >= 4 && memcmp(f->head, "QFI\xfb", 4) == 0))
		return BOOT_INPUT_DISK;
	/* The last two bytes of a partition table's sector; DOS and EFI programs are none. */
	return f->head_len >= 512 && ld_le16(f->head + 510) == 0xaa55 &&
			       memcmp(f->head, "MZ", 2) != 0
		       ? BOOT_INPUT_DISK
		       : BOOT_INPUT_UNKNOWN;
}

/*
 * A guest may write a kernel's header into its raw disk.  If the disk's name does not say
 * what it is, that kernel is then booted and the disk is not there: code of the guest's own
 * choice in the guest, as ever.  The other way round, which image format a disk has is never
 * decided here.
 */
enum boot_input boot_classify(const char *path)
{
	static const char *const names[] = {".qcow2", ".raw"};
	enum boot_input is = BOOT_INPUT_UNKNOWN;
	struct boot_file f;
	struct stat st;
	struct err ignored;

	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return BOOT_INPUT_UNKNOWN; /* a pipe can be read only once */
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		size_t n = strlen(path), m = strlen(names[i]);

		if (n > m && strcmp(path + n - m, names[i]) == 0)
			return BOOT_INPUT_DISK;
	}
	if (boot_file_open(&f, path, "file", &ignored) == 0) {
		is = classify_bytes(&f);
		boot_file_close(&f);
	}
	return is;
}
