/* SPDX-License-Identifier: MIT */
/*
 * system.h - the privileged half of the CPU: descriptors, exceptions, control registers,
 * paging, MSRs, CPUID.  Semantics only; engines call in, exec functions call across.
 *
 * Source: SDM volume 3A, "Protected-Mode Memory Management", "Protection", "Paging",
 * "Interrupt and Exception Handling", "Task Management".
 */
#ifndef ISA_X86_SYSTEM_H
#define ISA_X86_SYSTEM_H

#include "isa/x86/mem.h"

struct err;

/* --- exception.c ------------------------------------------------------------------- */

/*
 * Deliver cpu->fault through the IDT.  May raise in turn (jumps to cpu->on_fault with
 * cpu->delivering set); the engine then calls it again and it makes #DF or, with
 * cpu->triple set, returns false: shutdown.
 */
bool x86_deliver_fault(struct x86_cpu *cpu);

/* At an instruction boundary: external interrupt or NMI (vector 2).  May raise, as above. */
void x86_interrupt(struct x86_cpu *cpu, u8 vector);
void x86_nmi(struct x86_cpu *cpu);

/* Traps due at this boundary (single step, data breakpoints in st.pending_db): may raise. */
void x86_check_traps(struct x86_cpu *cpu);

/* Instruction breakpoints of DR7 at linear address lin; raises #DB. */
void x86_check_insn_breakpoint(struct x86_cpu *cpu, u64 lin);
/* Data and I/O breakpoints: adds to st.pending_db.  Called by the slow paths when careful. */
void x86_note_data_access(struct x86_cpu *cpu, u64 lin, unsigned size, enum mem_access acc);
void x86_note_io_access(struct x86_cpu *cpu, u16 port, unsigned size);

/* --- segment.c ----------------------------------------------------------------------- */

/* MOV/POP to a segment register (not CS), with all checks; raises. */
void x86_load_seg(struct x86_cpu *cpu, enum seg_reg reg, u16 sel);
/* Real mode and virtual-8086: base = sel << 4. */
void x86_set_seg_real(struct x86_cpu *cpu, enum seg_reg reg, u16 sel);

/* --- paging.c ------------------------------------------------------------------------- */

enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };

/* RFLAGS that SYSRET loads from R11. */
enum { SYSRET_FLAGS = 0x3c7fd7 };

/* What a walk found: kept step by step for the autopsy and "explain". */
struct page_walk {
	gpa_t gpa;			     /* of lin itself */
	u8 page_bits;			     /* 12, 21, 22, 30 */
	bool user, writable, exec, accessed; /* accumulated over the levels */
	bool global, dirty;
	unsigned nr_steps;
	struct walk_step {
		const char *level; /* "PML4E", "PDPTE", "PDE", "PTE" */
		gpa_t entry_gpa;
		u64 entry;
	} step[5];
	u32 error; /* of the fault, as pushed */
};

enum walk_mode {
	WALK_COMMIT, /* sets A and D bits (atomically), checks rights */
	WALK_RAM,    /* the same, but what is not RAM is not present: no device is asked */
	WALK_PEEK,   /* no side effects, no rights: for the debugger and the autopsy */
};

/*
 * Translate lin (canonical) for an access by user (CPL 3) or supervisor.  0, or -1 with
 * w->error filled.  With paging off: identity.  ac: EFLAGS.AC counts for SMAP (explicit
 * supervisor access), false for implicit ones.
 */
int x86_walk(struct x86_cpu *cpu, u64 lin, enum mem_access acc, bool user, bool ac,
	     enum walk_mode mode, struct page_walk *w);

/*
 * The frame of writable RAM at gpa (of a page), or NULL.  What it found is kept until the TLB is
 * emptied, as it is when the memory map changes.
 */
u8 *x86_ram_frame(struct x86_cpu *cpu, gpa_t page);

/* --- control.c ------------------------------------------------------------------------ */

/* MOV to CRn, with all checks and consequences (flushes, mode changes); raise #GP. */
void x86_write_cr0(struct x86_cpu *cpu, u64 val);
void x86_write_cr3(struct x86_cpu *cpu, u64 val);
void x86_write_cr4(struct x86_cpu *cpu, u64 val);
/* Replace RFLAGS bits in mask (arithmetic ones too); updates modes. */
void x86_write_rflags(struct x86_cpu *cpu, u64 val, u64 mask);
/* #GP(0) unless this CPL and I/O permission bitmap allow [port, port + size). */
void x86_check_io(struct x86_cpu *cpu, u16 port, unsigned size);

/* --- msr.c ---------------------------------------------------------------------------- */

/* 0, or -1 for #GP. */
int x86_rdmsr(struct x86_cpu *cpu, u32 msr, u64 *val);
int x86_wrmsr(struct x86_cpu *cpu, u32 msr, u64 val);
u64 x86_tsc(struct x86_cpu *cpu);

/* --- cpuid.c -------------------------------------------------------------------------- */

/* What the guest is shown; frozen when the machine is born. */
struct cpu_features {
	u8 have[32]; /* bit set by enum insn_feature (features.def) */
	char vendor[13];
	char brand[49];
	u32 signature; /* leaf 1 EAX */
	u8 phys_bits;  /* MAXPHYADDR */
	u64 tsc_hz;
	unsigned nr_cpus;
	const char *model; /* "x86-64-v2" */
};

int x86_features_init(struct cpu_features *f, const char *model, struct err *e);
/* The same on a host that has what host_runs() says. */
int x86_features_for(struct cpu_features *f, const char *model, bool (*host_runs)(unsigned feature),
		     struct err *e);
bool x86_has(const struct x86_cpu *cpu, unsigned feature);
void x86_cpuid(struct x86_cpu *cpu, u32 leaf, u32 sub, u32 out[4]);

extern const char *const x86_models[]; /* NULL-ended: what --cpu takes, besides short names */

/* --- fpu/ ------------------------------------------------------------------------------ */

/*
 * Raise #UD or #NM as CR0 and CR4 say, #MF if one is pending and the row waits.  The exec
 * functions of fpu/ call it themselves.
 */
void x86_check_fpu(struct x86_cpu *cpu, const struct op *op);
void x86_fpu_reset(struct cpu_state *st, bool init);

/*
 * Can this host run the instructions of a feature (enum insn_feature), where it is needed for
 * them?  AVX is there only with AVX2, AVX-512 only with all that x86-64-v4 asks for.
 */
bool x86_fpu_host_runs(unsigned feature);
/* Is it of AVX, or AVX-512? */
bool x86_fpu_is_avx(unsigned feature);

/* Clear the features whose instructions run natively and that this host lacks. */
void x86_fpu_limit_features(struct cpu_features *f);

/* Bytes of an XSAVE area for the components in mask, for CPUID leaf 0xd. */
unsigned x86_xsave_size(u64 mask, bool compact);

/* Component bit of XCR0, and where it is in the standard format; false: there is none. */
bool x86_xsave_comp(unsigned bit, u32 *size, u32 *offset);

/* FXSAVE image <-> state, all 16 XMM registers; rex_w: 64-bit FIP and FDP, no FCS and FDS. */
void x86_fxsave_image(const struct cpu_state *st, u8 img[512], bool rex_w);
void x86_fxrstor_image(struct cpu_state *st, const u8 img[512], bool rex_w);

#endif
