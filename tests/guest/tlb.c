/* SPDX-License-Identifier: MIT */
/*
 * tlb.c - what must be forgotten and what must not be seen: INVLPG, CR3, CR4, global pages,
 * PCID with and without NOFLUSH, INVPCID, big pages.
 *
 * A CPU may forget at any time, so only the changes that must show are checked; that an entry
 * is kept (global pages over CR3, NOFLUSH) is checked only as "either value, nothing else".
 *
 * Source: SDM volume 3A, "Caching Translation Information"; volume 2A, "INVPCID".
 */
#include "paging.h"

#define VA TEST_VA
enum { FLAGS = PTE_P | PTE_W };

static u64 page_a[512] __attribute__((aligned(4096)));
static u64 page_b[512] __attribute__((aligned(4096)));
enum { IN_A = 0xaaaa, IN_B = 0xbbbb };

static u64 look(void)
{
	return *(volatile u64 *)VA;
}

static void point(u64 *page, u64 flags)
{
	*pte_of(VA, LEVEL_4K) = (reg_t)page | flags;
	barrier();
}

static void start(u64 flags)
{
	point(page_a, flags);
	invlpg((void *)VA);
	(void)look();
	point(page_b, flags);
}

static int invpcid(u64 type, u64 pcid, u64 va)
{
	u64 desc[2] = {pcid, va};

	return TRY("invpcid %1, %0", : "r"(type), "m"(desc));
}

CODE(invpcid_user, "sub $16, %rsp; xor %eax, %eax; invpcid (%rsp), %rax\n" DONE_INSN)

static void plain(void)
{
	reg_t cr4 = read_cr4();

	start(FLAGS);
	invlpg((void *)VA);
	check("invlpg", look(), IN_B);
	start(FLAGS);
	invlpg((void *)(VA + 0xfff));
	check("invlpg-end-of-page", look(), IN_B);
	start(FLAGS);
	write_cr3(read_cr3());
	check("cr3-load", look(), IN_B);
	write_cr4(cr4 | CR4_PGE);
	start(FLAGS | PTE_G);
	invlpg((void *)VA);
	check("invlpg-global", look(), IN_B);
	start(FLAGS | PTE_G);
	write_cr3(read_cr3());
	check_true("cr3-load-global", look() == IN_A || look() == IN_B);
	write_cr4(cr4);
	check("pge-off", look(), IN_B);
	start(FLAGS);
	write_cr4(cr4 | CR4_PGE);
	check("pge-on", look(), IN_B);
	write_cr4(cr4);
	start(FLAGS);
	write_cr0(read_cr0() & ~CR0_WP);
	write_cr0(read_cr0() | CR0_WP);
	check_true("wp-toggle", look() == IN_A || look() == IN_B);
}

/* Not-present entries are never kept: no flush is needed to see a page appear. */
static void appear(void)
{
	point(page_a, 0);
	invlpg((void *)VA);
	check("absent-faults", TRY("cmp %%eax, (%0)", : "r"(VA), "a"(0)), PF);
	point(page_a, FLAGS);
	check("appears-at-once", look(), IN_A);
	/* More rights than those kept must show too, after one spurious fault at most. */
	point(page_a, PTE_P);
	invlpg((void *)VA);
	(void)look();
	check("read-only", TRY("movq $1, (%0)", : "r"(VA + 8)), PF);
	check("read-only-error", fixup_error, PF_P | PF_W);
	point(page_a, FLAGS);
	if (TRY("movq $1, (%0)", : "r"(VA + 8)) == PF)
		print("  one spurious fault\n");
	check("writable-after-fault", TRY("movq $1, (%0)", : "r"(VA + 8)), (u64)-1);
}

static void big_pages(void)
{
	static const u64 va = TEST_VA + (1ull << 40);
	u64 base = (reg_t)page_a & ~0x1fffffull, off = (reg_t)page_a - base;
	volatile u64 *p = (volatile u64 *)(va + off);
	u64 *table = page_alloc();

	map(va, base, FLAGS, LEVEL_2M);
	check("2m-page", *p, IN_A);
	/* INVLPG of any address in it forgets all of it. */
	*pte_of(va, LEVEL_2M) = 0;
	invlpg((void *)(va + 0x1ff000));
	check("2m-gone-everywhere", TRY("cmp %%eax, (%0)", : "r"(p), "a"(0)), PF);
	map(va, base, FLAGS, LEVEL_2M);
	(void)*p;
	for (unsigned i = 0; i < 512; i++)
		table[i] = (base + i * 4096ull) | FLAGS;
	table[off >> 12] = (reg_t)page_b | FLAGS;
	*pte_of(va, LEVEL_2M) = (reg_t)table | FLAGS;
	invlpg((void *)p);
	check("2m-split", *p, IN_B);
}

