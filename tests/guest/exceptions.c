/* SPDX-License-Identifier: MIT */
/*
 * exceptions.c - every exception of 64-bit mode: vector, error code, saved RIP and RF.
 *
 * Source: SDM volume 3A, "Interrupt and Exception Handling".
 *
 * qemu int-80-user: the error code counts IDT entries as 16 bytes; the manual has no such case
 * qemu em-ts-sse: the manual puts #UD before #NM for SSE
 * qemu xm*: TCG raises no SIMD floating-point exceptions
 * qemu noncanonical-stack: TCG has #GP for all non-canonical accesses
 * qemu unaligned-ac-set: TCG does not check alignment
 * qemu pf-saves-rf: TCG does not set RF in the saved flags
 * qemu ud-saves-rf: as before
 */
#include "guest.h"

LABEL(de_at);
LABEL(bp_at);
LABEL(ac_at);
LABEL(mf_at);
LABEL(xm_at);
LABEL(gp_at);
LABEL(ss_at);

CODE(de_div, "mov $1, %eax; xor %edx, %edx; xor %ecx, %ecx\nde_at: div %ecx\n" DONE_INSN)
CODE(de_idiv, "mov $0x80000000, %eax; cdq; mov $-1, %ecx; idiv %ecx\n" DONE_INSN)
CODE(bp_int3, "int3\nbp_at:\n" DONE_INSN)
CODE(bp_int_3, ".byte 0xcd, 3\n" DONE_INSN)
CODE(ud_ud2, "ud2\n" DONE_INSN)
CODE(ud_lock, ".byte 0xf0; nop\n" DONE_INSN)
CODE(ud_lock_reg, ".byte 0xf0, 0x01, 0xc8\n" DONE_INSN)
CODE(ud_push_es, ".byte 0x06\n" DONE_INSN)
CODE(ud_into, ".byte 0xce\n" DONE_INSN)
CODE(ud_mov_cs, ".byte 0x8e, 0xc8\n" DONE_INSN)
CODE(ud_cr1, ".byte 0x0f, 0x20, 0xc8\n" DONE_INSN)
CODE(ud_les, ".byte 0xc4, 0x00, 0x00\n" DONE_INSN)
CODE(fpu, "fnop\n" DONE_INSN)
CODE(fwait_, "fwait\n" DONE_INSN)
CODE(sse, "xorps %xmm0, %xmm0\n" DONE_INSN)
CODE(int_80, "int $0x80\n" DONE_INSN)
CODE(hlt_, "hlt\n" DONE_INSN)
CODE(cli_, "cli\n" DONE_INSN)
CODE(in_, "in $0x80, %al\n" DONE_INSN)
CODE(load_bad, "mov %eax, %fs\n" DONE_INSN)
CODE(load_ss, "mov %eax, %ss\n" DONE_INSN)
CODE(noncanonical, "mov $1, %rax; shl $63, %rax\ngp_at: mov (%rax), %ebx\n" DONE_INSN)
CODE(noncanonical_ss, "mov $1, %ebp; shl $62, %rbp\nss_at: mov 8(%rbp), %ebx\n" DONE_INSN)
CODE(unaligned, "lea -64(%rsp), %rcx\nac_at: mov 1(%rcx), %eax\n" DONE_INSN)
CODE(sse_unaligned, "movaps 8(%rsi), %xmm0\n" DONE_INSN)
CODE(x87_error, "fninit; push $0; fldcw (%rsp); pop %rax; fldz; fld1; fdiv %st(1), %st\nmf_at: "
		"fnop\n" DONE_INSN)
CODE(sse_error, "movl $0, -8(%rsp); ldmxcsr -8(%rsp); xorps %xmm0, %xmm0; mov $0x3f800000, %eax; "
		"movd %eax, %xmm1\n"
		"xm_at: divss %xmm0, %xmm1\n" DONE_INSN)
CODE(page_fault, "mov (%rax), %rbx\n" DONE_INSN)
CODE(page_fault_w, "mov %rbx, (%rax)\n" DONE_INSN)
CODE(jump, "jmp *%rax\n" DONE_INSN)
CODE(push_, "push %rax\n" DONE_INSN)
CODE(call_, "call *%rax\n" DONE_INSN)
CODE(ret_, "ret\n" DONE_INSN)
CODE(too_long,
     ".byte "
     "0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x66,0x90\n" DONE_INSN)

static void expect(const char *name, struct ctx c, unsigned vector, reg_t error, const void *ip)
{
	ctx_run(&c);
	check_trap(name, &c, vector, error, ip);
}

