/* SPDX-License-Identifier: MIT */
/* acpipm.h - the ACPI power management device, for boards and their ACPI tables. */
#ifndef DEV_MISC_ACPIPM_H
#define DEV_MISC_ACPIPM_H

#include "sundog/device.h"

extern const struct device_type acpipm_type;

enum { /* offsets from iobase, for the FADT */
       ACPIPM_EVENT = 0x00,
       ACPIPM_CONTROL = 0x04,
       ACPIPM_TIMER = 0x08,
       ACPIPM_GPE0 = 0x20,
       ACPIPM_GPE0_LEN = 8,
       ACPIPM_PORTS = 0x28,
};

u32 acpipm_iobase(const struct device *dev);

/* Press the power button.  Any thread, holding no device's lock.  True: the guest wants to know. */
bool acpipm_power_button(struct device *dev);

/* General-purpose event n, 0 to 31.  Any thread, holding no device's lock. */
void acpipm_raise_gpe(struct device *dev, unsigned n);

#endif
