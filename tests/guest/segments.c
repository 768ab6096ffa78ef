/* SPDX-License-Identifier: MIT */
/*
 * segments.c - 32-bit protection: types and limits, expand-down, VERR to LSL, the LDT, rings
 * and conforming code, call gates of 16 and 32 bits with arguments, far returns and IRET
 * between rings, interrupt gates of all kinds, 16-bit code and stacks.
 *
 * Source: SDM volume 3A, "Protected-Mode Memory Management", "Protection"; volume 2, under
 * each instruction.
 *
 * bits: 32
 * qemu limit-*: TCG does not check segment limits
 * qemu write-*: nor types
 * qemu null-load: as before
 * qemu down-*: nor does it know expand-down segments
 */
#include "guest.h"

/* Free slots of the GDT. */
enum { S_TEST, S_GATE, S_CONF, S_CODE1, S_DATA1, S_DATA3, S_LDT, S_CODE16, S_STACK16, S_CODE3 };

CODE(load_read, "mov %eax, %fs\nmov %fs:(%esi), %ebx\n" DONE_INSN)
CODE(load_write, "mov %eax, %fs\nmovb %bl, %fs:(%esi)\n" DONE_INSN)
CODE(load_read16, "mov %eax, %fs\nmovw %fs:(%esi), %bx\n" DONE_INSN)
CODE(cs_write, "movl $0, %cs:(%esi)\n" DONE_INSN)
CODE(ss_read, "mov %eax, %ss\nmov %ss:(%esi), %ebx\n" DONE_INSN)
CODE(verr_, "verr %ax\nsete %bl\nverw %ax\nsete %bh\n" DONE_INSN)
CODE(lar_, "xor %edx, %edx\nlar %eax, %edx\nsete %bl\nlsl %eax, %ecx\nsete %bh\n" DONE_INSN)
CODE(far_jump, "ljmp *(%esi)\n")
CODE(far_call, "lcall *(%esi)\n" DONE_INSN)
CODE(far_ret, "lret\n")
CODE(far_ret_n, "lret $8\n")
CODE(done, DONE_INSN)
CODE(near_jump, "jmp *%eax\n")
CODE(arpl_, "arpl %cx, %ax\nsete %bl\n" DONE_INSN)
CODE(gate_target, "mov 8(%esp), %edx\nmov 12(%esp), %ecx\nmov %cs, %ebx\nlret $8\n")
CODE(gate_stop, DONE_INSN)
CODE(calls_gate, "push $0x2222\npush $0x1111\nlcall *(%esi)\nmov %cs, %eax\n" DONE_INSN)
CODE(into_, "mov $0x7fffffff, %eax; inc %eax\ninto\n" DONE_INSN)
CODE(bound_, "mov $11, %eax\nbound %eax, (%esi)\n" DONE_INSN)
CODE(bound_ok, "mov $10, %eax\nbound %eax, (%esi)\n" DONE_INSN)
CODE(int_90, "int $0x90\n" DONE_INSN)
CODE(push_all, "pusha\n" DONE_INSN)
CODE(str_, "str %eax\nsldt %ebx\nsmsw %ecx\n" DONE_INSN)
CODE(popf_user, "pushl $0x3202\npopf\npushf\npop %eax\n" DONE_INSN)
CODE16(code16, "mov %sp, %bp\npush %ax\nint $0x40\n")
CODE16(stack16_wrap, "push %eax\nint $0x40\n")
CODE16(big_in_16, "movl $0x12345678, %ebx\n.byte 0x67\nmov (%esi), %al\nint $0x40\n")

struct __attribute__((packed)) far_ptr {
	u32 off;
	u16 sel;
};

static struct far_ptr target;
static u8 area[8192] __attribute__((aligned(4096)));

static u16 put(unsigned slot, u32 base, u32 limit, u32 access)
{
	return gdt_put(slot, descriptor(base, limit, access));
}

static u64 call_gate(u32 off, u16 sel, unsigned params, unsigned type, unsigned dpl)
{
	return (off & 0xffff) | (u64)sel << 16 | (u64)params << 32 |
	       (u64)(0x80 | DPL(dpl) | type) << 40 | (u64)(off >> 16) << 48;
}

