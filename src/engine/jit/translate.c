/* SPDX-License-Identifier: MIT */
/*
 * translate.c - a block of decoded instructions into host code, in one pass.
 *
 * Flags.  Guest code runs natively, so the guest's flags are the host's where an instruction
 * has just written them.  Checks of memory accesses clobber them.  A backward pass says which
 * flags are live behind each op; only live ones are saved before a check, to memory (LAHF and
 * SETO), and loaded again for the next op that reads them.
 *
 * Of the code that a block's direct branches lead to, a few instructions are looked at, to
 * see which flags are dead there.  The bytes looked at are the block's too (block->peek): if
 * they are written, it dies.
 *
 * So there are flags that are wrong because nobody reads them: in the frame of a fault whose
 * handler does not care, and for what a store of this very block puts in place of the
 * instructions behind it.
 */
#include "engine/jit/translate.h"

enum { PEEK_OPS = 6, MAX_INSN = 15 };

/* --- liveness of flags -------------------------------------------------------------------- */

static u16 reads(const struct insn *in)
{
	return in->fl_in & FL_ARITH;
}

/*
 * What these leave undefined hosts write.  Others (MUL, DIV, BSF, TZCNT) may keep it: then it
 * must be the guest's that they keep, not what our own code left there.
 */
static bool writes_undefined(const struct insn *in)
{
	exec_fn *const fns[] = {exec_and, exec_or,   exec_xor, exec_test, exec_shl,
				exec_shr, exec_sar,  exec_rol, exec_ror,  exec_rcl,
				exec_rcr, exec_shld, exec_shrd};

	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++)
		if (in->fn == fns[i])
			return true;
	return false;
}

static u16 kills(const struct insn *in)
{
	u16 undef = in->fl_undef && writes_undefined(in) ? in->fl_undef : 0;

	return (in->fl_out | undef) & FL_ARITH & ~in->fl_maybe;
}

static u16 writes(const struct insn *in)
{
	return (in->fl_out | in->fl_undef | in->fl_maybe) & FL_ARITH;
}

/* Shifts keep the flags if the count is 0, which is known for an immediate. */
u16 tr_flags_killed(const struct op *op)
{
	const struct insn *in = tr_insn(op);

	if (in->fl_maybe && op->form == FORM_RM_IMM && !(op->flags & OP_CL))
		return op->imm & (op->size == 8 ? 63 : 31) ? writes(in) : 0;
	return kills(in);
}

/* Flags that may be read at offset off of the page; what the look does not reach: all. */
static u16 peek(struct tr *t, unsigned n, i64 off)
{
	const u8 *page = t->b->host - t->b->page_off;
	u16 live = 0, open = FL_ARITH;

	if (off < 0 || off >= PAGE_SIZE_4K)
		return FL_ARITH;
	t->b->peek[n].off = (u16)off;
	soft_claim_granules(t->page, (unsigned)off, PEEK_OPS * MAX_INSN);
	for (unsigned k = 0; k < PEEK_OPS && off < PAGE_SIZE_4K && open; k++) {
		unsigned avail =
			PAGE_SIZE_4K - off < MAX_INSN ? (unsigned)(PAGE_SIZE_4K - off) : MAX_INSN;
		u8 bytes[MAX_INSN];
		struct op op;

		for (unsigned i = 0; i < avail; i++)
			bytes[i] = (u8)ram_load(page + off + i, 1);
		if (x86_decode(bytes, avail, CODE64, (unsigned)off, &op) <= 0)
			break;
		live |= reads(tr_insn(&op)) & open;
		open &= ~tr_flags_killed(&op);
		off += op.len;
		if (tr_insn(&op)->attr & (A_ENDS | A_SYNC))
			break;
	}
	t->b->peek[n].len = (u16)(off - t->b->peek[n].off);
	return live | open;
}

