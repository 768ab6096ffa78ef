/* SPDX-License-Identifier: MIT */
/*
 * decode.h - from instruction bytes to struct op, the form that every software engine runs.
 *
 * The decoder is a pure function of the bytes and the code size; it touches no guest state.
 * What it finds is normalised so that one exec function serves all encodings: "add al, 5",
 * "add r/m, imm" and "xchg rax, r8" differ only in what the fields hold.
 */
#ifndef ISA_X86_DECODE_H
#define ISA_X86_DECODE_H

#include "isa/x86/state.h"
#include "sundog/types.h"

struct x86_cpu;
struct op;

/*
 * Executes one instruction.  On entry the op is cpu->op and op_rip() is right; flags are in
 * their lazy form (flags.h).  A fault does not return (x86_raise()).  Falling through is
 * implied: only instructions that transfer control (attr ENDS) write cpu->st.rip, and those
 * write it always, taken or not.
 */
typedef void exec_fn(struct x86_cpu *cpu, const struct op *op);

enum code_size { CODE16, CODE32, CODE64 };

/* op->evex: the third byte of an EVEX prefix but V'; a VEX prefix has only L. */
enum {
	EVEX_AAA = 7,
	EVEX_B = 1 << 4,
	EVEX_L_SHIFT = 5,
	EVEX_Z = 1 << 7,
};

enum op_form {		    /* which operands, in the order destination, source */
	       FORM_NONE,   /* none, or all implicit */
	       FORM_RM,	    /* one: register or memory */
	       FORM_REG,    /* one: the ModRM.reg register */
	       FORM_RM_REG, /* r/m <- reg */
	       FORM_REG_RM, /* reg <- r/m */
	       FORM_RM_IMM, /* r/m <- imm (also shifts by an immediate or by 1) */
	       FORM_RM_REG_IMM,
	       FORM_REG_RM_IMM,
	       FORM_IMM, /* push imm, int, jmp rel: imm only */
};

enum {			/* op->flags */
       OP_MEM = 1 << 0, /* the r/m operand is memory */
       OP_LOCK = 1 << 1,
       OP_REP = 1 << 2,	    /* F3 that is not a mandatory prefix */
       OP_REPNE = 1 << 3,   /* F2 likewise */
       OP_EA_SLOW = 1 << 4, /* address size is not 8, or another rare form: op_ea_slow() */
       OP_REX_W = 1 << 5,   /* REX.W was there (for instructions that are not sized by it) */
       OP_CL = 1 << 6,	    /* shifts: the count is CL, not imm */
       OP_O32 = 1 << 7,	    /* the 66 prefix was there */
};

struct op {
	exec_fn *fn; /* the row's exec function; an engine may put its own handler here */
	u64 imm;     /* immediate, sign-extended to 64 bits where the row says so; branch:
			displacement; far pointer: offset | selector << 32; ENTER: size |
			level << 16; moffs: the address is here and base, index are GPR_ZERO */
	i32 disp;    /* displacement; RIP-relative: already plus offset-in-page and length, or
			as encoded with OP_EA_SLOW */
	u16 row;     /* index into insns[] */
	u16 off;     /* offset in its page of the first byte */
	u8 len;	     /* bytes, 1 to 15 */
	u8 size;     /* bytes of the first operand that has a size (A_SRCSIZE: of the source), else
			the operand size: 1, 2, 4, 8; vectors: of the r/m operand, up to 64 */
	u8 reg;	     /* ModRM.reg: byte offset into st.gpr[] for general registers (AH is 1,
			CL is 8), else the plain register number */
	u8 rm;	     /* the r/m operand if it is a register, coded likewise */
	u8 base;     /* gpr slot, GPR_ZERO or GPR_PC */
	u8 index;    /* gpr slot or GPR_ZERO; OK_VSIB: number of a vector register */
	u8 scale;    /* 0 to 3 */
	u8 seg;	     /* enum seg_reg; in 64-bit code SEG_DS, SEG_SS (base RSP or RBP), FS, GS */
	u8 asize;    /* address size in bytes: 2, 4, 8 */
	u8 form;     /* enum op_form */
	u8 flags;    /* OP_* */
	u8 opcode;   /* last opcode byte */
	u8 modrm;    /* 0 if there is none */
	u8 vvvv;     /* VEX, EVEX: that operand, coded as reg */
	u8 vl;	     /* vector length: 16 << vl bytes; 0 for scalars */
	u8 evex;     /* VEX and EVEX: EVEX_* */
};
_Static_assert(sizeof(struct op) == 48 || sizeof(struct op) == 40, "ops stay small");

/*
 * Decode one instruction of at most avail bytes (15 suffice).  page_off is the offset in its
 * page of the first byte.  Returns the length; 0 if avail bytes are not enough (and avail <
 * 15); negative if it is not an instruction (*op then runs as #UD, or #GP where it is too
 * long, and has a length).
 */
int x86_decode(const u8 *bytes, unsigned avail, enum code_size cs, unsigned page_off,
	       struct op *op);

/*
 * Make of op what it is on a CPU without insns[op->row].feature: #UD, or the instruction that
 * the opcode was before (TZCNT is BSF, LZCNT is BSR).
 */
void x86_op_without_feature(struct op *op);

#endif
