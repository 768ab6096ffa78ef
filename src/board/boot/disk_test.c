/* SPDX-License-Identifier: MIT */
/* disk_test.c - what is booted of disks laid out as distributions do, and of disks that are not. */
#include "board/boot/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dev/check.h"
#include "sundog/err.h"

enum { PART_SIZE = 8 << 20, MIB = 1 << 20, DISK_SIZE = 3 * PART_SIZE };

struct disk {
	struct fs_source source;
	u8 *bytes;
};

static int read_disk(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	memcpy(buf, container_of(s, struct disk, source)->bytes + off, len);
	return 0;
}

static struct disk disk = {{DISK_SIZE, read_disk}, NULL};
static char dir[] = "/tmp/disk_test.XXXXXX";
static struct disk_found found;
static char kernel[64], initrd[64]; /* how the files begin */

static void run(const char *cmd)
{
	char all[4096];

	snprintf(all, sizeof(all), "cd %s && { %s\n} >/dev/null", dir, cmd);
	if (system(all)) {
		fprintf(stderr, "%s failed\n", cmd);
		exit(1);
	}
}

static void load_image(u64 at)
{
	char path[64];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/image", dir);
	f = fopen(path, "rb");
	CHECK(f);
	n = fread(disk.bytes + at, 1, DISK_SIZE - at, f);
	CHECK(n && fclose(f) == 0);
}

/* A file system of a tree that cmd makes, at this place on the disk. */
static void put_fs(u64 at, const char *cmd)
{
	run("rm -rf tree image; mkdir -p tree/boot tree/etc tree/sbin");
	run(cmd);
	run("mke2fs -q -t ext4 -U 00112233-4455-6677-8899-aabbccddeeff -d tree image 8M 2>&1");
	load_image(at);
}

static void put_table(const char *script)
{
	char cmd[1024];

	snprintf(cmd, sizeof(cmd),
		 "rm -f image; truncate -s %d image; printf '%s' | sfdisk -q image", DISK_SIZE,
		 script);
	run(cmd);
	load_image(0);
}

static void first_bytes(int fd, char out[64])
{
	ssize_t n = fd < 0 ? 0 : pread(fd, out, 63, 0);

	CHECK(n >= 0);
	out[n] = 0;
	out[strcspn(out, "\n")] = 0;
	if (fd >= 0)
		close(fd);
}

static int look(struct err *e)
{
	int k = -1, i = -1, r;

	*e = (struct err){0};
	r = disk_read_confined(&disk.source, &found, &k, &i, e);
	CHECK(r == e->code && (r == 0) == (k >= 0) && (i >= 0) == (r == 0 && found.initrd[0]));
	first_bytes(k, kernel);
	first_bytes(i, initrd);
	return r;
}

static void finds(const char *k, const char *i, unsigned partition)
{
	struct err e;

	if (look(&e) == 0 && strcmp(found.kernel, k) == 0 && strcmp(found.initrd, i) == 0 &&
	    found.partition == partition)
		return;
	fprintf(stderr, "wanted %s %s, got %s %s, %s\n", k, i, found.kernel, found.initrd, e.msg);
	exit(1);
}

static void fails(const char *why)
{
	struct err e;

	if (look(&e) && strstr(e.msg, why))
		return;
	fprintf(stderr, "wanted \"%s\", got \"%s\"\n", why, e.msg);
	exit(1);
}

static void test_versions(void)
{
	put_fs(0, "cd tree/boot; for v in 6.1.0-9 6.1.0-10 6.1.0-11.old 5.10.0-30; do "
		  "echo k$v >vmlinuz-$v-amd64; echo i$v >initrd.img-$v-amd64; done;"
		  "echo new >vmlinuz-6.2.0; ln -s vmlinuz-5.10.0-30-amd64 vmlinuz;"
		  "echo x >vmlinuz-7.old; echo bad >'vmlinuz-9 9'; mkdir vmlinuz-8; cd ..;"
		  "echo >initrd.img-7.old; rm boot/*6.1.0-11*");
	finds("/boot/vmlinuz-6.1.0-10-amd64", "/boot/initrd.img-6.1.0-10-amd64", 0);
	CHECK(strcmp(kernel, "k6.1.0-10") == 0 && strcmp(initrd, "i6.1.0-10") == 0);
	CHECK(strcmp(found.root_uuid, "00112233-4455-6677-8899-aabbccddeeff") == 0);
	CHECK(found.has_root && !found.root_partuuid[0] && !found.root[0] && !found.dirty);
	put_fs(0, "cd tree/boot; echo a >vmlinuz-6.9; echo b >vmlinuz-6.12");
	finds("/boot/vmlinuz-6.12", "", 0);
	put_fs(0, "cd tree/boot; echo a >vmlinuz-lts; echo b >initramfs-lts");
	finds("/boot/vmlinuz-lts", "/boot/initramfs-lts", 0);
}

static void test_links(void)
{
	put_fs(0, "cd tree; echo k >boot/linux; echo i >boot/ird; ln -s boot/linux vmlinuz;"
		  "ln -s boot/ird initrd.img");
	finds("/vmlinuz", "/initrd.img", 0);
	CHECK(strcmp(kernel, "k") == 0 && strcmp(initrd, "i") == 0);
	put_fs(0, "cd tree; ln -s /etc/hostname vmlinuz; ln -s vmlinuz boot/vmlinuz");
	fails("no kernel in the /boot");
}

