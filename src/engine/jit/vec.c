/* SPDX-License-Identifier: MIT */
/*
 * vec.c - vector instructions become themselves: guest vector registers live in the host's.
 *
 * They are loaded when code first needs them (cpu->vec_live says that they are there) and
 * saved before anything goes to C, which may use them.  A block with such instructions makes
 * sure at its begin, and behind every call of an exec function in it.  The guest's MXCSR is
 * in force meanwhile; where it unmasks an exception, or CR0, CR4 and XCR0 forbid the
 * instructions, such blocks are interpreted.
 *
 * Only as much is loaded as the code needs: XMM registers for SSE, whose instructions leave
 * what is above them alone, so it may stay in memory; YMM for AVX, if there is nothing above
 * them to be cleared; else all 32 and the opmasks.  When wide ones have been saved the host's upper
 * halves are cleared, for the SSE code of C.
 */
#include "engine/jit/translate.h"
#include "isa/x86/exec.h"
#include "isa/x86/fpu/vex.h"

enum { NR_XMM = 16, NR_ZMM = 32, NR_MASKS = 8 };

static i32 xmm_slot(unsigned n)
{
	return (i32)(offsetof(struct x86_cpu, st.v) + n * sizeof(union vreg));
}

/* movups to (opcode 10) and from (11) memory. */
static void emit_movups(struct emit *e, u8 opcode, unsigned n)
{
	emit_insn(e, &(struct enc){.map = 1,
				   .opcode = opcode,
				   .reg = (u8)n,
				   .rm = {.kind = RM_SLOT, .disp = xmm_slot(n)}});
}

static void emit_mxcsr(struct emit *e, u8 digit, i32 slot)
{
	emit_insn(e, &(struct enc){.map = 1,
				   .opcode = 0xae,
				   .reg = digit,
				   .rm = {.kind = RM_SLOT, .disp = slot}});
}

/* [gs:slot], after opcode and register. */
static void emit_gs_operand(struct emit *e, u8 opcode, unsigned reg, i32 slot)
{
	emit_bytes(e, (u8[]){opcode, (u8)((reg & 7) << 3 | 4), 0x25}, 3);
	emit32(e, (u32)slot);
}

/* vmovups of 32 bytes, with a VEX prefix. */
static void emit_ymm(struct emit *e, u8 opcode, unsigned n)
{
	emit_bytes(e, (u8[]){0x65, 0xc4, n & 8 ? 0x61 : 0xe1, 0x7c}, 4);
	emit_gs_operand(e, opcode, n, xmm_slot(n));
}

/* vmovups of 64 bytes, with an EVEX prefix. */
static void emit_zmm(struct emit *e, u8 opcode, unsigned n)
{
	u8 p0 = (u8)(0x61 | (n & 8 ? 0 : 0x80) | (n & 16 ? 0 : 0x10));

	emit_bytes(e, (u8[]){0x65, 0x62, p0, 0x7c, 0x48}, 5);
	emit_gs_operand(e, opcode, n, xmm_slot(n));
}

/* kmovq from (opcode 90) and to (91) memory. */
static void emit_mask(struct emit *e, u8 opcode, unsigned n)
{
	emit_bytes(e, (u8[]){0x65, 0xc4, 0xe1, 0xf8}, 4);
	emit_gs_operand(e, opcode, n, (i32)(offsetof(struct x86_cpu, st.kmask) + 8 * n));
}

static void emit_all_zmm(struct emit *e, bool load)
{
	for (unsigned n = 0; n < NR_ZMM; n++)
		emit_zmm(e, load ? 0x10 : 0x11, n);
	for (unsigned n = 0; n < NR_MASKS; n++)
		emit_mask(e, load ? 0x90 : 0x91, n);
}

