/* SPDX-License-Identifier: MIT */
/*
 * lapic.c - the local APIC of one CPU, in both modes: registers, self-IPIs, priorities and
 * nesting, the timer in its three modes, NMI.
 *
 * Source: SDM volume 3A, "Advanced Programmable Interrupt Controller".
 *
 * qemu cr8-reserved: TCG ignores CR8's reserved bits
 * qemu svr-off-*: its APIC lets LVT masks be cleared while it is disabled
 * qemu x2-msr-in-xapic: TCG knows no x2APIC, and reads MSRs that there are not as 0
 * qemu esr-illegal-vector: its APIC does not report illegal vectors
 */
#include "apic.h"

static volatile u8 order[16];
static volatile unsigned nr_order;
static volatile unsigned nested_at;

static void record(struct ctx *frame)
{
	order[nr_order++ & 15] = (u8)frame->vector;
	apic_eoi();
}

/* An interrupt that lets others in: only higher classes may come before the EOI. */
static void nest(struct ctx *frame)
{
	order[nr_order++ & 15] = (u8)frame->vector;
	apic_send(apic_id(), ICR_ASSERT | 0x68); /* the same class: waits */
	apic_send(apic_id(), ICR_ASSERT | 0x71); /* a higher one: comes */
	sti();
	asm volatile("nop; nop; nop");
	cli();
	nested_at = nr_order;
	check("nest-isr", apic_bit(APIC_ISR, 0x60), 1);
	check("nest-irr-waits", apic_bit(APIC_IRR, 0x68), 1);
	check("nest-ppr", apic_read(APIC_PPR), 0x60);
	apic_eoi();
}

static void window(void)
{
	sti();
	asm volatile("nop; nop; nop; nop");
	cli();
}

static void self_ipis(void)
{
	nr_order = 0;
	on_vector(0x50, record);
	on_vector(0x51, record);
	on_vector(0x68, record);
	on_vector(0x71, record);
	on_vector(0x60, nest);
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x50);
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x71);
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x51);
	check("irr",
	      apic_bit(APIC_IRR, 0x50) && apic_bit(APIC_IRR, 0x51) && apic_bit(APIC_IRR, 0x71), 1);
	check("tmr-edge", apic_bit(APIC_TMR, 0x50), 0);
	window();
	check("priority-order", (u32)order[0] << 16 | (u32)order[1] << 8 | order[2], 0x715150);
	nr_order = 0;
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x60);
	window();
	check("nest-higher-at-once", nested_at, 2);
	check("nest-order", (u32)order[0] << 16 | (u32)order[1] << 8 | order[2], 0x607168);
	check("isr-empty", apic_bit(APIC_ISR, 0x60) || apic_bit(APIC_ISR, 0x71), 0);
}

static void priorities(void)
{
	nr_order = 0;
	apic_write(APIC_TPR, 0x50);
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x51);
	window();
	check("tpr-blocks-class", nr_order, 0);
	check("ppr-is-tpr", apic_read(APIC_PPR), 0x50);
	write_cr8(4);
	check("cr8-is-tpr", apic_read(APIC_TPR), 0x40);
	window();
	check("cr8-lets-in", nr_order, 1);
	apic_write(APIC_TPR, 0x73);
	check("tpr-is-cr8", read_cr8(), 7);
	apic_write(APIC_TPR, 0);
	check("cr8-reserved", TRY("mov %0, %%cr8", : "r"(16ul)), GP);
	/* Two of a vector are one. */
	nr_order = 0;
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x50);
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x50);
	window();
	check("irr-holds-one", nr_order, 1);
}

