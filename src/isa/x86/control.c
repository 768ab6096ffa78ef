/* SPDX-License-Identifier: MIT */
/*
 * control.c - control registers, RFLAGS, I/O permission, and what follows from changing them.
 *
 * Source: SDM volume 3A, "Control Registers", "Operation Modes"; volume 1, "I/O Permission
 * Bit Map".
 */
#include "isa/x86/insn.h"
#include "isa/x86/priv.h"
#include "sundog/machine.h"

/* --- what is derived from the state ------------------------------------------------------ */

static bool breakpoints_on(const struct x86_cpu *cpu)
{
	return cpu->st.dr7 & 0xff;
}

void x86_update_careful(struct x86_cpu *cpu)
{
	cpu->careful = (cpu->st.rflags & FL_TF) || breakpoints_on(cpu) || cpu->st.pending_db ||
		       cpu->debugged;
}

void x86_mode_changed(struct x86_cpu *cpu)
{
	const struct seg *cs = &cpu->st.seg[SEG_CS];
	const struct seg *ss = &cpu->st.seg[SEG_SS];

	if (!(cpu->st.cr0 & CR0_PE))
		cpu->cpl = 0;
	else if (cpu->st.rflags & FL_VM)
		cpu->cpl = 3;
	else
		cpu->cpl = ss->attr >> SEG_DPL_SHIFT & 3;
	cpu->long_mode = cpu->st.efer & EFER_LMA;
	cpu->code64 = cpu->long_mode && (cs->attr & SEG_L);
	cpu->code_size = cpu->code64 ? CODE64 : cs->attr & SEG_DB ? CODE32 : CODE16;
	cpu->stack_size = cpu->code64 ? 8 : ss->attr & SEG_DB ? 4 : 2;
	for (unsigned i = 0; i < NR_SEGS; i++) {
		bool flat = cpu->code64 && i != SEG_FS && i != SEG_GS;

		cpu->seg_base[i] = flat ? 0 : cpu->st.seg[i].base;
		x86_note_flat(cpu, i);
	}
	x86_update_careful(cpu);
	soft_view_changed(cpu);
}

/* The same, from 64-bit code to 64-bit code. */
static void x86_ring_changed(struct x86_cpu *cpu)
{
	cpu->cpl = cpu->st.seg[SEG_SS].attr >> SEG_DPL_SHIFT & 3;
	x86_note_flat(cpu, SEG_CS);
	x86_note_flat(cpu, SEG_SS);
	x86_update_careful(cpu);
	soft_view_changed(cpu);
}

void x86_code_changed(struct x86_cpu *cpu)
{
	if (cpu->code64 && cpu->st.seg[SEG_CS].attr & SEG_L)
		x86_ring_changed(cpu);
	else
		x86_mode_changed(cpu);
}

void x86_state_changed(struct x86_cpu *cpu)
{
	cpu->st.gpr[GPR_ZERO] = 0;
	flags_put(cpu, cpu->st.rflags);
	cpu->op = NULL;
	cpu->delivering = -1;
	cpu->triple = false;
	cpu->skip_step = false;
	x86_mode_changed(cpu);
	soft_flush_all(cpu, true);
}

/* --- control registers --------------------------------------------------------------------- */

enum {
	CR0_KNOWN = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW |
		    CR0_CD
};

/* Entering long mode asks for PAE, for code that is not 64-bit yet, and a wide task state. */
static bool may_enter_long(const struct x86_cpu *cpu)
{
	const struct seg *tr = &cpu->st.tr;

	if (!(cpu->st.cr4 & CR4_PAE) || (cpu->st.seg[SEG_CS].attr & SEG_L))
		return false;
	return !(tr->attr & SEG_P) || (tr->attr & SEG_TYPE) >= DESC_TSS32;
}