static void test_entries(void)
{
	put_fs(0,
	       "mkdir -p tree/boot/loader/entries; cd tree/boot; echo k >vmlinuz-1;"
	       "for n in 1 2 3 4; do echo k$n >k$n; echo i$n >i$n; done; cd loader/entries;"
	       "printf 'title A\\nversion 6.9\\nlinux /boot/k1\\ninitrd /boot/i1\\n' >z.conf;"
	       "printf '# x\\nversion\\t6.10\\n linux boot/k2\\ninitrd  /boot/i2 $tuned\\n"
	       "options root=UUID=1-2 ro rhgb console=tty0 rootflags=subvol=root init=/x\\n' "
	       ">b.conf;"
	       "printf 'version 9\\nlinux /boot/none\\n' >c.conf;"
	       "printf 'version 8\\nlinux /boot/k3\\ninitrd /boot/i1 /boot/i3\\n' >d.conf;"
	       "printf 'version 8\\nlinux /boot/k3\\ninitrd /boot/i1\\ninitrd /boot/i3\\n' >e.conf;"
	       "head -c 20000 /dev/zero >f.conf; ln -s /dev/zero g.conf; : >h.conf;"
	       "printf 'version 10\\nlinux /boot/k4' >i.txt");
	finds("/boot/k2", "/boot/i2", 0);
	CHECK(strcmp(found.root, "root=UUID=1-2 ro rootflags=subvol=root") == 0);
	CHECK(strcmp(kernel, "k2") == 0);
}

#define ROOT_TYPE "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
#define TABLE(type2)                             \
	"label: gpt\\nstart=2048, size=16384\\n" \
	"start=18432, size=16384, type=" type2 ", uuid=1C1A8C6C-0F5C-4D0A-9D2D-3EC5D2A1B0C4\\n"

static void test_partitions(void)
{
	/* A separate /boot, and the root in the second partition. */
	put_table(TABLE("L"));
	put_fs(MIB, "echo k >tree/vmlinuz-6; echo i >tree/initrd.img-6");
	put_fs(9 * MIB, "touch tree/etc/fstab");
	finds("/vmlinuz-6", "/initrd.img-6", 1);
	CHECK(strcmp(found.root_partuuid, "1c1a8c6c-0f5c-4d0a-9d2d-3ec5d2a1b0c4") == 0);
	/* Two that look like a root: the type decides. */
	put_table(TABLE(ROOT_TYPE));
	put_fs(MIB, "echo k >tree/boot/vmlinuz-6; touch tree/etc/fstab");
	put_fs(9 * MIB, "echo k >tree/boot/vmlinuz-5; ln -s /lib/systemd/systemd tree/sbin/init");
	finds("/boot/vmlinuz-5", "", 2);
	/* The root is something else that the kernel will know. */
	memset(disk.bytes + 9 * MIB, 0, PART_SIZE);
	put_fs(MIB, "echo k >tree/vmlinuz-6; echo i >tree/initramfs-6.img");
	finds("/vmlinuz-6", "/initramfs-6.img", 1);
	CHECK(found.has_root && !found.root_uuid[0] && found.root_partuuid[0] == '1');
	put_table(TABLE("L"));
	put_fs(MIB, "echo k >tree/vmlinuz-6");
	finds("/vmlinuz-6", "", 1);
	CHECK(!found.has_root && !found.root_partuuid[0]);
}

static void test_refused(void)
{
	static const struct {
		unsigned at;
		const char *magic, *why;
	} others[] = {{0, "XFSB", "XFS"},
		      {0x10040, "_BHRfS_M", "btrfs"},
		      {3, "NTFS    ", "NTFS"},
		      {0x8001, "CD001", "ISO 9660"},
		      {0, "LUKS\xba\xbe", "encrypted volume"}};

	for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
		memset(disk.bytes, 0, DISK_SIZE);
		memcpy(disk.bytes + others[i].at, others[i].magic, strlen(others[i].magic));
		fails(others[i].why);
		put_table(TABLE(ROOT_TYPE));
		memcpy(disk.bytes + MIB + others[i].at, others[i].magic, strlen(others[i].magic));
		fails(others[i].why);
	}
	memset(disk.bytes, 0, DISK_SIZE);
	fails("neither partitions nor a file system");
	put_table(TABLE("L"));
	fails("no partition with /boot");
	put_fs(MIB, "true");
	fails("neither a kernel nor an /etc/fstab");
	put_fs(0, "true");
	fails("no kernel in the /boot");
	put_fs(0, "echo k >tree/boot/vmlinuz-1; echo i >tree/boot/initrd.img-1");
	disk.source.size = 4 * MIB;
	fails("truncated");
	disk.source.size = 600;
	fails("too small");
	disk.source.size = DISK_SIZE;
	disk.bytes[1024 + 0x78]++;
	fails("damaged");
}

static int no_descriptors(void)
{
	int n = 0;

	for (int i = 0; i < 200; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static int hostile_read(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	return -EIO;
}

static void test_sources(void)
{
	struct fs_source s = {DISK_SIZE, hostile_read};
	int k, i;
	struct err e = {0};

	CHECK(disk_read_confined(&s, &found, &k, &i, &e) == -EIO &&
	      strstr(e.msg, "cannot be read"));
}

int main(void)
{
	int fds = no_descriptors();

	signal(SIGPIPE, SIG_IGN);
	disk.bytes = calloc(1, DISK_SIZE);
	CHECK(disk.bytes && mkdtemp(dir));
	test_versions();
	test_links();
	test_entries();
	memset(disk.bytes, 0, DISK_SIZE);
	test_partitions();
	test_refused();
	test_sources();
	CHECK(no_descriptors() == fds);
	run("rm -r \"$PWD\"");
	free(disk.bytes);
	return 0;
}
