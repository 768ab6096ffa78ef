/* SPDX-License-Identifier: MIT */
/*
 * testdev.c - QEMU's pc-testdev: what kvm-unit-tests and the like poke at.
 *
 *   port or address  size     reset  what
 *   0xe0             1, 2, 4  0      four bytes that keep what was written
 *   0xe4             4               flush: a page's address; nothing to do here
 *   0xe8             1        0      the same four bytes, a byte at a time
 *   0x2000..0x2017   1               line n of the interrupt controllers: 0 low, else high
 *   MMIO 0xff000000  1..8     0      64 KiB that keep what was written
 */
#include "dev/devices.h"
#include "dev/isa.h"

#include "sundog/err.h"
#include "sundog/machine.h"

enum { ECHO = 0xe0, FLUSH = 0xe4, ECHO_BYTE = 0xe8, LINES = 0x2000, NR_LINES = 24, MMIO = 0x10000 };
#define MMIO_BASE 0xff000000ull

struct testdev {
	struct device dev;
	struct region echo, flush, echo_byte, lines, mmio;
	struct irq_line line[NR_LINES];
	u8 bytes[4];
	u8 memory[MMIO];
};

static u64 load(const u8 *p, unsigned size)
{
	u64 val = 0;

	for (unsigned i = 0; i < size; i++)
		val |= (u64)p[i] << 8 * i;
	return val;
}

static void store(u8 *p, u64 val, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		p[i] = (u8)(val >> 8 * i);
}

static u64 echo_read(void *opaque, u64 off, unsigned size)
{
	return load(((struct testdev *)opaque)->bytes + off, size);
}

static void echo_write(void *opaque, u64 off, u64 val, unsigned size)
{
	store(((struct testdev *)opaque)->bytes + off, val, size);
}

static const struct io_ops echo_io = {echo_read, echo_write, IO_8 | IO_16 | IO_32};
static const struct io_ops echo_byte_io = {echo_read, echo_write, IO_8};

static u64 nothing_read(void *opaque, u64 off, unsigned size)
{
	return 0;
}

static void nothing_write(void *opaque, u64 off, u64 val, unsigned size)
{
}

static const struct io_ops flush_io = {nothing_read, nothing_write, IO_8 | IO_16 | IO_32};

static void lines_write(void *opaque, u64 off, u64 val, unsigned size)
{
	irq_set(&((struct testdev *)opaque)->line[off], val != 0);
}

static const struct io_ops lines_io = {nothing_read, lines_write, IO_8};

static u64 mmio_read(void *opaque, u64 off, unsigned size)
{
	return load(((struct testdev *)opaque)->memory + off, size);
}

static void mmio_write(void *opaque, u64 off, u64 val, unsigned size)
{
	store(((struct testdev *)opaque)->memory + off, val, size);
}

static const struct io_ops mmio_io = {mmio_read, mmio_write, IO_8 | IO_16 | IO_32 | IO_64};

static void testdev_unrealize(struct device *dev)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	isa_unmap(dev, &t->echo);
	isa_unmap(dev, &t->flush);
	isa_unmap(dev, &t->echo_byte);
	isa_unmap(dev, &t->lines);
	if (t->mmio.size)
		as_unmap(dev->machine->mem, &t->mmio);
}

static int map_all(struct testdev *t, struct err *e)
{
	struct device *dev = &t->dev;
	int rc = isa_map(dev, &t->echo, ECHO, 4, &echo_io, t, e);

	if (rc == 0)
		rc = isa_map(dev, &t->flush, FLUSH, 4, &flush_io, t, e);
	if (rc == 0)
		rc = isa_map(dev, &t->echo_byte, ECHO_BYTE, 4, &echo_byte_io, t, e);
	if (rc == 0)
		rc = isa_map(dev, &t->lines, LINES, NR_LINES, &lines_io, t, e);
	if (rc)
		return rc;
	t->mmio = (struct region){
		.name = dev->id,
		.base = MMIO_BASE,
		.size = MMIO,
		.kind = REGION_IO,
		.ops = &mmio_io,
		.opaque = t,
		.owner = dev,
	};
	rc = as_map(dev->machine->mem, &t->mmio);
	if (rc == 0)
		return 0;
	t->mmio.size = 0;
	return err_set(e, rc, "%s: its memory at 0xff000000 is taken", dev->id);
}

static int testdev_realize(struct device *dev, struct err *e)
{
	struct testdev *t = container_of(dev, struct testdev, dev);
	struct machine *m = dev->machine;
	int rc;

	for (unsigned i = 0; i < NR_LINES; i++)
		t->line[i] = m->board->irq(m, i);
	rc = map_all(t, e);
	if (rc)
		testdev_unrealize(dev);
	return rc;
}

static void testdev_reset(struct device *dev)
{
	struct testdev *t = container_of(dev, struct testdev, dev);

	memset(t->bytes, 0, sizeof(t->bytes));
	memset(t->memory, 0, sizeof(t->memory));
	for (unsigned i = 0; i < NR_LINES; i++)
		irq_set(&t->line[i], false);
}

static const struct param testdev_params[] = {{0}};

static const struct state_field testdev_state[] = {
	STATE_FIELD(struct testdev, bytes, STATE_BLOB),
	STATE_FIELD(struct testdev, memory, STATE_BLOB),
	{0},
};

const struct device_type testdev_type = {
	.name = "pc-testdev",
	.doc = "QEMU's test device: interrupt lines, echo ports and memory",
	.size = sizeof(struct testdev),
	.version = 1,
	.params = testdev_params,
	.state = testdev_state,
	.realize = testdev_realize,
	.unrealize = testdev_unrealize,
	.reset = testdev_reset,
};
