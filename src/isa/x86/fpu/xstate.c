/* SPDX-License-Identifier: MIT */
/*
 * xstate.c - FXSAVE, FXRSTOR, LDMXCSR, STMXCSR and the XSAVE family.
 *
 * A state component is a row of xcomps[].  A component is "in use" when it differs from its
 * initial configuration, and everything counts as modified since the last XRSTOR.
 *
 * Source: SDM volume 1, "Managing State Using the XSAVE Feature Set".
 */
#include "isa/x86/fpu/fpu.h"

enum {
	LEGACY = 512,
	HEADER = 64,
	HDR_BV = 512,
	HDR_COMP = 520,
	XSAVE_MIN = LEGACY + HEADER,
	FX_MXCSR = 24,
	FX_ST = 32,
	FX_XMM = 160,
	FX_END = 416,
	MAX_AREA = 4096,
};
#define COMPACTED (1ull << 63)

static unsigned nr_xmm(const struct x86_cpu *cpu)
{
	return cpu->code64 ? 16 : 8;
}

/* --- component 0: x87 --- */

static bool x87_in_use(const struct cpu_state *st)
{
	static const struct x87_state initial = {.fcw = FCW_DEFAULT};

	return memcmp(&st->x87, &initial, offsetof(struct x87_state, fds) + 2) != 0;
}

static void x87_put(const struct cpu_state *st, u8 *img, bool rex_w)
{
	const struct x87_state *x = &st->x87;

	st_le16(img, x->fcw);
	st_le16(img + 2, x->fsw);
	st_le16(img + 4, x->ftw);
	st_le16(img + 6, x->fop);
	st_le64(img + 8, rex_w ? x->fip : (u32)x->fip | (u64)x->fcs << 32);
	st_le64(img + 16, rex_w ? x->fdp : (u32)x->fdp | (u64)x->fds << 32);
	for (unsigned i = 0; i < 8; i++) {
		st_le64(img + FX_ST + 16 * i, x->st[i].mant);
		st_le64(img + FX_ST + 16 * i + 8, x->st[i].sexp);
	}
}

static void x87_get(struct cpu_state *st, const u8 *img, bool rex_w)
{
	struct x87_state *x = &st->x87;
	u64 ip = ld_le64(img + 8), dp = ld_le64(img + 16);

	x->fcw = (ld_le16(img) & 0x1f3f) | 0x40;
	x->fsw = fsw_summary(ld_le16(img + 2), x->fcw);
	x->ftw = img[4];
	x->fop = ld_le16(img + 6) & 0x7ff;
	x->fip = rex_w ? ip : (u32)ip;
	x->fdp = rex_w ? dp : (u32)dp;
	x->fcs = rex_w ? 0 : (u16)(ip >> 32);
	x->fds = rex_w ? 0 : (u16)(dp >> 32);
	for (unsigned i = 0; i < 8; i++) {
		x->st[i].mant = ld_le64(img + FX_ST + 16 * i);
		x->st[i].sexp = ld_le16(img + FX_ST + 16 * i + 8);
	}
}

/* --- the table --- */

/*
 * A part of n registers, eights of bytes: bytes [first, first + len) of vector registers from
 * reg on, or the opmasks.  x87 (component 0) and MXCSR are apart.  offset is that in the
 * standard format, where AMD's have it.
 */
struct xcomp {
	u8 bit;
	u16 offset, size;
	u8 reg, first, len;
};

enum { XC_SSE = 1, XC_AVX, XC_OPMASK = 5, XC_ZMM_HI256, XC_HI16_ZMM };

static const struct xcomp xcomps[] = {
	{.bit = XC_SSE, .offset = FX_XMM, .size = 256, .first = 0, .len = 16},
	{.bit = XC_AVX, .offset = 576, .size = 256, .first = 16, .len = 16},
	{.bit = XC_OPMASK, .offset = 832, .size = 64, .len = 8},
	{.bit = XC_ZMM_HI256, .offset = 896, .size = 512, .first = 32, .len = 32},
	{.bit = XC_HI16_ZMM, .offset = 1408, .size = 1024, .reg = 16, .len = 64},
};

/* How many registers of a component there are in this mode. */
static unsigned comp_regs(const struct x86_cpu *cpu, const struct xcomp *c)
{
	if (c->bit == XC_OPMASK)
		return 8;
	return c->bit == XC_HI16_ZMM && !cpu->code64 ? 0 : nr_xmm(cpu);
}

static u8 *comp_part(struct cpu_state *st, const struct xcomp *c, unsigned i)
{
	return c->bit == XC_OPMASK ? (u8 *)&st->kmask[i] : st->v[c->reg + i].b + c->first;
}

