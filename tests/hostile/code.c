/* SPDX-License-Identifier: MIT */
/* code.c - a hostile guest's memory: random numbers, instructions, tables, modes. */
#include "hostile/hostile.h"
#include "isa/x86/insn.h"
#include "isa/x86/mem.h"
#include "isa/x86/priv.h"
#include "sundog/addrspace.h"
#include "sundog/isa.h"

u64 rng_next(struct rng *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state * 0x2545f4914f6cdd1dull;
}

u64 rng_below(struct rng *r, u64 n)
{
	return (rng_next(r) >> 16) % n;
}

u64 rng_odd(struct rng *r)
{
	static const u64 bases[] = {
		0,	    AT_GDT,	  AT_IDT,     AT_PML4,	  AT_PD,      AT_PT,
		AT_CODE,    AT_STACKS,	  AT_DATA,    0xa0000,	  0xc0000,    0xfffff,
		0x100000,   GUEST_MEMORY, 0xb0000000, 0xb0008000, 0xc0000000, 0xfec00000,
		0xfed00000, 0xfed000f0,	  0xfee00000, 0xfee00300, 0xfee00390, 0xffffffff,
		1ull << 32, 1ull << 47,
	};
	u64 v = rng_next(r);

	switch (rng_below(r, 8)) {
	case 0: return v;
	case 1: return v & 0xff;
	case 2: return v & 0xffffff;
	case 3: return (v & 0xfff000) - rng_below(r, 16); /* straddles a page */
	case 4: return 1ull << (v & 63);
	default: return bases[rng_below(r, ARRAY_SIZE(bases))] + rng_below(r, 64);
	}
}

void put(struct guest *g, u64 at, const void *p, size_t len)
{
	void *host = as_ram(g->m->mem, at, len, true);

	/* Its CPUs may be running. */
	if (host)
		ram_move(host, p, len);
}

void put_val(struct guest *g, u64 at, u64 val, unsigned size)
{
	u8 b[8];

	st_le64(b, val);
	put(g, at, b, size);
}

void put_random(struct guest *g, u64 at, u64 len)
{
	for (u64 i = 0; i < len; i += 8)
		put_val(g, at + i, rng_next(&g->rng), 8);
}

void emit(struct code *c, const char *bytes, size_t len)
{
	if (len > c->end - c->at)
		return;
	put(c->g, c->at, bytes, len);
	c->at += len;
}

void emit_align(struct code *c)
{
	while (c->at % PIECE && c->at < c->end)
		EMIT(c, "\x90");
}

void emit_val(struct code *c, u64 val, unsigned size)
{
	u8 b[8];

	st_le64(b, val);
	emit(c, (const char *)b, size);
}

void emit_jmp(struct code *c, u64 to)
{
	EMIT(c, "\xe9");
	emit_val(c, to - (c->at + 4), 4);
}

/* 64-bit code. */
void emit_mov(struct code *c, unsigned reg, u64 val)
{
	emit_val(c, reg & 8 ? 0x49 : 0x48, 1);
	emit_val(c, 0xb8 | (reg & 7), 1);
	emit_val(c, val, 8);
}

