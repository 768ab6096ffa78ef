/* SPDX-License-Identifier: MIT */
/*
 * translate.h - one block's translation in progress, shared by translate.c and insn.c.
 */
#ifndef ENGINE_JIT_TRANSLATE_H
#define ENGINE_JIT_TRANSLATE_H

#include "engine/jit/jit.h"
#include "isa/x86/insn.h"

/* Where the guest's arithmetic flags are, as far as they are live. */
enum flags_home { FLAGS_MEMORY, FLAGS_HOST };

/* The way of one op whose check failed: emitted behind the block. */
struct cold {
	u8 *from[6]; /* jumps that lead here */
	unsigned nr_from;
	u8 *back;
	const struct op *op;
	bool reload_flags;
	bool last; /* op ends the block: its exec function does, and leaves */
};

/* Where in the code an op begins. */
struct tr_place {
	u32 off;
	u8 op;
};

struct tr {
	struct emit e;
	struct jit *j;
	struct block *b;
	struct page_info *page; /* of b; NULL: not in RAM, nothing may be looked at */
	struct jit_code *code;
	enum flags_home home;
	u8 vec; /* vector registers that the block uses natively: VEC_ALL_* */
	struct cold cold[BLOCK_MAX_OPS];
	unsigned nr_cold;
	struct tr_place place[2 * BLOCK_MAX_OPS];
	unsigned nr_places;
	u16 live_after[BLOCK_MAX_OPS]; /* flags that something after op i reads */
	unsigned i;		       /* the op at hand */
};

static inline const struct insn *tr_insn(const struct op *op)
{
	return &insns[op->row];
}

/* --- translate.c ------------------------------------------------------------------------- */

/* Arithmetic flags that op overwrites without reading them, whatever its operands hold. */
u16 tr_flags_killed(const struct op *op);

/* Flags out of the way of code that clobbers them; back for an op that needs them. */
void tr_spill_flags(struct tr *t);
void tr_load_flags(struct tr *t);

/*
 * Address of op's memory operand into T0, checked: T0 is then a host address good for size
 * bytes; what fails goes the cold way.  Clobbers T1 and the host's flags.
 */
void tr_address(struct tr *t, const struct op *op, unsigned size, bool write, unsigned align);
/* The same for [RSP + disp]. */
void tr_stack_address(struct tr *t, const struct op *op, i32 disp, unsigned size, bool write);
/* The same for [a host register]. */
void tr_address_reg(struct tr *t, const struct op *op, unsigned reg, unsigned size, bool write);

/* Before an op without a check that is to run natively: flags where it needs them. */
void tr_flags_for(struct tr *t, const struct op *op);

/* Effective address of op into T0, without the segment's base. */
void tr_ea(struct tr *t, const struct op *op);

/* Live flags to memory, for op that clobbers the host's. */
void tr_spill_live(struct tr *t, const struct op *op);

/* If cc: the exec function does op. */
void tr_cold_jcc(struct tr *t, const struct op *op, unsigned cc);

void tr_check_canonical(struct tr *t, const struct op *op);
void tr_push_return(struct tr *t, i64 next);
void tr_dispatch(struct tr *t);

/* The host register of guest register g; -1: it lives in memory. */
static inline int tr_home(unsigned g)
{
	if (g == RSP)
		return H_GUEST_RSP;
	return g >= R9 && g <= R11 ? -1 : (int)g;
}

/* --- map.c -------------------------------------------------------------------------------- */

/* From here on the code is that of the block's op of this number. */
void tr_place(struct tr *t, unsigned op);
/* Behind the code, which is whole now. */
void tr_store_map(struct tr *t);

/* --- insn.c ------------------------------------------------------------------------------- */

/* Emit op natively; false: nothing was emitted, use the exec function. */
bool tr_emit_insn(struct tr *t, const struct op *op);

/* --- vec.c ---------------------------------------------------------------------------------- */

/* What it uses of the vector registers if it can run natively, else 0. */
u8 tr_is_vec(const struct op *op);
void tr_emit_vec(struct tr *t, const struct op *op); /* if tr_is_vec() */

/* --- bmi.c ---------------------------------------------------------------------------------- */

bool tr_is_bmi(const struct op *op);
bool tr_emit_bmi(struct tr *t, const struct op *op); /* if tr_is_bmi(); false: nothing was */

#endif
