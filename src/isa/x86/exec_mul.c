/* SPDX-License-Identifier: MIT */
/*
 * exec_mul.c - MUL, IMUL, DIV, IDIV.
 *
 * The flags the manuals leave undefined are as AMD's processors leave them: MUL and IMUL keep
 * SF, ZF, AF and PF; DIV and IDIV keep CF and OF, clear SF, ZF and PF, and set AF.
 *
 * Source: SDM volume 2, the instructions' own pages.
 */
#include "isa/x86/exec.h"
#include "isa/x86/mul.h"

/* rDX:rAX, or AX for bytes. */
static void write_pair(struct x86_cpu *cpu, u64 hi, u64 lo, unsigned size)
{
	if (size == 1) {
		gpr_write(cpu, RAX * 8, (lo & 0xff) | hi << 8, 2);
	} else {
		gpr_write(cpu, RAX * 8, lo, size);
		gpr_write(cpu, RDX * 8, hi, size);
	}
}

void exec_mul(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = op->size;
	u64 b = rm_read(cpu, op, size), a = gpr_read(cpu, RAX * 8, size);
	unsigned __int128 p = (unsigned __int128)a * b;
	u64 hi = (u64)(p >> (8 * size));

	write_pair(cpu, hi, (u64)p, size);
	flags_set_cf_of(cpu, hi != 0, hi != 0);
}

/* Is p more than size bytes hold, as a signed number? */
static u64 imul_overflows(__int128 p, unsigned size)
{
	return p != (i64)sign_extend((u64)p, size);
}

void exec_imul1(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = op->size;
	i64 b = (i64)sign_extend(rm_read(cpu, op, size), size);
	i64 a = (i64)sign_extend(gpr_read(cpu, RAX * 8, size), size);
	__int128 p = (__int128)a * b;
	u64 over = imul_overflows(p, size);

	write_pair(cpu, (u64)(p >> (8 * size)), (u64)p, size);
	flags_set_cf_of(cpu, over, over);
}

#define BY_SIZE(fn)                                 \
	switch (op->size) {                         \
	case 2: fn(cpu, op, 2, op_loc(op)); break;  \
	case 4: fn(cpu, op, 4, op_loc(op)); break;  \
	default: fn(cpu, op, 8, op_loc(op)); break; \
	}

void exec_imul2(struct x86_cpu *cpu, const struct op *op)
{
	BY_SIZE(do_imul2)
}

void exec_imul3(struct x86_cpu *cpu, const struct op *op)
{
	BY_SIZE(do_imul3)
}

static void div_flags(struct x86_cpu *cpu)
{
	flags_change(cpu, FL_PF | FL_ZF | FL_SF | FL_AF, FL_AF);
}

static unsigned __int128 dividend(const struct x86_cpu *cpu, unsigned size)
{
	if (size == 1)
		return gpr_read(cpu, RAX * 8, 2);
	return (unsigned __int128)gpr_read(cpu, RDX * 8, size) << (8 * size) |
	       gpr_read(cpu, RAX * 8, size);
}

void exec_div(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = op->size;
	u64 d = rm_read(cpu, op, size), q, rem;
	unsigned __int128 n = dividend(cpu, size);

	/* The quotient fits just if the high half is less than the divisor. */
	if (d == 0 || (u64)(n >> (8 * size)) >= d)
		x86_raise_noerr(cpu, X86_DE);
	if (n >> 64) {
		q = (u64)(n / d);
		rem = (u64)(n % d);
	} else {
		q = (u64)n / d;
		rem = (u64)n % d;
	}
	write_pair(cpu, rem, q, size);
	div_flags(cpu);
}

void exec_idiv(struct x86_cpu *cpu, const struct op *op)
{
	unsigned size = op->size, unused = 128 - 16 * size;
	i64 d = (i64)sign_extend(rm_read(cpu, op, size), size);
	__int128 n = (__int128)(dividend(cpu, size) << unused) >> unused;
	__int128 q;

	if (d == 0)
		x86_raise_noerr(cpu, X86_DE);
	/* The one quotient that 128 bits do not hold. */
	if (d == -1 && n == (__int128)((unsigned __int128)1 << 127))
		x86_raise_noerr(cpu, X86_DE);
	q = n / d;
	if (imul_overflows(q, size))
		x86_raise_noerr(cpu, X86_DE);
	write_pair(cpu, (u64)(n % d), (u64)q, size);
	div_flags(cpu);
}
