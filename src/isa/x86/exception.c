/* SPDX-License-Identifier: MIT */
/*
 * exception.c - exceptions and interrupts: raising them, and delivery in every mode.
 *
 * Delivery computes all that it needs and pushes the frame before it changes a register, so a
 * fault in the middle leaves the CPU as it was and becomes the next event, or a double fault.
 *
 * Source: SDM volume 3A, "Interrupt and Exception Handling"; volume 2A, "INT n".
 */
#include "isa/x86/priv.h"

/* cpu->delivering for what is benign whatever its number: interrupts from outside. */
enum { DELIVERING_BENIGN = 256 };

/* Bit 1 of a selector error code: it is an index into the IDT. */
enum { ERROR_IDT = 2 };

struct event {
	u8 vector;
	bool has_error;
	bool soft;    /* the gate's DPL counts */
	unsigned ext; /* bit 0 of error codes: not caused by INT n */
	u32 error;
	u64 rip;   /* to be pushed, and ... */
	u64 flags; /* ... so the flags */
};

_Noreturn void x86_raise(struct x86_cpu *cpu, const struct x86_fault *f)
{
	if (cpu->op)
		cpu->st.rip = f->soft || f->int1 ? op_next_rip(cpu, cpu->op)
						 : x86_cut_rip(cpu, op_rip(cpu, cpu->op));
	cpu->fault = *f;
	longjmp(cpu->on_fault, X86_JMP_FAULT);
}

_Noreturn void x86_raise_err(struct x86_cpu *cpu, u8 vector, u32 error)
{
	x86_raise(cpu, &(struct x86_fault){.vector = vector, .has_error = true, .error = error});
}

_Noreturn void x86_raise_noerr(struct x86_cpu *cpu, u8 vector)
{
	x86_raise(cpu, &(struct x86_fault){.vector = vector});
}

_Noreturn void x86_raise_ud(struct x86_cpu *cpu)
{
	x86_raise_noerr(cpu, X86_UD);
}

_Noreturn void x86_raise_gp(struct x86_cpu *cpu, u16 error)
{
	x86_raise_err(cpu, X86_GP, error);
}

/* --- real mode ----------------------------------------------------------------------- */

/* Through the table at base; also VME's INT n in virtual-8086 mode, with flags changed. */
static void deliver_ivt(struct x86_cpu *cpu, const struct event *ev, u64 base, u64 clear)
{
	u32 target = (u32)sys_read(cpu, base + 4 * ev->vector, 4);
	u64 sp = cpu->st.gpr[RSP];

	push_at(cpu, &sp, ev->flags & 0xffff, 2);
	push_at(cpu, &sp, cpu->st.seg[SEG_CS].sel, 2);
	push_at(cpu, &sp, ev->rip & 0xffff, 2);
	set_sp(cpu, sp);
	cpu->st.rflags &= ~clear;
	x86_set_seg_real(cpu, SEG_CS, (u16)(target >> 16));
	cpu->st.rip = target & 0xffff;
	x86_mode_changed(cpu);
}

static void deliver_real(struct x86_cpu *cpu, const struct event *ev)
{
	if (4u * ev->vector + 3 > cpu->st.idtr.limit)
		x86_raise_gp(cpu, (u16)(ev->vector * 8 + ERROR_IDT + ev->ext));
	deliver_ivt(cpu, ev, cpu->st.idtr.base, FL_IF | FL_TF | FL_AC | FL_RF);
}

/* --- protected mode -------------------------------------------------------------------- */

static void push_error(struct x86_cpu *cpu, const struct event *ev, struct stack *s, unsigned size)
{
	if (ev->has_error)
		stack_push(cpu, s, ev->error, size);
}

/* Flags, CS, RIP. */
static void push_return(struct x86_cpu *cpu, const struct event *ev, struct stack *s, unsigned size)
{
	stack_push(cpu, s, ev->flags, size);
	stack_push(cpu, s, cpu->st.seg[SEG_CS].sel, size);
	stack_push(cpu, s, ev->rip, size);
	push_error(cpu, ev, s, size);
}

