/* SPDX-License-Identifier: MIT */
/*
 * system_bed.c - see system_bed.h.
 */
#include "isa/x86/system_bed.h"

#include <stdlib.h>
#include <sys/mman.h>

unsigned bed_failures;

void bed_check_eq(const char *file, int line, const char *what, u64 got, u64 want)
{
	if (got == want)
		return;
	fprintf(stderr, "%s:%d: %s is %#llx, not %#llx\n", file, line, what,
		(unsigned long long)got, (unsigned long long)want);
	bed_failures++;
}

static void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

struct bed *bed_new(const char *model)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct err e = {0};
	struct vcpu *v;

	if (!b)
		die("out of memory");
	b->ram = mmap(NULL, BED_RAM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b->ram == MAP_FAILED)
		die("out of memory");
	b->cfg = (struct machine_cfg){.nr_cpus = 1, .cpu = model};
	b->m.cfg = &b->cfg;
	b->m.isa = &x86_isa;
	b->m.ram = b->ram;
	b->region =
		(struct region){.name = "ram", .size = BED_RAM, .kind = REGION_RAM, .host = b->ram};
	b->m.ram_size = BED_RAM;
	b->m.mem = as_new("mem", 1ull << 40);
	b->m.pio = as_new("pio", 1 << 16);
	b->m.engine = engines[0];
	if (as_map(b->m.mem, &b->region) || clock_init(&b->m, &e) ||
	    x86_isa.features(&b->m, model, &e))
		die(e.msg);
	v = x86_isa.vcpu_new(&b->m, 0, &e);
	if (!v)
		die(e.msg);
	b->cpu = x86_cpu(v);
	v->ops = engines[0];
	if (v->ops->init(&b->m, &e) || v->ops->vcpu_init(v, &e))
		die(e.msg);
	return b;
}

void bed_free(struct bed *b)
{
	b->m.engine->vcpu_destroy(&b->cpu->v);
	x86_isa.vcpu_free(&b->cpu->v);
	b->m.engine->destroy(&b->m);
	clock_destroy(&b->m);
	as_free(b->m.mem);
	as_free(b->m.pio);
	munmap(b->ram, BED_RAM);
	free(b->m.features);
	free(b);
}

void bed_st(struct bed *b, u64 at, u64 val, unsigned size)
{
	u8 img[8];

	if (!range_fits(at, size, BED_RAM))
		die("bed_st: outside RAM");
	st_le64(img, val);
	memcpy(b->ram + at, img, size);
}

u64 bed_ld(struct bed *b, u64 at, unsigned size)
{
	u8 img[8] = {0};

	if (!range_fits(at, size, BED_RAM))
		die("bed_ld: outside RAM");
	memcpy(img, b->ram + at, size);
	return ld_le64(img);
}

void bed_code(struct bed *b, u64 at, const char *bytes, unsigned len)
{
	memcpy(b->ram + at, bytes, len);
}

void bed_desc(struct bed *b, u16 sel, u32 base, u32 limit, u16 attr)
{
	u64 d = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)(attr & 0xff) << 40 |
		(u64)(limit >> 16 & 15) << 48 | (u64)(attr >> 12) << 52 | (u64)(base >> 24) << 56;

	bed_st(b, BED_GDT + (sel & ~7u), d, 8);
}

void bed_gate(struct bed *b, unsigned vector, u16 sel, u64 off, unsigned type, unsigned dpl,
	      unsigned ist)
{
	bool wide = b->cpu->st.efer & EFER_LMA;
	u64 d = (off & 0xffff) | (u64)sel << 16 | (u64)ist << 32 | (u64)type << 40 |
		(u64)dpl << 45 | 1ull << 47 | (off >> 16 & 0xffff) << 48;

	bed_st(b, BED_IDT + vector * (wide ? 16 : 8), d, 8);
	if (wide)
		bed_st(b, BED_IDT + vector * 16 + 8, off >> 32, 8);
}

void bed_set_seg(struct bed *b, enum seg_reg reg, u16 sel)
{
	struct desc d = {.raw = bed_ld(b, BED_GDT + (sel & ~7u), 8) | 1ull << 40};

	b->cpu->st.seg[reg] = x86_desc_seg(&d, sel);
}

enum {
	ATTR_CODE = SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_G,
	ATTR_DATA = SEG_P | SEG_S | SEG_RW | SEG_G | SEG_DB,
};

/* A new engine, which knows nothing of the code that was there. */
static void forget_code(struct bed *b)
{
	struct err e = {0};

	b->m.engine->vcpu_destroy(&b->cpu->v);
	b->m.engine->destroy(&b->m);
	if (b->m.engine->init(&b->m, &e) || b->m.engine->vcpu_init(&b->cpu->v, &e))
		die(e.msg);
}

