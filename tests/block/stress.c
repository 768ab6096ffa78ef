/* SPDX-License-Identifier: MIT */
/*
 * stress.c - random requests of several devices against a model in memory.
 *
 *	stress [--seed N] [--count N] [--dir FOLDER] [CASE]...
 *
 * Each device has a thread and a stretch of the disk, in slots; a slot has one request at a
 * time, so what a read must give is known.  The cases are raw images and "scatter", a format
 * made for this: it has its blocks all over the file, knows where they are only sometimes, and
 * moves them under blk_quiesce_begin().
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/scatter.h"
#include "core/machine.h"
#include "core/test.h"
#include "sundog/block.h"
#include "sundog/clock.h"

const struct device_type *const device_types[] = {NULL};

enum { DEVICES = 4, SLOTS = 8, SLOT = 128 << 10, MAX_IOV = 6, SECTORS = SLOT / BLK_SECTOR };

struct user;

struct slot {
	struct blk_req req;
	struct user *user;
	struct iovec iov[MAX_IOV];
	u8 *buf, *model; /* SLOT bytes each */
	u64 base;	 /* on the disk */
	bool busy;
	bool undefined[SECTORS]; /* discarded: old bytes or zeroes */
};

struct user {
	struct device dev;
	pthread_cond_t freed;
	struct blk *blk;
	struct slot slot[SLOTS];
	unsigned seed;
	unsigned done, pending, inline_done;
};

static struct {
	struct machine m;
	struct blk *blk;
	struct user user[DEVICES];
	unsigned count;
	_Atomic unsigned pauses;
	struct task resume;
} t;

static unsigned roll(struct user *u, unsigned n)
{
	return (unsigned)rand_r(&u->seed) % n;
}

/* --- judging -------------------------------------------------------------------------------- */

static void judge_read(struct slot *s)
{
	u64 at = s->req.offset - s->base;
	const u8 *got = s->buf;

	for (u64 i = at; i < at + s->req.len; i += BLK_SECTOR, got += BLK_SECTOR) {
		static const u8 zero[BLK_SECTOR];
		bool same = memcmp(got, s->model + i, BLK_SECTOR) == 0;

		if (!same && s->undefined[i / BLK_SECTOR] && !memcmp(got, zero, BLK_SECTOR)) {
			memset(s->model + i, 0, BLK_SECTOR);
			same = true;
		}
		if (!same) {
			fprintf(stderr, "sector %llu is wrong: %02x instead of %02x\n",
				(unsigned long long)(s->base + i) / BLK_SECTOR, got[0],
				s->model[i]);
			abort();
		}
	}
}

static void settle(struct slot *s, int res)
{
	u64 at = s->req.offset - s->base;
	bool undefined = s->req.op == BLK_DISCARD;

	check(res == 0);
	switch (s->req.op) {
	case BLK_READ: judge_read(s); break;
	case BLK_WRITE: memcpy(s->model + at, s->buf, s->req.len); break;
	case BLK_WRITE_ZEROES: memset(s->model + at, 0, s->req.len); break;
	default: break;
	}
	for (u64 i = 0; i < s->req.len / BLK_SECTOR && s->req.op != BLK_READ; i++)
		s->undefined[at / BLK_SECTOR + i] = undefined;
	s->busy = false;
	s->user->done++;
}

static void on_done(struct blk_req *req, int res)
{
	struct slot *s = req->opaque;

	check(s->busy && &s->user->dev == req->owner);
	settle(s, res);
	pthread_cond_signal(&s->user->freed);
}

/* --- asking --------------------------------------------------------------------------------- */

/* The buffer in up to MAX_IOV parts of whole sectors. */
static void cut(struct slot *s)
{
	struct user *u = s->user;
	u64 left = s->req.len;
	u8 *p = s->buf;
	unsigned n = 0;

	while (left) {
		u64 part = n == MAX_IOV - 1
				   ? left
				   : BLK_SECTOR * (1 + roll(u, (unsigned)(left / BLK_SECTOR)));

		s->iov[n++] = (struct iovec){p, part};
		p += part;
		left -= part;
	}
	s->req.iov = s->iov;
	s->req.iovcnt = n;
}