static bool cr0_valid(const struct x86_cpu *cpu, u64 val)
{
	if (val >> 32)
		return false;
	if ((val & CR0_PG) && !(val & CR0_PE))
		return false;
	if ((val & CR0_NW) && !(val & CR0_CD))
		return false;
	if (!(val & CR0_PG) && (cpu->st.cr4 & CR4_PCIDE))
		return false;
	if (!(val & CR0_PG) && cpu->code64)
		return false;
	return true;
}

void x86_write_cr0(struct x86_cpu *cpu, u64 val)
{
	u64 old = cpu->st.cr0, changed;

	if (!cr0_valid(cpu, val))
		x86_raise_gp(cpu, 0);
	val = (val & (CR0_KNOWN | CR0_PG)) | CR0_ET;
	changed = old ^ val;
	if ((changed & val & CR0_PG) && (cpu->st.efer & EFER_LME)) {
		if (!may_enter_long(cpu))
			x86_raise_gp(cpu, 0);
		cpu->st.efer |= EFER_LMA;
	} else if ((val & CR0_PG) && (cpu->st.cr4 & CR4_PAE) && !(cpu->st.efer & EFER_LMA) &&
		   (changed & (CR0_PG | CR0_CD | CR0_NW))) {
		if (!x86_load_pdptes(cpu, cpu->st.cr3))
			x86_raise_gp(cpu, 0);
	}
	if (changed & old & CR0_PG)
		cpu->st.efer &= ~(u64)EFER_LMA;
	cpu->st.cr0 = val;
	x86_mode_changed(cpu);
	if (changed & (CR0_PG | CR0_WP | CR0_PE))
		soft_flush_all(cpu, true);
}

void x86_write_cr3(struct x86_cpu *cpu, u64 val)
{
	bool keep = false;

	if (cpu->long_mode) {
		u64 rsvd = ~x86_phys_mask(cpu);

		if (cpu->st.cr4 & CR4_PCIDE) {
			keep = val >> 63;
			val &= ~(1ull << 63);
		}
		if (val & rsvd)
			x86_raise_gp(cpu, 0);
	} else {
		val = (u32)val;
		if ((cpu->st.cr0 & CR0_PG) && (cpu->st.cr4 & CR4_PAE) && !x86_load_pdptes(cpu, val))
			x86_raise_gp(cpu, 0);
	}
	cpu->st.cr3 = val;
	soft_cr3_written(cpu, keep);
}

u64 x86_cr4_allowed(const struct x86_cpu *cpu)
{
	static const struct {
		u32 bits;
		u8 feature;
	} map[] = {
		{CR4_VME | CR4_PVI, FEAT_VME},
		{CR4_TSD, FEAT_TSC},
		{CR4_DE, FEAT_DE},
		{CR4_PSE, FEAT_PSE},
		{CR4_PAE, FEAT_PAE},
		{CR4_MCE, FEAT_MCE},
		{CR4_PGE, FEAT_PGE},
		{CR4_OSFXSR, FEAT_FXSR},
		{CR4_OSXMMEXCPT, FEAT_SSE},
		{CR4_UMIP, FEAT_UMIP},
		{CR4_FSGSBASE, FEAT_FSGSBASE},
		{CR4_PCIDE, FEAT_PCID},
		{CR4_OSXSAVE, FEAT_XSAVE},
		{CR4_SMEP, FEAT_SMEP},
		{CR4_SMAP, FEAT_SMAP},
	};
	u64 allowed = CR4_PCE;

	for (unsigned i = 0; i < ARRAY_SIZE(map); i++)
		if (x86_has(cpu, map[i].feature))
			allowed |= map[i].bits;
	return allowed;
}

enum {
	CR4_PAGING = CR4_PSE | CR4_PAE | CR4_PGE | CR4_SMEP,
	CR4_FLUSHES = CR4_PAGING | CR4_SMAP | CR4_PCIDE,
};

