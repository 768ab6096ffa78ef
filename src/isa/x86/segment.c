/* SPDX-License-Identifier: MIT */
/*
 * segment.c - segmentation: loading segment registers, and from segment and offset to linear.
 *
 * Source: SDM volume 3A, "Protected-Mode Memory Management" and "Protection".
 */
#include "isa/x86/priv.h"

static bool in_table(const struct x86_cpu *cpu, u16 sel, unsigned bytes, u64 *lin)
{
	u64 base = cpu->st.gdtr.base;
	u32 limit = cpu->st.gdtr.limit;
	u16 off = sel & ~7;

	if (sel & 4) {
		if (!(cpu->st.ldtr.attr & SEG_P))
			return false;
		base = cpu->st.ldtr.base;
		limit = cpu->st.ldtr.limit;
	}
	*lin = sys_addr(cpu, base + off);
	return off + bytes - 1 <= limit;
}

bool x86_read_desc(struct x86_cpu *cpu, u16 sel, struct desc *d)
{
	d->sel = sel;
	d->high = 0;
	if (!in_table(cpu, sel, 8, &d->lin))
		return false;
	d->raw = sys_read(cpu, d->lin, 8);
	return true;
}

bool x86_read_sys_desc(struct x86_cpu *cpu, u16 sel, struct desc *d)
{
	if (!x86_read_desc(cpu, sel, d))
		return false;
	if (!cpu->long_mode || desc_is_seg(d->raw))
		return true;
	if (!in_table(cpu, sel, 16, &d->lin))
		return false;
	d->high = sys_read(cpu, d->lin + 8, 8);
	return true;
}

/* As many tries as any contention between CPUs needs; a device in its place ends it too. */
enum { CHANGE_TRIES = 1000 };

void x86_change_desc(struct x86_cpu *cpu, struct desc *d, u32 set, u32 clear)
{
	struct mem_rmw r;
	u64 old = mem_rmw_begin(cpu, SEG_SYSTEM, sys_addr(cpu, d->lin + 4), 4, &r);

	for (unsigned i = 0; i < CHANGE_TRIES; i++)
		if (mem_rmw_cmpxchg(cpu, &r, &old, (old | set) & ~(u64)clear))
			break;
	d->raw = (d->raw | (u64)set << 32) & ~((u64)clear << 32);
}

void x86_mark_accessed(struct x86_cpu *cpu, struct desc *d)
{
	if (!(d->raw >> 32 & DESC_HI_ACCESSED))
		x86_change_desc(cpu, d, DESC_HI_ACCESSED, 0);
}

struct seg x86_desc_seg(const struct desc *d, u16 sel)
{
	return (struct seg){
		.base = desc_base(d->raw) | (desc_is_seg(d->raw) ? 0 : d->high << 32),
		.limit = desc_limit(d->raw),
		.sel = sel,
		.attr = desc_attr(d->raw),
	};
}

void x86_note_flat(struct x86_cpu *cpu, enum seg_reg reg)
{
	const struct seg *s = &cpu->st.seg[reg];
	u16 want = SEG_P | SEG_S | SEG_RW, mask = want | SEG_CODE | SEG_EC;
	bool wide = s->limit == ~0u && (s->attr & mask) == want, flat = wide && !s->base;

	cpu->seg_flat = (u8)((cpu->seg_flat & ~(1u << reg)) | (unsigned)flat << reg);
	cpu->seg_wide = (u8)((cpu->seg_wide & ~(1u << reg)) | (unsigned)wide << reg);
}

void x86_put_seg(struct x86_cpu *cpu, enum seg_reg reg, const struct seg *s)
{
	cpu->st.seg[reg] = *s;
	if (!cpu->code64 || reg == SEG_FS || reg == SEG_GS)
		cpu->seg_base[reg] = s->base;
	x86_note_flat(cpu, reg);
	if (reg == SEG_SS && !cpu->code64)
		cpu->stack_size = s->attr & SEG_DB ? 4 : 2;
}

static struct seg null_seg(u16 sel, unsigned dpl)
{
	return (struct seg){.sel = sel, .attr = (u16)(dpl << SEG_DPL_SHIFT)};
}

