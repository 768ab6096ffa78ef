/* SPDX-License-Identifier: MIT */
/*
 * flow.c - branches, calls and returns, and what follows a block.
 *
 * Within the page a branch is a jump that is patched once there is code where it leads, and within
 * a region, too.  In traces such a jump leads to any page, behind a comparison (ways).  What else
 * goes to other pages goes through the jump cache; and what is not found there is done by the
 * instruction's exec function, which also raises what is due, so nothing is changed before.
 */
#include "engine/jit/translate.h"

/* --- by the jump cache ------------------------------------------------------------------------ */

/* cmp r10, [r11 + lin] */
static void compare_entry(struct emit *e)
{
	emit_bytes(e, (u8[]){0x4d, 0x3b, 0x53, offsetof(struct jump_ent, lin)}, 4);
}

/* T0: RIP.  T1: the entry for it; two jumps that are taken if there is none, or if to leave. */
static void look_up(struct emit *e, u8 *miss[2])
{
	u8 *found;

	stub_compare_pending(e);
	miss[0] = emit_jcc(e, 5);
	emit_bytes(e, (u8[]){0x45, 0x69, 0xda}, 3); /* imul r11d, r10d, */
	emit32(e, JUMP_MULTIPLIER);
	emit_bytes(e, (u8[]){0x41, 0xc1, 0xeb, 32 - JUMP_BITS}, 4); /* shr r11d, */
	emit_bytes(e, (u8[]){0x41, 0xc1, 0xe3, 4}, 4);		    /* shl r11d, 4 */
	emit_op_slot(e, 0x03, H_T1, CPU_OFF(jump_cache));
	compare_entry(e);
	found = emit_jcc(e, 4);
	emit_bytes(e, (u8[]){0x49, 0x83, 0xf3, sizeof(struct jump_ent)}, 4); /* xor r11, */
	compare_entry(e);
	miss[1] = emit_jcc(e, 5);
	if (found)
		patch_here(found, e->p);
}

static void jump_to_entry(struct emit *e)
{
	emit_bytes(e, (u8[]){0x41, 0xff, 0x63, offsetof(struct jump_ent, code)}, 4); /* jmp */
}

/* mov r11, [r11 + code]; mov gs:[jit_target], r11 */
static void keep_entry(struct emit *e)
{
	emit_bytes(e, (u8[]){0x4d, 0x8b, 0x5b, offsetof(struct jump_ent, code)}, 4);
	emit_store_slot(e, H_T1, CPU_OFF(jit_target));
}

/* jmp gs:[jit_target] */
static void jump_to_kept(struct emit *e)
{
	emit_insn(e, &(struct enc){.opcode = 0xff,
				   .reg = 4,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_target)}});
}

/* mov r10, [r10] */
static void load_t0_at_t0(struct emit *e, unsigned size)
{
	emit_bytes(e, (u8[]){size == 8 ? 0x4d : 0x45, 0x8b, 0x12}, 3);
}

static void patch_all(struct emit *e, u8 *const from[], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (from[i])
			patch_here(from[i], e->p);
}

/* --- shared routines
 * ------------------------------------------------------------------------------
 */

/* Those for 64-bit code, whose words are of 8 bytes, and those for 32-bit code. */
struct flow_gen {
	struct emit *e;
	const struct jit_stubs *s;
	struct jit_flow *f;
	u8 word;
};

/* T0 is an address: what of it counts. */
static void cut_t0(const struct flow_gen *g)
{
	if (g->word == 4)
		emit_move(g->e, 4, H_T0, H_T0);
}

/* op r10, [r11 + member of struct op]: 1, 2 or 8 bytes; clobbers nothing else. */
static void load_member(struct emit *e, unsigned size, unsigned off)
{
	if (size == 8)
		emit_bytes(e, (u8[]){0x4d, 0x03, 0x53, (u8)off}, 4); /* add r10, */
	else
		emit_bytes(e, (u8[]){0x45, 0x0f, size == 1 ? 0xb6 : 0xb7, 0x53, (u8)off}, 5);
}

/* T1: op.  T0 = the address behind it; T1 is op again. */
void stub_next_of_op(struct emit *e)
{
	load_member(e, 1, offsetof(struct op, len));
	emit_op_slot(e, 0x03, H_T0, GPR_SLOT(GPR_PC));
	emit_store_slot(e, H_T0, CPU_OFF(jit_lin));
	load_member(e, 2, offsetof(struct op, off));
	emit_op_slot(e, 0x03, H_T0, CPU_OFF(jit_lin));
}

