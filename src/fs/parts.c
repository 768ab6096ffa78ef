/* SPDX-License-Identifier: MIT */
/* parts.c - reading GPT and MBR partition tables that are not to be trusted. */
#include "fs/parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "sundog/err.h"

enum { SECTOR = 512, MBR_SIGNATURE = 510, MBR_ENTRIES = 446, MBR_ENTRY = 16, MBR_DISK_ID = 440 };
enum { TYPE_GPT = 0xee, FIRST_LOGICAL = 5, MAX_LOGICAL = 100 };
enum { GPT_ENTRY = 128, GPT_HEADER_MIN = 92, GPT_MAX_ENTRIES = 1024 };

struct mbr_entry {
	u8 flag, type;
	u64 start, count; /* sectors */
};

static struct mbr_entry mbr_entry(const u8 *sector, unsigned i)
{
	const u8 *p = sector + MBR_ENTRIES + i * MBR_ENTRY;

	return (struct mbr_entry){p[0], p[4], ld_le32(p + 8), ld_le32(p + 12)};
}

static bool is_extended(u8 type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

/* What does not lie on the disk is left out, as Linux does. */
static struct part *add(const struct fs_source *s, struct parts *p, unsigned number, u64 start,
			u64 count)
{
	struct part *part = &p->list[p->n];
	u64 sectors = s->size / SECTOR;

	if (p->n == PARTS_MAX || !count || !range_fits(start, count, sectors))
		return NULL;
	*part = (struct part){.number = number, .off = start * SECTOR, .len = count * SECTOR};
	p->n++;
	return part;
}

static void add_mbr(const struct fs_source *s, struct parts *p, unsigned number,
		    const struct mbr_entry *m, u64 base, u32 disk_id)
{
	struct part *part = add(s, p, number, base + m->start, m->count);

	if (!part)
		return;
	part->type[0] = m->type;
	snprintf(part->uuid, sizeof(part->uuid), "%08x-%02x", disk_id, number);
}

/*
 * A chain of sectors with a table each: a partition relative to that sector, and the next
 * sector relative to the extended partition.  Going around is bounded by their number.
 */
static int read_logical(const struct fs_source *s, struct parts *p, u64 base, u32 disk_id)
{
	unsigned number = FIRST_LOGICAL;
	u64 at = base;

	for (unsigned n = 0; n < MAX_LOGICAL; n++) {
		u8 sector[SECTOR];
		u64 next = 0;

		if (!range_fits(at, 1, s->size / SECTOR))
			return 0;
		if (fs_read(s, at * SECTOR, sector, SECTOR))
			return -EIO;
		if (ld_le16(sector + MBR_SIGNATURE) != 0xaa55)
			return 0;
		for (unsigned i = 0; i < 4; i++) {
			struct mbr_entry m = mbr_entry(sector, i);

			if (is_extended(m.type) && m.count && !next)
				next = base + m.start;
			else if (m.count && !is_extended(m.type))
				add_mbr(s, p, number++, &m, at, disk_id);
		}
		if (!next)
			return 0;
		at = next;
	}
	return 0;
}

static int read_mbr(const struct fs_source *s, struct parts *p, const u8 *sector)
{
	u32 disk_id = ld_le32(sector + MBR_DISK_ID);
	int r = 0;

	p->table = PARTS_MBR;
	for (unsigned i = 0; i < 4; i++) {
		struct mbr_entry m = mbr_entry(sector, i);

		if (m.count && !is_extended(m.type))
			add_mbr(s, p, i + 1, &m, 0, disk_id);
	}
	for (unsigned i = 0; r == 0 && i < 4; i++) {
		struct mbr_entry m = mbr_entry(sector, i);

		if (m.count && is_extended(m.type))
			return read_logical(s, p, m.start, disk_id);
	}
	return r;
}

/* A table, or a file system's boot sector that ends alike? */
static bool is_mbr(const u8 *sector)
{
	unsigned used = 0;

	if (ld_le16(sector + MBR_SIGNATURE) != 0xaa55)
		return false;
	for (unsigned i = 0; i < 4; i++) {
		struct mbr_entry m = mbr_entry(sector, i);

		if (m.flag & 0x7f)
			return false;
		used += m.type && m.count;
	}
	return used > 0;
}

static bool is_protective(const u8 *sector)
{
	for (unsigned i = 0; i < 4; i++)
		if (mbr_entry(sector, i).type == TYPE_GPT)
			return true;
	return false;
}

void fs_format_uuid(char out[PART_UUID_LEN], const u8 u[16])
{
	snprintf(out, PART_UUID_LEN,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1],
		 u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
		 u[15]);
}

