/* SPDX-License-Identifier: MIT */
/*
 * debugexit.c - QEMU's isa-debug-exit: a write ends the machine with a status of its choice.
 *
 *   offset     access  reset  what
 *   0..size-1  read    0      nothing
 *   0..size-1  write          value v: the process exits with (v << 1) | 1
 *
 * The status a parent sees is the low 8 bits of that, as with QEMU.
 */
#include "dev/devices.h"
#include "dev/isa.h"

#include <errno.h>

#include "sundog/err.h"
#include "sundog/machine.h"

struct debugexit {
	struct device dev;
	struct region io;
	u32 iobase, iosize; /* options */
};

static u64 debugexit_read(void *opaque, u64 off, unsigned size)
{
	return 0;
}

static void debugexit_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct debugexit *d = opaque;

	machine_request_shutdown(d->dev.machine, (int)((u32)val << 1 | 1) & 0xff);
}

static const struct io_ops debugexit_io = {
	.read = debugexit_read,
	.write = debugexit_write,
	.sizes = IO_8 | IO_16 | IO_32,
};

static int debugexit_realize(struct device *dev, struct err *e)
{
	struct debugexit *d = container_of(dev, struct debugexit, dev);

	if (d->iosize < 1 || d->iosize > 8)
		return err_set(e, -EINVAL, "iosize=%u: must be 1 to 8", d->iosize);
	return isa_map(dev, &d->io, d->iobase, d->iosize, &debugexit_io, d, e);
}

static void debugexit_unrealize(struct device *dev)
{
	isa_unmap(dev, &container_of(dev, struct debugexit, dev)->io);
}

static void debugexit_reset(struct device *dev)
{
}

static const struct param debugexit_params[] = {
	{"iobase", PARAM_U32, offsetof(struct debugexit, iobase), "0x501", "first I/O port"},
	{"iosize", PARAM_U32, offsetof(struct debugexit, iosize), "0x2", "number of ports"},
	{0},
};

static const struct state_field debugexit_state[] = {{0}};

const struct device_type debugexit_type = {
	.name = "isa-debug-exit",
	.doc = "ends the machine; exit status (value << 1) | 1",
	.size = sizeof(struct debugexit),
	.version = 1,
	.params = debugexit_params,
	.state = debugexit_state,
	.realize = debugexit_realize,
	.unrealize = debugexit_unrealize,
	.reset = debugexit_reset,
};
