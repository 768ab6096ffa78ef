/* SPDX-License-Identifier: MIT */
/*
 * msix.c - MSI-X: the vector table, masks and pending bits of a PCI function.
 *
 *   offset       size  reset  what
 *   16 * v       8     0      address of vector v's message
 *   16 * v + 8   4     0      its data
 *   16 * v + 12  4     1      bit 0: masked
 *   MSIX_PBA     8     0      pending bits of 64 vectors each, read-only
 *
 * A message that a function may not send because it is not a bus master is lost.
 */
#include "dev/pci/msix.h"

#include <errno.h>

#include "sundog/err.h"

enum { CAP_ID = 0x11, CAP_LEN = 12, CAP_CONTROL = 2, CAP_TABLE = 4, CAP_PBA = 8 };
enum { CTL_ON = 0x8000, CTL_MASK = 0x4000 };
enum { ENTRY_SIZE = 16, ENTRY_DATA = 8, ENTRY_CONTROL = 12, ENTRY_MASKED = 1 };

int msix_init(struct msix *x, struct pci_dev *p, unsigned nr, unsigned bar, u32 at, struct err *e)
{
	u8 *c;

	x->pci = p;
	x->nr = (u16)nr;
	x->cap = pci_add_cap(p, CAP_ID, CAP_LEN);
	if (!x->cap)
		return err_set(e, -EINVAL, "%s: no room for MSI-X", p->dev.id);
	c = p->config + x->cap;
	st_le16(c + CAP_CONTROL, (u16)(nr - 1));
	st_le32(c + CAP_TABLE, at | bar);
	st_le32(c + CAP_PBA, (at + MSIX_PBA) | bar);
	st_le16(p->writable + x->cap + CAP_CONTROL, CTL_ON | CTL_MASK);
	msix_reset(x);
	return 0;
}

static u16 control(const struct msix *x)
{
	return ld_le16(x->pci->config + x->cap + CAP_CONTROL);
}

bool msix_is_on(const struct msix *x)
{
	return control(x) & CTL_ON;
}

void msix_reset(struct msix *x)
{
	st_le16(x->pci->config + x->cap + CAP_CONTROL, (u16)(x->nr - 1));
	memset(x->table, 0, sizeof(x->table));
	memset(x->pending, 0, sizeof(x->pending));
	for (unsigned v = 0; v < x->nr; v++)
		x->table[v * ENTRY_SIZE + ENTRY_CONTROL] = ENTRY_MASKED;
}

static void set_pending(struct msix *x, unsigned v, bool on)
{
	u64 bit = 1ull << (v & 63);

	x->pending[v / 64] = on ? x->pending[v / 64] | bit : x->pending[v / 64] & ~bit;
}

void msix_send(struct msix *x, unsigned v)
{
	const u8 *entry;
	u16 ctl = control(x);

	if (v >= x->nr || !(ctl & CTL_ON))
		return;
	entry = x->table + v * ENTRY_SIZE;
	if (ctl & CTL_MASK || entry[ENTRY_CONTROL] & ENTRY_MASKED) {
		set_pending(x, v, true);
		return;
	}
	set_pending(x, v, false);
	pci_send_msi(x->pci, &(struct msi_msg){ld_le64(entry), ld_le32(entry + ENTRY_DATA)});
}

/* A mask has gone, perhaps: send what it held back. */
static void send_pending(struct msix *x)
{
	for (unsigned i = 0; i < ARRAY_SIZE(x->pending); i++) {
		for (u64 left = x->pending[i]; left; left &= left - 1)
			msix_send(x, i * 64 + (unsigned)__builtin_ctzll(left));
	}
}

void msix_config_written(struct msix *x)
{
	send_pending(x);
}

u64 msix_read(void *opaque, u64 off, unsigned size)
{
	const struct msix *x = opaque;
	u64 val;

	if (range_fits(off, size, x->nr * ENTRY_SIZE))
		return size == 8 ? ld_le64(x->table + off) : ld_le32(x->table + off);
	if (off < MSIX_PBA || !range_fits(off - MSIX_PBA, size, sizeof(x->pending)))
		return 0;
	val = x->pending[(off - MSIX_PBA) / 8];
	return off & 4 ? val >> 32 : val;
}

void msix_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct msix *x = opaque;

	if (!range_fits(off, size, x->nr * ENTRY_SIZE))
		return;
	for (unsigned i = 0; i < size; i += 4) {
		u32 word = (u32)(val >> 8 * i);

		if ((off + i) % ENTRY_SIZE == ENTRY_CONTROL)
			word &= ENTRY_MASKED;
		st_le32(x->table + off + i, word);
	}
	send_pending(x);
}

const struct io_ops msix_io = {
	.read = msix_read,
	.write = msix_write,
	.sizes = IO_32 | IO_64,
};

const struct state_field msix_state[] = {
	STATE_FIELD(struct msix, table, STATE_BLOB),
	{"pending", STATE_ARRAY, offsetof(struct msix, pending), 8, 1, NULL, MSIX_MAX / 64},
	{0},
};
