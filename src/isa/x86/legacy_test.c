/* SPDX-License-Identifier: MIT */
/*
 * legacy_test.c - real mode, 16- and 32-bit protected mode, virtual-8086 mode, call gates,
 * task switches, segmentation.
 */
#include "isa/x86/system_bed.h"

static struct bed *b;

static u64 *gpr(unsigned n)
{
	return &b->cpu->st.gpr[n];
}

static struct seg *seg(enum seg_reg reg)
{
	return &b->cpu->st.seg[reg];
}

static u32 frame32(unsigned n)
{
	return (u32)bed_ld(b, (u32)*gpr(RSP) + 4 * n, 4);
}

/* --- real mode ----------------------------------------------------------------------------- */

static void test_real(void)
{
	bed_real(b);
	CODE(b, "\xf9\xcd\x21\xf4");				      /* stc; int 0x21; hlt */
	bed_code(b, BED_HANDLERS + 16 * 0x21, "\xb8\x34\x12\xcf", 4); /* mov ax, 0x1234; iret */
	bed_run(b, 0, 10);
	CHECK_EQ(*gpr(RAX), 0x1234);
	CHECK_EQ(b->cpu->st.rip, 4);
	CHECK_EQ(seg(SEG_CS)->base, BED_CODE);
	CHECK_EQ(*gpr(RSP), 0x7000);
	CHECK_EQ(b->cpu->st.rflags & FL_CF, FL_CF);
	CHECK_EQ(bed_ld(b, 0x7000 - 6, 2), 3);
	CHECK_EQ(bed_ld(b, 0x7000 - 4, 2), BED_CODE >> 4);

	/* A word at 0xffff is beyond the limit. */
	bed_real(b);
	CODE(b, "\xa1\xff\xff\xf4"); /* mov ax, [0xffff] */
	bed_run(b, 0, 10);
	CHECK_EQ(bed_vector(b), X86_GP);
	CHECK_EQ(bed_ld(b, *gpr(RSP), 2), 0);

	/* Far call and return. */
	bed_real(b);
	CODE(b, "\x9a\x00\x01\x00\x10\xf4");		  /* call 0x1000:0x100; hlt */
	bed_code(b, BED_CODE + 0x100, "\x8c\xc8\xcb", 3); /* mov ax, cs; retf */
	bed_run(b, 0, 10);
	CHECK_EQ(*gpr(RAX), 0x1000);
	CHECK_EQ(b->cpu->st.rip, 6);
}

/* Into protected mode, data segments with 4 GiB, and back: they keep their limits. */
static void test_unreal(void)
{
	bed_real(b);
	bed_desc(b, SEL_DATA, 0, 0xfffff, SEG_P | SEG_S | SEG_RW | SEG_G | SEG_DB);
	bed_st(b, BED_DATA, 0x7f, 2);
	bed_st(b, BED_DATA + 2, BED_GDT, 4);
	seg(SEG_DS)->base = BED_DATA;
	CODE(b, "\x66\x0f\x01\x16\x00\x00"	   /* o32 lgdt [0] */
		"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0" /* mov eax, cr0; or al, 1; mov cr0, eax */
		"\xbb\x10\x00\x8e\xdb"		   /* mov bx, SEL_DATA; mov ds, bx */
		"\x24\xfe\x0f\x22\xc0"		   /* and al, ~1; mov cr0, eax */
		"\x66\xbb\x00\x00\x20\x00"	   /* mov ebx, 0x200000 */
		"\x67\xc6\x03\x5a\xf4");	   /* mov byte [ebx], 0x5a; hlt */
	bed_run(b, 0, 30);
	CHECK_EQ(bed_ld(b, 0x200000, 1), 0x5a);
	CHECK_EQ(b->cpu->st.gdtr.base, BED_GDT);
	CHECK_EQ(b->cpu->st.cr0 & CR0_PE, 0);
}

/* --- segmentation ------------------------------------------------------------------------------
 */

