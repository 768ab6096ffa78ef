/* SPDX-License-Identifier: MIT */
/*
 * lapic.c - the local APIC in software: xAPIC and x2APIC.
 *
 * Source: Intel SDM volume 3A, "Advanced Programmable Interrupt Controller (APIC)".
 *
 * Registers by offset in the page (x2APIC MSR 0x800 + offset / 16), with reset values:
 *   0x020 ID (index)       0x030 version 0x01060014  0x080 TPR 0   0x090 APR 0  0x0a0 PPR 0
 *   0x0b0 EOI              0x0c0 RRD 0    0x0d0 LDR 0     0x0e0 DFR ~0   0x0f0 SVR 0xff
 *   0x100 ISR  0x180 TMR  0x200 IRR: eight words each, 0
 *   0x280 ESR 0            0x300 ICR 0    0x2f0 LVT CMCI  0x320 timer    0x330 thermal
 *   0x340 performance      0x350 LINT0    0x360 LINT1     0x370 error: 0x10000 each
 *   0x380 initial count 0  0x390 current count 0          0x3e0 divide configuration 0
 *   x2APIC only: 0x3f0 SELF IPI
 *
 * LINT0 of the bootstrap processor comes out of reset as an unmasked ExtINT, the way firmware
 * leaves it, so that systems that know the 8259A only can run without firmware.
 *
 * Not modelled: SMI (dropped), APR and RRD (read 0), arbitration on a bus; the delivery status
 * is always idle.  Lowest-priority delivery picks the lowest PPR.
 */
#include "dev/intc/lapic_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "sundog/err.h"

/* The highest vector in a 256-bit register, or -1. */
int lapic_highest(const u32 reg[8])
{
	for (int i = 7; i >= 0; i--) {
		if (reg[i])
			return 32 * i + 31 - __builtin_clz(reg[i]);
	}
	return -1;
}

static int highest_irr(struct lapic *l)
{
	for (int i = 7; i >= 0; i--) {
		u32 word = atomic_load(&l->irr[i]);

		if (word)
			return 32 * i + 31 - __builtin_clz(word);
	}
	return -1;
}

/* Does the 8259A (or who else is on LINT0) ask for an acknowledge cycle? */
static bool extint_pending(struct lapic *l)
{
	u32 lvt;

	if (!(atomic_load(&l->base) & BASE_EN))
		return atomic_load(&l->lint) & 1;
	if (atomic_load(&l->extint))
		return true;
	lvt = atomic_load(&l->lvt[LVT_LINT0]);
	return (atomic_load(&l->lint) & 1) && !(lvt & LVT_MASKED) &&
	       (lvt & LVT_MODE) >> LVT_MODE_SHIFT == DM_EXTINT;
}

/* The vector that PPR lets through, or -1. */
static int deliverable(struct lapic *l)
{
	int v;

	if (!(atomic_load(&l->base) & BASE_EN))
		return -1;
	v = highest_irr(l);
	return v >= 0 && ((u32)v & 0xf0) > (atomic_load(&l->ppr) & 0xf0) ? v : -1;
}

static bool pin(struct lapic *l)
{
	return extint_pending(l) || deliverable(l) >= 0;
}

static void raise_intr(struct lapic *l)
{
	/* If it is set already, whoever set it kicks: see the rules in lapic_priv.h. */
	if (!(atomic_load(&l->cpu->pending) & VCPU_INTR))
		vcpu_raise(l->cpu, VCPU_INTR);
}

void lapic_update(struct lapic *l)
{
	if (pin(l)) {
		raise_intr(l);
		return;
	}
	if (!(atomic_load(&l->cpu->pending) & VCPU_INTR))
		return;
	atomic_fetch_and(&l->cpu->pending, ~(u32)VCPU_INTR);
	if (pin(l))
		raise_intr(l);
}

void lapic_update_ppr(struct lapic *l)
{
	int v = lapic_highest(l->isr);
	u32 isrv = v < 0 ? 0 : (u32)v & 0xf0;

	atomic_store(&l->ppr, (l->tpr & 0xf0) >= isrv ? l->tpr : isrv);
	lapic_update(l);
}