static void find_live(struct tr *t)
{
	const struct block *b = t->b;
	const struct op *last = &b->ops[b->nr_ops - 1];
	i64 next = last->off + last->len;
	exec_fn *fn = tr_insn(last)->fn;
	u16 live = FL_ARITH;

	if (!t->page)
		live = FL_ARITH;
	else if (fn == exec_jcc)
		live = peek(t, 0, next) | peek(t, 1, next + (i64)last->imm);
	else if (fn == exec_jmp_rel)
		live = peek(t, 1, next + (i64)last->imm);
	else if (!(tr_insn(last)->attr & (A_ENDS | A_SYNC)))
		live = peek(t, 0, next);
	for (unsigned i = b->nr_ops; i-- > 0;) {
		t->live_after[i] = live;
		live = (live & ~tr_flags_killed(&b->ops[i])) | reads(tr_insn(&b->ops[i]));
	}
}

static u16 live_before(const struct tr *t, const struct op *op)
{
	return (t->live_after[t->i] & ~tr_flags_killed(op)) | reads(tr_insn(op));
}

/* Must the flags be in the host's register for op to run natively? */
static bool needs_flags(const struct tr *t, const struct op *op)
{
	return reads(tr_insn(op)) || (writes(tr_insn(op)) && live_before(t, op));
}

/* --- flags in memory ----------------------------------------------------------------------- */

/* mov r11, rax; lahf; seto al; mov gs:[jit_flags], ax; mov rax, r11 */
static void save_flags(struct emit *e)
{
	emit_mov_rr(e, H_T1, H_RAX);
	emit_bytes(e, (u8[]){0x9f, 0x0f, 0x90, 0xc0}, 4);
	emit_insn(e, &(struct enc){.o16 = true,
				   .opcode = 0x89,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags)}});
	emit_mov_rr(e, H_RAX, H_T1);
}

/* mov r11, rax; mov ax, gs:[jit_flags]; add al, 0x7f; sahf; mov rax, r11 */
static void load_flags(struct emit *e)
{
	emit_mov_rr(e, H_T1, H_RAX);
	emit_insn(e, &(struct enc){.o16 = true,
				   .opcode = 0x8b,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags)}});
	emit_bytes(e, (u8[]){0x04, 0x7f, 0x9e}, 3);
	emit_mov_rr(e, H_RAX, H_T1);
}

void tr_spill_flags(struct tr *t)
{
	if (t->home == FLAGS_HOST)
		save_flags(&t->e);
	t->home = FLAGS_MEMORY;
}

void tr_load_flags(struct tr *t)
{
	if (t->home == FLAGS_MEMORY)
		load_flags(&t->e);
	t->home = FLAGS_HOST;
}

/* --- addresses
 * ------------------------------------------------------------------------------------ */

/* A register that may live in memory, in a host register: scratch is used if it does. */
static int in_reg(struct tr *t, unsigned g, unsigned scratch)
{
	int home = g == GPR_PC ? -1 : tr_home(g);

	if (home >= 0)
		return home;
	emit_load_slot(&t->e, scratch, GPR_SLOT(g));
	return (int)scratch;
}

void tr_ea(struct tr *t, const struct op *op)
{
	int base = op->base == GPR_ZERO ? -1 : in_reg(t, op->base, H_T0);
	int index = op->index == GPR_ZERO ? -1 : in_reg(t, op->index, H_T1);

	emit_lea(&t->e, H_T0, base, index, op->scale, op->disp);
}

static struct cold *cold_of(struct tr *t, const struct op *op)
{
	struct cold *c;

	if (t->nr_cold && t->cold[t->nr_cold - 1].op == op)
		return &t->cold[t->nr_cold - 1];
	c = &t->cold[t->nr_cold++];
	*c = (struct cold){.op = op};
	return c;
}

void tr_cold_jcc(struct tr *t, const struct op *op, unsigned cc)
{
	struct cold *c = cold_of(t, op);

	c->from[c->nr_from++] = emit_jcc(&t->e, cc);
}

/*
 * T0: linear address.  The TLB entry's address into T1, the offset in the page into T0, and
 * from them the host address; above PAGE_SIZE - size it is another page, or crosses.
 */