/* Run code in 32-bit protected mode, DS being this segment, EBX an offset; the vector or -1. */
static int with_ds(u16 attr, u32 limit, u32 ebx, const char *code, unsigned len)
{
	bed_protected(b);
	bed_desc(b, SEL_GATE, BED_DATA, limit, attr);
	bed_set_seg(b, SEG_DS, SEL_GATE);
	*gpr(RBX) = ebx;
	bed_code(b, BED_CODE, code, len);
	bed_st(b, BED_CODE + len, 0xf4, 1);
	bed_run(b, BED_CODE, 10);
	return bed_vector(b);
}

static void test_limits(void)
{
	static const char load[] = "\x8b\x03", store[] = "\x89\x03"; /* eax, [ebx] */
	u16 data = SEG_P | SEG_S | SEG_RW, down = data | SEG_EC;

	CHECK_EQ(with_ds(data, 0xfff, 0xffc, load, 2), (u64)-1);
	CHECK_EQ(with_ds(data, 0xfff, 0xffd, load, 2), X86_GP);
	CHECK_EQ(frame32(0), 0);
	CHECK_EQ(with_ds(data, 0xfff, 0xfffffffe, store, 2), X86_GP);
	CHECK_EQ(with_ds(data & ~SEG_RW, 0xfff, 0, load, 2), (u64)-1);
	CHECK_EQ(with_ds(data & ~SEG_RW, 0xfff, 0, store, 2), X86_GP);
	CHECK_EQ(with_ds(down, 0xfff, 0x1000, store, 2), (u64)-1);
	CHECK_EQ(with_ds(down, 0xfff, 0xfff, load, 2), X86_GP);
	CHECK_EQ(with_ds(down, 0xfff, 0xfffd, load, 2), X86_GP);
	CHECK_EQ(with_ds(down | SEG_DB, 0xfff, 0x10000, load, 2), (u64)-1);
	CHECK_EQ(with_ds(data | SEG_CODE, 0xfff, 0, store, 2), X86_GP);
	CHECK_EQ(with_ds((data | SEG_CODE) & ~SEG_RW, 0xfff, 0, load, 2), X86_GP);
}

static int load_ds(u16 sel)
{
	static const char code[] = "\x8e\xd8"; /* mov ds, eax */

	*gpr(RAX) = sel;
	bed_code(b, BED_CODE, code, 2);
	bed_st(b, BED_CODE + 2, 0xf4, 1);
	bed_run(b, BED_CODE, 10);
	return bed_vector(b);
}

static void test_load(void)
{
	bed_protected(b);
	CHECK_EQ(bed_ld(b, BED_GDT + SEL_DATA + 5, 1) & 1, 0);
	CHECK_EQ(load_ds(SEL_DATA), (u64)-1);
	CHECK_EQ(bed_ld(b, BED_GDT + SEL_DATA + 5, 1) & 1, 1);
	CHECK_EQ(load_ds(3), (u64)-1);
	CHECK_EQ(seg(SEG_DS)->attr & SEG_P, 0);
	CHECK_EQ(load_ds(0x100), X86_GP);
	CHECK_EQ(frame32(0), 0x100);
	bed_protected(b);
	CHECK_EQ(load_ds(SEL_TSS), X86_GP);
	bed_protected(b);
	CHECK_EQ(load_ds(SEL_DATA | 4), X86_GP); /* there is no LDT */
	bed_protected(b);
	bed_desc(b, SEL_GATE, 0, 0xffff, SEG_S | SEG_RW);
	CHECK_EQ(load_ds(SEL_GATE), X86_NP);
	CHECK_EQ(frame32(0), SEL_GATE);
	bed_protected(b);
	bed_ring3(b);
	CHECK_EQ(load_ds(SEL_DATA), X86_GP);
}

/* --- rings
 * ------------------------------------------------------------------------------------------ */