/* "End of Interrupt": drops the highest in service, and tells the I/O APIC of levels. */
void lapic_eoi(struct lapic *l)
{
	int v = lapic_highest(l->isr);
	u32 bit;

	if (v < 0)
		return;
	bit = 1u << (v & 31);
	l->isr[v >> 5] &= ~bit;
	if (atomic_load(&l->tmr[v >> 5]) & bit) {
		u32 lvt = atomic_load(&l->lvt[LVT_LINT0]);

		if ((lvt & LVT_REMOTE_IRR) && (lvt & LVT_VECTOR) == (u32)v) {
			atomic_fetch_and(&l->lvt[LVT_LINT0], ~(u32)LVT_REMOTE_IRR);
			lapic_lint_level(l);
		}
		if (l->w.eoi && !(atomic_load(&l->svr) & SVR_NO_EOI_BROADCAST))
			l->w.eoi(l->w.ioapic, (u8)v);
	}
	lapic_update_ppr(l);
}

/* "Error Handling": an interrupt for the first error since ESR was written. */
void lapic_error(struct lapic *l, u32 bit)
{
	if (!atomic_fetch_or(&l->esr_pending, bit))
		lapic_lvt_deliver(l, LVT_ERROR);
}

static int lapic_ack(struct vcpu *cpu)
{
	struct lapic *l = lapic_of(cpu);
	int v;

	if (extint_pending(l) && l->w.ack) {
		atomic_store(&l->extint, 0);
		v = l->w.ack(l->w.pic);
		lapic_update(l);
		return v;
	}
	v = deliverable(l);
	if (v < 0) {
		lapic_update(l);
		return -1;
	}
	atomic_fetch_and(&l->irr[v >> 5], ~(1u << (v & 31)));
	l->isr[v >> 5] |= 1u << (v & 31);
	lapic_update_ppr(l);
	return v;
}

static u8 lapic_get_tpr(struct vcpu *cpu)
{
	return (u8)lapic_of(cpu)->tpr;
}

static void lapic_set_tpr(struct vcpu *cpu, u8 tpr)
{
	struct lapic *l = lapic_of(cpu);

	l->tpr = tpr;
	lapic_update_ppr(l);
}

void lapic_publish_page(struct lapic *l)
{
	u64 base = atomic_load(&l->base);
	bool page = (base & (BASE_EN | BASE_EXTD)) == BASE_EN;

	atomic_store(&l->cpu->lapic_page, page ? base & ~0xfffull : ~0ull);
}

/* "Local APIC State After Power-Up or Reset", and after INIT: all but ID and base. */
static void reset_regs(struct lapic *l)
{
	bool bsp = atomic_load(&l->base) & BASE_BSP;

	lapic_timer_stop(l);
	l->timer_icr = l->timer_dcr = 0;
	for (unsigned i = 0; i < 8; i++) {
		atomic_store(&l->irr[i], 0);
		atomic_store(&l->tmr[i], 0);
		l->isr[i] = 0;
	}
	for (unsigned i = 0; i < NR_LVTS; i++)
		atomic_store(&l->lvt[i], LVT_MASKED);
	if (bsp)
		atomic_store(&l->lvt[LVT_LINT0], DM_EXTINT << LVT_MODE_SHIFT);
	atomic_store(&l->extint, 0);
	atomic_store(&l->esr_pending, 0);
	l->esr = 0;
	l->icr = 0;
	l->tpr = 0;
	atomic_store(&l->ldr, 0);
	atomic_store(&l->dfr, ~0u);
	atomic_store(&l->svr, 0xff);
}

static void lapic_reset(struct vcpu *cpu, bool init)
{
	struct lapic *l = lapic_of(cpu);

	if (!init) {
		atomic_store(&l->base, 0xfee00000u | BASE_EN | (cpu->index ? 0 : BASE_BSP));
		atomic_store(&l->id, cpu->index);
	}
	reset_regs(l);
	lapic_publish_page(l);
	lapic_update_ppr(l);
}

static u64 lapic_get_base(struct vcpu *cpu)
{
	return atomic_load(&lapic_of(cpu)->base);
}

/* "Detecting and Enabling x2APIC Mode": which changes of state there are. */
static int lapic_set_base(struct vcpu *cpu, u64 val)
{
	struct lapic *l = lapic_of(cpu);
	u64 old = atomic_load(&l->base), both = BASE_EN | BASE_EXTD;

	if (val & (0x2ffull | ~0xfffffffffffffull))
		return -1;
	if ((val & both) == BASE_EXTD)
		return -1;
	if ((val & both) == both && !(old & BASE_EN))
		return -1;
	if ((val & both) == BASE_EN && (old & both) == both)
		return -1;
	atomic_store(&l->base, val);
	if ((old & BASE_EN) && !(val & BASE_EN)) {
		reset_regs(l);
	} else if ((val & both) == both && (old & both) != both) {
		l->icr &= 0xffffffff;
		atomic_store(&l->id, cpu->index);
	} else if ((val & both) == BASE_EN && !(old & BASE_EN)) {
		atomic_store(&l->id, cpu->index);
	}
	lapic_publish_page(l);
	lapic_update_ppr(l);
	return 0;
}

