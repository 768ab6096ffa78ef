/* SPDX-License-Identifier: MIT */
/*
 * blkio.c - what qemu-io is for QEMU: a disk opened as --disk opens it, and told what to do.
 *
 *	blkio SPEC [COMMAND ARGUMENT...]...
 *
 *	write OFFSET LENGTH BYTE	read OFFSET LENGTH BYTE (which must be there)
 *	zero OFFSET LENGTH		unmap OFFSET LENGTH
 *	discard OFFSET LENGTH		flush
 *	size				lose (a flush that must fail)
 *	random SEED COUNT		writes, zeroes and flushes all over the disk
 *	wait				says "ready" and waits for the end of standard input
 *
 * Exit status 1: an error, on standard error as sundog would say it; 2: not these bytes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/opts.h"

struct arguments {
	char **next;
};

static u64 number(struct arguments *a)
{
	u64 n;

	if (!*a->next || parse_size(*a->next++, &n)) {
		fprintf(stderr, "blkio: a number is missing\n");
		exit(3);
	}
	return n;
}

static int fill(struct blk *b, u64 off, u64 len, int byte)
{
	u8 *buf = malloc(len);
	int r;

	memset(buf, byte, len);
	r = blk_write(b, off, buf, len);
	free(buf);
	return r;
}

static int verify(struct blk *b, u64 off, u64 len, int byte)
{
	u8 *buf = malloc(len);
	int r = blk_read(b, off, buf, len);

	for (u64 i = 0; i < len && r == 0; i++) {
		if (buf[i] == byte)
			continue;
		fprintf(stderr, "blkio: at %llu is %d and not %d\n", (unsigned long long)(off + i),
			buf[i], byte);
		exit(2);
	}
	free(buf);
	return r;
}

static int random_writes(struct blk *b, unsigned seed, unsigned count)
{
	u64 sectors = blk_size(b) / BLK_SECTOR;
	int r = 0;

	while (count-- && r == 0) {
		u64 first = (u64)rand_r(&seed) % sectors, n = 1 + (u64)rand_r(&seed) % 64;

		n = n < sectors - first ? n : sectors - first;
		switch (rand_r(&seed) % 10) {
		case 0: r = blk_flush(b); break;
		case 1:
			r = blk_write_zeroes(b, first * BLK_SECTOR, n * BLK_SECTOR, BLK_UNMAP);
			break;
		case 2: r = blk_discard(b, first * BLK_SECTOR, n * BLK_SECTOR); break;
		default: r = fill(b, first * BLK_SECTOR, n * BLK_SECTOR, rand_r(&seed)); break;
		}
	}
	return r;
}

static int obey(struct blk *b, const char *what, struct arguments *a)
{
	u64 off, len;
	char c;

	if (strcmp(what, "flush") == 0)
		return blk_flush(b);
	if (strcmp(what, "lose") == 0)
		return blk_flush(b) ? 0 : -EPROTO;
	if (strcmp(what, "size") == 0)
		return printf("%llu\n", (unsigned long long)blk_size(b)) < 0;
	if (strcmp(what, "wait") == 0) {
		printf("ready\n");
		fflush(stdout);
		return read(STDIN_FILENO, &c, 1) < 0;
	}
	off = number(a);
	len = number(a);
	if (strcmp(what, "write") == 0)
		return fill(b, off, len, (int)number(a));
	if (strcmp(what, "read") == 0)
		return verify(b, off, len, (int)number(a));
	if (strcmp(what, "zero") == 0)
		return blk_write_zeroes(b, off, len, 0);
	if (strcmp(what, "unmap") == 0)
		return blk_write_zeroes(b, off, len, BLK_UNMAP);
	if (strcmp(what, "discard") == 0)
		return blk_discard(b, off, len);
	if (strcmp(what, "random") == 0)
		return random_writes(b, (unsigned)off, (unsigned)len);
	fprintf(stderr, "blkio: what is '%s'?\n", what);
	exit(3);
}

int main(int argc, char **argv)
{
	struct arguments a = {argv + 2};
	struct blk_spec spec = {0};
	struct err e = {0};
	struct blk *b = NULL;
	int r;

	if (argc < 2)
		return 3;
	r = blk_spec_parse(&spec, argv[1], &e);
	if (r == 0)
		b = blk_open(&spec.cfg, &e);
	r = b ? 0 : e.code;
	while (b && r == 0 && *a.next) {
		const char *what = *a.next++;

		r = obey(b, what, &a);
		if (r)
			err_set(&e, r, "%s: %s", what, strerror(-r));
	}
	if (b && blk_close(b, &e) && !r)
		r = e.code;
	if (r)
		fprintf(stderr, "blkio: %s\n", e.msg);
	blk_spec_destroy(&spec);
	return r ? 1 : 0;
}