unsigned put_opcode(u8 *b, const struct insn *row, u8 rex, unsigned vvvv, unsigned l, u8 evex)
{
	static const u8 mandatory[] = {[PFX_66] = 0x66, [PFX_F3] = 0xf3, [PFX_F2] = 0xf2};
	static const u8 pp[] = {[PFX_66] = 1, [PFX_F3] = 2, [PFX_F2] = 3};
	static const u8 maps[][3] = {[MAP_P2] = {1, 0x0f}, {2, 0x0f, 0x38}, {2, 0x0f, 0x3a}};
	bool w = row->vex_w ? row->vex_w == W_W1 : rex & 8;
	unsigned n = 0;

	if (map_is_evex(row->map)) {
		b[n++] = 0x62;
		b[n++] = (u8)((~rex & 7) << 5 | 0x10 | (row->map - MAP_E2 + 1));
		b[n++] = (u8)(w << 7 | (~vvvv & 15) << 3 | 4 | pp[row->pfx]);
		b[n++] = (u8)((evex & 0x97) | l << 5 | 8);
	} else if (map_is_vex(row->map)) {
		b[n++] = 0xc4;
		b[n++] = (u8)((~rex & 7) << 5 | (row->map - MAP_V2 + 1));
		b[n++] = (u8)(w << 7 | (~vvvv & 15) << 3 | l << 2 | pp[row->pfx]);
	} else {
		if (row->pfx >= PFX_66)
			b[n++] = mandatory[row->pfx];
		if (rex)
			b[n++] = rex;
		for (u8 i = 0; row->map != MAP_P1 && i < maps[row->map][0]; i++)
			b[n++] = maps[row->map][1 + i];
	}
	b[n++] = row->op;
	return n;
}

static u8 some_prefix(struct rng *r)
{
	static const u8 some[] = {0x66, 0x67, 0xf0, 0xf0, 0xf2, 0xf3, 0x2e, 0x64, 0x65};

	return some[rng_below(r, sizeof(some))];
}

static u8 modrm(struct rng *r, const struct insn *row)
{
	u8 b = (u8)rng_next(r);

	if (row->mrm & MRM_EXT)
		b = (u8)((b & 0xc7) | (row->mrm & 7) << 3);
	if (row->mrm & MRM_MOD_REG)
		b |= 0xc0;
	if (row->mrm & MRM_MOD_MEM && b >= 0xc0)
		b &= 0x3f;
	if (row->mrm & MRM_RM)
		b = (u8)((b & 0xf8) | (row->mrm >> 3 & 7));
	return b;
}

void emit_any(struct code *c, struct rng *r, enum code_size size)
{
	const struct insn *row = &insns[rng_below(r, nr_insns)];
	unsigned n = 0, vvvv, l;
	u8 b[32], rex = 0;
	struct op op;
	int len;

	if (row->map == MAP_NONE)
		return;
	if (!rng_below(r, 4))
		b[n++] = some_prefix(r);
	if (size == CODE64 && rng_below(r, 2))
		rex = 0x40 | (u8)rng_below(r, 16);
	vvvv = rng_below(r, 2) ? 0 : (unsigned)rng_below(r, 16);
	l = (unsigned)rng_below(r, row->map >= MAP_E2 ? 4 : 2);
	n += put_opcode(b + n, row, rex, vvvv, l, rng_below(r, 2) ? 0 : (u8)rng_next(r));
	if (row->mrm != MRM_NONE)
		b[n++] = modrm(r, row);
	/* Small displacements and immediates as often as large ones. */
	st_le64(b + n, rng_below(r, 2) ? rng_next(r) : rng_next(r) & 0xff);
	st_le64(b + n + 8, rng_next(r));
	len = x86_decode(b, 15, size, c->at & 0xfff, &op);
	emit(c, (const char *)b, len > 0 ? (size_t)len : 2);
}

/* --- tables ---------------------------------------------------------------------------------- */

static const struct {
	u16 sel, attr;
} segs[] = {
	{0x08, SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A | SEG_L | SEG_G},
	{0x10, SEG_P | SEG_S | SEG_RW | SEG_A | SEG_DB | SEG_G},
	{0x18, SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A | SEG_DB | SEG_G},
	{0x20, SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A | SEG_G},
	{0x2b, SEG_P | SEG_S | SEG_RW | SEG_A | SEG_DB | SEG_G | SEG_DPL},
	{0x33, SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A | SEG_L | SEG_G | SEG_DPL},
	{0x3b, SEG_P | SEG_S | SEG_CODE | SEG_RW | SEG_A | SEG_DB | SEG_G | SEG_DPL},
};

