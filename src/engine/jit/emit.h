/* SPDX-License-Identifier: MIT */
/*
 * emit.h - writing host instructions into the code cache.
 *
 * Registers.  Guest registers live in the host's of the same number, but RSP, which is host
 * R9, and R9 to R11, which live in memory (cpu->st.gpr, at %gs).  Host R10 and R11 are
 * scratch, host RSP is the thread's own stack, and %gs is the struct x86_cpu.
 */
#ifndef ENGINE_JIT_EMIT_H
#define ENGINE_JIT_EMIT_H

#include "isa/x86/cpu.h"

enum host_reg {
	H_RAX,
	H_RCX,
	H_RDX,
	H_RBX,
	H_RSP,
	H_RBP,
	H_RSI,
	H_RDI,
	H_R8,
	H_GUEST_RSP = 9, /* host R9 */
	H_T0 = 10,	 /* scratch: effective address, host address */
	H_T1 = 11,	 /* scratch: TLB entry, a guest register from memory */
	H_R12 = 12,
	H_R15 = 15,
};

/* A buffer in the code cache: written through one mapping, run through the other. */
struct emit {
	u8 *p, *end;
	bool full; /* something did not fit: throw all of it away */
};

/* What stands in ModRM.rm. */
enum rm_kind { RM_REG, RM_MEM, RM_SLOT };

struct rm_operand {
	u8 kind; /* enum rm_kind */
	u8 reg;	 /* RM_REG: host register, or 4 to 7 for AH to BH with high; RM_MEM: the base */
	bool high;
	bool indexed; /* RM_MEM: by T1, beside the base */
	i32 disp;     /* RM_MEM; RM_SLOT: offset in struct x86_cpu */
};

static const struct rm_operand rm_at_t0 = {.kind = RM_MEM, .reg = H_T0};

/* One instruction to encode. */
struct enc {
	bool o16, lock, w;	/* 66 prefix, LOCK, REX.W */
	bool byte_reg, byte_rm; /* those operands are bytes: SPL to DIL want a REX */
	u8 rep;			/* F2, F3 as mandatory prefix, or 0 */
	u8 map;			/* 0: one byte; 1: 0F; 2: 0F 38; 3: 0F 3A */
	u8 opcode;
	u8 reg;	       /* ModRM.reg: host register or digit */
	bool reg_high; /* reg is AH to BH */
	struct rm_operand rm;
	u8 imm_size; /* bytes: 0, 1, 2, 4, 8 */
	u64 imm;
};

static inline void emit8(struct emit *e, u8 b)
{
	if (e->p < e->end)
		*e->p++ = b;
	else
		e->full = true;
}

static inline void emit_bytes(struct emit *e, const void *b, unsigned n)
{
	if ((size_t)(e->end - e->p) < n) {
		e->full = true;
		return;
	}
	memcpy(e->p, b, n);
	e->p += n;
}

static inline void emit32(struct emit *e, u32 v)
{
	emit_bytes(e, &v, 4);
}

void emit_insn(struct emit *e, const struct enc *i);
void emit_modrm(struct emit *e, unsigned reg, const struct rm_operand *rm);

/* mov reg, gs:[disp] and back; size 8 unless said. */
void emit_load_slot(struct emit *e, unsigned reg, i32 disp);
void emit_store_slot(struct emit *e, unsigned reg, i32 disp);
/* Bytes at gs:[disp]: mov, cmp, test, or, and not with a constant; a copy by way of a register. */
void emit_set_byte(struct emit *e, i32 disp, u8 val);
void emit_cmp_byte(struct emit *e, i32 disp, u8 val);
void emit_test_bits(struct emit *e, i32 disp, u8 bits);
void emit_set_bits(struct emit *e, i32 disp, u8 bits);
void emit_clear_bits(struct emit *e, i32 disp, u8 bits);
void emit_copy_byte(struct emit *e, unsigned scratch, i32 to, i32 from);
void emit_mov_rr(struct emit *e, unsigned to, unsigned from);		   /* 64 bits */
void emit_move(struct emit *e, unsigned size, unsigned to, unsigned from); /* 8 or 4 bytes */
void emit_mov_imm(struct emit *e, unsigned reg, u64 imm);
void emit_lea(struct emit *e, unsigned to, int base, int index, unsigned scale, i32 disp);
/* The same of size bytes: 4 clear the upper half. */
void emit_address(struct emit *e, unsigned size, unsigned to, int base, int index, unsigned scale,
		  i32 disp);
/* add/cmp/... gs operands: op is the opcode byte of "op r64, r/m64". */
void emit_op_slot(struct emit *e, u8 opcode, unsigned reg, i32 disp);

/* Jumps with a 32-bit displacement, to be patched; they return where it is. */
u8 *emit_jump(struct emit *e);
u8 *emit_jcc(struct emit *e, unsigned cc);
u8 *emit_call_rel(struct emit *e);
/* To code that exists. */
void emit_jump_to(struct emit *e, const u8 *target);
void emit_jcc_to(struct emit *e, unsigned cc, const u8 *target);
void emit_call_to(struct emit *e, const u8 *target);
/* Make the displacement at site lead to target (both in the same mapping). */
static inline void patch_here(u8 *site, const u8 *target)
{
	i32 d = (i32)(target - (site + 4));

	memcpy(site, &d, 4);
}

#define CPU_OFF(member) ((i32)offsetof(struct x86_cpu, member))
#define GPR_SLOT(g) ((i32)(offsetof(struct x86_cpu, st.gpr) + 8 * (g)))

#endif
