/* SPDX-License-Identifier: MIT */
/*
 * insn.c - instructions that become the same instruction on the host.
 *
 * What is not here runs by its exec function, so this file may be incomplete but not wrong.
 * A row of the table below says how an instruction's host form is built; operands from
 * struct op replace those of the guest's encoding.
 */
#include "engine/jit/translate.h"
#include "isa/x86/exec.h"

enum shape {
	S_ALU, /* opcode: the group's number: add 0, or 1 ... cmp 7 */
	S_TEST,
	S_MOV,
	S_EXTEND, /* 0F opcode: source is a byte or word (imm: its size) */
	S_MOVSXD,
	S_LEA,
	S_UNARY,  /* F6/FE group: digit in opcode's low bits */
	S_SHIFT,  /* C0/D0/D2 group: digit */
	S_SHIFT2, /* SHLD, SHRD: 0F opcode, by an immediate or CL */
	S_IMUL2,
	S_IMUL3,
	S_MUL, /* F6/F7: MUL, IMUL: digit */
	S_DIV,
	S_CMOV,
	S_SETCC,
	S_0F_G_E, /* 0F opcode, reg <- r/m */
	S_F3_G_E, /* the same with F3 */
	S_BT,	  /* 0F BA /digit by an immediate, or by a register on a register */
	S_BSWAP,
	S_CBW,
	S_CWD,
	S_NOP,
	S_PUSH,
	S_POP,
	S_LEAVE,
	S_XCHG,
	S_XADD,
	S_CMPXCHG,
};

static const struct native {
	exec_fn *exec;
	u8 shape, opcode, imm;
} natives[] = {
	{exec_mov, S_MOV},
	{exec_add, S_ALU, 0},
	{exec_or, S_ALU, 1},
	{exec_adc, S_ALU, 2},
	{exec_sbb, S_ALU, 3},
	{exec_and, S_ALU, 4},
	{exec_sub, S_ALU, 5},
	{exec_xor, S_ALU, 6},
	{exec_cmp, S_ALU, 7},
	{exec_test, S_TEST},
	{exec_lea, S_LEA},
	{exec_movzx8, S_EXTEND, 0xb6, 1},
	{exec_movzx16, S_EXTEND, 0xb7, 2},
	{exec_movsx8, S_EXTEND, 0xbe, 1},
	{exec_movsx16, S_EXTEND, 0xbf, 2},
	{exec_movsx32, S_MOVSXD, 0, 4},
	{exec_inc, S_UNARY, 0},
	{exec_dec, S_UNARY, 1},
	{exec_not, S_UNARY, 2},
	{exec_neg, S_UNARY, 3},
	{exec_rol, S_SHIFT, 0},
	{exec_ror, S_SHIFT, 1},
	{exec_rcl, S_SHIFT, 2},
	{exec_rcr, S_SHIFT, 3},
	{exec_shl, S_SHIFT, 4},
	{exec_shr, S_SHIFT, 5},
	{exec_sar, S_SHIFT, 7},
	{exec_shld, S_SHIFT2, 0xa4},
	{exec_shrd, S_SHIFT2, 0xac},
	{exec_imul2, S_IMUL2},
	{exec_imul3, S_IMUL3},
	{exec_mul, S_MUL, 4},
	{exec_imul1, S_MUL, 5},
	{exec_div, S_DIV},
	{exec_cmovcc, S_CMOV},
	{exec_setcc, S_SETCC},
	{exec_bsf, S_0F_G_E, 0xbc},
	{exec_bsr, S_0F_G_E, 0xbd},
	{exec_popcnt, S_F3_G_E, 0xb8},
	{exec_tzcnt, S_F3_G_E, 0xbc},
	{exec_lzcnt, S_F3_G_E, 0xbd},
	{exec_bt, S_BT, 4},
	{exec_bts, S_BT, 5},
	{exec_btr, S_BT, 6},
	{exec_btc, S_BT, 7},
	{exec_bswap, S_BSWAP},
	{exec_cbw, S_CBW},
	{exec_cwd, S_CWD},
	{exec_nop, S_NOP},
	{exec_push, S_PUSH},
	{exec_pop, S_POP},
	{exec_leave, S_LEAVE},
	{exec_xchg, S_XCHG},
	{exec_xadd, S_XADD},
	{exec_cmpxchg, S_CMPXCHG},
};

