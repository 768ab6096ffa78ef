/* SPDX-License-Identifier: MIT */
/*
 * mov.h - moves, pushes and pops: the one body of each, a template as alu.h says.
 */
#ifndef ISA_X86_MOV_H
#define ISA_X86_MOV_H

#include "isa/x86/alu.h"

/* form: FORM_RM_REG, FORM_REG_RM, FORM_RM_IMM. */
static __always_inline void do_mov(struct x86_cpu *cpu, const struct op *op, unsigned size,
				   unsigned form, enum loc loc)
{
	if (form == FORM_REG_RM)
		gpr_write(cpu, op->reg, rm_get(cpu, op, size, loc), size);
	else if (form == FORM_RM_IMM)
		rm_set(cpu, op, op->imm, size, loc);
	else
		rm_set(cpu, op, gpr_read(cpu, op->reg, size), size, loc);
}

/* from: the size of the source. */
static __always_inline void do_movzx(struct x86_cpu *cpu, const struct op *op, unsigned from,
				     unsigned size, enum loc loc)
{
	gpr_write(cpu, op->reg, rm_get(cpu, op, from, loc), size);
}

static __always_inline void do_movsx(struct x86_cpu *cpu, const struct op *op, unsigned from,
				     unsigned size, enum loc loc)
{
	gpr_write(cpu, op->reg, sign_extend(rm_get(cpu, op, from, loc), from), size);
}

static __always_inline void do_lea(struct x86_cpu *cpu, const struct op *op, unsigned size)
{
	gpr_write(cpu, op->reg, op_ea(cpu, op), size);
}

/* Memory is read, and a 32-bit register zero-extended, whatever the condition. */
static __always_inline void do_cmovcc(struct x86_cpu *cpu, const struct op *op, unsigned cc,
				      unsigned size, enum loc loc)
{
	u64 val = rm_get(cpu, op, size, loc);

	if (!flags_cond(cpu, cc))
		val = gpr_read(cpu, op->reg, size);
	gpr_write(cpu, op->reg, val, size);
}

static __always_inline void do_setcc(struct x86_cpu *cpu, const struct op *op, unsigned cc,
				     enum loc loc)
{
	rm_set(cpu, op, flags_cond(cpu, cc), 1, loc);
}

/* form: FORM_RM, FORM_REG, FORM_IMM.  PUSH RSP pushes the old one. */
static __always_inline void do_push(struct x86_cpu *cpu, const struct op *op, unsigned size,
				    unsigned form, enum loc loc)
{
	u64 val;

	if (form == FORM_IMM)
		val = op->imm;
	else if (form == FORM_REG)
		val = gpr_read(cpu, op->reg, size);
	else
		val = rm_get(cpu, op, size, loc);
	x86_push(cpu, val, size);
}

/* To a register: one that is RSP wins over the increment. */
static __always_inline void do_pop_reg(struct x86_cpu *cpu, unsigned byte_off, unsigned size)
{
	gpr_write(cpu, byte_off, x86_pop(cpu, size), size);
}

#endif
