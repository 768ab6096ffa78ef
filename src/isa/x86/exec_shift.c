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
 * r/m and reg side by side, shifted by n; 16-bit counts above 16 (undefined) take their bits
 * from r/m again, as in r/m : reg : r/m.
 */
static u64 shld_result(u64 a, u64 b, unsigned n, unsigned size, u64 *cf)
{
	unsigned bits = 8 * size;

	if (n <= bits) {
		*cf = a >> (bits - n) & 1;
		return n == bits ? b : a << n | b >> (bits - n);
	}
	*cf = b >> (2 * bits - n) & 1;
	return b << (n - bits) | a >> (2 * bits - n);
}

static u64 shrd_result(u64 a, u64 b, unsigned n, unsigned size, u64 *cf)
{
	unsigned bits = 8 * size;

	if (n <= bits) {
		*cf = a >> (n - 1) & 1;
		return a >> n | b << (bits - n);
	}
	*cf = b >> (n - bits - 1) & 1;
	return b >> (n - bits) | a << (2 * bits - n);
}

static __always_inline void double_shift(struct x86_cpu *cpu, const struct op *op, bool left)
{
	unsigned size = op->size, n = shift_count(cpu, op, size);
	u64 b = gpr_read(cpu, op->reg, size), cf = 0, top, next, res;
	enum loc loc = op_loc(op);
	struct mem_rmw r;
	u64 a = rmw_get(cpu, op, size, loc, &r);

	res = a;
	if (n)
		res = left ? shld_result(a, b, n, size, &cf) : shrd_result(a, b, n, size, &cf);
	rmw_put(cpu, op, size, loc, &r, &a, res);
	if (!n)
		return;

	top = res >> (8 * size - 1) & 1;
	next = res >> (8 * size - 2) & 1;
	cpu->cc_res = sign_extend(res, size);
	cpu->cc_aux = 1 << 3;
	flags_set_cf_of(cpu, cf, left ? top ^ cf : top ^ next);
}

void exec_shld(struct x86_cpu *cpu, const struct op *op)
{
	double_shift(cpu, op, true);
}

void exec_shrd(struct x86_cpu *cpu, const struct op *op)
{
	double_shift(cpu, op, false);
}
