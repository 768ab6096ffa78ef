/* SPDX-License-Identifier: MIT */
/*
 * exec_string.c - MOVS, CMPS, STOS, LODS, SCAS, and repetition.
 *
 * RCX, RSI and RDI are committed after every element or chunk, before anything else can
 * fault, so that a fault finds them exact and the instruction starts again where it stopped.
 * A chunk lies within one page, and between two an interrupt may come in.
 *
 * Source: SDM volume 2, "REP/REPE/REPZ/REPNE/REPNZ"; volume 1, "String Operations".
 */
#include <stdatomic.h>

#include "isa/x86/exec.h"
#include "isa/x86/exec_string.h"

static bool repeats(const struct op *op)
{
	return op->flags & (OP_REP | OP_REPNE);
}

static void commit(struct x86_cpu *cpu, const struct op *op, unsigned which, u64 n)
{
	u64 *g = cpu->st.gpr, delta = n * op->size;

	if (cpu->st.rflags & FL_DF)
		delta = -delta;
	if (which & STR_SI)
		gpr_write(cpu, RSI * 8, g[RSI] + delta, op->asize);
	if (which & STR_DI)
		gpr_write(cpu, RDI * 8, g[RDI] + delta, op->asize);
	if (repeats(op))
		gpr_write(cpu, RCX * 8, g[RCX] - n, op->asize);
}

/* Must the run loop have a look before the next element? */
static bool interrupted(struct x86_cpu *cpu)
{
	u32 pending = atomic_load_explicit(&cpu->v.pending, memory_order_relaxed);

	if (!(cpu->st.rflags & FL_IF))
		pending &= ~(u32)VCPU_INTR;
	return pending || cpu->careful;
}

static _Noreturn void restart(struct x86_cpu *cpu, const struct op *op)
{
	cpu->st.rip = op_rip(cpu, op);
	x86_restart(cpu);
}

void str_run(struct x86_cpu *cpu, const struct op *op, unsigned which, str_one *one, str_many *many)
{
	u64 left, n;

	if (!repeats(op)) {
		one(cpu, op);
		commit(cpu, op, which, 1);
		return;
	}
	/* Downwards, and where alignment or breakpoints are checked: one by one. */
	if (cpu->careful || cpu->st.rflags & FL_DF || (cpu->st.rflags & FL_AC && cpu->cpl == 3))
		many = NULL;
	while ((left = zero_extend(cpu->st.gpr[RCX], op->asize)) != 0) {
		n = many ? many(cpu, op, left) : 0;
		if (!n) {
			one(cpu, op);
			n = 1;
		}
		commit(cpu, op, which, n);
		if (n < left && interrupted(cpu))
			restart(cpu, op);
	}
}

/* The bytes of n elements at off, cut to a page's worth and to where the index wraps. */
static u64 chunk(const struct op *op, u64 off, u64 n)
{
	u64 len = n < PAGE_SIZE_4K ? n * op->size : PAGE_SIZE_4K, room;

	if (op->asize != 8) {
		room = (1ull << (8 * op->asize)) - off;
		if (len > room)
			len = room;
	}
	return len;
}

/*
 * Upwards, element by element as the guest sees it: a destination that overlaps the source
 * from above repeats what was just written.
 */
static void copy_up(u8 *dst, const u8 *src, u64 len, unsigned size)
{
	if ((uintptr_t)dst - (uintptr_t)src >= len) {
		ram_move(dst, src, len);
		return;
	}
	for (; len; len -= size, dst += size, src += size)
		ram_store(dst, ram_load(src, size), size);
}

static u64 movs_many(struct x86_cpu *cpu, const struct op *op, u64 n)
{
	u64 si = str_si(cpu, op), di = str_di(cpu, op), len = chunk(op, si, n);
	void *src, *dst;

	src = mem_span(cpu, op->seg, si, &len, MEM_READ);
	if (!src || len < op->size)
		return 0;
	len = chunk(op, di, len / op->size);
	dst = mem_span(cpu, SEG_ES, di, &len, MEM_WRITE);
	if (!dst)
		return 0;
	n = len / op->size;
	copy_up(dst, src, n * op->size, op->size);
	return n;
}

static void movs_one(struct x86_cpu *cpu, const struct op *op)
{
	u64 val = mem_read(cpu, op->seg, str_si(cpu, op), op->size);

	mem_write(cpu, SEG_ES, str_di(cpu, op), val, op->size);
}

void exec_movs(struct x86_cpu *cpu, const struct op *op)
{
	str_run(cpu, op, STR_SI | STR_DI, movs_one, movs_many);
}

static u64 stos_many(struct x86_cpu *cpu, const struct op *op, u64 n)
{
	u64 di = str_di(cpu, op), len = chunk(op, di, n);
	u8 *dst = mem_span(cpu, SEG_ES, di, &len, MEM_WRITE);

	if (!dst)
		return 0;
	n = len / op->size;
	ram_fill(dst, gpr_read(cpu, RAX * 8, op->size), n, op->size);
	return n;
}

static void stos_one(struct x86_cpu *cpu, const struct op *op)
{
	mem_write(cpu, SEG_ES, str_di(cpu, op), gpr_read(cpu, RAX * 8, op->size), op->size);
}

void exec_stos(struct x86_cpu *cpu, const struct op *op)
{
	str_run(cpu, op, STR_DI, stos_one, stos_many);
}

static void lods_one(struct x86_cpu *cpu, const struct op *op)
{
	u64 val = mem_read(cpu, op->seg, str_si(cpu, op), op->size);

	gpr_write(cpu, RAX * 8, val, op->size);
}

void exec_lods(struct x86_cpu *cpu, const struct op *op)
{
	str_run(cpu, op, STR_SI, lods_one, NULL);
}

/* CMPS and SCAS.  A fault finds the flags of the last comparison, as on AMD's processors. */
static __always_inline void compare_run(struct x86_cpu *cpu, const struct op *op, unsigned which)
{
	u64 left = repeats(op) ? zero_extend(cpu->st.gpr[RCX], op->asize) : 1, a, b;
	bool while_equal = op->flags & OP_REP;

	if (!left)
		return;
	for (;;) {
		if (which & STR_SI)
			a = mem_read(cpu, op->seg, str_si(cpu, op), op->size);
		else
			a = gpr_read(cpu, RAX * 8, op->size);
		b = mem_read(cpu, SEG_ES, str_di(cpu, op), op->size);
		flags_sub(cpu, a, b, a - b, op->size);
		commit(cpu, op, which, 1);
		if (--left == 0 || (a == b) != while_equal)
			return;
		if (interrupted(cpu))
			restart(cpu, op);
	}
}

void exec_cmps(struct x86_cpu *cpu, const struct op *op)
{
	compare_run(cpu, op, STR_SI | STR_DI);
}

void exec_scas(struct x86_cpu *cpu, const struct op *op)
{
	compare_run(cpu, op, STR_DI);
}