static void enter_handler(struct x86_cpu *cpu, const struct seg *cs, u64 rip, bool intr_gate)
{
	cpu->st.seg[SEG_CS] = *cs;
	cpu->st.rip = rip;
	cpu->st.rflags &= ~(u64)(FL_TF | FL_VM | FL_RF | FL_NT);
	if (intr_gate)
		cpu->st.rflags &= ~(u64)FL_IF;
	x86_code_changed(cpu);
}

/* The gate's code segment, checked; *cpl: the handler's privilege level. */
static struct seg handler_cs(struct x86_cpu *cpu, u16 sel, unsigned ext, unsigned *cpl)
{
	u16 error = (u16)((sel & 0xfffc) | ext);
	struct desc d;
	struct seg cs;

	if (x86_null_sel(sel))
		x86_raise_gp(cpu, (u16)ext);
	if (!x86_read_desc(cpu, sel, &d) || !desc_is_code(d.raw) || desc_dpl(d.raw) > cpu->cpl)
		x86_raise_gp(cpu, error);
	/* Long mode: 64-bit code only. */
	if (cpu->long_mode && (d.raw >> 53 & 3) != 1)
		x86_raise_gp(cpu, error);
	if (!desc_present(d.raw))
		x86_raise_err(cpu, X86_NP, error);
	*cpl = desc_is_conforming(d.raw) ? cpu->cpl : desc_dpl(d.raw);
	if (x86_v86(cpu) && *cpl != 0)
		x86_raise_gp(cpu, error);
	x86_mark_accessed(cpu, &d);
	cs = x86_desc_seg(&d, (u16)((sel & ~3) | *cpl));
	return cs;
}

static void push_v86_segs(struct x86_cpu *cpu, struct stack *s, unsigned size)
{
	static const enum seg_reg order[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};

	for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
		stack_push(cpu, s, cpu->st.seg[order[i]].sel, size);
}

static void null_data_segs(struct x86_cpu *cpu)
{
	static const enum seg_reg regs[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
	const struct seg null = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(regs); i++)
		x86_put_seg(cpu, regs[i], &null);
}

static void deliver_gate(struct x86_cpu *cpu, const struct event *ev, u64 gate)
{
	unsigned size = desc_type(gate) & 8 ? 4 : 2;
	bool intr = !(desc_type(gate) & 1);
	bool v86 = x86_v86(cpu);
	u64 rip = size == 4 ? gate_offset(gate) : gate & 0xffff;
	unsigned cpl;
	struct seg cs = handler_cs(cpu, gate_sel(gate), ev->ext, &cpl);
	struct stack s = {.ss = cpu->st.seg[SEG_SS],
			  .sp = cpu->st.gpr[RSP],
			  .cpl = cpu->cpl,
			  .ss_error = ev->ext};

	if (cpl < cpu->cpl) {
		x86_tss_stack(cpu, cpl, ev->ext, &s);
		if (v86)
			push_v86_segs(cpu, &s, size);
		stack_push(cpu, &s, cpu->st.seg[SEG_SS].sel, size);
		stack_push(cpu, &s, cpu->st.gpr[RSP], size);
	}
	push_return(cpu, ev, &s, size);
	if (rip > cs.limit)
		x86_raise_gp(cpu, (u16)ev->ext);
	x86_commit_stack(cpu, &s);
	if (v86) {
		cpu->st.rflags &= ~(u64)FL_VM;
		null_data_segs(cpu);
	}
	enter_handler(cpu, &cs, rip, intr);
}

static void deliver_protected(struct x86_cpu *cpu, const struct event *ev)
{
	u16 error = (u16)(ev->vector * 8 + ERROR_IDT + ev->ext);
	u64 gate;

	if (8u * ev->vector + 7 > cpu->st.idtr.limit)
		x86_raise_gp(cpu, error);
	gate = sys_read(cpu, cpu->st.idtr.base + 8 * ev->vector, 8);
	if (desc_is_seg(gate) || (desc_type(gate) != DESC_TASK_GATE && (desc_type(gate) & 6) != 6))
		x86_raise_gp(cpu, error);
	if (ev->soft && desc_dpl(gate) < cpu->cpl)
		x86_raise_gp(cpu, error);
	if (!desc_present(gate))
		x86_raise_err(cpu, X86_NP, error);
	if (desc_type(gate) == DESC_TASK_GATE)
		x86_task_gate(cpu, gate, TASK_INT, ev->rip, ev->ext,
			      ev->has_error ? &ev->error : NULL);
	else
		deliver_gate(cpu, ev, gate);
}

