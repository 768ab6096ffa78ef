/* SPDX-License-Identifier: MIT */
/* ext4_test.c - file systems that mke2fs made, with the features there are, read byte by byte. */
#include "fs/ext4.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "dev/check.h"
#include "sundog/err.h"

enum { SIZE = 24 << 20, OFFSET = 1 << 20 };

struct disk {
	struct fs_source source;
	u8 *bytes;
};

static int read_disk(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	memcpy(buf, container_of(s, struct disk, source)->bytes + off, len);
	return 0;
}

static struct disk disk = {{OFFSET + SIZE, read_disk}, NULL};
static char dir[] = "/tmp/ext4_test.XXXXXX";
static struct ext4 *fs;

static void run(const char *fmt, const char *what)
{
	char cmd[4096];

	snprintf(cmd, sizeof(cmd), "cd %s && D=%s && ", dir, what);
	snprintf(cmd + strlen(cmd), sizeof(cmd) - strlen(cmd), "%s", fmt);
	if (system(cmd)) {
		fprintf(stderr, "%s failed\n", cmd);
		exit(1);
	}
}

/* With the file system not at the disk's beginning. */
static void load_image(void)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/image", dir);
	f = fopen(path, "rb");
	CHECK(f && fread(disk.bytes + OFFSET, SIZE, 1, f) == 1 && fclose(f) == 0);
}

static void open_fs(void)
{
	struct err e = {0};

	fs = ext4_open(&disk.source, OFFSET, SIZE, &e);
	if (!fs)
		fprintf(stderr, "%s\n", e.msg);
	CHECK(fs);
}

static void make(const char *options)
{
	run("rm -f image && mke2fs -q -F $D -d tree image 24M >/dev/null 2>&1", options);
	load_image();
	open_fs();
}

struct compare {
	FILE *f;
	u64 len;
};

static int compare(void *opaque, const void *buf, size_t len)
{
	struct compare *c = opaque;
	u8 *want = malloc(len);

	CHECK(want && fread(want, len, 1, c->f) == 1 && memcmp(want, buf, len) == 0);
	free(want);
	c->len += len;
	return 0;
}

/* The file at path in the image is the file at host in the tree. */
static void same(const char *path, const char *host)
{
	char name[128];
	struct compare c = {0};
	struct err e = {0};

	snprintf(name, sizeof(name), "%s/tree/%s", dir, host);
	c.f = fopen(name, "rb");
	CHECK(c.f && ext4_is_file(fs, path));
	CHECK(ext4_load(fs, path, SIZE, compare, &c, &e) == 0);
	CHECK(fgetc(c.f) == EOF && fclose(c.f) == 0);
}

static int ignore(void *opaque, const void *buf, size_t len)
{
	return opaque ? -EIO : 0;
}

static void fails(const char *path, u64 max, void *opaque, int code, const char *why)
{
	struct err e = {0};

	CHECK(ext4_load(fs, path, max, ignore, opaque, &e) == code && strstr(e.msg, why));
}

static int count(void *opaque, const char *name)
{
	return *(unsigned *)opaque += strncmp(name, "name-", 5) == 0, 0;
}

static int stop(void *opaque, const char *name)
{
	return 7;
}

static void check_all(void)
{
	unsigned n = 0;

	same("/big", "big");
	same("/tiny", "tiny");
	same("/sparse", "sparse");
	same("/empty", "empty");
	same("/dir/link", "big");
	same("/dir/up", "tiny");
	same("/absolute/of", "tiny");
	CHECK(ext4_exists(fs, "/loop") && !ext4_is_file(fs, "/loop") && ext4_exists(fs, "/gone"));
	CHECK(!ext4_is_file(fs, "/gone") && !ext4_is_file(fs, "/dir") && !ext4_exists(fs, "/no"));
	fails("/loop", SIZE, NULL, -ENOENT, "link");
	fails("/outside", SIZE, NULL, -ENOENT, "/outside");
	fails("/gone", SIZE, NULL, -ENOENT, "/gone");
	fails("/dir", SIZE, NULL, -ENOEXEC, "not a regular file");
	fails("/big", 1000, NULL, -EFBIG, "1000 are the most");
	fails("/big", SIZE, &n, -EIO, "cannot be copied");
	CHECK(ext4_list(fs, "/many", count, &n) == 0 && n == 3000);
	CHECK(ext4_list(fs, "/many", stop, NULL) == 7 && ext4_list(fs, "/no", stop, NULL) == 0);
	CHECK(ext4_list(fs, "/big", stop, NULL) == 0 && !ext4_is_dirty(fs));
}

