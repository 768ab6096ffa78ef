/* SPDX-License-Identifier: MIT */
/*
 * compat.c - compatibility mode: 32-bit user code under a 64-bit kernel, run so often that a
 * translator takes it up: operands, addresses, the stack, branches, segments loaded on the way,
 * faults, the same addresses as 64-bit code, interrupts and system calls.
 *
 * Source: SDM volume 1, "Modes of Operation"; volume 3A, "Compatibility Mode", "Protection".
 *
 * qemu fs-limit*: TCG does not check segment limits
 * qemu gs-wraps*: likewise
 */
#include "apic.h"
#include "guest.h"
#include "paging.h"

enum { ROUNDS = 5000, S_DATA = 0, S_CODE, S_STACK16, S_SMALL, S_WIDE, SYSTEM_CALL = 0x80 };
/* EBP counts. */
#define BEGIN "mov $5000, %ebp\n1:\n"
#define END "dec %ebp\njnz 1b\n" DONE_INSN

/* Where nothing is, until a test maps it: the last 2 MiB, and some in the middle. */
#define TOP 0xffe00000ul
#define LAST_PAGE 0xfffff000ul
#define MIDDLE 0x80000000ul
#define DIRT 0x5a5a123400000000ul

u8 data[2 * 4096] __attribute__((aligned(4096)));

static struct ctx compat(const void *code)
{
	struct ctx c = ctx_user(code);

	c.cs = SEL_UCODE32;
	return c;
}

/* Run it: EAX and ESP at its end. */
static void run(const char *name, struct ctx *c, u32 ax)
{
	reg_t sp = c->sp;

	ctx_run(c);
	check(name, (u64)c->vector << 32 | (u32)c->ax, (u64)DONE_VECTOR << 32 | ax);
	check("esp", (u32)c->sp, (u32)sp);
}

/* Page tables of their own for the 2 MiB at va, with nothing in them. */
static void small_pages(u64 va)
{
	page_pd[va >> 21] = (reg_t)page_alloc() | PTE_P | PTE_W | PTE_U;
	write_cr3(read_cr3());
}

static u8 *new_page(u64 va)
{
	u8 *p = page_alloc();

	map(va, (reg_t)p, PTE_P | PTE_W | PTE_U, LEVEL_4K);
	return p;
}

/* --- operands and addresses ---------------------------------------------------------------------
 */

/* 64-bit code that does the same is the judge. */
#define ARITHMETIC                                                                          \
	BEGIN "imul $1103515245, %eax, %eax\nadd $12345, %eax\nrol $5, %ax\nxor %ah, %bl\n" \
	      "adc %al, %bh\nsbb %ebx, %edx\nincw %dx\ndecl %esi\nnegb %cl\n"               \
	      "shld $7, %eax, %edx\nbswap %esi\nmovzbl %dh, %edi\nadd %edi, %ecx\n"         \
	      "movsbw %bl, %di\nxor %di, %cx\nsetc %ch\ncmp %eax, %edx\n"                   \
	      "cmovb %eax, %edi\nadc %edi, %ecx\nbt $3, %eax\nrcr $1, %ecx\n"               \
	      "mov %eax, %edx\nshr $9, %edx\nmov $0x80000000, %edi\nor %ecx, %edi\n"        \
	      "div %edi\nxor %eax, %esi\nadd %edx, %esi\nmul %ebx\nxchg %cx, %dx\n"         \
	      "xadd %al, %cl\nbsf %eax, %edi\nbtc %esi, %edx\ncwtl\n"                       \
	      "lea 3(%eax,%edx,4), %edi\nadd %edi, %eax\nsar %cl, %edx\n"                   \
	      "cmpxchg %esi, %ebx\ninc %eax\ndec %bx\nnot %esi\nsub $0x55, %al\n"           \
	      "test $1, %al\njz 2f\nadd $0x1234, %bx\n2:\n" END
CODE(arithmetic64, ARITHMETIC)
CODE32(arithmetic32, ARITHMETIC)

