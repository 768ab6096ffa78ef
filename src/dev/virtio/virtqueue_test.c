/* SPDX-License-Identifier: MIT */
/*
 * virtqueue_test.c - the device's side of rings with a driver model at the other: random chains
 * in random order around the rings many times, notifications both ways, and all that a driver
 * can do wrong.
 */
#include "dev/virtio/driver.h"
#include "dev/virtio/virtqueue.h"

#include <errno.h>

enum { SEGS = 8, RING = 0x10000, TABLES = 0x20000, DATA = 0x80000, NR_LIVE = 64 };

static struct machine *m;
static struct device toy;
static u64 seed = 88172645463325252ull;

static const struct mode {
	bool packed, event_idx;
	u16 size;
} modes[] = {
	{false, false, 8}, {false, true, 16}, {false, true, 1},	  {false, true, 256},
	{true, false, 8},  {true, true, 16},  {true, true, 7},	  {true, true, 256},
	{true, true, 1},   {true, false, 3},  {false, false, 64}, {true, true, 200},
};

static u32 rnd(u32 below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 20) % below;
}

static u64 features(const struct mode *mode)
{
	return VIRTIO_F(INDIRECT_DESC) | (mode->packed ? VIRTIO_F(RING_PACKED) : 0) |
	       (mode->event_idx ? VIRTIO_F(EVENT_IDX) : 0);
}

static void bind(struct virtqueue *q, const struct drv_ring *r, u64 f)
{
	vq_reset(q);
	q->size = r->size;
	q->desc = r->desc;
	q->driver = r->driver;
	q->device = r->device;
	CHECK(vq_start(q, f) == 0);
}

struct live {
	int id; /* -1: free */
	struct drv_buf buf[SEGS];
	unsigned n;
	bool popped;
	u32 written;
	struct vq_chain chain;
	struct iovec iov[SEGS];
	struct vq_seg seg[SEGS];
};

static struct live live[NR_LIVE];

static struct live *find(int id)
{
	for (unsigned i = 0; i < NR_LIVE; i++)
		if (live[i].id == id)
			return &live[i];
	return NULL;
}

static bool offer(struct drv_ring *r)
{
	struct live *l = find(-1);
	unsigned slot = (unsigned)(l - live), ins = 0;

	if (!l)
		return false;
	l->n = 1 + rnd(SEGS);
	for (unsigned i = 0; i < l->n; i++) {
		ins |= rnd(3) == 0;
		l->buf[i] = (struct drv_buf){DATA + slot * 0x1000 + i * 0x100, 1 + rnd(0x100), ins};
	}
	if (rnd(2))
		l->id = drv_add(r, l->buf, l->n);
	else
		l->id = drv_add_indirect(r, TABLES + slot * 0x100, l->buf, l->n);
	l->popped = false;
	return l->id >= 0;
}

static bool take(struct virtqueue *q)
{
	static struct live scratch;
	struct vq_chain *c = &scratch.chain;
	struct live *l;
	int rc;

	*c = (struct vq_chain){.iov = scratch.iov, .seg = scratch.seg, .max = SEGS};
	rc = vq_pop(q, c);
	CHECK(rc >= 0);
	if (!rc)
		return false;
	l = find(c->id);
	CHECK(l && !l->popped && c->nr_out + c->nr_in == l->n);
	for (unsigned i = 0; i < l->n; i++) {
		CHECK(c->iov[i].iov_base == tb_ram + l->buf[i].addr);
		CHECK(c->iov[i].iov_len == l->buf[i].len);
		CHECK(l->buf[i].in == (i >= c->nr_out));
	}
	memcpy(l->iov, scratch.iov, sizeof(l->iov));
	memcpy(l->seg, scratch.seg, sizeof(l->seg));
	l->chain = *c;
	l->chain.seg = l->seg;
	l->popped = true;
	return true;
}

/* Push up to n of those popped, in any order; how many. */
static unsigned give_back(struct virtqueue *q, unsigned n)
{
	unsigned done = 0, first = rnd(NR_LIVE);

	for (unsigned k = 0; k < NR_LIVE && done < n; k++) {
		struct live *l = &live[(first + k) % NR_LIVE];

		if (l->id < 0 || !l->popped)
			continue;
		l->written = l->chain.nr_in ? rnd(1 + (u32)l->chain.in_len) : 0;
		vq_push(q, &l->chain, l->written);
		l->popped = false;
		l->chain.nr_in = ~0u; /* pushed */
		done++;
	}
	return done;
}

