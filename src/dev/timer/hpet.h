/* SPDX-License-Identifier: MIT */
/*
 * hpet.h - how a board wires the high precision event timer.
 *
 * The PIT and the RTC go through the HPET (hpet_input), which cuts them off when the guest
 * asks for LegacyReplacement: then timers 0 and 1 drive ISA IRQ 0 and 8 instead.
 */
#ifndef DEV_TIMER_HPET_H
#define DEV_TIMER_HPET_H

#include "sundog/device.h"

extern const struct device_type hpet_type;

enum { HPET_LEGACY_PIT, HPET_LEGACY_RTC };

/* All before the machine starts. */
struct irq_line hpet_input(struct device *dev, unsigned which);			 /* from PIT, RTC */
void hpet_connect_legacy(struct device *dev, unsigned which, struct irq_line l); /* IRQ 0, 8 */
void hpet_connect(struct device *dev, unsigned gsi, struct irq_line l); /* a route, gsi 0..31 */

#endif
