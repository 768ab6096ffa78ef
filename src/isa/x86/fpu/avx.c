/* SPDX-License-Identifier: MIT */
/*
 * avx.c - AVX instructions: nearly all by one function, which moves the operands that are not
 * vector registers and has the rest done by a thunk (vex.h); moves in C.
 *
 * They clear what is above their vector length, and want no alignment but where they say so.
 *
 * Source: SDM volume 2A, "Instruction Exception Specification".
 */
#include "isa/x86/fpu/avx.h"
#include "isa/x86/priv.h"

#define V(n) (cpu->st.v[n])

void avx_check_slow(struct x86_cpu *cpu, const struct op *op)
{
	u64 need = insns[op->row].attr & A_AVX512 ? XCR0_AVX512_ALL : XCR0_AVX_ALL;

	if (!cpu->code64 && !x86_protected(cpu))
		x86_raise_ud(cpu);
	if (!(cpu->st.cr4 & CR4_OSXSAVE) || need & ~cpu->st.xcr0)
		x86_raise_ud(cpu);
	if (cpu->st.cr0 & CR0_TS)
		x86_raise_noerr(cpu, X86_NM);
}

/* --- memory ---------------------------------------------------------------------------------- */

/* EFLAGS.AC asks for no more than 16 bytes. */
void avx_check_alignment(struct x86_cpu *cpu, const struct op *op, u64 ea, unsigned size,
			 enum mem_access acc)
{
	if (insns[op->row].attr & A_ALIGN && (ea + cpu->seg_base[op->seg]) & (size - 1))
		x86_raise_gp(cpu, 0);
	mem_check_align(cpu, op->seg, ea, size, size < 16 ? size : 16, acc);
}

void avx_load_mem(struct x86_cpu *cpu, const struct op *op, void *buf, unsigned size)
{
	u64 ea = op_ea(cpu, op), lin, *to = buf;
	const struct tlb_ent *t;

	if (size <= 8) {
		u64 val = mem_read(cpu, op->seg, ea, size);

		memcpy(buf, &val, 8);
		return;
	}
	avx_check_alignment(cpu, op, ea, size, MEM_READ);
	lin = mem_linear(cpu, op->seg, ea, size, MEM_READ);
	t = &cpu->view->rd[lin >> PAGE_BITS & (TLB_ENTRIES - 1)];
	if (__builtin_expect((lin ^ t->tag) <= PAGE_SIZE_4K - size, 1)) {
		const u8 *from = tlb_host(t, lin);

		for (unsigned i = 0; i < size / 8; i++)
			to[i] = ram_load(from + 8 * i, 8);
	} else {
		mem_read_buf(cpu, op->seg, ea, buf, size);
	}
}

void avx_store_mem(struct x86_cpu *cpu, const struct op *op, const void *buf, unsigned size)
{
	u64 ea = op_ea(cpu, op), lin;
	const struct tlb_ent *t;
	const u64 *from = buf;

	if (size <= 8) {
		mem_write(cpu, op->seg, ea, *from, size);
		return;
	}
	avx_check_alignment(cpu, op, ea, size, MEM_WRITE);
	lin = mem_linear(cpu, op->seg, ea, size, MEM_WRITE);
	t = &cpu->view->wr[lin >> PAGE_BITS & (TLB_ENTRIES - 1)];
	if (__builtin_expect((lin ^ t->tag) <= PAGE_SIZE_4K - size, 1)) {
		u8 *to = tlb_host(t, lin);

		for (unsigned i = 0; i < size / 8; i++)
			ram_store(to + 8 * i, from[i], 8);
	} else {
		mem_write_buf(cpu, op->seg, ea, buf, size);
	}
}

/* --- moves ----------------------------------------------------------------------------------- */

void exec_avx_load(struct x86_cpu *cpu, const struct op *op)
{
	u64 buf[8];

	avx_check(cpu, op);
	if (op->flags & OP_MEM) {
		avx_load_mem(cpu, op, buf, op->size);
		memcpy(&V(op->reg), buf, op->size);
	} else {
		memmove(&V(op->reg), &V(op->rm), op->size);
	}
	avx_clear_above(&V(op->reg), op->size);
}