static unsigned reap(struct drv_ring *r)
{
	unsigned n = 0;
	u32 len;
	int id;

	while ((id = drv_used(r, &len)) >= 0) {
		struct live *l = find(id);

		CHECK(l && l->chain.nr_in == ~0u && len == l->written);
		l->id = -1;
		n++;
	}
	return n;
}

/*
 * Each side sleeps when it has found nothing and asked to be woken: then what the other does
 * next has to wake it, or it would sleep for ever.
 */
static void test_traffic(const struct mode *mode)
{
	static struct drv_ring r;
	struct virtqueue q;
	bool driver_sleeps = false, device_sleeps = false;
	unsigned total = 0, interrupts = 0, kicks = 0;

	for (unsigned i = 0; i < NR_LIVE; i++)
		live[i].id = -1;
	drv_ring_init(&r, m, mode->packed, mode->event_idx, mode->size, RING);
	vq_init(&q, &toy, 0, 256);
	bind(&q, &r, features(mode));
	drv_want_none(&r);
	for (unsigned round = 0; round < 20000; round++) {
		u16 from = r.next;
		bool from_wrap = r.wrap, any = false;

		for (unsigned n = rnd(6); n; n--)
			any |= offer(&r);
		if (any && drv_must_kick(&r, from, from_wrap)) {
			device_sleeps = false;
			kicks++;
		}
		CHECK(!any || !device_sleeps);
		if (!device_sleeps) {
			vq_hush(&q);
			for (unsigned n = rnd(8); n && take(&q); n--)
				;
			if (rnd(2)) {
				device_sleeps = !take(&q) && !vq_rearm(&q);
			}
		}
		any = give_back(&q, rnd(5));
		if (vq_flush(&q)) {
			driver_sleeps = false;
			interrupts++;
		}
		CHECK(!any || !driver_sleeps);
		if (!driver_sleeps && rnd(2)) {
			total += reap(&r);
			drv_want_interrupt(&r);
			driver_sleeps = rnd(2) && !reap(&r);
			if (!driver_sleeps && !mode->event_idx)
				drv_want_none(&r);
		}
	}
	while (take(&q))
		;
	CHECK(total > 2000 && interrupts > 100 && interrupts <= total && kicks > 100);
	give_back(&q, NR_LIVE);
	(void)!vq_flush(&q);
	reap(&r);
	CHECK(q.busy == 0 && !find(0));
}

/* --- what drivers do wrong ---------------------------------------------------------------- */

static struct iovec iov[SEGS];
static struct vq_seg seg[SEGS];

static int pop(struct virtqueue *q)
{
	struct vq_chain c = {.iov = iov, .seg = seg, .max = SEGS};
	int rc = vq_pop(q, &c);

	if (rc > 0)
		vq_push(q, &c, 0);
	CHECK(rc >= 0 || (rc == -EINVAL && q->error));
	return rc;
}

/* Chains that are wrong alike on both kinds of ring. */
static const struct wrong {
	struct drv_buf buf[3];
	unsigned n;
} wrongs[] = {
	{{{DATA, 0, false}}, 1},
	{{{DATA, 16, false}, {DATA, 0, true}}, 2},
	{{{DATA, 1, true}, {DATA, 1, false}}, 2},
	{{{TB_RAM, 1, false}}, 1},
	{{{TB_RAM - 1, 2, true}}, 1},
	{{{0xb0000000, 64, true}}, 1}, /* registers */
	{{{~0ull, 1, false}}, 1},
	{{{~0ull - 15, 17, true}}, 1},
	{{{DATA, 0xffffffff, true}}, 1},
};

static void test_wrong(const struct mode *mode)
{
	static struct drv_ring r;
	struct virtqueue q;

	vq_init(&q, &toy, 0, 256);
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(wrongs); i++) {
		const struct wrong *w = &wrongs[i / 2];
		const struct drv_buf fine = {DATA, 1, false};

		drv_ring_init(&r, m, mode->packed, mode->event_idx, 8, RING);
		bind(&q, &r, features(mode));
		CHECK(drv_add(&r, &fine, 1) >= 0);
		if (i & 1)
			CHECK(drv_add_indirect(&r, TABLES, w->buf, w->n) >= 0);
		else
			CHECK(drv_add(&r, w->buf, w->n) >= 0);
		CHECK(pop(&q) == 1 && pop(&q) == -EINVAL);
		/* It stays so, and the driver is not asked for more. */
		CHECK(pop(&q) == -EINVAL && !vq_rearm(&q) && q.busy == 0);
	}
}

