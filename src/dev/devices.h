/* SPDX-License-Identifier: MIT */
/* devices.h - device types that nobody needs to wire; the others have headers of their own. */
#ifndef DEV_DEVICES_H
#define DEV_DEVICES_H

#include "sundog/device.h"

extern const struct device_type debugcon_type;
extern const struct device_type debugexit_type;
extern const struct device_type i8042_type;
extern const struct device_type port92_type;
extern const struct device_type pvpanic_type;
extern const struct device_type testdev_type;
extern const struct device_type uart16550_type;
extern const struct device_type virtio_blk_type;
extern const struct device_type virtio_rng_type;

bool i8042_has_mouse(const struct device *dev);

#endif
