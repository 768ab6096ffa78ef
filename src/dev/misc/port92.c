/* SPDX-License-Identifier: MIT */
/*
 * port92.c - system control port A of the PS/2: fast reset, and an A20 gate that is open.
 *
 *   offset  access  reset  what
 *   0       rw      0x02   bit 0 going to 1 resets; bit 1 is A20, always on; the rest is kept
 *
 * Not modelled: the A20 gate (see docs/architecture.md), the disk lights.
 */
#include "dev/devices.h"
#include "dev/isa.h"

#include "sundog/machine.h"

enum { PORT = 0x92, FAST_RESET = 1, A20 = 2, KEPT = 0xf8 };

struct port92 {
	struct device dev;
	struct region io;
	u8 val;
};

static u64 port92_read(void *opaque, u64 off, unsigned size)
{
	return ((struct port92 *)opaque)->val | A20;
}

static void port92_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct port92 *p = opaque;
	bool rises = val & ~(u64)p->val & FAST_RESET;

	p->val = (u8)val & (KEPT | FAST_RESET);
	if (rises)
		machine_request_reset(p->dev.machine);
}

static const struct io_ops port92_io = {
	.read = port92_read,
	.write = port92_write,
	.sizes = IO_8,
};

static int port92_realize(struct device *dev, struct err *e)
{
	struct port92 *p = container_of(dev, struct port92, dev);

	return isa_map(dev, &p->io, PORT, 1, &port92_io, p, e);
}

static void port92_unrealize(struct device *dev)
{
	isa_unmap(dev, &container_of(dev, struct port92, dev)->io);
}

static void port92_reset(struct device *dev)
{
	container_of(dev, struct port92, dev)->val = 0;
}

static const struct param port92_params[] = {{0}};

static const struct state_field port92_state[] = {
	STATE_FIELD(struct port92, val, STATE_INT),
	{0},
};

const struct device_type port92_type = {
	.name = "port92",
	.doc = "system control port A: fast reset",
	.size = sizeof(struct port92),
	.version = 1,
	.params = port92_params,
	.state = port92_state,
	.realize = port92_realize,
	.unrealize = port92_unrealize,
	.reset = port92_reset,
};
