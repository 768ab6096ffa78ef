/* SPDX-License-Identifier: MIT */
/*
 * inspect.h - looking at a vCPU from outside, without side effects: what struct isa_ops
 * offers to debuggers.  The vCPU is not in run().
 */
#ifndef ISA_X86_INSPECT_H
#define ISA_X86_INSPECT_H

#include <stdio.h>

#include "isa/x86/system.h"

/* inspect.c */
int x86_translate(struct vcpu *v, gva_t va, gpa_t *pa, u64 *page_left);
/* Copies what is mapped RAM; returns the bytes read before the first that is not. */
unsigned x86_peek(struct x86_cpu *cpu, gva_t va, void *buf, unsigned len);

/* disasm.c */
unsigned x86_disasm(struct vcpu *v, gva_t va, const u8 *bytes, unsigned len, char *text,
		    size_t text_size);

/* autopsy.c */
void x86_dump(struct vcpu *v, FILE *f);
void x86_autopsy(struct vcpu *v, FILE *f);

/* gdb.c */
enum { X86_GDB_NR_REGS = 66 };
extern const char x86_gdb_target_xml[];
unsigned x86_gdb_read_reg(struct vcpu *v, unsigned n, u8 *buf);
/* 0: there is no such register, or the CPU would not take the value. */
unsigned x86_gdb_write_reg(struct vcpu *v, unsigned n, const u8 *buf);

#endif