/* EDI: in the first page of data. */
#define MEMORY                                                                                \
	BEGIN "mov %edi, %ebx\nmov %ebp, %ecx\nand $63, %ecx\nadd %eax, (%ebx)\n"             \
	      "adc 4(%ebx), %eax\nxor %al, 0x81(%edi)\nadd 0x181(%edi), %ah\n"                \
	      "incw (%edi,%ecx)\nadd %ax, 2(%edi,%ecx,2)\nmov 0x44(%edi,%ecx,4), %edx\n"      \
	      "add %edx, %eax\nnotl -64(%edi,%ecx,8)\nrol %cl, %eax\nsub %eax, data+0x300\n"  \
	      "mov data+0x304(,%ecx,4), %edx\nxor %edx, %eax\nadd data+0x40(%ecx), %eax\n"    \
	      "movzbl data+0x7ff(%ecx,%ecx), %edx\nlea (%edx,%edx,8), %edx\n"                 \
	      "imul 0x20(%edi), %edx\nadd %edx, %eax\nxchg %eax, 0x600(%edi)\n"               \
	      "lock xadd %eax, 0x604(%edi)\ncmpxchg %edx, 0x608(%edi)\nsetbe 0x60c(%edi)\n"   \
	      "btsl %eax, 0x700(%edi)\nmovl $0x1234567, 0xffd(%edi)\nadd 0xffb(%edi), %eax\n" \
	      "lea -0x20(%edi), %esi\nsub $0x7fffff00, %esi\nadd 0x7fffff24(%esi), %eax\n" END
CODE(memory64, MEMORY)
CODE32(memory32, MEMORY)

static bool same_registers(const struct ctx *a, const struct ctx *b)
{
	return (u32)a->ax == (u32)b->ax && (u32)a->bx == (u32)b->bx && (u32)a->cx == (u32)b->cx &&
	       (u32)a->dx == (u32)b->dx && (u32)a->si == (u32)b->si && (u32)a->di == (u32)b->di &&
	       a->vector == DONE_VECTOR && b->vector == DONE_VECTOR &&
	       !((a->flags ^ b->flags) & ~(u64)FL_AF);
}

static struct ctx begin(const void *code, u64 dirt)
{
	struct ctx c = compat(code);

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7 + (i >> 8));
	c.ax = dirt | 0x1234;
	c.bx = dirt | 77;
	c.cx = dirt | 0x80000001;
	c.dx = dirt;
	c.si = dirt;
	c.di = dirt | (u32)(reg_t)data;
	return c;
}

static void operands(void)
{
	static u8 kept[sizeof(data)];
	struct ctx a = begin(arithmetic64, 0), b = begin(arithmetic32, DIRT);

	a.cs = SEL_UCODE64;
	ctx_run(&a);
	ctx_run(&b);
	check_true("arithmetic", same_registers(&a, &b));
	a = begin(memory64, 0);
	a.cs = SEL_UCODE64;
	ctx_run(&a);
	memcpy(kept, data, sizeof(data));
	b = begin(memory32, DIRT);
	ctx_run(&b);
	check_true("memory", same_registers(&a, &b));
	check_true("memory-contents", !memcmp(kept, data, sizeof(data)));
}

/* Around 4 GiB, by displacement, by base and index, and by a scale. */
CODE32(wrap, BEGIN "mov $0xfffffff0, %ebx\nmov 0x6010(%ebx), %eax\nmov $0x80003000, %ecx\n"
		   "add (%ecx,%ecx), %eax\nmov $0x40001800, %edx\nadd (,%edx,4), %eax\n"
		   "mov $0x7000, %ebx\nadd -0x1000(%ebx), %eax\nmov $0x1000, %esi\n"
		   "add 0x5000(%esi), %eax\nmov %eax, 0x6008-0x1000(%esi)\n"
		   "add %eax, 0x6008-0x1000(%esi)\nmov 0x6008, %eax\nmov %eax, 0x600c\n" END)
CODE32(short_addresses, BEGIN "mov $0xf0006000, %ebx\nmov $0x1230004, %esi\nmov (%bx), %eax\n"
			      "add -4(%bx,%si), %eax\nadd %eax, (%bx,%si)\n"
			      "addr16 mov 0x6000, %edx\nadd %edx, %eax\n" END)

static void addresses(void)
{
	volatile u32 *low = (volatile u32 *)0x6000;
	struct ctx c = begin(wrap, DIRT);

	low[0] = 0x1111;
	run("wrap", &c, 0x1111 * 10);
	check("wrap-stored", low[3], 0x1111 * 10);
	low[1] = 0;
	c = begin(short_addresses, DIRT);
	run("16-bit-addresses", &c, 0x3333);
	check("16-bit-addresses-stored", low[1], 0x2222 * ROUNDS);
}

