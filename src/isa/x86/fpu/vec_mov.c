/* SPDX-License-Identifier: MIT */
/*
 * vec_mov.c - SSE moves, in C: kernels and C libraries live on them.
 *
 * Legacy SSE leaves what is above the low 16 bytes of a register as it is.
 */
#include "isa/x86/fpu/fpu.h"

#define V(n) (cpu->st.v[n])

static inline void load_reg(struct x86_cpu *cpu, const struct op *op, bool align)
{
	u64 v[2];

	check_sse(cpu, op);
	if (op->flags & OP_MEM) {
		vec_load(cpu, op, align, v);
		memcpy(&V(op->reg), v, 16);
	} else {
		memmove(&V(op->reg), &V(op->rm), 16);
	}
}

static inline void store_rm(struct x86_cpu *cpu, const struct op *op, bool align)
{
	check_sse(cpu, op);
	if (op->flags & OP_MEM)
		vec_store16(cpu, op, align, V(op->reg).q);
	else
		memmove(&V(op->rm), &V(op->reg), 16);
}

void exec_vec_load(struct x86_cpu *cpu, const struct op *op)
{
	load_reg(cpu, op, true);
}

void exec_vec_loadu(struct x86_cpu *cpu, const struct op *op)
{
	load_reg(cpu, op, false);
}

void exec_vec_store(struct x86_cpu *cpu, const struct op *op)
{
	store_rm(cpu, op, true);
}

void exec_vec_storeu(struct x86_cpu *cpu, const struct op *op)
{
	store_rm(cpu, op, false);
}

/* --- 8 bytes, low or high half --- */

static inline u64 load8(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	return mem_read(cpu, op->seg, op_ea(cpu, op), 8);
}

void exec_vec_load_low(struct x86_cpu *cpu, const struct op *op)
{
	V(op->reg).q[0] = load8(cpu, op);
}

void exec_vec_load_high(struct x86_cpu *cpu, const struct op *op)
{
	V(op->reg).q[1] = load8(cpu, op);
}

void exec_vec_store_low(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), V(op->reg).q[0], 8);
}

void exec_vec_store_high(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), V(op->reg).q[1], 8);
}

void exec_vec_movhlps(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).q[0] = V(op->rm).q[1];
}

void exec_vec_movlhps(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).q[1] = V(op->rm).q[0];
}

/* MOVQ xmm, xmm/m64 and xmm/m64, xmm. */
void exec_vec_movq_load(struct x86_cpu *cpu, const struct op *op)
{
	u64 v;

	check_sse(cpu, op);
	v = op->flags & OP_MEM ? mem_read(cpu, op->seg, op_ea(cpu, op), 8) : V(op->rm).q[0];
	V(op->reg).q[0] = v;
	V(op->reg).q[1] = 0;
}

void exec_vec_movq_store(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	if (op->flags & OP_MEM) {
		mem_write(cpu, op->seg, op_ea(cpu, op), V(op->reg).q[0], 8);
	} else {
		V(op->rm).q[0] = V(op->reg).q[0];
		V(op->rm).q[1] = 0;
	}
}

/* MOVSS, MOVSD: memory clears the rest of the register, a register leaves it. */
void exec_vec_load_zx4(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).q[0] = mem_read(cpu, op->seg, op_ea(cpu, op), 4);
	V(op->reg).q[1] = 0;
}

void exec_vec_load_zx8(struct x86_cpu *cpu, const struct op *op)
{
	V(op->reg).q[0] = load8(cpu, op);
	V(op->reg).q[1] = 0;
}

void exec_vec_merge4(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).d[0] = V(op->rm).d[0];
}

void exec_vec_merge8(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).q[0] = V(op->rm).q[0];
}

void exec_vec_merge_rm4(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->rm).d[0] = V(op->reg).d[0];
}

void exec_vec_merge_rm8(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->rm).q[0] = V(op->reg).q[0];
}

void exec_vec_store4(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), V(op->reg).d[0], 4);
}

void exec_vec_store8(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), V(op->reg).q[0], 8);
}

/* --- to and from general registers --- */

static inline unsigned y_size(const struct op *op)
{
	return op->flags & OP_REX_W ? 8 : 4;
}

void exec_vec_movd_load(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).q[0] = rm_read(cpu, op, y_size(op));
	V(op->reg).q[1] = 0;
}

void exec_vec_movd_store(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	rm_write(cpu, op, V(op->reg).q[0], y_size(op));
}

void exec_vec_pinsrb(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).b[op->imm & 15] = (u8)rm_read(cpu, op, op->flags & OP_MEM ? 1 : 4);
}

void exec_vec_pinsrw(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	V(op->reg).w[op->imm & 7] = (u16)rm_read(cpu, op, 2);
}

void exec_vec_pinsrd(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	if (op->flags & OP_REX_W)
		V(op->reg).q[op->imm & 1] = rm_read(cpu, op, 8);
	else
		V(op->reg).d[op->imm & 3] = (u32)rm_read(cpu, op, 4);
}

/* To memory only the element, to a register all of it, zero-extended. */
static inline void extract(struct x86_cpu *cpu, const struct op *op, u64 v, unsigned size)
{
	rm_write(cpu, op, v, op->flags & OP_MEM || size == 8 ? size : 4);
}

void exec_vec_pextrb(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	extract(cpu, op, V(op->reg).b[op->imm & 15], 1);
}

void exec_vec_pextrw(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	extract(cpu, op, V(op->reg).w[op->imm & 7], 2);
}

void exec_vec_pextrd(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	if (op->flags & OP_REX_W)
		extract(cpu, op, V(op->reg).q[op->imm & 1], 8);
	else
		extract(cpu, op, V(op->reg).d[op->imm & 3], 4);
}

void exec_vec_extractps(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	extract(cpu, op, V(op->reg).d[op->imm & 3], 4);
}

/* 66 0f c5: the vector is in r/m. */
void exec_vec_pextrw_reg(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	reg_write(cpu, op, V(op->rm).w[op->imm & 7], 4);
}

/* --- MASKMOVDQU, MASKMOVQ --- */

void vec_maskmov(struct x86_cpu *cpu, const struct op *op, const u8 *data, const u8 *mask,
		 unsigned size)
{
	u64 amask = op->asize == 8 ? ~0ull : op->asize == 4 ? 0xffffffff : 0xffff;
	u64 di = cpu->st.gpr[RDI] & amask;
	unsigned first = 0, end = size;

	while (first < end && !(mask[first] & 0x80))
		first++;
	while (end > first && !(mask[end - 1] & 0x80))
		end--;
	if (first == end)
		return; /* whether an empty mask faults is left to the implementation */
	mem_probe(cpu, op->seg, di + first, end - first, MEM_WRITE);
	for (unsigned i = first; i < end; i++) {
		if (mask[i] & 0x80)
			mem_write(cpu, op->seg, (di + i) & amask, data[i], 1);
	}
}

void exec_vec_maskmov(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	vec_maskmov(cpu, op, V(op->reg).b, V(op->rm).b, 16);
}
