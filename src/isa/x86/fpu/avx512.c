/* SPDX-License-Identifier: MIT */
/*
 * avx512.c - AVX-512 instructions, done by thunks as in avx.c; what is added is that elements of
 * memory that the mask leaves out are not accessed, by any instruction whose row does not say
 * otherwise (EV_NF).
 *
 * Source: SDM volume 2A, "Intel AVX-512 Encoding", "Exception Classifications of EVEX-Encoded
 * instructions".
 */
#include "isa/x86/fpu/avx.h"

/* The memory operand as elements: which are accessed, by bits. */
struct elements {
	u64 active;
	unsigned n, size;
};

static u64 low_bits(unsigned n)
{
	return n < 64 ? (1ull << n) - 1 : ~0ull;
}

static unsigned mask_length(const struct op *op, const struct insn *in)
{
	return in->vex_l == L_LIG ? 1 : (16u << op->vl) / in->elem;
}

static struct elements memory_elements(const struct x86_cpu *cpu, const struct op *op,
				       const struct insn *in)
{
	unsigned k = op->evex & EVEX_AAA, length = mask_length(op, in);
	u64 mask = (k ? cpu->st.kmask[k] : ~0ull) & low_bits(length);
	struct elements e = {.size = in->elem};

	if (in->evex & EV_PACK) {
		e.n = (unsigned)__builtin_popcountll(mask);
		e.active = low_bits(e.n);
		return e;
	}
	if (!k || (in->evex & EV_NF && !operands[in->dst].mem)) {
		e = (struct elements){.active = 1, .n = 1, .size = op->size};
		return e;
	}
	if (op->evex & EVEX_B || length == 1)
		e.size = op->size;
	else if (!(in->evex & EV_BCAST))
		e.size = op->size / length;
	e.n = op->size / e.size;
	if (operands[in->dst].mem)
		e.active = mask & low_bits(e.n);
	else
		for (unsigned i = 0; i < length; i += e.n)
			e.active |= mask >> i & low_bits(e.n);
	return e;
}

static bool is_whole(const struct op *op, const struct elements *e)
{
	return e->active == low_bits(e->n) && e->n * e->size == op->size;
}

/*
 * Where the operand is.  With a mask, or compressed, its elements are aligned or not one by one,
 * and those left out do not count.
 */
static u64 checked_ea(struct x86_cpu *cpu, const struct op *op, const struct elements *e,
		      enum mem_access acc)
{
	const struct insn *in = &insns[op->row];
	bool apart = op->evex & EVEX_AAA || (in->evex & EV_PACK && acc == MEM_WRITE);
	u64 ea = op_ea(cpu, op);

	if (!apart || in->evex & EV_NF) {
		avx_check_alignment(cpu, op, ea, op->size, acc);
	} else if (e->active) {
		if (in->attr & A_ALIGN && (ea + cpu->seg_base[op->seg]) & (op->size - 1))
			x86_raise_gp(cpu, 0);
		mem_check_align(cpu, op->seg, ea, e->size, e->size, acc);
	}
	return ea;
}

static void load(struct x86_cpu *cpu, const struct op *op, const struct elements *e, u8 *mem)
{
	u64 ea;

	if (!(op->evex & EVEX_AAA) && !(insns[op->row].evex & EV_PACK)) {
		avx_load_mem(cpu, op, mem, op->size);
		return;
	}
	ea = checked_ea(cpu, op, e, MEM_READ);
	if (is_whole(op, e)) {
		mem_read_buf(cpu, op->seg, ea, mem, op->size);
		return;
	}
	memset(mem, 0, 64);
	for (u64 left = e->active; left; left &= left - 1) {
		unsigned at = (unsigned)__builtin_ctzll(left) * e->size;

		mem_read_buf(cpu, op->seg, ea + at, mem + at, e->size);
	}
}

static void probe(struct x86_cpu *cpu, const struct op *op, const struct elements *e)
{
	u64 ea = checked_ea(cpu, op, e, MEM_WRITE);

	if (insns[op->row].evex & EV_NF)
		mem_probe(cpu, op->seg, ea, op->size, MEM_WRITE);
	for (u64 left = e->active; left; left &= left - 1)
		mem_probe(cpu, op->seg, ea + (unsigned)__builtin_ctzll(left) * e->size, e->size,
			  MEM_WRITE);
}

static void store(struct x86_cpu *cpu, const struct op *op, const struct elements *e, const u8 *mem)
{
	u64 ea;

	if (!(op->evex & EVEX_AAA) && !(insns[op->row].evex & EV_PACK)) {
		avx_store_mem(cpu, op, mem, op->size);
		return;
	}
	probe(cpu, op, e);
	ea = op_ea(cpu, op);
	for (u64 left = e->active; left; left &= left - 1) {
		unsigned at = (unsigned)__builtin_ctzll(left) * e->size;

		mem_write_buf(cpu, op->seg, ea + at, mem + at, e->size);
	}
}

static bool from_gpr(const struct insn *in)
{
	u8 k = operands[in->src].kind;

	return k == OK_RM || k == OK_RM_REG;
}

void exec_avx512(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	struct elements e = {0};
	struct vec_frame f;

	avx_check(cpu, op);
	if (op->flags & OP_MEM)
		e = map_is_evex(in->map) ? memory_elements(cpu, op, in)
					 : (struct elements){1, 1, op->size};
	if (op->flags & OP_MEM && operands[in->dst].mem) {
		if (in->attr & A_SCALAR) /* what it raises comes after what the store raises */
			probe(cpu, op, &e);
		avx_run(cpu, op, &f);
		store(cpu, op, &e, f.mem);
		return;
	}
	if (op->flags & OP_MEM)
		load(cpu, op, &e, f.mem);
	else if (from_gpr(in))
		f.rcx = gpr_read(cpu, op->rm, 8);
	avx_run(cpu, op, &f);
	avx_take_results(cpu, op, &f);
}

/* --- gathers and scatters: restartable, as those of AVX2 ------------------------------------ */

void exec_avx512_gather(struct x86_cpu *cpu, const struct op *op)
{
	unsigned elem = op->size, n = avx_elements(op);
	u64 *mask = &cpu->st.kmask[op->evex & EVEX_AAA];
	union vreg *dst = &cpu->st.v[op->reg];
	u8 val[8];

	avx_check(cpu, op);
	for (unsigned i = 0; i < n; i++) {
		if (*mask >> i & 1) {
			mem_read_buf(cpu, op->seg, avx_element(cpu, op, i), val, elem);
			memcpy(dst->b + i * elem, val, elem);
			avx_clear_above(dst, 16u << op->vl);
		}
		*mask &= ~(1ull << i);
	}
	avx_clear_above(dst, n * elem);
	*mask = 0;
}

void exec_avx512_scatter(struct x86_cpu *cpu, const struct op *op)
{
	unsigned elem = op->size, n = avx_elements(op);
	u64 *mask = &cpu->st.kmask[op->evex & EVEX_AAA];
	const union vreg *src = &cpu->st.v[op->reg];

	avx_check(cpu, op);
	for (unsigned i = 0; i < n; i++) {
		if (*mask >> i & 1)
			mem_write_buf(cpu, op->seg, avx_element(cpu, op, i), src->b + i * elem,
				      elem);
		*mask &= ~(1ull << i);
	}
	*mask = 0;
}
