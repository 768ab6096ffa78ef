/* SPDX-License-Identifier: MIT */
/*
 * hotplug.c - devices of the board "pc" that come and go while it runs: PCI functions in slots
 * that the guest is told of through ACPI, disks opened and closed with theirs.
 *
 * What the board was built with stays.
 */
#include "board/pc.h"

#include <errno.h>

#include "dev/misc/acpipm.h"
#include "dev/pci/acpihp.h"
#include "dev/pci/pci.h"
#include "sundog/control.h"
#include "sundog/err.h"
#include "sundog/opts.h"

/* The slot that it is in, -1: it is in none. */
static int slot_of(const struct device *dev)
{
	struct pci_bus *bus = pci_root(dev->machine);

	for (unsigned slot = 0; bus && slot < ACPIHP_SLOTS; slot++)
		if (pci_in_slot(bus, slot) == dev)
			return (int)slot;
	return -1;
}

static void remove_device(struct pc *pc, struct device *dev, unsigned slot)
{
	struct control_note note = {.device = dev->id};

	control_event(pc->m, CONTROL_DEVICE_REMOVED, &note);
	acpihp_set_removable(pc->acpihp, slot, false);
	pc_del_disk_device(pc, dev);
}

static void ejected(struct machine *m, unsigned slot)
{
	struct device *dev = pci_in_slot(pci_root(m), slot);

	if (dev && dev->plugged)
		remove_device(m->board_priv, dev, slot);
}

void pc_wire_hotplug(struct pc *pc)
{
	pc->acpihp = pc_find(pc->m, &acpihp_type);
	acpihp_connect(pc->acpihp, pc_find(pc->m, &acpipm_type), ejected);
}

/* It is there: is it where the guest can be told of it? */
static struct device *announce(struct pc *pc, struct device *dev, struct err *e)
{
	struct control_note note = {0};
	int slot = slot_of(dev);

	if (slot < 0) {
		err_set(e, -EOPNOTSUPP,
			"%s is in no slot that a guest can be told of; add it with --device",
			dev->type->name);
		pc_del_disk_device(pc, dev);
		return NULL;
	}
	dev->plugged = true;
	acpihp_set_removable(pc->acpihp, (unsigned)slot, true);
	acpihp_changed(pc->acpihp, (unsigned)slot);
	note.device = dev->id;
	control_event(pc->m, CONTROL_DEVICE_ADDED, &note);
	return dev;
}

struct device *pc_plug(struct machine *m, const struct opts *o, struct err *e)
{
	struct device *dev = device_add(m, o, e);

	return dev ? announce(m->board_priv, dev, e) : NULL;
}

struct device *pc_plug_disk(struct machine *m, const char *spec, struct err *e)
{
	struct pc *pc = m->board_priv;
	struct device *dev = pc_add_disk(pc, spec, e);

	return dev ? announce(pc, dev, e) : NULL;
}

int pc_unplug(struct machine *m, struct device *dev, bool force, struct err *e)
{
	struct pc *pc = m->board_priv;
	int slot = slot_of(dev);

	if (!dev->plugged || slot < 0)
		return err_set(e, -EOPNOTSUPP, "%.60s is the board's own; it stays", dev->id);
	if (force) {
		remove_device(pc, dev, (unsigned)slot);
		acpihp_changed(pc->acpihp, (unsigned)slot);
	} else {
		acpihp_request(pc->acpihp, (unsigned)slot);
	}
	return 0;
}