static void next_of_op(const struct flow_gen *g)
{
	stub_next_of_op(g->e);
	cut_t0(g);
}

/* T1: op.  T0 = where it branches to. */
static void target_of_op(const struct flow_gen *g)
{
	stub_next_of_op(g->e);
	load_member(g->e, 8, offsetof(struct op, imm));
	cut_t0(g);
}

static void keep_op(struct emit *e)
{
	emit_store_slot(e, H_T1, CPU_OFF(jit_op));
}

/* The exec function does the op that was kept. */
void stub_by_kept_op(struct emit *e, const struct jit_stubs *s)
{
	emit_load_slot(e, H_T0, CPU_OFF(jit_op));
	emit_jump_to(e, s->exec_last);
}

static void jump_by_cache(struct emit *e, const struct jit_stubs *s)
{
	u8 *miss[2];

	look_up(e, miss);
	jump_to_entry(e);
	patch_all(e, miss, 2);
	stub_by_kept_op(e, s);
}

/* T0 = RSP + disp, where a word is: as the host has it, or a jump is taken. */
static u8 *check_stack(const struct flow_gen *g, i32 disp, bool write)
{
	u32 tag = write ? offsetof(struct tlb_view, wr) : 0;
	struct emit *e = g->e;
	u8 *miss;

	emit_address(e, g->word, H_T0, H_GUEST_RSP, -1, 0, disp);
	stub_tlb_entry(e, write);
	stub_cmp_t0(e, PAGE_SIZE_4K - g->word);
	miss = emit_jcc(e, 7);
	stub_t0_entry(e, 0x03, tag + offsetof(struct tlb_ent, host));
	return miss;
}

static void move_stack(const struct flow_gen *g, i32 by)
{
	emit_address(g->e, g->word, H_GUEST_RSP, H_GUEST_RSP, -1, 0, by);
}

static void make_ret(const struct flow_gen *g)
{
	struct emit *e = g->e;
	u8 *miss[3];

	g->f->ret = e->p;
	keep_op(e);
	miss[2] = check_stack(g, 0, false);
	load_t0_at_t0(e, g->word);
	look_up(e, miss);
	move_stack(g, g->word);
	jump_to_entry(e);
	patch_all(e, miss, 3);
	stub_by_kept_op(e, g->s);
}

static void make_push_next(const struct flow_gen *g)
{
	struct emit *e = g->e;
	u8 *miss;

	g->f->push_next = e->p;
	keep_op(e);
	stub_next_of_op(e);
	emit_store_slot(e, H_T0, CPU_OFF(jit_lin));
	miss = check_stack(g, -g->word, true);
	emit_load_slot(e, H_T1, CPU_OFF(jit_lin));
	emit_bytes(e, (u8[]){g->word == 8 ? 0x4d : 0x45, 0x89, 0x1a}, 3); /* mov [r10], r11 */
	move_stack(g, -g->word);
	emit8(e, 0xc3);
	patch_here(miss, e->p);
	emit_bytes(e, (u8[]){0x48, 0x83, 0xc4, 8}, 4); /* add rsp, 8 */
	stub_by_kept_op(e, g->s);
}

/* A call: T0 is where to, and the op is kept. */
static void make_call(const struct flow_gen *g)
{
	struct emit *e = g->e;
	u8 *miss[2];

	look_up(e, miss);
	keep_entry(e);
	emit_store_slot(e, H_T0, CPU_OFF(st.rip));
	emit_load_slot(e, H_T1, CPU_OFF(jit_op));
	emit_call_to(e, g->f->push_next);
	emit_load_slot(e, H_T0, CPU_OFF(st.rip));
	jump_to_kept(e);
	patch_all(e, miss, 2);
	stub_by_kept_op(e, g->s);
}

static u8 *make_way(struct emit *e, const struct jit_stubs *s, const u8 *routine)
{
	u8 *at = e->p;

	stub_count_down(e, CPU_OFF(way_misses), s->try_way);
	emit_bytes(e, (u8[]){0x4d, 0x8b, 0x5b, offsetof(struct jit_link, op)}, 4); /* mov r11, */
	emit_jump_to(e, routine);
	return at;
}