static void check(struct tr *t, const struct op *op, unsigned size, bool write, unsigned align)
{
	struct emit *e = &t->e;
	u32 tag = write ? offsetof(struct tlb_view, wr) : 0;

	if (align > 1) {
		emit_bytes(e, (u8[]){0x41, 0xf6, 0xc2, (u8)(align - 1)}, 4); /* test r10b, */
		tr_cold_jcc(t, op, 5);
	}
	emit_bytes(e, (u8[]){0x45, 0x89, 0xd3}, 3);    /* mov r11d, r10d */
	emit_bytes(e, (u8[]){0x41, 0xc1, 0xeb, 8}, 4); /* shr r11d, 8 */
	emit_bytes(e, (u8[]){0x41, 0x81, 0xe3}, 3);    /* and r11d, */
	emit32(e, (TLB_ENTRIES - 1) << 4);
	emit_op_slot(e, 0x03, H_T1, CPU_OFF(view)); /* add r11, gs:[view] */
	emit_bytes(e, (u8[]){0x4d, 0x33, 0x93}, 3); /* xor r10, [r11 + tag] */
	emit32(e, tag);
	emit_bytes(e, (u8[]){0x49, 0x81, 0xfa}, 3); /* cmp r10, */
	emit32(e, PAGE_SIZE_4K - size);
	tr_cold_jcc(t, op, 7);
	emit_bytes(e, (u8[]){0x4d, 0x03, 0x93}, 3); /* add r10, [r11 + host] */
	emit32(e, tag + offsetof(struct tlb_ent, host));
}

/* Live flags out of the way of a check. */
static void before_check(struct tr *t, const struct op *op)
{
	if (live_before(t, op))
		tr_spill_flags(t);
	t->home = FLAGS_MEMORY;
}

/* Where op needs them; one that writes flags leaves them in the host's register. */
void tr_flags_for(struct tr *t, const struct op *op)
{
	if (needs_flags(t, op))
		tr_load_flags(t);
	if (writes(tr_insn(op)))
		t->home = FLAGS_HOST;
}

void tr_address(struct tr *t, const struct op *op, unsigned size, bool write, unsigned align)
{
	before_check(t, op);
	tr_ea(t, op);
	if (op->seg >= SEG_FS)
		emit_op_slot(&t->e, 0x03, H_T0,
			     (i32)(offsetof(struct x86_cpu, seg_base) + 8 * op->seg));
	check(t, op, size, write, align);
	tr_flags_for(t, op);
}

static void address_at(struct tr *t, const struct op *op, unsigned reg, i32 disp, unsigned size,
		       bool write)
{
	before_check(t, op);
	emit_lea(&t->e, H_T0, (int)reg, -1, 0, disp);
	check(t, op, size, write, 1);
	tr_flags_for(t, op);
}

void tr_stack_address(struct tr *t, const struct op *op, i32 disp, unsigned size, bool write)
{
	address_at(t, op, H_GUEST_RSP, disp, size, write);
}

void tr_address_reg(struct tr *t, const struct op *op, unsigned reg, unsigned size, bool write)
{
	address_at(t, op, reg, 0, size, write);
}

/* --- calls of exec functions --------------------------------------------------------------- */

static void call_exec(struct tr *t, const struct op *op, const u8 *stub)
{
	emit_mov_imm(&t->e, H_T0, (u64)(uintptr_t)op);
	u8 *site = emit_call_rel(&t->e);

	if (site)
		patch_here(site, stub);
}

static void jump_to(struct tr *t, const u8 *target)
{
	u8 *site = emit_jump(&t->e);

	if (site)
		patch_here(site, target);
}

/* Vector registers are in the host's from here on; flags are not. */
static void ensure_vec(struct tr *t, unsigned off)
{
	u8 *over, *site;

	if (!t->vec)
		return;
	jit_emit_test_vec(&t->e, t->vec & VEC_ZMM ? VEC_ZMM : t->vec & VEC_YMM ? VEC_YMM : VEC_XMM);
	over = emit_jcc(&t->e, 5);
	jit_emit_want_vec(&t->e, t->vec);
	emit_mov_imm(&t->e, H_T0, off);
	site = emit_call_rel(&t->e);
	if (!site || !over)
		return;
	patch_here(site, t->j->stubs.vec_load);
	patch_here(over, t->e.p);
}

void tr_spill_live(struct tr *t, const struct op *op)
{
	if (live_before(t, op))
		tr_spill_flags(t);
	t->home = FLAGS_MEMORY;
}

static void emit_by_exec(struct tr *t, const struct op *op)
{
	tr_spill_live(t, op);
	call_exec(t, op, t->j->stubs.exec);
	ensure_vec(t, op->off + op->len);
}

