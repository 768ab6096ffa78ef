/* SPDX-License-Identifier: MIT */
/* virtio_ids.h - numbers of the VIRTIO 1.2 specification that all devices share. */
#ifndef DEV_VIRTIO_VIRTIO_IDS_H
#define DEV_VIRTIO_VIRTIO_IDS_H

enum { VIRTIO_ID_BLOCK = 2, VIRTIO_ID_RNG = 4 };

enum { /* "Reserved Feature Bits" */
       VIRTIO_F_INDIRECT_DESC = 28,
       VIRTIO_F_EVENT_IDX = 29,
       VIRTIO_F_VERSION_1 = 32,
       VIRTIO_F_RING_PACKED = 34,
       VIRTIO_F_RING_RESET = 40,
};

#define VIRTIO_F(name) (1ull << VIRTIO_F_##name)

enum { /* "Device Status Field" */
       VIRTIO_ACKNOWLEDGE = 1,
       VIRTIO_DRIVER = 2,
       VIRTIO_DRIVER_OK = 4,
       VIRTIO_FEATURES_OK = 8,
       VIRTIO_NEEDS_RESET = 64,
       VIRTIO_FAILED = 128,
};

enum { /* "PCI Device Layout": capabilities and the common configuration */
       VIRTIO_CAP_COMMON = 1,
       VIRTIO_CAP_NOTIFY = 2,
       VIRTIO_CAP_ISR = 3,
       VIRTIO_CAP_DEVICE = 4,
       VIRTIO_CAP_PCI = 5,

       COMMON_DEVICE_SELECT = 0x00,
       COMMON_DEVICE_FEATURES = 0x04,
       COMMON_DRIVER_SELECT = 0x08,
       COMMON_DRIVER_FEATURES = 0x0c,
       COMMON_CONFIG_VECTOR = 0x10,
       COMMON_NR_QUEUES = 0x12,
       COMMON_STATUS = 0x14,
       COMMON_GENERATION = 0x15,
       COMMON_QUEUE_SELECT = 0x16,
       COMMON_QUEUE_SIZE = 0x18,
       COMMON_QUEUE_VECTOR = 0x1a,
       COMMON_QUEUE_ENABLE = 0x1c,
       COMMON_QUEUE_NOTIFY = 0x1e,
       COMMON_QUEUE_DESC = 0x20,
       COMMON_QUEUE_DRIVER = 0x28,
       COMMON_QUEUE_DEVICE = 0x30,
       COMMON_QUEUE_DATA = 0x38,
       COMMON_QUEUE_RESET = 0x3a,
       COMMON_SIZE = 0x3c,
};

enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

#endif
