/* SPDX-License-Identifier: MIT */
/*
 * exec_bmi.c - BMI1 and BMI2 instructions with VEX encodings.
 *
 * Flags the manuals leave undefined are as AMD's processors leave them.
 *
 * Source: SDM volume 2, the instructions' own pages; APM volume 3.
 */
#include "isa/x86/exec.h"
#include "isa/x86/priv.h"
#include "isa/x86/shift.h"

/* The size, or #UD where VEX prefixes mean nothing. */
static inline unsigned begin(struct x86_cpu *cpu, const struct op *op)
{
	if (__builtin_expect(!cpu->code64, 0) && !x86_protected(cpu))
		x86_raise_ud(cpu);
	return op->flags & OP_REX_W ? 8 : 4;
}

/* SF, ZF and PF of the result; CF as given; AF and OF clear. */
static void set_flags(struct x86_cpu *cpu, u64 res, unsigned size, bool cf)
{
	flags_logic(cpu, res, size);
	flags_set_cf_of(cpu, cf, false);
}

void exec_andn(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	u64 res = ~gpr_read(cpu, op->vvvv, size) & rm_read(cpu, op, size);

	reg_write(cpu, op, res, size);
	set_flags(cpu, res, size, false);
}

void exec_blsr(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	u64 a = rm_read(cpu, op, size), res = a & (a - 1);

	gpr_write(cpu, op->vvvv, res, size);
	set_flags(cpu, res, size, !a);
}

void exec_blsmsk(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	u64 a = rm_read(cpu, op, size), res = a ^ (a - 1);

	gpr_write(cpu, op->vvvv, res, size);
	set_flags(cpu, res, size, !a);
}

void exec_blsi(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	u64 a = rm_read(cpu, op, size), res = a & -a;

	gpr_write(cpu, op->vvvv, res, size);
	set_flags(cpu, res, size, a);
}

void exec_bzhi(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op), bits = 8 * size;
	unsigned n = (u8)gpr_read(cpu, op->vvvv, 1);
	u64 res = rm_read(cpu, op, size);

	if (n < bits)
		res &= (1ull << n) - 1;
	reg_write(cpu, op, res, size);
	set_flags(cpu, res, size, n >= bits);
}

/* The control word: where to begin in bits 0 to 7, how many in bits 8 to 15. */
void exec_bextr(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	u64 a = rm_read(cpu, op, size), control = gpr_read(cpu, op->vvvv, size);
	unsigned start = (u8)control, len = (u8)(control >> 8);
	u64 res = start < 64 ? a >> start : 0;

	if (len < 64)
		res &= (1ull << len) - 1;
	reg_write(cpu, op, res, size);
	flags_put(cpu, FL_AF | (res ? 0 : FL_ZF) | (__builtin_parity((u8)res) ? 0 : FL_PF));
}

void exec_pext(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op), n = 0;
	u64 mask = rm_read(cpu, op, size), a = gpr_read(cpu, op->vvvv, size), res = 0;

	for (; mask; mask &= mask - 1, n++)
		res |= (a >> __builtin_ctzll(mask) & 1) << n;
	reg_write(cpu, op, res, size);
}

void exec_pdep(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	u64 mask = rm_read(cpu, op, size), a = gpr_read(cpu, op->vvvv, size), res = 0;

	for (; mask; mask &= mask - 1, a >>= 1)
		res |= a & 1 ? mask & -mask : 0;
	reg_write(cpu, op, res, size);
}

/* If both destinations are one register, the high half wins. */
void exec_mulx(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	unsigned __int128 res = rm_read(cpu, op, size);

	res *= gpr_read(cpu, RDX * 8, size);
	gpr_write(cpu, op->vvvv, (u64)res, size);
	reg_write(cpu, op, (u64)(res >> 8 * size), size);
}

void exec_shlx(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	unsigned n = gpr_read(cpu, op->vvvv, size) & (8 * size - 1);

	reg_write(cpu, op, rm_read(cpu, op, size) << n, size);
}

void exec_shrx(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	unsigned n = gpr_read(cpu, op->vvvv, size) & (8 * size - 1);

	reg_write(cpu, op, rm_read(cpu, op, size) >> n, size);
}

void exec_sarx(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op);
	unsigned n = gpr_read(cpu, op->vvvv, size) & (8 * size - 1);
	i64 a = (i64)sign_extend(rm_read(cpu, op, size), size);

	reg_write(cpu, op, (u64)(a >> n), size);
}

void exec_rorx(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = begin(cpu, op), bits = 8 * size, n = op->imm & (bits - 1);
	u64 a = rm_read(cpu, op, size);

	reg_write(cpu, op, n ? a >> n | a << (bits - n) : a, size);
}