/* --- long mode --------------------------------------------------------------------------- */

static void deliver_long(struct x86_cpu *cpu, const struct event *ev)
{
	u16 error = (u16)(ev->vector * 8 + ERROR_IDT + ev->ext);
	u64 at = cpu->st.idtr.base + 16 * ev->vector;
	struct stack s = {.ss = cpu->st.seg[SEG_SS], .flat = true, .ss_error = ev->ext};
	u64 gate, rip, old_sp = cpu->st.gpr[RSP];
	unsigned cpl, ist;
	struct seg cs;

	if (16u * ev->vector + 15 > cpu->st.idtr.limit)
		x86_raise_gp(cpu, error);
	gate = sys_read(cpu, at, 8);
	rip = gate_offset(gate) | sys_read(cpu, at + 8, 8) << 32;
	if (desc_is_seg(gate) || (desc_type(gate) & 14) != DESC_INT32)
		x86_raise_gp(cpu, error);
	if (ev->soft && desc_dpl(gate) < cpu->cpl)
		x86_raise_gp(cpu, error);
	if (!desc_present(gate))
		x86_raise_err(cpu, X86_NP, error);
	cs = handler_cs(cpu, gate_sel(gate), ev->ext, &cpl);
	ist = gate >> 32 & 7;
	if (cpl < cpu->cpl || ist) {
		x86_tss_stack64(cpu, cpl, ist, ev->ext, &s);
		if (cpl == cpu->cpl)
			s.ss = cpu->st.seg[SEG_SS];
	} else {
		s.sp = old_sp;
		s.cpl = cpl;
	}
	s.sp &= ~15ull;
	stack_push(cpu, &s, cpu->st.seg[SEG_SS].sel, 8);
	stack_push(cpu, &s, old_sp, 8);
	push_return(cpu, ev, &s, 8);
	if (!x86_canonical(rip))
		x86_raise_gp(cpu, (u16)ev->ext);
	x86_commit_stack(cpu, &s);
	enter_handler(cpu, &cs, rip, desc_type(gate) == DESC_INT32);
}

static void deliver(struct x86_cpu *cpu, const struct event *ev)
{
	if (cpu->long_mode)
		deliver_long(cpu, ev);
	else if (cpu->st.cr0 & CR0_PE)
		deliver_protected(cpu, ev);
	else
		deliver_real(cpu, ev);
}

/* --- faults, one after another ----------------------------------------------------------- */

enum fault_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum fault_class fault_class(int vector)
{
	switch (vector) {
	case X86_DE:
	case X86_TS:
	case X86_NP:
	case X86_SS:
	case X86_GP: return CONTRIBUTORY;
	case X86_PF: return PAGE_FAULT;
	case X86_DF: return DOUBLE_FAULT;
	default: return BENIGN;
	}
}

static void note_history(struct x86_cpu *cpu)
{
	if (cpu->nr_history == AUTOPSY_DEPTH) {
		memmove(&cpu->history[0], &cpu->history[1],
			sizeof(cpu->history[0]) * (AUTOPSY_DEPTH - 1));
		cpu->nr_history--;
	}
	cpu->history[cpu->nr_history].fault = cpu->fault;
	cpu->history[cpu->nr_history].rip = cpu->st.rip;
	cpu->history[cpu->nr_history].cr2 =
		cpu->fault.vector == X86_PF ? cpu->fault.cr2 : cpu->st.cr2;
	cpu->nr_history++;
}

/*
 * Some faults may follow each other for ever: #AC whose delivery raises #AC.  Hardware would
 * hang; after so many we shut down.
 */
enum { MAX_NESTED = 16 };

/* What a fault during the delivery of another event becomes; false: shutdown. */
static bool combine(struct x86_cpu *cpu, struct x86_fault *f)
{
	enum fault_class first = fault_class(cpu->delivering);
	enum fault_class second = fault_class(f->vector);

	if ((first == DOUBLE_FAULT && second != BENIGN) || ++cpu->nested > MAX_NESTED)
		return false;
	if ((first == CONTRIBUTORY && second == CONTRIBUTORY) ||
	    (first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT)))
		*f = (struct x86_fault){.vector = X86_DF, .has_error = true};
	return true;
}

