/* SPDX-License-Identifier: MIT */
/*
 * exec_flow_test.c - what exec_test.c cannot run on the host: near branches, ports, flags with
 * privileges, interrupted string instructions, 16-bit addresses and stacks, buffers.
 *
 * Judged by the SDM's rules, written out here.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "isa/x86/exec_test.h"

static unsigned failed;

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			printf("FAIL %s:%d: %s\n", __func__, __LINE__, #cond); \
			failed++;                                              \
		}                                                              \
	} while (0)

static struct regs in;
static struct outcome out;

/* GPR_PC is 0x1000 in all of them: the op is at 0x1010 and two bytes long. */
static struct op make(exec_fn *fn, unsigned size)
{
	in = (struct regs){.flags = FL_FIXED};
	return (struct op){.fn = fn,
			   .off = 0x10,
			   .len = 2,
			   .size = (u8)size,
			   .asize = 8,
			   .seg = SEG_DS,
			   .base = GPR_ZERO,
			   .index = GPR_ZERO};
}

static void run(const struct op *op)
{
	guest->st.rip = 0xdead;
	test_guest_run(op, &in, &out);
}

static void mode(enum code_size cs)
{
	guest->code_size = cs;
	guest->code64 = cs == CODE64;
	guest->long_mode = cs == CODE64;
	guest->stack_size = cs == CODE64 ? 8 : cs == CODE32 ? 4 : 2;
	guest->st.seg[SEG_CS].limit = cs == CODE16 ? 0xffff : 0xffffffff;
}

static void test_branches(void)
{
	struct op op = make(exec_jcc, 8);
	unsigned cc;

	op.imm = -0x20ull;
	for (cc = 0; cc < 16; cc++) { /* of ZF alone: NO, NB, Z, BE, NS, NP, NL, LE */
		op.opcode = (u8)(0x70 + cc);
		in.flags = FL_FIXED | FL_ZF;
		run(&op);
		CHECK(guest->st.rip == (0x6a5a >> cc & 1 ? 0xff2 : 0x1012));
	}
	op.opcode = 0x74; /* JZ */
	run(&op);
	CHECK(guest->st.rip == 0xff2);
	op.opcode = 0x75;
	run(&op);
	CHECK(guest->st.rip == 0x1012);

	op = make(exec_jmp_rel, 8);
	op.imm = 1ull << 55; /* to where it is not canonical */
	run(&op);
	CHECK(out.vector == X86_GP && guest->st.rip == 0xdead);

	op = make(exec_call_rel, 8);
	op.imm = 0x100;
	in.gpr[RSP] = (u64)(uintptr_t)test_buf + 64;
	run(&op);
	CHECK(guest->st.rip == 0x1112 && ld_le64(test_buf + 56) == 0x1012);
	CHECK(out.r.gpr[RSP] == in.gpr[RSP] - 8);
	in.gpr[RSP] = (u64)(uintptr_t)test_buf; /* the push faults: nothing moves */
	run(&op);
	CHECK(out.vector == X86_PF && out.r.gpr[RSP] == in.gpr[RSP] && guest->st.rip == 0xdead);

	op = make(exec_ret, 8);
	op.imm = 16;
	in.gpr[RSP] = (u64)(uintptr_t)test_buf + 56;
	run(&op);
	CHECK(guest->st.rip == 0x1012 && out.r.gpr[RSP] == in.gpr[RSP] + 24);
	st_le64(test_buf + 56, 1ull << 60);
	run(&op);
	CHECK(out.vector == X86_GP && out.r.gpr[RSP] == in.gpr[RSP]);
}

static void test_loops(void)
{
	struct op op = make(exec_loop, 8);

	op.imm = 0x10;
	in.gpr[RCX] = 2;
	run(&op);
	CHECK(guest->st.rip == 0x1022 && out.r.gpr[RCX] == 1);
	in.gpr[RCX] = 1;
	run(&op);
	CHECK(guest->st.rip == 0x1012 && out.r.gpr[RCX] == 0);
	op.asize = 4; /* ECX */
	in.gpr[RCX] = 0xffffffff00000000;
	run(&op);
	CHECK(guest->st.rip == 0x1022 && out.r.gpr[RCX] == 0xffffffff);

	op.fn = exec_loope;
	in.gpr[RCX] = 5;
	run(&op);
	CHECK(guest->st.rip == 0x1012 && out.r.gpr[RCX] == 4);
	op.fn = exec_loopne;
	run(&op);
	CHECK(guest->st.rip == 0x1022);
	op.fn = exec_jcxz;
	in.gpr[RCX] = 1ull << 32;
	run(&op);
	CHECK(guest->st.rip == 0x1022 && out.r.gpr[RCX] == in.gpr[RCX]);
	op.asize = 8;
	run(&op);
	CHECK(guest->st.rip == 0x1012);
}

