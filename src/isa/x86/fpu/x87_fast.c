/* SPDX-License-Identifier: MIT */
/*
 * x87_fast.c - the common x87 instructions with only their operands in the host's x87.
 *
 * Loading and storing the whole state takes five times as long as the instruction with its
 * two operands.  So where every exception is masked, the registers read are not empty, and
 * the one pushed to is, only those are loaded, and TOP, tags and flags are kept here.  All
 * else returns false and goes the long way in x87.c, of which these are exact shortcuts:
 * fpu_test.c compares either with the host.  (FCOMI is not here: vendors differ in C1.)
 */
#include "isa/x86/fpu/fpu.h"

enum { C1 = 1 << 9, CC_COMPARE = 1 << 8 | 1 << 10 | 1 << 14, FLAGS = FSW_EXC | FSW_SF };

static bool is_full(const struct x87_state *x, unsigned i)
{
	return x->ftw >> (((x->fsw >> FSW_TOP_SHIFT) + i) & 7) & 1;
}

/* Control words that differ from the host's only in rounding are loaded for the while. */
static void enter(const struct x87_state *x)
{
	u16 sw;

	__asm__ volatile("fnstsw %0" : "=a"(sw));
	if (sw & FLAGS)
		__asm__ volatile("fnclex");
	if (x->fcw != FCW_DEFAULT)
		__asm__ volatile("fldcw %0" : : "m"(x->fcw));
}

static void leave(struct x87_state *x, u16 sw, u16 cc)
{
	static const u16 def = FCW_DEFAULT;

	if (x->fcw != FCW_DEFAULT)
		__asm__ volatile("fldcw %0" : : "m"(def));
	x->fsw = (u16)((x->fsw & ~(C1 | cc)) | (sw & (FLAGS | C1 | cc)));
}

static void push(struct x87_state *x)
{
	unsigned top = ((x->fsw >> FSW_TOP_SHIFT) - 1) & 7;

	memmove(&x->st[1], &x->st[0], 7 * sizeof(x->st[0]));
	x->fsw = (u16)((x->fsw & ~(FSW_TOP | C1)) | top << FSW_TOP_SHIFT);
	x->ftw |= (u8)(1 << top);
}

static void pop(struct x87_state *x)
{
	unsigned top = x->fsw >> FSW_TOP_SHIFT & 7;
	typeof(x->st[0]) was = x->st[0];

	memmove(&x->st[0], &x->st[1], 7 * sizeof(x->st[0]));
	x->st[7] = was;
	x->ftw &= (u8) ~(1 << top);
	x->fsw = (u16)((x->fsw & ~FSW_TOP) | ((top + 1) & 7) << FSW_TOP_SHIFT);
}

static bool all_masked(const struct x87_state *x)
{
	return (x->fcw & FSW_EXC) == FSW_EXC;
}

/* op(ST(0), ST(1)) on copies of ST(0) and ST(i). */
static void run_two(struct x87_state *x, unsigned esc, unsigned modrm, void *a, void *b, u16 cc)
{
	enter(x);
	leave(x, host_x87_two(host_x87_thunk(esc, modrm), a, b), cc);
}

static bool arith(struct x87_state *x, unsigned esc, unsigned e, unsigned i)
{
	typeof(x->st[0]) a = x->st[0], b = x->st[i];
	bool compares = e == 2 || e == 3;

	if (!is_full(x, 0) || !is_full(x, i))
		return false;
	if (compares) {
		run_two(x, 0, 0xd1, &a, &b, CC_COMPARE);
		if (e == 3)
			pop(x);
		return esc == 0;
	}
	run_two(x, esc ? 4 : 0, 0xc1 | e << 3, &a, &b, 0);
	memcpy(&x->st[esc ? i : 0], esc ? &b : &a, 10);
	if (esc == 6)
		pop(x);
	return true;
}

