/* SPDX-License-Identifier: MIT */
/*
 * hpet.c - high precision event timer: three timers on a 64-bit counter of 100 MHz.
 *
 * Source: IA-PC HPET Specification 1.0a.
 *
 *   0xfed00000  0x000 general capabilities and ID, 0x989680_8086a201
 *               0x010 general configuration: ENABLE_CNF, LEG_RT_CNF; reset 0
 *               0x020 general interrupt status: a bit per timer, write 1 to clear; reset 0
 *               0x0f0 main counter; reset 0
 *               0x100 + 0x20 n  configuration and capabilities of timer n; reset: periodic,
 *                               64 bits, the routes the board offers, all else 0
 *               0x108 + 0x20 n  comparator; reset ~0
 *
 * Not modelled: FSB (message) delivery, which the capabilities do not offer.  A comparator
 * matches when the counter comes to it, so one that is written too late waits for the counter
 * to come around, as in hardware.  Matches of a periodic timer that were missed, and those less
 * than TIMER_MIN_PERIOD_NS apart, become one.
 *
 * The PIT's and the RTC's interrupts go through here without the device's lock (they hold their
 * own): levels are atomics, and drive() looks again until wire and levels agree.
 */
#include "dev/timer/hpet.h"

#include <errno.h>
#include <stdatomic.h>

#include "dev/map.h"
#include "dev/timer/limits.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { NR_TIMERS = 3, TICK_NS = 10 };

/* 10 ns in fs; vendor; LEG_RT_CAP, COUNT_SIZE_CAP, number of the last timer, revision 1 */
#define HPET_CAP (10000000ull << 32 | 0x8086u << 16 | 0xa001u | (NR_TIMERS - 1) << 8)

enum { CFG_ENABLE = 1, CFG_LEGACY = 2 };

enum {
	TN_LEVEL = 1 << 1,
	TN_ENABLE = 1 << 2,
	TN_PERIODIC = 1 << 3,
	TN_PERIODIC_CAP = 1 << 4,
	TN_SIZE_CAP = 1 << 5,
	TN_VAL_SET = 1 << 6,
	TN_32BIT = 1 << 8,
	TN_ROUTE_SHIFT = 9,
	TN_ROUTE = 31 << TN_ROUTE_SHIFT,
	TN_WRITABLE = TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_VAL_SET | TN_32BIT | TN_ROUTE,
};

struct hpet_timer {
	u32 config;
	u64 cmp;    /* the comparator */
	u64 period; /* last value written to it in periodic mode */
	u64 target; /* counter value of the next match, with ticks for 32-bit wraps; if armed */
	bool armed;
};

struct hpet {
	struct device dev;
	struct region region;
	struct timer timer;
	u64 config, isr;
	u64 counter; /* while it stands still; else at CLOCK_GUEST 0, modulo 2^64 */
	struct hpet_timer t[NR_TIMERS];

	u32 routes; /* GSIs that the board connected */
	struct irq_line gsi[32];
	u32 gsi_levels;

	struct irq_line legacy[2];
	_Atomic bool legacy_on;
	_Atomic bool input[2]; /* from PIT and RTC */
	_Atomic bool own[2];   /* from timers 0 and 1 */
};

static u64 hpet_now(struct hpet *h)
{
	if (!(h->config & CFG_ENABLE))
		return h->counter;
	return h->counter + clock_now(h->dev.machine, CLOCK_GUEST) / TICK_NS;
}

static bool legacy_level(struct hpet *h, unsigned which)
{
	return atomic_load(&h->legacy_on) ? atomic_load(&h->own[which])
					  : atomic_load(&h->input[which]);
}

static void drive(struct hpet *h, unsigned which)
{
	bool level;

	do {
		level = legacy_level(h, which);
		irq_set(&h->legacy[which], level);
	} while (legacy_level(h, which) != level);
}

static void hpet_input_set(void *sink, unsigned pin, bool level)
{
	struct hpet *h = sink;

	atomic_store(&h->input[pin], level);
	if (!atomic_load(&h->legacy_on))
		drive(h, pin);
}

static bool is_legacy(struct hpet *h, unsigned n)
{
	return (h->config & CFG_LEGACY) && n < 2;
}

static unsigned route(const struct hpet_timer *t)
{
	return (t->config & TN_ROUTE) >> TN_ROUTE_SHIFT;
}

