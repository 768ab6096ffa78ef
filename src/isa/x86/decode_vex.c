/* SPDX-License-Identifier: MIT */
/*
 * decode_vex.c - VEX and EVEX prefixes: operands, vector length, masks, broadcast, rounding.
 *
 * Source: SDM volume 2A, "Intel Advanced Vector Extensions", "Intel AVX-512 Encoding".
 */
#include "isa/x86/decode_priv.h"

enum { VEX2 = 0xc5, VEX3 = 0xc4, EVEX = 0x62 };

/* Outside 64-bit code the bytes are LES, LDS and BOUND with a memory operand. */
bool dec_is_vex(struct dec *d)
{
	u8 b = d->bytes[d->pos];

	if (b != VEX2 && b != VEX3 && b != EVEX)
		return false;
	return d->cs == CODE64 || !dec_have(d, 2) || d->bytes[d->pos + 1] >= 0xc0;
}

/* What is missing or too long is so first of all. */
static void bad(struct dec *d)
{
	if (d->status == DEC_OK)
		d->status = DEC_BAD;
}

static void set_pp(struct dec *d, unsigned pp)
{
	d->p66 = pp == 1;
	d->rep = pp == 2 ? 0xf3 : pp == 3 ? 0xf2 : 0;
}

static enum insn_map map_of(struct dec *d, unsigned mmm, enum insn_map first)
{
	if (mmm < 1 || mmm > 3) {
		bad(d);
		return first;
	}
	return first + (mmm - 1);
}

static enum insn_map evex_prefix(struct dec *d)
{
	u8 p0 = (u8)dec_fetch(d, 1), p1 = (u8)dec_fetch(d, 1), p2 = (u8)dec_fetch(d, 1);

	if (d->status != DEC_OK)
		return MAP_E2;
	d->rex = (u8)(~p0 >> 5 & 7) | (p1 >> 7) << 3;
	d->reg16 = !(p0 & 0x10);
	d->vvvv16 = !(p2 & 8);
	d->vvvv = (~p1 >> 3 & 15) | (unsigned)d->vvvv16 << 4;
	d->evex = p2 & (u8)~8u;
	set_pp(d, p1 & 3);
	if (p0 & 8 || !(p1 & 4))
		bad(d);
	return map_of(d, p0 & 7, MAP_E2);
}

enum insn_map dec_vex_prefix(struct dec *d)
{
	bool legacy = d->p66 || d->rep || d->lock || d->rex;
	u8 kind = (u8)dec_fetch(d, 1), b;
	enum insn_map map;

	if (kind == EVEX) {
		map = evex_prefix(d);
	} else if (kind == VEX2) {
		b = (u8)dec_fetch(d, 1);
		d->rex = b & 0x80 ? 0 : REX_R;
		map = MAP_V2;
	} else {
		b = (u8)dec_fetch(d, 1);
		d->rex = ~b >> 5 & 7;
		map = map_of(d, b & 31, MAP_V2);
		b = (u8)dec_fetch(d, 1);
		d->rex |= b & 0x80 ? REX_W : 0;
	}
	if (kind != EVEX) {
		d->vvvv = ~b >> 3 & 15;
		d->evex = (u8)((b >> 2 & 1) << EVEX_L_SHIFT);
		set_pp(d, b & 3);
	}
	if (d->cs != CODE64) { /* eight registers; what is left of the bits is ignored */
		d->rex &= REX_W;
		d->reg16 = false;
	}
	if (legacy)
		bad(d);
	return map;
}

static unsigned ll(const struct dec *d)
{
	return d->evex >> EVEX_L_SHIFT & 3;
}

bool dec_vex_fits(const struct dec *d, const struct insn *row, u8 modrm)
{
	unsigned w = d->rex & REX_W ? W_W1 : W_W0, l = 1u << ll(d);

	if (row->vex_w && !(row->vex_w & w))
		return false;
	if (map_is_evex(row->map) && d->evex & EVEX_B && modrm >= 0xc0 &&
	    row->evex & (EV_ER | EV_SAE))
		return row->vex_l == L_LIG || row->vex_l & L_L2; /* L'L is the rounding */
	return row->vex_l == L_LIG ? ll(d) < 3 || !map_is_evex(row->map) : row->vex_l & l;
}

/* What vvvv is: a source, or the destination; OK_NONE: nothing. */
static enum operand_kind vvvv_kind(const struct insn *row)
{
	enum operand_kind k = operands[row->vvvv].kind, dst = operands[row->dst].kind;

	return k == OK_NONE && (dst == OK_VVVV || dst == OK_GVVVV) ? dst : k;
}

