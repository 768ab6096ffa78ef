/* SPDX-License-Identifier: MIT */
/* acpi.h - the ACPI tables of the board "pc". */
#ifndef BOARD_ACPI_ACPI_H
#define BOARD_ACPI_ACPI_H

#include "sundog/types.h"

/* What depends on the machine; addresses and interrupts that never change are not here. */
struct acpi_desc {
	unsigned nr_cpus;
	bool has_hpet, has_i8042, has_mouse, has_com1, has_com2, has_pvpanic, has_fwcfg;
	u64 lapic, ioapic, hpet, ecam; /* addresses */
	u64 window64, window64_end;    /* for PCI, above all RAM; the end is not in it */
	u16 pm_base, sci;
};

/*
 * Write all tables to buf, as they will lie at guest address base (16-aligned, below 1 MiB).
 * The RSDP comes first.  Returns the bytes used, or -E2BIG.
 */
int acpi_build(const struct acpi_desc *d, u8 *buf, size_t size, u32 base);

#endif
