/* SPDX-License-Identifier: MIT */
/*
 * lapic_timer.c - the local APIC's timer: one-shot, periodic and TSC deadline.
 *
 * Source: Intel SDM volume 3A, "APIC Timer", "TSC-Deadline Mode".
 *
 * The count is computed from CLOCK_GUEST, never stepped: at timer_anchor it was timer_count
 * and it loses one every APIC_TIMER_HZ / divisor since then.  A periodic count is moved on by
 * whole periods, so it does not drift.  Expiries that were missed, and those less than
 * TIMER_MIN_PERIOD_NS apart, become one interrupt: a guest that asks for a period of one
 * nanosecond cannot keep its vCPU in here.
 */
#include "dev/intc/lapic_priv.h"
#include "dev/timer/limits.h"

enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_DEADLINE };

_Static_assert(APIC_TIMER_HZ == 1000000000ull, "one tick of the timer is one ns here");

static unsigned timer_mode(struct lapic *l)
{
	return atomic_load(&l->lvt[LVT_TIMER]) >> LVT_TIMER_SHIFT & 3;
}

/* Bits 0, 1 and 3: 2, 4 ... 128, and 1. */
static u64 divisor(const struct lapic *l)
{
	unsigned code = (l->timer_dcr & 3) | (l->timer_dcr >> 1 & 4);

	return 1ull << ((code + 1) & 7);
}

/* Move a periodic count past the expiries before now. */
static void skip_periods(struct lapic *l, u64 now, u64 due)
{
	u64 period = l->timer_icr * divisor(l);

	l->timer_anchor = due + (now - due) / period * period;
	l->timer_count = l->timer_icr;
}

static u64 sync_count(struct lapic *l, u64 now)
{
	u64 due = l->timer_anchor + l->timer_count * divisor(l), period, soonest;
	bool periodic = timer_mode(l) == TIMER_PERIODIC;

	if (!l->timer_count)
		return 0;
	if (now >= due) {
		if (periodic && l->timer_icr)
			skip_periods(l, now, due);
		else
			l->timer_count = 0;
		lapic_lvt_deliver(l, LVT_TIMER);
		if (!l->timer_count)
			return 0;
		due = l->timer_anchor + l->timer_count * divisor(l);
		soonest = now + TIMER_MIN_PERIOD_NS;
		period = l->timer_icr * divisor(l);
		if (due < soonest)
			due += (soonest - due + period - 1) / period * period;
	}
	/* Masked, it counts all the same; unmasking comes through here again. */
	return atomic_load(&l->lvt[LVT_TIMER]) & LVT_MASKED ? 0 : due;
}

static u64 sync_deadline(struct lapic *l)
{
	struct machine *m = l->cpu->machine;

	if (!l->tsc_deadline)
		return 0;
	if (clock_tsc(m) < l->tsc_deadline)
		return clock_from_tsc(m, l->tsc_deadline);
	l->tsc_deadline = 0;
	lapic_lvt_deliver(l, LVT_TIMER);
	return 0;
}

/* Deliver what is due; when the next interrupt comes, 0: never. */
static u64 deliver_due(struct lapic *l)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		return sync_deadline(l);
	return sync_count(l, clock_now(l->cpu->machine, CLOCK_GUEST));
}

void lapic_timer_sync(struct lapic *l)
{
	vcpu_set_deadline(l->cpu, deliver_due(l));
}

u32 lapic_timer_count(struct lapic *l)
{
	u64 elapsed;

	if (timer_mode(l) == TIMER_DEADLINE || !l->timer_count)
		return 0;
	elapsed = (clock_now(l->cpu->machine, CLOCK_GUEST) - l->timer_anchor) / divisor(l);
	if (elapsed < l->timer_count)
		return l->timer_count - (u32)elapsed;
	if (timer_mode(l) != TIMER_PERIODIC || !l->timer_icr)
		return 0;
	elapsed = (elapsed - l->timer_count) % l->timer_icr;
	return l->timer_icr - (u32)elapsed;
}

void lapic_timer_stop(struct lapic *l)
{
	bool armed = l->timer_count || l->tsc_deadline;

	l->timer_count = 0;
	l->timer_anchor = 0;
	l->tsc_deadline = 0;
	if (armed)
		vcpu_set_deadline(l->cpu, 0);
}

void lapic_timer_write_icr(struct lapic *l, u32 val)
{
	if (timer_mode(l) == TIMER_DEADLINE)
		return;
	/* One that is due but not yet delivered was first. */
	deliver_due(l);
	l->timer_icr = val;
	l->timer_count = val;
	l->timer_anchor = clock_now(l->cpu->machine, CLOCK_GUEST);
	lapic_timer_sync(l);
}

void lapic_timer_write_dcr(struct lapic *l, u32 val)
{
	deliver_due(l);
	l->timer_count = lapic_timer_count(l);
	l->timer_anchor = clock_now(l->cpu->machine, CLOCK_GUEST);
	l->timer_dcr = val & 0xb;
	lapic_timer_sync(l);
}

void lapic_timer_write_lvt(struct lapic *l, u32 val)
{
	bool was_deadline = timer_mode(l) == TIMER_DEADLINE;

	deliver_due(l);
	atomic_store(&l->lvt[LVT_TIMER], val);
	/* "Changing to or from TSC-deadline mode disarms the timer." */
	if (was_deadline != (timer_mode(l) == TIMER_DEADLINE)) {
		l->timer_icr = 0;
		lapic_timer_stop(l);
	} else {
		lapic_timer_sync(l);
	}
}

void lapic_timer(struct vcpu *cpu)
{
	lapic_timer_sync(lapic_of(cpu));
}

u64 lapic_get_tsc_deadline(struct vcpu *cpu)
{
	struct lapic *l = lapic_of(cpu);

	/* One that has passed reads 0, also if its interrupt is still on the way. */
	deliver_due(l);
	return timer_mode(l) == TIMER_DEADLINE ? l->tsc_deadline : 0;
}

void lapic_set_tsc_deadline(struct vcpu *cpu, u64 val)
{
	struct lapic *l = lapic_of(cpu);

	if (timer_mode(l) != TIMER_DEADLINE)
		return;
	deliver_due(l);
	l->tsc_deadline = val;
	lapic_timer_sync(l);
}
