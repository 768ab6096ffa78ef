/* SPDX-License-Identifier: MIT */
/* ioapic_test.c - the I/O APIC: masks, edges, levels and what the messages say. */
#include "dev/fake.h"
#include "dev/intc/ioapic.h"

static struct device *io;
static struct msi_msg last;
static unsigned sent;

static void count_msi(struct machine *m, const struct msi_msg *msg)
{
	last = *msg;
	sent++;
}

static const struct board test_board = {.name = "test", .msi = count_msi};

static u32 reg_read(u8 index)
{
	fake_write(0xfec00000, index, 4);
	return (u32)fake_read(0xfec00010, 4);
}

static void reg_write(u8 index, u32 val)
{
	fake_write(0xfec00000, index, 4);
	fake_write(0xfec00010, val, 4);
}

static void set_pin(unsigned n, bool level)
{
	struct irq_line l = ioapic_input(io, n);

	irq_set(&l, level);
}

static void setup(void)
{
	if (io)
		fake_free(io);
	fake_machine.board = &test_board;
	io = fake_device(&ioapic_type, NULL);
	sent = 0;
}

static void test_registers(void)
{
	setup();
	CHECK(reg_read(1) == 0x170020);
	reg_write(0, 0xffffffff);
	CHECK(reg_read(0) == 0x0f000000 && reg_read(2) == 0x0f000000);
	CHECK(reg_read(0x10) == 0x10000 && reg_read(0x11) == 0);
	reg_write(0x11, 0xffffffff);
	CHECK(reg_read(0x11) == 0xff000000);
	reg_write(0x10, 0xffffffff); /* status and remote IRR are not writable */
	CHECK(reg_read(0x10) == 0x1afff);
	CHECK(reg_read(0x40) == 0 && reg_read(0xff) == 0);
}

static void test_edge(void)
{
	setup();
	set_pin(4, true);
	CHECK(!sent); /* masked: lost */
	reg_write(0x19, 0x05000000);
	reg_write(0x18, 0x0841); /* logical, vector 0x41 */
	CHECK(!sent);
	set_pin(4, true);
	CHECK(!sent);
	set_pin(4, false);
	set_pin(4, true);
	CHECK(sent == 1);
	CHECK(last.addr == (0xfee00000 | 5 << 12 | 1 << 2) && last.data == 0x4041);
	reg_write(0x18, 0x0400); /* NMI, physical */
	set_pin(4, false);
	set_pin(4, true);
	CHECK(sent == 2 && last.addr == (0xfee00000 | 5 << 12) && last.data == 0x4400);
}

static void test_level(void)
{
	setup();
	reg_write(0x10 + 2 * 20, 0x1a050); /* level, active low, masked */
	set_pin(20, true);
	CHECK(!sent);
	reg_write(0x10 + 2 * 20, 0xa050);
	CHECK(sent == 1 && last.data == 0xc050);
	CHECK(reg_read(0x10 + 2 * 20) == 0xe050); /* remote IRR */
	set_pin(20, false);
	set_pin(20, true);
	CHECK(sent == 1);
	ioapic_eoi(io, 0x51);
	CHECK(sent == 1);
	ioapic_eoi(io, 0x50);
	CHECK(sent == 2); /* still asserted: again */
	set_pin(20, false);
	fake_write(0xfec00040, 0x50, 4); /* the EOI register */
	CHECK(sent == 2 && reg_read(0x10 + 2 * 20) == 0xa050);
	set_pin(20, true);
	CHECK(sent == 3);
	/* Made an edge, and a level again, masked: how old systems clear remote IRR. */
	reg_write(0x10 + 2 * 20, 0x12050);
	CHECK(reg_read(0x10 + 2 * 20) == 0x12050);
	reg_write(0x10 + 2 * 20, 0xa050);
	CHECK(sent == 4);
}

static void fuzz(void)
{
	u64 seed = 82093;

	setup();
	for (unsigned i = 0; i < 200000; i++) {
		u64 r = fake_rand(&seed);

		if (r & 1)
			reg_write((u8)(r >> 8 & 0x3f), (u32)(r >> 32));
		else if (r & 2)
			reg_read((u8)(r >> 8 & 0x3f));
		else if (r & 4)
			set_pin(r >> 8 & 31, r & 8);
		else if (r & 8)
			ioapic_eoi(io, (u8)(r >> 8));
		else
			fake_write(0xfec00000 + (r >> 8 & 0xffc), r >> 32, r & 16 ? 4 : 1);
	}
}

int main(void)
{
	test_registers();
	test_edge();
	test_level();
	fuzz();
	fake_free(io);
	return 0;
}
