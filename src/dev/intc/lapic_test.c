/* SPDX-License-Identifier: MIT */
/* lapic_test.c - the local APIC: priorities, EOI, ICR, modes, timer, and threads that send. */
#include "dev/intc/lapic_fake.h"

#include <pthread.h>

static unsigned eoi_count, pic_level;
static u8 eoi_vector;

static int pic_ack_fake(struct device *dev)
{
	struct irq_line l = lapic_lint(&fake_machine, 0);

	irq_set(&l, false);
	pic_level = 0;
	return 0x30;
}

static void ioapic_eoi_fake(struct device *dev, u8 vector)
{
	eoi_count++;
	eoi_vector = vector;
}

static u32 rd(unsigned cpu, u32 reg)
{
	return (u32)lapic_soft.read(&fake_cpu[cpu], reg);
}

static void wr(unsigned cpu, u32 reg, u32 val)
{
	lapic_soft.write(&fake_cpu[cpu], reg, val);
}

static bool intr(unsigned cpu)
{
	return fake_cpu[cpu].pending & VCPU_INTR;
}

static int ack(unsigned cpu)
{
	return lapic_soft.ack(&fake_cpu[cpu]);
}

static void eoi(unsigned cpu)
{
	wr(cpu, 0xb0, 0);
}

/* All enabled, flat logical ids 1, 2, 4, 8. */
static void setup(void)
{
	const struct lapic_wiring w = {.ack = pic_ack_fake, .eoi = ioapic_eoi_fake};

	fake_cpus_new();
	eoi_count = 0;
	for (unsigned i = 0; i < FAKE_CPUS; i++) {
		lapic_connect(&fake_cpu[i], &w);
		wr(i, 0xf0, 0x1ff);
		wr(i, 0xd0, 1u << (24 + i));
	}
}

static void send(unsigned cpu, u32 dest, u32 low)
{
	wr(cpu, 0x310, dest << 24);
	wr(cpu, 0x300, low);
}

static void test_reset(void)
{
	fake_cpus_new();
	CHECK(fake_cpu[0].lapic_page == 0xfee00000);
	CHECK(lapic_soft.get_base(&fake_cpu[0]) == 0xfee00900);
	CHECK(lapic_soft.get_base(&fake_cpu[1]) == 0xfee00800);
	CHECK(rd(2, 0x20) == 2u << 24 && rd(0, 0x30) == 0x01060014);
	CHECK(rd(0, 0xf0) == 0xff && rd(0, 0xe0) == 0xffffffff);
	CHECK(rd(0, 0x350) == 0x700 && rd(1, 0x350) == 0x10000 && rd(0, 0x320) == 0x10000);
	wr(0, 0x320, 0x40); /* while disabled by software, the mask stays */
	CHECK(rd(0, 0x320) == 0x10040);
	send(0, 0, 0x4040); /* and fixed interrupts are not taken */
	CHECK(!intr(0));
	send(1, 0, 0x4400); /* but NMI is */
	CHECK(fake_cpu[0].pending & VCPU_NMI);
}

static void test_priority(void)
{
	setup();
	send(0, 1, 0x4041);
	CHECK(intr(1) && !intr(0));
	send(0, 1, 0x4061);
	CHECK(ack(1) == 0x61);
	CHECK(rd(1, 0xa0) == 0x60 && !intr(1));
	send(0, 1, 0x4065); /* same class: waits */
	CHECK(!intr(1));
	send(0, 1, 0x4071);
	CHECK(intr(1) && ack(1) == 0x71);
	CHECK(rd(1, 0x130) == (1u << 1 | 1u << 17));
	eoi(1);
	CHECK(!intr(1));
	eoi(1);
	CHECK(intr(1) && ack(1) == 0x65);
	wr(1, 0x80, 0x42);
	eoi(1);
	CHECK(rd(1, 0xa0) == 0x42 && !intr(1));
	CHECK(ack(1) == -1);
	lapic_soft.set_tpr(&fake_cpu[1], 0x3f);
	CHECK(intr(1) && ack(1) == 0x41);
	CHECK(rd(1, 0x80) == 0x3f && lapic_soft.get_tpr(&fake_cpu[1]) == 0x3f);
	eoi(1);
	eoi(1); /* nothing in service: no harm */
	CHECK(rd(1, 0xa0) == 0x3f);
}

