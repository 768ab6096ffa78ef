/* SPDX-License-Identifier: MIT */
/*
 * system.c - instructions that kernels use all the time: the parts of them that need no C.
 *
 * What is asked first (the ring, a mode) decides for the common case; the exec function does the
 * others, and raises what is due.
 */
#include "engine/jit/translate.h"
#include "isa/x86/exec.h"

/* mov reg32, word gs:[slot], zero-extended */
static void load16(struct tr *t, unsigned reg, i32 slot)
{
	emit_insn(&t->e, &(struct enc){.map = 1,
				       .opcode = 0xb7,
				       .reg = (u8)reg,
				       .rm = {.kind = RM_SLOT, .disp = slot}});
}

static i32 rflags_byte(unsigned n)
{
	return CPU_OFF(st.rflags) + (i32)n;
}

/* The rest of op is for CPL 0. */
static void need_cpl0(struct tr *t, const struct op *op)
{
	tr_spill_live(t, op);
	emit_cmp_byte(&t->e, CPU_OFF(cpl), 0);
	tr_cold_jcc(t, op, 5);
}

/* --- flags -------------------------------------------------------------------------------- */

static bool emit_cli(struct tr *t, const struct op *op)
{
	if (t->user)
		return false;
	need_cpl0(t, op);
	emit_clear_bits(&t->e, rflags_byte(1), FL_IF >> 8);
	return true;
}

static bool emit_cld(struct tr *t, const struct op *op)
{
	tr_spill_live(t, op);
	emit_clear_bits(&t->e, rflags_byte(1), FL_DF >> 8);
	return true;
}

/* Supervisor accesses to user pages: another view, which is kept ready. */
static bool access_control(struct tr *t, const struct op *op, bool on)
{
	if (t->user)
		return false;
	need_cpl0(t, op);
	if (on)
		emit_set_bits(&t->e, rflags_byte(2), FL_AC >> 16);
	else
		emit_clear_bits(&t->e, rflags_byte(2), FL_AC >> 16);
	emit_load_slot(&t->e, H_T0, CPU_OFF(view_ac) + 8 * on);
	emit_store_slot(&t->e, H_T0, CPU_OFF(view));
	emit_copy_byte(&t->e, H_T0, CPU_OFF(pages_fill), CPU_OFF(pages_fill_ac) + on);
	return true;
}

static bool emit_stac(struct tr *t, const struct op *op)
{
	return access_control(t, op, true);
}

static bool emit_clac(struct tr *t, const struct op *op)
{
	return access_control(t, op, false);
}

/* RFLAGS: what is kept whole, and the arithmetic flags as LAHF and SETO left them. */
void stub_rflags(struct emit *e, unsigned reg)
{
	enum { NOT_PUSHED = FL_ARITH | FL_RF | FL_VM };
	u8 *no;

	emit_insn(e, &(struct enc){.map = 1,
				   .opcode = 0xb6,
				   .reg = H_RAX,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(jit_flags) + 1}});
	emit_load_slot(e, reg, CPU_OFF(st.rflags));
	emit_insn(e, &(struct enc){.w = true,
				   .opcode = 0x81,
				   .reg = 4,
				   .rm = {.kind = RM_REG, .reg = (u8)reg},
				   .imm_size = 4,
				   .imm = (u32)~NOT_PUSHED});
	emit_insn(e, &(struct enc){.w = true,
				   .opcode = 0x0b,
				   .reg = (u8)reg,
				   .rm = {.kind = RM_REG, .reg = H_RAX}});
	emit_test_bits(e, CPU_OFF(jit_flags), 1);
	no = emit_jcc(e, 4);
	emit_insn(e, &(struct enc){.w = true,
				   .opcode = 0x81,
				   .reg = 1,
				   .rm = {.kind = RM_REG, .reg = (u8)reg},
				   .imm_size = 4,
				   .imm = FL_OF});
	if (no)
		patch_here(no, e->p);
}

