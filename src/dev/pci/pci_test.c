/* SPDX-License-Identifier: MIT */
/* pci_test.c - configuration by both mechanisms, BARs that move and collide, INTx, reset. */
#include "dev/testbed.h"

#include "dev/pci/host.h"
#include "dev/pci/pci.h"

#define ECAM 0xb0000000ull

struct toy {
	struct pci_dev pci;
	u8 tag;
};

static struct machine *m;

static u64 toy_read(void *opaque, u64 off, unsigned size)
{
	return ((struct toy *)opaque)->tag;
}

static void toy_write(void *opaque, u64 off, u64 val, unsigned size)
{
}

static const struct io_ops toy_io = {toy_read, toy_write, IO_8};

static struct toy *toy_new(const struct device_type *type, u8 tag)
{
	static const struct pci_ids ids = {0x1234, 0x5678, 0x1af4, 0x1100, 0xff0000, 1, 1};
	struct toy *t = calloc(1, sizeof(*t));
	struct err e = {0};

	CHECK(t);
	t->pci.dev.machine = m;
	t->pci.dev.id = "toy";
	t->pci.dev.type = type;
	lock_init(&t->pci.dev.lock, LOCK_DEVICE, "toy");
	t->tag = tag;
	pci_init(&t->pci, &ids);
	pci_add_bar(&t->pci, 0, 0x1000, 0, &toy_io, t);
	pci_add_bar(&t->pci, 1, 0x20, PCI_BAR_IO, &toy_io, t);
	pci_add_bar(&t->pci, 2, 0x4000, PCI_BAR_64 | PCI_BAR_PREFETCH, &toy_io, t);
	CHECK(pci_add_cap(&t->pci, 0x09, 6) == 0x40 && pci_add_cap(&t->pci, 0x11, 12) == 0x48);
	CHECK(pci_attach(&t->pci, -1, &e) == 0);
	return t;
}

static void toy_free(struct toy *t)
{
	pci_detach(&t->pci);
	lock_destroy(&t->pci.dev.lock);
	free(t);
}

static u32 rd(unsigned slot, unsigned off)
{
	as_store(m->pio, 0xcf8, 0x80000000 | slot << 11 | (off & 0xfc), 4);
	return (u32)as_load(m->pio, 0xcfc, 4);
}

static void wr(unsigned slot, unsigned off, u32 val)
{
	as_store(m->mem, ECAM + (slot << 15) + off, val, 4);
}

static void test_host(void)
{
	CHECK(rd(0, 0) == 0x29c08086 && as_load(m->mem, ECAM, 4) == 0x29c08086);
	CHECK(rd(0, 8) >> 8 == 0x060000 && rd(0, 0x60) == ECAM + 1);
	CHECK(rd(5, 0) == 0xffffffff && as_load(m->mem, ECAM + (1 << 20), 4) == 0xffffffff);
	CHECK(as_load(m->mem, ECAM + 0x100, 4) == 0);
	as_store(m->pio, 0xcf8, 0x80000000, 4);
	CHECK(as_load(m->pio, 0xcfe, 2) == 0x29c0 && tb_in(m, 0xcfd) == 0x80);
	as_store(m->pio, 0xcf8, 0, 4);
	CHECK(as_load(m->pio, 0xcfc, 4) == 0xffffffff);
	tb_out(m, 0xcf9, 2);
	CHECK(tb.resets == 0 && tb_in(m, 0xcf9) == 2);
	tb_out(m, 0xcf9, 6);
	CHECK(tb.resets == 1);
}

static void test_registers(void)
{
	CHECK(rd(1, 0) == 0x56781234 && rd(1, 0x34) == 0x40 && rd(1, 4) >> 16 == 0x10);
	CHECK((rd(1, 0x40) & 0xffff) == 0x4809 && (rd(1, 0x48) & 0xffff) == 0x0011);
	wr(1, 0, 0xdeadbeef);
	CHECK(rd(1, 0) == 0x56781234);
	wr(1, 0x10, 0xffffffff);
	wr(1, 0x14, 0xffffffff);
	wr(1, 0x18, 0xffffffff);
	wr(1, 0x1c, 0xffffffff);
	CHECK(rd(1, 0x10) == 0xfffff000 && rd(1, 0x14) == 0xffffffe1);
	CHECK(rd(1, 0x18) == 0xffffc00c && rd(1, 0x1c) == 0xffffffff);
}

static void test_bars(void)
{
	wr(1, 0x10, 0xc0000000);
	wr(1, 0x14, 0xd000);
	wr(1, 0x18, 0);
	wr(1, 0x1c, 0x80);
	CHECK(as_load(m->mem, 0xc0000000, 1) == 0xff);
	wr(1, 4, 3);
	CHECK(as_load(m->mem, 0xc0000fff, 1) == 'a' && as_load(m->mem, 0xc0001000, 1) == 0xff);
	CHECK(tb_in(m, 0xd01f) == 'a' && as_load(m->mem, 0x8000003fff, 1) == 'a');
	wr(1, 0x10, 0xc0010000);
	CHECK(as_load(m->mem, 0xc0000000, 1) == 0xff && as_load(m->mem, 0xc0010000, 1) == 'a');

	/* The second function on the same place is left out until the first has gone. */
	wr(2, 0x10, 0xc0010000);
	wr(2, 4, 2);
	CHECK(as_load(m->mem, 0xc0010000, 1) == 'a');
	wr(1, 4, 0);
	CHECK(as_load(m->mem, 0xc0010000, 1) == 'b' && tb_in(m, 0xd000) == 0xff);
	wr(1, 4, 3); /* and the lower function wins again, whatever the order */
	CHECK(as_load(m->mem, 0xc0010000, 1) == 'a');
	wr(1, 4, 0);

	/* On RAM, and over the end of everything: left out. */
	wr(2, 0x10, 0x1000);
	CHECK(as_load(m->mem, 0x1000, 1) == 0 && as_load(m->mem, 0xc0010000, 1) == 0xff);
	wr(2, 0x18, 0xffffc000);
	wr(2, 0x1c, 0xffffffff);
	wr(2, 4, 0);
}

static void test_intx(struct toy *a, struct toy *b)
{
	lock(&a->pci.dev.lock);
	pci_set_intx(&a->pci, true); /* slot 1, INTA: wire 1 */
	unlock(&a->pci.dev.lock);
	CHECK(tb.level[17] && rd(1, 4) >> 16 & 8);
	wr(1, 4, 0x400);
	CHECK(!tb.level[17]);
	wr(1, 4, 0);
	CHECK(tb.level[17]);
	lock(&b->pci.dev.lock);
	pci_set_intx(&b->pci, true);
	unlock(&b->pci.dev.lock);
	CHECK(tb.level[18]);
	pci_send_msi(&a->pci, &(struct msi_msg){0xfee00000, 0x41});
	CHECK(tb.msis == 0);
	wr(1, 4, 4);
	pci_send_msi(&a->pci, &(struct msi_msg){0xfee00000, 0x41});
	CHECK(tb.msis == 1 && tb.msi.data == 0x41);
}

int main(void)
{
	struct device *host;
	struct toy *a, *b;

	m = tb_new();
	host = tb_add(m, "q35-pcihost");
	a = toy_new(host->type, 'a');
	b = toy_new(host->type, 'b');
	test_host();
	test_registers();
	test_bars();
	test_intx(a, b);
	toy_free(a);
	CHECK(!tb.level[17] && rd(1, 0) == 0xffffffff);
	toy_free(b);
	tb_free(m);
	return 0;
}
