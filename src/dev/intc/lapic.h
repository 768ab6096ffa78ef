/* SPDX-License-Identifier: MIT */
/*
 * lapic.h - the software local APIC, and its content in the form all implementations share.
 *
 * Threads: what the CPU does to its own local APIC (registers, MSRs, acknowledge, timer)
 * happens on the vCPU's thread only.  Messages and the LINT pins come from any thread, with
 * any device or interrupt controller lock held; they take no lock themselves.
 */
#ifndef DEV_INTC_LAPIC_H
#define DEV_INTC_LAPIC_H

#include "sundog/device.h"
#include "sundog/irq.h"

struct machine;
struct vcpu;

enum lapic_lvt { /* in the order of their register addresses, CMCI first */
		 LVT_CMCI,
		 LVT_TIMER,
		 LVT_THERMAL,
		 LVT_PERF,
		 LVT_LINT0,
		 LVT_LINT1,
		 LVT_ERROR,
		 NR_LVTS,
};

/* Architectural content; exact under conversion. */
struct lapic_state {
	u64 base; /* IA32_APIC_BASE */
	u32 id;	  /* xAPIC: the ID register's top byte; x2APIC: all of it */
	u32 tpr, ldr, dfr, svr, esr;
	u32 esr_pending;  /* errors seen since ESR was last written */
	u64 icr;	  /* destination in 63..32 as the current mode has it */
	u32 lvt[NR_LVTS]; /* delivery status and remote IRR included */
	u32 isr[8], irr[8], tmr[8];
	u32 lint;   /* bit n: pin LINTn is high */
	u32 extint; /* 1: an ExtINT message waits for its acknowledge */
	u32 timer_icr, timer_dcr;
	u32 timer_count; /* at timer_anchor, CLOCK_GUEST ns; both 0: not counting */
	u64 timer_anchor;
	u64 tsc_deadline; /* in ticks of clock_tsc(); 0: disarmed */
};

/* What attaches to the local APICs of a machine. */
struct lapic_wiring {
	int (*ack)(struct device *pic); /* for LINT0 as ExtINT; see pic_ack() */
	struct device *pic;
	void (*eoi)(struct device *ioapic, u8 vector); /* of level-triggered interrupts */
	struct device *ioapic;
};

extern const struct lapic_ops lapic_soft; /* cpu->lapic_ops, unless the engine has its own */

/* After lapic_soft.init(); *w is copied. */
void lapic_connect(struct vcpu *cpu, const struct lapic_wiring *w);

/* Pin LINT0 or LINT1 of all the machine's local APICs. */
struct irq_line lapic_lint(struct machine *m, unsigned pin);

/*
 * Deliver an MSI or I/O APIC message (0xfeexxxxx) to whom it names.  lapic_ops->msi() of any
 * of the vCPUs does the same.
 */
void lapic_deliver(struct machine *m, const struct msi_msg *msg);

#endif
