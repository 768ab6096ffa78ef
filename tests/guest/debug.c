/* SPDX-License-Identifier: MIT */
/*
 * debug.c - single-step and breakpoints: where #DB comes, what DR6 says, what is held back.
 *
 * Source: SDM volume 3B, "Debug Registers", "Debug Exceptions"; volume 3A, "Masking
 * Exceptions and Interrupts When Switching Stacks".
 *
 * qemu rf-saved-by-fault: TCG does not set RF in saved flags
 * qemu gd-fault: TCG does not know DR7.GD
 * qemu gd-*: as before
 * qemu icebp: TCG has no INT1
 * qemu insn-bp-mov-ss-shadow: TCG holds back interrupts, not breakpoints
 * qemu held-back-mov-ss: as before
 */
#include "guest.h"

enum { DR6_BS = 0x4000, DR6_BD = 0x2000, DR6_BITS = 0xe00f };
enum { DR7_GD = 0x2000, DR7_GE = 0x200 };

LABEL(step_1);
LABEL(step_popf);
LABEL(step_ss_1);
LABEL(step_ss_2);
LABEL(step_rep_1);
LABEL(step_int_handler);
LABEL(step_sys_target);
LABEL(bp_1);
LABEL(bp_2);
LABEL(rd_1);
LABEL(wr_1);
LABEL(io_1);
LABEL(rep_1);
LABEL(gd_1);
LABEL(rf_1);
LABEL(icebp_1);

CODE(step, "nop\nstep_1: nop\n" DONE_INSN)
CODE(popf_, "pushf; orl $0x100, (%rsp); popf\nnop\nstep_popf: nop\n" DONE_INSN)
CODE(popf_clear, "pushf; andl $~0x100, (%rsp); popf\n nop; nop\n" DONE_INSN)
CODE(step_ss, "mov %eax, %ss\nstep_ss_1: nop\nstep_ss_2: nop\n" DONE_INSN)
CODE(step_rep, "rep stosb\nstep_rep_1: nop\n" DONE_INSN)
CODE(step_int, "int $0x80\nnop\nnop\n" DONE_INSN)
CODE(step_int_to, "step_int_handler: nop\n" DONE_INSN)
CODE(step_sys, "syscall\nnop\n" DONE_INSN)
CODE(step_sys_to, "step_sys_target: nop\nnop\n" DONE_INSN)
CODE(step_fault, "ud2\n" DONE_INSN)
CODE(insn_bp, "nop\nbp_1: inc %eax\nbp_2: nop\n" DONE_INSN)
CODE(rd, "mov (%rsi), %eax\nrd_1: nop\n" DONE_INSN)
CODE(wr, "mov %eax, (%rsi)\nwr_1: nop\n" DONE_INSN)
CODE(rd_b, "movb 7(%rsi), %al\nnop\n" DONE_INSN)
CODE(wr_b, "movb %al, -1(%rsi)\nnop\n" DONE_INSN)
CODE(push_rd, "lock addl $0, (%rsi)\nnop\n" DONE_INSN)
CODE(io, "outb %al, $0x80\nio_1: nop\n" DONE_INSN)
CODE(rep, "rep stosb\nrep_1: nop\n" DONE_INSN)
CODE(ss_bp, "mov (%rsi), %ss\nnop\n" DONE_INSN)
CODE(gd, "nop\ngd_1: mov %dr6, %rax\n" DONE_INSN)
CODE(rf, "rf_1: ud2\n" DONE_INSN)
CODE(icebp, ".byte 0xf1\nicebp_1: nop\n" DONE_INSN)
CODE(dr4, "mov %dr6, %rax\n.byte 0x0f, 0x21, 0xe0\n" DONE_INSN)

static u64 data[16] __attribute__((aligned(64)));
static u32 ss_word;

static u32 dr6_take(void)
{
	u32 v = (u32)read_dr6() & DR6_BITS;

	write_dr6(0xffff0ff0);
	return v;
}

static struct ctx stepping(const void *code)
{
	struct ctx c = ctx_kernel(code);

	c.flags |= FL_TF;
	return c;
}

/* Run on from where a #DB has stopped. */
static void again(struct ctx *c)
{
	ctx_run(c);
}

