/* SPDX-License-Identifier: MIT */
/*
 * fwcfg.c - QEMU's fw_cfg: named data for firmware and kernels.
 *
 * Source: QEMU, docs/specs/fw_cfg.
 *
 *   port   size  reset  what
 *   0x510  2     0      selector: which item; its offset starts at 0
 *   0x511  1            the item's next byte; zeros behind its end
 *   0x514  4     0      DMA address, high half, big-endian; reads "QEMU"
 *   0x518  4     0      the low half starts the DMA; reads " CFG"
 *
 * DMA runs while the low half is written.  Items cannot be written: a DMA write fails.
 */
#include "dev/misc/fwcfg.h"

#include <stdio.h>

#include "dev/isa.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { PORT = 0x510, PORTS = 12, SELECTOR = 0, DATA = 1, DMA_HIGH = 4, DMA_LOW = 8 };
enum { MAX_ITEMS = 48, MAX_FILES = 16, NAME_LEN = 56, DIR_ENTRY = 64, SELECT_MASK = 0x3fff };
enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };
enum { DMA_STRUCT = 16, CHUNK = 4096 };
#define DMA_SIGNATURE 0x51454d5520434647ull /* "QEMU CFG" */

struct item {
	u16 key;
	const u8 *data; /* NULL: own, or source's */
	const struct fwcfg_source *source;
	u64 len;
	u8 own[8];
};

struct fwcfg {
	struct device dev;
	struct region io;
	struct item items[MAX_ITEMS];
	unsigned nr_items;
	u8 dir[4 + MAX_FILES * DIR_ENTRY];
	unsigned nr_files;

	u16 selected;
	u64 offset; /* in the selected item */
	u64 dma;    /* address as written so far */
};

static struct item *find(struct fwcfg *f, u16 key)
{
	for (unsigned i = 0; i < f->nr_items; i++)
		if (f->items[i].key == key)
			return &f->items[i];
	return NULL;
}

static struct item *new_item(struct fwcfg *f, u16 key)
{
	struct item *it = find(f, key);

	if (!it && f->nr_items < MAX_ITEMS)
		it = &f->items[f->nr_items++];
	if (it)
		*it = (struct item){.key = key};
	return it;
}

bool fwcfg_add(struct device *dev, u16 key, const void *data, u64 len)
{
	struct item *it = new_item(container_of(dev, struct fwcfg, dev), key);

	if (!it)
		return false;
	it->data = data;
	it->len = len;
	return true;
}

bool fwcfg_add_source(struct device *dev, u16 key, const struct fwcfg_source *s, u64 len)
{
	struct item *it = new_item(container_of(dev, struct fwcfg, dev), key);

	if (!it)
		return false;
	it->source = s;
	it->len = len;
	return true;
}

bool fwcfg_add_int(struct device *dev, u16 key, u64 val, unsigned size)
{
	struct item *it = new_item(container_of(dev, struct fwcfg, dev), key);

	if (!it)
		return false;
	st_le64(it->own, val);
	it->len = size;
	return true;
}

bool fwcfg_add_file(struct device *dev, const char *name, const void *data, u64 len)
{
	struct fwcfg *f = container_of(dev, struct fwcfg, dev);
	u16 key = (u16)(FWCFG_FILE_FIRST + f->nr_files);
	u8 *entry = f->dir + 4 + f->nr_files * DIR_ENTRY;

	if (f->nr_files == MAX_FILES || strlen(name) >= NAME_LEN || !fwcfg_add(dev, key, data, len))
		return false;
	st_be32(entry, (u32)len);
	st_be16(entry + 4, key);
	memcpy(entry + 8, name, strlen(name) + 1);
	st_be32(f->dir, ++f->nr_files);
	return fwcfg_add(dev, FWCFG_FILE_DIR, f->dir, 4 + f->nr_files * DIR_ENTRY);
}

/* Up to len bytes of the selected item into buf, zeros behind its end. */
static void take(struct fwcfg *f, u8 *buf, u64 len)
{
	const struct item *it = find(f, f->selected);
	const u8 *data = it && it->data ? it->data : it ? it->own : NULL;
	u64 left = it && f->offset < it->len ? it->len - f->offset : 0;
	u64 n = left < len ? left : len;

	if (n && it->source) {
		if (it->source->read(it->source, f->offset, buf, n))
			memset(buf, 0, n);
	} else if (n) {
		memcpy(buf, data + f->offset, n);
	}
	memset(buf + n, 0, len - n);
	f->offset += n;
}

