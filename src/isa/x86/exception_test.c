/* SPDX-License-Identifier: MIT */
/*
 * exception_test.c - exceptions, interrupts and fast system calls in long mode.
 */
#include <stdatomic.h>

#include "isa/x86/system_bed.h"

static struct bed *b;

static u64 *gpr(unsigned n)
{
	return &b->cpu->st.gpr[n];
}

/* The nth quadword of the frame on the current stack. */
static u64 frame(unsigned n)
{
	return bed_ld(b, *gpr(RSP) + 8 * n, 8);
}

static void test_fault_frame(void)
{
	bed_long(b);
	*gpr(RSP) = BED_STACK0 - 4; /* is aligned down */
	CODE(b, "\x90\x0f\x0b");    /* nop; ud2 */
	CHECK_EQ(bed_run(b, BED_CODE, 10), VCPU_EXIT_HALTED);
	CHECK_EQ(bed_vector(b), X86_UD);
	CHECK_EQ(*gpr(RSP), BED_STACK0 - 16 - 40);
	CHECK_EQ(frame(0), BED_CODE + 1);
	CHECK_EQ(frame(1), SEL_CODE64);
	CHECK_EQ(frame(2), FL_FIXED | FL_RF);
	CHECK_EQ(frame(3), BED_STACK0 - 4);
	CHECK_EQ(frame(4), SEL_DATA);
}

static void test_ring3(void)
{
	bed_long(b);
	bed_ring3(b);
	CODE(b, "\x90\xcd\x80"); /* nop; int 0x80 */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), 0x80);
	CHECK_EQ(b->cpu->cpl, 0);
	CHECK_EQ(*gpr(RSP), BED_STACK0 - 40);
	CHECK_EQ(frame(0), BED_CODE + 3);
	CHECK_EQ(frame(1), SEL_CODE64_3);
	CHECK_EQ(frame(3), BED_STACK3);
	CHECK_EQ(frame(4), SEL_DATA3);
	CHECK_EQ(b->cpu->st.seg[SEG_SS].sel, 0);

	bed_long(b);
	bed_ring3(b);
	CODE(b, "\xcd\x20"); /* DPL 0 */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP);
	CHECK_EQ(frame(0), 0x20 * 8 + 2);
	CHECK_EQ(frame(1), BED_CODE);

	bed_long(b);
	bed_ring3(b);
	CODE(b, "\xf4"); /* hlt */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP);
	CHECK_EQ(frame(0), 0);
}

static void test_page_fault(void)
{
	bed_long(b);
	bed_ring3(b);
	*gpr(RBX) = 0x1000000000;
	CODE(b, "\x89\x03"); /* mov [rbx], eax */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_PF);
	CHECK_EQ(frame(0), PF_W | PF_U);
	CHECK_EQ(b->cpu->st.cr2, 0x1000000000);

	bed_long(b);
	*gpr(RBX) = 1ull << 47; /* not canonical */
	CODE(b, "\x89\x03");
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP);
}

static void test_ist_and_double(void)
{
	bed_long(b);
	bed_gate(b, X86_DF, SEL_CODE64, BED_HANDLERS + 16 * X86_DF, DESC_INT32, 0, 1);
	bed_st(b, BED_IDT + 16 * X86_GP, 0, 8);
	CODE(b, "\x0f\x22\xc0"); /* mov cr0, rax */
	*gpr(RAX) = 1ull << 40;	 /* #GP, whose gate is not there: #NP, so #DF */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_DF);
	CHECK_EQ(*gpr(RSP), BED_IST1 - 48);
	CHECK_EQ(frame(0), 0);
	CHECK_EQ(frame(1), BED_CODE);
	CHECK_EQ(frame(4), BED_STACK0);

	bed_long(b);
	b->cpu->st.idtr.limit = 0;
	CODE(b, "\x0f\x0b");
	CHECK_EQ(bed_run(b, BED_CODE, 10), VCPU_EXIT_SHUTDOWN);
	CHECK_EQ(b->cpu->st.rip, BED_CODE);
	CHECK_EQ(b->cpu->nr_history, 4); /* #UD, #GP, the #GP that makes #DF, and one in that */
	CHECK_EQ(b->cpu->history[0].fault.vector, X86_UD);
	CHECK_EQ(b->cpu->history[1].fault.error, X86_UD * 8 + 3);
}