static void faults(void)
{
	expect("div-by-zero", ctx_kernel(de_div), DE, 0, de_at);
	expect("idiv-overflow", ctx_user(de_idiv), DE, 0, de_idiv_end - 4);
	expect("int3-trap", ctx_kernel(bp_int3), BP, 0, bp_at);
	expect("int3-from-user", ctx_user(bp_int3), BP, 0, bp_at);
	expect("int-3-from-user", ctx_user(bp_int_3), BP, 0, bp_int_3 + 2);
	expect("ud2", ctx_kernel(ud_ud2), UD, 0, ud_ud2);
	expect("lock-nop", ctx_kernel(ud_lock), UD, 0, ud_lock);
	expect("lock-register", ctx_kernel(ud_lock_reg), UD, 0, ud_lock_reg);
	expect("push-es", ctx_kernel(ud_push_es), UD, 0, ud_push_es);
	expect("into", ctx_kernel(ud_into), UD, 0, ud_into);
	expect("mov-to-cs", ctx_kernel(ud_mov_cs), UD, 0, ud_mov_cs);
	expect("mov-from-cr1", ctx_kernel(ud_cr1), UD, 0, ud_cr1);
	expect("les", ctx_kernel(ud_les), UD, 0, ud_les);
	expect("insn-too-long", ctx_kernel(too_long), GP, 0, too_long);
}

static void privileges(void)
{
	struct ctx c;

	expect("hlt-user", ctx_user(hlt_), GP, 0, hlt_);
	expect("cli-user", ctx_user(cli_), GP, 0, cli_);
	c = ctx_user(cli_);
	c.flags |= FL_IOPL3 | FL_IF;
	ctx_run(&c);
	check_done("cli-user-iopl3", &c);
	check("cli-user-iopl3-if", c.flags & FL_IF, 0);
	expect("int-80-user", ctx_user(int_80), GP, 0x80 * 8 + 2, int_80);
	set_gate(0x80, trap_entry(0x80), SEL_CODE, 14, 3, 0);
	expect("int-80-user-dpl3", ctx_user(int_80), 0x80, 0, int_80 + 2);
	set_gate(0x80, trap_entry(0x80), SEL_CODE | 0, 14, 3, 0);
	default_gate(0x80);
	expect("in-user-allowed", ctx_user(in_), DONE_VECTOR, 0, in__end);
}

static void fpu_faults(void)
{
	reg_t cr0 = read_cr0(), cr4 = read_cr4();

	write_cr0(cr0 | CR0_TS);
	expect("ts-fpu", ctx_kernel(fpu), NM, 0, fpu);
	expect("ts-fwait", ctx_kernel(fwait_), NM, 0, fwait_);
	expect("ts-sse", ctx_kernel(sse), NM, 0, sse);
	write_cr0((cr0 & ~CR0_MP) | CR0_TS);
	expect("ts-fwait-no-mp", ctx_kernel(fwait_), DONE_VECTOR, 0, fwait__end);
	write_cr0(cr0 | CR0_EM);
	expect("em-fpu", ctx_kernel(fpu), NM, 0, fpu);
	expect("em-sse", ctx_kernel(sse), UD, 0, sse);
	write_cr0(cr0 | CR0_EM | CR0_TS);
	expect("em-ts-sse", ctx_kernel(sse), UD, 0, sse);
	write_cr0(cr0);
	write_cr4(cr4 & ~CR4_OSFXSR);
	expect("no-osfxsr-sse", ctx_kernel(sse), UD, 0, sse);
	write_cr4(cr4);
	expect("mf", ctx_kernel(x87_error), MF, 0, mf_at);
	asm volatile("fninit");
	expect("xm", ctx_kernel(sse_error), XM, 0, xm_at);
	write_cr4(cr4 & ~CR4_OSXMMEXCPT);
	expect("xm-without-osxmmexcpt", ctx_kernel(sse_error), UD, 0, xm_at);
	write_cr4(cr4);
	asm volatile("ldmxcsr %0" ::"m"((u32){0x1f80}));
}

static void selectors(void)
{
	struct ctx c = ctx_kernel(load_bad);

	c.ax = 0x1f8;
	gdt[0x1f8 / 8] = 0;
	expect("load-system-selector", c, GP, 0x1f8, load_bad);
	gdt[0x1f8 / 8] = descriptor(0, 0xfffff, SEG_DATA_RW & ~0x80);
	expect("load-not-present", c, NP, 0x1f8, load_bad);
	gdt[0x1f8 / 8] = descriptor(0, 0xfffff, SEG_CODE_X);
	expect("load-execute-only", c, GP, 0x1f8, load_bad);
	gdt[0x1f8 / 8] = descriptor(0, 0xfffff, SEG_DATA_RW);
	expect("load-good", c, DONE_VECTOR, 0, load_bad_end);
	check("load-sets-accessed", gdt[0x1f8 / 8] >> 40 & 1, 1);
	c.ax = 0x408;
	expect("load-beyond-limit", c, GP, 0x408, load_bad);
	c.ax = 0x44;
	expect("load-ldt-none", c, GP, 0x44, load_bad);
	c = ctx_user(load_bad);
	c.ax = SEL_DATA | 3;
	expect("load-inner-ring", c, GP, SEL_DATA, load_bad);
	c = ctx_kernel(load_ss);
	c.ax = 0x1f8;
	gdt[0x1f8 / 8] = descriptor(0, 0xfffff, SEG_DATA_RW & ~0x80);
	expect("ss-not-present", c, SS, 0x1f8, load_ss);
	gdt[0x1f8 / 8] = descriptor(0, 0xfffff, SEG_DATA_RO);
	expect("ss-read-only", c, GP, 0x1f8, load_ss);
	c.ax = 0;
	expect("ss-null-ring0", c, DONE_VECTOR, 0, load_ss_end);
	c = ctx_user(load_ss);
	c.ax = 0;
	expect("ss-null-ring3", c, GP, 0, load_ss);
	c.ax = SEL_UDATA & ~3;
	expect("ss-rpl-differs", c, GP, SEL_UDATA & ~3, load_ss);
}

