/* SPDX-License-Identifier: MIT */
/*
 * lapic_deliver.c - messages to local APICs and their pins; from any thread, without a lock.
 *
 * Source: Intel SDM volume 3A, "Determining IPI Destination", "Logical Destination Mode in
 * x2APIC Mode", "Message Signalled Interrupts".
 */
#include "dev/intc/lapic_priv.h"
#include "sundog/trace.h"

/* A fixed interrupt comes in.  lapic_priv.h has the rules. */
static void accept_fixed(struct lapic *l, u8 vector, bool level)
{
	u32 bit = 1u << (vector & 31);

	if (vector < 16) {
		lapic_error(l, ESR_RECV_VECTOR);
		return;
	}
	if (level)
		atomic_fetch_or(&l->tmr[vector >> 5], bit);
	else
		atomic_fetch_and(&l->tmr[vector >> 5], ~bit);
	atomic_fetch_or(&l->irr[vector >> 5], bit);
	lapic_update(l);
}

void lapic_accept(struct lapic *l, unsigned mode, u8 vector, bool level)
{
	switch (mode) {
	case DM_FIXED:
	case DM_LOWEST:
		if (atomic_load(&l->svr) & SVR_ENABLE)
			accept_fixed(l, vector, level);
		break;
	case DM_NMI: vcpu_raise(l->cpu, VCPU_NMI); break;
	case DM_INIT: vcpu_raise(l->cpu, VCPU_INIT); break;
	case DM_SIPI:
		atomic_store(&l->cpu->sipi_vector, vector);
		vcpu_raise(l->cpu, VCPU_SIPI);
		break;
	case DM_EXTINT:
		atomic_store(&l->extint, 1);
		lapic_update(l);
		break;
	default: break; /* SMI, and a reserved one */
	}
}

/* An event of the local APIC itself, by its LVT.  An ExtINT is a level: see lapic_update(). */
void lapic_lvt_deliver(struct lapic *l, enum lapic_lvt which)
{
	u32 lvt = atomic_load(&l->lvt[which]);
	unsigned mode = (lvt & LVT_MODE) >> LVT_MODE_SHIFT;

	if (lvt & LVT_MASKED)
		return;
	if (mode == DM_FIXED)
		accept_fixed(l, lvt & LVT_VECTOR, false);
	else if (mode == DM_NMI || mode == DM_INIT)
		lapic_accept(l, mode, 0, false);
}

void lapic_lint_level(struct lapic *l)
{
	u32 lvt = atomic_load(&l->lvt[LVT_LINT0]);

	if (!(atomic_load(&l->lint) & 1) || (lvt & (LVT_MASKED | LVT_MODE)) || !(lvt & LVT_LEVEL))
		return;
	if (!(atomic_fetch_or(&l->lvt[LVT_LINT0], LVT_REMOTE_IRR) & LVT_REMOTE_IRR))
		accept_fixed(l, lvt & LVT_VECTOR, true);
}

static void lint_set(struct lapic *l, unsigned n, bool level)
{
	u32 bit = 1u << n;
	u32 was = level ? atomic_fetch_or(&l->lint, bit) : atomic_fetch_and(&l->lint, ~bit);
	bool rise = level && !(was & bit);
	enum lapic_lvt which = n ? LVT_LINT1 : LVT_LINT0;

	if (!(atomic_load(&l->base) & BASE_EN)) {
		/* The pins are INTR and NMI of the CPU then. */
		if (n && rise)
			vcpu_raise(l->cpu, VCPU_NMI);
	} else if (n == 0 && (atomic_load(&l->lvt[which]) & (LVT_LEVEL | LVT_MODE)) == LVT_LEVEL) {
		lapic_lint_level(l);
	} else if (rise) {
		lapic_lvt_deliver(l, which);
	}
	if (n == 0)
		lapic_update(l);
}

static void lint_line(void *sink, unsigned pin, bool level)
{
	struct machine *m = sink;

	for (unsigned i = 0; i < m->nr_vcpus; i++) {
		if (m->vcpus[i]->lapic)
			lint_set(m->vcpus[i]->lapic, pin, level);
	}
}

struct irq_line lapic_lint(struct machine *m, unsigned pin)
{
	if (pin > 1)
		return (struct irq_line){0};
	return (struct irq_line){.set = lint_line, .sink = m, .pin = pin};
}

static bool logical_match(struct lapic *l, u32 dest)
{
	u32 ldr;

	if (lapic_is_x2(l)) {
		u32 id = l->cpu->index;

		return dest >> 16 == id >> 4 && (dest & 1u << (id & 15));
	}
	if (dest > 0xff)
		return false;
	ldr = atomic_load(&l->ldr) >> 24;
	if (atomic_load(&l->dfr) >> 28 == 0xf)
		return ldr & dest;
	return ldr >> 4 == dest >> 4 && (ldr & dest & 0xf);
}

static bool dest_match(struct lapic *l, const struct lapic_dest *d)
{
	if (!l || !(atomic_load(&l->base) & BASE_EN) || (int)l->cpu->index == d->except)
		return false;
	if (d->broadcast)
		return true;
	return d->logical ? logical_match(l, d->id) : atomic_load(&l->id) == d->id;
}

/* The one with the lowest priority; the vector decides between equals, to spread the load. */
static struct lapic *arbitrate(struct machine *m, const struct lapic_dest *d, u8 vector)
{
	struct lapic *best = NULL;
	u32 best_ppr = 0;

	for (unsigned i = 0; i < m->nr_vcpus; i++) {
		unsigned n = (vector + i) % m->nr_vcpus;
		struct lapic *l = m->vcpus[n]->lapic;
		u32 ppr;

		if (!dest_match(l, d) || !(atomic_load(&l->svr) & SVR_ENABLE))
			continue;
		ppr = atomic_load(&l->ppr) & 0xf0;
		if (!best || ppr < best_ppr) {
			best = l;
			best_ppr = ppr;
		}
	}
	return best;
}

void lapic_send(struct machine *m, const struct lapic_dest *d, unsigned mode, u8 vector, bool level)
{
	if (mode == DM_LOWEST) {
		struct lapic *l = arbitrate(m, d, vector);

		if (l)
			lapic_accept(l, mode, vector, level);
		return;
	}
	for (unsigned i = 0; i < m->nr_vcpus; i++) {
		struct lapic *l = m->vcpus[i]->lapic;

		if (dest_match(l, d))
			lapic_accept(l, mode, vector, level);
	}
}

void lapic_deliver(struct machine *m, const struct msi_msg *msg)
{
	unsigned mode = msg->data >> 8 & 7;
	bool logical = msg->addr & 1u << 2, hint = msg->addr & 1u << 3;
	struct lapic_dest d = {
		.id = msg->addr >> 12 & 0xff,
		.logical = logical,
		.except = -1,
	};

	trace_irq_message(msg->addr, msg->data);
	if (msg->addr >> 20 != 0xfee || mode == DM_SIPI)
		return;
	d.broadcast = d.id == 0xff;
	if (hint && logical && mode == DM_FIXED)
		mode = DM_LOWEST;
	lapic_send(m, &d, mode, (u8)msg->data, msg->data & 1u << 15);
}