static void emit_cold(struct tr *t)
{
	for (unsigned i = 0; i < t->nr_cold; i++) {
		struct cold *c = &t->cold[i];

		tr_place(t, (unsigned)(c->op - t->b->ops));
		for (unsigned k = 0; k < c->nr_from; k++)
			if (c->from[k])
				patch_here(c->from[k], t->e.p);
		if (c->last) {
			emit_mov_imm(&t->e, H_T0, (u64)(uintptr_t)c->op);
			jump_to(t, t->j->stubs.exec_last);
			continue;
		}
		call_exec(t, c->op, t->j->stubs.exec);
		ensure_vec(t, c->op->off + c->op->len);
		if (c->reload_flags)
			load_flags(&t->e);
		jump_to(t, c->back);
	}
}

/* --- the ends of a block
 * ---------------------------------------------------------------------------- */

/* if (pending) leave: T0 holds where to if it is not known otherwise. */
static void poll(struct tr *t, const u8 *out)
{
	u8 *site;

	emit_insn(&t->e, &(struct enc){.opcode = 0x83,
				       .reg = 7,
				       .rm = {.kind = RM_SLOT, .disp = CPU_OFF(v.pending)},
				       .imm_size = 1});
	site = emit_jcc(&t->e, 5);
	if (site)
		patch_here(site, out);
}

/* To offset off of the page the code is in. */
static void emit_link(struct tr *t, unsigned off)
{
	struct jit_link *l = &t->code->link[t->code->nr_links++];
	struct emit *e = &t->e;
	u8 *over = NULL;

	*l = (struct jit_link){.from = t->code, .off = (u16)off};
	if (off <= t->b->ops[t->b->nr_ops - 1].off) { /* backward: a loop must be left some time */
		emit_insn(e, &(struct enc){.opcode = 0x83,
					   .reg = 7,
					   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(v.pending)},
					   .imm_size = 1});
		over = emit_jcc(e, 5);
	}
	/* The displacement is patched while others run it: within aligned 8 bytes. */
	while ((((uintptr_t)e->p + 1) & 7) > 4 && !e->full)
		emit8(e, 0x90);
	l->site = emit_jump(e);
	if (over)
		patch_here(over, e->p);
	l->out = e->p;
	if (l->site)
		patch_here(l->site, l->out);
	emit_mov_imm(e, H_T0, (u64)(uintptr_t)l);
	jump_to(t, t->j->stubs.leave_link);
}

/* T0: RIP, canonical.  Through the jump cache, else out. */
void tr_dispatch(struct tr *t)
{
	struct emit *e = &t->e;
	u8 *miss;

	poll(t, t->j->stubs.leave_rip);
	/* r11 = &jump_cache[jump_index(r10)] */
	emit_mov_rr(e, H_T1, H_T0);
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xeb, JUMP_BITS}, 4); /* shr r11, JUMP_BITS */
	emit_bytes(e, (u8[]){0x4d, 0x31, 0xd3}, 3);	       /* xor r11, r10 */
	emit_bytes(e, (u8[]){0x41, 0x81, 0xe3}, 3);	       /* and r11d, */
	emit32(e, JUMP_ENTRIES - 1);
	emit_bytes(e, (u8[]){0x41, 0xc1, 0xe3, 4}, 4); /* shl r11d, 4 */
	emit_op_slot(e, 0x03, H_T1, CPU_OFF(jump_cache));
	emit_bytes(e, (u8[]){0x4d, 0x3b, 0x53, offsetof(struct jump_ent, lin)}, 4); /* cmp r10, */
	miss = emit_jcc(e, 5);
	emit_bytes(e, (u8[]){0x41, 0xff, 0x63, offsetof(struct jump_ent, code)}, 4); /* jmp */
	if (miss)
		patch_here(miss, e->p);
	jump_to(t, t->j->stubs.jump);
}

/* To a page-relative target, in this page or beyond.  op: the branch; NULL: it falls through. */
static void go_to(struct tr *t, const struct op *op, i64 off)
{
	if (off >= 0 && off < PAGE_SIZE_4K) {
		emit_link(t, (unsigned)off);
		return;
	}
	emit_load_slot(&t->e, H_T0, GPR_SLOT(GPR_PC));
	emit_lea(&t->e, H_T0, H_T0, -1, 0, (i32)off);
	if (op) /* its exec function raises what is due */
		tr_check_canonical(t, op);
	tr_dispatch(t);
}

