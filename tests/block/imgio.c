/* SPDX-License-Identifier: MIT */
/*
 * imgio.c - what tests need of images and `sundog img` does not offer: whole command lists on one
 * open image, and random requests compared with a model in memory.
 *
 *	imgio create FILE SIZE [NAME=VALUE]...
 *	imgio FILE[,snapshot=NAME][,ro][,log=FILE] [COMMAND ARGUMENT...]...
 *
 *	check leaks|errors|none		resize SIZE		rebase NAME FORMAT (or - -)
 *	snapshot NAME	apply NAME	delete NAME		compress OFFSET LENGTH BYTE
 *	write OFFSET LENGTH BYTE	read OFFSET LENGTH BYTE	zero/unmap/discard OFFSET LENGTH
 *	flush	info	dump FILE	model SEED COUNT FLUSHED	threads SEED COUNT
 *
 * model: FLUSHED gets the seed's step number after each flush, for who kills this or replays
 * its log; "step SEED COUNT FILE" writes to FILE what the disk has after COUNT steps.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/image.h"
#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/opts.h"

static void fail(int status, const char *what, const char *why)
{
	fprintf(stderr, "imgio: %s: %s\n", what, why);
	exit(status);
}

static char *word(char ***a)
{
	if (!**a)
		fail(3, "arguments", "one is missing");
	return *(*a)++;
}

static u64 number(char ***a)
{
	char *text = word(a);
	u64 n;

	if (parse_size(text, &n))
		fail(3, text, "no number");
	return n;
}

/* --- random requests ----------------------------------------------------------------------- */

struct step {
	enum { WRITE, ZERO, UNMAP, DISCARD, FLUSH, READ } what;
	u64 off, len;
	u8 byte;
};

static u32 next_random(u64 *seed)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(*seed >> 33);
}

/* Mostly near each other, so that they meet. */
static struct step next_step(u64 *seed, u64 size)
{
	static const u8 kinds[16] = {WRITE, WRITE, WRITE,   WRITE, WRITE, WRITE, WRITE, WRITE,
				     ZERO,  UNMAP, DISCARD, FLUSH, READ,  READ,	 READ,	WRITE};
	u64 sectors = size / BLK_SECTOR, most = next_random(seed) % 8 ? 32 : 1024;
	struct step s = {.what = kinds[next_random(seed) % 16]};
	u64 area = next_random(seed) % 4 ? sectors / 8 + 1 : sectors;

	s.off = next_random(seed) % area;
	s.len = 1 + next_random(seed) % most;
	s.len = s.len < sectors - s.off ? s.len : sectors - s.off;
	s.byte = (u8)next_random(seed);
	s.off *= BLK_SECTOR;
	s.len *= BLK_SECTOR;
	if (s.what == FLUSH)
		s.off = s.len = 0;
	return s;
}

/* A discarded range has to read as something; here, as the disk says. */
static void model_step(u8 *model, const struct step *s)
{
	if (s->what == WRITE)
		for (u64 i = 0; i < s->len; i++)
			model[s->off + i] = (u8)(s->byte + i / BLK_SECTOR);
	else if (s->what == ZERO || s->what == UNMAP)
		memset(model + s->off, 0, s->len);
}

static int disk_step(struct blk *b, const struct step *s, u8 *model, u8 *buf)
{
	switch (s->what) {
	case WRITE: return blk_write(b, s->off, model + s->off, s->len);
	case ZERO: return blk_write_zeroes(b, s->off, s->len, 0);
	case UNMAP: return blk_write_zeroes(b, s->off, s->len, BLK_UNMAP);
	case FLUSH: return blk_flush(b);
	case DISCARD: {
		int r = blk_discard(b, s->off, s->len);

		/* Written anew at once, so that what is there is known. */
		memset(model + s->off, 0x5a, s->len);
		return r ? r : blk_write(b, s->off, model + s->off, s->len);
	}
	case READ: {
		int r = blk_read(b, s->off, buf, s->len);

		if (r == 0 && memcmp(buf, model + s->off, s->len))
			fail(2, "read", "not what was written");
		return r;
	}
	}
	return 0;
}

