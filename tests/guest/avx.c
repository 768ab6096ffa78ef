/* SPDX-License-Identifier: MIT */
/*
 * avx.c - when AVX instructions may run, what they do to the upper halves of registers, XSAVE's
 * AVX component, gathers and masked moves over absent pages, BMI in compatibility mode.
 *
 * Source: SDM volume 2A, "Instruction Exception Specification"; volume 1, "Managing State Using
 * the XSAVE Feature Set".
 *
 * cpu: max
 * qemu compact-size: TCG gives another size, having no compacted format
 * qemu initial: TCG takes all components for used
 * qemu xsavec*: TCG has no XSAVEC
 * qemu gather-*: TCG's gather loses what it has when it faults
 * qemu maskload*: TCG reads what is masked off
 */
#include "guest.h"
#include "paging.h"

static u8 area[4096] __attribute__((aligned(64)));
static u8 data[128] __attribute__((aligned(64)));

#define XSAVE(insn, mask) TRY(insn, : "r"(area), "a"((u32)(mask)), "d"(0))
#define XSETBV(mask) TRY("xsetbv", : "c"(0), "a"((u32)(mask)), "d"(0))
#define AVX_INSN "vxorps %%ymm1, %%ymm1, %%ymm1"

static void enabling(void)
{
	reg_t x;

	check("ud-without-osxsave", TRY(AVX_INSN, :), UD);
	check("bmi-without-osxsave", TRY("andn %%rax, %%rcx, %0", "=a"(x) :), (u64)-1);
	write_cr4(read_cr4() | CR4_OSXSAVE);
	check("ud-without-xcr0", TRY(AVX_INSN, :), UD);
	check("xsetbv-avx-alone", XSETBV(5), GP);
	check("xsetbv-avx", XSETBV(7), (u64)-1);
	check("avx", TRY(AVX_INSN, :), (u64)-1);
	write_cr0(read_cr0() | CR0_TS);
	check("nm", TRY(AVX_INSN, :), NM);
	check("nm-zeroupper", TRY("vzeroupper", :), NM);
	write_cr0(read_cr0() & ~(reg_t)CR0_TS);
	/* Unlike SSE instructions, they do not look at CR0.EM and CR4.OSFXSR. */
	write_cr4(read_cr4() & ~(reg_t)CR4_OSFXSR);
	check("no-osfxsr", TRY(AVX_INSN, :), (u64)-1);
	write_cr4(read_cr4() | CR4_OSFXSR);
	check("lock", TRY(".byte 0xf0, 0xc5, 0xf4, 0x57, 0xc9", :), UD);
	check("prefix-66", TRY(".byte 0x66, 0xc5, 0xf4, 0x57, 0xc9", :), UD);
	check("rex", TRY(".byte 0x48, 0xc5, 0xf4, 0x57, 0xc9", :), UD);
	check("vvvv", TRY(".byte 0xc5, 0xf4, 0x51, 0xc9", :), UD);
}

static u64 upper(void)
{
	u64 v[4] __attribute__((aligned(32)));

	asm volatile("vmovdqu %%ymm2, %0" : "=m"(v));
	return v[2];
}

static void fill(void)
{
	memset(data, 0x5a, sizeof(data));
	asm volatile("vmovdqu %0, %%ymm2" : : "m"(*(u8(*)[32])data));
}

static void halves(void)
{
	fill();
	check("filled", upper(), 0x5a5a5a5a5a5a5a5a);
	asm volatile("paddb %xmm2, %xmm2");
	check("sse-keeps", upper(), 0x5a5a5a5a5a5a5a5a);
	asm volatile("movaps %0, %%xmm2" : : "m"(*(u8(*)[16])data));
	check("movaps-keeps", upper(), 0x5a5a5a5a5a5a5a5a);
	asm volatile("vpaddb %xmm2, %xmm2, %xmm2");
	check("vex128-clears", upper(), 0);
	fill();
	asm volatile("vzeroupper");
	check("vzeroupper", upper(), 0);
	fill();
	check("align", TRY("vmovdqa 16(%0), %%ymm2", : "r"(data)), GP);
	check("fault-leaves", upper(), 0x5a5a5a5a5a5a5a5a);
	check("no-align", TRY("vpaddb 1(%0), %%ymm3, %%ymm3", : "r"(data)), (u64)-1);
}