static const struct native *find_native(const struct op *op)
{
	exec_fn *exec = tr_insn(op)->fn;

	for (unsigned i = 0; i < ARRAY_SIZE(natives); i++)
		if (natives[i].exec == exec)
			return &natives[i];
	return NULL;
}

/* --- operands ----------------------------------------------------------------------------- */

static bool is_high(unsigned byte_off)
{
	return byte_off & 7;
}

/* The register operand in ModRM.reg: its home, or scratch loaded from memory if it is read. */
static void use_reg(struct tr *t, struct enc *i, unsigned byte_off, bool read)
{
	unsigned g = byte_off >> 3;
	int home = tr_home(g);

	if (is_high(byte_off)) {
		i->reg = (u8)(g + 4);
		i->reg_high = true;
	} else if (home >= 0) {
		i->reg = (u8)home;
	} else {
		i->reg = tr_use_temp(t);
		if (read)
			emit_load_slot(&t->e, t->temp, GPR_SLOT(g));
	}
}

/* ... and back, if it lives in memory.  32-bit results are zero-extended already. */
static void put_reg(struct tr *t, unsigned byte_off)
{
	unsigned g = byte_off >> 3;

	if (!is_high(byte_off) && tr_home(g) < 0)
		emit_store_slot(&t->e, t->temp, GPR_SLOT(g));
}

/* The r/m operand: a register, its slot in memory, or what was checked. */
static void use_rm(const struct tr *t, struct enc *i, const struct op *op)
{
	unsigned g = op->rm >> 3;

	if (op->flags & OP_MEM)
		i->rm = t->mem;
	else if (is_high(op->rm))
		i->rm = (struct rm_operand){.kind = RM_REG, .reg = (u8)(g + 4), .high = true};
	else if (tr_home(g) >= 0)
		i->rm = (struct rm_operand){.kind = RM_REG, .reg = (u8)tr_home(g)};
	else
		i->rm = (struct rm_operand){.kind = RM_SLOT, .disp = GPR_SLOT(g)};
}

/* A 32-bit result in a slot: its upper half is zero. */
static void zero_upper(struct tr *t, const struct enc *i, unsigned size)
{
	if (i->rm.kind != RM_SLOT || size != 4)
		return;
	emit_insn(&t->e, &(struct enc){.opcode = 0xc7,
				       .rm = {.kind = RM_SLOT, .disp = i->rm.disp + 4},
				       .imm_size = 4});
}

static void set_size(struct enc *i, unsigned size)
{
	i->o16 = size == 2;
	i->w = size == 8;
}

/* AH to BH cannot stand beside what needs a REX prefix: memory is at [R10]. */
static bool high_conflict(const struct op *op)
{
	bool reg_high = is_high(op->reg), rm_high = !(op->flags & OP_MEM) && is_high(op->rm);

	if (op->form == FORM_RM_IMM || op->form == FORM_RM)
		return false;
	if (reg_high && (op->flags & OP_MEM)) /* r10, r11 */
		return true;
	if (reg_high && !rm_high && op->rm >> 3 >= 4)
		return true;
	return rm_high && !reg_high && op->reg >> 3 >= 4;
}

static void memory(struct tr *t, const struct op *op, unsigned size, bool write)
{
	if (op->flags & OP_MEM)
		tr_memory(t, op, size, write, 1);
}

/* Flags into the host's register for a form without memory; tr_address() does it for others. */
static void flags_for(struct tr *t, const struct op *op)
{
	if (!(op->flags & OP_MEM))
		tr_flags_for(t, op);
}

static void imm_of(struct enc *i, unsigned size, u64 imm)
{
	i->imm_size = (u8)(size > 4 ? 4 : size);
	i->imm = imm;
}

/* --- shapes ------------------------------------------------------------------------------- */

