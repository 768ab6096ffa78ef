/* SPDX-License-Identifier: MIT */
/*
 * prp.c - physical region pages: where in guest memory a command's data is.
 *
 * Source: NVM Express Base Specification 1.4, "Physical Region Page Entry and List".
 */
#include "dev/nvme/nvme.h"

enum { ENTRY = 8 };

/* One more page or part of it; what touches the last one makes it longer. */
static void add(struct nvme_req *r, gpa_t addr, u32 len)
{
	struct nvme_seg *last = r->nr_segs ? &r->seg[r->nr_segs - 1] : NULL;

	if (last && last->addr + last->len == addr)
		last->len += len;
	else
		r->seg[r->nr_segs++] = (struct nvme_seg){addr, len};
}

static u32 page_part(u32 len)
{
	return len < NVME_PAGE ? len : NVME_PAGE;
}

/*
 * The entries of a list, a page of it at a time: the last of a page points to the next if more
 * are needed than it holds.
 */
static u32 walk_list(struct nvme_req *r, u64 list, u32 len)
{
	u8 entries[NVME_MAX_PAGES * ENTRY];

	if (list % ENTRY)
		return ST_BAD_PRP | ST_DNR;
	/* It ends: a list that goes on does so at the start of a page, where all the rest fits. */
	while (len) {
		u32 need = (len + NVME_PAGE - 1) / NVME_PAGE;
		u32 room = (NVME_PAGE - (u32)(list % NVME_PAGE)) / ENTRY;
		bool more = need > room;
		u32 n = more ? room - 1 : need, there = more ? room : need;

		if (dma_read(&r->nvme->pci.dev, list, entries, (size_t)there * ENTRY))
			return ST_TRANSFER_ERROR;
		for (u32 i = 0; i < n; i++) {
			u64 page = ld_le64(entries + (size_t)i * ENTRY);

			if (page % NVME_PAGE)
				return ST_BAD_PRP | ST_DNR;
			add(r, page, page_part(len));
			len -= page_part(len);
		}
		if (!more)
			return ST_OK;
		list = ld_le64(entries + (size_t)n * ENTRY);
		if (list % NVME_PAGE)
			return ST_BAD_PRP | ST_DNR;
	}
	return ST_OK;
}

u32 nvme_map(struct nvme_req *r, u32 len)
{
	u64 prp1 = ld_le64(r->cmd + 24), prp2 = ld_le64(r->cmd + 32);
	u32 first = NVME_PAGE - (u32)(prp1 % NVME_PAGE);

	r->nr_segs = 0;
	if (len > NVME_MAX_TRANSFER)
		return ST_BAD_FIELD | ST_DNR;
	if (prp1 % 4)
		return ST_BAD_PRP | ST_DNR;
	if (len <= first) {
		add(r, prp1, len);
		return ST_OK;
	}
	add(r, prp1, first);
	len -= first;
	if (len > NVME_PAGE)
		return walk_list(r, prp2, len);
	if (prp2 % NVME_PAGE)
		return ST_BAD_PRP | ST_DNR;
	add(r, prp2, len);
	return ST_OK;
}

u32 nvme_give(struct nvme_req *r, const void *buf, u32 len)
{
	const u8 *from = buf;

	for (unsigned i = 0; i < r->nr_segs && len; i++) {
		u32 n = len < r->seg[i].len ? len : r->seg[i].len;

		if (dma_write(&r->nvme->pci.dev, r->seg[i].addr, from, n))
			return ST_TRANSFER_ERROR;
		from += n;
		len -= n;
	}
	return ST_OK;
}

u32 nvme_take(struct nvme_req *r, u32 off, void *buf, u32 len)
{
	u8 *to = buf;

	for (unsigned i = 0; i < r->nr_segs && len; i++) {
		const struct nvme_seg *s = &r->seg[i];
		u32 n;

		if (off >= s->len) {
			off -= s->len;
			continue;
		}
		n = s->len - off < len ? s->len - off : len;
		if (dma_read(&r->nvme->pci.dev, s->addr + off, to, n))
			return ST_TRANSFER_ERROR;
		to += n;
		len -= n;
		off = 0;
	}
	return len ? ST_TRANSFER_ERROR : ST_OK;
}

u32 nvme_map_iov(struct nvme_req *r, u32 len, bool to_guest)
{
	enum dma_dir dir = to_guest ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	u32 status = nvme_map(r, len);

	if (status)
		return status;
	for (unsigned i = 0; i < r->nr_segs; i++) {
		void *p = dma_map(&r->nvme->pci.dev, r->seg[i].addr, r->seg[i].len, dir);

		if (!p)
			return ST_TRANSFER_ERROR;
		r->iov[i] = (struct iovec){p, r->seg[i].len};
	}
	r->to_guest = to_guest;
	return ST_OK;
}

void nvme_unmap_iov(struct nvme_req *r)
{
	for (unsigned i = 0; r->to_guest && i < r->nr_segs; i++)
		dma_unmap(&r->nvme->pci.dev, r->seg[i].addr, r->seg[i].len, DMA_FROM_DEVICE);
	r->to_guest = false;
}
