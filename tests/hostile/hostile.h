/* SPDX-License-Identifier: MIT */
/*
 * hostile.h - guests that try everything, and what they are made of.
 *
 * A guest is a kind and a seed: what is in its memory and registers follows from them alone,
 * but for the order in which its vCPUs and devices race.
 */
#ifndef TESTS_HOSTILE_H
#define TESTS_HOSTILE_H

#include "isa/x86/cpu.h"
#include "sundog/machine.h"

enum { GUEST_MAX_CPUS = 4, GUEST_MEMORY = 16 << 20 };

struct rng {
	u64 state;
};

/* Where things are in a guest's memory. */
enum {
	AT_GDT = 0x1000,
	AT_IDT = 0x2000,
	AT_TSS = 0x3000,
	AT_PD32 = 0x4000,
	AT_PML4 = 0x10000,
	AT_PDPT = 0x11000,
	AT_PD = 0x12000, /* 4: identity, 2 MiB pages */
	AT_PT = 0x16000, /* of the first 2 MiB */
	AT_CODE = 0x20000,
	CODE_SIZE = 0x20000, /* SIPI vectors 0x20 to 0x3f */
	AT_HANDLERS = 0x40000,
	AT_STACKS = 0x50000,
	AT_IST = AT_STACKS + 0x800, /* put_halting_handlers() */
	AT_DATA = 0x60000,
	PIECE = 64,
};

struct guest;

struct guest_kind {
	const char *name;
	unsigned min_cpus;
	bool prod;				      /* send NMIs */
	void (*memory)(struct guest *g);	      /* fill it */
	void (*enter)(struct guest *g, unsigned cpu); /* set the registers */
};

struct guest {
	const struct guest_kind *kind;
	struct machine *m;
	struct rng rng; /* for the memory */
	struct rng cpu_rng[GUEST_MAX_CPUS];
	enum code_size size; /* of the code, where the kind leaves it open */
};

extern const struct guest_kind guest_kinds[];
extern const unsigned nr_guest_kinds;

u64 rng_next(struct rng *r);
u64 rng_below(struct rng *r, u64 n);
/* An address or number that is likely to mean something. */
u64 rng_odd(struct rng *r);

/* --- writing guest memory (code.c) --- */

struct code {
	struct guest *g;
	u64 at, end;
};

void put(struct guest *g, u64 at, const void *p, size_t len);
void put_val(struct guest *g, u64 at, u64 val, unsigned size);
void put_random(struct guest *g, u64 at, u64 len);
void emit(struct code *c, const char *bytes, size_t len);
#define EMIT(c, bytes) emit(c, bytes, sizeof(bytes) - 1)
void emit_val(struct code *c, u64 val, unsigned size);
void emit_align(struct code *c); /* to where a handler returns to */
void emit_jmp(struct code *c, u64 to);
void emit_mov(struct code *c, unsigned reg, u64 val);
/*
 * Prefixes that belong to it, escapes and opcode of a row; returns how many bytes.  For VEX and
 * EVEX rows vvvv (0: also where it is not used), the length, and EVEX' z, b and aaa where they
 * stand there; REX then names what it would.
 */
struct insn;
unsigned put_opcode(u8 *b, const struct insn *row, u8 rex, unsigned vvvv, unsigned l, u8 evex);
/* An instruction of any row of opcodes.def. */
void emit_any(struct code *c, struct rng *r, enum code_size size);

/* Tables for all modes, and the registers that lead into one. */
void put_tables(struct guest *g);
/* 64-bit: all exceptions lead to a HLT of their own, on a stack that is there. */
void put_halting_handlers(struct guest *g);
void enter_mode(struct guest *g, unsigned cpu, enum code_size size, bool user);
void enter_real(struct guest *g, unsigned cpu);

#endif
