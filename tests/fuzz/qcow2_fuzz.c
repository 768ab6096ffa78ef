/* SPDX-License-Identifier: MIT */
/* qcow2_fuzz.c - damaged qcow2 images: opened, told about, checked, repaired, read and written. */
#include "fuzz/input.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/image.h"
#include "dev/check.h"
#include "sundog/err.h"

enum { DISK = 1 << 20, CLUSTER = 512, MOST = 4 << 20 };

/* A small image with a bit of everything: data, zeroes, compression, a snapshot. */
static int make_template(u8 *to, size_t *len)
{
	char dir[] = "/tmp/qcow2_fuzz.XXXXXX", path[64];
	struct blk_create c = {
		.format = "qcow2", .path = path, .size = DISK, .cluster_size = CLUSTER};
	struct blk_cfg cfg = {.file = path, .format = "qcow2", .no_backing = true};
	u8 buf[4 * CLUSTER] = {1, 2, 3};
	struct err e = {0};
	struct blk *b;
	ssize_t n;
	int fd;

	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.qcow2", dir);
	CHECK(blk_create(&c, &e) == 0);
	b = blk_open(&cfg, &e);
	CHECK(b);
	CHECK(blk_write(b, 0, buf, sizeof(buf)) == 0);
	CHECK(blk_snapshot_create(b, "s", &e) == 0);
	CHECK(blk_write(b, 1024, buf, sizeof(buf)) == 0);
	CHECK(blk_write(b, DISK / 2, buf, sizeof(buf)) == 0);
	CHECK(blk_write_compressed(b, 8192, buf, CLUSTER) == 0);
	CHECK(blk_write_zeroes(b, 16384, 4096, 0) == 0);
	CHECK(blk_close(b, &e) == 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, to, MOST);
	CHECK(n > 0);
	*len = (size_t)n;
	close(fd);
	unlink(path);
	return rmdir(dir);
}

/* Each four bytes of the input change one of the image's; mostly in its tables. */
static int damaged(const u8 *image, size_t len, struct input *in)
{
	int fd = memfd_create("qcow2", MFD_CLOEXEC);

	CHECK(fd > 0);
	CHECK(write(fd, image, len) == (ssize_t)len);
	for (unsigned n = input_take(in, 1) % 12; n; n--) {
		size_t at = input_take(in, 4), area = input_take(in, 1);
		u8 val = (u8)input_take(in, 1);

		at %= area < 100 ? 128 : area < 200 ? 8 * CLUSTER : len;
		if (area & 1)
			val = (u8)(image[at] ^ 1u << val % 8);
		CHECK(pwrite(fd, &val, 1, (off_t)at) == 1);
	}
	return fd;
}

static void use(struct blk *b, struct input *in)
{
	static u8 buf[65536];
	struct blk_snapshot *list;
	struct blk_check c = {.fix_leaks = input_take(in, 1) & 1,
			      .fix_errors = input_take(in, 1) & 1};
	struct blk_image_info info;
	struct blk_status st;
	struct err e = {0};
	unsigned nr;

	(void)!blk_info(b, &info, &e);
	if (blk_snapshots(b, &list, &nr, &e) == 0)
		free(list);
	if (input_take(in, 1) & 1)
		(void)!blk_check(b, &c, &e);
	for (unsigned n = input_take(in, 1) % 16; n; n--) {
		u64 size = blk_size(b), off = size ? input_take(in, 4) % size : 0;
		u64 len = input_take(in, 2) < size - off ? 4096 : size - off;

		len = len < size - off ? len : size - off;
		off = input_take(in, 1) & 1 ? off % 32768 : off;
		switch (input_take(in, 1) % 12) {
		case 0: (void)!blk_flush(b); break;
		case 1: (void)!blk_discard(b, off, len); break;
		case 2: (void)!blk_write_zeroes(b, off, len, BLK_UNMAP); break;
		case 3: (void)!blk_snapshot_apply(b, "s", &e); break;
		case 4: (void)!blk_snapshot_delete(b, "s", &e); break;
		case 5: (void)!blk_snapshot_create(b, "t", &e); break;
		case 6: (void)!blk_resize(b, size / 2 / BLK_SECTOR * BLK_SECTOR, &e); break;
		case 7: (void)!blk_set_backing(b, NULL, NULL, &e); break;
		case 8: (void)!(len ? blk_get_status(b, off, len, &st) : 0); break;
		case 9: (void)!blk_read(b, off, buf, len); break;
		default: (void)!blk_write(b, off, buf, len); break;
		}
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 image[MOST];
	static size_t len;
	struct input in = {data, size};
	struct blk_cfg cfg = {.file = "image", .format = "qcow2"};
	struct err e = {0};
	struct blk *b;
	u8 how;

	if (!len)
		CHECK(make_template(image, &len) == 0);
	cfg.fd = damaged(image, len, &in);
	how = (u8)input_take(&in, 1);
	cfg.repair = how & 1;
	cfg.no_backing = how & 32;
	cfg.read_only = how % 4 == 2;
	cfg.snapshot = how % 16 == 4 ? "s" : NULL;
	b = blk_open(&cfg, &e);
	if (!b) {
		CHECK(e.code && e.msg[0]);
		return 0;
	}
	use(b, &in);
	(void)!blk_close(b, &e);
	return 0;
}
