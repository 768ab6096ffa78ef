/* SPDX-License-Identifier: MIT */
/*
 * paging32.c - 32-bit and PAE paging: rights by both levels, big pages, PSE-36, reserved bits,
 * NX, when the PDPTEs are loaded, and paging switched off and on.
 *
 * Source: SDM volume 3A, "Paging".
 *
 * bits: 32
 * qemu 4m-reserved: TCG reports reserved bits with P clear
 * qemu pae-reserved: as before
 * qemu pae-bit-62: as before
 * qemu pae-nx-reserved: as before
 * qemu pae-2m-reserved: as before
 * qemu pdpte-kept: TCG reads PDPTEs from memory at each walk
 * qemu pdpte-reserved-cr3: TCG does not check them when CR3 is loaded
 */
#include "guest.h"

enum { VA = 0x40000000, FLAGS = PTE_P | PTE_W | PTE_U };

static u32 dir32[1024] __attribute__((aligned(4096)));
static u32 table32[1024] __attribute__((aligned(4096)));
static u64 pdpt[4] __attribute__((aligned(32)));
static u64 pdpt2[4] __attribute__((aligned(32)));
static u64 dirs[4][512] __attribute__((aligned(4096)));
static u64 table64[512] __attribute__((aligned(4096)));
static u32 page_a[1024] __attribute__((aligned(4096)));
static u32 page_b[1024] __attribute__((aligned(4096)));

CODE(rd, "mov (%esi), %eax\n" DONE_INSN)
CODE(wr, "mov %eax, (%esi)\n" DONE_INSN)
CODE(ex, "jmp *%esi\n")

enum { R, W, X };

/* vector << 16 | error */
static u32 try_access(unsigned acc, bool user, u32 va)
{
	static const u8 *const code[] = {rd, wr, ex};
	struct ctx c = user ? ctx_user(code[acc]) : ctx_kernel(code[acc]);

	c.si = va;
	c.ax = 0x40cd; /* "int $0x40" stays that */
	ctx_run(&c);
	if (c.vector == PF && c.cr2 != va)
		return ~0u;
	return (u32)(c.vector << 16 | c.error);
}

#define FINE ((u32)DONE_VECTOR << 16)
#define FAULT(e) ((u32)PF << 16 | (e))

/* What rights of directory and table give, and write protection. */
static u32 model(u32 pde, u32 pte, bool wp, unsigned acc, bool user)
{
	u32 both = pde & pte;
	u32 err = (acc == W ? PF_W : 0) | (user ? PF_U : 0);

	if (!(both & PTE_P))
		return FAULT(err);
	if (user && !(both & PTE_U))
		return FAULT(err | PF_P);
	if (acc == W && !(both & PTE_W) && (user || wp))
		return FAULT(err | PF_P);
	return FINE;
}

static bool all_rights32(bool wp)
{
	for (u32 n = 0; n < 64; n++) {
		u32 pde = n & 7, pte = n >> 3;

		for (unsigned k = 0; k < 4; k++) {
			unsigned acc = k & 1 ? W : R;
			u32 got;

			dir32[VA >> 22] = (u32)table32 | pde;
			table32[0] = (u32)page_a | pte;
			write_cr3(read_cr3());
			got = try_access(acc, k & 2, VA);
			if (got == model(pde, pte, wp, acc, k & 2))
				continue;
			print("  pde %x pte %x access %u user %u: got %x\n", pde, pte, acc, k >> 1,
			      got);
			return false;
		}
	}
	return true;
}