/* --- the stack and branches ----------------------------------------------------------------------
 */

LABEL(function);
u32 function_at, word = 5;
CODE32(stack,
       "xor %eax, %eax\n" BEGIN
       "push %ebp\npush $-3\npush $0x12345\npushl word\npush %esp\npop %edx\nsub %esp, %edx\n"
       "add %edx, %eax\npop %ecx\nadd %ecx, %eax\npop %ecx\nsub %ecx, %eax\npop %ecx\n"
       "sub %ecx, %eax\npopl word2\nsub word2, %ebp\nadd word2, %ebp\n"
       "call function\ncall *function_at\nmov $function, %edx\ncall *%edx\n"
       "push $7\npush $8\ncall function8\nenter $16, $0\nmov %ebp, -4(%ebp)\nleave\n"
       "push %ebp\nmov %esp, %ebp\nsub $64, %esp\nmov %eax, -64(%ebp)\nincl (%esp)\n"
       "mov (%esp), %eax\nleave\n"
       "pushw $0x55\npopw %cx\nstc\npushf\npopl %edx\nand $1, %edx\nadd %edx, %eax\n"
       "pusha\npopa\npush $3f\njmp *(%esp)\n3: pop %edx\nmov $4f, %edx\njmp *%edx\nud2\n"
       "4: push $5f\nret\nud2\n5:\n" END "function: inc %eax\nret\n"
       "function8: add 4(%esp), %eax\nadd 8(%esp), %eax\nret $8\n"
       ".globl word2\nword2: .long 0\n")

/* In three pages; one instruction lies across an edge, and one falls over another. */
CODE32(branches, ".balign 4096\n"
		 "mov $5000, %ebp\nxor %eax, %eax\n1: call b_far\ntest $1, %ebp\njz b_even\n"
		 "add $2, %eax\njmp b_join\n"
		 ".balign 4096\nb_far: inc %eax\ncall b_third\nret\n"
		 "b_even: add $5, %eax\njnz b_join\nud2\n"
		 ".skip 4093 - (. - b_far), 0x90\nadd $0x10000, %eax\n"
		 "b_third: add $0x10, %eax\nret\n"
		 "b_join: lea b_edge, %ecx\njmp *%ecx\n"
		 ".skip 8192 - (. - b_far) - 20, 0x90\nb_edge: .skip 20, 0x90\n"
		 "sub $1, %eax\ndec %ebp\njnz 1b\n" DONE_INSN ".balign 4096\n")

static void flow(void)
{
	struct ctx c = begin(stack, DIRT);
	u32 each = 5 - 0x12345 + 3 + 3 + 15 + 1 + 1;

	function_at = (u32)(reg_t)function;
	run("stack", &c, each * ROUNDS);
	c = begin(branches, DIRT);
	run("branches", &c, ROUNDS * (1 + 0x10 - 1) + ROUNDS / 2 * (2 + 5));
}

/* From the last page on forward, and back: a jump, a call; and a stack that goes around. */
LABEL(over_there);
LABEL(over_call);
CODE32(around, "mov $5000, %ebp\nxor %eax, %eax\nmov $0xffffff00, %edi\njmp *%edi\n"
	       "over_there: inc %eax\ndec %ebp\njz 2f\njmp *%edi\n"
	       "2:" DONE_INSN "over_call: add 0(%esp), %eax\nsub $0xffffff05, %eax\nret\n")
CODE32(stack_around,
       BEGIN "mov %esp, %ebx\nmov $4, %esp\npush $1\npush $2\npush $3\npop %eax\n"
	     "add 0xfffffffc, %eax\npop %ecx\nadd %ecx, %eax\npop %ecx\nadd %ecx, %eax\n"
	     "add %esp, %eax\nmov %ebx, %esp\n" END)

static void put_branch(u8 *at, u8 opcode, u64 from, const void *to)
{
	u32 rel = (u32)((reg_t)to - (from + 5));

	at[0] = opcode;
	memcpy(at + 1, &rel, 4);
}

