/* SPDX-License-Identifier: MIT */
/*
 * cpu.h - an x86 vCPU as the exec functions and the software engines see it.
 *
 * struct x86_cpu wraps the engine-neutral struct vcpu and the architectural state with what
 * is derived from them while a software engine runs: lazy flags, the current mode, the TLB
 * view, the instruction in progress.  Everything below "derived" is rebuilt by
 * x86_state_changed() and is never saved.
 *
 * Locking: only the thread that runs the vCPU touches it; others use vcpu->pending.
 */
#ifndef ISA_X86_CPU_H
#define ISA_X86_CPU_H

#include <setjmp.h>

#include "isa/x86/decode.h"
#include "isa/x86/state.h"
#include "sundog/engine.h"

/*
 * One entry of a software TLB: hit if (va ^ tag) <= PAGE_SIZE - size, in one unsigned
 * compare, which also fails for accesses that cross the page.  host is the host page: on a
 * hit va ^ tag is the offset in it.  The invalid tag of entry i is the address of a page whose
 * index is not i.
 */
struct tlb_ent {
	u64 tag;
	u64 host;
};

static inline void *tlb_host(const struct tlb_ent *t, u64 va)
{
	return (void *)(uintptr_t)(t->host + (va ^ t->tag));
}

enum { TLB_BITS = 12, TLB_ENTRIES = 1 << TLB_BITS };

/* What a view of an address space may do; SMAP, WP, SMEP and NX are settled at fill time. */
enum tlb_view_kind { VIEW_USER, VIEW_KERNEL, VIEW_KERNEL_AC, NR_VIEWS };

struct tlb_view {
	struct tlb_ent rd[TLB_ENTRIES];
	struct tlb_ent wr[TLB_ENTRIES];
};

struct x86_fault {
	u8 vector;
	bool has_error;
	bool soft; /* INT n, INT3, INTO: DPL of the gate is checked, RIP is after it */
	bool int1; /* ICEBP */
	u32 error;
	u64 cr2; /* for #PF; written to CR2 on delivery */
	u32 dr6; /* for #DB */
};

enum { AUTOPSY_DEPTH = 4 };

/* Frames of guest RAM met in walks of the page tables, for the thread that runs the vCPU. */
enum { FRAME_CACHE = 64 };

struct frame_ent {
	gpa_t gpa;
	u8 *host; /* NULL: none */
};

/* How much of the vector registers: each needs those before it. */
enum { VEC_XMM = 1, VEC_YMM = 2, VEC_ZMM = 4, VEC_ALL_XMM = 1, VEC_ALL_YMM = 3, VEC_ALL_ZMM = 7 };

/*
 * The last page that translated code met through a base register (or segment, or none): hit as
 * in a TLB entry.  Tables of user and of kernel code; filled from the current view only.
 */
enum { PAGE_SLOT_FS = 16, PAGE_SLOT_GS, PAGE_SLOT_NONE, PAGE_SLOTS, NEXT_PAGES = 8 };

struct page_cache {
	u64 tag, host; /* as in struct tlb_ent */
	u64 addend;    /* host - tag */
};

struct x86_cpu {
	struct vcpu v;	     /* first: container_of-free casts both ways */
	struct cpu_state st; /* v.state points here */

	/* --- derived from here on --- */

	/* Lazy arithmetic flags: see flags.h. */
	u64 cc_res, cc_aux;

	const struct op *op; /* the instruction in progress, or NULL between instructions */

	u8 cpl;		/* = SS.DPL (0 in real mode, 3 in virtual-8086) */
	u8 code_size;	/* enum code_size of CS */
	bool long_mode; /* EFER.LMA */
	bool code64;	/* LMA && CS.L: segments are flat but FS, GS */
	u8 stack_size;	/* bytes: 2, 4, 8: width of SP */
	u8 seg_flat;	/* bit by segment: base 0, 4 GiB, writable data; no checks needed */
	u8 seg_wide;	/* the same, whatever its base */

	struct tlb_view *view; /* the current view's tables */
	u64 seg_base[NR_SEGS]; /* effective base: 0 for ES, CS, SS, DS in 64-bit code */

	/* For translated code, which finds all this at a fixed place. */
	struct x86_cpu *self;
	const void *jump_cache; /* the current one: engine/soft */
	u64 jit_target;		/* of an indirect call, while its return address is stored */
	u64 jit_lin;		/* scratch of the shared routines ... */
	u64 jit_rax, jit_pin, jit_said;
	const struct op *jit_op; /* ... and the instruction they serve */
	u32 host_mxcsr;
	u8 vec_live;		/* vector registers and MXCSR are the host's now: VEC_* */
	u8 vec_want;		/* what they were loaded to, or are to be */
	u8 vec_again;		/* what they were before a call of C, and have to be behind it */
	_Atomic bool jit_leave; /* code was killed: leave at the next return from C */
	u16 jit_flags;		/* arithmetic flags: LAHF's byte << 8 | OF */
	bool pages_fill;	/* may pages[] be filled from the current view? */
	bool pages_used;	/* something in pages[] is filled */
	bool pages_fill_ac[2];	/* that, in ring 0 without AC and with it */
	bool tsc_native;	/* the guest's TSC is the host's, plus tsc_delta, plus tsc_offset */
	u64 tsc_delta;
	i32 page_misses, way_misses; /* until one is looked at */
	/* The view of ring 0 without AC, which is the CPU's own, too, and with it. */
	struct tlb_view *view_ac[2];
	struct page_cache pages[2][PAGE_SLOTS][2]; /* kernel and user, slot, read and write */
	/* The page behind one with code: tag is its address | is_user(); by pages_next_slot(). */
	struct tlb_ent next_pages[NEXT_PAGES];

