/* SPDX-License-Identifier: MIT */
/*
 * stubs.c - the routines that all translated code shares: in and out, to C and back.
 *
 * In translated code host RSP is a multiple of 16, so in what it calls it is 8 off.
 */
#include "engine/jit/stubs.h"

static const u8 callee_saved[] = {H_RBX, H_RBP, H_R12, 13, 14, H_R15};

/* Where each guest register is while code runs; R9 to R11 stay in memory. */
static const struct {
	u8 guest, host;
} homes[] = {
	{RAX, H_RAX}, {RCX, H_RCX}, {RDX, H_RDX}, {RBX, H_RBX}, {RSP, H_GUEST_RSP},
	{RBP, H_RBP}, {RSI, H_RSI}, {RDI, H_RDI}, {R8, H_R8},	{R12, H_R12},
	{R13, 13},    {R14, 14},    {R15, H_R15},
};

void stub_load_guest(struct emit *e)
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
	stub_load_guest(e);
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

/* fn(cpu, T0), with RSP as it is; what it says comes back in RAX. */
static void call_c(struct emit *e, const void *fn)
{
	store_guest(e);
	emit_load_slot(e, H_RDI, CPU_OFF(self));
	emit_mov_rr(e, H_RSI, H_T0);
	emit_mov_imm(e, H_RAX, (u64)(uintptr_t)fn);
	emit_bytes(e, (u8[]){0xff, 0xd0}, 2); /* call rax */
}

/* What of the vector registers is in the host's, over a call of C. */
static void remember_vec(struct emit *e)
{
	emit_mov_rr(e, H_T1, H_RAX);
	emit_insn(e, &(struct enc){.opcode = 0x8a,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(vec_live)}});
	emit_insn(e, &(struct enc){.opcode = 0x88,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(vec_again)}});
	emit_mov_rr(e, H_RAX, H_T1);
}

/* Back to the host's as it was.  RAX goes to T1. */
static void restore_vec(struct emit *e)
{
	u8 *no;

	emit_store_slot(e, H_RAX, CPU_OFF(jit_said));
	emit_cmp_byte(e, CPU_OFF(vec_again), 0);
	no = emit_jcc(e, 4);
	emit_copy_byte(e, H_RAX, CPU_OFF(vec_want), CPU_OFF(vec_again));
	jit_emit_load_vec(e);
	patch_here(no, e->p);
	emit_load_slot(e, H_T1, CPU_OFF(jit_said));
}

void stub_compare_pending(struct emit *e)
{
	emit_insn(e, &(struct enc){.opcode = 0x83,
				   .reg = 7,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(v.pending)},
				   .imm_size = 1});
}

void stub_compare_canonical(struct emit *e)
{
	emit_mov_rr(e, H_T1, H_T0);
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xe3, 16}, 4); /* shl r11, 16 */
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xfb, 16}, 4); /* sar r11, 16 */
	emit_bytes(e, (u8[]){0x4d, 0x39, 0xd3}, 3);	/* cmp r11, r10 */
}

/* From a routine that was called, at the jump: drop two words, and out. */
static void drop_and_leave(struct emit *e, u8 *jump, const u8 *leave)
{
	patch_here(jump, e->p);
	emit_rsp_add(e, 16);
	stub_load_guest(e);
	emit_jump_to(e, leave);
}

/* Called. */
static void make_exec(struct emit *e, const u8 *leave)
{
	u8 *gone;

	emit_rsp_add(e, -8);
	call_c(e, (const void *)jit_exec);
	emit_bytes(e, (u8[]){0x84, 0xc0}, 2); /* test al, al */
	gone = emit_jcc(e, 5);
	stub_load_guest(e);
	emit_rsp_add(e, 8);
	emit8(e, 0xc3);
	drop_and_leave(e, gone, leave); /* code died */
}

/* Called: back to the code, which asks once more, or out. */
static void make_straddle(struct emit *e, const u8 *leave)
{
	u8 *gone;

	emit_store_slot(e, H_T0, CPU_OFF(jit_op));
	remember_vec(e);
	emit_load_slot(e, H_T0, CPU_OFF(jit_op));
	emit_rsp_add(e, -8);
	call_c(e, (const void *)jit_straddle);
	emit_bytes(e, (u8[]){0x84, 0xc0}, 2); /* test al, al */
	gone = emit_jcc(e, 4);
	restore_vec(e);
	stub_load_guest(e);
	emit_rsp_add(e, 8);
	emit8(e, 0xc3);
	drop_and_leave(e, gone, leave);
}

