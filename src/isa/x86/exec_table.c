/* SPDX-License-Identifier: MIT */
/*
 * exec_table.c - descriptor-table and selector instructions.
 *
 * Source: SDM volume 2A and 2B, under each instruction; "User-Mode Instruction Prevention".
 */
#include "isa/x86/exec_system.h"
#include "isa/x86/priv.h"

static void need_protected(struct x86_cpu *cpu)
{
	if (!x86_protected(cpu))
		x86_raise_ud(cpu);
}

static void check_umip(struct x86_cpu *cpu)
{
	if ((cpu->st.cr4 & CR4_UMIP) && cpu->cpl)
		x86_raise_gp(cpu, 0);
}

/* A selector or status word: 16 bits in memory, the operand size in a register. */
static void store_word(struct x86_cpu *cpu, const struct op *op, u64 val)
{
	if (op->flags & OP_MEM)
		mem_write(cpu, op->seg, op_ea(cpu, op), val & 0xffff, 2);
	else
		gpr_write(cpu, op->rm, val, op->size);
}

/* --- GDTR, IDTR ---------------------------------------------------------------------------- */

static void load_table(struct x86_cpu *cpu, const struct op *op, struct desc_table *t)
{
	u8 img[10] = {0};
	u64 base;

	x86_need_cpl0(cpu);
	mem_read_buf(cpu, op->seg, op_ea(cpu, op), img, cpu->code64 ? 10 : 6);
	base = ld_le64(img + 2);
	if (!cpu->code64 && op->size == 2)
		base &= 0xffffff;
	if (!x86_canonical(base))
		x86_raise_gp(cpu, 0);
	t->base = base;
	t->limit = ld_le16(img);
}

static void store_table(struct x86_cpu *cpu, const struct op *op, const struct desc_table *t)
{
	u8 img[10];

	check_umip(cpu);
	st_le16(img, t->limit);
	st_le64(img + 2, t->base);
	mem_write_buf(cpu, op->seg, op_ea(cpu, op), img, cpu->code64 ? 10 : 6);
}

void exec_lgdt(struct x86_cpu *cpu, const struct op *op)
{
	load_table(cpu, op, &cpu->st.gdtr);
}

void exec_lidt(struct x86_cpu *cpu, const struct op *op)
{
	load_table(cpu, op, &cpu->st.idtr);
}

void exec_sgdt(struct x86_cpu *cpu, const struct op *op)
{
	store_table(cpu, op, &cpu->st.gdtr);
}

void exec_sidt(struct x86_cpu *cpu, const struct op *op)
{
	store_table(cpu, op, &cpu->st.idtr);
}

/* --- LDTR, TR -------------------------------------------------------------------------------- */

void exec_lldt(struct x86_cpu *cpu, const struct op *op)
{
	need_protected(cpu);
	x86_need_cpl0(cpu);
	x86_load_ldt(cpu, (u16)rm_read(cpu, op, 2), X86_GP);
}

void exec_ltr(struct x86_cpu *cpu, const struct op *op)
{
	struct desc d;
	u16 sel;

	need_protected(cpu);
	x86_need_cpl0(cpu);
	sel = (u16)rm_read(cpu, op, 2);
	if (x86_null_sel(sel))
		x86_raise_gp(cpu, 0);
	if ((sel & 4) || !x86_read_sys_desc(cpu, sel, &d) || desc_is_seg(d.raw))
		x86_raise_gp(cpu, sel & 0xfffc);
	if (desc_type(d.raw) != DESC_TSS32 && (cpu->long_mode || desc_type(d.raw) != DESC_TSS16))
		x86_raise_gp(cpu, sel & 0xfffc);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, X86_NP, sel & 0xfffc);
	if (!x86_canonical(desc_base(d.raw) | d.high << 32))
		x86_raise_gp(cpu, sel & 0xfffc);
	x86_change_desc(cpu, &d, DESC_HI_BUSY, 0);
	cpu->st.tr = x86_desc_seg(&d, sel);
}

void exec_sldt(struct x86_cpu *cpu, const struct op *op)
{
	need_protected(cpu);
	check_umip(cpu);
	store_word(cpu, op, cpu->st.ldtr.sel);
}

void exec_str(struct x86_cpu *cpu, const struct op *op)
{
	need_protected(cpu);
	check_umip(cpu);
	store_word(cpu, op, cpu->st.tr.sel);
}

void exec_smsw(struct x86_cpu *cpu, const struct op *op)
{
	check_umip(cpu);
	store_word(cpu, op, cpu->st.cr0);
}

/* --- what a selector allows ------------------------------------------------------------------ */

static bool visible(const struct x86_cpu *cpu, const struct desc *d)
{
	unsigned dpl = desc_dpl(d->raw);

	if (desc_is_code(d->raw) && desc_is_conforming(d->raw))
		return true;
	return cpu->cpl <= dpl && (d->sel & 3) <= dpl;
}

