/* SPDX-License-Identifier: MIT */
/*
 * msr.c - model-specific registers: one table says which there are, where they are kept and
 * what may be written to them.  All others raise #GP.
 *
 * Not there: performance counters, last-branch records, machine-check banks, power and
 * thermal control.
 *
 * Source: SDM volume 4; AMD APM volume 2, "Model-Specific Registers"; Linux,
 * Documentation/virt/kvm/x86/msr.rst for the paravirtual clock.
 */
#include <stdlib.h>

#include "isa/x86/msr.h"
#include "isa/x86/priv.h"
#include "sundog/clock.h"
#include "sundog/machine.h"

u64 x86_tsc(struct x86_cpu *cpu)
{
	return clock_tsc(cpu->v.machine) + (u64)cpu->st.tsc_offset;
}

/* --- the paravirtual clock ------------------------------------------------------------------- */

enum { PVCLOCK_ENABLE = 1, PVCLOCK_TSC_STABLE = 1 };

/*
 * ns = ((ticks << shift) * mul) >> 32, shift negative: to the right; mul has its top bit set.
 */
static void tsc_scale(u64 hz, u32 *mul, i8 *shift)
{
	unsigned __int128 ns = (unsigned __int128)1000000000 << 32;

	*shift = 0;
	hz = hz ? hz : 1;
	for (; hz <= 1000000000; hz *= 2)
		++*shift;
	while (ns / hz >> 31 == 0) {
		ns *= 2;
		--*shift;
	}
	*mul = (u32)(ns / hz);
}

/* An even version says that the page is whole: odd, content, even. */
static void put_versioned(struct x86_cpu *cpu, gpa_t gpa, const u8 *body, unsigned len)
{
	u8 *p = as_ram(cpu->v.machine->mem, gpa, 4 + len, true);
	u32 version;

	if (!p)
		return;
	version = ((u32)ram_load(p, 4) + 1) | 1;
	ram_store(p, version, 4); /* these are seen in order: see exec_mfence() */
	for (unsigned i = 0; i < len; i++)
		ram_store(p + 4 + i, body[i], 1);
	ram_store(p, version + 1, 4);
	soft_ram_written(cpu, p, 4 + len);
}

/*
 * The page is a function of the TSC offset alone: the guest's clock is zero where the
 * machine's TSC is, and so all vCPUs agree to the tick.
 */
static void pvclock_update(struct x86_cpu *cpu)
{
	u64 msr = cpu->st.pvclock_system_time;
	u8 body[28] = {0};
	u32 mul;
	i8 shift;

	if (!(msr & PVCLOCK_ENABLE))
		return;
	tsc_scale(cpu->v.machine->features->tsc_hz, &mul, &shift);
	st_le64(body + 4, (u64)cpu->st.tsc_offset);
	st_le32(body + 20, mul);
	body[24] = (u8)shift;
	body[25] = PVCLOCK_TSC_STABLE;
	put_versioned(cpu, msr & ~1ull, body, sizeof(body));
}

static int wr_pvclock(struct x86_cpu *cpu, u64 val)
{
	cpu->st.pvclock_system_time = val;
	pvclock_update(cpu);
	return 0;
}

/* Wall time at the clock's zero. */
static int wr_wall_clock(struct x86_cpu *cpu, u64 val)
{
	struct machine *m = cpu->v.machine;
	u64 ns = clock_wall(m) - clock_now(m, CLOCK_GUEST);
	u8 body[8];

	cpu->st.pvclock_wall_clock = val;
	st_le32(body, (u32)(ns / 1000000000));
	st_le32(body + 4, (u32)(ns % 1000000000));
	put_versioned(cpu, val, body, sizeof(body));
	return 0;
}

/* --- time stamp --------------------------------------------------------------------------------
 */

static int rd_deadline(struct x86_cpu *cpu, u64 *val)
{
	const struct lapic_ops *l = cpu->v.lapic_ops;
	u64 t = l ? l->get_tsc_deadline(&cpu->v) : 0;

	*val = t ? t + (u64)cpu->st.tsc_offset : 0;
	return 0;
}

