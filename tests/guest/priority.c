/* SPDX-License-Identifier: MIT */
/*
 * priority.c - which of several events comes first: fetch faults, decoding, privilege,
 * operands; traps, NMI and interrupts between instructions; instructions over page ends.
 *
 * Source: SDM volume 3A, "Prioritization of Concurrent Events"; volume 2, the order of checks
 * under each instruction.
 *
 * qemu lock-before-pf: TCG notices a LOCK that may not be when it has done the access
 * qemu ud-before-privilege: TCG looks at the ring first
 * qemu cx16-pf-is-write: TCG reads first, as if that were not part of a write
 * qemu int-dpl: the error code counts IDT entries as 16 bytes
 * qemu step-after-sti: TCG holds the trap back as if it were an interrupt
 * qemu interrupt-after-step: as before
 */
#include "apic.h"
#include "paging.h"

#define HOLE 0x123456789000ul
#define VA TEST_VA

LABEL(step_at);
CODE(ud_user_cr, "mov %cr1, %rax\n" DONE_INSN)
CODE(lock_mem, ".byte 0xf0\nmov %eax, (%rax)\n" DONE_INSN)
CODE(sse_hole, "movaps (%rax), %xmm0\n" DONE_INSN)
CODE(cx16_hole, "lock cmpxchg16b (%rax)\n" DONE_INSN)
CODE(div_hole, "divl (%rax)\n" DONE_INSN)
CODE(seg_hole, "mov (%rax), %ss\n" DONE_INSN)
CODE(outs_user, "outsb\n" DONE_INSN)
CODE(lgdt_user, "lgdt (%rax)\n" DONE_INSN)
CODE(invpcid_user, "invpcid (%rax), %rbx\n" DONE_INSN)
CODE(fxsave_hole, "fxsave (%rax)\n" DONE_INSN)
CODE(fld_hole, "fldl (%rax)\n" DONE_INSN)
CODE(wrmsr_user, "wrmsr\n" DONE_INSN)
CODE(int_big, "int $0xf0\n" DONE_INSN)
CODE(call_hole, "call *(%rax)\n" DONE_INSN)
CODE(push_both, "push (%rax)\n" DONE_INSN)
CODE(nops, "nop\nstep_at: nop\nnop\n" DONE_INSN)
CODE(store, "mov %eax, (%rsi)\nnop\n" DONE_INSN)
CODE(sti_nops, "sti\nnop\nnop\nnop\n" DONE_INSN)

static u8 *page;
static u64 cell;

static void expect(const char *name, struct ctx c, u64 ax, unsigned vector, reg_t error,
		   const void *ip)
{
	c.ax = ax;
	ctx_run(&c);
	check_trap(name, &c, vector, error, ip);
}

static void checks_in_order(void)
{
	reg_t cr0 = read_cr0();

	expect("ud-before-privilege", ctx_user(ud_user_cr), 0, UD, 0, ud_user_cr);
	expect("lock-before-pf", ctx_kernel(lock_mem), HOLE, UD, 0, lock_mem);
	expect("movaps-unaligned-before-pf", ctx_kernel(sse_hole), HOLE + 8, GP, 0, sse_hole);
	expect("movaps-pf", ctx_kernel(sse_hole), HOLE, PF, 0, sse_hole);
	expect("cx16-unaligned-before-pf", ctx_kernel(cx16_hole), HOLE + 8, GP, 0, cx16_hole);
	expect("cx16-pf-is-write", ctx_kernel(cx16_hole), HOLE, PF, PF_W, cx16_hole);
	expect("pf-before-de", ctx_kernel(div_hole), HOLE, PF, 0, div_hole);
	expect("pf-before-selector", ctx_kernel(seg_hole), HOLE, PF, 0, seg_hole);
	expect("privilege-before-pf", ctx_user(lgdt_user), HOLE, GP, 0, lgdt_user);
	expect("privilege-before-noncanonical", ctx_user(lgdt_user), 1ul << 60, GP, 0, lgdt_user);
	expect("wrmsr-privilege", ctx_user(wrmsr_user), 0, GP, 0, wrmsr_user);
	expect("int-dpl", ctx_user(int_big), 0, GP, 0xf0 * 8 + 2, int_big);
	expect("call-reads-target-first", ctx_user(call_hole), HOLE, PF, PF_U, call_hole);
	write_cr0(cr0 | CR0_TS);
	expect("nm-before-pf", ctx_kernel(sse_hole), HOLE, NM, 0, sse_hole);
	expect("nm-before-pf-x87", ctx_kernel(fld_hole), HOLE, NM, 0, fld_hole);
	expect("nm-before-unaligned", ctx_kernel(sse_hole), HOLE + 8, NM, 0, sse_hole);
	expect("nm-before-fxsave", ctx_kernel(fxsave_hole), HOLE + 1, NM, 0, fxsave_hole);
	write_cr0(cr0);
	{
		struct ctx c = ctx_user(push_both);

		c.sp = HOLE + 8;
		c.ax = HOLE + 4096;
		ctx_run(&c);
		check("push-reads-first", c.cr2, HOLE + 4096);
	}
	{
		u8 *t = (u8 *)((gdt[SEL_TSS / 8] >> 16 & 0xffffff) | (gdt[SEL_TSS / 8] >> 56)
									     << 24);
		u16 *map_at = (u16 *)(t + 102), old = *map_at;
		struct ctx c = ctx_user(outs_user);

		*map_at = 0xffff;
		c.si = HOLE;
		ctx_run(&c);
		check_trap("port-rights-before-pf", &c, GP, 0, outs_user);
		*map_at = old;
	}
}