/* As much of the registers as the byte at slot says. */
static void emit_moves(struct emit *e, bool load, i32 slot)
{
	static const u8 vzeroupper[] = {0xc5, 0xf8, 0x77};
	u8 opcode = load ? 0x10 : 0x11, *wide, *wider, *done[2];

	emit_test_bits(e, slot, VEC_YMM);
	wide = emit_jcc(e, 5);
	for (unsigned n = 0; n < NR_XMM; n++)
		emit_movups(e, opcode, n);
	done[0] = emit_jump(e);

	patch_here(wide, e->p);
	emit_test_bits(e, slot, VEC_ZMM);
	wider = emit_jcc(e, 5);
	for (unsigned n = 0; n < NR_XMM; n++)
		emit_ymm(e, opcode, n);
	if (!load)
		emit_bytes(e, vzeroupper, sizeof(vzeroupper));
	done[1] = emit_jump(e);

	patch_here(wider, e->p);
	emit_all_zmm(e, load);
	if (!load)
		emit_bytes(e, vzeroupper, sizeof(vzeroupper));
	patch_here(done[0], e->p);
	patch_here(done[1], e->p);
}

/* To cpu->vec_want.  Clobbers the flags and RAX's home is left alone. */
void jit_emit_load_vec(struct emit *e)
{
	emit_moves(e, true, CPU_OFF(vec_want));
	emit_mxcsr(e, 2, CPU_OFF(st.mxcsr));
	emit_copy_byte(e, H_T1, CPU_OFF(vec_live), CPU_OFF(vec_want));
}

void jit_emit_save_vec(struct emit *e)
{
	emit_moves(e, false, CPU_OFF(vec_live));
	emit_mxcsr(e, 3, CPU_OFF(st.mxcsr));
	emit_mxcsr(e, 2, CPU_OFF(host_mxcsr));
	emit_set_byte(e, CPU_OFF(vec_live), 0);
}

void jit_emit_test_vec(struct emit *e, u8 bit)
{
	emit_test_bits(e, CPU_OFF(vec_live), bit);
}

void jit_emit_want_vec(struct emit *e, u8 vec)
{
	emit_set_byte(e, CPU_OFF(vec_want), vec);
}

bool jit_vec_ready(struct x86_cpu *cpu, u8 vec)
{
	enum { ALL_MASKED = 0x1f80, XCR0_YMM = 6, XCR0_ZMM = 0xe6 };
	u64 xcr0 = vec & VEC_ZMM ? XCR0_ZMM : vec & VEC_YMM ? XCR0_YMM : 0;

	if (cpu->st.cr0 & (CR0_EM | CR0_TS) || !(cpu->st.cr4 & CR4_OSFXSR) ||
	    (cpu->st.mxcsr & ALL_MASKED) != ALL_MASKED)
		return false;
	return !xcr0 || (cpu->st.cr4 & CR4_OSXSAVE && !(xcr0 & ~cpu->st.xcr0));
}

static bool upper_halves_used(const struct cpu_state *st)
{
	u64 any = 0;

	for (unsigned n = 0; n < NR_XMM; n++)
		any |= st->v[n].q[4] | st->v[n].q[5] | st->v[n].q[6] | st->v[n].q[7];
	return any;
}

/* AVX instructions clear the upper halves of ZMM registers: nothing to do if they are clear. */
bool jit_vec_wanted(struct x86_cpu *cpu)
{
	if (cpu->vec_want & VEC_YMM && upper_halves_used(&cpu->st))
		cpu->vec_want = VEC_ALL_ZMM;
	return jit_vec_ready(cpu, cpu->vec_want);
}

static u8 kind_of(u8 operand)
{
	return operands[operand].kind;
}

static bool is_xmm(u8 operand)
{
	u8 k = kind_of(operand);

	return k == OK_VREG || k == OK_VRM || k == OK_VRM_REG;
}

static bool is_fit(u8 operand)
{
	u8 k = kind_of(operand);

	return is_xmm(operand) || k == OK_NONE || k == OK_REG || k == OK_RM || k == OK_RM_REG ||
	       k == OK_MEM || k == OK_IMM || k == OK_IMM_SX || k == OK_XMM0;
}

