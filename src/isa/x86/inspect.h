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

#endif