/* A page-table page changed from above: INVLPG forgets the paging-structure caches. */
static void structures(void)
{
	static const u64 va = TEST_VA + (2ull << 40);
	u64 *other = page_alloc(), old;

	map(va, (reg_t)page_a, FLAGS, LEVEL_4K);
	check("before-table-change", *(volatile u64 *)va, IN_A);
	old = *pte_of(va, 1);
	other[0] = (reg_t)page_b | FLAGS;
	*pte_of(va, 1) = (reg_t)other | FLAGS | PTE_U;
	invlpg((void *)va);
	check("table-changed", *(volatile u64 *)va, IN_B);
	*pte_of(va, 1) = old & ~(u64)PTE_P;
	invlpg((void *)va);
	check("table-gone", TRY("cmp %%eax, (%0)", : "r"(va), "a"(0)), PF);
}

static void pcid(void)
{
	reg_t cr3 = read_cr3(), cr4 = read_cr4();

	if (!cpu_has(1, 0, ECX, 17)) {
		skip("pcid", "no PCID");
		return;
	}
	check("pcide-with-low-cr3-bits", ({
		      write_cr3(cr3 | 8);
		      TRY("mov %0, %%cr4", : "r"(cr4 | CR4_PCIDE));
	      }),
	      GP);
	write_cr3(cr3);
	write_cr4(cr4 | CR4_PCIDE);
	check("cr3-keeps-pcid", ({
		      write_cr3(cr3 | 5);
		      read_cr3();
	      }),
	      cr3 | 5);
	start(FLAGS);
	write_cr3(cr3 | 5);
	check("pcid-flush-same", look(), IN_B);
	write_cr3(cr3 | 6);
	start(FLAGS);
	write_cr3(cr3 | 5 | 1ull << 63);
	check("noflush-bit-reads-zero", read_cr3(), cr3 | 5);
	write_cr3(cr3 | 6 | 1ull << 63);
	check_true("noflush-back", look() == IN_A || look() == IN_B);
	write_cr3(cr3 | 6);
	check("flush-back", look(), IN_B);
	/* INVLPG is for the current PCID (and globals); INVPCID 0 for any. */
	start(FLAGS);
	write_cr3(cr3 | 5 | 1ull << 63);
	check("invpcid-address", invpcid(0, 6, VA), (u64)-1);
	write_cr3(cr3 | 6 | 1ull << 63);
	check("invpcid-address-forgot", look(), IN_B);
	start(FLAGS);
	write_cr3(cr3 | 5 | 1ull << 63);
	invpcid(1, 6, 0);
	write_cr3(cr3 | 6 | 1ull << 63);
	check("invpcid-single-forgot", look(), IN_B);
	start(FLAGS);
	write_cr3(cr3 | 5 | 1ull << 63);
	invpcid(3, 0, 0);
	write_cr3(cr3 | 6 | 1ull << 63);
	check("invpcid-all-but-global-forgot", look(), IN_B);
	write_cr4(read_cr4() | CR4_PGE);
	start(FLAGS | PTE_G);
	invpcid(2, 0, 0);
	check("invpcid-all-forgot-global", look(), IN_B);
	start(FLAGS | PTE_G);
	invpcid(3, 0, 0);
	check_true("invpcid-3-global", look() == IN_A || look() == IN_B);
	invpcid(2, 0, 0);
	check("pg-off-with-pcide", TRY("mov %0, %%cr0", : "r"(read_cr0() & ~(reg_t)CR0_PG)), GP);
	write_cr3(cr3);
	start(FLAGS);
	write_cr4(cr4);
	check("pcide-off", look(), IN_B);
	check("bit-63-without-pcide", TRY("mov %0, %%cr3", : "r"(cr3 | 1ull << 63)), GP);
}

static void invpcid_faults(void)
{
	struct ctx c;

	if (!cpu_has(7, 0, EBX, 10)) {
		skip("invpcid", "no INVPCID");
		return;
	}
	check("invpcid-type-4", invpcid(4, 0, 0), GP);
	check("invpcid-reserved", invpcid(0, 1 << 12, 0), GP);
	check("invpcid-noncanonical", invpcid(0, 0, 1ull << 62), GP);
	check("invpcid-noncanonical-type-2", invpcid(2, 0, 1ull << 62), (u64)-1);
	check("invpcid-pcid-without-pcide", invpcid(1, 1, 0), GP);
	c = ctx_user(invpcid_user);
	ctx_run(&c);
	check("invpcid-user", c.vector, GP);
	check("cr3-reserved-bits", TRY("mov %0, %%cr3", : "r"(read_cr3() | 1ull << 52)), GP);
}

int main(void)
{
	page_a[0] = IN_A;
	page_b[0] = IN_B;
	plain();
	appear();
	big_pages();
	structures();
	pcid();
	invpcid_faults();
	return 0;
}
