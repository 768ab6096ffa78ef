/* SPDX-License-Identifier: MIT */
/*
 * pvpanic.c - QEMU's pvpanic on an I/O port: the guest says that it has crashed.
 *
 * Source: QEMU, docs/specs/pvpanic.
 *
 *   offset  access  reset  what
 *   0       read    events what it understands: 1 panicked, 2 crashed and dumping
 *   0       write          either ends the machine, with the exit status of a crash
 */
#include "dev/devices.h"
#include "dev/isa.h"

#include "sundog/machine.h"

enum { PANICKED = 1, CRASH_LOADED = 2 };

struct pvpanic {
	struct device dev;
	struct region io;
	u32 iobase, events; /* options */
};

static u64 pvpanic_read(void *opaque, u64 off, unsigned size)
{
	struct pvpanic *p = opaque;

	return p->events & (PANICKED | CRASH_LOADED);
}

static void pvpanic_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pvpanic *p = opaque;

	if (val & p->events & (PANICKED | CRASH_LOADED))
		machine_request_shutdown(p->dev.machine, EXIT_GUEST_CRASH);
}

static const struct io_ops pvpanic_io = {
	.read = pvpanic_read,
	.write = pvpanic_write,
	.sizes = IO_8,
};

static int pvpanic_realize(struct device *dev, struct err *e)
{
	struct pvpanic *p = container_of(dev, struct pvpanic, dev);

	return isa_map(dev, &p->io, p->iobase, 1, &pvpanic_io, p, e);
}

static void pvpanic_unrealize(struct device *dev)
{
	isa_unmap(dev, &container_of(dev, struct pvpanic, dev)->io);
}

static void pvpanic_reset(struct device *dev)
{
}

static const struct param pvpanic_params[] = {
	{"ioport", PARAM_U32, offsetof(struct pvpanic, iobase), "0x505", "I/O port"},
	{"events", PARAM_U32, offsetof(struct pvpanic, events), "3", "1 panicked, 2 crash loaded"},
	{0},
};

static const struct state_field pvpanic_state[] = {{0}};

const struct device_type pvpanic_type = {
	.name = "pvpanic",
	.doc = "panic device: a crashed guest ends the machine",
	.size = sizeof(struct pvpanic),
	.version = 1,
	.params = pvpanic_params,
	.state = pvpanic_state,
	.realize = pvpanic_realize,
	.unrealize = pvpanic_unrealize,
	.reset = pvpanic_reset,
};
