/* SPDX-License-Identifier: MIT */
/*
 * exec_branch.c - near jumps, calls, returns and loops.
 *
 * Source: SDM volume 2, the instructions' own pages.
 */
#include "isa/x86/branch.h"
#include "isa/x86/exec.h"

void exec_call_rel(struct x86_cpu *cpu, const struct op *op)
{
	do_call_rel(cpu, op, op->size);
}

void exec_call_rm(struct x86_cpu *cpu, const struct op *op)
{
	do_call_rm(cpu, op, op->size, op_loc(op));
}

void exec_jmp_rel(struct x86_cpu *cpu, const struct op *op)
{
	do_jmp_rel(cpu, op, op->size);
}

void exec_jmp_rm(struct x86_cpu *cpu, const struct op *op)
{
	do_jmp_rm(cpu, op, op->size, op_loc(op));
}

void exec_jcc(struct x86_cpu *cpu, const struct op *op)
{
	do_jcc(cpu, op, op->opcode & 15, op->size);
}

/* cond: whether the flags allow another round. */
static void loop_while(struct x86_cpu *cpu, const struct op *op, bool cond)
{
	u64 n = zero_extend(cpu->st.gpr[RCX] - 1, op->asize), next;

	next = n && cond ? branch_rel(cpu, op, op->size) : op_next_rip(cpu, op);
	gpr_write(cpu, RCX * 8, n, op->asize);
	cpu->st.rip = next;
}

void exec_loop(struct x86_cpu *cpu, const struct op *op)
{
	loop_while(cpu, op, true);
}

void exec_loope(struct x86_cpu *cpu, const struct op *op)
{
	loop_while(cpu, op, flag_zf(cpu));
}

void exec_loopne(struct x86_cpu *cpu, const struct op *op)
{
	loop_while(cpu, op, !flag_zf(cpu));
}

void exec_jcxz(struct x86_cpu *cpu, const struct op *op)
{
	if (zero_extend(cpu->st.gpr[RCX], op->asize) == 0)
		cpu->st.rip = branch_rel(cpu, op, op->size);
	else
		cpu->st.rip = op_next_rip(cpu, op);
}

void exec_ret(struct x86_cpu *cpu, const struct op *op)
{
	do_ret(cpu, op, op->size);
}
