/* SPDX-License-Identifier: MIT */
/*
 * ipi.c - interrupts between four CPUs: every shorthand and destination mode, lowest priority,
 * NMI to a halted CPU, INIT and a new start, in xAPIC and then in x2APIC mode.
 *
 * Source: SDM volume 3A, "Issuing Interprocessor Interrupts".
 *
 * cpus: 4
 */
#include "apic.h"

enum { NR = 4, VEC = 0x50, VEC_LOW = 0x51, VEC_GO_X2 = 0x52 };

static volatile u32 nmis[NR], ready;

static void on_nmi(struct ctx *frame)
{
	__atomic_add_fetch(&nmis[this_cpu()], 1, __ATOMIC_SEQ_CST);
}

static void on_go_x2(struct ctx *frame)
{
	apic_eoi();
	apic_use_x2();
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
}

/* Logical ids: flat, CPU n has bit n. */
static void sleeper(unsigned cpu)
{
	apic_write(APIC_LDR, 1u << (24 + cpu));
	__atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		halt();
}

/* Who has had it: a bit for each CPU, waiting until it is as expected or for long enough. */
static u32 settle(unsigned vector, const u32 *before, u32 expected)
{
	u32 got = 0;

	for (unsigned i = 0; i < 5000000; i++) {
		got = 0;
		asm volatile("sti; nop; nop; nop; cli" ::: "memory");
		for (unsigned k = 0; k < NR; k++)
			got |= (irq_count[vector][k] - before[k]) << 8 * k;
		if (got == expected)
			break;
		pause();
	}
	/* Some more, for those that should not come. */
	for (unsigned i = 0; i < 2000; i++)
		asm volatile("sti; nop; nop; nop; cli" ::: "memory");
	got = 0;
	for (unsigned k = 0; k < NR; k++)
		got |= (irq_count[vector][k] - before[k]) << 8 * k;
	return got;
}

static void send_and_see(const char *name, u32 dest, u32 icr, u32 expected)
{
	u32 before[NR];

	for (unsigned k = 0; k < NR; k++)
		before[k] = irq_count[VEC][k];
	apic_send(dest, icr | ICR_ASSERT | VEC);
	check(name, settle(VEC, before, expected), expected);
}

static void lowest(u32 dest)
{
	u32 before = 0, after = 0;

	for (unsigned k = 0; k < NR; k++)
		before += irq_count[VEC_LOW][k];
	for (unsigned i = 0; i < 20; i++) {
		apic_send(dest, ICR_LOWEST | ICR_LOGICAL | ICR_ASSERT | VEC_LOW);
		for (unsigned n = 0; n < 5000000 && after != before + i + 1; n++) {
			asm volatile("sti; nop; nop; nop; cli" ::: "memory");
			after = 0;
			for (unsigned k = 0; k < NR; k++)
				after += irq_count[VEC_LOW][k];
		}
	}
	check("lowest-each-once", after - before, 20);
}

static bool wait_nmis(u32 a, u32 b, u32 c, u32 d)
{
	for (unsigned i = 0; i < 5000000; i++) {
		if (nmis[0] == a && nmis[1] == b && nmis[2] == c && nmis[3] == d)
			return true;
		pause();
	}
	return false;
}

static void common(u32 logical_2_and_3)
{
	send_and_see("self", 0, ICR_SELF, 0x1);
	send_and_see("all", 0, ICR_ALL, 0x01010101);
	send_and_see("others", 0, ICR_OTHERS, 0x01010100);
	send_and_see("one", 2, 0, 0x00010000);
	send_and_see("oneself-by-id", 0, 0, 0x1);
	send_and_see("broadcast-id", apic_is_x2() ? ~0u : 0xff, 0, 0x01010101);
	send_and_see("nobody", 0x3e, 0, 0);
	send_and_see("logical-two", logical_2_and_3, ICR_LOGICAL, 0x01010000);
	lowest(logical_2_and_3);
	memset((void *)nmis, 0, sizeof(nmis));
	apic_send(2, ICR_NMI | ICR_ASSERT);
	check_true("nmi-wakes-halted", wait_nmis(0, 0, 1, 0));
	apic_send(0, ICR_OTHERS | ICR_NMI | ICR_ASSERT);
	check_true("nmi-others", wait_nmis(0, 1, 2, 1));
}

/* INIT stops a CPU: it takes no interrupts until it is started again. */
static void restart(void)
{
	u32 before[NR];

	apic_send(3, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
	apic_send(3, ICR_INIT | ICR_LEVEL);
	for (unsigned i = 0; i < 100000; i++)
		pause();
	for (unsigned k = 0; k < NR; k++)
		before[k] = irq_count[VEC][k];
	apic_send(0, ICR_OTHERS | ICR_ASSERT | VEC);
	check("init-stops", settle(VEC, before, 0x00010100), 0x00010100);
	nr_cpus = 3;
	ready = 0;
	gdt[SEL_TSS / 8 + 6] &= ~(2ull << 40); /* its task is not busy any more */
	check("started-again", smp_start(4, sleeper), 4);
	while (ready != 1)
		pause();
	send_and_see("after-restart", 3, 0, 0x01000000);
	/* A start-up IPI to a running CPU is nothing. */
	apic_send(2, ICR_STARTUP | 8);
	send_and_see("sipi-while-running", 2, 0, 0x00010000);
}

int main(void)
{
	apic_enable();
	count_vector(VEC);
	count_vector(VEC_LOW);
	on_vector(NMI, on_nmi);
	on_vector(VEC_GO_X2, on_go_x2);
	apic_write(APIC_LDR, 1 << 24);
	check("cpus", smp_start(NR, sleeper), NR);
	while (ready != NR - 1)
		pause();
	common(0xc);
	restart();
	if (!cpu_has(1, 0, ECX, 21)) {
		skip("x2apic", "not in CPUID");
		return 0;
	}
	ready = 0;
	apic_send(0, ICR_OTHERS | ICR_ASSERT | VEC_GO_X2);
	while (ready != NR - 1)
		pause();
	apic_use_x2();
	common(0xc);
	return 0;
}
