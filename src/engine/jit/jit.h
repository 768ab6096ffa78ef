/* SPDX-License-Identifier: MIT */
/*
 * jit.h - the translator: hot blocks as host code.
 *
 * The interpreter runs everything first and counts; a block that has run j->hot times is
 * translated, and from then on its first op's handler enters the code.  That first code is small:
 * what it does often is called.  A block whose code has run j->trace times becomes the head of a
 * trace, which follows the likely way through some blocks of the page, and is fast: checks of
 * memory stand in line and are shared.  Code leads to other code by links where it is sure that
 * the way stays what it is, else by the jump cache, and leaves to the run loop for everything else.
 *
 * Rules for code, besides those of soft.h:
 *  1. On every way between codes guest registers are in their host registers, and the
 *     arithmetic flags, if live, in cpu->jit_flags (LAHF's byte << 8 | OF).
 *  2. st.gpr[GPR_PC] is that of the page the code runs in; branches across pages set it anew.
 *     Links stay in the page, or, between code with KEY_LARGE, in the region; or they are ways
 *     (soft.h), and the code in front of them asks.
 *  3. An access that misses the TLB, and whose miss cannot be filled, runs the whole instruction
 *     by its exec function.  So no instruction may have changed anything before its last check
 *     has passed.
 *  4. Every cycle of links polls cpu->v.pending: backward ones do, and traces with a way
 *     backward in them do at their head.
 *  5. A code is killed with any of its blocks: ways into it are taken back, and every vCPU leaves
 *     code at the next return from an exec function or jit_straddle() (cpu->jit_leave), if not
 * before at a link or jump.
 *  6. Memory of code, and of what is known about it, is reused only as that of blocks is
 *     (soft.h, invariant 5).
 *  7. While SOFT_LEAVE_CODE is in cpu->v.pending, code that was entered comes back to C at its
 *     first poll, with cpu->st as it is at st.rip: lockstep.c compares it there with the
 *     interpreter.  So no instruction may run twice between two polls, and every memory access
 *     goes by cpu->view, or by what is forgotten whenever soft_view_changed() is called.
 *  8. 32-bit code is translated if it is a user's under a 64-bit kernel, and runs only while
 *     ES, CS, SS and DS are flat (jit_runs_here()).  Whatever loads a segment goes to C, and all
 *     who come from there ask.  The upper halves of registers hold anything; linear addresses
 *     and RIP have 32 bits wherever they are formed.
 *  9. What lockstep_repeats() says cannot be run twice (time, random numbers, the TLB) runs by
 *     its exec function where j->lockstep is set.
 */
#ifndef ENGINE_JIT_H
#define ENGINE_JIT_H

#include "engine/jit/emit.h"
#include "engine/soft/soft.h"

enum {
	NR_HALVES = 2,
	MAX_TRACE_BLOCKS = 16,
	MAX_TRACE_OPS = 128,
	NR_SIZES = 7, /* of memory operands: 1 to 64 bytes */
	NR_RANDOM = 1024,
};

/* A direct branch out of translated code, patched to lead on. */
struct jit_link {
	struct jit_code *from;
	struct jit_code *to;	  /* linked to, or NULL */
	struct jit_link *next_in; /* of to's incoming links */
	u8 *site;		  /* the rel32, where it may be written */
	u8 *out;		  /* the way out to the run loop (a call), in the same mapping */
	const struct op *op;	  /* of a way: the branch, or what it follows */
	u32 way;	 /* its number, if it may be taken only where that is known; or 0 */
	const u8 *place; /* of a way: host address and key of the first block that it led to */
	block_key place_key;
	i32 off;     /* where it goes: from the begin of the page that it is in */
	bool shadow; /* the first instruction there must run before any interrupt: no poll */
};

/* Where in the code an instruction begins; the next mark is where it ends. */
enum { NO_STEP = 0xffff };

struct jit_mark {
	u16 at;
	u16 step; /* which one: NO_STEP: none */
};

