/* SPDX-License-Identifier: MIT */
/*
 * fpu.c - when x87, MMX and SSE instructions may run at all, and their reset state.
 *
 * Source: SDM volume 3A, "System Programming for Instruction Set Extensions and Processor
 * Extended States", "Exception Handling in the x87 FPU", "Intel MMX Technology System
 * Programming".
 *
 * What the guest sees where vendors differ: FIP, FCS, FDP, FDS and FOP are kept by every
 * non-control x87 instruction and are always saved and restored (Intel's way; AMD saves them
 * only with an exception pending), FCS and FDS are not forced to zero, and FDP keeps the last
 * memory operand.  MXCSR has DAZ, and no misaligned mode.
 */
#include "isa/x86/fpu/avx.h"

static void raise_mf(struct x86_cpu *cpu)
{
	if (cpu->st.cr0 & CR0_NE)
		x86_raise_noerr(cpu, X86_MF);
	/*
	 * The PC's way: FERR# makes IRQ 13, whose handler clears the exception.  The
	 * instruction goes on, as it does with IGNNE# asserted.
	 */
	irq_set(&cpu->v.fpu_error, true);
}

void x87_ferr_update(struct x86_cpu *cpu)
{
	if (!x87_pending(&cpu->st.x87))
		irq_set(&cpu->v.fpu_error, false);
}

/* Is it FWAIT or D8 to DF?  Else A_FPU means MMX. */
static bool row_is_x87(const struct insn *in)
{
	return in->map == MAP_P1;
}

void x86_check_fpu(struct x86_cpu *cpu, const struct op *op)
{
	const struct insn *in = &insns[op->row];
	u64 cr0 = cpu->st.cr0;

	if (in->attr & A_SSE && (cr0 & CR0_EM || !(cpu->st.cr4 & CR4_OSFXSR)))
		x86_raise_ud(cpu);
	if (in->attr & A_FPU && !row_is_x87(in) && cr0 & CR0_EM)
		x86_raise_ud(cpu);
	if (row_is_x87(in) && in->op == 0x9b) {
		if ((cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS))
			x86_raise_noerr(cpu, X86_NM);
	} else if (cr0 & (CR0_TS | CR0_EM)) {
		x86_raise_noerr(cpu, X86_NM);
	}
	if (in->attr & A_FPU && !(in->attr & A_NOWAIT) && x87_pending(&cpu->st.x87))
		raise_mf(cpu);
}

void x86_fpu_reset(struct cpu_state *st, bool init)
{
	if (init) /* INIT leaves all of it alone */
		return;
	memset(&st->x87, 0, sizeof(st->x87));
	st->x87.fcw = 0x40;
	st->x87.ftw = 0xff; /* +0.0, marked as such */
	st->mxcsr = MXCSR_DEFAULT;
	memset(st->v, 0, sizeof(st->v));
	memset(st->kmask, 0, sizeof(st->kmask));
	st->pkru = 0;
	st->xcr0 = 1;
}

static bool host_has(unsigned feature)
{
	switch (feature) {
#define FEATURE(name, leaf, sub, reg, bit, doc) \
	case FEAT_##name:                       \
		return host_cpuid_bit(leaf, sub, reg, bit);
#include "isa/x86/features.def"
#undef FEATURE
	default: return false;
	}
}

/* Has the host's system made ready for these registers? */
static bool host_saves(u64 xcr0)
{
	u32 lo, hi;

	if (!host_cpuid_bit(1, 0, 2, 27)) /* OSXSAVE */
		return false;
	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return !(xcr0 & ~(u64)lo);
}

static bool is_avx512(unsigned feature)
{
	switch (feature) {
	case FEAT_AVX512F:
	case FEAT_AVX512DQ:
	case FEAT_AVX512CD:
	case FEAT_AVX512BW:
	case FEAT_AVX512VL:
	case FEAT_AVX512_IFMA:
	case FEAT_AVX512_VBMI:
	case FEAT_AVX512_VBMI2:
	case FEAT_AVX512_VNNI:
	case FEAT_AVX512_BITALG:
	case FEAT_AVX512_VPOPCNTDQ:
	case FEAT_AVX512_BF16: return true;
	default: return false;
	}
}

static bool host_has_avx(void)
{
	return host_has(FEAT_AVX) && host_has(FEAT_AVX2) && host_saves(XCR0_AVX_ALL);
}

static bool host_has_avx512(void)
{
	return host_has_avx() && host_has(FEAT_AVX512F) && host_has(FEAT_AVX512DQ) &&
	       host_has(FEAT_AVX512CD) && host_has(FEAT_AVX512BW) && host_has(FEAT_AVX512VL) &&
	       host_saves(XCR0_AVX512_ALL);
}

