/* SPDX-License-Identifier: MIT */
/*
 * queue.c - submission and completion queues, and the interrupts of the latter.
 *
 * Source: NVM Express Base Specification 1.4, "Submission Queue & Completion Queue
 * Definition", "Completion Queue Entry", "Interrupts".
 */
#include <errno.h>
#include <stdlib.h>

#include "dev/nvme/nvme.h"
#include "sundog/machine.h"

enum { BUDGET = 256 };

/* --- requests ------------------------------------------------------------------------------ */

static void put_back(struct nvme *n, struct nvme_req *r)
{
	r->next = n->free;
	n->free = r;
}

int nvme_pool_new(struct nvme *n)
{
	n->pool = calloc(NVME_POOL, sizeof(*n->pool));
	n->segs = calloc((size_t)NVME_POOL * NVME_MAX_SEGS, sizeof(*n->segs));
	n->iovs = calloc((size_t)NVME_POOL * NVME_MAX_SEGS, sizeof(*n->iovs));
	if (!n->pool || !n->segs || !n->iovs)
		return -ENOMEM;
	for (unsigned i = NVME_POOL; i--;) {
		struct nvme_req *r = &n->pool[i];

		r->nvme = n;
		r->seg = n->segs + (size_t)i * NVME_MAX_SEGS;
		r->iov = n->iovs + (size_t)i * NVME_MAX_SEGS;
		put_back(n, r);
	}
	return 0;
}

void nvme_pool_free(struct nvme *n)
{
	free(n->pool);
	free(n->segs);
	free(n->iovs);
}

/* --- completions --------------------------------------------------------------------------- */

static u32 used(const struct nvme_cq *cq)
{
	return cq->tail >= cq->head ? cq->tail - cq->head : cq->tail + cq->size - cq->head;
}

u32 nvme_cq_room(const struct nvme_cq *cq)
{
	return cq->size - 1 - used(cq) - cq->reserved;
}

/* There is room: it was looked for when the command was fetched. */
void nvme_post(struct nvme *n, unsigned sqid, u16 cid, u32 result, u32 status)
{
	struct nvme_sq *sq = &n->sq[sqid];
	struct nvme_cq *cq = &n->cq[sq->cqid];
	u8 entry[NVME_CQE] = {0};

	st_le32(entry, result);
	st_le16(entry + 8, (u16)sq->head);
	st_le16(entry + 10, (u16)sqid);
	st_le16(entry + 12, cid);
	st_le16(entry + 14, (u16)(status << 1 | cq->phase));
	if (dma_write(&n->pci.dev, cq->base + (u64)cq->tail * NVME_CQE, entry, NVME_CQE)) {
		nvme_fail(n, "a completion queue outside memory");
		return;
	}
	if (++cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	cq->posted = true;
}

/* All that was in a queue that goes is back: tell who asked for it. */
static void finish_deletion(struct nvme *n, struct nvme_sq *sq)
{
	u16 cid = sq->deleting_cid;

	n->cq[sq->cqid].nr_sqs--;
	*sq = (struct nvme_sq){0};
	n->cq[0].reserved--;
	n->sq[0].inflight--;
	nvme_post(n, 0, cid, 0, ST_OK);
}

void nvme_complete(struct nvme_req *r, u32 status)
{
	struct nvme *n = r->nvme;
	struct nvme_sq *sq = &n->sq[r->sqid];

	nvme_unmap_iov(r);
	put_back(n, r);
	if (r->life != n->life || !n->running)
		return;
	if (status == ST_LATER) /* the asynchronous event or the deletion keeps what it needs */
		return;
	if (status)
		nvme_log_error(n, r, status);
	n->cq[sq->cqid].reserved--;
	sq->inflight--;
	nvme_post(n, r->sqid, r->cid, r->result, status);
	if (sq->deleting && !sq->inflight)
		finish_deletion(n, sq);
}

/* The pin: something waits in a queue that may interrupt. */
void nvme_update_intx(struct nvme *n)
{
	bool level = false;

	for (unsigned i = 0; n->running && !msix_is_on(&n->msix) && i <= n->pairs; i++) {
		const struct nvme_cq *cq = &n->cq[i];

		level |= cq->on && cq->irq_on && cq->head != cq->tail && !(n->intms & 1);
	}
	if (level != n->pci.intx_level)
		pci_set_intx(&n->pci, level);
}

void nvme_interrupts(struct nvme *n)
{
	nvme_send_events(n);
	for (unsigned i = 0; i <= n->pairs; i++) {
		struct nvme_cq *cq = &n->cq[i];

		if (!cq->posted)
			continue;
		cq->posted = false;
		if (cq->irq_on && msix_is_on(&n->msix))
			msix_send(&n->msix, cq->vector);
	}
	nvme_update_intx(n);
}

/* --- submissions --------------------------------------------------------------------------- */

/* Take the next command; NULL: there is none, or nowhere to put it. */
static struct nvme_req *fetch(struct nvme *n, unsigned id)
{
	struct nvme_sq *sq = &n->sq[id];
	struct nvme_cq *cq = &n->cq[sq->cqid];
	struct nvme_req *r = n->free;

	if (!n->running || !pci_is_master(&n->pci) || !sq->on || sq->deleting ||
	    sq->head == sq->tail || !r || !nvme_cq_room(cq))
		return NULL;
	if (dma_read(&n->pci.dev, sq->base + (u64)sq->head * NVME_SQE, r->cmd, NVME_SQE)) {
		nvme_fail(n, "a submission queue outside memory");
		return NULL;
	}
	n->free = r->next;
	if (++sq->head == sq->size)
		sq->head = 0;
	sq->inflight++;
	cq->reserved++;
	r->life = n->life;
	r->sqid = (u16)id;
	r->cid = ld_le16(r->cmd + 2);
	r->result = 0;
	r->nr_segs = 0;
	return r;
}

/* Bits of dword 0 that we do not offer: fused commands and scatter-gather lists. */
static bool is_plain(const struct nvme_req *r)
{
	return !(r->cmd[1] & 0xc3);
}

/* False: there was nothing to do. */
static bool run_one(struct nvme *n, unsigned id)
{
	struct nvme_req *r = fetch(n, id);
	u32 status = ST_BAD_FIELD | ST_DNR;

	if (!r)
		return false;
	if (is_plain(r))
		status = id ? nvme_io(r) : nvme_admin(r);
	if (!(status & ST_LATER) || !id)
		nvme_complete(r, status);
	return true;
}

/* True: it was left with something in it. */
static bool run_sq(struct nvme *n, unsigned id)
{
	unsigned left = BUDGET;

	if (n->sq[id].head == n->sq[id].tail)
		return false;
	blk_plug(n->disk);
	while (left && run_one(n, id))
		left--;
	blk_unplug(n->disk);
	return !left;
}

void nvme_run_sq(struct nvme *n, unsigned id)
{
	if (run_sq(n, id))
		loop_defer(n->pci.dev.machine->loop, &n->more);
	nvme_interrupts(n);
}

void nvme_run_all(struct nvme *n)
{
	bool more = false;

	for (unsigned i = 0; i <= n->pairs; i++)
		more |= run_sq(n, i);
	if (more)
		loop_defer(n->pci.dev.machine->loop, &n->more);
	nvme_interrupts(n);
}
