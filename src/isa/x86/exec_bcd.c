/* SPDX-License-Identifier: MIT */
/*
 * exec_bcd.c - decimal adjustments: AAA, AAS, AAM, AAD, DAA, DAS.
 *
 * Undefined flags are as AMD's processors leave them: they follow the addition or
 * subtraction that adjusts AX (AAA, AAS) or AL (DAA, DAS).
 *
 * Source: SDM volume 2, the instructions' own pages.
 */
#include "isa/x86/exec.h"
#include "isa/x86/operand.h"

static void ascii_adjust(struct x86_cpu *cpu, int sign)
{
	u64 ax = gpr_read(cpu, RAX * 8, 2);
	bool adjust = (ax & 15) > 9 || flag_af(cpu);
	unsigned d = adjust ? 0x106 : 0;

	if (sign > 0)
		flags_add(cpu, ax, d, ax + d, 2);
	else
		flags_sub(cpu, ax, d, ax - d, 2);
	flags_change(cpu, FL_AF | FL_CF, adjust ? FL_AF | FL_CF : 0);
	gpr_write(cpu, RAX * 8, (ax + sign * (int)d) & 0xff0f, 2);
}

void exec_aaa(struct x86_cpu *cpu, const struct op *op)
{
	ascii_adjust(cpu, 1);
}

void exec_aas(struct x86_cpu *cpu, const struct op *op)
{
	ascii_adjust(cpu, -1);
}

static void decimal_adjust(struct x86_cpu *cpu, int sign)
{
	u64 al = gpr_read(cpu, RAX * 8, 1), res;
	bool low = (al & 15) > 9 || flag_af(cpu);
	bool high = al > 0x99 || flag_cf(cpu);
	unsigned d = (low ? 6 : 0) + (high ? 0x60 : 0);

	if (sign > 0) {
		res = al + d;
		flags_add(cpu, al, d, res, 1);
	} else {
		res = al - d;
		flags_sub(cpu, al, d, res, 1);
		if (low && al < 6) /* borrowing for the low digit alone carries too */
			high = true;
	}
	flags_change(cpu, FL_AF | FL_CF, (low ? FL_AF : 0) | (high ? FL_CF : 0));
	gpr_write(cpu, RAX * 8, res, 1);
}

void exec_daa(struct x86_cpu *cpu, const struct op *op)
{
	decimal_adjust(cpu, 1);
}

void exec_das(struct x86_cpu *cpu, const struct op *op)
{
	decimal_adjust(cpu, -1);
}

void exec_aam(struct x86_cpu *cpu, const struct op *op)
{
	u8 base = (u8)op->imm, al = (u8)cpu->st.gpr[RAX];

	if (!base)
		x86_raise_noerr(cpu, X86_DE);
	gpr_write(cpu, RAX * 8, (u64)(al / base) << 8 | al % base, 2);
	flags_logic(cpu, al % base, 1);
}

void exec_aad(struct x86_cpu *cpu, const struct op *op)
{
	u64 ax = gpr_read(cpu, RAX * 8, 2), tens = (ax >> 8) * (u8)op->imm;
	u64 sum = (ax & 0xff) + (u8)tens;

	gpr_write(cpu, RAX * 8, (u8)sum, 2);
	flags_add(cpu, ax, tens, sum, 1);
}

/* SALC: AL is all CF.  No manual of Intel's has it, every CPU does. */
void exec_salc(struct x86_cpu *cpu, const struct op *op)
{
	gpr_write(cpu, RAX * 8, flag_cf(cpu) ? 0xff : 0, 1);
}
