/* SPDX-License-Identifier: MIT */
/*
 * hotplug.c - devices of the board "pc" that come and go while it runs: PCI functions in slots
 * that the guest is told of through ACPI, disks opened and closed with theirs.
 *
 * What the board was built with stays.  Devices that are in no slot come and go unannounced.
 */
#include "board/pc.h"

#include <errno.h>
#include <stdlib.h>

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

/* Who hears that it is gone may use its image at once: so it is told last. */
static void remove_device(struct pc *pc, struct device *dev)
{
	char *id = strdup(dev->id);
	struct control_note note = {.device = id ? id : ""};
	int slot = slot_of(dev);

	if (slot >= 0)
		acpihp_set_removable(pc->acpihp, (unsigned)slot, false);
	pc_del_disk_device(pc, dev);
	control_event(pc->m, CONTROL_DEVICE_REMOVED, &note);
	free(id);
}

static void ejected(struct machine *m, unsigned slot)
{
	struct device *dev = pci_in_slot(pci_root(m), slot);

	if (dev && dev->plugged)
		remove_device(m->board_priv, dev);
}

void pc_wire_hotplug(struct pc *pc)
{
	pc->acpihp = pc_find(pc->m, &acpihp_type);
	acpihp_connect(pc->acpihp, pc_find(pc->m, &acpipm_type), ejected);
}

static struct device *announce(struct pc *pc, struct device *dev)
{
	struct control_note note = {.device = dev->id};
	int slot = slot_of(dev);

	dev->plugged = true;
	control_event(pc->m, CONTROL_DEVICE_ADDED, &note);
	if (slot >= 0) {
		acpihp_set_removable(pc->acpihp, (unsigned)slot, true);
		acpihp_changed(pc->acpihp, (unsigned)slot);
	}
	return dev;
}

struct device *pc_plug(struct machine *m, const struct opts *o, struct err *e)
{
	struct device *dev = device_add(m, o, e);

	return dev ? announce(m->board_priv, dev) : NULL;
}

struct device *pc_plug_disk(struct machine *m, const char *spec, struct err *e)
{
	struct pc *pc = m->board_priv;
	struct device *dev = pc_add_disk(pc, spec, e);

	return dev ? announce(pc, dev) : NULL;
}

int pc_unplug(struct machine *m, struct device *dev, bool force, struct err *e)
{
	struct pc *pc = m->board_priv;
	int slot = slot_of(dev);

	if (!dev->plugged)
		return err_set(e, -EOPNOTSUPP, "%.60s is the board's own; it stays", dev->id);
	if (slot < 0 || force)
		remove_device(pc, dev);
	/* Linux looks whether a device is still there when it is to let go of it, not before. */
	if (slot >= 0)
		acpihp_request(pc->acpihp, (unsigned)slot);
	return 0;
}