/* D9: FLD, FXCH, FCHS, FABS, FLD1, FLDZ. */
static bool moves(struct x87_state *x, unsigned modrm)
{
	unsigned i = modrm & 7;
	typeof(x->st[0]) v = x->st[i];

	switch (modrm >> 3 & 7) {
	case 0: break;
	case 1:
		if (!is_full(x, 0) || !is_full(x, i))
			return false;
		x->st[i] = x->st[0];
		x->st[0] = v;
		x->fsw &= (u16)~C1;
		return true;
	case 4:
		if (!is_full(x, 0) || i > 1)
			return false;
		x->st[0].sexp = i ? x->st[0].sexp & 0x7fff : x->st[0].sexp ^ 0x8000;
		x->fsw &= (u16)~C1;
		return true;
	case 5:
		if (i != 0 && i != 6)
			return false;
		v.mant = i ? 0 : 1ull << 63;
		v.sexp = i ? 0 : 0x3fff;
		break;
	default: return false;
	}
	if (is_full(x, 7) || ((modrm >> 3 & 7) == 0 && !is_full(x, i)))
		return false;
	push(x);
	x->st[0] = v;
	return true;
}

/* DD: FST, FSTP, FUCOM, FUCOMP. */
static bool stores(struct x87_state *x, unsigned e, unsigned i)
{
	typeof(x->st[0]) a = x->st[0], b = x->st[i];

	if (!is_full(x, 0))
		return false;
	if (e == 2 || e == 3) {
		x->st[i] = a;
		x->ftw |= (u8)(1 << (((x->fsw >> FSW_TOP_SHIFT) + i) & 7));
		x->fsw &= (u16)~C1;
	} else if ((e == 4 || e == 5) && is_full(x, i)) {
		run_two(x, 5, 0xe1, &a, &b, CC_COMPARE);
	} else {
		return false;
	}
	if (e & 1)
		pop(x);
	return true;
}

bool x87_fast_reg(struct x86_cpu *cpu, const struct op *op)
{
	struct x87_state *x = &cpu->st.x87;
	unsigned esc = op->opcode & 7, e = op->modrm >> 3 & 7, i = op->modrm & 7;

	if (!all_masked(x))
		return false;
	switch (esc) {
	case 0: return arith(x, 0, e, i);
	case 1: return moves(x, op->modrm);
	case 4:
	case 6: return e != 2 && e != 3 && arith(x, esc, e, i);
	case 5: return stores(x, e, i);
	default: return false;
	}
}

bool x87_fast_load(struct x86_cpu *cpu, const struct op *op, const void *mem)
{
	struct x87_state *x = &cpu->st.x87;
	unsigned esc = op->opcode & 7, e = op->modrm >> 3 & 7;
	bool compares = e == 2 || e == 3;
	typeof(x->st[0]) v = x->st[0];
	u16 sw;

	if (!all_masked(x) || is_full(x, esc & 1 ? 7 : 0) == (esc & 1))
		return false;
	enter(x);
	if (esc & 1) {
		sw = host_x87_push(host_x87_thunk(esc, e << 3), &v, mem);
		push(x);
		leave(x, sw, 0);
	} else {
		sw = host_x87_one(host_x87_thunk(esc, (e == 3 ? 2 : e) << 3), &v, mem);
		leave(x, sw, compares ? CC_COMPARE : 0);
	}
	if (!compares || esc & 1)
		memcpy(&x->st[0], &v, 10);
	if (compares && e == 3 && !(esc & 1))
		pop(x);
	return true;
}

bool x87_fast_store(struct x86_cpu *cpu, const struct op *op, void *mem, u16 *fsw)
{
	struct x87_state x = {.fcw = cpu->st.x87.fcw, .fsw = cpu->st.x87.fsw};
	unsigned esc = op->opcode & 7, e = op->modrm >> 3 & 7;
	const void *thunk = host_x87_thunk(esc, e << 3);
	typeof(x.st[0]) v = cpu->st.x87.st[0];

	if (!all_masked(&cpu->st.x87) || !is_full(&cpu->st.x87, 0))
		return false;
	enter(&x);
	leave(&x, e == 2 ? host_x87_one(thunk, &v, mem) : host_x87_popped(thunk, &v, mem), 0);
	*fsw = x.fsw;
	return true;
}

void x87_fast_stored(struct x86_cpu *cpu, const struct op *op, u16 fsw)
{
	cpu->st.x87.fsw = fsw;
	if ((op->modrm >> 3 & 7) != 2)
		pop(&cpu->st.x87);
}
