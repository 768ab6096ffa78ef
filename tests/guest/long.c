/* SPDX-License-Identifier: MIT */
/*
 * long.c - 64-bit mode's own: interrupt stack table, 16-byte gates, compatibility code, call
 * gates, IRET and far returns between modes, what is #UD or ignored, stack alignment of frames.
 *
 * Source: SDM volume 3A, "Interrupt and Exception Handling" ("64-Bit Mode"), "Protection".
 *
 * qemu compat-limit: TCG does not check segment limits
 * qemu ist-ss-kept: TCG empties SS when only the IST changes the stack; the manual, when the ring
 * changes
 * qemu iret-l-and-d: TCG does not check that L and D are not both set
 * qemu ss-null-rpl3: TCG does not compare RPL and CPL
 */
#include "guest.h"

enum { S_GATE, S_GATE_HIGH, S_CODE16, S_BAD, S_LIMITED };

CODE(int_90, "int $0x90\n" DONE_INSN)
CODE(gate_code, DONE_INSN)
CODE(call_far, "rex.W lcall *(%rsi)\n" DONE_INSN)
CODE(call_far32, "lcall *(%rsi)\n" DONE_INSN)
CODE(jump_far, "ljmp *(%rsi)\n")
CODE(gate_returns, "mov %cs, %ebx\nlretq\n")
CODE(do_iret, "iretq\n")
CODE(do_lret, "lretq\n")
CODE32(compat_code, "mov $-1, %eax\ninc %eax\npush %eax\n" DONE_INSN)
CODE32(compat_inc, ".byte 0x40\n" DONE_INSN)
CODE32(compat_pusha, "pusha\npopa\naaa\n" DONE_INSN)
CODE32(compat_wrap, "mov $0xfffffff0, %eax\nmov 0x20(%eax), %ebx\n" DONE_INSN)
CODE32(compat_to64, "ljmp *(%esi)\n")
CODE16(compat16, "mov $0x1234, %ax\nint $0x40\n")
CODE(load_ds, "mov %eax, %ds\nmov %ds:(%rsi), %ecx\n" DONE_INSN)
CODE(ds_limit, "mov %eax, %fs\nmov %fs:(%rsi), %ecx\n" DONE_INSN)
CODE(push32, ".byte 0x66\npush $0x1234\n" DONE_INSN)
CODE(pop_ss_user, "mov %eax, %ss\n" DONE_INSN)

static struct __attribute__((packed)) {
	u64 off;
	u16 sel;
} target64;
static struct __attribute__((packed)) {
	u32 off;
	u16 sel;
} target32;

static u64 own_tss(void)
{
	return (gdt[SEL_TSS / 8] >> 16 & 0xffffff) | (gdt[SEL_TSS / 8] >> 56) << 24;
}

static void stacks(void)
{
	u64 *ist3 = (u64 *)(own_tss() + 36 + 16);
	struct ctx c = ctx_kernel(int_90);

	/* No change of stack: aligned down to 16. */
	c.sp -= 5;
	ctx_run(&c);
	check_trap("frame", &c, 0x90, 0, int_90 + 2);
	check("frame-rsp", c.sp & 15, (reg_t)(ctx_stack[0] + sizeof(ctx_stack[0]) - 64 - 5) & 15);
	*ist3 = (reg_t)ctx_stack[2] + 4096 + 8;
	set_gate(0x90, gate_code, SEL_CODE, 14, 0, 3);
	c = ctx_kernel(int_90);
	ctx_run(&c);
	check_trap("ist", &c, DONE_VECTOR, 0, gate_code_end);
	check("ist-rsp", c.sp, (reg_t)ctx_stack[2] + 4096 - 40);
	check("ist-ss-kept", c.ss, SEL_DATA);
	check("ist-frame-rip", *(u64 *)c.sp, (reg_t)int_90 + 2);
	set_gate(0x90, gate_code, SEL_CODE, 14, 3, 3);
	c = ctx_user(int_90);
	ctx_run(&c);
	check("ist-from-user", c.sp, (reg_t)ctx_stack[2] + 4096 - 40);
	check("ist-from-user-ss-null", c.ss, 0);
	*ist3 = 1ull << 60;
	c = ctx_kernel(int_90);
	ctx_run(&c);
	check("ist-noncanonical", c.vector << 16 | c.error, SS << 16);
	set_gate(0x90, gate_code, SEL_CODE32, 14, 0, 0);
	c = ctx_kernel(int_90);
	ctx_run(&c);
	check("gate-to-32-bit", c.vector << 16 | c.error, GP << 16 | SEL_CODE32);
	set_gate(0x90, (const void *)(1ull << 60), SEL_CODE, 14, 0, 0);
	c = ctx_kernel(int_90);
	ctx_run(&c);
	check("gate-noncanonical", c.vector << 16 | c.error, GP << 16);
	default_gate(0x90);
}

