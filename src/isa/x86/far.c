/* SPDX-License-Identifier: MIT */
/*
 * far.c - transfers between segments and rings: far JMP, CALL and RET, call gates, IRET.
 *
 * As in exception.c, nothing is committed before the last check.
 *
 * Source: SDM volume 2A and 2B, "CALL", "JMP", "RET", "IRET"; volume 3A, "Privilege Level
 * Checking When Transferring Program Control Between Code Segments".
 */
#include "isa/x86/priv.h"

void x86_check_rip(struct x86_cpu *cpu, const struct seg *cs, u64 rip)
{
	if (cpu->long_mode && (cs->attr & SEG_L)) {
		if (!x86_canonical(rip))
			x86_raise_gp(cpu, 0);
	} else if (rip > cs->limit) {
		x86_raise_gp(cpu, 0);
	}
}

static void commit_code(struct x86_cpu *cpu, const struct seg *cs, u64 rip)
{
	cpu->st.seg[SEG_CS] = *cs;
	cpu->st.rip = rip;
	x86_code_changed(cpu);
}

static u64 size_mask(unsigned size)
{
	return size == 8 ? ~0ull : (1ull << 8 * size) - 1;
}

/* The current stack, for pushes that commit later. */
static struct stack current_stack(const struct x86_cpu *cpu)
{
	return (struct stack){.ss = cpu->st.seg[SEG_SS],
			      .sp = cpu->st.gpr[RSP],
			      .cpl = cpu->cpl,
			      .flat = cpu->code64};
}

/* --- to a code segment directly ---------------------------------------------------------- */

static void far_real(struct x86_cpu *cpu, u16 sel, u64 off)
{
	if (off > cpu->st.seg[SEG_CS].limit)
		x86_raise_gp(cpu, 0);
	x86_set_seg_real(cpu, SEG_CS, sel);
	cpu->st.rip = off;
	x86_mode_changed(cpu);
}

/* 64-bit code must not have D set. */
static bool bad_code_size(const struct x86_cpu *cpu, u64 raw)
{
	return cpu->long_mode && (raw >> 53 & 3) == 3;
}

static struct seg direct_code(struct x86_cpu *cpu, struct desc *d)
{
	u16 error = d->sel & 0xfffc;
	unsigned dpl = desc_dpl(d->raw);

	if (desc_is_conforming(d->raw) ? dpl > cpu->cpl
				       : dpl != cpu->cpl || (d->sel & 3) > cpu->cpl)
		x86_raise_gp(cpu, error);
	if (bad_code_size(cpu, d->raw))
		x86_raise_gp(cpu, error);
	if (!desc_present(d->raw))
		x86_raise_err(cpu, X86_NP, error);
	x86_mark_accessed(cpu, d);
	return x86_desc_seg(d, (u16)((d->sel & ~3) | cpu->cpl));
}

/* --- call gates and tasks ---------------------------------------------------------------- */

struct gate {
	unsigned size; /* of the slots pushed */
	unsigned params;
	u64 off;
	struct desc cs;
	unsigned cpl; /* of the target */
};

/* A call gate and the code segment it names, checked. */
static void read_gate(struct x86_cpu *cpu, const struct desc *d, bool call, struct gate *g)
{
	u16 sel = gate_sel(d->raw);
	unsigned dpl = desc_dpl(d->raw);

	if (dpl < cpu->cpl || dpl < (d->sel & 3))
		x86_raise_gp(cpu, d->sel & 0xfffc);
	if (!desc_present(d->raw))
		x86_raise_err(cpu, X86_NP, d->sel & 0xfffc);
	g->size = cpu->long_mode ? 8 : desc_type(d->raw) == DESC_CALL32 ? 4 : 2;
	g->params = cpu->long_mode ? 0 : d->raw >> 32 & 31;
	g->off = g->size == 2 ? d->raw & 0xffff : gate_offset(d->raw);
	g->off |= d->high << 32;
	if (x86_null_sel(sel))
		x86_raise_gp(cpu, 0);
	if (!x86_read_desc(cpu, sel, &g->cs) || !desc_is_code(g->cs.raw))
		x86_raise_gp(cpu, sel & 0xfffc);
	dpl = desc_dpl(g->cs.raw);
	g->cpl = desc_is_conforming(g->cs.raw) ? cpu->cpl : dpl;
	/* A jump stays at its privilege level; a call may go inwards. */
	if (dpl > cpu->cpl || (!call && g->cpl != cpu->cpl))
		x86_raise_gp(cpu, sel & 0xfffc);
	if (cpu->long_mode && (g->cs.raw >> 53 & 3) != 1)
		x86_raise_gp(cpu, sel & 0xfffc);
	if (!desc_present(g->cs.raw))
		x86_raise_err(cpu, X86_NP, sel & 0xfffc);
}