static void test_branches_16(void)
{
	struct op op = make(exec_jmp_rel, 2);

	mode(CODE16);
	op.imm = 0xf000; /* wraps at 64 KiB */
	run(&op);
	CHECK(guest->st.rip == 0x12);
	op.size = 4; /* does not: beyond the limit */
	run(&op);
	CHECK(out.vector == X86_GP);
	op.imm = -0x1012ull;
	run(&op);
	CHECK(out.vector == -1 && guest->st.rip == 0);

	/* PUSHA and POPA over the wrap of SP. */
	guest->st.seg[SEG_SS].base = (u64)(uintptr_t)test_buf;
	op = make(exec_pusha, 2);
	in.gpr[RSP] = 0xabcd0010;
	in.gpr[RAX] = 0x1111;
	in.gpr[RDI] = 0x7777;
	run(&op);
	CHECK(out.vector == -1 && out.r.gpr[RSP] == 0xabcd0000);
	CHECK(ld_le16(test_buf + 14) == 0x1111 && ld_le16(test_buf) == 0x7777);
	CHECK(ld_le16(test_buf + 6) == 0x0010);
	op.fn = exec_popa;
	in = out.r;
	in.gpr[RAX] = in.gpr[RDI] = 0xffff0000;
	run(&op);
	CHECK(out.r.gpr[RSP] == 0xabcd0010 && out.r.gpr[RAX] == 0xffff1111);
	CHECK(out.r.gpr[RDI] == 0xffff7777);
	guest->st.seg[SEG_SS].base = 0;
	mode(CODE64);
}

static void test_flags(void)
{
	struct op op = make(exec_popf, 2);
	u8 *sp = test_buf + 64;

	in.gpr[RSP] = (u64)(uintptr_t)sp;
	st_le16(sp, 0xffff);
	guest->cpl = 3;
	in.flags = FL_FIXED;
	run(&op);
	CHECK(!(out.r.flags & (FL_IF | FL_IOPL)) && out.r.flags & FL_TF && out.r.flags & FL_NT);
	in.flags = FL_FIXED | FL_IOPL;
	run(&op);
	CHECK(out.r.flags & FL_IF && (out.r.flags & FL_IOPL) == FL_IOPL);
	guest->cpl = 0;
	in.flags = FL_FIXED;
	run(&op);
	CHECK(out.r.flags & FL_IF && (out.r.flags & FL_IOPL) == FL_IOPL);

	/* Virtual-8086 mode. */
	guest->cpl = 3;
	in.flags = FL_FIXED | FL_VM;
	run(&op);
	CHECK(out.vector == X86_GP && out.r.gpr[RSP] == in.gpr[RSP]);
	guest->st.cr4 = CR4_VME;
	run(&op);
	CHECK(out.vector == X86_GP); /* TF */
	st_le16(sp, FL_IF | FL_CF);
	run(&op);
	CHECK(out.vector == -1 && out.r.flags == (FL_FIXED | FL_VM | FL_VIF | FL_CF));
	in.flags |= FL_VIP;
	run(&op);
	CHECK(out.vector == X86_GP);
	op.fn = exec_pushf;
	in.flags = FL_FIXED | FL_VM | FL_VIF;
	run(&op);
	CHECK(ld_le16(sp - 2) == (FL_FIXED | FL_IF | FL_IOPL));
	guest->st.cr4 = 0;
}

static void test_ports(void)
{
	struct op op = make(exec_in, 4);
	u64 uses = port_uses;

	op.imm = 0x60;
	op.opcode = 0xe5;
	in.gpr[RAX] = ~0ull;
	run(&op);
	CHECK(out.r.gpr[RAX] == 0x60 + uses && port_uses == uses + 1);
	op.opcode = 0xed;
	in.gpr[RDX] = 0x9000; /* the permission bitmap says no */
	run(&op);
	CHECK(out.vector == X86_GP && port_uses == uses + 1);

	/* INS into the end of memory: the port is not read for the element that faults. */
	op = make(exec_ins, 1);
	op.flags = OP_REP;
	in.gpr[RDX] = 0x10;
	in.gpr[RCX] = 10;
	in.gpr[RDI] = (u64)(uintptr_t)test_buf + BUF - 3;
	run(&op);
	CHECK(out.vector == X86_PF && out.r.gpr[RCX] == 7 && port_uses == uses + 4);
	CHECK(out.r.gpr[RDI] == (u64)(uintptr_t)test_buf + BUF);

	op = make(exec_outs, 2);
	op.flags = OP_REP;
	in.gpr[RCX] = 2;
	in.gpr[RSI] = (u64)(uintptr_t)test_buf;
	st_le32(test_buf, 0x43214321);
	run(&op);
	CHECK(port_last == 0x4321 && out.r.gpr[RCX] == 0 && out.r.gpr[RSI] == in.gpr[RSI] + 4);
}

