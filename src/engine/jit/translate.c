/* SPDX-License-Identifier: MIT */
/*
 * translate.c - decoded instructions into host code, in one pass.
 *
 * Flags.  Guest code runs natively, so the guest's flags are the host's where an instruction
 * has just written them.  Checks of memory accesses clobber them.  A backward pass (live.c) says
 * which flags are live behind each step; only live ones are saved before a check, to memory
 * (LAHF and SETO), and loaded again for the next op that reads them.
 */
#include "engine/jit/translate.h"

/* --- flags --------------------------------------------------------------------------------- */

/* Must the flags be in the host's register for op to run natively? */
static bool needs_flags(const struct tr *t, const struct op *op)
{
	if (tr_insn(op)->fn == exec_pushf) /* it wants them in memory */
		return false;
	return tr_reads(tr_insn(op)) || (tr_writes(tr_insn(op)) && tr_live_before(t, op));
}

void tr_spill_flags(struct tr *t)
{
	if (!(t->home & FLAGS_MEMORY)) {
		if (t->trace && !t->small && !t->pin.valid)
			stub_save_flags(&t->e, H_T1);
		else
			emit_call_to(&t->e, t->j->stubs.save_flags);
	}
	t->home |= FLAGS_MEMORY;
}

/* T0 may hold an address here, T1 too: whichever the operand at hand leaves free. */
void tr_load_flags(struct tr *t)
{
	if (!(t->home & FLAGS_HOST)) {
		if (t->small && t->temp == H_T0)
			emit_call_to(&t->e, t->j->stubs.load_flags);
		else
			stub_load_flags(&t->e, tr_use_temp(t));
	}
	t->home |= FLAGS_HOST;
}

void tr_spill_live(struct tr *t, const struct op *op)
{
	if (tr_live_before(t, op))
		tr_spill_flags(t);
	t->home = FLAGS_MEMORY;
}

void tr_spill_at_end(struct tr *t)
{
	if (t->live_after[t->i])
		tr_spill_flags(t);
	t->home = FLAGS_MEMORY;
}

void tr_flags_for(struct tr *t, const struct op *op)
{
	if (needs_flags(t, op))
		tr_load_flags(t);
	if (tr_writes(tr_insn(op)))
		t->home = FLAGS_HOST;
}

/* --- small things ---------------------------------------------------------------------------- */

void tr_clobber_t1(struct tr *t)
{
	t->pin.valid = false;
}

u8 tr_use_temp(struct tr *t)
{
	if (t->temp == H_T1)
		tr_clobber_t1(t);
	return t->temp;
}

void tr_mark(struct tr *t, unsigned step)
{
	if (t->nr_marks == ARRAY_SIZE(t->marks)) {
		t->e.full = true;
		return;
	}
	t->marks[t->nr_marks++] = (struct jit_mark){(u16)(t->e.p - t->start), (u16)step};
}

static i64 distance(const struct tr *t, const void *p)
{
	return (const u8 *)p - jit_rx(t->j, t->e.p);
}

bool tr_reaches(const struct tr *t, const void *p)
{
	i64 d = distance(t, p);

	return d > INT32_MIN + 16 && d < INT32_MAX - 16;
}

void tr_address_of(struct tr *t, unsigned reg, const void *p)
{
	enum { LEA = 7 /* bytes */ };

	if (!tr_reaches(t, p)) {
		emit_mov_imm(&t->e, reg, (u64)(uintptr_t)p);
		return;
	}
	i32 d = (i32)(distance(t, p) - LEA);

	emit_bytes(&t->e, (u8[]){(u8)(0x48 | (reg >= 8) << 2), 0x8d, (u8)((reg & 7) << 3 | 5)}, 3);
	emit32(&t->e, (u32)d);
}

struct cold *tr_new_cold(struct tr *t)
{
	struct cold *c = &t->cold[t->nr_cold < MAX_COLD ? t->nr_cold++ : MAX_COLD - 1];

	if (t->nr_cold == MAX_COLD)
		t->e.full = true;
	*c = (struct cold){.home = t->home,
			   .vec = t->vec_ready,
			   .pin = t->pin.valid ? (i16)t->pin.cold : -1,
			   .first = (u16)t->i,
			   .last = (u16)t->i};
	return c;
}