static void test_interrupt_from_ring3(void)
{
	bed_protected(b);
	bed_ring3(b);
	b->cpu->st.rflags |= FL_IF;
	CODE(b, "\xcd\x80\xf4");
	bed_code(b, BED_HANDLERS + 16 * 0x80, "\x90\xcf", 2);
	bed_run(b, BED_CODE, 2);
	CHECK_EQ(b->cpu->cpl, 3);
	CHECK_EQ(*gpr(RSP), BED_STACK3);
	CHECK_EQ(b->cpu->st.rip, BED_CODE + 2);
	CHECK_EQ(b->cpu->st.rflags & FL_IF, FL_IF);
	CHECK_EQ(bed_ld(b, BED_STACK0 - 20, 4), BED_CODE + 2);
	CHECK_EQ(bed_ld(b, BED_STACK0 - 16, 4), SEL_CODE32_3);
	CHECK_EQ(bed_ld(b, BED_STACK0 - 8, 4), BED_STACK3);
	CHECK_EQ(bed_ld(b, BED_STACK0 - 4, 4), SEL_DATA3);
	/* DS was left as it is: it may be used in ring 3. */
	CHECK_EQ(seg(SEG_DS)->sel, SEL_DATA3);
}

/* A null selector with an RPL is 0 after a return to an outer ring, as on hardware. */
static void test_null_on_return(void)
{
	const struct seg null = {.sel = 3}, based = {.sel = 2, .base = 0x123456789000};

	bed_long(b);
	x86_put_seg(b->cpu, SEG_DS, &null);
	x86_put_seg(b->cpu, SEG_FS, &based);
	/* push SEL_DATA3; push 0; push 2; push SEL_CODE64_3; push BED_CODE; iretq */
	CODE(b, "\x6a\x23\x6a\x00\x6a\x02\x6a\x2b\x68\x00\x00\x01\x00\x48\xcf");
	bed_run(b, BED_CODE, 6);
	CHECK_EQ(b->cpu->cpl, 3);
	CHECK_EQ(seg(SEG_DS)->sel, 0);
	CHECK_EQ(seg(SEG_FS)->sel, 0);
	CHECK_EQ(seg(SEG_FS)->base, 0x123456789000);
	CHECK_EQ(b->cpu->seg_base[SEG_FS], 0x123456789000);
}

static void test_call_gate(void)
{
	bed_protected(b);
	bed_st(b, BED_GDT + SEL_GATE,
	       ((BED_CODE + 0x100) & 0xffff) | (u64)SEL_CODE32 << 16 | 2ull << 32 |
		       (u64)(DESC_CALL32 | 3 << 5 | 1 << 7) << 40 | (u64)(BED_CODE >> 16) << 48,
	       8);
	bed_ring3(b);
	CODE(b, "\x68\x11\x11\x00\x00\x68\x22\x22\x00\x00" /* push 0x1111; push 0x2222 */
		"\x9a\x00\x00\x00\x00\x53\x00\x90\xf4");   /* call far SEL_GATE | 3; nop; hlt */
	bed_code(b, BED_CODE + 0x100, "\x8b\x44\x24\x08\x8b\x5c\x24\x0c\xca\x08\x00", 11);
	bed_run(b, BED_CODE, 20);
	CHECK_EQ(*gpr(RAX), 0x2222);
	CHECK_EQ(*gpr(RBX), 0x1111);
	/* HLT in ring 3. */
	CHECK_EQ(bed_vector(b), X86_GP);
	CHECK_EQ(frame32(1), BED_CODE + 18);
	CHECK_EQ(frame32(4), BED_STACK3);
	CHECK_EQ(frame32(2), SEL_CODE32_3);
}

static void test_conforming(void)
{
	bed_protected(b);
	bed_ring3(b);
	CODE(b, "\xea\x00\x01\x01\x00\x60\x00"); /* jmp far SEL_CONFORMING:BED_CODE + 0x100 */
	bed_code(b, BED_CODE + 0x100, "\x8c\xc8\xf4", 3);
	bed_run(b, BED_CODE, 2);
	CHECK_EQ((u16)*gpr(RAX), SEL_CONFORMING | 3);
	bed_protected(b);
	bed_ring3(b);
	CODE(b, "\xea\x00\x01\x01\x00\x40\x00"); /* not conforming, ring 0 */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP);
	CHECK_EQ(frame32(0), SEL_CODE32);
}

