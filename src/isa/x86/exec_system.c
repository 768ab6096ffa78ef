/* SPDX-License-Identifier: MIT */
/*
 * exec_system.c - control, debug and model-specific registers, TLB control, interrupt flag,
 * halt, time stamp, CPUID.
 *
 * MONITOR and MWAIT are hints here: MWAIT ends at once, as it may for any reason.
 *
 * Source: SDM volume 2A and 2B, under each instruction; volume 3A, "Debug Registers".
 */
#include "isa/x86/exec_system.h"
#include "isa/x86/insn.h"
#include "isa/x86/priv.h"
#include "sundog/machine.h"

/* --- control registers ----------------------------------------------------------------------- */

void exec_lmsw(struct x86_cpu *cpu, const struct op *op)
{
	u64 val;

	x86_need_cpl0(cpu);
	val = rm_read(cpu, op, 2);
	/* PE can be set but not cleared. */
	x86_write_cr0(cpu, (cpu->st.cr0 & ~14ull) | (val & 15));
}

void exec_clts(struct x86_cpu *cpu, const struct op *op)
{
	x86_need_cpl0(cpu);
	cpu->st.cr0 &= ~(u64)CR0_TS;
	x86_mode_changed(cpu);
}

static u64 read_cr8(struct x86_cpu *cpu)
{
	const struct lapic_ops *l = cpu->v.lapic_ops;

	return l ? l->get_tpr(&cpu->v) >> 4 : 0;
}

static void write_cr8(struct x86_cpu *cpu, u64 val)
{
	const struct lapic_ops *l = cpu->v.lapic_ops;

	if (val & ~15ull)
		x86_raise_gp(cpu, 0);
	if (l)
		l->set_tpr(&cpu->v, (u8)(val << 4));
}

void exec_mov_from_cr(struct x86_cpu *cpu, const struct op *op)
{
	u64 val;

	x86_need_cpl0(cpu);
	switch (op->reg) {
	case 0: val = cpu->st.cr0; break;
	case 2: val = cpu->st.cr2; break;
	case 3: val = cpu->st.cr3; break;
	case 4: val = cpu->st.cr4; break;
	case 8: val = read_cr8(cpu); break;
	default: x86_raise_ud(cpu);
	}
	gpr_write(cpu, op->rm, val, op->size);
}

void exec_mov_to_cr(struct x86_cpu *cpu, const struct op *op)
{
	u64 val;

	x86_need_cpl0(cpu);
	val = gpr_read(cpu, op->rm, op->size);
	switch (op->reg) {
	case 0: x86_write_cr0(cpu, val); break;
	case 2: cpu->st.cr2 = val; break;
	case 3: x86_write_cr3(cpu, val); break;
	case 4: x86_write_cr4(cpu, val); break;
	case 8: write_cr8(cpu, val); break;
	default: x86_raise_ud(cpu);
	}
}

/* --- debug registers ---------------------------------------------------------------------------
 */

enum { DR6_WRITABLE = 0xe00f };
#define DR7_WRITABLE 0xffff23ffu

/* The register meant, with 4 and 5 resolved; raises what an access to it raises. */
static unsigned debug_reg(struct x86_cpu *cpu, const struct op *op)
{
	unsigned n = op->reg;

	x86_need_cpl0(cpu);
	if (n > 7 || ((n == 4 || n == 5) && (cpu->st.cr4 & CR4_DE)))
		x86_raise_ud(cpu);
	if (cpu->st.dr7 & DR7_GD)
		x86_raise(cpu, &(struct x86_fault){.vector = X86_DB, .dr6 = DR6_BD});
	return n == 4 || n == 5 ? n + 2 : n;
}

void exec_mov_from_dr(struct x86_cpu *cpu, const struct op *op)
{
	unsigned n = debug_reg(cpu, op);
	u64 val = n == 6 ? cpu->st.dr6 : n == 7 ? cpu->st.dr7 : cpu->st.dr[n];

	gpr_write(cpu, op->rm, val, op->size);
}

void exec_mov_to_dr(struct x86_cpu *cpu, const struct op *op)
{
	unsigned n = debug_reg(cpu, op);
	u64 val = gpr_read(cpu, op->rm, op->size);

	if (n < 4) {
		cpu->st.dr[n] = val;
		return;
	}
	if (val >> 32)
		x86_raise_gp(cpu, 0);
	if (n == 6)
		cpu->st.dr6 = (val & DR6_WRITABLE) | DR6_FIXED;
	else
		cpu->st.dr7 = (val & DR7_WRITABLE) | DR7_FIXED;
	x86_mode_changed(cpu);
}

