/* SPDX-License-Identifier: MIT */
/*
 * vec.c - SSE instructions become themselves: guest XMM registers live in the host's.
 *
 * They are loaded when code first needs them (cpu->xmm_live says that they are there) and
 * saved before anything goes to C, which may use them.  A block with such instructions makes
 * sure at its begin, and behind every call of an exec function in it.  The guest's MXCSR is
 * in force meanwhile; where it unmasks an exception, or CR0 and CR4 forbid SSE, such blocks
 * are interpreted.
 */
#include "engine/jit/translate.h"
#include "isa/x86/exec.h"

enum { NR_XMM = 16 };

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

static void set_live(struct emit *e, bool live)
{
	emit_insn(e, &(struct enc){.opcode = 0xc6,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(xmm_live)},
				   .imm_size = 1,
				   .imm = live});
}

void jit_emit_load_vec(struct emit *e)
{
	for (unsigned n = 0; n < NR_XMM; n++)
		emit_movups(e, 0x10, n);
	emit_mxcsr(e, 2, CPU_OFF(st.mxcsr));
	set_live(e, true);
}

void jit_emit_save_vec(struct emit *e)
{
	for (unsigned n = 0; n < NR_XMM; n++)
		emit_movups(e, 0x11, n);
	emit_mxcsr(e, 3, CPU_OFF(st.mxcsr));
	emit_mxcsr(e, 2, CPU_OFF(host_mxcsr));
	set_live(e, false);
}

/* cmp byte gs:[xmm_live], 0; the caller emits the jump. */
void jit_emit_test_vec(struct emit *e)
{
	emit_insn(e, &(struct enc){.opcode = 0x80,
				   .reg = 7,
				   .rm = {.kind = RM_SLOT, .disp = CPU_OFF(xmm_live)},
				   .imm_size = 1});
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

bool tr_is_vec(const struct op *op)
{
	const struct insn *in = tr_insn(op);
	u32 attr = in->attr;

	if (!(attr & A_SSE) || attr & (A_FPU | A_ENDS | A_SYNC) || op->flags & OP_EA_SLOW)
		return false;
	if (!is_xmm(in->dst) && !is_xmm(in->src))
		return false;
	if (!is_fit(in->dst) || !is_fit(in->src) || !is_fit(in->imm))
		return false;
	/* An implicit destination, and a general one in memory where only a part is written. */
	if (in->fn == exec_vec_maskmov)
		return false;
	return !(kind_of(in->dst) == OK_RM && !(op->flags & OP_MEM) && tr_home(op->rm >> 3) < 0);
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

void tr_emit_vec(struct tr *t, const struct op *op)
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
		tr_address(t, op, op->size, in_modrm_rm(in->dst), in->attr & A_ALIGN ? 16 : 1);
		i.rm = (struct rm_operand){.kind = RM_AT_T0};
	} else {
		tr_flags_for(t, op);
		use_rm(&i, op, is_xmm(rm_operand));
	}
	if (in->mrm & MRM_EXT)
		i.reg = op->modrm >> 3 & 7; /* shifts by an immediate */
	else if (!is_xmm(reg_operand))
		i.reg = (u8)(home >= 0 ? home : H_T1);
	emit_insn(&t->e, &i);
	if (to_gpr && home < 0)
		emit_store_slot(&t->e, H_T1, GPR_SLOT(op->reg >> 3));
}
