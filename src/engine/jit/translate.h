/* SPDX-License-Identifier: MIT */
/*
 * translate.h - one translation in progress, shared by the files that emit code.
 *
 *	translate.c  a block or trace from begin to end; flags; calls of exec functions
 *	live.c       which flags are read later
 *	memory.c     addresses and their checks
 *	flow.c       branches, and what follows a block
 *	insn.c, vec.c  instructions that become themselves
 *
 * Two kinds of code.  A block's first code is small: checks are calls of shared routines.  In a
 * trace they are in line, by the page cache of the base register; and while T1 holds the distance
 * from guest to host addresses of that page (it is "pinned"), further accesses by the same base
 * need no check at all.  Where such a check fails, a second copy of the instructions that it
 * was for, made the small way, stands in for them, out of line.
 */
#ifndef ENGINE_JIT_TRANSLATE_H
#define ENGINE_JIT_TRANSLATE_H

#include "engine/jit/stubs.h"
#include "isa/x86/insn.h"

/* Where the guest's arithmetic flags are, as far as they are live: a set. */
enum { FLAGS_HOST = 1, FLAGS_MEMORY = 2 };

/* The way taken when a check fails: emitted behind the code. */
struct cold {
	u8 *from[6]; /* jumps that lead here */
	u8 nr_from;
	bool page;     /* a page cache missed: look further, then do the steps the small way */
	bool copies;   /* the TLB missed: do the steps the small way */
	bool straddle; /* an instruction may not be what it was: asks, or leaves in front of it */
	bool leaves;   /* the exec function ends the block */
	bool vec, vec_after; /* are vector registers ready here, and have to be at back? */
	bool keep_t1;	     /* page, straddle: T1 is pinned meanwhile */
	i16 pin; /* the way out of the pin that was valid, since nothing of it survives C; -1 */
	u8 home, after; /* where flags are here, and have to be at back */
	u8 *hit;	/* page: where to go on with T0 and T1; straddle: to ask again; */
	u8 *back;	/* ... and behind the last step */
	const u8 *miss; /* page: the routine */
	u32 limit;
	u16 first, last; /* steps that the check was for */
};

/* Of a way out at the head: it is not for links. */
enum { NO_LINK = INT32_MAX };

/* A way out, to be called at the end of the code. */
struct way_out {
	u8 *from;	     /* a jump that leads there as long as there is no link */
	u8 *poll;	     /* another one, or NULL */
	u8 *unknown;	     /* of a way: a jump for where it is not known to be good, ... */
	u8 *routine;	     /* ... which goes to this one of jit_stubs.way_... */
	const struct op *op; /* as in jit_link, and so are these: */
	u32 way;
	i32 off;     /* or NO_LINK */
	bool shadow; /* jit_link.shadow */
};

/* One instruction of the code. */
struct step {
	const struct op *op;
	struct block *block;
	bool ends;  /* the last one of its block: what follows it is not the next op */
	bool taken; /* ... but where it jumps to, in a trace */
};

struct pin {
	bool valid, write;
	u8 base;     /* guest register */
	i32 lo, hi;  /* what was checked, from what base was then */
	i32 delta;   /* what has been added to base since */
	u16 cold;    /* index of the check's way out */
	u16 planned; /* last step that is to use it */
};

enum {
	MAX_COLD = 2 * MAX_TRACE_OPS,
	MAX_WAYS_OUT = 4 * MAX_TRACE_BLOCKS,
	MAX_MARKS = 4 * MAX_TRACE_OPS
};

struct tr {
	struct emit e;
	struct jit *j;
	struct block *b;	/* the head */
	struct page_info *page; /* of b; NULL: not in RAM, nothing may be looked at */
	struct jit_code *code;
	u8 *start;
	bool trace, user;
	bool narrow;	       /* 32-bit code */
	u8 word;	       /* bytes of addresses, and of what the stack holds: 8, or 4 */
	bool small;	       /* checks by call: all of a first code, and copies out of line */
	bool vec_ready;	       /* vector registers are in the host's here */
	bool polls;	       /* at its head */
	u8 home;	       /* FLAGS_* */
	u8 temp;	       /* scratch that the operand at hand leaves free */
	struct rm_operand mem; /* the memory operand of the op at hand, checked */
	struct pin pin;
	struct cold cold[MAX_COLD];
	unsigned nr_cold;
	unsigned open_cold; /* the first one that leads behind the step at hand */
	struct way_out ways[MAX_WAYS_OUT];
	unsigned nr_ways;
	struct jit_mark marks[MAX_MARKS];
	unsigned nr_marks;
	struct step steps[MAX_TRACE_OPS];
	u16 live_after[MAX_TRACE_OPS]; /* flags that something after step i reads */
	unsigned nr_steps;
	unsigned i; /* the step at hand */
};

static inline const struct insn *tr_insn(const struct op *op)
{
	return &insns[op->row];
}

/* The host register of guest register g; -1: it lives in memory. */
static inline int tr_home(unsigned g)
{
	if (g == RSP)
		return H_GUEST_RSP;
	return g >= R9 && g <= R11 ? -1 : (int)g;
}

/* The routines for branches. */
static inline const struct jit_flow *tr_flow(const struct tr *t)
{
	return &t->j->stubs.flow[t->narrow];
}

/* --- translate.c ------------------------------------------------------------------------- */

