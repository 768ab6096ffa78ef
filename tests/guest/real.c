/* SPDX-License-Identifier: MIT */
/*
 * real.c - real mode, on a second CPU that a start-up IPI puts there: state after INIT and
 * SIPI, interrupts through the table at 0, wrap and limits, unreal mode, and what is not there.
 *
 * Each program runs on the second CPU, started anew, and leaves its results at RESULTS.
 *
 * Source: SDM volume 3B, "8086 Emulation"; volume 3A, "Processor Management and
 * Initialization".
 *
 * cpus: 2
 * qemu real-limit: TCG does not check segment limits
 * qemu real-limit-stack: as before
 */
#include "apic.h"

enum { START = 0x8000, RESULTS = 0x9000, DONE_MARK = 0xd00e };

#define PROLOGUE "cli\nmov %cs, %ax\nmov %ax, %ds\nxor %ax, %ax\nmov %ax, %es\n"
#define EPILOGUE "movw $0xd00e, %es:0x9000\n9: cli\nhlt\njmp 9b\n"
/* Vector n of the table goes to label h, relative to the program's start. */
#define VECTOR(n, h, start) \
	"movw $(" h " - " start "), %es:" n " * 4\nmovw %cs, %es:" n " * 4 + 2\n"

CODE16(state,
       "mov %eax, %cs:0xff0\nmov %cs, %ax\nmov %ax, %es\nmov %ds, %es:0xf00\nmov %ss, %es:0xf02\n"
       "mov %edx, %es:0xff4\nmov %esp, %es:0xff8\n"
       "xor %ax, %ax\nmov %ax, %ds\n"
       "mov %cs, 0x9010\n"
       "mov %cr0, %eax\nmov %eax, 0x9014\nmov %cr4, %eax\nmov %eax, 0x9018\n"
       "mov %es:0xff0, %eax\nmov %eax, 0x901c\n"
       "mov %es:0xff4, %eax\nmov %eax, 0x9020\n"
       "mov %es:0xf00, %eax\nmov %eax, 0x9024\n"
       "mov %cr3, %eax\nmov %eax, 0x9028\n"
       "mov %dr7, %eax\nmov %eax, 0x902c\n"
       "mov %dr6, %eax\nmov %eax, 0x9030\n"
       "pushf\npop %ax\nmov %ax, 0x9034\n"
       "movw $0xd00e, 0x9000\n9: cli\nhlt\njmp 9b\n")

CODE16(ints,
       PROLOGUE VECTOR("0x21", "h21", "ints") VECTOR("0", "h0", "ints")
	       VECTOR("6", "h6", "ints") "mov $0x7000, %sp\nmov %ax, %ss\nsti\npushf\npopw "
					 "%es:0x9010\nint $0x21\ncli\n"
					 "mov %sp, %es:0x9018\n"
					 "xor %cx, %cx\nmov $1, %ax\nxor %dx, %dx\nd0: div %cx\n"
					 "u6: .byte 0x0f, 0x00, 0xc0\n" /* SLDT: not in real mode */
       EPILOGUE "h21: pushf\npopw %es:0x9012\nmov %sp, %bp\nmov %ss:(%bp), %bx\nmov %bx, "
					 "%es:0x9014\n"
					 "mov %ss:4(%bp), %bx\nmov %bx, %es:0x9016\niret\n"
					 /* Faults push their own address; step over. */
					 "h0: mov %sp, %bp\nmov %ss:(%bp), %bx\nsub $(d0 - ints), "
					 "%bx\nmov %bx, %es:0x901a\n"
					 "addw $2, %ss:(%bp)\niret\n"
					 "h6: mov %sp, %bp\nmov %ss:(%bp), %bx\nsub $(u6 - ints), "
					 "%bx\nmov %bx, %es:0x901c\n"
					 "addw $3, %ss:(%bp)\niret\n")

CODE16(edges,
       PROLOGUE VECTOR("13", "hgp", "edges") VECTOR(
	       "12", "hss",
	       "edges") "mov %ax, %ss\nmov $0x7000, %sp\n"
			"mov $0xffff, %si\nxor %dx, %dx\n"
			"g1: mov %es:(%si), %ax\nmov %dx, %es:0x9010\n" /* a word at ffff: #GP */
			"xor %dx, %dx\nmov $0xffff, %bp\ng2: mov (%bp), %ax\nmov %dx, %es:0x9012\n"
			/* The top of memory: ffff:10 is 100000. */
			"mov $0xffff, %ax\nmov %ax, %fs\nmov %fs:0x10, %eax\nmov %eax, "
			"%es:0x9014\n" EPILOGUE
			"hgp: mov $13, %dx\nmov %sp, %bx\naddw $3, %ss:(%bx)\niret\n"
			"hss: mov $12, %dx\nmov %sp, %bx\naddw $3, %ss:(%bx)\niret\n")

