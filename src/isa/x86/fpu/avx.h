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
	u64 need = map_is_evex(insns[op->row].map) ? XCR0_AVX512_ALL : XCR0_AVX_ALL;

	if (__builtin_expect(!cpu->code64 || cpu->st.cr0 & CR0_TS || !(cpu->st.cr4 & CR4_OSXSAVE) ||
				     need & ~cpu->st.xcr0,
			     0))
		avx_check_slow(cpu, op);
}

/* size bytes of memory, 64 at most. */
void avx_load_mem(struct x86_cpu *cpu, const struct op *op, void *buf, unsigned size);
void avx_store_mem(struct x86_cpu *cpu, const struct op *op, const void *buf, unsigned size);

/* The rest of a vector register above its low size bytes. */
static inline void avx_clear_above(union vreg *v, unsigned size)
{
	memset(v->b + size, 0, sizeof(v->b) - size);
}

#endif
