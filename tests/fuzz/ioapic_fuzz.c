/* SPDX-License-Identifier: MIT */
/* ioapic_fuzz.c - the I/O APIC: register accesses, pins, EOIs. */
#include "dev/intc/ioapic.h"
#include "fuzz/fuzz_ports.h"

static struct device *io;

static void check_msi(struct machine *m, const struct msi_msg *msg)
{
	CHECK(msg->addr >> 20 == 0xfee);
}

static const struct board fuzz_board = {.name = "fuzz", .msi = check_msi};

static void extra(u8 op, u8 arg)
{
	struct irq_line l = ioapic_input(io, arg & 31);

	if (op & 4)
		irq_set(&l, arg & 32);
	else
		ioapic_eoi(io, arg);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};

	fake_machine.board = &fuzz_board;
	io = fake_device(&ioapic_type, NULL);
	while (in.left) {
		/* Half of the accesses through the index, which random offsets rarely find. */
		u8 op = (u8)input_take(&in, 1);
		struct input one = {in.data, in.left < 16 ? in.left : 16};

		if (op & 1) {
			fake_write(0xfec00000, input_take(&in, 1) & 0x3f, 4);
			fake_write(0xfec00010, input_take(&in, 4), 4);
			fake_read(0xfec00010, 4);
		} else {
			in.data += one.left;
			in.left -= one.left;
			fuzz_registers(&one, extra);
		}
	}
	fake_free(io);
	return 0;
}
