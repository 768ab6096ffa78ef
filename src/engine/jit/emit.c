/* SPDX-License-Identifier: MIT */
/* emit.c - the encoder of host instructions. */
#include "engine/jit/emit.h"

/* [base + T1 + disp] or [base + disp], as short as it goes. */
static void emit_memory(struct emit *e, unsigned reg, const struct rm_operand *rm)
{
	bool sib = rm->indexed || (rm->reg & 7) == 4;
	unsigned mod = !rm->disp && (rm->reg & 7) != 5 ? 0 : rm->disp == (i8)rm->disp ? 1 : 2;

	emit8(e, (u8)(mod << 6 | reg | (sib ? 4 : rm->reg & 7)));
	if (sib)
		emit8(e, (u8)((rm->indexed ? H_T1 & 7 : 4) << 3 | (rm->reg & 7)));
	if (mod == 1)
		emit8(e, (u8)rm->disp);
	else if (mod == 2)
		emit32(e, (u32)rm->disp);
}

void emit_modrm(struct emit *e, unsigned reg, const struct rm_operand *rm)
{
	reg = (reg & 7) << 3;
	switch (rm->kind) {
	case RM_REG: emit8(e, (u8)(0xc0 | reg | (rm->reg & 7))); break;
	case RM_MEM: emit_memory(e, reg, rm); break;
	default:
		emit8(e, (u8)(reg | 4));
		emit8(e, 0x25); /* disp32 alone */
		emit32(e, (u32)rm->disp);
		break;
	}
}

static u8 rex_of(const struct enc *i)
{
	u8 rex = i->w ? 0x48 : 0;

	if (!i->reg_high && i->reg >= 8)
		rex |= 0x44;
	if (i->byte_reg && !i->reg_high && i->reg >= 4)
		rex |= 0x40;
	if (i->rm.kind == RM_MEM)
		rex |= (u8)((i->rm.reg >= 8 ? 0x41 : 0) | (i->rm.indexed ? 0x42 : 0));
	if (i->rm.kind == RM_REG && !i->rm.high) {
		if (i->rm.reg >= 8)
			rex |= 0x41;
		if (i->byte_rm && i->rm.reg >= 4)
			rex |= 0x40;
	}
	return rex;
}

void emit_insn(struct emit *e, const struct enc *i)
{
	u8 rex = rex_of(i);

	if (i->lock)
		emit8(e, 0xf0);
	if (i->rm.kind == RM_SLOT)
		emit8(e, 0x65);
	if (i->o16)
		emit8(e, 0x66);
	if (i->rep)
		emit8(e, i->rep);
	if (rex)
		emit8(e, rex);
	if (i->map)
		emit8(e, 0x0f);
	if (i->map >= 2)
		emit8(e, i->map == 2 ? 0x38 : 0x3a);
	emit8(e, i->opcode);
	emit_modrm(e, i->reg, &i->rm);
	emit_bytes(e, &i->imm, i->imm_size);
}

void emit_op_slot(struct emit *e, u8 opcode, unsigned reg, i32 disp)
{
	emit_insn(e, &(struct enc){.w = true,
				   .opcode = opcode,
				   .reg = (u8)reg,
				   .rm = {.kind = RM_SLOT, .disp = disp}});
}

void emit_load_slot(struct emit *e, unsigned reg, i32 disp)
{
	emit_op_slot(e, 0x8b, reg, disp);
}

void emit_store_slot(struct emit *e, unsigned reg, i32 disp)
{
	emit_op_slot(e, 0x89, reg, disp);
}

static void byte_op(struct emit *e, u8 opcode, u8 digit, i32 disp, u8 imm)
{
	emit_insn(e, &(struct enc){.opcode = opcode,
				   .reg = digit,
				   .rm = {.kind = RM_SLOT, .disp = disp},
				   .imm_size = 1,
				   .imm = imm});
}

void emit_set_byte(struct emit *e, i32 disp, u8 val)
{
	byte_op(e, 0xc6, 0, disp, val);
}

void emit_cmp_byte(struct emit *e, i32 disp, u8 val)
{
	byte_op(e, 0x80, 7, disp, val);
}

void emit_test_bits(struct emit *e, i32 disp, u8 bits)
{
	byte_op(e, 0xf6, 0, disp, bits);
}