/* Timer ticks against the TSC: only ratios, and wide. */
static void timers(void)
{
	u32 n, a, b;

	count_vector(0x52);
	apic_write(APIC_TIMER_DIV, 0xb); /* by 1 */
	apic_write(APIC_LVT_TIMER, 0x52);
	apic_write(APIC_TIMER_INIT, 100000);
	check_true("one-shot", wait_count(&irq_count[0x52][0], 1));
	check("one-shot-ends-at-zero", apic_read(APIC_TIMER_NOW), 0);
	for (unsigned i = 0; i < 1000; i++)
		window();
	check("one-shot-once", irq_count[0x52][0], 1);
	apic_write(APIC_LVT_TIMER, TIMER_PERIODIC | 0x52);
	apic_write(APIC_TIMER_INIT, 100000);
	check_true("periodic", wait_count(&irq_count[0x52][0], 6));
	apic_write(APIC_TIMER_INIT, 0);
	check("stopped", apic_read(APIC_TIMER_NOW), 0);
	n = irq_count[0x52][0];
	for (unsigned i = 0; i < 1000; i++)
		window();
	check_between("stopped-no-more", irq_count[0x52][0], n, n + 1);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | 0x52);
	apic_write(APIC_TIMER_INIT, 0xffffffff);
	a = apic_read(APIC_TIMER_NOW);
	for (unsigned i = 0; i < 1000; i++)
		pause();
	b = apic_read(APIC_TIMER_NOW);
	check_true("counts-down", b < a);
	n = irq_count[0x52][0];
	apic_write(APIC_TIMER_INIT, 1000);
	for (unsigned i = 0; i < 100000 && apic_read(APIC_TIMER_NOW); i++)
		window();
	check("masked-timer", irq_count[0x52][0], n);
}

static void deadline(void)
{
	u64 before;
	u32 n = irq_count[0x52][0];

	if (!cpu_has(1, 0, ECX, 24)) {
		skip("tsc-deadline", "not in CPUID");
		return;
	}
	apic_write(APIC_LVT_TIMER, TIMER_DEADLINE | 0x52);
	before = rdtsc();
	wrmsr(MSR_TSC_DEADLINE, before + 1000000);
	check("tsc-deadline-reads", rdmsr(MSR_TSC_DEADLINE), before + 1000000);
	check_true("tsc-deadline", wait_count(&irq_count[0x52][0], n + 1));
	check_true("tsc-deadline-not-early", rdtsc() >= before + 1000000);
	check("tsc-deadline-cleared", rdmsr(MSR_TSC_DEADLINE), 0);
	wrmsr(MSR_TSC_DEADLINE, 1);
	check_true("tsc-deadline-past", wait_count(&irq_count[0x52][0], n + 2));
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 50000000);
	wrmsr(MSR_TSC_DEADLINE, 0);
	check("tsc-deadline-disarmed", rdmsr(MSR_TSC_DEADLINE), 0);
	apic_write(APIC_TIMER_INIT, 1000);
	check("init-count-ignored", apic_read(APIC_TIMER_NOW), 0);
	apic_write(APIC_LVT_TIMER, LVT_MASKED | 0x52);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 1);
	check("deadline-msr-in-other-mode", rdmsr(MSR_TSC_DEADLINE), 0);
}

static void halts(void)
{
	u32 n = irq_count[0x52][0];

	apic_write(APIC_LVT_TIMER, 0x52);
	for (unsigned i = 0; i < 500; i++) {
		apic_write(APIC_TIMER_INIT, 5000);
		while (irq_count[0x52][0] == n + i)
			halt();
	}
	check("halt-wakes", irq_count[0x52][0], n + 500);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
}

/* NMI comes with interrupts off, and not again before IRET. */
static volatile unsigned nmis, nmis_inside;

static void on_nmi(struct ctx *frame)
{
	nmis++;
	if (nmis == 1) {
		apic_send(apic_id(), ICR_NMI | ICR_ASSERT);
		asm volatile("nop; nop; nop");
		nmis_inside = nmis;
	}
}

static void nmi(void)
{
	on_vector(NMI, on_nmi);
	apic_send(apic_id(), ICR_NMI | ICR_ASSERT);
	asm volatile("nop; nop; nop");
	check("nmi-masked-inside", nmis_inside, 1);
	check("nmi-after-iret", nmis, 2);
	on_vector(NMI, NULL);
}