/* r/m and reg, in either direction; opcode is that of "r/m8, r8". */
static void two_operands(struct tr *t, const struct op *op, u8 opcode, bool reads_dst, bool writes)
{
	bool to_reg = op->form == FORM_REG_RM;
	struct enc i = {.opcode = (u8)(opcode + (op->size > 1) + (to_reg ? 2 : 0)),
			.byte_reg = op->size == 1,
			.byte_rm = op->size == 1,
			.lock = op->flags & OP_LOCK};

	memory(t, op, op->size, !to_reg && writes);
	flags_for(t, op);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	use_reg(t, &i, op->reg, !to_reg || reads_dst || op->size < 4);
	emit_insn(&t->e, &i);
	if (to_reg && writes)
		put_reg(t, op->reg);
	if (!to_reg && writes)
		zero_upper(t, &i, op->size);
}

static void rm_imm(struct tr *t, const struct op *op, u8 opcode, u8 digit, bool writes)
{
	struct enc i = {.opcode = (u8)(opcode + (op->size > 1)),
			.reg = digit,
			.byte_rm = op->size == 1,
			.lock = op->flags & OP_LOCK};

	memory(t, op, op->size, writes);
	flags_for(t, op);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	imm_of(&i, op->size, op->imm);
	emit_insn(&t->e, &i);
	if (writes)
		zero_upper(t, &i, op->size);
}

static void emit_alu(struct tr *t, const struct op *op, unsigned group)
{
	bool writes = group != 7;

	if (op->form == FORM_RM_IMM)
		rm_imm(t, op, 0x80, (u8)group, writes);
	else
		two_operands(t, op, (u8)(group << 3), true, writes);
}

/* 64-bit immediates do not fit ModRM forms. */
static bool emit_mov(struct tr *t, const struct op *op)
{
	bool wide = op->size == 8 && (u64)(i64)(i32)op->imm != op->imm;
	int home = tr_home(op->rm >> 3);

	if (op->form != FORM_RM_IMM) {
		two_operands(t, op, 0x88, false, true);
		return true;
	}
	if (!wide) {
		rm_imm(t, op, 0xc6, 0, true);
		return true;
	}
	if (op->flags & OP_MEM)
		return false;
	emit_mov_imm(&t->e, home >= 0 ? (unsigned)home : H_T0, op->imm);
	if (home < 0)
		emit_store_slot(&t->e, H_T0, GPR_SLOT(op->rm >> 3));
	return true;
}

/* reg <- r/m, source of another size than the destination. */
static void emit_g_e(struct tr *t, const struct op *op, struct enc i, unsigned from, bool reads_dst)
{
	memory(t, op, from, false);
	flags_for(t, op);
	i.byte_rm = from == 1;
	set_size(&i, op->size);
	use_rm(t, &i, op);
	use_reg(t, &i, op->reg, reads_dst || op->size < 4);
	emit_insn(&t->e, &i);
	put_reg(t, op->reg);
}

static void emit_lea_op(struct tr *t, const struct op *op)
{
	struct enc i = {.opcode = 0x8b, .rm = {.kind = RM_REG, .reg = H_T0}};
	int home = tr_home(op->reg >> 3);

	tr_ea(t, op);
	set_size(&i, op->size);
	if (home >= 0) {
		i.reg = (u8)home;
		emit_insn(&t->e, &i);
		return;
	}
	/* Into the slot: 4 bytes zero the upper half. */
	if (op->size == 4)
		emit_insn(&t->e, &(struct enc){.opcode = 0x8b,
					       .reg = H_T0,
					       .rm = {.kind = RM_REG, .reg = H_T0}});
	emit_insn(&t->e, &(struct enc){.o16 = op->size == 2,
				       .w = op->size != 2,
				       .opcode = 0x89,
				       .reg = H_T0,
				       .rm = {.kind = RM_SLOT, .disp = GPR_SLOT(op->reg >> 3)}});
}

static void emit_group(struct tr *t, const struct op *op, u8 opcode, u8 digit, u8 imm_size)
{
	struct enc i = {.opcode = (u8)(opcode + (op->size > 1)),
			.reg = digit,
			.byte_rm = op->size == 1,
			.lock = op->flags & OP_LOCK,
			.imm_size = imm_size,
			.imm = op->imm};

	memory(t, op, op->size, true);
	flags_for(t, op);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	emit_insn(&t->e, &i);
	zero_upper(t, &i, op->size);
}