/* Something pending lets go between chunks, and the result is the same. */
static void test_interrupted(void)
{
	struct op op = make(exec_movs, 1);
	unsigned i;

	for (i = 0; i < 2 * 4096; i++)
		test_buf[i] = (u8)(i * 7);
	op.flags = OP_REP;
	in.gpr[RCX] = 6000;
	in.gpr[RSI] = (u64)(uintptr_t)test_buf + 100;
	in.gpr[RDI] = (u64)(uintptr_t)test_buf + 2 * 4096 + 50;
	atomic_store(&guest->v.pending, VCPU_INTR);
	in.flags = FL_FIXED | FL_IF;
	run(&op);
	CHECK(out.vector == -1 && out.r.gpr[RCX] == 0 && guest->st.rip == 0x1010);
	CHECK(!memcmp(test_buf + 100, test_buf + 2 * 4096 + 50, 6000));
	in.flags = FL_FIXED; /* interrupts are off: no need to stop */
	run(&op);
	CHECK(out.r.gpr[RCX] == 0 && guest->st.rip == 0xdead);
	atomic_store(&guest->v.pending, 0);

	guest->careful = true; /* single steps stop at each element */
	in.gpr[RCX] = 3;
	run(&op);
	CHECK(out.r.gpr[RCX] == 0 && guest->st.rip == 0x1010);
	guest->careful = false;
}

static void test_strings_16(void)
{
	struct op op = make(exec_stos, 2);

	mode(CODE16);
	guest->st.seg[SEG_ES] = (struct seg){.base = (u64)(uintptr_t)test_buf, .limit = 0xffff};
	op.asize = 2;
	op.flags = OP_REP;
	in.gpr[RAX] = 0xbeef;
	in.gpr[RCX] = 0xffff0003;
	in.gpr[RDI] = 0x55550ffe;
	memset(test_buf, 0, BUF);
	run(&op);
	CHECK(out.vector == -1 && out.r.gpr[RCX] == 0xffff0000 && out.r.gpr[RDI] == 0x55551004);
	CHECK(ld_le32(test_buf + 0xffe) == 0xbeefbeef && ld_le16(test_buf + 0x1002) == 0xbeef);
	CHECK(ld_le16(test_buf + 0x1004) == 0);
	mode(CODE64);
}

static void test_misc(void)
{
	struct op op = make(exec_bound, 4);
	u8 back[64];
	unsigned i;

	op.flags = OP_MEM | OP_EA_SLOW;
	op.asize = 4;
	op.modrm = 5;
	op.disp = (i32)(uintptr_t)test_buf;
	op.reg = RCX * 8;
	st_le32(test_buf, -5u);
	st_le32(test_buf + 4, 5);
	in.gpr[RCX] = -5u;
	run(&op);
	CHECK(out.vector == -1);
	in.gpr[RCX] = 6;
	run(&op);
	CHECK(out.vector == X86_BR);

	op = make(exec_mov, 4); /* moffs */
	op.form = FORM_REG_RM;
	op.flags = OP_MEM | OP_EA_SLOW;
	op.imm = (u64)(uintptr_t)test_buf + 4;
	run(&op);
	CHECK(out.r.gpr[RAX] == 5);

	op = make(exec_rdrand, 8);
	run(&op);
	CHECK(out.r.flags & FL_CF ? out.r.gpr[RAX] != 0 : out.r.gpr[RAX] == 0);

	for (test_slow = false;; test_slow = true) { /* over a page's end */
		for (i = 0; i < sizeof(back); i++)
			back[i] = (u8)(i ^ test_slow);
		mem_write_buf(guest, SEG_DS, (u64)(uintptr_t)test_buf + 4096 - 29, back, 61);
		CHECK(!memcmp(test_buf + 4096 - 29, back, 61));
		memset(back, 0, sizeof(back));
		mem_read_buf(guest, SEG_DS, (u64)(uintptr_t)test_buf + 4096 - 29, back, 61);
		CHECK(back[60] == (60 ^ test_slow) && back[28] == (28 ^ test_slow) && !back[61]);
		if (test_slow)
			break;
	}
	test_slow = false;
}

int main(void)
{
	test_host_init();
	test_guest_init();
	test_guest_forget();
	test_branches();
	test_loops();
	test_branches_16();
	test_flags();
	test_ports();
	test_interrupted();
	test_strings_16();
	test_misc();
	printf("%u failed\n", failed);
	return failed != 0;
}