/* A GUID's first three fields are little-endian. */
static void format_guid(char out[PART_UUID_LEN], const u8 g[16])
{
	const u8 uuid[16] = {g[3], g[2], g[1],	g[0],  g[5],  g[4],  g[7],  g[6],
			     g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]};

	fs_format_uuid(out, uuid);
}

static void add_entries(const struct fs_source *s, struct parts *p, const u8 *entries, u32 n)
{
	static const u8 unused[16];

	for (u32 i = 0; i < n; i++) {
		const u8 *en = entries + (size_t)i * GPT_ENTRY;
		u64 first = ld_le64(en + 32), last = ld_le64(en + 40);
		struct part *part;

		if (memcmp(en, unused, 16) == 0 || last < first)
			continue;
		part = add(s, p, i + 1, first, last - first + 1);
		if (!part)
			continue;
		memcpy(part->type, en, 16);
		format_guid(part->uuid, en + 16);
	}
}

/* True: the header at this sector and its entries are what their checksums say. */
static bool read_gpt_at(const struct fs_source *s, struct parts *p, u64 lba)
{
	u8 h[SECTOR], *entries;
	u32 size, n, crc;
	bool good;

	if (fs_read(s, lba * SECTOR, h, SECTOR) || memcmp(h, "EFI PART", 8) != 0)
		return false;
	size = ld_le32(h + 12);
	crc = ld_le32(h + 16);
	n = ld_le32(h + 80);
	if (size < GPT_HEADER_MIN || size > SECTOR || ld_le64(h + 24) != lba ||
	    ld_le32(h + 84) != GPT_ENTRY || !n || n > GPT_MAX_ENTRIES)
		return false;
	st_le32(h + 16, 0);
	if (crc32(0, h, size) != crc || ld_le64(h + 72) >= s->size / SECTOR)
		return false;
	entries = malloc((size_t)n * GPT_ENTRY);
	good = entries &&
	       fs_read(s, ld_le64(h + 72) * SECTOR, entries, (size_t)n * GPT_ENTRY) == 0 &&
	       crc32(0, entries, n * GPT_ENTRY) == ld_le32(h + 88);
	if (good)
		add_entries(s, p, entries, n);
	free(entries);
	return good;
}

int parts_read(const struct fs_source *s, struct parts *p, struct err *e)
{
	u8 sector[SECTOR];
	int r = 0;

	memset(p, 0, sizeof(*p));
	if (s->size < 2 * SECTOR)
		return err_set(e, -ENOEXEC, "it is too small for a file system; give another disk");
	if (fs_read(s, 0, sector, SECTOR))
		return err_set(e, -EIO, "its first sector cannot be read");
	if (!is_mbr(sector)) {
		p->n = 1;
		p->list[0].len = s->size;
	} else if (is_protective(sector)) {
		p->table = PARTS_GPT;
		if (!read_gpt_at(s, p, 1) && !read_gpt_at(s, p, s->size / SECTOR - 1))
			return err_set(e, -ENOEXEC,
				       "its GPT is damaged, the copy at the disk's end as well; "
				       "repair it with sgdisk, or use --kernel");
	} else {
		r = read_mbr(s, p, sector);
	}
	return r ? err_set(e, r, "its partition table cannot be read") : 0;
}

bool part_is_linux_root(const struct parts *p, const struct part *part)
{
	/* 4f68bce3-e8cd-4db1-96e7-fbcaf984b709, as it is on the disk. */
	static const u8 guid[16] = {0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d,
				    0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09};

	return p->table == PARTS_GPT && memcmp(part->type, guid, 16) == 0;
}
