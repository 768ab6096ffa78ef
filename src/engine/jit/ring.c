/* SPDX-License-Identifier: MIT */
/*
 * ring.c - SYSCALL, SYSRET and IRETQ from 64-bit code to 64-bit code.
 *
 * They do what exec_syscall.c, far.c and x86_code_changed() do for the common case.  All that makes
 * it another one (no SYSCALL at all, flags that SFMASK keeps, AC or TF to be set, descriptors that
 * are not those of flat segments) is asked first, and is for the exec functions.
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

/* --- what both ask -----------------------------------------------------------------------------
 */

struct unusual {
	u8 *from[32];
	unsigned n;
};

static void unless(struct emit *e, struct unusual *u, unsigned cc)
{
	u->from[u->n++] = emit_jcc(e, cc ^ 1);
}

static void ask_unwatched(struct emit *e, struct unusual *u)
{
	emit_load_slot(e, H_T1, CPU_OFF(soft));
	soft_byte(e, CMP, offsetof(struct soft_cpu, slow_access), 0);
	unless(e, u, 4);
}

/* SYSCALL is on, and no access is watched. */
static void ask(struct emit *e, struct unusual *u)
{
	emit_test_bits(e, CPU_OFF(st.efer), EFER_SCE);
	unless(e, u, 5);
	ask_unwatched(e, u);
}

static void ask_cpl0(struct emit *e, struct unusual *u)
{
	emit_cmp_byte(e, CPU_OFF(cpl), 0);
	unless(e, u, 4);
}

/* Is T0 canonical?  T1 is lost. */
static void ask_canonical(struct emit *e, struct unusual *u)
{
	stub_compare_canonical(e);
	unless(e, u, 4);
}

/* T0: flags that are to be loaded.  Do those stay as they are that have consequences? */
static void ask_flags(struct emit *e, struct unusual *u, u32 bits)
{
	emit_bytes(e, (u8[]){0x41, 0xf7, 0xc2}, 3); /* test r10d, */
	emit32(e, bits);
	unless(e, u, 4);
}

/* --- what both change --------------------------------------------------------------------------
 */

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

/* As x86_note_flat() finds it. */
static void flat_stack(struct emit *e)
{
	emit_clear_bits(e, CPU_OFF(seg_flat), 1 << SEG_CS);
	emit_clear_bits(e, CPU_OFF(seg_wide), 1 << SEG_CS);
	emit_set_bits(e, CPU_OFF(seg_flat), 1 << SEG_SS);
	emit_set_bits(e, CPU_OFF(seg_wide), 1 << SEG_SS);
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
	flat_stack(e);
}

/* RFLAGS = T0, of which all is allowed.  RAX is lost. */
static void load_flags(struct emit *e)
{
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
}

/* The view of ring 0 without AC. */
static void kernel_view(struct emit *e)
{
	emit_load_slot(e, H_T0, CPU_OFF(view_ac));
	emit_store_slot(e, H_T0, CPU_OFF(view));
	emit_copy_byte(e, H_T0, CPU_OFF(pages_fill), CPU_OFF(pages_fill_ac));
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
	if (!user) {
		kernel_view(e);
		return;
	}
	emit_load_slot(e, H_T0, CPU_OFF(view_ac) + 8);
	emit_lea(e, H_T0, H_T0, -1, 0, -views);
	emit_store_slot(e, H_T0, CPU_OFF(view));
	emit_set_byte(e, CPU_OFF(pages_fill), 1);
}

/* To T0, unless an interrupt comes in between, since they may be on now. */
static void go_polling(struct emit *e, const struct jit_stubs *s)
{
	stub_compare_pending(e);
	emit_jcc_to(e, 5, s->leave_rip);
	stub_go_to(e, s);
}

