/* SPDX-License-Identifier: MIT */
/*
 * system_bed.h - a bare machine for the tests of the privileged half: flat RAM, one CPU, the
 * first engine, and helpers that lay out tables in guest memory.
 */
#ifndef ISA_X86_SYSTEM_BED_H
#define ISA_X86_SYSTEM_BED_H

#include <stdio.h>

#include "isa/x86/insn.h"
#include "isa/x86/priv.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/isa.h"
#include "sundog/machine.h"

enum { BED_RAM = 16 << 20 };

/* Where things are. */
enum {
	BED_PML4 = 0x1000,
	BED_PDPT = 0x2000,
	BED_PD = 0x3000,
	BED_PT = 0x4000,
	BED_GDT = 0x5000,
	BED_IDT = 0x6000,
	BED_TSS = 0x7000,
	BED_TSS2 = 0x7800,
	BED_HANDLERS = 0x8000, /* vector n: at + 16 * n, a HLT */
	BED_CODE = 0x10000,
	BED_STACK0 = 0x20000, /* of ring 0 */
	BED_STACK3 = 0x30000,
	BED_IST1 = 0x40000,
	BED_DATA = 0x50000,
};

/* Selectors. */
enum {
	SEL_CODE64 = 0x08,
	SEL_DATA = 0x10,
	SEL_CODE32_3 = 0x18 | 3,
	SEL_DATA3 = 0x20 | 3,
	SEL_CODE64_3 = 0x28 | 3,
	SEL_TSS = 0x30, /* 16 bytes */
	SEL_CODE32 = 0x40,
	SEL_TSS2 = 0x48,
	SEL_GATE = 0x50,
	SEL_CONFORMING = 0x60,
	SEL_CODE16 = 0x68,
	SEL_DATA16 = 0x70,
};

struct bed {
	struct machine m;
	struct machine_cfg cfg;
	struct region region;
	u8 *ram;
	struct x86_cpu *cpu;
};

extern unsigned bed_failures;

#define CHECK_EQ(a, b) bed_check_eq(__FILE__, __LINE__, #a, (u64)(a), (u64)(b))

void bed_check_eq(const char *file, int line, const char *what, u64 got, u64 want);

struct bed *bed_new(const char *model);
void bed_free(struct bed *b);

/* Tables and state for long mode, CPL 0, interrupts off; for 32-bit protected; for real mode. */
void bed_long(struct bed *b);
void bed_protected(struct bed *b);
void bed_real(struct bed *b);

void bed_st(struct bed *b, u64 at, u64 val, unsigned size);
u64 bed_ld(struct bed *b, u64 at, unsigned size);
void bed_code(struct bed *b, u64 at, const char *bytes, unsigned len);
void bed_gate(struct bed *b, unsigned vector, u16 sel, u64 off, unsigned type, unsigned dpl,
	      unsigned ist);
void bed_desc(struct bed *b, u16 sel, u32 base, u32 limit, u16 attr);
void bed_set_seg(struct bed *b, enum seg_reg reg, u16 sel); /* from the GDT, unchecked */

/* Go to ring 3 of long or 32-bit mode, at BED_CODE. */
void bed_ring3(struct bed *b);

/* Run n instructions at most from rip; the reason that it stopped. */
enum vcpu_exit bed_run(struct bed *b, u64 rip, u64 n);

/* The vector whose handler it halted in, or -1. */
int bed_vector(const struct bed *b);

#define CODE(b, bytes) bed_code(b, BED_CODE, bytes, sizeof(bytes) - 1)

#endif