static void put_gdt(struct guest *g)
{
	put_random(g, AT_GDT + 0x50, 0x400);
	for (unsigned i = 0; i < ARRAY_SIZE(segs); i++)
		put_val(g, AT_GDT + (segs[i].sel & ~7u),
			0x000f00000000ffff | (u64)(segs[i].attr & 0xf0ff) << 40, 8);
	/* The TSS, which is 64 bits wide or not. */
	put_val(g, AT_GDT + 0x40, 0x00008b0000000067 | (u64)AT_TSS << 16, 8);
	put_val(g, AT_GDT + 0x48, 0, 8);
	put_random(g, AT_TSS, 0x80);
	for (unsigned i = 4; i <= 0x5c; i += 8)
		put_val(g, AT_TSS + i, AT_STACKS + 0x8000 + rng_below(&g->rng, 0x1000), 8);
}

/* Gates to the handlers, some to anywhere; of 8 bytes where the code is not 64-bit. */
static void put_idt(struct guest *g)
{
	bool wide = g->size == CODE64;

	for (unsigned v = 0; v < 256; v++) {
		u64 to = rng_below(&g->rng, 8) ? AT_HANDLERS + 16 * v
					       : AT_CODE + rng_below(&g->rng, CODE_SIZE);
		u64 type = rng_below(&g->rng, 16) ? 0xee : rng_next(&g->rng) & 0xff;
		u64 gate = (to & 0xffff) | (wide ? 0x08ull : 0x18ull) << 16 | type << 40 |
			   (to >> 16 & 0xffff) << 48;

		put_val(g, AT_IDT + (wide ? 16 : 8) * v, gate, 8);
		if (wide)
			put_val(g, AT_IDT + 16 * v + 8, to >> 32, 8);
	}
}

static void put_pages(struct guest *g)
{
	for (unsigned i = 0; i < 1024; i++)
		put_val(g, AT_PD32 + 4 * i, (u64)i << 22 | 0xe7, 4);
	for (unsigned i = 0; i < 512; i++) {
		put_val(g, AT_PML4 + 8 * i, i ? rng_next(&g->rng) & rng_next(&g->rng) : AT_PDPT + 7,
			8);
		put_val(g, AT_PDPT + 8 * i, i < 4 ? AT_PD + 7 + 0x1000 * (u64)i : rng_next(&g->rng),
			8);
		put_val(g, AT_PT + 8 * i, (u64)i << 12 | 7, 8);
	}
	for (unsigned i = 0; i < 2048; i++)
		put_val(g, AT_PD + 8 * i, (u64)i << 21 | 0x87, 8);
	put_val(g, AT_PD, AT_PT + 7, 8);
	/* Some pages that are elsewhere, not there, or of other rights. */
	for (unsigned i = 0; i < 16; i++)
		put_val(g, AT_PT + 8 * (0x60 + rng_below(&g->rng, 0x100)), rng_odd(&g->rng) | 1, 8);
}

/* What faulted is left out: on to the next piece, at a multiple of PIECE.  Others just return. */
static void put_handlers(struct guest *g)
{
	bool wide = g->size == CODE64;

	for (unsigned v = 0; v < 256; v++) {
		struct code c = {g, AT_HANDLERS + 16 * v, AT_HANDLERS + 16 * v + 16};

		if (v == 8 || (v >= 10 && v <= 14) || v == 17) {
			if (wide)
				EMIT(&c, "\x48");
			EMIT(&c, "\x83\xc4");
			emit_val(&c, wide ? 8 : 4, 1);
		}
		if (v < 32 && v != X86_NMI) {
			if (wide)
				EMIT(&c, "\x48\x83\x0c\x24\x3f\x48\xff\x04\x24");
			else
				EMIT(&c, "\x83\x0c\x24\x3f\xff\x04\x24");
		}
		if (wide)
			EMIT(&c, "\x48");
		EMIT(&c, "\xcf");
	}
}

