/* SPDX-License-Identifier: MIT */
/*
 * lapic_priv.h - what the files of the software local APIC share.
 *
 *   lapic.c          priorities, acknowledge, EOI, reset, conversion: the vCPU's thread
 *   lapic_deliver.c  messages and pins: any thread
 *   lapic_regs.c     registers and MSRs: the vCPU's thread
 *   lapic_timer.c    the timer: the vCPU's thread
 *
 * There is no lock.  The problem: senders (other vCPUs, devices) set IRR bits while the owner
 * changes TPR and ISR, and VCPU_INTR in cpu->pending must be set whenever the INTR pin is
 * high.  Rules:
 *
 *  1. Whoever makes something that can raise the pin (an IRR bit, a LINT level, a lower PPR, an
 *     LVT) stores it first and calls lapic_update() then.
 *  2. lapic_update() computes the pin from what is stored.  High: it raises VCPU_INTR.  Low: it
 *     clears VCPU_INTR, computes the pin again, and raises VCPU_INTR if it is high now.
 *  3. All of these are sequentially consistent.
 *
 * So no interrupt is lost: if A clears after B raised, A's second look comes after B's store
 * and sees it; if A looked before B's store, A also cleared before it, and B raises later.
 * VCPU_INTR may be set a moment too long; acknowledge then says -1 and takes it back.
 */
#ifndef DEV_INTC_LAPIC_PRIV_H
#define DEV_INTC_LAPIC_PRIV_H

#include <stdatomic.h>

#include "dev/intc/lapic.h"
#include "sundog/machine.h"

enum { BASE_BSP = 1 << 8, BASE_EXTD = 1 << 10, BASE_EN = 1 << 11 };

enum {
	LVT_VECTOR = 0xff,
	LVT_MODE = 7 << 8,
	LVT_MODE_SHIFT = 8,
	LVT_REMOTE_IRR = 1 << 14,
	LVT_LEVEL = 1 << 15,
	LVT_MASKED = 1 << 16,
	LVT_TIMER_SHIFT = 17,
};

/* Delivery modes of the ICR, the LVTs and messages. */
enum { DM_FIXED, DM_LOWEST, DM_SMI, DM_NMI = 4, DM_INIT, DM_SIPI, DM_EXTINT };

enum { SVR_ENABLE = 1 << 8, SVR_NO_EOI_BROADCAST = 1 << 12 };

enum { ESR_SEND_VECTOR = 1 << 5, ESR_RECV_VECTOR = 1 << 6, ESR_REGISTER = 1 << 7 };

struct lapic {
	struct vcpu *cpu;
	struct lapic_wiring w;

	/* Read by senders. */
	_Atomic u64 base;
	_Atomic u32 id, ldr, dfr, svr, ppr;
	_Atomic u32 lvt[NR_LVTS]; /* written by the owner, but for remote IRR */

	/* Written by senders. */
	_Atomic u32 irr[8], tmr[8];
	_Atomic u32 lint;   /* levels of the pins */
	_Atomic u32 extint; /* ExtINT messages that wait: 0 or 1 */
	_Atomic u32 esr_pending;

	/* The owner's. */
	u32 isr[8];
	u32 tpr, esr;
	u64 icr;
	u32 timer_icr, timer_dcr, timer_count;
	u64 timer_anchor, tsc_deadline;
};

/* Whom a message is for; who may be -1 where there is no sender. */
struct lapic_dest {
	u32 id;
	bool logical, broadcast;
	int except; /* index of the vCPU that is left out, or -1 */
};

static inline struct lapic *lapic_of(struct vcpu *cpu)
{
	return cpu->lapic;
}

static inline bool lapic_is_x2(struct lapic *l)
{
	return (atomic_load(&l->base) & (BASE_EN | BASE_EXTD)) == (BASE_EN | BASE_EXTD);
}

/* lapic.c */
void lapic_update(struct lapic *l);
void lapic_update_ppr(struct lapic *l);
void lapic_eoi(struct lapic *l);
void lapic_error(struct lapic *l, u32 bit);
int lapic_highest(const u32 reg[8]);
void lapic_publish_page(struct lapic *l);

/* lapic_deliver.c */
void lapic_accept(struct lapic *l, unsigned mode, u8 vector, bool level);
void lapic_lvt_deliver(struct lapic *l, enum lapic_lvt which);
void lapic_send(struct machine *m, const struct lapic_dest *d, unsigned mode, u8 vector,
		bool level);
void lapic_lint_level(struct lapic *l); /* LINT0 as a fixed level: deliver if due */

/* lapic_regs.c */
u64 lapic_read(struct vcpu *cpu, u32 reg);
void lapic_write(struct vcpu *cpu, u32 reg, u64 val);
int lapic_read_msr(struct vcpu *cpu, u32 msr, u64 *val);
int lapic_write_msr(struct vcpu *cpu, u32 msr, u64 val);

/* lapic_timer.c */
void lapic_timer_sync(struct lapic *l); /* deliver what is due, set the next deadline */
u32 lapic_timer_count(struct lapic *l);
void lapic_timer_write_icr(struct lapic *l, u32 val);
void lapic_timer_write_dcr(struct lapic *l, u32 val);
void lapic_timer_write_lvt(struct lapic *l, u32 val);
void lapic_timer_stop(struct lapic *l);
void lapic_timer(struct vcpu *cpu);
u64 lapic_get_tsc_deadline(struct vcpu *cpu);
void lapic_set_tsc_deadline(struct vcpu *cpu, u64 val);

#endif