static void skip(struct fwcfg *f, u64 len)
{
	const struct item *it = find(f, f->selected);
	u64 left = it && f->offset < it->len ? it->len - f->offset : 0;

	f->offset += left < len ? left : len;
}

static void select_item(struct fwcfg *f, u16 key)
{
	f->selected = key & SELECT_MASK;
	f->offset = 0;
}

static u32 dma_out(struct fwcfg *f, u64 to, u32 len)
{
	u8 buf[CHUNK];

	while (len) {
		u32 n = len < CHUNK ? len : CHUNK;

		take(f, buf, n);
		if (dma_write(&f->dev, to, buf, n))
			return DMA_ERROR;
		to += n;
		len -= n;
	}
	return 0;
}

static void run_dma(struct fwcfg *f)
{
	u8 cmd[DMA_STRUCT], result[4];
	u64 at = f->dma;
	u32 control, len, rc = 0;

	f->dma = 0;
	if (dma_read(&f->dev, at, cmd, sizeof(cmd))) {
		guest_error(&f->dev, "DMA command outside of RAM");
		return;
	}
	control = ld_be32(cmd);
	len = ld_be32(cmd + 4);
	if (control & DMA_SELECT)
		select_item(f, (u16)(control >> 16));
	if (control & DMA_READ)
		rc = dma_out(f, ld_be64(cmd + 8), len);
	else if (control & DMA_WRITE)
		rc = DMA_ERROR;
	else if (control & DMA_SKIP)
		skip(f, len);
	st_be32(result, rc);
	if (dma_write(&f->dev, at, result, sizeof(result)))
		guest_error(&f->dev, "DMA result outside of RAM");
}

static u64 fwcfg_read(void *opaque, u64 off, unsigned size)
{
	struct fwcfg *f = opaque;
	u8 byte, sig[8];
	u64 val = 0;

	if (off == DATA && size == 1) {
		take(f, &byte, 1);
		return byte;
	}
	if (off < DMA_HIGH)
		return 0;
	st_be64(sig, DMA_SIGNATURE);
	for (unsigned i = 0; i < size; i++)
		val |= (u64)sig[off - DMA_HIGH + i] << 8 * i;
	return val;
}

static void fwcfg_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct fwcfg *f = opaque;
	u32 v = __builtin_bswap32((u32)val);

	if (off == SELECTOR && size == 2) {
		select_item(f, (u16)val);
	} else if (off == DMA_HIGH && size == 4) {
		f->dma = (u64)v << 32;
	} else if (off == DMA_LOW && size == 4) {
		f->dma |= v;
		run_dma(f);
	}
}

static const struct io_ops fwcfg_io = {
	.read = fwcfg_read,
	.write = fwcfg_write,
	.sizes = IO_8 | IO_16 | IO_32,
};

static int fwcfg_realize(struct device *dev, struct err *e)
{
	struct fwcfg *f = container_of(dev, struct fwcfg, dev);

	fwcfg_add(dev, FWCFG_SIGNATURE, "QEMU", 4);
	fwcfg_add_int(dev, FWCFG_ID, 3, 4); /* ports and DMA */
	fwcfg_add(dev, FWCFG_FILE_DIR, f->dir, 4);
	return isa_map(dev, &f->io, PORT, PORTS, &fwcfg_io, f, e);
}

static void fwcfg_unrealize(struct device *dev)
{
	isa_unmap(dev, &container_of(dev, struct fwcfg, dev)->io);
}

static void fwcfg_reset(struct device *dev)
{
	struct fwcfg *f = container_of(dev, struct fwcfg, dev);

	select_item(f, FWCFG_SIGNATURE);
	f->dma = 0;
}

static const struct param fwcfg_params[] = {{0}};

static const struct state_field fwcfg_state[] = {
	STATE_FIELD(struct fwcfg, selected, STATE_INT),
	STATE_FIELD(struct fwcfg, offset, STATE_INT),
	STATE_FIELD(struct fwcfg, dma, STATE_INT),
	{0},
};

const struct device_type fwcfg_type = {
	.name = "fw_cfg",
	.doc = "firmware configuration: CPU count, RAM size, kernel and command line",
	.size = sizeof(struct fwcfg),
	.version = 1,
	.params = fwcfg_params,
	.state = fwcfg_state,
	.realize = fwcfg_realize,
	.unrealize = fwcfg_unrealize,
	.reset = fwcfg_reset,
};
