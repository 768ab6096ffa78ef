/* SPDX-License-Identifier: MIT */
/*
 * acpihp.c - hotplug of PCI slots through ACPI (the registers are those of QEMU's
 * acpi-pcihp).
 *
 * Source: QEMU documentation, "QEMU<->ACPI BIOS PCI hotplug interface"; ACPI Specification
 * 6.4, "Device Insertion, Removal, and Status Objects".  A bit is a slot of bus 0:
 *
 *   offset  size  reset  what
 *   0x00    4     0      the guest is to look at these; a read clears
 *   0x04    4     0      the guest is to let go of these; a read clears
 *   0x08    4     0      write: it has let go of these; reads 0
 *   0x0c    4            these can be removed
 *   0x10    4     0      bus: there is none but 0
 *
 * The guest's side is in the DSDT: \_GPE._E01 and the slots' _EJ0.  Not modelled: other buses,
 * ACPI indices.
 */
#include "dev/pci/acpihp.h"

#include "dev/isa.h"
#include "dev/misc/acpipm.h"
#include "sundog/loop.h"
#include "sundog/machine.h"

enum { UP = 0x00, DOWN = 0x04, EJECT = 0x08, REMOVABLE = 0x0c, PORTS = 0x14 };
enum { IOBASE = 0xae00 }; /* the DSDT knows it too */

struct acpihp {
	struct device dev;
	struct region io;
	struct device *pm;
	void (*ejected_fn)(struct machine *m, unsigned slot);
	struct task task; /* without an owner: a device goes while nothing is held */

	u32 up, down, removable, ejected;
};

static u64 hp_read(void *opaque, u64 off, unsigned size)
{
	struct acpihp *h = opaque;
	u32 val = 0;

	if (off == UP) {
		val = h->up;
		h->up = 0;
	} else if (off == DOWN) {
		val = h->down;
		h->down = 0;
	} else if (off == REMOVABLE) {
		val = h->removable;
	}
	return val;
}

static void hp_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct acpihp *h = opaque;

	if (off != EJECT)
		return;
	h->ejected |= (u32)val & h->removable;
	if (h->ejected)
		loop_defer(h->dev.machine->loop, &h->task);
}

static const struct io_ops hp_io = {
	.read = hp_read,
	.write = hp_write,
	.sizes = IO_32,
};

static void serve_ejected(struct task *t)
{
	struct acpihp *h = container_of(t, struct acpihp, task);
	u32 slots;

	lock(&h->dev.lock);
	slots = h->ejected & h->removable;
	h->ejected = 0;
	unlock(&h->dev.lock);
	for (; slots && h->ejected_fn; slots &= slots - 1)
		h->ejected_fn(h->dev.machine, (unsigned)__builtin_ctz(slots));
}

void acpihp_connect(struct device *dev, struct device *pm,
		    void (*ejected)(struct machine *m, unsigned slot))
{
	struct acpihp *h = (struct acpihp *)dev;

	h->pm = pm;
	h->ejected_fn = ejected;
}

void acpihp_set_removable(struct device *dev, unsigned slot, bool on)
{
	struct acpihp *h = (struct acpihp *)dev;
	u32 bit = 1u << slot;

	lock(&dev->lock);
	h->removable = on ? h->removable | bit : h->removable & ~bit;
	h->down &= ~bit;
	h->ejected &= ~bit;
	unlock(&dev->lock);
}

static void note(struct acpihp *h, u32 *what, unsigned slot)
{
	lock(&h->dev.lock);
	*what |= 1u << slot;
	unlock(&h->dev.lock);
	acpipm_raise_gpe(h->pm, ACPIHP_GPE);
}

void acpihp_changed(struct device *dev, unsigned slot)
{
	struct acpihp *h = (struct acpihp *)dev;

	note(h, &h->up, slot);
}

void acpihp_request(struct device *dev, unsigned slot)
{
	struct acpihp *h = (struct acpihp *)dev;

	note(h, &h->down, slot);
}

static int acpihp_realize(struct device *dev, struct err *e)
{
	struct acpihp *h = (struct acpihp *)dev;

	h->task = (struct task){.fn = serve_ejected};
	return isa_map(dev, &h->io, IOBASE, PORTS, &hp_io, h, e);
}

static void acpihp_unrealize(struct device *dev)
{
	struct acpihp *h = (struct acpihp *)dev;

	isa_unmap(dev, &h->io);
	loop_cancel(dev->machine->loop, &h->task);
}

/* What is in the slots stays there. */
static void acpihp_reset(struct device *dev)
{
	struct acpihp *h = (struct acpihp *)dev;

	h->up = h->down = h->ejected = 0;
}

static const struct param acpihp_params[] = {
	{0},
};

static const struct state_field acpihp_state[] = {
	STATE_FIELD(struct acpihp, up, STATE_INT),
	STATE_FIELD(struct acpihp, down, STATE_INT),
	STATE_FIELD(struct acpihp, removable, STATE_INT),
	{0},
};

const struct device_type acpihp_type = {
	.name = "acpi-pcihp",
	.doc = "hotplug of PCI slots through ACPI",
	.size = sizeof(struct acpihp),
	.version = 1,
	.params = acpihp_params,
	.state = acpihp_state,
	.realize = acpihp_realize,
	.unrealize = acpihp_unrealize,
	.reset = acpihp_reset,
};