static void test_wrong_tables(const struct mode *mode)
{
	static const struct drv_buf fine = {DATA, 1, false};
	static struct drv_ring r;
	struct virtqueue q;

	vq_init(&q, &toy, 0, 256);
	for (unsigned i = 0; i < 8; i++) {
		gpa_t table = i == 0 ? TB_RAM - 8 : TABLES;
		gpa_t head;

		drv_ring_init(&r, m, mode->packed, mode->event_idx, 8, RING);
		bind(&q, &r, i == 1 ? features(mode) & ~VIRTIO_F(INDIRECT_DESC) : features(mode));
		CHECK(drv_add_indirect(&r, table, &fine, 1) >= 0);
		head = r.desc; /* id 0 is the first to go in either kind */
		switch (i) {
		case 2: as_store(m->mem, head + 8, 0, 4); break;
		case 3: as_store(m->mem, head + 8, 17, 4); break;
		case 4: as_store(m->mem, head + 8, 0xfffffff0, 4); break;
		case 5: /* a table in the table */
			as_store(m->mem, TABLES + (mode->packed ? 14 : 12), DRV_INDIRECT, 2);
			break;
		case 6: /* goes on behind the table */
			if (mode->packed) {
				as_store(m->mem, head + 14,
					 as_load(m->mem, head + 14, 2) | DRV_NEXT, 2);
				break;
			}
			as_store(m->mem, TABLES + 12, DRV_NEXT | 1u << 16, 4);
			break;
		case 7: /* more than there is room for */
			for (unsigned k = 0; k <= SEGS; k++)
				drv_put_desc(m, TABLES + 16 * k, DATA, 1,
					     mode->packed ? 0 : DRV_NEXT,
					     mode->packed ? 0 : (u16)(k + 1));
			as_store(m->mem, head + 8, 16 * (SEGS + 1), 4);
			break;
		default: break;
		}
		CHECK(pop(&q) == -EINVAL);
	}
}

static void test_wrong_split(void)
{
	static const struct mode split = {false, true, 8};
	static const struct drv_buf fine[2] = {{DATA, 1, false}, {DATA, 1, true}};
	static struct drv_ring r;
	struct virtqueue q;

	vq_init(&q, &toy, 0, 256);
	for (unsigned i = 0; i < 5; i++) {
		drv_ring_init(&r, m, false, true, 8, RING);
		bind(&q, &r, features(&split));
		CHECK(drv_add(&r, fine, 2) == 0);
		switch (i) {
		case 0: as_store(m->mem, r.driver + 2, 9, 2); break; /* more than fit */
		case 1: as_store(m->mem, r.driver + 4, 8, 2); break; /* no such head */
		case 2: as_store(m->mem, r.desc + 14, 8, 2); break;  /* no such next */
		case 3: as_store(m->mem, r.desc + 14, 0, 2); break;  /* itself */
		default: as_store(m->mem, r.driver + 2, 0xffff, 2); break;
		}
		CHECK(pop(&q) == -EINVAL);
	}
}

static void test_wrong_packed(void)
{
	static const struct mode packed = {true, true, 4};
	static struct drv_ring r;
	struct virtqueue q;

	vq_init(&q, &toy, 0, 256);
	drv_ring_init(&r, m, true, true, 4, RING);
	bind(&q, &r, features(&packed));
	for (unsigned i = 0; i < 4; i++) /* around and around */
		drv_put_desc(m, r.desc + 16 * i, DATA, 1, 0, 0x80 | DRV_NEXT);
	CHECK(pop(&q) == -EINVAL);
}