static int wr_deadline(struct x86_cpu *cpu, u64 val)
{
	const struct lapic_ops *l = cpu->v.lapic_ops;
	u64 t = val - (u64)cpu->st.tsc_offset;

	if (!l)
		return 0;
	/* Before the machine's zero: it has come already. */
	if (val && ((i64)t <= 0 && cpu->st.tsc_offset > 0))
		t = 1;
	l->set_tsc_deadline(&cpu->v, val ? t : 0);
	return 0;
}

static void move_tsc(struct x86_cpu *cpu, u64 delta)
{
	u64 deadline;

	rd_deadline(cpu, &deadline);
	cpu->st.tsc_offset = (i64)((u64)cpu->st.tsc_offset + delta);
	cpu->st.tsc_adjust += delta;
	if (deadline)
		wr_deadline(cpu, deadline);
	pvclock_update(cpu);
}

static int rd_tsc(struct x86_cpu *cpu, u64 *val)
{
	*val = x86_tsc(cpu);
	return 0;
}

static int wr_tsc(struct x86_cpu *cpu, u64 val)
{
	move_tsc(cpu, val - x86_tsc(cpu));
	return 0;
}

static int wr_tsc_adjust(struct x86_cpu *cpu, u64 val)
{
	move_tsc(cpu, val - cpu->st.tsc_adjust);
	return 0;
}

/* --- those with rules ----------------------------------------------------------------------------
 */

static int wr_efer(struct x86_cpu *cpu, u64 val)
{
	return x86_write_efer(cpu, val);
}

static void put_base(struct x86_cpu *cpu, enum seg_reg reg, u64 val)
{
	cpu->st.seg[reg].base = val;
	cpu->seg_base[reg] = val;
	x86_note_flat(cpu, reg);
}

static int wr_fs_base(struct x86_cpu *cpu, u64 val)
{
	put_base(cpu, SEG_FS, val);
	return 0;
}

static int wr_gs_base(struct x86_cpu *cpu, u64 val)
{
	put_base(cpu, SEG_GS, val);
	return 0;
}

enum { APIC_BASE_BSP = 1 << 8, APIC_BASE_X2APIC = 1 << 10, APIC_BASE_ENABLE = 1 << 11 };

static int rd_apic_base(struct x86_cpu *cpu, u64 *val)
{
	const struct lapic_ops *l = cpu->v.lapic_ops;

	*val = l ? l->get_base(&cpu->v) : cpu->st.apic_base;
	return 0;
}

static int wr_apic_base(struct x86_cpu *cpu, u64 val)
{
	const struct lapic_ops *l = cpu->v.lapic_ops;
	u64 allowed = (x86_phys_mask(cpu) & ~0xfffull) | APIC_BASE_BSP | APIC_BASE_ENABLE |
		      (x86_has(cpu, FEAT_X2APIC) ? APIC_BASE_X2APIC : 0);

	if ((val & ~allowed) || (l && l->set_base(&cpu->v, val)))
		return -1;
	if (val != cpu->st.apic_base) /* its page is where RAM was, and the other way round */
		soft_flush_all(cpu, true);
	cpu->st.apic_base = val;
	return 0;
}

/* Memory types: 2, 3 and above 7 are reserved; 7 (UC-) only in PAT. */
static bool pat_valid(u64 val)
{
	for (unsigned i = 0; i < 8; i++, val >>= 8)
		if ((val & 0xff) > 7 || (val & 0xfe) == 2)
			return false;
	return true;
}

static int wr_pat(struct x86_cpu *cpu, u64 val)
{
	if (!pat_valid(val))
		return -1;
	cpu->st.pat = val;
	return 0;
}

static bool mtrr_type_valid(u64 type)
{
	return type == 0 || type == 1 || (type >= 4 && type <= 6);
}

static int wr_mtrr_def(struct x86_cpu *cpu, u64 val)
{
	if (!mtrr_type_valid(val & 0xff))
		return -1;
	cpu->st.mtrr_def_type = val;
	return 0;
}

static bool mtrr_fixed_valid(u64 val)
{
	for (unsigned i = 0; i < 8; i++, val >>= 8)
		if (!mtrr_type_valid(val & 0xff))
			return false;
	return true;
}