static void emit_shift2(struct tr *t, const struct op *op, u8 opcode)
{
	bool cl = op->flags & OP_CL;
	struct enc i = {.map = 1, .opcode = (u8)(opcode + cl), .imm_size = !cl, .imm = op->imm};

	memory(t, op, op->size, true);
	flags_for(t, op);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	use_reg(t, &i, op->reg, true);
	emit_insn(&t->e, &i);
	zero_upper(t, &i, op->size);
}

/* MUL and IMUL of rDX:rAX: only the source is coded. */
static void emit_mul(struct tr *t, const struct op *op, u8 digit)
{
	struct enc i = {
		.opcode = (u8)(0xf6 + (op->size > 1)), .reg = digit, .byte_rm = op->size == 1};

	memory(t, op, op->size, false);
	flags_for(t, op);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	emit_insn(&t->e, &i);
}

/* Unsigned only, where the quotient fits: rDX < the divisor, which so is not 0. */
static bool emit_div(struct tr *t, const struct op *op)
{
	struct enc cmp = {.opcode = 0x3b, .reg = H_RDX}, div = {.opcode = 0xf7, .reg = 6};

	if (op->size < 4)
		return false;
	tr_spill_live(t, op); /* some are the guest's that DIV keeps, not the compare's */
	memory(t, op, op->size, false);
	t->home = FLAGS_MEMORY;
	set_size(&cmp, op->size);
	set_size(&div, op->size);
	use_rm(t, &cmp, op);
	use_rm(t, &div, op);
	emit_insn(&t->e, &cmp);
	tr_cold_jcc(t, op, 3);
	tr_flags_for(t, op);
	emit_insn(&t->e, &div);
	return true;
}

static void emit_setcc(struct tr *t, const struct op *op)
{
	struct enc i = {.map = 1, .opcode = (u8)(0x90 | (op->opcode & 15)), .byte_rm = true};

	memory(t, op, 1, true);
	flags_for(t, op);
	use_rm(t, &i, op);
	emit_insn(&t->e, &i);
}

static bool emit_bt(struct tr *t, const struct op *op, u8 digit)
{
	bool writes = digit != 4;
	struct enc i = {.map = 1, .lock = op->flags & OP_LOCK};

	if (op->form == FORM_RM_IMM) {
		i.opcode = 0xba;
		i.reg = digit;
		i.imm_size = 1;
		i.imm = op->imm & (8 * op->size - 1);
		memory(t, op, op->size, writes);
	} else if (op->flags & OP_MEM) {
		return false; /* the bit may lie far from the address */
	} else {
		i.opcode = (u8)(0x83 | digit << 3);
	}
	flags_for(t, op);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	if (op->form != FORM_RM_IMM) {
		if (i.rm.kind == RM_SLOT) /* there too */
			return false;
		use_reg(t, &i, op->reg, true);
	}
	emit_insn(&t->e, &i);
	if (writes)
		zero_upper(t, &i, op->size);
	return true;
}

static bool emit_bswap(struct tr *t, const struct op *op)
{
	int home = tr_home(op->rm >> 3);

	int reg = home >= 0 ? home : H_T0;

	if (op->form != FORM_RM || op->size < 4)
		return false;
	if (home < 0)
		emit_load_slot(&t->e, H_T0, GPR_SLOT(op->rm >> 3));
	if (op->size == 8 || reg >= 8)
		emit8(&t->e, (u8)(0x40 | (op->size == 8 ? 8 : 0) | (reg >= 8)));
	emit8(&t->e, 0x0f);
	emit8(&t->e, (u8)(0xc8 | (reg & 7)));
	if (home < 0)
		emit_store_slot(&t->e, H_T0, GPR_SLOT(op->rm >> 3));
	return true;
}

static void emit_bare(struct tr *t, unsigned size, u8 opcode)
{
	if (size == 2)
		emit8(&t->e, 0x66);
	if (size == 8)
		emit8(&t->e, 0x48);
	emit8(&t->e, opcode);
}