static bool emit_pushf(struct tr *t, const struct op *op)
{
	u8 temp;

	if (op->size != t->word)
		return false;
	tr_spill_flags(t);
	t->home = FLAGS_MEMORY;
	tr_stack(t, op, -t->word, t->word, true);
	t->home = FLAGS_MEMORY;
	temp = tr_use_temp(t);
	emit_store_slot(&t->e, H_RAX, CPU_OFF(jit_rax));
	stub_rflags(&t->e, temp);
	emit_load_slot(&t->e, H_RAX, CPU_OFF(jit_rax));
	emit_insn(&t->e,
		  &(struct enc){.w = t->word == 8, .opcode = 0x89, .reg = temp, .rm = t->mem});
	tr_move_stack(t, -t->word);
	return true;
}

/* --- segments -------------------------------------------------------------------------------- */

static bool emit_swapgs(struct tr *t, const struct op *op)
{
	if (t->user)
		return false;
	need_cpl0(t, op);
	tr_clobber_t1(t);
	emit_load_slot(&t->e, H_T0, CPU_OFF(st.seg[SEG_GS].base));
	emit_load_slot(&t->e, H_T1, CPU_OFF(st.kernel_gs_base));
	emit_store_slot(&t->e, H_T0, CPU_OFF(st.kernel_gs_base));
	emit_store_slot(&t->e, H_T1, CPU_OFF(st.seg[SEG_GS].base));
	emit_store_slot(&t->e, H_T1, CPU_OFF(seg_base[SEG_GS]));
	emit_clear_bits(&t->e, CPU_OFF(seg_flat),
			1 << SEG_GS); /* that it is flat need not be known */
	return true;
}

static bool emit_from_sreg(struct tr *t, const struct op *op)
{
	i32 sel = (i32)(offsetof(struct x86_cpu, st.seg) + op->reg * sizeof(struct seg) +
			offsetof(struct seg, sel));
	int home = tr_home(op->rm >> 3);
	bool whole = op->size >= 4;

	if (op->flags & OP_MEM)
		return false;
	load16(t, home >= 0 && whole ? (unsigned)home : H_T0, sel);
	if (home >= 0 && !whole)
		emit_insn(&t->e, &(struct enc){.o16 = true,
					       .opcode = 0x8b,
					       .reg = (u8)home,
					       .rm = {.kind = RM_REG, .reg = H_T0}});
	else if (home < 0)
		emit_insn(&t->e,
			  &(struct enc){.o16 = !whole,
					.w = whole,
					.opcode = 0x89,
					.reg = H_T0,
					.rm = {.kind = RM_SLOT, .disp = GPR_SLOT(op->rm >> 3)}});
	return true;
}

/* Store T0 as the general register g of op's size. */
static void put_reg(struct tr *t, const struct op *op, unsigned g)
{
	int home = tr_home(g);

	if (op->size == 4)
		emit_move(&t->e, 4, H_T0, H_T0);
	if (home >= 0)
		emit_mov_rr(&t->e, (unsigned)home, H_T0);
	else
		emit_store_slot(&t->e, H_T0, GPR_SLOT(g));
}

static void need_fsgsbase(struct tr *t, const struct op *op)
{
	tr_spill_live(t, op);
	emit_test_bits(&t->e, CPU_OFF(st.cr4) + 2, CR4_FSGSBASE >> 16);
	tr_cold_jcc(t, op, 4);
}

static i32 base_slot(enum seg_reg reg)
{
	return CPU_OFF(st.seg) + (i32)(reg * sizeof(struct seg) + offsetof(struct seg, base));
}

static bool emit_read_base(struct tr *t, const struct op *op)
{
	enum seg_reg reg = tr_insn(op)->fn == exec_rdfsbase ? SEG_FS : SEG_GS;

	need_fsgsbase(t, op);
	emit_load_slot(&t->e, H_T0, base_slot(reg));
	put_reg(t, op, op->rm >> 3);
	return true;
}

