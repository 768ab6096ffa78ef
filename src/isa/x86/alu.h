/* SPDX-License-Identifier: MIT */
/*
 * alu.h - arithmetic and logic: the one body of each, for exec functions and engines.
 *
 * Every do_ function is a template: its size, form and loc arguments fold away where they are
 * constants, so an engine makes a fast handler by calling it with constants, and exec_alu.c
 * makes the general one by calling it with what the op holds.  Nothing is computed twice.
 */
#ifndef ISA_X86_ALU_H
#define ISA_X86_ALU_H

#include "isa/x86/operand.h"

/* Where the r/m operand is, and how it is updated. */
enum loc { LOC_REG, LOC_MEM, LOC_LOCK };

static __always_inline enum loc op_loc(const struct op *op)
{
	if (!(op->flags & OP_MEM))
		return LOC_REG;
	return __builtin_expect(op->flags & OP_LOCK, 0) ? LOC_LOCK : LOC_MEM;
}

/* The r/m operand, to be read only. */
static __always_inline u64 rm_get(struct x86_cpu *cpu, const struct op *op, unsigned size,
				  enum loc loc)
{
	if (loc == LOC_REG)
		return gpr_read(cpu, op->rm, size);
	return mem_read(cpu, op->seg, op_ea(cpu, op), size);
}

/* The r/m operand, to be written only. */
static __always_inline void rm_set(struct x86_cpu *cpu, const struct op *op, u64 val, unsigned size,
				   enum loc loc)
{
	if (loc == LOC_REG)
		gpr_write(cpu, op->rm, val, size);
	else
		mem_write(cpu, op->seg, op_ea(cpu, op), val, size);
}

/*
 * The r/m operand, to be updated: rmw_get(), then rmw_put() until it says true, computing
 * the new value from what *old holds each time.  All faults are raised by rmw_get().
 */
static __always_inline u64 rmw_get(struct x86_cpu *cpu, const struct op *op, unsigned size,
				   enum loc loc, struct mem_rmw *r)
{
	if (loc == LOC_REG)
		return gpr_read(cpu, op->rm, size);
	return mem_rmw_begin(cpu, op->seg, op_ea(cpu, op), size, r);
}

static __always_inline bool rmw_put(struct x86_cpu *cpu, const struct op *op, unsigned size,
				    enum loc loc, struct mem_rmw *r, u64 *old, u64 val)
{
	if (loc == LOC_LOCK)
		return mem_rmw_cmpxchg(cpu, r, old, val);
	if (loc == LOC_MEM)
		mem_rmw_end(cpu, r, val);
	else
		gpr_write(cpu, op->rm, val, size);
	return true;
}

/* In the order of opcode bits 3 to 5, then TEST. */
enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP, ALU_TEST };

static __always_inline u64 alu_result(enum alu k, u64 a, u64 b, u64 cf)
{
	switch (k) {
	case ALU_ADD: return a + b;
	case ALU_ADC: return a + b + cf;
	case ALU_SUB:
	case ALU_CMP: return a - b;
	case ALU_SBB: return a - b - cf;
	case ALU_OR: return a | b;
	case ALU_XOR: return a ^ b;
	default: return a & b;
	}
}

static __always_inline void alu_flags(struct x86_cpu *cpu, enum alu k, u64 a, u64 b, u64 res,
				      unsigned size)
{
	switch (k) {
	case ALU_ADD:
	case ALU_ADC: flags_add(cpu, a, b, res, size); break;
	case ALU_SUB:
	case ALU_SBB:
	case ALU_CMP: flags_sub(cpu, a, b, res, size); break;
	default: flags_logic(cpu, res, size); break;
	}
}

/* form: FORM_RM_REG, FORM_REG_RM, FORM_RM_IMM. */
static __always_inline void do_alu(struct x86_cpu *cpu, const struct op *op, enum alu k,
				   unsigned size, unsigned form, enum loc loc)
{
	bool compare = k == ALU_CMP || k == ALU_TEST;
	u64 cf = k == ALU_ADC || k == ALU_SBB ? flag_cf(cpu) : 0;
	struct mem_rmw r;
	u64 a, b, res;

	if (form == FORM_REG_RM) {
		b = rm_get(cpu, op, size, loc);
		a = gpr_read(cpu, op->reg, size);
		res = alu_result(k, a, b, cf);
		if (!compare)
			gpr_write(cpu, op->reg, res, size);
	} else {
		b = form == FORM_RM_IMM ? op->imm : gpr_read(cpu, op->reg, size);
		if (compare) {
			a = rm_get(cpu, op, size, loc);
			res = alu_result(k, a, b, cf);
		} else {
			a = rmw_get(cpu, op, size, loc, &r);
			do {
				res = alu_result(k, a, b, cf);
			} while (!rmw_put(cpu, op, size, loc, &r, &a, res));
		}
	}
	alu_flags(cpu, k, a, b, res, size);
}

enum unary { UN_INC, UN_DEC, UN_NEG, UN_NOT };

static __always_inline void do_unary(struct x86_cpu *cpu, const struct op *op, enum unary k,
				     unsigned size, enum loc loc)
{
	u64 before = cpu->cc_aux, cf_change;
	struct mem_rmw r;
	u64 a, res;

	a = rmw_get(cpu, op, size, loc, &r);
	do {
		res = k == UN_INC ? a + 1 : k == UN_DEC ? a - 1 : k == UN_NEG ? -a : ~a;
	} while (!rmw_put(cpu, op, size, loc, &r, &a, res));

	if (k == UN_NOT)
		return;
	if (k == UN_INC)
		flags_add(cpu, a, 1, res, size);
	else if (k == UN_DEC)
		flags_sub(cpu, a, 1, res, size);
	else
		flags_sub(cpu, 0, a, res, size);
	if (k != UN_NEG) {
		/* CF stays; OF is the difference of the two top bits, so both change. */
		cf_change = (cpu->cc_aux ^ before) & 1ull << 63;
		cpu->cc_aux ^= cf_change | cf_change >> 1;
	}
}

#endif
