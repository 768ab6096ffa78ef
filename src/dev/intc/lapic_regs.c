/* SPDX-License-Identifier: MIT */
/*
 * lapic_regs.c - the local APIC's registers, as a page (xAPIC) and as MSRs (x2APIC).
 *
 * Source: Intel SDM volume 3A, "Local APIC Register Address Map", "x2APIC Register Address
 * Space".  lapic.c has the list.
 */
#include "dev/intc/lapic_priv.h"

enum {
	APIC_ID = 0x020,
	APIC_VERSION = 0x030,
	APIC_TPR = 0x080,
	APIC_APR = 0x090,
	APIC_PPR = 0x0a0,
	APIC_EOI = 0x0b0,
	APIC_RRD = 0x0c0,
	APIC_LDR = 0x0d0,
	APIC_DFR = 0x0e0,
	APIC_SVR = 0x0f0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_LVT_CMCI = 0x2f0,
	APIC_ICR = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_ICR = 0x380,
	APIC_TIMER_CCR = 0x390,
	APIC_TIMER_DCR = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};

/* Seven LVT entries, EOI broadcast can be suppressed, integrated APIC. */
#define VERSION (1u << 24 | (NR_LVTS - 1) << 16 | 0x14)

enum { SVR_WRITABLE = 0x11ff, ICR_WRITABLE = 0xccfff, ICR_RESERVED = 0xfff32000 };
enum { ICR_LEVEL = 1 << 14, ICR_TRIGGER = 1 << 15 };
enum { NO_SHORTHAND, SELF, ALL, ALL_BUT_SELF };