/* In a general register that lives in memory only a part would be written. */
static bool writes_part(const struct op *op, const struct insn *in)
{
	return kind_of(in->dst) == OK_RM && !(op->flags & OP_MEM) && tr_home(op->rm >> 3) < 0;
}

/* A general register that memory cannot stand in for: there is no such form, or with rounding. */
static bool must_be_register(const struct op *op, const struct insn *in)
{
	return kind_of(in->src) == OK_RM_REG ||
	       (kind_of(in->src) == OK_RM && !(op->flags & OP_MEM) && op->evex & EVEX_B);
}

/* Does the host, in 64-bit code, do something else than a guest in 32-bit code asks for? */
static bool differs_narrow(const struct op *op, const struct insn *in)
{
	bool general = kind_of(in->dst) == OK_REG || kind_of(in->src) == OK_REG ||
		       kind_of(in->dst) == OK_RM || kind_of(in->src) == OK_RM ||
		       kind_of(in->src) == OK_RM_REG;

	/* They are for the registers that there are; the other is of 64 bits. */
	return in->fn == exec_avx_zeroupper || in->fn == exec_avx_zeroall ||
	       (general && op->flags & OP_REX_W);
}

/* VEX and EVEX: all but what has an exec function of its own, which is for a reason. */
static u8 is_vex(const struct tr *t, const struct op *op, const struct insn *in)
{
	exec_fn *const fns[] = {exec_avx,	exec_avx512,	    exec_avx_load,
				exec_avx_store, exec_avx_zeroupper, exec_avx_zeroall};

	if (!tr_has_plain_ea(op) || writes_part(op, in) || (t->narrow && differs_narrow(op, in)))
		return 0;
	if (must_be_register(op, in) && tr_home(op->rm >> 3) < 0)
		return 0;
	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++)
		if (in->fn == fns[i])
			return in->attr & A_AVX512 ? VEC_ALL_ZMM : VEC_ALL_YMM;
	return 0;
}

static bool is_sse(const struct op *op)
{
	const struct insn *in = tr_insn(op);
	u32 attr = in->attr;

	if (!(attr & A_SSE) || attr & (A_FPU | A_ENDS | A_SYNC) || !tr_has_plain_ea(op))
		return false;
	if (!is_xmm(in->dst) && !is_xmm(in->src))
		return false;
	if (!is_fit(in->dst) || !is_fit(in->src) || !is_fit(in->imm))
		return false;
	/* An implicit destination, and a general one in memory where only a part is written. */
	if (in->fn == exec_vec_maskmov)
		return false;
	return !writes_part(op, in);
}

u8 tr_is_vec(const struct tr *t, const struct op *op)
{
	const struct insn *in = tr_insn(op);

	if (in->attr & A_AVX)
		return is_vex(t, op, in);
	return is_sse(op) ? VEC_ALL_XMM : 0;
}

/* The operand in ModRM.rm when it is no memory. */
static void use_rm(struct enc *i, const struct op *op, bool xmm)
{
	unsigned g = op->rm >> 3;

	if (xmm)
		i->rm = (struct rm_operand){.kind = RM_REG, .reg = op->rm};
	else if (tr_home(g) >= 0)
		i->rm = (struct rm_operand){.kind = RM_REG, .reg = (u8)tr_home(g)};
	else
		i->rm = (struct rm_operand){.kind = RM_SLOT, .disp = GPR_SLOT(g)};
}

static bool in_modrm_rm(u8 operand)
{
	u8 k = kind_of(operand);

	return k == OK_VRM || k == OK_VRM_REG || k == OK_RM || k == OK_RM_REG || k == OK_MEM;
}

