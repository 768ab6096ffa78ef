/* SPDX-License-Identifier: MIT */
/*
 * pci.c - configuration registers, BARs and INTx of PCI functions.
 *
 * Locks: a configuration access holds the lock of the function it is for and no other.  Where
 * a BAR wants to be is published as an atomic; the mapping itself is done under the address
 * space's update lock, which orders those who do it at the same time: each looks at all
 * functions, so the last one leaves what the registers say.
 */
#include "dev/pci/pci.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "dev/pci/host.h"
#include "sundog/err.h"
#include "sundog/machine.h"

#define NOWHERE (~0ull)

struct pci_bus {
	struct machine *machine;
	struct pci_dev *_Atomic func[PCI_NR_FUNCS];
	struct irq_or intx[4];
	u64 intx_used[4]; /* inputs of the OR gates; one thread attaches and detaches */
};

struct pci_bus *pci_bus_new(struct machine *m, const struct irq_line intx[4])
{
	struct pci_bus *bus = calloc(1, sizeof(*bus));

	if (!bus)
		return NULL;
	bus->machine = m;
	for (unsigned i = 0; i < 4; i++)
		irq_or_init(&bus->intx[i], intx[i]);
	return bus;
}

void pci_bus_free(struct pci_bus *bus)
{
	free(bus);
}

void pci_init(struct pci_dev *p, const struct pci_ids *ids)
{
	u8 *c = p->config;

	memset(c, 0, sizeof(p->config));
	memset(p->writable, 0, sizeof(p->writable));
	memset(p->clears, 0, sizeof(p->clears));
	st_le16(c + PCI_VENDOR, ids->vendor);
	st_le16(c + PCI_DEVICE, ids->device);
	st_le16(c + PCI_SUBVENDOR, ids->subvendor);
	st_le16(c + PCI_SUBDEVICE, ids->subdevice);
	c[PCI_REVISION] = ids->revision;
	c[PCI_CLASS] = (u8)ids->class_code;
	st_le16(c + PCI_CLASS + 1, (u16)(ids->class_code >> 8));
	c[PCI_INT_PIN] = ids->pin;
	p->writable[PCI_INT_LINE] = 0xff;
	st_le16(p->writable + PCI_COMMAND,
		PCI_CMD_IO | PCI_CMD_MEM | PCI_CMD_MASTER | (ids->pin ? PCI_CMD_INTX_OFF : 0));
	st_le16(p->clears + PCI_STATUS, 0xf900);
	p->next_cap = PCI_FIRST_CAP;
}

void pci_add_bar(struct pci_dev *p, unsigned n, u64 size, u8 flags, const struct io_ops *ops,
		 void *opaque)
{
	unsigned at = PCI_BAR0 + 4 * n;
	u64 mask = ~(size - 1);

	p->bar[n].size = size;
	p->bar[n].flags = flags;
	p->bar[n].ops = ops;
	p->bar[n].opaque = opaque;
	atomic_init(&p->bar[n].wanted, NOWHERE);
	p->config[at] = flags;
	st_le32(p->writable + at, (u32)mask & (flags & PCI_BAR_IO ? ~3u : ~15u));
	if (flags & PCI_BAR_64)
		st_le32(p->writable + at + 4, (u32)(mask >> 32));
}

u8 pci_add_cap(struct pci_dev *p, u8 id, u8 len)
{
	unsigned at = p->next_cap, size = (len + 3u) & ~3u;
	u8 *link = &p->config[PCI_CAP_PTR];

	if (at < PCI_FIRST_CAP || !range_fits(at, size, PCI_CONFIG_SIZE))
		return 0;
	while (*link)
		link = &p->config[*link + 1];
	*link = (u8)at;
	p->config[at] = id;
	p->config[PCI_STATUS] |= PCI_STS_CAPS;
	p->next_cap = (u8)(at + size); /* 0 once it is full */
	return (u8)at;
}

/* Where the registers put BAR n. */
static u64 bar_address(const struct pci_dev *p, unsigned n)
{
	const struct pci_bar *bar = &p->bar[n];
	unsigned at = PCI_BAR0 + 4 * n;
	u8 need = bar->flags & PCI_BAR_IO ? PCI_CMD_IO : PCI_CMD_MEM;
	u64 addr = ld_le32(p->config + at) & (bar->flags & PCI_BAR_IO ? ~3u : ~15u);

	if (!bar->size || !(p->config[PCI_COMMAND] & need))
		return NOWHERE;
	if (bar->flags & PCI_BAR_64)
		addr |= (u64)ld_le32(p->config + at + 4) << 32;
	/* Zero is how a BAR says that it was never set. */
	return addr && range_fits(addr, bar->size, UINT64_MAX) ? addr : NOWHERE;
}

