/* SPDX-License-Identifier: MIT */
/*
 * msix.h - MSI-X of a PCI function: capability, vector table, masks and pending bits.
 *
 * A device embeds a struct msix, calls msix_init() between pci_init() and pci_attach(), and
 * gives its MSIX_SIZE bytes a place: a BAR of their own with msix_io, or a part of one whose
 * handlers pass accesses on.  It calls msix_reset() from its reset(), msix_config_written()
 * from the function's config_written(), and saves msix_state and the configuration registers.
 *
 * Everything with the device's lock held.
 *
 * Source: PCI Local Bus Specification 3.0, "MSI-X Capability and Table Structure".
 */
#ifndef DEV_PCI_MSIX_H
#define DEV_PCI_MSIX_H

#include "dev/pci/pci.h"

enum {
	MSIX_MAX = 128,	  /* vectors */
	MSIX_SIZE = 4096, /* what table and pending bits take of a BAR */
	MSIX_PBA = 2048,  /* where in it the pending bits are; the table is at 0 */
};

struct msix {
	struct pci_dev *pci;
	u16 nr;
	u8 cap;
	u8 table[MSIX_MAX * 16]; /* as the guest sees it */
	u64 pending[MSIX_MAX / 64];
};

/* nr: 1 to MSIX_MAX vectors, at offset at (a multiple of 8) of this BAR. */
int msix_init(struct msix *x, struct pci_dev *p, unsigned nr, unsigned bar, u32 at,
	      struct err *e) must_check;
void msix_reset(struct msix *x);
/* A configuration register was written, perhaps the capability's. */
void msix_config_written(struct msix *x);

/* While it is on, the function does not use INTx. */
bool msix_is_on(const struct msix *x);
/* Send vector v, or note it as pending while it is masked.  Off, or no such vector: nothing. */
void msix_send(struct msix *x, unsigned v);

/* Accesses of 4 or 8 aligned bytes, off below MSIX_SIZE; msix_io is these two. */
u64 msix_read(void *opaque, u64 off, unsigned size);
void msix_write(void *opaque, u64 off, u64 val, unsigned size);
extern const struct io_ops msix_io;

extern const struct state_field msix_state[];

#endif
