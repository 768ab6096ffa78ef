/* SPDX-License-Identifier: MIT */
/* uart16550_test.c - the 16550A as its data sheet and Linux's driver look at it. */
#include "dev/testbed.h"

#include <unistd.h>

enum { COM1 = 0x3f8, IRQ = 4 };
enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

static struct machine *m;

static u8 in(unsigned reg)
{
	return tb_in(m, (u16)(COM1 + reg));
}

static void out(unsigned reg, u8 val)
{
	tb_out(m, (u16)(COM1 + reg), val);
}

static void test_reset_values(void)
{
	CHECK(in(IER) == 0 && in(IIR) == 1 && in(LCR) == 0 && in(MCR) == 8);
	CHECK(in(LSR) == 0x60 && in(MSR) == 0xb0 && in(SCR) == 0);
	out(LCR, 0x80);
	CHECK(in(RBR) == 12 && in(IER) == 0);
	out(RBR, 1);
	out(IER, 2);
	CHECK(in(RBR) == 1 && in(IER) == 2);
	out(IER, 0); /* 115200 baud */
	out(LCR, 3);
	out(SCR, 0xa5);
	CHECK(in(SCR) == 0xa5);
}

static void test_transmit(void)
{
	unsigned rises;

	out(IER, 2); /* THRE is set: asking for the interrupt gives it */
	CHECK(tb.level[IRQ] && in(IIR) == 2);
	CHECK(!tb.level[IRQ] && in(IIR) == 1);
	rises = tb.rises[IRQ];
	out(RBR, 'h');
	CHECK(tb.rises[IRQ] == rises + 1);
	out(RBR, 'i'); /* an edge each time */
	CHECK(tb.rises[IRQ] == rises + 2);
	CHECK(tb.out_len == 2 && memcmp(tb.out, "hi", 2) == 0);
	out(IER, 0);
	CHECK(!tb.level[IRQ]);
}

static void test_slow_reader(void)
{
	out(2, 1);
	tb.out_room = 0;
	for (unsigned i = 0; i < 16; i++)
		out(RBR, (u8)('a' + i));
	CHECK(in(LSR) == 0);
	out(IER, 2);
	CHECK(!tb.level[IRQ]);
	tb_writable(10);
	CHECK(!(in(LSR)&0x20));
	tb_writable(100);
	CHECK(in(LSR) == 0x60 && tb.level[IRQ]);
	CHECK(memcmp(tb.out + 2, "abcdefghijklmnop", 16) == 0);
	out(IER, 0);
}

static void test_receive(void)
{
	out(2, 0x81); /* FIFOs, trigger level 8 */
	out(IER, 1);
	CHECK(tb_input("0123456") == 7);
	CHECK(!tb.level[IRQ] && in(LSR)&1);
	clock_resume(m);
	usleep(2000);
	loop_step(m->loop);
	CHECK(tb.level[IRQ] && in(IIR) == 0xcc); /* the timeout */
	CHECK(in(RBR) == '0' && !tb.level[IRQ]);
	CHECK(tb_input("789abcdefghijklmn") == 10);
	CHECK(tb.level[IRQ] && in(IIR) == 0xc4);
	CHECK(tb_input("x") == 0);
	for (const char *p = "123456789abcdefg"; *p; p++)
		CHECK(in(RBR) == (u8)*p);
	CHECK(!(in(LSR)&1) && !tb.level[IRQ]);
	CHECK(tb.kicks > 16);
	CHECK(tb_input("early") == 5);
	out(2, 0x83); /* cleared away, it comes again */
	out(2, 0);
	out(2, 0x81);
	for (const char *p = "early"; *p; p++)
		CHECK(in(RBR) == (u8)*p);
	out(2, 0); /* without FIFOs there is room for one */
	CHECK(tb_input("xy") == 1 && in(IIR) == 4 && in(RBR) == 'x');
	out(IER, 0);
	clock_pause(m);
	CHECK(tb_input("a") == 0); /* nobody looks */
	for (unsigned i = 0; i < 16; i++)
		CHECK(!(in(LSR)&1));
	CHECK(tb_input("a") == 1 && in(LSR)&1 && in(RBR) == 'a');
}

static void test_loopback(void)
{
	size_t before = tb.out_len;

	out(2, 7);
	out(MCR, 0x10);
	CHECK((in(MSR)&0xf0) == 0);
	out(MCR, 0x1a);
	CHECK((in(MSR)&0xf0) == 0x90); /* Linux's probe */
	CHECK(tb_input("x") == 0);
	out(RBR, 'l');
	CHECK(in(LSR) == 0x61 && in(RBR) == 'l' && tb.out_len == before);
	out(IER, 4);
	out(LCR, 0x43);
	CHECK(tb.level[IRQ] && in(IIR) == 0xc6);
	CHECK(in(LSR) == 0xf1 && in(RBR) == 0);
	CHECK(!tb.level[IRQ]);
	out(LCR, 3);
	for (unsigned i = 0; i < 17; i++)
		out(RBR, (u8)i);
	CHECK(in(LSR) == 0x63); /* the 17th was too much */
	out(IER, 8);
	in(MSR);
	out(MCR, 0x18);
	CHECK(tb.level[IRQ] && in(IIR) == 0xc0 && in(MSR) == 0x81);
	CHECK(!tb.level[IRQ]);
	out(2, 6);
	out(MCR, 8);
	out(IER, 0);
}

static void test_state(void)
{
	struct buf b = {0};
	struct err e;

	out(IER, 1);
	CHECK(tb_input("q") == 1);
	CHECK(device_save(m->devices, &b) == 0);
	device_reset_all(m);
	CHECK(in(LSR) == 0x60);
	CHECK(device_load(m->devices, &b, &e) == 0);
	CHECK(in(LSR) == 0x61 && in(RBR) == 'q');
	buf_destroy(&b);
}

int main(void)
{
	struct err e = {0};

	m = tb_new();
	tb_add(m, "isa-serial");
	CHECK(!tb_try_add(m, "isa-serial", &e) && strstr(e.msg, "are those of"));
	CHECK(!tb_try_add(m, "isa-serial,index=4", &e));
	test_reset_values();
	test_transmit();
	test_slow_reader();
	test_receive();
	test_loopback();
	test_state();
	tb_free(m);
	return 0;
}
