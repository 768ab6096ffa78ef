/* SPDX-License-Identifier: MIT */
/*
 * handlers.c - handlers for the frequent forms of the frequent instructions.
 *
 * Each is the one semantic body of the instruction (isa/x86/alu.h and its kin) with size,
 * form and place of the operands as constants, and the jump to the next op.  Nothing is
 * decided here but which forms are worth it.
 *
 * What a handler is called says how it is made:
 *   PURE    touches registers only: cannot fault, so cpu->op stays stale
 *   EXEC    may fault: cpu->op first
 *   LAST    writes st.rip and ends the block
 */
#include "engine/soft/run.h"
#include "isa/x86/alu.h"
#include "isa/x86/branch.h"
#include "isa/x86/exec.h"
#include "isa/x86/insn.h"
#include "isa/x86/mov.h"
#include "isa/x86/mul.h"
#include "isa/x86/shift.h"

#define PURE(name, body)                                               \
	static void h_##name(struct x86_cpu *cpu, const struct op *op) \
	{                                                              \
		body;                                                  \
		soft_go(cpu, op + 1);                                  \
	}

#define EXEC(name, body)                                               \
	static void h_##name(struct x86_cpu *cpu, const struct op *op) \
	{                                                              \
		cpu->op = op;                                          \
		body;                                                  \
		soft_go(cpu, op + 1);                                  \
	}

#define LAST(name, body)                                               \
	static void h_##name(struct x86_cpu *cpu, const struct op *op) \
	{                                                              \
		cpu->op = op;                                          \
		body;                                                  \
	}

/* By operand size: 1, 2, 4, 8 bytes. */
static unsigned size_index(unsigned size)
{
	return (unsigned)__builtin_ctz(size);
}

/* --- arithmetic and logic ---------------------------------------------------------------- */