/* --- caches and TLB ------------------------------------------------------------------------------
 */

void exec_invd(struct x86_cpu *cpu, const struct op *op)
{
	x86_need_cpl0(cpu);
}

void exec_wbinvd(struct x86_cpu *cpu, const struct op *op)
{
	x86_need_cpl0(cpu);
}

void exec_invlpg(struct x86_cpu *cpu, const struct op *op)
{
	u64 lin;

	x86_need_cpl0(cpu);
	lin = op_ea(cpu, op) + cpu->seg_base[op->seg];
	soft_flush_page(cpu, cpu->long_mode ? lin : (u32)lin);
}

enum { INVPCID_ADDR, INVPCID_PCID, INVPCID_ALL, INVPCID_LOCAL };

void exec_invpcid(struct x86_cpu *cpu, const struct op *op)
{
	u64 type, lin;
	u8 img[16];
	u16 pcid;

	x86_need_cpl0(cpu);
	type = reg_read(cpu, op, op->size);
	mem_read_buf(cpu, op->seg, op_ea(cpu, op), img, sizeof(img));
	lin = ld_le64(img + 8);
	pcid = ld_le16(img) & 0xfff;
	if (type > INVPCID_LOCAL || ld_le64(img) >> 12)
		x86_raise_gp(cpu, 0);
	if (type <= INVPCID_PCID && pcid && !(cpu->st.cr4 & CR4_PCIDE))
		x86_raise_gp(cpu, 0);
	if (type == INVPCID_ADDR && !x86_canonical(lin))
		x86_raise_gp(cpu, 0);
	switch (type) {
	case INVPCID_ADDR: soft_flush_page_pcid(cpu, pcid, lin); break;
	case INVPCID_PCID: soft_flush_pcid(cpu, pcid, false); break;
	default: soft_flush_all(cpu, type == INVPCID_ALL); break;
	}
}

/* --- model-specific registers, counters, identification ------------------------------------------
 */

static void put_edx_eax(struct x86_cpu *cpu, u64 val)
{
	cpu->st.gpr[RAX] = (u32)val;
	cpu->st.gpr[RDX] = val >> 32;
}

static u64 get_edx_eax(const struct x86_cpu *cpu)
{
	return (u32)cpu->st.gpr[RAX] | cpu->st.gpr[RDX] << 32;
}

void exec_rdmsr(struct x86_cpu *cpu, const struct op *op)
{
	u64 val;

	x86_need_cpl0(cpu);
	if (x86_rdmsr(cpu, (u32)cpu->st.gpr[RCX], &val))
		x86_raise_gp(cpu, 0);
	put_edx_eax(cpu, val);
}

void exec_wrmsr(struct x86_cpu *cpu, const struct op *op)
{
	x86_need_cpl0(cpu);
	if (x86_wrmsr(cpu, (u32)cpu->st.gpr[RCX], get_edx_eax(cpu)))
		x86_raise_gp(cpu, 0);
}

/* There are no performance counters. */
void exec_rdpmc(struct x86_cpu *cpu, const struct op *op)
{
	x86_raise_gp(cpu, 0);
}

static void check_tsd(struct x86_cpu *cpu)
{
	if ((cpu->st.cr4 & CR4_TSD) && cpu->cpl)
		x86_raise_gp(cpu, 0);
}

void exec_rdtsc(struct x86_cpu *cpu, const struct op *op)
{
	check_tsd(cpu);
	put_edx_eax(cpu, x86_tsc(cpu));
}

void exec_rdtscp(struct x86_cpu *cpu, const struct op *op)
{
	check_tsd(cpu);
	put_edx_eax(cpu, x86_tsc(cpu));
	cpu->st.gpr[RCX] = (u32)cpu->st.tsc_aux;
}

void exec_rdpid(struct x86_cpu *cpu, const struct op *op)
{
	gpr_write(cpu, op->rm, (u32)cpu->st.tsc_aux, op->size);
}

void exec_cpuid(struct x86_cpu *cpu, const struct op *op)
{
	u32 out[4];

	x86_cpuid(cpu, (u32)cpu->st.gpr[RAX], (u32)cpu->st.gpr[RCX], out);
	cpu->st.gpr[RAX] = out[0];
	cpu->st.gpr[RBX] = out[1];
	cpu->st.gpr[RCX] = out[2];
	cpu->st.gpr[RDX] = out[3];
}

