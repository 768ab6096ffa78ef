/* SPDX-License-Identifier: MIT */
/* detect.c - what a part of a disk holds, by magic numbers: for the message that it is not ext4. */
#include "fs/source.h"

enum { MAGIC_MAX = 8 };

static const struct magic {
	u32 offset, len;
	const char *bytes, *what;
} magics[] = {
	{0x438, 2, "\x53\xef", "an ext4 file system"},
	{0, 4, "XFSB", "an XFS file system"},
	{0x10040, 8, "_BHRfS_M", "a btrfs file system"},
	{3, 8, "NTFS    ", "an NTFS file system"},
	{3, 8, "EXFAT   ", "an exFAT file system"},
	{82, 5, "FAT32", "a FAT file system"},
	{54, 4, "FAT1", "a FAT file system"},
	{0x400, 4, "\x10\x20\xf5\xf2", "an F2FS file system"},
	{0, 4, "hsqs", "a squashfs file system"},
	{0x8001, 5, "CD001", "an ISO 9660 file system"},
	{0, 6, "LUKS\xba\xbe", "an encrypted volume (LUKS)"},
	{0x200, 8, "LABELONE", "an LVM volume"},
	{0x1000, 4, "\xfc\x4e\x2b\xa9", "a part of a RAID"},
	{0xff6, 8, "SWAPSPAC", "swap space"},
};

const char *fs_describe(const struct fs_source *s, u64 off, u64 len)
{
	u8 bytes[MAGIC_MAX];

	for (unsigned i = 0; i < ARRAY_SIZE(magics); i++) {
		const struct magic *g = &magics[i];

		if (range_fits(g->offset, g->len, len) &&
		    fs_read(s, off + g->offset, bytes, g->len) == 0 &&
		    memcmp(bytes, g->bytes, g->len) == 0)
			return g->what;
	}
	return NULL;
}
