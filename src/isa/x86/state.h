/* SPDX-License-Identifier: MIT */
/*
 * state.h - every architectural register of one x86 CPU: the form that all engines share.
 *
 * This is what vcpu->state points to.  Normal form, in which conversions between engines
 * are exact:
 *   - a segment register holding a null selector, or made unusable, has attr bit P clear;
 *   - limit is in bytes, already scaled by G;
 *   - rflags bit 1 is set, bits 3, 5, 15 and 22..63 are clear;
 *   - dr6 and dr7 have their fixed bits set or clear as the SDM says;
 *   - x87 state is kept as FXSAVE keeps it but with the full tag word rebuilt from it.
 *
 * Source: SDM volume 3A, "System Architecture Overview"; AMD APM volume 2.
 */
#ifndef ISA_X86_STATE_H
#define ISA_X86_STATE_H

#include "sundog/types.h"

/* Tables of names and bits: several to a line. */
/* clang-format off */
enum gpr {
	RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15,
	NR_GPRS,
	/*
	 * Two slots that make effective addresses free of branches: a base or index that
	 * is absent reads GPR_ZERO; RIP-relative operands use GPR_PC, which software
	 * engines keep at "RIP of the current instruction minus its offset in its page".
	 */
	GPR_ZERO = NR_GPRS,
	GPR_PC,
	NR_GPR_SLOTS,
};
/* clang-format on */

enum seg_reg { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, NR_SEGS };

/* Segment attributes: descriptor bits 40..47 and 52..55, as VMX and SVM pack them. */
enum {
	SEG_TYPE = 0xf,
	SEG_A = 1 << 0,	   /* accessed */
	SEG_RW = 1 << 1,   /* data: writable; code: readable */
	SEG_EC = 1 << 2,   /* data: expand down; code: conforming */
	SEG_CODE = 1 << 3, /* code, not data */
	SEG_S = 1 << 4,	   /* code or data, not system */
	SEG_DPL_SHIFT = 5,
	SEG_DPL = 3 << SEG_DPL_SHIFT,
	SEG_P = 1 << 7,
	SEG_AVL = 1 << 12,
	SEG_L = 1 << 13,
	SEG_DB = 1 << 14,
	SEG_G = 1 << 15,
	/* What SYSCALL and its kin load without reading a table, beside DPL and what CS and SS
	   differ by. */
	SEG_FLAT = SEG_P | SEG_S | SEG_A | SEG_RW | SEG_G,
};

struct seg {
	u64 base;
	u32 limit; /* bytes: the last valid offset */
	u16 sel;
	u16 attr;
};

struct desc_table {
	u64 base;
	u16 limit;
};

/* clang-format off */
enum { /* RFLAGS */
	FL_CF = 1 << 0, FL_PF = 1 << 2, FL_AF = 1 << 4, FL_ZF = 1 << 6, FL_SF = 1 << 7,
	FL_TF = 1 << 8, FL_IF = 1 << 9, FL_DF = 1 << 10, FL_OF = 1 << 11,
	FL_IOPL = 3 << 12, FL_NT = 1 << 14, FL_RF = 1 << 16, FL_VM = 1 << 17,
	FL_AC = 1 << 18, FL_VIF = 1 << 19, FL_VIP = 1 << 20, FL_ID = 1 << 21,
	FL_ARITH = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF,
	FL_FIXED = 1 << 1,
};

enum { /* CR0 */
	CR0_PE = 1 << 0, CR0_MP = 1 << 1, CR0_EM = 1 << 2, CR0_TS = 1 << 3, CR0_ET = 1 << 4,
	CR0_NE = 1 << 5, CR0_WP = 1 << 16, CR0_AM = 1 << 18, CR0_NW = 1 << 29,
	CR0_CD = 1 << 30,
};
#define CR0_PG (1u << 31)

enum { /* CR4 */
	CR4_VME = 1 << 0, CR4_PVI = 1 << 1, CR4_TSD = 1 << 2, CR4_DE = 1 << 3,
	CR4_PSE = 1 << 4, CR4_PAE = 1 << 5, CR4_MCE = 1 << 6, CR4_PGE = 1 << 7,
	CR4_PCE = 1 << 8, CR4_OSFXSR = 1 << 9, CR4_OSXMMEXCPT = 1 << 10,
	CR4_UMIP = 1 << 11, CR4_FSGSBASE = 1 << 16, CR4_PCIDE = 1 << 17,
	CR4_OSXSAVE = 1 << 18, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21,
};