static struct addrspace *bar_space(const struct pci_bus *bus, const struct pci_bar *bar)
{
	return bar->flags & PCI_BAR_IO ? bus->machine->pio : bus->machine->mem;
}

/* Is there a BAR before this one, in order of function and number, on the same addresses? */
static bool is_covered(struct pci_bus *bus, const struct pci_bar *bar, u64 addr)
{
	for (unsigned f = 0; f < PCI_NR_FUNCS; f++) {
		struct pci_dev *p = atomic_load(&bus->func[f]);

		for (unsigned n = 0; p && n < PCI_NR_BARS; n++) {
			struct pci_bar *other = &p->bar[n];
			u64 at = atomic_load(&other->wanted);

			if (other == bar)
				return false;
			if (at != NOWHERE && bar_space(bus, other) == bar_space(bus, bar) &&
			    at < addr + bar->size && addr < at + other->size)
				return true;
		}
	}
	return false;
}

static void unmap_moved(struct addrspace *as, struct pci_bus *bus, struct pci_bar *bar)
{
	u64 addr = atomic_load(&bar->wanted);

	/* The other space's BARs are under its own lock. */
	if (bar_space(bus, bar) != as || !bar->mapped)
		return;
	if (addr == bar->region.base && !is_covered(bus, bar, addr))
		return;
	as_unmap(as, &bar->region);
	bar->mapped = false;
}

static void map_wanted(struct addrspace *as, struct pci_bus *bus, struct pci_dev *p,
		       struct pci_bar *bar)
{
	u64 addr = atomic_load(&bar->wanted);

	if (bar_space(bus, bar) != as || bar->mapped || addr == NOWHERE)
		return;
	bar->region = (struct region){
		.name = p->dev.id,
		.base = addr,
		.size = bar->size,
		.kind = REGION_IO,
		.ops = bar->ops,
		.opaque = bar->opaque,
		.owner = &p->dev,
	};
	bar->mapped = !is_covered(bus, bar, addr) && as_map(as, &bar->region) == 0;
	if (!bar->mapped)
		guest_error(&p->dev, "a BAR lies on something else");
}

static void remap_space(struct pci_bus *bus, struct addrspace *as)
{
	as_begin(as);
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned f = 0; f < PCI_NR_FUNCS; f++) {
			struct pci_dev *p = atomic_load(&bus->func[f]);

			for (unsigned n = 0; p && n < PCI_NR_BARS; n++) {
				if (!p->bar[n].size)
					continue;
				if (pass == 0)
					unmap_moved(as, bus, &p->bar[n]);
				else
					map_wanted(as, bus, p, &p->bar[n]);
			}
		}
	}
	as_commit(as);
}

/* This function's registers have changed: publish what it wants, then map anew. */
static void update_bars(struct pci_dev *p)
{
	bool changed = false;

	for (unsigned n = 0; n < PCI_NR_BARS; n++) {
		u64 addr = bar_address(p, n);

		if (atomic_exchange(&p->bar[n].wanted, addr) != addr)
			changed = true;
	}
	if (!changed || !p->bus)
		return;
	remap_space(p->bus, p->bus->machine->mem);
	remap_space(p->bus, p->bus->machine->pio);
}

static void update_intx(struct pci_dev *p)
{
	bool off = p->config[PCI_COMMAND + 1] & (PCI_CMD_INTX_OFF >> 8);

	irq_set(&p->intx, p->intx_level && !off);
}

void pci_set_intx(struct pci_dev *p, bool level)
{
	p->intx_level = level;
	if (level)
		p->config[PCI_STATUS] |= PCI_STS_INTX;
	else
		p->config[PCI_STATUS] &= ~PCI_STS_INTX;
	update_intx(p);
}

void pci_send_msi(struct pci_dev *p, const struct msi_msg *msg)
{
	struct machine *m = p->dev.machine;

	if (pci_is_master(p))
		m->board->msi(m, msg);
}

static int find_slot(struct pci_bus *bus, struct err *e)
{
	for (unsigned slot = 1; slot < PCI_NR_FUNCS / 8; slot++)
		if (!atomic_load(&bus->func[slot * 8]))
			return (int)slot * 8;
	return err_set(e, -EINVAL, "all 31 PCI slots are taken");
}

/* Which of the bus's four its pin goes to; it has one. */
static unsigned intx_wire(const struct pci_dev *p)
{
	return (p->devfn / 8u + p->config[PCI_INT_PIN] - 1u) & 3;
}

