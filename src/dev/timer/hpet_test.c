/* SPDX-License-Identifier: MIT */
/* hpet_test.c - the HPET: counter, comparators, routes, LegacyReplacement. */
#include "dev/fake.h"
#include "dev/timer/hpet.h"

#define BASE 0xfed00000ull

static struct device *hpet;
static struct fake_sink irq0, irq8, gsi20, gsi21;

static void setup(void)
{
	if (hpet)
		fake_free(hpet);
	irq0 = irq8 = gsi20 = gsi21 = (struct fake_sink){0};
	hpet = fake_device(&hpet_type, NULL);
	hpet_connect_legacy(hpet, HPET_LEGACY_PIT, fake_line(&irq0));
	hpet_connect_legacy(hpet, HPET_LEGACY_RTC, fake_line(&irq8));
	hpet_connect(hpet, 20, fake_line(&gsi20));
	hpet_connect(hpet, 21, fake_line(&gsi21));
}

static u64 rd(u64 off)
{
	return fake_read(BASE + off, 8);
}

static void wr(u64 off, u64 val)
{
	fake_write(BASE + off, val, 8);
}

static void test_counter(void)
{
	setup();
	CHECK(rd(0) == 0x009896808086a201ull);
	CHECK(fake_read(BASE + 4, 4) == 10000000);
	CHECK(rd(0x100) == 0x0030000000000030ull && rd(0x108) == ~0ull);
	fake_advance(1000);
	CHECK(rd(0xf0) == 0);
	wr(0xf0, 0xfffffff0);
	wr(0x10, 1);
	fake_advance(320);
	CHECK(rd(0xf0) == 0x100000010ull);
	wr(0x10, 0);
	fake_advance(1000);
	CHECK(rd(0xf0) == 0x100000010ull);
	fake_write(BASE + 0xf4, 7, 4);
	CHECK(rd(0xf0) == 0x700000010ull);
	CHECK(rd(0x180) == 0 && rd(0x3f8) == 0);
}

static void test_one_shot(void)
{
	setup();
	wr(0x10, 1);
	wr(0x100, 20 << 9 | 1 << 2);
	wr(0x108, 100);
	fake_advance(999);
	CHECK(!gsi20.rises);
	fake_advance(11);
	CHECK(gsi20.rises == 1 && !gsi20.level && rd(0x20) == 0);
	fake_advance(100000);
	CHECK(gsi20.rises == 1);

	wr(0x140, 21 << 9 | 1 << 2 | 1 << 1); /* by level, until its status is cleared */
	wr(0x148, rd(0xf0) + 100);
	fake_advance(2000);
	CHECK(gsi21.level && rd(0x20) == 4);
	wr(0x20, 3);
	CHECK(gsi21.level);
	wr(0x20, 4);
	CHECK(!gsi21.level && rd(0x20) == 0);

	wr(0x100, 20 << 9 | 1 << 2 | 1 << 8); /* 32 bits: a past one comes around */
	wr(0x108, 50);
	fake_advance(1000000);
	CHECK(gsi20.rises == 1);
	fake_advance((1ull << 32) * 10);
	CHECK(gsi20.rises == 2);
	wr(0x100, 5 << 9 | 1 << 2); /* a route that the board does not have */
	CHECK((rd(0x100) >> 9 & 31) == 0);
}

static void test_periodic(void)
{
	u64 start;

	setup();
	wr(0x10, 3);
	wr(0x100, 1 << 6 | 1 << 3 | 1 << 2);
	start = rd(0xf0);
	wr(0x108, start + 100000);
	wr(0x108, 100000); /* 1 ms */
	fake_advance(1000ull * 1000000 + 10);
	CHECK(irq0.rises == 1000);
	CHECK(rd(0x108) == start + 1001 * 100000ull);
	fake_now += 5000000; /* late: one, and the phase stays */
	fake_advance(0);
	CHECK(irq0.rises == 1001 && rd(0x108) == start + 1006 * 100000ull);

	wr(0x108, 1); /* a storm */
	wr(0x100, 1 << 6 | 1 << 3 | 1 << 2);
	wr(0x108, rd(0xf0) + 10);
	wr(0x108, 1);
	fake_timer_calls = 0;
	fake_advance(10000000);
	CHECK(fake_timer_calls > 400 && fake_timer_calls < 600);
}

static void test_legacy(void)
{
	struct irq_line pit, rtc;

	setup();
	pit = hpet_input(hpet, HPET_LEGACY_PIT);
	rtc = hpet_input(hpet, HPET_LEGACY_RTC);
	irq_pulse(&pit);
	irq_set(&rtc, true);
	CHECK(irq0.rises == 1 && irq8.level);
	wr(0x10, 3);
	CHECK(!irq8.level);
	irq_pulse(&pit);
	CHECK(irq0.rises == 1);
	wr(0x120, 1 << 2);
	wr(0x128, rd(0xf0) + 10);
	fake_advance(1000);
	CHECK(irq8.rises == 2 && irq0.rises == 1);
	wr(0x10, 1);
	CHECK(irq8.level); /* the RTC's again */
}

static void fuzz(void)
{
	u64 seed = 100;

	setup();
	for (unsigned i = 0; i < 200000; i++) {
		u64 r = fake_rand(&seed), v = fake_rand(&seed) >> (r >> 58);
		u64 off = r >> 8 & 0x1fc;

		if (r & 1)
			fake_write(BASE + (r & 2 ? off & ~7ull : off), v, r & 2 ? 8 : 4);
		else if (r & 2)
			fake_read(BASE + off, 4);
		else
			fake_advance(r >> 8 & (r & 4 ? 0xff : 0x7ffff));
	}
}

int main(void)
{
	test_counter();
	test_one_shot();
	test_periodic();
	test_legacy();
	fuzz();
	fake_free(hpet);
	return 0;
}