/* To the code that RAX names, or out. */
static void make_go_on(struct emit *e, const struct jit_stubs *s)
{
	emit_mov_rr(e, H_T1, H_RAX);
	stub_load_guest(e);
	emit_bytes(e, (u8[]){0x4d, 0x85, 0xdb}, 3); /* test r11, r11 */
	emit_jcc_to(e, 4, s->leave);
	emit_load_slot(e, H_T0, CPU_OFF(st.rip));
	emit_bytes(e, (u8[]){0x41, 0xff, 0xe3}, 3); /* jmp r11 */
}

static void make_call_c(struct emit *e, const void *fn, const struct jit_stubs *s)
{
	call_c(e, fn);
	make_go_on(e, s);
}

/* mov r10, rax; lahf; seto al; mov gs:[jit_flags], ax; mov rax, r10 */
static void make_save_flags(struct emit *e)
{
	stub_save_flags(e, H_T0);
	emit8(e, 0xc3);
}

static void make_load_flags(struct emit *e)
{
	stub_load_flags(e, H_T0);
	emit8(e, 0xc3);
}

void stub_save_flags(struct emit *e, unsigned scratch)
{
	emit_mov_rr(e, scratch, H_RAX);
	emit_bytes(e, (u8[]){0x9f, 0x0f, 0x90, 0xc0}, 4); /* lahf; seto al */
	emit_insn(e, &(struct enc){.o16 = true,
				   .opcode = 0x89,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags)}});
	emit_mov_rr(e, H_RAX, scratch);
}

/* movzx eax, word gs:[jit_flags] */
static void load_packed_flags(struct emit *e)
{
	emit_insn(e, &(struct enc){.map = 1,
				   .opcode = 0xb7,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags)}});
}

void stub_load_flags(struct emit *e, unsigned scratch)
{
	emit_mov_rr(e, scratch, H_RAX);
	load_packed_flags(e);
	emit_bytes(e, (u8[]){0x04, 0x7f, 0x9e}, 3); /* add al, 0x7f; sahf */
	emit_mov_rr(e, H_RAX, scratch);
}

/* --- vector registers ------------------------------------------------------------------------ */

/* Called: they are in the host's then, or the interpreter goes on. */
static u8 *make_vec_ready(struct emit *e, const struct jit_stubs *s, unsigned level)
{
	u8 *at = e->p, *ready, *refused;

	jit_emit_test_vec(e, (u8)(1 << level));
	ready = emit_jcc(e, 5);
	jit_emit_want_vec(e, (u8)((2 << level) - 1));
	emit_bytes(e, (u8[]){0x4c, 0x8b, 0x14, 0x24}, 4); /* mov r10, [rsp] */
	emit_rsp_add(e, -8);
	call_c(e, (const void *)jit_vec);
	emit_bytes(e, (u8[]){0x84, 0xc0}, 2); /* test al, al */
	refused = emit_jcc(e, 4);
	stub_load_guest(e);
	jit_emit_load_vec(e);
	emit_rsp_add(e, 8);
	patch_here(ready, e->p);
	emit8(e, 0xc3);
	drop_and_leave(e, refused, s->leave);
	return at;
}

/* --- checks ------------------------------------------------------------------------------------
 */

/*
 * Jumped to, with a return address on the stack: do the instruction in C, and go on behind it, or
 * out.
 */
static u8 *make_slow(struct emit *e, const struct jit_stubs *s)
{
	u8 *at = e->p;

	remember_vec(e);
	emit_bytes(e, (u8[]){0x4c, 0x8b, 0x14, 0x24}, 4); /* mov r10, [rsp] */
	emit_rsp_add(e, -8);
	call_c(e, (const void *)jit_slow);
	emit_rsp_add(e, 16);
	restore_vec(e);
	stub_load_guest(e);
	emit_bytes(e, (u8[]){0x4d, 0x85, 0xdb}, 3); /* test r11, r11 */
	emit_jcc_to(e, 4, s->leave);
	stub_load_flags(e, H_T0);
	emit_load_slot(e, H_T0, CPU_OFF(st.rip));   /* it may have been a jump */
	emit_bytes(e, (u8[]){0x41, 0xff, 0xe3}, 3); /* jmp r11 */
	return at;
}

static bool fill_read(struct x86_cpu *cpu, u64 lin)
{
	return soft_fill(cpu, lin, MEM_READ);
}

static bool fill_write(struct x86_cpu *cpu, u64 lin)
{
	return soft_fill(cpu, lin, MEM_WRITE);
}

