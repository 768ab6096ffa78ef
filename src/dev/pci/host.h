/* SPDX-License-Identifier: MIT */
/* host.h - the PCI host bridge, for boards. */
#ifndef DEV_PCI_HOST_H
#define DEV_PCI_HOST_H

#include "sundog/device.h"

struct pci_bus;

extern const struct device_type pci_host_type;

struct pci_bus *pci_host_bus(struct device *dev);

#endif