static bool emit_write_base(struct tr *t, const struct op *op)
{
	enum seg_reg reg = tr_insn(op)->fn == exec_wrfsbase ? SEG_FS : SEG_GS;
	int home = tr_home(op->rm >> 3);

	need_fsgsbase(t, op);
	tr_clobber_t1(t);
	if (home >= 0)
		emit_mov_rr(&t->e, H_T0, (unsigned)home);
	else
		emit_load_slot(&t->e, H_T0, GPR_SLOT(op->rm >> 3));
	if (op->size == 4) {
		emit_move(&t->e, 4, H_T0, H_T0);
	} else {
		stub_compare_canonical(&t->e);
		tr_cold_jcc(t, op, 5);
	}
	emit_store_slot(&t->e, H_T0, base_slot(reg));
	emit_store_slot(&t->e, H_T0, CPU_OFF(seg_base) + 8 * (i32)reg);
	emit_clear_bits(&t->e, CPU_OFF(seg_flat), (u8)(1 << reg)); /* as in SWAPGS */
	return true;
}

static bool emit_from_cr(struct tr *t, const struct op *op)
{
	static const i32 slots[] = {CPU_OFF(st.cr0), 0, CPU_OFF(st.cr2), CPU_OFF(st.cr3),
				    CPU_OFF(st.cr4)};

	if (t->user || op->size != 8 || op->reg >= ARRAY_SIZE(slots) || !slots[op->reg])
		return false;
	need_cpl0(t, op);
	emit_load_slot(&t->e, H_T0, slots[op->reg]);
	put_reg(t, op, op->rm >> 3);
	return true;
}

/* --- bits and words in memory ----------------------------------------------------------------- */

static u8 bit_digit(const struct op *op)
{
	exec_fn *fn = tr_insn(op)->fn;

	return fn == exec_bt ? 4 : fn == exec_bts ? 5 : fn == exec_btr ? 6 : 7;
}

/* mov reg, the register operand; of 4 bytes with its sign. */
static void bit_offset(struct tr *t, const struct op *op, unsigned reg)
{
	unsigned g = op->reg >> 3;
	struct enc i = {.w = true, .opcode = op->size == 8 ? 0x8b : 0x63, .reg = (u8)reg};

	if (tr_home(g) >= 0)
		i.rm = (struct rm_operand){.kind = RM_REG, .reg = (u8)tr_home(g)};
	else
		i.rm = (struct rm_operand){.kind = RM_SLOT, .disp = GPR_SLOT(g)};
	emit_insn(&t->e, &i);
}

/* BT and its kin on memory by a register: the bit may lie far from the address. */
static bool emit_bit_string(struct tr *t, const struct op *op)
{
	u8 digit = bit_digit(op), log2 = op->size == 8 ? 3 : 2;

	if (!(op->flags & OP_MEM) || op->form != FORM_RM_REG || op->size < 4)
		return false;
	tr_spill_live(t, op);
	tr_clobber_t1(t);
	bit_offset(t, op, H_T1);
	emit_bytes(&t->e, (u8[]){0x41, 0x83, 0xe3, (u8)(8 * op->size - 1)}, 4); /* and r11d, */
	emit_store_slot(&t->e, H_T1, CPU_OFF(jit_target));
	tr_ea(t, op);
	bit_offset(t, op, H_T1);
	emit_bytes(&t->e, (u8[]){0x49, 0xc1, 0xfb, (u8)(log2 + 3)}, 4); /* sar r11, */
	emit_address(&t->e, op->asize, H_T0, H_T0, H_T1, log2, 0);
	tr_memory_from_t0(t, op, op->size, digit != 4);
	emit_load_slot(&t->e, H_T1, CPU_OFF(jit_target));
	emit_insn(&t->e, &(struct enc){.lock = op->flags & OP_LOCK,
				       .w = op->size == 8,
				       .map = 1,
				       .opcode = (u8)(0x83 | digit << 3),
				       .reg = H_T1,
				       .rm = t->mem});
	return true;
}

/* RDX:RAX and RCX:RBX are where they have to be. */
static bool emit_cmpxchg_pair(struct tr *t, const struct op *op)
{
	bool wide = tr_insn(op)->fn == exec_cmpxchg16b;

	if (!(op->flags & OP_MEM))
		return false;
	tr_memory(t, op, wide ? 16 : 8, true, wide ? 16 : 1);
	emit_insn(&t->e, &(struct enc){.lock = op->flags & OP_LOCK,
				       .w = wide,
				       .map = 1,
				       .opcode = 0xc7,
				       .reg = 1,
				       .rm = t->mem});
	return true;
}

