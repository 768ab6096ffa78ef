/* SPDX-License-Identifier: MIT */
/*
 * task.c - hardware task switches: by CALL, JMP, INT and IRET, back links, NT and busy bits,
 * CR0.TS, the debug trap bit, 16-bit task states, and their faults.
 *
 * Source: SDM volume 3A, "Task Management".
 *
 * bits: 32
 * qemu ltr-null: TCG loads a null selector into TR
 * qemu trap-bit*: TCG does not know the T bit
 */
#include "guest.h"

struct __attribute__((packed)) tss32 {
	u32 link, sp0, ss0, sp1, ss1, sp2, ss2, cr3, eip, flags;
	u32 ax, cx, dx, bx, sp, bp, si, di, es, cs, ss, ds, fs, gs, ldt;
	u16 trap, iomap;
};

enum { S_TASK, S_GATE, S_TASK16, S_SHORT };
enum { TYPE_BUSY = 2 };

CODE(task_code, "1: mov $0x1234, %eax\npushf\npop %edx\nmov %cr0, %ecx\niret\njmp 1b\n")
CODE(task_stop, DONE_INSN)
CODE(call_task, "lcall *(%esi)\nmov $0x77, %ebp\n" DONE_INSN)
CODE(jump_task, "ljmp *(%esi)\nmov $0x78, %ebp\n" DONE_INSN)
CODE(int_task, "int $0x90\nmov $0x79, %ebp\n" DONE_INSN)
CODE(fault_task, "ud2\n")
CODE(gp_task, "mov %eax, %fs\n" DONE_INSN)
CODE(error_task, "pop %eax\nmov %eax, %ecx\nmov %esp, %ebx\n" DONE_INSN)
CODE(nt_iret, "pushf; orl $0x4000, (%esp); popf; iret\n")
CODE(jump_back, "incl %edi\nljmp *(%esi)\n" DONE_INSN)

static struct tss32 task __attribute__((aligned(128)));
static struct __attribute__((packed)) {
	u32 off;
	u16 sel;
} target;
static u8 task_stack[4096] __attribute__((aligned(16)));

static u16 sel(unsigned slot)
{
	return (u16)(SEL_FREE + 8 * slot);
}

static unsigned type_of(u16 s)
{
	return gdt[s / 8] >> 40 & 15;
}

static void prepare(const void *code)
{
	memset(&task, 0, sizeof(task));
	task.eip = (u32)code;
	task.flags = FL_1;
	task.sp = (u32)task_stack + sizeof(task_stack);
	task.cs = SEL_CODE;
	task.ss = task.ds = task.es = task.fs = task.gs = SEL_DATA;
	task.iomap = sizeof(task);
	task.cr3 = read_cr3();
	gdt_put(S_TASK, descriptor((u32)&task, sizeof(task) - 1, 0x89));
	gdt_put(S_GATE, (u64)sel(S_TASK) << 16 | (u64)0x85 << 40);
}

/* Back to the CPU's own task register, whatever happened. */
static void own_task(void)
{
	gdt[SEL_TSS / 8] &= ~((u64)TYPE_BUSY << 40);
	asm volatile("ltr %w0" ::"r"(SEL_TSS));
	write_cr0(read_cr0() & ~CR0_TS);
}

static struct ctx going(const u8 *code, u16 s)
{
	struct ctx c = ctx_kernel(code);

	target.off = 0xdead;
	target.sel = s;
	c.si = (u32)&target;
	return c;
}

/* The trap comes in the new task, with its registers; so this_cpu() is still 0. */
static void call_and_back(void)
{
	struct ctx c = going(call_task, sel(S_TASK));

	prepare(task_code);
	ctx_run(&c);
	check_done("call-task", &c);
	check("call-task-resumed", c.bp, 0x77);
	check("task-ran", task.ax, 0x1234);
	check("task-nt-inside", task.dx & FL_NT, FL_NT);
	check("task-ts", task.cx & CR0_TS, CR0_TS);
	check("task-link", task.link & 0xffff, SEL_TSS);
	check("task-nt-cleared-by-iret", task.flags & FL_NT, 0);
	check("task-not-busy", type_of(sel(S_TASK)), 9);
	check("own-busy", type_of(SEL_TSS), 11);
	check("task-saved-eip", task.eip, (u32)task_code_end - 2);
	check("no-nt-after", c.flags & FL_NT, 0);
	own_task();
	/* Through a task gate. */
	c = going(call_task, sel(S_GATE));
	prepare(task_code);
	ctx_run(&c);
	check_done("call-task-gate", &c);
	check("task-gate-ran", task.ax, 0x1234);
	own_task();
}

static void interrupt_and_back(void)
{
	struct ctx c = ctx_kernel(int_task);

	prepare(task_code);
	set_gate(0x90, NULL, sel(S_TASK), 5, 3, 0);
	ctx_run(&c);
	check_done("int-task", &c);
	check("int-task-resumed", c.bp, 0x79);
	check("int-task-link", task.link & 0xffff, SEL_TSS);
	own_task();
	default_gate(0x90);
	/* A fault with an error code: pushed on the new task's stack. */
	prepare(error_task);
	set_gate(GP, NULL, sel(S_TASK), 5, 0, 0);
	c = ctx_kernel(gp_task);
	c.ax = 0x1f0;
	gdt[0x1f0 / 8] = 0;
	ctx_run(&c);
	check_trap("fault-task", &c, DONE_VECTOR, 0, error_task_end);
	check("fault-task-error", c.cx, 0x1f0);
	check("fault-task-stack", c.bx, (u32)task_stack + sizeof(task_stack));
	own_task();
	default_gate(GP);
}