static void xsave(void)
{
	u32 r[4];

	cpuid(0xd, 0, r);
	check("size", r[EBX], 832);
	cpuid(0xd, 1, r);
	check("compact-size", r[EBX], 832);
	cpuid(0xd, 2, r);
	check("avx-size", r[EAX], 256);
	check("avx-offset", r[EBX], 576);
	memset(area, 0, sizeof(area));
	asm volatile("vzeroall");
	check("xsave", XSAVE("xsave (%0)", 7), (u64)-1);
	check("initial", *(u64 *)(area + 512) & 4, 0);
	fill();
	check("xsave-used", XSAVE("xsave (%0)", 7), (u64)-1);
	check("used", *(u64 *)(area + 512) & 6, 6);
	check("ymm2", *(u64 *)(area + 576 + 32), 0x5a5a5a5a5a5a5a5a);
	asm volatile("vzeroall");
	check("xrstor-sse", XSAVE("xrstor (%0)", 3), (u64)-1);
	check("upper-left", upper(), 0);
	check("xrstor", XSAVE("xrstor (%0)", 7), (u64)-1);
	check("upper-back", upper(), 0x5a5a5a5a5a5a5a5a);
	*(u64 *)(area + 512) = 3;
	check("xrstor-initial", XSAVE("xrstor (%0)", 7), (u64)-1);
	check("upper-initial", upper(), 0);
	fill();
	memset(area, 0, sizeof(area));
	check("xsavec", XSAVE("xsavec (%0)", 4), (u64)-1);
	check("xsavec-format", *(u64 *)(area + 520), 1ull << 63 | 4);
	check("xsavec-ymm2", *(u64 *)(area + 576 + 32), 0x5a5a5a5a5a5a5a5a);
}

/* Elements of memory whose page comes in at the fault. */
static void absent(void)
{
	u8 *page = (u8 *)TEST_VA;
	u64 second = (u64)page_alloc();
	u32 index[8] = {0, 1, 2, 1024, 1025, 3, 4, 5}, sum = 0;
	u32 mask[8], got[8];
	int faults = 0, v;

	map(TEST_VA, (u64)page_alloc(), PTE_P | PTE_W, LEVEL_4K);
	map(TEST_VA + 4096, second, PTE_P | PTE_W, LEVEL_4K);
	for (unsigned i = 0; i < 2048; i++)
		((u32 *)page)[i] = i;
	memset(mask, 0xff, sizeof(mask));
	map(TEST_VA + 4096, 0, 0, LEVEL_4K);
	asm volatile("vmovdqu %0, %%ymm4; vmovdqu %1, %%ymm5; vpxor %%ymm3, %%ymm3, %%ymm3"
		     :
		     : "m"(index), "m"(mask));
	while ((v = TRY("vpgatherdd %%ymm5, (%0,%%ymm4,4), %%ymm3", : "r"(page))) != -1) {
		check("gather-fault", v, PF);
		asm volatile("vmovdqu %%ymm5, %0; vmovdqu %%ymm3, %1" : "=m"(mask), "=m"(got));
		check("gather-done", mask[0] | mask[1] | mask[2], 0);
		check("gather-not-done", mask[3] & mask[4], 0xffffffff);
		check("gather-has", got[2], 2);
		map(TEST_VA + 4096, second, PTE_P | PTE_W, LEVEL_4K);
		if (++faults > 1)
			break;
	}
	check("gather-faults", faults, 1);
	asm volatile("vmovdqu %%ymm5, %0; vmovdqu %%ymm3, %1" : "=m"(mask), "=m"(got));
	for (unsigned i = 0; i < 8; i++)
		sum += got[i] + mask[i];
	check("gather-sum", sum, 0 + 1 + 2 + 1024 + 1025 + 3 + 4 + 5);

	map(TEST_VA + 4096, 0, 0, LEVEL_4K);
	memset(mask, 0, sizeof(mask));
	mask[0] = mask[1] = 0x80000000;
	asm volatile("vmovdqu %0, %%ymm4" : : "m"(mask));
	check("maskload", TRY("vpmaskmovd -8(%0), %%ymm4, %%ymm3", : "r"(page + 4096)), (u64)-1);
	asm volatile("vmovdqu %%ymm3, %0" : "=m"(got));
	check("maskload-has", got[1], 1023);
	check("maskload-zero", got[2], 0);
	check("maskstore", TRY("vpmaskmovd %%ymm4, %%ymm4, -8(%0)", : "r"(page + 4096)), (u64)-1);
	check("maskstore-has", ((u32 *)page)[1023], 0x80000000);
	check("load-faults", TRY("vmovdqu -8(%0), %%ymm3", : "r"(page + 4096)), PF);
}

CODE32(bmi32, ".byte 0xc4, 0xe2, 0xf0, 0xf2, 0xd0\n" DONE_INSN) /* andn %eax, %ecx, %edx, with W */

static void compatibility(void)
{
	struct ctx c = ctx_user(bmi32);

	c.cs = SEL_UCODE32;
	c.ax = 0xff00ff;
	c.cx = 0xf0f0f0;
	ctx_run(&c);
	check_done("bmi32", &c);
	check("bmi32-result", (u32)c.dx, 0x0f000f);
}

int main(void)
{
	if (!cpu_has(1, 0, ECX, 28) || !cpu_has(7, 0, EBX, 5)) {
		skip("avx", "not in CPUID");
		check_true("nothing", true);
		return 0;
	}
	enabling();
	halves();
	xsave();
	absent();
	compatibility();
	return 0;
}
