/* SPDX-License-Identifier: MIT */
/*
 * syscall.c - SYSCALL, SYSRET, SYSENTER and SYSEXIT from and to 64-bit and compatibility code,
 * SWAPGS, and what of them faults; UMIP, TSD and the FS and GS base instructions.
 *
 * Where vendors differ, what the CPU's vendor does is expected.
 *
 * Source: SDM volume 2B, under each instruction; AMD APM volume 3.
 *
 * qemu syscall-flags: TCG loses the arithmetic flags
 * qemu sysret64-vm-ignored: TCG loads VM and RF from R11
 * qemu base-noncanonical: TCG stores any address
 * qemu lstar-noncanonical: as before
 * qemu wrgsbase-noncanonical: as before
 */
#include "guest.h"

enum { MSR_EFER = 0xc0000080, STAR, LSTAR, CSTAR, SFMASK };
enum {
	SYSENTER_CS = 0x174,
	SYSENTER_ESP,
	SYSENTER_EIP,
	MSR_GS_BASE = 0xc0000101,
	MSR_KERNEL_GS = 0xc0000102
};

CODE(do_syscall, "syscall\n" DONE_INSN)
CODE(entry, DONE_INSN)
CODE(do_sysret64, "sysretq\n")
CODE(do_sysret32, "sysretl\n")
CODE(do_sysenter, "sysenter\n" DONE_INSN)
CODE(do_sysexit64, ".byte 0x48, 0x0f, 0x35\n")
CODE(do_sysexit32, ".byte 0x0f, 0x35\n")
CODE(landing, DONE_INSN)
CODE32(compat_syscall, "syscall\n" DONE_INSN)
CODE32(compat_sysenter, "sysenter\n" DONE_INSN)
CODE32(compat_landing, "mov $0x12345678, %ecx\n" DONE_INSN)
CODE(do_swapgs, "swapgs\n" DONE_INSN)
CODE(do_sidt, "sub $16, %rsp; sidt (%rsp)\n" DONE_INSN)
CODE(do_smsw, "smsw %eax\n" DONE_INSN)
CODE(do_str, "str %eax\n" DONE_INSN)
CODE(do_rdtsc, "rdtsc\n" DONE_INSN)
CODE(do_rdmsr, "rdmsr\n" DONE_INSN)
CODE(do_invlpg, "invlpg (%rsp)\n" DONE_INSN)
CODE(do_lgdt, "lgdt (%rsp)\n" DONE_INSN)
CODE(do_wrgsbase, "wrgsbase %rax\nrdgsbase %rbx\n" DONE_INSN)
CODE32(compat_wrgsbase, ".byte 0xf3, 0x0f, 0xae, 0xd8\n" DONE_INSN)

static void setup(void)
{
	wrmsr(STAR, (u64)SEL_CODE << 32 | (u64)0x20 << 48);
	wrmsr(LSTAR, (reg_t)entry);
	wrmsr(CSTAR, (reg_t)entry);
	wrmsr(SFMASK, FL_IF | FL_DF);
	wrmsr(SYSENTER_CS, SEL_CODE);
	wrmsr(SYSENTER_ESP, (reg_t)ctx_stack[1] + 4096);
	wrmsr(SYSENTER_EIP, (reg_t)entry);
}

static struct ctx compat(const void *code)
{
	struct ctx c = ctx_user(code);

	c.cs = SEL_UCODE32;
	return c;
}

static void syscalls(void)
{
	struct ctx c = ctx_user(do_syscall);
	u64 efer = rdmsr(MSR_EFER);

	c.flags |= FL_CF | FL_DF | FL_IF;
	ctx_run(&c);
	check_trap("syscall", &c, DONE_VECTOR, 0, entry_end);
	check("syscall-cs", c.cs, SEL_CODE);
	check("syscall-ss", c.ss, SEL_DATA);
	check("syscall-rcx", c.cx, (reg_t)do_syscall + 2);
	check("syscall-r11", c.r11, FL_1 | FL_CF | FL_DF | FL_IF);
	check("syscall-flags", c.flags, FL_1 | FL_CF);
	wrmsr(MSR_EFER, efer & ~1ull);
	c = ctx_user(do_syscall);
	ctx_run(&c);
	check_trap("syscall-sce-off", &c, UD, 0, do_syscall);
	c = ctx_kernel(do_sysret64);
	ctx_run(&c);
	check_trap("sysret-sce-off", &c, UD, 0, do_sysret64);
	wrmsr(MSR_EFER, efer);
	c = compat(compat_syscall);
	ctx_run(&c);
	if (is_amd())
		check_trap("compat-syscall", &c, DONE_VECTOR, 0, entry_end);
	else
		check_trap("compat-syscall", &c, UD, 0, compat_syscall);
}

