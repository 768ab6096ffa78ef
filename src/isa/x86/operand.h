/* SPDX-License-Identifier: MIT */
/*
 * operand.h - reading and writing the operands of a decoded instruction.
 */
#ifndef ISA_X86_OPERAND_H
#define ISA_X86_OPERAND_H

#include "isa/x86/flags.h"
#include "isa/x86/mem.h"

/* General registers by the byte offset that struct op holds. */
static inline __attribute__((always_inline)) u64 gpr_read(const struct x86_cpu *cpu,
							  unsigned byte_off, unsigned size)
{
	const u8 *p = (const u8 *)cpu->st.gpr + byte_off;

	switch (size) {
	case 1: return *p;
	case 2: return *(const u16_una *)p;
	case 4: return *(const u32_una *)p;
	default: return *(const u64_una *)p;
	}
}

/* 32-bit writes clear the upper half, as in 64-bit mode; harmless elsewhere. */
static inline __attribute__((always_inline)) void gpr_write(struct x86_cpu *cpu, unsigned byte_off,
							    u64 val, unsigned size)
{
	u8 *p = (u8 *)cpu->st.gpr + byte_off;

	switch (size) {
	case 1: *p = (u8)val; break;
	case 2: *(u16_una *)p = (u16)val; break;
	case 4: *(u64_una *)p = (u32)val; break;
	default: *(u64_una *)p = val; break;
	}
}

/*
 * 16- and 32-bit address sizes, moffs (imm, no ModRM), and RIP-relative forms whose
 * displacement did not fit.  Any RIP-relative op with OP_EA_SLOW holds its displacement as
 * encoded: op_ea_slow() adds off and len.
 */
u64 op_ea_slow(const struct x86_cpu *cpu, const struct op *op);

/* Effective address: the offset within the segment. */
static inline __attribute__((always_inline)) u64 op_ea(const struct x86_cpu *cpu,
						       const struct op *op)
{
	if (__builtin_expect(op->flags & OP_EA_SLOW, 0))
		return op_ea_slow(cpu, op);
	return cpu->st.gpr[op->base] + (cpu->st.gpr[op->index] << op->scale) + (u64)(i64)op->disp;
}

/* The r/m operand, register or memory. */
static inline __attribute__((always_inline)) u64 rm_read(struct x86_cpu *cpu, const struct op *op,
							 unsigned size)
{
	if (op->flags & OP_MEM)
		return mem_read(cpu, op->seg, op_ea(cpu, op), size);
	return gpr_read(cpu, op->rm, size);
}

static inline __attribute__((always_inline)) void rm_write(struct x86_cpu *cpu, const struct op *op,
							   u64 val, unsigned size)
{
	if (op->flags & OP_MEM)
		mem_write(cpu, op->seg, op_ea(cpu, op), val, size);
	else
		gpr_write(cpu, op->rm, val, size);
}

static inline __attribute__((always_inline)) u64 reg_read(const struct x86_cpu *cpu,
							  const struct op *op, unsigned size)
{
	return gpr_read(cpu, op->reg, size);
}

static inline __attribute__((always_inline)) void
reg_write(struct x86_cpu *cpu, const struct op *op, u64 val, unsigned size)
{
	gpr_write(cpu, op->reg, val, size);
}

/*
 * Stack.  x86_push() and x86_pop() move RSP; an instruction that may fault after them uses
 * the _at forms on a local copy and commits RSP last.  size: 2, 4, 8.
 */
static inline u64 stack_mask(const struct x86_cpu *cpu)
{
	return cpu->stack_size == 8 ? ~0ull : cpu->stack_size == 4 ? 0xffffffff : 0xffff;
}

static inline void set_sp(struct x86_cpu *cpu, u64 sp)
{
	u64 m = stack_mask(cpu);

	cpu->st.gpr[RSP] = m == 0xffff ? (cpu->st.gpr[RSP] & ~m) | (sp & m) : (sp & m);
}

static inline void push_at(struct x86_cpu *cpu, u64 *sp, u64 val, unsigned size)
{
	*sp -= size;
	mem_write(cpu, SEG_SS, *sp & stack_mask(cpu), val, size);
}

static inline u64 pop_at(struct x86_cpu *cpu, u64 *sp, unsigned size)
{
	u64 v = mem_read(cpu, SEG_SS, *sp & stack_mask(cpu), size);

	*sp += size;
	return v;
}

static inline void x86_push(struct x86_cpu *cpu, u64 val, unsigned size)
{
	u64 sp = cpu->st.gpr[RSP];

	push_at(cpu, &sp, val, size);
	set_sp(cpu, sp);
}

static inline u64 x86_pop(struct x86_cpu *cpu, unsigned size)
{
	u64 sp = cpu->st.gpr[RSP];
	u64 v = pop_at(cpu, &sp, size);

	set_sp(cpu, sp);
	return v;
}

#endif
