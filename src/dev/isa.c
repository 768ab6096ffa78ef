/* SPDX-License-Identifier: MIT */
/* isa.c - mapping a device's I/O ports. */
#include "dev/isa.h"

#include "sundog/err.h"
#include "sundog/machine.h"

static int map(struct device *dev, struct region *r, struct err *e)
{
	int rc = as_map(dev->machine->pio, r);

	if (rc) {
		err_set(e, rc, "I/O ports 0x%x..0x%x are taken or out of range: choose others",
			(unsigned)r->base, (unsigned)(r->base + r->size - 1));
		r->size = 0;
	}
	return rc;
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
