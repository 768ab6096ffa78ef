/* SPDX-License-Identifier: MIT */
/*
 * pci.h - what every PCI function has: configuration registers, BARs, INTx, messages.
 *
 * A PCI device's struct begins with a struct pci_dev, whose first member is the struct device.
 * Its realize() calls pci_init(), adds BARs and capabilities, and then pci_attach(); from
 * there on configuration accesses come, with the device's lock held, and its BARs are mapped
 * as the guest says.  It calls pci_reset() from its reset() and pci_detach() when it goes.
 *
 * Which BAR is where is computed anew from the registers of all functions at each change; one
 * that would lie on something else is left out, and tried again at the next change.
 *
 * MSI-X is in msix.h.
 *
 * Source: PCI Local Bus Specification 3.0, "Configuration Space Organization".
 */
#ifndef DEV_PCI_PCI_H
#define DEV_PCI_PCI_H

#include "sundog/device.h"

enum { PCI_CONFIG_SIZE = 256, PCI_NR_BARS = 6, PCI_NR_FUNCS = 256 };

enum { /* registers of a type 0 header */
       PCI_VENDOR = 0x00,
       PCI_DEVICE = 0x02,
       PCI_COMMAND = 0x04,
       PCI_STATUS = 0x06,
       PCI_REVISION = 0x08,
       PCI_CLASS = 0x09, /* three bytes: programming interface, subclass, class */
       PCI_HEADER_TYPE = 0x0e,
       PCI_BAR0 = 0x10,
       PCI_SUBVENDOR = 0x2c,
       PCI_SUBDEVICE = 0x2e,
       PCI_CAP_PTR = 0x34,
       PCI_INT_LINE = 0x3c,
       PCI_INT_PIN = 0x3d,
       PCI_FIRST_CAP = 0x40,
};

enum { PCI_CMD_IO = 1, PCI_CMD_MEM = 2, PCI_CMD_MASTER = 4, PCI_CMD_INTX_OFF = 0x400 };
enum { PCI_STS_INTX = 8, PCI_STS_CAPS = 0x10 };
enum { PCI_BAR_IO = 1, PCI_BAR_64 = 4, PCI_BAR_PREFETCH = 8 };

struct pci_bus;
struct msi_msg;

struct pci_bar {
	u64 size; /* a power of two; 0: there is none */
	u8 flags;
	const struct io_ops *ops;
	void *opaque;
	_Atomic u64 wanted;   /* address by the registers, ~0: decoding is off */
	struct region region; /* under the address space's update lock */
	bool mapped;
};

struct pci_dev {
	struct device dev;
	struct pci_bus *bus;
	u8 devfn;
	u8 config[PCI_CONFIG_SIZE];
	u8 writable[PCI_CONFIG_SIZE]; /* bits the guest may set and clear */
	u8 clears[PCI_CONFIG_SIZE];   /* bits a one clears */
	u8 next_cap;
	struct pci_bar bar[PCI_NR_BARS];
	struct irq_line intx;
	bool intx_level;
	/* Registers are about to be read, or were written; both may be NULL. */
	void (*config_reads)(struct pci_dev *p, unsigned off, unsigned size);
	void (*config_written)(struct pci_dev *p, unsigned off, unsigned size);
};

struct pci_ids {
	u16 vendor, device, subvendor, subdevice;
	u32 class_code; /* 24 bits */
	u8 revision;
	u8 pin; /* 0: none, 1: INTA */
};

void pci_init(struct pci_dev *p, const struct pci_ids *ids);
/* n: 0 to 5; with PCI_BAR_64 the next one is its upper half. */
void pci_add_bar(struct pci_dev *p, unsigned n, u64 size, u8 flags, const struct io_ops *ops,
		 void *opaque);
/* Returns the capability's offset, its first two bytes filled; 0: no room. */
u8 pci_add_cap(struct pci_dev *p, u8 id, u8 len);

/* devfn: where to plug it in, or -1: the next free slot. */
int pci_attach(struct pci_dev *p, int devfn, struct err *e) must_check;
/*
 * Holding nothing; the loop's thread, or the machine does not run, as for pci_attach().  Accesses
 * that found the function before may go on until as_synchronize(), which device_del() calls.
 */
void pci_detach(struct pci_dev *p);
/* Function 0 of a slot, NULL: it is empty.  The loop's thread. */
struct device *pci_in_slot(struct pci_bus *bus, unsigned slot);
void pci_reset(struct pci_dev *p); /* with its lock held */
void pci_post_load(struct pci_dev *p);

/* May it touch memory?  Never once it is off the bus, whatever a late access writes. */
static inline bool pci_is_master(const struct pci_dev *p)
{
	return p->bus && p->config[PCI_COMMAND] & PCI_CMD_MASTER;
}

void pci_set_intx(struct pci_dev *p, bool level);
void pci_send_msi(struct pci_dev *p, const struct msi_msg *msg);

/* Configuration accesses, as a bridge makes them; devfn on this bus. */
u32 pci_config_read(struct pci_bus *bus, u8 devfn, unsigned off, unsigned size);
void pci_config_write(struct pci_bus *bus, u8 devfn, unsigned off, u32 val, unsigned size);

/* The machine's root bus, NULL if it has none. */
struct pci_bus *pci_root(struct machine *m);

struct pci_bus *pci_bus_new(struct machine *m, const struct irq_line intx[4]);
void pci_bus_free(struct pci_bus *bus);

#endif
