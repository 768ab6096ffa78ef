/* SPDX-License-Identifier: MIT */
/*
 * gen.c - makes cases from the rows of the instruction table.
 *
 * An encoding is drawn from what the row allows: prefixes, REX, ModRM, SIB, displacement; the
 * decoder says how many immediate bytes it takes.  Then the registers of its address are
 * chosen such that the operand lies where it is interesting: in a page, across two, at an end,
 * in a read-only or absent page, outside the canonical range.
 */
#include "insn/gen.h"

#include <string.h>

const u8 arena_rights[ARENA_PAGES] = {RWX, RWX, ABSENT, RW, RW, ABSENT, RW, RO, ABSENT};

static struct gen_cfg cfg;
static u64 rng;

u64 rnd(void)
{
	u64 z = (rng += 0x9e3779b97f4a7c15ull);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

bool one_in(unsigned n)
{
	return rnd() % n == 0;
}

u64 mode_cs_base(enum mode mode)
{
	return mode == MODE16 ? ARENA : 0;
}

enum code_size mode_code_size(enum mode mode)
{
	return mode == MODE64 ? CODE64 : mode == MODE16 ? CODE16 : CODE32;
}

const struct gen_cfg *gen_cfg(void)
{
	return &cfg;
}

void gen_init(const struct gen_cfg *c)
{
	cfg = *c;
}

void gen_image(u64 seed, u64 batch, u8 image[ARENA_SIZE])
{
	rng = seed * 0x1234567 + batch;
	memset(image, 0xcc, ARENA_SIZE);
	/* Few distinct bytes here and there: comparisons of strings go on for a while. */
	for (unsigned i = PAGE_DATA * PAGE; i < ARENA_SIZE; i += 8)
		st_le64(image + i, i / 512 % 3 ? rnd() : 0x4141414141414141ull);
	rng = 42;
	for (unsigned i = PAGE_RO * PAGE; i < (PAGE_RO + 1) * PAGE; i += 8)
		st_le64(image + i, rnd());
}

/* --- values ---------------------------------------------------------------------------------- */

static u64 arena_at(unsigned page, i64 off)
{
	return ARENA + (u64)((i64)page * PAGE + off);
}

u64 data_pointer(unsigned size)
{
	return arena_at(PAGE_DATA, 128 + (i64)(rnd() % (2 * PAGE - 256 - size)));
}

/* Where a memory operand may be. */
u64 pick_target(unsigned size)
{
	i64 back = (i64)(rnd() % (size + 1));

	switch (rnd() % 32) {
	case 0:
	case 1: return arena_at(PAGE_DATA + 1, -back);
	case 2:
	case 3: return arena_at(PAGE_DATA + 2, -back);
	case 4: return arena_at(PAGE_DATA, -back);
	case 5:
	case 6: return arena_at(PAGE_RO, -back);
	case 7: return arena_at(PAGE_RO, (i64)(rnd() % (PAGE - size)));
	case 8: return arena_at(PAGE_RO + 1, -back);
	case 9: return arena_at(PAGE_DATA + 2, (i64)(rnd() % PAGE));
	case 10: return arena_at(PAGE_CODE, (i64)(rnd() % (2 * PAGE - 64)));
	case 11:
		switch (rnd() % 4) {
		case 0: return 0x800000000000ull - (u64)back;
		case 1: return 0xffff800000000000ull - (u64)back;
		case 2: return 0xffff900000000000ull + rnd() % 4096;
		default: return rnd();
		}
	default: return data_pointer(size);
	}
}

static u64 random_value(void)
{
	u64 r = rnd();

	switch (r >> 60) {
	case 0:
	case 1:
	case 2: return r & 63;
	case 3: return (u64)(i64)(i8)r;
	case 4: return (u64)(i64)(i16)r;
	case 5: return (u64)(i64)(i32)r;
	case 6: return (1ull << (r & 63)) - (r >> 8 & 1);
	case 7: return ~0ull << (r & 63);
	case 8:
	case 9: return data_pointer(64);
	default: return rnd();
	}
}

static u32 random_float(void)
{
	u32 r = (u32)rnd();

	switch (rnd() % 8) {
	case 0: return r & 0x80000000;
	case 1: return (r & 0x80000000) | 0x7f800000;
	case 2: return r & 0x807fffff;
	case 3: return (r & 0x807fffff) | 0x7f800000;
	case 4: return r;
	default: return (r & 0x80ffffff) | 0x3f000000;
	}
}

void random_vec(u8 *p)
{
	u64 kind = rnd() % 4;

	for (unsigned i = 0; i < 4; i++) {
		u32 f = random_float();

		if (kind == 0)
			f = (u32)rnd();
		if (kind == 1 && i % 2 == 0)
			f = one_in(2) ? 0 : (u32)rnd();
		if (kind == 1 && i % 2)
			f = (f & 0x800fffff) | (u32)(0x380 + rnd() % 0x90) << 20;
		st_le32(p + 4 * i, f);
	}
}

void random_ext(u8 *p)
{
	u64 mant = rnd() | 1ull << 63, r = rnd();
	u16 se = (u16)(rnd() & 0x8000);

	switch (r % 10) {
	case 0: mant = 0; break;
	case 1: mant >>= 1 + r / 16 % 40; break;
	case 2: break;
	case 3: se |= 0x7fff, mant = 1ull << 63; break;
	case 4: se |= 0x7fff; break;
	case 5: se |= rnd() & 0x7fff; break;
	case 6: se |= rnd() & 0x7fff, mant &= ~(1ull << 63); break;
	case 7: se |= 0x3fff + (r / 16 % 64), mant &= ~0ull << 40; break;
	default: se |= 0x3fff - 20 + r / 16 % 60; break;
	}
	st_le64(p, mant);
	st_le16(p + 8, se);
}

/* An FXSAVE64 image; unmasked: some exceptions are, and some may be pending. */
void random_fx(u8 fx[512])
{
	bool unmasked = one_in(8);
	u16 fcw = (u16)((rnd() & 0xf00) | 0x40 | (unmasked ? rnd() & 0x3f : 0x3f));
	u16 fsw = (u16)(rnd() & 0x7f7f);
	u32 mxcsr = (u32)rnd() & 0xe07f;

	memset(fx, 0, 512);
	if (!one_in(16))
		fsw &= fcw | 0xffc0;
	if (fsw & ~fcw & 0x3f)
		fsw |= 0x8080;
	st_le16(fx, fcw);
	st_le16(fx + 2, fsw);
	fx[4] = one_in(3) ? (u8)rnd() : 0xff;
	mxcsr |= one_in(8) ? (u32)rnd() & 0x1f80 : 0x1f80;
	st_le32(fx + 24, mxcsr);
	st_le32(fx + 28, 0xffff);
	for (unsigned i = 0; i < 8; i++)
		random_ext(fx + 32 + 16 * i);
	for (unsigned i = 0; i < 16; i++)
		random_vec(fx + 160 + 16 * i);
}

/* What the host has of the wider registers; outside 64-bit code only the first eight count. */
static void random_vectors(struct regs *r)
{
	for (unsigned i = 0; i < 16; i++) {
		u8 b[64];

		for (unsigned k = 0; k < 64; k += 16)
			random_vec(b + k);
		if (cfg.xcr0 & 4)
			memcpy(r->v[i].b + 16, b + 16, 16);
		if (cfg.xcr0 & 0x40)
			memcpy(r->v[i].b + 32, b + 32, 32);
		if (cfg.xcr0 & 0x80)
			for (unsigned k = 0; k < 64; k += 16)
				random_vec(r->v[16 + i].b + k);
	}
	for (unsigned i = 0; i < 8 && cfg.xcr0 & 0x20; i++)
		r->k[i] = one_in(4) ? ~0ull : one_in(4) ? rnd() & 15 : rnd();
}

static void plain_fx(u8 fx[512])
{
	memset(fx, 0, 512);
	st_le16(fx, 0x37f);
	st_le32(fx + 24, 0x1f80);
	st_le32(fx + 28, 0xffff);
}

/* --- registers ------------------------------------------------------------------------------- */

static u64 random_flags(void)
{
	u64 f = FL_FIXED | FL_IF | (rnd() & FL_ARITH);

	if (one_in(8))
		f |= FL_DF;
	if (one_in(32))
		f |= FL_AC;
	if (one_in(64))
		f |= FL_TF;
	return f;
}

void random_regs(struct test_case *c)
{
	struct regs *r = &c->in;

	for (unsigned i = 0; i < 16; i++)
		r->gpr[i] = random_value();
	if (one_in(2))
		r->gpr[RCX] &= 63;
	r->gpr[RSP] = one_in(4) ? pick_target(8) : data_pointer(256) & ~7ull;
	r->rflags = random_flags();
	r->fs_base = r->gs_base = 0;
	if (cfg.fsgsbase && c->mode == MODE64) {
		r->fs_base = one_in(4) ? rnd() >> 18 : rnd() % 0x10000;
		r->gs_base = one_in(4) ? 0xffff900000000000ull + rnd() % 4096 : rnd() % 0x10000;
	}
	r->ss = r->ds = r->es = SEL_DATA;
	switch (c->mode) {
	case MODE32_LDT: r->ds = SEL_DATA16; /* fallthrough */
	case MODE32: r->cs = SEL_CS32; break;
	case MODE16:
		r->cs = SEL_CS16;
		r->ds = r->es = SEL_DATA16;
		break;
	default: r->cs = SEL_CS64; break;
	}
	if (c->ring0) {
		r->cs = SEL_KERNEL_CS;
		r->ss = SEL_KERNEL_DATA;
	}
	if (c->mode != MODE64) {
		for (unsigned i = 0; i < 16; i++)
			r->gpr[i] = i < 8 ? (u32)r->gpr[i] : 0;
	}
	plain_fx(r->fx);
	memset(r->v, 0, sizeof(r->v));
	memset(r->k, 0, sizeof(r->k));
}

u64 gen_seg_base(const struct test_case *c, unsigned seg)
{
	switch (seg) {
	case SEG_FS: return c->in.fs_base;
	case SEG_GS: return c->in.gs_base;
	case SEG_DS: return c->in.ds == SEL_DATA16 ? ARENA : 0;
	case SEG_ES: return c->in.es == SEL_DATA16 ? ARENA : 0;
	case SEG_CS: return c->mode == MODE16 ? ARENA : 0;
	default: return 0;
	}
}

void poke(struct test_case *c, u64 lin, const void *bytes, unsigned len)
{
	u64 off = lin - ARENA;

	/* Only where both sides can take it. */
	if (c->nr_pokes == MAX_POKES || !range_fits(off, len, ARENA_SIZE))
		return;
	for (u64 i = off; i < off + len; i++) {
		if (arena_rights[i / PAGE] != RW && arena_rights[i / PAGE] != RWX)
			return;
	}
	c->pokes[c->nr_pokes].off = (u32)off;
	c->pokes[c->nr_pokes].len = len;
	memcpy(c->pokes[c->nr_pokes++].bytes, bytes, len);
}

/* --- a whole case ---------------------------------------------------------------------------- */

static bool row_fits(unsigned row, enum mode mode)
{
	u32 attr = insns[row].attr;

	return !(attr & (mode == MODE64 ? A_NO64 : A_ONLY64));
}

static enum mode pick_mode(void)
{
	unsigned r = (unsigned)rnd() % 8;

	if (r < 5 || !cfg.cs32)
		return MODE64;
	if (r == 5 || !cfg.ldt)
		return MODE32;
	return one_in(2) ? MODE16 : MODE32_LDT;
}

static void place(struct test_case *c)
{
	/* How much of what is no instruction gets fetched is nobody's business. */
	bool whole = c->seq || insns[c->op.row].fn == exec_ud;

	if (one_in(8))
		c->code_off = PAGE - (u32)(rnd() % (c->code_len + 1));
	else if (!whole && one_in(8))
		c->code_off = 2 * PAGE - 1 - (u32)(rnd() % c->code_len);
	else
		c->code_off = 256 + (u32)(rnd() % (2 * PAGE - 256 - MAX_CODE));
	c->in.rip = ARENA + c->code_off - mode_cs_base(c->mode);
}

void gen_put_code(struct test_case *c)
{
	unsigned len = c->code_len, fits = 2 * PAGE - c->code_off, done = 0;

	len = len < fits ? len : fits;
	c->nr_data_pokes = c->nr_pokes;
	while (done < len) {
		unsigned n = len - done < 64 ? len - done : 64;

		poke(c, ARENA + c->code_off + done, c->code + done, n);
		done += n;
	}
}

static void single(struct test_case *c)
{
	u64 n = c->number;

	c->row = cfg.row >= 0 ? (unsigned)cfg.row : (unsigned)((n - n / 4) % nr_insns);
	do {
		c->mode = pick_mode();
	} while (!row_fits(c->row, c->mode) && (cfg.cs32 || !(insns[c->row].attr & A_NO64)));
	random_regs(c);
	if (insns[c->row].attr & (A_FPU | A_SSE | A_AVX) || insns[c->row].map == MAP_P2 ||
	    one_in(16))
		random_fx(c->in.fx);
	if (insns[c->row].attr & A_AVX || one_in(16))
		random_vectors(&c->in);
	gen_encoding(c, c->row, false);
	place(c);
	gen_operands(c);
	gen_put_code(c);
}

/* What 64-bit code may have left for 32-bit code, and segments that are flat but for the base. */
static void dirty_regs(struct regs *r)
{
	if (one_in(2))
		for (unsigned i = 0; i < 16; i++)
			r->gpr[i] |= i < 8 ? rnd() << 32 : rnd();
	r->fs = r->gs = one_in(16) ? 0 : one_in(8) ? SEL_DATA16 : SEL_DATA;
	r->fs_base = (u32)(one_in(4) ? 0 - rnd() % 256 : rnd() % 256);
	r->gs_base = one_in(2) ? 0 : rnd() % 256;
}

void gen_case(u64 seed, u64 number, struct test_case *c)
{
	rng = seed ^ (number + 1) * 0x9e3779b97f4a7c15ull;
	rng = rnd();
	c->number = number;
	c->nr_pokes = 0;
	c->code_len = 0;
	c->target = 0;
	c->op = (struct op){0};
	c->ring0 = false;
	c->seq = cfg.wild || (!cfg.no_seq && cfg.row < 0 && number % 4 == 3);
	c->twice = one_in(4);
	if (!c->seq) {
		single(c);
		return;
	}
	if (cfg.wild)
		c->mode = !one_in(3) ? MODE64 : one_in(16) ? MODE32_LDT : MODE32;
	else
		c->mode = pick_mode();
	c->ring0 = cfg.wild && c->mode == MODE64 && one_in(2);
	random_regs(c);
	random_fx(c->in.fx);
	random_vectors(&c->in);
	gen_sequence(c);
	if (cfg.wild && c->mode != MODE64)
		dirty_regs(&c->in);
	place(c);
	gen_put_code(c);
}
