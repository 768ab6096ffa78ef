/* SPDX-License-Identifier: MIT */
/*
 * avx512.c - when AVX-512 instructions may run, masks over absent pages, the components of XSAVE,
 * two tasks that take turns with all of the registers.
 *
 * Source: SDM volume 2A, "Intel AVX-512 Encoding"; volume 1, "Managing State Using the XSAVE
 * Feature Set".
 *
 * cpu: max
 * qemu: no AVX-512 in TCG
 */
#include "guest.h"
#include "paging.h"

static u8 area[2][4096] __attribute__((aligned(64)));
static u64 data[8] __attribute__((aligned(64)));

#define XSETBV(mask) TRY("xsetbv", : "c"(0), "a"((u32)(mask)), "d"(0))
#define EVEX_INSN "vpxorq %%zmm1, %%zmm1, %%zmm1"

static void enabling(void)
{
	write_cr4(read_cr4() | CR4_OSXSAVE);
	check("xsetbv-avx", XSETBV(7), (u64)-1);
	check("ud-without-xcr0", TRY(EVEX_INSN, :), UD);
	check("ud-mask-without-xcr0", TRY("kxorw %%k1, %%k1, %%k1", :), UD);
	check("avx-still", TRY("vpxor %%ymm1, %%ymm1, %%ymm1", :), (u64)-1);
	check("xsetbv-part", XSETBV(0x67), GP);
	check("xsetbv-without-avx", XSETBV(0xe3), GP);
	check("xsetbv-all", XSETBV(0xe7), (u64)-1);
	check("evex", TRY(EVEX_INSN, :), (u64)-1);
	write_cr0(read_cr0() | CR0_TS);
	check("nm", TRY(EVEX_INSN, :), NM);
	check("nm-mask", TRY("kxorw %%k1, %%k1, %%k1", :), NM);
	write_cr0(read_cr0() & ~(reg_t)CR0_TS);
	/* L'L of 3; vvvv where there is none. */
	check("length", TRY(".byte 0x62, 0xf1, 0xf5, 0x68, 0xef, 0xc9", :), UD);
	check("vvvv", TRY(".byte 0x62, 0xf1, 0x6c, 0x48, 0x51, 0xc9", :), UD);
}

static u64 zmm_part(unsigned i)
{
	asm volatile("vmovdqu64 %%zmm20, %0" : "=m"(data));
	return data[i];
}

static void widths(void)
{
	memset(data, 0x5a, sizeof(data));
	asm volatile("vmovdqu64 %0, %%zmm20" : : "m"(data));
	check("zmm20", zmm_part(7), 0x5a5a5a5a5a5a5a5a);
	asm volatile("vmovdqu64 %ymm20, %ymm20");
	check("evex256-clears", zmm_part(4), 0);
	check("evex256-keeps", zmm_part(3), 0x5a5a5a5a5a5a5a5a);
	asm volatile("kmovw %0, %%k1; vmovdqa64 %%zmm20, %%zmm20%{%%k1%}%{z%}" : : "r"(5));
	check("zeroing", zmm_part(1), 0);
	check("kept", zmm_part(2), 0x5a5a5a5a5a5a5a5a);
	asm volatile("vpaddq %0%{1to8%}, %%zmm20, %%zmm20%{%%k1%}" : : "m"(data[2]));
	check("broadcast", zmm_part(0), 0xb4b4b4b4b4b4b4b4);
	check("merged", zmm_part(7), 0);
}

static void components(void)
{
	u32 r[4];

	cpuid(0xd, 0, r);
	check("size", r[EBX], 2432);
	cpuid(0xd, 5, r);
	check("opmask", r[EAX], 64);
	cpuid(0xd, 6, r);
	check("zmm-hi256", r[EAX], 512);
	cpuid(0xd, 7, r);
	check("hi16-zmm", r[EAX], 1024);
}

/* What the mask leaves out is not touched. */
static void absent(void)
{
	u32 *end = (u32 *)(TEST_VA + 4096);
	u64 k;

	map(TEST_VA, (u64)page_alloc(), PTE_P | PTE_W, LEVEL_4K);
	map(TEST_VA + 4096, 0, 0, LEVEL_4K);
	for (int i = 1; i <= 8; i++)
		end[-i] = (u32)i;
	asm volatile("kmovw %0, %%k1" : : "r"(0xff));
	check("load", TRY("vmovdqu32 -32(%0), %%zmm20%{%%k1%}%{z%}", : "r"(end)), (u64)-1);
	check("loaded", zmm_part(3), 0x100000002);
	check("load-zero", zmm_part(4), 0);
	check("store", TRY("vmovdqu32 %%zmm20, -32(%0)%{%%k1%}", : "r"(end)), (u64)-1);
	check("load-faults", TRY("vmovdqu32 -28(%0), %%zmm20%{%%k1%}", : "r"(end)), PF);
	check("compare", TRY("vpcmpeqd -32(%0), %%zmm20, %%k2%{%%k1%}", : "r"(end)), (u64)-1);
	asm volatile("kmovq %%k2, %0" : "=r"(k));
	check("compared", k, 0xff);
	asm volatile("kmovw %0, %%k1" : : "r"(0x5555));
	check("compress", TRY("vpcompressd %%zmm20, -32(%0)%{%%k1%}", : "r"(end)), (u64)-1);
	check("compressed", end[-7], 6);
	check("expand", TRY("vpexpandd -32(%0), %%zmm21%{%%k1%}", : "r"(end)), (u64)-1);
	asm volatile("kxnorw %k1, %k1, %k1");
	check("expand-faults", TRY("vpexpandd -32(%0), %%zmm21%{%%k1%}", : "r"(end)), PF);
}