static int rd_patch_level(struct x86_cpu *cpu, u64 *val)
{
	/* Intel keeps the revision in the upper half. */
	*val = x86_is_amd(cpu->v.machine->features) ? 0x0a101148 : 0x2b0005c0ull << 32;
	return 0;
}

static int wr_nothing(struct x86_cpu *cpu, u64 val)
{
	return 0;
}

/* --- the table
 * --------------------------------------------------------------------------------------- */

#define KEPT(field) offsetof(struct cpu_state, field)

/*
 * What Intel's ARCH_CAPABILITIES says: none of the leaks of speculation is here, since guest
 * instructions do not speculate.  RDCL_NO, IBRS_ALL, SKIP_L1DFL, SSB_NO, MDS_NO,
 * PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO,
 * ITS_NO.
 */
#define ARCH_CAPABILITIES                                                                    \
	(1ull << 0 | 1ull << 1 | 1ull << 3 | 1ull << 4 | 1ull << 5 | 1ull << 6 | 1ull << 8 | \
	 1ull << 13 | 1ull << 14 | 1ull << 15 | 1ull << 20 | 1ull << 24 | 1ull << 26 |       \
	 1ull << 27 | 1ull << 62)

#define ALL (~0ull)

/* Sorted by number. */
const struct msr_row msr_rows[] = {
	{0x10, "TSC", MSR_CALLS, 0, 0, ALL, FEAT_TSC, rd_tsc, wr_tsc},
	{0x1b, "APIC_BASE", MSR_CALLS, 0, 0, ALL, FEAT_APIC, rd_apic_base, wr_apic_base},
	{0x34, "SMI_COUNT", MSR_CONST, 0, 0, 0, VENDOR_INTEL},
	{0x3b, "TSC_ADJUST", MSR_KEPT, KEPT(tsc_adjust), 0, ALL, FEAT_TSC_ADJUST, NULL,
	 wr_tsc_adjust},
	{0x48, "SPEC_CTRL", MSR_KEPT, KEPT(spec_ctrl), 0, 7, VENDOR_INTEL},
	{0x49, "PRED_CMD", MSR_WRITE_ONLY, 0, 0, 1, VENDOR_INTEL, NULL, wr_nothing},
	{0x8b, "PATCH_LEVEL", MSR_CALLS, 0, 0, ALL, FEAT_BASE, rd_patch_level, wr_nothing},
	{0xce, "PLATFORM_INFO", MSR_CONST, 0, 0, 0, VENDOR_INTEL},
	{0xfe, "MTRRCAP", MSR_CONST, 0, 0x508, 0, FEAT_MTRR},
	{0x10a, "ARCH_CAPABILITIES", MSR_CONST, 0, ARCH_CAPABILITIES, 0, VENDOR_INTEL},
	{0x174, "SYSENTER_CS", MSR_KEPT, KEPT(sysenter_cs), 0, ALL, FEAT_SEP},
	{0x175, "SYSENTER_ESP", MSR_CANONICAL, KEPT(sysenter_esp), 0, ALL, FEAT_SEP},
	{0x176, "SYSENTER_EIP", MSR_CANONICAL, KEPT(sysenter_eip), 0, ALL, FEAT_SEP},
	{0x179, "MCG_CAP", MSR_CONST, 0, 0, 0, FEAT_MCA},
	{0x17a, "MCG_STATUS", MSR_KEPT, KEPT(mcg_status), 0, 7, FEAT_MCA},
	{0x1a0, "MISC_ENABLE", MSR_KEPT, KEPT(misc_enable), 1, 0x400001, VENDOR_INTEL},
	{0x1d9, "DEBUGCTL", MSR_KEPT, KEPT(debugctl), 0, 0, FEAT_BASE},
	{0x277, "PAT", MSR_KEPT, KEPT(pat), 0x0007040600070406, ALL, FEAT_PAT, NULL, wr_pat},
	{0x2ff, "MTRR_DEF_TYPE", MSR_KEPT, KEPT(mtrr_def_type), 0, 0xcff, FEAT_MTRR, NULL,
	 wr_mtrr_def},
	{0x6e0, "TSC_DEADLINE", MSR_CALLS, 0, 0, ALL, FEAT_TSC_DEADLINE, rd_deadline, wr_deadline},
	{0x4b564d00, "KVM_WALL_CLOCK", MSR_KEPT, KEPT(pvclock_wall_clock), 0, ALL, FEAT_HYPERVISOR,
	 NULL, wr_wall_clock},
	{0x4b564d01, "KVM_SYSTEM_TIME", MSR_KEPT, KEPT(pvclock_system_time), 0, ALL,
	 FEAT_HYPERVISOR, NULL, wr_pvclock},
	{0xc0000080, "EFER", MSR_KEPT, KEPT(efer), 0, ALL, FEAT_BASE, NULL, wr_efer},
	{0xc0000081, "STAR", MSR_KEPT, KEPT(star), 0, ALL, FEAT_SYSCALL},
	{0xc0000082, "LSTAR", MSR_CANONICAL, KEPT(lstar), 0, ALL, FEAT_LM},
	{0xc0000083, "CSTAR", MSR_CANONICAL, KEPT(cstar), 0, ALL, FEAT_LM},
	{0xc0000084, "SFMASK", MSR_KEPT, KEPT(sfmask), 0, 0xffffffff, FEAT_LM},
	{0xc0000100, "FS_BASE", MSR_CANONICAL, KEPT(seg[SEG_FS].base), 0, ALL, FEAT_LM, NULL,
	 wr_fs_base},
	{0xc0000101, "GS_BASE", MSR_CANONICAL, KEPT(seg[SEG_GS].base), 0, ALL, FEAT_LM, NULL,
	 wr_gs_base},
	{0xc0000102, "KERNEL_GS_BASE", MSR_CANONICAL, KEPT(kernel_gs_base), 0, ALL, FEAT_LM},
	{0xc0000103, "TSC_AUX", MSR_KEPT, KEPT(tsc_aux), 0, 0xffffffff, FEAT_RDTSCP},
	/* AMD: what its kernels read without asking; writes change nothing. */
	{0xc0010010, "SYSCFG", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010015, "HWCR", MSR_FIXED, 0, 1 << 24, 0, VENDOR_AMD}, /* TSC ticks in P0 */
	{0xc001001a, "TOP_MEM", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc001001d, "TOP_MEM2", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc001001f, "NB_CFG", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010055, "INT_PENDING", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010058, "MMIO_CFG_BASE", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010062, "PERF_CTL", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010063, "PERF_STATUS", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010064, "PSTATE_DEF", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010111, "SMBASE", MSR_FIXED, 0, 0x30000, 0, VENDOR_AMD},
	{0xc0010112, "SMM_ADDR", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010113, "SMM_MASK", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0010114, "VM_CR", MSR_FIXED, 0, 1 << 4, 0, VENDOR_AMD}, /* SVM is off */
	{0xc0011020, "LS_CFG", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0011022, "DC_CFG", MSR_FIXED, 0, 0, 0, VENDOR_AMD},
	{0xc0011029, "DE_CFG", MSR_FIXED, 0, 2, 0, VENDOR_AMD}, /* LFENCE serialises */
};
const unsigned nr_msr_rows = ARRAY_SIZE(msr_rows);