/* Translated code and what is known about it. */
struct jit_code {
	struct block *block;	   /* the head */
	struct jit_code *older;	   /* of the same block, that this one took over from */
	const u8 *start, *end;	   /* where it runs */
	const u8 *entry;	   /* from the same page */
	const u8 *far_entry;	   /* by the jump cache, with T0 = RIP */
	const u8 *body;		   /* the entry, behind the counter or poll */
	struct jit_link *incoming; /* soft->lock */
	struct jit_link *link;
	struct jit_mark *mark;
	const struct op **steps; /* of a trace; else those of the block */
	u16 nr_links, nr_marks;
	u8 vec;	    /* vector registers it uses: jit_vec_ready() should be true to enter */
	u8 votes;   /* of samples for voted */
	u16 voted;  /* step whose page cache missed in most samples */
	bool trace; /* of several blocks, or made like one */
	bool dead;
};

/* A trace that a block is part of. */
struct jit_member {
	struct jit_code *code;
	struct jit_member *next;
};

/* Routines for branches.  "op": T1 is the address of the struct op. */
struct jit_flow {
	u8 *ret;       /* op */
	u8 *push_next; /* called, op: pushes the address behind it */
	u8 *far_taken; /* op: a direct branch to another page */
	u8 *far_next;  /* op: on to the next page */
	u8 *far_call;  /* op */
	u8 *jump_to;   /* op, T0: where to */
	u8 *call_to;   /* op, T0: where to */
	/* T1: the link, that is a way which is not known to be good: as far_... with its op. */
	u8 *way_taken, *way_next, *way_call;
};

/* Routines that all code shares.  "op": as above. */
struct jit_stubs {
	u64 (*enter)(struct x86_cpu *cpu, const u8 *code);
	u8 *leave;	  /* st.rip is set */
	u8 *leave_rip;	  /* st.rip = T0 */
	u8 *leave_link;	  /* called: the return address names the link */
	u8 *leave_shadow; /* the same, and the first instruction there is in the shadow of STI */
	u8 *jump;	  /* T0: RIP, which the jump cache lacks: finds the code, or leaves */
	u8 *hot;	  /* called: the code that the return address is in has run often */
	u8 *exec;	  /* called, T0: the op; comes back unless code died */
	u8 *exec_last;	  /* T0: the op; leaves, or goes on with the code for the new RIP */
	u8 *straddle;	  /* called, T0: the op, which may not be what it was: then it leaves */
	u8 *vec_ready[3]; /* called: vector registers into the host's, XMM, YMM, ZMM; may leave */
	u8 *save_flags;	  /* called: to cpu->jit_flags, and they stay in the host's; clobbers T0 */
	u8 *load_flags;	  /* called: back; clobbers T0 */
	/*
	 * Called with T0 = linear address: comes back with T0 = host address, or does the
	 * instruction otherwise and goes on behind it.  Flags are kept with "flags", else
	 * clobbered; T1 is clobbered.
	 */
	u8 *check[NR_SIZES][2 /* write */][2 /* flags */][2 /* aligned to its size */];
	/*
	 * Called with T0 = linear address ^ tag, and 4096 - size pushed, which it pops.  "not
	 * above": T0 is the host address and T1 = host - linear address.  Else there is none.
	 */
	u8 *page_miss[2 /* user */][PAGE_SLOTS][2 /* write */];
	u8 *slow; /* jumped to with a return address: as check where there is no entry */
	struct jit_flow flow[2];     /* of 64-bit code, of 32-bit code */
	u8 *syscall, *sysret, *iret; /* op: with all that follows */
	/* Called, by log2 of the size: NE: the rest is for the exec function.  T0, T1 and flags. */
	u8 *rep_movs[4], *rep_stos[4];
	u8 *try_way; /* called, T1: the link, is kept */
};

