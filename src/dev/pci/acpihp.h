/* SPDX-License-Identifier: MIT */
/* acpihp.h - plugging and unplugging PCI slots while the machine runs, for boards. */
#ifndef DEV_PCI_ACPIHP_H
#define DEV_PCI_ACPIHP_H

#include "sundog/device.h"

enum { ACPIHP_GPE = 1, ACPIHP_SLOTS = 31 /* 0 to 30; 31 is the ISA bridge's address */ };

extern const struct device_type acpihp_type;

/*
 * pm: whose GPE tells the guest.  ejected() runs on the loop's thread with no lock held, when the
 * guest has let go of a slot that is marked as removable.
 */
void acpihp_connect(struct device *dev, struct device *pm,
		    void (*ejected)(struct machine *m, unsigned slot));

/* These three from the loop's thread, holding no device's lock. */
void acpihp_set_removable(struct device *dev, unsigned slot, bool on);
/* Something is in the slot, or no longer: the guest is to look. */
void acpihp_changed(struct device *dev, unsigned slot);
/* The guest is to let go of it. */
void acpihp_request(struct device *dev, unsigned slot);

#endif