static void enter_debug_exception(struct x86_cpu *cpu, u32 dr6)
{
	if (dr6 & 15)
		cpu->st.dr6 &= ~15ull;
	cpu->st.dr6 |= dr6;
	cpu->st.dr7 &= ~(u64)DR7_GD;
	cpu->st.debugctl &= ~3ull; /* LBR and BTF */
}

/* Faults push RF set, so that the handler's IRET gets past a breakpoint on the instruction. */
static bool pushes_rf(const struct x86_fault *f)
{
	if (f->vector == X86_DB)
		return f->dr6 & DR6_BD;
	return !f->soft && !f->int1;
}

bool x86_deliver_fault(struct x86_cpu *cpu)
{
	struct x86_fault f = cpu->fault;
	struct event ev;

	cpu->op = NULL; /* st.rip says where */
	note_history(cpu);
	if (f.vector == X86_PF)
		cpu->st.cr2 = f.cr2;
	if (cpu->delivering >= 0 && !combine(cpu, &f)) {
		cpu->triple = true;
		cpu->delivering = -1;
		cpu->nested = 0;
		cpu->st.activity = CPU_SHUTDOWN;
		return false;
	}
	cpu->delivering = f.vector;
	if (f.vector == X86_DB)
		enter_debug_exception(cpu, f.dr6);
	ev = (struct event){
		.vector = f.vector,
		.has_error = f.has_error && (cpu->st.cr0 & CR0_PE),
		.soft = f.soft,
		.ext = !f.soft,
		.error = f.error,
		.rip = cpu->st.rip,
		.flags = x86_rflags(cpu) | (pushes_rf(&f) ? FL_RF : 0),
	};
	deliver(cpu, &ev);
	cpu->delivering = -1;
	cpu->nested = 0;
	cpu->nr_history = 0;
	cpu->skip_step = false;
	cpu->st.irq_shadow = cpu->st.shadow_is_movss = false;
	return true;
}

static void deliver_outside(struct x86_cpu *cpu, u8 vector)
{
	struct event ev = {
		.vector = vector, .ext = 1, .rip = cpu->st.rip, .flags = x86_rflags(cpu)};

	cpu->op = NULL;
	cpu->nested = 0;
	cpu->nr_history = 0;
	cpu->st.activity = CPU_RUNNING;
	cpu->st.irq_shadow = cpu->st.shadow_is_movss = false;
	cpu->delivering = DELIVERING_BENIGN;
	deliver(cpu, &ev);
	cpu->delivering = -1;
}

void x86_interrupt(struct x86_cpu *cpu, u8 vector)
{
	deliver_outside(cpu, vector);
}

void x86_nmi(struct x86_cpu *cpu)
{
	cpu->st.nmi_pending = false;
	cpu->st.nmi_masked = true;
	deliver_outside(cpu, X86_NMI);
}

/* --- INT n and its kin ------------------------------------------------------------------- */

/* VME: does the TSS send this vector to the 8086 program's own handler? */
static bool redirected(struct x86_cpu *cpu, u8 vector)
{
	const struct seg *tr = &cpu->st.tr;
	u32 at;

	if ((tr->attr & SEG_TYPE) < DESC_TSS32 || tr->limit < 103)
		x86_raise_gp(cpu, 0);
	at = (u32)sys_read(cpu, tr->base + 102, 2) - 32 + vector / 8;
	if (at > tr->limit)
		x86_raise_gp(cpu, 0);
	return !(sys_read(cpu, tr->base + at, 1) >> (vector & 7) & 1);
}

/* INT n in virtual-8086 mode; true if it was delivered here. */
static bool v86_int(struct x86_cpu *cpu, struct event *ev)
{
	bool iopl3 = x86_iopl(cpu) == 3;

	if ((cpu->st.cr4 & CR4_VME) && redirected(cpu, ev->vector)) {
		u64 vif = ev->flags & FL_VIF ? FL_IF : 0;

		if (!iopl3)
			ev->flags = (ev->flags & ~(u64)FL_IF) | vif | FL_IOPL;
		deliver_ivt(cpu, ev, 0, FL_TF | (iopl3 ? FL_IF : FL_VIF));
		return true;
	}
	if (!iopl3)
		x86_raise_gp(cpu, 0);
	return false;
}

