/* SPDX-License-Identifier: MIT */
/* rtc_test.c - the MC146818: time in all its forms, UIP, the three interrupts. */
#include "dev/fake.h"
#include "dev/timer/rtc.h"

static struct device *rtc;
static struct fake_sink irq;
static const char *base;

static void set_options(struct device *dev)
{
	/* The only option, where the type says that it is. */
	memcpy((char *)dev + mc146818rtc_type.params[0].offset, &base, sizeof(base));
}

static u8 rd(u8 index)
{
	fake_out(0x70, index);
	return fake_in(0x71);
}

static void wr(u8 index, u8 val)
{
	fake_out(0x70, index);
	fake_out(0x71, val);
}

static void setup(const char *start)
{
	if (rtc)
		fake_free(rtc);
	irq = (struct fake_sink){0};
	base = start;
	rtc = fake_device(&mc146818rtc_type, set_options);
	rtc_connect(rtc, fake_line(&irq));
}

/* Time in BCD as century, year, month, date, day of week, hours, minutes, seconds. */
static bool shows(const char *bcd)
{
	static const u8 regs[] = {0x32, 9, 8, 7, 6, 4, 2, 0};
	char text[17];

	for (unsigned i = 0; i < 8; i++)
		snprintf(text + 2 * i, 3, "%02x", rd(regs[i]));
	return !strcmp(text, bcd);
}

static void test_time(void)
{
	setup("1999-12-31T23:59:58");
	CHECK(shows("1999123106235958"));
	fake_advance(2000000000);
	CHECK(shows("2000010107000000"));
	setup("2024-02-28T23:59:59");
	fake_advance(1000000000);
	CHECK(shows("2024022905000000"));
	fake_advance(86400ull * 1000000000);
	CHECK(shows("2024030106000000"));
	setup("2100-02-28T12:00:00"); /* no leap year */
	fake_advance(86400ull * 1000000000);
	CHECK(shows("2100030102120000"));
	fake_wall = 1700000000ull * 1000000000 - fake_now;
	setup("utc");
	CHECK(shows("2023111403221320"));
	wr(0x0b, 0x06); /* binary */
	CHECK(rd(9) == 23 && rd(0) == 20 && rd(0x32) == 20);
	wr(0x0b, 0x00); /* BCD, 12 hours */
	CHECK(rd(4) == 0x90);
	CHECK(rd(0x0d) == 0x80 && rd(0x0a) == 0x26);
}

static void test_set(void)
{
	setup("2020-01-01T00:00:00");
	fake_advance(250000000);
	wr(0x0b, 0x82);
	wr(0, 0x30);
	wr(2, 0x59);
	wr(4, 0x23);
	wr(7, 0x29);
	wr(8, 0x02);
	wr(9, 0x28);
	wr(6, 0x05);
	fake_advance(5000000000);
	CHECK(shows("2028022905235930"));
	wr(0x0b, 0x02);
	CHECK(shows("2028022905235930"));
	fake_advance(749999999);
	CHECK(rd(0) == 0x30);
	fake_advance(1);
	CHECK(rd(0) == 0x31);
	fake_advance(29000000000);
	CHECK(shows("2028030106000000"));
	wr(4, 0x12); /* while it runs */
	CHECK(shows("2028030106120000"));
	wr(0x0a, 0x76); /* the divider in reset: begins anew with half a second */
	fake_advance(3000000000);
	wr(0x0a, 0x26);
	CHECK(rd(0) == 0x00);
	fake_advance(499999999);
	CHECK(rd(0) == 0x00);
	fake_advance(1);
	CHECK(rd(0) == 0x01);
	wr(8, 0x77); /* nonsense */
	CHECK(rd(8) == 0x12);
}

static void test_uip(void)
{
	setup("2020-01-01T00:00:00");
	fake_advance(1000000000 - 2228001);
	CHECK(!(rd(0x0a) & 0x80));
	fake_advance(1);
	CHECK((rd(0x0a) & 0x80) && rd(0) == 0);
	fake_advance(2227999);
	CHECK((rd(0x0a) & 0x80) && rd(0) == 0);
	fake_advance(1);
	CHECK(!(rd(0x0a) & 0x80) && rd(0) == 1);
}

