/* SPDX-License-Identifier: MIT */
/*
 * ring.c - SYSCALL and SYSRET from 64-bit code to 64-bit code.
 *
 * They do what exec_syscall.c and x86_code_changed() do for the common case.  All that makes it
 * another one (no SYSCALL at all, flags that SFMASK keeps, AC or TF to be set) is asked first, and is
 * for the exec functions.
 */
#include "engine/jit/stubs.h"
#include "isa/x86/system.h"

enum { AND = 4, CMP = 7, OR = 1 };

/* op r10, imm32 of 64 bits. */
static void t0_imm(struct emit *e, u8 digit, u32 imm)
{
	emit_insn(e, &(struct enc){.w = true,
				   .opcode = 0x81,
				   .reg = digit,
				   .rm = {.kind = RM_REG, .reg = H_T0},
				   .imm_size = 4,
				   .imm = imm});
}

/* mov qword gs:[disp], 0 */
static void clear_slot(struct emit *e, i32 disp)
{
	emit_insn(e, &(struct enc){.w = true,
				   .opcode = 0xc7,
				   .rm = {.kind = RM_SLOT, .disp = disp},
				   .imm_size = 4});
}

/* op byte [r11 + off], imm8: T1 is the struct soft_cpu. */
static void soft_byte(struct emit *e, u8 digit, size_t off, u8 imm)
{
	emit_insn(e, &(struct enc){.opcode = 0x80,
				   .reg = digit,
				   .rm = {.kind = RM_MEM, .reg = H_T1, .disp = (i32)off},
				   .imm_size = 1,
				   .imm = imm});
}

/* --- what both ask ----------------------------------------------------------------------------- */

struct unusual {
	u8 *from[8];
	unsigned n;
};

static void unless(struct emit *e, struct unusual *u, unsigned cc)
{
	u->from[u->n++] = emit_jcc(e, cc ^ 1);
}

/* SYSCALL is on, and no access is watched. */
static void ask(struct emit *e, struct unusual *u)
{
	emit_test_bits(e, CPU_OFF(st.efer), EFER_SCE);
	unless(e, u, 5);
	emit_load_slot(e, H_T1, CPU_OFF(soft));
	soft_byte(e, CMP, offsetof(struct soft_cpu, slow_access), 0);
	unless(e, u, 4);
}

/* --- what both change -------------------------------------------------------------------------- */

/* RAX is lost.  T0: the selector, cut to 16 bits. */
static void load_segment(struct emit *e, enum seg_reg reg, u16 attr)
{
	i32 slot = CPU_OFF(st.seg) + (i32)(reg * sizeof(struct seg));
	u64 rest = 0xffffffffull | (u64)attr << 48; /* beside the selector: limit, attributes */

	emit_bytes(e, (u8[]){0x45, 0x0f, 0xb7, 0xd2}, 4); /* movzx r10d, r10w */
	clear_slot(e, slot + (i32)offsetof(struct seg, base));
	emit_mov_rr(e, H_RAX, H_T0);
	emit_bytes(e, (u8[]){0x48, 0xc1, 0xe0, 32}, 4); /* shl rax, 32 */
	emit_mov_imm(e, H_T1, rest);
	emit_bytes(e, (u8[]){0x4c, 0x09, 0xd8}, 3); /* or rax, r11 */
	emit_store_slot(e, H_RAX, slot + (i32)offsetof(struct seg, limit));
}

/* T0: the base of the selectors; RAX is lost. */
static void load_segments(struct emit *e, unsigned dpl, unsigned cs, unsigned ss)
{
	u16 attr = (u16)(SEG_FLAT | dpl << SEG_DPL_SHIFT);

	emit_store_slot(e, H_T0, CPU_OFF(jit_lin));
	emit_lea(e, H_T0, H_T0, -1, 0, (i32)cs);
	t0_imm(e, OR, dpl);
	load_segment(e, SEG_CS, attr | SEG_CODE | SEG_L);
	emit_load_slot(e, H_T0, CPU_OFF(jit_lin));
	emit_lea(e, H_T0, H_T0, -1, 0, (i32)ss);
	t0_imm(e, OR, dpl);
	load_segment(e, SEG_SS, attr | SEG_DB);
	emit_clear_bits(e, CPU_OFF(seg_flat), 1 << SEG_CS);
	emit_set_bits(e, CPU_OFF(seg_flat), 1 << SEG_SS);
}

/* As soft_view_changed() does it, without AC. */
static void change_ring(struct emit *e, bool user)
{
	i32 views = (i32)((VIEW_KERNEL_AC - VIEW_USER) * sizeof(struct tlb_view));

	emit_set_byte(e, CPU_OFF(cpl), user ? 3 : 0);
	emit_load_slot(e, H_T1, CPU_OFF(soft));
	soft_byte(e, user ? OR : AND, offsetof(struct soft_cpu, key),
		  user ? KEY_USER : (u8)~KEY_USER);
	emit_load_slot(e, H_T0, CPU_OFF(jump_cache));
	emit_lea(e, H_T0, H_T0, -1, 0,
		 user ? (i32)sizeof(struct jumps) : -(i32)sizeof(struct jumps));
	emit_store_slot(e, H_T0, CPU_OFF(jump_cache));
	emit_load_slot(e, H_T0, CPU_OFF(view_ac) + 8 * user);
	if (user)
		emit_lea(e, H_T0, H_T0, -1, 0, -views);
	emit_store_slot(e, H_T0, CPU_OFF(view));
	if (user)
		emit_set_byte(e, CPU_OFF(pages_fill), 1);
	else
		emit_copy_byte(e, H_T0, CPU_OFF(pages_fill), CPU_OFF(pages_fill_ac));
}

