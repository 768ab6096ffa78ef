/* SPDX-License-Identifier: MIT */
/*
 * avx_mem.c - instructions that access memory element by element, as a mask says: masked moves
 * and gathers.  What the mask leaves out is not accessed and raises nothing.  EFLAGS.AC does not
 * matter to them.
 */
#include "isa/x86/fpu/avx.h"

#define V(n) (cpu->st.v[n])

/* VMASKMOVPD is the only one that has 8 bytes without W. */
static unsigned mask_elem(const struct op *op)
{
	return op->opcode == 0x2d || op->opcode == 0x2f || op->flags & OP_REX_W ? 8 : 4;
}

/* The sign bit of element i. */
static bool sign(const union vreg *v, unsigned i, unsigned elem)
{
	return v->b[(i + 1) * elem - 1] & 0x80;
}

static bool all_signs(const union vreg *v, unsigned n, unsigned elem)
{
	for (unsigned i = 0; i < n; i++)
		if (!sign(v, i, elem))
			return false;
	return true;
}

void exec_avx_maskload(struct x86_cpu *cpu, const struct op *op)
{
	unsigned elem = mask_elem(op), n = op->size / elem;
	const union vreg *mask = &V(op->vvvv);
	u8 buf[64] = {0};
	u64 ea;

	avx_check(cpu, op);
	ea = op_ea(cpu, op);
	if (all_signs(mask, n, elem))
		mem_read_buf(cpu, op->seg, ea, buf, op->size);
	else
		for (unsigned i = 0; i < n; i++)
			if (sign(mask, i, elem))
				mem_read_buf(cpu, op->seg, ea + i * elem, buf + i * elem, elem);
	memcpy(&V(op->reg), buf, 64);
}

void exec_avx_maskstore(struct x86_cpu *cpu, const struct op *op)
{
	unsigned elem = mask_elem(op), n = op->size / elem;
	const union vreg *mask = &V(op->vvvv);
	const u8 *val = V(op->reg).b;
	u64 ea;

	avx_check(cpu, op);
	ea = op_ea(cpu, op);
	if (all_signs(mask, n, elem)) {
		mem_write_buf(cpu, op->seg, ea, val, op->size);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		if (sign(mask, i, elem))
			mem_probe(cpu, op->seg, ea + i * elem, elem, MEM_WRITE);
	for (unsigned i = 0; i < n; i++)
		if (sign(mask, i, elem))
			mem_write_buf(cpu, op->seg, ea + i * elem, val + i * elem, elem);
}

void exec_avx_maskmovdqu(struct x86_cpu *cpu, const struct op *op)
{
	avx_check(cpu, op);
	vec_maskmov(cpu, op, V(op->reg).b, V(op->rm).b, 16);
}

/* --- gathers --------------------------------------------------------------------------------- */

/*
 * An element that has been dealt with has its mask cleared, so that the instruction goes on from
 * there when a fault in the middle has been dealt with.
 */
void exec_avx_gather(struct x86_cpu *cpu, const struct op *op)
{
	unsigned elem = op->size, n = avx_elements(op);
	union vreg *dst = &V(op->reg), *mask = &V(op->vvvv);
	u8 val[8];

	avx_check(cpu, op);
	for (unsigned i = 0; i < n; i++) {
		if (sign(mask, i, elem)) {
			mem_read_buf(cpu, op->seg, avx_element(cpu, op, i), val, elem);
			memcpy(dst->b + i * elem, val, elem);
		}
		memset(mask->b + i * elem, 0, elem);
	}
	avx_clear_above(dst, n * elem);
	memset(mask, 0, sizeof(*mask));
}