static void test_level(void)
{
	struct msi_msg msg = {0xfee02000, 0xc055}; /* physical 2, level */

	setup();
	lapic_deliver(&fake_machine, &msg);
	CHECK(rd(2, 0x180 + 0x20) == 1u << 21);
	CHECK(ack(2) == 0x55);
	eoi(2);
	CHECK(eoi_count == 1 && eoi_vector == 0x55);
	msg.data = 0x4055; /* an edge */
	lapic_deliver(&fake_machine, &msg);
	CHECK(rd(2, 0x180 + 0x20) == 0 && ack(2) == 0x55);
	eoi(2);
	CHECK(eoi_count == 1);
	wr(2, 0xf0, 0x11ff); /* no broadcast */
	msg.data = 0xc055;
	lapic_deliver(&fake_machine, &msg);
	CHECK(ack(2) == 0x55);
	eoi(2);
	CHECK(eoi_count == 1);
}

/* Who got it, as a mask. */
static unsigned took(u32 bits)
{
	unsigned mask = 0;

	for (unsigned i = 0; i < FAKE_CPUS; i++) {
		if (fake_cpu[i].pending & bits)
			mask |= 1u << i;
	}
	return mask;
}

static void test_icr(void)
{
	static const struct {
		u32 dest, low, bits;
		unsigned mask;
	} rows[] = {
		{2, 0x4050, VCPU_INTR, 4},     /* physical */
		{9, 0x4050, VCPU_INTR, 0},     /* nobody */
		{0xff, 0x4050, VCPU_INTR, 15}, /* physical broadcast */
		{6, 0x4850, VCPU_INTR, 6},     /* logical flat */
		{0, 0x44050, VCPU_INTR, 2},    /* self */
		{0, 0x84050, VCPU_INTR, 15},   /* all */
		{0, 0xc4050, VCPU_INTR, 13},   /* all but self */
		{0, 0xc4400, VCPU_NMI, 13},    /* NMI */
		{0, 0xc4500, VCPU_INIT, 13},   /* INIT */
		{3, 0x8500, VCPU_INIT, 0},     /* INIT de-assert */
		{0, 0x84500, VCPU_INIT, 0},    /* INIT to oneself */
		{3, 0x4699, VCPU_SIPI, 8},     /* start-up */
		{0xc, 0x4950, VCPU_INTR, 4},   /* lowest priority */
		{3, 0x4200, ~0u, 0},	       /* SMI */
		{3, 0x4700, ~0u, 0},	       /* ExtINT */
		{3, 0x400f, ~0u, 0},	       /* illegal vector */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		setup();
		send(1, rows[i].dest, rows[i].low);
		CHECK(took(rows[i].bits) == rows[i].mask);
	}
	CHECK(rd(1, 0x280) == 0);
	wr(1, 0x280, 0);
	CHECK(rd(1, 0x280) == 0x20); /* send illegal vector */
	setup();
	send(0, 3, 0x4699);
	CHECK(fake_cpu[3].sipi_vector == 0x99);

	setup(); /* cluster model: 0x11, 0x12, 0x21, 0x22 */
	for (unsigned i = 0; i < FAKE_CPUS; i++) {
		wr(i, 0xe0, 0x0fffffff);
		wr(i, 0xd0, (0x10u * (1 + i / 2) + 1 + i % 2) << 24);
	}
	send(0, 0x23, 0x4850);
	CHECK(took(VCPU_INTR) == 12);
}

static void test_lowest(void)
{
	struct msi_msg msg = {0xfee0f00c, 0x4060}; /* logical, redirection hint */

	setup();
	wr(0, 0x80, 0x80);
	wr(1, 0x80, 0x20);
	wr(2, 0x80, 0x50);
	wr(3, 0xf0, 0xff); /* disabled: does not take part */
	lapic_deliver(&fake_machine, &msg);
	CHECK(took(VCPU_INTR) == 2);
	msg.addr = 0xfee0f004;
	lapic_deliver(&fake_machine, &msg);
	CHECK(took(VCPU_INTR) == 6);
}