static bool mask_is_bad(const struct dec *d, bool mem)
{
	const struct insn *row = d->row;
	bool k = d->evex & EVEX_AAA, z = d->evex & EVEX_Z;

	if (z && (!k || !(row->evex & EV_Z) || (mem && operands[row->dst].kind == OK_VRM)))
		return true;
	return k ? !(row->evex & EV_K) : row->evex & EV_MUST;
}

static bool prefix_is_bad(const struct dec *d, bool mem)
{
	const struct insn *row = d->row;
	unsigned unused = d->vsib ? d->vvvv & 15 : d->vvvv;

	if (vvvv_kind(row) == OK_NONE && unused)
		return true;
	if (!map_is_evex(row->map))
		return false;
	if (d->evex & EVEX_B && !(row->evex & (mem ? EV_B : EV_ER | EV_SAE)))
		return true;
	return mask_is_bad(d, mem) || (d->cs != CODE64 && d->vvvv16);
}

void dec_vex_row(struct dec *d, u8 modrm)
{
	const struct insn *row = d->row;
	bool mem = modrm < 0xc0 && row->mrm != MRM_NONE;

	d->vsib = operands[row->dst].kind == OK_VSIB || operands[row->src].kind == OK_VSIB;
	/* General registers have 32 bits outside 64-bit code, whatever W says. */
	if (d->cs != CODE64 && row->vex_w == W_WIG)
		d->rex &= ~REX_W;
	if (row->vex_l == L_LIG)
		d->vl = 0;
	else if (map_is_evex(row->map) && d->evex & EVEX_B && !mem)
		d->vl = 2;
	else
		d->vl = (u8)ll(d);
	if (prefix_is_bad(d, mem)) {
		bad(d);
		return;
	}
	if (map_is_evex(row->map) && mem) {
		const struct operand_desc *dst = &operands[row->dst];
		bool store = dst->mem != 0;

		d->disp8 = (u8)dec_vex_mem(d, store ? row->dst : row->src);
		if (row->evex & EV_PACK)
			d->disp8 = row->elem;
	}
}

unsigned dec_vex_mem(const struct dec *d, enum operand o)
{
	unsigned whole = dec_size_bytes(d, operands[o].mem);

	if (!map_is_evex(d->row->map) || !(d->evex & EVEX_B))
		return whole;
	return whole * d->row->elem / (16u << d->vl);
}

static void add_vvvv(struct dec *d, struct op *op)
{
	if (d->cs != CODE64)
		d->vvvv &= 7;
	switch (vvvv_kind(d->row)) {
	case OK_GVVVV: op->vvvv = (u8)(d->vvvv * 8); break;
	case OK_KVVVV:
		op->vvvv = d->vvvv & 7;
		if (d->vvvv > 7)
			bad(d);
		break;
	default: op->vvvv = d->vvvv; break;
	}
}

/* Bit 4 of the numbers of vector registers; opmasks have three bits. */
static void extend_reg(struct dec *d, struct op *op, const struct operand_desc *o)
{
	if (o->kind == OK_VREG) {
		op->reg |= (u8)(d->reg16 << 4);
	} else if (o->kind == OK_REG) {
		if (d->reg16)
			bad(d);
	} else if (o->kind == OK_KREG) {
		if (op->reg > 7 || d->reg16)
			bad(d);
	} else if ((o->kind == OK_VRM || o->kind == OK_VRM_REG) && !(op->flags & OP_MEM)) {
		if (map_is_evex(d->row->map))
			op->rm |= d->rex & REX_X ? 16 : 0;
	} else if (o->kind == OK_KRM || o->kind == OK_KRM_REG) {
		op->rm &= 7;
	}
}

/* Of a gather, all vector registers are different ones. */
static void vsib(struct dec *d, struct op *op)
{
	bool gather = operands[d->row->dst].kind == OK_VREG;
	bool mask = d->row->vvvv != OPND__;

	op->index |= (u8)(d->vvvv16 << 4);
	if ((op->modrm & 7) != 4 || op->asize == 2 || (gather && op->reg == op->index) ||
	    (mask && (op->vvvv == op->reg || op->vvvv == op->index)))
		bad(d);
}

void dec_vex_operands(struct dec *d, struct op *op)
{
	const struct operand_desc *dst = &operands[d->row->dst], *src = &operands[d->row->src];

	op->vl = d->vl;
	op->evex = d->evex;
	add_vvvv(d, op);
	extend_reg(d, op, dst);
	extend_reg(d, op, src);
	if (d->vsib)
		vsib(d, op);
	if (op->flags & OP_MEM)
		op->size = (u8)dec_vex_mem(d, dst->mem ? d->row->dst : d->row->src);
}
