/* SPDX-License-Identifier: MIT */
/* pci_fuzz.c - the host bridge, and functions whose BARs the input throws around. */
#include "fuzz/fuzz_testbed.h"

#include "dev/pci/host.h"
#include "dev/pci/pci.h"

static u64 toy_read(void *opaque, u64 off, unsigned size)
{
	return off;
}

static void toy_write(void *opaque, u64 off, u64 val, unsigned size)
{
}

static const struct io_ops toy_io = {toy_read, toy_write, IO_8 | IO_32};

static int toy_realize(struct device *dev, struct err *e)
{
	static const struct pci_ids ids = {0x1234, 0x5678, 0x1af4, 0x1100, 0xff0000, 1, 1};
	struct pci_dev *p = (struct pci_dev *)dev;

	pci_init(p, &ids);
	pci_add_bar(p, 0, 0x1000, 0, &toy_io, p);
	pci_add_bar(p, 1, 0x20, PCI_BAR_IO, &toy_io, p);
	pci_add_bar(p, 2, 1ull << 33, PCI_BAR_64 | PCI_BAR_PREFETCH, &toy_io, p);
	pci_add_bar(p, 4, 1u << 31, 0, &toy_io, p);
	CHECK(pci_add_cap(p, 0x11, 12));
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

const struct device_type *const device_types[] = {&pci_host_type, &toy_type, NULL};

static void extra(struct input *in)
{
	struct machine *m = &tb_machine;
	static const u8 regs[] = {4, 0x10, 0x14, 0x18, 0x1c, 0x20};
	u8 what = (u8)input_take(in, 1);
	u64 addr = 0xb0000000 + ((1 + (what & 1)) << 15) + regs[(what >> 1) % ARRAY_SIZE(regs)];

	as_store(m->mem, addr, input_take(in, 4), 4);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const specs[] = {"q35-pcihost", "toy", "toy", NULL};
	static const struct fuzz_range ranges[] = {
		{0xcf8, 8, false},
		{0xb0000000, 3 << 15, true},
		{0xb0008000, 0x40, true},
		{0xc0000000, 0x10000, true},
	};

	fuzz_run(fuzz_machine(specs), data, size, ranges, ARRAY_SIZE(ranges), extra);
	return 0;
}
