/* SPDX-License-Identifier: MIT */
/*
 * stale.c - what a CPU knows of code must not outlive the mapping that it is known from.
 *
 * Code runs until a translator has linked it to what follows, in other pages, too; then what
 * follows becomes something else, or is so in another address space, and the old way must not be
 * taken any more.
 *
 * memory: 128M
 */
#include "paging.h"

typedef u32 fn(void);

#define LARGE (2ull << 20)
#define KEEP (1ull << 63) /* MOV to CR3: the PCID's translations stay */
#define WRITABLE (PTE_P | PTE_W)

enum { NOP = 0x90, RET = 0xc3, JMP = 0xe9, MOV_EAX = 0xb8, HOT = 20000 };

static u8 first_page[4096] __attribute__((aligned(4096)));
static u8 second_page[4096] __attribute__((aligned(4096)));
static u8 third_page[4096] __attribute__((aligned(4096)));

/* --- code ------------------------------------------------------------------------------------- */

/* mov eax, n; ret */
static void put_return(u8 *p, u32 n)
{
	p[0] = MOV_EAX;
	*(u32 *)(p + 1) = n;
	p[5] = RET;
}

/* Two NOPs, and a jump to what is off bytes from p. */
static void put_jump(u8 *p, u32 off)
{
	p[0] = p[1] = NOP;
	p[2] = JMP;
	*(u32 *)(p + 3) = off - 7;
}

static u32 run(u64 va, unsigned times)
{
	u32 r = 0;

	for (unsigned i = 0; i < times; i++)
		r = ((fn *)(reg_t)va)();
	return r;
}

/* --- address spaces ------------------------------------------------------------------------------
 */

/* Another address space, with all that there is. */
static u64 *new_space(void)
{
	u64 *space = page_alloc();

	memcpy(space, page_pml4, 4096);
	return space;
}

static void put_small(u64 *space, u64 va, const void *page)
{
	*pte_in(space, va, LEVEL_4K) = (reg_t)page | WRITABLE;
}

static void put_large(u64 *space, u64 va, u64 phys)
{
	*pte_in(space, va, LEVEL_2M) = phys | WRITABLE | PTE_PS | PTE_A | PTE_D;
}

static void enter_space(const u64 *space, unsigned pcid)
{
	write_cr3((reg_t)space | pcid | KEEP);
}

/* 512 small pages in the place of the large one. */
static u64 *small_pages(u64 phys)
{
	u64 *table = page_alloc();

	for (unsigned i = 0; i < 512; i++)
		table[i] = (phys + i * 4096) | WRITABLE;
	return table;
}

/* --- the cases
 * ------------------------------------------------------------------------------------
 */

/* Two spaces share a page of code, but not the next one, to which it jumps. */
static void other_next_page(void)
{
	u64 va = TEST_VA, *a = new_space(), *b = new_space();

	put_small(a, va, first_page);
	put_small(a, va + 4096, second_page);
	put_small(b, va, first_page);
	put_small(b, va + 4096, third_page);
	put_jump(first_page, 4096);
	put_return(second_page, 1);
	put_return(third_page, 2);
	barrier();
	enter_space(a, 1);
	check("a space's own next page", run(va, HOT), 1);
	second_page[0] = MOV_EAX; /* the same, but who translated it has to forget */
	barrier();
	enter_space(b, 2);
	check("another space's next page", run(va, HOT), 2);
	enter_space(a, 1);
	check("the first one's again", run(va, 1), 1);
	for (unsigned i = 0; i < 100; i++) {
		second_page[0] = third_page[0] = MOV_EAX;
		barrier();
		enter_space(i & 1 ? b : a, i & 1 ? 2 : 1);
		if (run(va, 50) != 1 + (i & 1))
			check("in turn", i, ~0u);
	}
	write_cr3((reg_t)page_pml4);
}

/* Large pages side by side, in three spaces: what is behind them is not the same. */
static void other_neighbours(void)
{
	u64 va = TEST_VA, *a = new_space(), *b = new_space(), *c = new_space();

	for (unsigned i = 0; i < 4; i++)
		put_large(a, va + i * LARGE, (16 + i) * LARGE);
	put_large(a, va + 4 * LARGE, 40 * LARGE);
	put_large(b, va, 16 * LARGE);
	for (unsigned i = 0; i < 4; i++)
		put_large(c, va + (64 + i) * LARGE, (18 + i) * LARGE);
	put_jump((u8 *)(reg_t)(18 * LARGE), 2 * LARGE);
	*(u8 *)(reg_t)(18 * LARGE + 64) = RET;
	*(u8 *)(reg_t)(16 * LARGE) = RET;
	put_return((u8 *)(reg_t)(20 * LARGE), 20);
	put_return((u8 *)(reg_t)(40 * LARGE), 40);
	barrier();
	enter_space(a, 1);
	run(va + 2 * LARGE + 64, 1);
	enter_space(b, 2);
	run(va, 1);
	enter_space(c, 3);
	check("the neighbour that is next in memory", run(va + 64 * LARGE, HOT), 20);
	enter_space(a, 1);
	check("the neighbour that is not", run(va + 2 * LARGE, 1), 40);
	write_cr3((reg_t)page_pml4);
}