static void put_call_gate(const void *ip, u16 sel, unsigned dpl)
{
	u64 off = (reg_t)ip;

	gdt_put(S_GATE, (off & 0xffff) | (u64)sel << 16 | (u64)(0x8c | DPL(dpl)) << 40 |
				(off >> 16 & 0xffff) << 48);
	gdt_put(S_GATE_HIGH, off >> 32);
	target64.sel = target32.sel = (u16)((SEL_FREE + 8 * S_GATE) | dpl);
}

static void call_gates(void)
{
	struct ctx c = ctx_user(call_far);

	put_call_gate(gate_returns, SEL_CODE, 3);
	c.si = (reg_t)&target64;
	ctx_run(&c);
	if (is_amd() && c.vector == GP) {
		/* AMD's far pointers have 32-bit offsets whatever REX.W says. */
		c = ctx_user(call_far32);
		c.si = (reg_t)&target32;
		ctx_run(&c);
	}
	check_done("call-gate", &c);
	check("call-gate-inside", c.bx, SEL_CODE);
	put_call_gate(gate_code, SEL_CODE, 3);
	c = ctx_user(call_far32);
	c.si = (reg_t)&target32;
	ctx_run(&c);
	check_trap("call-gate-enters", &c, DONE_VECTOR, 0, gate_code_end);
	check("call-gate-ss-null", c.ss, 0);
	check("call-gate-pushed-ss", ((u64 *)c.sp)[3], SEL_UDATA);
	check("call-gate-pushed-ip", ((u64 *)c.sp)[0], (reg_t)call_far32 + 2);
	put_call_gate((const void *)(1ull << 60), SEL_CODE, 0);
	c = ctx_kernel(call_far32);
	c.si = (reg_t)&target32;
	ctx_run(&c);
	check("call-gate-noncanonical", c.vector << 16 | c.error, GP << 16);
	put_call_gate(gate_code, SEL_CODE32, 0);
	c = ctx_kernel(call_far32);
	c.si = (reg_t)&target32;
	ctx_run(&c);
	check("call-gate-to-32-bit", c.vector << 16 | c.error, GP << 16 | SEL_CODE32);
	/* A TSS is nothing to jump to. */
	target32.sel = SEL_TSS;
	c = ctx_kernel(jump_far);
	c.si = (reg_t)&target32;
	ctx_run(&c);
	check("jump-tss", c.vector << 16 | c.error, GP << 16 | SEL_TSS);
}

static struct ctx compat(const u8 *code)
{
	struct ctx c = ctx_user(code);

	c.cs = SEL_UCODE32;
	return c;
}

static void compatibility(void)
{
	struct ctx c = compat(compat_code);

	c.ax = ~0ul;
	ctx_run(&c);
	check_done("compat", &c);
	check("compat-32-bit-registers", c.ax, 0);
	check("compat-push-4", c.sp, (reg_t)user_stack[0] + sizeof(user_stack[0]) - 64 - 4);
	c = compat(compat_inc);
	c.ax = 7;
	ctx_run(&c);
	check("compat-40-is-inc", c.ax, 8);
	c = compat(compat_pusha);
	ctx_run(&c);
	check_done("compat-pusha-aaa", &c);
	c = compat(compat_wrap);
	ctx_run(&c);
	check("compat-addresses-wrap", c.bx, *(volatile u32 *)0x10);
	gdt_put(S_LIMITED, descriptor(0, 0xff, SEG_CODE_RX | SEG_32 | DPL(3)));
	c = compat(compat_inc);
	c.cs = (SEL_FREE + 8 * S_LIMITED) | 3;
	ctx_run(&c);
	check("compat-limit", c.vector, GP);
	gdt_put(S_CODE16, descriptor((u32)(reg_t)compat16, 0xffff, SEG_CODE_RX | DPL(3)));
	c = compat(NULL);
	c.cs = (SEL_FREE + 8 * S_CODE16) | 3;
	ctx_run(&c);
	check("compat-16", c.vector << 16 | c.ip, DONE_VECTOR << 16 | 5);
	check("compat-16-ax", c.ax & 0xffff, 0x1234);
	/* From compatibility mode to 64-bit code and back to the kernel. */
	target32.off = (u32)(reg_t)gate_code;
	target32.sel = SEL_UCODE64;
	c = compat(compat_to64);
	c.si = (reg_t)&target32;
	ctx_run(&c);
	check_trap("compat-to-64", &c, DONE_VECTOR, 0, gate_code_end);
	check("compat-to-64-cs", c.cs, SEL_UCODE64);
}