static void expect_ax_si(const char *name, const u8 *code, u32 ax, u32 si, unsigned vector,
			 reg_t error, const void *ip)
{
	struct ctx c = ctx_kernel(code);

	c.ax = ax;
	c.si = si;
	ctx_run(&c);
	check_trap(name, &c, vector, error, ip);
}

#define ENDED(code) DONE_VECTOR, 0, code##_end
#define AT_SECOND(code, skip) GP, 0, code + (skip)

static void limits(void)
{
	u16 s = put(S_TEST, (u32)area, 0xfff, SEG_DATA_RW | SEG_32);
	struct ctx c;

	expect_ax_si("limit-last-dword", load_read, s, 0xffc, ENDED(load_read));
	expect_ax_si("limit-crossed", load_read, s, 0xffd, AT_SECOND(load_read, 2));
	expect_ax_si("limit-last-byte", load_write, s, 0xfff, ENDED(load_write));
	expect_ax_si("limit-beyond", load_write, s, 0x1000, AT_SECOND(load_write, 2));
	expect_ax_si("limit-wrapping", load_read, s, 0xfffffffe, AT_SECOND(load_read, 2));
	s = put(S_TEST, (u32)area, 0, SEG_DATA_RW | SEG_32 | SEG_4K);
	expect_ax_si("limit-granular", load_write, s, 0xfff, ENDED(load_write));
	expect_ax_si("limit-granular-beyond", load_write, s, 0x1000, AT_SECOND(load_write, 2));
	s = put(S_TEST, (u32)area, 0xfff, SEG_DATA_DOWN | SEG_32);
	expect_ax_si("down-below", load_write, s, 0xfff, AT_SECOND(load_write, 2));
	expect_ax_si("down-above", load_write, s, 0x1000, ENDED(load_write));
	expect_ax_si("down-wrap", load_read, s, 0xfffffffd, AT_SECOND(load_read, 2));
	s = put(S_TEST, (u32)area, 0xfff, SEG_DATA_DOWN);
	expect_ax_si("down-16-top", load_read16, s, 0xfffe, ENDED(load_read16));
	expect_ax_si("down-16-beyond", load_read16, s, 0xffff, AT_SECOND(load_read16, 2));
	/* In ring 3: the trap needs a stack that is well. */
	c = ctx_user(ss_read);
	c.ax = put(S_TEST, (u32)area, 0xfff, SEG_DATA_RW | SEG_32 | DPL(3)) | 3;
	c.si = 0x1000;
	ctx_run(&c);
	check_trap("limit-stack", &c, SS, 0, ss_read + 2);
}

static void types(void)
{
	u16 s = put(S_TEST, (u32)area, 0xfff, SEG_DATA_RO | SEG_32);

	expect_ax_si("read-read-only", load_read, s, 0, ENDED(load_read));
	expect_ax_si("write-read-only", load_write, s, 0, AT_SECOND(load_write, 2));
	s = put(S_TEST, (u32)area, 0xfff, SEG_CODE_RX | SEG_32);
	expect_ax_si("read-code", load_read, s, 0, ENDED(load_read));
	expect_ax_si("write-code", load_write, s, 0, AT_SECOND(load_write, 2));
	expect_ax_si("write-cs", cs_write, 0, (u32)area, GP, 0, cs_write);
	s = put(S_TEST, (u32)area, 0xfff, SEG_CODE_X | SEG_32);
	expect_ax_si("load-execute-only", load_read, s, 0, GP, s, load_read);
	expect_ax_si("null-load", load_read, 0, 0, GP, 0, load_read + 2);
	gdt_put(S_TEST, (u64)(0x80 | 9) << 40);
	expect_ax_si("load-tss", load_read, s, 0, GP, s, load_read);
}

static void verify(const char *name, u32 access, u16 rpl, bool user, bool r, bool w)
{
	u16 s = put(S_TEST, (u32)area, 0xfff, access) | rpl;
	struct ctx c = user ? ctx_user(verr_) : ctx_kernel(verr_);

	c.ax = s;
	ctx_run(&c);
	check(name, c.bx & 0xffff, r | w << 8);
}

