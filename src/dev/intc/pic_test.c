/* SPDX-License-Identifier: MIT */
/* pic_test.c - the 8259A pair against the rules of its data sheet. */
#include "dev/fake.h"
#include "dev/intc/pic.h"

static struct device *pic;
static struct fake_sink intr;

static void raise_line(unsigned n)
{
	struct irq_line l = pic_input(pic, n);

	irq_set(&l, true);
}

static void lower_line(unsigned n)
{
	struct irq_line l = pic_input(pic, n);

	irq_set(&l, false);
}

static void pulse(unsigned n)
{
	raise_line(n);
	lower_line(n);
}

/* A fresh pair, programmed as a PC's firmware does; icw4 for both. */
static void setup(u8 icw4)
{
	if (pic)
		fake_free(pic);
	intr = (struct fake_sink){0};
	pic = fake_device(&isa_i8259_type, NULL);
	pic_connect(pic, fake_line(&intr));
	fake_out(0x20, 0x11);
	fake_out(0x21, 0x20);
	fake_out(0x21, 0x04);
	fake_out(0x21, icw4);
	fake_out(0xa0, 0x11);
	fake_out(0xa1, 0x28);
	fake_out(0xa1, 0x02);
	fake_out(0xa1, icw4);
}

static void test_uninitialised(void)
{
	pic = fake_device(&isa_i8259_type, NULL);
	pic_connect(pic, fake_line(&intr));
	pulse(1);
	CHECK(!intr.level);
	fake_out(0x21, 0xfb);
	CHECK(fake_in(0x21) == 0xfb);
}

static void test_priority(void)
{
	setup(1);
	pulse(5);
	CHECK(intr.level);
	pulse(3);
	CHECK(pic_ack(pic) == 0x23);
	CHECK(!intr.level); /* 5 is below 3 */
	pulse(1);
	CHECK(intr.level);
	CHECK(pic_ack(pic) == 0x21);
	fake_out(0x20, 0x0b);
	CHECK(fake_in(0x20) == 0x0a);
	fake_out(0x20, 0x20); /* EOI of 1 */
	CHECK(!intr.level);
	fake_out(0x20, 0x20); /* EOI of 3 */
	CHECK(intr.level);
	CHECK(pic_ack(pic) == 0x25);
	fake_out(0x20, 0x65); /* specific EOI */
	CHECK(fake_in(0x20) == 0);
}

static void test_cascade(void)
{
	setup(1);
	pulse(12);
	pulse(9);
	CHECK(pic_ack(pic) == 0x29);
	CHECK(!intr.level);
	pulse(8); /* above 9 in the slave, but the master has IR2 in service */
	CHECK(!intr.level);
	fake_out(0xa0, 0x20);
	fake_out(0x20, 0x20);
	CHECK(intr.level && pic_ack(pic) == 0x28);
	fake_out(0xa0, 0x20);
	fake_out(0x20, 0x20);
	CHECK(intr.level && pic_ack(pic) == 0x2c);

	setup(0x11); /* special fully nested: the slave may interrupt itself */
	fake_out(0xa1, 0);
	pulse(9);
	CHECK(pic_ack(pic) == 0x29);
	pulse(8);
	CHECK(intr.level && pic_ack(pic) == 0x28);
}

static void test_spurious(void)
{
	setup(1);
	pulse(4);
	fake_out(0x21, 0x10);
	CHECK(!intr.level);
	CHECK(pic_ack(pic) == 0x27);
	fake_out(0x20, 0x0b);
	CHECK(fake_in(0x20) == 0); /* not in service */

	fake_out(0x21, 0);
	CHECK(pic_ack(pic) == 0x24);
	fake_out(0x20, 0x20);
	fake_out(0x4d1, 0x04); /* input 10 by level */
	raise_line(10);
	CHECK(intr.level);
	lower_line(10);
	CHECK(!intr.level);
}

static void test_level(void)
{
	setup(1);
	fake_out(0x4d0, 0xff);
	fake_out(0x4d1, 0xff);
	CHECK(fake_in(0x4d0) == 0xf8 && fake_in(0x4d1) == 0xde);
	raise_line(5);
	CHECK(pic_ack(pic) == 0x25);
	fake_out(0x20, 0x20);
	CHECK(intr.level); /* still asserted: again */
	CHECK(pic_ack(pic) == 0x25);
	lower_line(5);
	fake_out(0x20, 0x20);
	CHECK(!intr.level);
	raise_line(1); /* an edge: once, however long it stays */
	CHECK(pic_ack(pic) == 0x21);
	fake_out(0x20, 0x20);
	CHECK(!intr.level);
}

static void test_rotation(void)
{
	setup(1);
	fake_out(0x20, 0xc3); /* 3 is lowest: 4 is highest */
	pulse(0);
	pulse(4);
	CHECK(pic_ack(pic) == 0x24);
	fake_out(0x20, 0xa0); /* rotate on EOI: 4 is lowest */
	pulse(5);
	pulse(4);
	CHECK(pic_ack(pic) == 0x25);
	fake_out(0x20, 0xe5); /* rotate on specific EOI */
	CHECK(pic_ack(pic) == 0x20);

	setup(3); /* automatic EOI */
	fake_out(0x20, 0x80);
	pulse(3);
	pulse(6);
	CHECK(pic_ack(pic) == 0x23);
	pulse(3); /* has become the lowest */
	CHECK(pic_ack(pic) == 0x26);
	CHECK(pic_ack(pic) == 0x23);
	fake_out(0x20, 0x0b);
	CHECK(fake_in(0x20) == 0);
}

static void test_special_mask(void)
{
	setup(1);
	pulse(3);
	CHECK(pic_ack(pic) == 0x23);
	fake_out(0x21, 0x08);
	pulse(6);
	CHECK(!intr.level);
	fake_out(0x20, 0x68); /* 3 is masked: it holds nobody back */
	CHECK(intr.level && pic_ack(pic) == 0x26);
	fake_out(0x20, 0x20); /* ends 6, not the masked 3 */
	fake_out(0x20, 0x0b);
	CHECK(fake_in(0x20) == 0x08);
}

static void test_poll(void)
{
	setup(1);
	fake_out(0x20, 0x0c);
	CHECK(fake_in(0x20) == 0);
	pulse(6);
	fake_out(0x20, 0x0c);
	CHECK(fake_in(0x20) == 0x86);
	CHECK(!intr.level);
	fake_out(0x20, 0x0b);
	CHECK(fake_in(0x20) == 0x40);
}

static void fuzz(void)
{
	static const u16 ports[] = {0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1};
	u64 seed = 8259;

	setup(1);
	for (unsigned i = 0; i < 200000; i++) {
		u64 r = fake_rand(&seed);

		if (r & 1)
			fake_out(ports[(r >> 8) % 6], (u8)(r >> 16));
		else if (r & 2)
			fake_in(ports[(r >> 8) % 6]);
		else if (r & 4)
			raise_line(r >> 8 & 15);
		else if (r & 8)
			lower_line(r >> 8 & 15);
		else if (intr.level)
			CHECK((unsigned)pic_ack(pic) < 256);
	}
}

int main(void)
{
	test_uninitialised();
	test_priority();
	test_cascade();
	test_spurious();
	test_level();
	test_rotation();
	test_special_mask();
	test_poll();
	fuzz();
	fake_free(pic);
	return 0;
}