/*
 * The host may stop us anywhere in a read of register C; where that makes the next period begin
 * in it, the line still falls, or a pin that looks for edges would never see another.
 */
static void test_slow_read(void)
{
	setup("2020-01-01T00:00:00");
	wr(0x0b, 0x42);
	fake_advance(1000000);
	CHECK(irq.level && irq.rises == 1);
	fake_step = 2000000;
	for (unsigned i = 1; i < 100; i++) {
		CHECK(rd(0x0c) & 0x80);
		CHECK(irq.falls == i && irq.level && irq.rises == i + 1);
	}
	fake_step = 0;
}

static void test_interrupts(void)
{
	unsigned n = 0;

	setup("2020-01-01T00:00:00");
	fake_advance(1100000000);
	CHECK(rd(0x0c) == 0x50); /* flags come without the interrupt */
	CHECK(rd(0x0c) == 0);
	wr(0x0b, 0x12);
	fake_advance(900000000);
	CHECK(irq.level && rd(0x0c) == 0xd0 && !irq.level);
	wr(0x0b, 0x42); /* periodic, 1024 Hz */
	rd(0x0c);
	irq.rises = 0;
	fake_advance(1000000);
	CHECK(irq.level);
	fake_timer_calls = 0;
	fake_advance(1000000000);
	CHECK(irq.rises == 1 && fake_timer_calls == 0); /* not read: nothing new */
	for (unsigned i = 0; i < 40000; i++) {
		fake_advance(100000);
		if (irq.level && (rd(0x0c) & 0x40))
			n++;
	}
	CHECK(n >= 4095 && n <= 4097);
	wr(0x0b, 0x22);
	wr(5, 0x00);
	wr(3, 0x01);
	wr(1, 0x30);
	rd(0x0c);
	fake_advance(82000000000);
	CHECK(!irq.level);
	fake_advance(1000000000);
	CHECK(irq.level && (rd(0x0c) & 0xa0) == 0xa0);
	wr(1, 0xff); /* any second of that minute */
	fake_advance(1000000000);
	CHECK(irq.level && (rd(0x0c) & 0xa0) == 0xa0);
	wr(1, 0x77); /* no second at all */
	fake_advance(86400ull * 1000000000);
	CHECK(!irq.level);
	mc146818rtc_type.reset(rtc);
	CHECK(rd(0x0b) == 0x02);
}

static void test_alarm_days(void)
{
	setup("2020-01-01T12:34:56");
	wr(0x0b, 0x22);
	wr(5, 0x12);
	wr(3, 0x34);
	wr(1, 0x56); /* now: so tomorrow */
	rd(0x0c);
	fake_advance(86399ull * 1000000000);
	CHECK(!irq.level);
	fake_advance(1000000000);
	CHECK(irq.level && shows("2020010205123456"));
	rd(0x0c);
	wr(5, 0xff);
	wr(3, 0x00);
	wr(1, 0x00);
	fake_advance(1503ull * 1000000000);
	CHECK(!irq.level);
	fake_advance(1000000000);
	CHECK(irq.level && shows("2020010205130000"));
}

static void test_memory(void)
{
	setup("utc");
	rtc_set_cmos(rtc, 0x34, 0x77);
	CHECK(rd(0x34) == 0x77);
	wr(0x7f, 0x5a);
	CHECK(rd(0x7f) == 0x5a);
	CHECK(rd(0xff) == 0x5a && rtc_nmi_masked(rtc));
	rd(0x0e);
	CHECK(!rtc_nmi_masked(rtc));
}

static void fuzz(void)
{
	u64 seed = 146818;

	setup("utc");
	for (unsigned i = 0; i < 100000; i++) {
		u64 r = fake_rand(&seed);

		if (r & 1)
			wr(r & 2 ? r >> 8 & 15 : r >> 8 & 127, (u8)(r >> 16));
		else if (r & 2)
			rd(r >> 8 & 127);
		else
			fake_advance(r >> 8 & (r & 4 ? 0xffff : 0xfffffff));
	}
}

int main(void)
{
	test_time();
	test_set();
	test_uip();
	test_slow_read();
	test_interrupts();
	test_alarm_days();
	test_memory();
	fuzz();
	fake_free(rtc);
	return 0;
}
