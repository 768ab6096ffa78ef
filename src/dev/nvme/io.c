/* SPDX-License-Identifier: MIT */
/*
 * io.c - the NVM commands: Read, Write, Flush, Write Zeroes, Dataset Management.
 *
 * Source: NVM Express Base Specification 1.4, "NVM Command Set".
 */
#include <errno.h>

#include "dev/nvme/nvme.h"

enum { FUA = 1 << 30, DEAC = 1 << 25, DATASET_DEALLOCATE = 4, RANGE = 16 };

static u32 status_of(struct nvme *n, enum blk_op op, int res)
{
	if (res == 0)
		return ST_OK;
	if (res == -EROFS)
		return ST_WRITE_PROTECTED | ST_DNR;
	if (res == -EINVAL)
		return ST_LBA_RANGE | ST_DNR; /* the disk has shrunk meanwhile */
	n->media_errors++;
	if (res == -ENOSPC)
		return ST_CAPACITY;
	return op == BLK_READ ? ST_READ_ERROR : op == BLK_FLUSH ? ST_INTERNAL : ST_WRITE_FAULT;
}

/* What the command comes to, or ST_LATER: done() is called. */
static u32 submit(struct nvme_req *r)
{
	int res = blk_submit(r->nvme->disk, &r->blk);

	if (res == BLK_PENDING) {
		r->nvme->inflight++;
		return ST_LATER;
	}
	return status_of(r->nvme, r->blk.op, res);
}

static bool is_in_disk(struct nvme *n, u64 lba, u64 blocks)
{
	return range_fits(lba, blocks, nvme_blocks(n));
}

/* The ranges of a Dataset Management command, one after the other. */
static u32 deallocate(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	unsigned nr = (cmd_dword(r, 10) & 0xff) + 1;
	u32 status = ST_OK;

	while (r->range < nr && status == ST_OK) {
		u8 range[RANGE];
		u64 lba, blocks;

		status = nvme_take(r, r->range++ * RANGE, range, RANGE);
		if (status)
			break;
		blocks = ld_le32(range + 4);
		lba = ld_le64(range + 8);
		if (!is_in_disk(n, lba, blocks))
			return ST_LBA_RANGE | ST_DNR;
		if (!blocks)
			continue;
		r->blk.offset = lba << n->lba_shift;
		r->blk.len = blocks << n->lba_shift;
		status = submit(r);
	}
	return status;
}

static void done(struct blk_req *blk, int res)
{
	struct nvme_req *r = container_of(blk, struct nvme_req, blk);
	struct nvme *n = r->nvme;
	u32 status = status_of(n, blk->op, res);

	n->inflight--;
	if (blk->op == BLK_DISCARD && !status && r->life == n->life && n->running)
		status = deallocate(r);
	if (status & ST_LATER)
		return;
	nvme_complete(r, status);
	if (!n->inflight)
		nvme_settle(n);
	nvme_run_all(n);
}

static void prepare(struct nvme_req *r, enum blk_op op, u64 lba, u64 blocks)
{
	struct nvme *n = r->nvme;

	r->blk = (struct blk_req){
		.op = op,
		.offset = lba << n->lba_shift,
		.len = blocks << n->lba_shift,
		.iov = r->iov,
		.done = done,
		.owner = &n->pci.dev,
	};
}

static u32 check_range(struct nvme_req *r, u64 *lba, u32 *blocks)
{
	*lba = ld_le64(r->cmd + 40);
	*blocks = (cmd_dword(r, 12) & 0xffff) + 1;
	return is_in_disk(r->nvme, *lba, *blocks) ? ST_OK : ST_LBA_RANGE | ST_DNR;
}

/* Durable when it completes: asked for, or there is no write cache. */
static u32 fua(const struct nvme_req *r)
{
	return cmd_dword(r, 12) & FUA || !(r->nvme->feature[FEAT_WRITE_CACHE] & 1) ? BLK_FUA : 0;
}

static u32 read_write(struct nvme_req *r, enum blk_op op)
{
	struct nvme *n = r->nvme;
	u32 blocks, status;
	u64 lba;

	if ((cmd_dword(r, 12) & 0xffff) >= NVME_MAX_TRANSFER >> n->lba_shift)
		return ST_BAD_FIELD | ST_DNR;
	status = check_range(r, &lba, &blocks);
	if (!status)
		status = nvme_map_iov(r, blocks << n->lba_shift, op == BLK_READ);
	if (status)
		return status;
	prepare(r, op, lba, blocks);
	r->blk.iovcnt = r->nr_segs;
	if (op == BLK_WRITE) {
		n->writes++;
		n->sectors_written += r->blk.len / BLK_SECTOR;
		r->blk.flags = fua(r);
	} else {
		n->reads++;
		n->sectors_read += r->blk.len / BLK_SECTOR;
	}
	return submit(r);
}

static u32 write_zeroes(struct nvme_req *r)
{
	u32 blocks, status;
	u64 lba;

	status = check_range(r, &lba, &blocks);
	if (status)
		return status;
	prepare(r, BLK_WRITE_ZEROES, lba, blocks);
	r->blk.flags = fua(r) | (cmd_dword(r, 12) & DEAC ? BLK_UNMAP : 0);
	return submit(r);
}

static u32 flush(struct nvme_req *r)
{
	prepare(r, BLK_FLUSH, 0, 0);
	return submit(r);
}

static u32 dataset(struct nvme_req *r)
{
	u32 status;

	if (!(cmd_dword(r, 11) & DATASET_DEALLOCATE))
		return ST_OK; /* hints */
	status = nvme_map(r, ((cmd_dword(r, 10) & 0xff) + 1) * RANGE);
	if (status)
		return status;
	prepare(r, BLK_DISCARD, 0, 0);
	r->range = 0;
	return deallocate(r);
}

u32 nvme_io(struct nvme_req *r)
{
	u32 nsid = cmd_nsid(r);
	u8 op = r->cmd[0];
	bool writes = op == NVM_WRITE || op == NVM_WRITE_ZEROES || op == NVM_DATASET;

	if (nsid != NVME_NSID && !(op == NVM_FLUSH && nsid == (u32)NVME_ALL_NS))
		return ST_BAD_NAMESPACE | ST_DNR;
	if (writes && blk_is_read_only(r->nvme->disk))
		return ST_WRITE_PROTECTED | ST_DNR;
	switch (op) {
	case NVM_READ: return read_write(r, BLK_READ);
	case NVM_WRITE: return read_write(r, BLK_WRITE);
	case NVM_FLUSH: return flush(r);
	case NVM_WRITE_ZEROES: return write_zeroes(r);
	case NVM_DATASET: return dataset(r);
	default: return ST_BAD_OPCODE | ST_DNR;
	}
}
