/* SPDX-License-Identifier: MIT */
/*
 * decode.c - x86_decode(): prefixes, opcode, ModRM, and the row of insns[] that they lead to.
 *
 * Source: SDM volume 2A, "Instruction Format".  Where Intel and AMD differ (operand size of
 * near branches in 64-bit code, for one) this is Intel.  XOP encodings are #UD.
 */
#include "isa/x86/decode_priv.h"

struct decode_bucket {
	u16 first; /* in decode_rows[] */
	u8 nr;
	u8 modrm; /* its rows have a ModRM byte */
};

#include "isa/x86/decode_index.h"

bool dec_have(struct dec *d, unsigned n)
{
	if (__builtin_expect(d->pos + n > INSN_MAX, 0)) {
		d->status = DEC_TOO_LONG;
		return false;
	}
	if (__builtin_expect(d->pos + n > d->avail, 0)) {
		d->status = DEC_SHORT;
		return false;
	}
	return true;
}

u64 dec_fetch(struct dec *d, unsigned n)
{
	const u8 *p = d->bytes + d->pos;

	if (!dec_have(d, n))
		return 0;
	d->pos += n;
	switch (n) {
	case 1: return *p;
	case 2: return ld_le16(p);
	case 4: return ld_le32(p);
	default: return ld_le64(p);
	}
}

static u64 fetch_signed(struct dec *d, unsigned n)
{
	unsigned s = 64 - 8 * n;

	return (u64)((i64)(dec_fetch(d, n) << s) >> s);
}

/* Outside FS and GS, segment overrides are ignored in 64-bit code. */
static void set_seg(struct dec *d, enum seg_reg seg)
{
	if (d->cs != CODE64 || seg >= SEG_FS)
		d->seg = seg;
}

/* Consumes b if it is a prefix.  A REX counts only right before the opcode. */
static bool prefix(struct dec *d, u8 b)
{
	u8 rex = 0;

	switch (b) {
	case 0x26: set_seg(d, SEG_ES); break;
	case 0x2e: set_seg(d, SEG_CS); break;
	case 0x36: set_seg(d, SEG_SS); break;
	case 0x3e: set_seg(d, SEG_DS); break;
	case 0x64: set_seg(d, SEG_FS); break;
	case 0x65: set_seg(d, SEG_GS); break;
	case 0x66: d->p66 = true; break;
	case 0x67: d->p67 = true; break;
	case 0xf0: d->lock = true; break;
	case 0xf2:
	case 0xf3: d->rep = b; break;
	default:
		if (d->cs != CODE64 || (b & 0xf0) != 0x40)
			return false;
		rex = b;
		break;
	}
	d->rex = rex;
	d->pos++;
	return true;
}

static enum insn_map opcode_map(struct dec *d, u8 *opcode)
{
	*opcode = (u8)dec_fetch(d, 1);
	if (*opcode != 0x0f)
		return MAP_P1;
	*opcode = (u8)dec_fetch(d, 1);
	if (*opcode == 0x38) {
		*opcode = (u8)dec_fetch(d, 1);
		return MAP_P38;
	}
	if (*opcode == 0x3a) {
		*opcode = (u8)dec_fetch(d, 1);
		return MAP_P3A;
	}
	return MAP_P2;
}

static bool modrm_matches(unsigned mrm, u8 modrm)
{
	if ((mrm & MRM_MOD_REG) && modrm < 0xc0)
		return false;
	if ((mrm & MRM_MOD_MEM) && modrm >= 0xc0)
		return false;
	if ((mrm & MRM_EXT) && (modrm >> 3 & 7) != (mrm & 7))
		return false;
	if ((mrm & MRM_RM) && (modrm & 7) != (mrm >> 3 & 7))
		return false;
	return true;
}

static bool mode_matches(const struct dec *d, u32 attr)
{
	if ((attr & A_NO64) && d->cs == CODE64)
		return false;
	if ((attr & A_ONLY64) && d->cs != CODE64)
		return false;
	if ((attr & A_NOREXB) && (d->rex & REX_B))
		return false;
	if ((attr & A_REXB) && !(d->rex & REX_B))
		return false;
	if ((attr & A_NOREXW) && (d->rex & REX_W))
		return false;
	if ((attr & A_REXW) && !(d->rex & REX_W))
		return false;
	return true;
}