static const u32 lvt_writable[NR_LVTS] = {
	[LVT_CMCI] = 0x107ff,  [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
};

/* Which LVT is at reg, or -1. */
static int lvt_index(u32 reg)
{
	if (reg == APIC_LVT_CMCI)
		return LVT_CMCI;
	if (reg >= APIC_LVT_TIMER && reg <= APIC_LVT_ERROR)
		return LVT_TIMER + (int)((reg - APIC_LVT_TIMER) >> 4);
	return -1;
}

static u32 read_id(struct lapic *l)
{
	return lapic_is_x2(l) ? l->cpu->index : atomic_load(&l->id) << 24;
}

static u32 read_ldr(struct lapic *l)
{
	u32 id = l->cpu->index;

	return lapic_is_x2(l) ? id >> 4 << 16 | 1u << (id & 15) : atomic_load(&l->ldr);
}

/* Registers that both modes have, ICR apart.  False: there is none at reg. */
static bool read_reg(struct lapic *l, u32 reg, u32 *val)
{
	unsigned word = reg >> 4 & 7;
	int lvt = lvt_index(reg);

	*val = 0;
	if (lvt >= 0) {
		*val = atomic_load(&l->lvt[lvt]);
		return true;
	}
	switch (reg) {
	case APIC_ID: *val = read_id(l); return true;
	case APIC_VERSION: *val = VERSION; return true;
	case APIC_TPR: *val = l->tpr; return true;
	case APIC_PPR: *val = atomic_load(&l->ppr); return true;
	case APIC_LDR: *val = read_ldr(l); return true;
	case APIC_SVR: *val = atomic_load(&l->svr); return true;
	case APIC_ESR: *val = l->esr; return true;
	case APIC_TIMER_ICR: *val = l->timer_icr; return true;
	case APIC_TIMER_CCR: *val = lapic_timer_count(l); return true;
	case APIC_TIMER_DCR: *val = l->timer_dcr; return true;
	}
	if (reg >= APIC_ISR && reg < APIC_TMR)
		*val = l->isr[word];
	else if (reg >= APIC_TMR && reg < APIC_IRR)
		*val = atomic_load(&l->tmr[word]);
	else if (reg >= APIC_IRR && reg < APIC_ESR)
		*val = atomic_load(&l->irr[word]);
	else
		return false;
	return true;
}

u64 lapic_read(struct vcpu *cpu, u32 reg)
{
	struct lapic *l = lapic_of(cpu);
	u32 val;

	switch (reg) {
	case APIC_ICR: return (u32)l->icr;
	case APIC_ICR_HIGH: return l->icr >> 32;
	case APIC_DFR: return atomic_load(&l->dfr);
	case APIC_APR:
	case APIC_RRD:
	case APIC_EOI: return 0;
	}
	if (!read_reg(l, reg, &val))
		lapic_error(l, ESR_REGISTER);
	return val;
}

/* "Interrupt Command Register (ICR)". */
static void send_ipi(struct lapic *l)
{
	u32 icr = (u32)l->icr;
	unsigned mode = icr >> 8 & 7, shorthand = icr >> 18 & 3;
	u8 vector = (u8)icr;
	struct lapic_dest d = {
		.logical = icr & 1u << 11,
		.broadcast = shorthand != NO_SHORTHAND,
		.except = shorthand == ALL_BUT_SELF ? (int)l->cpu->index : -1,
	};

	if ((mode == DM_FIXED || mode == DM_LOWEST) && vector < 16) {
		lapic_error(l, ESR_SEND_VECTOR);
		return;
	}
	if (mode == DM_EXTINT || mode == 3)
		return;
	if (mode == DM_INIT && !(icr & ICR_LEVEL) && (icr & ICR_TRIGGER))
		return; /* de-assertion: nobody listens to it since the Pentium 4 */
	/*
	 * The SDM calls all but fixed ones to oneself invalid.  An NMI works all the same on
	 * other implementations; resetting oneself in the middle of a store does not.
	 */
	if ((shorthand == SELF || shorthand == ALL) && (mode == DM_INIT || mode == DM_SIPI))
		return;
	if (shorthand == SELF) {
		lapic_accept(l, mode, vector, false);
		return;
	}
	if (lapic_is_x2(l)) {
		d.id = (u32)(l->icr >> 32);
		d.broadcast |= d.id == 0xffffffff;
	} else {
		d.id = (u32)(l->icr >> 56);
		d.broadcast |= d.id == 0xff;
	}
	lapic_send(l->cpu->machine, &d, mode, vector, false);
}

static void write_lvt(struct lapic *l, enum lapic_lvt which, u32 val)
{
	u32 old, new;

	val &= lvt_writable[which];
	if (!(atomic_load(&l->svr) & SVR_ENABLE))
		val |= LVT_MASKED;
	if (which == LVT_TIMER) {
		lapic_timer_write_lvt(l, val);
		return;
	}
	/* Remote IRR is not ours to write, and a pin may set it at any moment. */
	old = atomic_load(&l->lvt[which]);
	do {
		new = val;
		if ((val & (LVT_LEVEL | LVT_MODE)) == LVT_LEVEL)
			new |= old &LVT_REMOTE_IRR;
	} while (!atomic_compare_exchange_weak(&l->lvt[which], &old, new));
	if (which == LVT_LINT0) {
		lapic_lint_level(l);
		lapic_update(l);
	}
}

static void write_svr(struct lapic *l, u32 val)
{
	atomic_store(&l->svr, val & SVR_WRITABLE);
	if (val & SVR_ENABLE)
		return;
	for (unsigned i = 0; i < NR_LVTS; i++)
		atomic_fetch_or(&l->lvt[i], LVT_MASKED);
	lapic_timer_sync(l);
	lapic_update(l);
}

/* Registers that both modes write the same way.  False: there is none at reg. */
static bool write_reg(struct lapic *l, u32 reg, u32 val)
{
	int lvt = lvt_index(reg);

	if (lvt >= 0) {
		write_lvt(l, (enum lapic_lvt)lvt, val);
		return true;
	}
	switch (reg) {
	case APIC_TPR:
		l->tpr = val & 0xff;
		lapic_update_ppr(l);
		return true;
	case APIC_EOI: lapic_eoi(l); return true;
	case APIC_SVR: write_svr(l, val); return true;
	case APIC_ESR: l->esr = atomic_exchange(&l->esr_pending, 0); return true;
	case APIC_TIMER_ICR: lapic_timer_write_icr(l, val); return true;
	case APIC_TIMER_DCR: lapic_timer_write_dcr(l, val); return true;
	}
	return false;
}

void lapic_write(struct vcpu *cpu, u32 reg, u64 val)
{
	struct lapic *l = lapic_of(cpu);
	u32 ignored;

	switch (reg) {
	case APIC_ICR:
		l->icr = (l->icr & ~0xffffffffull) | (val & ICR_WRITABLE);
		send_ipi(l);
		return;
	case APIC_ICR_HIGH: l->icr = (u32)l->icr | (val & 0xff000000) << 32; return;
	case APIC_LDR: atomic_store(&l->ldr, val & 0xff000000); return;
	case APIC_DFR: atomic_store(&l->dfr, (u32)val | 0x0fffffff); return;
	case APIC_APR:
	case APIC_RRD: return;
	}
	if (!write_reg(l, reg, (u32)val) && !read_reg(l, reg, &ignored))
		lapic_error(l, ESR_REGISTER);
}

int lapic_read_msr(struct vcpu *cpu, u32 msr, u64 *val)
{
	struct lapic *l = lapic_of(cpu);
	u32 reg = (msr - 0x800) << 4, low;

	if (!lapic_is_x2(l) || msr < 0x800 || msr > 0x8ff)
		return -1;
	if (reg == APIC_ICR) {
		*val = l->icr;
		return 0;
	}
	if (!read_reg(l, reg, &low))
		return -1;
	*val = low;
	return 0;
}

/* Bits of a register that must be written as 0, or the MSR write faults. */
static u32 reserved_bits(u32 reg)
{
	int lvt = lvt_index(reg);

	if (lvt >= 0) /* delivery status and remote IRR are read-only, not reserved */
		return ~(lvt_writable[lvt] | 1u << 12 |
			 (lvt == LVT_LINT0 || lvt == LVT_LINT1 ? LVT_REMOTE_IRR : 0));
	switch (reg) {
	case APIC_TPR:
	case APIC_SELF_IPI: return ~0xffu;
	case APIC_EOI:
	case APIC_ESR: return ~0u;
	case APIC_SVR: return ~(u32)SVR_WRITABLE;
	case APIC_TIMER_DCR: return ~0xbu;
	}
	return 0;
}

int lapic_write_msr(struct vcpu *cpu, u32 msr, u64 val)
{
	struct lapic *l = lapic_of(cpu);
	u32 reg = (msr - 0x800) << 4;

	if (!lapic_is_x2(l) || msr < 0x800 || msr > 0x8ff)
		return -1;
	if (reg == APIC_ICR) {
		if (val & (u32)ICR_RESERVED)
			return -1;
		l->icr = val & (0xffffffff00000000ull | ICR_WRITABLE);
		send_ipi(l);
		return 0;
	}
	if (val >> 32 || (val & reserved_bits(reg)))
		return -1;
	if (reg == APIC_SELF_IPI) {
		if (val < 16)
			lapic_error(l, ESR_SEND_VECTOR);
		else
			lapic_accept(l, DM_FIXED, (u8)val, false);
		return 0;
	}
	return write_reg(l, reg, (u32)val) ? 0 : -1;
}
