/* SPDX-License-Identifier: MIT */
/*
 * memory.c - addresses of memory operands, and the checks before they are used.
 *
 * In line, a check compares with the last page that was met through the same base register:
 *
 *	lea r10, [base + lo]; xor r10, tag; cmp r10, 4096 - (hi - lo); ja cold; mov r11, addend
 *
 * and the access is [base + r11 + disp].  It covers all that the next steps want of that base, as
 * far as can be seen; they find r11 pinned.  Where an index, a segment's base or a register
 * that lives in memory is part of the address, r10 becomes the host address instead.
 *
 * Where that page is seldom the last one, the TLB is asked instead.  Which sites those are is found
 * out by sampling the misses (exec.c); the trace is made anew then.
 */
#include "engine/jit/translate.h"

enum { MAX_SPAN = 256 }; /* bytes that one check covers: more would often cross a page */

/* --- what instructions do to registers ----------------------------------------------------------
 */

static u32 bit_of(unsigned g)
{
	return 1u << g;
}

static const struct {
	exec_fn *exec;
	u32 writes;
} implicit[] = {
	{exec_mul, 1u << RAX | 1u << RDX},
	{exec_imul1, 1u << RAX | 1u << RDX},
	{exec_div, 1u << RAX | 1u << RDX},
	{exec_cwd, 1u << RDX},
	{exec_cbw, 1u << RAX},
	{exec_cmpxchg, 1u << RAX},
	{exec_cmpxchg8b, 1u << RAX | 1u << RDX},
	{exec_cmpxchg16b, 1u << RAX | 1u << RDX},
	{exec_rdtsc, 1u << RAX | 1u << RDX},
	{exec_rdtscp, 1u << RAX | 1u << RDX | 1u << RCX},
	{exec_pushf, 1u << RSP},
	{exec_push, 1u << RSP},
	{exec_pop, 1u << RSP},
	{exec_leave, 1u << RSP | 1u << RBP},
	{exec_movs, 1u << RSI | 1u << RDI | 1u << RCX},
	{exec_stos, 1u << RDI | 1u << RCX},
};

/* General registers that op may write; more than it does if need be. */
static u32 writes(const struct tr *t, const struct op *op)
{
	const struct insn *in = tr_insn(op);
	u32 regs = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(implicit); i++)
		if (implicit[i].exec == in->fn)
			regs |= implicit[i].writes;
	regs |= bit_of(op->reg >> 3);
	if (tr_is_bmi(t, op))
		regs |= bit_of(op->vvvv >> 3);
	if (!(op->flags & OP_MEM))
		regs |= bit_of(op->rm >> 3);
	return regs;
}

/* Does op leave base what it was, plus *delta? */
static bool adjusts(const struct tr *t, const struct op *op, unsigned base, i32 *delta)
{
	exec_fn *fn = tr_insn(op)->fn;
	bool imm = op->form == FORM_RM_IMM && !(op->flags & OP_MEM) && op->rm == base * 8 &&
		   op->size == 8 && (i64)op->imm == (i32)op->imm;
	bool to_base = op->reg == base * 8 || (!(op->flags & OP_MEM) && op->rm == base * 8);

	*delta = 0;
	if (base == RSP && (fn == exec_push || fn == exec_pop || fn == exec_pushf)) {
		*delta = fn == exec_pop ? 8 : -8;
		return fn != exec_pop || !to_base;
	}
	if (fn == exec_add && imm)
		*delta = (i32)op->imm;
	else if (fn == exec_sub && imm)
		*delta = -(i32)op->imm;
	else if (fn == exec_lea && op->size == 8 && op->reg == base * 8 && op->base == base &&
		 op->index == GPR_ZERO && op->asize == 8 && !(op->flags & OP_EA_SLOW))
		*delta = op->disp;
	else if ((fn == exec_cmp || fn == exec_test) && !(op->flags & OP_LOCK))
		return true;
	else if (op->flags & OP_MEM && (op->form == FORM_RM_REG || op->form == FORM_RM_IMM) &&
		 fn == exec_mov)
		return true; /* a store */
	else
		return !(writes(t, op) & bit_of(base));
	return true;
}

void tr_track_pin(struct tr *t, const struct op *op)
{
	i32 delta;

	if (!t->pin.valid)
		return;
	if (adjusts(t, op, t->pin.base, &delta))
		t->pin.delta += delta;
	else
		t->pin.valid = false;
}