static void returns(void)
{
	struct ctx c = ctx_kernel(do_iret);
	u64 *sp = (u64 *)(c.sp -= 64);

	/* Ring 0 to ring 0 with a null SS. */
	sp[0] = (reg_t)gate_code;
	sp[1] = SEL_CODE;
	sp[2] = FL_1;
	sp[3] = (reg_t)ctx_stack[0] + 4096;
	sp[4] = 0;
	ctx_run(&c);
	check_trap("iret-null-ss", &c, DONE_VECTOR, 0, gate_code_end);
	check("iret-rsp", c.sp, (reg_t)ctx_stack[0] + 4096);
	sp[1] = SEL_UCODE64;
	sp[4] = 0;
	c = ctx_kernel(do_iret);
	c.sp = (reg_t)sp;
	ctx_run(&c);
	check_trap("iret-null-ss-ring3", &c, GP, 0, do_iret);
	sp[4] = SEL_UDATA;
	sp[2] = FL_1 | FL_NT;
	c = ctx_kernel(do_iret);
	c.sp = (reg_t)sp;
	ctx_run(&c);
	check_trap("iret-to-ring3-nt", &c, DONE_VECTOR, 0, gate_code_end);
	c = ctx_kernel(do_iret);
	c.sp = (reg_t)sp;
	c.flags |= FL_NT;
	ctx_run(&c);
	check_trap("iret-with-nt", &c, GP, 0, do_iret);
	sp[0] = 1ull << 60;
	sp[2] = FL_1;
	c = ctx_kernel(do_iret);
	c.sp = (reg_t)sp;
	ctx_run(&c);
	check("iret-noncanonical", c.vector << 16 | c.error, GP << 16);
	gdt_put(S_BAD, descriptor(0, 0xfffff, SEG_CODE_RX | SEG_64 | SEG_32 | SEG_4K));
	sp[0] = (reg_t)gate_code;
	sp[1] = SEL_FREE + 8 * S_BAD;
	c = ctx_kernel(do_iret);
	c.sp = (reg_t)sp;
	ctx_run(&c);
	check_trap("iret-l-and-d", &c, GP, SEL_FREE + 8 * S_BAD, do_iret);
	/* Far return to ring 3 of 32 bits: SP in 64-bit slots. */
	sp[0] = (reg_t)compat_inc;
	sp[1] = SEL_UCODE32;
	sp[2] = (reg_t)user_stack[0] + 2048;
	sp[3] = SEL_UDATA;
	c = ctx_kernel(do_lret);
	c.sp = (reg_t)sp;
	ctx_run(&c);
	check_trap("lret-to-compat", &c, DONE_VECTOR, 0, compat_inc_end);
	check("lret-sp", c.sp, (reg_t)user_stack[0] + 2048);
}

static void data_segments(void)
{
	struct ctx c = ctx_kernel(load_ds);
	static u32 word = 0xabcd;

	/* Bases and limits of DS count for nothing, null or not; FS's base counts. */
	gdt_put(S_LIMITED, descriptor(0x5000, 0, SEG_DATA_RW));
	c.ax = SEL_FREE + 8 * S_LIMITED;
	c.si = (reg_t)&word;
	ctx_run(&c);
	check("ds-base-ignored", c.cx, 0xabcd);
	c = ctx_kernel(load_ds);
	c.si = (reg_t)&word;
	ctx_run(&c);
	check("ds-null", c.cx, 0xabcd);
	c = ctx_kernel(ds_limit);
	c.ax = SEL_FREE + 8 * S_LIMITED;
	c.si = (reg_t)&word - 0x5000;
	ctx_run(&c);
	check("fs-base-no-limit", c.cx, 0xabcd);
	c = ctx_kernel(push32);
	{
		reg_t sp = c.sp;

		ctx_run(&c);
		check("push-16", c.sp, sp - 2);
	}
	c = ctx_kernel(pop_ss_user);
	c.ax = 3;
	ctx_run(&c);
	check_trap("ss-null-rpl3", &c, GP, 0, pop_ss_user);
	check("lldt-null", TRY("lldt %w0", : "r"(0)), (u64)-1);
	check("ltr-data", TRY("ltr %w0", : "r"((u32)SEL_DATA)), GP);
}

int main(void)
{
	stacks();
	call_gates();
	compatibility();
	returns();
	data_segments();
	return 0;
}