void tr_cold_jcc(struct tr *t, const struct op *op, unsigned cc)
{
	struct cold *c = t->nr_cold ? &t->cold[t->nr_cold - 1] : NULL;

	/* One for all checks of an op. */
	if (!c || c->page || c->copies || c->straddle || c->first != t->i || c->back ||
	    c->nr_from == ARRAY_SIZE(c->from))
		c = tr_new_cold(t);
	c->from[c->nr_from++] = emit_jcc(&t->e, cc);
}

/* --- steps ------------------------------------------------------------------------------------ */

void tr_by_exec(struct tr *t, const struct op *op)
{
	tr_spill_live(t, op);
	tr_address_of(t, H_T0, op);
	emit_call_to(&t->e, t->j->stubs.exec);
	tr_clobber_t1(t);
	t->vec_ready = false;
}

void tr_by_exec_last(struct tr *t, const struct op *op)
{
	tr_spill_at_end(t);
	tr_address_of(t, H_T0, op);
	emit_jump_to(&t->e, t->j->stubs.exec_last);
}

void tr_make_vec_ready(struct tr *t)
{
	unsigned level = t->code->vec & VEC_ZMM ? 2 : t->code->vec & VEC_YMM ? 1 : 0;
	u8 *ready = NULL;

	if (t->vec_ready)
		return;
	if (t->trace && !t->small) {
		jit_emit_test_vec(&t->e, (u8)(1 << level));
		ready = emit_jcc(&t->e, 5);
	}
	emit_call_to(&t->e, t->j->stubs.vec_ready[level]);
	if (ready)
		patch_here(ready, t->e.p);
	t->vec_ready = true;
	tr_clobber_t1(t);
}

static bool is_last(const struct tr *t)
{
	return t->i == t->nr_steps - 1u;
}

static bool is_branch(const struct op *op)
{
	return tr_insn(op)->attr & (A_ENDS | A_SYNC);
}

static void rejoin(struct tr *t, struct cold *c)
{
	c->back = t->e.p;
	c->after = t->home;
	c->vec_after = t->vec_ready;
	c->last = (u16)t->i;
}

/* Ways out of line that this step made, or whose pin it used, lead behind it. */
static void close_cold(struct tr *t)
{
	for (unsigned i = t->open_cold; i < t->nr_cold; i++) {
		struct cold *c = &t->cold[i];

		if (c->back)
			continue;
		rejoin(t, c);
		/* What comes back there has nothing in T1. */
		if (t->pin.valid && i != t->pin.cold)
			c->pin = (i16)t->pin.cold;
	}
}

void tr_emit_step(struct tr *t)
{
	const struct step *s = &t->steps[t->i];

	t->open_cold = t->nr_cold;
	tr_mark(t, t->i);
	t->temp = H_T0;
	if (tr_straddles(s->op))
		tr_emit_straddle(t, s->op);
	if (is_branch(s->op)) {
		if (!is_last(t)) {
			tr_emit_side(t);
			return;
		}
		tr_emit_end(t);
		return;
	}
	if (tr_is_vec(t, s->op)) {
		tr_spill_live(t, s->op);
		tr_make_vec_ready(t);
	}
	if (!tr_emit_insn(t, s->op))
		tr_by_exec(t, s->op);
	tr_track_pin(t, s->op);
	close_cold(t);
	if (is_last(t)) {
		tr_mark(t, NO_STEP); /* where the step ends */
		tr_emit_end(t);
	}
}

/* --- a block, a trace --------------------------------------------------------------------------
 */

/* Entered with T0 = RIP from the jump cache: RIP says where the page is now. */
static void emit_far_entry(struct tr *t)
{
	/* link.c replaces the first instruction while others may run it: in aligned 8 bytes. */
	while ((uintptr_t)t->e.p & 7)
		emit8(&t->e, 0x90);
	t->code->far_entry = jit_rx(t->j, t->e.p);
	emit_bytes(&t->e, (u8[]){0x4d, 0x8d, 0x92}, 3); /* lea r10, [r10 + disp32] */
	emit32(&t->e, 0u - t->b->page_off);
	emit_store_slot(&t->e, H_T0, GPR_SLOT(GPR_PC));
}

