/* SPDX-License-Identifier: MIT */
/*
 * cpu.c - CPUID against what the CPU does, MSRs and their #GP cases, FXSAVE and XSAVE formats,
 * the interrupt shadow of STI.
 *
 * Source: SDM volume 2A, "CPUID"; volume 4; volume 1, "Managing State Using the XSAVE Feature
 * Set"; AMD APM volume 3, appendix E.
 *
 * qemu msr-gp-*: TCG reads unknown MSRs as 0, ignores writes to them, and checks few values
 * qemu fxrstor-mxcsr: TCG does not check MXCSR's reserved bits
 * qemu ldmxcsr-reserved: as before
 */
#include "apic.h"

enum { EFER = 0xc0000080, PAT = 0x277 };

static u8 area[4096] __attribute__((aligned(64)));

static int try_wrmsr(u32 msr, u64 v)
{
	return TRY("wrmsr", : "c"(msr), "a"((u32)v), "d"((u32)(v >> 32)));
}

static int try_rdmsr(u32 msr)
{
	u32 lo, hi;

	return TRY("rdmsr", "=a"(lo), "=d"(hi) : "c"(msr));
}

static void ids(void)
{
	u32 r[4], r2[4];

	cpuid(0, 0, r);
	check_true("max-leaf", r[EAX] >= 0xd && r[EAX] < 0x100);
	cpuid(0x80000000, 0, r);
	check_true("max-extended", r[EAX] >= 0x80000008 && r[EAX] < 0x80000100);
	cpuid(0x80000008, 0, r);
	check_between("phys-bits", r[EAX] & 0xff, 36, 52);
	check_true("linear-bits", (r[EAX] >> 8 & 0xff) == 48 || (r[EAX] >> 8 & 0xff) == 57);
	cpuid(1, 0, r);
	check("osxsave-hidden", r[ECX] >> 27 & 1, 0);
	check("apic-feature", r[EDX] >> 9 & 1, 1);
	if (r[ECX] >> 26 & 1) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		cpuid(1, 0, r2);
		check("cr4-osxsave-shown", r2[ECX] >> 27 & 1, 1);
		write_cr4(read_cr4() & ~(reg_t)CR4_OSXSAVE);
	}
	check("long-mode", cpu_has(0x80000001, 0, EDX, 29), 1);
	if (is_tcg()) {
		skip("cr4", "TCG takes what is not there or cannot be, and is lost");
		return;
	}
	/* What is not shown cannot be switched on. */
	if (!cpu_has(7, 0, ECX, 2))
		check("no-umip", TRY("mov %0, %%cr4", : "r"(read_cr4() | CR4_UMIP)), GP);
	check("cr4-reserved", TRY("mov %0, %%cr4", : "r"(read_cr4() | 1ul << 31)), GP);
	check("cr4-pae-off", TRY("mov %0, %%cr4", : "r"(read_cr4() & ~(reg_t)CR4_PAE)), GP);
}

static void msrs(void)
{
	u64 efer = rdmsr(EFER), pat;

	check("msr-gp-read", try_rdmsr(0x1234567), GP);
	check("msr-gp-write", try_wrmsr(0x1234567, 0), GP);
	check("msr-gp-efer-reserved", try_wrmsr(EFER, efer | 1ull << 40), GP);
	check("msr-gp-lme-off", try_wrmsr(EFER, efer & ~0x100ull), GP);
	check("efer-lma-ignored", try_wrmsr(EFER, efer & ~0x400ull), (u64)-1);
	check("efer-lma-stays", rdmsr(EFER) & 0x400, 0x400);
	pat = rdmsr(PAT);
	check("pat-reset", pat, 0x0007040600070406);
	check("msr-gp-pat-type-2", try_wrmsr(PAT, 0x0007040600070402), GP);
	check("pat-write", ({
		      wrmsr(PAT, 0x0101040600070406);
		      rdmsr(PAT);
	      }),
	      0x0101040600070406);
	wrmsr(PAT, pat);
	check("msr-gp-mtrr-cap", try_wrmsr(0xfe, 0), GP);
	check("msr-gp-mtrr-def", try_wrmsr(0x2ff, 2), GP);
	check("msr-gp-apic-base", try_wrmsr(0x1b, rdmsr(0x1b) | 1ull << 60), GP);
	wrmsr(0x10, 0);
	check_true("tsc-written", rdtsc() < 1ull << 40);
	if (cpu_has(0x80000001, 0, EDX, 27)) {
		u32 aux;

		wrmsr(0xc0000103, 0x1234);
		asm volatile("rdtscp" : "=c"(aux)::"eax", "edx");
		check("tsc-aux", aux, 0x1234);
	}
	wrmsr(0xc0000082, 0xffff800000001234);
	check("lstar-keeps", rdmsr(0xc0000082), 0xffff800000001234);
}

