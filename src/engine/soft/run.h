/* SPDX-License-Identifier: MIT */
/*
 * run.h - running decoded blocks: what the interpreter is, and where a translator starts.
 *
 * The soft_run() family are the engine_ops of the software engines.
 */
#ifndef ENGINE_SOFT_RUN_H
#define ENGINE_SOFT_RUN_H

#include "engine/soft/soft.h"

/* engine_ops: soft_init() and soft_cpu_init() are in soft.h. */
int soft_run_init(struct machine *m, struct err *e);
enum vcpu_exit soft_run(struct vcpu *v, u64 budget);
void soft_kick(struct vcpu *v);
int soft_sync(struct vcpu *v, struct err *e);
void soft_vcpu_state_changed(struct vcpu *v);
u64 soft_pc(const struct vcpu *v);
void soft_access_begin(struct vcpu *v);
void soft_access_end(struct vcpu *v);
void soft_limit_features(struct cpu_features *f);

/* A handler made for this very form, or NULL: handlers.c. */
exec_fn *soft_fast(const struct op *op, block_key key);

/* Does the block end in a direct branch whose handler uses the link slots? */
bool soft_is_direct(const struct op *op, block_key key);

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
static inline __attribute__((always_inline)) void soft_go(struct x86_cpu *cpu, const struct op *op)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	op->fn(cpu, op);
#else
	__atomic_load_n(&op->fn, __ATOMIC_ACQUIRE)(cpu, op);
#endif
}

#endif