#define ALU_FORM(k, K, s, f, F)                                         \
	PURE(k##s##_##f##_reg, do_alu(cpu, op, ALU_##K, s, F, LOC_REG)) \
	EXEC(k##s##_##f##_mem, do_alu(cpu, op, ALU_##K, s, F, LOC_MEM))
#define ALU_SIZE(k, K, s)                      \
	ALU_FORM(k, K, s, rm_reg, FORM_RM_REG) \
	ALU_FORM(k, K, s, reg_rm, FORM_REG_RM) \
	ALU_FORM(k, K, s, rm_imm, FORM_RM_IMM)
#define ALU(k, K) ALU_SIZE(k, K, 1) ALU_SIZE(k, K, 2) ALU_SIZE(k, K, 4) ALU_SIZE(k, K, 8)

ALU(add, ADD)
ALU(or, OR)
ALU(adc, ADC)
ALU(sbb, SBB)
ALU(and, AND)
ALU(sub, SUB)
ALU(xor, XOR)
ALU(cmp, CMP)
ALU(test, TEST)

/* Handlers of one instruction by form, operand size and place. */
enum { FI_RM_REG, FI_REG_RM, FI_RM_IMM, NR_FI };

struct by_form {
	exec_fn *exec;
	exec_fn *handler[NR_FI][4][2];
};

#define SIZES(k, f)                                               \
	{                                                         \
		{h_##k##1_##f##_reg, h_##k##1_##f##_mem},         \
			{h_##k##2_##f##_reg, h_##k##2_##f##_mem}, \
			{h_##k##4_##f##_reg, h_##k##4_##f##_mem}, \
			{h_##k##8_##f##_reg, h_##k##8_##f##_mem}, \
	}
#define FORMS(k)                                                                        \
	{                                                                               \
		exec_##k,                                                               \
		{                                                                       \
			[FI_RM_REG] = SIZES(k, rm_reg), [FI_REG_RM] = SIZES(k, reg_rm), \
			[FI_RM_IMM] = SIZES(k, rm_imm)                                  \
		}                                                                       \
	}

#define MOV_FORM(s, f, F)                                        \
	PURE(mov##s##_##f##_reg, do_mov(cpu, op, s, F, LOC_REG)) \
	EXEC(mov##s##_##f##_mem, do_mov(cpu, op, s, F, LOC_MEM))
#define MOV_SIZE(s)                      \
	MOV_FORM(s, rm_reg, FORM_RM_REG) \
	MOV_FORM(s, reg_rm, FORM_REG_RM) \
	MOV_FORM(s, rm_imm, FORM_RM_IMM)

MOV_SIZE(1)
MOV_SIZE(2)
MOV_SIZE(4)
MOV_SIZE(8)

static const struct by_form by_form[] = {
	FORMS(mov), FORMS(add), FORMS(sub), FORMS(cmp), FORMS(test),
	FORMS(and), FORMS(or),	FORMS(xor), FORMS(adc), FORMS(sbb),
};

/* --- one operand, or a destination register and a source ------------------------------------ */

#define UNARY_SIZE(k, K, s)                                     \
	PURE(k##s##_reg, do_unary(cpu, op, UN_##K, s, LOC_REG)) \
	EXEC(k##s##_mem, do_unary(cpu, op, UN_##K, s, LOC_MEM))
#define UNARY(k, K) UNARY_SIZE(k, K, 1) UNARY_SIZE(k, K, 2) UNARY_SIZE(k, K, 4) UNARY_SIZE(k, K, 8)

UNARY(inc, INC)
UNARY(dec, DEC)
UNARY(neg, NEG)
UNARY(not, NOT)

#define SHIFT_SIZE(k, K, s)                                     \
	PURE(k##s##_reg, do_shift(cpu, op, SH_##K, s, LOC_REG)) \
	EXEC(k##s##_mem, do_shift(cpu, op, SH_##K, s, LOC_MEM))
#define SHIFT(k, K) SHIFT_SIZE(k, K, 1) SHIFT_SIZE(k, K, 2) SHIFT_SIZE(k, K, 4) SHIFT_SIZE(k, K, 8)

SHIFT(shl, SHL)
SHIFT(shr, SHR)
SHIFT(sar, SAR)
SHIFT(rol, ROL)
SHIFT(ror, ROR)

#define EXTEND_SIZE(k, from, s)                                   \
	PURE(k##from##s##_reg, do_##k(cpu, op, from, s, LOC_REG)) \
	EXEC(k##from##s##_mem, do_##k(cpu, op, from, s, LOC_MEM))
#define EXTEND(k, from) EXTEND_SIZE(k, from, 2) EXTEND_SIZE(k, from, 4) EXTEND_SIZE(k, from, 8)

EXTEND(movzx, 1)
EXTEND(movzx, 2)
EXTEND(movsx, 1)
EXTEND(movsx, 2)
EXTEND(movsx, 4)

#define IMUL_SIZE(k, s)                               \
	PURE(k##s##_reg, do_##k(cpu, op, s, LOC_REG)) \
	EXEC(k##s##_mem, do_##k(cpu, op, s, LOC_MEM))
#define IMUL(k) IMUL_SIZE(k, 2) IMUL_SIZE(k, 4) IMUL_SIZE(k, 8)

IMUL(imul2)
IMUL(imul3)

PURE(lea2, do_lea(cpu, op, 2))
PURE(lea4, do_lea(cpu, op, 4))
PURE(lea8, do_lea(cpu, op, 8))

/* Handlers of one instruction by operand size and place. */
struct by_size {
	exec_fn *exec;
	exec_fn *handler[4][2];
};

#define ALL_SIZES(k)                                                                \
	{                                                                           \
		exec_##k,                                                           \
		{                                                                   \
			{h_##k##1_reg, h_##k##1_mem}, {h_##k##2_reg, h_##k##2_mem}, \
				{h_##k##4_reg, h_##k##4_mem},                       \
			{                                                           \
				h_##k##8_reg, h_##k##8_mem                          \
			}                                                           \
		}                                                                   \
	}
/* The same without bytes. */
#define WORD_SIZES(fn, k)                                                                         \
	{                                                                                         \
		exec_##fn,                                                                        \
		{                                                                                 \
			{NULL, NULL}, {h_##k##2_reg, h_##k##2_mem}, {h_##k##4_reg, h_##k##4_mem}, \
			{                                                                         \
				h_##k##8_reg, h_##k##8_mem                                        \
			}                                                                         \
		}                                                                                 \
	}

static const struct by_size by_size[] = {
	ALL_SIZES(inc),
	ALL_SIZES(dec),
	ALL_SIZES(neg),
	ALL_SIZES(not ),
	ALL_SIZES(shl),
	ALL_SIZES(shr),
	ALL_SIZES(sar),
	ALL_SIZES(rol),
	ALL_SIZES(ror),
	WORD_SIZES(movzx8, movzx1),
	WORD_SIZES(movzx16, movzx2),
	WORD_SIZES(movsx8, movsx1),
	WORD_SIZES(movsx16, movsx2),
	WORD_SIZES(movsx32, movsx4),
	WORD_SIZES(imul2, imul2),
	WORD_SIZES(imul3, imul3),
	{exec_lea, {{NULL, NULL}, {NULL, h_lea2}, {NULL, h_lea4}, {NULL, h_lea8}}},
};

/* --- stack, in 64-bit code ------------------------------------------------------------------- */

EXEC(push_reg, do_push(cpu, op, 8, FORM_REG, LOC_REG))
EXEC(push_rm, do_push(cpu, op, 8, FORM_RM, LOC_REG))
EXEC(push_mem, do_push(cpu, op, 8, FORM_RM, LOC_MEM))
EXEC(push_imm, do_push(cpu, op, 8, FORM_IMM, LOC_REG))
EXEC(pop_reg, do_pop_reg(cpu, op->reg, 8))
EXEC(pop_rm, do_pop_reg(cpu, op->rm, 8))

static exec_fn *fast_stack(const struct op *op, exec_fn *exec)
{
	bool mem = op->flags & OP_MEM;

	if (exec == exec_push)
		return op->form == FORM_REG   ? h_push_reg
		       : op->form == FORM_IMM ? h_push_imm
		       : mem		      ? h_push_mem
					      : h_push_rm;
	if (exec == exec_pop && !mem)
		return op->form == FORM_REG ? h_pop_reg : h_pop_rm;
	return NULL;
}

/* --- conditions and branches ------------------------------------------------------------------ */

/* A direct branch goes to one of the slots behind it: not taken, taken. */
#define COND(cc)                                                        \
	static void h_jcc##cc(struct x86_cpu *cpu, const struct op *op) \
	{                                                               \
		const struct op *slot = op + 1 + flags_cond(cpu, cc);   \
                                                                        \
		soft_go(cpu, slot);                                     \
	}                                                               \
	PURE(cmov##cc##_4_reg, do_cmovcc(cpu, op, cc, 4, LOC_REG))      \
	EXEC(cmov##cc##_4_mem, do_cmovcc(cpu, op, cc, 4, LOC_MEM))      \
	PURE(cmov##cc##_8_reg, do_cmovcc(cpu, op, cc, 8, LOC_REG))      \
	EXEC(cmov##cc##_8_mem, do_cmovcc(cpu, op, cc, 8, LOC_MEM))      \
	PURE(set##cc##_reg, do_setcc(cpu, op, cc, LOC_REG))             \
	EXEC(set##cc##_mem, do_setcc(cpu, op, cc, LOC_MEM))

/* clang-format off */
COND(0)
COND(1)
COND(2)
COND(3)
COND(4)
COND(5)
COND(6)
COND(7)
COND(8)
COND(9)
COND(10)
COND(11)
COND(12)
COND(13)
COND(14)
COND(15)
/* clang-format on */

struct by_cond {
	exec_fn *jcc, *set[2], *cmov[2][2];
};

#define BY_COND(cc)                                                    \
	{                                                              \
		h_jcc##cc, {h_set##cc##_reg, h_set##cc##_mem},         \
		{                                                      \
			{h_cmov##cc##_4_reg, h_cmov##cc##_4_mem},      \
			{                                              \
				h_cmov##cc##_8_reg, h_cmov##cc##_8_mem \
			}                                              \
		}                                                      \
	}

static const struct by_cond by_cond[16] = {
	BY_COND(0),  BY_COND(1),  BY_COND(2),  BY_COND(3),  BY_COND(4),	 BY_COND(5),
	BY_COND(6),  BY_COND(7),  BY_COND(8),  BY_COND(9),  BY_COND(10), BY_COND(11),
	BY_COND(12), BY_COND(13), BY_COND(14), BY_COND(15),
};

static void h_jmp_rel(struct x86_cpu *cpu, const struct op *op)
{
	soft_go(cpu, op + 2);
}

static void h_call_rel8(struct x86_cpu *cpu, const struct op *op)
{
	cpu->op = op;
	branch_rel(cpu, op, 8); /* its check comes before the push */
	x86_push(cpu, op_next_rip(cpu, op), 8);
	soft_go(cpu, op + 2);
}

LAST(jmp_reg, do_jmp_rm(cpu, op, 8, LOC_REG))
LAST(jmp_mem, do_jmp_rm(cpu, op, 8, LOC_MEM))
LAST(call_reg, do_call_rm(cpu, op, 8, LOC_REG))
LAST(call_mem, do_call_rm(cpu, op, 8, LOC_MEM))
LAST(ret, do_ret(cpu, op, 8))

/* Is size the natural one of a near branch, and may blocks be linked? */
static bool plain_branch(const struct op *op, block_key key)
{
	unsigned cs = key & KEY_CODE_SIZE;

	return (cs == CODE64 && op->size == 8) ||
	       (cs == CODE32 && op->size == 4 && !(key & KEY_LIMITED));
}

bool soft_is_direct(const struct op *op, block_key key)
{
	exec_fn *exec = insns[op->row].fn;

	return plain_branch(op, key) &&
	       (exec == exec_jcc || exec == exec_jmp_rel ||
		(exec == exec_call_rel && (key & KEY_CODE_SIZE) == CODE64));
}

static exec_fn *fast_branch(const struct op *op, exec_fn *exec, block_key key)
{
	bool mem = op->flags & OP_MEM;

	if (!plain_branch(op, key))
		return NULL;
	if (exec == exec_jcc)
		return by_cond[op->opcode & 15].jcc;
	if (exec == exec_jmp_rel)
		return h_jmp_rel;
	if ((key & KEY_CODE_SIZE) != CODE64)
		return NULL;
	if (exec == exec_call_rel)
		return h_call_rel8;
	if (exec == exec_ret)
		return h_ret;
	if (exec == exec_jmp_rm)
		return mem ? h_jmp_mem : h_jmp_reg;
	if (exec == exec_call_rm)
		return mem ? h_call_mem : h_call_reg;
	return NULL;
}

static exec_fn *fast_cond(const struct op *op, exec_fn *exec)
{
	const struct by_cond *c = &by_cond[op->opcode & 15];
	bool mem = op->flags & OP_MEM;

	if (exec == exec_setcc)
		return c->set[mem];
	if (exec == exec_cmovcc && op->size >= 4)
		return c->cmov[op->size == 8][mem];
	return NULL;
}

/* --- the rest ------------------------------------------------------------------------------------
 */

PURE(nop, (void)op)

static exec_fn *fast_operands(const struct op *op, exec_fn *exec)
{
	unsigned s = size_index(op->size);
	bool mem = op->flags & OP_MEM;

	for (unsigned i = 0; i < ARRAY_SIZE(by_form); i++) {
		if (by_form[i].exec != exec)
			continue;
		switch (op->form) {
		case FORM_RM_REG: return by_form[i].handler[FI_RM_REG][s][mem];
		case FORM_REG_RM: return by_form[i].handler[FI_REG_RM][s][mem];
		case FORM_RM_IMM: return by_form[i].handler[FI_RM_IMM][s][mem];
		default: return NULL;
		}
	}
	for (unsigned i = 0; i < ARRAY_SIZE(by_size); i++)
		if (by_size[i].exec == exec)
			return op->form == FORM_REG ? NULL : by_size[i].handler[s][mem];
	return NULL;
}

exec_fn *soft_fast(const struct op *op, block_key key)
{
	exec_fn *exec = insns[op->row].fn, *h;

	if (op->flags & OP_LOCK || op->size > 8 || !op->size || op->size & (op->size - 1))
		return NULL;
	if (exec == exec_nop && !(op->flags & OP_MEM))
		return h_nop;
	h = fast_operands(op, exec);
	if (!h)
		h = fast_cond(op, exec);
	if (!h)
		h = fast_branch(op, exec, key);
	if (!h && (key & KEY_CODE_SIZE) == CODE64 && op->size == 8)
		h = fast_stack(op, exec);
	return h;
}