/* The row, or NULL: #UD. */
static const struct insn *find_row(const struct dec *d, const struct decode_bucket *b, u8 modrm)
{
	enum insn_pfx pfx = d->rep == 0xf3   ? PFX_F3
			    : d->rep == 0xf2 ? PFX_F2
			    : d->p66	     ? PFX_66
					     : PFX_NP;
	const u32 picky = A_NO64 | A_ONLY64 | A_NOREXB | A_REXB | A_NOREXW | A_REXW;

	for (unsigned i = 0; i < b->nr; i++) {
		const struct insn *r = &insns[decode_rows[b->first + i]];

		if (r->pfx != PFX_ANY && r->pfx != pfx)
			continue;
		if (!modrm_matches(r->mrm, modrm))
			continue;
		if ((r->attr & picky) && !mode_matches(d, r->attr))
			continue;
		if (r->map >= MAP_V2 && !dec_vex_fits(d, r, modrm))
			continue;
		return r;
	}
	return NULL;
}

static u8 operand_size(const struct dec *d, u32 attr)
{
	if (d->cs == CODE16)
		return d->p66 ? 4 : 2;
	if (d->cs == CODE32)
		return d->p66 ? 2 : 4;
	if ((attr & A_FORCE64) || (d->rex & REX_W))
		return 8;
	if (d->p66)
		return 2;
	return (attr & A_DEF64) ? 8 : 4;
}

static u8 address_size(const struct dec *d)
{
	switch (d->cs) {
	case CODE16: return d->p67 ? 4 : 2;
	case CODE32: return d->p67 ? 2 : 4;
	default: return d->p67 ? 4 : 8;
	}
}

unsigned dec_size_bytes(const struct dec *d, unsigned size)
{
	switch (size) {
	case SZ_V: return d->osize;
	case SZ_Z: return d->osize == 2 ? 2 : 4;
	case SZ_Y: return (d->rex & REX_W) ? 8 : 4;
	case SZ_N: return d->cs == CODE64 ? 8 : 4;
	case SZ_A: return 2 * d->osize;
	case SZ_P: return d->osize + 2;
	case SZ_S: return d->cs == CODE64 ? 10 : 6;
	case SZ_ENV: return d->osize == 2 ? 14 : 28;
	case SZ_SAVE: return d->osize == 2 ? 94 : 108;
	case SZ_X: return 16u << d->vl;
	case SZ_X2: return 8u << d->vl;
	case SZ_X4: return 4u << d->vl;
	case SZ_X8: return 2u << d->vl;
	default: return size;
	}
}

/* Byte offset into st.gpr[] of general register n. */
static u8 gpr_offset(const struct dec *d, unsigned n, unsigned size)
{
	if (size == 1 && !d->rex && n >= 4)
		return (u8)((n - 4) * 8 + 1); /* AH, CH, DH, BH */
	return (u8)(n * 8);
}

static void mem_operand16(struct dec *d, struct op *op)
{
	static const struct {
		u8 base, index;
	} ea[8] = {{RBX, RSI},	    {RBX, RDI},	     {RBP, RSI},      {RBP, RDI},
		   {RSI, GPR_ZERO}, {RDI, GPR_ZERO}, {RBP, GPR_ZERO}, {RBX, GPR_ZERO}};
	unsigned mod = op->modrm >> 6, rm = op->modrm & 7;

	op->base = ea[rm].base;
	op->index = ea[rm].index;
	if (mod == 0 && rm == 6) {
		op->base = GPR_ZERO;
		op->disp = (i32)fetch_signed(d, 2);
	} else if (mod == 1) {
		op->disp = (i32)fetch_signed(d, 1) * (d->disp8 ? d->disp8 : 1);
	} else if (mod == 2) {
		op->disp = (i32)fetch_signed(d, 2);
	}
}

static void mem_operand32(struct dec *d, struct op *op)
{
	unsigned mod = op->modrm >> 6, rm = op->modrm & 7;
	unsigned base = rm;

	if (rm == 4) {
		u8 sib = (u8)dec_fetch(d, 1);
		unsigned index = (sib >> 3 & 7) | (d->rex & REX_X) << 2;

		base = sib & 7;
		op->scale = sib >> 6;
		if (index != RSP || d->vsib)
			op->index = (u8)index;
		else
			op->scale = 0;
	}
	if (mod == 0 && base == 5) {
		op->base = GPR_ZERO;
		if (rm == 5 && d->cs == CODE64) {
			op->base = GPR_PC;
			d->rip_rel = true;
		}
		op->disp = (i32)dec_fetch(d, 4);
		return;
	}
	op->base = (u8)(base | (d->rex & REX_B) << 3);
	if (mod == 1)
		op->disp = (i32)fetch_signed(d, 1) * (d->disp8 ? d->disp8 : 1);
	else if (mod == 2)
		op->disp = (i32)dec_fetch(d, 4);
}