static void test_iret(void)
{
	/* iretq to ring 3, which comes back by int3. */
	static const u64 f[] = {BED_CODE + 0x100, SEL_CODE64_3, FL_FIXED | FL_IF | FL_CF,
				BED_STACK3, SEL_DATA3};

	bed_long(b);
	for (unsigned i = 0; i < 5; i++)
		bed_st(b, BED_STACK0 - 40 + 8 * i, f[i], 8);
	*gpr(RSP) = BED_STACK0 - 40;
	bed_gate(b, X86_BP, SEL_CODE64, BED_HANDLERS + 16 * X86_BP, DESC_TRAP32, 3, 0);
	CODE(b, "\x48\xcf");
	bed_code(b, BED_CODE + 0x100, "\xcc", 1);
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_BP);
	CHECK_EQ(frame(0), BED_CODE + 0x101);
	CHECK_EQ(frame(2), FL_FIXED | FL_IF | FL_CF);
	CHECK_EQ(frame(3), BED_STACK3);
	CHECK_EQ(b->cpu->st.rflags & FL_IF, FL_IF); /* a trap gate leaves it */

	/* Its CS is null. */
	bed_long(b);
	*gpr(RSP) = BED_DATA;
	CODE(b, "\x48\xcf");
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP);
	CHECK_EQ(frame(1), BED_CODE);
	CHECK_EQ(frame(4), BED_DATA);
}

static void test_single_step(void)
{
	bed_long(b);
	CODE(b, "\x90\x90");
	b->cpu->st.rflags |= FL_TF;
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_DB);
	CHECK_EQ(frame(0), BED_CODE + 1);
	CHECK_EQ(frame(2), FL_FIXED | FL_TF);
	CHECK_EQ(b->cpu->st.dr6, DR6_FIXED | DR6_BS);

	/* Not after MOV SS, but after what follows. */
	bed_long(b);
	*gpr(RAX) = SEL_DATA;
	CODE(b, "\x8e\xd0\x90\x90");
	b->cpu->st.rflags |= FL_TF;
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_DB);
	CHECK_EQ(frame(0), BED_CODE + 3);

	/* INT n clears TF: its handler is not stepped. */
	bed_long(b);
	CODE(b, "\xcd\x90");
	b->cpu->st.rflags |= FL_TF;
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), 0x90);
	CHECK_EQ(frame(2), FL_FIXED | FL_TF);
}

static void test_breakpoints(void)
{
	bed_long(b);
	CODE(b, "\x90\x90\xf4");
	b->cpu->st.dr[1] = BED_CODE + 1;
	b->cpu->st.dr7 = DR7_FIXED | 1 << 2;
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_DB);
	CHECK_EQ(frame(0), BED_CODE + 1);
	CHECK_EQ(b->cpu->st.dr6, DR6_FIXED | 2);

	/* RF gets past it. */
	bed_long(b);
	b->cpu->st.dr[1] = BED_CODE + 1;
	b->cpu->st.dr7 = DR7_FIXED | 1 << 2;
	b->cpu->st.rflags |= FL_RF;
	CODE(b, "\x90\x90\xf4");
	bed_run(b, BED_CODE + 1, 10);
	CHECK_EQ(b->cpu->st.rip, BED_CODE + 3);

	bed_long(b);
	b->cpu->st.dr[0] = BED_DATA + 4;
	b->cpu->st.dr7 = DR7_FIXED | 1 | 1 << 16 | 3 << 18; /* write, 4 bytes */
	*gpr(RBX) = BED_DATA;
	CODE(b, "\x8b\x43\x04\x88\x43\x07\x90\xf4"); /* mov eax, [rbx+4]; mov [rbx+7], al */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_DB);
	CHECK_EQ(frame(0), BED_CODE + 6);
	CHECK_EQ(b->cpu->st.dr6, DR6_FIXED | 1);

	/* General detect. */
	bed_long(b);
	b->cpu->st.dr7 = DR7_FIXED | DR7_GD;
	CODE(b, "\x0f\x21\xc0"); /* mov rax, dr0 */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_DB);
	CHECK_EQ(frame(0), BED_CODE);
	CHECK_EQ(b->cpu->st.dr6, DR6_FIXED | DR6_BD);
	CHECK_EQ(b->cpu->st.dr7, DR7_FIXED);
}

