/* SPDX-License-Identifier: MIT */
/*
 * triple.c - double faults that are handled, then a triple fault, which ends the machine.
 *
 * Source: SDM volume 3A, "Interrupt 8 - Double Fault Exception (#DF)".
 *
 * qemu ud-then-gp: TCG leaves the EXT bit of the error code clear
 * status: 5
 * qemu-status: 0
 */
#include "guest.h"

CODE(int3_, "int3\n" DONE_INSN)
CODE(ud_, "ud2\n" DONE_INSN)
CODE(pf_, "mov (%rax), %eax\n" DONE_INSN)
CODE(div_, "xor %ecx, %ecx; div %ecx\n" DONE_INSN)

#define HOLE 0x123456789000ul

/* Gates that fault: not present, or with a bad selector. */
static void break_gate(unsigned vector)
{
	set_gate(vector, trap_entry(vector), SEL_DATA, 14, 3, 0);
}

static void doubles(void)
{
	struct ctx c;

	break_gate(BP);
	c = ctx_kernel(int3_);
	ctx_run(&c);
	check_trap("benign-then-gp", &c, GP, SEL_DATA, int3_);
	break_gate(UD);
	c = ctx_kernel(ud_);
	ctx_run(&c);
	check_trap("ud-then-gp", &c, GP, SEL_DATA | 1, ud_);
	break_gate(DE);
	c = ctx_kernel(div_);
	ctx_run(&c);
	check_trap("contributory-twice", &c, DF, 0, div_ + 2);
	break_gate(PF);
	c = ctx_kernel(pf_);
	c.ax = HOLE;
	ctx_run(&c);
	check_trap("pf-then-gp", &c, DF, 0, pf_);
	default_gate(PF);
}

/* Interrupt stack table: a double fault by a bad stack is handled on a good one. */
static void by_ist(void)
{
	struct ctx c = ctx_kernel(ud_);
	struct table_reg g = read_gdtr();
	u64 *desc = (u64 *)(g.base + SEL_TSS);
	u64 tss = (desc[0] >> 16 & 0xffffff) | (desc[0] >> 56 & 0xff) << 24;

	default_gate(UD);
	*(u64 *)(tss + 36) = (reg_t)ctx_stack[0] + 8192;
	set_gate(DF, trap_entry(DF), SEL_CODE, 14, 0, 1);
	c.sp = HOLE + 0x1000;
	ctx_run(&c);
	/* #UD whose frame faults: benign first, so a page fault; its frame faults: double. */
	check("stack-fault", c.vector, DF);
	check("stack-fault-rsp", c.sp, HOLE + 0x1000);
}

int main(void)
{
	struct table_reg none = {0, 0};

	doubles();
	by_ist();
	print("now the triple fault\n");
	asm volatile("lidt %0; ud2" ::"m"(none));
	return 0;
}