static void test_x2apic(void)
{
	u64 val;
	struct vcpu *cpu = &fake_cpu[1];

	setup();
	CHECK(lapic_soft.read_msr(cpu, 0x802, &val) == -1);
	CHECK(lapic_soft.set_base(cpu, 0xfee00400) == -1); /* EXTD without EN */
	CHECK(lapic_soft.set_base(cpu, 0xfee00801) == -1);
	CHECK(lapic_soft.set_base(cpu, 0xfee00c00) == 0);
	CHECK(fake_cpu[1].lapic_page == ~0ull);
	CHECK(lapic_soft.set_base(cpu, 0xfee00800) == -1); /* back only through disabled */
	CHECK(lapic_soft.read_msr(cpu, 0x802, &val) == 0 && val == 1);
	CHECK(lapic_soft.read_msr(cpu, 0x80d, &val) == 0 && val == 2);
	CHECK(lapic_soft.read_msr(cpu, 0x80e, &val) == -1); /* no DFR */
	CHECK(lapic_soft.read_msr(cpu, 0x80b, &val) == -1); /* EOI is write-only */
	CHECK(lapic_soft.write_msr(cpu, 0x80b, 1) == -1);
	CHECK(lapic_soft.write_msr(cpu, 0x80b, 0) == 0);
	CHECK(lapic_soft.write_msr(cpu, 0x808, 0x100) == -1);
	CHECK(lapic_soft.write_msr(cpu, 0x802, 1) == -1);
	CHECK(lapic_soft.write_msr(cpu, 0x831, 0) == -1);
	CHECK(lapic_soft.write_msr(cpu, 0x830, 3ull << 32 | 0x4044) == 0);
	CHECK(took(VCPU_INTR) == 8);
	CHECK(lapic_soft.write_msr(cpu, 0x83f, 0x66) == 0);
	CHECK(intr(1) && ack(1) == 0x66);
	CHECK(lapic_soft.write_msr(cpu, 0x830, 1ull << 20) == -1);
	CHECK(lapic_soft.write_msr(cpu, 0x830, 0xffffffffull << 32 | 0x4400) == 0);
	CHECK(took(VCPU_NMI) == 15);
	CHECK(lapic_soft.write_msr(cpu, 0x830, 5ull << 32 | 0x4877) == 0);
	CHECK(took(VCPU_INTR) == 13); /* cluster 0: flat ones take it by their LDR */
	CHECK(lapic_soft.set_base(cpu, 0xfee00000) == 0);
	CHECK(lapic_soft.set_base(cpu, 0xfee00c00) == -1);
	CHECK(lapic_soft.set_base(cpu, 0xfed00800) == 0);
	CHECK(fake_cpu[1].lapic_page == 0xfed00000);
	CHECK(rd(1, 0xf0) == 0xff); /* lost when it was disabled */
}

static void test_lint(void)
{
	struct irq_line l0 = lapic_lint(&fake_machine, 0), l1 = lapic_lint(&fake_machine, 1);

	setup();
	wr(0, 0x350, 0x700);
	irq_set(&l0, true);
	CHECK(intr(0) && !intr(1));
	wr(0, 0x80, 0xff); /* TPR does not hold ExtINT back */
	CHECK(intr(0) && ack(0) == 0x30);
	CHECK(!intr(0));
	irq_set(&l0, true);
	irq_set(&l0, false);
	CHECK(!intr(0));
	irq_set(&l0, true);
	wr(0, 0x350, 0x10700);
	CHECK(!intr(0));
	irq_set(&l0, false);

	wr(1, 0x360, 0x400);
	irq_set(&l1, true);
	CHECK(took(VCPU_NMI) == 2);
	irq_set(&l1, false);

	wr(2, 0x350, 0x8049); /* fixed, by level */
	irq_set(&l0, true);
	CHECK(ack(2) == 0x49 && (rd(2, 0x350) & 1u << 14));
	eoi(2);
	CHECK(ack(2) == 0x49);
	irq_set(&l0, false);
	eoi(2);
	CHECK(!intr(2) && rd(2, 0x350) == 0x8049);

	CHECK(lapic_soft.set_base(&fake_cpu[3], 0) == 0); /* the pin is INTR then */
	irq_set(&l0, true);
	CHECK(intr(3) && ack(3) == 0x30);
}