void put_tables(struct guest *g)
{
	for (unsigned v = 0; v < 256; v++)
		put_val(g, 4 * v, AT_CODE >> 4 << 16 | rng_below(&g->rng, 0x10000), 4);
	put_gdt(g);
	put_idt(g);
	put_pages(g);
	put_handlers(g);
}

void put_halting_handlers(struct guest *g)
{
	put_val(g, AT_TSS + 0x24, AT_IST, 8);
	for (unsigned v = 0; v < 256; v++) {
		u64 to = AT_HANDLERS + 16 * v;

		put_val(g, AT_IDT + 16 * v,
			(to & 0xffff) | 0x08ull << 16 | 1ull << 32 | 0xeeull << 40 |
				(to >> 16 & 0xffff) << 48,
			8);
		put_val(g, AT_IDT + 16 * v + 8, 0, 8);
		put_val(g, to, 0xf4, 1);
	}
}

static void set_seg(struct cpu_state *st, enum seg_reg reg, u16 sel)
{
	for (unsigned i = 0; i < ARRAY_SIZE(segs); i++)
		if (segs[i].sel == sel)
			st->seg[reg] = (struct seg){0, 0xffffffff, sel, segs[i].attr};
}

static struct cpu_state *start_regs(struct guest *g, unsigned cpu)
{
	struct cpu_state *st = &x86_cpu(g->m->vcpus[cpu])->st;
	struct rng *r = &g->cpu_rng[cpu];

	x86_isa.reset(g->m->vcpus[cpu], RESET_POWER_ON);
	for (unsigned i = 0; i < NR_GPRS; i++)
		st->gpr[i] = rng_odd(r);
	st->activity = CPU_RUNNING;
	st->gpr[RSP] = AT_STACKS + 0x1000 * (cpu + 1);
	st->rip = AT_CODE + rng_below(r, CODE_SIZE / 2);
	return st;
}

void enter_real(struct guest *g, unsigned cpu)
{
	struct cpu_state *st = start_regs(g, cpu);

	st->idtr = (struct desc_table){0, 0x3ff};
	st->seg[SEG_CS].sel = AT_CODE >> 4;
	st->seg[SEG_CS].base = AT_CODE;
	st->rip -= AT_CODE;
	st->gpr[RSP] = 0xf000;
	for (unsigned i = 0; i < NR_SEGS; i++)
		if (i != SEG_CS)
			st->seg[i].base = 16 * (st->seg[i].sel = (u16)(AT_DATA >> 4));
}

void enter_mode(struct guest *g, unsigned cpu, enum code_size size, bool user)
{
	struct cpu_state *st = start_regs(g, cpu);
	u16 data = user ? 0x2b : 0x10;
	bool no_xsave = rng_below(&g->cpu_rng[cpu], 4) == 0;

	st->gdtr = (struct desc_table){AT_GDT, 0x3ff};
	st->idtr = (struct desc_table){AT_IDT, 0xfff};
	st->tr = (struct seg){AT_TSS, 0x67, 0x40, SEG_P | 0xb};
	st->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG | CR0_MP;
	st->cr4 = CR4_PSE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	st->cr3 = AT_PD32;
	if (size == CODE64) {
		st->cr4 |= CR4_PAE | CR4_PGE;
		st->cr3 = AT_PML4;
		/* All vectors that the CPU has, or what is there without asking. */
		if (!no_xsave)
			st->cr4 |= CR4_OSXSAVE;
		st->xcr0 = no_xsave ? 1 : x86_xcr0_allowed(x86_cpu(g->m->vcpus[cpu]));
		st->efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	}
	set_seg(st, SEG_CS, size == CODE64 ? (user ? 0x33 : 0x08) : user ? 0x3b : 0x18);
	for (unsigned i = 0; i < NR_SEGS; i++)
		if (i != SEG_CS)
			set_seg(st, i, data);
	st->rflags = FL_FIXED | (rng_below(&g->cpu_rng[cpu], 2) ? FL_IF : 0);
}