static void sysrets(void)
{
	struct ctx c = ctx_kernel(do_sysret64);

	c.cx = (reg_t)landing;
	c.r11 = FL_1 | FL_ZF;
	ctx_run(&c);
	check_trap("sysret64", &c, DONE_VECTOR, 0, landing_end);
	check("sysret64-cs", c.cs, SEL_UCODE64);
	check("sysret64-ss", c.ss, SEL_UDATA);
	check("sysret64-flags", c.flags, FL_1 | FL_ZF);
	c = ctx_kernel(do_sysret64);
	c.cx = (reg_t)landing;
	c.r11 = FL_VM | FL_RF;
	ctx_run(&c);
	check_trap("sysret64-vm-ignored", &c, DONE_VECTOR, 0, landing_end);
	c = ctx_kernel(do_sysret32);
	c.cx = (reg_t)compat_landing | 1ull << 40;
	c.r11 = FL_1;
	ctx_run(&c);
	check_trap("sysret32", &c, DONE_VECTOR, 0, compat_landing_end);
	check("sysret32-cs", c.cs, SEL_UCODE32);
	check("sysret32-ran-32-bit", c.cx, 0x12345678);
	c = ctx_user(do_sysret64);
	ctx_run(&c);
	check_trap("sysret-user", &c, GP, 0, do_sysret64);
	/* Intel: in ring 0, before anything changes.  AMD: in ring 3, at the target. */
	c = ctx_kernel(do_sysret64);
	c.cx = 1ull << 60;
	c.r11 = FL_1;
	ctx_run(&c);
	check("sysret-noncanonical", c.vector, GP);
	check_true("sysret-noncanonical-at",
		   c.cs & 3 ? c.ip == 1ull << 60 : c.ip == (reg_t)do_sysret64);
}

static void sysenters(void)
{
	struct ctx c = ctx_user(do_sysenter);

	c.flags |= FL_IF;
	ctx_run(&c);
	if (is_amd() && c.vector == UD) {
		skip("sysenter", "not in long mode on this vendor's CPUs");
		return;
	}
	check_trap("sysenter", &c, DONE_VECTOR, 0, entry_end);
	check("sysenter-cs", c.cs, SEL_CODE);
	check("sysenter-rsp", c.sp, (reg_t)ctx_stack[1] + 4096);
	check("sysenter-if", c.flags & FL_IF, 0);
	c = compat(compat_sysenter);
	ctx_run(&c);
	check_trap("compat-sysenter", &c, DONE_VECTOR, 0, entry_end);
	wrmsr(SYSENTER_CS, 3);
	c = ctx_user(do_sysenter);
	ctx_run(&c);
	check_trap("sysenter-null-cs", &c, GP, 0, do_sysenter);
	wrmsr(SYSENTER_CS, 0x8);
	c = ctx_kernel(do_sysexit64);
	c.dx = (reg_t)landing;
	c.cx = (reg_t)user_stack[0] + 4096;
	/* Segments are SYSENTER_CS + 32 and + 40: not the ones that are usual here. */
	ctx_run(&c);
	check_trap("sysexit64", &c, DONE_VECTOR, 0, landing_end);
	check("sysexit64-cs", c.cs, 0x28 | 3);
	check("sysexit64-ss", c.ss, 0x30 | 3);
	check("sysexit64-rsp", c.sp, (reg_t)user_stack[0] + 4096);
	c = ctx_kernel(do_sysexit32);
	c.dx = (reg_t)compat_landing;
	c.cx = (reg_t)user_stack[0] + 4096;
	ctx_run(&c);
	check_trap("sysexit32", &c, DONE_VECTOR, 0, compat_landing_end);
	check("sysexit32-cs", c.cs, 0x18 | 3);
	check("sysexit32-ran", c.cx, 0x12345678);
	c = ctx_kernel(do_sysexit64);
	c.dx = 1ull << 60;
	ctx_run(&c);
	check_trap("sysexit-noncanonical", &c, GP, 0, do_sysexit64);
	c = ctx_user(do_sysexit64);
	ctx_run(&c);
	check_trap("sysexit-user", &c, GP, 0, do_sysexit64);
}

