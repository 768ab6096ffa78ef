/* SPDX-License-Identifier: MIT */
/* device_test.c - adding, ids, reset, removal; state to bytes and back. */
#include <errno.h>

#include "core/test.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/opts.h"

enum { FIFO = 4 };

struct chan {
	u16 count;
	u8 mode;
};

struct toy {
	struct device dev;
	struct region region;
	u32 port;
	const char *label;
	bool on;
	u64 value;
	u8 fifo[FIFO];
	struct chan chan[3];
	u16 words[2];
	struct chan one;
	struct timer timer;
	u32 newer;
	unsigned resets, loads;
};

static int destroyed;

static u64 toy_read(void *dev, u64 off, unsigned size)
{
	return ((struct toy *)dev)->value >> off * 8;
}

static void toy_write(void *dev, u64 off, u64 val, unsigned size)
{
	if (val == 0xbad)
		guest_error(dev, "bad value");
}

static const struct io_ops toy_ops = {toy_read, toy_write, IO_8 | IO_32};

static void toy_timer(struct timer *t)
{
}

static int toy_realize(struct device *dev, struct err *e)
{
	struct toy *t = (struct toy *)dev;

	t->timer = (struct timer){.owner = dev, .fn = toy_timer, .clock = CLOCK_GUEST};
	t->region = (struct region){"toy", t->port, 8, REGION_IO, NULL, &toy_ops, t, dev};
	if (as_map(dev->machine->pio, &t->region))
		return err_set(e, -EINVAL, "ports %#x are taken", t->port);
	return 0;
}

static void toy_unrealize(struct device *dev)
{
	struct toy *t = (struct toy *)dev;

	timer_cancel(dev->machine->loop, &t->timer);
	as_unmap(dev->machine->pio, &t->region);
	destroyed = destroyed * 10 + (int)t->port / 16;
}

static void toy_reset(struct device *dev)
{
	((struct toy *)dev)->resets++;
}

static int toy_post_load(struct device *dev, struct err *e)
{
	struct toy *t = (struct toy *)dev;

	t->loads++;
	return t->chan[0].mode > 100 ? err_set(e, -EINVAL, "mode") : 0;
}

#define AT(m) offsetof(struct toy, m), sizeof(((struct toy *)0)->m)

static const struct state_field chan_state[] = {
	{"count", STATE_INT, offsetof(struct chan, count), 2, 1},
	{"mode", STATE_INT, offsetof(struct chan, mode), 1, 1},
	{NULL},
};

static const struct state_field toy_state[] = {
	{"on", STATE_INT, AT(on), 1},
	{"value", STATE_INT, AT(value), 1},
	{"fifo", STATE_BLOB, AT(fifo), 1},
	{"chan", STATE_ARRAY, offsetof(struct toy, chan), sizeof(struct chan), 1, chan_state, 3},
	{"words", STATE_ARRAY, offsetof(struct toy, words), 2, 1, NULL, 2},
	{"one", STATE_STRUCT, AT(one), 1, chan_state},
	{"timer", STATE_TIMER, AT(timer), 1},
	{"newer", STATE_INT, AT(newer), 2},
	{NULL},
};

static const struct param toy_params[] = {
	{"port", PARAM_U32, offsetof(struct toy, port), "16", "first port"},
	{"label", PARAM_STR, offsetof(struct toy, label), "none", "a name"},
	{NULL},
};

static const struct device_type toy = {
	.name = "toy",
	.size = sizeof(struct toy),
	.version = 2,
	.params = toy_params,
	.state = toy_state,
	.realize = toy_realize,
	.unrealize = toy_unrealize,
	.reset = toy_reset,
	.post_load = toy_post_load,
};

const struct device_type *const device_types[] = {&toy, NULL};

static struct device *add(struct machine *m, const char *spec, struct err *e)
{
	struct opts *o = opts_parse(spec, e);
	struct device *dev = device_add(m, o, e);

	opts_free(o);
	return dev;
}