	/* Instrumentation: any of these makes the engine step one instruction at a time. */
	bool careful;	/* TF, DR7 breakpoints, or the debugger: see x86_update_careful() */
	bool debugged;	/* the debugger asks for it: set by the engine */
	bool skip_step; /* this instruction cleared TF (INT n, SYSCALL): no #DB after it */

	bool debug_watch; /* the debugger watches memory: every access takes the slow path */
	bool shadowed;	  /* page tables are read and written by way of soft_shadow() */

	/* Faults. */
	jmp_buf on_fault;	/* set by the engine; x86_raise() jumps there */
	struct x86_fault fault; /* what was raised */
	i16 delivering;		/* vector being delivered, -1 if none: for #DF */
	bool triple;		/* shutdown is due */
	u8 nested;		/* faults raised since the last event was delivered */
	struct {
		struct x86_fault fault;
		u64 rip, cr2;
	} history[AUTOPSY_DEPTH]; /* last faults raised while delivering: the autopsy */
	unsigned nr_history;

	struct frame_ent frames[FRAME_CACHE]; /* soft_flush_all() empties it */

	struct vec_code *vec_code; /* thunks of fpu/vex.h; NULL: the model has no AVX */

	void *soft; /* engine/soft: struct soft_cpu */
};

static inline struct x86_cpu *x86_cpu(struct vcpu *v)
{
	return (struct x86_cpu *)v;
}

/* RIP of the instruction in progress, and of the one after it, cut to the code size. */
static inline u64 x86_cut_rip(const struct x86_cpu *cpu, u64 rip)
{
	return cpu->code64 ? rip : cpu->code_size == CODE32 ? (u32)rip : (u16)rip;
}

static inline u64 op_rip(const struct x86_cpu *cpu, const struct op *op)
{
	u64 rip = cpu->st.gpr[GPR_PC] + op->off;

	return cpu->code64 ? rip : (u32)rip;
}

static inline u64 op_next_rip(const struct x86_cpu *cpu, const struct op *op)
{
	return x86_cut_rip(cpu, cpu->st.gpr[GPR_PC] + op->off + op->len);
}

/*
 * Raise an exception at the instruction in progress: state is as before the instruction,
 * except what it has already committed (string instructions, iteration by iteration).
 * Does not return: the engine delivers it.
 */
_Noreturn void x86_raise(struct x86_cpu *cpu, const struct x86_fault *f);
_Noreturn void x86_raise_ud(struct x86_cpu *cpu);
_Noreturn void x86_raise_gp(struct x86_cpu *cpu, u16 error);
_Noreturn void x86_raise_err(struct x86_cpu *cpu, u8 vector, u32 error);
_Noreturn void x86_raise_noerr(struct x86_cpu *cpu, u8 vector);

/*
 * Leave a string instruction between two iterations: st.rip is back at the instruction and
 * its registers are committed.  For pending interrupts.  Provided by engine/soft.
 */
_Noreturn void x86_restart(struct x86_cpu *cpu);

/* What setjmp(on_fault) returns. */
enum { X86_JMP_FAULT = 1, X86_JMP_RESTART = 2 };

/*
 * Recompute everything derived after cpu->st was changed: all of it (restore, reset), or
 * after CS, SS, CR0, CR4, EFER, RFLAGS.VM/AC/TF, DR7 changed (x86_mode_changed).
 */
void x86_state_changed(struct x86_cpu *cpu);
void x86_mode_changed(struct x86_cpu *cpu);
/* After CS and SS changed, in protected mode, and nothing else. */
void x86_code_changed(struct x86_cpu *cpu);

/*
 * careful = TF, an enabled breakpoint in DR7, a pending trap, or debugged.  While it is set the
 * engine runs one instruction at a time: x86_check_insn_breakpoint() before it, and after it,
 * if TF was set before it, DR6_BS goes into st.pending_db; then x86_check_traps().
 */
void x86_update_careful(struct x86_cpu *cpu);

/*
 * What the ISA asks of the engine that runs it; provided by engine/soft.
 */
void soft_view_changed(struct x86_cpu *cpu);		    /* CPL, AC, or paging mode */
void soft_cr3_written(struct x86_cpu *cpu, bool keep_pcid); /* CR3 is the new one */
void soft_flush_page(struct x86_cpu *cpu, u64 lin); /* INVLPG: all views, this PCID and global */
void soft_flush_pcid(struct x86_cpu *cpu, u16 pcid, bool globals); /* INVPCID 1 */
void soft_flush_all(struct x86_cpu *cpu, bool globals);		   /* CR0/CR4/EFER; INVPCID 2, 3 */
void soft_ram_written(struct x86_cpu *cpu, const void *host,
		      u64 len); /* not by mem.h: A and D bits */
/* Where the byte of RAM at host is while cpu->shadowed (engine/soft/shadow.h). */
u8 *soft_shadow(struct x86_cpu *cpu, u8 *host, bool write);
/* Likewise: a walk has set bits in the entry at host; fetch: for an instruction. */
void soft_shadow_walked(struct x86_cpu *cpu, u8 *host, u64 set, unsigned size, bool fetch);
void soft_flush_page_pcid(struct x86_cpu *cpu, u16 pcid, u64 lin); /* INVPCID 0 */

#endif