static void put_comp(struct x86_cpu *cpu, const struct xcomp *c, u8 *p)
{
	for (unsigned i = 0; i < comp_regs(cpu, c); i++)
		memcpy(p + c->len * i, comp_part(&cpu->st, c, i), c->len);
}

/* p is NULL: the initial state. */
static void get_comp(struct x86_cpu *cpu, const struct xcomp *c, const u8 *p)
{
	for (unsigned i = 0; i < comp_regs(cpu, c); i++) {
		u8 *to = comp_part(&cpu->st, c, i);

		if (p)
			memcpy(to, p + c->len * i, c->len);
		else
			memset(to, 0, c->len);
	}
}

static bool comp_in_use(struct x86_cpu *cpu, const struct xcomp *c)
{
	u64 any = 0;

	for (unsigned i = 0; i < comp_regs(cpu, c); i++)
		for (unsigned k = 0; k < c->len; k += 8)
			any |= ld_le64(comp_part(&cpu->st, c, i) + k);
	return any;
}

static u64 xinuse(struct x86_cpu *cpu)
{
	u64 bv = x87_in_use(&cpu->st);

	for (unsigned i = 0; i < ARRAY_SIZE(xcomps); i++)
		if (comp_in_use(cpu, &xcomps[i]))
			bv |= 1ull << xcomps[i].bit;
	return bv;
}

/* Where a component lies; in the compacted format this depends on those before it. */
static unsigned comp_offset(const struct xcomp *c, u64 compacted)
{
	unsigned off = XSAVE_MIN;

	if (!compacted || c->bit < 2)
		return c->offset;
	for (unsigned i = 0; i < ARRAY_SIZE(xcomps) && xcomps[i].bit <= c->bit; i++) {
		if (xcomps[i].bit < 2 || !(compacted >> xcomps[i].bit & 1))
			continue;
		if (xcomps[i].bit == c->bit)
			return off;
		off += xcomps[i].size;
	}
	return off;
}

unsigned x86_xsave_size(u64 mask, bool compact)
{
	unsigned size = XSAVE_MIN;

	for (unsigned i = 0; i < ARRAY_SIZE(xcomps); i++) {
		unsigned end =
			comp_offset(&xcomps[i], compact ? mask | COMPACTED : 0) + xcomps[i].size;

		if (mask >> xcomps[i].bit & 1 && end > size)
			size = end;
	}
	return size;
}

bool x86_xsave_comp(unsigned bit, u32 *size, u32 *offset)
{
	for (unsigned i = 0; i < ARRAY_SIZE(xcomps); i++) {
		if (xcomps[i].bit != bit)
			continue;
		*size = xcomps[i].size;
		*offset = xcomps[i].offset;
		return true;
	}
	return false;
}

/* --- FXSAVE --- */

static void put_xmm(const struct cpu_state *st, u8 *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memcpy(p + 16 * i, st->v[i].b, 16);
}

static void get_xmm(struct cpu_state *st, const u8 *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		memcpy(st->v[i].b, p + 16 * i, 16);
}

static void fx_put(const struct cpu_state *st, u8 *img, bool rex_w, unsigned xmms)
{
	x87_put(st, img, rex_w);
	st_le32(img + FX_MXCSR, st->mxcsr);
	st_le32(img + FX_MXCSR + 4, MXCSR_VALID);
	put_xmm(st, img + FX_XMM, xmms);
}

void x86_fxsave_image(const struct cpu_state *st, u8 img[512], bool rex_w)
{
	memset(img, 0, LEGACY);
	fx_put(st, img, rex_w, 16);
}

void x86_fxrstor_image(struct cpu_state *st, const u8 img[512], bool rex_w)
{
	x87_get(st, img, rex_w);
	st->mxcsr = ld_le32(img + FX_MXCSR) & MXCSR_VALID;
	get_xmm(st, img + FX_XMM, 16);
}

static u64 fx_ea(struct x86_cpu *cpu, const struct op *op, unsigned size, unsigned align,
		 enum mem_access acc)
{
	u64 ea = op_ea(cpu, op);

	if (mem_linear(cpu, op->seg, ea, size, acc) & (align - 1))
		x86_raise_gp(cpu, 0);
	return ea;
}

static void fx_check(struct x86_cpu *cpu)
{
	if (cpu->st.cr0 & (CR0_EM | CR0_TS))
		x86_raise_noerr(cpu, X86_NM);
}