static void test_life(struct machine *m)
{
	struct err e;
	struct toy *a = (struct toy *)add(m, "toy,label=hello", &e);
	struct device *b = add(m, "toy,port=32", &e), *c = add(m, "toy,port=48,id=mine", &e);

	check(a && b && c);
	check(!strcmp(a->dev.id, "toy0") && !strcmp(b->id, "toy1") && !strcmp(c->id, "mine"));
	check(a->resets == 1 && !strcmp(a->label, "hello"));
	check(device_find(m, "mine") == c && !device_find(m, "toy2"));
	check(!add(m, "toi", &e) && strstr(e.msg, "'toy'"));
	check(!add(m, "toy,port=64,id=mine", &e) && strstr(e.msg, "taken"));
	check(!add(m, "toy,port=20", &e) && !strcmp(e.msg, "toy2: ports 0x14 are taken"));
	device_reset_all(m);
	check(a->resets == 2);

	a->value = 0x11223344;
	check(as_load(m->pio, 16, 4) == 0x11223344 && as_load(m->pio, 17, 1) == 0x33);
	as_store(m->pio, 16, 0xbad, 4);
	check(m->guest_errors == 1);

	device_del(b);
	check(destroyed == 2 && as_load(m->pio, 32, 1) == 0xff);
	b = add(m, "toy,port=32", &e);
	check(b && !strcmp(b->id, "toy1"));
	device_del_all(m);
	check(!m->devices && destroyed == 2231);
}

static void fill(struct toy *t)
{
	t->on = true;
	t->value = 0x0123456789abcdef;
	memcpy(t->fifo, "wxyz", FIFO);
	for (int i = 0; i < 3; i++)
		t->chan[i] = (struct chan){(u16)(0x1000 + i), (u8)(i + 7)};
	t->words[0] = 0xaaaa;
	t->words[1] = 0x5555;
	t->one = (struct chan){0x777, 3};
	t->newer = 0xfeedface;
	timer_arm(t->dev.machine->loop, &t->timer, 123456789012);
}

static void test_state(struct machine *m)
{
	struct err e;
	struct toy *a = (struct toy *)add(m, "toy", &e),
		   *b = (struct toy *)add(m, "toy,port=32", &e);
	struct buf one = {0}, two = {0};

	fill(a);
	check(!device_save(&a->dev, &one));
	check(one.len == 2 + 1 + 8 + 4 + 9 + 4 + 3 + 8 + 4);
	check(!device_load(&b->dev, &one, &e) && one.pos == one.len);
	check(b->loads == 1 && b->on && b->value == a->value && b->newer == 0xfeedface);
	check(b->chan[2].count == 0x1002 && b->words[1] == 0x5555 && b->one.mode == 3);
	check(b->timer.deadline == 123456789012);
	check(!device_save(&b->dev, &two));
	check(two.len == one.len && !memcmp(one.data, two.data, one.len));

	/* Every prefix is refused, and so is a version to come. */
	for (size_t n = 0; n < one.len; n++) {
		struct buf cut = {.data = one.data, .len = n};

		check(device_load(&b->dev, &cut, &e) == -EINVAL);
	}
	one.pos = 0;
	st_le16(one.data, 3);
	check(device_load(&b->dev, &one, &e) == -EINVAL);

	/* Version 1 had no "newer". */
	one.pos = 0;
	one.len -= 4;
	st_le16(one.data, 1);
	b->newer = 5;
	check(!device_load(&b->dev, &one, &e) && b->newer == 5);
	buf_destroy(&one);
	buf_destroy(&two);
	device_del_all(m);
}

int main(void)
{
	struct machine m = {0};
	struct err e;

	lock_init(&m.lock, LOCK_MACHINE, "machine");
	m.mem = as_new("mem", 1ull << 40);
	m.pio = as_new("pio", 0x10000);
	m.loop = loop_new();
	check(m.mem && m.pio && m.loop && !clock_init(&m, &e));
	loop_set_machine(m.loop, &m);
	test_life(&m);
	test_state(&m);
	loop_free(m.loop);
	clock_destroy(&m);
	as_free(m.mem);
	as_free(m.pio);
	lock_destroy(&m.lock);
	return 0;
}