static void test_syscall(void)
{
	struct cpu_state *st = &b->cpu->st;

	bed_long(b);
	bed_ring3(b);
	st->star = (u64)(SEL_CODE32_3) << 48 | (u64)SEL_CODE64 << 32;
	st->lstar = BED_CODE + 0x100;
	st->sfmask = FL_IF | FL_CF;
	st->rflags |= FL_IF | FL_CF | FL_ZF;
	CODE(b, "\x0f\x05\xcc");
	bed_code(b, BED_CODE + 0x100, "\xf4\x48\x0f\x07", 4); /* hlt; sysretq */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(b->cpu->cpl, 0);
	CHECK_EQ(st->rip, BED_CODE + 0x101);
	CHECK_EQ(*gpr(RCX), BED_CODE + 2);
	CHECK_EQ(*gpr(R11), FL_FIXED | FL_IF | FL_CF | FL_ZF);
	CHECK_EQ(st->rflags, FL_FIXED | FL_ZF);
	CHECK_EQ(st->seg[SEG_CS].sel, SEL_CODE64);
	CHECK_EQ(st->seg[SEG_SS].sel, SEL_DATA);
	bed_run(b, st->rip, 1);
	CHECK_EQ(b->cpu->cpl, 3);
	CHECK_EQ(b->cpu->code64, 1);
	CHECK_EQ(st->rip, BED_CODE + 2);
	CHECK_EQ(st->seg[SEG_CS].sel, SEL_CODE64_3);
	CHECK_EQ(st->seg[SEG_SS].sel, SEL_DATA3);
	CHECK_EQ(st->rflags, FL_FIXED | FL_IF | FL_CF | FL_ZF);

	st->efer &= ~(u64)EFER_SCE;
	bed_run(b, BED_CODE, 4);
	CHECK_EQ(bed_vector(b), X86_UD);
}

/* In compatibility mode SYSCALL is AMD's alone. */
static void test_syscall_compat(void)
{
	struct cpu_state *st = &b->cpu->st;
	char vendor[13];

	memcpy(vendor, b->m.features->vendor, sizeof(vendor));
	for (unsigned amd = 0; amd < 2; amd++) {
		memcpy(b->m.features->vendor, amd ? "AuthenticAMD" : "GenuineIntel", 13);
		bed_long(b);
		bed_ring3(b);
		bed_set_seg(b, SEG_CS, SEL_CODE32_3);
		st->star = (u64)(SEL_CODE32_3) << 48 | (u64)SEL_CODE64 << 32;
		st->cstar = BED_CODE + 0x100;
		CODE(b, "\x0f\x05");
		bed_code(b, BED_CODE + 0x100, "\xf4\x0f\x07", 3); /* hlt; sysretd */
		bed_run(b, BED_CODE, 10);
		if (!amd) {
			CHECK_EQ(bed_vector(b), X86_UD);
			continue;
		}
		CHECK_EQ(st->rip, BED_CODE + 0x101);
		CHECK_EQ(b->cpu->code64, 1);
		CHECK_EQ(*gpr(RCX), BED_CODE + 2);
		bed_run(b, st->rip, 1);
		CHECK_EQ(st->rip, BED_CODE + 2);
		CHECK_EQ(b->cpu->code_size, CODE32);
		CHECK_EQ(b->cpu->cpl, 3);
	}
	memcpy(b->m.features->vendor, vendor, sizeof(vendor));
}

static void test_sysenter(void)
{
	struct cpu_state *st = &b->cpu->st;

	bed_long(b);
	bed_ring3(b);
	CODE(b, "\x0f\x34");
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP); /* no segment set */

	bed_long(b);
	bed_ring3(b);
	st->rflags |= FL_IF;
	st->sysenter_cs = SEL_CODE64;
	st->sysenter_eip = BED_CODE + 0x100;
	st->sysenter_esp = BED_IST1;
	CODE(b, "\x0f\x34");
	bed_code(b, BED_CODE + 0x100, "\xf4\x48\x0f\x35", 4); /* hlt; sysexitq */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(st->rip, BED_CODE + 0x101);
	CHECK_EQ(*gpr(RSP), BED_IST1);
	CHECK_EQ(st->rflags & FL_IF, 0);
	CHECK_EQ(st->seg[SEG_SS].sel, SEL_CODE64 + 8);
	*gpr(RDX) = BED_CODE + 0x200;
	*gpr(RCX) = BED_STACK3;
	bed_run(b, st->rip, 1);
	CHECK_EQ(st->rip, BED_CODE + 0x200);
	CHECK_EQ(*gpr(RSP), BED_STACK3);
	CHECK_EQ(b->cpu->cpl, 3);
	CHECK_EQ(st->seg[SEG_CS].sel, (SEL_CODE64 + 32) | 3);
}

