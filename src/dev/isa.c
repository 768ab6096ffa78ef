/* SPDX-License-Identifier: MIT */
/* isa.c - mapping a device's I/O ports. */
#include "dev/isa.h"

#include "sundog/err.h"
#include "sundog/machine.h"

int isa_map(struct device *dev, struct region *r, u32 base, u32 size, const struct io_ops *ops,
	    void *opaque, struct err *e)
{
	struct addrspace *pio = dev->machine->pio;
	int rc;

	*r = (struct region){
		.name = dev->id,
		.base = base,
		.size = size,
		.kind = REGION_IO,
		.ops = ops,
		.opaque = opaque,
		.owner = dev,
	};
	as_begin(pio);
	rc = as_map(pio, r);
	as_commit(pio);
	if (rc) {
		err_set(e, rc, "I/O ports 0x%x..0x%x are taken or out of range: choose others",
			base, base + size - 1);
		r->size = 0;
	}
	return rc;
}

void isa_unmap(struct device *dev, const struct region *r)
{
	struct addrspace *pio = dev->machine->pio;

	if (!r->size)
		return;
	as_begin(pio);
	as_unmap(pio, r);
	as_commit(pio);
}