/* Called by what is called: T0 is kept; ZF: there is no entry. */
static u8 *make_fill(struct emit *e, bool write)
{
	u8 *at = e->p;

	remember_vec(e);
	emit_store_slot(e, H_T0, CPU_OFF(jit_lin));
	call_c(e, write ? (const void *)fill_write : (const void *)fill_read);
	restore_vec(e);
	stub_load_guest(e);
	emit_load_slot(e, H_T0, CPU_OFF(jit_lin));
	emit_bytes(e, (u8[]){0x45, 0x84, 0xdb}, 3); /* test r11b, r11b */
	emit8(e, 0xc3);
	return at;
}

/* T0: linear address.  T1: the entry for it; T0 ^= tag. */
void stub_tlb_entry(struct emit *e, bool write)
{
	emit_bytes(e, (u8[]){0x45, 0x89, 0xd3}, 3);    /* mov r11d, r10d */
	emit_bytes(e, (u8[]){0x41, 0xc1, 0xeb, 8}, 4); /* shr r11d, 8 */
	emit_bytes(e, (u8[]){0x41, 0x81, 0xe3}, 3);    /* and r11d, */
	emit32(e, (TLB_ENTRIES - 1) << 4);
	emit_op_slot(e, 0x03, H_T1, CPU_OFF(view));			   /* add r11, gs:[view] */
	stub_t0_entry(e, 0x33, write ? offsetof(struct tlb_view, wr) : 0); /* xor */
}

/* op r10, [r11 + disp] */
void stub_t0_entry(struct emit *e, u8 opcode, u32 disp)
{
	emit_bytes(e, (u8[]){0x4d, opcode, 0x93}, 3);
	emit32(e, disp);
}

void stub_pin_entry(struct emit *e, bool write)
{
	u32 tag = write ? offsetof(struct tlb_view, wr) : 0;

	stub_t0_entry(e, 0x8b, tag + offsetof(struct tlb_ent, host)); /* mov r10, */
	stub_t0_entry(e, 0x2b, tag);				      /* sub r10, */
	emit_mov_rr(e, H_T1, H_T0);
}

void stub_cmp_t0(struct emit *e, u32 imm)
{
	emit_bytes(e, (u8[]){0x49, 0x81, 0xfa}, 3); /* cmp r10, */
	emit32(e, imm);
}

struct check {
	unsigned log2_size;
	bool write, flags, aligned;
};

static void emit_check(struct emit *e, struct check k, const u8 *fill, const u8 *slow)
{
	u32 tag = k.write ? offsetof(struct tlb_view, wr) : 0, size = 1u << k.log2_size;
	u8 *odd = NULL, *again, *miss;

	if (k.flags) {
		emit_store_slot(e, H_RAX, CPU_OFF(jit_rax));
		emit_bytes(e, (u8[]){0x9f, 0x0f, 0x90, 0xc0}, 4); /* lahf; seto al */
		emit_insn(e, &(struct enc){.o16 = true,
					   .opcode = 0x89,
					   .reg = H_RAX,
					   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags)}});
	}
	if (k.aligned) {
		emit_bytes(e, (u8[]){0x41, 0xf6, 0xc2, (u8)(size - 1)}, 4); /* test r10b, */
		odd = emit_jcc(e, 5);
	}
	again = e->p;
	stub_tlb_entry(e, k.write);
	stub_cmp_t0(e, PAGE_SIZE_4K - size);
	miss = emit_jcc(e, 7);
	stub_t0_entry(e, 0x03, tag + offsetof(struct tlb_ent, host)); /* add */
	if (k.flags) {
		emit_bytes(e, (u8[]){0x04, 0x7f, 0x9e}, 3); /* add al, 0x7f; sahf */
		emit_load_slot(e, H_RAX, CPU_OFF(jit_rax));
	}
	emit8(e, 0xc3);

	patch_here(miss, e->p);
	stub_t0_entry(e, 0x33, tag);
	if (k.flags)
		emit_load_slot(e, H_RAX, CPU_OFF(jit_rax));
	/* An access across the page is for C, whether or not there are entries. */
	emit_mov_rr(e, H_T1, H_T0);
	emit_bytes(e, (u8[]){0x41, 0x81, 0xe3, 0xff, 0x0f, 0, 0}, 7); /* and r11d, 0xfff */
	emit_bytes(e, (u8[]){0x41, 0x81, 0xfb}, 3);		      /* cmp r11d, */
	emit32(e, PAGE_SIZE_4K - size);
	emit_jcc_to(e, 7, slow);
	emit_call_to(e, fill);
	emit_jcc_to(e, 4, slow);
	if (k.flags)
		load_packed_flags(e);
	emit_jump_to(e, again);
	if (odd) {
		patch_here(odd, e->p);
		if (k.flags)
			emit_load_slot(e, H_RAX, CPU_OFF(jit_rax));
		emit_jump_to(e, slow);
	}
}