static void mem_operand(struct dec *d, struct op *op)
{
	op->flags |= OP_MEM;
	if (op->asize == 2)
		mem_operand16(d, op);
	else
		mem_operand32(d, op);
	if (d->seg == NO_SEG && (op->base == RSP || op->base == RBP))
		op->seg = SEG_SS;
	if (op->asize != 8)
		op->flags |= OP_EA_SLOW;
}

/* The r/m operand, if it is a register; memory is done. */
static void rm_operand(struct dec *d, struct op *op, const struct operand_desc *o)
{
	unsigned n = (op->modrm & 7) | (d->rex & REX_B) << 3;

	if (op->flags & OP_MEM)
		return;
	switch (o->kind) {
	case OK_RM:
	case OK_RM_REG: op->rm = gpr_offset(d, n, dec_size_bytes(d, o->size)); break;
	case OK_MMX_RM:
	case OK_MMX_RM_REG:
	case OK_STI: op->rm = n & 7; break;
	default: op->rm = (u8)n; break;
	}
}

static void reg_operand(struct dec *d, struct op *op, const struct operand_desc *o)
{
	unsigned low = op->modrm >> 3 & 7, n = low | (d->rex & REX_R) << 1;

	switch (o->kind) {
	case OK_REG: op->reg = gpr_offset(d, n, dec_size_bytes(d, o->size)); break;
	case OK_MMX: op->reg = (u8)low; break;
	case OK_SREG:
		op->reg = (u8)low;
		if (low > SEG_GS)
			d->status = DEC_BAD;
		break;
	case OK_CREG:
		op->reg = (u8)n;
		if (n != 0 && n != 2 && n != 3 && n != 4 && n != 8)
			d->status = DEC_BAD;
		break;
	case OK_DREG:
		op->reg = (u8)n;
		if (n > 7)
			d->status = DEC_BAD;
		break;
	case OK_SREG_OP: op->reg = op->opcode >> 3 & 7; break;
	default: op->reg = (u8)n; break;
	}
}

static void imm_operand(struct dec *d, struct op *op, const struct operand_desc *o)
{
	switch (o->kind) {
	case OK_IMM: op->imm = dec_fetch(d, dec_size_bytes(d, o->size)); break;
	case OK_IS4: op->imm = dec_fetch(d, 1) & (d->cs == CODE64 ? 0xff : 0x7f); break;
	case OK_IMM_SX:
	case OK_REL: op->imm = fetch_signed(d, dec_size_bytes(d, o->size)); break;
	case OK_IMM_ENTER:
		op->imm = dec_fetch(d, 2);
		op->imm |= dec_fetch(d, 1) << 16;
		break;
	case OK_FAR_PTR:
		op->imm = dec_fetch(d, d->osize);
		op->imm |= dec_fetch(d, 2) << 32;
		break;
	case OK_ONE: op->imm = 1; break;
	case OK_SEG_NR: op->imm = o->size; break;
	case OK_COUNT: op->flags |= OP_CL; break;
	default: break;
	}
}

enum slot { SLOT_NONE, SLOT_RM, SLOT_REG, SLOT_VARIES };

/* Which of op's fields an operand of this kind goes into. */
static const u8 kind_slot[] = {
	[OK_RM] = SLOT_RM,	 [OK_RM_REG] = SLOT_RM,	  [OK_MEM] = SLOT_RM,
	[OK_MOFFS] = SLOT_RM,	 [OK_OPREG] = SLOT_RM,	  [OK_VRM] = SLOT_RM,
	[OK_VRM_REG] = SLOT_RM,	 [OK_MMX_RM] = SLOT_RM,	  [OK_MMX_RM_REG] = SLOT_RM,
	[OK_STI] = SLOT_RM,	 [OK_REG] = SLOT_REG,	  [OK_SREG] = SLOT_REG,
	[OK_SREG_OP] = SLOT_REG, [OK_CREG] = SLOT_REG,	  [OK_DREG] = SLOT_REG,
	[OK_VREG] = SLOT_REG,	 [OK_MMX] = SLOT_REG,	  [OK_ACC] = SLOT_VARIES,
	[OK_VVVV] = SLOT_NONE,	 [OK_GVVVV] = SLOT_NONE,  [OK_VSIB] = SLOT_RM,
	[OK_KREG] = SLOT_REG,	 [OK_KVVVV] = SLOT_NONE,  [OK_KRM] = SLOT_RM,
	[OK_KRM_REG] = SLOT_RM,	 [OK_SEG_NR] = SLOT_NONE,
};

