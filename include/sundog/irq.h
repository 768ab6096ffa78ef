/* SPDX-License-Identifier: MIT */
/*
 * irq.h - interrupt lines and messages.
 *
 * A line is one wire from a source (a device) to a sink (an interrupt controller's
 * input).  The source holds a struct irq_line; the sink supplied it.  Neither knows
 * what the other is, nor whether the controller is ours or in the kernel.
 */
#ifndef SUNDOG_IRQ_H
#define SUNDOG_IRQ_H

#include "sundog/types.h"

struct irq_line {
	void (*set)(void *sink, unsigned pin, bool level);
	void *sink;
	unsigned pin;
};

/* A line that is not connected (all zero) swallows everything. */
static inline void irq_set(const struct irq_line *l, bool level)
{
	if (l->set)
		l->set(l->sink, l->pin, level);
}

/* Edge: for sources that really pulse (the PIT), never to paper over a level. */
static inline void irq_pulse(const struct irq_line *l)
{
	irq_set(l, true);
	irq_set(l, false);
}

/* A write to 0xfeexxxxx that means "interrupt": SDM 3A, "Message Signalled Interrupts".
 */
struct msi_msg {
	u64 addr;
	u32 data;
};

/*
 * One source per pin.  Sources that share one go through an OR gate of up to 64 inputs.
 * Locking: none is needed; inputs are set from any thread, each by one source at a time.
 */
struct irq_or {
	struct irq_line out;
	_Atomic u64 levels; /* a bit for each input */
};

void irq_or_init(struct irq_or *o, struct irq_line out);
struct irq_line irq_or_input(struct irq_or *o, unsigned input);

/*
 * PIC, IOAPIC and PIT are always ours.  Only the local APICs change owner: ours in
 * src/dev/intc with the software engines, the kernel's under KVM (split irqchip).
 * get/set convert exactly, so a machine can change engine.  A waiting SIPI vector and the
 * MP state belong to the guest's state.
 */
struct vcpu;
struct err;
struct lapic_state; /* src/dev/intc/lapic.h */

struct lapic_ops {
	const char *name;
	int (*init)(struct vcpu *cpu, struct err *e);
	void (*destroy)(struct vcpu *cpu);
	int (*get)(struct vcpu *cpu, struct lapic_state *st);
	int (*set)(struct vcpu *cpu, const struct lapic_state *st);
	void (*msi)(struct vcpu *cpu, const struct msi_msg *msg);

	/* Ours only: the xAPIC page, x2APIC and deadline MSRs, CR8, acknowledge. */
	u64 (*read)(struct vcpu *cpu, u32 reg); /* reg: offset in the page, a multiple of 16 */
	void (*write)(struct vcpu *cpu, u32 reg, u64 val);
	u8 (*get_tpr)(struct vcpu *cpu);
	void (*set_tpr)(struct vcpu *cpu, u8 tpr);
	/* Vector (also ExtINT from the PIC), or -1 if it went.  Takes VCPU_INTR back when low. */
	int (*ack)(struct vcpu *cpu);
	void (*timer)(struct vcpu *cpu); /* VCPU_TIMER: the deadline has come */
	u64 (*get_base)(struct vcpu *cpu);
	/* IA32_APIC_BASE; -1: #GP.  The caller has checked MAXPHYADDR and that x2APIC is shown. */
	int (*set_base)(struct vcpu *cpu, u64 val);
	/*
	 * IA32_TSC_DEADLINE in ticks of clock_tsc(), 0 is disarmed: the caller adds and takes
	 * off the vCPU's own TSC offset, and sets it again when that changes.
	 */
	u64 (*get_tsc_deadline)(struct vcpu *cpu);
	void (*set_tsc_deadline)(struct vcpu *cpu, u64 val);
	int (*read_msr)(struct vcpu *cpu, u32 msr, u64 *val); /* 0x800..0x8ff; -1: #GP */
	int (*write_msr)(struct vcpu *cpu, u32 msr, u64 val);
	void (*reset)(struct vcpu *cpu, bool init);
};

#endif
