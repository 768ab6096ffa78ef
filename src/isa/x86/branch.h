/* SPDX-License-Identifier: MIT */
/*
 * branch.h - near branches: the one body of each, a template as alu.h says.
 *
 * All of them write st.rip, taken or not, and check where they go before anything else
 * changes.  size is the operand size, to which the target is cut.
 */
#ifndef ISA_X86_BRANCH_H
#define ISA_X86_BRANCH_H

#include "isa/x86/alu.h"

/* #GP(0) unless rip, cut to size bytes, is canonical (64-bit code) or within CS. */
static __always_inline u64 branch_target(struct x86_cpu *cpu, u64 rip, unsigned size)
{
	if (size != 8)
		rip = zero_extend(rip, size);
	if (__builtin_expect(cpu->code64, 1)) {
		if (__builtin_expect((u64)((i64)(rip << 16) >> 16) != rip, 0))
			x86_raise_gp(cpu, 0);
	} else if (__builtin_expect(rip > cpu->st.seg[SEG_CS].limit, 0)) {
		x86_raise_gp(cpu, 0);
	}
	return rip;
}

static __always_inline u64 branch_rel(struct x86_cpu *cpu, const struct op *op, unsigned size)
{
	return branch_target(cpu, op_next_rip(cpu, op) + op->imm, size);
}

static __always_inline void do_jmp_rel(struct x86_cpu *cpu, const struct op *op, unsigned size)
{
	cpu->st.rip = branch_rel(cpu, op, size);
}

static __always_inline void do_jmp_rm(struct x86_cpu *cpu, const struct op *op, unsigned size,
				      enum loc loc)
{
	cpu->st.rip = branch_target(cpu, rm_get(cpu, op, size, loc), size);
}

static __always_inline void do_jcc(struct x86_cpu *cpu, const struct op *op, unsigned cc,
				   unsigned size)
{
	if (flags_cond(cpu, cc))
		cpu->st.rip = branch_rel(cpu, op, size);
	else
		cpu->st.rip = op_next_rip(cpu, op);
}

static __always_inline void do_call_rel(struct x86_cpu *cpu, const struct op *op, unsigned size)
{
	u64 target = branch_rel(cpu, op, size);

	x86_push(cpu, op_next_rip(cpu, op), size);
	cpu->st.rip = target;
}

static __always_inline void do_call_rm(struct x86_cpu *cpu, const struct op *op, unsigned size,
				       enum loc loc)
{
	u64 target = branch_target(cpu, rm_get(cpu, op, size, loc), size);

	x86_push(cpu, op_next_rip(cpu, op), size);
	cpu->st.rip = target;
}

/* imm: bytes to release after the return address. */
static __always_inline void do_ret(struct x86_cpu *cpu, const struct op *op, unsigned size)
{
	u64 sp = cpu->st.gpr[RSP];
	u64 target = branch_target(cpu, pop_at(cpu, &sp, size), size);

	set_sp(cpu, sp + (u16)op->imm);
	cpu->st.rip = target;
}

#endif