static void jump_gate(struct x86_cpu *cpu, const struct desc *d)
{
	struct gate g;
	struct seg cs;

	read_gate(cpu, d, false, &g);
	cs = x86_desc_seg(&g.cs, (u16)((g.cs.sel & ~3) | g.cpl));
	x86_check_rip(cpu, &cs, g.off);
	x86_mark_accessed(cpu, &g.cs);
	cs.attr |= SEG_A;
	commit_code(cpu, &cs, g.off);
}

/* The caller's stack pointer and arguments, on the inner stack. */
static void push_caller(struct x86_cpu *cpu, const struct gate *g, struct stack *s)
{
	u64 sp = cpu->st.gpr[RSP];

	stack_push(cpu, s, cpu->st.seg[SEG_SS].sel, g->size);
	stack_push(cpu, s, sp, g->size);
	for (unsigned i = g->params; i-- > 0;) {
		u64 at = (sp + i * g->size) & stack_mask(cpu);

		stack_push(cpu, s, mem_read(cpu, SEG_SS, at, g->size), g->size);
	}
}

static void call_gate(struct x86_cpu *cpu, const struct op *op, const struct desc *d)
{
	struct stack s = current_stack(cpu);
	struct gate g;
	struct seg cs;

	read_gate(cpu, d, true, &g);
	if (g.cpl < cpu->cpl) {
		if (cpu->long_mode)
			x86_tss_stack64(cpu, g.cpl, 0, 0, &s);
		else
			x86_tss_stack(cpu, g.cpl, 0, &s);
		push_caller(cpu, &g, &s);
	} else if (cpu->long_mode) {
		s.flat = true;
	}
	stack_push(cpu, &s, cpu->st.seg[SEG_CS].sel, g.size);
	stack_push(cpu, &s, op_next_rip(cpu, op), g.size);
	cs = x86_desc_seg(&g.cs, (u16)((g.cs.sel & ~3) | g.cpl));
	x86_check_rip(cpu, &cs, g.off);
	x86_mark_accessed(cpu, &g.cs);
	cs.attr |= SEG_A;
	x86_commit_stack(cpu, &s);
	commit_code(cpu, &cs, g.off);
}

/* A selector that is not one of code: gates and tasks. */
static void far_system(struct x86_cpu *cpu, const struct op *op, const struct desc *d, bool call)
{
	unsigned type = desc_type(d->raw);
	unsigned dpl = desc_dpl(d->raw);
	u16 error = d->sel & 0xfffc;
	enum task_reason why = call ? TASK_CALL : TASK_JMP;

	if (desc_is_seg(d->raw) || (cpu->long_mode && type != DESC_CALL32))
		x86_raise_gp(cpu, error);
	switch (type) {
	case DESC_CALL16:
	case DESC_CALL32:
		if (call)
			call_gate(cpu, op, d);
		else
			jump_gate(cpu, d);
		break;
	case DESC_TASK_GATE:
	case DESC_TSS16:
	case DESC_TSS32:
		if (dpl < cpu->cpl || dpl < (d->sel & 3))
			x86_raise_gp(cpu, error);
		if (type != DESC_TASK_GATE)
			x86_task_switch(cpu, d->sel, why, op_next_rip(cpu, op), 0, NULL);
		else if (!desc_present(d->raw))
			x86_raise_err(cpu, X86_NP, error);
		else
			x86_task_gate(cpu, d->raw, why, op_next_rip(cpu, op), 0, NULL);
		break;
	default: x86_raise_gp(cpu, error);
	}
}

static void read_target(struct x86_cpu *cpu, u16 sel, struct desc *d)
{
	if (x86_null_sel(sel))
		x86_raise_gp(cpu, 0);
	if (!x86_read_sys_desc(cpu, sel, d))
		x86_raise_gp(cpu, sel & 0xfffc);
}

void x86_far_jump(struct x86_cpu *cpu, const struct op *op, u16 sel, u64 off, unsigned size)
{
	struct desc d;
	struct seg cs;

	off &= size_mask(size);
	if (!x86_protected(cpu)) {
		far_real(cpu, sel, off);
		return;
	}
	read_target(cpu, sel, &d);
	if (!desc_is_code(d.raw)) {
		far_system(cpu, op, &d, false);
		return;
	}
	cs = direct_code(cpu, &d);
	x86_check_rip(cpu, &cs, off);
	commit_code(cpu, &cs, off);
}

