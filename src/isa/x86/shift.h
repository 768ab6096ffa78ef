/* SPDX-License-Identifier: MIT */
/*
 * shift.h - shifts and rotates: the one body of each, a template as alu.h says.
 *
 * Flags the manuals leave undefined are as AMD's processors leave them: AF is set by shifts,
 * and OF follows the rule for a count of 1 whatever the count.
 */
#ifndef ISA_X86_SHIFT_H
#define ISA_X86_SHIFT_H

#include "isa/x86/alu.h"

/* In the order of the ModRM.reg field. */
enum shift { SH_ROL, SH_ROR, SH_RCL, SH_RCR, SH_SHL, SH_SHR, SH_SAL, SH_SAR };

static __always_inline void flags_set_cf_of(struct x86_cpu *cpu, u64 cf, u64 of)
{
	cpu->cc_aux = (cpu->cc_aux & ~(3ull << 62)) | cf << 63 | (cf ^ of) << 62;
}

static __always_inline unsigned shift_count(const struct x86_cpu *cpu, const struct op *op,
					    unsigned size)
{
	u64 c = op->flags & OP_CL ? cpu->st.gpr[RCX] : op->imm;

	return c & (size == 8 ? 63 : 31);
}

/* a is zero-extended, n is 1 to 31 or 63. *cf is CF before and after. */
static __always_inline u64 shift_result(enum shift k, u64 a, unsigned n, unsigned size, u64 *cf)
{
	unsigned bits = 8 * size, m;
	u64 res;

	switch (k) {
	case SH_SHL:
	case SH_SAL: *cf = n <= bits ? a >> (bits - n) & 1 : 0; return a << n;
	case SH_SHR: *cf = a >> (n - 1) & 1; return a >> n;
	case SH_SAR:
		a = sign_extend(a, size);
		*cf = a >> (n - 1) & 1;
		return (u64)((i64)a >> n);
	case SH_ROL:
		m = n & (bits - 1);
		res = m ? a << m | a >> (bits - m) : a;
		*cf = res & 1;
		return res;
	case SH_ROR:
		m = n & (bits - 1);
		res = m ? a >> m | a << (bits - m) : a;
		*cf = res >> (bits - 1) & 1;
		return res;
	case SH_RCL:
		m = n % (bits + 1);
		if (!m)
			return a;
		res = a << m | *cf << (m - 1);
		if (m > 1)
			res |= a >> (bits + 1 - m);
		*cf = a >> (bits - m) & 1;
		return res;
	default:
		m = n % (bits + 1);
		if (!m)
			return a;
		res = *cf << (bits - m);
		if (m < bits)
			res |= a >> m;
		if (m > 1)
			res |= a << (bits + 1 - m);
		*cf = a >> (m - 1) & 1;
		return res;
	}
}

/* Memory is checked for writing, and a 32-bit register zero-extended, even if the count is 0. */
static __always_inline void do_shift(struct x86_cpu *cpu, const struct op *op, enum shift k,
				     unsigned size, enum loc loc)
{
	unsigned bits = 8 * size, n = shift_count(cpu, op, size);
	u64 cf = flag_cf(cpu), top, next;
	struct mem_rmw r;
	u64 a, res;

	a = rmw_get(cpu, op, size, loc, &r);
	res = n ? shift_result(k, a, n, size, &cf) : a;
	rmw_put(cpu, op, size, loc, &r, &a, res);
	if (!n)
		return;

	top = res >> (bits - 1) & 1;
	next = res >> (bits - 2) & 1;
	if (k >= SH_SHL) {
		cpu->cc_res = sign_extend(res, size);
		cpu->cc_aux = 1 << 3;
	}
	if (k == SH_SHL || k == SH_SAL || k == SH_ROL || k == SH_RCL)
		flags_set_cf_of(cpu, cf, top ^ cf);
	else
		flags_set_cf_of(cpu, cf, top ^ next);
}

#endif
