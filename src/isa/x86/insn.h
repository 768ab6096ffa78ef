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

/* Opcode maps: legacy, VEX, EVEX; 0F, 0F 38 and 0F 3A of each stand in this order. */
enum insn_map {
	MAP_P1,
	MAP_P2,
	MAP_P38,
	MAP_P3A,
	MAP_V2,
	MAP_V38,
	MAP_V3A,
	MAP_E2,
	MAP_E38,
	MAP_E3A,
	NR_MAPS,
	MAP_NONE,
};

static inline bool map_is_vex(unsigned map)
{
	return map >= MAP_V2 && map <= MAP_V3A;
}

static inline bool map_is_evex(unsigned map)
{
	return map >= MAP_E2 && map <= MAP_E3A;
}

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
#define MRM_EXT(n) (MRM_EXT | (n))
#define MRM_EXT_REG(n) (MRM_EXT | MRM_MOD_REG | (n))
#define MRM_EXT_MEM(n) (MRM_EXT | MRM_MOD_MEM | (n))
#define MRM_RM(n, m) (MRM_EXT | MRM_RM | MRM_MOD_REG | (n) | (m) << 3)

enum operand {
#define OPERAND(name, ...) OPND_##name,
#include "isa/x86/operands.def"
#undef OPERAND
	NR_OPERANDS
};

/* Where an operand is, and what of struct op holds it. */
enum operand_kind {
	OK_NONE,
	OK_RM,	       /* general register (op->rm) or memory, by ModRM.rm */
	OK_RM_REG,     /* general register by ModRM.rm */
	OK_REG,	       /* general register by ModRM.reg (op->reg) */
	OK_MEM,	       /* memory by ModRM.rm */
	OK_IMM,	       /* zero-extended (op->imm) */
	OK_IMM_SX,     /* sign-extended to 64 bits */
	OK_IMM_ENTER,  /* ENTER's two */
	OK_REL,	       /* branch displacement, sign-extended */
	OK_FAR_PTR,    /* selector and offset */
	OK_ONE,	       /* the constant 1 (op->imm) */
	OK_MOFFS,      /* memory at an absolute address */
	OK_SREG,       /* segment register by ModRM.reg (op->reg) */
	OK_SREG_OP,    /* segment register by bits 3..5 of the opcode (op->reg) */
	OK_CREG,       /* control register (op->reg) */
	OK_DREG,       /* debug register (op->reg) */
	OK_OPREG,      /* general register by opcode bits 0..2: stands where r/m would */
	OK_ACC,	       /* AL, AX, EAX, RAX: r/m, or reg if there is an r/m */
	OK_COUNT,      /* CL: OP_CL */
	OK_PORT,       /* DX */
	OK_XMM0,       /* implicit mask of the SSE4.1 blends */
	OK_STR_SRC,    /* op->seg : rSI */
	OK_STR_DST,    /* ES : rDI */
	OK_VREG,       /* vector by ModRM.reg (op->reg: its number) */
	OK_VRM,	       /* vector (op->rm: its number) or memory */
	OK_VRM_REG,    /* vector by ModRM.rm */
	OK_MMX,	       /* MMX by ModRM.reg (op->reg) */
	OK_MMX_RM,     /* MMX (op->rm) or memory */
	OK_MMX_RM_REG, /* MMX by ModRM.rm */
	OK_ST0,	       /* ST(0), implicit */
	OK_STI,	       /* ST(i) by ModRM.rm (op->rm) */
	OK_VVVV,       /* vector by VEX.vvvv (op->vvvv) */
	OK_GVVVV,      /* general register by VEX.vvvv (op->vvvv, coded as in op->reg) */
	OK_IS4,	       /* vector by bits 4..7 of the immediate */
	OK_VSIB,       /* memory at many addresses: op->index is a vector register */
	OK_KREG,       /* opmask by ModRM.reg (op->reg) */
	OK_KVVVV,      /* opmask by VEX.vvvv */
	OK_KRM,	       /* opmask (op->rm) or memory */
	OK_KRM_REG,    /* opmask by ModRM.rm */
	OK_SEG_NR,     /* LES and so on: op->imm is the enum seg_reg, which is the token's size */
};

/* Operand sizes that depend on prefixes and mode; smaller values are bytes. */
enum operand_size {
	SZ_V = 0x8000, /* 2, 4, 8: the effective operand size */
	SZ_Z,	       /* 2, 4: likewise, but 4 where it is 8 */
	SZ_Y,	       /* 4, or 8 with REX.W */
	SZ_N,	       /* 8 in 64-bit code, else 4 */
	SZ_A,	       /* two of SZ_V: BOUND */
	SZ_P,	       /* SZ_V and a selector: far pointer */
	SZ_S,	       /* 10 in 64-bit code, else 6: LGDT and so on */
	SZ_ENV,	       /* 14 or 28: FLDENV */
	SZ_SAVE,       /* 94 or 108: FRSTOR */
	SZ_X,	       /* 16, 32, 64: the vector length */
	SZ_X2,	       /* half of it */
	SZ_X4,	       /* a quarter */
	SZ_X8,	       /* an eighth */
};

struct operand_desc {
	const char *name;
	u8 kind;  /* enum operand_kind */
	u16 size; /* bytes or enum operand_size: register, immediate */
	u16 mem;  /* likewise: in memory */
};