/* Bytes at the end of a page, the next of which is not there. */
static struct ctx at_end(const u8 *bytes, unsigned n)
{
	memcpy(page + 4096 - n, bytes, n);
	map(VA, (reg_t)page, PTE_P | PTE_W | PTE_U, LEVEL_4K);
	map(VA + 4096, 0, 0, LEVEL_4K);
	return ctx_user((void *)(VA + 4096 - n));
}

static void fetches(void)
{
	static const u8 ud[] = {0x0f, 0x0b}, half_mov[] = {0xb8, 1, 2}, prefix[] = {0x66, 0x66},
			whole[] = {0xcd, 0x40}, lock_nop[] = {0xf0, 0x90}, push_es[] = {0x06},
			half_ud[] = {0x0f};
	struct ctx c = at_end(ud, 2);

	ctx_run(&c);
	check_trap("ud2-at-page-end", &c, UD, 0, (void *)(VA + 4094));
	c = at_end(half_mov, 3);
	ctx_run(&c);
	check_trap("insn-crosses-into-hole", &c, PF, PF_U | PF_I, (void *)(VA + 4093));
	check("insn-crosses-cr2", c.cr2, VA + 4096);
	c = at_end(prefix, 2);
	ctx_run(&c);
	check_trap("prefix-then-hole", &c, PF, PF_U | PF_I, (void *)(VA + 4094));
	c = at_end(whole, 2);
	ctx_run(&c);
	check_trap("fits-exactly", &c, DONE_VECTOR, 0, (void *)(VA + 4096));
	c = at_end(lock_nop, 2);
	ctx_run(&c);
	check_trap("lock-nop-at-page-end", &c, UD, 0, (void *)(VA + 4094));
	c = at_end(push_es, 1);
	ctx_run(&c);
	check_trap("invalid-at-page-end", &c, UD, 0, (void *)(VA + 4095));
	c = at_end(half_ud, 1);
	ctx_run(&c);
	check_trap("half-opcode-at-page-end", &c, PF, PF_U | PF_I, (void *)(VA + 4095));
}

static u32 dr6_take(void)
{
	u32 v = (u32)read_dr6() & 0xe00f;

	write_dr6(0xffff0ff0);
	return v;
}

/* Between instructions: traps of the last, then NMI, then interrupts, then breakpoints. */
static void between(void)
{
	struct ctx c = ctx_kernel(nops);

	apic_enable();
	dr6_take();
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x58);
	c = ctx_kernel(sti_nops);
	c.flags |= FL_TF;
	ctx_run(&c);
	check("step-after-sti", c.vector << 16 | c.ip, (reg_t)DB << 16 | ((reg_t)sti_nops + 1));
	dr6_take();
	ctx_run(&c); /* the exception has ended the shadow */
	check_trap("interrupt-after-step", &c, 0x58, 0, sti_nops + 1);
	apic_eoi();
	dr6_take();
	/* A data breakpoint and a step on one instruction: one exception. */
	write_dr1((reg_t)&cell);
	write_dr7(0x400 | 2 << 2 | 1 << 20);
	c = ctx_kernel(store);
	c.si = (reg_t)&cell;
	c.flags |= FL_TF;
	ctx_run(&c);
	check("both-in-dr6", dr6_take(), 0x4002);
	/* A step onto a breakpoint: the trap, then the fault. */
	write_dr1((reg_t)step_at);
	write_dr7(0x400 | 2 << 2);
	c = ctx_kernel(nops);
	c.flags |= FL_TF;
	ctx_run(&c);
	check("step-onto-breakpoint", dr6_take() & 0x4000, 0x4000);
	c.flags &= ~(reg_t)FL_TF;
	ctx_run(&c);
	check_trap("then-breakpoint", &c, DB, 0, step_at);
	check("then-breakpoint-dr6", dr6_take() & 0x4002, 2);
	write_dr7(0x400);
	/* An interrupt before the instruction's own fault. */
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x58);
	c = ctx_kernel(ud_user_cr);
	c.flags |= FL_IF;
	ctx_run(&c);
	check_trap("interrupt-before-fault", &c, 0x58, 0, ud_user_cr);
	apic_eoi();
}

int main(void)
{
	page = page_alloc();
	checks_in_order();
	fetches();
	between();
	return 0;
}