static void single_step(void)
{
	struct ctx c = stepping(step);

	dr6_take();
	ctx_run(&c);
	check_trap("step", &c, DB, 0, step_1);
	check("step-dr6", dr6_take(), DR6_BS);
	check("step-tf-saved", c.flags & FL_TF, FL_TF);
	check("step-no-rf", c.flags & FL_RF, 0);
	again(&c);
	check_trap("step-2", &c, DB, 0, step_1 + 1);
	c = ctx_user(step);
	c.flags |= FL_TF;
	ctx_run(&c);
	check_trap("step-user", &c, DB, 0, step_1);
	dr6_take();
	/* POPF that sets TF: the next instruction still runs. */
	c = ctx_kernel(popf_);
	ctx_run(&c);
	check_trap("popf-sets-tf", &c, DB, 0, step_popf);
	/* POPF that clears it: one more trap, after POPF itself. */
	c = stepping(popf_clear);
	for (unsigned i = 0; i < 2; i++)
		again(&c);
	again(&c);
	check_trap("popf-clears-tf", &c, DB, 0, popf_clear_end - 4);
	check("popf-tf-clear", c.flags & FL_TF, 0);
	again(&c);
	check_done("popf-no-more", &c);
	dr6_take();
}

static void step_special(void)
{
	struct ctx c = stepping(step_ss);

	c.ax = SEL_DATA;
	ctx_run(&c);
	check_trap("step-mov-ss-shadow", &c, DB, 0, step_ss_2);
	dr6_take();
	c = stepping(step_rep);
	c.di = (reg_t)data;
	c.cx = 3;
	ctx_run(&c);
	check_trap("step-rep-each", &c, DB, 0, step_rep);
	check("step-rep-count", c.cx, 2);
	again(&c);
	again(&c);
	check_trap("step-rep-last", &c, DB, 0, step_rep_1);
	c = stepping(step_rep);
	c.cx = 0;
	c.di = (reg_t)data;
	ctx_run(&c);
	check_trap("step-rep-none", &c, DB, 0, step_rep_1);
	dr6_take();
	/* INT n clears TF: no trap in the handler. */
	set_gate(0x80, step_int_to, SEL_CODE, 15, 0, 0);
	c = stepping(step_int);
	ctx_run(&c);
	check_trap("step-int-no-trap", &c, DONE_VECTOR, 0, step_int_to_end);
	check("step-int-dr6", dr6_take(), 0);
	default_gate(0x80);
	/* A fault instead: no trap, TF in the saved flags. */
	c = stepping(step_fault);
	ctx_run(&c);
	check_trap("step-fault", &c, UD, 0, step_fault);
	check("step-fault-tf", c.flags & FL_TF, FL_TF);
	check("step-fault-dr6", dr6_take(), 0);
}

/* SYSCALL with TF masked: the handler's first instruction runs untouched. */
static void step_syscall(void)
{
	struct ctx c = ctx_user(step_sys);

	c.flags |= FL_TF;
	wrmsr(0xc0000081, (u64)SEL_CODE << 32 | (u64)0x20 << 48);
	wrmsr(0xc0000082, (reg_t)step_sys_target);
	wrmsr(0xc0000084, FL_TF | FL_IF);
	ctx_run(&c);
	check_trap("syscall-masks-tf", &c, DONE_VECTOR, 0, step_sys_to_end);
	check("syscall-r11-tf", c.r11 & FL_TF, FL_TF);
	/* Not masked: it traps, at the handler's first instruction. */
	wrmsr(0xc0000084, FL_IF);
	c = ctx_user(step_sys);
	c.flags |= FL_TF;
	ctx_run(&c);
	check("syscall-tf-vector", c.vector, DB);
	check("syscall-tf-at", c.ip, (reg_t)step_sys_target);
	dr6_take();
}

static reg_t dr7_for(unsigned n, unsigned type, unsigned len)
{
	return 0x400 | 2u << 2 * n | type << (16 + 4 * n) | len << (18 + 4 * n);
}

enum { EXEC, WRITE, IO, ACCESS };
enum { LEN1, LEN2, LEN8, LEN4 };

static void insn_points(void)
{
	struct ctx c = ctx_kernel(insn_bp);

	write_dr0((reg_t)bp_1);
	write_dr7(dr7_for(0, EXEC, LEN1));
	ctx_run(&c);
	check_trap("insn-bp", &c, DB, 0, bp_1);
	check("insn-bp-dr6", dr6_take(), 1);
	check("insn-bp-before", c.ax, 0);
	check("insn-bp-rf", c.flags & FL_RF, 0);
	c.flags |= FL_RF;
	again(&c);
	check_done("insn-bp-resume", &c);
	check("insn-bp-after", c.ax, 1);
	/* Two at once, and one disabled. */
	write_dr3((reg_t)bp_1);
	write_dr2((reg_t)bp_1);
	write_dr7(dr7_for(0, EXEC, LEN1) | dr7_for(3, EXEC, LEN1));
	c = ctx_kernel(insn_bp);
	ctx_run(&c);
	check("insn-bp-two", dr6_take() & 9, 9);
	write_dr7(0x400);
	c = ctx_kernel(insn_bp);
	ctx_run(&c);
	check_done("insn-bp-off", &c);
	/* In the shadow of MOV SS it is not seen. */
	write_dr0((reg_t)step_ss_1);
	write_dr7(dr7_for(0, EXEC, LEN1));
	c = ctx_kernel(step_ss);
	c.ax = SEL_DATA;
	ctx_run(&c);
	check_done("insn-bp-mov-ss-shadow", &c);
	write_dr7(0x400);
	dr6_take();
}

