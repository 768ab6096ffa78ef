/* SPDX-License-Identifier: MIT */
/*
 * lockstep.h - the translator checked against the interpreter, entry by entry.
 *
 * Translated code is tried first: on copies of the pages that it writes (soft/shadow.h), until
 * its first poll or fault (jit.h, rule 7).  Then the same instructions are run by their exec
 * functions, on memory itself, up to where the code came out, and everything is compared:
 * registers, flags that something behind reads, vectors, x87, the fault, memory.  The guest
 * goes on from the interpreter's state.
 *
 *  1. A device is asked once.  The try stops at an access that is not in the log; the
 *     interpreter does it, and it is logged; then the try begins anew, with the log in place
 *     of devices.
 *  2. The try stops in front of an instruction that cannot be repeated (lockstep_repeats());
 *     the interpreter runs it after all was compared.
 *  3. With several vCPUs the others are stopped from the first instruction to the comparison,
 *     or to the first access to a device.
 *  4. Flags may differ that nothing reads: the code from there on is looked at, by both ways of
 *     a branch, to see that each of them is overwritten first (lockstep_flags.c).
 *  5. In every other comparison the code is tried twice, on the same memory: the first try meets
 *     each page out of line, the second finds the TLB filled.
 *  6. With one vCPU, every other two comparisons (of a sample: one in 4096) let the code go on past
 * its polls, by all its ways between blocks, until it comes out by itself or a millisecond has
 *     passed.
 *  7. Nothing is compared where a device wrote memory meanwhile, or there were too many pages.
 */
#ifndef ENGINE_JIT_LOCKSTEP_H
#define ENGINE_JIT_LOCKSTEP_H

#include "engine/jit/jit.h"
#include "engine/soft/shadow.h"

/* A vCPU between two instructions. */
struct lockstep_state {
	struct cpu_state st;
	struct x86_fault fault; /* that ended it, if one did */
	/* The derived part of struct x86_cpu, which is not made anew for every comparison. */
	u8 derived[offsetof(struct x86_cpu, on_fault) - offsetof(struct x86_cpu, cc_res)];
};

enum { LOCKSTEP_LOG = 16, LOCKSTEP_TRACE = 128 };

/* How a run ended. */
enum lockstep_end {
	END_AT,	      /* at st.rip */
	END_FAULT,    /* by an exception */
	END_OP,	      /* in front of an instruction that cannot be repeated */
	END_DEVICE,   /* in front of an access that is not in the log */
	END_GIVEN_UP, /* nothing can be said */
	END_DIFFERS,  /* the try asked a device for something else; the interpreter went astray */
};

struct lockstep {
	struct x86_cpu *cpu;
	u32 every, left; /* entries; until the next that is compared */
	struct lockstep_state start, tried, real;
	enum lockstep_end end, real_end;
	struct jit_link *link; /* that the try left through */
	const struct jit_code *code;
	bool warm; /* the try is done twice, so that it finds the TLB filled */
	bool far;  /* code is left to itself, past polls */
	/* The thread that brings it back; far_run: odd while it is on its way. */
	pthread_t watch;
	bool watched;
	_Atomic bool stop;
	_Atomic u64 far_run;
	const struct block *only; /* the interpreter runs this, and no other; or NULL */
	jmp_buf outer;		  /* the run loop's */

	struct vcpu_access log[LOCKSTEP_LOG], asked;
	unsigned nr_log, at;
	bool released;	  /* a device was asked by one of several vCPUs: no more comparing */
	bool asked_by_op; /* the instruction at hand did what the try asked for */
	bool arrived;	  /* the interpreter is where the try left, and all is the same */
	u64 seen_at;	  /* nr_ops when it was compared */

	/* A repeated string instruction is given only so many rounds of its count; 0: all. */
	u64 limit, count;
	u8 limit_asize;
	u64 trace[LOCKSTEP_TRACE]; /* RIP of the last instructions */
	u64 nr_ops;
	u64 dma, epoch; /* when it began */
	char what[256]; /* the difference */
	/* The interpreter when it was there for the first time, if not all was the same. */
	struct lockstep_state missed;
	char missed_what[256];
	u64 missed_at, missed_ops; /* nr_ops then */
	unsigned misses;

	u64 steps, ops, replays, unsure, differences;
	/* A difference was found; the default tells people and ends the machine. */
	void (*report)(struct lockstep *ls);
	/* Of code that is made to find the least difference: a test makes it wrong here. */
	void (*translated)(struct jit *j, struct jit_code *c);
};

int lockstep_new(struct x86_cpu *cpu, struct err *e);
void lockstep_free(struct x86_cpu *cpu);

/* Instead of jit_enter() on b's code; the same result. */
struct jit_link *lockstep_enter(struct x86_cpu *cpu, struct block *b);

/* An exec function is to be called by code that is tried.  May not return. */
void lockstep_before_op(struct x86_cpu *cpu, const struct op *op);

/* May op be run twice, with the same result? */
bool lockstep_repeats(const struct op *op);

void lockstep_stats(const struct soft *s, struct counter_sink *to);

/* lockstep_compare.c: where both ended; ls->what says what is not the same. */
bool lockstep_differs(struct lockstep *ls);
bool lockstep_say(struct lockstep *ls, const char *what); /* true */

/* lockstep_flags.c: those of the flags in mask that code at rip may read. */
u16 lockstep_flags_read(struct x86_cpu *cpu, u64 rip, u16 mask);
/* The byte of code at rip as it was before, or -1. */
int lockstep_code_byte(struct x86_cpu *cpu, u64 rip);

/*
 * From ls->start, b alone, in both ways.  True: they differ, as ls->what says.  Memory is left
 * as the interpreter left it; shadow_undo() takes that back.
 */
bool lockstep_run_block(struct lockstep *ls, const struct block *b, const struct jit_code *c);

/* lockstep_report.c */
void lockstep_dump(const struct lockstep *ls, FILE *f);
void lockstep_put_op(const struct lockstep *ls, u64 rip, FILE *f);

/*
 * lockstep_reduce.c: the least of a block and of the registers in which the two still differ.
 * After a difference, in place of what is done next; leaves all as it was.
 */
void lockstep_reduce(struct lockstep *ls, FILE *f);

#endif