static void verifies(void)
{
	struct ctx c;

	verify("verr-rw", SEG_DATA_RW, 0, false, true, true);
	verify("verr-ro", SEG_DATA_RO, 0, false, true, false);
	verify("verr-x", SEG_CODE_X, 0, false, false, false);
	verify("verr-rx", SEG_CODE_RX, 0, false, true, false);
	verify("verr-user-dpl0", SEG_DATA_RW, 3, true, false, false);
	verify("verr-user-dpl3", SEG_DATA_RW | DPL(3), 3, true, true, true);
	verify("verr-rpl3-dpl0", SEG_DATA_RW, 3, false, false, false);
	verify("verr-conforming", SEG_CODE_CONF, 3, true, true, false);
	verify("verr-not-present", SEG_DATA_RW & ~0x80, 0, false, true, true);
	c = ctx_kernel(lar_);
	c.ax = put(S_TEST, 0x123, 0x45678, SEG_DATA_RW | SEG_32 | SEG_4K);
	ctx_run(&c);
	check("lar-lsl-ok", c.bx & 0xffff, 0x101);
	check("lar", c.dx & 0xf0ff00, 0xc09200);
	check("lsl-granular", c.cx, 0x45678fff);
	c = ctx_kernel(lar_);
	c.ax = gdt_put(S_TEST, call_gate(0, SEL_CODE, 0, 12, 0));
	ctx_run(&c);
	check("lar-gate-lsl-not", c.bx & 0xffff, 1);
	c = ctx_kernel(lar_);
	c.ax = gdt_put(S_TEST, call_gate(0, SEL_CODE, 0, 14, 0));
	ctx_run(&c);
	check("lar-interrupt-gate", c.bx & 0xffff, 0);
	c = ctx_kernel(lar_);
	c.ax = 0;
	ctx_run(&c);
	check("lar-null", c.bx & 0xffff, 0);
	c = ctx_kernel(arpl_);
	c.ax = 0x10;
	c.cx = 3;
	ctx_run(&c);
	check("arpl-raises", (c.ax & 0xffff) | (c.bx & 1) << 16, 0x10013);
	c.cx = 1;
	c.ax = 0x12;
	c.ip = (reg_t)arpl_;
	ctx_run(&c);
	check("arpl-keeps", (c.ax & 0xffff) | (c.bx & 1) << 16, 0x12);
}

static struct ctx jump_to(const u8 *code, u16 sel, const void *off)
{
	struct ctx c = ctx_kernel(code);

	target = (struct far_ptr){(u32)off, sel};
	c.si = (u32)&target;
	return c;
}

static void far_jumps(void)
{
	struct ctx c = jump_to(far_jump, SEL_CODE, done);

	ctx_run(&c);
	check_trap("far-jump", &c, DONE_VECTOR, 0, done_end);
	c = jump_to(far_jump, 0, done);
	ctx_run(&c);
	check_trap("far-jump-null", &c, GP, 0, far_jump);
	c = jump_to(far_jump, SEL_DATA, done);
	ctx_run(&c);
	check_trap("far-jump-data", &c, GP, SEL_DATA, far_jump);
	c = jump_to(far_jump, SEL_UCODE32, done);
	ctx_run(&c);
	check_trap("far-jump-other-ring", &c, GP, SEL_UCODE32 & ~3, far_jump);
	c = jump_to(far_jump, put(S_TEST, 0, 0xfffff, (SEG_CODE_RX & ~0x80) | SEG_32 | SEG_4K),
		    done);
	ctx_run(&c);
	check_trap("far-jump-not-present", &c, NP, target.sel, far_jump);
	c = jump_to(far_jump, put(S_TEST, 0, 0xfff, SEG_CODE_RX | SEG_32), done);
	ctx_run(&c);
	check_trap("jump-beyond-limit", &c, GP, 0, far_jump);
	/* From ring 3 into conforming code of ring 0: the ring stays. */
	put(S_CONF, 0, 0xfffff, SEG_CODE_CONF | SEG_32 | SEG_4K);
	c = jump_to(far_jump, SEL_FREE + 8 * S_CONF, done);
	{
		struct ctx u = ctx_user(far_jump);

		u.si = c.si;
		ctx_run(&u);
		check_trap("conforming-from-ring3", &u, DONE_VECTOR, 0, done_end);
		check("conforming-cpl", u.cs, (SEL_FREE + 8 * S_CONF) | 3);
		target.sel = SEL_CODE;
		u = ctx_user(far_jump);
		u.si = c.si;
		ctx_run(&u);
		check_trap("inner-from-ring3", &u, GP, SEL_CODE, far_jump);
	}
	c = jump_to(far_call, SEL_CODE, gate_stop);
	ctx_run(&c);
	check_trap("far-call", &c, DONE_VECTOR, 0, gate_stop_end);
	check("far-call-pushed-eip", *(u32 *)c.sp, (u32)far_call + 2);
	check("far-call-pushed-cs", *(u16 *)(c.sp + 4), SEL_CODE);
}

