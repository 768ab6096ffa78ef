/* SPDX-License-Identifier: MIT */
/*
 * avx.h - what the exec functions of VEX and EVEX instructions share: checks, memory operands.
 */
#ifndef ISA_X86_FPU_AVX_H
#define ISA_X86_FPU_AVX_H

#include "isa/x86/fpu/fpu.h"
#include "isa/x86/fpu/vex.h"

enum {
	XCR0_AVX_ALL = 0x06,	/* SSE, AVX */
	XCR0_AVX512_ALL = 0xe6, /* and opmask, ZMM_Hi256, Hi16_ZMM */
};

/* #UD or #NM if the system has not made ready for it. */
void avx_check_slow(struct x86_cpu *cpu, const struct op *op);

static inline void avx_check(struct x86_cpu *cpu, const struct op *op)
{
	u64 need = insns[op->row].attr & A_AVX512 ? XCR0_AVX512_ALL : XCR0_AVX_ALL;

	if (__builtin_expect(!cpu->code64 || cpu->st.cr0 & CR0_TS || !(cpu->st.cr4 & CR4_OSXSAVE) ||
				     need & ~cpu->st.xcr0,
			     0))
		avx_check_slow(cpu, op);
}

/* size bytes of memory, 64 at most. */
void avx_load_mem(struct x86_cpu *cpu, const struct op *op, void *buf, unsigned size);
void avx_store_mem(struct x86_cpu *cpu, const struct op *op, const void *buf, unsigned size);

/* #GP if the row wants alignment, #AC if the guest does. */
void avx_check_alignment(struct x86_cpu *cpu, const struct op *op, u64 ea, unsigned size,
			 enum mem_access acc);

/* The thunk, with the guest's MXCSR if the row uses it; then general registers and flags. */
void avx_run(struct x86_cpu *cpu, const struct op *op, struct vec_frame *f);
void avx_take_results(struct x86_cpu *cpu, const struct op *op, const struct vec_frame *f);

/* Effective address of element i of a gather or scatter. */
static inline u64 avx_element(const struct x86_cpu *cpu, const struct op *op, unsigned i)
{
	const union vreg *v = &cpu->st.v[op->index];
	u64 index = op->opcode & 1 ? v->q[i] : (u64)(i64)(i32)v->d[i];
	u64 ea = cpu->st.gpr[op->base] + (index << op->scale) + (u64)(i64)op->disp;

	return op->asize == 8 ? ea : (u32)ea;
}

/* How many elements it has: bit 0 of the opcode says that indices have 8 bytes, not 4. */
static inline unsigned avx_elements(const struct op *op)
{
	unsigned index = op->opcode & 1 ? 8 : 4;

	return (16u << op->vl) / (op->size > index ? op->size : index);
}

/* The rest of a vector register above its low size bytes. */
static inline void avx_clear_above(union vreg *v, unsigned size)
{
	memset(v->b + size, 0, sizeof(v->b) - size);
}

#endif
