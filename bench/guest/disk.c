// SPDX-License-Identifier: MIT
/*
 * disk.c - reads of a disk: /dev/vda, which the host's page cache has, and /dev/vdb, which is
 * the same behind the host's O_DIRECT; natively the file itself, both ways.
 *
 * Guests read past their own page cache.  The first eight bytes of each 4 KiB of the disk are
 * its number, mixed (bench/run.py makes it), so a block read wrong is a wrong checksum.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

enum { BLOCK = 4096, BLOCKS = 32768, LARGE = 1 << 20, DEPTH = 32 };
enum { READS = 4096, DIRECT_READS = 1024, LARGE_READS = BLOCKS / (LARGE / BLOCK) };

const char *disk_file;

/* Where the kernel has drivers as modules, they lie in /modules, named in their order. */
static void load_modules(void)
{
	struct dirent **names;
	int n = scandir("/modules", &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char path[300];
		int fd;

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/modules/%s", names[i]->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0)
			fail(path);
		close(fd);
	}
}

/* Drivers find their devices in their own time. */
static int open_disk(const char *path, int flags)
{
	for (unsigned tries = 0; tries < 500; tries++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

		if (fd >= 0)
			return fd;
		usleep(10000);
	}
	fail(path);
}

static int cached = -1, direct = -1;

static void open_disks(void)
{
	if (cached >= 0)
		return;
	if (disk_file) {
		cached = open_disk(disk_file, 0);
		direct = open_disk(disk_file, O_DIRECT);
		return;
	}
	load_modules();
	if (mount("none", "/dev", "devtmpfs", 0, NULL) != 0)
		fail("mount /dev");
	cached = open_disk("/dev/vda", O_DIRECT);
	direct = open_disk("/dev/vdb", O_DIRECT);
}

static uint8_t *buffer(void)
{
	static uint8_t *p;

	if (!p)
		p = get_pages(LARGE);
	return p;
}

static uint64_t number(const uint8_t *block)
{
	uint64_t n;

	memcpy(&n, block, sizeof(n));
	return n;
}

static uint64_t read_some(int fd, unsigned reads)
{
	uint64_t sum = 0, seed = 88172645463325252u;
	uint8_t *buf = buffer();

	for (unsigned i = 0; i < reads; i++) {
		uint64_t at = next_random(&seed) % BLOCKS;

		if (pread(fd, buf, BLOCK, (off_t)(at * BLOCK)) != BLOCK)
			fail("read");
		sum += number(buf) == mix(at, 1);
	}
	return sum;
}

static uint64_t read_cached(void)
{
	return read_some(cached, READS);
}

static uint64_t read_direct(void)
{
	return read_some(direct, DIRECT_READS);
}

static uint64_t read_large(void)
{
	uint8_t *buf = buffer();
	uint64_t sum = 0;

	for (uint64_t i = 0; i < LARGE_READS; i++) {
		if (pread(cached, buf, LARGE, (off_t)(i * LARGE)) != LARGE)
			fail("read");
		for (uint64_t n = 0; n < LARGE / BLOCK; n++)
			sum += number(buf + n * BLOCK) == mix(i * (LARGE / BLOCK) + n, 1);
	}
	return sum;
}

static void start_read(aio_context_t ctx, struct iocb *cb, unsigned slot, uint64_t at)
{
	memset(cb, 0, sizeof(*cb));
	cb->aio_data = at << 8 | slot;
	cb->aio_lio_opcode = IOCB_CMD_PREAD;
	cb->aio_fildes = (uint32_t)cached;
	cb->aio_buf = (uintptr_t)(buffer() + slot * BLOCK);
	cb->aio_nbytes = BLOCK;
	cb->aio_offset = (int64_t)(at * BLOCK);
	if (syscall(SYS_io_submit, ctx, 1L, (struct iocb *[]){cb}) != 1)
		fail("io_submit");
}

static uint64_t read_deep(void)
{
	static struct iocb cbs[DEPTH];
	struct io_event events[DEPTH];
	uint64_t sum = 0, seed = 88172645463325252u;
	unsigned started = 0, ended = 0;
	aio_context_t ctx = 0;

	if (syscall(SYS_io_setup, DEPTH, &ctx) != 0)
		fail("io_setup");
	for (; started < DEPTH; started++)
		start_read(ctx, &cbs[started], started, next_random(&seed) % BLOCKS);
	while (ended < READS) {
		long n = syscall(SYS_io_getevents, ctx, 1L, (long)DEPTH, events, NULL);

		if (n < 1)
			fail("io_getevents");
		for (long i = 0; i < n; i++, ended++) {
			unsigned slot = events[i].data & 0xff;

			sum += events[i].res == BLOCK &&
			       number(buffer() + slot * BLOCK) == mix(events[i].data >> 8, 1);
			if (started++ < READS)
				start_read(ctx, &cbs[slot], slot, next_random(&seed) % BLOCKS);
		}
	}
	syscall(SYS_io_destroy, ctx);
	return sum;
}

const struct bench disk_benches[] = {
	{"disk4k", "read", READS, READS, read_cached, open_disks},
	{"disk4kdeep", "read", READS, READS, read_deep, open_disks},
	{"disk4kdirect", "read", DIRECT_READS, DIRECT_READS, read_direct, open_disks},
	{"disk1m", "read", LARGE_READS, BLOCKS, read_large, open_disks},
	{0},
};
