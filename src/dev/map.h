/* SPDX-License-Identifier: MIT */
/* map.h - mapping all regions of a device with fixed addresses, or none. */
#ifndef DEV_MAP_H
#define DEV_MAP_H

#include "sundog/addrspace.h"
#include "sundog/device.h"

/* The regions are filled in by the caller and stay his. */
int dev_map(struct device *dev, struct addrspace *as, const struct region *r, unsigned nr,
	    struct err *e) must_check;
void dev_unmap(struct addrspace *as, const struct region *r, unsigned nr);

#endif
