/* SPDX-License-Identifier: MIT */
/* gen_vex.c - VEX and EVEX prefixes, and vectors of indices: see gen_insn.c. */
#include "insn/gen.h"

#include <string.h>

static const u8 pp[] = {[PFX_66] = 1, [PFX_F3] = 2, [PFX_F2] = 3};

/* What a prefix says, not inverted. */
struct vex {
	unsigned w, l, vvvv, b, x;
};

bool gen_is_vsib(const struct insn *in)
{
	return operands[in->src].kind == OK_VSIB || operands[in->dst].kind == OK_VSIB;
}

void gen_vsib(const struct test_case *c, struct modrm *m)
{
	m->mod = (unsigned)rnd() % 3;
	m->rm = 4;
	m->sib = true;
	m->base = c->mode == MODE64 ? RBX : RSI;
	m->index = (unsigned)rnd() % (c->mode == MODE64 ? 16 : 8);
}

static bool is_pointer_or_counter(unsigned n)
{
	return n == RBX || n == RSI || n == RDI || n == RBP || n == RSP || n >= R12;
}

static bool is_kind(u8 operand, enum operand_kind a, enum operand_kind b)
{
	return operands[operand].kind == a || operands[operand].kind == b;
}

/* In a sequence pointers stay pointers. */
static unsigned pick_vvvv(const struct test_case *c, const struct insn *in, bool seq)
{
	bool gpr = is_kind(in->vvvv, OK_GVVVV, OK_GVVVV) || is_kind(in->dst, OK_GVVVV, OK_GVVVV);
	bool used = in->vvvv != OPND__ || is_kind(in->dst, OK_GVVVV, OK_VVVV);
	unsigned vvvv = (unsigned)rnd() & (c->mode == MODE64 ? 15 : 7);

	if (!used && (seq || !one_in(64)))
		return 0;
	if (is_kind(in->vvvv, OK_KVVVV, OK_KVVVV))
		vvvv &= 7;
	return seq && gpr && is_pointer_or_counter(vvvv) ? RDX : vvvv;
}

static void legacy_prefixes(struct test_case *c, bool seq)
{
	if (one_in(12))
		gen_byte(c, 0x67);
	if (one_in(12) && !seq)
		gen_byte(c, one_in(2) ? 0x64 : 0x65);
	if (one_in(100) && !seq)
		gen_byte(c, one_in(2) ? 0x66 : 0xf0);
}

static unsigned pick_aaa(const struct insn *in, bool seq)
{
	if (!seq && one_in(64))
		return (unsigned)rnd() & 7;
	if (in->evex & EV_MUST)
		return 1 + (unsigned)rnd() % 7;
	return in->evex & EV_K && one_in(2) ? (unsigned)rnd() & 7 : 0;
}

/* z, L'L, b, aaa as the row allows; what an AMD ignores of the rest, an Intel does not. */
static unsigned pick_p2(const struct insn *in, unsigned l, bool mem, bool seq)
{
	unsigned aaa = pick_aaa(in, seq), p2 = l << 5 | aaa;
	bool store = mem && operands[in->dst].mem;
	bool b = mem ? in->evex & EV_B : in->evex & (EV_ER | EV_SAE);

	if (aaa && in->evex & EV_Z && !store && one_in(2))
		p2 |= 0x80;
	if (b && one_in(3)) {
		p2 |= 0x10;
		if (!mem)
			p2 = (p2 & ~0x60u) | ((unsigned)rnd() & 3) << 5;
	}
	return p2;
}

static bool has_vector(const struct insn *in, enum operand_kind a, enum operand_kind b)
{
	return is_kind(in->dst, a, b) || is_kind(in->src, a, b);
}