static void choose(struct slot *s)
{
	static const enum blk_op ops[] = {BLK_READ,  BLK_READ,	  BLK_READ,
					  BLK_WRITE, BLK_WRITE,	  BLK_WRITE,
					  BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES};
	struct user *u = s->user;
	unsigned first = roll(u, SECTORS), n = 1 + roll(u, SECTORS - first);

	if (roll(u, 2) && n > 8)
		n = 8;
	s->req = (struct blk_req){.op = ops[roll(u, ARRAY_SIZE(ops))],
				  .done = on_done,
				  .owner = &u->dev,
				  .opaque = s};
	if (s->req.op == BLK_FLUSH)
		return;
	s->req.offset = s->base + first * BLK_SECTOR;
	s->req.len = n * BLK_SECTOR;
	if (s->req.op == BLK_WRITE_ZEROES && roll(u, 2))
		s->req.flags = BLK_UNMAP;
	if (s->req.op == BLK_WRITE && roll(u, 8) == 0)
		s->req.flags = BLK_FUA;
	if (s->req.op > BLK_WRITE)
		return;
	cut(s);
	if (s->req.op == BLK_WRITE)
		for (unsigned i = 0; i < s->req.len; i++)
			s->buf[i] = (u8)(i % 253 + roll(u, 2) + (i & 511 ? 0 : roll(u, 256)));
	else
		memset(s->buf, 0xee, s->req.len);
}

static struct slot *free_slot(struct user *u)
{
	for (;;) {
		unsigned first = roll(u, SLOTS);

		for (unsigned i = 0; i < SLOTS; i++)
			if (!u->slot[(first + i) % SLOTS].busy)
				return &u->slot[(first + i) % SLOTS];
		lock_wait(&u->dev.lock, &u->freed);
	}
}

static void ask(struct user *u)
{
	struct slot *s = free_slot(u);
	int r;

	choose(s);
	s->busy = true;
	r = blk_submit(t.blk, &s->req);
	if (r != BLK_PENDING) {
		settle(s, r);
		u->inline_done++;
	} else {
		u->pending++;
	}
}

static void *use(void *arg)
{
	struct user *u = arg;

	for (unsigned i = 0; i < t.count;) {
		unsigned batch = 1 + roll(u, 4);
		bool plug = roll(u, 2);

		lock(&u->dev.lock);
		if (plug) {
			/* Nobody waits for a slot in between: nothing would be handed on. */
			unsigned busy = 0;

			for (unsigned k = 0; k < SLOTS; k++)
				busy += u->slot[k].busy;
			plug = busy + batch <= SLOTS;
		}
		if (plug)
			blk_plug(t.blk);
		for (unsigned k = 0; k < batch; k++, i++)
			ask(u);
		if (plug)
			blk_unplug(t.blk);
		unlock(&u->dev.lock);
		if (roll(u, 500) == 0)
			blk_drain(t.blk);
	}
	return NULL;
}

/* --- a machine ------------------------------------------------------------------------------ */

static void *run_loop(void *arg)
{
	(void)!loop_run(t.m.loop);
	return NULL;
}

static void resume(struct task *task)
{
	machine_resume(&t.m);
}

static void on_pause(struct machine *m, void *opaque)
{
	t.pauses++;
	scatter_room(1 << 30);
	loop_defer(m->loop, &t.resume);
}

static void machine_begin(void)
{
	struct err e;

	t.m = (struct machine){.ram_fd = -1};
	lock_init(&t.m.lock, LOCK_MACHINE, "machine");
	t.m.loop = loop_new();
	loop_set_machine(t.m.loop, &t.m);
	check(clock_init(&t.m, &e) == 0 && machine_core_new(&t.m, &e) == 0);
	t.m.hooks.paused = on_pause;
	t.resume.fn = resume;
	check(machine_start(&t.m, &e) == 0);
}

static void machine_end(void)
{
	machine_core_quit(&t.m);
	machine_core_free(&t.m);
	loop_free(t.m.loop);
	clock_destroy(&t.m);
	lock_destroy(&t.m.lock);
}

static void user_begin(struct user *u, unsigned i, unsigned seed)
{
	*u = (struct user){.seed = seed * 7 + i};
	lock_init(&u->dev.lock, LOCK_DEVICE, "user");
	u->dev.id = "user";
	u->dev.machine = &t.m;
	pthread_cond_init(&u->freed, NULL);
	for (unsigned k = 0; k < SLOTS; k++) {
		struct slot *s = &u->slot[k];

		s->user = u;
		s->base = (u64)(i * SLOTS + k) * SLOT;
		check(posix_memalign((void **)&s->buf, 4096, SLOT) == 0);
		s->model = calloc(1, SLOT);
	}
}

/* All is as the model says, also for who opens it anew. */
static void user_end(struct user *u, struct blk *b)
{
	for (unsigned k = 0; k < SLOTS; k++) {
		struct slot *s = &u->slot[k];

		check(!s->busy);
		s->req = (struct blk_req){.offset = s->base, .len = SLOT};
		check(blk_read(b, s->base, s->buf, SLOT) == 0);
		judge_read(s);
		free(s->buf);
		free(s->model);
	}
	pthread_cond_destroy(&u->freed);
	lock_destroy(&u->dev.lock);
}