static void make_checks(struct emit *e, struct jit_stubs *s, const u8 *const fill[2],
			const u8 *slow)
{
	for (unsigned i = 0; i < NR_SIZES * 8; i++) {
		struct check k = {i / 8, i & 1, i & 2, i & 4};

		s->check[k.log2_size][k.write][k.flags][k.aligned] = e->p;
		emit_check(e, k, fill[k.write], slow);
	}
}

static i32 page_slot(bool user, unsigned slot, bool write)
{
	return (i32)(offsetof(struct x86_cpu, pages) +
		     ((user * PAGE_SLOTS + slot) * 2u + write) * sizeof(struct page_cache));
}

/* T1: the TLB's entry.  Copy it to the page cache, where that is allowed. */
static void fill_page(struct emit *e, i32 slot, u32 tag)
{
	struct {
		u8 opcode;
		u32 off;
		size_t to;
	} steps[] = {
		{0x8b, offsetof(struct tlb_ent, tag), offsetof(struct page_cache, tag)},
		{0x8b, offsetof(struct tlb_ent, host), offsetof(struct page_cache, host)},
		{0x2b, offsetof(struct tlb_ent, tag), offsetof(struct page_cache, addend)},
	};
	u8 *no;

	emit_cmp_byte(e, CPU_OFF(pages_fill), 0);
	no = emit_jcc(e, 4);
	emit_store_slot(e, H_RAX, CPU_OFF(jit_rax));
	for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
		emit_bytes(e, (u8[]){0x49, steps[i].opcode, 0x83}, 3); /* op rax, [r11 + ] */
		emit32(e, tag + steps[i].off);
		emit_store_slot(e, H_RAX, slot + (i32)steps[i].to);
	}
	emit_load_slot(e, H_RAX, CPU_OFF(jit_rax));
	emit_set_byte(e, CPU_OFF(pages_used), 1);
	patch_here(no, e->p);
}

/* In what is called: fn(cpu, T0), and all but T0 and T1 is as it was: remember_vec() came first. */
static void call_between(struct emit *e, const void *fn)
{
	emit_rsp_add(e, -8);
	call_c(e, fn);
	emit_rsp_add(e, 8);
	restore_vec(e);
	stub_load_guest(e);
}

/* Called by page_miss, once in a while: T0 is kept. */
static u8 *make_sample(struct emit *e)
{
	u8 *at = e->p;

	remember_vec(e);
	emit_store_slot(e, H_T0, CPU_OFF(jit_lin));
	emit_bytes(e, (u8[]){0x4c, 0x8b, 0x54, 0x24, 8}, 5); /* mov r10, [rsp + 8] */
	call_between(e, (const void *)jit_sample);
	emit_load_slot(e, H_T0, CPU_OFF(jit_lin));
	emit8(e, 0xc3);
	return at;
}

/* Called: see jit_stubs.try_way. */
static u8 *make_try_way(struct emit *e)
{
	u8 *at = e->p;

	emit_store_slot(e, H_T1, CPU_OFF(jit_op));
	remember_vec(e);
	emit_load_slot(e, H_T0, CPU_OFF(jit_op));
	call_between(e, (const void *)jit_try_way);
	emit_load_slot(e, H_T1, CPU_OFF(jit_op));
	emit8(e, 0xc3);
	return at;
}

void stub_count_down(struct emit *e, i32 counter, const u8 *routine)
{
	u8 *no;

	emit_insn(e, &(struct enc){.opcode = 0x83,
				   .reg = 5,
				   .rm = {.kind = RM_SLOT, .disp = counter},
				   .imm_size = 1,
				   .imm = 1});
	no = emit_jcc(e, 9);
	emit_call_to(e, routine);
	patch_here(no, e->p);
}