void tr_vex_memory(const struct tr *t, struct vex_place *at)
{
	at->rm_kind = VEX_RM_MEM;
	at->rm = t->mem.reg;
	at->index = t->mem.indexed ? H_T1 : VEX_NO_INDEX;
	at->disp = t->mem.disp;
}

static bool has_gpr_rm(const struct insn *in)
{
	return kind_of(in->src) == OK_RM || kind_of(in->src) == OK_RM_REG ||
	       kind_of(in->dst) == OK_RM;
}

/*
 * The guest's instruction, encoded anew.  Bytes that a mask leaves out are checked with the
 * rest; if that fails, the exec function knows better.
 */
static void emit_vex(struct tr *t, const struct op *op, const struct insn *in)
{
	struct vex_place at = vex_place_of(op);
	bool from_reg = kind_of(in->dst) == OK_REG, store = operands[in->dst].mem != 0;
	int home = from_reg ? tr_home(op->reg >> 3) : 0;
	u8 bytes[VEX_MAX];

	if (op->flags & OP_MEM) {
		tr_memory(t, op, op->size, store, in->attr & A_ALIGN ? op->size : 1);
		tr_vex_memory(t, &at);
	} else {
		tr_flags_for(t, op);
	}
	if (from_reg)
		at.reg = home >= 0 ? (u8)home : tr_use_temp(t);
	if (!(op->flags & OP_MEM) && has_gpr_rm(in)) {
		int g = tr_home(op->rm >> 3);

		at.rm_kind = g >= 0 ? VEX_RM_REG : VEX_RM_GS;
		at.rm = (u8)g;
		at.disp = GPR_SLOT(op->rm >> 3);
	}
	emit_bytes(&t->e, bytes, vex_encode(bytes, op, &at));
	if (from_reg && home < 0)
		emit_store_slot(&t->e, t->temp, GPR_SLOT(op->reg >> 3));
}

static void emit_sse(struct tr *t, const struct op *op)
{
	static const u8 prefixes[] = {[PFX_F3] = 0xf3, [PFX_F2] = 0xf2};
	const struct insn *in = tr_insn(op);
	u8 rm_operand = in_modrm_rm(in->dst) ? in->dst : in->src;
	u8 reg_operand = in_modrm_rm(in->dst) ? in->src : in->dst;
	bool to_gpr = kind_of(in->dst) == OK_REG;
	int home = is_xmm(reg_operand) ? 0 : tr_home(op->reg >> 3);
	struct enc i = {.map = in->map == MAP_P38   ? 2
			       : in->map == MAP_P3A ? 3
						    : 1,
			.o16 = in->pfx == PFX_66,
			.rep = in->pfx >= PFX_F3 ? prefixes[in->pfx] : 0,
			.w = op->flags & OP_REX_W,
			.opcode = op->opcode,
			.reg = op->reg,
			.imm_size = kind_of(in->imm) == OK_IMM || kind_of(in->imm) == OK_IMM_SX,
			.imm = op->imm};

	if (op->flags & OP_MEM) {
		tr_memory(t, op, op->size, in_modrm_rm(in->dst), in->attr & A_ALIGN ? 16 : 1);
		i.rm = t->mem;
	} else {
		tr_flags_for(t, op);
		use_rm(&i, op, is_xmm(rm_operand));
	}
	if (in->mrm & MRM_EXT)
		i.reg = op->modrm >> 3 & 7; /* shifts by an immediate */
	else if (!is_xmm(reg_operand))
		i.reg = (u8)(home >= 0 ? home : t->temp);
	if (home < 0 && t->temp == H_T1)
		tr_clobber_t1(t);
	emit_insn(&t->e, &i);
	if (to_gpr && home < 0)
		emit_store_slot(&t->e, t->temp, GPR_SLOT(op->reg >> 3));
}

void tr_emit_vec(struct tr *t, const struct op *op)
{
	const struct insn *in = tr_insn(op);

	if (in->attr & A_AVX)
		emit_vex(t, op, in);
	else
		emit_sse(t, op);
}