static int compare(const void *key, const void *elem)
{
	u32 a = *(const u32 *)key, b = ((const struct msr_row *)elem)->msr;

	return a < b ? -1 : a > b;
}

static bool available(const struct x86_cpu *cpu, u8 feature)
{
	if (feature == VENDOR_INTEL || feature == VENDOR_AMD)
		return x86_is_amd(cpu->v.machine->features) == (feature == VENDOR_AMD);
	return x86_has(cpu, feature);
}

static const struct msr_row *find(const struct x86_cpu *cpu, u32 msr)
{
	const struct msr_row *r =
		bsearch(&msr, msr_rows, nr_msr_rows, sizeof(msr_rows[0]), compare);

	return r && available(cpu, r->feature) ? r : NULL;
}

static u64 *kept(struct x86_cpu *cpu, const struct msr_row *r)
{
	return (u64 *)((u8 *)&cpu->st + r->offset);
}

/* --- ranges: MTRRs and the local APIC
 * ------------------------------------------------------------------ */

enum { MTRR_VAR = 0x200, NR_MTRR_VAR = 8, X2APIC_FIRST = 0x800, X2APIC_LAST = 0x8ff };

static u64 *mtrr_fixed(struct x86_cpu *cpu, u32 msr)
{
	if (msr == 0x250)
		return &cpu->st.mtrr_fixed[0];
	if (msr == 0x258 || msr == 0x259)
		return &cpu->st.mtrr_fixed[1 + msr - 0x258];
	if (msr >= 0x268 && msr <= 0x26f)
		return &cpu->st.mtrr_fixed[3 + msr - 0x268];
	return NULL;
}