static bool holds_level(struct hpet *h, unsigned n)
{
	const u32 both = TN_LEVEL | TN_ENABLE;

	return (h->t[n].config & both) == both && (h->isr & 1u << n) && (h->config & CFG_ENABLE);
}

/* Drive the level-triggered outputs as status and configuration say. */
static void hpet_levels(struct hpet *h)
{
	u32 levels = 0, changed;

	for (unsigned n = 0; n < NR_TIMERS; n++) {
		if (!is_legacy(h, n) && holds_level(h, n))
			levels |= 1u << route(&h->t[n]);
	}
	changed = levels ^ h->gsi_levels;
	h->gsi_levels = levels;
	for (unsigned g = 0; g < 32; g++) {
		if (changed & 1u << g)
			irq_set(&h->gsi[g], levels & 1u << g);
	}
	for (unsigned n = 0; n < 2; n++) {
		bool level = is_legacy(h, n) && holds_level(h, n);

		if (atomic_exchange(&h->own[n], level) != level)
			drive(h, n);
	}
}

static void hpet_match(struct hpet *h, unsigned n)
{
	struct hpet_timer *t = &h->t[n];

	if (t->config & TN_LEVEL) {
		h->isr |= 1u << n;
		hpet_levels(h);
	} else if (!(t->config & TN_ENABLE)) {
		return;
	} else if (is_legacy(h, n)) {
		atomic_store(&h->own[n], true);
		drive(h, n);
		atomic_store(&h->own[n], false);
		drive(h, n);
	} else if (!(h->gsi_levels & 1u << route(t))) {
		irq_pulse(&h->gsi[route(t)]);
	}
}

/* The counter value, from now on, at which the comparator matches. */
static void hpet_arm(struct hpet_timer *t, u64 now)
{
	t->armed = true;
	if (t->config & TN_32BIT)
		t->target = now + (u32)((u32)t->cmp - (u32)now);
	else
		t->target = t->cmp;
	t->armed = t->target >= now;
}

/* The match has been: on to the next. */
static void hpet_advance(struct hpet_timer *t, u64 now)
{
	u64 mask = t->config & TN_32BIT ? 0xffffffffull : ~0ull;
	u64 period = t->period & mask, step;

	if (!(t->config & TN_PERIODIC) || !period) {
		t->armed = false;
		if (t->config & TN_32BIT) { /* it comes around */
			t->target += ((now - t->target) >> 32 << 32) + (1ull << 32);
			t->armed = true;
		}
		return;
	}
	step = (now - t->target) / period * period;
	/* The first one after now; then on to one that is not too soon, if those are dense. */
	step += period;
	if (period < TIMER_MIN_PERIOD_NS / TICK_NS)
		step += TIMER_MIN_PERIOD_NS / TICK_NS / period * period;
	if (t->target + step < t->target) {
		t->armed = false;
		return;
	}
	t->target += step;
	t->cmp = t->target & mask;
}

/* Deliver what is due and set the loop's timer.  Before and after each change. */
static void hpet_update(struct hpet *h)
{
	u64 now = hpet_now(h), next = ~0ull, ns = clock_now(h->dev.machine, CLOCK_GUEST);
	struct loop *loop = h->dev.machine->loop;

	for (unsigned n = 0; n < NR_TIMERS && (h->config & CFG_ENABLE); n++) {
		struct hpet_timer *t = &h->t[n];

		if (t->armed && now >= t->target) {
			hpet_advance(t, now);
			hpet_match(h, n);
		}
		/* Without an interrupt to make there is nothing to wake up for. */
		if (t->armed && (t->config & TN_ENABLE) && t->target - now < next)
			next = t->target - now;
	}
	if (next == ~0ull || next > (~0ull - ns) / TICK_NS)
		timer_cancel(loop, &h->timer);
	else
		timer_arm(loop, &h->timer, ns - ns % TICK_NS + next * TICK_NS);
}

static void hpet_timer(struct timer *timer)
{
	hpet_update(container_of(timer, struct hpet, timer));
}

/* Anything that decides when a comparator matches was written. */
static void hpet_rearm(struct hpet *h)
{
	for (unsigned n = 0; n < NR_TIMERS; n++)
		hpet_arm(&h->t[n], hpet_now(h));
}