static void tables(struct bed *b)
{
	struct cpu_state *st = &b->cpu->st;

	forget_code(b);
	memset(b->ram, 0, BED_DATA + 0x10000);
	for (unsigned v = 0; v < 256; v++)
		bed_st(b, BED_HANDLERS + 16 * v, 0xf4, 1);
	bed_desc(b, SEL_CODE64, 0, 0xfffff, ATTR_CODE | SEG_L);
	bed_desc(b, SEL_DATA, 0, 0xfffff, ATTR_DATA);
	bed_desc(b, SEL_CODE32_3, 0, 0xfffff, ATTR_CODE | SEG_DB | SEG_DPL);
	bed_desc(b, SEL_DATA3, 0, 0xfffff, ATTR_DATA | SEG_DPL);
	bed_desc(b, SEL_CODE64_3, 0, 0xfffff, ATTR_CODE | SEG_L | SEG_DPL);
	bed_desc(b, SEL_CODE32, 0, 0xfffff, ATTR_CODE | SEG_DB);
	bed_desc(b, SEL_CONFORMING, 0, 0xfffff, ATTR_CODE | SEG_DB | SEG_EC);
	bed_desc(b, SEL_CODE16, 0, 0xffff, SEG_P | SEG_S | SEG_CODE | SEG_RW);
	bed_desc(b, SEL_DATA16, 0, 0xffff, SEG_P | SEG_S | SEG_RW);
	bed_desc(b, SEL_TSS, BED_TSS, 0x67, SEG_P | DESC_TSS32_BUSY);
	x86_isa.reset(&b->cpu->v, RESET_POWER_ON);
	st->gdtr = (struct desc_table){BED_GDT, 0x7f};
	st->tr = (struct seg){
		.base = BED_TSS, .limit = 0x67, .sel = SEL_TSS, .attr = SEG_P | DESC_TSS32_BUSY};
	st->gpr[RSP] = BED_STACK0;
	st->cr0 = CR0_PE | CR0_ET | CR0_NE;
}

static void data_segs(struct bed *b, u16 sel)
{
	bed_set_seg(b, SEG_ES, sel);
	bed_set_seg(b, SEG_SS, sel);
	bed_set_seg(b, SEG_DS, sel);
	bed_set_seg(b, SEG_FS, sel);
	bed_set_seg(b, SEG_GS, sel);
}

void bed_long(struct bed *b)
{
	struct cpu_state *st = &b->cpu->st;

	tables(b);
	bed_st(b, BED_PML4, BED_PDPT | 7, 8);
	bed_st(b, BED_PDPT, BED_PD | 7, 8);
	for (unsigned i = 0; i < 8; i++)
		bed_st(b, BED_PD + 8 * i, (u64)i << 21 | 0x87, 8);
	bed_st(b, BED_TSS + 4, BED_STACK0, 8);
	bed_st(b, BED_TSS + 36, BED_IST1, 8);
	st->cr0 |= CR0_PG | CR0_WP;
	st->cr3 = BED_PML4;
	st->cr4 = CR4_PAE | CR4_PGE;
	st->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	st->idtr = (struct desc_table){BED_IDT, 0xfff};
	for (unsigned v = 0; v < 256; v++)
		bed_gate(b, v, SEL_CODE64, BED_HANDLERS + 16 * v, DESC_INT32, v >= 0x80 ? 3 : 0, 0);
	bed_set_seg(b, SEG_CS, SEL_CODE64);
	data_segs(b, SEL_DATA);
	x86_state_changed(b->cpu);
}

void bed_protected(struct bed *b)
{
	struct cpu_state *st = &b->cpu->st;

	tables(b);
	bed_st(b, BED_TSS + 4, BED_STACK0, 4);
	bed_st(b, BED_TSS + 8, SEL_DATA, 4);
	bed_st(b, BED_TSS + 102, 0x68, 2);
	st->idtr = (struct desc_table){BED_IDT, 0x7ff};
	for (unsigned v = 0; v < 256; v++)
		bed_gate(b, v, SEL_CODE32, BED_HANDLERS + 16 * v, DESC_INT32, v >= 0x80 ? 3 : 0, 0);
	bed_set_seg(b, SEG_CS, SEL_CODE32);
	data_segs(b, SEL_DATA);
	x86_state_changed(b->cpu);
}

void bed_real(struct bed *b)
{
	struct cpu_state *st = &b->cpu->st;

	tables(b);
	x86_isa.reset(&b->cpu->v, RESET_POWER_ON);
	st->idtr = (struct desc_table){0, 0x3ff};
	for (unsigned v = 0; v < 256; v++)
		bed_st(b, 4 * v, BED_HANDLERS + 16 * v, 4);
	st->seg[SEG_CS].sel = BED_CODE >> 4;
	st->seg[SEG_CS].base = BED_CODE;
	st->gpr[RSP] = 0x7000;
	x86_state_changed(b->cpu);
}

void bed_ring3(struct bed *b)
{
	bed_set_seg(b, SEG_CS, b->cpu->long_mode ? SEL_CODE64_3 : SEL_CODE32_3);
	data_segs(b, SEL_DATA3);
	b->cpu->st.gpr[RSP] = BED_STACK3;
	x86_state_changed(b->cpu);
}

enum vcpu_exit bed_run(struct bed *b, u64 rip, u64 n)
{
	struct vcpu *v = &b->cpu->v;

	b->cpu->st.rip = rip;
	b->cpu->st.activity = CPU_RUNNING;
	v->ops->state_changed(v);
	return v->ops->run(v, n);
}

int bed_vector(const struct bed *b)
{
	u64 off = b->cpu->st.rip - 1 - BED_HANDLERS;

	return b->cpu->st.activity == CPU_HALTED && off < 16 * 256 && off % 16 == 0 ? (int)off / 16
										    : -1;
}