static void legacy_state(void)
{
	u32 mxcsr = 0x1f80;

	asm volatile("fninit; fld1; fldz; ldmxcsr %0" ::"m"(mxcsr));
	memset(area, 0xcc, 512);
	asm volatile("fxsave %0" : "=m"(area));
	check("fxsave-fcw", *(u16 *)area, 0x37f);
	check("fxsave-top", *(u16 *)(area + 2) >> 11 & 7, 6);
	check("fxsave-tags", area[4], 0xc0);
	check("fxsave-mxcsr", *(u32 *)(area + 24), 0x1f80);
	check("fxsave-st1", *(u64 *)(area + 48), 1ull << 63);
	check("fxsave-st1-exponent", *(u16 *)(area + 56), 0x3fff);
	check("fxsave-leaves-end", *(u64 *)(area + 504), 0xcccccccccccccccc);
	check("fxsave-unaligned", TRY("fxsave 8(%0)", : "r"(area)), GP);
	*(u32 *)(area + 24) = 0x10000;
	check("fxrstor-mxcsr", TRY("fxrstor (%0)", : "r"(area)), GP);
	*(u32 *)(area + 24) = 0x1f80;
	*(u64 *)(area + 160) = 0x1122334455667788;
	check("fxrstor", TRY("fxrstor (%0)", : "r"(area)), (u64)-1);
	{
		u64 x;

		asm volatile("movq %%xmm0, %0" : "=r"(x));
		check("fxrstor-xmm0", x, 0x1122334455667788);
	}
	mxcsr = 0x10000;
	check("ldmxcsr-reserved", TRY("ldmxcsr %0", : "m"(mxcsr)), GP);
}

#define XSAVE(insn, mask) TRY(insn, : "r"(area), "a"((u32)(mask)), "d"(0))

static void xsave(void)
{
	u32 r[4];
	u64 x;

	if (!cpu_has(1, 0, ECX, 26)) {
		skip("xsave", "not in CPUID");
		return;
	}
	check("xgetbv-without-osxsave", TRY("xgetbv", : "c"(0), "a"(0), "d"(0)), UD);
	check("xsave-without-osxsave", XSAVE("xsave (%0)", 3), UD);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	check("xsetbv-no-x87", TRY("xsetbv", : "c"(0), "a"(2), "d"(0)), GP);
	check("xsetbv-reserved", TRY("xsetbv", : "c"(0), "a"(3), "d"(1u << 31)), GP);
	check("xsetbv-index", TRY("xsetbv", : "c"(5), "a"(3), "d"(0)), GP);
	check("xsetbv", TRY("xsetbv", : "c"(0), "a"(3), "d"(0)), (u64)-1);
	cpuid(0xd, 0, r);
	check("xsave-size", r[EBX], 576);
	asm volatile("fninit; fld1; movq %0, %%xmm1" ::"r"(0xabcdefull));
	memset(area, 0, sizeof(area));
	check("xsave", XSAVE("xsave (%0)", 3), (u64)-1);
	check("xsave-bv", *(u64 *)(area + 512) & 3, 3);
	check("xsave-xmm1", *(u64 *)(area + 176), 0xabcdef);
	/* A clear bit in the header: the initial state. */
	*(u64 *)(area + 512) = 1;
	check("xrstor", XSAVE("xrstor (%0)", 3), (u64)-1);
	asm volatile("movq %%xmm1, %0" : "=r"(x));
	check("xrstor-initial", x, 0);
	/* A clear bit in the mask: left alone. */
	asm volatile("movq %0, %%xmm1" ::"r"(77ull));
	*(u64 *)(area + 512) = 3;
	check("xrstor-masked", XSAVE("xrstor (%0)", 1), (u64)-1);
	asm volatile("movq %%xmm1, %0" : "=r"(x));
	check("xrstor-leaves", x, 77);
	*(u64 *)(area + 512) = 1ull << 40;
	check("xrstor-bv-reserved", XSAVE("xrstor (%0)", 3), GP);
	*(u64 *)(area + 512) = 3;
	*(u64 *)(area + 528) = 1;
	check("xrstor-header-reserved", XSAVE("xrstor (%0)", 3), GP);
	*(u64 *)(area + 528) = 0;
	check("xrstor-unaligned", TRY("xrstor 16(%0)", : "r"(area), "a"(3), "d"(0)), GP);
	cpuid(0xd, 1, r);
	if (r[EAX] & 2) {
		memset(area, 0xff, sizeof(area));
		memset(area + 512, 0, 64);
		check("xsavec", XSAVE("xsavec (%0)", 3), (u64)-1);
		check("xsavec-format", *(u64 *)(area + 520), 1ull << 63 | 3);
		check("xrstor-compact", XSAVE("xrstor (%0)", 3), (u64)-1);
	}
	write_cr4(read_cr4() & ~(reg_t)CR4_OSXSAVE);
}

/* After STI, one instruction runs before an interrupt. */
LABEL(shadow_sti);
CODE(after_sti, "sti\nnop\nshadow_sti: nop\nnop\n" DONE_INSN)
CODE(sti_cli, "sti\ncli\nnop\nnop\n" DONE_INSN)
CODE(sti_sti, "nop\nnop\nnop\n" DONE_INSN)

static void shadows(void)
{
	struct ctx c;

	apic_enable();
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x58);
	c = ctx_kernel(after_sti);
	ctx_run(&c);
	check_trap("sti-shadow", &c, 0x58, 0, shadow_sti);
	apic_eoi();
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x58);
	c = ctx_kernel(sti_cli);
	ctx_run(&c);
	check_trap("sti-cli", &c, DONE_VECTOR, 0, sti_cli_end);
	/* Pending at IRET that sets IF: at once. */
	c = ctx_kernel(sti_sti);
	c.flags |= FL_IF;
	ctx_run(&c);
	check_trap("iret-no-shadow", &c, 0x58, 0, sti_sti);
	apic_eoi();
	/* From ring 3. */
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x58);
	c = ctx_user(sti_sti);
	c.flags |= FL_IF;
	ctx_run(&c);
	check_trap("interrupts-ring3", &c, 0x58, 0, sti_sti);
	apic_eoi();
}

int main(void)
{
	ids();
	msrs();
	legacy_state();
	xsave();
	shadows();
	return 0;
}