static void test_io_permission(void)
{
	static const struct {
		u32 map;
		const char *code;
		bool ok;
	} c[] = {
		{0, "\xe4\x21", true}, /* in al, 0x21 */
		{1 << 1, "\xe4\x21", false},
		{1 << 2, "\xe5\x21", false}, /* in eax, 0x21: four ports */
		{1 << 5, "\xe5\x21", true},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
		bed_protected(b);
		b->cpu->st.tr.limit = 0x68 + 0x20;
		bed_st(b, BED_TSS + 0x68 + 4, c[i].map, 4);
		bed_ring3(b);
		bed_code(b, BED_CODE, c[i].code, 2);
		bed_code(b, BED_CODE + 2, "\xcd\x80", 2);
		bed_run(b, BED_CODE, 10);
		CHECK_EQ(bed_vector(b), c[i].ok ? 0x80 : X86_GP);
	}
}

/* #AC whose delivery raises #AC, for ever: an end is made of it. */
static void test_endless_faults(void)
{
	bed_protected(b);
	bed_gate(b, X86_AC, SEL_CODE32_3, BED_CODE + 0x100, DESC_INT32, 3, 0);
	bed_ring3(b);
	b->cpu->st.cr0 |= CR0_AM;
	b->cpu->st.rflags |= FL_AC;
	*gpr(RSP) = BED_STACK3 + 1;
	CODE(b, "\x50"); /* push eax */
	CHECK_EQ(bed_run(b, BED_CODE, 10), VCPU_EXIT_SHUTDOWN);
	CHECK_EQ(b->cpu->history[AUTOPSY_DEPTH - 1].fault.vector, X86_AC);
}

/* --- virtual-8086
 * --------------------------------------------------------------------------------- */

static void enter_v86(unsigned iopl)
{
	const u32 f[] = {0x100,	 BED_CODE >> 4, FL_FIXED | FL_VM | FL_IF | iopl << 12,
			 0x1000, 0x3000,	0x1111,
			 0x2222, 0x3333,	0x4444};

	bed_protected(b);
	*gpr(RSP) = BED_STACK0 - sizeof(f);
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
		bed_st(b, BED_STACK0 - sizeof(f) + 4 * i, f[i], 4);
	bed_code(b, BED_CODE, "\xcf", 1);
}

static void test_v86(void)
{
	enter_v86(0);
	bed_code(b, BED_CODE + 0x100, "\x8c\xd8\x8c\xe3\x1e\xcd\x21",
		 7); /* mov ax, ds; push ds; int */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP); /* IOPL is below 3 */
	CHECK_EQ((u16)*gpr(RAX), 0x2222);
	CHECK_EQ((u16)*gpr(RBX), 0x3333);
	CHECK_EQ(bed_ld(b, 0x30000 + 0xffe, 2), 0x2222);
	CHECK_EQ(frame32(0), 0);
	CHECK_EQ(frame32(1), 0x105);
	CHECK_EQ(frame32(2), BED_CODE >> 4);
	CHECK_EQ(frame32(3) & (FL_VM | FL_IF), FL_VM | FL_IF);
	CHECK_EQ(frame32(4), 0xffe);
	CHECK_EQ(frame32(5), 0x3000);
	CHECK_EQ(frame32(6), 0x1111);
	CHECK_EQ(frame32(7), 0x2222);
	CHECK_EQ(frame32(9), 0x4444);
	CHECK_EQ(b->cpu->cpl, 0);
	CHECK_EQ(seg(SEG_DS)->sel, 0);
	CHECK_EQ(b->cpu->st.rflags & FL_VM, 0);

	enter_v86(3);
	bed_code(b, BED_CODE + 0x100, "\xfa\xcd\x90", 3); /* cli; int 0x90 */
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), 0x90);
	CHECK_EQ(frame32(0), 0x103);
	CHECK_EQ(frame32(2) & FL_IF, 0);
}

/* VME: INT n through the program's own table, and VIF in the place of IF. */
static void test_vme(void)
{
	enter_v86(0);
	b->cpu->st.cr4 = CR4_VME;
	bed_st(b, BED_TSS + 102, 0x88, 2);
	b->cpu->st.tr.limit = 0x100;
	bed_st(b, 4 * 0x21, (u64)BED_CODE >> 4 << 16 | 0x200, 4);
	bed_code(b, BED_CODE + 0x100, "\xfb\xcd\x21\xf4", 4); /* sti; int 0x21; hlt */
	bed_code(b, BED_CODE + 0x200, "\xb8\x77\x00\xcf", 4); /* mov ax, 0x77; iret */
	bed_run(b, BED_CODE, 20);
	CHECK_EQ((u16)*gpr(RAX), 0x77);
	CHECK_EQ(bed_vector(b), X86_GP); /* hlt */
	CHECK_EQ(frame32(1), 0x103);
	CHECK_EQ(frame32(3) & (FL_VIF | FL_IF | FL_VM), FL_VIF | FL_IF | FL_VM);
	/* What INT pushed shows VIF as IF, and IOPL 3. */
	CHECK_EQ(bed_ld(b, 0x30000 + 0xffe, 2) & (FL_IF | FL_IOPL), FL_IF | FL_IOPL);
}