/* sub dword [heat], 1; js hot */
static u8 *emit_counter(struct tr *t)
{
	enum { SUB = 7 /* bytes */ };

	if (!tr_reaches(t, &t->b->heat))
		return NULL;
	i32 d = (i32)(distance(t, &t->b->heat) - SUB);

	emit_bytes(&t->e, (u8[]){0x83, 0x2d}, 2);
	emit32(&t->e, (u32)d);
	emit8(&t->e, 1);
	return emit_jcc(&t->e, 8);
}

static void emit_head(struct tr *t)
{
	u8 *hot = NULL;

	emit_far_entry(t);
	t->code->entry = jit_rx(t->j, t->e.p);
	if (!t->trace)
		hot = emit_counter(t);
	if (hot) {
		t->ways[t->nr_ways++] = (struct way_out){.from = hot, .off = NO_LINK};
	} else if (t->polls) {
		stub_compare_pending(&t->e);
		t->ways[t->nr_ways++] =
			(struct way_out){.poll = emit_jcc(&t->e, 5), .off = NO_LINK};
	}
	t->code->body = jit_rx(t->j, t->e.p);
}

/* What was learned on the way, beside the code. */
static bool keep(struct tr *t)
{
	struct jit_code *c = t->code;

	tr_mark(t, NO_STEP);
	c->mark = jit_meta_alloc(t->j, t->nr_marks * sizeof(*c->mark));
	if (!c->mark || t->e.full || t->e.p - t->start > 0xffff)
		return false;
	memcpy(c->mark, t->marks, t->nr_marks * sizeof(*c->mark));
	c->nr_marks = (u16)t->nr_marks;
	if (t->trace || t->b->straddle) {
		c->steps = jit_meta_alloc(t->j, t->nr_steps * sizeof(*c->steps));
		for (unsigned i = 0; c->steps && i < t->nr_steps; i++)
			c->steps[i] = t->steps[i].op;
		if (!c->steps)
			return false;
	}
	return jit_code_add(t->j, c, t->e.p);
}

static struct jit_code *translate(struct tr *t)
{
	struct jit_code *c = t->code = jit_meta_alloc(t->j, sizeof(*c));
	struct jit_link *links = jit_meta_alloc(t->j, MAX_WAYS_OUT * sizeof(*links));

	if (!c || !links)
		return NULL;
	t->start = t->e.p;
	t->home = FLAGS_MEMORY;
	*c = (struct jit_code){
		.block = t->b, .start = jit_rx(t->j, t->start), .link = links, .trace = t->trace};
	for (unsigned i = 0; i < t->nr_steps; i++)
		c->vec |= tr_is_vec(t, t->steps[i].op);
	tr_find_live(t);
	emit_head(t);
	if (t->trace && c->vec) { /* before anything is pinned */
		tr_mark(t, 0);
		tr_make_vec_ready(t);
	}
	for (t->i = 0; t->i < t->nr_steps; t->i++)
		tr_emit_step(t);
	tr_emit_cold(t);
	tr_emit_ways(t);
	/* The links go where the code can say how many there are. */
	t->j->meta_used -= (MAX_WAYS_OUT - c->nr_links) * sizeof(*links) & ~15ul;
	if (t->e.full || !keep(t))
		return NULL;
	return c;
}

static void add_steps(struct tr *t, struct block *b)
{
	for (unsigned i = 0; i < b->nr_ops; i++)
		t->steps[t->nr_steps++] = (struct step){.op = &b->ops[i], .block = b};
	t->steps[t->nr_steps - 1].ends = !b->straddle || is_branch(&b->ops[b->nr_ops - 1]);
	if (b->straddle)
		t->steps[t->nr_steps++] =
			(struct step){.op = b->straddle, .block = b, .ends = true};
}

static void begin(struct tr *t, struct jit *j, struct block *b)
{
	t->j = j;
	t->b = b;
	t->page = soft_page(j->soft, b->host);
	t->user = b->key & KEY_USER;
	t->narrow = (b->key & KEY_CODE_SIZE) != CODE64;
	t->word = t->narrow ? 4 : 8;
}

struct jit_code *jit_translate(struct jit *j, struct block *b, struct x86_cpu *cpu)
{
	struct tr t = {.small = true};
	struct jit_code *c;

