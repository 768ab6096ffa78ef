/* SPDX-License-Identifier: MIT */
/*
 * vex.h - VEX and EVEX instructions on the host: the encoder, and the code made at run time.
 *
 * A thousand forms times lengths, masks and immediates are too many to be built ahead, as the
 * thunks of host.h are.  So the guest's own instruction is encoded anew when it is first met:
 * its vector and mask registers keep their numbers, only memory and general registers are
 * replaced.  The translator puts it into its code like that; for the interpreter it stands
 * between loads and stores of the registers that it uses: a thunk, made once and found again
 * by what was encoded.
 *
 * Each vCPU has its own thunks, so there is no lock.  They are in a memfd that is mapped
 * twice: no page is writable and executable.
 */
#ifndef ISA_X86_FPU_VEX_H
#define ISA_X86_FPU_VEX_H

#include "isa/x86/insn.h"

struct err;

enum vex_rm { VEX_RM_REG, VEX_RM_MEM, VEX_RM_GS };

enum { VEX_NO_INDEX = 4 }; /* which RSP cannot be */

/* Where the operands are on the host. */
struct vex_place {
	u8 reg, vvvv; /* registers */
	u8 rm_kind;   /* enum vex_rm: a register, [rm + index + disp], [%gs:disp] */
	u8 rm, index; /* index: or VEX_NO_INDEX */
	i32 disp;
};

enum { VEX_MAX = 15 };

/* The op's registers as they are. */
struct vex_place vex_place_of(const struct op *op);
/* Writes at most VEX_MAX bytes; returns how many. */
unsigned vex_encode(u8 *out, const struct op *op, const struct vex_place *at);

/* What a thunk works on besides the CPU's vector registers; its code knows the offsets. */
struct vec_frame {
	u8 mem[64]; /* the memory operand */
	u64 rax;    /* the general register in ModRM.reg */
	u64 rcx;    /* in ModRM.rm */
	u64 rdx;    /* PCMPESTR's */
	u64 rflags; /* out */
} __attribute__((aligned(64)));

struct vec_code;
struct x86_cpu;

/* NULL: e says why. */
struct vec_code *vec_code_new(struct err *e);
void vec_code_free(struct vec_code *c);

/* Run op by its thunk; 1: an unmasked exception stopped it, nothing is stored. */
int vec_run(struct x86_cpu *cpu, const struct op *op, struct vec_frame *f);

#endif
