/* SPDX-License-Identifier: MIT */
/*
 * entry.c - the CPU at a kernel's front door.
 *
 * Two doors: 64-bit with the first 4 GiB identity-mapped by 2 MiB pages, and flat 32-bit
 * protected mode without paging.  Both have the same flat segments, in a GDT that lies where
 * the state says: selectors 0x10 for code, 0x18 for data, 0x20 for the task register.
 */
#include "board/boot/boot.h"

#include "isa/x86/state.h"
#include "sundog/machine.h"

enum { SEL_CODE = 0x10, SEL_DATA = 0x18, SEL_TSS = 0x20, GDT_SIZE = 0x30 };
enum { PTE_P = 1, PTE_W = 2, PTE_PS = 0x80, PAGE = 0x1000, NR_PDS = 4 };

/* SDM volume 3A, "Memory Type Range Registers (MTRRs)". */
enum { MTRR_FIX_A0000 = 2, MTRR_DEF_WB = 0xc06 }; /* both kinds of ranges are on */
#define MTRR_FIX_WB 0x0606060606060606ull
#define MTRR_HOLE 0xc0000000ull	       /* uncacheable from here ... */
#define MTRR_HOLE_MASK 0xffc0000800ull /* ... for 1 GiB, with 40 bits of physical address */

struct cpu_state *boot_cpu(struct boot *b)
{
	return b->m->vcpus[0]->state;
}

/* A descriptor as memory has it: SDM volume 3A, "Segment Descriptors". */
static u64 descriptor(const struct seg *s)
{
	u32 limit = s->attr & SEG_G ? s->limit >> 12 : s->limit;
	u64 d = (limit & 0xffff) | (u64)(limit >> 16 & 0xf) << 48;

	d |= (s->base & 0xffffff) << 16 | (s->base >> 24 & 0xff) << 56;
	return d | (u64)(s->attr & 0xff) << 40 | (u64)(s->attr >> 12) << 52;
}

static int set_segments(struct boot *b, u16 code_bits)
{
	struct cpu_state *st = boot_cpu(b);
	const struct seg data = {
		.limit = 0xffffffff,
		.sel = SEL_DATA,
		.attr = SEG_A | SEG_RW | SEG_S | SEG_P | SEG_DB | SEG_G,
	};
	u8 gdt[GDT_SIZE] = {0};

	for (unsigned i = 0; i < NR_SEGS; i++)
		st->seg[i] = data;
	st->seg[SEG_CS] = (struct seg){
		.limit = 0xffffffff,
		.sel = SEL_CODE,
		.attr = SEG_A | SEG_RW | SEG_CODE | SEG_S | SEG_P | SEG_G | code_bits,
	};
	st->tr = (struct seg){.limit = 0x67, .sel = SEL_TSS, .attr = SEG_P | 0xb};
	st->ldtr = (struct seg){0};
	st_le64(gdt + SEL_CODE, descriptor(&st->seg[SEG_CS]));
	st_le64(gdt + SEL_DATA, descriptor(&data));
	st_le64(gdt + SEL_TSS, descriptor(&st->tr));
	st->gdtr = (struct desc_table){.base = BOOT_GDT, .limit = GDT_SIZE - 1};
	st->idtr = (struct desc_table){0};
	return boot_put(b, BOOT_GDT, gdt, sizeof(gdt));
}

/* Memory types as firmware leaves them at every CPU: write-back, but for VGA and PCI's hole. */
static void set_mtrrs(struct boot *b)
{
	for (unsigned i = 0; i < b->m->nr_vcpus; i++) {
		struct cpu_state *st = b->m->vcpus[i]->state;

		for (unsigned j = 0; j < ARRAY_SIZE(st->mtrr_fixed); j++)
			st->mtrr_fixed[j] = j == MTRR_FIX_A0000 ? 0 : MTRR_FIX_WB;
		st->mtrr_phys[0] = MTRR_HOLE;
		st->mtrr_phys[1] = MTRR_HOLE_MASK;
		st->mtrr_def_type = MTRR_DEF_WB;
	}
}

static void set_entry(struct boot *b, u64 entry)
{
	struct cpu_state *st = boot_cpu(b);

	set_mtrrs(b);
	for (unsigned i = 0; i < NR_GPRS; i++)
		st->gpr[i] = 0;
	st->rip = entry;
	st->rflags = FL_FIXED;
	st->activity = CPU_RUNNING;
}

static int identity_map(struct boot *b)
{
	u8 page[PAGE] = {0};
	int rc;

	st_le64(page, (BOOT_PAGE_TABLES + PAGE) | PTE_P | PTE_W);
	rc = boot_put(b, BOOT_PAGE_TABLES, page, PAGE);
	for (unsigned i = 0; i < NR_PDS; i++)
		st_le64(page + 8 * i, (BOOT_PAGE_TABLES + (2 + i) * PAGE) | PTE_P | PTE_W);
	if (rc == 0)
		rc = boot_put(b, BOOT_PAGE_TABLES + PAGE, page, PAGE);
	for (unsigned pd = 0; rc == 0 && pd < NR_PDS; pd++) {
		for (unsigned i = 0; i < 512; i++)
			st_le64(page + 8 * i, (u64)(pd * 512 + i) << 21 | PTE_P | PTE_W | PTE_PS);
		rc = boot_put(b, BOOT_PAGE_TABLES + (2 + pd) * PAGE, page, PAGE);
	}
	return rc;
}

int boot_enter_long(struct boot *b, u64 entry)
{
	struct cpu_state *st = boot_cpu(b);
	int rc = identity_map(b);

	if (rc == 0)
		rc = set_segments(b, SEG_L);
	if (rc)
		return rc;
	set_entry(b, entry);
	st->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	st->cr3 = BOOT_PAGE_TABLES;
	st->cr4 = CR4_PAE;
	st->efer = EFER_LME | EFER_LMA;
	return 0;
}

int boot_enter_flat32(struct boot *b, u64 entry)
{
	struct cpu_state *st = boot_cpu(b);
	int rc = set_segments(b, SEG_DB);

	if (rc)
		return rc;
	set_entry(b, entry);
	st->cr0 = CR0_PE | CR0_ET;
	st->cr3 = 0;
	st->cr4 = 0;
	st->efer = 0;
	return 0;
}
