/* SPDX-License-Identifier: MIT */
/*
 * exec_string.h - what the string instructions share: repetition, registers, interruption.
 */
#ifndef ISA_X86_EXEC_STRING_H
#define ISA_X86_EXEC_STRING_H

#include "isa/x86/operand.h"

/* Index registers an instruction steps. */
enum { STR_SI = 1, STR_DI = 2 };

static inline u64 str_si(const struct x86_cpu *cpu, const struct op *op)
{
	return zero_extend(cpu->st.gpr[RSI], op->asize);
}

static inline u64 str_di(const struct x86_cpu *cpu, const struct op *op)
{
	return zero_extend(cpu->st.gpr[RDI], op->asize);
}

/* One element: does the accesses, leaves the registers alone. */
typedef void str_one(struct x86_cpu *cpu, const struct op *op);
/* As many of n elements as go in one piece, upwards; 0: take str_one.  Registers likewise. */
typedef u64 str_many(struct x86_cpu *cpu, const struct op *op, u64 n);

/* Runs one element, or as many as RCX says with a REP or REPNE prefix.  many may be NULL. */
void str_run(struct x86_cpu *cpu, const struct op *op, unsigned which, str_one *one,
	     str_many *many);

#endif