static void call_gates(void)
{
	u16 g = gdt_put(S_GATE, call_gate((u32)gate_target, SEL_CODE, 2, 12, 3)) | 3;
	struct ctx c = ctx_user(calls_gate);

	target = (struct far_ptr){0xdeadbeef, g};
	c.si = (u32)&target;
	ctx_run(&c);
	check_done("call-gate", &c);
	check("call-gate-inside", c.bx, SEL_CODE);
	check("call-gate-args", c.dx | c.cx << 16, 0x22221111);
	check("call-gate-back", c.ax, SEL_UCODE32);
	check("call-gate-released", c.sp, (u32)user_stack[0] + sizeof(user_stack[0]) - 64);
	/* The frame in ring 0. */
	gdt_put(S_GATE, call_gate((u32)gate_stop, SEL_CODE, 2, 12, 3));
	c = ctx_user(calls_gate);
	c.si = (u32)&target;
	ctx_run(&c);
	check_trap("call-gate-enters", &c, DONE_VECTOR, 0, gate_stop_end);
	{
		const u32 *f = (const u32 *)c.sp;

		check("call-gate-frame-ip", f[0], (u32)calls_gate_end - 6 + 2);
		check("call-gate-frame-cs", f[1] & 0xffff, SEL_UCODE32);
		check("call-gate-frame-arg", f[2], 0x1111);
		check("call-gate-frame-sp", f[4],
		      (u32)user_stack[0] + sizeof(user_stack[0]) - 64 - 8);
		check("call-gate-frame-ss", f[5] & 0xffff, SEL_UDATA);
	}
	gdt_put(S_GATE, call_gate((u32)gate_target, SEL_CODE, 2, 12, 0));
	c = ctx_user(calls_gate);
	c.si = (u32)&target;
	ctx_run(&c);
	check("call-gate-dpl", c.vector << 16 | c.error, GP << 16 | (g & ~3u));
	gdt_put(S_GATE, call_gate((u32)gate_target, SEL_CODE, 2, 12, 3) & ~(0x80ull << 40));
	c = ctx_user(calls_gate);
	c.si = (u32)&target;
	ctx_run(&c);
	check("call-gate-not-present", c.vector << 16 | c.error, NP << 16 | (g & ~3u));
	gdt_put(S_GATE, call_gate((u32)gate_target, SEL_DATA, 2, 12, 3));
	c = ctx_user(calls_gate);
	c.si = (u32)&target;
	ctx_run(&c);
	check("call-gate-to-data", c.vector << 16 | c.error, GP << 16 | SEL_DATA);
	/* A jump through a gate does not change the ring. */
	gdt_put(S_GATE, call_gate((u32)gate_stop, SEL_CODE, 0, 12, 3));
	c = ctx_user(far_jump);
	c.si = (u32)&target;
	ctx_run(&c);
	check("jump-gate-inward", c.vector << 16 | c.error, GP << 16 | SEL_CODE);
	c = ctx_kernel(far_jump);
	c.si = (u32)&target;
	target.sel &= ~3;
	ctx_run(&c);
	check_trap("jump-gate-same-ring", &c, DONE_VECTOR, 0, gate_stop_end);
}

