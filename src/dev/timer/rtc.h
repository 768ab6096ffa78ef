/* SPDX-License-Identifier: MIT */
/* rtc.h - how a board wires the MC146818 real-time clock and fills its CMOS memory. */
#ifndef DEV_TIMER_RTC_H
#define DEV_TIMER_RTC_H

#include "sundog/device.h"

extern const struct device_type mc146818rtc_type;

/* Where IRQ goes (ISA IRQ 8, or hpet_input(hpet, 1)).  Before the machine starts. */
void rtc_connect(struct device *dev, struct irq_line irq);

/* A byte of CMOS memory (0x0e..0x7f, not the century 0x32).  Before the machine starts. */
void rtc_set_cmos(struct device *dev, u8 index, u8 val);

/* Bit 7 of the index port: the board's NMI sources are cut off. */
bool rtc_nmi_masked(struct device *dev);

#endif