int pci_attach(struct pci_dev *p, int devfn, struct err *e)
{
	struct pci_bus *bus = p->bus ? p->bus : pci_root(p->dev.machine);
	unsigned pin = p->config[PCI_INT_PIN];

	if (!bus)
		return err_set(e, -EINVAL, "%s: the board has no PCI bus", p->dev.id);
	if (devfn < 0)
		devfn = find_slot(bus, e);
	if (devfn < 0)
		return devfn;
	if (devfn >= PCI_NR_FUNCS || atomic_load(&bus->func[devfn]))
		return err_set(e, -EINVAL, "%s: PCI address %x.%x is taken or does not exist",
			       p->dev.id, devfn >> 3, devfn & 7);
	p->bus = bus;
	p->devfn = (u8)devfn;
	if (pin) {
		unsigned wire = intx_wire(p);
		u64 left = ~bus->intx_used[wire];
		unsigned input;

		if (!left)
			return err_set(e, -EINVAL, "%s: no input is left for its interrupt",
				       p->dev.id);
		input = (unsigned)__builtin_ctzll(left);
		bus->intx_used[wire] |= 1ull << input;
		p->intx = irq_or_input(&bus->intx[wire], input);
	}
	atomic_store(&bus->func[devfn], p);
	return 0;
}

/*
 * Off the bus first: whoever computes the mappings now finds it no more, and who had found it
 * before has the address space's update lock, for which unmapping waits.
 */
static void unmap_own(struct pci_dev *p, struct addrspace *as)
{
	as_begin(as);
	for (unsigned n = 0; n < PCI_NR_BARS; n++) {
		struct pci_bar *bar = &p->bar[n];

		if (!bar->mapped || bar_space(p->bus, bar) != as)
			continue;
		as_unmap(as, &bar->region);
		bar->mapped = false;
	}
	as_commit(as);
}

void pci_detach(struct pci_dev *p)
{
	struct pci_bus *bus = p->bus;

	if (!bus)
		return;
	lock(&p->dev.lock);
	atomic_store(&bus->func[p->devfn], NULL);
	unmap_own(p, bus->machine->mem);
	unmap_own(p, bus->machine->pio);
	pci_reset(p); /* lets go of its interrupt, and others may take its place */
	if (p->intx.set)
		bus->intx_used[intx_wire(p)] &= ~(1ull << p->intx.pin);
	p->intx = (struct irq_line){0};
	p->bus = NULL;
	unlock(&p->dev.lock);
}

struct device *pci_in_slot(struct pci_bus *bus, unsigned slot)
{
	struct pci_dev *p = slot < PCI_NR_FUNCS / 8 ? atomic_load(&bus->func[slot * 8]) : NULL;

	return p ? &p->dev : NULL;
}

void pci_reset(struct pci_dev *p)
{
	p->config[PCI_COMMAND] = p->config[PCI_COMMAND + 1] = 0;
	p->config[PCI_INT_LINE] = 0;
	for (unsigned n = 0; n < PCI_NR_BARS; n++) {
		u8 *reg = p->config + PCI_BAR0 + 4 * n;

		if (p->bar[n].size && p->bar[n].flags & PCI_BAR_64)
			st_le32(reg + 4, 0);
		if (p->bar[n].size)
			st_le32(reg, p->bar[n].flags);
	}
	pci_set_intx(p, false);
	update_bars(p);
}

void pci_post_load(struct pci_dev *p)
{
	p->intx_level = p->config[PCI_STATUS] & PCI_STS_INTX;
	update_intx(p);
	update_bars(p);
}

static u32 all_ones(unsigned size)
{
	return size == 4 ? 0xffffffff : (1u << 8 * size) - 1;
}

u32 pci_config_read(struct pci_bus *bus, u8 devfn, unsigned off, unsigned size)
{
	struct pci_dev *p = atomic_load(&bus->func[devfn]);
	u32 val = 0;

	if (!p)
		return all_ones(size);
	if (!range_fits(off, size, PCI_CONFIG_SIZE))
		return 0; /* no extended capabilities */
	lock(&p->dev.lock);
	if (p->config_reads)
		p->config_reads(p, off, size);
	for (unsigned i = 0; i < size; i++)
		val |= (u32)p->config[off + i] << 8 * i;
	unlock(&p->dev.lock);
	return val;
}

void pci_config_write(struct pci_bus *bus, u8 devfn, unsigned off, u32 val, unsigned size)
{
	struct pci_dev *p = atomic_load(&bus->func[devfn]);

	if (!p || !range_fits(off, size, PCI_CONFIG_SIZE))
		return;
	lock(&p->dev.lock);
	for (unsigned i = 0; i < size; i++) {
		u8 byte = (u8)(val >> 8 * i), *reg = &p->config[off + i];

		*reg = (*reg & ~p->writable[off + i]) | (byte & p->writable[off + i]);
		*reg &= ~(byte & p->clears[off + i]);
	}
	update_intx(p);
	update_bars(p);
	if (p->config_written)
		p->config_written(p, off, size);
	unlock(&p->dev.lock);
}

struct pci_bus *pci_root(struct machine *m)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (d->type == &pci_host_type)
			return pci_host_bus(d);
	return NULL;
}
