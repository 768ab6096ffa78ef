/* SPDX-License-Identifier: MIT */
/* pit_test.c - the 8254 against the timing of its data sheet, "Mode Definitions". */
#include "dev/fake.h"
#include "dev/timer/pit.h"

static struct device *pit;
static struct fake_sink out0;

/* Go to a clock, counted from where the test began. */
static u64 clock0;

static void at(u64 clock)
{
	u64 ns = (u64)(((unsigned __int128)(clock0 + clock) * 1000000000u + 1193181) / 1193182);

	fake_advance(ns - fake_now);
}

static void setup(void)
{
	if (pit)
		fake_free(pit);
	out0 = (struct fake_sink){0};
	pit = fake_device(&isa_pit_type, NULL);
	pit_connect(pit, fake_line(&out0));
	clock0 = (u64)((unsigned __int128)fake_now * 1193182 / 1000000000u) + 1;
	at(0);
}

/* Counter 2 by read-back: its status and count, latched together. */
static u16 count2(u8 *status)
{
	u8 lo;

	fake_out(0x43, 0xc8);
	*status = fake_in(0x42);
	lo = fake_in(0x42);
	return (u16)(fake_in(0x42) << 8 | lo);
}

/* Program counter 2: mode and count, both bytes; the gate as given. */
static void program2(u8 mode, u16 count, bool gate)
{
	fake_out(0x61, 0);
	if (gate)
		fake_out(0x61, 1);
	fake_out(0x43, 0xb0 | mode << 1);
	fake_out(0x42, (u8)count);
	fake_out(0x42, (u8)(count >> 8));
}

/* OUT after each clock from the write on, a character each; count checked where known. */
static void expect_out(const char *out, const int *counts)
{
	for (u64 i = 0; out[i]; i++) {
		u8 status;
		u16 n;

		at(i + 1);
		n = count2(&status);
		CHECK((status >> 7) == out[i] - '0');
		CHECK((fake_in(0x61) >> 5 & 1) == out[i] - '0');
		if (counts)
			CHECK(n == (u16)counts[i]);
	}
}

static void test_modes(void)
{
	setup();
	program2(0, 4, true);
	expect_out("0000111", (int[]){4, 3, 2, 1, 0, 0xffff, 0xfffe});
	setup();
	program2(1, 3, false);
	fake_out(0x61, 1);
	expect_out("0001111", (int[]){3, 2, 1, 0, 0xffff, 0xfffe, 0xfffd});
	setup();
	program2(2, 3, true);
	expect_out("110110110", (int[]){3, 2, 1, 3, 2, 1, 3, 2, 1});
	setup();
	program2(3, 4, true);
	expect_out("1100110011", (int[]){4, 2, 4, 2, 4, 2, 4, 2, 4, 2});
	setup();
	program2(3, 5, true);
	expect_out("1110011100", (int[]){4, 2, 0, 4, 2, 4, 2, 0, 4, 2});
	setup();
	program2(4, 3, true);
	expect_out("1110111", (int[]){3, 2, 1, 0, 0xffff, 0xfffe, 0xfffd});
	setup();
	program2(5, 3, false);
	fake_out(0x61, 1);
	expect_out("1110111", (int[]){3, 2, 1, 0, 0xffff, 0xfffe, 0xfffd});
}

static void test_gate(void)
{
	u8 status;

	setup();
	program2(0, 10, true);
	at(4);
	fake_out(0x61, 0);
	CHECK(count2(&status) == 7);
	at(100);
	CHECK(count2(&status) == 7 && !(status & 0x80));
	fake_out(0x61, 1);
	at(106);
	CHECK(count2(&status) == 1 && !(status & 0x80));
	at(107);
	CHECK(status >> 7 == 0 && count2(&status) == 0 && (status & 0x80));

	setup();
	program2(2, 5, true); /* the gate stops it, OUT goes high, and it begins anew */
	at(5);
	CHECK(count2(&status) == 1 && !(status & 0x80));
	fake_out(0x61, 0);
	CHECK(count2(&status) == 1 && (status & 0x80));
	at(20);
	fake_out(0x61, 1);
	at(21);
	CHECK(count2(&status) == 5);

	setup();
	program2(1, 5, false); /* a trigger starts it again */
	CHECK(count2(&status) == 5 && (status & 0x40));
	fake_out(0x61, 1);
	at(4);
	fake_out(0x61, 0);
	fake_out(0x61, 1);
	at(9);
	CHECK(count2(&status) == 1 && !(status & 0x80));
	at(10);
	count2(&status);
	CHECK(status & 0x80);
}

