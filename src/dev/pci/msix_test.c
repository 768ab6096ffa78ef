/* SPDX-License-Identifier: MIT */
/* msix_test.c - vectors sent, masked, pending and unmasked; the table's registers; state. */
#include "dev/testbed.h"

#include "dev/pci/host.h"
#include "dev/pci/msix.h"

#define ECAM 0xb0008000ull
#define BAR 0xc0000000ull

enum { NR = 70, CONTROL = 0x42 };

struct toy {
	struct pci_dev pci;
	struct msix msix;
};

static void toy_config_written(struct pci_dev *p, unsigned off, unsigned size)
{
	msix_config_written(&((struct toy *)p)->msix);
}

static int toy_realize(struct device *dev, struct err *e)
{
	static const struct pci_ids ids = {0x1234, 0x5678, 0x1af4, 0x1100, 0xff0000, 1, 1};
	struct toy *t = (struct toy *)dev;

	pci_init(&t->pci, &ids);
	t->pci.config_written = toy_config_written;
	pci_add_bar(&t->pci, 1, MSIX_SIZE, 0, &msix_io, &t->msix);
	CHECK(msix_init(&t->msix, &t->pci, NR, 1, 0, e) == 0);
	return pci_attach(&t->pci, -1, e);
}

static void toy_unrealize(struct device *dev)
{
	pci_detach((struct pci_dev *)dev);
}

static void toy_reset(struct device *dev)
{
	struct toy *t = (struct toy *)dev;

	pci_reset(&t->pci);
	msix_reset(&t->msix);
}

static int toy_post_load(struct device *dev, struct err *e)
{
	pci_post_load((struct pci_dev *)dev);
	return 0;
}

static const struct param toy_params[] = {{0}};

static const struct state_field toy_state[] = {
	STATE_FIELD(struct toy, pci.config, STATE_BLOB),
	{"msix", STATE_STRUCT, offsetof(struct toy, msix), sizeof(struct msix), 1, msix_state},
	{0},
};

static const struct device_type toy_type = {
	.name = "toy",
	.size = sizeof(struct toy),
	.version = 1,
	.params = toy_params,
	.state = toy_state,
	.realize = toy_realize,
	.unrealize = toy_unrealize,
	.reset = toy_reset,
	.post_load = toy_post_load,
};

const struct device_type *const device_types[] = {&pci_host_type, &toy_type, NULL};

static struct machine *m;

static void send(struct toy *t, unsigned v)
{
	lock(&t->pci.dev.lock);
	msix_send(&t->msix, v);
	unlock(&t->pci.dev.lock);
}

static void map_bar(void)
{
	as_store(m->mem, ECAM + 0x14, BAR, 4);
	as_store(m->mem, ECAM + 4, 6, 2);
}

static void test_registers(void)
{
	CHECK(as_load(m->mem, ECAM + 0x40, 2) == 0x11);
	CHECK(as_load(m->mem, ECAM + CONTROL, 2) == NR - 1);
	CHECK(as_load(m->mem, ECAM + 0x44, 4) == 1 && as_load(m->mem, ECAM + 0x48, 4) == 0x801);
	CHECK(as_load(m->mem, BAR + 12, 4) == 1 && as_load(m->mem, BAR + 16 * 69 + 12, 4) == 1);
	CHECK(as_load(m->mem, BAR + 16 * 70 + 12, 4) == 0);
	as_store(m->mem, BAR, 0x00000001fee00004, 8);
	as_store(m->mem, BAR + 8, 0xffffffff00004031, 8);
	CHECK(as_load(m->mem, BAR, 4) == 0xfee00004 && as_load(m->mem, BAR + 4, 4) == 1);
	CHECK(as_load(m->mem, BAR + 8, 8) == 0x100004031);
	as_store(m->mem, BAR + 4, 0, 4);
	as_store(m->mem, BAR + 16 * 70, ~0u, 4); /* behind the table */
	as_store(m->mem, BAR + MSIX_PBA, ~0ull, 8);
	CHECK(as_load(m->mem, BAR + 16 * 70, 4) == 0 && as_load(m->mem, BAR + MSIX_PBA, 8) == 0);
}

static void test_masks(struct toy *t)
{
	send(t, 0); /* off: neither sent nor pending */
	CHECK(tb.msis == 0 && as_load(m->mem, BAR + MSIX_PBA, 8) == 0);
	as_store(m->mem, ECAM + CONTROL, 0xffff, 2);
	CHECK(as_load(m->mem, ECAM + CONTROL, 2) == (0xc000 | (NR - 1)));
	as_store(m->mem, BAR + 16 * 69, 0xfee01000, 8);
	as_store(m->mem, BAR + 16 * 69 + 8, 0x55, 8); /* which unmasks it */
	send(t, 0);
	send(t, 69);
	send(t, NR);
	send(t, ~0u);
	CHECK(tb.msis == 0 && as_load(m->mem, BAR + MSIX_PBA, 8) == 1);
	CHECK(as_load(m->mem, BAR + MSIX_PBA + 8, 8) == 32 &&
	      as_load(m->mem, BAR + MSIX_PBA + 12, 4) == 0);
	as_store(m->mem, ECAM + CONTROL, 0x8000, 2); /* 69 goes out, 0 is masked itself */
	CHECK(tb.msis == 1 && tb.msi.addr == 0xfee01000 && tb.msi.data == 0x55);
	CHECK(as_load(m->mem, BAR + MSIX_PBA, 8) == 1);
	send(t, 0); /* twice pending is once sent */
	as_store(m->mem, BAR + 12, 0, 4);
	CHECK(tb.msis == 2 && tb.msi.addr == 0xfee00004 && tb.msi.data == 0x4031);
	CHECK(as_load(m->mem, BAR + MSIX_PBA, 8) == 0 &&
	      as_load(m->mem, BAR + MSIX_PBA + 8, 8) == 0);
	send(t, 0);
	CHECK(tb.msis == 3);
}

static void test_state(struct toy *t)
{
	struct buf b = {0};
	struct err e = {0};

	as_store(m->mem, BAR + 12, 1, 4);
	send(t, 0);
	CHECK(device_save(&t->pci.dev, &b) == 0);
	device_reset_all(m);
	map_bar();
	CHECK(as_load(m->mem, BAR + MSIX_PBA, 8) == 0 && !msix_is_on(&t->msix));
	CHECK(device_load(&t->pci.dev, &b, &e) == 0 && msix_is_on(&t->msix));
	CHECK(as_load(m->mem, BAR + MSIX_PBA, 8) == 1);
	as_store(m->mem, BAR + 12, 0, 4);
	CHECK(tb.msis == 4);
	buf_destroy(&b);
}

int main(void)
{
	struct toy *t;

	m = tb_new();
	tb_add(m, "q35-pcihost");
	t = (struct toy *)tb_add(m, "toy");
	map_bar();
	test_registers();
	test_masks(t);
	test_state(t);
	tb_free(m);
	return 0;
}
