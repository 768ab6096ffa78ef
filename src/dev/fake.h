/* SPDX-License-Identifier: MIT */
/*
 * fake.h - the core as unit tests and fuzzers of devices see it: one thread, a clock that
 * moves when told to, timers that then fire in order, and a bus.  For what is about time;
 * with the real core around a device, use testbed.h.
 *
 * Included by exactly one file of a program.
 */
#ifndef DEV_FAKE_H
#define DEV_FAKE_H

#include "dev/check.h"
#include "sundog/machine.h"

static struct machine fake_machine;
static u64 fake_now = 1000000;			   /* CLOCK_GUEST; the TSC runs at 1 GHz too */
static u64 fake_step;				   /* what passes at each look at a clock */
static u64 fake_wall = 1000000000ull * 1700000000; /* at time 0 */
static struct timer *fake_timers;
static struct region fake_regions[16];
static unsigned fake_nr_regions;
static u64 fake_timer_calls;

void guest_error(struct device *dev, const char *what)
{
}

void lock_init(struct lock *l, enum lock_rank rank, const char *name)
{
}

void lock_destroy(struct lock *l)
{
}

void lock(struct lock *l)
{
}

void unlock(struct lock *l)
{
}

u64 clock_now(struct machine *m, enum clock c)
{
	return fake_now += fake_step;
}

u64 clock_tsc(struct machine *m)
{
	return fake_now += fake_step;
}

u64 clock_from_tsc(struct machine *m, u64 tsc)
{
	return tsc;
}

u64 clock_wall(struct machine *m)
{
	return fake_wall + (fake_now += fake_step);
}

void timer_cancel(struct loop *l, struct timer *t)
{
	struct timer **p = &fake_timers;

	while (*p && *p != t)
		p = &(*p)->next;
	if (*p)
		*p = t->next;
	t->deadline = 0;
}

void timer_arm(struct loop *l, struct timer *t, u64 deadline_ns)
{
	timer_cancel(l, t);
	t->deadline = deadline_ns ? deadline_ns : 1;
	t->next = fake_timers;
	fake_timers = t;
}

/* Let time pass; what falls due is called at its time, or late by the last step. */
static inline void fake_advance(u64 ns)
{
	u64 end = fake_now + ns;

	for (;;) {
		struct timer *first = NULL;

		for (struct timer *t = fake_timers; t; t = t->next) {
			if (t->deadline <= end && (!first || t->deadline < first->deadline))
				first = t;
		}
		if (!first)
			break;
		if (first->deadline > fake_now)
			fake_now = first->deadline;
		timer_cancel(NULL, first);
		fake_timer_calls++;
		first->fn(first);
	}
	fake_now = end;
}

void as_begin(struct addrspace *as)
{
}

void as_commit(struct addrspace *as)
{
}

int as_map(struct addrspace *as, const struct region *r)
{
	CHECK(fake_nr_regions < ARRAY_SIZE(fake_regions));
	fake_regions[fake_nr_regions++] = *r;
	return 0;
}

void as_unmap(struct addrspace *as, const struct region *r)
{
}

static inline const struct region *fake_find(u64 addr, unsigned size)
{
	for (unsigned i = 0; i < fake_nr_regions; i++) {
		const struct region *r = &fake_regions[i];

		if (addr >= r->base && range_fits(addr - r->base, size, r->size) &&
		    (r->ops->sizes & size) && (addr - r->base) % size == 0)
			return r;
	}
	return NULL;
}

static inline u64 fake_read(u64 addr, unsigned size)
{
	const struct region *r = fake_find(addr, size);

	return r ? r->ops->read(r->opaque, addr - r->base, size) : ~0ull;
}

static inline void fake_write(u64 addr, u64 val, unsigned size)
{
	const struct region *r = fake_find(addr, size);

	if (r)
		r->ops->write(r->opaque, addr - r->base,
			      size == 8 ? val : val & ((1ull << (8 * size)) - 1), size);
}

static inline u8 fake_in(u16 port)
{
	return (u8)fake_read(port, 1);
}

static inline void fake_out(u16 port, u8 val)
{
	fake_write(port, val, 1);
}

/* A realized, reset device; options at their defaults must be filled in by the caller. */
static inline struct device *fake_device(const struct device_type *type,
					 void (*options)(struct device *dev))
{
	struct device *dev = calloc(1, type->size);
	struct err *e = NULL;

	CHECK(dev);
	dev->type = type;
	dev->machine = &fake_machine;
	dev->id = type->name;
	if (options)
		options(dev);
	CHECK(type->realize(dev, e) == 0);
	type->reset(dev);
	return dev;
}

/* Forget all devices. */
static inline void fake_free(struct device *dev)
{
	if (dev->type->unrealize)
		dev->type->unrealize(dev);
	fake_timers = NULL;
	fake_nr_regions = 0;
	free(dev);
}

/* A sink that counts. */
struct fake_sink {
	bool level;
	unsigned rises, falls;
};

static inline void fake_sink_set(void *sink, unsigned pin, bool level)
{
	struct fake_sink *s = sink;

	if (level && !s->level)
		s->rises++;
	if (!level && s->level)
		s->falls++;
	s->level = level;
}

static inline struct irq_line fake_line(struct fake_sink *s)
{
	return (struct irq_line){.set = fake_sink_set, .sink = s};
}

/* A reproducible random number: xorshift. */
static inline u64 fake_rand(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#endif