static void jumps(void)
{
	struct ctx c = going(jump_task, sel(S_TASK));

	prepare(task_stop);
	ctx_run(&c);
	check_trap("jump-task", &c, DONE_VECTOR, 0, task_stop_end);
	check("jump-task-no-nt", c.flags & FL_NT, 0);
	check("jump-task-no-link", task.link, 0);
	check("jump-old-not-busy", type_of(SEL_TSS), 9);
	check("jump-new-busy", type_of(sel(S_TASK)), 11);
	own_task();
	/* There and back by jumps. */
	prepare(jump_back);
	c = going(jump_task, sel(S_TASK));
	{
		static struct __attribute__((packed)) {
			u32 off;
			u16 sel;
		} back = {0, SEL_TSS};

		task.si = (u32)&back;
	}
	ctx_run(&c);
	check_done("jump-and-back", &c);
	check("jump-and-back-resumed", c.bp, 0x78);
	check("jump-and-back-ran", task.di, 1);
	own_task();
}

static void faults(void)
{
	struct ctx c = going(call_task, sel(S_TASK));

	prepare(task_stop);
	gdt[sel(S_TASK) / 8] |= (u64)TYPE_BUSY << 40;
	ctx_run(&c);
	check_trap("busy-task", &c, GP, sel(S_TASK), call_task);
	prepare(task_stop);
	gdt[sel(S_TASK) / 8] &= ~(0x80ull << 40);
	c = going(call_task, sel(S_TASK));
	ctx_run(&c);
	check_trap("task-not-present", &c, NP, sel(S_TASK), call_task);
	prepare(task_stop);
	gdt_put(S_TASK, descriptor((u32)&task, 102, 0x89));
	c = going(call_task, sel(S_TASK));
	ctx_run(&c);
	check_trap("task-short", &c, TS, sel(S_TASK), call_task);
	c = going(call_task, SEL_TSS);
	ctx_run(&c);
	check_trap("call-own-task", &c, GP, SEL_TSS, call_task);
	/* IRET with NT and a link that is no busy task. */
	c = ctx_kernel(nt_iret);
	ctx_run(&c);
	check("iret-bad-link", c.vector, TS);
	asm volatile("pushf; andl $~0x4000, (%esp); popf");
	check("ltr-busy", TRY("ltr %w0", : "r"(SEL_TSS)), GP);
	check("ltr-null", TRY("ltr %w0", : "r"(0)), GP);
	check("ltr-data", TRY("ltr %w0", : "r"((u32)SEL_DATA)), GP);
}

/* Bad segments belong to the new task. */
static void faults_inside(void)
{
	struct ctx c;

	if (is_tcg()) {
		skip("faults in the new task", "TCG raises them in the old one, half switched");
		return;
	}
	prepare(task_stop);
	task.cs = SEL_DATA;
	c = going(jump_task, sel(S_TASK));
	ctx_run(&c);
	check_trap("task-cs-data", &c, TS, SEL_DATA, task_stop);
	own_task();
	prepare(task_stop);
	task.ds = SEL_CODE + 0x1f8 - SEL_CODE;
	gdt[0x1f8 / 8] = descriptor(0, 0xfffff, (SEG_DATA_RW & ~0x80) | SEG_32);
	c = going(jump_task, sel(S_TASK));
	ctx_run(&c);
	check_trap("task-ds-not-present", &c, NP, 0x1f8, task_stop);
	own_task();
}

/* T in the new task: #DB after the switch, before its first instruction. */
static void debug_trap(void)
{
	struct ctx c = going(jump_task, sel(S_TASK));

	prepare(task_stop);
	task.trap = 1;
	write_dr6(0xffff0ff0);
	ctx_run(&c);
	check_trap("trap-bit", &c, DB, 0, task_stop);
	check("trap-bit-dr6", read_dr6() & 0xf00f, 0x8000);
	own_task();
}

static void sixteen(void)
{
	static u16 t16[22];
	struct ctx c = going(jump_task, sel(S_TASK16));

	memset(t16, 0, sizeof(t16));
	/* IP, flags, AX.., SP, segments; code16 in a segment that begins there. */
	gdt_put(S_SHORT, descriptor((u32)task_stop, 0xffff, SEG_CODE_RX | DPL(3)));
	t16[1] = 0x7000; /* ring 0's stack, in the low memory */
	t16[2] = SEL_DATA;
	t16[7] = 0;
	t16[8] = FL_1;
	t16[9] = 0x4321;
	t16[13] = 0x7000;
	t16[17] = t16[19] = t16[20] = SEL_UDATA;
	t16[18] = sel(S_SHORT) | 3;
	gdt_put(S_TASK16, descriptor((u32)t16, sizeof(t16) - 1, 0x81));
	ctx_run(&c);
	check("task16-vector", c.vector, DONE_VECTOR);
	check("task16-ip", c.ip, 2);
	check("task16-ax", c.ax & 0xffff, 0x4321);
	check("task16-busy", type_of(sel(S_TASK16)), 3);
	own_task();
}

int main(void)
{
	call_and_back();
	interrupt_and_back();
	jumps();
	faults();
	faults_inside();
	debug_trap();
	sixteen();
	return 0;
}
