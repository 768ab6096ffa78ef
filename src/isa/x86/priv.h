/* SPDX-License-Identifier: MIT */
/*
 * priv.h - what the files of the privileged half share: descriptors and the checks on them.
 *
 * Source: SDM volume 3A, "Segment Descriptors", "System Descriptor Types", "Gates".
 */
#ifndef ISA_X86_PRIV_H
#define ISA_X86_PRIV_H

#include "isa/x86/flags.h"
#include "isa/x86/mem.h"
#include "isa/x86/operand.h"
#include "isa/x86/system.h"

/* System descriptor types. */
enum {
	DESC_TSS16 = 1,
	DESC_LDT = 2,
	DESC_TSS16_BUSY = 3,
	DESC_CALL16 = 4,
	DESC_TASK_GATE = 5,
	DESC_INT16 = 6,
	DESC_TRAP16 = 7,
	DESC_TSS32 = 9,
	DESC_TSS32_BUSY = 11,
	DESC_CALL32 = 12,
	DESC_INT32 = 14,
	DESC_TRAP32 = 15,
};

/* Bits of a descriptor's second dword. */
enum { DESC_HI_ACCESSED = 1 << 8, DESC_HI_BUSY = 1 << 9 };

/* A descriptor as read from the GDT or an LDT, and where it lies. */
struct desc {
	u64 raw;
	u64 high; /* second half of a 16-byte one */
	u64 lin;
	u16 sel;
};

static inline u64 desc_base(u64 d)
{
	return (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000);
}

static inline u32 desc_limit(u64 d)
{
	u32 l = (d & 0xffff) | (d >> 32 & 0xf0000);

	return d >> 55 & 1 ? l << 12 | 0xfff : l;
}

static inline u16 desc_attr(u64 d)
{
	return d >> 40 & 0xf0ff;
}

static inline unsigned desc_dpl(u64 d)
{
	return d >> 45 & 3;
}

static inline unsigned desc_type(u64 d)
{
	return d >> 40 & 15;
}

static inline bool desc_present(u64 d)
{
	return d >> 47 & 1;
}

/* Code or data, not system. */
static inline bool desc_is_seg(u64 d)
{
	return d >> 44 & 1;
}

static inline bool desc_is_code(u64 d)
{
	return desc_is_seg(d) && d >> 43 & 1;
}

static inline bool desc_is_conforming(u64 d)
{
	return d >> 42 & 1;
}

static inline bool desc_is_code64(u64 d)
{
	return d >> 53 & 1;
}

/* Gates: selector, offset. */
static inline u16 gate_sel(u64 d)
{
	return (u16)(d >> 16);
}

static inline u32 gate_offset(u64 d)
{
	return (u32)((d & 0xffff) | (d >> 32 & 0xffff0000));
}

static inline bool x86_canonical(u64 va)
{
	return (u64)((i64)(va << 16) >> 16) == va;
}

static inline bool x86_null_sel(u16 sel)
{
	return !(sel & ~3);
}

/* Protected mode proper: neither real nor virtual-8086. */
static inline bool x86_protected(const struct x86_cpu *cpu)
{
	return (cpu->st.cr0 & CR0_PE) && !(cpu->st.rflags & FL_VM);
}

static inline bool x86_v86(const struct x86_cpu *cpu)
{
	return (cpu->st.rflags & FL_VM) && (cpu->st.cr0 & CR0_PE);
}

static inline unsigned x86_iopl(const struct x86_cpu *cpu)
{
	return cpu->st.rflags >> 12 & 3;
}

/* The CPU's own accesses to descriptor tables and task states. */
static inline u64 sys_addr(const struct x86_cpu *cpu, u64 lin)
{
	return cpu->long_mode ? lin : (u32)lin;
}

static inline u64 sys_read(struct x86_cpu *cpu, u64 lin, unsigned size)
{
	return mem_read(cpu, SEG_SYSTEM, sys_addr(cpu, lin), size);
}

static inline void sys_write(struct x86_cpu *cpu, u64 lin, u64 val, unsigned size)
{
	mem_write(cpu, SEG_SYSTEM, sys_addr(cpu, lin), val, size);
}

static inline void x86_need_cpl0(struct x86_cpu *cpu)
{
	if (cpu->cpl)
		x86_raise_gp(cpu, 0);
}

/* --- segment.c --- */