static void around_the_end(void)
{
	u8 *page = new_page(LAST_PAGE);
	u32 saved = *(volatile u32 *)0;
	struct ctx c = begin(around, DIRT);

	put_branch(page + 0xf00, 0xe8, LAST_PAGE + 0xf00, over_call);
	put_branch(page + 0xf05, 0xe9, LAST_PAGE + 0xf05, over_there);
	run("around-4-gib", &c, ROUNDS);
	c = begin(stack_around, DIRT);
	run("stack-around-4-gib", &c, 3 + 2 + 2 + 1 + 4);
	*(volatile u32 *)0 = saved;
}

/* Written by itself, and by somebody else. */
LABEL(own_imm);
LABEL(others_imm);
CODE32(change_own, "xor %ebx, %ebx\nmovl $0, own_imm\n" BEGIN
		   "incl own_imm\n.byte 0xb8\nown_imm: .long 0\nadd %eax, %ebx\n"
		   "dec %ebp\njnz 1b\nmov %ebx, %eax\n" DONE_INSN)
CODE32(change_others, "mov $20, %ebp\nxor %ebx, %ebx\n1: .byte 0xb8\nothers_imm: .long 0\n"
		      "add %eax, %ebx\ndec %ebp\njnz 1b\nmov %ebx, %eax\n" DONE_INSN)

static void changes(void)
{
	struct ctx c = begin(change_own, DIRT);
	bool ok = true;

	run("changes-itself", &c, ROUNDS * (ROUNDS + 1) / 2);
	for (u32 i = 0; i < 200; i++) {
		memcpy((u8 *)others_imm, &i, 4);
		c = begin(change_others, DIRT);
		ctx_run(&c);
		ok &= (u32)c.ax == 20 * i;
	}
	check_true("changed", ok);
}

/* --- segments
 * -------------------------------------------------------------------------------------- */

CODE32(fs_gs, "mov %ebx, %fs\nmov %ecx, %gs\nxor %eax, %eax\n" BEGIN
	      "add %fs:0x10, %eax\nmov $8, %esi\nadd %gs:8(%esi), %eax\nsub %ds:0x10(%edi), %eax\n"
	      "add %eax, %fs:0x20\nadd %cs:0x10(%edi), %eax\nmov $-16, %edx\n"
	      "add %gs:0x20(%edx), %eax\n" END)
CODE32(fs_limit, BEGIN "mov %ebp, %esi\nshl $4, %esi\nmov %fs:0xfff0(%esi), %al\n" END)
/* ... that only the end of 4 GiB limits, as for what is thread-local: below the base. */
LABEL(gs_end);
CODE32(gs_wide, "mov %ebx, %gs\nxor %eax, %eax\n" BEGIN
		"mov $-8, %esi\nadd %gs:4(%esi), %eax\nadd %eax, %gs:0x20\ncall *%gs:0x30\n"
		"btsl %ebp, %gs:0x40\naddl $1, %gs:(%esi)\n" END "gs_function: inc %eax\nret\n"
		".globl gs_function\n")
CODE32(gs_wraps, "mov %ebx, %gs\nmov $-16, %esi\nxor %ecx, %ecx\n" BEGIN
		 "cmp $1, %ebp\ncmove %edx, %ecx\ngs_end: mov %gs:(%esi,%ecx), %eax\n" END)
/* DS is flat, and not, by turns. */
LABEL(not_flat);
CODE32(ds_changes, "xor %eax, %eax\n" BEGIN
		   "mov %ecx, %ds\nadd (%esi), %eax\nnot_flat: add 4(%esi), %eax\nmov %edx, %ds\n"
		   "add (%edi), %eax\n" END)
CODE32(ss_changes,
       "xor %eax, %eax\nmov %esp, %edi\n" BEGIN
       "push $5\nmov $0x120100, %ebx\nmov %ecx, %ss\nmov %ebx, %esp\npush $9\npop %ebx\n"
       "push %ebx\nadd %esp, %eax\nmov %edx, %ss\nlea -4(%edi), %esp\npop %ebx\n"
       "add %ebx, %eax\n" END)
