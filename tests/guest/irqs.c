/* SPDX-License-Identifier: MIT */
/*
 * irqs.c - the 8259A pair and the I/O APIC, driven by the test device's lines; and the
 * timers behind them: 8254, RTC, HPET, ACPI PM timer.
 *
 * Timers are compared with each other, with wide bounds.
 *
 * qemu pit-gate-holds: its counters run in mode 0 whatever the gate
 *
 * Source: Intel 8259A, 82093AA, 8254, IA-PC HPET 1.0a data sheets; MC146818A.
 */
#include "apic.h"

enum { PIC1 = 0x20, PIC2 = 0xa0, ELCR = 0x4d0, LINES = 0x2000 };
enum { PIC_BASE = 0x70, IOAPIC_VEC = 0x60 };
enum { IOREDTBL = 0x10, ENTRY_LEVEL = 0x8000, ENTRY_MASKED = 0x10000, ENTRY_REMOTE_IRR = 0x4000 };
#define IOAPIC 0xfec00000ul
#define HPET 0xfed00000ul

static volatile unsigned pic_count[16];
static volatile bool no_eoi;
static volatile unsigned pic_drop_at = 100;

static void line(unsigned n, bool level)
{
	outb((u16)(LINES + n), level);
}

static void window(void)
{
	asm volatile("sti; nop; nop; nop; cli" ::: "memory");
}

/* --- 8259A --- */

static void on_pic(struct ctx *frame)
{
	unsigned irq = (unsigned)frame->vector - PIC_BASE;

	pic_count[irq]++;
	if (pic_count[irq] == pic_drop_at)
		line(irq, false);
	if (no_eoi)
		return;
	if (irq >= 8)
		outb(PIC2, 0x20);
	outb(PIC1, 0x20);
}

static void pic_init(void)
{
	outb(ELCR, 0);
	outb(ELCR + 1, 0);
	outb(PIC1, 0x11);
	outb(PIC1 + 1, PIC_BASE);
	outb(PIC1 + 1, 4);
	outb(PIC1 + 1, 1);
	outb(PIC2, 0x11);
	outb(PIC2 + 1, PIC_BASE + 8);
	outb(PIC2 + 1, 2);
	outb(PIC2 + 1, 1);
	outb(PIC1 + 1, 0xff);
	outb(PIC2 + 1, 0xff);
	for (unsigned i = 0; i < 16; i++)
		on_vector(PIC_BASE + i, on_pic);
}

static u8 pic_read(u16 pic, bool isr)
{
	outb(pic, isr ? 0x0b : 0x0a);
	return inb(pic);
}

static void pic(void)
{
	pic_init();
	apic_write(APIC_LVT_LINT0, 0x700); /* ExtINT */
	outb(PIC1 + 1, (u8) ~(1 << 5 | 1 << 2));
	outb(PIC2 + 1, (u8) ~(1 << 2)); /* IRQ 10 */
	check("pic-mask-reads", inb(PIC1 + 1), 0xdb);
	line(5, true);
	check("pic-irr", pic_read(PIC1, false) & 0x20, 0x20);
	window();
	check("pic-edge", pic_count[5], 1);
	window();
	check("pic-edge-once", pic_count[5], 1);
	line(5, false);
	line(5, true);
	window();
	check("pic-edge-again", pic_count[5], 2);
	line(5, false);
	line(10, true);
	window();
	check("pic-slave", pic_count[10], 1);
	line(10, false);
	/* Level-triggered: again and again while it is up. */
	outb(ELCR + 1, 1 << 2);
	pic_drop_at = 4;
	line(10, true);
	for (unsigned i = 0; i < 6; i++)
		window();
	check("pic-level-repeats", pic_count[10], 4);
	pic_drop_at = 100;
	outb(ELCR + 1, 0);
	/* Without EOI: lower priorities wait, ISR shows it. */
	no_eoi = true;
	line(5, true);
	window();
	check("pic-isr", pic_read(PIC1, true), 0x20);
	line(5, false);
	outb(PIC1 + 1, (u8) ~(1 << 5 | 1 << 6));
	line(6, true);
	window();
	check("pic-lower-waits", pic_count[6], 0);
	outb(PIC1, 0x20);
	no_eoi = false;
	window();
	check("pic-lower-comes", pic_count[6], 1);
	line(6, false);
	/* Masked, it is remembered while the line stays. */
	outb(PIC1 + 1, 0xff);
	line(5, true);
	window();
	check("pic-masked", pic_count[5], 3);
	outb(PIC1 + 1, (u8) ~(1 << 5));
	window();
	check("pic-unmasked", pic_count[5], 4);
	line(5, false);
	/* Specific EOI and rotation leave the ISR empty. */
	no_eoi = true;
	line(5, true);
	window();
	outb(PIC1, 0x60 | 5);
	check("pic-specific-eoi", pic_read(PIC1, true), 0);
	line(5, false);
	no_eoi = false;
	outb(PIC1 + 1, 0xff);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
}

