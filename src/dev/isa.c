/* SPDX-License-Identifier: MIT */
/* isa.c - mapping a device's I/O ports. */
#include "dev/isa.h"

#include <errno.h>

#include "sundog/err.h"
#include "sundog/machine.h"

/* Whose ports those of r are already, or NULL. */
static const char *holder_of(struct addrspace *as, const struct region *r)
{
	for (u64 port = r->base; port - r->base < r->size; port++) {
		const struct region *other = as_find(as, port);

		if (other)
			return other->name;
	}
	return NULL;
}

static int map(struct device *dev, struct region *r, struct err *e)
{
	int rc = as_map(dev->machine->pio, r);
	const char *holder = rc ? holder_of(dev->machine->pio, r) : NULL;

	if (rc) {
		err_set(e, -EINVAL, "I/O ports 0x%x..0x%x %s%s; give one an iobase that is free",
			(unsigned)r->base, (unsigned)(r->base + r->size - 1),
			holder ? "are those of " : "do not exist", holder ? holder : "");
		r->size = 0;
	}
	return rc ? -EINVAL : 0;
}

int isa_map(struct device *dev, struct region *r, u32 base, u32 size, const struct io_ops *ops,
	    void *opaque, struct err *e)
{
	*r = (struct region){
		.name = dev->id,
		.base = base,
		.size = size,
		.kind = REGION_IO,
		.ops = ops,
		.opaque = opaque,
		.owner = dev,
	};
	return map(dev, r, e);
}

int isa_map_unlocked(struct device *dev, struct region *r, u32 base, u32 size,
		     const struct io_ops *ops, void *opaque, struct err *e)
{
	*r = (struct region){
		.name = dev->id,
		.base = base,
		.size = size,
		.kind = REGION_IO,
		.ops = ops,
		.opaque = opaque,
	};
	return map(dev, r, e);
}

void isa_unmap(struct device *dev, const struct region *r)
{
	if (r->size)
		as_unmap(dev->machine->pio, r);
}
