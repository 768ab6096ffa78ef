/* SPDX-License-Identifier: MIT */
/* gen_insn.c - an encoding of a row, and operands that make it do something: see gen.c. */
#include "insn/gen.h"

#include <string.h>

/* Where things are in the encoding that was made last. */
static struct {
	unsigned start, disp_at, disp_len, rel_len;
	bool o16;
} last;

void gen_byte(struct test_case *c, unsigned v)
{
	if (c->code_len < MAX_CODE)
		c->code[c->code_len++] = (u8)v;
}

static void random_bytes(struct test_case *c, unsigned n)
{
	static const u8 edges[] = {0, 1, 0x7f, 0x80, 0xff};

	while (n--)
		gen_byte(c, one_in(4) ? edges[rnd() % sizeof(edges)] : (unsigned)rnd() & 0xff);
}

static bool is_string(const struct insn *in)
{
	return operands[in->dst].kind == OK_STR_DST || operands[in->dst].kind == OK_STR_SRC ||
	       operands[in->src].kind == OK_STR_SRC || operands[in->src].kind == OK_STR_DST;
}

/* --- prefixes -------------------------------------------------------------------------------- */

static void prefixes(struct test_case *c, const struct insn *in, bool seq, bool mem)
{
	static const u8 segs[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};
	/* Near branches with 66 differ between the vendors; the table follows Intel. */
	bool branch = in->attr & A_FORCE64 && c->mode == MODE64;
	/* REP turns LOOPE into LOOPNE and back on an AMD; LOCK turns CR0 into CR8. */
	bool odd = in->fn == exec_loope || in->fn == exec_loopne || in->attr & A_MODX;
	u8 p[8];
	unsigned n = 0;

	if (in->pfx == PFX_66 || (in->pfx == PFX_ANY && !branch && one_in(3)))
		p[n++] = 0x66;
	if (in->pfx == PFX_F3 || in->pfx == PFX_F2)
		p[n++] = in->pfx == PFX_F3 ? 0xf3 : 0xf2;
	else if (in->pfx == PFX_ANY && !odd && one_in(is_string(in) ? 2 : 64))
		p[n++] = one_in(2) ? 0xf3 : 0xf2;
	if (one_in(12))
		p[n++] = 0x67;
	if (one_in(12) && (!seq || (gen_cfg()->wild && c->mode != MODE64)))
		p[n++] = segs[rnd() % sizeof(segs)];
	if ((in->attr & A_LOCK && mem && one_in(4)) || (!seq && !odd && one_in(100)))
		p[n++] = 0xf0;
	if (!seq && n && one_in(32)) {
		p[n] = p[0];
		n++;
	}
	last.o16 = memchr(p, 0x66, n) != NULL;
	while (n) {
		unsigned i = (unsigned)(rnd() % n);

		gen_byte(c, p[i]);
		p[i] = p[--n];
	}
}

static bool sized_by_rex(const struct insn *in)
{
	return in->pfx == PFX_ANY || operands[in->dst].size >= SZ_V ||
	       operands[in->src].size >= SZ_V;
}

static void rex(struct test_case *c, const struct insn *in, unsigned bits)
{
	if (in->src == OPND_Mp) { /* AMD has no 64-bit far pointers */
		gen_byte(c, 0x40 | (bits & 7));
		return;
	}
	if (in->attr & A_REXW || (!(in->attr & A_NOREXW) && sized_by_rex(in) && one_in(2)) ||
	    (!(in->attr & A_NOREXW) && one_in(32)))
		bits |= 8;
	if (in->attr & A_REXB)
		bits |= 1;
	if (in->attr & A_NOREXB)
		bits &= ~1u;
	if (bits || one_in(8))
		gen_byte(c, 0x40 | bits);
}

/* --- ModRM ----------------------------------------------------------------------------------- */

static bool wants_memory(const struct insn *in)
{
	if (in->mrm & (MRM_MOD_REG | MRM_RM))
		return false;
	return in->mrm & MRM_MOD_MEM || one_in(2);
}

static unsigned pick(const u8 *set, unsigned n)
{
	return set[rnd() % n];
}