static void write_config(struct hpet *h, u64 val)
{
	u64 now = hpet_now(h), ticks = clock_now(h->dev.machine, CLOCK_GUEST) / TICK_NS;

	h->config = val & (CFG_ENABLE | CFG_LEGACY);
	h->counter = h->config & CFG_ENABLE ? now - ticks : now;
	hpet_rearm(h);
	if (atomic_exchange(&h->legacy_on, val & CFG_LEGACY) != (bool)(val & CFG_LEGACY)) {
		drive(h, HPET_LEGACY_PIT);
		drive(h, HPET_LEGACY_RTC);
	}
	hpet_levels(h);
}

static void write_counter(struct hpet *h, u64 val)
{
	if (h->config & CFG_ENABLE)
		val -= clock_now(h->dev.machine, CLOCK_GUEST) / TICK_NS;
	h->counter = val;
	hpet_rearm(h);
}

static void write_timer_config(struct hpet *h, unsigned n, u32 val)
{
	struct hpet_timer *t = &h->t[n];

	t->config = (val & TN_WRITABLE) | TN_PERIODIC_CAP | TN_SIZE_CAP;
	if (!(h->routes & 1u << route(t)))
		t->config &= ~(u32)TN_ROUTE;
	if (t->config & TN_32BIT) {
		t->cmp = (u32)t->cmp;
		t->period = (u32)t->period;
	}
	if (!(t->config & TN_LEVEL))
		h->isr &= ~(1ull << n);
	hpet_arm(t, hpet_now(h));
	hpet_levels(h);
}

/*
 * In periodic mode a write sets the period, and with Tn_VAL_SET_CNF also the comparator
 * ("Timer n Comparator Register").  mask says which half, or all, is written.
 */
static void write_comparator(struct hpet *h, struct hpet_timer *t, u64 val, u64 mask)
{
	if (t->config & TN_32BIT) {
		val &= 0xffffffff;
		mask |= ~0xffffffffull;
	}
	if (!(t->config & TN_PERIODIC) || (t->config & TN_VAL_SET))
		t->cmp = (t->cmp & ~mask) | (val & mask);
	if (t->config & TN_PERIODIC)
		t->period = (t->period & ~mask) | (val & mask);
	t->config &= ~(u32)TN_VAL_SET;
	hpet_arm(t, hpet_now(h));
}

static u64 timer_config(struct hpet *h, unsigned n)
{
	return (u64)h->routes << 32 | h->t[n].config;
}

/* The 64-bit register at off, a multiple of 8. */
static u64 hpet_reg(struct hpet *h, u64 off)
{
	switch (off) {
	case 0x000: return HPET_CAP;
	case 0x010: return h->config;
	case 0x020: return h->isr;
	case 0x0f0: return hpet_now(h);
	}
	if (off >= 0x100 && off < 0x100 + 0x20 * NR_TIMERS) {
		unsigned n = (unsigned)(off - 0x100) / 0x20;

		if ((off & 0x1f) == 0)
			return timer_config(h, n);
		if ((off & 0x1f) == 8)
			return h->t[n].cmp;
	}
	return 0;
}

static u64 hpet_read(void *dev, u64 off, unsigned size)
{
	struct hpet *h = dev;
	u64 val;

	hpet_update(h);
	val = hpet_reg(h, off & ~7ull);
	return size == 8 ? val : (u32)(val >> (off & 4 ? 32 : 0));
}

static void hpet_write(void *dev, u64 off, u64 val, unsigned size)
{
	struct hpet *h = dev;
	u64 reg = off & ~7ull, mask = size == 8 ? ~0ull : 0xffffffffull << (off & 4 ? 32 : 0);
	u64 whole;

	if (off & 4)
		val <<= 32;
	hpet_update(h);
	whole = (hpet_reg(h, reg) & ~mask) | (val & mask);
	if (reg == 0x010) {
		write_config(h, whole);
	} else if (reg == 0x020) {
		h->isr &= ~(val & mask);
		hpet_levels(h);
	} else if (reg == 0x0f0) {
		write_counter(h, whole);
	} else if (reg >= 0x100 && reg < 0x100 + 0x20 * NR_TIMERS) {
		unsigned n = (unsigned)(reg - 0x100) / 0x20;

		if ((reg & 0x1f) == 0)
			write_timer_config(h, n, (u32)whole);
		else if ((reg & 0x1f) == 8)
			write_comparator(h, &h->t[n], val, mask);
	}
	hpet_update(h);
}

