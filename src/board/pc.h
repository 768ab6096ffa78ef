/* SPDX-License-Identifier: MIT */
/*
 * pc.h - the wiring of the board "pc", for the files that make it up.
 *
 * Addresses and interrupts are those of docs/board.md.  GSI n is I/O APIC pin n, but that ISA
 * IRQ 0 is pin 2; GSIs below 16 go to the 8259A pair as well, and PCI's INTA..INTD (GSI 16 to
 * 19) go to IRQ 10 and 11 there, for guests that use no I/O APIC.
 */
#ifndef BOARD_PC_H
#define BOARD_PC_H

#include "board/boot/boot.h"
#include "dev/intc/ioapic.h"
#include "dev/misc/fwcfg.h"
#include "sundog/machine.h"

/* Guest-physical addresses. */
#define PC_RAM_HOLE 0xa0000ull	     /* VGA: no RAM up to PC_SHADOW */
#define PC_SHADOW 0xc0000ull	     /* RAM again: option ROMs, tables */
#define PC_TABLES 0xe0000ull	     /* ACPI tables, up to 1 MiB */
#define PC_LOW_RAM_MAX 0xb0000000ull /* RAM above goes to 4 GiB and up */
#define PC_ECAM 0xb0000000ull	     /* 256 MiB: one MiB a bus */
#define PC_MMIO32 0xc0000000ull	     /* PCI memory window below 4 GiB */
#define PC_MMIO32_END 0xfec00000ull
#define PC_IOAPIC 0xfec00000ull
#define PC_HPET 0xfed00000ull
#define PC_LAPIC 0xfee00000ull
#define PC_HIGH_RAM 0x100000000ull
#define PC_WINDOW64 0x8000000000ull /* PCI memory window for 64-bit BARs; RAM ends below */
#define PC_WINDOW64_END 0x10000000000ull

enum { PC_EBDA = 0x9fc00, PC_MAX_LINES = 128, PC_ISA_IRQS = 16, PC_SCI = 9, PC_PCI_GSI = 16 };
enum { PC_MAX_CPUS = 8 };

/* One wire that goes to both interrupt controllers. */
struct pc_line {
	struct irq_line pic, ioapic;
};

struct pc {
	struct machine *m;
	struct boot boot;
	struct boot_disk boot_disk; /* if the kernel comes from a disk */
	bool has_kernel;
	struct region ram_low, ram_shadow, ram_main, ram_high;

	struct device *pic, *ioapic;
	struct irq_or pic_pins[PC_ISA_IRQS], ioapic_pins[IOAPIC_PINS];
	unsigned pic_used[PC_ISA_IRQS], ioapic_used[IOAPIC_PINS];
	struct pc_line lines[PC_MAX_LINES];
	unsigned nr_lines;
	struct pc_piece {
		struct fwcfg_source source;
		const struct boot_file *file;
		u64 off;
	} pieces[3];		       /* for fw_cfg: the kernel's header, the kernel, the initrd */
	u8 e820[BOOT_MAX_RANGES * 20]; /* for fw_cfg */

	struct pc_disk *disks; /* disks.c */
	unsigned nr_disks;
	struct pc_disk *plugged; /* those that came later */
	struct device *acpihp;
	struct pc_disk *seed; /* one of them, or NULL: for cloud-init */
};

extern const struct board board_pc;

/* memory.c */
int pc_map_ram(struct pc *pc, struct err *e);
void pc_unmap_ram(struct pc *pc);
/* Into pc->boot: what the guest is told. */
void pc_memory_map(struct pc *pc);
u64 pc_high_ram(const struct machine *m); /* bytes above 4 GiB */

/* lines.c */
void pc_init_lines(struct pc *pc);
struct irq_line pc_irq(struct machine *m, unsigned gsi);
struct irq_line pc_ioapic_only(struct pc *pc, unsigned gsi);

/* tables.c: ACPI tables and fw_cfg items; after the devices. */
int pc_put_tables(struct pc *pc, struct err *e);
void pc_fill_fwcfg(struct pc *pc);
void pc_fill_fwcfg_kernel(struct pc *pc); /* at each reset: it may be another one */

/* devices.c: the board's own and those of --device. */
int pc_add_devices(struct pc *pc, const struct machine_cfg *cfg, struct err *e);
struct device *pc_find(struct machine *m, const struct device_type *type);

/* disks.c: before all devices; after them; when they are gone. */
int pc_open_disks(struct pc *pc, const struct machine_cfg *cfg, struct err *e);
/* boot_open(), from the first disk if no kernel is named; before the disks' devices. */
int pc_open_kernel(struct pc *pc, const struct machine_cfg *cfg, struct err *e);
int pc_add_disk_devices(struct pc *pc, struct err *e);
void pc_close_disks(struct pc *pc);
/* One more while the machine runs; NULL and *e.  Then a device goes, with its disk if so added. */
struct device *pc_add_disk(struct pc *pc, const char *spec, struct err *e);
void pc_del_disk_device(struct pc *pc, struct device *dev);

/* hotplug.c */
void pc_wire_hotplug(struct pc *pc);
struct device *pc_plug(struct machine *m, const struct opts *o, struct err *e);
struct device *pc_plug_disk(struct machine *m, const char *spec, struct err *e);
int pc_unplug(struct machine *m, struct device *dev, bool force, struct err *e);

#endif
