/* SPDX-License-Identifier: MIT */
/* virtio_rng.h - the virtio entropy device, for the list of device types. */
#ifndef DEV_VIRTIO_VIRTIO_RNG_H
#define DEV_VIRTIO_VIRTIO_RNG_H

#include "sundog/device.h"

extern const struct device_type virtio_rng_type;

#endif