extern const struct operand_desc operands[NR_OPERANDS];

enum insn_attr {
	A_LOCK = 1 << 0,	/* may take a LOCK prefix (with a memory destination) */
	A_CPL0 = 1 << 1,	/* #GP(0) unless CPL is 0 */
	A_ENDS = 1 << 2,	/* transfers control: writes RIP, always; ends a block */
	A_NO64 = 1 << 3,	/* #UD in 64-bit code */
	A_ONLY64 = 1 << 4,	/* #UD elsewhere */
	A_DEF64 = 1 << 5,	/* operand size defaults to 64 in 64-bit code (push, near branch) */
	A_FORCE64 = 1 << 6,	/* it is 64 there, whatever the prefixes (near branches: Intel) */
	A_PROT = 1 << 7,	/* #UD in real and virtual-8086 mode */
	A_ALIGN = 1 << 8,	/* vector memory operand must be aligned, or #GP(0) */
	A_FPU = 1 << 9,		/* x87/MMX: #NM by CR0.EM, TS; pending #MF if waiting */
	A_SSE = 1 << 10,	/* #UD by CR0.EM, CR4.OSFXSR; #NM by CR0.TS */
	A_NOWAIT = 1 << 11,	/* x87 that does not check for pending exceptions */
	A_UNTESTABLE = 1 << 12, /* not run by the host-CPU test: privileged or not repeatable */
	A_RMW = 1 << 13,	/* destination is read and written */
	A_WO = 1 << 14,		/* destination is written without being read */
	A_SCALAR = 1 << 15,	/* MXCSR exceptions possible */
	A_NOREXB = 1 << 16,	/* another instruction if REX.B is set: NOP */
	A_PLAIN = 1 << 17,  /* lacking the feature, the mandatory prefix is ignored: TZCNT, LZCNT */
	A_MODX = 1 << 18,   /* ModRM.mod is ignored, taken as 3: MOV CR, DR */
	A_NOREXW = 1 << 19, /* another instruction if REX.W is set: CMPXCHG8B */
	A_REXW = 1 << 20,   /* another instruction unless REX.W is set: CMPXCHG16B */
	A_SRCSIZE = 1 << 21, /* op->size is the source's: CRC32 */
	/*
	 * Ends a block but leaves RIP to the engine: what follows may be decoded or translated
	 * otherwise, or interrupts may come in before it.
	 */
	A_SYNC = 1 << 22,
	A_REXB = 1 << 23,   /* another instruction unless REX.B is set: XCHG R8 */
	A_AVX = 1 << 24,    /* #UD by CR4.OSXSAVE, XCR0 and outside protected mode; #NM by CR0.TS */
	A_AVX512 = 1 << 25, /* and XCR0 has to have the components of AVX-512 */
};

/* What VEX.W and VEX.L (EVEX.L'L) must be: W1 and so on are the bits of those allowed. */
enum {
	W_WIG = 0,
	W_W0 = 1,
	W_W1 = 2,
	L_LIG = 0, /* and the operands are scalar */
	L_L0 = 1,
	L_L1 = 2,
	L_L01 = 3,
	L_L2 = 4,
	L_L12 = 6,
	L_L012 = 7,
};

/* What an EVEX row allows, and how it treats memory. */
enum insn_evex {
	EV_K = 1 << 0,	   /* a mask */
	EV_Z = 1 << 1,	   /* and zeroing */
	EV_MUST = 1 << 2,  /* a mask there must be: not k0 */
	EV_B = 1 << 3,	   /* broadcast of one element of memory */
	EV_ER = 1 << 4,	   /* rounding in the instruction */
	EV_SAE = 1 << 5,   /* no exceptions */
	EV_NF = 1 << 6,	   /* memory is accessed whole, whatever the mask says */
	EV_PACK = 1 << 7,  /* as many elements of memory as bits in the mask */
	EV_BCAST = 1 << 8, /* memory is a few elements, used over and over */
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
	u8 dst, src, imm; /* enum operand */
	u16 fl_in;	  /* RFLAGS read */
	u16 fl_out;	  /* always written with a defined value */
	u16 fl_maybe;	  /* written or kept, by operands (a shift by CL = 0) */
	u16 fl_undef;	  /* left undefined by the manuals */
	u32 attr;
	u8 feature;
	u8 vvvv;	   /* enum operand: VEX.vvvv; none: it must be 1111b */
	u8 vex_w;	   /* W_* */
	u8 vex_l;	   /* L_* */
	u8 elem;	   /* EVEX: bytes of the vector length for each bit of the mask */
	u16 evex;	   /* EV_* */
	const void *thunk; /* legacy vector and x87 rows: the native thunk */
	const char *ref;
};

extern const struct insn insns[];
extern const unsigned nr_insns;

/*
 * Bytes of an operand of a decoded instruction, as memory if it is memory; 0 if the token does
 * not say (LEA, XSAVE, implicit registers).
 */
unsigned x86_operand_bytes(const struct op *op, enum code_size cs, enum operand o);

/* Rows that no encoding leads to: what the decoder makes of bytes that are not an instruction. */
enum { ROW_BAD, ROW_TOO_LONG };

/* Every exec function, declared from the table. */
#define INSN(map, pfx, op, mrm, name, fn, ...) exec_fn exec_##fn;
#include "isa/x86/opcodes.def"
#undef INSN

#endif
