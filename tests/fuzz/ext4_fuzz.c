/* SPDX-License-Identifier: MIT */
/*
 * ext4_fuzz.c - looking for a kernel on damaged disks, in this process and unconfined.
 *
 * The first byte chooses one of several good images, which mke2fs makes; the others, in groups
 * of five, are damage: a block among those that are not empty, a place in it, a value.
 */
#include "fuzz/input.h"

#include <stdio.h>
#include <stdlib.h>

#include "board/boot/disk.h"
#include "dev/check.h"
#include "sundog/err.h"

enum { BLOCK = 1024, IMAGES = 5, SIZE = 2 << 20, BLOCKS = SIZE / BLOCK, MAX_DAMAGE = 200 };

static struct image {
	struct fs_source source;
	u8 bytes[SIZE];
	unsigned used[BLOCKS], nr_used;
} images[IMAGES];

static int read_image(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	memcpy(buf, container_of(s, const struct image, source)->bytes + off, len);
	return 0;
}

static int swallow(void *opaque, const void *buf, size_t len)
{
	*(u64 *)opaque += len;
	return 0;
}

/* A /boot with what is looked for; the kernels have more than one extent, or blocks. */
static const char make_tree[] =
	"cd %s && mkdir -p t/boot/loader/entries t/sbin t/etc && cd t && : >etc/fstab &&"
	"head -c 70000 /dev/zero | tr '\\0' k >boot/vmlinuz-6.1 && truncate -s 200000 "
	"boot/vmlinuz-6.1 &&"
	"echo tail >>boot/vmlinuz-6.1 && head -c 9000 /dev/zero | tr '\\0' i >boot/initrd.img-6.1 "
	"&&"
	"printf 'version 6.2\\nlinux /boot/vmlinuz\\ninitrd /initrd.img\\noptions root=/dev/x\\n'"
	" >boot/loader/entries/a.conf && ln -s vmlinuz-6.1 boot/vmlinuz &&"
	"ln -s boot/initrd.img-6.1 initrd.img && for i in $(seq 100); do : >boot/name-$i; done";

static void make_image(struct image *im, const char *dir, const char *options)
{
	char cmd[512];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "rm -f %s/i; mke2fs -q -F %s -d %s/t %s/i 2M 2>/dev/null", dir,
		 options, dir, dir);
	CHECK(system(cmd) == 0);
	snprintf(cmd, sizeof(cmd), "%s/i", dir);
	f = fopen(cmd, "rb");
	CHECK(f && fread(im->bytes, SIZE, 1, f) == 1 && fclose(f) == 0);
	im->source = (struct fs_source){.size = SIZE, .read = read_image};
	for (unsigned i = 0; i < BLOCKS; i++)
		for (unsigned k = 0; k < BLOCK; k++)
			if (im->bytes[i * BLOCK + k]) {
				im->used[im->nr_used++] = i;
				break;
			}
}

static int look(const struct image *im)
{
	struct disk_found found;
	struct err e = {0};
	u64 copied = 0;
	const struct disk_sinks to = {swallow, swallow, &copied};
	int r = disk_find(&im->source, &found, &to, &e);

	if (r)
		CHECK(e.code == r && e.msg[0]);
	else
		CHECK(found.kernel[0] == '/' && copied <= DISK_KERNEL_MAX + (u64)DISK_INITRD_MAX);
	return r;
}

static void make_images(void)
{
	static const char *const options[IMAGES] = {
		"-t ext2 -b 1024",
		"-t ext4 -b 1024 -O ^metadata_csum,^64bit,inline_data,^has_journal -I 256",
		"-t ext4 -b 1024 -O ^metadata_csum,64bit,^uninit_bg,^has_journal",
		"-t ext4 -b 4096 -O metadata_csum,64bit,^has_journal",
		"-t ext3 -b 1024 -O ^has_journal,meta_bg,^resize_inode",
	};
	char dir[] = "/tmp/ext4_fuzz.XXXXXX", cmd[1024];

	CHECK(mkdtemp(dir));
	snprintf(cmd, sizeof(cmd), make_tree, dir);
	CHECK(system(cmd) == 0);
	for (unsigned i = 0; i < IMAGES; i++) {
		make_image(&images[i], dir, options[i]);
		CHECK(look(&images[i]) == 0);
	}
	snprintf(cmd, sizeof(cmd), "rm -r %s", dir);
	CHECK(system(cmd) == 0);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct {
		u8 *at, was;
	} damage[MAX_DAMAGE];
	struct image *im;
	unsigned n = 0;

	if (!images[0].nr_used)
		make_images();
	if (!size)
		return 0;
	im = &images[data[0] % IMAGES];
	for (size_t i = 1; i + 5 <= size && n < MAX_DAMAGE; i += 5) {
		unsigned block = im->used[ld_le16(data + i) % im->nr_used];

		damage[n].at = im->bytes + block * BLOCK + ld_le16(data + i + 2) % BLOCK;
		damage[n].was = *damage[n].at;
		*damage[n++].at = data[i + 4];
	}
	(void)look(im);
	while (n--)
		*damage[n].at = damage[n].was;
	return 0;
}