/* --- I/O APIC --- */

static u32 io_read(unsigned reg)
{
	*(volatile u32 *)IOAPIC = reg;
	return *(volatile u32 *)(IOAPIC + 0x10);
}

static void io_write(unsigned reg, u32 v)
{
	*(volatile u32 *)IOAPIC = reg;
	*(volatile u32 *)(IOAPIC + 0x10) = v;
}

static void route(unsigned pin, u32 low)
{
	io_write(IOREDTBL + 2 * pin + 1, apic_id() << 24);
	io_write(IOREDTBL + 2 * pin, low);
}

static volatile unsigned level_count;
static volatile bool drop_line;

static void on_level(struct ctx *frame)
{
	level_count++;
	if (drop_line || level_count >= 5)
		line(15, false);
	apic_eoi();
}

static void ioapic(void)
{
	volatile u32 *n = &irq_count[IOAPIC_VEC][0];

	count_vector(IOAPIC_VEC);
	check("ioapic-pins", io_read(1) >> 16 & 0xff, 23);
	route(14, IOAPIC_VEC);
	line(14, true);
	window();
	check("io-edge", *n, 1);
	line(14, false);
	window();
	check("io-edge-falling", *n, 1);
	line(14, true);
	line(14, false);
	window();
	check("io-edge-pulse", *n, 2);
	route(14, IOAPIC_VEC | ENTRY_MASKED);
	line(14, true);
	window();
	check("io-masked", *n, 2);
	line(14, false);
	/* Level: comes again after each EOI while the line is up. */
	on_vector(0x61, on_level);
	route(15, 0x61 | ENTRY_LEVEL);
	line(15, true);
	for (unsigned i = 0; i < 10; i++)
		window();
	check("io-level-repeats", level_count, 5);
	level_count = 0;
	drop_line = true;
	line(15, true);
	check("io-remote-irr", io_read(IOREDTBL + 30) & ENTRY_REMOTE_IRR, ENTRY_REMOTE_IRR);
	for (unsigned i = 0; i < 4; i++)
		window();
	check("io-level-once", level_count, 1);
	check("io-remote-irr-cleared", io_read(IOREDTBL + 30) & ENTRY_REMOTE_IRR, 0);
	/* Masked while up: comes when unmasked. */
	route(15, 0x61 | ENTRY_LEVEL | ENTRY_MASKED);
	line(15, true);
	window();
	check("io-level-masked", level_count, 1);
	route(15, 0x61 | ENTRY_LEVEL);
	window();
	check("io-level-unmasked", level_count, 2);
	/* By logical destination, and as NMI. */
	apic_write(APIC_LDR, 0x01000000);
	io_write(IOREDTBL + 29, 0x01000000);
	io_write(IOREDTBL + 28, IOAPIC_VEC | 0x800);
	line(14, true);
	line(14, false);
	window();
	check("io-logical", *n, 3);
	route(14, ENTRY_MASKED);
	route(15, ENTRY_MASKED);
}

/* --- timers --- */

static u16 pit_read(unsigned channel)
{
	u8 lo;

	outb(0x43, (u8)(channel << 6));
	lo = inb((u16)(0x40 + channel));
	return (u16)(lo | inb((u16)(0x40 + channel)) << 8);
}

static void pit_set(unsigned channel, unsigned mode, u16 count)
{
	outb(0x43, (u8)(channel << 6 | 0x30 | mode << 1));
	outb((u16)(0x40 + channel), (u8)count);
	outb((u16)(0x40 + channel), (u8)(count >> 8));
}

static void pit(void)
{
	volatile u32 *n = &irq_count[0x62][0];
	u16 a, b;

	count_vector(0x62);
	route(2, 0x62);
	pit_set(0, 2, 1193); /* a kilohertz */
	check_true("pit-rate", wait_count(n, *n + 5));
	pit_set(0, 0, 1000);
	check_true("pit-one-shot", wait_count(n, *n + 1));
	route(2, ENTRY_MASKED);
	/* Channel 2: gate and output in port 0x61. */
	outb(0x61, 0);
	pit_set(2, 0, 60000);
	a = pit_read(2);
	b = pit_read(2);
	check("pit-gate-holds", a, b);
	outb(0x61, 1);
	check("pit-out-low", inb(0x61) & 0x20, 0);
	pit_set(2, 0, 100);
	for (unsigned i = 0; i < 1000000 && !(inb(0x61) & 0x20); i++)
		;
	check("pit-out-high", inb(0x61) & 0x20, 0x20);
	outb(0x43, 0xe2 | 8); /* read-back: status of channel 2 */
	check("pit-read-back-mode", inb(0x42) & 0x3f, 0x30);
}