/* A large page becomes small ones, and then one of those another one. */
static void split(void)
{
	u64 va = TEST_VA + (5ull << 30), phys = 16ull << 20, other = 20ull << 20;
	u64 elsewhere = TEST_VA + (7ull << 30) + 0x5000, *table = small_pages(phys);
	u8 *p = (u8 *)(reg_t)phys, *copy = page_alloc();

	map(va, phys, WRITABLE, LEVEL_2M);
	map(va + LARGE, other, WRITABLE, LEVEL_2M);
	map(elsewhere, (reg_t)first_page, WRITABLE, LEVEL_4K);
	first_page[0] = *(u8 *)(reg_t)(other + 64) = p[128] = RET;
	put_jump(p, 2 * 4096);
	put_return(p + 2 * 4096, 1);
	put_return(copy, 2);
	barrier();
	run(elsewhere, HOT);
	check("before it is split", run(va, HOT), 1);
	/* Caches of all kinds lose what they know of va, and find it again as a small page. */
	invlpg((void *)(reg_t)elsewhere);
	run(va + LARGE + 64, 1);
	*pte_of(va, LEVEL_2M) = (reg_t)table | WRITABLE;
	barrier();
	run(va + 128, 1);
	run(elsewhere, 100);
	invlpg((void *)(reg_t)elsewhere);
	run(va, 3);
	table[2] = (reg_t)copy | WRITABLE;
	invlpg((void *)(reg_t)(va + 2 * 4096));
	check("what one of its pages has become", run(va, 1), 2);
}

/*
 * An instruction across two pages, the second of which becomes another one without INVLPG: both are
 * right, but the CPU must come to an end.
 */
static void straddle(void)
{
	u64 va = TEST_VA + (9ull << 30), phys = 24ull << 20, other = 28ull << 20;
	u64 at = va + 4096 - 6, *table = small_pages(phys);
	u8 *p = (u8 *)(reg_t)phys, *copy = page_alloc();
	u32 r;

	map(va, phys, WRITABLE, LEVEL_2M);
	map(va + LARGE, other, WRITABLE, LEVEL_2M);
	*(u8 *)(reg_t)(other + 4096 + 64) = RET;
	memset(p + 4096 - 6, NOP, 4);
	put_return(p + 4096 - 2, 0x44332211);
	barrier();
	check("across two pages", run(at, HOT), 0x44332211);
	memcpy(copy, p + 4096, 4096);
	table[1] = (reg_t)copy | WRITABLE;
	run(va + LARGE + 4096 + 64, 1);
	*pte_of(va, LEVEL_2M) = (reg_t)table | WRITABLE;
	barrier();
	p[4096 + 2] = 0x55; /* the last byte of the number */
	barrier();
	r = run(at, 1);
	check_true("one or the other", r == 0x44332211 || r == 0x55332211);
	invlpg((void *)(reg_t)(va + 4096));
	check("what is there now", run(at, 100), 0x44332211);
}

/* As far as a branch reaches. */
static void far_away(void)
{
	u64 va = TEST_VA + (11ull << 30), target = va + 0x7fffffff;

	map(va, (reg_t)first_page, WRITABLE, LEVEL_4K);
	map(target & ~0xfffull, (reg_t)second_page, WRITABLE, LEVEL_4K);
	map((target & ~0xfffull) + 4096, (reg_t)third_page, WRITABLE, LEVEL_4K);
	put_jump(first_page, 0x7fffffff);
	second_page[4095] = NOP;
	put_return(third_page, 7);
	barrier();
	check("as far as a branch reaches", run(va, HOT), 7);
}

int main(void)
{
	if (cpu_has(1, 0, ECX, 17)) {
		write_cr4(read_cr4() | CR4_PCIDE);
		other_next_page();
		other_neighbours();
	} else {
		skip("address spaces", "no PCID");
	}
	split();
	straddle();
	far_away();
	return 0;
}