/* The disk's bytes first, then each step on both. */
static int run_model(struct blk *b, u64 seed, u64 count, const char *flushed)
{
	u64 size = blk_size(b), before = seed;
	u8 *model = malloc(size), *buf = malloc(size);
	int fd = open(flushed, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	int r = model && buf && fd >= 0 ? blk_read(b, 0, model, size) : -ENOMEM;

	for (u64 i = 1; i <= count && r == 0; i++) {
		struct step s = next_step(&seed, size);
		char text[32];
		int n = snprintf(text, sizeof(text), "%llu\n", (unsigned long long)i);

		model_step(model, &s);
		r = disk_step(b, &s, model, buf);
		if (r == 0 && s.what == FLUSH && write(fd, text, (size_t)n) != n)
			r = -errno;
	}
	if (r == 0)
		r = blk_read(b, 0, buf, size);
	for (u64 i = 0; i < size && r == 0; i++) {
		if (buf[i] == model[i])
			continue;
		fprintf(stderr, "imgio: seed %llu: at %#llx is %d and not %d\n",
			(unsigned long long)before, (unsigned long long)i, buf[i], model[i]);
		exit(2);
	}
	close(fd);
	free(model);
	free(buf);
	return r;
}

/* --- many threads, each with sectors of its own between those of the others ------------------- */

enum { THREADS = 4 };

struct worker {
	pthread_t thread;
	struct blk *b;
	u64 seed, count, index;
	u8 *model; /* one byte for each sector */
	int res;
};

static void *work(void *opaque)
{
	struct worker *w = opaque;
	u64 sectors = blk_size(w->b) / BLK_SECTOR;
	u8 buf[BLK_SECTOR];

	for (u64 i = 0; i < w->count && w->res == 0; i++) {
		u64 s = next_random(&w->seed) % (sectors / THREADS) * THREADS + w->index;
		u32 what = next_random(&w->seed) % 16;

		if (what == 0) {
			w->res = blk_flush(w->b);
		} else if (what == 1) {
			w->res = blk_write_zeroes(w->b, s * BLK_SECTOR, BLK_SECTOR, BLK_UNMAP);
			w->model[s] = 0;
		} else if (what < 5) {
			w->res = blk_read(w->b, s * BLK_SECTOR, buf, sizeof(buf));
			if (w->res == 0 && (buf[0] != w->model[s] || buf[511] != w->model[s]))
				fail(2, "read", "not what was written");
		} else {
			w->model[s] = (u8)next_random(&w->seed);
			memset(buf, w->model[s], sizeof(buf));
			w->res = blk_write(w->b, s * BLK_SECTOR, buf, sizeof(buf));
		}
	}
	return NULL;
}

static int run_threads(struct blk *b, u64 seed, u64 count)
{
	struct worker w[THREADS];
	u64 sectors = blk_size(b) / BLK_SECTOR;
	u8 *model = calloc(1, sectors), buf[BLK_SECTOR];
	int r = 0;

	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){
			.b = b, .seed = seed + i, .count = count, .index = i, .model = model};
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(w[i].thread, NULL);
		r = r ? r : w[i].res;
	}
	for (u64 s = 0; s < sectors && r == 0; s++) {
		r = blk_read(b, s * BLK_SECTOR, buf, sizeof(buf));
		if (r == 0 && (buf[0] != model[s] || buf[511] != model[s]))
			fail(2, "threads", "not what was written");
	}
	free(model);
	return r;
}

static int same_bytes(struct blk *b, u64 off, u64 len, u8 byte, bool read)
{
	u8 *buf = malloc(len);
	int r;

	memset(buf, byte, len);
	r = read ? blk_read(b, off, buf, len) : blk_write(b, off, buf, len);
	for (u64 i = 0; i < len && r == 0; i++)
		if (buf[i] != byte)
			fail(2, "read", "not these bytes");
	free(buf);
	return r;
}

static int compress(struct blk *b, u64 off, u64 len, u8 byte)
{
	u32 cluster = blk_cluster_size(b);
	u8 *buf = malloc(cluster);
	int r = 0;

	for (u64 at = off; at < off + len && r == 0; at += cluster) {
		size_t n = blk_size(b) - at < cluster ? blk_size(b) - at : cluster;

		for (size_t i = 0; i < n; i++)
			buf[i] = (u8)(byte + (i / 7) * (at / cluster));
		r = blk_write_compressed(b, at, buf, n);
	}
	free(buf);
	return r;
}