/* --- what the next steps want --------------------------------------------------------------------
 */

static bool has_plain_base(const struct op *op)
{
	return op->flags & OP_MEM && !(op->flags & OP_EA_SLOW) && op->index == GPR_ZERO &&
	       op->asize == 8 && op->seg < SEG_FS && op->base < NR_GPRS && tr_home(op->base) >= 0;
}

struct want {
	unsigned base;
	i32 disp;
	unsigned size;
	bool write;
};

/* Where op accesses memory by a plain base; false: not so. */
static bool wants(const struct op *op, struct want *w)
{
	exec_fn *fn = tr_insn(op)->fn;

	if (has_plain_base(op)) {
		bool to_memory = op->form != FORM_REG_RM && op->form != FORM_REG_RM_IMM;

		*w = (struct want){op->base, op->disp, op->size ? op->size : 8,
				   to_memory && fn != exec_cmp && fn != exec_test};
		return fn != exec_lea;
	}
	if (fn == exec_push || fn == exec_call_rel || fn == exec_call_rm)
		*w = (struct want){RSP, -8, 8, true};
	else if (fn == exec_pop || fn == exec_ret)
		*w = (struct want){RSP, 0, 8, false};
	else if (fn == exec_leave)
		*w = (struct want){RBP, 0, 8, false};
	else
		return false;
	return true;
}

/* Grow the pin's range by w, if the check can still be one. */
static bool grow(struct pin *p, const struct want *w, i32 delta)
{
	i32 lo = delta + w->disp, hi = lo + (i32)w->size;

	if (w->disp > INT32_MAX / 4 || w->disp < INT32_MIN / 4)
		return false;
	lo = lo < p->lo ? lo : p->lo;
	hi = hi > p->hi ? hi : p->hi;
	if (hi - lo > MAX_SPAN)
		return false;
	p->lo = lo;
	p->hi = hi;
	p->write |= w->write;
	return true;
}

/* What a check for first should cover: as long as T1 is left alone and the base is known. */
static struct pin plan(const struct tr *t, const struct want *first)
{
	struct pin p = {.valid = true,
			.base = (u8)first->base,
			.lo = first->disp,
			.hi = first->disp + (i32)first->size,
			.write = first->write,
			.planned = (u16)t->i};
	i32 delta = 0, d;

	for (unsigned k = t->i; k < t->nr_steps; k++) {
		const struct op *op = t->steps[k].op;
		struct want w;
		bool other;

		if (!tr_is_native(t, op))
			break;
		if (k > t->i && wants(op, &w)) {
			other = w.base != p.base;
			if (!other && !grow(&p, &w, delta))
				break;
			if (!other)
				p.planned = (u16)k;
		}
		if (!adjusts(t, op, p.base, &d))
			break;
		delta += d;
	}
	return p;
}

/* --- checks
 * ----------------------------------------------------------------------------------------- */

static i32 page_cache(const struct tr *t, unsigned slot, bool write, size_t member)
{
	return (i32)(offsetof(struct x86_cpu, pages) +
		     ((t->user * PAGE_SLOTS + slot) * 2u + write) * sizeof(struct page_cache) +
		     member);
}

/* Live flags out of the way of a check in line. */
static void before_check(struct tr *t, const struct op *op)
{
	if (tr_live_before(t, op))
		tr_spill_flags(t);
	t->home = FLAGS_MEMORY;
}

/* T0 holds the address: must it be aligned? */
static void check_aligned(struct tr *t, const struct op *op, unsigned align)
{
	if (align <= 1)
		return;
	emit_bytes(&t->e, (u8[]){0x41, 0xf6, 0xc2, (u8)(align - 1)}, 4); /* test r10b, */
	tr_cold_jcc(t, op, 5);
}

/* T0: linear address of span bytes; what follows does the access. */
static struct cold *compare_page(struct tr *t, unsigned slot, unsigned span, bool write)
{
	struct cold *c = tr_new_cold(t);

	c->page = true;
	c->miss = t->j->stubs.page_miss[t->user][slot][write];
	c->limit = PAGE_SIZE_4K - span;
	emit_op_slot(&t->e, 0x33, H_T0,
		     page_cache(t, slot, write, offsetof(struct page_cache, tag)));
	stub_cmp_t0(&t->e, c->limit);
	c->from[c->nr_from++] = emit_jcc(&t->e, 7);
	return c;
}