void stub_go_to(struct emit *e, const struct jit_stubs *s)
{
	u8 *miss[2];

	look_up(e, miss);
	jump_to_entry(e);
	patch_all(e, miss, 2);
	emit_jump_to(e, s->jump);
}

static void make_flow(const struct flow_gen *g)
{
	const struct jit_stubs *s = g->s;
	struct jit_flow *f = g->f;
	struct emit *e = g->e;

	make_ret(g);
	make_push_next(g);

	f->far_taken = e->p;
	target_of_op(g);
	f->jump_to = e->p;
	keep_op(e);
	jump_by_cache(e, s);

	f->far_call = e->p;
	target_of_op(g);
	f->call_to = e->p;
	keep_op(e);
	make_call(g);

	/* The op is no branch: it is done. */
	f->far_next = e->p;
	next_of_op(g);
	stub_go_to(e, s);

	f->way_taken = make_way(e, s, f->far_taken);
	f->way_next = make_way(e, s, f->far_next);
	f->way_call = make_way(e, s, f->far_call);
}

void jit_make_flow_stubs(struct emit *e, struct jit_stubs *s)
{
	make_flow(&(struct flow_gen){e, s, &s->flow[0], 8});
	make_flow(&(struct flow_gen){e, s, &s->flow[1], 4});
}

/* --- ways out
 * --------------------------------------------------------------------------------------- */

static struct way_out *new_way(struct tr *t, i64 off)
{
	struct way_out *w = &t->ways[t->nr_ways < MAX_WAYS_OUT ? t->nr_ways++ : MAX_WAYS_OUT - 1];

	if (t->nr_ways == MAX_WAYS_OUT)
		t->e.full = true;
	*w = (struct way_out){.off = (i32)off};
	return w;
}

static bool in_page(i64 off)
{
	return off >= 0 && off < PAGE_SIZE_4K;
}

/*
 * Is it sure where that is in host memory, for as long as this code may run?  A region may go on
 * where 32-bit addresses are at their end.
 */
static bool can_link(const struct tr *t, i64 off)
{
	const u8 *page = t->b->host - t->b->page_off;

	return in_page(off) || (!t->narrow && t->b->key & KEY_LARGE &&
				soft_same_region(t->j->soft, page, page + off));
}

/* The displacement that comes next is patched while others run it: within aligned 8 bytes. */
static void align_site(struct emit *e, unsigned opcode_bytes)
{
	while ((((uintptr_t)e->p + opcode_bytes) & 7) > 4 && !e->full)
		emit8(e, 0x90);
}

/*
 * Must a way to off look whether to leave?  A head that polls itself need not be asked.  All ways
 * forward lead around in 4 GiB.
 */
static bool must_poll(const struct tr *t, i64 off)
{
	if (t->polls && off == t->b->page_off)
		return false;
	if (t->narrow && !in_page(off))
		return true;
	return off <= t->steps[t->i].op->off;
}

/* T0 = RIP of what is off from the begin of the page. */
static void load_rip(struct tr *t, i64 off)
{
	emit_load_slot(&t->e, H_T0, GPR_SLOT(GPR_PC));
	emit_address(&t->e, t->word, H_T0, H_T0, -1, 0, (i32)off);
}

/* To offset off of the page, or from its begin.  Flags are left alone but by a poll. */
static void link(struct tr *t, i64 off)
{
	struct way_out *w = new_way(t, off);

	if (!in_page(off))
		load_rip(t, off);
	if (must_poll(t, off)) {
		stub_compare_pending(&t->e);
		w->poll = emit_jcc(&t->e, 5);
	}
	align_site(&t->e, 1);
	w->from = emit_jump(&t->e);
}

/* The same if cc. */
static void link_if(struct tr *t, unsigned cc, i64 off)
{
	u8 *over;

	if (must_poll(t, off) || !in_page(off)) {
		over = emit_jcc(&t->e, cc ^ 1);
		link(t, off);
		if (over)
			patch_here(over, t->e.p);
		return;
	}
	align_site(&t->e, 2);
	new_way(t, off)->from = emit_jcc(&t->e, cc);
}

/* T1: op; then a routine that is done with it. */
static void by_routine(struct tr *t, const struct op *op, const u8 *routine)
{
	tr_address_of(t, H_T1, op);
	emit_jump_to(&t->e, routine);
}