/* Registers of a sequence: pointers stay pointers, mostly. */
static void seq_registers(const struct test_case *c, struct modrm *m, bool mem)
{
	static const u8 data64[] = {RAX, RCX, RDX, R8, R9, R10, R11, R14};
	static const u8 pointers64[] = {RBX, RSI, RDI, RBP, R12, R13};
	static const u8 pointers32[] = {RBX, RSI, RDI, RBP};
	bool wide = c->mode == MODE64;

	if (!one_in(24)) {
		m->reg = pick(data64, wide ? 8 : 3);
		m->rm = pick(data64, wide ? 8 : 3);
	}
	/* R15 counts the rounds of the loop. */
	m->reg -= m->reg == R15;
	m->rm -= m->rm == R15;
	if (!mem)
		return;
	m->rm = wide ? pick(pointers64, 6) : pick(pointers32, 4);
	m->mod = one_in(2) ? 1 : 2;
	m->sib = (m->rm & 7) == 4;
	m->base = m->rm;
	m->index = 4;
	m->scale = 0;
}

static unsigned address_size(const struct test_case *c)
{
	bool p67 = memchr(c->code + last.start, 0x67, c->code_len - last.start) != NULL;

	switch (c->mode) {
	case MODE64: return p67 ? 4 : 8;
	case MODE16: return p67 ? 4 : 2;
	default: return p67 ? 2 : 4;
	}
}

static void choose_modrm(struct test_case *c, const struct insn *in, struct modrm *m, bool mem,
			 bool seq)
{
	unsigned max = c->mode == MODE64 ? 16 : 8;

	*m = (struct modrm){.mod = mem ? (unsigned)rnd() % 3 : 3,
			    .reg = (unsigned)rnd() % max,
			    .rm = (unsigned)rnd() % max,
			    .scale = (unsigned)rnd() & 3,
			    .index = (unsigned)rnd() % max,
			    .base = (unsigned)rnd() % max};
	m->sib = (m->rm & 7) == 4;
	if (in->attr & A_MODX)
		m->mod = (unsigned)rnd() & 3;
	if (seq)
		seq_registers(c, m, mem);
	if (in->mrm & MRM_EXT)
		m->reg = (m->reg & 8) | (in->mrm & 7);
	if (in->mrm & MRM_RM)
		m->rm = (m->rm & 8) | (in->mrm >> 3 & 7);
}

static void put_displacement(struct test_case *c, unsigned n, bool seq)
{
	last.disp_at = c->code_len;
	last.disp_len = n;
	if (seq && n > 1) { /* near the pointer */
		i32 d = (i32)(rnd() % 512) - 256;

		for (unsigned i = 0; i < n; i++)
			gen_byte(c, (u32)d >> 8 * i & 0xff);
	} else if (n > 1 && one_in(2)) {
		gen_byte(c, (unsigned)rnd() & 0xff);
		while (--n)
			gen_byte(c, 0);
	} else {
		random_bytes(c, n);
	}
}

static void put_modrm(struct test_case *c, const struct modrm *m, unsigned asize, bool seq)
{
	gen_byte(c, m->mod << 6 | (m->reg & 7) << 3 | (m->rm & 7));
	last.disp_len = 0;
	if (m->mod == 3)
		return;
	if (asize == 2) {
		if (m->mod == 1)
			put_displacement(c, 1, seq);
		else if (m->mod == 2 || (m->rm & 7) == 6)
			put_displacement(c, 2, seq);
		return;
	}
	if (m->sib)
		gen_byte(c, m->scale << 6 | (m->index & 7) << 3 | (m->base & 7));
	if (m->mod == 1)
		put_displacement(c, 1, seq);
	else if (m->mod == 2 || (m->rm & 7) == 5 || (m->sib && (m->base & 7) == 5))
		put_displacement(c, 4, seq);
}

/* --- rows that are no encodings --------------------------------------------------------------- */

