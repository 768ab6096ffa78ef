/* SPDX-License-Identifier: MIT */
/*
 * jit.h - the translator: hot blocks as host code.
 *
 * The interpreter runs everything first and counts; a block that has run j->hot times is
 * translated, and from then on its first op's handler enters the code.  Code leads to other
 * code by links within a page and by the jump cache across pages, and leaves to the run loop
 * for everything else.
 *
 * Rules for code, besides those of soft.h:
 *  1. On every way between blocks guest registers are in their host registers, and the
 *     arithmetic flags, if live, in cpu->jit_flags (LAHF's byte << 8 | OF).
 *  2. st.gpr[GPR_PC] is that of the page the code runs in.  Links stay in the page, ways
 *     across pages set it anew.
 *  3. An access that misses the TLB runs the whole instruction by its exec function.  So no
 *     instruction may have changed anything before its last check has passed.
 *  4. Backward links and all ways across pages poll cpu->v.pending.
 *  5. A killed block's incoming links are taken back; whoever runs in it leaves at the next
 *     call of an exec function, link or jump.
 *  6. Memory of code is reused only as that of blocks is (soft.h, invariant 5).
 *  7. While SOFT_LEAVE_CODE is in cpu->v.pending, code that was entered comes back to C at its
 *     first poll, with cpu->st as it is at st.rip: lockstep.c compares it there with the
 *     interpreter.  So no instruction may run twice between two polls, and every memory access
 *     goes by cpu->view, or by what is forgotten whenever soft_view_changed() is called.
 *  8. What lockstep_repeats() says cannot be run twice (time, random numbers, the TLB) runs by
 *     its exec function where j->lockstep is set.
 */
#ifndef ENGINE_JIT_H
#define ENGINE_JIT_H

#include "engine/jit/emit.h"
#include "engine/soft/soft.h"

enum { NR_HALVES = 2, MAX_LINKS = 2 };

/* A direct branch out of translated code. */
struct jit_link {
	struct jit_code *from;
	struct jit_code *to;	  /* linked to, or NULL */
	struct jit_link *next_in; /* of to's incoming links */
	u8 *site;		  /* the rel32, where it may be written */
	u8 *out;		  /* the way out to the run loop, in the same mapping */
	u16 off;		  /* where it goes: offset in the page */
};

/* Translated code of a block; lies in front of it in the code cache. */
struct jit_code {
	struct block *block;
	const u8 *entry, *far_entry; /* from the same page; by the jump cache, with T0 = RIP */
	struct jit_link *incoming;
	struct jit_link link[MAX_LINKS];
	unsigned nr_links;
	u32 size, code_len; /* bytes with all that belongs to it; up to the end of the code */
	u16 nr_places;	    /* entries of the map: map.c */
	u8 vec;		    /* vector registers it uses: jit_vec_ready() must be true to enter */
};

/* Routines that all code shares. */
struct jit_stubs {
	struct jit_link *(*enter)(struct x86_cpu *cpu, const u8 *code);
	u8 *leave;	/* st.rip is set */
	u8 *leave_rip;	/* st.rip = T0 */
	u8 *leave_link; /* T0: the struct jit_link */
	u8 *jump;	/* T0: RIP, which the jump cache lacks: finds the code, or leaves */
	u8 *exec;	/* T0: the op; comes back unless the block died */
	u8 *exec_last;	/* T0: the op; leaves, or goes on with the code for the new RIP */
	u8 *vec_load;	/* T0: offset in the page of what comes next; may leave */
};

struct jit {
	struct soft *soft;
	u32 hot;	  /* option: runs before a block is translated */
	u64 size;	  /* option "cache": bytes of code */
	const char *perf; /* option: "map" or NULL */
	FILE *perf_map;
	u32 lockstep; /* option: compare every so many-th entry; 0: none */
	void (*interp_finish)(struct soft *s, struct block *b);
	u8 *rw, *rx; /* two mappings of the code cache */
	struct jit_stubs stubs;
	u8 *stubs_end;
	unsigned half;	     /* filled now */
	u8 *used[NR_HALVES]; /* end of what the other one holds */
	u8 *at;		     /* next free byte, writable */
	u64 dead[NR_HALVES]; /* epoch since which no code in a half is in use; 0: some is */
	u64 translated, bytes, guest_bytes, links, refused, kills;
};