/* Is off near enough, and is there a number? */
static bool can_be_way(const struct tr *t, i64 off)
{
	return !t->small && off == (i32)off && off != NO_LINK && t->j->next_way < MAX_WAY - 1;
}

/*
 * A way begins: what follows runs only if it is known to be good.  Else, and if to leave, routine
 * does all of it, since what is not canonical must be found before anything is done.  T0 and T1
 * are used.
 */
static struct way_out *ask_way(struct tr *t, const struct op *op, i64 off, u8 *routine)
{
	struct way_out *w = new_way(t, off);
	u32 way = ++t->j->next_way;

	w->op = op;
	w->way = way;
	w->routine = routine;
	if (must_poll(t, off)) {
		stub_compare_pending(&t->e);
		w->poll = emit_jcc(&t->e, 5);
	}
	load_rip(t, way / NR_WAYS);
	emit_load_slot(&t->e, H_T1, CPU_OFF(jump_cache));
	emit_bytes(&t->e, (u8[]){0x4d, 0x3b, 0x93}, 3); /* cmp r10, [r11 + ] */
	emit32(&t->e, (u32)(offsetof(struct jumps, ways) + way % NR_WAYS * sizeof(u64)));
	w->unknown = emit_jcc(&t->e, 5);
	return w;
}

static void take_way(struct tr *t, struct way_out *w)
{
	load_rip(t, w->off);
	align_site(&t->e, 1);
	w->from = emit_jump(&t->e);
}

/* A jump out of what can be linked. */
static void go_far(struct tr *t, const struct op *op, i64 off, u8 *routine, u8 *way_routine)
{
	if (can_be_way(t, off))
		take_way(t, ask_way(t, op, off, way_routine));
	else
		by_routine(t, op, routine);
}

static void go_next(struct tr *t, const struct op *op)
{
	i64 next = op->off + op->len;

	if (can_link(t, next))
		link(t, next);
	else
		go_far(t, op, next, tr_flow(t)->far_next, tr_flow(t)->way_next);
}

static void go_taken(struct tr *t, const struct op *op)
{
	i64 target = op->off + op->len + (i64)op->imm;

	if (can_link(t, target))
		link(t, target);
	else
		go_far(t, op, target, tr_flow(t)->far_taken, tr_flow(t)->way_taken);
}

/* The condition's flags are in the host's, and in memory if somebody else wants them. */
static void flags_of_jcc(struct tr *t, const struct op *op, bool far)
{
	bool live = t->live_after[t->i];

	/* A branch that is not in the jump cache is done by its exec function. */
	if ((live || far) && !(t->home & FLAGS_MEMORY))
		tr_spill_flags(t);
	tr_load_flags(t);
}

static void end_jcc(struct tr *t, const struct op *op)
{
	i64 next = op->off + op->len, target = next + (i64)op->imm;
	unsigned cc = op->opcode & 15;
	u8 *over;

	flags_of_jcc(t, op, !can_link(t, target));
	if (can_link(t, target)) {
		link_if(t, cc, target);
	} else {
		over = emit_jcc(&t->e, cc ^ 1);
		go_far(t, op, target, tr_flow(t)->far_taken, tr_flow(t)->way_taken);
		if (over)
			patch_here(over, t->e.p);
	}
	go_next(t, op);
}

void tr_emit_side(struct tr *t)
{
	const struct step *s = &t->steps[t->i];
	const struct op *op = s->op;
	i64 next = op->off + op->len, target = next + (i64)op->imm;
	unsigned cc = op->opcode & 15;
	u8 *over;

	if (tr_insn(op)->fn != exec_jcc)
		return;
	flags_of_jcc(t, op, !can_link(t, target));
	if (s->taken && can_link(t, next)) {
		link_if(t, cc ^ 1, next);
	} else if (!s->taken && can_link(t, target)) {
		link_if(t, cc, target);
	} else {
		over = emit_jcc(&t->e, s->taken ? cc : cc ^ 1);
		if (s->taken)
			go_far(t, op, next, tr_flow(t)->far_next, tr_flow(t)->way_next);
		else
			go_far(t, op, target, tr_flow(t)->far_taken, tr_flow(t)->way_taken);
		if (over)
			patch_here(over, t->e.p);
	}
}