static void save(unsigned task)
{
	asm volatile("xsavec (%0)" : : "r"(area[task]), "a"(0xe7), "d"(0) : "memory");
}

static void load(unsigned task)
{
	asm volatile("xrstor (%0)" : : "r"(area[task]), "a"(0xe7), "d"(0) : "memory");
}

/*
 * AVX clears the upper halves of ZMM registers that other instructions have just filled; again
 * and again, for the translator.
 */
static void upper_halves(void)
{
	u64 mask = 0xff, save_to[8];

	memset(data, 0x5a, sizeof(data));
	asm volatile("vmovdqu64 %0, %%zmm2; vmovdqu64 %%zmm2, %%zmm3" : : "m"(data));
	save(0);
	asm volatile("vzeroall\n"
		     "mov $20, %%ecx\n"
		     "1: vpaddd %%ymm5, %%ymm5, %%ymm5\n"
		     "xrstor (%1)\n"
		     "vpaddd %%ymm2, %%ymm2, %%ymm2\n"
		     "dec %%ecx; jnz 1b\n"
		     "vmovdqu64 %%zmm2, %0"
		     : "=m"(save_to)
		     : "r"(area[0]), "a"(0xe7), "d"(0)
		     : "ecx", "memory");
	check("xrstor-then-avx", save_to[4] | save_to[7], 0);
	check("xrstor-then-avx-low", save_to[3], 0xb4b4b4b4b4b4b4b4);
	asm volatile("vzeroall\n"
		     "mov $20, %%ecx\n"
		     "vpxorq %%zmm20, %%zmm20, %%zmm20\n"
		     "1: vpaddd %%ymm5, %%ymm5, %%ymm5\n"
		     "kmovq %2, %%k1\n"
		     "vpgatherqq (%1,%%zmm20,8), %%zmm2%{%%k1%}\n"
		     "vpaddd %%ymm2, %%ymm2, %%ymm2\n"
		     "dec %%ecx; jnz 1b\n"
		     "vmovdqu64 %%zmm2, %0"
		     : "=m"(save_to)
		     : "r"(data), "r"(mask)
		     : "ecx", "memory");
	check("gather-then-avx", save_to[4] | save_to[7], 0);
	check("gather-then-avx-low", save_to[3], 0xb4b4b4b4b4b4b4b4);
}

/* One step of a task: all registers that it has are in its own state. */
static void step(void)
{
	asm volatile("vpaddq %zmm31, %zmm16, %zmm16\n"
		     "vpaddq %zmm16, %zmm0, %zmm0{%k1}\n"
		     "vpternlogq $0x96, %zmm0, %zmm16, %zmm8\n"
		     "kaddw %k2, %k1, %k1\n");
}

static void begin(u64 seed, u32 mask)
{
	asm volatile("vpbroadcastq %0, %%zmm31\n"
		     "vpxorq %%zmm16, %%zmm16, %%zmm16\n"
		     "vpxorq %%zmm0, %%zmm0, %%zmm0\n"
		     "vpxorq %%zmm8, %%zmm8, %%zmm8\n"
		     "kmovw %1, %%k1\n"
		     "kmovw %1, %%k2\n"
		     :
		     : "r"(seed), "r"(mask));
}

static u64 outcome(void)
{
	u64 sum = 0;

	asm volatile("vpaddq %zmm8, %zmm0, %zmm20");
	for (unsigned i = 0; i < 8; i++)
		sum = sum * 31 + zmm_part(i);
	return sum;
}

static void tasks(void)
{
	static const u64 seeds[2] = {0x123456789abcdef, 0xfedcba987};
	static const u32 masks[2] = {0x37, 0x15};
	u64 alone[2];

	for (unsigned t = 0; t < 2; t++) {
		begin(seeds[t], masks[t]);
		for (unsigned i = 0; i < 1000; i++)
			step();
		alone[t] = outcome();
	}
	check_true("tasks-differ", alone[0] != alone[1]);
	for (unsigned t = 0; t < 2; t++) {
		begin(seeds[t], masks[t]);
		save(t);
	}
	for (unsigned i = 0; i < 2000; i++) {
		load(i & 1);
		step();
		save(i & 1);
		if (i % 7 == 0) /* code that has no wide registers comes in between */
			asm volatile("vzeroall; pcmpeqb %xmm5, %xmm5");
	}
	check("used", *(u64 *)(area[0] + 512) & 0xe6, 0xe6);
	for (unsigned t = 0; t < 2; t++) {
		load(t);
		check(t ? "task-1" : "task-0", outcome(), alone[t]);
	}
}

int main(void)
{
	if (!cpu_has(7, 0, EBX, 16) || !cpu_has(7, 0, EBX, 31)) {
		skip("avx512", "not in CPUID");
		check_true("nothing", true);
		return 0;
	}
	enabling();
	widths();
	components();
	absent();
	upper_halves();
	tasks();
	return 0;
}