static void test_counts(void)
{
	u8 status;

	setup();
	fake_out(0x61, 1);
	fake_out(0x43, 0xb5); /* mode 2, BCD */
	fake_out(0x42, 0x00);
	fake_out(0x42, 0x10);
	at(2);
	CHECK(count2(&status) == 0x0999 && status == 0xb5);
	at(1000);
	CHECK(count2(&status) == 0x0001);
	setup();
	program2(2, 0, true); /* 65536 */
	at(2);
	CHECK(count2(&status) == 0xffff);
	at(65536);
	CHECK(count2(&status) == 1);
	at(65537);
	CHECK(count2(&status) == 0);

	setup(); /* a new count waits for the end of the cycle */
	program2(2, 10, true);
	at(3);
	fake_out(0x42, 4);
	fake_out(0x42, 0);
	CHECK(count2(&status) == 8 && (status & 0x40));
	at(10);
	CHECK(count2(&status) == 1);
	at(11);
	CHECK(count2(&status) == 4 && !(status & 0x40));

	setup(); /* counter latch, and single bytes */
	fake_out(0x61, 1);
	fake_out(0x43, 0x94);
	fake_out(0x42, 200);
	at(11);
	fake_out(0x43, 0x80);
	at(50);
	CHECK(fake_in(0x42) == 190);
	CHECK(fake_in(0x42) == 151);
}

static void test_irq(void)
{
	setup();
	fake_out(0x43, 0x34);
	fake_out(0x40, 0x9c);
	fake_out(0x40, 0x2e); /* 11932: 100 Hz */
	CHECK(out0.level);
	fake_advance(60ull * 1000000000);
	/* 1193182 / 11932 Hz for a minute, to the last edge. */
	CHECK(out0.rises - 1 == 60ull * 1193182 / 11932);
	out0.rises = 0;
	fake_now += 100000000; /* the loop comes late: missed edges are one, the phase stays */
	fake_advance(0);
	CHECK(out0.rises == 1);

	setup(); /* mode 0: one edge */
	fake_out(0x43, 0x30);
	CHECK(!out0.level);
	fake_out(0x40, 100);
	fake_out(0x40, 0);
	at(100);
	CHECK(!out0.level);
	at(101);
	CHECK(out0.level && out0.rises == 2); /* the first: power-on */

	setup(); /* a storm */
	fake_out(0x43, 0x34);
	fake_out(0x40, 2);
	fake_out(0x40, 0);
	fake_timer_calls = 0;
	fake_advance(10000000);
	CHECK(fake_timer_calls > 400 && fake_timer_calls < 600);
}

static void test_refresh(void)
{
	unsigned toggles = 0;
	u8 old = fake_in(0x61);

	for (unsigned i = 0; i < 1000; i++) {
		u8 val;

		fake_advance(1000);
		val = fake_in(0x61);
		toggles += (old ^ val) >> 4 & 1;
		old = val;
	}
	CHECK(toggles >= 65 && toggles <= 67);
}

static void fuzz(void)
{
	static const u16 ports[] = {0x40, 0x41, 0x42, 0x43, 0x43, 0x61};
	u64 seed = 8254;

	setup();
	for (unsigned i = 0; i < 200000; i++) {
		u64 r = fake_rand(&seed);

		if (r & 1)
			fake_out(ports[(r >> 8) % 6], (u8)(r >> 16));
		else if (r & 2)
			fake_in(ports[(r >> 8) % 6]);
		else
			fake_advance(r >> 8 & (r & 4 ? 0xff : 0x7fff));
	}
}

int main(void)
{
	test_modes();
	test_gate();
	test_counts();
	test_irq();
	test_refresh();
	fuzz();
	fake_free(pit);
	return 0;
}