/* CS with a base: the same bytes at another EIP. */
LABEL(where);
LABEL(with_base);
LABEL(with_none);
CODE32(cs_changes, "xor %eax, %eax\n" BEGIN
		   "ljmp *(%esi)\nwith_base: call where\nsub %ecx, %ebx\nljmp *(%edi)\n"
		   "with_none: call where\nadd %ecx, %ebx\n" END
		   "where: mov (%esp), %ecx\nadd %ecx, %eax\nret\n")

struct __attribute__((packed)) far {
	u32 off;
	u16 sel;
};

static u16 user_segment(unsigned slot, u64 desc)
{
	return gdt_put(slot, desc) | 3;
}

extern const u8 gs_function[];

static void wide_segment(u16 wide)
{
	struct ctx c = begin(gs_wide, DIRT);

	memset(data, 0, sizeof(data));
	data[0xfc] = 2;
	*(u32 *)(data + 0x130) = (u32)(reg_t)gs_function;
	c.bx = DIRT | wide;
	run("gs-wide", &c, 3 * ROUNDS);
	check("gs-wide-stored", *(u32 *)(data + 0x120),
	      3 * (ROUNDS * (ROUNDS - 1) / 2) + 2 * ROUNDS);
	check("gs-wide-bits", *(u32 *)(data + 0x140), ~1u);
	check("gs-wide-below", *(u32 *)(data + 0xf8), ROUNDS);
	c = begin(gs_wraps, DIRT);
	c.bx = DIRT | wide;
	c.dx = DIRT | 14;
	ctx_run(&c);
	check_trap("gs-wraps", &c, GP, 0, gs_end);
	check("gs-wraps-ebp", (u32)c.bp, 1);
}

static void segments(void)
{
	u32 flags = SEG_32 | DPL(3);
	u16 based = user_segment(S_DATA, descriptor((u32)(reg_t)data, 0xffff, SEG_DATA_RW | flags));
	u16 cs = user_segment(S_CODE, descriptor(0x1000, 0xfffff, SEG_CODE_RX | SEG_4K | flags));
	u16 stack16 =
		user_segment(S_STACK16, descriptor((u32)(reg_t)data, 0xffff, SEG_DATA_RW | DPL(3)));
	u16 small =
		user_segment(S_SMALL, descriptor((u32)(reg_t)data, 0xffef, SEG_DATA_RW | flags));
	u16 wide = user_segment(S_WIDE, descriptor((u32)(reg_t)data + 0x100, 0xfffff,
						   SEG_DATA_RW | SEG_4K | flags));
	static struct far to_base, to_none;
	struct ctx c = begin(fs_gs, DIRT);
	u32 at, word_4, esp;

	c.bx = c.cx = based;
	memset(data, 0, sizeof(data));
	data[0x10] = 3;
	run("fs-gs", &c, 9 * ROUNDS);
	check("fs-stored", *(u32 *)(data + 0x20), 9 * (ROUNDS * (ROUNDS - 1) / 2) + 3 * ROUNDS);

	c = begin(fs_limit, DIRT);
	c.bx = small;
	asm volatile("mov %0, %%fs" ::"r"((u32)small));
	c.bp = 0;
	ctx_run(&c);
	check_trap("fs-limit", &c, GP, 0, fs_limit + 10);
	check("fs-limit-ebp", (u32)c.bp, ROUNDS);
	asm volatile("mov %0, %%fs" ::"r"((u32)SEL_UDATA));

	wide_segment(wide);

	c = begin(ds_changes, DIRT);
	memset(data, 0, sizeof(data));
	data[0x40] = 1;
	data[0x44] = 2;
	data[0x80] = 4;
	c.si = DIRT | 0x40;
	c.di = DIRT | (u32)(reg_t)(data + 0x80);
	c.cx = based;
	c.dx = SEL_UDATA;
	run("ds-changes", &c, 7 * ROUNDS);
	/* What it is not flat for is another's: the flat address. */
	word_4 = *(volatile u32 *)0x44;
	c = begin(ds_changes, DIRT);
	memset(data, 0, sizeof(data));
	c.si = DIRT | 0x40;
	c.di = DIRT | (u32)(reg_t)(data + 0x80);
	c.cx = c.dx = SEL_UDATA;
	run("ds-stays", &c, (u32)(ROUNDS * (word_4 + *(volatile u32 *)0x40)));

	c = begin(ss_changes, DIRT);
	c.cx = stack16;
	c.dx = SEL_UDATA;
	esp = 0x1200fc;
	run("ss-changes", &c, ROUNDS * (esp + 5));

	c = begin(cs_changes, DIRT);
	to_base = (struct far){(u32)(reg_t)with_base - 0x1000, cs};
	to_none = (struct far){(u32)(reg_t)with_none, SEL_UCODE32};
	c.si = DIRT | (u32)(reg_t)&to_base;
	c.di = DIRT | (u32)(reg_t)&to_none;
	at = (u32)(reg_t)with_base + 5 - 0x1000 + (u32)(reg_t)with_none + 5;
	run("cs-changes", &c, at * ROUNDS);
}

