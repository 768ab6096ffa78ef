/* SPDX-License-Identifier: MIT */
/* pic_fuzz.c - the 8259A pair: register accesses, input lines, acknowledges. */
#include "dev/intc/pic.h"
#include "fuzz/fuzz_ports.h"

static struct device *pic;
static struct fake_sink intr;

static void extra(u8 op, u8 arg)
{
	struct irq_line l = pic_input(pic, arg & 15);
	int vector;

	if (op & 4) {
		irq_set(&l, arg & 16);
	} else {
		vector = pic_ack(pic);
		CHECK(vector >= 0 && vector < 256);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};

	pic = fake_device(&isa_i8259_type, NULL);
	pic_connect(pic, fake_line(&intr));
	fuzz_registers(&in, extra);
	fake_free(pic);
	return 0;
}
