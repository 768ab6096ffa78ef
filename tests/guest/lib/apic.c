/* SPDX-License-Identifier: MIT */
/* apic.c - the local APIC by either way of access, and the start of further CPUs. */
#include "apic.h"

enum { START_AT = 0x8000, X2_ENABLE = 0x400, TRIES = 2000000, PATIENCE = 20000000 };
#define APIC_MMIO 0xfee00000ul

extern const u8 ap_start[], ap_start_end[];
extern volatile u32 ap_index, ap_stack;
volatile u32 irq_count[256][MAX_CPUS];
volatile unsigned nr_cpus = 1;
static void (*volatile ap_fn)(unsigned cpu);
static u8 ap_stacks[MAX_CPUS][16384] __attribute__((aligned(16)));
void ap_main(unsigned cpu);

bool apic_is_x2(void)
{
	return rdmsr(MSR_APIC_BASE) & X2_ENABLE;
}

u32 apic_read(unsigned reg)
{
	if (apic_is_x2())
		return (u32)rdmsr(MSR_X2APIC + reg / 16);
	return *(volatile u32 *)(APIC_MMIO + reg);
}

void apic_write(unsigned reg, u32 v)
{
	if (apic_is_x2())
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		*(volatile u32 *)(APIC_MMIO + reg) = v;
}

void apic_send(u32 dest, u32 icr)
{
	if (apic_is_x2()) {
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (u64)dest << 32 | icr);
		return;
	}
	apic_write(APIC_ICR_HIGH, dest << 24);
	apic_write(APIC_ICR, icr);
	while (apic_read(APIC_ICR) & ICR_PENDING)
		pause();
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

bool apic_bit(unsigned bank, unsigned vector)
{
	return apic_read(bank + vector / 32 * 16) >> (vector & 31) & 1;
}

static void spurious(struct ctx *frame)
{
}

void apic_enable(void)
{
	on_vector(APIC_SPURIOUS, spurious);
	apic_write(APIC_SVR, 0x100 | APIC_SPURIOUS);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_MASKED);
	apic_write(APIC_TPR, 0);
}

void apic_use_x2(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | X2_ENABLE);
}

u32 apic_id(void)
{
	return apic_is_x2() ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

static void count(struct ctx *frame)
{
	__atomic_add_fetch(&irq_count[frame->vector][this_cpu()], 1, __ATOMIC_SEQ_CST);
	apic_eoi();
}

void count_vector(unsigned vector)
{
	on_vector(vector, count);
}

bool wait_count(volatile u32 *p, u32 n)
{
	for (unsigned i = 0; i < PATIENCE && *p < n; i++) {
		asm volatile("sti; nop; nop; nop; cli" ::: "memory");
	}
	return *p >= n;
}

void ap_main(unsigned cpu)
{
	cpu_init(cpu);
	apic_enable();
	__atomic_store_n(&nr_cpus, cpu + 1, __ATOMIC_RELEASE);
	ap_fn(cpu);
	for (;;)
		asm volatile("cli; hlt");
}

unsigned smp_start(unsigned n, void (*fn)(unsigned cpu))
{
	memcpy((void *)START_AT, ap_start, (size_t)(ap_start_end - ap_start));
	ap_fn = fn;
	for (unsigned cpu = nr_cpus; cpu < n && cpu < MAX_CPUS; cpu++) {
		ap_index = cpu;
		ap_stack = (u32)(reg_t)(ap_stacks[cpu] + sizeof(ap_stacks[0]));
		apic_send(cpu, ICR_INIT | ICR_ASSERT | ICR_LEVEL);
		apic_send(cpu, ICR_INIT | ICR_LEVEL);
		for (unsigned i = 0; i < 20000; i++)
			pause();
		apic_send(cpu, ICR_STARTUP | START_AT >> 12);
		for (unsigned i = 0; i < TRIES && nr_cpus == cpu; i++)
			pause();
		if (nr_cpus == cpu)
			break;
	}
	return nr_cpus;
}

void smp_meet(unsigned n)
{
	static volatile unsigned arrived, phase;
	unsigned now = phase;

	if (__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST) == n) {
		arrived = 0;
		__atomic_store_n(&phase, now + 1, __ATOMIC_SEQ_CST);
		return;
	}
	while (phase == now)
		pause();
}