/* --- faults
 * ------------------------------------------------------------------------------------------- */

LABEL(f_load);
LABEL(f_store);
LABEL(f_push);
LABEL(f_call);
LABEL(f_pop);
LABEL(f_div);
LABEL(f_ret);
LABEL(f_bad);
/* In the last round EDX is added to an address, or is what is divided by. */
#define LAST_ROUND "cmp $1, %ebp\ncmove %edx, %ecx\n"
CODE32(load_faults, "xor %ecx, %ecx\n" BEGIN LAST_ROUND "f_load: mov 0x34(%edi,%ecx), %eax\n" END)
CODE32(store_faults, "xor %ecx, %ecx\n" BEGIN LAST_ROUND
		     "lea (%edi,%ecx), %ebx\nmov %ebp, (%edi)\nf_store: mov %ebp, 0x34(%ebx)\n" END)
CODE32(push_faults, "mov %esp, %ecx\n" BEGIN LAST_ROUND "mov %ecx, %esp\nf_push: push %ebp\n" END)
CODE32(call_faults, "mov %esp, %ecx\n" BEGIN LAST_ROUND "mov %ecx, %esp\nf_call: call 2f\n2:" END)
CODE32(pop_faults, "lea -4(%esp), %ecx\n" BEGIN LAST_ROUND "mov %ecx, %esp\nf_pop: pop %ebx\n" END)
CODE32(ret_faults, "lea -4(%esp), %ecx\n" BEGIN "movl $2f, -4(%esp)\n" LAST_ROUND
		   "mov %ecx, %esp\nf_ret: ret\n2:" END)
CODE32(div_faults, "mov $3, %ecx\n" BEGIN LAST_ROUND
		   "mov %ebp, %eax\npush %edx\nxor %edx, %edx\nf_div: div %ecx\npop %edx\n" END)
CODE32(bad_faults, BEGIN "cmp $1, %ebp\njne 2f\nf_bad: ud2\n2:" END)

static void fault(const char *name, const void *code, u32 last, unsigned vector, reg_t error,
		  const void *ip, u32 cr2)
{
	struct ctx c = begin(code, DIRT);

	c.dx = DIRT | last;
	ctx_run(&c);
	check_trap(name, &c, vector, error, ip);
	check("last-round", (u32)c.bp, 1);
	if (vector == PF)
		check("cr2", c.cr2, cr2);
}

static void stack_fault(const char *name, const void *code, reg_t error, const void *ip, u32 below)
{
	u32 sp = TOP + 0x2000;
	struct ctx c = begin(code, DIRT);

	c.dx = DIRT | sp;
	ctx_run(&c);
	check_trap(name, &c, PF, error, ip);
	check("esp", (u32)c.sp, sp);
	check("cr2", c.cr2, sp - below);
}

static void faults(void)
{
	u32 off = (u32)(TOP + 0x1000 - (reg_t)data);

	fault("load-fault", load_faults, off, PF, PF_U, f_load, TOP + 0x1034);
	fault("store-fault", store_faults, off, PF, PF_U | PF_W, f_store, TOP + 0x1034);
	stack_fault("push-fault", push_faults, PF_U | PF_W, f_push, 4);
	stack_fault("call-fault", call_faults, PF_U | PF_W, f_call, 4);
	stack_fault("pop-fault", pop_faults, PF_U, f_pop, 0);
	stack_fault("ret-fault", ret_faults, PF_U, f_ret, 0);
	fault("divide-fault", div_faults, 0, DE, 0, f_div, 0);
	fault("undefined", bad_faults, 0, UD, 0, f_bad, 0);
}

/* --- the other mode, the kernel, interrupts ------------------------------------------------------
 */

