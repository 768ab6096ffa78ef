/* SPDX-License-Identifier: MIT */
/*
 * string.c - REP MOVS and REP STOS: the host's own, from page to page.
 *
 * A chunk ends where a page does.  What is not in the TLB, crosses a page, or goes downwards is for
 * the exec function, and so is the rest where something waits: it may leave between two elements.
 */
#include "engine/jit/translate.h"
#include "isa/x86/exec.h"

/* --- the routines -------------------------------------------------------------------------- */

/* op r64, r64: reg and rm as in ModRM. */
static void op_rr(struct emit *e, u8 map, u8 opcode, unsigned reg, unsigned rm)
{
	emit_insn(e, &(struct enc){.w = true,
				   .map = map,
				   .opcode = opcode,
				   .reg = (u8)reg,
				   .rm = {.kind = RM_REG, .reg = (u8)rm}});
}

/*
 * lin: register with the address.  T1 = its host address, and T0 = the bytes from there to the end
 * of the page; or the jump that is returned is taken.
 */
static u8 *span(struct emit *e, unsigned lin, unsigned size, bool write)
{
	u32 tag = write ? offsetof(struct tlb_view, wr) : 0;
	u8 *miss;

	emit_mov_rr(e, H_T0, lin);
	stub_tlb_entry(e, write);
	stub_cmp_t0(e, PAGE_SIZE_4K - size);
	miss = emit_jcc(e, 7);
	emit_bytes(e, (u8[]){0x4d, 0x8b, 0x9b}, 3); /* mov r11, [r11 + host] */
	emit32(e, tag + (u32)offsetof(struct tlb_ent, host));
	emit_lea(e, H_T1, H_T1, H_T0, 0, 0);
	emit_bytes(e, (u8[]){0x49, 0xf7, 0xda}, 3); /* neg r10 */
	emit_lea(e, H_T0, H_T0, -1, 0, PAGE_SIZE_4K);
	return miss;
}

enum { CMOVA = 0x47, SUB = 0x2b, CMP = 0x3b, TEST = 0x85 };

static u8 *make_rep(struct emit *e, bool movs, unsigned log2)
{
	unsigned size = 1u << log2;
	u8 *at = e->p, *again, *miss[2] = {NULL, NULL}, *none, *done;

	emit8(e, 0x52); /* push rdx */
	again = e->p;
	op_rr(e, 0, TEST, H_RCX, H_RCX);
	none = emit_jcc(e, 4);
	miss[0] = span(e, H_RDI, size, true);
	emit_mov_rr(e, H_RDX, H_T0);
	emit_store_slot(e, H_T1, CPU_OFF(jit_target));
	if (movs) {
		miss[1] = span(e, H_RSI, size, false);
		op_rr(e, 0, CMP, H_RDX, H_T0);
		op_rr(e, 1, CMOVA, H_RDX, H_T0);
	}
	emit_bytes(e, (u8[]){0x48, 0xc1, 0xea, (u8)log2}, 4); /* shr rdx, */
	op_rr(e, 0, CMP, H_RDX, H_RCX);
	op_rr(e, 1, CMOVA, H_RDX, H_RCX);
	/* What the registers are behind these RDX elements. */
	op_rr(e, 0, SUB, H_RCX, H_RDX);
	emit_store_slot(e, H_RCX, CPU_OFF(jit_lin));
	emit_lea(e, H_T0, H_RDI, H_RDX, log2, 0);
	emit_store_slot(e, H_T0, CPU_OFF(jit_rax));
	if (movs) {
		emit_lea(e, H_T0, H_RSI, H_RDX, log2, 0);
		emit_mov_rr(e, H_RSI, H_T1);
	}
	emit_mov_rr(e, H_RCX, H_RDX);
	emit_load_slot(e, H_RDI, CPU_OFF(jit_target));
	if (size == 2)
		emit8(e, 0x66);
	emit8(e, 0xf3);
	if (size == 8)
		emit8(e, 0x48);
	emit8(e, (u8)((movs ? 0xa4 : 0xaa) | (size > 1)));
	if (movs)
		emit_mov_rr(e, H_RSI, H_T0);
	emit_load_slot(e, H_RDI, CPU_OFF(jit_rax));
	emit_load_slot(e, H_RCX, CPU_OFF(jit_lin));
	op_rr(e, 0, TEST, H_RCX, H_RCX);
	done = emit_jcc(e, 4);
	stub_compare_pending(e);
	emit_jcc_to(e, 4, again);
	/* Not equal: all but what the registers say is done.  Above is that, too. */
	if (miss[1])
		patch_here(miss[1], e->p);
	patch_here(miss[0], e->p);
	patch_here(none, e->p);
	patch_here(done, e->p);
	emit8(e, 0x5a); /* pop rdx */
	emit8(e, 0xc3);
	return at;
}

void jit_make_string_stubs(struct emit *e, struct jit_stubs *s)
{
	for (unsigned log2 = 0; log2 < 4; log2++) {
		s->rep_movs[log2] = make_rep(e, true, log2);
		s->rep_stos[log2] = make_rep(e, false, log2);
	}
}

/* --- the instructions ----------------------------------------------------------------------- */

bool tr_emit_rep(struct tr *t, const struct op *op)
{
	const struct jit_stubs *s = &t->j->stubs;
	unsigned log2 = (unsigned)__builtin_ctz(op->size);
	bool movs = tr_insn(op)->fn == exec_movs;

	if (!(op->flags & (OP_REP | OP_REPNE)) || op->asize != 8 || (movs && op->seg >= SEG_FS))
		return false;
	tr_spill_live(t, op);
	emit_test_bits(&t->e, CPU_OFF(st.rflags) + 1, FL_DF >> 8);
	tr_cold_jcc(t, op, 5);
	tr_clobber_t1(t);
	emit_call_to(&t->e, movs ? s->rep_movs[log2] : s->rep_stos[log2]);
	tr_cold_jcc(t, op, 5);
	return true;
}
