/* SPDX-License-Identifier: MIT */
/* misc_test.c - the small devices: debug console and exit, panic, port 92, ACPI, testdev. */
#include "dev/testbed.h"

#include <unistd.h>

#include "dev/misc/acpipm.h"

static struct machine *m;

static void test_debug(void)
{
	tb_add(m, "isa-debugcon");
	tb_add(m, "isa-debug-exit,iobase=0xf4,iosize=4");
	CHECK(tb_in(m, 0xe9) == 0xe9);
	tb_out(m, 0xe9, '!');
	CHECK(tb.out_len == 1 && tb.out[0] == '!');
	as_store(m->pio, 0xf4, 0x10, 4);
	CHECK(tb.shutdowns == 1 && tb.exit_code == 33);
	tb_out(m, 0xf4, 0);
	CHECK(tb.exit_code == 1);
}

static void test_ends(void)
{
	tb_add(m, "pvpanic");
	tb_add(m, "port92");
	CHECK(tb_in(m, 0x505) == 3);
	tb_out(m, 0x505, 4);
	CHECK(tb.shutdowns == 2);
	tb_out(m, 0x505, 1);
	CHECK(tb.shutdowns == 3 && tb.exit_code == EXIT_GUEST_CRASH);
	CHECK(tb_in(m, 0x92) == 2);
	tb_out(m, 0x92, 0);
	CHECK(tb_in(m, 0x92) == 2 && tb.resets == 0);
	tb_out(m, 0x92, 1);
	tb_out(m, 0x92, 1);
	CHECK(tb.resets == 1);
}

static void test_acpi(void)
{
	struct device *dev = tb_add(m, "acpi-pm");
	u32 before, after;

	CHECK(as_load(m->pio, 0x604, 2) == 1);
	CHECK(!acpipm_power_button(dev) && !tb.level[9]);
	as_store(m->pio, 0x602, 0x100, 2);
	CHECK(acpipm_power_button(dev));
	CHECK(tb.level[9] && as_load(m->pio, 0x600, 2) == 0x100);
	as_store(m->pio, 0x600, 0x100, 2);
	CHECK(!tb.level[9]);
	as_store(m->pio, 0x624, 0x12345678, 4);
	CHECK(as_load(m->pio, 0x624, 4) == 0x12345678 && tb_in(m, 0x625) == 0x56);
	before = (u32)as_load(m->pio, 0x608, 4);
	clock_resume(m);
	usleep(20000);
	clock_pause(m);
	after = (u32)as_load(m->pio, 0x608, 4);
	CHECK(after - before >= 71590 && after - before < 3579545);
	as_store(m->pio, 0x604, 0x1401, 2);
	as_store(m->pio, 0x604, 0x3401, 2); /* type 5 is none of ours */
	CHECK(tb.shutdowns == 3);
	as_store(m->pio, 0x604, 0x2000, 2);
	CHECK(tb.shutdowns == 4 && tb.exit_code == 0);
}

static void test_testdev(void)
{
	tb_add(m, "pc-testdev");
	as_store(m->pio, 0xe0, 0x12345678, 4);
	CHECK(as_load(m->pio, 0xe2, 2) == 0x1234 && tb_in(m, 0xe9 - 1) == 0x78);
	tb_out(m, 0x2005, 1);
	CHECK(tb.level[5]);
	tb_out(m, 0x2005, 0);
	CHECK(!tb.level[5]);
	as_store(m->mem, 0xff00fff8, 0x1122334455667788, 8);
	CHECK(as_load(m->mem, 0xff00fffc, 4) == 0x11223344);
}

int main(void)
{
	m = tb_new();
	test_debug();
	test_ends();
	test_acpi();
	tb_free(m);
	m = tb_new();
	test_testdev();
	tb_free(m);
	return 0;
}