void x86_write_cr4(struct x86_cpu *cpu, u64 val)
{
	u64 changed = cpu->st.cr4 ^ val;

	if (val & ~x86_cr4_allowed(cpu))
		x86_raise_gp(cpu, 0);
	if (cpu->long_mode && !(val & CR4_PAE))
		x86_raise_gp(cpu, 0);
	if ((changed & val & CR4_PCIDE) && (!cpu->long_mode || (cpu->st.cr3 & 0xfff)))
		x86_raise_gp(cpu, 0);
	if ((val & CR4_PAE) && (cpu->st.cr0 & CR0_PG) && !cpu->long_mode &&
	    (changed & CR4_PAGING) && !x86_load_pdptes(cpu, cpu->st.cr3))
		x86_raise_gp(cpu, 0);
	cpu->st.cr4 = val;
	x86_mode_changed(cpu);
	if (changed & CR4_FLUSHES)
		soft_flush_all(cpu, true);
}

/* AMD: kept and without effect, there being no speculation. */
enum { EFER_AUTOIBRS = 1 << 21 };

u64 x86_efer_allowed(const struct x86_cpu *cpu)
{
	return (x86_has(cpu, FEAT_SYSCALL) ? EFER_SCE : 0) |
	       (x86_has(cpu, FEAT_NX) ? EFER_NXE : 0) |
	       (x86_has(cpu, FEAT_LM) ? EFER_LME | EFER_LMA : 0) |
	       (x86_is_amd(cpu->v.machine->features) ? EFER_AUTOIBRS : 0);
}

int x86_write_efer(struct x86_cpu *cpu, u64 val)
{
	u64 changed = (cpu->st.efer ^ val) & ~(u64)EFER_LMA;

	if (val & ~x86_efer_allowed(cpu))
		return -1;
	if ((changed & EFER_LME) && (cpu->st.cr0 & CR0_PG))
		return -1;
	cpu->st.efer ^= changed;
	if (changed & EFER_NXE)
		soft_flush_all(cpu, true);
	return 0;
}

/* --- flags and I/O --------------------------------------------------------------------------- */

enum {
	FL_KNOWN = FL_ARITH | FL_TF | FL_IF | FL_DF | FL_IOPL | FL_NT | FL_RF | FL_VM | FL_AC |
		   FL_VIF | FL_VIP | FL_ID
};

void x86_write_rflags(struct x86_cpu *cpu, u64 val, u64 mask)
{
	u64 old = cpu->st.rflags, new;

	if (mask & FL_ARITH)
		flags_change(cpu, mask & FL_ARITH, val);
	/* Nobody can tell that RF is set where there is no breakpoint to hold back. */
	if (!breakpoints_on(cpu))
		val &= ~(u64)FL_RF;
	new = ((old & ~mask) | (val & mask)) & FL_KNOWN;
	cpu->st.rflags = new | FL_FIXED;
	if ((old ^ new) & FL_VM) {
		x86_mode_changed(cpu);
	} else if ((old ^ new) & (FL_TF | FL_AC)) {
		x86_update_careful(cpu);
		soft_view_changed(cpu);
	}
}

void x86_check_io(struct x86_cpu *cpu, u16 port, unsigned size)
{
	const struct seg *tr = &cpu->st.tr;
	u32 at, mask = (1u << size) - 1;

	if (!(cpu->st.cr0 & CR0_PE))
		return;
	if (!(cpu->st.rflags & FL_VM) && cpu->cpl <= x86_iopl(cpu))
		return;
	if (!(tr->attr & SEG_P) || (tr->attr & SEG_TYPE) < DESC_TSS32 || tr->limit < 103)
		x86_raise_gp(cpu, 0);
	at = (u32)sys_read(cpu, tr->base + 102, 2) + port / 8;
	if (at + 1 > tr->limit)
		x86_raise_gp(cpu, 0);
	if (sys_read(cpu, tr->base + at, 2) >> (port & 7) & mask)
		x86_raise_gp(cpu, 0);
}