static void returns(void)
{
	struct ctx c = ctx_kernel(far_ret);
	u32 *sp = (u32 *)(c.sp -= 32);

	sp[0] = (u32)done;
	sp[1] = SEL_UCODE32;
	sp[2] = (u32)user_stack[0] + 4096;
	sp[3] = SEL_UDATA;
	ctx_run(&c);
	check_trap("retf-to-ring3", &c, DONE_VECTOR, 0, done_end);
	check("retf-sp", c.sp, (u32)user_stack[0] + 4096);
	check("retf-drops-ds", c.ds | c.es | c.fs | c.gs, 0);
	c = ctx_kernel(far_ret);
	c.sp = (u32)sp;
	sp[3] = SEL_DATA;
	ctx_run(&c);
	check_trap("retf-bad-ss", &c, GP, SEL_DATA, far_ret);
	sp[3] = SEL_UDATA;
	sp[1] = SEL_UCODE32 & ~3;
	c = ctx_kernel(far_ret);
	c.sp = (u32)sp;
	ctx_run(&c);
	check_trap("retf-rpl-dpl", &c, GP, SEL_UCODE32 & ~3, far_ret);
	c = ctx_user(far_ret);
	sp = (u32 *)(c.sp -= 32);
	sp[0] = (u32)done;
	sp[1] = SEL_CODE;
	ctx_run(&c);
	check_trap("retf-inward", &c, GP, SEL_CODE, far_ret);
	/* Release of arguments on both stacks. */
	c = ctx_kernel(far_ret_n);
	sp = (u32 *)(c.sp -= 32);
	sp[0] = (u32)done;
	sp[1] = SEL_UCODE32;
	sp[4] = (u32)user_stack[0] + 4096;
	sp[5] = SEL_UDATA;
	ctx_run(&c);
	check_trap("retf-n-to-ring3", &c, DONE_VECTOR, 0, done_end);
	check("retf-n-sp", c.sp, (u32)user_stack[0] + 4096 + 8);
}

static void middle_rings(void)
{
	struct ctx c;
	u16 code1 = put(S_CODE1, 0, 0xfffff, SEG_CODE_RX | SEG_32 | SEG_4K | DPL(1)) | 1;
	u16 data1 = put(S_DATA1, 0, 0xfffff, SEG_DATA_RW | SEG_32 | SEG_4K | DPL(1)) | 1;

	c = ctx_user(done);
	c.cs = code1;
	c.ss = c.ds = c.es = c.fs = c.gs = data1;
	ctx_run(&c);
	check_trap("ring1", &c, DONE_VECTOR, 0, done_end);
	check("ring1-cs", c.cs, code1);
	c = ctx_user(popf_user);
	c.cs = code1;
	c.ss = c.ds = c.es = c.fs = c.gs = data1;
	ctx_run(&c);
	check("ring1-popf", c.ax & (FL_IF | FL_IOPL3), 0);
	c = ctx_user(str_);
	ctx_run(&c);
	check("str-sldt-smsw-user", c.ax << 16 | (c.bx & 0xffff), SEL_TSS << 16);
}