/* Store the return address where the operand is, and move RSP. */
static void push_return(struct tr *t, const struct op *op)
{
	emit_load_slot(&t->e, t->temp, GPR_SLOT(GPR_PC));
	emit_lea(&t->e, t->temp, t->temp, -1, 0, op->off + op->len);
	emit_insn(&t->e,
		  &(struct enc){.w = t->word == 8, .opcode = 0x89, .reg = t->temp, .rm = t->mem});
	tr_move_stack(t, -t->word);
}

static void end_call(struct tr *t, const struct op *op)
{
	i64 target = op->off + op->len + (i64)op->imm;
	struct way_out *w;

	tr_spill_at_end(t);
	if (!can_link(t, target) && !can_be_way(t, target)) {
		by_routine(t, op, tr_flow(t)->far_call);
		return;
	}
	if (!can_link(t, target)) {
		w = ask_way(t, op, target, tr_flow(t)->way_call);
		tr_clobber_t1(t);
		tr_stack(t, op, -t->word, t->word, true);
		push_return(t, op);
		take_way(t, w);
		return;
	}
	if (t->small) {
		tr_address_of(t, H_T1, op);
		emit_call_to(&t->e, tr_flow(t)->push_next);
	} else {
		tr_stack(t, op, -t->word, t->word, true);
		push_return(t, op);
	}
	link(t, target);
}

/* Where the jump cache misses: the exec function does op. */
static void cold_last(struct tr *t, u8 *const miss[2])
{
	struct cold *c = tr_new_cold(t);

	c->leaves = true;
	c->from[c->nr_from++] = miss[0];
	c->from[c->nr_from++] = miss[1];
}

/* T0 = the word where the operand is. */
static void load_t0(struct tr *t)
{
	emit_insn(&t->e,
		  &(struct enc){.w = t->word == 8, .opcode = 0x8b, .reg = H_T0, .rm = t->mem});
}

static void end_ret(struct tr *t, const struct op *op)
{
	u8 *miss[2];

	tr_spill_at_end(t);
	if (t->small && !op->imm) {
		by_routine(t, op, tr_flow(t)->ret);
		return;
	}
	if (t->small) {
		tr_by_exec_last(t, op);
		return;
	}
	tr_stack(t, op, 0, t->word, false);
	load_t0(t);
	tr_clobber_t1(t);
	look_up(&t->e, miss);
	cold_last(t, miss);
	tr_move_stack(t, t->word + (u16)op->imm);
	jump_to_entry(&t->e);
}

/* jmp and call r/m. */
static void end_indirect(struct tr *t, const struct op *op, bool call)
{
	unsigned g = op->rm >> 3;
	u8 *miss[2];

	tr_spill_at_end(t);
	if (op->flags & OP_MEM) {
		tr_memory(t, op, t->word, false, 1);
		load_t0(t);
	} else if (tr_home(g) >= 0) {
		emit_move(&t->e, t->word, H_T0, (unsigned)tr_home(g));
	} else {
		emit_load_slot(&t->e, H_T0, GPR_SLOT(g));
	}
	if (t->small) {
		by_routine(t, op, call ? tr_flow(t)->call_to : tr_flow(t)->jump_to);
		return;
	}
	tr_clobber_t1(t);
	look_up(&t->e, miss);
	cold_last(t, miss);
	if (!call) {
		jump_to_entry(&t->e);
		return;
	}
	keep_entry(&t->e);
	emit_store_slot(&t->e, H_T0, CPU_OFF(st.rip));
	tr_stack(t, op, -t->word, t->word, true);
	push_return(t, op);
	emit_load_slot(&t->e, H_T0, CPU_OFF(st.rip));
	jump_to_kept(&t->e);
}

/*
 * STI of the kernel's, if nothing waits: interrupts may come behind the next instruction.  It runs
 * before anybody looks, or the way out says that it is in the shadow.
 */
