/* SPDX-License-Identifier: MIT */
/*
 * exec_test.h - one instruction on the host and through its exec function: exec_test_run.c.
 */
#ifndef ISA_X86_EXEC_TEST_H
#define ISA_X86_EXEC_TEST_H

#include "isa/x86/exec.h"
#include "isa/x86/operand.h"

enum { BUF = 4 * 4096 };

struct regs {
	u64 gpr[16], flags;
};

struct outcome {
	struct regs r;
	int vector; /* -1: none */
	u64 error, addr;
};

/* Guest memory: below 2 GiB, BUF bytes, with inaccessible pages around it. */
extern u8 *test_buf;
extern struct x86_cpu *guest;
extern bool test_slow;		 /* as if all memory were devices */
extern u64 port_uses, port_last; /* accesses to I/O ports, last value written */

/* Used by the assembly in exec_test_run.c. */
extern struct regs host_regs;
extern u64 host_sp, host_code, host_ret;
void host_enter(void);

void test_host_init(void);
void test_guest_init(void);
void test_guest_forget(void); /* empties the TLB */

void test_host_run(const u8 *bytes, unsigned len, const struct regs *in, struct outcome *out);
void test_guest_run(const struct op *op, const struct regs *in, struct outcome *out);

#endif