/* A word: what the stack holds. */
static void move_slot(struct tr *t, u8 opcode, unsigned reg, const struct rm_operand *rm)
{
	emit_insn(&t->e,
		  &(struct enc){.w = t->word == 8, .opcode = opcode, .reg = (u8)reg, .rm = *rm});
}

/* The value waits in memory while the stack's address is checked. */
static void push_memory(struct tr *t, const struct op *op)
{
	tr_memory(t, op, t->word, false, 1);
	move_slot(t, 0x8b, H_T0, &t->mem);
	emit_store_slot(&t->e, H_T0, CPU_OFF(jit_target));
	tr_stack(t, op, -t->word, t->word, true);
	emit_load_slot(&t->e, tr_use_temp(t), CPU_OFF(jit_target));
	move_slot(t, 0x89, t->temp, &t->mem);
	tr_move_stack(t, -t->word);
}

static bool emit_push(struct tr *t, const struct op *op)
{
	unsigned g = (op->form == FORM_REG ? op->reg : op->rm) >> 3;
	struct enc i = {.w = t->word == 8, .opcode = 0x89};

	if (op->size != t->word || op->form == FORM_NONE)
		return false;
	if (op->flags & OP_MEM) {
		push_memory(t, op);
		return true;
	}
	if (op->form == FORM_IMM && i.w && (u64)(i64)(i32)op->imm != op->imm)
		return false;
	tr_stack(t, op, -t->word, t->word, true);
	i.rm = t->mem;
	if (op->form == FORM_IMM) {
		i.opcode = 0xc7;
		imm_of(&i, t->word, op->imm);
	} else {
		use_reg(t, &i, g * 8, true);
	}
	emit_insn(&t->e, &i);
	tr_move_stack(t, -t->word);
	return true;
}

static bool emit_pop(struct tr *t, const struct op *op)
{
	unsigned g = (op->form == FORM_REG ? op->reg : op->rm) >> 3;
	struct enc i = {.w = t->word == 8, .opcode = 0x8b};

	if (op->size != t->word || op->flags & OP_MEM)
		return false;
	tr_stack(t, op, 0, t->word, false);
	i.rm = t->mem;
	use_reg(t, &i, g * 8, false);
	emit_insn(&t->e, &i);
	put_reg(t, g * 8);
	if (g != RSP)
		tr_move_stack(t, t->word);
	return true;
}

/* RSP = RBP, pop RBP. */
static bool emit_leave(struct tr *t, const struct op *op)
{
	if (op->size != t->word)
		return false;
	tr_at_register(t, op, RBP, t->word, false);
	emit_address(&t->e, t->word, H_GUEST_RSP, H_RBP, -1, 0, t->word);
	move_slot(t, 0x8b, H_RBP, &t->mem);
	return true;
}

/* XCHG, XADD: both operands are written. */
static bool emit_exchange(struct tr *t, const struct op *op, u8 map, u8 opcode)
{
	struct enc i = {.map = map,
			.opcode = (u8)(opcode + (op->size > 1)),
			.byte_reg = op->size == 1,
			.byte_rm = op->size == 1,
			.lock = op->flags & OP_LOCK};

	memory(t, op, op->size, true);
	flags_for(t, op);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	use_reg(t, &i, op->reg, true);
	if (i.rm.kind == RM_SLOT)
		i.lock = false;
	emit_insn(&t->e, &i);
	/* XADD of a register with itself: the sum stays. */
	if (i.rm.kind != RM_SLOT || op->rm >> 3 != op->reg >> 3)
		put_reg(t, op->reg);
	zero_upper(t, &i, op->size);
	return true;
}

static bool emit_cmpxchg(struct tr *t, const struct op *op)
{
	struct enc i = {.map = 1,
			.opcode = (u8)(0xb0 + (op->size > 1)),
			.byte_reg = op->size == 1,
			.byte_rm = op->size == 1,
			.lock = op->flags & OP_LOCK};

	/* To a 32-bit register that is kept too, the upper half is cleared: leave it to C. */
	if (!(op->flags & OP_MEM))
		return false;
	memory(t, op, op->size, true);
	set_size(&i, op->size);
	use_rm(t, &i, op);
	use_reg(t, &i, op->reg, true);
	emit_insn(&t->e, &i);
	return true;
}