static void test_errors(void)
{
	struct msi_msg msg = {0xfee00000, 0x4003};

	setup();
	wr(0, 0x370, 0xfe);
	lapic_deliver(&fake_machine, &msg);
	CHECK(ack(0) == 0xfe);
	wr(0, 0x280, 0);
	CHECK(rd(0, 0x280) == 0x40);
	eoi(0);
	wr(0, 0x370, 0x05); /* the error's own vector is illegal: no end to it but one */
	rd(0, 0x3a0);
	wr(0, 0x280, 0);
	CHECK(rd(0, 0x280) == 0xc0);
}

static void test_timer(void)
{
	u64 start;

	setup();
	wr(0, 0x3e0, 0xb); /* by 1 */
	wr(0, 0x320, 0x31);
	wr(0, 0x380, 1000);
	fake_lapic_advance(400);
	CHECK(rd(0, 0x390) == 600 && !intr(0));
	wr(0, 0x3e0, 0x0); /* by 2: what is left takes twice as long */
	fake_lapic_advance(1199);
	CHECK(!intr(0));
	fake_lapic_advance(1);
	CHECK(intr(0) && ack(0) == 0x31 && rd(0, 0x390) == 0);
	eoi(0);
	fake_lapic_advance(100000);
	CHECK(!intr(0));

	wr(0, 0x3e0, 0xb);
	wr(0, 0x320, 0x20031); /* periodic: no drift however late we are */
	start = fake_now;
	wr(0, 0x380, 100000);
	for (unsigned i = 1; i <= 50; i++) {
		fake_now = start + i * 100000ull + 777;
		lapic_soft.timer(&fake_cpu[0]);
		CHECK(ack(0) == 0x31);
		eoi(0);
		CHECK(!intr(0));
		CHECK(fake_deadline[0] == start + (i + 1) * 100000ull);
		CHECK(rd(0, 0x390) == 100000 - 777);
	}
	fake_now += 1000000; /* ten at once are one */
	lapic_soft.timer(&fake_cpu[0]);
	CHECK(ack(0) == 0x31);
	eoi(0);
	CHECK(!intr(0));
	wr(0, 0x380, 0);
	CHECK(fake_deadline[0] == 0);

	wr(0, 0x380, 1); /* a nanosecond: bounded */
	fake_timer_calls = 0;
	fake_lapic_advance(10000000);
	CHECK(fake_timer_calls > 400 && fake_timer_calls < 600);
	wr(0, 0x380, 0);
}

static void test_deadline(void)
{
	setup();
	lapic_soft.set_tsc_deadline(&fake_cpu[0], fake_now + 5);
	CHECK(lapic_soft.get_tsc_deadline(&fake_cpu[0]) == 0); /* not in that mode */
	wr(0, 0x320, 0x40035);
	lapic_soft.set_tsc_deadline(&fake_cpu[0], fake_now + 500);
	CHECK(lapic_soft.get_tsc_deadline(&fake_cpu[0]) == fake_now + 500);
	wr(0, 0x380, 5); /* ignored in this mode */
	CHECK(rd(0, 0x380) == 0 && rd(0, 0x390) == 0);
	fake_lapic_advance(499);
	CHECK(!intr(0));
	fake_lapic_advance(1);
	CHECK(lapic_soft.get_tsc_deadline(&fake_cpu[0]) == 0);
	CHECK(intr(0) && ack(0) == 0x35);
	eoi(0);
	lapic_soft.set_tsc_deadline(&fake_cpu[0], 1); /* past */
	CHECK(ack(0) == 0x35);
	eoi(0);
	lapic_soft.set_tsc_deadline(&fake_cpu[0], fake_now + 500);
	wr(0, 0x320, 0x35); /* leaving the mode disarms */
	CHECK(fake_deadline[0] == 0);
}