void x86_set_seg_real(struct x86_cpu *cpu, enum seg_reg reg, u16 sel)
{
	struct seg s = cpu->st.seg[reg];

	s.sel = sel;
	s.base = (u32)sel << 4;
	if (x86_v86(cpu)) {
		s.limit = 0xffff;
		s.attr = SEG_P | SEG_S | SEG_DPL | SEG_RW | SEG_A;
	} else {
		/* Limit and size stay as they were: "unreal" mode. */
		s.attr |= SEG_P | SEG_S;
	}
	x86_put_seg(cpu, reg, &s);
}

struct seg x86_check_ss(struct x86_cpu *cpu, u16 sel, unsigned cpl, u8 vector, unsigned ext)
{
	u32 error = (sel & 0xfffc) | ext;
	struct desc d;

	if (x86_null_sel(sel) || !x86_read_desc(cpu, sel, &d))
		x86_raise_err(cpu, vector, error);
	if (!desc_is_seg(d.raw) || desc_is_code(d.raw) || !(desc_attr(d.raw) & SEG_RW) ||
	    (sel & 3) != cpl || desc_dpl(d.raw) != cpl)
		x86_raise_err(cpu, vector, error);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, X86_SS, error);
	x86_mark_accessed(cpu, &d);
	return x86_desc_seg(&d, sel);
}

static void load_ss(struct x86_cpu *cpu, u16 sel)
{
	struct seg s;

	if (x86_null_sel(sel) && cpu->code64 && cpu->cpl < 3 && (sel & 3) == cpu->cpl)
		s = null_seg(sel, cpu->cpl);
	else
		s = x86_check_ss(cpu, sel, cpu->cpl, X86_GP, 0);
	x86_put_seg(cpu, SEG_SS, &s);
}

/* A data segment, or code that may be read, that RPL and CPL may use? */
static bool may_load_data(const struct x86_cpu *cpu, const struct desc *d)
{
	unsigned dpl = desc_dpl(d->raw);

	if (!desc_is_seg(d->raw))
		return false;
	if (desc_is_code(d->raw)) {
		if (!(desc_attr(d->raw) & SEG_RW))
			return false;
		if (desc_is_conforming(d->raw))
			return true;
	}
	return cpu->cpl <= dpl && (d->sel & 3) <= dpl;
}

void x86_load_seg(struct x86_cpu *cpu, enum seg_reg reg, u16 sel)
{
	struct desc d;
	struct seg s;

	if (!x86_protected(cpu)) {
		x86_set_seg_real(cpu, reg, sel);
		return;
	}
	if (reg == SEG_SS) {
		load_ss(cpu, sel);
		return;
	}
	if (x86_null_sel(sel)) {
		s = null_seg(sel, 0);
		x86_put_seg(cpu, reg, &s);
		return;
	}
	if (!x86_read_desc(cpu, sel, &d) || !may_load_data(cpu, &d))
		x86_raise_gp(cpu, sel & 0xfffc);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, X86_NP, sel & 0xfffc);
	x86_mark_accessed(cpu, &d);
	s = x86_desc_seg(&d, sel);
	x86_put_seg(cpu, reg, &s);
}

void x86_drop_inner_segs(struct x86_cpu *cpu)
{
	static const enum seg_reg regs[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++) {
		struct seg *s = &cpu->st.seg[regs[i]];
		unsigned dpl = s->attr >> SEG_DPL_SHIFT & 3;
		bool conforming = (s->attr & SEG_CODE) && (s->attr & SEG_EC);
		struct seg null = null_seg(0, 0);

		/* A null one loses its RPL, and keeps its base, which 64-bit code sets by MSR. */
		if (!(s->attr & SEG_P))
			s->sel = 0;
		else if (dpl < cpu->cpl && !conforming)
			x86_put_seg(cpu, regs[i], &null);
	}
}

void x86_load_ldt(struct x86_cpu *cpu, u16 sel, u8 vector)
{
	struct desc d;

	if (x86_null_sel(sel)) {
		cpu->st.ldtr = null_seg(sel, 0);
		return;
	}
	if ((sel & 4) || !x86_read_sys_desc(cpu, sel, &d) || desc_is_seg(d.raw) ||
	    desc_type(d.raw) != DESC_LDT)
		x86_raise_err(cpu, vector, sel & 0xfffc);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, vector == X86_TS ? X86_TS : X86_NP, sel & 0xfffc);
	if (!x86_canonical(desc_base(d.raw) | d.high << 32))
		x86_raise_err(cpu, vector, sel & 0xfffc);
	cpu->st.ldtr = x86_desc_seg(&d, sel);
}