/* --- the routines ------------------------------------------------------------------------------
 */

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
	ask_cpl0(e, &u);
	emit_mov_rr(e, H_T0, H_RCX);
	ask_canonical(e, &u);
	emit_load_slot(e, H_T0, GPR_SLOT(R11));
	ask_flags(e, &u, FL_TF | FL_AC);

	emit_store_slot(e, H_RAX, CPU_OFF(jit_pin));
	t0_imm(e, AND, SYSRET_FLAGS);
	load_flags(e);
	emit_load_slot(e, H_T0, CPU_OFF(st.star));
	emit_bytes(e, (u8[]){0x49, 0xc1, 0xea, 48}, 4); /* shr r10, 48 */
	load_segments(e, 3, 16, 8);
	emit_load_slot(e, H_RAX, CPU_OFF(jit_pin));
	change_ring(e, true);
	emit_mov_rr(e, H_T0, H_RCX);
	go_polling(e, s);
	end_unusual(e, s, &u);
	return at;
}

/* --- IRETQ: RDX is the frame -------------------------------------------------------------------
 */

enum { FRAME_RIP = 0, FRAME_CS = 8, FRAME_FLAGS = 16, FRAME_RSP = 24, FRAME_SS = 32, FRAME = 40 };

/* op r10, [rdx + off]: its 64 bits, or 16 of them. */
static void frame_word(struct emit *e, bool wide, u8 off)
{
	if (wide)
		emit_bytes(e, (u8[]){0x4c, 0x8b, 0x52, off}, 4);
	else
		emit_bytes(e, (u8[]){0x44, 0x0f, 0xb7, 0x52, off}, 5); /* movzx r10d, word */
}

/* T0 = host address of the size bytes at linear address T0. */
static void ask_memory(struct emit *e, struct unusual *u, unsigned size)
{
	stub_tlb_entry(e, false);
	stub_cmp_t0(e, PAGE_SIZE_4K - size);
	unless(e, u, 6);
	stub_t0_entry(e, 0x03, offsetof(struct tlb_ent, host));
}

/* T0: a selector.  Is it one of the GDT for the ring, and want what stands there?  RAX is lost. */
static void ask_descriptor(struct emit *e, struct unusual *u, unsigned rpl, u64 want)
{
	emit_bytes(e, (u8[]){0x44, 0x89, 0xd0}, 3);    /* mov eax, r10d */
	emit_bytes(e, (u8[]){0x83, 0xe0, 7}, 3);       /* and eax, 7 */
	emit_bytes(e, (u8[]){0x83, 0xf8, (u8)rpl}, 3); /* cmp eax, */
	unless(e, u, 4);
	emit_bytes(e, (u8[]){0x44, 0x89, 0xd0}, 3); /* mov eax, r10d */
	emit_bytes(e, (u8[]){0x83, 0xc8, 7}, 3);    /* or eax, 7: its last byte */
	emit_insn(e, &(struct enc){.o16 = true,
				   .opcode = 0x3b,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(st.gdtr.limit)}});
	unless(e, u, 6);
	emit_lea(e, H_T0, H_RAX, -1, 0, -7);
	emit_op_slot(e, 0x03, H_T0, CPU_OFF(st.gdtr.base));
	ask_memory(e, u, 8);
	emit_mov_imm(e, H_RAX, want);
	emit_bytes(e, (u8[]){0x49, 0x3b, 0x02}, 3); /* cmp rax, [r10] */
	unless(e, u, 4);
}

/* A flat segment's descriptor, as it is after it was loaded once. */
static u64 flat_descriptor(u16 attr)
{
	return 0xfull << 48 | 0xffff | (u64)(attr & 0xff) << 40 | (u64)(attr >> 12) << 52;
}

/* Data segments that an outer ring may have are left as they are: null, with nothing in them. */
static void ask_null_segments(struct emit *e, struct unusual *u)
{
	static const enum seg_reg regs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
		emit_insn(e, &(struct enc){.w = true,
					   .opcode = 0x83,
					   .reg = CMP,
					   .rm = {.kind = RM_SLOT,
						  .disp = CPU_OFF(st.seg) +
							  (i32)(regs[i] * sizeof(struct seg) +
								offsetof(struct seg, limit))},
					   .imm_size = 1});
		unless(e, u, 4);
	}
}