	begin(&t, j, b);
	if (!jit_can_translate(b->key) || !jit_code_room(j, &t.e))
		return NULL;
	tr_peek(&t, b);
	tr_find_straddle(&t, cpu);
	add_steps(&t, b);
	c = translate(&t);
	if (!c)
		return NULL;
	j->translated++;
	j->guest_bytes += b->len;
	return c;
}

/* --- traces --------------------------------------------------------------------------------------
 */

/* How often b was run by its code. */
static u32 weight(const struct jit *j, const struct block *b)
{
	const struct jit_code *c = b->code;

	return c->trace || b->heat < 0 ? j->trace : j->trace - (u32)b->heat;
}

/* The block at off in the page, if a trace from head may go on there. */
static struct block *follow(struct tr *t, i64 off)
{
	struct block *b;

	if (off < 0 || off >= PAGE_SIZE_4K)
		return NULL;
	b = soft_block_at(t->j->soft, t->b->host - t->b->page_off + off, t->b->key);
	if (!b || !b->code || b->nr_ops + 1u + t->nr_steps > MAX_TRACE_OPS ||
	    t->j->soft->split[off / 64] >> (off % 64) & 1)
		return NULL;
	return b;
}

/* Where a trace goes on from its last step; NULL: nowhere. */
static struct block *likely_next(struct tr *t)
{
	struct step *last = &t->steps[t->nr_steps - 1];
	exec_fn *fn = tr_insn(last->op)->fn;
	i64 next = last->op->off + last->op->len, target = next + (i64)last->op->imm;
	struct block *a = NULL, *b = NULL;

	if (last->op->size != t->word && is_branch(last->op))
		return NULL;
	if (fn == exec_jcc || !is_branch(last->op))
		a = follow(t, next);
	if (fn == exec_jcc || fn == exec_jmp_rel)
		b = follow(t, target);
	last->taken = b && (!a || weight(t->j, b) > weight(t->j, a));
	a = last->taken ? b : a;
	/* Not where it seldom goes, nor into another loop. */
	if (!a || ((struct jit_code *)a->code)->trace || weight(t->j, a) < weight(t->j, t->b) / 4)
		return NULL;
	if (a->page_off <= last->op->off)
		t->polls = true;
	return a;
}

static bool contains(struct block *const *blocks, unsigned n, const struct block *b)
{
	for (unsigned i = 0; i < n; i++)
		if (blocks[i] == b)
			return true;
	return false;
}

/* Each of its blocks knows of the trace. */
static bool note_members(struct jit *j, struct jit_code *c, struct block *const *blocks, unsigned n)
{
	struct jit_member *m = jit_meta_alloc(j, n * sizeof(*m));

	for (unsigned i = 0; m && i < n; i++) {
		m[i] = (struct jit_member){c, blocks[i]->member};
		blocks[i]->member = &m[i];
	}
	return m != NULL;
}

/* Does some way out of it lead back to its head? */
static bool loops(const struct tr *t)
{
	for (unsigned i = 0; i < t->nr_steps; i++) {
		const struct op *op = t->steps[i].op;
		exec_fn *fn = tr_insn(op)->fn;

		if ((fn == exec_jcc || fn == exec_jmp_rel) &&
		    op->off + op->len + (i64)op->imm == t->b->page_off)
			return true;
	}
	return false;
}

struct jit_code *jit_translate_trace(struct jit *j, struct block *b)
{
	struct block *blocks[MAX_TRACE_BLOCKS];
	struct tr t = {.trace = true};
	struct jit_code *c;
	unsigned n = 0;

	begin(&t, j, b);
	if (!jit_code_room(j, &t.e))
		return NULL;
	for (struct block *next = b; next && n < MAX_TRACE_BLOCKS; n++) {
		blocks[n] = next;
		add_steps(&t, next);
		next = likely_next(&t);
		if (!next || contains(blocks, n + 1, next)) {
			t.steps[t.nr_steps - 1].taken = false;
			next = NULL;
		}
	}
	t.polls |= loops(&t);
	c = translate(&t);
	if (!c || !note_members(j, c, blocks, n))
		return NULL;
	j->traces++;
	return c;
}
