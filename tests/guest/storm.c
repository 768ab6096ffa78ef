/* SPDX-License-Identifier: MIT */
/*
 * storm.c - interrupts as fast as they come, on four CPUs: none is lost, none wakes nobody, and
 * time never goes backwards.
 *
 * Messages: each CPU writes to a mailbox of another and then sends an interrupt; whoever gets
 * it takes what is in the box.  In the end every box must have been emptied, and while it
 * lasts the deadline timers go off all the time.  Wake-ups: pairs of CPUs halt for each other
 * with no other interrupt that could hide a lost one, and each CPU for its own timer.
 *
 * Source: SDM volume 3A, "Issuing Interprocessor Interrupts", "TSC-Deadline Mode".
 *
 * cpus: 4
 * qemu: no TCG has no TSC-deadline timer
 */
#include "apic.h"

enum { NR = 4, VEC_MAIL = 0x50 /* + sender */, VEC_TIMER = 0x60, VEC_TURN = 0x61 };
enum { LETTERS = 2000, TURNS = 1500, NAPS = 1000, SUM_STEPS = 200 };

static volatile u32 mail[NR][NR], taken[NR][NR]; /* from, to */
static volatile u64 latest;			 /* the TSC that any CPU has seen */
static volatile u64 due[NR];			 /* what its timer was set to */
static volatile u32 ticks[NR], early[NR], backwards[NR], sums_wrong[NR];
static volatile u32 turn[NR];
static volatile bool storming[NR];
static u32 random_state[NR];

static u32 random_below(unsigned cpu, u32 n)
{
	u32 x = random_state[cpu];

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	random_state[cpu] = x;
	return x % n;
}

/* No CPU sees an earlier time than one that another has seen before. */
static u64 look_at_time(unsigned cpu)
{
	u64 before = __atomic_load_n(&latest, __ATOMIC_SEQ_CST), now;

	asm volatile("lfence" ::: "memory");
	now = rdtsc();
	if (now < before)
		backwards[cpu]++;
	while (before < now && !__atomic_compare_exchange_n(&latest, &before, now, false,
							    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	return now;
}

static void set_timer(unsigned cpu, u32 ticks_from_now)
{
	due[cpu] = rdtsc() + ticks_from_now;
	wrmsr(MSR_TSC_DEADLINE, due[cpu]);
}

static void on_timer(struct ctx *frame)
{
	unsigned cpu = this_cpu();

	if (look_at_time(cpu) < due[cpu])
		early[cpu]++;
	ticks[cpu]++;
	if (storming[cpu])
		set_timer(cpu, 20000 + random_below(cpu, 400000));
	apic_eoi();
}

static void on_mail(struct ctx *frame)
{
	unsigned cpu = this_cpu(), from = (unsigned)frame->vector - VEC_MAIL;

	look_at_time(cpu);
	taken[from][cpu] = __atomic_load_n(&mail[from][cpu], __ATOMIC_SEQ_CST);
	apic_eoi();
}

/* Work whose result shows whether interrupts change registers or flags. */
static void work_and_check(unsigned cpu)
{
	u64 a = 1, b = 0, carries = 0;

	for (unsigned i = 0; i < SUM_STEPS; i++) {
		a = a * 6364136223846793005ull + 1442695040888963407ull;
		asm("add %2, %0\n adc $0, %1" : "+r"(b), "+r"(carries) : "r"(a));
	}
	if (b != 0x3134fad5bbf5f7a4ull || carries != 98)
		sums_wrong[cpu]++;
}

static void letters(unsigned cpu)
{
	storming[cpu] = true;
	set_timer(cpu, 1000);
	for (unsigned i = 0; i < LETTERS; i++) {
		unsigned to = (cpu + 1 + random_below(cpu, NR - 1)) % NR;

		sti();
		work_and_check(cpu);
		cli();
		__atomic_add_fetch(&mail[cpu][to], 1, __ATOMIC_SEQ_CST);
		apic_send(to, ICR_ASSERT | (VEC_MAIL + cpu));
		if (random_below(cpu, 8) == 0) /* the timer ends it, if nothing else does */
			halt();
	}
	storming[cpu] = false;
}

static bool all_taken(void)
{
	for (unsigned from = 0; from < NR; from++)
		for (unsigned to = 0; to < NR; to++)
			if (taken[from][to] != mail[from][to])
				return false;
	return true;
}

/* What is under way may still come: for as long as it takes, since a lost one never comes. */
static void empty_boxes(void)
{
	for (unsigned i = 0; i < 20000000 && !all_taken(); i++) {
		asm volatile("sti; nop; nop; cli" ::: "memory");
		pause();
	}
}

/* 0 and 1, 2 and 3 halt for each other, with nothing else that could wake them. */
static void turns(unsigned cpu)
{
	unsigned other = cpu ^ 1;

	wrmsr(MSR_TSC_DEADLINE, 0);
	for (u32 i = 1; i <= TURNS; i++) {
		if (!(cpu & 1) || i > 1) {
			for (u32 n = random_below(cpu, 64); n; n--)
				pause();
			turn[other]++;
			apic_send(other, ICR_ASSERT | VEC_TURN);
		}
		while (turn[cpu] < i)
			halt();
	}
	/* The even one has waited for as many as it has sent, but for the last. */
	if (cpu & 1) {
		turn[other]++;
		apic_send(other, ICR_ASSERT | VEC_TURN);
	}
}

/* Its own timer is all that can wake it; often it is due before it halts. */
static void naps(unsigned cpu)
{
	for (unsigned i = 0; i < NAPS; i++) {
		u32 before = ticks[cpu];

		set_timer(cpu, random_below(cpu, 4) ? random_below(cpu, 30000) : 0);
		while (ticks[cpu] == before)
			halt();
	}
}

static void storm(unsigned cpu)
{
	random_state[cpu] = 0x9e3779b9u * (cpu + 1);
	apic_write(APIC_LVT_TIMER, TIMER_DEADLINE | VEC_TIMER);
	smp_meet(NR);
	letters(cpu);
	smp_meet(NR);
	empty_boxes();
	smp_meet(NR);
	turns(cpu);
	smp_meet(NR);
	naps(cpu);
	smp_meet(NR);
}

int main(void)
{
	u32 sum[4] = {0};

	apic_enable();
	for (unsigned i = 0; i < NR; i++)
		on_vector(VEC_MAIL + i, on_mail);
	on_vector(VEC_TIMER, on_timer);
	count_vector(VEC_TURN);
	check("cpus", smp_start(NR, storm), NR);
	storm(0);
	for (unsigned i = 0; i < NR; i++) {
		sum[0] += early[i];
		sum[1] += backwards[i];
		sum[2] += sums_wrong[i];
		check_true("ticks", ticks[i] > NAPS);
		check("turns", turn[i], TURNS);
	}
	check_true("no-letter-lost", all_taken());
	check("early-timers", sum[0], 0);
	check("time-backwards", sum[1], 0);
	check("registers-kept", sum[2], 0);
	return 0;
}