void exec_xgetbv(struct x86_cpu *cpu, const struct op *op)
{
	u32 n = (u32)cpu->st.gpr[RCX];

	if (!(cpu->st.cr4 & CR4_OSXSAVE))
		x86_raise_ud(cpu);
	/* 1: components in use; all may be. */
	if (n > 1 || (n == 1 && !x86_has(cpu, FEAT_XGETBV1)))
		x86_raise_gp(cpu, 0);
	put_edx_eax(cpu, cpu->st.xcr0);
}

enum { XCR0_X87 = 1, XCR0_SSE = 2, XCR0_AVX = 4, XCR0_AVX512 = 0xe0 };

void exec_xsetbv(struct x86_cpu *cpu, const struct op *op)
{
	u64 val = get_edx_eax(cpu);

	if (!(cpu->st.cr4 & CR4_OSXSAVE))
		x86_raise_ud(cpu);
	x86_need_cpl0(cpu);
	if ((u32)cpu->st.gpr[RCX] || !(val & XCR0_X87) || (val & ~x86_xcr0_allowed(cpu)))
		x86_raise_gp(cpu, 0);
	if ((val & XCR0_AVX) && !(val & XCR0_SSE))
		x86_raise_gp(cpu, 0);
	if (val & XCR0_AVX512 && ((val & XCR0_AVX512) != XCR0_AVX512 || !(val & XCR0_AVX)))
		x86_raise_gp(cpu, 0);
	cpu->st.xcr0 = val;
	x86_mode_changed(cpu);
}

/* --- flags, halt
 * ----------------------------------------------------------------------------------- */

void exec_clac(struct x86_cpu *cpu, const struct op *op)
{
	if (cpu->cpl)
		x86_raise_ud(cpu);
	x86_write_rflags(cpu, 0, FL_AC);
}

void exec_stac(struct x86_cpu *cpu, const struct op *op)
{
	if (cpu->cpl)
		x86_raise_ud(cpu);
	x86_write_rflags(cpu, FL_AC, FL_AC);
}

/* Does CLI or STI act on VIF in place of IF?  Raises #GP where it may do neither. */
static bool acts_on_vif(struct x86_cpu *cpu)
{
	bool v86 = x86_v86(cpu);

	if (!(cpu->st.cr0 & CR0_PE) || (v86 ? x86_iopl(cpu) == 3 : cpu->cpl <= x86_iopl(cpu)))
		return false;
	if (v86 ? !(cpu->st.cr4 & CR4_VME) : cpu->cpl != 3 || !(cpu->st.cr4 & CR4_PVI))
		x86_raise_gp(cpu, 0);
	return true;
}

void exec_cli(struct x86_cpu *cpu, const struct op *op)
{
	cpu->st.rflags &= acts_on_vif(cpu) ? ~(u64)FL_VIF : ~(u64)FL_IF;
}

void exec_sti(struct x86_cpu *cpu, const struct op *op)
{
	if (acts_on_vif(cpu)) {
		if (cpu->st.rflags & FL_VIP)
			x86_raise_gp(cpu, 0);
		cpu->st.rflags |= FL_VIF;
	} else if (!(cpu->st.rflags & FL_IF)) {
		cpu->st.rflags |= FL_IF;
		cpu->st.irq_shadow = true;
	}
}

void exec_hlt(struct x86_cpu *cpu, const struct op *op)
{
	x86_need_cpl0(cpu);
	cpu->st.activity = CPU_HALTED;
}

void exec_monitor(struct x86_cpu *cpu, const struct op *op)
{
	u64 mask = op->asize == 8 ? ~0ull : op->asize == 4 ? 0xffffffff : 0xffff;

	if (cpu->cpl || !x86_has(cpu, FEAT_MONITOR))
		x86_raise_ud(cpu);
	if ((u32)cpu->st.gpr[RCX])
		x86_raise_gp(cpu, 0);
	mem_read(cpu, op->seg, cpu->st.gpr[RAX] & mask, 1);
}

void exec_mwait(struct x86_cpu *cpu, const struct op *op)
{
	if (cpu->cpl || !x86_has(cpu, FEAT_MONITOR))
		x86_raise_ud(cpu);
	if ((u32)cpu->st.gpr[RCX] & ~1u)
		x86_raise_gp(cpu, 0);
}