/* Bytes 416 to 511 are software's. */
void exec_fxsave(struct x86_cpu *cpu, const struct op *op)
{
	unsigned xmms = nr_xmm(cpu);
	u8 img[FX_END];
	u64 ea;

	fx_check(cpu);
	ea = fx_ea(cpu, op, LEGACY, 16, MEM_WRITE);
	fx_put(&cpu->st, img, op->flags & OP_REX_W, xmms);
	mem_probe(cpu, op->seg, ea, LEGACY, MEM_WRITE);
	mem_write_buf(cpu, op->seg, ea, img, FX_XMM + 16 * xmms);
}

void exec_fxrstor(struct x86_cpu *cpu, const struct op *op)
{
	u8 img[LEGACY];
	u64 ea;

	fx_check(cpu);
	ea = fx_ea(cpu, op, LEGACY, 16, MEM_READ);
	mem_read_buf(cpu, op->seg, ea, img, LEGACY);
	if (ld_le32(img + FX_MXCSR) & ~(u32)MXCSR_VALID)
		x86_raise_gp(cpu, 0);
	x87_get(&cpu->st, img, op->flags & OP_REX_W);
	cpu->st.mxcsr = ld_le32(img + FX_MXCSR);
	get_xmm(&cpu->st, img + FX_XMM, nr_xmm(cpu));
}

void exec_ldmxcsr(struct x86_cpu *cpu, const struct op *op)
{
	u32 v;

	check_sse(cpu, op);
	v = (u32)mem_read(cpu, op->seg, op_ea(cpu, op), 4);
	if (v & ~(u32)MXCSR_VALID)
		x86_raise_gp(cpu, 0);
	cpu->st.mxcsr = v;
}

void exec_stmxcsr(struct x86_cpu *cpu, const struct op *op)
{
	check_sse(cpu, op);
	mem_write(cpu, op->seg, op_ea(cpu, op), cpu->st.mxcsr, 4);
}

/* --- XSAVE and its kin --- */

enum xsave_kind { XSAVE, XSAVEOPT, XSAVEC };

static u64 requested(struct x86_cpu *cpu)
{
	return ((u64)(u32)cpu->st.gpr[RDX] << 32 | (u32)cpu->st.gpr[RAX]) & cpu->st.xcr0;
}

static void xs_check(struct x86_cpu *cpu)
{
	if (!(cpu->st.cr4 & CR4_OSXSAVE))
		x86_raise_ud(cpu);
	if (cpu->st.cr0 & CR0_TS)
		x86_raise_noerr(cpu, X86_NM);
}

/* Write the components in "which", laid out as comp_bv says. */
static void write_comps(struct x86_cpu *cpu, const struct op *op, u64 ea, u64 which, u64 comp_bv)
{
	u8 img[MAX_AREA];

	if (which & 1) {
		x87_put(&cpu->st, img, op->flags & OP_REX_W);
		mem_write_buf(cpu, op->seg, ea, img, FX_MXCSR);
		mem_write_buf(cpu, op->seg, ea + FX_ST, img + FX_ST, FX_XMM - FX_ST);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(xcomps); i++) {
		const struct xcomp *c = &xcomps[i];

		if (!(which >> c->bit & 1))
			continue;
		put_comp(cpu, c, img);
		if (comp_regs(cpu, c))
			mem_write_buf(cpu, op->seg, ea + comp_offset(c, comp_bv), img,
				      c->len * comp_regs(cpu, c));
	}
}

static void xsave(struct x86_cpu *cpu, const struct op *op, enum xsave_kind kind)
{
	u64 rfbm, bv, which, comp_bv = 0;
	bool mxcsr;
	u8 buf[16];
	u64 ea;

	xs_check(cpu);
	rfbm = requested(cpu);
	ea = fx_ea(cpu, op, XSAVE_MIN, 64, MEM_WRITE);
	bv = xinuse(cpu);
	if (kind == XSAVEC) {
		if (cpu->st.mxcsr != MXCSR_DEFAULT)
			bv |= 2;
		comp_bv = rfbm | COMPACTED;
	}
	mem_probe(cpu, op->seg, ea, x86_xsave_size(rfbm, comp_bv != 0), MEM_WRITE);
	which = kind == XSAVE ? rfbm : rfbm & bv;
	if (kind == XSAVEC)
		st_le64(buf, bv & rfbm);
	else
		st_le64(buf, (mem_read(cpu, op->seg, ea + HDR_BV, 8) & ~rfbm) | (bv & rfbm));
	st_le64(buf + 8, comp_bv);

	write_comps(cpu, op, ea, which, comp_bv);
	mxcsr = kind == XSAVEC ? which & 2 : rfbm & 6;
	mem_write_buf(cpu, op->seg, ea + HDR_BV, buf, kind == XSAVEC ? 16 : 8);
	if (mxcsr) {
		st_le32(buf, cpu->st.mxcsr);
		st_le32(buf + 4, MXCSR_VALID);
		mem_write_buf(cpu, op->seg, ea + FX_MXCSR, buf, 8);
	}
}