/* The same by the TLB, for what seldom stays in a page; T1 is its entry. */
static struct cold *compare_table(struct tr *t, unsigned span, bool write)
{
	struct cold *c = tr_new_cold(t);

	c->copies = true;
	tr_clobber_t1(t);
	stub_tlb_entry(&t->e, write);
	stub_cmp_t0(&t->e, PAGE_SIZE_4K - span);
	c->from[c->nr_from++] = emit_jcc(&t->e, 7);
	return c;
}

static void new_pin(struct tr *t, const struct op *op, const struct want *w, unsigned align)
{
	int home = tr_home(w->base);
	struct pin p = plan(t, w);
	struct cold *c;

	before_check(t, op);
	t->pin.valid = false;
	if (align > 1) {
		emit_lea(&t->e, H_T0, home, -1, 0, w->disp);
		check_aligned(t, op, align);
	}
	if (align <= 1 || p.lo != w->disp)
		emit_lea(&t->e, H_T0, home, -1, 0, p.lo);
	if (jit_is_random(t->j, op)) {
		c = compare_table(t, (unsigned)(p.hi - p.lo), p.write);
		stub_pin_entry(&t->e, p.write);
	} else {
		c = compare_page(t, w->base, (unsigned)(p.hi - p.lo), p.write);
		emit_load_slot(&t->e, H_T1,
			       page_cache(t, w->base, p.write,
					  offsetof(struct page_cache, addend)));
		c->hit = t->e.p;
	}
	p.cold = (u16)(c - t->cold);
	t->pin = p;
}

static bool is_pinned(const struct tr *t, const struct want *w)
{
	const struct pin *p = &t->pin;
	i32 at = p->delta + w->disp;

	return p->valid && p->base == w->base && (p->write || !w->write) && at >= p->lo &&
	       at + (i32)w->size <= p->hi;
}

/* The way out of its check must not lead back before the step at hand has been done. */
static void use_pin(struct tr *t)
{
	struct cold *c = &t->cold[t->pin.cold];

	c->back = NULL;
	c->last = (u16)t->i;
	if (t->pin.cold < t->open_cold)
		t->open_cold = t->pin.cold;
}

/* By a base register that lives in the host's. */
static void by_base(struct tr *t, const struct op *op, const struct want *w, unsigned align)
{
	if (align > 1 || !is_pinned(t, w))
		new_pin(t, op, w, align);
	use_pin(t);
	t->mem = (struct rm_operand){
		.kind = RM_MEM, .reg = (u8)tr_home(w->base), .indexed = true, .disp = w->disp};
	t->temp = H_T0;
	tr_flags_for(t, op);
}

/* T0 holds the linear address, and becomes the host's. */
static void by_t0(struct tr *t, const struct op *op, unsigned slot, unsigned size, bool write,
		  unsigned align)
{
	struct cold *c;

	check_aligned(t, op, align);
	if (jit_is_random(t->j, op)) {
		compare_table(t, size, write);
		stub_t0_entry(&t->e, 0x03,
			      (write ? offsetof(struct tlb_view, wr) : 0) +
				      (u32)offsetof(struct tlb_ent, host));
	} else {
		c = compare_page(t, slot, size, write);
		c->keep_t1 = t->pin.valid;
		emit_op_slot(&t->e, 0x03, H_T0,
			     page_cache(t, slot, write, offsetof(struct page_cache, host)));
		c->hit = t->e.p;
	}
	t->mem = rm_at_t0;
	t->temp = H_T1;
	tr_flags_for(t, op);
}

/* T0 holds the linear address: the routine makes it the host's, or does the instruction. */
static void by_call(struct tr *t, const struct op *op, unsigned size, bool write, unsigned align)
{
	bool keep = t->home == FLAGS_HOST && tr_live_before(t, op);
	const struct jit_stubs *s = &t->j->stubs;

	emit_call_to(&t->e, s->check[__builtin_ctz(size)][write][keep][align > 1]);
	t->home = keep ? FLAGS_HOST | FLAGS_MEMORY : FLAGS_MEMORY;
	t->mem = rm_at_t0;
	t->temp = H_T1;
	tr_flags_for(t, op);
}

/* --- operands
 * ------------------------------------------------------------------------------------------ */

