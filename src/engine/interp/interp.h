/* SPDX-License-Identifier: MIT */
/*
 * interp.h - the interpreter's files among themselves.
 */
#ifndef ENGINE_INTERP_H
#define ENGINE_INTERP_H

#include "engine/soft/soft.h"

extern const struct engine_ops interp_engine;

/* A handler made for this very form, or NULL: fast.c. */
exec_fn *interp_fast(const struct op *op, block_key key);

/* Does the block end in a direct branch whose handler uses the link slots? */
bool interp_is_direct(const struct op *op, block_key key);

/* RIP that op stands for, whether it is an instruction or a slot. */
static inline u64 op_rip_cut(const struct x86_cpu *cpu, const struct op *op)
{
	return x86_cut_rip(cpu, cpu->st.gpr[GPR_PC] + op->off);
}

/*
 * On to op.  Another vCPU may kill the block or link the slot at any time: the load of fn
 * pairs with its release store (block_poison(), link_slot()).  An x86 host's plain load is an
 * acquire, and the compiler makes the shortest jump of it.
 */
static inline __attribute__((always_inline)) void interp_go(struct x86_cpu *cpu,
							    const struct op *op)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	op->fn(cpu, op);
#else
	__atomic_load_n(&op->fn, __ATOMIC_ACQUIRE)(cpu, op);
#endif
}

#endif
