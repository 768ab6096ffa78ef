/* SPDX-License-Identifier: MIT */
/*
 * mmx.c - MMX instructions, by thunks, and their aliasing of the x87 registers.
 *
 * Every one of them but EMMS sets TOP to 0 and all tags to valid; what it writes gets an
 * exponent and sign of all ones.  Source: SDM volume 3A, "Intel MMX Technology System
 * Programming".
 */
#include "isa/x86/fpu/fpu.h"

static inline void mmx_check(struct x86_cpu *cpu, const struct op *op)
{
	check_x87(cpu, op);
}

static inline const char *imm_thunk(const struct insn *in, const struct op *op)
{
	return (const char *)in->thunk + (op->imm & 0xff) * THUNK_STRIDE;
}

static inline void mmx_write(struct x86_cpu *cpu, unsigned n, u64 v)
{
	mmx_enter(cpu);
	mmx_set(cpu, n, v);
}

static void run(struct x86_cpu *cpu, const struct op *op, const struct insn *in, const void *thunk)
{
	u64 buf, dst;

	mmx_check(cpu, op);
	mmx_src(cpu, op, in, &buf);
	dst = mmx_get(cpu, op->reg);
	host_mmx(thunk, &dst, &buf);
	mmx_write(cpu, op->reg, dst);
}

void exec_mmx_pq(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];

	run(cpu, op, in, in->thunk);
}

void exec_mmx_pqi(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];

	run(cpu, op, in, imm_thunk(in, op));
}

void exec_mmx_shift(struct x86_cpu *cpu, const struct op *op)
{
	u64 v;

	mmx_check(cpu, op);
	v = mmx_get(cpu, op->rm);
	host_mmx(imm_thunk(&insns[op->row], op), &v, &v);
	mmx_write(cpu, op->rm, v);
}

/* --- moves --- */

static inline unsigned y_size(const struct op *op)
{
	return op->flags & OP_REX_W ? 8 : 4;
}

void exec_mmx_movd_load(struct x86_cpu *cpu, const struct op *op)
{
	mmx_check(cpu, op);
	u64 v = rm_read(cpu, op, y_size(op));

	mmx_write(cpu, op->reg, v);
}

void exec_mmx_movd_store(struct x86_cpu *cpu, const struct op *op)
{
	mmx_check(cpu, op);
	rm_write(cpu, op, mmx_get(cpu, op->reg), y_size(op));
	mmx_enter(cpu);
}

void exec_mmx_load(struct x86_cpu *cpu, const struct op *op)
{
	u64 buf;

	mmx_check(cpu, op);
	mmx_src(cpu, op, &insns[op->row], &buf);
	mmx_write(cpu, op->reg, buf);
}

/* MOVQ and MOVNTQ. */
void exec_mmx_store(struct x86_cpu *cpu, const struct op *op)
{
	u64 v;

	mmx_check(cpu, op);
	v = mmx_get(cpu, op->reg);
	if (op->flags & OP_MEM) {
		mem_write(cpu, op->seg, op_ea(cpu, op), v, 8);
		mmx_enter(cpu);
	} else {
		mmx_write(cpu, op->rm, v);
	}
}

void exec_mmx_maskmov(struct x86_cpu *cpu, const struct op *op)
{
	u64 data, mask;

	mmx_check(cpu, op);
	data = mmx_get(cpu, op->reg);
	mask = mmx_get(cpu, op->rm);
	vec_maskmov(cpu, op, (const u8 *)&data, (const u8 *)&mask, 8);
	mmx_enter(cpu);
}

void exec_mmx_pinsrw(struct x86_cpu *cpu, const struct op *op)
{
	unsigned sh = (op->imm & 3) * 16;
	u64 w, v;

	mmx_check(cpu, op);
	w = rm_read(cpu, op, 2);
	v = mmx_get(cpu, op->reg);
	mmx_write(cpu, op->reg, (v & ~(0xffffull << sh)) | w << sh);
}

void exec_mmx_pextrw(struct x86_cpu *cpu, const struct op *op)
{
	mmx_check(cpu, op);
	reg_write(cpu, op, (u16)(mmx_get(cpu, op->rm) >> (op->imm & 3) * 16), 4);
	mmx_enter(cpu);
}

void exec_mmx_movmsk(struct x86_cpu *cpu, const struct op *op)
{
	struct host_regs r;

	mmx_check(cpu, op);
	r.mm[1] = mmx_get(cpu, op->rm);
	host_regs_mmx(insns[op->row].thunk, &r);
	reg_write(cpu, op, r.rax, 4);
	mmx_enter(cpu);
}

void exec_mmx_emms(struct x86_cpu *cpu, const struct op *op)
{
	mmx_check(cpu, op);
	mmx_enter(cpu);
	cpu->st.x87.ftw = 0;
}

/* --- between MMX and XMM --- */

static void mixed_check(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	check_x87(cpu, op);
}

void exec_mmx_movq2dq(struct x86_cpu *cpu, const struct op *op)
{
	mixed_check(cpu, op);
	cpu->st.v[op->reg].q[0] = mmx_get(cpu, op->rm);
	cpu->st.v[op->reg].q[1] = 0;
	mmx_enter(cpu);
}

void exec_mmx_movdq2q(struct x86_cpu *cpu, const struct op *op)
{
	mixed_check(cpu, op);
	mmx_write(cpu, op->reg, cpu->st.v[op->rm].q[0]);
}

/* CVTPI2PS and CVTPI2PD: V <- Q.  From memory they touch no MMX register nor the x87. */
void exec_mmx_vq_fp(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	bool alone = op->flags & OP_MEM;
	struct host_regs r;
	int trapped;

	check_sse(cpu, op);
	if (!alone)
		check_x87(cpu, op);
	mmx_src(cpu, op, in, &r.mm[1]);
	memcpy(r.xmm[0], &cpu->st.v[op->reg], 16);
	fp_enter(cpu);
	trapped = host_regs_mmx(in->thunk, &r);
	if (!alone)
		mmx_enter(cpu); /* even if it traps */
	fp_leave(cpu, trapped);
	memcpy(&cpu->st.v[op->reg], r.xmm[0], 16);
}

/* CVTPS2PI, CVTPD2PI and their truncating forms: P <- W. */
void exec_mmx_pw_fp(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	struct host_regs r;
	u64 buf[2];
	int trapped;

	mixed_check(cpu, op);
	memcpy(r.xmm[1], vec_src(cpu, op, in, buf), 16);
	fp_enter(cpu);
	trapped = host_regs_mmx(in->thunk, &r);
	mmx_enter(cpu);
	fp_leave(cpu, trapped);
	mmx_set(cpu, op->reg, r.mm[0]);
}