static bool verify(struct x86_cpu *cpu, u16 sel, bool write)
{
	struct desc d;

	if (x86_null_sel(sel) || !x86_read_desc(cpu, sel, &d))
		return false;
	if (!desc_is_seg(d.raw) || !visible(cpu, &d))
		return false;
	if (desc_is_code(d.raw))
		return !write && (desc_attr(d.raw) & SEG_RW);
	return !write || (desc_attr(d.raw) & SEG_RW);
}

static void put_zf(struct x86_cpu *cpu, bool zf)
{
	flags_change(cpu, FL_ZF, zf ? FL_ZF : 0);
}

void exec_verr(struct x86_cpu *cpu, const struct op *op)
{
	need_protected(cpu);
	put_zf(cpu, verify(cpu, (u16)rm_read(cpu, op, 2), false));
}

void exec_verw(struct x86_cpu *cpu, const struct op *op)
{
	need_protected(cpu);
	put_zf(cpu, verify(cpu, (u16)rm_read(cpu, op, 2), true));
}

/* types, types_long: bit n is set if system type n will do. */
static bool inspect(struct x86_cpu *cpu, u16 sel, u16 types, u16 types_long, struct desc *d)
{
	if (x86_null_sel(sel) || !x86_read_sys_desc(cpu, sel, d) || !visible(cpu, d))
		return false;
	if (desc_is_seg(d->raw))
		return true;
	return (cpu->long_mode ? types_long : types) >> desc_type(d->raw) & 1;
}

enum {
	LSL_TYPES_LONG = 1 << DESC_LDT | 1 << DESC_TSS32 | 1 << DESC_TSS32_BUSY,
	LSL_TYPES = LSL_TYPES_LONG | 1 << DESC_TSS16 | 1 << DESC_TSS16_BUSY,
	LAR_TYPES_LONG = LSL_TYPES_LONG | 1 << DESC_CALL32,
	LAR_TYPES = LSL_TYPES | 1 << DESC_CALL16 | 1 << DESC_CALL32 | 1 << DESC_TASK_GATE,
};

void exec_lar(struct x86_cpu *cpu, const struct op *op)
{
	struct desc d;
	bool ok;

	need_protected(cpu);
	ok = inspect(cpu, (u16)rm_read(cpu, op, 2), LAR_TYPES, LAR_TYPES_LONG, &d);
	if (ok)
		reg_write(cpu, op, d.raw >> 32 & 0xffff00, op->size);
	put_zf(cpu, ok);
}

void exec_lsl(struct x86_cpu *cpu, const struct op *op)
{
	struct desc d;
	bool ok;

	need_protected(cpu);
	ok = inspect(cpu, (u16)rm_read(cpu, op, 2), LSL_TYPES, LSL_TYPES_LONG, &d);
	if (ok)
		reg_write(cpu, op, desc_limit(d.raw), op->size);
	put_zf(cpu, ok);
}

void exec_arpl(struct x86_cpu *cpu, const struct op *op)
{
	u64 dst, rpl;
	bool raise;

	need_protected(cpu);
	rpl = reg_read(cpu, op, 2) & 3;
	dst = rm_read(cpu, op, 2);
	raise = (dst & 3) < rpl;
	if (raise)
		rm_write(cpu, op, (dst & ~3ull) | rpl, 2);
	put_zf(cpu, raise);
}

/* --- segment registers --------------------------------------------------------------------- */

/* Loading SS holds off interrupts and traps until RSP is loaded, too. */
static void shadow_after_ss(struct x86_cpu *cpu, unsigned reg)
{
	if (reg == SEG_SS)
		cpu->st.irq_shadow = cpu->st.shadow_is_movss = true;
}

void exec_mov_to_sreg(struct x86_cpu *cpu, const struct op *op)
{
	if (op->reg >= NR_SEGS || op->reg == SEG_CS)
		x86_raise_ud(cpu);
	x86_load_seg(cpu, op->reg, (u16)rm_read(cpu, op, 2));
	shadow_after_ss(cpu, op->reg);
}

void exec_mov_from_sreg(struct x86_cpu *cpu, const struct op *op)
{
	if (op->reg >= NR_SEGS)
		x86_raise_ud(cpu);
	store_word(cpu, op, cpu->st.seg[op->reg].sel);
}

void exec_push_sreg(struct x86_cpu *cpu, const struct op *op)
{
	x86_push(cpu, cpu->st.seg[op->reg].sel, op->size);
}

void exec_pop_sreg(struct x86_cpu *cpu, const struct op *op)
{
	u64 sp = cpu->st.gpr[RSP], mask = stack_mask(cpu);
	u16 sel = (u16)pop_at(cpu, &sp, op->size);

	x86_load_seg(cpu, op->reg, sel);
	/* The width of SP is that of the stack popped from. */
	cpu->st.gpr[RSP] = mask == 0xffff ? (cpu->st.gpr[RSP] & ~mask) | (sp & mask) : sp & mask;
	shadow_after_ss(cpu, op->reg);
}