static u64 *mtrr_var(struct x86_cpu *cpu, u32 msr)
{
	return msr >= MTRR_VAR && msr < MTRR_VAR + 2 * NR_MTRR_VAR
		       ? &cpu->st.mtrr_phys[msr - MTRR_VAR]
		       : NULL;
}

static u64 *mtrr_slot(struct x86_cpu *cpu, u32 msr)
{
	u64 *slot = mtrr_var(cpu, msr);

	if (!x86_has(cpu, FEAT_MTRR))
		return NULL;
	return slot ? slot : mtrr_fixed(cpu, msr);
}

static bool mtrr_valid(struct x86_cpu *cpu, u32 msr, u64 val)
{
	u64 addr = x86_phys_mask(cpu) & ~0xfffull;

	if (!mtrr_var(cpu, msr))
		return mtrr_fixed_valid(val);
	if (msr & 1)
		return !(val & ~(addr | 0x800));
	return !(val & ~(addr | 0xff)) && mtrr_type_valid(val & 0xff);
}

static bool is_x2apic(const struct x86_cpu *cpu, u32 msr)
{
	return msr >= X2APIC_FIRST && msr <= X2APIC_LAST && cpu->v.lapic_ops &&
	       x86_has(cpu, FEAT_X2APIC);
}

/* --- access
 * -----------------------------------------------------------------------------------------------
 */

int x86_rdmsr(struct x86_cpu *cpu, u32 msr, u64 *val)
{
	const struct msr_row *r = find(cpu, msr);
	const u64 *slot;

	*val = 0;
	if (is_x2apic(cpu, msr))
		return cpu->v.lapic_ops->read_msr(&cpu->v, msr, val);
	if (!r) {
		slot = mtrr_slot(cpu, msr);
		*val = slot ? *slot : 0;
		return slot ? 0 : -1;
	}
	switch (r->kind) {
	case MSR_CALLS: return r->read(cpu, val);
	case MSR_CONST:
	case MSR_FIXED: *val = r->reset; return 0;
	case MSR_WRITE_ONLY: return -1;
	default: *val = *kept(cpu, r); return 0;
	}
}

int x86_wrmsr(struct x86_cpu *cpu, u32 msr, u64 val)
{
	const struct msr_row *r = find(cpu, msr);
	u64 *slot;

	if (is_x2apic(cpu, msr))
		return cpu->v.lapic_ops->write_msr(&cpu->v, msr, val);
	if (!r) {
		slot = mtrr_slot(cpu, msr);
		if (!slot || !mtrr_valid(cpu, msr, val))
			return -1;
		*slot = val;
		return 0;
	}
	if (r->kind == MSR_FIXED)
		return 0;
	if (r->kind == MSR_CONST || (val & ~r->writable))
		return -1;
	if (r->kind == MSR_CANONICAL && !x86_canonical(val))
		return -1;
	if (r->write)
		return r->write(cpu, val);
	*kept(cpu, r) = val;
	return 0;
}

void x86_msr_reset(struct x86_cpu *cpu)
{
	for (unsigned i = 0; i < nr_msr_rows; i++) {
		const struct msr_row *r = &msr_rows[i];

		if (r->kind == MSR_KEPT || r->kind == MSR_CANONICAL)
			*kept(cpu, r) = r->reset;
	}
	memset(cpu->st.mtrr_fixed, 0, sizeof(cpu->st.mtrr_fixed));
	memset(cpu->st.mtrr_phys, 0, sizeof(cpu->st.mtrr_phys));
}
