/* SPDX-License-Identifier: MIT */
/* stubs.c - the routines that all translated code shares: in, out, and to exec functions. */
#include "engine/jit/jit.h"

static const u8 callee_saved[] = {H_RBX, H_RBP, H_R12, 13, 14, H_R15};

/* Where each guest register is while code runs; R9 to R11 stay in memory. */
static const struct {
	u8 guest, host;
} homes[] = {
	{RAX, H_RAX}, {RCX, H_RCX}, {RDX, H_RDX}, {RBX, H_RBX}, {RSP, H_GUEST_RSP},
	{RBP, H_RBP}, {RSI, H_RSI}, {RDI, H_RDI}, {R8, H_R8},	{R12, H_R12},
	{R13, 13},    {R14, 14},    {R15, H_R15},
};

static void load_guest(struct emit *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(homes); i++)
		emit_load_slot(e, homes[i].host, GPR_SLOT(homes[i].guest));
}

/* Everything that C may change, to memory. */
static void store_guest(struct emit *e)
{
	u8 *dead;

	jit_emit_test_vec(e, VEC_XMM);
	dead = emit_jcc(e, 4);
	jit_emit_save_vec(e);
	patch_here(dead, e->p);
	for (unsigned i = 0; i < ARRAY_SIZE(homes); i++)
		emit_store_slot(e, homes[i].host, GPR_SLOT(homes[i].guest));
}

static void emit_push(struct emit *e, unsigned reg)
{
	if (reg >= 8)
		emit8(e, 0x41);
	emit8(e, (u8)(0x50 | (reg & 7)));
}

static void emit_pop(struct emit *e, unsigned reg)
{
	if (reg >= 8)
		emit8(e, 0x41);
	emit8(e, (u8)(0x58 | (reg & 7)));
}

static void emit_rsp_add(struct emit *e, i8 n)
{
	emit_bytes(e, (u8[]){0x48, 0x83, 0xc4, (u8)n}, 4);
}

/* (cpu, code): six pushes and the return address leave RSP 8 off, which add sets right. */
static void make_enter(struct emit *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(callee_saved); i++)
		emit_push(e, callee_saved[i]);
	emit_rsp_add(e, -8);
	emit_mov_rr(e, H_T0, H_RSI);
	load_guest(e);
	emit_bytes(e, (u8[]){0x41, 0xff, 0xe2}, 3); /* jmp r10 */
}

/* Back to C, which returns T0. */
static void make_leave(struct emit *e)
{
	store_guest(e);
	emit_mov_rr(e, H_RAX, H_T0);
	emit_rsp_add(e, 8);
	for (unsigned i = ARRAY_SIZE(callee_saved); i-- > 0;)
		emit_pop(e, callee_saved[i]);
	emit8(e, 0xc3);
}

/* fn: jit_exec() or the like; comes back in RAX. */
static void emit_call_exec(struct emit *e, u64 fn)
{
	store_guest(e);
	emit_load_slot(e, H_RDI, CPU_OFF(self));
	emit_mov_rr(e, H_RSI, H_T0);
	emit_mov_imm(e, H_RAX, fn);
	emit_bytes(e, (u8[]){0xff, 0xd0}, 2); /* call rax */
}

/* Called: RSP is 8 off again. */
static void make_exec(struct emit *e, const u8 *leave)
{
	u8 *gone;

	emit_rsp_add(e, -8);
	emit_call_exec(e, (u64)(uintptr_t)jit_exec);
	emit_bytes(e, (u8[]){0x84, 0xc0}, 2); /* test al, al */
	gone = emit_jcc(e, 5);
	load_guest(e);
	emit_rsp_add(e, 8);
	emit8(e, 0xc3);
	/* The block died: drop the two words, and out. */
	patch_here(gone, e->p);
	emit_rsp_add(e, 16);
	load_guest(e);
	emit_mov_imm(e, H_T0, 0);
	patch_here(emit_jump(e), leave);
}

/* To the code that RAX names, or out. */
static void make_go_on(struct emit *e, const u8 *leave)
{
	emit_mov_rr(e, H_T1, H_RAX);
	load_guest(e);
	emit_bytes(e, (u8[]){0x4d, 0x85, 0xdb}, 3); /* test r11, r11 */
	patch_here(emit_jcc(e, 4), leave);
	emit_load_slot(e, H_T0, CPU_OFF(st.rip));
	emit_bytes(e, (u8[]){0x41, 0xff, 0xe3}, 3); /* jmp r11 */
}

static void make_exec_last(struct emit *e, const u8 *leave)
{
	emit_call_exec(e, (u64)(uintptr_t)jit_exec_last);
	make_go_on(e, leave);
}

static void make_jump(struct emit *e, const u8 *leave)
{
	emit_store_slot(e, H_T0, CPU_OFF(st.rip));
	emit_call_exec(e, (u64)(uintptr_t)jit_find);
	make_go_on(e, leave);
}

/*
 * Called, RSP 8 off, with T0 = offset in the page of what runs next: vector registers into
 * the host's, or out to the interpreter.
 */
static void make_vec_load(struct emit *e, const u8 *leave_rip)
{
	u8 *refused;

	emit_rsp_add(e, -8);
	emit_store_slot(e, H_T0, CPU_OFF(jit_target));
	store_guest(e);
	emit_load_slot(e, H_RDI, CPU_OFF(self));
	emit_mov_imm(e, H_RAX, (u64)(uintptr_t)jit_vec_wanted);
	emit_bytes(e, (u8[]){0xff, 0xd0}, 2); /* call rax */
	emit_bytes(e, (u8[]){0x84, 0xc0}, 2); /* test al, al */
	refused = emit_jcc(e, 4);
	load_guest(e);
	jit_emit_load_vec(e);
	emit_rsp_add(e, 8);
	emit8(e, 0xc3);
	patch_here(refused, e->p);
	load_guest(e);
	emit_rsp_add(e, 16);
	emit_load_slot(e, H_T0, CPU_OFF(jit_target));
	emit_op_slot(e, 0x03, H_T0, GPR_SLOT(GPR_PC));
	patch_here(emit_jump(e), leave_rip);
}

void jit_make_stubs(struct jit *j)
{
	struct emit e = {.p = j->rw, .end = j->rw + j->size / NR_HALVES};
	const u8 *leave_t0;

	j->stubs.enter = (void *)(uintptr_t)jit_rx(j, e.p);
	make_enter(&e);

	leave_t0 = e.p;
	j->stubs.leave_link = e.p;
	make_leave(&e);

	j->stubs.leave_rip = e.p;
	emit_store_slot(&e, H_T0, CPU_OFF(st.rip));
	j->stubs.leave = e.p;
	emit_mov_imm(&e, H_T0, 0);
	patch_here(emit_jump(&e), leave_t0);

	j->stubs.exec = e.p;
	make_exec(&e, leave_t0);

	j->stubs.exec_last = e.p;
	make_exec_last(&e, j->stubs.leave);

	j->stubs.jump = e.p;
	make_jump(&e, j->stubs.leave);

	j->stubs.vec_load = e.p;
	make_vec_load(&e, j->stubs.leave_rip);

	j->stubs_end = j->at = (u8 *)(((uintptr_t)e.p + 63) & ~63ull);
}