/* Read sel's descriptor; false if it lies beyond its table. */
bool x86_read_desc(struct x86_cpu *cpu, u16 sel, struct desc *d);
/* Likewise, and in long mode its second half too (system descriptors). */
bool x86_read_sys_desc(struct x86_cpu *cpu, u16 sel, struct desc *d);
/* Set and clear bits of a descriptor's second dword in memory, atomically, and in d->raw. */
void x86_change_desc(struct x86_cpu *cpu, struct desc *d, u32 set, u32 clear);
/* Set the accessed bit if it is clear. */
void x86_mark_accessed(struct x86_cpu *cpu, struct desc *d);
struct seg x86_desc_seg(const struct desc *d, u16 sel);
/* Put a checked segment in place; for all but CS. */
void x86_put_seg(struct x86_cpu *cpu, enum seg_reg reg, const struct seg *s);
/*
 * The stack segment for privilege level cpl, checked as for a stack switch; errors are raised
 * as vector with the selector and ext, #SS if it is not present.
 */
struct seg x86_check_ss(struct x86_cpu *cpu, u16 sel, unsigned cpl, u8 vector, unsigned ext);
/* After a return to an outer ring: data segments that it may not use become null. */
void x86_drop_inner_segs(struct x86_cpu *cpu);
/* LLDT and task switch: errors raised as vector. */
void x86_load_ldt(struct x86_cpu *cpu, u16 sel, u8 vector);

/* Recompute the bits of seg_flat and seg_wide for reg. */
void x86_note_flat(struct x86_cpu *cpu, enum seg_reg reg);

/* A stack that is not the current one, written to before it is committed. */
struct stack {
	struct seg ss;
	u64 sp;
	unsigned cpl; /* who it belongs to */
	bool flat;    /* 64-bit */
	u32 ss_error; /* of #SS */
};

void stack_push(struct x86_cpu *cpu, struct stack *s, u64 val, unsigned size);
/* Where SP wraps. */
static inline u64 stack_sp_mask(const struct stack *s)
{
	return s->flat ? ~0ull : s->ss.attr & SEG_DB ? 0xffffffff : 0xffff;
}

/* SS:rSP of privilege level cpl from the task state. */
void x86_tss_stack(struct x86_cpu *cpu, unsigned cpl, unsigned ext, struct stack *s);
/* In long mode: ist is 1 to 7, or 0 for the stack of cpl. */
void x86_tss_stack64(struct x86_cpu *cpu, unsigned cpl, unsigned ist, unsigned ext,
		     struct stack *s);
/* Install s as the current stack. */
void x86_commit_stack(struct x86_cpu *cpu, const struct stack *s);

/* --- exception.c --- */

/* INT n, INT3, INTO, INT1 of the instruction in progress. */
void x86_software_interrupt(struct x86_cpu *cpu, const struct op *op, u8 vector, bool int1);

/* --- far.c --- */

void x86_far_jump(struct x86_cpu *cpu, const struct op *op, u16 sel, u64 off, unsigned size);
void x86_far_call(struct x86_cpu *cpu, const struct op *op, u16 sel, u64 off, unsigned size);
void x86_far_return(struct x86_cpu *cpu, unsigned size, unsigned release);
void x86_iret(struct x86_cpu *cpu, const struct op *op, unsigned size);
/* #GP(0) unless rip can be run in cs. */
void x86_check_rip(struct x86_cpu *cpu, const struct seg *cs, u64 rip);

/* --- task.c --- */

enum task_reason { TASK_JMP, TASK_CALL, TASK_INT, TASK_IRET };

/*
 * Switch to the task whose TSS is sel; next_rip is where the old one will go on.  error: if
 * not NULL it is pushed on the new stack.
 */
void x86_task_switch(struct x86_cpu *cpu, u16 sel, enum task_reason why, u64 next_rip, unsigned ext,
		     const u32 *error);
/* The same through a task gate. */
void x86_task_gate(struct x86_cpu *cpu, u64 gate, enum task_reason why, u64 next_rip, unsigned ext,
		   const u32 *error);

/* --- paging.c, control.c, msr.c --- */

/* PAE: read the four PDPTEs that cr3 points to; false if one has reserved bits set. */
bool x86_load_pdptes(struct x86_cpu *cpu, u64 cr3);
u64 x86_phys_mask(const struct x86_cpu *cpu); /* of physical addresses */
int x86_write_efer(struct x86_cpu *cpu, u64 val);
u64 x86_cr4_allowed(const struct x86_cpu *cpu);
u64 x86_efer_allowed(const struct x86_cpu *cpu);
void x86_msr_reset(struct x86_cpu *cpu);
bool x86_is_amd(const struct cpu_features *f);
u64 x86_xcr0_allowed(const struct x86_cpu *cpu);

#endif
