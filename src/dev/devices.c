/* SPDX-License-Identifier: MIT */
/* devices.c - the list of device types: what --device takes.  One line for each. */
#include "dev/devices.h"

const struct device_type *const device_types[] = {
	&debugcon_type,
	&debugexit_type,
	&uart16550_type,
	NULL,
};