static void start32(void)
{
	for (u32 i = 0; i < 1024; i++)
		dir32[i] = i << 22 | FLAGS | PTE_PS;
	write_cr4(read_cr4() | CR4_PSE);
	write_cr3((u32)dir32);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static void paging32(void)
{
	start32();
	check("paging-on", read_cr0() & CR0_PG, CR0_PG);
	check_true("rights-wp", all_rights32(true));
	write_cr0(read_cr0() & ~CR0_WP);
	check_true("rights-no-wp", all_rights32(false));
	write_cr0(read_cr0() | CR0_WP);
	dir32[VA >> 22] = (u32)table32 | FLAGS;
	table32[0] = (u32)page_a | FLAGS;
	write_cr3(read_cr3());
	page_a[0] = 0x40cd;
	check("fetch", try_access(X, false, VA), FINE);
	table32[0] = 0;
	write_cr3(read_cr3());
	check("fetch-no-smep-nx", try_access(X, false, VA), FAULT(0));
	table32[0] = (u32)page_a | FLAGS;
	dir32[VA >> 22] = (u32)table32 | FLAGS;
	write_cr3(read_cr3());
	(void)try_access(R, false, VA);
	check("a-bits", (dir32[VA >> 22] & PTE_A) + (table32[0] & (PTE_A | PTE_D)), 2 * PTE_A);
	(void)try_access(W, false, VA);
	check("d-bit", table32[0] & PTE_D, PTE_D);
	/* 4 MiB pages: address bits 32 to 39 sit in 13 to 20, 21 is reserved. */
	dir32[VA >> 22] = ((u32)page_a & 0xffc00000) | FLAGS | PTE_PS;
	write_cr3(read_cr3());
	check("4m", try_access(X, false, VA + ((u32)page_a & 0x3fffff)), FINE);
	check("4m-a", dir32[VA >> 22] & (PTE_A | PTE_D), PTE_A);
	dir32[VA >> 22] |= 1 << 21;
	write_cr3(read_cr3());
	check("4m-reserved", try_access(R, false, VA), FAULT(PF_P | PF_RSVD));
	/* Without PSE the same entry names a table. */
	dir32[VA >> 22] = (u32)table32 | FLAGS | PTE_PS;
	for (u32 i = 0; i < 1024; i++)
		table32[i] = i << 12 | FLAGS;
	dir32[0] = (u32)table32 | FLAGS; /* where the code is: the first 4 MiB, by pages */
	write_cr4(read_cr4() & ~CR4_PSE);
	check("no-pse", try_access(R, false, VA + 0x1000), FINE);
	write_cr4(read_cr4() | CR4_PSE);
	write_cr0(read_cr0() & ~CR0_PG);
	check("paging-off", try_access(R, false, VA + 0x3fffffff), FINE);
}

static void start_pae(void)
{
	for (u32 i = 0; i < 2048; i++)
		dirs[i / 512][i % 512] = (u64)i << 21 | FLAGS | PTE_PS;
	for (u32 i = 0; i < 4; i++)
		pdpt[i] = pdpt2[i] = (u32)dirs[i] | PTE_P;
	write_cr4(read_cr4() | CR4_PAE);
	write_cr3((u32)pdpt);
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
	write_cr0(read_cr0() | CR0_PG | CR0_WP);
}

static void set64(u64 pde, u64 pte)
{
	dirs[1][0] = pde;
	table64[0] = pte;
	write_cr3(read_cr3());
}

static void pae(void)
{
	u64 good = (u32)table64 | FLAGS, page = (u32)page_a;

	start_pae();
	set64(good, page | FLAGS);
	check("pae", try_access(X, true, VA), FINE);
	check("pae-write", try_access(W, true, VA), FINE);
	check("pae-d", table64[0] & PTE_D, PTE_D);
	set64(good, page | FLAGS | PTE_NX);
	check("pae-nx", try_access(X, true, VA), FAULT(PF_P | PF_U | PF_I));
	check("pae-nx-reads", try_access(R, true, VA), FINE);
	set64(good | PTE_NX, page | FLAGS);
	check("pae-nx-in-pde", try_access(X, false, VA), FAULT(PF_P | PF_I));
	set64(good, page | FLAGS | 1ull << 51);
	check("pae-reserved", try_access(R, false, VA), FAULT(PF_P | PF_RSVD));
	set64(good, page | FLAGS | 1ull << 62);
	check("pae-bit-62", try_access(R, false, VA), FAULT(PF_P | PF_RSVD));
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x800ull);
	set64(good, page | FLAGS | PTE_NX);
	check("pae-nx-reserved", try_access(R, false, VA), FAULT(PF_P | PF_RSVD));
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x800);
	set64(((u32)page_a & ~0x1fffffull) | FLAGS | PTE_PS, 0);
	check("pae-2m", try_access(X, false, VA + ((u32)page_a & 0x1fffff)), FINE);
	set64(((u32)page_a & ~0x1fffffull) | FLAGS | PTE_PS | 1 << 13, 0);
	check("pae-2m-reserved", try_access(R, false, VA), FAULT(PF_P | PF_RSVD));
}

/* PDPTEs are registers: loaded with CR3, with CR0 and with CR4, checked then and only then. */
static void pdptes(void)
{
	set64((u32)table64 | FLAGS, (u32)page_a | FLAGS);
	pdpt[1] = 0;
	invlpg((void *)VA);
	check("pdpte-kept", try_access(R, false, VA), FINE);
	write_cr3(read_cr3());
	check("pdpte-loaded", try_access(R, false, VA), FAULT(0));
	pdpt[1] = (u32)dirs[1] | PTE_P | PTE_W;
	check("pdpte-reserved-cr3", TRY("mov %0, %%cr3", : "r"(read_cr3())), GP);
	pdpt[1] = (u32)dirs[1] | PTE_P;
	write_cr3((u32)pdpt2);
	check("pdpte-by-cr3", try_access(R, false, VA), FINE);
	pdpt2[1] = 0;
	write_cr4(read_cr4() | CR4_PGE);
	check("pdpte-by-cr4", try_access(R, false, VA), FAULT(0));
	pdpt2[1] = (u32)dirs[1] | PTE_P;
	write_cr4(read_cr4() & ~CR4_PGE);
	check("pdpte-again", try_access(R, false, VA), FINE);
	write_cr0(read_cr0() & ~CR0_PG);
}

static void controls(void)
{
	if (is_tcg()) {
		skip("controls", "TCG does not check CR0, and is lost");
		return;
	}
	check("pg-without-pe", TRY("mov %0, %%cr0", : "r"((read_cr0() & ~CR0_PE) | CR0_PG)), GP);
	check("nw-without-cd", TRY("mov %0, %%cr0", : "r"(read_cr0() | 1 << 29)), GP);
	check("cr4-reserved", TRY("mov %0, %%cr4", : "r"(read_cr4() | 1 << 30)), GP);
	write_cr4(read_cr4() & ~CR4_PAE);
	wrmsr(0xc0000080, rdmsr(0xc0000080) | 0x100);
	check("lme-pg-without-pae", TRY("mov %0, %%cr0", : "r"(read_cr0() | CR0_PG)), GP);
	wrmsr(0xc0000080, rdmsr(0xc0000080) & ~0x100ull);
}

int main(void)
{
	page_a[0] = page_b[0] = 0x40cd;
	paging32();
	pae();
	pdptes();
	controls();
	return 0;
}