extern const struct engine_ops jit_engine; /* for engines.c */

static inline struct jit *jit_of(const struct soft *s)
{
	return s->engine_data;
}

/* code.c */
int jit_code_init(struct jit *j, struct err *e);
void jit_code_destroy(struct jit *j);
bool jit_code_room(struct jit *j, struct emit *e); /* false: nothing to be had now */
bool jit_code_full(const struct jit *j);	   /* until all blocks are given up */
void jit_code_flushed(struct jit *j, u64 epoch);   /* they were */
static inline const u8 *jit_rx(const struct jit *j, const u8 *p)
{
	return j->rx + (p - j->rw);
}

u8 *jit_half_start(const struct jit *j, unsigned half);
const u8 *jit_half_used(const struct jit *j, unsigned half); /* to here it holds codes */

/* map.c: the instruction that host code belongs to. */
struct jit_place {
	const struct block *block;
	const struct op *op;   /* NULL: the way into the block */
	const u8 *begin, *end; /* its code around that place */
};

/* Not the code of any block: false.  Takes no lock: for signal handlers. */
bool jit_place(const struct jit *j, const void *rx, struct jit_place *found);

/* crash.c: signals that mean that the engine is wrong, for as long as there is a machine. */
int jit_crash_hook(struct err *e);
void jit_crash_unhook(void);
/* The thread is about to run sc, or not any more (NULL). */
void jit_crash_watch(struct soft_cpu *sc);

/* perf.c: symbols for perf(1), if they are wanted. */
int jit_perf_open(struct jit *j, struct err *e);
void jit_perf_close(struct jit *j);
void jit_perf_stubs(struct jit *j);
/* The len bytes of code at rx are for the guest's at lin. */
void jit_perf_code(struct jit *j, const u8 *rx, u32 len, u64 lin);

/* report.c: what happens, for traces, counters and profilers. */
void jit_report_translated(struct x86_cpu *cpu, const struct block *b); /* which cpu runs now */
void jit_report_killed(const struct soft *s, const struct block *b);
void jit_report_exit(struct x86_cpu *cpu, const struct jit_link *l);
void jit_stats(struct machine *m, FILE *f);

/* vec.c */
void jit_emit_load_vec(struct emit *e);
void jit_emit_save_vec(struct emit *e);
void jit_emit_test_vec(struct emit *e, u8 bit); /* VEC_*; NE: they are the host's */
void jit_emit_want_vec(struct emit *e, u8 vec);

/*
 * jit.c: run c until it leaves.  st.rip is set; the direct branch it was left through, or
 * NULL.
 */
struct jit_link *jit_enter(struct x86_cpu *cpu, const struct jit_code *c);

/* May instructions that use these registers run natively now?  The second: cpu->vec_want. */
bool jit_vec_ready(struct x86_cpu *cpu, u8 vec);
bool jit_vec_wanted(struct x86_cpu *cpu);

/* stubs.c */
void jit_make_stubs(struct jit *j);

/* translate.c: the code of b, not linked from anywhere yet, or NULL. */
struct jit_code *jit_translate(struct jit *j, struct block *b);

/* jit.c: the C side of the stubs.  True: leave. */
bool jit_exec(struct x86_cpu *cpu, const struct op *op);
/* The code for st.rip in the mode that runs, to be entered with T0 = RIP, or NULL. */
const void *jit_find(struct x86_cpu *cpu);
/* For the last op of a block.  The code that runs next, to be entered with T0 = RIP, or NULL. */
const void *jit_exec_last(struct x86_cpu *cpu, const struct op *op);

#endif