/* Unreal mode: a limit of 4 GiB loaded in protected mode stays when that is left. */
CODE16(unreal, PROLOGUE
       "lgdtl (ugdtr - unreal)\nmov %cr0, %eax\nor $1, %al\nmov %eax, %cr0\n"
       "mov $8, %bx\nmov %bx, %fs\n"
       "and $0xfe, %al\nmov %eax, %cr0\n"
       "mov $0x100000, %ebx\n.byte 0x64, 0x67, 0x66, 0x8b, 0x03\nmov %eax, %es:0x9010\n"
       /* A new selector changes the base alone. */
       "mov $0x10, %ax\nmov %ax, %fs\n.byte 0x64, 0x67, 0x66, 0x8b, 0x83\n.long -0x100\nmov %eax, "
       "%es:0x9014\n" EPILOGUE ".balign 8\nugdt: .quad 0\n.quad 0x00cf92000000ffff\nugdt_end:\n"
       "ugdtr: .word ugdt_end - ugdt - 1\n.long ugdt - unreal + 0x8000\n")

CODE16(far, PROLOGUE "mov %ax, %ss\nmov $0x7000, %sp\n"
		     "lcall $0x800, $(sub_ - far)\nmov %sp, %es:0x9012\n"
		     "pushw $0x202\npush %cs\npushw $(back - far)\niret\n"
		     "hlt\nback: pushf\npopw %es:0x9014\ncli\n"
		     "smsw %ax\nmov %ax, %es:0x9016\n"
		     "movl $0x12345678, %ebx\nbswap %ebx\nmov %ebx, %es:0x9018\n"
		     "pushl $0x30202\npushl $0x800\npushl $(back2 - far)\niretl\nback2: "
		     "pushfl\npopl %es:0x901c\n" EPILOGUE "sub_: mov %cs, %es:0x9010\nlret\n")

static void reset_cpu(void)
{
	apic_send(1, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	apic_send(1, ICR_INIT | ICR_LEVEL);
	for (unsigned i = 0; i < 20000; i++)
		pause();
}

static bool run(const char *name, const u8 *code, const u8 *end)
{
	memset((void *)RESULTS, 0, 256);
	memcpy((void *)START, code, (size_t)(end - code));
	reset_cpu();
	apic_send(1, ICR_STARTUP | START >> 12);
	for (unsigned i = 0; i < 20000000; i++) {
		if (*(volatile u16 *)RESULTS == DONE_MARK)
			return check_true(name, true);
		pause();
	}
	return check_true(name, false);
}

static u32 word(reg_t off)
{
	return *(volatile u16 *)(reg_t)(RESULTS + off);
}

static u32 dword(unsigned off)
{
	return *(volatile u32 *)(reg_t)(RESULTS + off);
}

static void start_state(void)
{
	u32 r[4];

	if (!run("sipi-starts", state, state_end))
		return;
	cpuid(1, 0, r);
	check("start-cs", word(0x10), START >> 4);
	check("start-cr0", dword(0x14) & ~0x60000000u, 0x10);
	check("start-cr4", dword(0x18), 0);
	check("start-ax", dword(0x1c), 0);
	check("start-dx", dword(0x20), r[EAX]);
	check("start-ds-ss", dword(0x24), 0);
	check("start-cr3", dword(0x28), 0);
	check("start-dr7", dword(0x2c), 0x400);
	check("start-dr6", dword(0x30), 0xffff0ff0);
	check("start-flags", word(0x34) & 0x7f00, 0);
}

static void interrupts(void)
{
	if (!run("real-int", ints, ints_end))
		return;
	check("real-int-if-before", word(0x10) & FL_IF, FL_IF);
	check("real-int-if-inside", word(0x12) & FL_IF, 0);
	check("real-int-flags-pushed", word(0x16) & FL_IF, FL_IF);
	check("real-int-sp", word(0x18), 0x7000);
	check("real-div-address", word(0x1a), 0);
	check("real-sldt-address", word(0x1c), 0);
}

int main(void)
{
	apic_enable();
	start_state();
	interrupts();
	if (run("real-edges", edges, edges_end)) {
		check("real-limit", word(0x10), 13);
		check("real-limit-stack", word(0x12), 12);
		check("real-above-1m", dword(0x14), *(u32 *)0x100000);
	}
	if (run("unreal-mode", unreal, unreal_end)) {
		check("unreal-reads", dword(0x10), *(u32 *)0x100000);
		check("unreal-new-base", dword(0x14), *(u32 *)0x100000);
	}
	if (run("real-far", far, far_end)) {
		check("real-far-call-cs", word(0x10), 0x800);
		check("real-far-return-sp", word(0x12), 0x7000);
		check("real-iret-if", word(0x14) & FL_IF, FL_IF);
		check("real-smsw", word(0x16) & 1, 0);
		check("real-bswap", dword(0x18), 0x78563412);
		check("real-iretd", dword(0x1c) & (FL_VM | FL_IF), FL_IF);
	}
	return 0;
}
