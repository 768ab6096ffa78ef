/* SPDX-License-Identifier: MIT */
/*
 * live.c - which arithmetic flags somebody reads.
 *
 * Of the code that a block's direct branches lead to, a few instructions are looked at, to
 * see which flags are dead there.  The bytes looked at are the block's too (block->peek): if
 * they are written, it dies.
 *
 * So there are flags that are wrong because nobody reads them: in the frame of a fault whose
 * handler does not care, and for what a store of this very block puts in place of the
 * instructions behind it.
 */
#include "engine/jit/translate.h"

enum { PEEK_OPS = 6, MAX_INSN = 15 };

u16 tr_reads(const struct insn *in)
{
	return in->fl_in & FL_ARITH;
}

/*
 * What these leave undefined hosts write.  Others (MUL, DIV, BSF, TZCNT) may keep it: then it
 * must be the guest's that they keep, not what our own code left there.
 */
static bool writes_undefined(const struct insn *in)
{
	exec_fn *const fns[] = {exec_and, exec_or,   exec_xor, exec_test, exec_shl,
				exec_shr, exec_sar,  exec_rol, exec_ror,  exec_rcl,
				exec_rcr, exec_shld, exec_shrd};

	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++)
		if (in->fn == fns[i])
			return true;
	return false;
}

static u16 kills(const struct insn *in)
{
	u16 undef = in->fl_undef && writes_undefined(in) ? in->fl_undef : 0;

	return (in->fl_out | undef) & FL_ARITH & ~in->fl_maybe;
}

u16 tr_writes(const struct insn *in)
{
	return (in->fl_out | in->fl_undef | in->fl_maybe) & FL_ARITH;
}

/* Shifts keep the flags if the count is 0, which is known for an immediate. */
u16 tr_flags_killed(const struct op *op)
{
	const struct insn *in = tr_insn(op);

	if (in->fl_maybe && op->form == FORM_RM_IMM && !(op->flags & OP_CL))
		return op->imm & (op->size == 8 ? 63 : 31) ? tr_writes(in) : 0;
	return kills(in);
}

/* Flags that may be read at offset off of the page; what the look does not reach: all. */
static u16 peek(struct tr *t, struct block *b, unsigned n, i64 off)
{
	const u8 *page = b->host - b->page_off;
	u16 live = 0, open = FL_ARITH;

	if (!t->page || off < 0 || off >= PAGE_SIZE_4K)
		return FL_ARITH;
	b->peek[n].off = (u16)off;
	soft_claim_granules(t->page, (unsigned)off, PEEK_OPS * MAX_INSN);
	for (unsigned k = 0; k < PEEK_OPS && off < PAGE_SIZE_4K && open; k++) {
		unsigned avail =
			PAGE_SIZE_4K - off < MAX_INSN ? (unsigned)(PAGE_SIZE_4K - off) : MAX_INSN;
		u8 bytes[MAX_INSN];
		struct op op;

		for (unsigned i = 0; i < avail; i++)
			bytes[i] = (u8)ram_load(page + off + i, 1);
		if (x86_decode(bytes, avail, b->key & KEY_CODE_SIZE, (unsigned)off, &op) <= 0)
			break;
		live |= tr_reads(tr_insn(&op)) & open;
		open &= ~tr_flags_killed(&op);
		off += op.len;
		if (tr_insn(&op)->attr & (A_ENDS | A_SYNC))
			break;
	}
	b->peek[n].len = (u16)(off - b->peek[n].off);
	return live | open;
}

void tr_peek(struct tr *t, struct block *b)
{
	const struct op *last = &b->ops[b->nr_ops - 1];
	i64 next = last->off + last->len;
	exec_fn *fn = tr_insn(last)->fn;

	b->live[0] = b->live[1] = FL_ARITH;
	if (last->size != t->word && tr_insn(last)->attr & A_ENDS)
		return; /* a branch whose target is cut */
	if (fn == exec_jcc || !(tr_insn(last)->attr & (A_ENDS | A_SYNC)))
		b->live[0] = peek(t, b, 0, next);
	if (fn == exec_jcc || fn == exec_jmp_rel)
		b->live[1] = peek(t, b, 1, next + (i64)last->imm);
}

/* What the ways out of the block that ends with s read, but for the one that the trace takes. */
static u16 live_out(const struct step *s, bool followed)
{
	exec_fn *fn = tr_insn(s->op)->fn;
	const u16 *live = s->block->live;

	if (tr_straddles(s->op))
		return FL_ARITH;
	if (fn == exec_jcc)
		return followed ? live[!s->taken] : live[0] | live[1];
	if (fn == exec_jmp_rel)
		return followed ? 0 : live[1];
	if (tr_insn(s->op)->attr & (A_ENDS | A_SYNC))
		return FL_ARITH;
	return followed ? 0 : live[0];
}

void tr_find_live(struct tr *t)
{
	u16 live = 0;

	for (unsigned i = t->nr_steps; i-- > 0;) {
		const struct step *s = &t->steps[i];

		if (s->ends)
			live |= live_out(s, i + 1 < t->nr_steps);
		t->live_after[i] = live;
		live = (u16)((live & ~tr_flags_killed(s->op)) | tr_reads(tr_insn(s->op)));
	}
}

u16 tr_live_before(const struct tr *t, const struct op *op)
{
	return (u16)((t->live_after[t->i] & ~tr_flags_killed(op)) | tr_reads(tr_insn(op)));
}
