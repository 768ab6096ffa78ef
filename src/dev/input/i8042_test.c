/* SPDX-License-Identifier: MIT */
/* i8042_test.c - what drivers ask a keyboard controller. */
#include "dev/testbed.h"

static struct machine *m;

static void command(u8 val)
{
	tb_out(m, 0x64, val);
}

static int get(void)
{
	return tb_in(m, 0x64) & 1 ? tb_in(m, 0x60) : -1;
}

static void test_controller(void)
{
	command(0xaa);
	CHECK(get() == 0x55);
	command(0xab);
	CHECK(get() == 0);
	command(0x20);
	CHECK(get() == 0x65);
	command(0x60);
	tb_out(m, 0x60, 0x44);
	command(0x20);
	CHECK(get() == 0x44);
	command(0xd0);
	CHECK((get() & 3) == 3);
	command(0xd1);
	tb_out(m, 0x60, 0xff);
	command(0xdd); /* A20 off: nothing happens */
	CHECK(tb.resets == 0);
	command(0xfe);
	CHECK(tb.resets == 1);
	command(0xd1);
	tb_out(m, 0x60, 0xfc);
	CHECK(tb.resets == 2);
}

static void test_keyboard(void)
{
	unsigned rises = tb.rises[1];

	command(0x60);
	tb_out(m, 0x60, 0x41); /* interrupts and translation */
	tb_out(m, 0x60, 0xff);
	CHECK(tb.level[1] && get() == 0xfa);
	CHECK(tb.rises[1] == rises + 2 && get() == 0xaa && get() == -1 && !tb.level[1]);
	tb_out(m, 0x60, 0xf2);
	CHECK(get() == 0xfa && get() == 0xab && get() == 0x41);
	tb_out(m, 0x60, 0xed);
	CHECK(get() == 0xfa);
	tb_out(m, 0x60, 7);
	CHECK(get() == 0xfa && get() == -1);
	tb_out(m, 0x60, 0xee);
	CHECK(get() == 0xee);
	for (unsigned i = 0; i < 100; i++) /* nobody reads */
		tb_out(m, 0x60, (u8)(0xe0 + i));
	while (get() >= 0)
		;
}

static void test_aux(bool there)
{
	command(0xd3);
	tb_out(m, 0x60, 0x5a);
	CHECK(!!(tb_in(m, 0x64) & 0x20) == there && get() == 0x5a);
	command(0xa9);
	CHECK(get() == (there ? 0 : 1));
	command(0xd4);
	tb_out(m, 0x60, 0xff);
	CHECK(get() == (there ? 0xfa : -1));
	CHECK(get() == (there ? 0xaa : -1));
	CHECK(get() == (there ? 0 : -1));
}

int main(void)
{
	m = tb_new();
	tb_add(m, "i8042,aux=off");
	test_controller();
	test_keyboard();
	test_aux(false);
	tb_free(m);
	m = tb_new();
	tb_add(m, "i8042");
	test_aux(true);
	tb_free(m);
	return 0;
}
