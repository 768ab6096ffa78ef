/* SPDX-License-Identifier: MIT */
/*
 * exec_far.c - instructions that leave the code segment: far branches, IRET, INT and its kin.
 *
 * Source: SDM volume 2A and 2B, under each instruction.
 */
#include "isa/x86/exec_system.h"
#include "isa/x86/priv.h"

void exec_ud(struct x86_cpu *cpu, const struct op *op)
{
	x86_raise_ud(cpu);
}

void exec_gp0(struct x86_cpu *cpu, const struct op *op)
{
	x86_raise_gp(cpu, 0);
}

void exec_call_far_imm(struct x86_cpu *cpu, const struct op *op)
{
	x86_far_call(cpu, op, (u16)(op->imm >> 32), (u32)op->imm, op->size);
}

void exec_jmp_far_imm(struct x86_cpu *cpu, const struct op *op)
{
	x86_far_jump(cpu, op, (u16)(op->imm >> 32), (u32)op->imm, op->size);
}

/* The offset and, behind it, the selector. */
static u64 far_pointer(struct x86_cpu *cpu, const struct op *op, u16 *sel)
{
	u64 ea = op_ea(cpu, op);
	u64 mask = op->asize == 8 ? ~0ull : op->asize == 4 ? 0xffffffff : 0xffff;
	u64 off = mem_read(cpu, op->seg, ea, op->size);

	*sel = (u16)mem_read(cpu, op->seg, (ea + op->size) & mask, 2);
	return off;
}

void exec_call_far_mem(struct x86_cpu *cpu, const struct op *op)
{
	u16 sel;
	u64 off = far_pointer(cpu, op, &sel);

	x86_far_call(cpu, op, sel, off, op->size);
}

void exec_jmp_far_mem(struct x86_cpu *cpu, const struct op *op)
{
	u16 sel;
	u64 off = far_pointer(cpu, op, &sel);

	x86_far_jump(cpu, op, sel, off, op->size);
}

void exec_ret_far(struct x86_cpu *cpu, const struct op *op)
{
	x86_far_return(cpu, op->size, op->imm & 0xffff);
}

void exec_iret(struct x86_cpu *cpu, const struct op *op)
{
	x86_iret(cpu, op, op->size);
}

void exec_int(struct x86_cpu *cpu, const struct op *op)
{
	x86_software_interrupt(cpu, op, (u8)op->imm, false);
}

void exec_int3(struct x86_cpu *cpu, const struct op *op)
{
	x86_software_interrupt(cpu, op, X86_BP, false);
}

void exec_into(struct x86_cpu *cpu, const struct op *op)
{
	if (flag_of(cpu))
		x86_software_interrupt(cpu, op, X86_OF, false);
	else
		cpu->st.rip = op_next_rip(cpu, op);
}

void exec_int1(struct x86_cpu *cpu, const struct op *op)
{
	x86_software_interrupt(cpu, op, X86_DB, true);
}

/* LDS, LES, LFS, LGS, LSS. */
void exec_lseg(struct x86_cpu *cpu, const struct op *op)
{
	u16 sel;
	u64 off = far_pointer(cpu, op, &sel);

	x86_load_seg(cpu, (enum seg_reg)op->imm, sel);
	reg_write(cpu, op, off, op->size);
}