static struct ctx at_data(const void *code)
{
	struct ctx c = ctx_kernel(code);

	c.si = c.di = (reg_t)&data[4];
	return c;
}

static void data_points(void)
{
	struct ctx c = at_data(rd);

	write_dr1((reg_t)&data[4]);
	write_dr7(dr7_for(1, WRITE, LEN4));
	ctx_run(&c);
	check_done("write-bp-read", &c);
	c = at_data(wr);
	ctx_run(&c);
	check_trap("write-bp-write", &c, DB, 0, wr_1);
	check("write-bp-dr6", dr6_take(), 2);
	write_dr7(dr7_for(1, ACCESS, LEN8));
	c = at_data(rd);
	ctx_run(&c);
	check_trap("access-bp-read", &c, DB, 0, rd_1);
	c = at_data(rd_b);
	ctx_run(&c);
	check("access-bp-last-byte", c.vector, DB);
	c = at_data(wr_b);
	ctx_run(&c);
	check_done("access-bp-before", &c);
	write_dr7(dr7_for(1, ACCESS, LEN1));
	c = at_data(push_rd);
	ctx_run(&c);
	check("access-bp-locked", c.vector, DB);
	write_dr7(dr7_for(1, WRITE, LEN1));
	c = at_data(rep);
	c.cx = 4;
	c.di -= 1;
	ctx_run(&c);
	check_trap("data-write-rep", &c, DB, 0, rep);
	check("data-write-rep-count", c.cx, 2);
	dr6_take();
	write_dr7(0x400);
}

static void io_points(void)
{
	struct ctx c = ctx_kernel(io);
	reg_t cr4 = read_cr4();

	write_cr4(cr4 | CR4_DE);
	write_dr2(0x80);
	write_dr7(dr7_for(2, IO, LEN1));
	ctx_run(&c);
	check_trap("io-bp", &c, DB, 0, io_1);
	check("io-bp-dr6", dr6_take(), 4);
	write_dr2(0x81);
	c = ctx_kernel(io);
	ctx_run(&c);
	check_done("io-bp-other-port", &c);
	check("dr4-with-de", ({
		      c = ctx_kernel(dr4);
		      ctx_run(&c);
		      c.vector;
	      }),
	      UD);
	write_cr4(cr4);
	c = ctx_kernel(dr4);
	ctx_run(&c);
	check_done("dr4-alias", &c);
	write_dr7(0x400);
}

static void the_rest(void)
{
	struct ctx c = ctx_kernel(gd);

	write_dr7(0x400 | DR7_GD);
	ctx_run(&c);
	check_trap("gd-fault", &c, DB, 0, gd_1);
	check("gd-cleared", read_dr7() & DR7_GD, 0);
	check("gd-dr6", dr6_take(), DR6_BD);
	write_dr7(0x400);
	c = ctx_kernel(icebp);
	ctx_run(&c);
	check_trap("icebp", &c, DB, 0, icebp_1);
	check("icebp-dr6", dr6_take(), 0);
	c = ctx_kernel(rf);
	ctx_run(&c);
	check("rf-saved-by-fault", c.flags & FL_RF, FL_RF);
	check("dr6-high", TRY("mov %0, %%dr6", : "r"(1ul << 32)), GP);
	check("dr7-high", TRY("mov %0, %%dr7", : "r"(1ul << 32)), GP);
	check("dr7-fixed", read_dr7(), 0x400);
	check("dr6-fixed", read_dr6(), 0xffff0ff0);
	c = ctx_user(gd);
	ctx_run(&c);
	check("dr-user", c.vector, GP);
}

/* A data breakpoint on MOV SS's operand waits for the end of the next instruction. */
static void held_back(void)
{
	struct ctx c = ctx_kernel(ss_bp);

	ss_word = SEL_DATA;
	c.si = (reg_t)&ss_word;
	write_dr0((reg_t)&ss_word);
	write_dr7(dr7_for(0, ACCESS, LEN2));
	ctx_run(&c);
	check_trap("held-back-mov-ss", &c, DB, 0, ss_bp_end - 2);
	check("held-back-dr6", dr6_take(), 1);
	write_dr7(0x400);
}

int main(void)
{
	single_step();
	step_special();
	step_syscall();
	insn_points();
	data_points();
	io_points();
	the_rest();
	held_back();
	return 0;
}