static void traps(void)
{
	struct ctx c = ctx_kernel(into_);
	static u32 bounds[2] = {5, 10};

	ctx_run(&c);
	check_trap("into", &c, OF, 0, into__end - 2);
	c = ctx_kernel(bound_);
	c.si = (u32)bounds;
	ctx_run(&c);
	check_trap("bound", &c, BR, 0, bound_ + 5);
	c = ctx_kernel(bound_ok);
	c.si = (u32)bounds;
	ctx_run(&c);
	check_done("bound-inside", &c);
	set_gate(0x90, gate_stop, SEL_CODE, 15, 3, 0);
	c = ctx_user(int_90);
	c.flags |= FL_IF;
	ctx_run(&c);
	check_trap("trap-gate", &c, DONE_VECTOR, 0, gate_stop_end);
	check("trap-gate-if", c.flags & FL_IF, FL_IF);
	set_gate(0x90, gate_stop, SEL_CODE, 14, 3, 0);
	c = ctx_user(int_90);
	c.flags |= FL_IF;
	ctx_run(&c);
	check("interrupt-gate-if", c.flags & FL_IF, 0);
	default_gate(0x90);
	c = ctx_user(int_90);
	ctx_run(&c);
	check_trap("int-dpl", &c, GP, 0x90 * 8 + 2, int_90);
	set_gate(0x90, gate_stop, SEL_UDATA & ~3, 14, 3, 0);
	c = ctx_user(int_90);
	ctx_run(&c);
	check_trap("gate-to-data", &c, GP, SEL_UDATA & ~3, int_90);
	set_gate(0x90, gate_stop, SEL_UCODE32 & ~3, 14, 3, 0);
	c = ctx_kernel(int_90);
	ctx_run(&c);
	check_trap("gate-outward", &c, GP, SEL_UCODE32 & ~3, int_90);
	set_gate(0x90, gate_stop, 0, 14, 3, 0);
	c = ctx_kernel(int_90);
	ctx_run(&c);
	check_trap("gate-null", &c, GP, 0, int_90);
	default_gate(0x90);
}

static void ldt(void)
{
	static u64 table[4] __attribute__((aligned(8)));
	u16 l = put(S_LDT, (u32)table, sizeof(table) - 1, 0x82);

	table[1] = descriptor((u32)area, 0xfff, SEG_DATA_RW | SEG_32);
	asm volatile("lldt %w0" ::"r"((u32)l));
	*(u32 *)area = 0xfeedface;
	{
		struct ctx c = ctx_kernel(load_read);

		c.ax = 8 | 4;
		c.si = 0;
		ctx_run(&c);
		check_done("ldt-load", &c);
		check("ldt-value", c.bx, 0xfeedface);
	}
	expect_ax_si("ldt-beyond", load_read, 32 | 4, 0, GP, 32 | 4, load_read);
	check("lldt-not-ldt", TRY("lldt %w0", : "r"((u32)SEL_DATA)), GP);
	check("lldt-error", fixup_error, SEL_DATA);
	check("lldt-in-ldt", TRY("lldt %w0", : "r"(8u | 4)), GP);
	put(S_LDT, (u32)table, sizeof(table) - 1, 0x02);
	check("lldt-not-present", TRY("lldt %w0", : "r"((u32)l)), NP);
	asm volatile("lldt %w0" ::"r"(0));
	expect_ax_si("ldt-null", load_read, 8 | 4, 0, GP, 8 | 4, load_read);
}

static void bits16(void)
{
	u16 cs = put(S_CODE16, (u32)code16, 0xfff, SEG_CODE_RX | DPL(3)) | 3;
	u16 ss = put(S_STACK16, (u32)area, 0xffff, SEG_DATA_RW | DPL(3)) | 3;
	struct ctx c = ctx_user(NULL);

	c.cs = cs;
	c.ss = ss;
	c.sp = 0xabcd0100;
	ctx_run(&c);
	check("code16-ends", c.vector << 16 | c.ip, DONE_VECTOR << 16 | (code16_end - code16));
	check("code16-sp", c.sp & 0xffff, 0xfe);
	/* A push at 0 wraps within 64 KiB. */
	c = ctx_user((const void *)(stack16_wrap - code16));
	c.cs = cs;
	c.ss = ss;
	c.sp = 0;
	c.ax = 0x11223344;
	ctx_run(&c);
	check("stack16-wraps-sp", c.sp & 0xffff, 0xfffc);
	c = ctx_user((const void *)(big_in_16 - code16));
	c.cs = cs;
	c.ss = ss;
	c.sp = 0x100;
	c.si = (u32)area;
	ctx_run(&c);
	check("prefixes-in-16", c.bx, 0x12345678);
}

int main(void)
{
	limits();
	types();
	verifies();
	far_jumps();
	call_gates();
	returns();
	middle_rings();
	traps();
	ldt();
	bits16();
	return 0;
}