static void memory(void)
{
	reg_t cr0 = read_cr0();
	struct ctx c;

	expect("noncanonical", ctx_kernel(noncanonical), GP, 0, gp_at);
	expect("noncanonical-stack", ctx_kernel(noncanonical_ss), SS, 0, ss_at);
	c = ctx_kernel(push_);
	c.sp = 1ul << 62;
	expect("movaps-unaligned", ({
		       struct ctx k = ctx_kernel(sse_unaligned);
		       k.si = (reg_t)ctx_stack;
		       k;
	       }),
	       GP, 0, sse_unaligned);
	write_cr0(cr0 | CR0_AM);
	c = ctx_user(unaligned);
	expect("unaligned-ac-clear", c, DONE_VECTOR, 0, unaligned_end);
	c.flags |= FL_AC;
	expect("unaligned-ac-set", c, AC, 0, ac_at);
	write_cr0(cr0 & ~CR0_AM);
	expect("unaligned-no-am", c, DONE_VECTOR, 0, unaligned_end);
	write_cr0(cr0 | CR0_AM);
	c = ctx_kernel(unaligned);
	c.flags |= FL_AC;
	expect("unaligned-ring0", c, DONE_VECTOR, 0, unaligned_end);
	write_cr0(cr0);
}

static void page_faults(void)
{
	static const reg_t hole = 0x123456789000;
	struct ctx c = ctx_kernel(page_fault);

	c.ax = hole + 0x234;
	expect("pf-read", c, PF, 0, page_fault);
	ctx_run(&c);
	check("pf-cr2", c.cr2, hole + 0x234);
	check("pf-saves-rf", c.flags & FL_RF, FL_RF);
	c = ctx_kernel(page_fault_w);
	c.ax = hole;
	expect("pf-write", c, PF, PF_W, page_fault_w);
	c = ctx_user(page_fault);
	c.ax = hole;
	expect("pf-user-read", c, PF, PF_U, page_fault);
	c = ctx_user(page_fault_w);
	c.ax = hole + 0xffd;
	ctx_run(&c);
	check_trap("pf-user-write", &c, PF, PF_U | PF_W, page_fault_w);
	check("pf-crossing-cr2", c.cr2, hole + 0xffd);
	c = ctx_user(jump);
	c.ax = hole;
	expect("pf-fetch", c, PF, PF_U | PF_I, (void *)hole);
	c = ctx_user(push_);
	c.sp = hole + 8;
	ctx_run(&c);
	check_trap("pf-push", &c, PF, PF_U | PF_W, push_);
	check("pf-push-rsp", c.sp, hole + 8);
	c = ctx_user(ret_);
	c.sp = hole;
	expect("pf-ret", c, PF, PF_U, ret_);
}

/* Far from canonical: the fault is on the branch (Intel) or its target (AMD). */
static void branches(void)
{
	struct ctx c = ctx_user(jump);

	c.ax = 1ul << 60;
	ctx_run(&c);
	check("jump-noncanonical", c.vector, GP);
	check_true("jump-noncanonical-at", c.ip == (reg_t)jump || c.ip == 1ul << 60);
	c = ctx_user(call_);
	c.ax = 1ul << 60;
	ctx_run(&c);
	check("call-noncanonical", c.vector, GP);
	c = ctx_user(ret_);
	*(volatile u64 *)c.sp = 1ul << 60;
	ctx_run(&c);
	check("ret-noncanonical", c.vector, GP);
}

static void saved_flags(void)
{
	struct ctx c = ctx_kernel(ud_ud2);

	c.flags |= FL_CF | FL_DF | FL_NT * 0;
	ctx_run(&c);
	check("ud-flags", c.flags & ~(reg_t)FL_RF, FL_1 | FL_CF | FL_DF);
	check("ud-saves-rf", c.flags & FL_RF, FL_RF);
	c = ctx_kernel(bp_int3);
	ctx_run(&c);
	check("int3-saves-no-rf", c.flags & FL_RF, 0);
	c = ctx_user(ud_ud2);
	ctx_run(&c);
	check("user-cs", c.cs, SEL_UCODE64);
	check("user-ss", c.ss, SEL_UDATA);
}

int main(void)
{
	faults();
	privileges();
	fpu_faults();
	selectors();
	memory();
	page_faults();
	branches();
	saved_flags();
	return 0;
}