/* T0 must be canonical for op to go there, else the cold way, which does not come back. */
void tr_check_canonical(struct tr *t, const struct op *op)
{
	struct emit *e = &t->e;

	emit_mov_rr(e, H_T1, H_T0);
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xe3, 16}, 4); /* shl r11, 16 */
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xfb, 16}, 4); /* sar r11, 16 */
	emit_bytes(e, (u8[]){0x4d, 0x39, 0xd3}, 3);	/* cmp r11, r10 */
	tr_cold_jcc(t, op, 5);
	t->cold[t->nr_cold - 1].last = true;
}

static void end_jcc(struct tr *t, const struct op *op)
{
	i64 next = op->off + op->len, target = next + (i64)op->imm;
	bool far = target < 0 || target >= PAGE_SIZE_4K || next >= PAGE_SIZE_4K;
	bool saved = t->home == FLAGS_MEMORY;
	u8 *taken;

	tr_load_flags(t);
	/* LAHF and SETO leave the flags as they are.  The cold way reads them in memory. */
	if (!saved && (t->live_after[t->i] || far))
		save_flags(&t->e);
	taken = emit_jcc(&t->e, op->opcode & 15);
	go_to(t, op, next);
	if (taken)
		patch_here(taken, t->e.p);
	go_to(t, op, next + (i64)op->imm);
}

static void spill_live(struct tr *t)
{
	if (t->live_after[t->i])
		tr_spill_flags(t);
	t->home = FLAGS_MEMORY;
}

/* call: the return address is stored before RSP moves; nothing can fault behind it. */
static void end_call(struct tr *t, const struct op *op)
{
	i64 next = op->off + op->len;

	spill_live(t);
	if (next + (i64)op->imm < 0 || next + (i64)op->imm >= PAGE_SIZE_4K) {
		emit_load_slot(&t->e, H_T0, GPR_SLOT(GPR_PC));
		emit_lea(&t->e, H_T0, H_T0, -1, 0, (i32)(next + (i64)op->imm));
		tr_check_canonical(t, op);
	}
	tr_stack_address(t, op, -8, 8, true);
	t->cold[t->nr_cold - 1].last = true;
	tr_push_return(t, next);
	go_to(t, op, next + (i64)op->imm);
}

/* Store the return address at T0 and move RSP. */
void tr_push_return(struct tr *t, i64 next)
{
	emit_load_slot(&t->e, H_T1, GPR_SLOT(GPR_PC));
	emit_lea(&t->e, H_T1, H_T1, -1, 0, (i32)next);
	emit_bytes(&t->e, (u8[]){0x4d, 0x89, 0x1a}, 3); /* mov [r10], r11 */
	emit_lea(&t->e, H_GUEST_RSP, H_GUEST_RSP, -1, 0, -8);
}

static void end_ret(struct tr *t, const struct op *op)
{
	spill_live(t);
	tr_stack_address(t, op, 0, 8, false);
	t->cold[t->nr_cold - 1].last = true;
	emit_bytes(&t->e, (u8[]){0x4d, 0x8b, 0x12}, 3); /* mov r10, [r10] */
	tr_check_canonical(t, op);
	emit_lea(&t->e, H_GUEST_RSP, H_GUEST_RSP, -1, 0, 8 + (u16)op->imm);
	tr_dispatch(t);
}

/* jmp and call r/m. */
static void end_indirect(struct tr *t, const struct op *op, bool call)
{
	unsigned g = op->rm >> 3;

	spill_live(t);
	if (op->flags & OP_MEM) {
		tr_address(t, op, 8, false, 1);
		t->cold[t->nr_cold - 1].last = true;
		emit_bytes(&t->e, (u8[]){0x4d, 0x8b, 0x12}, 3); /* mov r10, [r10] */
	} else if (tr_home(g) >= 0) {
		emit_mov_rr(&t->e, H_T0, (unsigned)tr_home(g));
	} else {
		emit_load_slot(&t->e, H_T0, GPR_SLOT(g));
	}
	tr_check_canonical(t, op);
	if (call) {
		emit_store_slot(&t->e, H_T0, CPU_OFF(jit_target));
		tr_stack_address(t, op, -8, 8, true);
		t->cold[t->nr_cold - 1].last = true;
		tr_push_return(t, op->off + op->len);
		emit_load_slot(&t->e, H_T0, CPU_OFF(jit_target));
	}
	tr_dispatch(t);
}

