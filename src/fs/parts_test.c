/* SPDX-License-Identifier: MIT */
/* parts_test.c - partition tables that sfdisk wrote are read; damaged ones are refused. */
#include "fs/parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dev/check.h"
#include "sundog/err.h"

enum { SIZE = 64 << 20, SECTOR = 512, MIB = 1 << 20 };

struct disk {
	struct fs_source source;
	u8 *bytes;
};

static int read_disk(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	memcpy(buf, container_of(s, struct disk, source)->bytes + off, len);
	return 0;
}

static struct disk disk = {{SIZE, read_disk}, NULL};
static struct parts parts;

static void make(const char *script)
{
	char path[] = "/tmp/parts_test.XXXXXX", cmd[2048];
	int fd = mkstemp(path);

	CHECK(fd >= 0 && ftruncate(fd, SIZE) == 0);
	snprintf(cmd, sizeof(cmd), "printf '%s' | sfdisk -q %s", script, path);
	CHECK(system(cmd) == 0);
	CHECK(pread(fd, disk.bytes, SIZE, 0) == SIZE);
	close(fd);
	unlink(path);
}

static int try(const char *why)
{
	struct err e = {0};
	int r = parts_read(&disk.source, &parts, &e);

	CHECK(why ? r && strstr(e.msg, why) : r == 0);
	return r;
}

static void is(unsigned i, unsigned number, u64 mib, u64 len_mib, const char *uuid)
{
	const struct part *p = &parts.list[i];

	CHECK(i < parts.n && p->number == number && p->off == mib * MIB &&
	      p->len == len_mib * MIB && strcmp(p->uuid, uuid) == 0);
}

static void check_gpt(void)
{
	CHECK(parts.table == PARTS_GPT && parts.n == 3);
	is(0, 1, 1, 4, "00112233-4455-6677-8899-aabbccddeeff");
	is(1, 3, 8, 16, "1c1a8c6c-0f5c-4d0a-9d2d-3ec5d2a1b0c4");
	is(2, 128, 32, 8, "8f3d3ab1-6a0d-4a7c-a3ec-1df3d6d7a111");
	CHECK(!part_is_linux_root(&parts, &parts.list[0]));
	CHECK(part_is_linux_root(&parts, &parts.list[1]));
}

static void test_gpt(void)
{
	u8 *header = disk.bytes + SECTOR, *backup = disk.bytes + SIZE - SECTOR;

	make("label: gpt\\n"
	     "1: start=2048, size=8192, type=U, uuid=00112233-4455-6677-8899-AABBCCDDEEFF\\n"
	     "3: start=16384, size=32768, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709,"
	     " uuid=1C1A8C6C-0F5C-4D0A-9D2D-3EC5D2A1B0C4\\n"
	     "128: start=65536, size=16384, uuid=8F3D3AB1-6A0D-4A7C-A3EC-1DF3D6D7A111\\n");
	try(NULL);
	check_gpt();
	disk.bytes[2 * SECTOR + 40]++; /* an entry: the copy counts */
	try(NULL);
	check_gpt();
	disk.bytes[2 * SECTOR + 40]--;
	header[60]++;
	try(NULL);
	check_gpt();
	st_le32(backup + 80, 0xffffffff);
	try("GPT is damaged");
	header[60]--;
	try(NULL);
	check_gpt();
}

/* A header that is rightly signed and lies. */
static void test_lying_gpt(void)
{
	static const struct {
		unsigned at;
		u32 value;
	} lies[] = {{12, 0}, {12, 513}, {12, 0xffffffff}, {24, 2},  {72, 0xffffffff},
		    {76, 1}, {80, 0},	{80, 0xffffffff}, {84, 64}, {84, 0}};
	u8 *h = disk.bytes + SECTOR;

	memset(disk.bytes + SIZE - SECTOR, 0, SECTOR);
	for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
		u8 was[SECTOR];

		memcpy(was, h, SECTOR);
		st_le32(h + lies[i].at, lies[i].value);
		st_le32(h + 16, 0);
		for (u32 crc = ~0u, k = 0, n = 92; k <= n; k++) {
			if (k == n) {
				st_le32(h + 16, ~crc);
				break;
			}
			crc ^= h[k];
			for (unsigned b = 0; b < 8; b++)
				crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		}
		try("GPT is damaged");
		memcpy(h, was, SECTOR);
	}
}

static void test_mbr(void)
{
	make("label: dos\\nlabel-id: 0x1234abcd\\n"
	     "start=2048, size=8192\\nstart=12288, size=65536, type=5\\n"
	     "start=81920, size=2048, type=c\\n"
	     "start=14336, size=4096\\nstart=20480, size=4096\\nstart=30720, size=8192\\n");
	try(NULL);
	CHECK(parts.table == PARTS_MBR && parts.n == 5);
	is(0, 1, 1, 4, "1234abcd-01");
	is(1, 3, 40, 1, "1234abcd-03");
	is(2, 5, 7, 2, "1234abcd-05");
	is(3, 6, 10, 2, "1234abcd-06");
	is(4, 7, 15, 4, "1234abcd-07");
	/* The chain leads back to its head. */
	st_le32(disk.bytes + 12288ull * SECTOR + 446 + 16 + 8, 0);
	try(NULL);
	CHECK(parts.n <= PARTS_MAX);
	/* Behind the disk's end. */
	st_le32(disk.bytes + 446 + 12, 0xffffffff);
	st_le32(disk.bytes + 446 + 16 + 8, 0xfffffff0);
	try(NULL);
	CHECK(parts.n == 1 && parts.list[0].number == 3);
}

static void test_none(void)
{
	memset(disk.bytes, 0, SIZE);
	try(NULL);
	CHECK(parts.table == PARTS_NONE && parts.n == 1);
	is(0, 0, 0, SIZE / MIB, "");
	st_le16(disk.bytes + 510, 0xaa55); /* a boot sector alone */
	try(NULL);
	CHECK(parts.table == PARTS_NONE);
	disk.source.size = SECTOR;
	try("too small");
	disk.source.size = 0;
	try("too small");
}

int main(void)
{
	disk.bytes = calloc(1, SIZE);
	CHECK(disk.bytes);
	test_gpt();
	test_lying_gpt();
	test_mbr();
	test_none();
	free(disk.bytes);
	return 0;
}
