/* SPDX-License-Identifier: MIT */
/* devices.h - every device type there is, for the list in devices.c and for boards. */
#ifndef DEV_DEVICES_H
#define DEV_DEVICES_H

#include "sundog/device.h"

extern const struct device_type debugcon_type;
extern const struct device_type debugexit_type;
extern const struct device_type uart16550_type;

#endif
