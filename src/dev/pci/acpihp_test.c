/* SPDX-License-Identifier: MIT */
/* acpihp_test.c - slots that are announced, asked back and ejected; functions that come and go. */
#include "dev/testbed.h"

#include "dev/misc/acpipm.h"
#include "dev/pci/acpihp.h"
#include "dev/pci/host.h"
#include "dev/pci/pci.h"

enum { UP = 0xae00, DOWN = 0xae04, EJECT = 0xae08, REMOVABLE = 0xae0c, GPE_STS = 0x620 };

static u64 toy_read(void *opaque, u64 off, unsigned size)
{
	return 0x42;
}

static void toy_write(void *opaque, u64 off, u64 val, unsigned size)
{
}

static const struct io_ops toy_io = {toy_read, toy_write, IO_32};

static int toy_realize(struct device *dev, struct err *e)
{
	static const struct pci_ids ids = {0x1234, 0x5678, 0x1af4, 0x1100, 0xff0000, 1, 1};
	struct pci_dev *p = (struct pci_dev *)dev;

	pci_init(p, &ids);
	pci_add_bar(p, 0, 0x1000, 0, &toy_io, p);
	return pci_attach(p, -1, e);
}

static void toy_unrealize(struct device *dev)
{
	pci_detach((struct pci_dev *)dev);
}

static void toy_reset(struct device *dev)
{
	pci_reset((struct pci_dev *)dev);
}

static const struct param no_params[] = {{0}};
static const struct state_field no_state[] = {{0}};

static const struct device_type toy_type = {
	.name = "toy",
	.size = sizeof(struct pci_dev),
	.version = 1,
	.params = no_params,
	.state = no_state,
	.realize = toy_realize,
	.unrealize = toy_unrealize,
	.reset = toy_reset,
};

const struct device_type *const device_types[] = {&pci_host_type, &acpipm_type, &acpihp_type,
						  &toy_type, NULL};

static struct machine *m;
static unsigned nr_ejected, last_ejected;

static void ejected(struct machine *machine, unsigned slot)
{
	CHECK(machine == m);
	nr_ejected++;
	last_ejected = slot;
}

static u32 in(u16 port)
{
	return (u32)as_load(m->pio, port, 4);
}

static void out(u16 port, u32 val)
{
	as_store(m->pio, port, val, 4);
}

static void test_registers(struct device *hp)
{
	out(GPE_STS + 4, 1 << ACPIHP_GPE);
	CHECK(!tb.level[9]);
	acpihp_changed(hp, 5);
	CHECK(tb.level[9] && in(GPE_STS) == 1 << ACPIHP_GPE);
	out(GPE_STS, 1 << ACPIHP_GPE);
	CHECK(!tb.level[9] && in(UP) == 1 << 5 && in(UP) == 0 && in(DOWN) == 0);
	acpihp_set_removable(hp, 5, true);
	CHECK(in(REMOVABLE) == 1 << 5);
	acpihp_request(hp, 5);
	CHECK(tb.level[9] && in(DOWN) == 1 << 5 && in(DOWN) == 0);

	/* On the loop, and only what may go. */
	out(EJECT, 1 << 5 | 1 << 6);
	CHECK(nr_ejected == 0 && in(EJECT) == 0);
	loop_step(m->loop);
	CHECK(nr_ejected == 1 && last_ejected == 5);
	acpihp_set_removable(hp, 5, false);
	out(EJECT, 0xffffffff);
	loop_step(m->loop);
	CHECK(nr_ejected == 1 && in(REMOVABLE) == 0);
}

/* More often than there are inputs for interrupts, and slots. */
static void test_often(void)
{
	for (unsigned i = 0; i < 200; i++) {
		struct device *dev = tb_add(m, "toy");
		struct pci_dev *p = (struct pci_dev *)dev;

		CHECK(p->devfn == 1 << 3 && p->intx.set && pci_in_slot(p->bus, 1) == dev);
		as_store(m->mem, 0xb0008010, 0xc0000000, 4);
		as_store(m->mem, 0xb0008004, 2, 2);
		CHECK(as_load(m->mem, 0xc0000000, 4) == 0x42);
		lock(&dev->lock);
		pci_set_intx(p, true);
		unlock(&dev->lock);
		CHECK(tb.level[17]);
		device_del(dev);
		CHECK(!tb.level[17] && as_load(m->mem, 0xc0000000, 4) == 0xffffffff);
		CHECK(as_load(m->mem, 0xb0008000, 4) == 0xffffffff);
	}
}

int main(void)
{
	struct device *pm, *hp;

	m = tb_new();
	pm = tb_add(m, "acpi-pm");
	hp = tb_add(m, "acpi-pcihp");
	tb_add(m, "q35-pcihost");
	acpihp_connect(hp, pm, ejected);
	test_registers(hp);
	test_often();
	tb_free(m);
	return 0;
}
