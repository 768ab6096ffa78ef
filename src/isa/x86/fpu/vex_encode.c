/* SPDX-License-Identifier: MIT */
/*
 * vex_encode.c - a decoded VEX or EVEX instruction back into bytes, its operands elsewhere.
 *
 * Source: SDM volume 2A, "Intel Advanced Vector Extensions", "Intel AVX-512 Encoding".
 */
#include "isa/x86/fpu/vex.h"

struct vex_place vex_place_of(const struct op *op)
{
	const struct insn *in = &insns[op->row];
	struct vex_place p = {
		.reg = op->reg, .vvvv = op->vvvv, .rm = op->rm, .index = VEX_NO_INDEX};

	if (in->mrm & MRM_EXT)
		p.reg = op->modrm >> 3 & 7;
	return p;
}

static unsigned pp_of(const struct insn *in)
{
	return in->pfx == PFX_66 ? 1 : in->pfx == PFX_F3 ? 2 : in->pfx == PFX_F2 ? 3 : 0;
}

/* R, X and B as the prefixes have them: inverted, in bits 7 to 5. */
static u8 rxb(const struct vex_place *at)
{
	unsigned r = at->reg >> 3 & 1, b = at->rm >> 3 & 1, x = 0;

	if (at->rm_kind == VEX_RM_REG)
		x = at->rm >> 4;
	else if (at->rm_kind == VEX_RM_MEM)
		x = at->index >> 3;
	else
		b = 0;
	return (u8)(~(r << 7 | x << 6 | b << 5) & 0xe0);
}

static u8 *put_prefix(u8 *p, const struct op *op, const struct vex_place *at)
{
	const struct insn *in = &insns[op->row];
	unsigned w = op->flags & OP_REX_W ? 0x80 : 0;
	unsigned vvvv = (~(unsigned)at->vvvv & 15) << 3;

	if (map_is_evex(in->map)) {
		*p++ = 0x62;
		*p++ = (u8)(rxb(at) | (~(unsigned)at->reg >> 4 & 1) << 4 | (in->map - MAP_E2 + 1));
		*p++ = (u8)(w | vvvv | 4 | pp_of(in));
		*p++ = (u8)((op->evex & ~8u) | (~(unsigned)at->vvvv >> 4 & 1) << 3);
		return p;
	}
	*p++ = 0xc4;
	*p++ = (u8)(rxb(at) | (in->map - MAP_V2 + 1));
	*p++ = (u8)(w | vvvv | (op->evex >> EVEX_L_SHIFT & 1) << 2 | pp_of(in));
	return p;
}

/* With a SIB byte.  In EVEX instructions a displacement of 8 bits counts otherwise. */
static u8 *put_memory(u8 *p, unsigned reg, const struct vex_place *at, bool evex)
{
	bool none = !at->disp && (at->rm & 7) != 5, one = !evex && at->disp == (i8)at->disp;

	*p++ = (u8)((none ? 0 : one ? 0x40 : 0x80) | reg | 4);
	*p++ = (u8)((at->index & 7) << 3 | (at->rm & 7));
	if (none)
		return p;
	st_le32(p, (u32)at->disp);
	return p + (one ? 1 : 4);
}

unsigned vex_encode(u8 *out, const struct op *op, const struct vex_place *at)
{
	const struct insn *in = &insns[op->row];
	unsigned reg = (at->reg & 7u) << 3;
	u8 *p = out;

	if (at->rm_kind == VEX_RM_GS)
		*p++ = 0x65;
	p = put_prefix(p, op, at);
	*p++ = op->opcode;
	if (in->mrm == MRM_NONE)
		return (unsigned)(p - out);
	switch (at->rm_kind) {
	case VEX_RM_REG: *p++ = (u8)(0xc0 | reg | (at->rm & 7)); break;
	case VEX_RM_MEM: p = put_memory(p, reg, at, map_is_evex(in->map)); break;
	default:
		*p++ = (u8)(reg | 4);
		*p++ = 0x25; /* disp32 alone */
		st_le32(p, (u32)at->disp);
		p += 4;
		break;
	}
	if (in->imm != OPND__)
		*p++ = (u8)op->imm;
	return (unsigned)(p - out);
}