static void bad_encoding(struct test_case *c, unsigned row)
{
	static const u8 undefined[][4] = {
		{2, 0x0f, 0x04},       {2, 0x0f, 0x0a},	       {2, 0x0f, 0x0c},
		{2, 0x0f, 0x24},       {2, 0x0f, 0x26},	       {2, 0x0f, 0x36},
		{2, 0x0f, 0xa6},       {2, 0x0f, 0xa7},	       {3, 0x0f, 0x38, 0x0c},
		{3, 0x0f, 0x3a, 0x00}, {2, 0xfe, 0xff},	       {2, 0xff, 0xff},
		{2, 0xc6, 0xc8},       {2, 0x8f, 0xc8 | 0x30}, {3, 0x0f, 0xba, 0xc0},
		{3, 0x0f, 0xc7, 0xc8}, {2, 0x8d, 0xc0},	       {3, 0x0f, 0x71, 0xc0},
	};
	const u8 *u = undefined[rnd() % ARRAY_SIZE(undefined)];

	if (row == ROW_BAD) {
		for (unsigned i = 1; i <= u[0]; i++)
			gen_byte(c, u[i]);
		return;
	}
	for (unsigned i = 0; i < 15; i++)
		gen_byte(c, 0x3e);
	gen_byte(c, 0x90);
}

/* --- the whole encoding ----------------------------------------------------------------------- */

static void escape(struct test_case *c, enum insn_map map)
{
	if (map != MAP_P1)
		gen_byte(c, 0x0f);
	if (map == MAP_P38 || map == MAP_P3A)
		gen_byte(c, map == MAP_P38 ? 0x38 : 0x3a);
}

static unsigned rel_length(const struct test_case *c, const struct insn *in)
{
	if (operands[in->imm].kind != OK_REL)
		return 0;
	if (in->imm == OPND_Jb)
		return 1;
	if (c->mode == MODE64)
		return 4;
	return (c->mode == MODE16) != last.o16 ? 2 : 4;
}

bool gen_encoding(struct test_case *c, unsigned row, bool seq)
{
	const struct insn *in = &insns[row];
	unsigned start = c->code_len, rexbits = 0;
	bool modrm = in->mrm != MRM_NONE, mem = modrm && wants_memory(in);
	struct modrm m = {0};
	int len;

	last.start = start;
	last.disp_len = last.rel_len = 0;
	if (in->map == MAP_NONE) {
		bad_encoding(c, row);
	} else if (in->map >= MAP_V2) {
		if (modrm)
			choose_modrm(c, in, &m, mem, seq);
		if (gen_is_vsib(in))
			gen_vsib(c, &m);
		gen_vex(c, in, &m, seq);
		gen_byte(c, in->op);
		if (modrm)
			put_modrm(c, &m, address_size(c), seq);
	} else {
		prefixes(c, in, seq, mem);
		if (modrm) {
			choose_modrm(c, in, &m, mem, seq);
			rexbits = (m.reg & 8) >> 1 | (m.sib ? (m.index & 8) >> 2 : 0) |
				  (m.sib ? m.base & 8 : m.rm & 8) >> 3;
		} else if (!seq || one_in(4)) {
			rexbits = (unsigned)rnd() & ((in->op & 7) == 7 ? 6 : 7);
		}
		if (c->mode == MODE64)
			rex(c, in, rexbits);
		escape(c, in->map);
		gen_byte(c, in->op);
		if (modrm)
			put_modrm(c, &m, address_size(c), seq);
	}
	len = (int)c->code_len;
	random_bytes(c, 15);
	len = x86_decode(c->code + start, c->code_len - start, mode_code_size(c->mode), 0, &c->op);
	c->code_len = start + c->op.len;
	last.rel_len = rel_length(c, in);
	if (operands[in->imm].kind == OK_MOFFS || operands[in->dst].kind == OK_MOFFS ||
	    operands[in->src].kind == OK_MOFFS) {
		last.disp_len = c->op.asize;
		last.disp_at = c->code_len - c->op.asize;
	}
	return len > 0;
}

/* --- operands --------------------------------------------------------------------------------- */

void set_gpr(struct test_case *c, unsigned n, u64 val)
{
	if (n < 16)
		c->in.gpr[n] = c->mode == MODE64 ? val : (u32)val;
}

