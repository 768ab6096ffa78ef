/* SPDX-License-Identifier: MIT */
/*
 * exec_shift.c - shifts, rotates and double shifts.
 *
 * Source: SDM volume 2, "RCL/RCR/ROL/ROR", "SAL/SAR/SHL/SHR", "SHLD", "SHRD".
 */
#include "isa/x86/exec.h"
#include "isa/x86/shift.h"

static __always_inline void shift_sized(struct x86_cpu *cpu, const struct op *op, enum shift k)
{
	switch (op->size) {
	case 1: do_shift(cpu, op, k, 1, op_loc(op)); break;
	case 2: do_shift(cpu, op, k, 2, op_loc(op)); break;
	case 4: do_shift(cpu, op, k, 4, op_loc(op)); break;
	default: do_shift(cpu, op, k, 8, op_loc(op)); break;
	}
}

void exec_shl(struct x86_cpu *cpu, const struct op *op)
{
	shift_sized(cpu, op, SH_SHL);
}

void exec_shr(struct x86_cpu *cpu, const struct op *op)
{
	shift_sized(cpu, op, SH_SHR);
}

void exec_sar(struct x86_cpu *cpu, const struct op *op)
{
	shift_sized(cpu, op, SH_SAR);
}

void exec_rol(struct x86_cpu *cpu, const struct op *op)
{
	shift_sized(cpu, op, SH_ROL);
}

void exec_ror(struct x86_cpu *cpu, const struct op *op)
{
	shift_sized(cpu, op, SH_ROR);
}

void exec_rcl(struct x86_cpu *cpu, const struct op *op)
{
	shift_sized(cpu, op, SH_RCL);
}

void exec_rcr(struct x86_cpu *cpu, const struct op *op)
{
	shift_sized(cpu, op, SH_RCR);
}

/*
 * r/m and reg side by side, shifted by n.  16-bit counts above 16 are undefined; AMD's take their
 * bits from reg again, as in r/m : reg : reg, and clear CF.
 */
static u64 shld_result(u64 a, u64 b, unsigned n, unsigned size, u64 *cf)
{
	unsigned bits = 8 * size;

	*cf = n <= bits ? a >> (bits - n) & 1 : 0;
	if (n < bits)
		return a << n | b >> (bits - n);
	return n == bits ? b : b << (n - bits) | b >> (2 * bits - n);
}

static u64 shrd_result(u64 a, u64 b, unsigned n, unsigned size, u64 *cf)
{
	unsigned bits = 8 * size;

	*cf = n <= bits ? a >> (n - 1) & 1 : 0;
	if (n <= bits)
		return a >> n | b << (bits - n);
	return b >> (n - bits) | b << (2 * bits - n);
}

/* The sign has changed; also where the count makes it undefined, as on AMD's. */
static u64 double_shift_of(u64 res, u64 cf, unsigned n, unsigned size, bool left)
{
	u64 top = res >> (8 * size - 1) & 1, next = res >> (8 * size - 2) & 1;

	if (!left)
		return top ^ next;
	return n < 8 * size ? top ^ cf : cf;
}

static __always_inline void double_shift(struct x86_cpu *cpu, const struct op *op, bool left)
{
	unsigned size = op->size, n = shift_count(cpu, op, size);
	u64 b = gpr_read(cpu, op->reg, size), cf = 0, res;
	enum loc loc = op_loc(op);
	struct mem_rmw r;
	u64 a = rmw_get(cpu, op, size, loc, &r);

	res = a;
	if (n)
		res = left ? shld_result(a, b, n, size, &cf) : shrd_result(a, b, n, size, &cf);
	rmw_put(cpu, op, size, loc, &r, &a, res);
	if (!n)
		return;

	cpu->cc_res = sign_extend(res, size);
	cpu->cc_aux = 1 << 3;
	flags_set_cf_of(cpu, cf, double_shift_of(res, cf, n, size, left));
}

void exec_shld(struct x86_cpu *cpu, const struct op *op)
{
	double_shift(cpu, op, true);
}

void exec_shrd(struct x86_cpu *cpu, const struct op *op)
{
	double_shift(cpu, op, false);
}
