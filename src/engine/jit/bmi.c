/* SPDX-License-Identifier: MIT */
/* bmi.c - BMI1 and BMI2 instructions with VEX encodings become themselves. */
#include "engine/jit/translate.h"
#include "isa/x86/exec.h"
#include "isa/x86/fpu/vex.h"

bool tr_is_bmi(const struct tr *t, const struct op *op)
{
	const struct insn *in = tr_insn(op);

	/* 32-bit code may have VEX.W, which would mean something here. */
	return map_is_vex(in->map) && !(in->attr & A_AVX) && tr_has_plain_ea(op) &&
	       !(t->narrow && op->flags & OP_REX_W);
}

/* The host register for the guest's at byte offset off; scratch if that lives in memory. */
static u8 place(struct tr *t, u8 off)
{
	int home = tr_home(off >> 3);

	return home >= 0 ? (u8)home : tr_use_temp(t);
}

static bool lives_in_memory(u8 off)
{
	return tr_home(off >> 3) < 0;
}

static void put_rm(const struct tr *t, struct vex_place *at, const struct op *op)
{
	int home = tr_home(op->rm >> 3);

	if (op->flags & OP_MEM) {
		tr_vex_memory(t, at);
		return;
	}
	at->rm_kind = home >= 0 ? VEX_RM_REG : VEX_RM_GS;
	at->rm = (u8)home;
	at->disp = GPR_SLOT(op->rm >> 3);
}

bool tr_emit_bmi(struct tr *t, const struct op *op)
{
	const struct insn *in = tr_insn(op);
	bool writes_vvvv = operands[in->dst].kind == OK_GVVVV || in->fn == exec_mulx;
	bool reads_vvvv = in->vvvv != OPND__ && in->fn != exec_mulx;
	bool writes_reg = operands[in->dst].kind == OK_REG;
	struct vex_place at = vex_place_of(op);
	u8 bytes[VEX_MAX];

	/* There is one scratch register. */
	if (in->fn == exec_mulx && lives_in_memory(op->reg) && lives_in_memory(op->vvvv))
		return false;
	if (op->flags & OP_MEM)
		tr_memory(t, op, op->size, false, 1);
	else
		tr_flags_for(t, op);
	if (reads_vvvv && lives_in_memory(op->vvvv))
		emit_load_slot(&t->e, tr_use_temp(t), GPR_SLOT(op->vvvv >> 3));
	if (reads_vvvv || writes_vvvv)
		at.vvvv = place(t, op->vvvv);
	if (writes_reg)
		at.reg = place(t, op->reg);
	put_rm(t, &at, op);
	emit_bytes(&t->e, bytes, vex_encode(bytes, op, &at));
	if (writes_vvvv && lives_in_memory(op->vvvv))
		emit_store_slot(&t->e, t->temp, GPR_SLOT(op->vvvv >> 3));
	if (writes_reg && lives_in_memory(op->reg))
		emit_store_slot(&t->e, t->temp, GPR_SLOT(op->reg >> 3));
	return true;
}