/* --- tasks
 * ------------------------------------------------------------------------------------------ */

static void make_task(void)
{
	static const struct {
		u8 at;
		u32 val;
	} f[] = {
		{32, BED_CODE + 0x100},
		{36, FL_FIXED | FL_CF},
		{40, 0xaaaa},
		{56, BED_STACK3},
		{72, SEL_DATA},
		{76, SEL_CODE32},
		{80, SEL_DATA},
		{84, SEL_DATA},
		{88, 0},
		{92, 0},
	};

	bed_protected(b);
	bed_desc(b, SEL_TSS2, BED_TSS2, 0x67, SEG_P | DESC_TSS32);
	for (unsigned i = 0; i < ARRAY_SIZE(f); i++)
		bed_st(b, BED_TSS2 + f[i].at, f[i].val, 4);
}

static unsigned tss_type(u16 sel)
{
	return bed_ld(b, BED_GDT + sel + 5, 1) & 15;
}

static void test_task_call(void)
{
	make_task();
	CODE(b, "\x9a\x00\x00\x00\x00\x48\x00\xf4");  /* call far SEL_TSS2; hlt */
	bed_code(b, BED_CODE + 0x100, "\xf4\xcf", 2); /* hlt; iret */
	*gpr(RBX) = 0xbbbb;
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(b->cpu->st.rip, BED_CODE + 0x101);
	CHECK_EQ(*gpr(RAX), 0xaaaa);
	CHECK_EQ(*gpr(RBX), 0);
	CHECK_EQ(*gpr(RSP), BED_STACK3);
	CHECK_EQ(b->cpu->st.tr.sel, SEL_TSS2);
	CHECK_EQ(b->cpu->st.rflags & (FL_NT | FL_CF), FL_NT | FL_CF);
	CHECK_EQ(b->cpu->st.cr0 & CR0_TS, CR0_TS);
	CHECK_EQ(bed_ld(b, BED_TSS2, 2), SEL_TSS);
	CHECK_EQ(tss_type(SEL_TSS), DESC_TSS32_BUSY);
	CHECK_EQ(tss_type(SEL_TSS2), DESC_TSS32_BUSY);
	CHECK_EQ(bed_ld(b, BED_TSS + 32, 4), BED_CODE + 7);
	CHECK_EQ(bed_ld(b, BED_TSS + 52, 4), 0xbbbb);

	bed_run(b, b->cpu->st.rip, 10);
	CHECK_EQ(b->cpu->st.rip, BED_CODE + 8);
	CHECK_EQ(*gpr(RBX), 0xbbbb);
	CHECK_EQ(b->cpu->st.tr.sel, SEL_TSS);
	CHECK_EQ(tss_type(SEL_TSS2), DESC_TSS32);
	CHECK_EQ(bed_ld(b, BED_TSS2 + 36, 4) & FL_NT, 0);
	CHECK_EQ(b->cpu->st.rflags & FL_NT, 0);
}

static void test_task_jump(void)
{
	make_task();
	CODE(b, "\xea\x00\x00\x00\x00\x48\x00");
	bed_code(b, BED_CODE + 0x100, "\xf4", 1);
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(b->cpu->st.tr.sel, SEL_TSS2);
	CHECK_EQ(tss_type(SEL_TSS), DESC_TSS32);
	CHECK_EQ(b->cpu->st.rflags & FL_NT, 0);

	/* A bad segment is the new task's fault. */
	make_task();
	bed_st(b, BED_TSS2 + 84, SEL_GATE, 4);
	CODE(b, "\xea\x00\x00\x00\x00\x48\x00");
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_TS);
	CHECK_EQ(frame32(0), SEL_GATE);
	CHECK_EQ(frame32(1), BED_CODE + 0x100);

	/* Busy. */
	make_task();
	bed_desc(b, SEL_TSS2, BED_TSS2, 0x67, SEG_P | DESC_TSS32_BUSY);
	CODE(b, "\xea\x00\x00\x00\x00\x48\x00");
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(bed_vector(b), X86_GP);
	CHECK_EQ(frame32(0), SEL_TSS2);
}

