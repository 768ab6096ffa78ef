/* SPDX-License-Identifier: MIT */
/*
 * decode_priv.h - an instruction while it is decoded: decode.c and decode_vex.c among themselves.
 */
#ifndef ISA_X86_DECODE_PRIV_H
#define ISA_X86_DECODE_PRIV_H

#include "isa/x86/insn.h"

enum { INSN_MAX = 15 };

enum status { DEC_OK, DEC_SHORT, DEC_TOO_LONG, DEC_BAD };

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8, REX_SEEN = 0x40 };

enum { NO_SEG = 0xff };

struct dec {
	const u8 *bytes;
	unsigned avail, pos;
	enum status status;
	enum code_size cs;
	u8 rex; /* the prefix, or 0; VEX and EVEX have the same bits */
	u8 rep; /* 0, 0xf2, 0xf3: the last one */
	u8 seg; /* override, or NO_SEG */
	bool p66, p67, lock;
	bool rip_rel;
	u8 osize; /* effective operand size */

	/* VEX and EVEX. */
	u8 vvvv;	    /* not inverted; five bits with EVEX */
	u8 evex;	    /* as op->evex */
	bool reg16, vvvv16; /* EVEX.R', V': bit 4 of ModRM.reg and vvvv */
	bool vsib;	    /* the index is a vector register: four too */
	u8 vl;		    /* as op->vl */
	u8 disp8;	    /* what an 8-bit displacement counts; 0: bytes */
	const struct insn *row;
};

/* The next n bytes are there; else d->status says why not. */
bool dec_have(struct dec *d, unsigned n);
/* n bytes, zero-extended; 0 if they are not there. */
u64 dec_fetch(struct dec *d, unsigned n);
/* Bytes, from a size of operands.def. */
unsigned dec_size_bytes(const struct dec *d, unsigned size);

/* --- decode_vex.c ---------------------------------------------------------------------------- */

/* Is the byte at d->pos, known to be there, the begin of a VEX or EVEX prefix? */
bool dec_is_vex(struct dec *d);
/* Read it: the opcode map; d->status if it is none. */
enum insn_map dec_vex_prefix(struct dec *d);
/* Does what stood in the prefix fit the row?  For rows of VEX and EVEX maps. */
bool dec_vex_fits(const struct dec *d, const struct insn *row, u8 modrm);
/* Once the row is known: what it demands of the rest of the prefix, or DEC_BAD. */
void dec_vex_row(struct dec *d, u8 modrm);
/* Bytes of the row's operand o in memory, with broadcast. */
unsigned dec_vex_mem(const struct dec *d, enum operand o);
/* The operand in vvvv, and what the prefix adds to the others. */
void dec_vex_operands(struct dec *d, struct op *op);

#endif