/* All has been asked but for the segments. */
static void return_to_ring(struct emit *e, const struct jit_stubs *s, struct unusual *u,
			   unsigned ring)
{
	enum { KEPT = FL_ARITH | FL_IF | FL_DF | FL_IOPL | FL_ID | FL_VIF | FL_VIP };
	u16 attr = (u16)(SEG_FLAT | ring << SEG_DPL_SHIFT);
	u16 cs = attr | SEG_CODE | SEG_L, ss = attr | SEG_DB;

	frame_word(e, false, FRAME_CS);
	ask_descriptor(e, u, ring, flat_descriptor(cs));
	frame_word(e, false, FRAME_SS);
	ask_descriptor(e, u, ring, flat_descriptor(ss));
	if (ring)
		ask_null_segments(e, u);

	emit_set_byte(e, CPU_OFF(st.nmi_masked), 0);
	frame_word(e, true, FRAME_FLAGS);
	t0_imm(e, AND, KEPT);
	load_flags(e);
	frame_word(e, false, FRAME_CS);
	load_segment(e, SEG_CS, cs);
	frame_word(e, false, FRAME_SS);
	load_segment(e, SEG_SS, ss);
	flat_stack(e);
	frame_word(e, true, FRAME_RIP);
	emit_store_slot(e, H_T0, CPU_OFF(jit_target));
	frame_word(e, true, FRAME_RSP);
	emit_mov_rr(e, H_GUEST_RSP, H_T0);
	emit_load_slot(e, H_RAX, CPU_OFF(jit_pin));
	emit_load_slot(e, H_RDX, CPU_OFF(jit_rax));
	if (ring)
		change_ring(e, true);
	else
		kernel_view(e);
	emit_load_slot(e, H_T0, CPU_OFF(jit_target));
	go_polling(e, s);
}

/*
 * A frame's RF means nothing, since code runs only where there are no breakpoints; what it says of
 * VM, 64-bit code cannot load.
 */
static u8 *make_iret(struct emit *e, const struct jit_stubs *s)
{
	struct unusual u = {.n = 0};
	u8 *at = e->p, *outer;

	emit_store_slot(e, H_T1, CPU_OFF(jit_op));
	emit_store_slot(e, H_RAX, CPU_OFF(jit_pin));
	emit_store_slot(e, H_RDX, CPU_OFF(jit_rax));
	ask_unwatched(e, &u);
	ask_cpl0(e, &u);
	emit_test_bits(e, CPU_OFF(st.rflags) + 1, FL_NT >> 8);
	unless(e, &u, 4);
	emit_mov_rr(e, H_T0, H_GUEST_RSP);
	ask_memory(e, &u, FRAME);
	emit_mov_rr(e, H_RDX, H_T0);
	frame_word(e, true, FRAME_FLAGS);
	ask_flags(e, &u, FL_TF | FL_AC | FL_NT);
	frame_word(e, true, FRAME_RIP);
	ask_canonical(e, &u);
	emit_bytes(e, (u8[]){0xf6, 0x42, FRAME_CS, 3}, 4); /* test byte [rdx + 8], 3 */
	outer = emit_jcc(e, 5);
	return_to_ring(e, s, &u, 0);
	patch_here(outer, e->p);
	return_to_ring(e, s, &u, 3);
	for (unsigned i = 0; i < u.n; i++)
		patch_here(u.from[i], e->p);
	u.n = 0;
	emit_load_slot(e, H_RAX, CPU_OFF(jit_pin));
	emit_load_slot(e, H_RDX, CPU_OFF(jit_rax));
	end_unusual(e, s, &u);
	return at;
}

void jit_make_ring_stubs(struct emit *e, struct jit_stubs *s)
{
	s->syscall = make_syscall(e, s);
	s->sysret = make_sysret(e, s);
	s->iret = make_iret(e, s);
}