static u8 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static void cmos_set(u8 reg, u8 v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

static volatile unsigned rtc_flags, rtc_count;

static void on_rtc(struct ctx *frame)
{
	rtc_flags |= cmos(0x0c);
	rtc_count++;
	apic_eoi();
}

static bool rtc_wait(unsigned flag)
{
	/* More than a second, however fast the CPU; who waits in vain is ended from outside. */
	for (u64 i = 0; i < 100000000000 && !(rtc_flags & flag); i++)
		asm volatile("sti; nop; nop; cli" ::: "memory");
	return rtc_flags & flag;
}

static void rtc(void)
{
	u8 b = cmos(0x0b);

	(void)cmos(0x0c);
	on_vector(0x63, on_rtc);
	route(8, 0x63);
	cmos_set(0x0a, 0x26); /* 1024 Hz */
	cmos_set(0x0b, b | 0x40);
	check_true("rtc-periodic", rtc_wait(0x40));
	rtc_count = 0;
	while (rtc_count < 20)
		window();
	check_true("rtc-periodic-goes-on", rtc_count >= 20);
	cmos_set(0x0b, b | 0x10);
	check_true("rtc-update-ended", rtc_wait(0x10));
	/* An alarm every second: "don't care" everywhere. */
	cmos_set(0x01, 0xff);
	cmos_set(0x03, 0xff);
	cmos_set(0x05, 0xff);
	rtc_flags = 0;
	cmos_set(0x0b, b | 0x20);
	check_true("rtc-alarm", rtc_wait(0x20));
	cmos_set(0x0b, b);
	route(8, ENTRY_MASKED);
	cmos_set(0x7e, 0x5a);
	check("cmos-keeps", cmos(0x7e), 0x5a);
	check("rtc-valid", cmos(0x0d) & 0x80, 0x80);
}

static u64 hpet_now(void)
{
	return *(volatile u64 *)(HPET + 0xf0);
}

static void hpet(void)
{
	u64 caps = *(volatile u64 *)HPET, period = caps >> 32, start, t0;
	volatile u32 *n = &irq_count[0x64][0];

	check_true("hpet-period", period && period <= 100000000);
	*(volatile u64 *)(HPET + 0x10) = 0;
	start = hpet_now();
	check("hpet-stopped", hpet_now(), start);
	*(volatile u64 *)(HPET + 0xf0) = 0;
	*(volatile u64 *)(HPET + 0x10) = 1;
	t0 = hpet_now();
	for (unsigned i = 0; i < 1000; i++)
		pause();
	check_true("hpet-runs", hpet_now() > t0);
	count_vector(0x64);
	route(20, 0x64);
	*(volatile u64 *)(HPET + 0x120) = 20 << 9 | 4; /* timer 1, one-shot, pin 20 */
	*(volatile u64 *)(HPET + 0x128) = hpet_now() + 1000000000000ull / period;
	check_true("hpet-one-shot", wait_count(n, 1));
	*(volatile u64 *)(HPET + 0x120) = 0;
	route(20, ENTRY_MASKED);
}

/* A clock's reading, and the HPET's at nearly that moment, in nanoseconds. */
struct sample {
	u64 hpet, clock;
};

static u64 hpet_ns(void)
{
	return hpet_now() * (*(volatile u64 *)HPET >> 32) / 1000000;
}

/* The host may stop us anywhere, so the reading with the HPET's closest around it counts. */
static struct sample take(u32 (*clock)(void))
{
	struct sample best = {0, 0};
	u64 gap = ~0ull;

	for (unsigned i = 0; i < 50; i++) {
		u64 before = hpet_ns(), now = clock(), after = hpet_ns();

		if (after - before < gap) {
			gap = after - before;
			best = (struct sample){before, now};
		}
	}
	return best;
}

static u32 pm_timer(void)
{
	return inl(0x608);
}

/* Counts down. */
static u32 pit_2(void)
{
	return 0u - pit_read(2);
}

/* Ticks of the clock in 10 ms or more, per thousand of what they should be. */
static u64 rate(u32 (*clock)(void), u32 mask, u32 hz)
{
	for (unsigned i = 0; i < 100; i++) {
		struct sample a = take(clock), b;
		u64 ns;

		while (hpet_ns() - a.hpet < 10000000)
			pause();
		b = take(clock);
		ns = b.hpet - a.hpet;
		if (ns < 40000000) /* else it may have wrapped */
			return ((b.clock - a.clock) & mask) * 1000000000000ull / (ns * hz);
	}
	return 0;
}

static void ratios(void)
{
	check_between("pm-timer-against-hpet", rate(pm_timer, 0xffffff, 3579545), 900, 1100);
	outb(0x61, 1);
	pit_set(2, 2, 0);
	check_between("pit-against-hpet", rate(pit_2, 0xffff, 1193182), 900, 1100);
}

int main(void)
{
	apic_enable();
	pic();
	ioapic();
	pit();
	rtc();
	hpet();
	ratios();
	return 0;
}