static void test_start(void)
{
	static const struct {
		u16 size;
		bool packed;
		gpa_t desc, driver, device;
		bool fine;
	} t[] = {
		{8, false, RING, RING + 0x100, RING + 0x200, true},
		{0, false, RING, RING + 0x100, RING + 0x200, false},
		{0, true, RING, RING + 0x100, RING + 0x200, false},
		{7, false, RING, RING + 0x100, RING + 0x200, false},
		{7, true, RING, RING + 0x100, RING + 0x200, true},
		{512, false, RING, RING + 0x4000, RING + 0x8000, false},
		{8, false, TB_RAM - 64, RING, RING + 0x200, false},
		{8, false, RING, TB_RAM - 21, RING + 0x200, false},
		{8, false, RING, TB_RAM - 22, RING + 0x200, true},
		{8, false, RING, RING + 0x100, TB_RAM - 69, false},
		{8, true, RING, RING + 0x100, TB_RAM - 4, true},
		{8, true, RING, RING + 0x100, TB_RAM - 3, false},
		{8, false, RING, RING + 0x100, ~0ull - 3, false},
		{8, false, 0xb0000000, RING, RING + 0x100, false},
	};
	struct virtqueue q;

	vq_init(&q, &toy, 0, 256);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		vq_reset(&q);
		q.size = t[i].size;
		q.desc = t[i].desc;
		q.driver = t[i].driver;
		q.device = t[i].device;
		CHECK((vq_start(&q, t[i].packed ? VIRTIO_F(RING_PACKED) : 0) == 0) == t[i].fine);
		CHECK(t[i].fine == !q.error && (t[i].fine || pop(&q) == -EINVAL));
	}
}

/* A chain of an earlier life touches neither ring nor counters of this one. */
static void test_lives(const struct mode *mode)
{
	static const struct drv_buf buf = {DATA, 16, true};
	static struct drv_ring r;
	struct vq_chain old = {.iov = iov, .seg = seg, .max = SEGS};
	struct virtqueue q;
	u32 len;

	drv_ring_init(&r, m, mode->packed, mode->event_idx, 8, RING);
	vq_init(&q, &toy, 0, 256);
	bind(&q, &r, features(mode));
	CHECK(drv_add(&r, &buf, 1) >= 0 && vq_pop(&q, &old) == 1 && q.busy == 1);
	CHECK(vq_is_current(&q, &old));
	drv_ring_init(&r, m, mode->packed, mode->event_idx, 8, RING);
	bind(&q, &r, features(mode));
	CHECK(!vq_is_current(&q, &old) && q.busy == 1);
	vq_push(&q, &old, 16);
	CHECK(q.busy == 0 && drv_used(&r, &len) < 0 && !vq_flush(&q));
	CHECK(drv_add(&r, &buf, 1) >= 0 && pop(&q) == 1 && drv_used(&r, &len) >= 0);
}

static void test_copies(void)
{
	static const struct drv_buf buf[] = {{DATA, 3, false},
					     {DATA + 16, 5, false},
					     {DATA + 32, 2, true},
					     {DATA + 48, 1, true}};
	static const struct mode split = {false, true, 8};
	static struct drv_ring r;
	struct vq_chain c = {.iov = iov, .seg = seg, .max = SEGS};
	struct virtqueue q;
	char out[9] = {0};

	memcpy(tb_ram + DATA, "abc", 3);
	memcpy(tb_ram + DATA + 16, "defgh", 5);
	drv_ring_init(&r, m, false, true, 8, RING);
	vq_init(&q, &toy, 0, 256);
	bind(&q, &r, features(&split));
	CHECK(drv_add(&r, buf, 4) >= 0 && vq_pop(&q, &c) == 1);
	CHECK(c.out_len == 8 && c.in_len == 3);
	CHECK(!vq_take(&c, out, 9) && vq_take(&c, out, 2) && vq_take(&c, out + 2, 4));
	CHECK(!strcmp(out, "abcdef") && c.out_len == 2 && c.nr_out == 1 && c.out->iov_len == 2);
	CHECK(vq_take(&c, out, 2) && c.nr_out == 0 && !vq_take(&c, out, 1));
	CHECK(vq_last(&c) == tb_ram + DATA + 48 && c.in_len == 2 && c.nr_in == 1);
	CHECK(!vq_give(&c, "xyz", 3) && vq_give(&c, "x", 1));
	CHECK(vq_last(&c) == tb_ram + DATA + 33 && !vq_last(&c) && !vq_give(&c, "x", 1));
	CHECK(tb_ram[DATA + 32] == 'x');
	vq_push(&q, &c, 1);
}

int main(void)
{
	m = tb_new();
	toy.machine = m;
	toy.id = "toy";
	for (unsigned i = 0; i < ARRAY_SIZE(modes); i++)
		test_traffic(&modes[i]);
	for (unsigned packed = 0; packed < 2; packed++) {
		const struct mode mode = {packed, true, 8};

		test_wrong(&mode);
		test_wrong_tables(&mode);
		test_lives(&mode);
	}
	test_wrong_split();
	test_wrong_packed();
	test_start();
	test_copies();
	tb_free(m);
	return 0;
}
