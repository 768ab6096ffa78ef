/* SPDX-License-Identifier: MIT */
/*
 * paging_test.c - page walks: formats, rights, reserved bits, accessed and dirty bits.
 */
#include "isa/x86/system_bed.h"

static struct bed *b;

#define NX (1ull << 63)

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };

static u32 walk(u64 lin, enum mem_access acc, bool user, bool ac, struct page_walk *w)
{
	struct page_walk mine;

	w = w ? w : &mine;
	return x86_walk(b->cpu, lin, acc, user, ac, WALK_COMMIT, w) ? w->error | 0x80000000 : 0;
}

/* 0: allowed; else the error code. */
static u32 access(enum mem_access acc, bool user)
{
	return walk(0x123, acc, user, false, NULL) & 0x7fffffff;
}

/* One 4 KiB page at 0 with these rights at each level. */
static void map_page(u64 pml4, u64 pdpt, u64 pd, u64 pt)
{
	bed_st(b, BED_PML4, BED_PDPT | pml4, 8);
	bed_st(b, BED_PDPT, BED_PD | pdpt, 8);
	bed_st(b, BED_PD, BED_PT | pd, 8);
	bed_st(b, BED_PT, 0x77000 | pt, 8);
}

static void test_sizes(void)
{
	struct page_walk w;

	bed_long(b);
	map_page(7, 7, 7, 7 | G);
	CHECK_EQ(walk(0x123, MEM_READ, true, false, &w), 0);
	CHECK_EQ(w.gpa, 0x77123);
	CHECK_EQ(w.page_bits, 12);
	CHECK_EQ(w.nr_steps, 4);
	CHECK_EQ(w.global, 1);
	CHECK_EQ(w.dirty, 0);
	CHECK_EQ(bed_ld(b, BED_PT, 8), 0x77000 | 7 | G | A);
	CHECK_EQ(bed_ld(b, BED_PML4, 8), BED_PDPT | 7 | A);
	CHECK_EQ(walk(0x123, MEM_WRITE, true, false, &w), 0);
	CHECK_EQ(bed_ld(b, BED_PT, 8), 0x77000 | 7 | G | A | D);
	CHECK_EQ(bed_ld(b, BED_PD, 8), BED_PT | 7 | A);

	bed_st(b, BED_PD + 8, 0x600000 | 7 | PS | 1 << 12, 8); /* PAT is no address */
	CHECK_EQ(walk(0x200000 + 0x12345, MEM_READ, false, false, &w), 0);
	CHECK_EQ(w.gpa, 0x612345);
	CHECK_EQ(w.page_bits, 21);

	bed_st(b, BED_PDPT + 8, (3ull << 30) | 7 | PS, 8);
	CHECK_EQ(walk(0x40000000 + 0x1234567, MEM_READ, false, false, &w), 0);
	CHECK_EQ(w.gpa, (3ull << 30) + 0x1234567);
	CHECK_EQ(w.page_bits, 30);
}

static void test_rights(void)
{
	bed_long(b);
	map_page(P | W | U, P | W | U, P | W | U, P);
	CHECK_EQ(access(MEM_READ, false), 0);
	CHECK_EQ(access(MEM_READ, true), PF_P | PF_U);
	CHECK_EQ(access(MEM_WRITE, false), PF_P | PF_W);
	b->cpu->st.cr0 &= ~(u64)CR0_WP;
	CHECK_EQ(access(MEM_WRITE, false), 0);
	CHECK_EQ(access(MEM_WRITE, true), PF_P | PF_W | PF_U);

	/* A right is the weakest of all levels. */
	map_page(P | U, 7, 7, 7);
	CHECK_EQ(access(MEM_WRITE, true), PF_P | PF_W | PF_U);
	map_page(7, P | W, 7, 7);
	CHECK_EQ(access(MEM_READ, true), PF_P | PF_U);
	map_page(7, 7, 7 | NX, 7);
	CHECK_EQ(access(MEM_READ, true), 0);
	CHECK_EQ(access(MEM_EXEC, true), PF_P | PF_U | PF_I);
	CHECK_EQ(access(MEM_EXEC, false), PF_P | PF_I);

	map_page(7, 7, 6, 7);
	CHECK_EQ(access(MEM_EXEC, true), PF_U | PF_I);
	CHECK_EQ(access(MEM_WRITE, false), PF_W);
	CHECK_EQ(bed_ld(b, BED_PML4, 8), BED_PDPT | 7); /* no A of a walk that failed */
}

static void test_smep_smap(void)
{
	bed_long(b);
	map_page(7, 7, 7, 7);
	b->cpu->st.cr4 |= CR4_SMEP | CR4_SMAP;
	CHECK_EQ(access(MEM_EXEC, false), PF_P | PF_I);
	CHECK_EQ(access(MEM_EXEC, true), 0);
	CHECK_EQ(access(MEM_READ, false), PF_P);
	CHECK_EQ(access(MEM_WRITE, false), PF_P | PF_W);
	CHECK_EQ(walk(0x123, MEM_WRITE, false, true, NULL), 0);
	b->cpu->st.efer &= ~(u64)EFER_NXE;
	b->cpu->st.cr4 &= ~(u64)CR4_SMEP;
	map_page(7, 7, 7, 6);
	CHECK_EQ(access(MEM_EXEC, true), PF_U); /* no I without NX or SMEP */
}

