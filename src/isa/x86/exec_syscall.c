/* SPDX-License-Identifier: MIT */
/*
 * exec_syscall.c - the fast ways into the system and out, and the FS and GS bases.
 *
 * Where vendors differ, the guest sees what the vendor that CPUID names does for SYSCALL
 * outside 64-bit code (AMD: allowed); otherwise Intel's ways.
 *
 * Source: SDM volume 2B, "SYSCALL", "SYSRET", "SYSENTER", "SYSEXIT", "SWAPGS"; AMD APM volume
 * 3, "SYSCALL".
 */
#include "isa/x86/exec_system.h"
#include "isa/x86/priv.h"
#include "sundog/machine.h"

/* Flat code and stack segments, as these instructions load without reading a table. */
static void flat_segments(struct x86_cpu *cpu, u16 cs, u16 ss, unsigned dpl, bool code64)
{
	u16 attr = (u16)(SEG_FLAT | dpl << SEG_DPL_SHIFT);

	cpu->st.seg[SEG_CS] = (struct seg){
		.limit = ~0u, .sel = cs, .attr = attr | SEG_CODE | (code64 ? SEG_L : SEG_DB)};
	cpu->st.seg[SEG_SS] = (struct seg){.limit = ~0u, .sel = ss, .attr = attr | SEG_DB};
}

/* An instruction that clears TF is not followed by a single-step trap. */
static void entered(struct x86_cpu *cpu)
{
	cpu->skip_step = !(cpu->st.rflags & FL_TF);
	x86_code_changed(cpu);
}

void exec_syscall(struct x86_cpu *cpu, const struct op *op)
{
	struct cpu_state *st = &cpu->st;
	u64 next = op_next_rip(cpu, op);
	u16 cs = st->star >> 32 & 0xfffc;

	if (!(st->efer & EFER_SCE) || !x86_protected(cpu) ||
	    (!cpu->code64 && !x86_is_amd(cpu->v.machine->features)))
		x86_raise_ud(cpu);
	if (cpu->long_mode) {
		u64 flags = x86_rflags(cpu) & ~(u64)FL_RF;

		st->gpr[RCX] = next;
		st->gpr[R11] = flags;
		st->rip = cpu->code64 ? st->lstar : st->cstar;
		x86_write_rflags(cpu, flags & ~st->sfmask, ~(u64)FL_VM);
	} else {
		st->gpr[RCX] = (u32)next;
		st->rip = (u32)st->star;
		x86_write_rflags(cpu, 0, FL_IF | FL_RF);
	}
	flat_segments(cpu, cs, cs + 8, 0, cpu->long_mode);
	entered(cpu);
}

void exec_sysret(struct x86_cpu *cpu, const struct op *op)
{
	struct cpu_state *st = &cpu->st;
	bool to64 = op->flags & OP_REX_W;
	u16 base = (u16)(st->star >> 48);
	u16 cs = (u16)((base + (to64 ? 16 : 0)) | 3);

	if (!(st->efer & EFER_SCE) || !x86_protected(cpu) ||
	    (!cpu->code64 && !x86_is_amd(cpu->v.machine->features)))
		x86_raise_ud(cpu);
	x86_need_cpl0(cpu);
	if (to64 && !x86_canonical(st->gpr[RCX]))
		x86_raise_gp(cpu, 0);
	st->rip = to64 ? st->gpr[RCX] : (u32)st->gpr[RCX];
	if (cpu->long_mode)
		x86_write_rflags(cpu, st->gpr[R11] & SYSRET_FLAGS, ~0ull);
	else
		x86_write_rflags(cpu, FL_IF, FL_IF);
	flat_segments(cpu, cs, (u16)((base + 8) | 3), 3, to64);
	x86_code_changed(cpu);
}

void exec_sysenter(struct x86_cpu *cpu, const struct op *op)
{
	struct cpu_state *st = &cpu->st;
	u16 cs = st->sysenter_cs & 0xfffc;
	bool lm = cpu->long_mode;

	if (!(st->cr0 & CR0_PE) || !cs)
		x86_raise_gp(cpu, 0);
	x86_write_rflags(cpu, 0, FL_VM | FL_IF | FL_RF);
	st->gpr[RSP] = lm ? st->sysenter_esp : (u32)st->sysenter_esp;
	st->rip = lm ? st->sysenter_eip : (u32)st->sysenter_eip;
	flat_segments(cpu, cs, cs + 8, 0, lm);
	x86_mode_changed(cpu);
}

void exec_sysexit(struct x86_cpu *cpu, const struct op *op)
{
	struct cpu_state *st = &cpu->st;
	bool to64 = op->flags & OP_REX_W;
	u16 base = st->sysenter_cs & 0xfffc;
	u16 cs = (u16)(base + (to64 ? 32 : 16));

	if (!x86_protected(cpu) || cpu->cpl || !base)
		x86_raise_gp(cpu, 0);
	if (to64 && (!x86_canonical(st->gpr[RCX]) || !x86_canonical(st->gpr[RDX])))
		x86_raise_gp(cpu, 0);
	st->gpr[RSP] = to64 ? st->gpr[RCX] : (u32)st->gpr[RCX];
	st->rip = to64 ? st->gpr[RDX] : (u32)st->gpr[RDX];
	flat_segments(cpu, cs | 3, (u16)(cs + 8) | 3, 3, to64);
	x86_mode_changed(cpu);
}

static void put_base(struct x86_cpu *cpu, enum seg_reg reg, u64 base)
{
	cpu->st.seg[reg].base = base;
	cpu->seg_base[reg] = base;
	x86_note_flat(cpu, reg);
}

void exec_swapgs(struct x86_cpu *cpu, const struct op *op)
{
	u64 base = cpu->st.seg[SEG_GS].base;

	if (!cpu->code64)
		x86_raise_ud(cpu);
	x86_need_cpl0(cpu);
	put_base(cpu, SEG_GS, cpu->st.kernel_gs_base);
	cpu->st.kernel_gs_base = base;
}

static void need_fsgsbase(struct x86_cpu *cpu)
{
	if (!cpu->code64 || !(cpu->st.cr4 & CR4_FSGSBASE))
		x86_raise_ud(cpu);
}

static void write_base(struct x86_cpu *cpu, const struct op *op, enum seg_reg reg)
{
	u64 val;

	need_fsgsbase(cpu);
	val = gpr_read(cpu, op->rm, op->size);
	if (!x86_canonical(val))
		x86_raise_gp(cpu, 0);
	put_base(cpu, reg, val);
}

static void read_base(struct x86_cpu *cpu, const struct op *op, enum seg_reg reg)
{
	need_fsgsbase(cpu);
	gpr_write(cpu, op->rm, cpu->st.seg[reg].base, op->size);
}

void exec_rdfsbase(struct x86_cpu *cpu, const struct op *op)
{
	read_base(cpu, op, SEG_FS);
}

void exec_rdgsbase(struct x86_cpu *cpu, const struct op *op)
{
	read_base(cpu, op, SEG_GS);
}

void exec_wrfsbase(struct x86_cpu *cpu, const struct op *op)
{
	write_base(cpu, op, SEG_FS);
}

void exec_wrgsbase(struct x86_cpu *cpu, const struct op *op)
{
	write_base(cpu, op, SEG_GS);
}