/* An arbitrary address as the effective address of the operand, if registers can make it so. */
static void aim(struct test_case *c, u64 target)
{
	const struct op *op = &c->op;
	u64 ea = target - gen_seg_base(c, op->seg), *g = c->in.gpr, idx = 0;
	u8 img[8];

	/* A CPU has been seen to mind the offset too, not only the sum. */
	if ((op->seg == SEG_FS || op->seg == SEG_GS) && (u64)((i64)(ea << 16) >> 16) != ea)
		ea = (data_pointer(64) & ~63ull) - gen_seg_base(c, op->seg);
	c->target = ea + gen_seg_base(c, op->seg);
	if (op->base < 16 && op->base != op->index) {
		if (op->index < 16)
			idx = g[op->index] << op->scale;
		ea -= (u64)(i64)op->disp + idx;
		if (op->asize == 4 && c->mode == MODE64)
			ea = (u32)ea | (one_in(2) ? rnd() << 32 : 0);
		set_gpr(c, op->base, ea);
	} else if (op->base >= 16 && op->index < 16) {
		set_gpr(c, op->index, (ea - (u64)(i64)op->disp) >> op->scale);
	} else if (last.disp_len) {
		if (op->base == GPR_PC)
			ea -= c->in.rip + c->code_len;
		st_le64(img, ea);
		memcpy(c->code + last.disp_at, img, last.disp_len);
	}
}

static unsigned operand_bytes(const struct test_case *c)
{
	const struct insn *in = &insns[c->op.row];
	enum code_size cs = mode_code_size(c->mode);
	unsigned d = x86_operand_bytes(&c->op, cs, in->dst);
	unsigned s = x86_operand_bytes(&c->op, cs, in->src);

	return operands[in->dst].mem && d ? d : s ? s : 16;
}

static u64 code_pointer(const struct test_case *c)
{
	return ARENA + 200 + rnd() % (2 * PAGE - 300) - mode_cs_base(c->mode);
}

static void string_operands(struct test_case *c)
{
	const struct op *op = &c->op;
	u64 src = one_in(3) ? pick_target(64) : data_pointer(64);
	u64 dst = one_in(3) ? pick_target(64) : data_pointer(64);

	if (one_in(3)) /* overlapping */
		dst = src + rnd() % 33 - 16;
	if (range_fits(dst - ARENA, 1, 2 * PAGE)) /* not over itself */
		dst = data_pointer(64);
	set_gpr(c, RSI, src - gen_seg_base(c, op->seg));
	set_gpr(c, RDI, dst - gen_seg_base(c, SEG_ES));
	if (!one_in(16))
		set_gpr(c, RCX, rnd() % (one_in(4) ? 4096 : 40));
}

static void far_pointer(struct test_case *c, u64 at, unsigned size)
{
	static const u16 sels[] = {SEL_CS64, SEL_CS32, SEL_DATA, 0,   3,
				   0x10,     0x1000,   SEL_CS16, 0x43};
	u8 img[10];

	st_le64(img, code_pointer(c));
	st_le16(img + size, sels[rnd() % ARRAY_SIZE(sels)]);
	poke(c, at, img, size + 2);
}

/* IRET's and far RET's frames on the stack. */
static void return_frame(struct test_case *c, bool iret)
{
	unsigned size = c->op.size;
	u64 words[5] = {code_pointer(c), one_in(4) ? SEL_CS32 : SEL_CS64,
			c->in.rflags & ~(u64)(FL_TF | FL_AC), data_pointer(256) & ~15ull, SEL_DATA};
	u8 img[48];

	if (one_in(8))
		words[1] = rnd() & 0x7f;
	if (!iret)
		words[2] = words[3];
	for (unsigned i = 0; i < 5; i++)
		st_le64(img + i * size, words[i]);
	poke(c, c->in.gpr[RSP], img, 5 * size);
}

static void big_image(struct test_case *c, const struct insn *in)
{
	u8 img[576];
	unsigned len = 512;

	random_fx(img);
	if (in->fn == exec_xrstor) {
		memset(img + 512, 0, 64);
		img[512] = (u8)(rnd() & 3);
		len = 576;
	}
	if (one_in(16))
		st_le32(img + 24, (u32)rnd());
	for (unsigned i = 0; i < len; i += 64)
		poke(c, c->target + i, img + i, 64);
}