static void test_state(void)
{
	struct lapic_state a, b;

	setup();
	send(1, 0, 0x4044);
	wr(0, 0x320, 0x20031);
	wr(0, 0x380, 5000);
	CHECK(lapic_soft.get(&fake_cpu[0], &a) == 0);
	fake_cpu[2].pending = 0;
	CHECK(lapic_soft.set(&fake_cpu[2], &a) == 0);
	CHECK(lapic_soft.get(&fake_cpu[2], &b) == 0);
	CHECK(!memcmp(&a, &b, sizeof(a)));
	CHECK(intr(2) && fake_deadline[2] == fake_deadline[0]);
	lapic_soft.reset(&fake_cpu[0], true);
	CHECK(!intr(0) && fake_deadline[0] == 0 && rd(0, 0x320) == 0x10000);
}

static void fuzz(void)
{
	u64 seed = 4242;

	setup();
	for (unsigned i = 0; i < 300000; i++) {
		u64 r = fake_rand(&seed), v = fake_rand(&seed), val;
		struct vcpu *cpu = &fake_cpu[r >> 60 & 3];
		struct msi_msg msg = {0xfee00000 | (v & 0xfffff), (u32)r};

		switch (r & 15) {
		case 0: lapic_soft.set_tsc_deadline(cpu, fake_now + (v & 0xffff)); break;
		case 1: lapic_soft.read_msr(cpu, 0x800 | (r >> 8 & 0xff), &val); break;
		case 2:
			lapic_soft.write_msr(cpu, 0x800 | (r >> 8 & 0x3f), v >> (r >> 16 & 63));
			break;
		case 3: lapic_soft.set_base(cpu, 0xfee00000 | (v & 0xd00)); break;
		case 4: lapic_deliver(&fake_machine, &msg); break;
		case 5: fake_lapic_advance(v & 0x3ffff); break;
		case 6: lapic_soft.reset(cpu, v & 1); break;
		case 7:
			if (cpu->pending & VCPU_INTR)
				CHECK(lapic_soft.ack(cpu) < 256);
			break;
		default:
			if (r & 16)
				lapic_soft.read(cpu, r >> 8 & 0xff0);
			else
				lapic_soft.write(cpu, r >> 8 & 0xff0, v);
		}
	}
}

/* --- threads ----------------------------------------------------------------------- */

enum { ROUNDS = 1500 };

static _Atomic unsigned handled[FAKE_CPUS];
static _Atomic bool stop;

/* A vCPU that takes interrupts, raising and lowering TPR all the time. */
static void *run_cpu(void *arg)
{
	struct vcpu *cpu = arg;
	unsigned n = 0;

	while (!atomic_load(&stop)) {
		int v;

		lapic_soft.set_tpr(cpu, ++n & 1 ? 0xf0 : 0);
		lapic_soft.set_tpr(cpu, 0);
		if (!(atomic_load(&cpu->pending) & VCPU_INTR)) {
			sched_yield();
			continue;
		}
		v = lapic_soft.ack(cpu);
		if (v < 0)
			continue;
		lapic_soft.write(cpu, 0xb0, 0);
		if (v == 0x80)
			atomic_fetch_add(&handled[cpu->index], 1);
	}
	return NULL;
}

/* Each message must be handled before the next is sent: a lost one hangs (and times out). */
static void test_threads(void)
{
	pthread_t thread[3];
	struct irq_line l1 = lapic_lint(&fake_machine, 1);

	setup();
	for (unsigned i = 0; i < 3; i++)
		CHECK(!pthread_create(&thread[i], NULL, run_cpu, &fake_cpu[i]));
	for (unsigned i = 1; i <= ROUNDS; i++) {
		unsigned n = i % 3;
		struct msi_msg msg = {0xfee00000 | n << 12, 0x4080};
		unsigned before = atomic_load(&handled[n]);

		irq_set(&l1, i & 1);
		lapic_deliver(&fake_machine, &msg);
		while (atomic_load(&handled[n]) == before)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
}

int main(void)
{
	test_reset();
	test_priority();
	test_level();
	test_icr();
	test_lowest();
	test_x2apic();
	test_lint();
	test_errors();
	test_timer();
	test_deadline();
	test_state();
	fuzz();
	test_threads();
	fake_cpus_free();
	return 0;
}
