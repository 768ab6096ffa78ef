/* SPDX-License-Identifier: MIT */
/*
 * msr.h - the table of model-specific registers, for rdmsr, wrmsr, reset and the test.
 */
#ifndef ISA_X86_MSR_H
#define ISA_X86_MSR_H

#include "isa/x86/cpu.h"
#include "isa/x86/insn.h"

enum msr_kind {
	MSR_KEPT,	/* in struct cpu_state, at offset */
	MSR_CANONICAL,	/* likewise, and a linear address: #GP if it is not canonical */
	MSR_CONST,	/* reads as reset; #GP on writes */
	MSR_FIXED,	/* reads as reset; writes do nothing */
	MSR_WRITE_ONLY, /* #GP on reads */
	MSR_CALLS,	/* read() and write() */
};

/* In the place of a feature: registers of one vendor. */
enum { VENDOR_INTEL = 254, VENDOR_AMD = 255 };
_Static_assert((int)NR_FEATURES < (int)VENDOR_INTEL, "features and vendors share a byte");

struct msr_row {
	u32 msr;
	const char *name;
	u8 kind;
	u16 offset;
	u64 reset;
	u64 writable; /* other bits raise #GP when set */
	u8 feature;
	int (*read)(struct x86_cpu *cpu, u64 *val);
	int (*write)(struct x86_cpu *cpu, u64 val); /* NULL: just store */
};

extern const struct msr_row msr_rows[];
extern const unsigned nr_msr_rows;

#endif