/* inc rax, or dec eax and inc eax. */
CODE32(either, "xor %eax, %eax\nmov $100, %ecx\n1: .byte 0x48, 0xff, 0xc0\ndec %ecx\n"
	       "jnz 1b\n" DONE_INSN)
CODE(either64, "xor %eax, %eax\nmov $100, %ecx\n1: .byte 0x48, 0xff, 0xc0\n.byte 0xff, 0xc9\n"
	       "jnz 1b\n" DONE_INSN)
/* Far returns: to the loop's other half, and back; the subroutine's first byte is REX.W or DEC. */
CODE32(by_turns,
       "xor %eax, %eax\n" BEGIN "push %ecx\npush $turn64\nlret\nturn32: call turn_sub\n" END
       "turn_sub: .byte 0x48, 0x05, 3, 0, 0, 0, 0xc3\n" /* dec eax; add eax, 3; ret */
       ".code64\nturn64: call turn_sub\npush $0x23\npush $turn32\nlretq\n.code32\n")
CODE32(calls_system, "xor %eax, %eax\n" BEGIN "mov %ebp, %ebx\nint $0x80\n" END)

static void system_call(struct ctx *frame)
{
	frame->ax = DIRT | (u32)(frame->ax + frame->bx);
}

static void modes(void)
{
	static const struct {
		u16 cs, ss;
		u32 ax;
	} as[] = {{SEL_UCODE32, SEL_UDATA, 0},
		  {SEL_UCODE64, SEL_UDATA, 100},
		  {SEL_CODE, SEL_DATA, 100},
		  {SEL_CODE32, SEL_DATA, 0}};
	struct ctx c;
	bool ok = true;

	for (unsigned i = 0; i < 400; i++) {
		unsigned n = i % ARRAY_SIZE(as);

		c = as[n].cs & 3 ? compat(either64) : ctx_kernel(either64);
		c.cs = as[n].cs;
		c.ss = as[n].ss;
		ctx_run(&c);
		ok &= c.vector == DONE_VECTOR && (u32)c.ax == as[n].ax;
	}
	check_true("four-modes-of-a-page", ok);
	c = begin(by_turns, 0);
	c.cx = SEL_UCODE64;
	run("by-turns", &c, ROUNDS * 5);
	set_gate(SYSTEM_CALL, trap_entry(SYSTEM_CALL), SEL_CODE, 14, 3, 0);
	on_vector(SYSTEM_CALL, system_call);
	c = begin(calls_system, DIRT);
	run("system-calls", &c, ROUNDS * (ROUNDS + 1) / 2);
	on_vector(SYSTEM_CALL, NULL);
}

/* Loops that only an interrupt ends; the last goes around 4 GiB, always forward. */
CODE32(loop_here, "1: inc %eax\njmp 1b\n")
CODE32(loop_far, ".balign 4096\n1: inc %eax\njmp 2f\n.balign 4096\n2: inc %ebx\njmp 1b\n")
LABEL(loop_first);
CODE32(loop_around, "loop_first: .byte 0xe9\n.long 0x80000000 - (loop_first - 0x0) - 5\n")

static void interrupted(const char *name, const void *code)
{
	enum { VECTOR = 0x90 };
	struct ctx c = begin(code, DIRT);

	apic_write(APIC_LVT_TIMER, VECTOR);
	apic_write(APIC_TIMER_DIV, 0xb);
	apic_write(APIC_TIMER_INIT, 10000000);
	c.flags |= FL_IF;
	ctx_run(&c);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_eoi();
	check(name, c.vector, VECTOR);
	check("mode", c.cs, SEL_UCODE32);
}

static void interrupts(void)
{
	u8 *middle = new_page(MIDDLE), *last = new_page(TOP);

	put_branch(middle, 0xe9, MIDDLE, (const void *)TOP);
	put_branch(last, 0xe9, TOP, loop_first);
	apic_enable();
	interrupted("loop-interrupted", loop_here);
	interrupted("far-loop-interrupted", loop_far);
	interrupted("loop-around-interrupted", loop_around);
}

int main(void)
{
	small_pages(TOP);
	small_pages(MIDDLE);
	operands();
	addresses();
	flow();
	around_the_end();
	changes();
	segments();
	faults();
	modes();
	interrupts();
	return 0;
}