bool x86_fpu_is_avx(unsigned feature)
{
	return feature == FEAT_AVX || feature == FEAT_AVX2 || feature == FEAT_FMA ||
	       feature == FEAT_F16C || feature == FEAT_VAES || feature == FEAT_VPCLMUL ||
	       is_avx512(feature);
}

bool x86_fpu_host_runs(unsigned feature)
{
	if (x86_fpu_is_avx(feature) && !host_has_avx())
		return false;
	return host_has(feature) && (!is_avx512(feature) || host_has_avx512());
}

void x86_fpu_limit_features(struct cpu_features *f)
{
	for (unsigned i = 0; i < nr_insns; i++) {
		unsigned n = insns[i].feature;

		if ((insns[i].thunk || insns[i].attr & A_AVX) && !x86_fpu_host_runs(n))
			f->have[n / 8] &= (u8) ~(1u << n % 8);
	}
}

void x87_set_top(struct x87_state *x, unsigned top)
{
	unsigned old = x->fsw >> FSW_TOP_SHIFT & 7;
	struct x87_state was = *x;

	for (unsigned i = 0; i < 8; i++)
		x->st[(i + old - top) & 7] = was.st[i];
	x->fsw = (u16)((x->fsw & ~FSW_TOP) | top << FSW_TOP_SHIFT);
}

void mmx_enter(struct x86_cpu *cpu)
{
	struct x87_state *x = &cpu->st.x87;

	if (x->fsw & FSW_TOP)
		x87_set_top(x, 0);
	x->ftw = 0xff;
}

void vec_raise_xm(struct x86_cpu *cpu)
{
	if (!(cpu->st.cr4 & CR4_OSXMMEXCPT))
		x86_raise_ud(cpu);
	x86_raise_noerr(cpu, X86_XM);
}

/*
 * Loading MXCSR costs, so the host runs with whatever flags there are: they mean nothing to
 * it.  If its control bits are the guest's and its flags a subset, the new flags come out
 * right without loading.  fp_leave() puts back the default controls where they differ.
 */
void fp_enter(struct x86_cpu *cpu)
{
	u32 guest = cpu->st.mxcsr & MXCSR_VALID, host = host_mxcsr_get();

	if (__builtin_expect((~guest & MXCSR_MASKS) != 0, 0))
		host_catch_simd_traps();
	if (((guest ^ host) & ~MXCSR_FLAGS) | (host & ~guest))
		host_mxcsr_set(guest);
}

void fp_leave(struct x86_cpu *cpu, int trapped)
{
	u32 host = host_mxcsr_get();

	cpu->st.mxcsr |= host & MXCSR_FLAGS;
	if ((host ^ MXCSR_DEFAULT) & ~MXCSR_FLAGS)
		host_mxcsr_set(MXCSR_DEFAULT);
	if (__builtin_expect(trapped, 0))
		vec_raise_xm(cpu);
}

const void *vec_src(struct x86_cpu *cpu, const struct op *op, const struct insn *in, u64 buf[2])
{
	unsigned size;

	if (!(op->flags & OP_MEM))
		return &cpu->st.v[op->rm];
	size = opnd_mem(op, in->src);
	if (size == 16) {
		vec_load(cpu, op, in->attr & A_ALIGN, buf);
	} else {
		buf[0] = mem_read(cpu, op->seg, op_ea(cpu, op), size);
		buf[1] = 0;
	}
	return buf;
}

const u64 *mmx_src(struct x86_cpu *cpu, const struct op *op, const struct insn *in, u64 *buf)
{
	if (op->flags & OP_MEM)
		*buf = mem_read(cpu, op->seg, op_ea(cpu, op), opnd_mem(op, in->src));
	else
		*buf = mmx_get(cpu, op->rm);
	return buf;
}

void vec_store16(struct x86_cpu *cpu, const struct op *op, bool align, const u64 v[2])
{
	u64 ea = op_ea(cpu, op), lin;
	const struct tlb_ent *t;

	if (align && ((ea + cpu->seg_base[op->seg]) & 15))
		x86_raise_gp(cpu, 0);
	mem_check_align(cpu, op->seg, ea, 16, 16, MEM_WRITE);
	lin = mem_linear(cpu, op->seg, ea, 16, MEM_WRITE);
	t = &cpu->view->wr[lin >> PAGE_BITS & (TLB_ENTRIES - 1)];
	if (__builtin_expect((lin ^ t->tag) <= PAGE_SIZE_4K - 16, 1)) {
		ram_store(tlb_host(t, lin), v[0], 8);
		ram_store((u8 *)tlb_host(t, lin) + 8, v[1], 8);
	} else {
		mem_write_buf(cpu, op->seg, ea, v, 16);
	}
}