/* What the row takes from memory is often something that it likes. */
static void memory_contents(struct test_case *c, const struct insn *in)
{
	u8 img[16];

	if (in->attr & A_AVX) {
		for (unsigned i = 0; i < c->op.size; i += 16) {
			random_vec(img);
			poke(c, c->target + i, img, 16);
		}
	} else if (in->attr & A_SSE) {
		random_vec(img);
		poke(c, c->target, img, 16);
	} else if (in->attr & A_FPU && one_in(2)) {
		random_ext(img);
		poke(c, c->target, img, 10);
	} else if (in->fn == exec_fxrstor || in->fn == exec_xrstor) {
		big_image(c, in);
	} else if (in->fn == exec_call_rm || in->fn == exec_jmp_rm) {
		st_le64(img, code_pointer(c));
		poke(c, c->target, img, 8);
	} else if (in->fn == exec_cmpxchg && one_in(2)) {
		st_le64(img, c->in.gpr[RAX]);
		poke(c, c->target, img, 8);
	} else if (in->fn == exec_cmpxchg8b && one_in(2)) {
		st_le64(img, (u32)c->in.gpr[RAX] | c->in.gpr[RDX] << 32);
		poke(c, c->target, img, 8);
	} else if (in->fn == exec_cmpxchg16b && one_in(2)) {
		st_le64(img, c->in.gpr[RAX]);
		st_le64(img + 8, c->in.gpr[RDX]);
		poke(c, c->target, img, 16);
	} else if (in->src == OPND_Mp) {
		far_pointer(c, c->target, c->op.size);
	} else if (in->fn == exec_ldmxcsr) {
		st_le32(img, (u32)rnd() & (one_in(4) ? ~0u : 0xffff));
		poke(c, c->target, img, 4);
	}
}

static bool is_bit_string(const struct insn *in)
{
	return (in->fn == exec_bt || in->fn == exec_bts || in->fn == exec_btr ||
		in->fn == exec_btc) &&
	       in->src == OPND_Gv;
}

static void memory_operand(struct test_case *c, const struct insn *in)
{
	unsigned size = operand_bytes(c);
	u64 target = pick_target(size);

	if ((size >= 16 || in->attr & (A_SSE | A_AVX) || in->feature == FEAT_FXSR) && !one_in(4))
		target &= size >= 32 && in->attr & A_AVX	    ? ~(u64)(size - 1)
			  : size >= 64 || in->feature == FEAT_XSAVE ? ~63ull
								    : ~15ull;
	if ((size > 8 && size != 16 && !(in->attr & A_AVX)) || in->feature == FEAT_XSAVE ||
	    in->feature == FEAT_XSAVEC) {
		/* Which end is looked at first is not the same everywhere. */
		while (!range_fits(target - ARENA, 1, ARENA_SIZE))
			target = pick_target(size) & ~63ull;
	}
	if (in->fn == exec_cmpxchg16b && !one_in(4))
		target &= ~15ull;
	if (in->feature == FEAT_SHA) /* AMD's do not ask for it */
		target &= ~15ull;
	if (is_bit_string(in)) {
		set_gpr(c, c->op.reg >> 3, (u64)(i64)(i16)(one_in(2) ? rnd() : rnd() % 64));
		if (range_fits(target - ARENA, 1, 2 * PAGE))
			target = data_pointer(16);
	}
	aim(c, target);
	memory_contents(c, in);
}

/* An offset in the op's segment; a CPU minds it too where there is a base: see aim(). */
static u64 canonical_target(const struct test_case *c)
{
	u64 base = gen_seg_base(c, c->op.seg), ea = pick_target(1) - base;

	return base && (u64)((i64)(ea << 16) >> 16) != ea ? data_pointer(64) - base : ea;
}

