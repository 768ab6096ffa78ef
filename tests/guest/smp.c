/* SPDX-License-Identifier: MIT */
/*
 * smp.c - four CPUs: start-up, locked instructions, page-crossing locks, TLB shootdown by
 * IPI, thousands of wake-ups from HLT by IPI.
 *
 * Source: SDM volume 3A, "Multiple-Processor Management", "Locked Atomic Operations".
 *
 * cpus: 4
 */
#include "apic.h"
#include "paging.h"

enum { ROUNDS = 20000, WAKES = 1000, SHOTS = 100, NR = 4 };
enum { VEC_WAKE = 0x50, VEC_FLUSH = 0x51 };

static volatile u64 counter __attribute__((aligned(64)));
static volatile u64 pair[2] __attribute__((aligned(16)));
static u8 straddle[8192] __attribute__((aligned(4096)));
static volatile u64 tickets;
static volatile u8 seen[NR * ROUNDS];
static volatile unsigned acks, flush_errors;
static volatile u64 pages[2][512] __attribute__((aligned(4096)));

static void locked_ops(void)
{
	volatile u32 *crossing = (volatile u32 *)(straddle + 4096 - 2);
	volatile u32 *unaligned = (volatile u32 *)(straddle + 62);

	for (unsigned i = 0; i < ROUNDS; i++) {
		u64 one = 1;

		asm volatile("lock incq %0" : "+m"(counter)::"memory");
		asm volatile("lock xaddq %0, %1" : "+r"(one), "+m"(tickets)::"memory");
		seen[one]++;
		asm volatile("lock addl $1, %0" : "+m"(*crossing)::"memory");
		asm volatile("lock addl $1, %0" : "+m"(*unaligned)::"memory");
		if (i % 8)
			continue;
		for (;;) {
			u64 lo = pair[0], hi = pair[1];
			bool done;

			asm volatile("lock cmpxchg16b %1"
				     : "=@ccz"(done), "+m"(pair), "+a"(lo), "+d"(hi)
				     : "b"(lo + 1), "c"(hi + 3)
				     : "memory");
			if (done)
				break;
		}
	}
}

/* A spin lock by XCHG, whose section would lose counts if it were not one. */
static volatile u32 xchg_lock;
static volatile u64 guarded;

static void spin_lock_ops(void)
{
	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		u32 v = 1;

		for (;;) {
			asm volatile("xchg %0, %1" : "+r"(v), "+m"(xchg_lock)::"memory");
			if (!v)
				break;
			pause();
		}
		guarded = guarded + 1;
		barrier();
		xchg_lock = 0;
	}
}

static void flush_ipi(struct ctx *frame)
{
	invlpg((void *)TEST_VA);
	if (*(volatile u64 *)TEST_VA != pages[0][1])
		__atomic_add_fetch(&flush_errors, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&acks, 1, __ATOMIC_SEQ_CST);
	apic_eoi();
}

/* CPU 0 moves the page and shoots; the others, woken by that, look. */
static volatile bool shooting;

static void shootdown(unsigned cpu)
{
	if (cpu) {
		while (shooting) {
			(void)*(volatile u64 *)TEST_VA;
			halt();
		}
		return;
	}
	for (unsigned i = 0; i < SHOTS; i++) {
		pages[0][1] = pages[i & 1][0];
		acks = 0;
		*pte_of(TEST_VA, LEVEL_4K) = (reg_t)pages[i & 1] | PTE_P | PTE_W;
		apic_send(0, ICR_OTHERS | ICR_ASSERT | VEC_FLUSH);
		while (acks < NR - 1)
			pause();
	}
	shooting = false;
	apic_send(0, ICR_OTHERS | ICR_ASSERT | VEC_FLUSH);
}

/* Each CPU wakes the next one, round and round. */
static volatile u32 turns[NR];

static void wakes(unsigned cpu)
{
	unsigned next = (cpu + 1) % NR;

	if (cpu == 0)
		apic_send(next, ICR_ASSERT | VEC_WAKE);
	for (u32 i = 1; i <= WAKES; i++) {
		while (irq_count[VEC_WAKE][cpu] < i)
			halt();
		turns[cpu]++;
		if (cpu || i < WAKES)
			apic_send(next, ICR_ASSERT | VEC_WAKE);
	}
}

static void work(unsigned cpu)
{
	smp_meet(NR);
	locked_ops();
	smp_meet(NR);
	spin_lock_ops();
	smp_meet(NR);
	shootdown(cpu);
	smp_meet(NR);
	wakes(cpu);
	smp_meet(NR);
}

static void results(void)
{
	bool once = true;

	check("lock-inc", counter, NR * ROUNDS);
	for (unsigned i = 0; i < NR * ROUNDS; i++)
		once &= seen[i] == 1;
	check_true("xadd-tickets-unique", once);
	check("lock-page-crossing", *(u32 *)(straddle + 4094), NR * ROUNDS);
	check("lock-line-crossing", *(u32 *)(straddle + 62), NR * ROUNDS);
	check("cmpxchg16b-low", pair[0], NR * ROUNDS / 8);
	check("cmpxchg16b-high", pair[1], 3 * NR * ROUNDS / 8);
	check("xchg-lock", guarded, NR * ROUNDS / 4);
	check("shootdown", flush_errors, 0);
	for (unsigned i = 0; i < NR; i++)
		check("wakes", turns[i], WAKES);
}

int main(void)
{
	u32 r[4];

	apic_enable();
	cpuid(1, 0, r);
	check("bsp-flag", rdmsr(MSR_APIC_BASE) >> 8 & 1, 1);
	check("bsp-id", apic_id(), r[EBX] >> 24);
	pages[0][0] = pages[0][1] = 1;
	pages[1][0] = 2;
	map(TEST_VA, (reg_t)pages[0], PTE_P | PTE_W, LEVEL_4K);
	on_vector(VEC_FLUSH, flush_ipi);
	count_vector(VEC_WAKE);
	shooting = true;
	check("cpus-started", smp_start(NR, work), NR);
	work(0);
	results();
	return 0;
}