static const struct io_ops hpet_ops = {hpet_read, hpet_write, IO_32 | IO_64};

struct irq_line hpet_input(struct device *dev, unsigned which)
{
	if (which > HPET_LEGACY_RTC)
		return (struct irq_line){0};
	return (struct irq_line){.set = hpet_input_set, .sink = dev, .pin = which};
}

void hpet_connect_legacy(struct device *dev, unsigned which, struct irq_line l)
{
	if (which <= HPET_LEGACY_RTC)
		((struct hpet *)dev)->legacy[which] = l;
}

void hpet_connect(struct device *dev, unsigned gsi, struct irq_line l)
{
	struct hpet *h = (struct hpet *)dev;

	if (gsi >= ARRAY_SIZE(h->gsi))
		return;
	h->gsi[gsi] = l;
	h->routes |= 1u << gsi;
}

static int hpet_realize(struct device *dev, struct err *e)
{
	struct hpet *h = (struct hpet *)dev;

	h->timer = (struct timer){.owner = dev, .fn = hpet_timer, .clock = CLOCK_GUEST};
	h->region = (struct region){
		.name = "hpet",
		.base = 0xfed00000,
		.size = 0x400,
		.kind = REGION_IO,
		.ops = &hpet_ops,
		.opaque = h,
		.owner = dev,
	};
	return dev_map(dev, dev->machine->mem, &h->region, 1, e);
}

static void hpet_unrealize(struct device *dev)
{
	struct hpet *h = (struct hpet *)dev;

	timer_cancel(dev->machine->loop, &h->timer);
	dev_unmap(dev->machine->mem, &h->region, 1);
}

static void hpet_reset(struct device *dev)
{
	struct hpet *h = (struct hpet *)dev;

	h->config = h->isr = h->counter = 0;
	for (unsigned n = 0; n < NR_TIMERS; n++)
		h->t[n] =
			(struct hpet_timer){.config = TN_PERIODIC_CAP | TN_SIZE_CAP, .cmp = ~0ull};
	timer_cancel(dev->machine->loop, &h->timer);
	hpet_levels(h);
	atomic_store(&h->legacy_on, false);
	drive(h, HPET_LEGACY_PIT);
	drive(h, HPET_LEGACY_RTC);
}

static int hpet_post_load(struct device *dev, struct err *e)
{
	struct hpet *h = (struct hpet *)dev;

	h->config &= CFG_ENABLE | CFG_LEGACY;
	atomic_store(&h->legacy_on, h->config & CFG_LEGACY);
	for (unsigned n = 0; n < NR_TIMERS; n++) {
		if (h->t[n].config & ~(u32)(TN_WRITABLE | TN_PERIODIC_CAP | TN_SIZE_CAP))
			return err_set(e, -EINVAL, "%s: timer %u is damaged", dev->id, n);
	}
	hpet_levels(h);
	hpet_update(h);
	return 0;
}

static const struct state_field timer_state[] = {
	STATE_FIELD(struct hpet_timer, config, STATE_INT),
	STATE_FIELD(struct hpet_timer, cmp, STATE_INT),
	STATE_FIELD(struct hpet_timer, period, STATE_INT),
	STATE_FIELD(struct hpet_timer, target, STATE_INT),
	STATE_FIELD(struct hpet_timer, armed, STATE_INT),
	{0},
};

static const struct state_field hpet_state[] = {
	STATE_FIELD(struct hpet, config, STATE_INT),
	STATE_FIELD(struct hpet, isr, STATE_INT),
	STATE_FIELD(struct hpet, counter, STATE_INT),
	{"t", STATE_ARRAY, offsetof(struct hpet, t), sizeof(struct hpet_timer), 1, timer_state,
	 NR_TIMERS},
	STATE_FIELD(struct hpet, input[0], STATE_INT),
	STATE_FIELD(struct hpet, input[1], STATE_INT),
	{0},
};

const struct device_type hpet_type = {
	.name = "hpet",
	.doc = "high precision event timer",
	.size = sizeof(struct hpet),
	.version = 1,
	.state = hpet_state,
	.realize = hpet_realize,
	.unrealize = hpet_unrealize,
	.reset = hpet_reset,
	.post_load = hpet_post_load,
};