static void run_case(const char *name, const struct blk_cfg *cfg, unsigned seed)
{
	pthread_t loop, users[DEVICES];
	unsigned fast = 0, slow = 0;
	struct err e = {0};

	t.pauses = 0;
	machine_begin();
	t.blk = blk_open(cfg, &e);
	if (!t.blk) {
		fprintf(stderr, "%s: %s\n", name, e.msg);
		exit(e.code == -EOPNOTSUPP ? 77 : 1);
	}
	blk_add(&t.m, t.blk);
	pthread_create(&loop, NULL, run_loop, NULL);
	for (unsigned i = 0; i < DEVICES; i++) {
		user_begin(&t.user[i], i, seed);
		pthread_create(&users[i], NULL, use, &t.user[i]);
	}
	for (unsigned i = 0; i < DEVICES; i++)
		pthread_join(users[i], NULL);
	for (unsigned i = 0; i < DEVICES; i++) {
		struct user *u = &t.user[i];

		/* What waits for a token or for room comes yet. */
		lock(&u->dev.lock);
		while (u->done < u->pending + u->inline_done)
			lock_wait(&u->dev.lock, &u->freed);
		unlock(&u->dev.lock);
		slow += u->pending;
		fast += u->inline_done;
	}
	blk_drain(t.blk);
	loop_stop(t.m.loop, 0);
	pthread_join(loop, NULL);
	blk_remove(&t.m, t.blk);
	check(blk_close(t.blk, &e) == 0);
	t.blk = blk_open(cfg, &e);
	check(t.blk);
	for (unsigned i = 0; i < DEVICES; i++)
		user_end(&t.user[i], t.blk);
	check(blk_close(t.blk, &e) == 0);
	machine_end();
	printf("%s: %u at once, %u later, %u pauses\n", name, fast, slow, t.pauses);
}

/* --- devices that go while they have requests ------------------------------------------------- */

enum { ABANDONED = 20 };

struct loose {
	struct blk_req req;
	struct iovec iov;
	u8 buf[BLK_SECTOR];
	bool pending;
	int res;
};

static void on_loose(struct blk_req *req, int res)
{
	struct loose *l = req->opaque;

	check(l->pending);
	l->pending = false;
	l->res = res;
}

/* Returns how many have ended with res. */
static unsigned count_loose(const struct loose *l, int res)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ABANDONED; i++)
		n += !l[i].pending && l[i].res == res;
	return n;
}

static void submit_loose(struct blk *b, struct device *dev, struct loose *l)
{
	lock(&dev->lock);
	for (unsigned i = 0; i < ABANDONED; i++) {
		int r;

		l[i] = (struct loose){.iov = {l[i].buf, BLK_SECTOR}, .pending = true};
		l[i].req = (struct blk_req){.op = BLK_WRITE,
					    .offset = i * 4096,
					    .len = BLK_SECTOR,
					    .iov = &l[i].iov,
					    .iovcnt = 1,
					    .done = on_loose,
					    .owner = dev,
					    .opaque = &l[i]};
		r = blk_submit(b, &l[i].req);
		if (r != BLK_PENDING)
			on_loose(&l[i].req, r);
	}
	unlock(&dev->lock);
}

static void abandon(const char *file, const char *format, u64 iops, unsigned room, bool cancel)
{
	struct blk_cfg cfg = {.file = file, .format = format, .limits.iops = iops};
	static struct loose l[ABANDONED];
	struct device dev = {.machine = &t.m};
	struct err e;

	cfg.on_error = BLK_STOP_ENOSPC;
	lock_init(&dev.lock, LOCK_DEVICE, "user");
	scatter_reset(DEVICES * SLOTS * SLOT, room);
	machine_begin();
	t.blk = blk_open(&cfg, &e);
	check(t.blk);
	blk_add(&t.m, t.blk);
	submit_loose(t.blk, &dev, l);
	if (cancel) {
		blk_cancel_waiting(t.blk, &dev);
		check(count_loose(l, 0) + count_loose(l, -ECANCELED) == ABANDONED);
		check(count_loose(l, -ECANCELED) > 10);
	}
	blk_remove(&t.m, t.blk);
	if (room == ABANDONED)
		check(count_loose(l, 0) == ABANDONED);
	check(blk_close(t.blk, &e) == 0);
	machine_end();
	lock_destroy(&dev.lock);
}