void x86_software_interrupt(struct x86_cpu *cpu, const struct op *op, u8 vector, bool int1)
{
	struct event ev = {
		.vector = vector,
		.soft = !int1,
		.ext = int1,
		.rip = op_next_rip(cpu, op),
		.flags = x86_rflags(cpu) & ~(u64)FL_RF,
	};
	bool is_int_n = op->opcode == 0xcd;

	if (!is_int_n || !x86_v86(cpu) || !v86_int(cpu, &ev))
		deliver(cpu, &ev);
	cpu->skip_step = true;
}

/* --- debug ------------------------------------------------------------------------------- */

void x86_check_traps(struct x86_cpu *cpu)
{
	u32 dr6;

	if (cpu->skip_step) {
		cpu->st.pending_db &= ~(u32)DR6_BS;
		cpu->skip_step = false;
	}
	dr6 = cpu->st.pending_db;
	if (!dr6 || (cpu->st.irq_shadow && cpu->st.shadow_is_movss))
		return;
	cpu->st.pending_db = 0;
	x86_update_careful(cpu);
	cpu->op = NULL;
	x86_raise(cpu, &(struct x86_fault){.vector = X86_DB, .dr6 = dr6});
}

/* What DR7 says of breakpoint n. */
enum { BP_EXEC, BP_WRITE, BP_IO, BP_ACCESS };

static bool bp_enabled(const struct x86_cpu *cpu, unsigned n, unsigned *type, unsigned *len)
{
	static const u8 lens[] = {1, 2, 8, 4};

	*type = cpu->st.dr7 >> (16 + 4 * n) & 3;
	*len = lens[cpu->st.dr7 >> (18 + 4 * n) & 3];
	return cpu->st.dr7 >> (2 * n) & 3;
}

static bool bp_overlaps(const struct x86_cpu *cpu, unsigned n, unsigned len, u64 addr,
			unsigned size)
{
	u64 at = cpu->st.dr[n] & ~(u64)(len - 1);

	return addr - at < len || at - addr < size;
}

void x86_check_insn_breakpoint(struct x86_cpu *cpu, u64 lin)
{
	unsigned type, len;
	u32 dr6 = 0;

	if (cpu->st.rflags & FL_RF) {
		cpu->st.rflags &= ~(u64)FL_RF;
		x86_update_careful(cpu);
		return;
	}
	/* Right behind MOV SS, breakpoints are not seen. */
	if (cpu->st.irq_shadow && cpu->st.shadow_is_movss)
		return;
	for (unsigned n = 0; n < 4; n++)
		if (bp_enabled(cpu, n, &type, &len) && type == BP_EXEC && cpu->st.dr[n] == lin)
			dr6 |= 1u << n;
	if (dr6)
		x86_raise(cpu, &(struct x86_fault){.vector = X86_DB, .dr6 = dr6});
}

void x86_note_data_access(struct x86_cpu *cpu, u64 lin, unsigned size, enum mem_access acc)
{
	unsigned type, len;

	if (acc == MEM_EXEC)
		return;
	for (unsigned n = 0; n < 4; n++) {
		if (!bp_enabled(cpu, n, &type, &len) || type == BP_EXEC || type == BP_IO)
			continue;
		if ((type == BP_ACCESS || acc == MEM_WRITE) && bp_overlaps(cpu, n, len, lin, size))
			cpu->st.pending_db |= 1u << n;
	}
}

void x86_note_io_access(struct x86_cpu *cpu, u16 port, unsigned size)
{
	unsigned type, len;

	if (!(cpu->st.cr4 & CR4_DE))
		return;
	for (unsigned n = 0; n < 4; n++)
		if (bp_enabled(cpu, n, &type, &len) && type == BP_IO &&
		    bp_overlaps(cpu, n, len, port, size))
			cpu->st.pending_db |= 1u << n;
}