static bool emit_shape(struct tr *t, const struct op *op, const struct native *n)
{
	bool one = op->form == FORM_RM;

	switch (n->shape) {
	case S_ALU: emit_alu(t, op, n->opcode); return true;
	case S_TEST:
		if (op->form == FORM_RM_IMM)
			rm_imm(t, op, 0xf6, 0, false);
		else if (op->form == FORM_RM_REG)
			two_operands(t, op, 0x84, true, false);
		else
			return false;
		return true;
	case S_MOV: return emit_mov(t, op);
	case S_EXTEND:
		emit_g_e(t, op, (struct enc){.map = 1, .opcode = n->opcode}, n->imm, false);
		return true;
	case S_MOVSXD: emit_g_e(t, op, (struct enc){.opcode = 0x63}, 4, false); return true;
	case S_LEA: emit_lea_op(t, op); return true;
	case S_UNARY:
		if (!one)
			return false;
		emit_group(t, op, n->opcode < 2 ? 0xfe : 0xf6, n->opcode, 0);
		return true;
	case S_SHIFT:
		emit_group(t, op, op->flags & OP_CL ? 0xd2 : 0xc0, n->opcode, !(op->flags & OP_CL));
		return true;
	case S_SHIFT2: emit_shift2(t, op, n->opcode); return true;
	case S_IMUL2:
		emit_g_e(t, op, (struct enc){.map = 1, .opcode = 0xaf}, op->size, true);
		return true;
	case S_IMUL3:
		emit_g_e(t, op,
			 (struct enc){.opcode = 0x69,
				      .imm_size = (u8)(op->size > 4 ? 4 : op->size),
				      .imm = op->imm},
			 op->size, false);
		return true;
	case S_MUL: emit_mul(t, op, n->opcode); return true;
	case S_CMOV:
		emit_g_e(t, op, (struct enc){.map = 1, .opcode = (u8)(0x40 | (op->opcode & 15))},
			 op->size, true);
		return true;
	case S_SETCC: emit_setcc(t, op); return true;
	case S_0F_G_E:
		emit_g_e(t, op, (struct enc){.map = 1, .opcode = n->opcode}, op->size, true);
		return true;
	case S_F3_G_E:
		emit_g_e(t, op, (struct enc){.map = 1, .rep = 0xf3, .opcode = n->opcode}, op->size,
			 false);
		return true;
	case S_BT: return emit_bt(t, op, n->opcode);
	case S_BSWAP: return emit_bswap(t, op);
	case S_CBW: emit_bare(t, op->size, 0x98); return true;
	case S_CWD: emit_bare(t, op->size, 0x99); return true;
	case S_PUSH: return emit_push(t, op);
	case S_POP: return emit_pop(t, op);
	case S_LEAVE: return emit_leave(t, op);
	case S_DIV: return emit_div(t, op);
	case S_XCHG: return emit_exchange(t, op, 0, 0x86);
	case S_XADD: return emit_exchange(t, op, 1, 0xc0);
	case S_CMPXCHG: return emit_cmpxchg(t, op);
	default: return false;
	}
}

bool tr_is_native(const struct tr *t, const struct op *op)
{
	const struct native *n = find_native(op);

	return tr_is_vec(t, op) || tr_is_bmi(t, op) || (n && op->size <= 8 && !high_conflict(op)) ||
	       tr_insn(op)->fn == exec_jcc || tr_insn(op)->fn == exec_jmp_rel ||
	       tr_insn(op)->fn == exec_call_rel || tr_insn(op)->fn == exec_ret ||
	       tr_insn(op)->fn == exec_nop;
}

bool tr_emit_insn(struct tr *t, const struct op *op)
{
	const struct native *n = find_native(op);

	if (tr_is_vec(t, op)) {
		tr_emit_vec(t, op);
		return true;
	}
	if (tr_is_bmi(t, op))
		return tr_emit_bmi(t, op);
	if (tr_emit_system(t, op))
		return true;
	if (n && n->shape == S_NOP) /* memory operands are not touched */
		return true;
	if (!n || op->size > 8 || high_conflict(op))
		return false;
	if (!tr_has_plain_ea(op))
		return false;
	return emit_shape(t, op, n);
}