static void disabled(void)
{
	u32 lvt;

	apic_write(APIC_LVT_ERROR, 0x53);
	apic_write(APIC_SVR, APIC_SPURIOUS);
	lvt = apic_read(APIC_LVT_ERROR);
	check("svr-off-masks-lvts", lvt & LVT_MASKED, LVT_MASKED);
	apic_write(APIC_LVT_ERROR, 0x53);
	check("svr-off-stays-masked", apic_read(APIC_LVT_ERROR) & LVT_MASKED, LVT_MASKED);
	apic_enable();
}

static void xapic_only(void)
{
	check("version", apic_read(APIC_VERSION) & 0xff, 0x14);
	check("x2-msr-in-xapic", TRY("rdmsr", : "c"(0x802), "a"(0), "d"(0)), GP);
	apic_write(APIC_LDR, 0x02000000);
	apic_write(APIC_DFR, 0xffffffff);
	on_vector(0x54, record);
	nr_order = 0;
	apic_send(2, ICR_LOGICAL | ICR_ASSERT | 0x54);
	window();
	check("logical-flat-hit", nr_order, 1);
	apic_send(1, ICR_LOGICAL | ICR_ASSERT | 0x54);
	window();
	check("logical-flat-miss", nr_order, 1);
	apic_write(APIC_DFR, 0x0fffffff);
	apic_write(APIC_LDR, 0x31000000);
	apic_send(0x31, ICR_LOGICAL | ICR_ASSERT | 0x54);
	window();
	check("logical-cluster-hit", nr_order, 2);
	apic_send(0x21, ICR_LOGICAL | ICR_ASSERT | 0x54);
	window();
	check("logical-cluster-miss", nr_order, 2);
	apic_write(APIC_DFR, 0xffffffff);
	apic_send(2, ICR_LOWEST | ICR_LOGICAL | ICR_ASSERT | 0x54);
	apic_write(APIC_LDR, 0x02000000);
	apic_send(2, ICR_LOWEST | ICR_LOGICAL | ICR_ASSERT | 0x54);
	window();
	check("lowest-priority", nr_order, 3);
	/* Vectors below 16 are an error. */
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
	apic_send(0, ICR_SELF | ICR_ASSERT | 0x05);
	apic_write(APIC_ESR, 0);
	check_true("esr-illegal-vector", apic_read(APIC_ESR) & 0x60);
	apic_write(APIC_ESR, 0);
	apic_write(APIC_ESR, 0);
}

static void x2apic_only(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	check("x2-ldr", apic_read(APIC_LDR), 1);
	check("x2-dfr", TRY("rdmsr", : "c"(0x80e), "a"(0), "d"(0)), GP);
	check("x2-id-write", TRY("wrmsr", : "c"(0x802), "a"(0), "d"(0)), GP);
	check("x2-eoi-nonzero", TRY("wrmsr", : "c"(0x80b), "a"(1), "d"(0)), GP);
	check("x2-icr-high", TRY("rdmsr", : "c"(0x831), "a"(0), "d"(0)), GP);
	check("x2-esr-nonzero", TRY("wrmsr", : "c"(0x828), "a"(1), "d"(0)), GP);
	check("x2-reserved-tpr", TRY("wrmsr", : "c"(0x808), "a"(0x100), "d"(0)), GP);
	nr_order = 0;
	wrmsr(0x83f, 0x50);
	window();
	check("x2-self-ipi", nr_order, 1);
	check("x2-self-ipi-reads", TRY("rdmsr", : "c"(0x83f), "a"(0), "d"(0)), GP);
	apic_send(1, ICR_LOGICAL | ICR_ASSERT | 0x50);
	window();
	check("x2-logical", nr_order, 2);
	check("x2-to-xapic", TRY("wrmsr", : "c"(0x1b), "a"((u32)base & ~0x400u), "d"(0)), GP);
}

static void common(void)
{
	self_ipis();
	priorities();
	timers();
	deadline();
	halts();
	nmi();
	disabled();
}

int main(void)
{
	apic_enable();
	common();
	xapic_only();
	if (!cpu_has(1, 0, ECX, 21)) {
		skip("x2apic", "not in CPUID");
		return 0;
	}
	apic_use_x2();
	nmis = nmis_inside = 0;
	memset((void *)irq_count, 0, sizeof(irq_count));
	common();
	x2apic_only();
	return 0;
}