/* Flags out of the way of code that clobbers them; back for an op that needs them. */
void tr_spill_flags(struct tr *t);
void tr_load_flags(struct tr *t);
/* Live flags to memory, before code that clobbers the host's. */
void tr_spill_live(struct tr *t, const struct op *op);
/* Those that are live behind the step, at the end of a block. */
void tr_spill_at_end(struct tr *t);
/* Before an op that is to run natively: flags where it needs them. */
void tr_flags_for(struct tr *t, const struct op *op);
/* The scratch register T1 is used for something else. */
void tr_clobber_t1(struct tr *t);
/* The scratch register that the memory operand leaves free, to be used. */
u8 tr_use_temp(struct tr *t);
/* One step, the best way there is. */
void tr_emit_step(struct tr *t);
/* If cc: the exec function does the op at hand. */
void tr_cold_jcc(struct tr *t, const struct op *op, unsigned cc);
struct cold *tr_new_cold(struct tr *t);
void tr_mark(struct tr *t, unsigned step);
/* lea or mov reg, an address of ours */
void tr_address_of(struct tr *t, unsigned reg, const void *p);
/* Is it near enough to be reached from here? */
bool tr_reaches(const struct tr *t, const void *p);
void tr_by_exec(struct tr *t, const struct op *op);
void tr_make_vec_ready(struct tr *t);
void tr_by_exec_last(struct tr *t, const struct op *op);

/* --- live.c ------------------------------------------------------------------------------ */

void tr_find_live(struct tr *t);
/* What follows b: to b->live, with the bytes that were looked at in b->peek. */
void tr_peek(struct tr *t, struct block *b);
/* Arithmetic flags that op overwrites without reading them, whatever its operands hold. */
u16 tr_flags_killed(const struct op *op);
u16 tr_reads(const struct insn *in);
u16 tr_writes(const struct insn *in);
u16 tr_live_before(const struct tr *t, const struct op *op);

/* --- memory.c ------------------------------------------------------------------------------ */

/*
 * op's memory operand, checked for size bytes: t->mem, and t->temp is free for other use.  Flags
 * are where op needs them.  What fails goes the cold way.
 */
void tr_memory(struct tr *t, const struct op *op, unsigned size, bool write, unsigned align);
/* The same, and T0 is the linear address already, but for the segment's base. */
void tr_memory_from_t0(struct tr *t, const struct op *op, unsigned size, bool write);
/* The same for [RSP + disp], and for [register]. */
void tr_stack(struct tr *t, const struct op *op, i32 disp, unsigned size, bool write);
/* RSP += by, as wide as it is. */
void tr_move_stack(struct tr *t, i32 by);
void tr_at_register(struct tr *t, const struct op *op, unsigned g, unsigned size, bool write);
/* op has been emitted: what it did to the base of the pin. */
void tr_track_pin(struct tr *t, const struct op *op);

/*
 * Can op's address, if it has one, be computed by tr_ea()?  That is: all but 16 bits, what is
 * relative to RIP with less than 64, and data in a segment of code.
 */
static inline bool tr_has_plain_ea(const struct op *op)
{
	if (!(op->flags & OP_EA_SLOW))
		return !(op->flags & OP_MEM) || op->asize == 8;
	return op->asize == 4 && op->base != GPR_PC && op->seg != SEG_CS;
}

/* Effective address of op into T0, without the segment's base. */
void tr_ea(struct tr *t, const struct op *op);
void tr_emit_cold(struct tr *t);

/* --- straddle.c ----------------------------------------------------------------------------- */

/* b->straddle: what follows t->b and crosses the page, as cpu, which is there, sees it. */
void tr_find_straddle(struct tr *t, struct x86_cpu *cpu);
/* Before such an op: it is still what it was, or code is left. */
void tr_emit_straddle(struct tr *t, const struct op *op);
static inline bool tr_straddles(const struct op *op)
{
	return op->off + op->len > PAGE_SIZE_4K;
}

/* --- flow.c -------------------------------------------------------------------------------- */

/* The last step: to what follows. */
void tr_emit_end(struct tr *t);
/* A branch in a trace: the way that is not followed. */
void tr_emit_side(struct tr *t);
void tr_emit_ways(struct tr *t);

/* --- insn.c ------------------------------------------------------------------------------- */

/* Can op be emitted, at least in its common form? */
bool tr_is_native(const struct tr *t, const struct op *op);
/* Emit op natively; false: nothing was emitted, use the exec function. */
bool tr_emit_insn(struct tr *t, const struct op *op);

/* --- system.c ------------------------------------------------------------------------------ */

bool tr_emit_system(struct tr *t, const struct op *op); /* false: nothing of use was emitted */

/* --- string.c ------------------------------------------------------------------------------ */

/* MOVS, STOS; false: nothing was emitted. */
bool tr_emit_rep(struct tr *t, const struct op *op);

/* --- bmi.c ---------------------------------------------------------------------------------- */

bool tr_is_bmi(const struct tr *t, const struct op *op);
bool tr_emit_bmi(struct tr *t, const struct op *op); /* if tr_is_bmi(); false: nothing was */

/* --- vec.c ---------------------------------------------------------------------------------- */

/* What it uses of the vector registers if it can run natively, else 0. */
u8 tr_is_vec(const struct tr *t, const struct op *op);
void tr_emit_vec(struct tr *t, const struct op *op); /* if tr_is_vec() */
/* The checked memory operand, for VEX and EVEX encodings. */
struct vex_place;
void tr_vex_memory(const struct tr *t, struct vex_place *at);

#endif