static int lapic_get(struct vcpu *cpu, struct lapic_state *st)
{
	struct lapic *l = lapic_of(cpu);

	*st = (struct lapic_state){
		.base = atomic_load(&l->base),
		.id = atomic_load(&l->id),
		.tpr = l->tpr,
		.ldr = atomic_load(&l->ldr),
		.dfr = atomic_load(&l->dfr),
		.svr = atomic_load(&l->svr),
		.esr = l->esr,
		.esr_pending = atomic_load(&l->esr_pending),
		.icr = l->icr,
		.lint = atomic_load(&l->lint),
		.extint = atomic_load(&l->extint),
		.timer_icr = l->timer_icr,
		.timer_dcr = l->timer_dcr,
		.timer_count = l->timer_count,
		.timer_anchor = l->timer_anchor,
		.tsc_deadline = l->tsc_deadline,
	};
	for (unsigned i = 0; i < NR_LVTS; i++)
		st->lvt[i] = atomic_load(&l->lvt[i]);
	for (unsigned i = 0; i < 8; i++) {
		st->isr[i] = l->isr[i];
		st->irr[i] = atomic_load(&l->irr[i]);
		st->tmr[i] = atomic_load(&l->tmr[i]);
	}
	return 0;
}

static int lapic_set(struct vcpu *cpu, const struct lapic_state *st)
{
	struct lapic *l = lapic_of(cpu);

	atomic_store(&l->base, st->base);
	atomic_store(&l->id, st->id);
	l->tpr = st->tpr & 0xff;
	atomic_store(&l->ldr, st->ldr);
	atomic_store(&l->dfr, st->dfr);
	atomic_store(&l->svr, st->svr);
	l->esr = st->esr;
	atomic_store(&l->esr_pending, st->esr_pending);
	l->icr = st->icr;
	atomic_store(&l->lint, st->lint & 3);
	atomic_store(&l->extint, st->extint & 1);
	l->timer_icr = st->timer_icr;
	l->timer_dcr = st->timer_dcr & 0xb;
	l->timer_count = st->timer_count;
	l->timer_anchor = st->timer_anchor;
	l->tsc_deadline = st->tsc_deadline;
	for (unsigned i = 0; i < NR_LVTS; i++)
		atomic_store(&l->lvt[i], st->lvt[i]);
	for (unsigned i = 0; i < 8; i++) {
		l->isr[i] = st->isr[i];
		atomic_store(&l->irr[i], st->irr[i]);
		atomic_store(&l->tmr[i], st->tmr[i]);
	}
	lapic_publish_page(l);
	lapic_timer_sync(l);
	lapic_update_ppr(l);
	return 0;
}

static int lapic_init(struct vcpu *cpu, struct err *e)
{
	struct lapic *l = calloc(1, sizeof(*l));

	if (!l)
		return err_set(e, -ENOMEM, "no memory for a local APIC");
	l->cpu = cpu;
	cpu->lapic = l;
	lapic_reset(cpu, false);
	return 0;
}

static void lapic_destroy(struct vcpu *cpu)
{
	free(cpu->lapic);
	cpu->lapic = NULL;
}

void lapic_connect(struct vcpu *cpu, const struct lapic_wiring *w)
{
	lapic_of(cpu)->w = *w;
}

static void lapic_msi(struct vcpu *cpu, const struct msi_msg *msg)
{
	lapic_deliver(cpu->machine, msg);
}

const struct lapic_ops lapic_soft = {
	.name = "soft",
	.init = lapic_init,
	.destroy = lapic_destroy,
	.get = lapic_get,
	.set = lapic_set,
	.msi = lapic_msi,
	.read = lapic_read,
	.write = lapic_write,
	.get_tpr = lapic_get_tpr,
	.set_tpr = lapic_set_tpr,
	.ack = lapic_ack,
	.timer = lapic_timer,
	.get_base = lapic_get_base,
	.set_base = lapic_set_base,
	.get_tsc_deadline = lapic_get_tsc_deadline,
	.set_tsc_deadline = lapic_set_tsc_deadline,
	.read_msr = lapic_read_msr,
	.write_msr = lapic_write_msr,
	.reset = lapic_reset,
};