struct jit {
	struct soft *soft;
	u32 hot;	  /* option: runs before a block is translated */
	u32 trace;	  /* option: runs of code before it is made a trace */
	u64 size;	  /* option "cache": bytes of code */
	const char *perf; /* option: "map" or NULL */
	FILE *perf_map;
	u32 lockstep; /* option: compare every so many-th entry; 0: none */
	void (*interp_finish)(struct soft *s, struct block *b);
	u8 *rw, *rx; /* two mappings of the code cache */
	u8 *arena;   /* for blocks */
	void *guard; /* a page that nothing may touch: what page caches without an entry name */
	const struct op
		*random[NR_RANDOM]; /* whose page cache often misses; by jit_random_slot() */
	struct jit_stubs stubs;
	u8 *stubs_end;
	unsigned half;		 /* filled now */
	u8 *at;			 /* next free byte, writable */
	u8 *meta;		 /* memory for struct jit_code and the like, in halves, too */
	u64 meta_used;		 /* of the half that is filled now */
	struct jit_code **index; /* codes in order of address, in halves */
	unsigned nr_codes[NR_HALVES];
	u64 dead[NR_HALVES]; /* epoch since which no code in a half is in use; 0: some is */
	u32 next_way;
	u64 translated, traces, bytes, guest_bytes, links, refused, kills;
};

extern const struct engine_ops jit_engine; /* for engines.c */

/* Is code of that kind translated? */
static inline bool jit_can_translate(block_key key)
{
	unsigned size = key & KEY_CODE_SIZE;

	return size == CODE64 || (size == CODE32 && key & KEY_USER && !(key & KEY_LIMITED));
}

/* May translated code of the kind that runs now be entered? */
static inline bool jit_runs_here(const struct x86_cpu *cpu)
{
	enum { FLAT = 1 << SEG_ES | 1 << SEG_SS | 1 << SEG_DS };

	if (__builtin_expect(cpu->code64, 1))
		return true;
	return cpu->long_mode && jit_can_translate(soft_cpu(cpu)->key) &&
	       (cpu->seg_flat & FLAT) == FLAT && !cpu->seg_base[SEG_CS] && cpu->stack_size == 4;
}

static inline struct jit *jit_of(const struct soft *s)
{
	return s->engine_data;
}

/* --- code.c: soft->lock is held --------------------------------------------------------- */

int jit_code_init(struct jit *j, struct err *e);
void jit_code_destroy(struct jit *j);
bool jit_code_room(struct jit *j, struct emit *e); /* false: nothing to be had now */
bool jit_code_full(const struct jit *j);	   /* until all blocks are given up */
void jit_code_flushed(struct jit *j, u64 epoch);   /* they were */
void *jit_meta_alloc(struct jit *j, size_t size);  /* NULL: full */
bool jit_code_add(struct jit *j, struct jit_code *c, u8 *end);
/* Give up what was made since, where nothing else knows of it. */
struct jit_room {
	u8 *at;
	u64 meta_used;
	unsigned half, nr_codes;
};
struct jit_room jit_code_mark(const struct jit *j);
void jit_code_rewind(struct jit *j, const struct jit_room *room);

static inline const u8 *jit_rx(const struct jit *j, const u8 *p)
{
	return j->rx + (p - j->rw);
}
static inline u8 *jit_rw(const struct jit *j, const void *rx)
{
	return j->rw + ((const u8 *)rx - j->rx);
}

/*
 * The code that a host address is in, or NULL.  Without the lock too, by a vCPU in guest code
 * about code that it runs: that stays where it is.
 */
struct jit_code *jit_code_at(const struct jit *j, const void *rx);

/* --- link.c ----------------------------------------------------------------------------- */

/* The link whose way out returns to ret. */
struct jit_link *jit_link_at(const struct jit *j, u64 ret);
/* The way out that was taken, until the next block is entered. */
void jit_note_link(struct soft_cpu *sc, struct jit_link *l);
void jit_use_link(struct jit *j, struct soft_cpu *sc, struct block *b);
/* l, a way, is about to be taken: if it leads to known code, it can be from now on. */
void jit_try_way(struct x86_cpu *cpu, struct jit_link *l);
/* New code: link its branches to what is there.  soft->lock is held from here on. */
void jit_link_all(struct jit *j, struct jit_code *c);
/* c takes over from b's code. */
void jit_replace(struct jit *j, struct block *b, struct jit_code *c);
void jit_killed(struct soft *s, struct block *b);
void jit_flushed(struct soft *s, u64 epoch);

