/* SPDX-License-Identifier: MIT */
/*
 * irq.c - the OR gate for interrupt lines that share a pin.
 *
 * Lock-free: a thread that drove the output looks at the inputs once more, and drives it
 * again if they no longer agree.  Whoever drives last has therefore seen the final inputs.
 */
#include "sundog/irq.h"

#include <stdatomic.h>

static void irq_or_set(void *sink, unsigned pin, bool level)
{
	struct irq_or *o = sink;
	u64 bit = 1ull << pin;
	u64 old = level ? atomic_fetch_or(&o->levels, bit) : atomic_fetch_and(&o->levels, ~bit);
	bool out = (level ? old | bit : old & ~bit) != 0;

	if (out == (old != 0))
		return;
	for (;;) {
		bool now;

		irq_set(&o->out, out);
		now = atomic_load(&o->levels) != 0;
		if (now == out)
			return;
		out = now;
	}
}

void irq_or_init(struct irq_or *o, struct irq_line out)
{
	o->out = out;
	atomic_init(&o->levels, 0);
}

struct irq_line irq_or_input(struct irq_or *o, unsigned input)
{
	if (input >= 64)
		return (struct irq_line){0};
	return (struct irq_line){.set = irq_or_set, .sink = o, .pin = input};
}
