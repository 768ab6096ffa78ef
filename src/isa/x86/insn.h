/* SPDX-License-Identifier: MIT */
/*
 * insn.h - what is known about each instruction; the rows are in opcodes.def.
 *
 * The one table feeds the decoder, the interpreter, the translator's fall-back, the native
 * thunks, CPUID gating and the list of missing tests.
 */
#ifndef ISA_X86_INSN_H
#define ISA_X86_INSN_H

#include "isa/x86/decode.h"

enum insn_map { MAP_P1, MAP_P2, MAP_P38, MAP_P3A };

/* Mandatory prefix: PFX_ANY rows are sized by 66 and repeated by F2/F3, the others chosen by it. */
enum insn_pfx { PFX_ANY, PFX_NP, PFX_66, PFX_F3, PFX_F2 };

/* ModRM constraint: MRM_NONE has no ModRM, MRM_ANY any; the others are made by the macros. */
enum {
	MRM_NONE = 0,
	MRM_ANY = 1 << 15,
	MRM_MOD_REG = 1 << 14, /* mod == 3 only */
	MRM_MOD_MEM = 1 << 13, /* mod != 3 only */
	MRM_EXT = 1 << 12,     /* reg field must be bits 0..2 */
	MRM_RM = 1 << 11,      /* and rm must be bits 3..5 (mod == 3) */
};

enum operand {
#define OPERAND(name, ...) OPND_##name,
#include "isa/x86/operands.def"
#undef OPERAND
	NR_OPERANDS
};

enum insn_attr {
	A_LOCK = 1 << 0,   /* may take a LOCK prefix (with a memory destination) */
	A_CPL0 = 1 << 1,   /* #GP(0) unless CPL is 0 */
	A_ENDS = 1 << 2,   /* ends a block: writes RIP, or changes what decoding depends on */
	A_NO64 = 1 << 3,   /* #UD in 64-bit code */
	A_ONLY64 = 1 << 4, /* #UD elsewhere */
	A_DEF64 = 1 << 5,  /* operand size defaults to 64 in 64-bit code (push, near branch) */
	A_FORCE64 = 1 << 6,/* it is 64 there, whatever the prefixes (near branches: Intel) */
	A_PROT = 1 << 7,   /* #UD in real and virtual-8086 mode */
	A_ALIGN = 1 << 8,  /* vector memory operand must be aligned, or #GP(0) */
	A_FPU = 1 << 9,    /* x87/MMX: #NM by CR0.EM, TS; pending #MF if waiting */
	A_SSE = 1 << 10,   /* #UD by CR0.EM, CR4.OSFXSR; #NM by CR0.TS */
	A_NOWAIT = 1 << 11,/* x87 that does not check for pending exceptions */
	A_UNTESTABLE = 1 << 12, /* not run by the host-CPU test: privileged or not repeatable */
	A_RMW = 1 << 13,   /* destination is read and written */
	A_WO = 1 << 14,	   /* destination is written without being read */
	A_SCALAR = 1 << 15,/* MXCSR exceptions possible */
};

/* CPUID gating. */
enum insn_feature {
#define FEATURE(name, leaf, sub, reg, bit, doc) FEAT_##name,
#include "isa/x86/features.def"
#undef FEATURE
	NR_FEATURES
};

struct insn {
	u8 map, pfx, op;
	u16 mrm;
	const char *name; /* mnemonic, lower case */
	exec_fn *fn;
	u8 dst, src, imm;	     /* enum operand */
	u16 fl_in;		     /* RFLAGS read */
	u16 fl_out;		     /* always written with a defined value */
	u16 fl_maybe;		     /* written or kept, by operands (a shift by CL = 0) */
	u16 fl_undef;		     /* left undefined by the manuals */
	u32 attr;
	u8 feature;
	const void *thunk;	     /* vector and x87 rows: the native thunk */
	const char *ref;
};

extern const struct insn insns[];
extern const unsigned nr_insns;

#endif
