/* SPDX-License-Identifier: MIT */
/*
 * fpu_judge.h - the host CPU as judge of x87, MMX and SSE rows: not of what a thunk computes but
 * of what is wrapped around it: operands, immediates, memory, MXCSR, traps, flags, images.
 *
 * A case is an encoding in code[], a random state and random memory.  The host runs the very
 * bytes with the state loaded; the row's function runs on struct cpu_state.  Guest memory is
 * the host's, at the same addresses.  Seeded: pass the number that a failure prints to rerun.
 */
#ifndef ISA_X86_FPU_FPU_JUDGE_H
#define ISA_X86_FPU_FPU_JUDGE_H

#include "isa/x86/fpu/fpu.h"

enum { PAGE = 4096, NR_PAGES = 3 }; /* the last one is not there */

struct judge {
	u8 fx[512];
	u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rflags;
	const void *code;
	u64 trapped;
} __attribute__((aligned(64)));

extern struct x86_cpu *cpu;
extern u8 *code, *mem; /* the instruction; NR_PAGES pages */
extern u8 mem_before[2 * PAGE], mem_host[2 * PAGE];
extern u64 seed, case_seed;
extern unsigned long cases, failures;
extern struct cpu_features host_features;

u64 rnd(void);
void random_vec(u8 *p);
/* Registers, vectors, x87, MXCSR; unmasked: some exceptions are.  RDI points to memory. */
void random_state(bool unmasked);

/* Run code[] on the host, from the guest's state; memory comes out in mem_host. */
void judge_host(struct judge *j);
/* Run what is in code[] on the guest; false if it faulted. */
bool run_guest(struct op *op, unsigned len);
/* Guest against host. */
void compare(const struct insn *in, const struct judge *j, bool xmm_trap);
void explain(const struct insn *in, const char *what, const struct judge *j);

const struct insn *row_named(const char *name);
void check(bool ok, const char *what);
/* Does code[] with RDI at addr raise vector (0xff: nothing), the state unchanged? */
bool faults_at(u64 addr, unsigned len, u8 vector);

void judge_init(int argc, char **argv);
int judge_verdict(void); /* what main() returns */

#endif
