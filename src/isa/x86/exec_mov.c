/* SPDX-License-Identifier: MIT */
/*
 * exec_mov.c - moves, extensions, exchanges, conditional moves and sets.
 *
 * Source: SDM volume 2, the instructions' own pages; volume 3A, "Locked Atomic Operations".
 */
#include "isa/x86/exec.h"
#include "isa/x86/mov.h"

void exec_mov(struct x86_cpu *cpu, const struct op *op)
{
	do_mov(cpu, op, op->size, op->form, op_loc(op));
}

void exec_movzx8(struct x86_cpu *cpu, const struct op *op)
{
	do_movzx(cpu, op, 1, op->size, op_loc(op));
}

void exec_movzx16(struct x86_cpu *cpu, const struct op *op)
{
	do_movzx(cpu, op, 2, op->size, op_loc(op));
}

void exec_movsx8(struct x86_cpu *cpu, const struct op *op)
{
	do_movsx(cpu, op, 1, op->size, op_loc(op));
}

void exec_movsx16(struct x86_cpu *cpu, const struct op *op)
{
	do_movsx(cpu, op, 2, op->size, op_loc(op));
}

/* With a 16-bit operand size (advised against) it still reads 32, as AMD's processors do. */
void exec_movsx32(struct x86_cpu *cpu, const struct op *op)
{
	do_movsx(cpu, op, 4, op->size, op_loc(op));
}

void exec_lea(struct x86_cpu *cpu, const struct op *op)
{
	do_lea(cpu, op, op->size);
}

/* With memory it is locked, prefix or not. */
void exec_xchg(struct x86_cpu *cpu, const struct op *op)
{
	enum loc loc = op->flags & OP_MEM ? LOC_LOCK : LOC_REG;
	u64 val = reg_read(cpu, op, op->size);
	struct mem_rmw r;
	u64 old = rmw_get(cpu, op, op->size, loc, &r);

	while (!rmw_put(cpu, op, op->size, loc, &r, &old, val))
		;
	reg_write(cpu, op, old, op->size);
}

void exec_xadd(struct x86_cpu *cpu, const struct op *op)
{
	u64 b = reg_read(cpu, op, op->size), a;
	enum loc loc = op_loc(op);
	struct mem_rmw r;

	a = rmw_get(cpu, op, op->size, loc, &r);
	if (loc == LOC_REG) {
		/* If both are the same register, it is left with the sum. */
		reg_write(cpu, op, a, op->size);
		gpr_write(cpu, op->rm, a + b, op->size);
	} else {
		while (!rmw_put(cpu, op, op->size, loc, &r, &a, a + b))
			;
		reg_write(cpu, op, a, op->size);
	}
	flags_add(cpu, a, b, a + b, op->size);
}

/*
 * Memory is written in any case, if only with what it held; a register only if they are equal
 * (it shows in the upper half after a 32-bit one).
 */
void exec_cmpxchg(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = op->size;
	u64 acc = gpr_read(cpu, RAX * 8, size), val = reg_read(cpu, op, size), old;
	enum loc loc = op_loc(op);
	struct mem_rmw r;

	old = rmw_get(cpu, op, size, loc, &r);
	if (old == acc || loc != LOC_REG) {
		while (!rmw_put(cpu, op, size, loc, &r, &old, old == acc ? val : old))
			;
	}
	flags_sub(cpu, acc, old, acc - old, size);
	if (old != acc)
		gpr_write(cpu, RAX * 8, old, size);
}

void exec_cmpxchg8b(struct x86_cpu *cpu, const struct op *op)
{
	u64 *g = cpu->st.gpr;
	u64 acc = g[RDX] << 32 | (u32)g[RAX], val = g[RCX] << 32 | (u32)g[RBX], old;
	enum loc loc = op_loc(op);
	struct mem_rmw r;

	old = rmw_get(cpu, op, 8, loc, &r);
	while (!rmw_put(cpu, op, 8, loc, &r, &old, old == acc ? val : old))
		;
	flags_change(cpu, FL_ZF, old == acc ? FL_ZF : 0);
	if (old != acc) {
		g[RAX] = (u32)old;
		g[RDX] = old >> 32;
	}
}

void exec_cmpxchg16b(struct x86_cpu *cpu, const struct op *op)
{
	u64 *g = cpu->st.gpr;
	u64 old[2] = {g[RAX], g[RDX]}, val[2] = {g[RBX], g[RCX]};
	u64 ea = op_ea(cpu, op);

	if (mem_linear(cpu, op->seg, ea, 16, MEM_WRITE) & 15)
		x86_raise_gp(cpu, 0);
	if (mem_cmpxchg16b(cpu, op->seg, ea, old, val)) {
		flags_change(cpu, FL_ZF, FL_ZF);
		return;
	}
	flags_change(cpu, FL_ZF, 0);
	g[RAX] = old[0];
	g[RDX] = old[1];
}

void exec_cmovcc(struct x86_cpu *cpu, const struct op *op)
{
	do_cmovcc(cpu, op, op->opcode & 15, op->size, op_loc(op));
}

void exec_setcc(struct x86_cpu *cpu, const struct op *op)
{
	do_setcc(cpu, op, op->opcode & 15, op_loc(op));
}

static u64 swap_bytes(u64 v, unsigned size)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

void exec_movbe(struct x86_cpu *cpu, const struct op *op)
{
	if (op->form == FORM_REG_RM)
		reg_write(cpu, op, swap_bytes(rm_read(cpu, op, op->size), op->size), op->size);
	else
		rm_write(cpu, op, swap_bytes(reg_read(cpu, op, op->size), op->size), op->size);
}

void exec_movnti(struct x86_cpu *cpu, const struct op *op)
{
	rm_write(cpu, op, reg_read(cpu, op, op->size), op->size);
}

/* CBW, CWDE, CDQE. */
void exec_cbw(struct x86_cpu *cpu, const struct op *op)
{
	unsigned half = op->size / 2;

	gpr_write(cpu, RAX * 8, sign_extend(gpr_read(cpu, RAX * 8, half), half), op->size);
}

/* CWD, CDQ, CQO. */
void exec_cwd(struct x86_cpu *cpu, const struct op *op)
{
	i64 a = (i64)sign_extend(gpr_read(cpu, RAX * 8, op->size), op->size);

	gpr_write(cpu, RDX * 8, (u64)(a >> 63), op->size);
}

void exec_xlat(struct x86_cpu *cpu, const struct op *op)
{
	u64 ea = zero_extend(cpu->st.gpr[RBX] + (u8)cpu->st.gpr[RAX], op->asize);

	gpr_write(cpu, RAX * 8, mem_read(cpu, op->seg, ea, 1), 1);
}