static void emit_last(struct tr *t, const struct op *op)
{
	exec_fn *fn = tr_insn(op)->fn;
	bool plain = op->size == 8 && !(op->flags & (OP_EA_SLOW | OP_LOCK));

	if (plain && fn == exec_jcc)
		end_jcc(t, op);
	else if (plain && fn == exec_jmp_rel) {
		spill_live(t);
		go_to(t, op, op->off + op->len + (i64)op->imm);
	} else if (plain && fn == exec_call_rel)
		end_call(t, op);
	else if (plain && fn == exec_ret)
		end_ret(t, op);
	else if (plain && (fn == exec_jmp_rm || fn == exec_call_rm))
		end_indirect(t, op, fn == exec_call_rm);
	else {
		spill_live(t);
		emit_mov_imm(&t->e, H_T0, (u64)(uintptr_t)op);
		jump_to(t, t->j->stubs.exec_last);
	}
}

/* --- a block
 * ----------------------------------------------------------------------------------------- */

static void emit_op(struct tr *t, const struct op *op)
{
	unsigned before = t->nr_cold;

	if (!tr_emit_insn(t, op)) {
		emit_by_exec(t, op);
		return;
	}
	if (t->nr_cold > before) {
		struct cold *c = &t->cold[t->nr_cold - 1];

		c->back = t->e.p;
		c->reload_flags = t->home == FLAGS_HOST && t->live_after[t->i];
	}
}

/* Entered with T0 = RIP from the jump cache: RIP says where the page is now. */
static void emit_far_entry(struct tr *t)
{
	/* Eight aligned bytes that a kill replaces with a jump, while others may run them. */
	while ((uintptr_t)t->e.p & 7)
		emit8(&t->e, 0x90);
	t->code->far_entry = jit_rx(t->j, t->e.p);
	emit_bytes(&t->e, (u8[]){0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, 8); /* nop */
	emit_lea(&t->e, H_T0, H_T0, -1, 0, -(i32)t->b->page_off);
	emit_store_slot(&t->e, H_T0, GPR_SLOT(GPR_PC));
	t->code->entry = jit_rx(t->j, t->e.p);
}

static void emit_block(struct tr *t)
{
	const struct block *b = t->b;

	emit_far_entry(t);
	for (unsigned i = 0; i < b->nr_ops; i++)
		t->vec |= tr_is_vec(&b->ops[i]);
	t->code->vec = t->vec;
	ensure_vec(t, b->page_off);
	for (t->i = 0; t->i < b->nr_ops; t->i++) {
		const struct op *op = &b->ops[t->i];

		tr_place(t, t->i);
		if (tr_insn(op)->attr & (A_ENDS | A_SYNC)) {
			emit_last(t, op);
			return;
		}
		emit_op(t, op);
	}
	t->i = b->nr_ops - 1;
	spill_live(t);
	go_to(t, NULL, b->ops[t->i].off + b->ops[t->i].len);
}

struct jit_code *jit_translate(struct jit *j, struct block *b)
{
	struct tr t = {.j = j, .b = b, .home = FLAGS_MEMORY, .page = soft_page(j->soft, b->host)};
	u8 *start;

	if ((b->key & KEY_CODE_SIZE) != CODE64 || !jit_code_room(j, &t.e))
		return NULL;
	start = t.e.p;
	t.code = (struct jit_code *)start;
	*t.code = (struct jit_code){.block = b};
	t.e.p += (sizeof(*t.code) + 15) & ~15ul;
	find_live(&t);
	emit_block(&t);
	emit_cold(&t);
	tr_store_map(&t);
	if (t.e.full)
		return NULL;
	j->at = (u8 *)(((uintptr_t)t.e.p + 15) & ~15ul);
	t.code->size = (u32)(j->at - start);
	j->translated++;
	j->bytes += (u64)(j->at - start);
	j->guest_bytes += b->len;
	return t.code;
}
