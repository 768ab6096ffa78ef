/* SPDX-License-Identifier: MIT */
/*
 * task.c - hardware task switches, with 16- and 32-bit task states.
 *
 * What can fault on the way is touched first.  Then the old task is stored and the new one's
 * registers are in place before its segments are checked: a fault from there on belongs to
 * the new task, whose EIP it pushes.
 *
 * Source: SDM volume 3A, "Task Management", "Task Switching".
 */
#include "isa/x86/priv.h"

enum { TSS32_LIMIT = 103, TSS16_LIMIT = 43 };

/* Offsets in a task state: 32-bit, 16-bit. */
struct tss_layout {
	u8 size; /* of a register */
	u8 cr3;	 /* 0: none */
	u8 eip, flags, gpr, seg, ldt;
	u8 nr_segs;
	u8 save_end; /* one past the last byte stored on leaving */
	u8 limit;
};

static const struct tss_layout tss32 = {.size = 4,
					.cr3 = 28,
					.eip = 32,
					.flags = 36,
					.gpr = 40,
					.seg = 72,
					.ldt = 96,
					.nr_segs = 6,
					.save_end = 96,
					.limit = TSS32_LIMIT};
static const struct tss_layout tss16 = {.size = 2,
					.eip = 14,
					.flags = 16,
					.gpr = 18,
					.seg = 34,
					.ldt = 42,
					.nr_segs = 4,
					.save_end = 42,
					.limit = TSS16_LIMIT};

enum { TSS32_TRAP = 100 };

static const struct tss_layout *layout(unsigned type)
{
	return (type & ~2u) == DESC_TSS32 ? &tss32 : &tss16;
}

/* What a task state holds. */
struct task {
	u64 cr3, eip, flags;
	u64 gpr[8];
	u16 seg[NR_SEGS];
	u16 ldt;
	bool trap;
};

/* The TSS descriptor of the task to go to. */
static void read_tss_desc(struct x86_cpu *cpu, u16 sel, enum task_reason why, unsigned ext,
			  struct desc *d)
{
	u32 error = (sel & 0xfffc) | ext;
	u8 vector = why == TASK_IRET ? X86_TS : X86_GP;
	unsigned want = why == TASK_IRET ? DESC_TSS16_BUSY : DESC_TSS16;

	if ((sel & 4) || x86_null_sel(sel) || !x86_read_desc(cpu, sel, d))
		x86_raise_err(cpu, vector, error);
	if (desc_is_seg(d->raw) || (desc_type(d->raw) & 7) != want)
		x86_raise_err(cpu, vector, error);
	if (!desc_present(d->raw))
		x86_raise_err(cpu, X86_NP, error);
	if (desc_limit(d->raw) < layout(desc_type(d->raw))->limit)
		x86_raise_err(cpu, X86_TS, error);
}

static void read_task(struct x86_cpu *cpu, const struct tss_layout *l, u64 base, struct task *t)
{
	t->cr3 = l->cr3 ? sys_read(cpu, base + l->cr3, 4) : cpu->st.cr3;
	t->eip = sys_read(cpu, base + l->eip, l->size);
	t->flags = sys_read(cpu, base + l->flags, l->size);
	for (unsigned i = 0; i < 8; i++)
		t->gpr[i] = sys_read(cpu, base + l->gpr + i * l->size, l->size);
	for (unsigned i = 0; i < NR_SEGS; i++)
		t->seg[i] = i < l->nr_segs ? (u16)sys_read(cpu, base + l->seg + i * l->size, 2) : 0;
	t->ldt = (u16)sys_read(cpu, base + l->ldt, 2);
	t->trap = l == &tss32 && (sys_read(cpu, base + TSS32_TRAP, 2) & 1);
}

static void save_task(struct x86_cpu *cpu, const struct tss_layout *l, u64 base, u64 eip, u64 flags)
{
	sys_write(cpu, base + l->eip, eip, l->size);
	sys_write(cpu, base + l->flags, flags, l->size);
	for (unsigned i = 0; i < 8; i++)
		sys_write(cpu, base + l->gpr + i * l->size, cpu->st.gpr[i], l->size);
	for (unsigned i = 0; i < l->nr_segs; i++)
		sys_write(cpu, base + l->seg + i * l->size, cpu->st.seg[i].sel, 2);
}

static void set_busy(struct x86_cpu *cpu, u16 sel, bool busy)
{
	struct desc d;

	if (x86_null_sel(sel) || !x86_read_desc(cpu, sel, &d))
		return;
	x86_change_desc(cpu, &d, busy ? DESC_HI_BUSY : 0, busy ? 0 : DESC_HI_BUSY);
}

/* Registers of the new task; its segments are not valid yet. */
static void install_task(struct x86_cpu *cpu, const struct tss_layout *l, const struct task *t)
{
	cpu->op = NULL;
	cpu->st.rip = t->eip;
	for (unsigned i = 0; i < 8; i++)
		cpu->st.gpr[i] = l->size == 4 ? t->gpr[i] : t->gpr[i] | 0xffff0000;
	for (unsigned i = 0; i < NR_SEGS; i++)
		cpu->st.seg[i] = (struct seg){.sel = t->seg[i]};
	cpu->st.seg[SEG_CS].attr = cpu->st.seg[SEG_SS].attr =
		(u16)((t->seg[SEG_CS] & 3) << SEG_DPL_SHIFT);
	cpu->st.ldtr = (struct seg){.sel = t->ldt};
	cpu->st.cr0 |= CR0_TS;
	cpu->st.dr7 &= ~0x55ull; /* local breakpoints */
	x86_write_rflags(cpu, t->flags, l->size == 4 ? ~0ull : 0xffff);
	x86_mode_changed(cpu);
}