static void bases(void)
{
	struct ctx c = ctx_kernel(do_swapgs);
	reg_t cr4 = read_cr4();

	wrmsr(MSR_GS_BASE, 0x1111);
	wrmsr(MSR_KERNEL_GS, 0x2222);
	ctx_run(&c);
	check("swapgs-1", rdmsr(MSR_GS_BASE), 0x2222);
	check("swapgs-2", rdmsr(MSR_KERNEL_GS), 0x1111);
	c = ctx_user(do_swapgs);
	ctx_run(&c);
	check_trap("swapgs-user", &c, GP, 0, do_swapgs);
	check("base-noncanonical", TRY("wrmsr", : "c"(MSR_KERNEL_GS), "a"(0), "d"(1 << 28)), GP);
	check("lstar-noncanonical", TRY("wrmsr", : "c"(LSTAR), "a"(0), "d"(1 << 28)), GP);
	if (!cpu_has(7, 0, EBX, 0)) {
		skip("fsgsbase", "not in CPUID");
		return;
	}
	c = ctx_user(do_wrgsbase);
	ctx_run(&c);
	check_trap("fsgsbase-off", &c, UD, 0, do_wrgsbase);
	write_cr4(cr4 | CR4_FSGSBASE);
	c = ctx_user(do_wrgsbase);
	c.ax = 0x7fffdeadbeef;
	ctx_run(&c);
	check_done("wrgsbase", &c);
	check("rdgsbase", c.bx, 0x7fffdeadbeef);
	c = ctx_user(do_wrgsbase);
	c.ax = 1ull << 60;
	ctx_run(&c);
	check_trap("wrgsbase-noncanonical", &c, GP, 0, do_wrgsbase);
	c = compat(compat_wrgsbase);
	ctx_run(&c);
	check_trap("wrgsbase-compat", &c, UD, 0, compat_wrgsbase);
	write_cr4(cr4);
	wrmsr(MSR_GS_BASE, 0);
}

static unsigned vector_of(struct ctx c)
{
	ctx_run(&c);
	return (unsigned)c.vector;
}

static void privileged(void)
{
	reg_t cr4 = read_cr4();

	check("sidt-user", vector_of(ctx_user(do_sidt)), DONE_VECTOR);
	check("smsw-user", vector_of(ctx_user(do_smsw)), DONE_VECTOR);
	if (cpu_has(7, 0, ECX, 2)) {
		write_cr4(cr4 | CR4_UMIP);
		check("umip-sidt-user", vector_of(ctx_user(do_sidt)), GP);
		check("umip-smsw-user", vector_of(ctx_user(do_smsw)), GP);
		check("umip-str-user", vector_of(ctx_user(do_str)), GP);
		check("umip-sidt-kernel", vector_of(ctx_kernel(do_sidt)), DONE_VECTOR);
		write_cr4(cr4);
	} else {
		skip("umip", "not in CPUID");
	}
	check("rdtsc-user", vector_of(ctx_user(do_rdtsc)), DONE_VECTOR);
	write_cr4(cr4 | CR4_TSD);
	check("tsd-rdtsc-user", vector_of(ctx_user(do_rdtsc)), GP);
	check("tsd-rdtsc-kernel", vector_of(ctx_kernel(do_rdtsc)), DONE_VECTOR);
	write_cr4(cr4);
	check("rdmsr-user", vector_of(ctx_user(do_rdmsr)), GP);
	check("invlpg-user", vector_of(ctx_user(do_invlpg)), GP);
	check("lgdt-user", vector_of(ctx_user(do_lgdt)), GP);
}

int main(void)
{
	setup();
	syscalls();
	sysrets();
	sysenters();
	bases();
	privileged();
	return 0;
}
