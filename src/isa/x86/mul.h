/* SPDX-License-Identifier: MIT */
/*
 * mul.h - IMUL to a register: the one body of each form, a template as alu.h says.
 *
 * The flags the manuals leave undefined are as AMD's processors leave them: kept.
 */
#ifndef ISA_X86_MUL_H
#define ISA_X86_MUL_H

#include "isa/x86/shift.h"

static __always_inline void do_imul(struct x86_cpu *cpu, const struct op *op, u64 a, u64 b,
				    unsigned size)
{
	i64 x = (i64)sign_extend(a, size), y = (i64)sign_extend(b, size), low;
	u64 over = __builtin_mul_overflow(x, y, &low) || (i64)sign_extend((u64)low, size) != low;

	gpr_write(cpu, op->reg, (u64)low, size);
	flags_set_cf_of(cpu, over, over);
}

static __always_inline void do_imul2(struct x86_cpu *cpu, const struct op *op, unsigned size,
				     enum loc loc)
{
	u64 b = rm_get(cpu, op, size, loc);

	do_imul(cpu, op, gpr_read(cpu, op->reg, size), b, size);
}

static __always_inline void do_imul3(struct x86_cpu *cpu, const struct op *op, unsigned size,
				     enum loc loc)
{
	do_imul(cpu, op, rm_get(cpu, op, size, loc), op->imm, size);
}

#endif