/* --- for those who look from outside ------------------------------------------------------ */

/* map.c: the instruction that host code belongs to. */
struct jit_place {
	const struct block *block;
	const struct op *op;   /* NULL: the way into the block */
	const u8 *begin, *end; /* its code around that place */
};

/* Not the code of any block: false.  Takes no lock: for signal handlers. */
bool jit_place(const struct jit *j, const void *rx, struct jit_place *found);

/* The mark before a place in c. */
const struct jit_mark *jit_mark_at(const struct jit_code *c, const void *rx);
static inline const struct op *jit_mark_op(const struct jit_code *c, const struct jit_mark *m)
{
	if (m->step == NO_STEP)
		return NULL;
	return c->steps ? c->steps[m->step] : &c->block->ops[m->step];
}

/* crash.c: signals that mean that the engine is wrong, for as long as there is a machine. */
int jit_crash_hook(struct err *e);
void jit_crash_unhook(void);
/* The thread is about to run sc, or not any more (NULL). */
void jit_crash_watch(struct soft_cpu *sc);

/* perf.c: symbols for perf(1), if they are wanted. */
int jit_perf_open(struct jit *j, struct err *e);
void jit_perf_close(struct jit *j);
void jit_perf_stubs(struct jit *j);
/* c is for the guest's code at lin. */
void jit_perf_code(struct jit *j, const struct jit_code *c, u64 lin);

/* report.c: what happens, for traces, counters and profilers. */
void jit_report_translated(struct x86_cpu *cpu, const struct block *b); /* which cpu runs now */
void jit_report_killed(const struct soft *s, const struct block *b);
void jit_report_exit(struct x86_cpu *cpu, const struct jit_link *l);
void jit_stats(struct machine *m, struct counter_sink *to);

/* --- vec.c ------------------------------------------------------------------------------- */

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

/* --- stubs.c ------------------------------------------------------------------------------ */

void jit_make_stubs(struct jit *j);

/* --- translate.c -------------------------------------------------------------------------- */

/* The code of b, which cpu is at (or NULL), not linked from anywhere yet, or NULL. */
struct jit_code *jit_translate(struct jit *j, struct block *b, struct x86_cpu *cpu);
/* The same of a trace from b, which has code. */
struct jit_code *jit_translate_trace(struct jit *j, struct block *b);

/* --- exec.c: the C side of the stubs ------------------------------------------------------- */

/* What the run loop's form of the flags is in code's, and back. */
void jit_pack_flags(struct x86_cpu *cpu);
void jit_unpack_flags(struct x86_cpu *cpu);

/* One instruction.  True: leave. */
bool jit_exec(struct x86_cpu *cpu, const struct op *op);
/* The code for st.rip in the mode that runs, to be entered with T0 = RIP, or NULL. */
const void *jit_find(struct x86_cpu *cpu);
/* For the last op of a block.  The code that runs next, to be entered with T0 = RIP, or NULL. */
const void *jit_exec_last(struct x86_cpu *cpu, const struct op *op);
/* The instruction whose check in code returns to ret could not be done there. */
const void *jit_slow(struct x86_cpu *cpu, u64 ret);
/* May vector instructions run?  Else st.rip is that of the one before ret. */
bool jit_vec(struct x86_cpu *cpu, u64 ret);
/* op crosses into a page that is not, or may not be, what it was made from: is it, by now? */
bool jit_straddle(struct x86_cpu *cpu, const struct op *op);
/* A page cache missed, one of many times: in the code that the call at ret is in. */
void jit_sample(struct x86_cpu *cpu, u64 ret);
/* Was op found to be one that should rather ask the TLB? */
bool jit_is_random(const struct jit *j, const struct op *op);
/* The first code that the call at ret is in has run often. */
const void *jit_hot(struct x86_cpu *cpu, u64 ret);

#endif