static void abandon_all(const char *dir)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/abandon-%d.img", dir, (int)getpid());
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
	check(fd >= 0 && ftruncate(fd, DEVICES * SLOTS * SLOT) == 0);
	close(fd);
	abandon(path, "raw", 4, 0, true);
	abandon(path, "raw", 4, 0, false); /* waits, and is forgotten */
	abandon(path, "scatter", 0, 3, true);
	abandon(path, "scatter", 0, 3, false);
	abandon(path, "scatter", 0, ABANDONED, false);
	unlink(path);
	printf("abandon: fine\n");
}

/* A disk that gets smaller while requests wait for a throttle: they must not reach behind it. */
static void shrink(const char *dir)
{
	struct blk_cfg cfg = {.format = "raw", .limits.iops = 10};
	static struct loose l[ABANDONED];
	struct device dev = {.machine = &t.m};
	char path[4096];
	unsigned left = 1;
	struct stat st;
	struct err e;
	pthread_t loop;
	int fd;

	snprintf(path, sizeof(path), "%s/shrink-%d.img", dir, (int)getpid());
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
	check(fd >= 0 && ftruncate(fd, ABANDONED * 4096) == 0);
	cfg.file = path;
	lock_init(&dev.lock, LOCK_DEVICE, "user");
	machine_begin();
	t.blk = blk_open(&cfg, &e);
	check(t.blk);
	blk_add(&t.m, t.blk);
	submit_loose(t.blk, &dev, l);
	blk_drain(t.blk);
	check(blk_resize(t.blk, 4096, &e) == 0);
	pthread_create(&loop, NULL, run_loop, NULL);
	while (left) {
		usleep(1000);
		lock(&dev.lock);
		left = ABANDONED - count_loose(l, 0) - count_loose(l, -EINVAL);
		unlock(&dev.lock);
	}
	loop_stop(t.m.loop, 0);
	pthread_join(loop, NULL);
	check(count_loose(l, -EINVAL) > 0);
	check(fstat(fd, &st) == 0 && st.st_size == 4096);
	blk_remove(&t.m, t.blk);
	check(blk_close(t.blk, &e) == 0);
	machine_end();
	lock_destroy(&dev.lock);
	close(fd);
	unlink(path);
	printf("shrink: fine\n");
}

static const struct stress_case {
	const char *name, *format;
	bool threads, direct;
	u64 iops, room;
} cases[] = {
	{"raw", "raw"},
	{"raw-threads", "raw", .threads = true},
	{"raw-direct", "raw", .direct = true},
	{"raw-direct-threads", "raw", .threads = true, .direct = true},
	{"raw-throttled", "raw", .iops = 20000},
	{"scatter", "scatter"},
	{"scatter-threads", "scatter", .threads = true},
	{"scatter-direct", "scatter", .direct = true},
	{"scatter-full", "scatter", .room = 100},
};

static void run_named(const struct stress_case *c, const char *dir, unsigned seed)
{
	struct blk_cfg cfg = {.format = c->format,
			      .threads = c->threads,
			      .direct = c->direct,
			      .on_error = BLK_STOP_ENOSPC,
			      .limits.iops = c->iops};
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s-%d.img", dir, c->name, (int)getpid());
	cfg.file = path;
	fd = open(path, O_CREAT | O_TRUNC | O_RDWR, 0600);
	check(fd >= 0 && ftruncate(fd, DEVICES * SLOTS * SLOT) == 0);
	close(fd);
	scatter_reset(DEVICES * SLOTS * SLOT, c->room ? (unsigned)c->room : 1 << 30);
	run_case(c->name, &cfg, seed);
	unlink(path);
	check(!c->room || t.pauses);
}

int main(int argc, char **argv)
{
	const char *dir = "/var/tmp";
	unsigned seed = 1;
	int i = 1;

	setlinebuf(stdout);
	t.count = 3000;
	for (; i + 1 < argc && argv[i][0] == '-'; i += 2) {
		if (strcmp(argv[i], "--seed") == 0)
			seed = (unsigned)atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--count") == 0)
			t.count = (unsigned)atoi(argv[i + 1]);
		else if (strcmp(argv[i], "--dir") == 0)
			dir = argv[i + 1];
	}
	abandon_all(dir);
	shrink(dir);
	for (unsigned k = 0; k < ARRAY_SIZE(cases); k++) {
		bool wanted = i == argc;

		for (int a = i; a < argc; a++)
			wanted |= strcmp(argv[a], cases[k].name) == 0;
		if (wanted)
			run_named(&cases[k], dir, seed);
	}
	return 0;
}