void exec_xsave(struct x86_cpu *cpu, const struct op *op)
{
	xsave(cpu, op, XSAVE);
}

void exec_xsaveopt(struct x86_cpu *cpu, const struct op *op)
{
	xsave(cpu, op, XSAVEOPT);
}

void exec_xsavec(struct x86_cpu *cpu, const struct op *op)
{
	xsave(cpu, op, XSAVEC);
}

/* No supervisor components: IA32_XSS is 0. */
void exec_xsaves(struct x86_cpu *cpu, const struct op *op)
{
	if (cpu->cpl)
		x86_raise_gp(cpu, 0);
	xsave(cpu, op, XSAVEC);
}

/* #GP unless the header is one that XRSTOR takes. */
static void check_header(struct x86_cpu *cpu, const u8 *area, bool must_be_compacted)
{
	u64 bv = ld_le64(area + HDR_BV), comp = ld_le64(area + HDR_COMP);
	bool bad;

	if (comp & COMPACTED) {
		bad = comp & ~COMPACTED & ~cpu->st.xcr0 || bv & ~comp || !x86_has(cpu, FEAT_XSAVEC);
		for (unsigned i = HDR_COMP + 8; i < XSAVE_MIN; i++)
			bad |= area[i] != 0;
	} else {
		bad = must_be_compacted || comp || ld_le64(area + HDR_COMP + 8) ||
		      bv & ~cpu->st.xcr0;
	}
	if (bad)
		x86_raise_gp(cpu, 0);
}

static void x87_initial(struct cpu_state *st)
{
	memset(&st->x87, 0, sizeof(st->x87));
	st->x87.fcw = FCW_DEFAULT;
}

static void restore_comps(struct x86_cpu *cpu, const u8 *area, u64 rfbm, u64 bv, bool rex_w)
{
	if (rfbm & bv & 1)
		x87_get(&cpu->st, area, rex_w);
	else if (rfbm & 1)
		x87_initial(&cpu->st);
	for (unsigned i = 0; i < ARRAY_SIZE(xcomps); i++) {
		const struct xcomp *c = &xcomps[i];
		const u8 *p = area + comp_offset(c, ld_le64(area + HDR_COMP));

		if (rfbm >> c->bit & 1)
			get_comp(cpu, c, bv >> c->bit & 1 ? p : NULL);
	}
}

static void xrstor(struct x86_cpu *cpu, const struct op *op, bool must_be_compacted)
{
	u8 area[MAX_AREA];
	u64 rfbm, bv, ea, comp;
	u32 mxcsr = cpu->st.mxcsr;
	unsigned size;

	xs_check(cpu);
	rfbm = requested(cpu);
	ea = fx_ea(cpu, op, XSAVE_MIN, 64, MEM_READ);
	mem_read_buf(cpu, op->seg, ea, area, XSAVE_MIN);
	check_header(cpu, area, must_be_compacted);
	bv = ld_le64(area + HDR_BV);
	comp = ld_le64(area + HDR_COMP);
	size = x86_xsave_size(comp ? comp & ~COMPACTED : rfbm & bv, comp != 0);
	if (size > XSAVE_MIN)
		mem_read_buf(cpu, op->seg, ea + XSAVE_MIN, area + XSAVE_MIN, size - XSAVE_MIN);
	/* The compacted format treats MXCSR as part of SSE, the standard one apart. */
	if (comp ? rfbm & bv & 2 : rfbm & 6)
		mxcsr = ld_le32(area + FX_MXCSR);
	else if (comp && rfbm & 2)
		mxcsr = MXCSR_DEFAULT;
	if (mxcsr & ~(u32)MXCSR_VALID)
		x86_raise_gp(cpu, 0);
	restore_comps(cpu, area, rfbm, bv, op->flags & OP_REX_W);
	cpu->st.mxcsr = mxcsr;
}

void exec_xrstor(struct x86_cpu *cpu, const struct op *op)
{
	xrstor(cpu, op, false);
}

void exec_xrstors(struct x86_cpu *cpu, const struct op *op)
{
	if (cpu->cpl)
		x86_raise_gp(cpu, 0);
	xrstor(cpu, op, true);
}