static void implicit_operands(struct test_case *c, const struct insn *in)
{
	u64 *g = c->in.gpr;
	u8 img[8];

	if (in->fn == exec_ret && !one_in(4)) {
		st_le64(img, code_pointer(c));
		poke(c, g[RSP], img, 8);
	} else if (in->fn == exec_ret_far || in->fn == exec_iret) {
		/* What is read before what is checked differs: let all of it be there. */
		set_gpr(c, RSP, data_pointer(256) & ~7ull);
		return_frame(c, in->fn == exec_iret);
		if (in->imm == OPND_Iw)
			c->code[c->code_len - 2] &= 0x3f, c->code[c->code_len - 1] = 0;
	} else if (in->fn == exec_leave || in->fn == exec_enter) {
		set_gpr(c, RBP, pick_target(8));
	} else if (in->fn == exec_xlat) {
		set_gpr(c, RBX, canonical_target(c) - (u8)g[RAX]);
	} else if (in->fn == exec_mmx_maskmov || in->fn == exec_vec_maskmov ||
		   in->fn == exec_avx_maskmovdqu) {
		/* CPUs may or may not fault for bytes that are masked off. */
		set_gpr(c, RDI, data_pointer(16) - gen_seg_base(c, c->op.seg));
	} else if ((in->fn == exec_div || in->fn == exec_idiv) && !one_in(4)) {
		g[RDX] = in->fn == exec_idiv && (i64)g[RAX] < 0 ? ~0ull : rnd() % 4;
		set_gpr(c, RDX, g[RDX]);
	} else if (in->fn == exec_pop_sreg && c->code_off + c->code_len == 2 * PAGE) {
		c->in.rflags &=
			~(u64)FL_TF; /* the fetch that faults comes before the trap, or not */
	} else if (in->fn == exec_pop_sreg && !one_in(4)) {
		static const u16 sels[] = {0, 1, 3, SEL_DATA, SEL_CS64, 0x10, 0x1000};

		st_le64(img, sels[rnd() % ARRAY_SIZE(sels)]);
		poke(c, g[RSP], img, 8);
	} else if ((in->fn == exec_call_rm || in->fn == exec_jmp_rm) && !(c->op.flags & OP_MEM)) {
		if (!one_in(4))
			set_gpr(c, c->op.rm >> 3, code_pointer(c));
	}
	if (in->feature == FEAT_XSAVE || in->feature == FEAT_XSAVEC) {
		g[RAX] &= 3;
		g[RDX] = 0;
	}
}

static bool takes_selector(const struct insn *in)
{
	return in->fn == exec_mov_to_sreg || in->fn == exec_lar || in->fn == exec_lsl ||
	       in->fn == exec_verr || in->fn == exec_verw;
}

/* Selectors that mean the same on both sides, which is not so for all of the host's. */
static void selector_operand(struct test_case *c)
{
	static const u16 sels[] = {0, 2, SEL_DATA, SEL_CS64, SEL_CS32, 0x18, 0x2000, 0x2b & ~3};
	u16 sel = sels[rnd() % ARRAY_SIZE(sels)];
	u8 img[2];

	st_le16(img, sel);
	if (c->op.flags & OP_MEM)
		poke(c, c->target, img, 2);
	else
		set_gpr(c, c->op.rm >> 3, (rnd() & ~0xffffull) | sel);
}

/* A branch that stays within the code pages. */
static void short_branch(struct test_case *c)
{
	i32 rel = (i32)(rnd() % 512) - 256;
	u8 img[4];

	if (last.rel_len < 2 || one_in(16))
		return;
	st_le32(img, (u32)rel);
	memcpy(c->code + c->code_len - last.rel_len, img, last.rel_len);
}

void gen_operands(struct test_case *c)
{
	const struct insn *in = &insns[c->op.row];

	implicit_operands(c, in);
	if (is_string(in))
		string_operands(c);
	else if (gen_is_vsib(in))
		gen_gather(c);
	else if (c->op.flags & OP_MEM || last.disp_len)
		memory_operand(c, in);
	if (takes_selector(in))
		selector_operand(c);
	short_branch(c);
	if (is_string(in) || in->fn == exec_enter || in->fn == exec_pusha ||
	    in->fn == exec_ret_far || in->fn == exec_iret || in->fn == exec_popa ||
	    in->feature == FEAT_FXSR || in->feature == FEAT_XSAVE || in->feature == FEAT_XSAVEC)
		c->in.rflags &= ~(u64)FL_AC;
	/* What has been patched. */
	x86_decode(c->code, c->code_len, mode_code_size(c->mode), c->code_off % PAGE, &c->op);
}