void x86_far_call(struct x86_cpu *cpu, const struct op *op, u16 sel, u64 off, unsigned size)
{
	struct stack s = current_stack(cpu);
	struct desc d;
	struct seg cs;
	bool prot = x86_protected(cpu);

	off &= size_mask(size);
	if (prot) {
		read_target(cpu, sel, &d);
		if (!desc_is_code(d.raw)) {
			far_system(cpu, op, &d, true);
			return;
		}
		cs = direct_code(cpu, &d);
		x86_check_rip(cpu, &cs, off);
	} else if (off > cpu->st.seg[SEG_CS].limit) {
		x86_raise_gp(cpu, 0);
	}
	stack_push(cpu, &s, cpu->st.seg[SEG_CS].sel, size);
	stack_push(cpu, &s, op_next_rip(cpu, op), size);
	x86_commit_stack(cpu, &s);
	if (prot)
		commit_code(cpu, &cs, off);
	else
		far_real(cpu, sel, off);
}

/* --- returns ----------------------------------------------------------------------------- */

/* CS as popped by RET and IRET. */
static struct seg return_code(struct x86_cpu *cpu, u16 sel, u64 rip)
{
	u16 error = sel & 0xfffc;
	unsigned rpl = sel & 3;
	struct desc d;
	struct seg cs;

	if (x86_null_sel(sel))
		x86_raise_gp(cpu, 0);
	if (!x86_read_desc(cpu, sel, &d) || !desc_is_code(d.raw) || rpl < cpu->cpl)
		x86_raise_gp(cpu, error);
	if (desc_is_conforming(d.raw) ? desc_dpl(d.raw) > rpl : desc_dpl(d.raw) != rpl)
		x86_raise_gp(cpu, error);
	if (bad_code_size(cpu, d.raw))
		x86_raise_gp(cpu, error);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, X86_NP, error);
	cs = x86_desc_seg(&d, sel);
	x86_check_rip(cpu, &cs, rip);
	x86_mark_accessed(cpu, &d);
	cs.attr |= SEG_A;
	return cs;
}

/* SS as popped, for code segment cs; in 64-bit code a null one will do outside ring 3. */
static struct seg return_stack(struct x86_cpu *cpu, u16 sel, const struct seg *cs)
{
	unsigned cpl = cs->sel & 3;

	if (x86_null_sel(sel) && cpu->long_mode && (cs->attr & SEG_L) && cpl < 3 &&
	    (sel & 3) == cpl)
		return (struct seg){.sel = sel, .attr = (u16)(cpl << SEG_DPL_SHIFT)};
	return x86_check_ss(cpu, sel, cpl, X86_GP, 0);
}

static void commit_return(struct x86_cpu *cpu, const struct seg *cs, u64 rip, const struct seg *ss,
			  u64 sp)
{
	struct stack s = {.ss = *ss, .sp = sp, .flat = cpu->long_mode && (cs->attr & SEG_L)};
	unsigned old_cpl = cpu->cpl;

	x86_commit_stack(cpu, &s);
	commit_code(cpu, cs, rip);
	if (cpu->cpl > old_cpl)
		x86_drop_inner_segs(cpu);
}

void x86_far_return(struct x86_cpu *cpu, unsigned size, unsigned release)
{
	u64 sp = cpu->st.gpr[RSP];
	u64 rip = pop_at(cpu, &sp, size);
	u16 sel = (u16)pop_at(cpu, &sp, size);
	struct seg cs, ss;

	sp += release;
	if (!x86_protected(cpu)) {
		far_real(cpu, sel, rip);
		set_sp(cpu, sp);
		return;
	}
	cs = return_code(cpu, sel, rip);
	if ((sel & 3) == cpu->cpl) {
		set_sp(cpu, sp);
		commit_code(cpu, &cs, rip);
	} else {
		u64 new_sp = pop_at(cpu, &sp, size);

		ss = return_stack(cpu, (u16)pop_at(cpu, &sp, size), &cs);
		commit_return(cpu, &cs, rip, &ss, new_sp + release);
	}
}

/* --- IRET -------------------------------------------------------------------------------- */

enum { IRET_ALWAYS = FL_ARITH | FL_TF | FL_DF | FL_NT };

/* Which flags IRET and its mode may change. */
static u64 iret_flags(const struct x86_cpu *cpu, unsigned size)
{
	u64 mask = IRET_ALWAYS;

	if (cpu->cpl <= x86_iopl(cpu))
		mask |= FL_IF;
	if (cpu->cpl == 0)
		mask |= FL_IOPL;
	if (size > 2)
		mask |= FL_RF | FL_AC | FL_ID | (cpu->cpl == 0 ? FL_VIF | FL_VIP : 0);
	return mask;
}

