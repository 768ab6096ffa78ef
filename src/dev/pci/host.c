/* SPDX-License-Identifier: MIT */
/*
 * host.c - the PCI host bridge (as QEMU's q35-pcihost), with the reset control register.
 *
 * Source: PCI Local Bus Specification 3.0, "Configuration Mechanism #1"; PCI Express Base
 * Specification, "Enhanced Configuration Access Mechanism"; Intel 82Q35 data sheet (ids);
 * ICH9 data sheet, "Reset Control Register".
 *
 *   port   size     reset  what
 *   0xcf8  4        0      configuration address: enable, bus, device, function, register
 *   0xcf9  1        0      reset control: bit 1 the kind, bit 2 going to 1 resets
 *   0xcfc  1, 2, 4         configuration data
 *   MMIO   1, 2, 4         ECAM: 4 KiB a function, 1 MiB a bus
 *
 * Function 00.0 is 8086:29c0.  Only bus 0 exists, and 256 bytes a function; the rest of its
 * 4 KiB reads zero.  Not modelled: moving ECAM (PCIEXBAR reads where it is), PAM, SMRAM.
 */
#include "dev/pci/host.h"

#include <errno.h>
#include <stdatomic.h>

#include "dev/isa.h"
#include "dev/pci/pci.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { CONF_PORT = 0xcf8, CONF_PORTS = 8, ADDR_REG = 0, RESET_REG = 1, DATA_REG = 4 };
enum { RESET_CPU = 4, RESET_KEPT = 0x0a, PCIEXBAR = 0x60, PCI_GSI = 16 };
#define CONF_ENABLE 0x80000000u
#define ECAM_SIZE (256ull << 20)

struct pci_host {
	struct pci_dev pci; /* function 00.0 */
	struct region ports, ecam;
	struct pci_bus *bus;
	u64 ecam_base;		  /* option */
	_Atomic u32 conf_address; /* these two have no lock: the bridge decodes unlocked */
	_Atomic u8 reset_control;
};

struct pci_bus *pci_host_bus(struct device *dev)
{
	return ((struct pci_host *)dev)->bus;
}

static u64 ports_read(void *opaque, u64 off, unsigned size)
{
	struct pci_host *h = opaque;
	u32 addr = atomic_load(&h->conf_address);

	if (off == ADDR_REG && size == 4)
		return addr;
	if (off == RESET_REG && size == 1)
		return atomic_load(&h->reset_control);
	if (off < DATA_REG)
		return 0;
	if (!(addr & CONF_ENABLE) || addr >> 16 & 0xff)
		return ~0ull;
	return pci_config_read(h->bus, (u8)(addr >> 8), (addr & 0xfc) | (off & 3), size);
}

static void ports_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pci_host *h = opaque;
	u32 addr = atomic_load(&h->conf_address);

	if (off == ADDR_REG && size == 4) {
		atomic_store(&h->conf_address, (u32)val & 0x80fffffc);
	} else if (off == RESET_REG && size == 1) {
		atomic_store(&h->reset_control, (u8)val & RESET_KEPT);
		if (val & RESET_CPU)
			machine_request_reset(h->pci.dev.machine);
	} else if (off >= DATA_REG && addr & CONF_ENABLE && !(addr >> 16 & 0xff)) {
		pci_config_write(h->bus, (u8)(addr >> 8), (addr & 0xfc) | (off & 3), (u32)val,
				 size);
	}
}

static const struct io_ops ports_io = {
	.read = ports_read,
	.write = ports_write,
	.sizes = IO_8 | IO_16 | IO_32,
};

static u64 ecam_read(void *opaque, u64 off, unsigned size)
{
	struct pci_host *h = opaque;

	if (off >> 20)
		return ~0ull;
	return pci_config_read(h->bus, (u8)(off >> 12), off & 0xfff, size);
}

static void ecam_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct pci_host *h = opaque;

	if (!(off >> 20))
		pci_config_write(h->bus, (u8)(off >> 12), off & 0xfff, (u32)val, size);
}

static const struct io_ops ecam_io = {
	.read = ecam_read,
	.write = ecam_write,
	.sizes = IO_8 | IO_16 | IO_32,
};

static int map_registers(struct pci_host *h, struct err *e)
{
	struct device *dev = &h->pci.dev;
	struct addrspace *mem = dev->machine->mem;
	int rc;

	h->ecam = (struct region){
		.name = "pci-ecam",
		.base = h->ecam_base,
		.size = ECAM_SIZE,
		.kind = REGION_IO,
		.ops = &ecam_io,
		.opaque = h,
	};
	/* The ports first: where there is a bridge already, nobody ever sees a second one's bus. */
	rc = isa_map_unlocked(dev, &h->ports, CONF_PORT, CONF_PORTS, &ports_io, h, e);
	if (rc)
		return rc;
	rc = as_map(mem, &h->ecam);
	if (rc) {
		isa_unmap(dev, &h->ports);
		return err_set(e, rc, "%s: cannot map the configuration space at 0x%llx", dev->id,
			       (unsigned long long)h->ecam_base);
	}
	return 0;
}

static int host_realize(struct device *dev, struct err *e)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086,
		.device = 0x29c0,
		.subvendor = 0x1af4,
		.subdevice = 0x1100,
		.class_code = 0x060000,
		.revision = 2,
	};
	struct pci_host *h = (struct pci_host *)dev;
	struct machine *m = dev->machine;
	struct irq_line intx[4];
	int rc;

	for (unsigned i = 0; i < 4; i++)
		intx[i] = m->board->irq(m, PCI_GSI + i);
	h->bus = pci_bus_new(m, intx);
	if (!h->bus)
		return err_set(e, -ENOMEM, "out of memory");
	pci_init(&h->pci, &ids);
	st_le64(h->pci.config + PCIEXBAR, h->ecam_base | 1);
	h->pci.bus = h->bus;
	rc = pci_attach(&h->pci, 0, e);
	if (rc == 0)
		rc = map_registers(h, e);
	if (rc)
		pci_bus_free(h->bus);
	return rc;
}

static void host_unrealize(struct device *dev)
{
	struct pci_host *h = (struct pci_host *)dev;

	isa_unmap(dev, &h->ports);
	as_unmap(dev->machine->mem, &h->ecam);
	pci_bus_free(h->bus);
}

static void host_reset(struct device *dev)
{
	struct pci_host *h = (struct pci_host *)dev;

	pci_reset(&h->pci);
	atomic_store(&h->conf_address, 0);
	atomic_store(&h->reset_control, 0);
}

static int host_post_load(struct device *dev, struct err *e)
{
	pci_post_load(&((struct pci_host *)dev)->pci);
	return 0;
}

static const struct param host_params[] = {
	{"ecam", PARAM_SIZE, offsetof(struct pci_host, ecam_base), "0xb0000000",
	 "address of the memory-mapped configuration space"},
	{0},
};

static const struct state_field host_state[] = {
	STATE_FIELD(struct pci_host, pci.config, STATE_BLOB),
	STATE_FIELD(struct pci_host, conf_address, STATE_INT),
	STATE_FIELD(struct pci_host, reset_control, STATE_INT),
	{0},
};

const struct device_type pci_host_type = {
	.name = "q35-pcihost",
	.doc = "PCI Express host bridge",
	.size = sizeof(struct pci_host),
	.version = 1,
	.params = host_params,
	.state = host_state,
	.realize = host_realize,
	.unrealize = host_unrealize,
	.reset = host_reset,
	.post_load = host_post_load,
};