static int dump(struct blk *b, const char *name)
{
	size_t size = blk_size(b);
	u8 *buf = malloc(size + 1);
	FILE *f = fopen(name, "wb");
	int r = buf && f ? blk_read(b, 0, buf, size) : -ENOMEM;

	if (r == 0 && fwrite(buf, 1, size, f) != size)
		r = -EIO;
	if (f)
		fclose(f);
	free(buf);
	return r;
}

static void say(struct blk_check *c, const char *what)
{
	printf("%s\n", what);
}

static int check(struct blk *b, const char *fix, struct err *e)
{
	struct blk_check c = {.found = say};
	int r;

	c.fix_errors = strcmp(fix, "errors") == 0;
	c.fix_leaks = strcmp(fix, "leaks") == 0 || c.fix_errors;
	r = blk_check(b, &c, e);
	printf("errors=%llu leaks=%llu errors_fixed=%llu leaks_fixed=%llu allocated=%llu\n",
	       (unsigned long long)c.errors, (unsigned long long)c.leaks,
	       (unsigned long long)c.errors_fixed, (unsigned long long)c.leaks_fixed,
	       (unsigned long long)c.allocated);
	return r;
}

static int info(struct blk *b, struct err *e)
{
	struct blk_image_info i;
	struct blk_snapshot *list;
	unsigned n;
	int r = blk_info(b, &i, e);

	if (r)
		return r;
	printf("size=%llu cluster=%u version=%u bits=%u compression=%s lazy=%d extl2=%d data=%s\n",
	       (unsigned long long)i.virtual_size, i.cluster_size, i.version, i.refcount_bits,
	       i.compression, i.lazy_refcounts, i.extended_l2, i.data_file ? i.data_file : "-");
	r = blk_snapshots(b, &list, &n, e);
	for (unsigned k = 0; r == 0 && k < n; k++)
		printf("snapshot %s %s %llu\n", list[k].id, list[k].name,
		       (unsigned long long)list[k].disk_size);
	if (r == 0)
		free(list);
	return r;
}

static int obey_tool(struct blk *b, const char *what, char ***a, struct err *e)
{
	const char *name, *format;

	if (strcmp(what, "check") == 0)
		return check(b, word(a), e);
	if (strcmp(what, "info") == 0)
		return info(b, e);
	if (strcmp(what, "resize") == 0)
		return blk_resize(b, number(a), e);
	if (strcmp(what, "snapshot") == 0)
		return blk_snapshot_create(b, word(a), e);
	if (strcmp(what, "apply") == 0)
		return blk_snapshot_apply(b, word(a), e);
	if (strcmp(what, "delete") == 0)
		return blk_snapshot_delete(b, word(a), e);
	if (strcmp(what, "rebase") != 0)
		fail(3, what, "no such command");
	name = word(a);
	format = word(a);
	return blk_set_backing(b, *name == '-' ? NULL : name, *format == '-' ? NULL : format, e);
}

static int obey(struct blk *b, const char *what, char ***a, struct err *e)
{
	u64 x, y;

	if (strcmp(what, "flush") == 0)
		return blk_flush(b);
	if (strcmp(what, "dump") == 0)
		return dump(b, word(a));
	if (strcmp(what, "write") && strcmp(what, "read") && strcmp(what, "zero") &&
	    strcmp(what, "unmap") && strcmp(what, "discard") && strcmp(what, "compress") &&
	    strcmp(what, "model") && strcmp(what, "threads"))
		return obey_tool(b, what, a, e);
	x = number(a);
	y = number(a);
	if (strcmp(what, "model") == 0)
		return run_model(b, x, y, word(a));
	if (strcmp(what, "threads") == 0)
		return run_threads(b, x, y);
	if (strcmp(what, "zero") == 0)
		return blk_write_zeroes(b, x, y, 0);
	if (strcmp(what, "unmap") == 0)
		return blk_write_zeroes(b, x, y, BLK_UNMAP);
	if (strcmp(what, "discard") == 0)
		return blk_discard(b, x, y);
	if (strcmp(what, "compress") == 0)
		return compress(b, x, y, (u8)number(a));
	return same_bytes(b, x, y, (u8)number(a), *what == 'r');
}

