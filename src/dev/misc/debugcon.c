/* SPDX-License-Identifier: MIT */
/*
 * debugcon.c - Bochs/QEMU debug console (isa-debugcon): bytes written go to a chardev.
 *
 * The smallest device there is, and the one to copy.
 *
 *   offset  access  reset  what
 *   0       read    0xe9   how a guest finds out that it is there
 *   0       write          a byte to the console; dropped when its reader is too slow
 *
 * Not modelled: QEMU's "readback" property.
 */
#include "dev/devices.h"
#include "dev/isa.h"

#include <errno.h>

#include "sundog/chardev.h"
#include "sundog/err.h"
#include "sundog/machine.h"

struct debugcon {
	struct device dev;
	struct region io;
	u32 iobase; /* options */
	const char *spec;
	struct chardev *chr;
	u32 written;
};

static u64 debugcon_read(void *opaque, u64 off, unsigned size)
{
	return 0xe9;
}

static void debugcon_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct debugcon *d = opaque;
	u8 byte = (u8)val;

	d->written += (u32)chardev_write(d->chr, &byte, 1);
}

static const struct io_ops debugcon_io = {
	.read = debugcon_read,
	.write = debugcon_write,
	.sizes = IO_8,
};

static int debugcon_realize(struct device *dev, struct err *e)
{
	struct debugcon *d = container_of(dev, struct debugcon, dev);
	int rc;

	d->chr = chardev_open(dev->machine, d->spec, e);
	if (!d->chr)
		return e->code ? e->code : -EIO;
	rc = isa_map(dev, &d->io, d->iobase, 1, &debugcon_io, d, e);
	if (rc)
		chardev_close(d->chr);
	return rc;
}

static void debugcon_unrealize(struct device *dev)
{
	struct debugcon *d = container_of(dev, struct debugcon, dev);

	isa_unmap(dev, &d->io);
	chardev_close(d->chr);
}

static void debugcon_reset(struct device *dev)
{
	container_of(dev, struct debugcon, dev)->written = 0;
}

static const struct param debugcon_params[] = {
	{"iobase", PARAM_U32, offsetof(struct debugcon, iobase), "0xe9", "I/O port"},
	{"chardev", PARAM_STR, offsetof(struct debugcon, spec), "stdio", "where the bytes go"},
	{0},
};

static const struct state_field debugcon_state[] = {
	STATE_FIELD(struct debugcon, written, STATE_INT),
	{0},
};

const struct device_type debugcon_type = {
	.name = "isa-debugcon",
	.doc = "debug console on an I/O port",
	.size = sizeof(struct debugcon),
	.version = 1,
	.params = debugcon_params,
	.state = debugcon_state,
	.realize = debugcon_realize,
	.unrealize = debugcon_unrealize,
	.reset = debugcon_reset,
};