/* Vector registers have a fifth bit of their number. */
static void evex(struct test_case *c, const struct insn *in, const struct modrm *m, struct vex v,
		 bool seq)
{
	bool mem = m->mod != 3, wide = c->mode == MODE64;
	bool reg16 = has_vector(in, OK_VREG, OK_VREG) && one_in(2);
	bool vvvv16 = (is_kind(in->vvvv, OK_VVVV, OK_VVVV) || is_kind(in->dst, OK_VVVV, OK_VVVV) ||
		       gen_is_vsib(in)) &&
		      one_in(2);

	if (!mem)
		v.x = has_vector(in, OK_VRM, OK_VRM_REG) && one_in(2);
	if (!seq && one_in(100))
		reg16 = vvvv16 = !is_kind(in->dst, OK_KREG, OK_KREG);
	if (!wide)
		v.x = v.b = reg16 = vvvv16 = 0;
	gen_byte(c, 0x62);
	gen_byte(c, (~m->reg & 8) << 4 | (v.x ? 0 : 0x40) | (v.b ? 0 : 0x20) | (reg16 ? 0 : 0x10) |
			    (in->map - MAP_E2 + 1));
	gen_byte(c, v.w << 7 | (~v.vvvv & 15) << 3 | 4 | pp[in->pfx]);
	gen_byte(c, pick_p2(in, v.l, mem, seq) | (vvvv16 ? 0 : 8));
}

/*
 * Not with a fourth bit of an opmask's number: an AMD ignores it, on an Intel it is #UD.
 */
static void gen_opmask(const struct insn *in, struct modrm *m)
{
	if (has_vector(in, OK_KREG, OK_KREG))
		m->reg &= 7;
	if (m->mod == 3 && has_vector(in, OK_KRM, OK_KRM_REG))
		m->rm &= 7;
}

void gen_vex(struct test_case *c, const struct insn *in, struct modrm *m, bool seq)
{
	bool is_evex = map_is_evex(in->map);
	struct vex v = {.w = in->vex_w ? in->vex_w == W_W1 : (unsigned)rnd() & 1,
			.vvvv = pick_vvvv(c, in, seq),
			.x = m->sib ? m->index & 8 : 0};

	gen_opmask(in, m);
	v.b = m->sib ? m->base & 8 : m->rm & 8;
	do
		v.l = (unsigned)rnd() % (is_evex ? 3 : 2);
	while (in->vex_l && !(in->vex_l >> v.l & 1) && !(one_in(64) && !seq));
	legacy_prefixes(c, seq);
	if (is_evex) {
		evex(c, in, m, v, seq);
		return;
	}
	if (in->map == MAP_V2 && !v.w && !v.b && !v.x && one_in(2)) {
		gen_byte(c, 0xc5);
		gen_byte(c, (~m->reg & 8) << 4 | (~v.vvvv & 15) << 3 | v.l << 2 | pp[in->pfx]);
		return;
	}
	gen_byte(c, 0xc4);
	gen_byte(c,
		 (~m->reg & 8) << 4 | (v.x ? 0 : 0x40) | (v.b ? 0 : 0x20) | (in->map - MAP_V2 + 1));
	gen_byte(c, v.w << 7 | (~v.vvvv & 15) << 3 | v.l << 2 | pp[in->pfx]);
}

/* --- indices --------------------------------------------------------------------------------- */

/* Element i of vector register n; its low 16 bytes are in fx if it is one of the first 16. */
static u8 *vec_element(struct test_case *c, unsigned n, unsigned i, unsigned size)
{
	unsigned at = i * size;

	return n < 16 && at < 16 ? c->in.fx + 160 + 16 * n + at : c->in.v[n].b + at;
}

/* They lead here and there, most of them to memory that is there. */
void gen_gather(struct test_case *c)
{
	const struct op *op = &c->op;
	unsigned size = op->opcode & 1 ? 8 : 4;
	u64 base = data_pointer(64) - gen_seg_base(c, op->seg);
	bool bad = one_in(3);

	/* A trap may come in between two elements. */
	c->in.rflags &= ~(u64)(FL_TF | FL_AC);
	set_gpr(c, op->base & 15, base - (u64)(i64)op->disp);
	c->target = base + gen_seg_base(c, op->seg);
	for (unsigned i = 0; i < (16u << op->vl) / size; i++) {
		i64 off = (i64)(rnd() % 4096) - 2048;
		u8 img[8];

		if (bad && one_in(3))
			off = one_in(2) ? (i64)(i32)rnd() : (i64)(rnd() % 0x8000) - 0x4000;
		st_le64(img, (u64)(off >> op->scale));
		memcpy(vec_element(c, op->index, i, size), img, size);
	}
}
