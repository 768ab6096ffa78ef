/* SPDX-License-Identifier: MIT */
/*
 * exec_misc.c - single flags, NOP, BOUND, fences, cache-line hints, random numbers.
 *
 * Source: SDM volume 2, the instructions' own pages.
 */
#include <stdatomic.h>
#include <sys/random.h>

#include "isa/x86/exec.h"
#include "isa/x86/operand.h"

enum { AH = 1 }; /* its byte offset in the registers */

void exec_lahf(struct x86_cpu *cpu, const struct op *op)
{
	gpr_write(cpu, AH, flags_get(cpu) | FL_FIXED, 1);
}

void exec_sahf(struct x86_cpu *cpu, const struct op *op)
{
	flags_change(cpu, FL_ARITH & ~FL_OF, gpr_read(cpu, AH, 1));
}

/* OF is the difference of the two top bits of cc_aux: CF changes with both. */
void exec_cmc(struct x86_cpu *cpu, const struct op *op)
{
	cpu->cc_aux ^= 3ull << 62;
}

void exec_clc(struct x86_cpu *cpu, const struct op *op)
{
	if (flag_cf(cpu))
		cpu->cc_aux ^= 3ull << 62;
}

void exec_stc(struct x86_cpu *cpu, const struct op *op)
{
	if (!flag_cf(cpu))
		cpu->cc_aux ^= 3ull << 62;
}

void exec_cld(struct x86_cpu *cpu, const struct op *op)
{
	cpu->st.rflags &= ~(u64)FL_DF;
}

void exec_std(struct x86_cpu *cpu, const struct op *op)
{
	cpu->st.rflags |= FL_DF;
}

/* A memory operand is not touched. */
void exec_nop(struct x86_cpu *cpu, const struct op *op)
{
}

void exec_pause(struct x86_cpu *cpu, const struct op *op)
{
}

void exec_bound(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = op->size;
	u64 ea = op_ea(cpu, op), next = ea + size;
	i64 val = (i64)sign_extend(reg_read(cpu, op, size), size);
	i64 low = (i64)sign_extend(mem_read(cpu, op->seg, ea, size), size), high;

	if (op->asize != 8)
		next = zero_extend(next, op->asize);
	high = (i64)sign_extend(mem_read(cpu, op->seg, next, size), size);
	if (val < low || val > high)
		x86_raise_noerr(cpu, X86_BR);
}

/* Guest loads and stores are the host's, in order; only a store before a load needs a fence. */
void exec_mfence(struct x86_cpu *cpu, const struct op *op)
{
	ram_fence();
}

void exec_lfence(struct x86_cpu *cpu, const struct op *op)
{
	atomic_signal_fence(memory_order_acquire);
}

void exec_sfence(struct x86_cpu *cpu, const struct op *op)
{
	atomic_signal_fence(memory_order_release);
}

/* There is no cache to flush, but the address is checked as for a load of a byte. */
void exec_clflush(struct x86_cpu *cpu, const struct op *op)
{
	mem_probe(cpu, op->seg, op_ea(cpu, op), 1, MEM_READ);
}

void exec_clflushopt(struct x86_cpu *cpu, const struct op *op)
{
	exec_clflush(cpu, op);
}

void exec_clwb(struct x86_cpu *cpu, const struct op *op)
{
	exec_clflush(cpu, op);
}

/* CF says whether there was a number; if not, the destination is zero. */
void exec_rdrand(struct x86_cpu *cpu, const struct op *op)
{
	u64 val = 0;
	bool ok = getrandom(&val, sizeof(val), GRND_NONBLOCK) == sizeof(val);

	gpr_write(cpu, op->rm, ok ? val : 0, op->size);
	flags_put(cpu, ok ? FL_CF : 0);
}

void exec_rdseed(struct x86_cpu *cpu, const struct op *op)
{
	exec_rdrand(cpu, op);
}