static enum slot operand_slot(const struct operand_desc *o, const struct operand_desc *other)
{
	enum slot s = kind_slot[o->kind];

	if (s == SLOT_VARIES)
		s = kind_slot[other->kind] == SLOT_RM ? SLOT_REG : SLOT_RM;
	return s;
}

static void operand(struct dec *d, struct op *op, const struct operand_desc *o, enum slot slot)
{
	switch (o->kind) {
	case OK_MOFFS:
		op->flags |= OP_MEM | OP_EA_SLOW;
		op->imm = dec_fetch(d, op->asize);
		return;
	case OK_OPREG:
		op->rm = gpr_offset(d, (op->opcode & 7) | (d->rex & REX_B) << 3,
				    dec_size_bytes(d, o->size));
		return;
	case OK_ACC: /* RAX: byte offset 0 */ return;
	case OK_STR_DST:
		/* The other operand, if it is a string, has the override. */
		return;
	default: break;
	}
	if (slot == SLOT_RM)
		rm_operand(d, op, o);
	else if (slot == SLOT_REG)
		reg_operand(d, op, o);
}

static enum op_form form_of(enum slot dst, enum slot src, enum operand_kind imm)
{
	bool has_imm = imm != OK_NONE && imm != OK_SEG_NR && imm != OK_XMM0;

	if (dst == SLOT_REG && src == SLOT_RM)
		return has_imm ? FORM_REG_RM_IMM : FORM_REG_RM;
	if (dst == SLOT_RM && src == SLOT_REG)
		return has_imm ? FORM_RM_REG_IMM : FORM_RM_REG;
	if (dst == SLOT_RM || src == SLOT_RM)
		return has_imm ? FORM_RM_IMM : FORM_RM;
	if (dst == SLOT_REG || src == SLOT_REG)
		return FORM_REG;
	return has_imm ? FORM_IMM : FORM_NONE;
}

static bool is_vector(enum operand_kind k)
{
	return k >= OK_VREG && k <= OK_MMX_RM_REG;
}

/* op->size by the operand o; 0 if it has none. */
static unsigned sized_by(const struct dec *d, const struct op *op, const struct operand_desc *o)
{
	if (o->kind == OK_SEG_NR || o->kind == OK_ST0 || o->kind == OK_STI)
		return 0;
	if (o->kind == OK_RM && (op->flags & OP_MEM))
		return dec_size_bytes(d, o->mem);
	return dec_size_bytes(d, o->size);
}

static u8 op_size(const struct dec *d, const struct op *op, const struct operand_desc *dst,
		  const struct operand_desc *src, enum slot dst_slot, enum slot src_slot)
{
	unsigned n = 0;

	if (is_vector(dst->kind) || is_vector(src->kind)) {
		const struct operand_desc *rm = src_slot == SLOT_RM   ? src
						: dst_slot == SLOT_RM ? dst
								      : src;

		n = sized_by(d, op, rm);
	} else {
		if (!(d->row->attr & A_SRCSIZE))
			n = sized_by(d, op, dst);
		if (!n)
			n = sized_by(d, op, src);
	}
	return (u8)(n ? n : d->osize);
}

/* RIP-relative: reckoned from the start of the page, which is what GPR_PC holds. */
static void fix_rip_relative(struct op *op)
{
	i64 disp = (i64)op->disp + op->off + op->len;

	if (op->asize != 8)
		return;
	if (disp == (i32)disp)
		op->disp = (i32)disp;
	else
		op->flags |= OP_EA_SLOW;
}

/* May an operand of this kind be memory, or a register? */
static bool kind_fits(enum operand_kind k, bool mem)
{
	switch (k) {
	case OK_VSIB:
	case OK_MEM: return mem;
	case OK_RM_REG:
	case OK_VRM_REG:
	case OK_MMX_RM_REG:
	case OK_KRM_REG:
	case OK_STI: return !mem;
	default: return true;
	}
}

static void operands_of_row(struct dec *d, struct op *op)
{
	const struct insn *row = d->row;
	const struct operand_desc *dst = &operands[row->dst], *src = &operands[row->src],
				  *imm = &operands[row->imm];
	enum slot ds = operand_slot(dst, src), ss = operand_slot(src, dst);

	bool mem = row->mrm != MRM_NONE && op->modrm < 0xc0 && !(row->attr & A_MODX);

	if (!kind_fits(dst->kind, mem) || !kind_fits(src->kind, mem)) {
		d->status = DEC_BAD;
		return;
	}
	if (mem)
		mem_operand(d, op);
	operand(d, op, dst, ds);
	operand(d, op, src, ss);
	imm_operand(d, op, imm);
	op->form = form_of(ds, ss, imm->kind);
	op->size = op_size(d, op, dst, src, ds, ss);
	if (row->map >= MAP_V2 && row->map < NR_MAPS)
		dec_vex_operands(d, op);
	if (dst->kind == OK_SREG && op->reg == SEG_CS)
		d->status = DEC_BAD;
	if (d->lock && !((row->attr & A_LOCK) && (op->flags & OP_MEM) && ds == SLOT_RM))
		d->status = d->status == DEC_OK ? DEC_BAD : d->status;
}

