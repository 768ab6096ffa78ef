/* SPDX-License-Identifier: MIT */
/*
 * pic.h - how a board wires the pair of 8259A interrupt controllers.
 *
 * The pair is one device with 16 inputs (input 2 is the cascade and not connected) and one
 * output.  Inputs may be set from any thread, with a device lock held.
 */
#ifndef DEV_INTC_PIC_H
#define DEV_INTC_PIC_H

#include "sundog/device.h"

extern const struct device_type isa_i8259_type;

struct irq_line pic_input(struct device *dev, unsigned n); /* ISA IRQ 0..15 */

/* Where INTR goes (lapic_lint(m, 0)).  Before the machine starts. */
void pic_connect(struct device *dev, struct irq_line intr);

/*
 * The CPU's interrupt acknowledge cycle: the vector, always one (IRQ 7 if the request has
 * gone).  Takes the pair's own lock.
 */
int pic_ack(struct device *dev);

#endif