static void emit_page_miss(struct emit *e, i32 slot, bool write, const u8 *fill, const u8 *sample)
{
	u32 tag = write ? offsetof(struct tlb_view, wr) : 0;
	u8 *again, *miss, *crosses, *none;

	emit_op_slot(e, 0x33, H_T0, slot); /* xor r10, gs:[tag] */
	stub_count_down(e, CPU_OFF(page_misses), sample);
	again = e->p;
	stub_tlb_entry(e, write);
	emit_bytes(e, (u8[]){0x4c, 0x3b, 0x54, 0x24, 8}, 5); /* cmp r10, [rsp + 8] */
	miss = emit_jcc(e, 7);
	fill_page(e, slot, tag);
	stub_t0_entry(e, 0x03, tag + offsetof(struct tlb_ent, host)); /* add */
	emit_store_slot(e, H_T0, CPU_OFF(jit_lin));
	stub_pin_entry(e, write);
	emit_load_slot(e, H_T0, CPU_OFF(jit_lin));
	emit_bytes(e, (u8[]){0xa8, 0}, 2);    /* test al, 0: not above */
	emit_bytes(e, (u8[]){0xc2, 8, 0}, 3); /* ret 8 */

	patch_here(miss, e->p);
	stub_t0_entry(e, 0x33, tag);
	emit_mov_rr(e, H_T1, H_T0);
	emit_bytes(e, (u8[]){0x41, 0x81, 0xe3, 0xff, 0x0f, 0, 0}, 7); /* and r11d, 0xfff */
	emit_bytes(e, (u8[]){0x4c, 0x3b, 0x5c, 0x24, 8}, 5);	      /* cmp r11, [rsp + 8] */
	crosses = emit_jcc(e, 7);
	emit_bytes(e, (u8[]){0x48, 0x8d, 0x64, 0x24, 0xf8}, 5); /* lea rsp, [rsp - 8] */
	emit_call_to(e, fill);
	emit_bytes(e, (u8[]){0x48, 0x8d, 0x64, 0x24, 8}, 5); /* lea rsp, [rsp + 8] */
	emit_jcc_to(e, 5, again);
	none = e->p;
	patch_here(crosses, none);
	emit_bytes(e, (u8[]){0x41, 0xbb, 1, 0, 0, 0}, 6); /* mov r11d, 1 */
	emit_bytes(e, (u8[]){0x41, 0x83, 0xfb, 0}, 4);	  /* cmp r11d, 0: above */
	emit_bytes(e, (u8[]){0xc2, 8, 0}, 3);		  /* ret 8 */
}

static void make_page_misses(struct emit *e, struct jit_stubs *s, const u8 *const fill[2])
{
	const u8 *sample = make_sample(e);

	for (unsigned i = 0; i < 2 * PAGE_SLOTS * 2; i++) {
		bool write = i & 1, user = i / 2 >= PAGE_SLOTS;
		unsigned slot = i / 2 % PAGE_SLOTS;

		s->page_miss[user][slot][write] = e->p;
		emit_page_miss(e, page_slot(user, slot, write), write, fill[write], sample);
	}
}

void jit_make_stubs(struct jit *j)
{
	struct emit e = {.p = j->rw, .end = j->rw + j->size / NR_HALVES};
	struct jit_stubs *s = &j->stubs;
	const u8 *leave_t0, *fill[2];

	s->enter = (void *)(uintptr_t)jit_rx(j, e.p);
	make_enter(&e);

	s->leave_shadow = e.p;
	emit_set_byte(&e, CPU_OFF(st.irq_shadow), 1);
	s->leave_link = e.p;
	emit_pop(&e, H_T0);
	leave_t0 = e.p;
	make_leave(&e);

	s->leave_rip = e.p;
	emit_store_slot(&e, H_T0, CPU_OFF(st.rip));
	s->leave = e.p;
	emit_mov_imm(&e, H_T0, 0);
	emit_jump_to(&e, leave_t0);

	s->exec = e.p;
	make_exec(&e, s->leave);
	s->exec_last = e.p;
	make_call_c(&e, (const void *)jit_exec_last, s);
	s->jump = e.p;
	emit_store_slot(&e, H_T0, CPU_OFF(st.rip));
	make_call_c(&e, (const void *)jit_find, s);
	s->straddle = e.p;
	make_straddle(&e, s->leave);
	s->hot = e.p;
	emit_pop(&e, H_T0);
	make_call_c(&e, (const void *)jit_hot, s);
	for (unsigned level = 0; level < ARRAY_SIZE(s->vec_ready); level++)
		s->vec_ready[level] = make_vec_ready(&e, s, level);
	s->save_flags = e.p;
	make_save_flags(&e);
	s->load_flags = e.p;
	make_load_flags(&e);

	fill[0] = make_fill(&e, false);
	fill[1] = make_fill(&e, true);
	s->slow = make_slow(&e, s);
	make_checks(&e, s, fill, s->slow);
	make_page_misses(&e, s, fill);
	s->try_way = make_try_way(&e);
	jit_make_flow_stubs(&e, s);
	jit_make_string_stubs(&e, s);
	jit_make_ring_stubs(&e, s);
	j->stubs_end = j->at = (u8 *)(((uintptr_t)e.p + 63) & ~63ull);
}