/* Does [off, off + size) lie within s?  Offsets are 32 bits. */
static bool within_limit(const struct seg *s, u64 off, unsigned size)
{
	bool down = (s->attr & (SEG_CODE | SEG_EC)) == SEG_EC;

	if (off > 0xffffffff)
		return false;
	if (!down)
		return off + size - 1 <= s->limit;
	return off > s->limit && off + size - 1 <= (s->attr & SEG_DB ? 0xffffffff : 0xffff);
}

/* Real mode knows no types. */
static bool type_allows(const struct x86_cpu *cpu, const struct seg *s, enum mem_access acc)
{
	if (!x86_protected(cpu))
		return true;
	if (!(s->attr & SEG_P))
		return false;
	if (s->attr & SEG_CODE)
		return acc != MEM_WRITE && ((s->attr & SEG_RW) || acc == MEM_EXEC);
	return acc != MEM_WRITE || (s->attr & SEG_RW);
}

u64 x86_seg_linear(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size, enum mem_access acc)
{
	const struct seg *s;

	if (seg == SEG_SYSTEM)
		return off;
	if (cpu->code64)
		return off + cpu->seg_base[seg];
	s = &cpu->st.seg[seg];
	if (!type_allows(cpu, s, acc) || !within_limit(s, off, size))
		x86_raise_err(cpu, seg == SEG_SS ? X86_SS : X86_GP, 0);
	return (u32)(s->base + off);
}

/* --- stacks other than the current one --- */

void stack_push(struct x86_cpu *cpu, struct stack *s, u64 val, unsigned size)
{
	u64 lin;

	s->sp = (s->sp & ~stack_sp_mask(s)) | ((s->sp - size) & stack_sp_mask(s));
	if (s->flat) {
		lin = s->sp;
		if (!x86_canonical(lin) || !x86_canonical(lin + size - 1))
			x86_raise_err(cpu, X86_SS, s->ss_error);
	} else {
		u64 off = s->sp & stack_sp_mask(s);

		if (!within_limit(&s->ss, off, size))
			x86_raise_err(cpu, X86_SS, s->ss_error);
		lin = (u32)(s->ss.base + off);
	}
	mem_store_lin(cpu, s->cpl == cpu->cpl ? SEG_SS : SEG_SYSTEM, lin, val, size);
}

void x86_tss_stack(struct x86_cpu *cpu, unsigned cpl, unsigned ext, struct stack *s)
{
	const struct seg *tr = &cpu->st.tr;
	bool wide = (tr->attr & SEG_TYPE) >= DESC_TSS32;
	unsigned at = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
	unsigned size = wide ? 4 : 2;
	u16 sel;

	if (at + size + 2 - 1 > tr->limit)
		x86_raise_err(cpu, X86_TS, (tr->sel & 0xfffc) | ext);
	s->sp = sys_read(cpu, tr->base + at, size);
	sel = (u16)sys_read(cpu, tr->base + at + size, 2);
	s->ss = x86_check_ss(cpu, sel, cpl, X86_TS, ext);
	s->cpl = cpl;
	s->flat = false;
	s->ss_error = (sel & 0xfffc) | ext;
}

void x86_tss_stack64(struct x86_cpu *cpu, unsigned cpl, unsigned ist, unsigned ext, struct stack *s)
{
	const struct seg *tr = &cpu->st.tr;
	unsigned at = ist ? 36 + 8 * (ist - 1) : 4 + 8 * cpl;

	if (at + 7 > tr->limit)
		x86_raise_err(cpu, X86_TS, (tr->sel & 0xfffc) | ext);
	s->sp = sys_read(cpu, tr->base + at, 8);
	if (!x86_canonical(s->sp))
		x86_raise_err(cpu, X86_SS, ext);
	s->ss = null_seg((u16)cpl, cpl);
	s->cpl = cpl;
	s->flat = true;
	s->ss_error = ext;
}

void x86_commit_stack(struct x86_cpu *cpu, const struct stack *s)
{
	u64 mask = stack_sp_mask(s);

	cpu->st.seg[SEG_SS] = s->ss;
	if (mask == 0xffff)
		cpu->st.gpr[RSP] = (cpu->st.gpr[RSP] & ~mask) | (s->sp & mask);
	else
		cpu->st.gpr[RSP] = s->sp & mask;
}