void emit_set_bits(struct emit *e, i32 disp, u8 bits)
{
	byte_op(e, 0x80, 1, disp, bits);
}

void emit_clear_bits(struct emit *e, i32 disp, u8 bits)
{
	byte_op(e, 0x80, 4, disp, (u8)~bits);
}

void emit_copy_byte(struct emit *e, unsigned scratch, i32 to, i32 from)
{
	emit_insn(e, &(struct enc){.opcode = 0x8a,
				   .byte_reg = true,
				   .reg = (u8)scratch,
				   .rm = {.kind = RM_SLOT, .disp = from}});
	emit_insn(e, &(struct enc){.opcode = 0x88,
				   .byte_reg = true,
				   .reg = (u8)scratch,
				   .rm = {.kind = RM_SLOT, .disp = to}});
}

void emit_mov_rr(struct emit *e, unsigned to, unsigned from)
{
	emit_move(e, 8, to, from);
}

void emit_move(struct emit *e, unsigned size, unsigned to, unsigned from)
{
	emit_insn(e, &(struct enc){.w = size == 8,
				   .opcode = 0x8b,
				   .reg = (u8)to,
				   .rm = {.kind = RM_REG, .reg = (u8)from}});
}

void emit_mov_imm(struct emit *e, unsigned reg, u64 imm)
{
	if (imm >> 32) {
		emit8(e, (u8)(0x48 | (reg >= 8)));
		emit8(e, (u8)(0xb8 | (reg & 7)));
		emit_bytes(e, &imm, 8);
		return;
	}
	if (reg >= 8)
		emit8(e, 0x41);
	emit8(e, (u8)(0xb8 | (reg & 7)));
	emit32(e, (u32)imm);
}

/* base, index: host registers, or -1. */
void emit_lea(struct emit *e, unsigned to, int base, int index, unsigned scale, i32 disp)
{
	emit_address(e, 8, to, base, index, scale, disp);
}

void emit_address(struct emit *e, unsigned size, unsigned to, int base, int index, unsigned scale,
		  i32 disp)
{
	u8 rex = (u8)(0x40 | (size == 8) << 3 | (to >= 8) << 2 | (index >= 8) << 1 | (base >= 8));
	unsigned mod = base < 0 ? 0 : disp == 0 && (base & 7) != 5 ? 0 : disp == (i8)disp ? 1 : 2;

	if (base >= 0 && index < 0 && disp == 0) {
		emit_move(e, size, to, (unsigned)base);
		return;
	}
	emit8(e, rex);
	emit8(e, 0x8d);
	if (base >= 0 && index < 0 && (base & 7) != 4) {
		emit8(e, (u8)(mod << 6 | (to & 7) << 3 | (base & 7)));
		if (mod == 2)
			emit32(e, (u32)disp);
		else if (mod == 1)
			emit8(e, (u8)disp);
		return;
	}
	emit8(e, (u8)(mod << 6 | (to & 7) << 3 | 4));
	emit8(e, (u8)(scale << 6 | (index < 0 ? 4 : index & 7) << 3 | (base < 0 ? 5 : base & 7)));
	if (base < 0 || mod == 2)
		emit32(e, (u32)disp);
	else if (mod == 1)
		emit8(e, (u8)disp);
}

static u8 *rel32(struct emit *e)
{
	u8 *site = e->p;

	emit32(e, 0);
	return e->full ? NULL : site;
}

u8 *emit_jump(struct emit *e)
{
	emit8(e, 0xe9);
	return rel32(e);
}

u8 *emit_jcc(struct emit *e, unsigned cc)
{
	emit8(e, 0x0f);
	emit8(e, (u8)(0x80 | cc));
	return rel32(e);
}

u8 *emit_call_rel(struct emit *e)
{
	emit8(e, 0xe8);
	return rel32(e);
}

void emit_jump_to(struct emit *e, const u8 *target)
{
	u8 *site = emit_jump(e);

	if (site)
		patch_here(site, target);
}

void emit_jcc_to(struct emit *e, unsigned cc, const u8 *target)
{
	u8 *site = emit_jcc(e, cc);

	if (site)
		patch_here(site, target);
}

void emit_call_to(struct emit *e, const u8 *target)
{
	u8 *site = emit_call_rel(e);

	if (site)
		patch_here(site, target);
}