enum { /* EFER */
	EFER_SCE = 1 << 0, EFER_LME = 1 << 8, EFER_LMA = 1 << 10, EFER_NXE = 1 << 11,
};

enum { /* DR6 and DR7 */
	DR6_BD = 1 << 13, DR6_BS = 1 << 14, DR6_BT = 1 << 15,
	DR7_GD = 1 << 13,
};
/* clang-format on */
#define DR6_FIXED 0xffff0ff0u
#define DR7_FIXED 0x400u

/* A vector register at its widest: xmm in the low 16 bytes, ymm in the low 32. */
union vreg {
	u8 b[64];
	u16 w[32];
	u32 d[16];
	u64 q[8];
} __attribute__((aligned(64)));

/*
 * The x87, its first 160 bytes laid out as FXSAVE64 has them, so that the native thunks load
 * and store it as it is.  st[] is in stack order: st[0] is ST(0).  MMX register i is physical
 * register i: st[i] once an MMX instruction has set TOP to 0.  ftw is by physical register: 1
 * is not empty.  fsw: ES and B agree with the unmasked exceptions.  unused[] and zero[] are 0.
 */
struct x87_state {
	u16 fcw, fsw;
	u8 ftw, unused0;
	u16 fop;
	u64 fip, fdp;
	u32 unused[2]; /* where FXSAVE has MXCSR and its mask */
	struct {
		u64 mant;
		u16 sexp, zero[3];
	} st[8];
	u16 fcs, fds;
} __attribute__((aligned(16)));
_Static_assert(offsetof(struct x87_state, fcs) == 160, "the FXSAVE layout");

enum cpu_activity { CPU_RUNNING, CPU_HALTED, CPU_WAIT_SIPI, CPU_SHUTDOWN };

/* clang-format off */
/* Exceptions. */
enum {
	X86_DE = 0, X86_DB = 1, X86_NMI = 2, X86_BP = 3, X86_OF = 4, X86_BR = 5,
	X86_UD = 6, X86_NM = 7, X86_DF = 8, X86_TS = 10, X86_NP = 11, X86_SS = 12,
	X86_GP = 13, X86_PF = 14, X86_MF = 16, X86_AC = 17, X86_MC = 18, X86_XM = 19,
};
/* clang-format on */

struct cpu_state {
	u64 gpr[NR_GPR_SLOTS];
	u64 rip;
	u64 rflags; /* software engines keep the arithmetic flags elsewhere while running */

	struct seg seg[NR_SEGS];
	struct seg ldtr, tr;
	struct desc_table gdtr, idtr;

	u64 cr0, cr2, cr3, cr4, efer, xcr0;
	u64 pdpte[4]; /* PAE paging: loaded with CR3, not walked */
	u64 dr[4], dr6, dr7;

	/* Events at this boundary. */
	bool irq_shadow;      /* after STI, MOV SS, POP SS: one instruction */
	bool shadow_is_movss; /* the kind that also holds back #DB and NMI */
	bool nmi_masked;      /* an NMI handler runs */
	bool nmi_pending;
	u8 activity; /* enum cpu_activity */
	u8 sipi_vector;
	u32 pending_db; /* DR6 bits of a trap that is due at the next boundary */

	/* MSRs. */
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 apic_base, pat, tsc_aux, misc_enable, spec_ctrl;
	i64 tsc_offset; /* guest TSC = machine's TSC + this (WRMSR TSC, TSC_ADJUST) */
	u64 tsc_adjust;
	u64 mtrr_def_type, mtrr_fixed[11], mtrr_phys[16];
	u64 pvclock_system_time, pvclock_wall_clock;
	u64 mcg_status, debugctl, smi_count;

	u32 mxcsr;
	u64 pkru;
	u64 kmask[8]; /* AVX-512 opmask */
	struct x87_state x87;
	union vreg v[32];
};

#endif