static bool end_sti(struct tr *t, const struct op *op)
{
	i64 next = op->off + op->len;
	u8 *miss[2];
	struct way_out *w;

	if (t->user || !in_page(next))
		return false;
	tr_spill_at_end(t);
	stub_compare_pending(&t->e);
	miss[0] = emit_jcc(&t->e, 5);
	emit_cmp_byte(&t->e, CPU_OFF(cpl), 0);
	miss[1] = emit_jcc(&t->e, 5);
	cold_last(t, miss);
	emit_test_bits(&t->e, CPU_OFF(st.rflags) + 1, FL_IF >> 8);
	link_if(t, 5, next); /* it was set: no shadow */
	emit_set_bits(&t->e, CPU_OFF(st.rflags) + 1, FL_IF >> 8);
	w = new_way(t, next);
	w->shadow = true;
	align_site(&t->e, 1);
	w->from = emit_jump(&t->e);
	return true;
}

/* SYSCALL from ring 3; SYSRET and IRET of ring 0 to 64-bit code: from 64-bit code. */
static bool end_ring(struct tr *t, const struct op *op)
{
	const struct jit_stubs *s = &t->j->stubs;
	exec_fn *fn = tr_insn(op)->fn;
	u8 *routine = NULL;

	if (fn == exec_syscall && t->user)
		routine = s->syscall;
	else if (fn == exec_sysret && !t->user && op->flags & OP_REX_W)
		routine = s->sysret;
	else if (fn == exec_iret && !t->user && op->size == 8)
		routine = s->iret;
	if (!routine || t->narrow || t->j->lockstep)
		return false;
	tr_spill_at_end(t);
	by_routine(t, op, routine);
	return true;
}

void tr_emit_end(struct tr *t)
{
	const struct op *op = t->steps[t->i].op;
	exec_fn *fn = tr_insn(op)->fn;
	bool plain = op->size == t->word && tr_has_plain_ea(op) && !(op->flags & OP_LOCK);

	if (!(tr_insn(op)->attr & (A_ENDS | A_SYNC))) {
		tr_spill_at_end(t);
		go_next(t, op);
	} else if (plain && fn == exec_jcc) {
		end_jcc(t, op);
	} else if (plain && fn == exec_jmp_rel) {
		tr_spill_at_end(t);
		go_taken(t, op);
	} else if (plain && fn == exec_call_rel) {
		end_call(t, op);
	} else if (plain && fn == exec_ret) {
		end_ret(t, op);
	} else if (plain && (fn == exec_jmp_rm || fn == exec_call_rm)) {
		end_indirect(t, op, fn == exec_call_rm);
	} else if (!(fn == exec_sti && end_sti(t, op)) && !end_ring(t, op)) {
		tr_by_exec_last(t, op);
	}
}

/* --- behind the code
 * ------------------------------------------------------------------------------------- */

static void to_here(struct emit *e, u8 *from)
{
	if (from)
		patch_here(from, e->p);
}

/* Where a way is not known to be good. */
static void emit_unknown(struct tr *t, const struct way_out *w, const struct jit_link *l)
{
	to_here(&t->e, w->unknown);
	to_here(&t->e, w->poll);
	tr_address_of(t, H_T1, l);
	emit_jump_to(&t->e, w->routine);
}

/* A poll at the head, or its counter. */
static void emit_head_way(struct tr *t, const struct way_out *w)
{
	to_here(&t->e, w->poll);
	to_here(&t->e, w->from);
	if (w->poll) {
		emit_load_slot(&t->e, H_T0, GPR_SLOT(GPR_PC));
		emit_lea(&t->e, H_T0, H_T0, -1, 0, t->b->page_off);
		emit_jump_to(&t->e, t->j->stubs.leave_rip);
		return;
	}
	emit_call_to(&t->e, t->j->stubs.hot);
}

void tr_emit_ways(struct tr *t)
{
	struct jit_code *c = t->code;

	for (unsigned i = 0; i < t->nr_ways && !t->e.full; i++) {
		const struct way_out *w = &t->ways[i];

		if (w->off == NO_LINK) {
			emit_head_way(t, w);
			continue;
		}
		if (w->way)
			emit_unknown(t, w, &c->link[c->nr_links]);
		c->link[c->nr_links++] = (struct jit_link){.from = c,
							   .site = w->from,
							   .out = t->e.p,
							   .op = w->op,
							   .way = w->way,
							   .off = w->off,
							   .shadow = w->shadow};
		if (!w->way)
			to_here(&t->e, w->poll);
		to_here(&t->e, w->from);
		emit_call_to(&t->e, w->shadow ? t->j->stubs.leave_shadow : t->j->stubs.leave_link);
	}
}