/* A register that may live in memory, in a host register: scratch is used if it does. */
static int in_reg(struct tr *t, unsigned g, unsigned scratch)
{
	int home = g == GPR_PC ? -1 : tr_home(g);

	if (home >= 0)
		return home;
	if (scratch == H_T1)
		tr_clobber_t1(t);
	emit_load_slot(&t->e, scratch, GPR_SLOT(g));
	return (int)scratch;
}

static bool is_moffs(const struct op *op)
{
	return op->flags & OP_EA_SLOW && !op->modrm && op->base == GPR_ZERO &&
	       op->index == GPR_ZERO;
}

void tr_ea(struct tr *t, const struct op *op)
{
	if (is_moffs(op)) {
		emit_mov_imm(&t->e, H_T0, op->imm);
		return;
	}

	int base = op->base == GPR_ZERO ? -1 : in_reg(t, op->base, H_T0);
	int index = op->index == GPR_ZERO ? -1 : in_reg(t, op->index, base == H_T0 ? H_T1 : H_T0);

	emit_address(&t->e, op->asize, H_T0, base, index, op->scale, op->disp);
}

/*
 * T0: offset of size bytes in FS or GS, in 32-bit code.  They go on if nothing but the end of
 * 4 GiB limits the segment.
 */
static void check_limit(struct tr *t, const struct op *op, unsigned size)
{
	struct cold *c = tr_new_cold(t);

	c->leaves = tr_insn(op)->attr & A_ENDS;
	emit_test_bits(&t->e, CPU_OFF(seg_wide), (u8)(1 << op->seg));
	c->from[c->nr_from++] = emit_jcc(&t->e, 4);
	emit_bytes(&t->e, (u8[]){0x41, 0x83, 0xfa, (u8)-size}, 4); /* cmp r10d, */
	c->from[c->nr_from++] = emit_jcc(&t->e, 7);
}

static void add_segment(struct tr *t, const struct op *op, unsigned size)
{
	if (op->seg < SEG_FS)
		return;
	if (t->narrow)
		check_limit(t, op, size);
	emit_op_slot(&t->e, 0x03, H_T0, (i32)(offsetof(struct x86_cpu, seg_base) + 8 * op->seg));
	if (t->narrow)
		emit_move(&t->e, 4, H_T0, H_T0);
}

static void linear_address(struct tr *t, const struct op *op, unsigned size)
{
	tr_ea(t, op);
	add_segment(t, op, size);
}

static unsigned page_slot(const struct op *op)
{
	if (op->seg >= SEG_FS)
		return op->seg == SEG_FS ? PAGE_SLOT_FS : PAGE_SLOT_GS;
	return op->base < NR_GPRS ? op->base : PAGE_SLOT_NONE;
}

/* Is scratch needed for the register operand? */
static bool needs_temp(const struct tr *t, const struct op *op)
{
	const struct insn *in = tr_insn(op);
	bool general = operands[in->dst].kind == OK_REG || operands[in->src].kind == OK_REG;

	return tr_is_bmi(t, op) || (tr_home(op->reg >> 3) < 0 && (general || !tr_is_vec(t, op)));
}

/* Better to leave the pin alone, since it will be wanted again, and op can do without T1? */
static bool spares_pin(const struct tr *t, const struct op *op, unsigned base)
{
	return t->pin.valid && t->pin.base != base && t->pin.planned > t->i && !needs_temp(t, op);
}

void tr_memory(struct tr *t, const struct op *op, unsigned size, bool write, unsigned align)
{
	struct want w = {op->base, op->disp, size, write};

	if (t->small) {
		/* The segment's base is added: flags are lost. */
		if (op->seg >= SEG_FS)
			before_check(t, op);
		linear_address(t, op, size);
		by_call(t, op, size, write, align);
		return;
	}
	if (has_plain_base(op) && !spares_pin(t, op, op->base)) {
		by_base(t, op, &w, align);
		return;
	}
	before_check(t, op);
	linear_address(t, op, size);
	by_t0(t, op, page_slot(op), size, write, align);
}

void tr_memory_from_t0(struct tr *t, const struct op *op, unsigned size, bool write)
{
	add_segment(t, op, size);
	if (t->small)
		by_call(t, op, size, write, 1);
	else
		by_t0(t, op, page_slot(op), size, write, 1);
}

static void plain(struct tr *t, const struct op *op, const struct want *w)
{
	if (!t->small && !t->narrow) {
		by_base(t, op, w, 1);
		return;
	}
	if (!t->small)
		before_check(t, op);
	emit_address(&t->e, t->word, H_T0, tr_home(w->base), -1, 0, w->disp);
	if (t->small)
		by_call(t, op, w->size, w->write, 1);
	else
		by_t0(t, op, w->base, w->size, w->write, 1);
}

