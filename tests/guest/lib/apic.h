/* SPDX-License-Identifier: MIT */
/* apic.h - the local APIC by either way of access, and the start of further CPUs. */
#ifndef GUEST_APIC_H
#define GUEST_APIC_H

#include "guest.h"

enum {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INIT = 0x380,
	APIC_TIMER_NOW = 0x390,
	APIC_TIMER_DIV = 0x3e0
};
enum {
	ICR_FIXED = 0,
	ICR_LOWEST = 0x100,
	ICR_NMI = 0x400,
	ICR_INIT = 0x500,
	ICR_STARTUP = 0x600,
	ICR_LOGICAL = 0x800,
	ICR_PENDING = 0x1000,
	ICR_ASSERT = 0x4000,
	ICR_LEVEL = 0x8000,
	ICR_SELF = 0x40000,
	ICR_ALL = 0x80000,
	ICR_OTHERS = 0xc0000
};
enum { LVT_MASKED = 0x10000, TIMER_PERIODIC = 0x20000, TIMER_DEADLINE = 0x40000 };
enum { MSR_APIC_BASE = 0x1b, MSR_TSC_DEADLINE = 0x6e0, MSR_X2APIC = 0x800 };
enum { APIC_SPURIOUS = 0xff, APIC_VECTOR_END = 0x100 };

u32 apic_read(unsigned reg);
void apic_write(unsigned reg, u32 v);
/* dest: APIC id, or logical set. */
void apic_send(u32 dest, u32 icr);
void apic_eoi(void);
bool apic_bit(unsigned bank, unsigned vector); /* in ISR, TMR or IRR */
/* Software-enable it, all LVTs masked. */
void apic_enable(void);
void apic_use_x2(void);
bool apic_is_x2(void);
u32 apic_id(void);

/* A vector's interrupts, counted by CPU, each with its EOI. */
extern volatile u32 irq_count[256][MAX_CPUS];
void count_vector(unsigned vector);
/* Wait until *p is at least n, with interrupts on; false: it took too long. */
bool wait_count(volatile u32 *p, u32 n);

/* Start CPUs 1 to n - 1, each calling fn(index); gives how many run then, 1 if none. */
unsigned smp_start(unsigned n, void (*fn)(unsigned cpu));
/* Wait until n CPUs have come here. */
void smp_meet(unsigned n);
extern volatile unsigned nr_cpus;
unsigned cpus_available(void); /* as ACPI or CPUID would say, found by trying */

#endif