/* A fault through a task gate: the error code is on the new task's stack. */
static void test_task_gate(void)
{
	make_task();
	bed_gate(b, X86_GP, SEL_TSS2, 0, DESC_TASK_GATE, 0, 0);
	CODE(b, "\xb8\x00\x02\x00\x00\x8e\xd8"); /* mov eax, 0x200; mov ds, eax */
	bed_code(b, BED_CODE + 0x100, "\xf4", 1);
	bed_run(b, BED_CODE, 10);
	CHECK_EQ(b->cpu->st.rip, BED_CODE + 0x101);
	CHECK_EQ(*gpr(RSP), BED_STACK3 - 4);
	CHECK_EQ(frame32(0), 0x200);
	CHECK_EQ(bed_ld(b, BED_TSS + 32, 4), BED_CODE + 5);
}

/* --- mode changes
 * -------------------------------------------------------------------------------------- */

/* From 64-bit code to compatibility mode and back by far returns. */
static void test_compatibility(void)
{
	bed_long(b);
	*gpr(RAX) = 0xffffffffffffffff;
	CODE(b, "\x68\x40\x00\x00\x00\x68\x00\x01\x01\x00\x48\xcb"); /* push; push; retfq */
	bed_code(b, BED_CODE + 0x100, "\x40\xea\x00\x02\x01\x00\x08\x00", 8); /* inc eax; jmp far */
	bed_code(b, BED_CODE + 0x200, "\x48\xff\xc0\xf4", 4);		      /* inc rax; hlt */
	bed_run(b, BED_CODE, 20);
	CHECK_EQ(*gpr(RAX), 1);
	CHECK_EQ(b->cpu->code64, 1);
	CHECK_EQ(b->cpu->st.rip, BED_CODE + 0x204);
}

/* The way every boot loader goes, from 32-bit code. */
static void test_enter_long(void)
{
	bed_long(b);
	bed_set_seg(b, SEG_CS, SEL_CODE32);
	b->cpu->st.cr0 &= ~(u64)CR0_PG;
	b->cpu->st.cr4 = b->cpu->st.cr3 = b->cpu->st.efer = 0;
	CODE(b, "\xb8\x20\x00\x00\x00\x0f\x22\xe0"			   /* cr4 = PAE */
		"\xb8\x00\x10\x00\x00\x0f\x22\xd8"			   /* cr3 = BED_PML4 */
		"\xb9\x80\x00\x00\xc0\x31\xd2\xb8\x00\x01\x00\x00\x0f\x30" /* efer = LME */
		"\x0f\x20\xc0\x0d\x00\x00\x00\x80\x0f\x22\xc0"		   /* cr0 |= PG */
		"\xea\x00\x01\x01\x00\x08\x00");			   /* jmp far SEL_CODE64 */
	bed_code(b, BED_CODE + 0x100, "\x49\xff\xc0\xf4", 4);		   /* inc r8; hlt */
	bed_run(b, BED_CODE, 40);
	CHECK_EQ(*gpr(R8), 1);
	CHECK_EQ(b->cpu->code64, 1);
	CHECK_EQ(b->cpu->st.efer, EFER_LME | EFER_LMA);
}

int main(void)
{
	b = bed_new("x86-64-v2");
	test_real();
	test_unreal();
	test_limits();
	test_load();
	test_interrupt_from_ring3();
	test_null_on_return();
	test_call_gate();
	test_conforming();
	test_io_permission();
	test_endless_faults();
	test_v86();
	test_vme();
	test_task_call();
	test_task_jump();
	test_task_gate();
	test_compatibility();
	test_enter_long();
	bed_free(b);
	return bed_failures != 0;
}