void tr_stack(struct tr *t, const struct op *op, i32 disp, unsigned size, bool write)
{
	plain(t, op, &(struct want){RSP, disp, size, write});
}

void tr_move_stack(struct tr *t, i32 by)
{
	emit_address(&t->e, t->word, H_GUEST_RSP, H_GUEST_RSP, -1, 0, by);
}

void tr_at_register(struct tr *t, const struct op *op, unsigned g, unsigned size, bool write)
{
	plain(t, op, &(struct want){g, 0, size, write});
}

/* --- out of line
 * -------------------------------------------------------------------------------------- */

/* The page cache missed: look further, and on if there is an entry. */
static void emit_look_further(struct tr *t, const struct cold *c)
{
	u8 *none;

	if (c->keep_t1)
		emit_store_slot(&t->e, H_T1, CPU_OFF(jit_pin));
	emit8(&t->e, 0x68); /* push imm32 */
	emit32(&t->e, c->limit);
	emit_call_to(&t->e, c->miss);
	if (!c->keep_t1) {
		emit_jcc_to(&t->e, 6, c->hit);
		return;
	}
	none = emit_jcc(&t->e, 7);
	emit_load_slot(&t->e, H_T1, CPU_OFF(jit_pin));
	emit_jump_to(&t->e, c->hit);
	if (none)
		patch_here(none, t->e.p);
}

/* Back to the code in line, with all as it is there. */
static void emit_rejoin(struct tr *t, const struct cold *c)
{
	if (c->last + 1u < t->nr_steps)
		tr_mark(t, c->last + 1u);
	if (c->vec_after && !t->vec_ready)
		tr_make_vec_ready(t);
	t->temp = H_T0;
	t->i = c->last;
	if (c->after & FLAGS_MEMORY && t->live_after[c->last])
		tr_spill_flags(t);
	if (c->after & FLAGS_HOST)
		tr_load_flags(t);
	emit_jump_to(&t->e, c->back);
}

/*
 * Whose last step is that of the copies.  Where the pin that was valid is not used any more another
 * one may have taken its place, which is not there either.
 */
static const struct cold *cold_end(const struct tr *t, const struct cold *c)
{
	const struct cold *end = c;

	while (end->pin >= 0 && t->cold[end->pin].last >= end->last)
		end = &t->cold[end->pin];
	return end;
}

static void emit_one_cold(struct tr *t, unsigned n)
{
	const struct cold *c = &t->cold[n], *end = cold_end(t, c);
	bool small = t->small;
	unsigned i = c->first;

	for (unsigned k = 0; k < c->nr_from; k++)
		if (c->from[k])
			patch_here(c->from[k], t->e.p);
	if (c->leaves) {
		tr_address_of(t, H_T0, t->steps[c->first].op);
		emit_jump_to(&t->e, t->j->stubs.exec_last);
		return;
	}
	if (c->straddle) {
		tr_mark(t, NO_STEP);
		if (c->keep_t1)
			emit_store_slot(&t->e, H_T1, CPU_OFF(jit_pin));
		tr_address_of(t, H_T0, t->steps[c->first].op);
		emit_call_to(&t->e, t->j->stubs.straddle);
		if (c->keep_t1)
			emit_load_slot(&t->e, H_T1, CPU_OFF(jit_pin));
		emit_jump_to(&t->e, c->hit);
		return;
	}
	t->home = c->home;
	t->vec_ready = c->vec;
	t->pin = (struct pin){0};
	t->small = true;
	if (c->page) {
		tr_mark(t, i);
		emit_look_further(t, c);
	} else if (!c->copies) {
		t->i = i;
		tr_mark(t, i);
		tr_by_exec(t, t->steps[i].op);
		if (++i == t->nr_steps) {
			tr_mark(t, NO_STEP);
			tr_emit_end(t);
		}
	}
	for (; i <= end->last; i++) {
		t->i = i;
		tr_emit_step(t);
	}
	t->small = small;
	if (end->last + 1u < t->nr_steps)
		emit_rejoin(t, end);
}

/* Those of the copies come behind. */
void tr_emit_cold(struct tr *t)
{
	for (unsigned n = 0; n < t->nr_cold && !t->e.full; n++)
		emit_one_cold(t, n);
}