static void set_prefix_flags(const struct dec *d, struct op *op)
{
	if (d->lock)
		op->flags |= OP_LOCK;
	if (d->row->pfx == PFX_ANY && d->rep)
		op->flags |= d->rep == 0xf3 ? OP_REP : OP_REPNE;
	if (d->rex & REX_W)
		op->flags |= OP_REX_W;
	if (d->p66)
		op->flags |= OP_O32;
}

static void decode(struct dec *d, struct op *op)
{
	const struct decode_bucket *b;
	enum insn_map map;

	while (dec_have(d, 1) && prefix(d, d->bytes[d->pos]))
		;
	if (dec_have(d, 1) && dec_is_vex(d)) {
		map = dec_vex_prefix(d);
		op->opcode = (u8)dec_fetch(d, 1);
	} else {
		map = opcode_map(d, &op->opcode);
	}
	if (d->status != DEC_OK)
		return;
	b = &decode_index[map][op->opcode];
	if (b->modrm)
		op->modrm = (u8)dec_fetch(d, 1);
	if (d->status != DEC_OK)
		return;
	d->row = find_row(d, b, op->modrm);
	if (!d->row) {
		d->status = DEC_BAD;
		return;
	}
	if (map >= MAP_V2)
		dec_vex_row(d, op->modrm);
	d->osize = operand_size(d, d->row->attr);
	op->asize = address_size(d);
	op->seg = d->seg == NO_SEG ? SEG_DS : d->seg;
	operands_of_row(d, op);
	set_prefix_flags(d, op);
}

static void set_row(struct op *op, unsigned row)
{
	op->row = (u16)row;
	op->fn = insns[row].fn;
}

int x86_decode(const u8 *bytes, unsigned avail, enum code_size cs, unsigned page_off, struct op *op)
{
	struct dec d = {.bytes = bytes, .avail = avail, .cs = cs, .seg = NO_SEG};

	*op = (struct op){.off = (u16)page_off, .base = GPR_ZERO, .index = GPR_ZERO};
	decode(&d, op);
	op->len = (u8)d.pos;
	switch (d.status) {
	case DEC_OK:
		set_row(op, (unsigned)(d.row - insns));
		if (d.rip_rel)
			fix_rip_relative(op);
		return op->len;
	case DEC_SHORT: return 0;
	case DEC_TOO_LONG:
		op->len = INSN_MAX;
		set_row(op, ROW_TOO_LONG);
		return -1;
	default: set_row(op, ROW_BAD); return -1;
	}
}

unsigned x86_operand_bytes(const struct op *op, enum code_size cs, enum operand o)
{
	const struct operand_desc *desc = &operands[o];
	struct dec d = {.cs = cs,
			.p66 = op->flags & OP_O32,
			.rex = op->flags & OP_REX_W ? REX_W : 0,
			.evex = op->evex,
			.vl = op->vl,
			.row = &insns[op->row],
			.seg = NO_SEG};
	bool mem = desc->kind == OK_STR_SRC || desc->kind == OK_STR_DST ||
		   (op->flags & OP_MEM && desc->mem && kind_slot[desc->kind] == SLOT_RM);

	if (desc->kind == OK_SEG_NR)
		return 0;
	d.osize = operand_size(&d, insns[op->row].attr);
	return mem ? dec_vex_mem(&d, o) : dec_size_bytes(&d, desc->size);
}

void x86_op_without_feature(struct op *op)
{
	const struct insn *row = &insns[op->row];

	if (row->attr & A_PLAIN) {
		const struct decode_bucket *b = &decode_index[row->map][row->op];

		for (unsigned i = 0; i < b->nr; i++) {
			unsigned r = decode_rows[b->first + i];

			if (insns[r].pfx == PFX_ANY) {
				set_row(op, r);
				op->flags |= row->pfx == PFX_F3 ? OP_REP : OP_REPNE;
				return;
			}
		}
	}
	set_row(op, ROW_BAD);
}
