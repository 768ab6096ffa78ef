/* SPDX-License-Identifier: MIT */
/*
 * ioapic.h - how a board wires the I/O APIC.
 *
 * Inputs may be set from any thread, with a device lock held.  Messages go to the board's
 * msi hook; the local APICs' EOI broadcast comes back through ioapic_eoi().
 */
#ifndef DEV_INTC_IOAPIC_H
#define DEV_INTC_IOAPIC_H

#include "sundog/device.h"

extern const struct device_type ioapic_type;

enum { IOAPIC_PINS = 24 };

struct irq_line ioapic_input(struct device *dev, unsigned n); /* pin 0..23 */
void ioapic_eoi(struct device *dev, u8 vector);

#endif