/* --- the routines ------------------------------------------------------------------------------ */

static void end_unusual(struct emit *e, const struct jit_stubs *s, const struct unusual *u)
{
	for (unsigned i = 0; i < u->n; i++)
		patch_here(u->from[i], e->p);
	stub_by_kept_op(e, s);
}

static u8 *make_syscall(struct emit *e, const struct jit_stubs *s)
{
	enum { CLEARED = FL_ARITH | FL_IF | FL_TF | FL_AC };
	struct unusual u = {.n = 0};
	u8 *at = e->p;

	emit_store_slot(e, H_T1, CPU_OFF(jit_op));
	stub_next_of_op(e);
	emit_store_slot(e, H_T0, CPU_OFF(jit_target));
	ask(e, &u);
	emit_load_slot(e, H_T0, CPU_OFF(st.sfmask));
	t0_imm(e, AND, CLEARED);
	t0_imm(e, CMP, CLEARED);
	unless(e, &u, 4);

	emit_store_slot(e, H_RAX, CPU_OFF(jit_pin));
	stub_rflags(e, H_T0);
	emit_store_slot(e, H_T0, GPR_SLOT(R11));
	emit_load_slot(e, H_T0, CPU_OFF(st.rflags));
	emit_load_slot(e, H_T1, CPU_OFF(st.sfmask));
	emit_bytes(e, (u8[]){0x49, 0xf7, 0xd3}, 3); /* not r11 */
	emit_bytes(e, (u8[]){0x4d, 0x21, 0xda}, 3); /* and r10, r11 */
	t0_imm(e, AND, (u32)~FL_RF);
	t0_imm(e, OR, FL_FIXED);
	emit_store_slot(e, H_T0, CPU_OFF(st.rflags));
	emit_insn(e, &(struct enc){.o16 = true,
				   .opcode = 0xc7,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags)},
				   .imm_size = 2});
	emit_load_slot(e, H_RCX, CPU_OFF(jit_target));
	emit_load_slot(e, H_T0, CPU_OFF(st.star));
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xea, 32}, 4); /* shr r10, 32 */
	t0_imm(e, AND, 0xfffc);
	load_segments(e, 0, 0, 8);
	emit_load_slot(e, H_RAX, CPU_OFF(jit_pin));
	change_ring(e, false);
	emit_load_slot(e, H_T0, CPU_OFF(st.lstar));
	stub_go_to(e, s);
	end_unusual(e, s, &u);
	return at;
}

static u8 *make_sysret(struct emit *e, const struct jit_stubs *s)
{
	struct unusual u = {.n = 0};
	u8 *at = e->p;

	emit_store_slot(e, H_T1, CPU_OFF(jit_op));
	ask(e, &u);
	emit_cmp_byte(e, CPU_OFF(cpl), 0);
	unless(e, &u, 4);
	emit_mov_rr(e, H_T0, H_RCX);
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xe2, 16}, 4); /* shl r10, 16 */
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xfa, 16}, 4); /* sar r10, 16 */
	emit_bytes(e, (u8[]){0x49, 0x39, 0xca}, 3);	/* cmp r10, rcx: canonical */
	unless(e, &u, 4);
	emit_load_slot(e, H_T0, GPR_SLOT(R11));
	emit_bytes(e, (u8[]){0x41, 0xf7, 0xc2}, 3); /* test r10d, */
	emit32(e, FL_TF | FL_AC);
	unless(e, &u, 4);

	emit_store_slot(e, H_RAX, CPU_OFF(jit_pin));
	t0_imm(e, AND, SYSRET_FLAGS);
	t0_imm(e, OR, FL_FIXED);
	emit_store_slot(e, H_T0, CPU_OFF(st.rflags));
	emit_bytes(e, (u8[]){0x44, 0x89, 0xd0}, 3);	      /* mov eax, r10d */
	emit_bytes(e, (u8[]){0xc1, 0xe0, 8}, 3);	      /* shl eax, 8 */
	emit_bytes(e, (u8[]){0x41, 0x0f, 0xba, 0xe2, 11}, 5); /* bt r10d, 11: OF */
	emit_bytes(e, (u8[]){0x0f, 0x92, 0xc0}, 3);	      /* setc al */
	emit_insn(e, &(struct enc){.o16 = true,
				   .opcode = 0x89,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags)}});
	emit_load_slot(e, H_T0, CPU_OFF(st.star));
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xea, 48}, 4); /* shr r10, 48 */
	load_segments(e, 3, 16, 8);
	emit_load_slot(e, H_RAX, CPU_OFF(jit_pin));
	change_ring(e, true);
	emit_mov_rr(e, H_T0, H_RCX);
	/* Interrupts may be on now. */
	stub_compare_pending(e);
	emit_jcc_to(e, 5, s->leave_rip);
	stub_go_to(e, s);
	end_unusual(e, s, &u);
	return at;
}

void jit_make_ring_stubs(struct emit *e, struct jit_stubs *s)
{
	s->syscall = make_syscall(e, s);
	s->sysret = make_sysret(e, s);
}