static void test_reserved(void)
{
	u32 want = PF_P | PF_RSVD;

	bed_long(b);
	map_page(7 | PS, 7, 7, 7);
	CHECK_EQ(access(MEM_READ, false), want);
	map_page(7, 7, 7 | 1ull << 45, 7);
	CHECK_EQ(access(MEM_READ, false), want);
	map_page(7, 7, 7, 7 | 1ull << 52);
	CHECK_EQ(access(MEM_READ, false), 0);
	map_page(7, 7, 7 | PS, 7);
	bed_st(b, BED_PD, 0x2000 | 7 | PS, 8);
	CHECK_EQ(access(MEM_WRITE, true), want | PF_W | PF_U);
	bed_st(b, BED_PDPT, 0x200000 | 7 | PS, 8);
	CHECK_EQ(access(MEM_READ, false), want);
	map_page(7, 7, 7, 7 | NX);
	b->cpu->st.efer &= ~(u64)EFER_NXE;
	CHECK_EQ(access(MEM_READ, false), want);
}

static void test_32bit(void)
{
	struct page_walk w;

	bed_protected(b);
	b->cpu->st.cr0 |= CR0_PG | CR0_WP;
	b->cpu->st.cr3 = BED_PD;
	b->cpu->st.cr4 = CR4_PSE;
	memset(b->ram + BED_PD, 0, 0x2000);
	bed_st(b, BED_PD + 4 * 0x301, BED_PT | 7, 4);
	bed_st(b, BED_PT + 4 * 0x56, 0x99000 | 3, 4);
	CHECK_EQ(walk(0xc0456789, MEM_WRITE, false, false, &w), 0);
	CHECK_EQ(w.gpa, 0x99789);
	CHECK_EQ(bed_ld(b, BED_PT + 4 * 0x56, 4), 0x99000 | 3 | A | D);
	CHECK_EQ(walk(0xc0456789, MEM_READ, true, false, NULL), 0x80000000 | PF_P | PF_U);
	/* PSE-36: bits 13 to 20 are address bits 32 to 39. */
	bed_st(b, BED_PD + 4 * 2, 0x00400000 | 7 | PS | 0x5a << 13, 4);
	CHECK_EQ(walk(0x00876543, MEM_READ, false, false, &w), 0);
	CHECK_EQ(w.gpa, 0x5a00476543);
	CHECK_EQ(w.page_bits, 22);
	bed_st(b, BED_PD + 4 * 2, 0x00400000 | 7 | PS | 1 << 21, 4);
	CHECK_EQ(walk(0x00876543, MEM_READ, false, false, &w), 0x80000000 | PF_P | PF_RSVD);
}

static void test_pae(void)
{
	struct page_walk w;

	bed_protected(b);
	memset(b->ram + BED_PDPT, 0, 0x3000);
	bed_st(b, BED_PDPT + 24, BED_PD | 1, 8);
	bed_st(b, BED_PD + 8, 0x1200000000 | 7 | PS, 8);
	b->cpu->st.cr0 |= CR0_PG;
	b->cpu->st.cr4 = CR4_PAE;
	CHECK_EQ(x86_load_pdptes(b->cpu, BED_PDPT), 1);
	CHECK_EQ(walk(0xc0234567, MEM_READ, true, false, &w), 0);
	CHECK_EQ(w.gpa, 0x1200034567);
	CHECK_EQ(walk(0x80000000, MEM_READ, true, false, &w), 0x80000000 | PF_U);
	/* What the registers hold counts, not the memory. */
	bed_st(b, BED_PDPT + 24, 0, 8);
	CHECK_EQ(walk(0xc0234567, MEM_READ, true, false, &w), 0);
	bed_st(b, BED_PDPT, BED_PD | 3, 8);
	CHECK_EQ(x86_load_pdptes(b->cpu, BED_PDPT), 0);
}

static void test_debugger(void)
{
	u64 left;
	gpa_t pa;

	bed_long(b);
	map_page(7, 7, 7, 7);
	CHECK_EQ(x86_isa.translate(&b->cpu->v, 0x123, &pa, &left), 0);
	CHECK_EQ(pa, 0x77123);
	CHECK_EQ(left, 0x1000 - 0x123);
	CHECK_EQ(bed_ld(b, BED_PT, 8), 0x77007);
	CHECK_EQ(x86_isa.translate(&b->cpu->v, 0x1000, &pa, &left) != 0, 1);
	CHECK_EQ(x86_isa.translate(&b->cpu->v, 1ull << 47, &pa, &left) != 0, 1);
}

int main(void)
{
	b = bed_new("x86-64-v2");
	test_sizes();
	test_rights();
	test_smep_smap();
	test_reserved();
	test_32bit();
	test_pae();
	test_debugger();
	bed_free(b);
	return bed_failures != 0;
}
