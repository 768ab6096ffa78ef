/* SPDX-License-Identifier: MIT */
/*
 * smc.c - self-modifying code: the next instruction, the same block, over a page boundary, by
 * another mapping, in a loop; and code that another CPU changes.
 *
 * Source: SDM volume 3A, "Self-Modifying Code", "Handling Self- and Cross-Modifying Code".
 *
 * cpus: 2
 */
#include "apic.h"
#include "paging.h"

enum { ROUNDS = 2000, CROSS_ROUNDS = 300 };

static u8 buffer[3 * 4096] __attribute__((aligned(4096)));

typedef u32 code_fn(u32 a);

static code_fn *at(unsigned off)
{
	return (code_fn *)(reg_t)(buffer + off);
}

/* mov $imm, %eax; ret */
static void put_mov(unsigned off, u32 imm)
{
	u8 *p = buffer + off;

	p[0] = 0xb8;
	*(volatile u32 *)(p + 1) = imm;
	p[5] = 0xc3;
	barrier();
}

static void rewrites(void)
{
	bool ok = true;

	for (u32 i = 0; i < ROUNDS; i++) {
		put_mov(100, i);
		ok &= at(100)(0) == i;
	}
	check_true("rewrite-and-call", ok);
	ok = true;
	for (u32 i = 0; i < ROUNDS; i++) {
		put_mov(4096 - 3, i * 0x01010101);
		ok &= at(4096 - 3)(0) == i * 0x01010101;
	}
	check_true("page-crossing-instruction", ok);
	/* Only the second page's half changes. */
	put_mov(4096 - 3, 0);
	ok = true;
	for (u32 i = 0; i < ROUNDS; i++) {
		buffer[4096 + 1] = (u8)i;
		barrier();
		ok &= at(4096 - 3)(0) == (i & 0xff) << 24;
	}
	check_true("page-crossing-second-half", ok);
	/* A byte store, a big store, and one by REP. */
	put_mov(200, 1);
	(void)at(200)(0);
	*(volatile u64 *)(buffer + 198) = 0xc300000002b8ull << 16 | 0x9090;
	check("store-over-start", at(200)(0), 2);
	{
		static const u8 img[] = {0xb8, 3, 0, 0, 0, 0xc3};

		memcpy(buffer + 200, img, sizeof(img));
		check("rep-movsb-over", at(200)(0), 3);
	}
}

LABEL(next_imm);
LABEL(next_imm2);
/* Each changes an instruction that comes right after, in straight-line code. */
CODE(change_next, "mov %edi, next_imm+1(%rip)\nnext_imm: mov $0, %eax\nret\n")
CODE(change_later, "movb $0x90, 1f(%rip)\nmovb $0x90, 1f+1(%rip)\nxor %eax, %eax\nnop\nnop\n"
		   "1: inc %eax\nret\n")
CODE(change_rep, "lea next_imm2+1(%rip), %rdi\nmov $4, %ecx\nmov $0x11, %al\nrep stosb\n"
		 "next_imm2: mov $0, %eax\nret\n")
/* A loop that counts in its own immediate. */
CODE(change_loop, "mov $100, %ecx\n1: incl 2f+1(%rip)\n2: mov $0, %eax\nloop 1b\nret\n")

static void straight(void)
{
	bool ok = true;

	for (u32 i = 1; i < ROUNDS; i++)
		ok &= ((code_fn *)(reg_t)change_next)(i) == i;
	check_true("next-instruction", ok);
	check("same-block", ((code_fn *)(reg_t)change_later)(0), 0);
	check("rep-stosb-next", ((code_fn *)(reg_t)change_rep)(0), 0x11111111);
	check("loop-in-itself", ((code_fn *)(reg_t)change_loop)(0), 100);
}

/* Written by another linear address of the same page; and the page behind code exchanged. */
static void mappings(void)
{
	u8 *alias = (u8 *)TEST_VA;
	code_fn *moved = (code_fn *)(TEST_VA + 0x200000);
	u8 *a = buffer + 4096, *b = buffer + 8192;
	bool ok = true;

	map(TEST_VA, (reg_t)buffer, PTE_P | PTE_W, LEVEL_4K);
	for (u32 i = 0; i < ROUNDS; i++) {
		put_mov(300, 0);
		(void)at(300)(0);
		*(volatile u32 *)(alias + 301) = i;
		ok &= at(300)(0) == i;
	}
	check_true("by-alias", ok);
	put_mov(4096 + 16, 0xa);
	put_mov(8192 + 16, 0xb);
	ok = true;
	for (u32 i = 0; i < ROUNDS; i++) {
		map(TEST_VA + 0x200000, (reg_t)(i & 1 ? a : b), PTE_P, LEVEL_4K);
		ok &= ((code_fn *)((reg_t)moved + 16))(0) == (i & 1 ? 0xau : 0xbu);
	}
	check_true("remapped-page", ok);
}

/* CPU 0 writes code, tells CPU 1 to run it, and the other way round. */
static volatile u32 turn, wrong;

static void player(unsigned cpu)
{
	for (u32 i = cpu; i < CROSS_ROUNDS; i += 2) {
		u32 r[4];

		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != i)
			pause();
		cpuid(0, 0, r); /* serialises, as the manual asks */
		if (i && at(500)(0) != i)
			wrong++;
		put_mov(500, i + 1);
		__atomic_store_n(&turn, i + 1, __ATOMIC_RELEASE);
	}
}

/* CPU 1 runs one instruction all the time while CPU 0 changes its operand, atomically. */
static volatile bool racing = true;
static volatile u32 last_seen;

static void racer(unsigned cpu)
{
	u32 before = 0;

	player(cpu);
	while (racing) {
		u32 v = at(1028)(0);

		if (v < before)
			wrong++;
		before = v;
		last_seen = v;
		pause();
	}
}

static void cross(void)
{
	put_mov(500, 0);
	put_mov(1028 + 0, 0);
	/* The immediate is aligned, so that the store is atomic for the fetch too. */
	buffer[1027] = 0xb8;
	check("second-cpu", smp_start(2, racer), 2);
	player(0);
	while (turn != CROSS_ROUNDS)
		pause();
	check("cross-modified", wrong, 0);
}

static void race(void)
{
	for (u32 i = 1; i <= 50; i++) {
		*(volatile u32 *)(buffer + 1029) = i;
		for (unsigned n = 0; n < 1000000 && last_seen != i; n++)
			pause();
	}
	check("cross-modified-running", last_seen, 50);
	racing = false;
	check("cross-modified-in-order", wrong, 0);
}

int main(void)
{
	apic_enable();
	rewrites();
	straight();
	mappings();
	cross();
	race();
	return 0;
}
