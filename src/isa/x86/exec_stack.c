/* SPDX-License-Identifier: MIT */
/*
 * exec_stack.c - PUSH, POP, PUSHA, POPA, ENTER, LEAVE, PUSHF, POPF.
 *
 * An instruction with several stack accesses works on a copy of RSP and commits it last.
 *
 * Source: SDM volume 2, the instructions' own pages; volume 3B, "8086 Emulation" for the
 * flags in virtual-8086 mode.
 */
#include "isa/x86/exec.h"
#include "isa/x86/mov.h"
#include "isa/x86/system.h"

void exec_push(struct x86_cpu *cpu, const struct op *op)
{
	do_push(cpu, op, op->size, op->form, op_loc(op));
}

/* The address of a memory operand based on RSP is computed after the increment. */
static void pop_mem(struct x86_cpu *cpu, const struct op *op)
{
	u64 before = cpu->st.gpr[RSP], sp = before, val, ea;

	val = pop_at(cpu, &sp, op->size);
	set_sp(cpu, sp);
	ea = op_ea(cpu, op);
	cpu->st.gpr[RSP] = before;
	mem_write(cpu, op->seg, ea, val, op->size);
	set_sp(cpu, sp);
}

void exec_pop(struct x86_cpu *cpu, const struct op *op)
{
	if (op->flags & OP_MEM)
		pop_mem(cpu, op);
	else
		do_pop_reg(cpu, op->form == FORM_REG ? op->reg : op->rm, op->size);
}

void exec_pusha(struct x86_cpu *cpu, const struct op *op)
{
	u64 sp = cpu->st.gpr[RSP];
	int i;

	for (i = 1; i <= 8; i++)
		mem_probe(cpu, SEG_SS, (sp - i * op->size) & stack_mask(cpu), op->size, MEM_WRITE);
	for (i = RAX; i <= RDI; i++)
		push_at(cpu, &sp, cpu->st.gpr[i], op->size);
	set_sp(cpu, sp);
}

void exec_popa(struct x86_cpu *cpu, const struct op *op)
{
	u64 sp = cpu->st.gpr[RSP], val[8];
	int i;

	for (i = RDI; i >= RAX; i--)
		val[i] = pop_at(cpu, &sp, op->size);
	for (i = RAX; i <= RDI; i++) {
		if (i != RSP)
			gpr_write(cpu, i * 8, val[i], op->size);
	}
	set_sp(cpu, sp);
}

/*
 * imm: bytes of local storage | nesting level << 16.  A fault on the way leaves what was
 * pushed below the stack, as on the hardware; RSP and RBP change last.
 */
void exec_enter(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = op->size, level = op->imm >> 16 & 31, i;
	u64 mask = stack_mask(cpu);
	u64 sp = cpu->st.gpr[RSP], bp = cpu->st.gpr[RBP], frame;

	push_at(cpu, &sp, bp, size);
	frame = sp;
	for (i = 1; i < level; i++) {
		bp -= size;
		push_at(cpu, &sp, mem_read(cpu, SEG_SS, bp & mask, size), size);
	}
	if (level)
		push_at(cpu, &sp, frame, size);
	sp -= (u16)op->imm;
	mem_probe(cpu, SEG_SS, sp & mask, size, MEM_WRITE);
	gpr_write(cpu, RBP * 8, frame, size);
	set_sp(cpu, sp);
}

void exec_leave(struct x86_cpu *cpu, const struct op *op)
{
	u64 sp = cpu->st.gpr[RBP], val = pop_at(cpu, &sp, op->size);

	set_sp(cpu, sp);
	gpr_write(cpu, RBP * 8, val, op->size);
}

static unsigned iopl(const struct x86_cpu *cpu)
{
	return (cpu->st.rflags & FL_IOPL) >> 12;
}

/*
 * In virtual-8086 mode below IOPL 3: true if the 16-bit forms work on VIF in place of IF (the
 * virtual-8086 extensions); else it is #GP(0).
 */
static bool virtual_if(struct x86_cpu *cpu, const struct op *op)
{
	if (!(cpu->st.rflags & FL_VM) || iopl(cpu) == 3)
		return false;
	if (!(cpu->st.cr4 & CR4_VME) || op->size != 2)
		x86_raise_gp(cpu, 0);
	return true;
}

void exec_pushf(struct x86_cpu *cpu, const struct op *op)
{
	u64 fl = x86_rflags(cpu) & ~(u64)(FL_VM | FL_RF);

	if (virtual_if(cpu, op)) {
		fl = (fl & ~(u64)FL_IF) | FL_IOPL;
		if (cpu->st.rflags & FL_VIF)
			fl |= FL_IF;
	}
	x86_push(cpu, fl, op->size);
}

void exec_popf(struct x86_cpu *cpu, const struct op *op)
{
	u64 mask = FL_ARITH | FL_TF | FL_DF | FL_NT | FL_RF;
	u64 sp = cpu->st.gpr[RSP], fl;
	bool vif = virtual_if(cpu, op);

	fl = pop_at(cpu, &sp, op->size) & ~(u64)FL_RF;
	if (vif) {
		if (fl & FL_TF || (fl & FL_IF && cpu->st.rflags & FL_VIP))
			x86_raise_gp(cpu, 0);
		mask |= FL_VIF;
		fl = (fl & ~(u64)FL_VIF) | (fl & FL_IF ? FL_VIF : 0);
	} else if (cpu->cpl <= iopl(cpu)) {
		mask |= FL_IF;
	}
	if (cpu->cpl == 0)
		mask |= FL_IOPL;
	if (op->size != 2)
		mask |= FL_AC | FL_ID;
	set_sp(cpu, sp);
	x86_write_rflags(cpu, fl, mask);
}