static void iret_real(struct x86_cpu *cpu, unsigned size, u64 mask)
{
	u64 sp = cpu->st.gpr[RSP];
	u64 rip = pop_at(cpu, &sp, size);
	u16 sel = (u16)pop_at(cpu, &sp, size);
	u64 flags = pop_at(cpu, &sp, size);

	far_real(cpu, sel, rip);
	set_sp(cpu, sp);
	x86_write_rflags(cpu, flags, mask);
}

/* With VME and IOPL below 3, IF stands for VIF. */
static void iret_vme(struct x86_cpu *cpu)
{
	u64 sp = cpu->st.gpr[RSP];
	u64 rip = pop_at(cpu, &sp, 2);
	u16 sel = (u16)pop_at(cpu, &sp, 2);
	u64 flags = pop_at(cpu, &sp, 2);

	if ((flags & FL_TF) || ((flags & FL_IF) && (cpu->st.rflags & FL_VIP)))
		x86_raise_gp(cpu, 0);
	far_real(cpu, sel, rip);
	set_sp(cpu, sp);
	flags = (flags & ~(u64)FL_VIF) | (flags & FL_IF ? FL_VIF : 0);
	x86_write_rflags(cpu, flags, IRET_ALWAYS | FL_VIF);
}

static void iret_v86(struct x86_cpu *cpu, unsigned size)
{
	u64 mask = IRET_ALWAYS | FL_IF | (size > 2 ? FL_RF | FL_AC | FL_ID : 0);

	if (x86_iopl(cpu) == 3)
		iret_real(cpu, size, mask);
	else if (size == 2 && (cpu->st.cr4 & CR4_VME))
		iret_vme(cpu);
	else
		x86_raise_gp(cpu, 0);
}

static void iret_to_v86(struct x86_cpu *cpu, u64 sp, u64 rip, u16 cs, u64 flags)
{
	static const enum seg_reg order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
	u64 new_sp = pop_at(cpu, &sp, 4);
	u16 sel[ARRAY_SIZE(order)];

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		sel[i] = (u16)pop_at(cpu, &sp, 4);
	x86_write_rflags(cpu, flags,
			 IRET_ALWAYS | FL_IF | FL_IOPL | FL_RF | FL_AC | FL_ID | FL_VIF | FL_VIP |
				 FL_VM);
	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		x86_set_seg_real(cpu, order[i], sel[i]);
	x86_set_seg_real(cpu, SEG_CS, cs);
	cpu->st.gpr[RSP] = (u32)new_sp;
	cpu->st.rip = rip & 0xffff;
	x86_mode_changed(cpu);
}

static void iret_protected(struct x86_cpu *cpu, unsigned size)
{
	u64 sp = cpu->st.gpr[RSP];
	u64 rip = pop_at(cpu, &sp, size);
	u16 sel = (u16)pop_at(cpu, &sp, size);
	u64 flags = pop_at(cpu, &sp, size);
	u64 mask = iret_flags(cpu, size);
	struct seg cs, ss;

	if (size == 4 && (flags & FL_VM) && cpu->cpl == 0 && !cpu->long_mode) {
		iret_to_v86(cpu, sp, rip, sel, flags);
		return;
	}
	cs = return_code(cpu, sel, rip);
	if (cpu->code64 || (sel & 3) > cpu->cpl) {
		u64 new_sp = pop_at(cpu, &sp, size);

		ss = return_stack(cpu, (u16)pop_at(cpu, &sp, size), &cs);
		commit_return(cpu, &cs, rip, &ss, new_sp);
	} else {
		set_sp(cpu, sp);
		commit_code(cpu, &cs, rip);
	}
	x86_write_rflags(cpu, flags, mask);
}

static void iret_task(struct x86_cpu *cpu, const struct op *op)
{
	u16 link = (u16)sys_read(cpu, cpu->st.tr.base, 2);

	x86_task_switch(cpu, link, TASK_IRET, op_next_rip(cpu, op), 0, NULL);
}

void x86_iret(struct x86_cpu *cpu, const struct op *op, unsigned size)
{
	/* Even if it faults. */
	cpu->st.nmi_masked = false;
	if (!(cpu->st.cr0 & CR0_PE))
		iret_real(cpu, size, iret_flags(cpu, size) & ~(u64)(FL_VIF | FL_VIP));
	else if (cpu->st.rflags & FL_VM)
		iret_v86(cpu, size);
	else if (!(cpu->st.rflags & FL_NT))
		iret_protected(cpu, size);
	else if (cpu->long_mode)
		x86_raise_gp(cpu, 0);
	else
		iret_task(cpu, op);
}