static void load_cs(struct x86_cpu *cpu, u16 sel, unsigned ext)
{
	u32 error = (sel & 0xfffc) | ext;
	unsigned rpl = sel & 3;
	struct desc d;

	if (x86_null_sel(sel) || !x86_read_desc(cpu, sel, &d) || !desc_is_code(d.raw))
		x86_raise_err(cpu, X86_TS, error);
	if (desc_is_conforming(d.raw) ? desc_dpl(d.raw) > rpl : desc_dpl(d.raw) != rpl)
		x86_raise_err(cpu, X86_TS, error);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, X86_NP, error);
	x86_mark_accessed(cpu, &d);
	cpu->st.seg[SEG_CS] = x86_desc_seg(&d, sel);
}

static void load_data(struct x86_cpu *cpu, enum seg_reg reg, u16 sel, unsigned ext)
{
	u32 error = (sel & 0xfffc) | ext;
	struct desc d;
	bool conforming;
	struct seg s;

	if (x86_null_sel(sel))
		return;
	if (!x86_read_desc(cpu, sel, &d) || !desc_is_seg(d.raw) ||
	    (desc_is_code(d.raw) && !(desc_attr(d.raw) & SEG_RW)))
		x86_raise_err(cpu, X86_TS, error);
	conforming = desc_is_code(d.raw) && desc_is_conforming(d.raw);
	if (!conforming && (desc_dpl(d.raw) < cpu->cpl || desc_dpl(d.raw) < (sel & 3)))
		x86_raise_err(cpu, X86_TS, error);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, X86_NP, error);
	x86_mark_accessed(cpu, &d);
	s = x86_desc_seg(&d, sel);
	x86_put_seg(cpu, reg, &s);
}

static void load_segments(struct x86_cpu *cpu, const struct task *t, unsigned ext)
{
	static const enum seg_reg data[] = {SEG_ES, SEG_DS, SEG_FS, SEG_GS};

	x86_load_ldt(cpu, t->ldt, X86_TS);
	if (x86_v86(cpu)) {
		for (unsigned i = 0; i < NR_SEGS; i++)
			x86_set_seg_real(cpu, i, t->seg[i]);
		x86_mode_changed(cpu);
		return;
	}
	cpu->st.seg[SEG_SS] = x86_check_ss(cpu, t->seg[SEG_SS], t->seg[SEG_CS] & 3, X86_TS, ext);
	load_cs(cpu, t->seg[SEG_CS], ext);
	x86_mode_changed(cpu);
	for (unsigned i = 0; i < ARRAY_SIZE(data); i++)
		load_data(cpu, data[i], t->seg[data[i]], ext);
}

/* CR3 of the new task; in PAE paging a table that cannot be loaded is a #TS. */
static void load_cr3(struct x86_cpu *cpu, const struct desc *d, u64 cr3, unsigned ext)
{
	if (!(cpu->st.cr0 & CR0_PG))
		return;
	if ((cpu->st.cr4 & CR4_PAE) && !x86_load_pdptes(cpu, cr3))
		x86_raise_err(cpu, X86_TS, (d->sel & 0xfffc) | ext);
	cpu->st.cr3 = cr3;
	soft_cr3_written(cpu, false);
}

void x86_task_switch(struct x86_cpu *cpu, u16 sel, enum task_reason why, u64 next_rip, unsigned ext,
		     const u32 *error)
{
	struct seg old = cpu->st.tr;
	const struct tss_layout *from = layout(old.attr & SEG_TYPE);
	u64 flags = x86_rflags(cpu);
	const struct tss_layout *to;
	struct task t;
	struct desc d;

	read_tss_desc(cpu, sel, why, ext, &d);
	to = layout(desc_type(d.raw));
	if (old.limit < from->save_end - 1)
		x86_raise_err(cpu, X86_TS, (old.sel & 0xfffc) | ext);
	mem_probe(cpu, SEG_SYSTEM, sys_addr(cpu, old.base + from->eip), from->save_end - from->eip,
		  MEM_WRITE);
	read_task(cpu, to, desc_base(d.raw), &t);
	if (why == TASK_CALL || why == TASK_INT)
		mem_probe(cpu, SEG_SYSTEM, sys_addr(cpu, desc_base(d.raw)), 2, MEM_WRITE);

	save_task(cpu, from, old.base, next_rip, why == TASK_IRET ? flags & ~(u64)FL_NT : flags);
	if (why == TASK_JMP || why == TASK_IRET)
		set_busy(cpu, old.sel, false);
	if (why != TASK_IRET)
		x86_change_desc(cpu, &d, DESC_HI_BUSY, 0);
	if (why == TASK_CALL || why == TASK_INT) {
		sys_write(cpu, desc_base(d.raw), old.sel, 2);
		t.flags |= FL_NT;
	}
	cpu->st.tr = x86_desc_seg(&d, sel);
	cpu->st.tr.attr |= 2; /* busy */
	if (to->cr3)
		load_cr3(cpu, &d, t.cr3, ext);
	install_task(cpu, to, &t);
	load_segments(cpu, &t, ext);
	if (error)
		x86_push(cpu, *error, to->size);
	x86_check_rip(cpu, &cpu->st.seg[SEG_CS], cpu->st.rip);
	if (t.trap)
		cpu->st.pending_db |= DR6_BT;
	x86_update_careful(cpu);
}

void x86_task_gate(struct x86_cpu *cpu, u64 gate, enum task_reason why, u64 next_rip, unsigned ext,
		   const u32 *error)
{
	x86_task_switch(cpu, gate_sel(gate), why, next_rip, ext, error);
}
