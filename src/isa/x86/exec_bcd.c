/* SPDX-License-Identifier: MIT */
/*
 * exec_bcd.c - decimal adjustments: AAA, AAS, AAM, AAD, DAA, DAS.
 *
 * Undefined flags are as AMD's processors leave them: they follow the 8-bit addition or
 * subtraction that adjusts AL.
 *
 * Source: SDM volume 2, the instructions' own pages.
 */
#include "isa/x86/exec.h"
#include "isa/x86/operand.h"

static u64 result_flags(u8 al)
{
	return (al ? 0 : FL_ZF) | (al & 0x80 ? FL_SF : 0) | (__builtin_parity(al) ? 0 : FL_PF);
}

static void ascii_adjust(struct x86_cpu *cpu, int sign)
{
	u64 ax = gpr_read(cpu, RAX * 8, 2);
	bool adjust = (ax & 15) > 9 || flag_af(cpu);

	if (adjust)
		ax += sign * 0x106;
	gpr_write(cpu, RAX * 8, ax & 0xff0f, 2);
	flags_put(cpu, result_flags(ax & 15) | (adjust ? FL_AF | FL_CF : 0));
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
	u8 al = (u8)cpu->st.gpr[RAX], res = al;
	bool low = (al & 15) > 9 || flag_af(cpu);
	bool high = al > 0x99 || flag_cf(cpu);

	if (low)
		res += sign * 6;
	if (high)
		res += sign * 0x60;
	/* DAS: borrowing for the low digit alone carries too. */
	if (sign < 0 && low && al < 6)
		high = true;
	gpr_write(cpu, RAX * 8, res, 1);
	flags_put(cpu, result_flags(res) | (low ? FL_AF : 0) | (high ? FL_CF : 0));
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
	flags_put(cpu, result_flags(al % base));
}

void exec_aad(struct x86_cpu *cpu, const struct op *op)
{
	u64 ax = gpr_read(cpu, RAX * 8, 2);
	u8 al = (u8)(ax + (ax >> 8) * (u8)op->imm);

	gpr_write(cpu, RAX * 8, al, 2);
	flags_put(cpu, result_flags(al));
}