/* SMAP and SMEP seen from a running kernel. */
static void test_smap(void)
{
	bed_long(b);
	bed_st(b, BED_PD, bed_ld(b, BED_PD, 8) & ~4ull, 8); /* the first 2 MiB: supervisor's */
	b->cpu->st.cr4 |= CR4_SMAP | CR4_SMEP;
	*gpr(RBX) = 0x200000;
	CODE(b, "\x0f\x01\xcb\x8b\x03\x0f\x01\xca\x8b\x03"); /* stac; mov; clac; mov */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_PF);
	CHECK_EQ(frame(0), PF_P);
	CHECK_EQ(frame(1), BED_CODE + 8);

	bed_long(b);
	bed_st(b, BED_PD, bed_ld(b, BED_PD, 8) & ~4ull, 8);
	b->cpu->st.cr4 |= CR4_SMEP;
	*gpr(RBX) = 0x200000;
	CODE(b, "\xff\xe3"); /* jmp rbx */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_PF);
	CHECK_EQ(frame(0), PF_P | PF_I);
	CHECK_EQ(frame(1), 0x200000);
}

static void test_swapgs(void)
{
	struct cpu_state *st = &b->cpu->st;

	bed_long(b);
	st->kernel_gs_base = BED_DATA;
	st->seg[SEG_GS].base = 0x1234;
	bed_st(b, BED_DATA + 8, 0x55667788, 8);
	CODE(b, "\x0f\x01\xf8\x65\x48\x8b\x04\x25\x08\x00\x00\x00\xf4"); /* mov rax, gs:[8] */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(*gpr(RAX), 0x55667788);
	CHECK_EQ(st->kernel_gs_base, 0x1234);
}

static void test_nmi(void)
{
	bed_long(b);
	CODE(b, "\x90\x90\xf4");
	atomic_fetch_or(&b->cpu->v.pending, VCPU_NMI);
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_NMI);
	CHECK_EQ(b->cpu->st.nmi_masked, 1);
	CHECK_EQ(x86_isa.wakes(&b->cpu->v), 0);
	atomic_fetch_or(&b->cpu->v.pending, VCPU_NMI);
	CHECK_EQ(x86_isa.wakes(&b->cpu->v), 0);
	atomic_fetch_and(&b->cpu->v.pending, ~(u32)VCPU_NMI);
	bed_code(b, BED_CODE + 0x100, "\x48\xcf", 2);
	bed_run(b, BED_CODE + 0x100, 1);
	CHECK_EQ(b->cpu->st.nmi_masked, 0);
}

static void test_control_registers(void)
{
	static const struct {
		const char *code;
		unsigned len;
		u64 rax;
		int vector;
	} c[] = {
		{"\x0f\x22\xe0", 3, CR4_PAE | 1u << 14, X86_GP}, /* reserved */
		{"\x0f\x22\xe0", 3, 0, X86_GP},			 /* PAE cannot go */
		{"\x0f\x22\xe0", 3, CR4_PAE | CR4_PCIDE, -1},
		{"\x0f\x22\xd8", 3, 1ull << 50, X86_GP}, /* beyond MAXPHYADDR */
		{"\x0f\x22\xc0", 3, CR0_PE, X86_GP},	 /* PG cannot go in 64-bit code */
		{"\x0f\x22\xc8", 3, 0, X86_UD},		 /* CR1 */
		{"\x0f\x23\xf0", 3, 1ull << 32, X86_GP}, /* DR6 */
		{"\x44\x0f\x22\xc0", 4, 16, X86_GP},	 /* CR8 */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
		bed_long(b);
		bed_code(b, BED_CODE, c[i].code, c[i].len);
		bed_st(b, BED_CODE + c[i].len, 0xf4, 1);
		*gpr(RAX) = c[i].rax;
		bed_run(b, BED_CODE, 10);
		CHECK_EQ(bed_vector(b), (u64)c[i].vector);
	}
}

int main(void)
{
	b = bed_new("x86-64-v2");
	test_fault_frame();
	test_ring3();
	test_page_fault();
	test_ist_and_double();
	test_iret();
	test_single_step();
	test_breakpoints();
	test_syscall();
	test_syscall_compat();
	test_sysenter();
	test_smap();
	test_swapgs();
	test_nmi();
	test_control_registers();
	bed_free(b);
	return bed_failures != 0;
}
