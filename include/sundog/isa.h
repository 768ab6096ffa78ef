/* SPDX-License-Identifier: MIT */
/*
 * isa.h - an instruction set: what the common code must know of the guest's CPU, and no more.
 *
 * Everything that differs between ISAs sits behind this; outside isa/, engine/, board/boot
 * and debug/ nothing names a register.
 */
#ifndef SUNDOG_ISA_H
#define SUNDOG_ISA_H

#include <stdio.h>

#include "sundog/engine.h"

struct cpu_features;
struct err;
struct machine;

enum vcpu_reset { RESET_POWER_ON, RESET_INIT };

struct isa_ops {
	const char *name;

	/* A vCPU in power-on state; engine not attached yet. */
	struct vcpu *(*vcpu_new)(struct machine *m, unsigned index, struct err *e);
	void (*vcpu_free)(struct vcpu *cpu);
	void (*reset)(struct vcpu *cpu, enum vcpu_reset how);

	/* INIT and SIPI as they come in (not while run() runs). */
	void (*init_signal)(struct vcpu *cpu);
	void (*startup)(struct vcpu *cpu, u8 vector);
	/* Is there something that ends a halt? Looks at cpu->pending and the state. */
	bool (*wakes)(struct vcpu *cpu);

	/* CPU models: what --cpu takes; NULL-ended. */
	const char *const *models;
	int (*features)(struct machine *m, const char *model,
			struct err *e); /* m->features, from malloc() */

	/* For debuggers: no side effects.  -EFAULT if not mapped. */
	int (*translate)(struct vcpu *cpu, gva_t va, gpa_t *pa, u64 *page_left);

	/* One instruction as text; returns its length (at least 1). */
	unsigned (*disasm)(struct vcpu *cpu, gva_t va, const u8 *bytes, unsigned len, char *text,
			   size_t text_size);

	/* Registers for people; why the CPU shut down, for people. */
	void (*dump)(struct vcpu *cpu, FILE *f);
	void (*autopsy)(struct vcpu *cpu, FILE *f);

	/* gdb: target description XML, and the register file in its order. */
	const char *gdb_target_xml;
	unsigned gdb_nr_regs;
	/*
	 * Returns the register's bytes in buf (at most 64), 0 if there is no such one, or if the
	 * value is one that the CPU would refuse.  After a write: engine_ops->state_changed().
	 */
	unsigned (*gdb_read_reg)(struct vcpu *cpu, unsigned n, u8 *buf);
	unsigned (*gdb_write_reg)(struct vcpu *cpu, unsigned n, const u8 *buf);
};

extern const struct isa_ops x86_isa;

#endif
