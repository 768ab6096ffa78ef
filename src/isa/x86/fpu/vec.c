/* SPDX-License-Identifier: MIT */
/*
 * vec.c - SSE instructions that run by a native thunk: one function per operand shape.
 *
 * A result is committed only when nothing can fault any more: operands are read first, and
 * a thunk that trapped has stored nothing.
 */
#include "isa/x86/fpu/fpu.h"

#define V(n) (cpu->st.v[n])

static inline const char *imm_thunk(const struct insn *in, const struct op *op)
{
	return (const char *)in->thunk + (op->imm & 0xff) * THUNK_STRIDE;
}

/* --- V <- op(V, W) --- */

void exec_vec_vw(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	u64 buf[2];
	const void *src;

	check_sse(cpu, op);
	src = vec_src(cpu, op, in, buf);
	host_vec(in->thunk, &V(op->reg), src);
}

void exec_vec_vwi(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	u64 buf[2];
	const void *src;

	check_sse(cpu, op);
	src = vec_src(cpu, op, in, buf);
	host_vec(imm_thunk(in, op), &V(op->reg), src);
}

static inline void run_fp(struct x86_cpu *cpu, const struct op *op, const struct insn *in,
			  const void *thunk)
{
	u64 buf[2];
	const void *src;
	int trapped;

	check_sse(cpu, op);
	src = vec_src(cpu, op, in, buf);
	fp_enter(cpu);
	trapped = host_vec(thunk, &V(op->reg), src);
	fp_leave(cpu, trapped);
}

void exec_vec_vw_fp(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];

	run_fp(cpu, op, in, in->thunk);
}

void exec_vec_vwi_fp(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];

	run_fp(cpu, op, in, imm_thunk(in, op));
}

void exec_vec_vw_xmm0(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	u64 buf[2];
	const void *src;

	check_sse(cpu, op);
	src = vec_src(cpu, op, in, buf);
	host_vec_xmm0(in->thunk, &V(op->reg), src, &V(0));
}

/* 66 0f 71 to 73: V <- V shifted by an immediate. */
void exec_vec_shift(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];

	check_sse(cpu, op);
	host_vec(imm_thunk(in, op), &V(op->rm), &V(op->rm));
}

/* A memory operand is the element itself: the bits that choose one do not count. */
void exec_vec_insertps(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	unsigned imm = op->imm & (op->flags & OP_MEM ? 0x3f : 0xff);
	u64 buf[2];
	const void *src;

	check_sse(cpu, op);
	src = vec_src(cpu, op, in, buf);
	host_vec((const char *)in->thunk + imm * THUNK_STRIDE, &V(op->reg), src);
}

/* --- general registers --- */

static inline const char *rexw_thunk(const struct insn *in, const struct op *op)
{
	return (const char *)in->thunk + (op->flags & OP_REX_W ? THUNK_REXW : 0);
}

void exec_vec_vey_fp(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	struct host_regs r;
	int trapped;

	check_sse(cpu, op);
	r.rcx = rm_read(cpu, op, op->flags & OP_REX_W ? 8 : 4);
	memcpy(r.xmm[0], &V(op->reg), 16);
	fp_enter(cpu);
	trapped = host_regs(rexw_thunk(in, op), &r);
	fp_leave(cpu, trapped);
	memcpy(&V(op->reg), r.xmm[0], 16);
}

void exec_vec_gyw_fp(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	struct host_regs r;
	u64 buf[2];
	int trapped;

	check_sse(cpu, op);
	memcpy(r.xmm[1], vec_src(cpu, op, in, buf), 16);
	fp_enter(cpu);
	trapped = host_regs(rexw_thunk(in, op), &r);
	fp_leave(cpu, trapped);
	reg_write(cpu, op, r.rax, op->flags & OP_REX_W ? 8 : 4);
}

/* MOVMSKPS, MOVMSKPD, PMOVMSKB. */
void exec_vec_movmsk(struct x86_cpu *cpu, const struct op *op)
{
	struct host_regs r;

	check_sse(cpu, op);
	memcpy(r.xmm[1], &V(op->rm), 16);
	host_regs(insns[op->row].thunk, &r);
	reg_write(cpu, op, r.rax, 4);
}

/* --- flags --- */

void exec_vec_comis(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	struct host_regs r;
	u64 buf[2];
	int trapped;

	check_sse(cpu, op);
	memcpy(r.xmm[1], vec_src(cpu, op, in, buf), 16);
	memcpy(r.xmm[0], &V(op->reg), 16);
	fp_enter(cpu);
	trapped = host_regs(in->thunk, &r);
	fp_leave(cpu, trapped);
	flags_put(cpu, r.rflags & FL_ARITH);
}

void exec_vec_ptest(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	struct host_regs r;
	u64 buf[2];

	check_sse(cpu, op);
	memcpy(r.xmm[1], vec_src(cpu, op, in, buf), 16);
	memcpy(r.xmm[0], &V(op->reg), 16);
	host_regs(in->thunk, &r);
	flags_put(cpu, r.rflags & FL_ARITH);
}

/*
 * 66 0f 3a 60 to 63.  Bit 0 of the opcode: an index to ECX instead of a mask to XMM0; bit 1:
 * lengths are in the strings instead of EAX and EDX (RAX and RDX with REX.W).
 */
void exec_vec_pcmpstr(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	const char *thunk = imm_thunk(in, op) + (op->flags & OP_REX_W ? THUNK_REXW_IMM : 0);
	struct host_regs r;
	u64 buf[2];

	check_sse(cpu, op);
	memcpy(r.xmm[1], vec_src(cpu, op, in, buf), 16);
	memcpy(r.xmm[0], &V(op->reg), 16);
	r.rax = cpu->st.gpr[RAX];
	r.rdx = cpu->st.gpr[RDX];
	host_regs(thunk, &r);
	if (op->opcode & 1)
		gpr_write(cpu, RCX * 8, r.rcx, 4);
	else
		memcpy(&V(0), r.xmm[0], 16);
	flags_put(cpu, r.rflags & FL_ARITH);
}
