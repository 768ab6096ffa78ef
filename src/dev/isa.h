/* SPDX-License-Identifier: MIT */
/* isa.h - what devices on I/O ports have in common: mapping a few ports, errors included. */
#ifndef DEV_ISA_H
#define DEV_ISA_H

#include "sundog/device.h"

/*
 * Map one range of ports as *r, or fail with a message that names the range.  The owner's
 * lock is taken around the handlers.
 */
int isa_map(struct device *dev, struct region *r, u32 base, u32 size, const struct io_ops *ops,
	    void *opaque, struct err *e) must_check;
/* The same without an owner: the handlers lock for themselves. */
int isa_map_unlocked(struct device *dev, struct region *r, u32 base, u32 size,
		     const struct io_ops *ops, void *opaque, struct err *e) must_check;
void isa_unmap(struct device *dev, const struct region *r);

#endif