static void test_features(void)
{
	static const char *const options[] = {
		"'-t ext2 -b 1024'",
		"'-t ext3 -b 4096'",
		"'-t ext4 -b 1024 -O metadata_csum,64bit'",
		"'-t ext4 -b 4096 -O metadata_csum,64bit'",
		"'-t ext4 -b 2048 -O ^extents,^64bit,^metadata_csum'",
		"'-t ext4 -b 4096 -O inline_data -I 256'",
		"'-t ext4 -b 1024 -O inline_data,^metadata_csum,meta_bg,^resize_inode -I 1024'",
		"'-t ext4 -b 4096 -O bigalloc -C 16384 -N 8192'",
		"'-t ext4 -O casefold,encrypt,project,quota,ea_inode,large_dir'",
		"'-t ext4 -b 65536 -O ^has_journal -N 8192'",
	};

	for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
		make(options[i]);
		check_all();
		ext4_close(fs);
	}
}

static void test_states(void)
{
	make("'-t ext4 -U 00112233-4455-6677-8899-aabbccddeeff'");
	CHECK(memcmp(ext4_uuid(fs), "\x00\x11\x22\x33", 4) == 0);
	ext4_close(fs);
	run("debugfs -w -R 'sif /tiny flags 0x800' image 2>/dev/null &&"
	    "debugfs -w -R 'feature needs_recovery' image >/dev/null 2>&1",
	    "");
	load_image();
	open_fs();
	fails("/tiny", SIZE, NULL, -ENOEXEC, "encrypted");
	CHECK(ext4_is_dirty(fs));
	ext4_close(fs);
}

static void refused(u64 len, const char *why)
{
	struct err e = {0};

	fs = ext4_open(&disk.source, OFFSET, len, &e);
	CHECK(!fs && strstr(e.msg, why));
}

static void test_refused(void)
{
	u8 *sb = disk.bytes + OFFSET + 1024;

	make("'-t ext4 -O ^metadata_csum'");
	ext4_close(fs);
	refused(SIZE - 4096, "truncated");
	refused(1024, "not an ext4");
	st_le32(sb + 0x60, ld_le32(sb + 0x60) | 0x80000000);
	refused(SIZE, "unknown here");
	st_le32(sb + 0x60, ld_le32(sb + 0x60) & 0x7fffffff);
	st_le32(sb + 0x20, 0);
	refused(SIZE, "damaged");
	st_le32(sb + 0x18, 7);
	refused(SIZE, "damaged");
	memset(sb, 0, 1024);
	refused(SIZE, "not an ext4");
	make("'-t ext4 -O metadata_csum'");
	ext4_close(fs);
	sb[0x78]++;
	refused(SIZE, "damaged");
}

int main(void)
{
	disk.bytes = calloc(1, OFFSET + SIZE);
	CHECK(disk.bytes && mkdtemp(dir));
	run("mkdir -p tree/dir tree/many && cd tree && head -c 3000001 /dev/urandom >big &&"
	    "echo tiny >tiny && : >empty && truncate -s 5000000 sparse && echo x >>sparse &&"
	    "ln -s ../big dir/link && ln -s ../../../../../tiny dir/up && ln -s /dir absolute &&"
	    "ln -s ../tiny dir/of && ln -s loop loop && ln -s nothing gone &&"
	    "ln -s /etc/passwd outside && ln -s $(head -c 200 /dev/zero | tr '\\0' x) long &&"
	    "for i in $(seq 3000); do : >many/name-$i; done",
	    "");
	test_features();
	test_states();
	test_refused();
	run("rm -r \"$PWD\"", "");
	free(disk.bytes);
	return 0;
}
