/* SPDX-License-Identifier: MIT */
/* virtio_blk.h - virtio disks, for those who change what is behind them. */
#ifndef DEV_VIRTIO_VIRTIO_BLK_H
#define DEV_VIRTIO_VIRTIO_BLK_H

#include "sundog/device.h"

extern const struct device_type virtio_blk_type;

/* The disk has another size now: tell the driver.  The loop's thread, holding nothing. */
void virtio_blk_resized(struct device *dev);

#endif
