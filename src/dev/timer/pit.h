/* SPDX-License-Identifier: MIT */
/* pit.h - how a board wires the 8254 timer and port 0x61. */
#ifndef DEV_TIMER_PIT_H
#define DEV_TIMER_PIT_H

#include "sundog/device.h"

extern const struct device_type isa_pit_type;

/* Where OUT0 goes (ISA IRQ 0, or hpet_input(hpet, 0)).  Before the machine starts. */
void pit_connect(struct device *dev, struct irq_line out0);

#endif