/* What the first count steps of a seed make of a disk that read as in FILE before. */
static int only_model(char **a)
{
	u64 seed = number(&a), count = number(&a);
	FILE *f = fopen(word(&a), "r+b");
	long size;
	u8 *model;

	if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0)
		fail(1, "step", "cannot open it");
	model = malloc((size_t)size + 1);
	rewind(f);
	if (fread(model, 1, (size_t)size, f) != (size_t)size)
		fail(1, "step", "cannot read it");
	while (count--) {
		struct step s = next_step(&seed, (u64)size);

		model_step(model, &s);
		if (s.what == DISCARD)
			memset(model + s.off, 0x5a, s.len);
	}
	rewind(f);
	if (fwrite(model, 1, (size_t)size, f) != (size_t)size || fclose(f))
		fail(1, "step", "cannot write it");
	free(model);
	return 0;
}

static void set_option(struct blk_create *c, char *text)
{
	char *val = strchr(text, '=');
	u64 n = 0;

	if (!val)
		fail(3, text, "no value");
	*val++ = 0;
	(void)!parse_size(val, &n);
	if (strcmp(text, "backing") == 0)
		c->backing = val;
	else if (strcmp(text, "backing_format") == 0)
		c->backing_format = val;
	else if (strcmp(text, "cluster_size") == 0)
		c->cluster_size = (u32)n;
	else if (strcmp(text, "version") == 0)
		c->version = (unsigned)n;
	else if (strcmp(text, "refcount_bits") == 0)
		c->refcount_bits = (unsigned)n;
	else if (strcmp(text, "compression") == 0)
		c->compression = val;
	else if (strcmp(text, "lazy") == 0)
		c->lazy_refcounts = n;
	else if (strcmp(text, "extended_l2") == 0)
		c->extended_l2 = n;
	else if (strcmp(text, "data_file") == 0)
		c->data_file = val;
	else if (strcmp(text, "data_file_raw") == 0)
		c->data_file_raw = n;
	else if (strcmp(text, "prealloc") == 0)
		c->prealloc = (enum blk_prealloc)n;
	else
		fail(3, text, "no such option");
}

static int create(char **a, struct err *e)
{
	struct blk_create c = {.format = "qcow2"};

	c.path = word(&a);
	c.size = number(&a);
	while (*a)
		set_option(&c, *a++);
	return blk_create(&c, e);
}

static struct blk *open_spec(char *text, struct err *e)
{
	static struct blk_cfg cfg;
	char *save, *part = strtok_r(text, ",", &save);

	cfg = (struct blk_cfg){.file = part, .format = "qcow2"};
	while ((part = strtok_r(NULL, ",", &save))) {
		if (strcmp(part, "ro") == 0)
			cfg.read_only = true;
		else if (strcmp(part, "repair") == 0)
			cfg.repair = true;
		else if (strncmp(part, "snapshot=", 9) == 0)
			cfg.snapshot = part + 9;
		else if (strncmp(part, "log=", 4) == 0)
			cfg.log = part + 4;
		else
			fail(3, part, "no such option");
	}
	cfg.read_only |= cfg.snapshot != NULL;
	return blk_open(&cfg, e);
}

int main(int argc, char **argv)
{
	struct err e = {0};
	char **a = argv + 2;
	struct blk *b;
	int r = 0;

	if (argc < 3)
		fail(3, "arguments", "see imgio.c");
	if (strcmp(argv[1], "step") == 0)
		return only_model(a);
	if (strcmp(argv[1], "create") == 0) {
		r = create(a, &e);
		if (r)
			fail(1, "create", e.msg);
		return 0;
	}
	b = open_spec(argv[1], &e);
	if (!b)
		fail(1, "open", e.msg);
	while (*a && r == 0) {
		char *what = *a++;

		r = obey(b, what, &a, &e);
		if (r && !e.code)
			err_set(&e, r, "%s: %s", what, strerror(-r));
	}
	if (blk_close(b, &e) && !r)
		r = -EIO;
	if (r)
		fail(1, argv[1], e.msg);
	return 0;
}