/* --- time
 * ------------------------------------------------------------------------------------------ */

static void put_lfence(struct tr *t)
{
	emit_bytes(&t->e, (u8[]){0x0f, 0xae, 0xe8}, 3);
}

/*
 * The host's counter and what the guest's differs by: vCPUs do not run while the clock stands.
 * Never read before loads that come first: RDTSCP waits for them, and what a guest puts before
 * RDTSC to that end may have been run by C, for which an LFENCE is nothing to wait for.
 */
static bool emit_time(struct tr *t, const struct op *op)
{
	if (t->j->lockstep)
		return false;
	tr_spill_live(t, op);
	if (t->user) {
		emit_test_bits(&t->e, CPU_OFF(st.cr4), CR4_TSD);
		tr_cold_jcc(t, op, 5);
	}
	emit_cmp_byte(&t->e, CPU_OFF(tsc_native), 0);
	tr_cold_jcc(t, op, 4);
	put_lfence(t);
	emit_bytes(&t->e, (u8[]){0x0f, 0x31}, 2);	      /* rdtsc */
	emit_bytes(&t->e, (u8[]){0x48, 0xc1, 0xe2, 0x20}, 4); /* shl rdx, 32 */
	emit_bytes(&t->e, (u8[]){0x48, 0x09, 0xd0}, 3);	      /* or rax, rdx */
	emit_op_slot(&t->e, 0x03, H_RAX, CPU_OFF(tsc_delta));
	emit_op_slot(&t->e, 0x03, H_RAX, CPU_OFF(st.tsc_offset));
	emit_bytes(&t->e, (u8[]){0x48, 0x89, 0xc2}, 3);	      /* mov rdx, rax */
	emit_bytes(&t->e, (u8[]){0x48, 0xc1, 0xea, 0x20}, 4); /* shr rdx, 32 */
	emit_bytes(&t->e, (u8[]){0x89, 0xc0}, 2);	      /* mov eax, eax */
	if (tr_insn(op)->fn == exec_rdtscp)
		emit_insn(&t->e,
			  &(struct enc){.opcode = 0x8b,
					.reg = H_RCX,
					.rm = {.kind = RM_SLOT, .disp = CPU_OFF(st.tsc_aux)}});
	return true;
}

static bool emit_lfence(struct tr *t, const struct op *op)
{
	put_lfence(t);
	return true;
}

/* Who spins waits for another CPU. */
static bool emit_pause(struct tr *t, const struct op *op)
{
	return t->j->soft->nr_cpus == 1;
}

static const struct {
	exec_fn *exec;
	bool (*emit)(struct tr *t, const struct op *op);
} emitters[] = {
	{exec_cli, emit_cli},
	{exec_cld, emit_cld},
	{exec_stac, emit_stac},
	{exec_clac, emit_clac},
	{exec_pushf, emit_pushf},
	{exec_swapgs, emit_swapgs},
	{exec_mov_from_sreg, emit_from_sreg},
	{exec_mov_from_cr, emit_from_cr},
	{exec_rdfsbase, emit_read_base},
	{exec_rdgsbase, emit_read_base},
	{exec_wrfsbase, emit_write_base},
	{exec_wrgsbase, emit_write_base},
	{exec_bt, emit_bit_string},
	{exec_bts, emit_bit_string},
	{exec_btr, emit_bit_string},
	{exec_btc, emit_bit_string},
	{exec_cmpxchg8b, emit_cmpxchg_pair},
	{exec_cmpxchg16b, emit_cmpxchg_pair},
	{exec_rdtsc, emit_time},
	{exec_rdtscp, emit_time},
	{exec_lfence, emit_lfence},
	{exec_pause, emit_pause},
	{exec_movs, tr_emit_rep},
	{exec_stos, tr_emit_rep},
};

bool tr_emit_system(struct tr *t, const struct op *op)
{
	exec_fn *fn = tr_insn(op)->fn;

	if (!tr_has_plain_ea(op))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(emitters); i++)
		if (emitters[i].exec == fn)
			return emitters[i].emit(t, op);
	return false;
}