void exec_avx_store(struct x86_cpu *cpu, const struct op *op)
{
	avx_check(cpu, op);
	if (op->flags & OP_MEM) {
		avx_store_mem(cpu, op, &V(op->reg), op->size);
	} else {
		memmove(&V(op->rm), &V(op->reg), op->size);
		avx_clear_above(&V(op->rm), op->size);
	}
}

static void zero(struct x86_cpu *cpu, const struct op *op, unsigned from)
{
	avx_check(cpu, op);
	for (unsigned i = 0; i < (cpu->code64 ? 16 : 8); i++)
		memset(V(i).b + from, 0, 64 - from);
}

void exec_avx_zeroupper(struct x86_cpu *cpu, const struct op *op)
{
	zero(cpu, op, 16);
}

void exec_avx_zeroall(struct x86_cpu *cpu, const struct op *op)
{
	zero(cpu, op, 0);
}

void exec_avx_ldmxcsr(struct x86_cpu *cpu, const struct op *op)
{
	u32 v;

	avx_check(cpu, op);
	v = (u32)mem_read(cpu, op->seg, op_ea(cpu, op), 4);
	if (v & ~(u32)MXCSR_VALID)
		x86_raise_gp(cpu, 0);
	cpu->st.mxcsr = v;
}

void exec_avx_stmxcsr(struct x86_cpu *cpu, const struct op *op)
{
	avx_check(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), cpu->st.mxcsr, 4);
}

/* --- all others ------------------------------------------------------------------------------ */

void avx_run(struct x86_cpu *cpu, const struct op *op, struct vec_frame *f)
{
	int trapped;

	if (!(insns[op->row].attr & A_SCALAR)) {
		vec_run(cpu, op, f);
		return;
	}
	fp_enter(cpu);
	trapped = vec_run(cpu, op, f);
	fp_leave(cpu, trapped);
}

/* General registers and flags that came out. */
void avx_take_results(struct x86_cpu *cpu, const struct op *op, const struct vec_frame *f)
{
	const struct insn *in = &insns[op->row];

	if (operands[in->dst].kind == OK_REG)
		gpr_write(cpu, op->reg, f->rax, 8);
	else if (operands[in->dst].kind == OK_RM)
		gpr_write(cpu, op->rm, f->rcx, 8);
	if (in->fl_out)
		flags_put(cpu, f->rflags & FL_ARITH);
}

static void probe_store(struct x86_cpu *cpu, const struct op *op)
{
	u64 ea = op_ea(cpu, op);

	avx_check_alignment(cpu, op, ea, op->size, MEM_WRITE);
	mem_probe(cpu, op->seg, ea, op->size, MEM_WRITE);
}

void exec_avx(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	bool mem = op->flags & OP_MEM, store = mem && operands[in->dst].mem;
	struct vec_frame f;

	avx_check(cpu, op);
	if (store) {
		if (in->attr & A_SCALAR) /* what it raises comes after what the store raises */
			probe_store(cpu, op);
		avx_run(cpu, op, &f);
		avx_store_mem(cpu, op, f.mem, op->size);
		return;
	}
	if (mem)
		avx_load_mem(cpu, op, f.mem, op->size);
	else if (operands[in->src].kind == OK_RM)
		f.rcx = gpr_read(cpu, op->rm, 8);
	avx_run(cpu, op, &f);
	avx_take_results(cpu, op, &f);
}

/* Bit 0 of the opcode: an index to ECX, else a mask to XMM0. */
void exec_avx_pcmpstr(struct x86_cpu *cpu, const struct op *op)
{
	struct vec_frame f;

	avx_check(cpu, op);
	if (op->flags & OP_MEM)
		avx_load_mem(cpu, op, f.mem, 16);
	f.rax = cpu->st.gpr[RAX];
	f.rdx = cpu->st.gpr[RDX];
	vec_run(cpu, op, &f);
	if (op->opcode & 1)
		gpr_write(cpu, RCX * 8, f.rcx, 4);
	flags_put(cpu, f.rflags & FL_ARITH);
}
