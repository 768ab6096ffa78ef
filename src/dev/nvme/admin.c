/* SPDX-License-Identifier: MIT */
/*
 * admin.c - the admin commands about queues, and Abort.
 *
 * Source: NVM Express Base Specification 1.4, "Admin Command Set".
 *
 * Not modelled: firmware, formatting, namespace management, security, directives.  Abort
 * aborts nothing: a command that was fetched is soon done.
 */
#include "dev/nvme/nvme.h"

enum { CONTIGUOUS = 1, CQ_IRQ = 2 };

static u16 low(u32 dword)
{
	return (u16)dword;
}

/* What the two commands that make a queue check alike. */
static u32 check_queue(struct nvme_req *r, bool exists, unsigned entry_log2, unsigned shift)
{
	struct nvme *n = r->nvme;
	u16 id = low(cmd_dword(r, 10)), last = (u16)(cmd_dword(r, 10) >> 16);

	if (!id || id > n->pairs || exists)
		return ST_BAD_QID | ST_DNR;
	if (!last || last >= NVME_MAX_ENTRIES || (n->cc >> shift & 15) != entry_log2)
		return ST_BAD_QUEUE_SIZE | ST_DNR;
	if (!(cmd_dword(r, 11) & CONTIGUOUS))
		return ST_BAD_FIELD | ST_DNR;
	return cmd_prp1(r) % NVME_PAGE ? ST_BAD_PRP | ST_DNR : ST_OK;
}

static u32 create_cq(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	u16 id = low(cmd_dword(r, 10)), vector = (u16)(cmd_dword(r, 11) >> 16);
	u32 status = check_queue(r, id <= n->pairs && n->cq[id].on, 4, CC_IOCQES_SHIFT);

	if (status)
		return status;
	if (vector >= n->msix.nr || (vector && !msix_is_on(&n->msix)))
		return ST_BAD_VECTOR | ST_DNR;
	n->cq[id] = (struct nvme_cq){
		.on = true,
		.irq_on = cmd_dword(r, 11) & CQ_IRQ,
		.phase = true,
		.vector = vector,
		.size = (cmd_dword(r, 10) >> 16) + 1,
		.base = cmd_prp1(r),
	};
	return ST_OK;
}

static u32 create_sq(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	u16 id = low(cmd_dword(r, 10)), cqid = (u16)(cmd_dword(r, 11) >> 16);
	u32 status = check_queue(r, id <= n->pairs && n->sq[id].on, 6, CC_IOSQES_SHIFT);

	if (status)
		return status;
	if (!cqid || cqid > n->pairs)
		return ST_BAD_QID | ST_DNR;
	if (!n->cq[cqid].on)
		return ST_BAD_CQ | ST_DNR;
	n->cq[cqid].nr_sqs++;
	n->sq[id] = (struct nvme_sq){
		.on = true,
		.cqid = cqid,
		.size = (cmd_dword(r, 10) >> 16) + 1,
		.base = cmd_prp1(r),
	};
	return ST_OK;
}

static u32 delete_sq(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	u16 id = low(cmd_dword(r, 10));

	if (!id || id > n->pairs || !n->sq[id].on || n->sq[id].deleting)
		return ST_BAD_QID | ST_DNR;
	if (n->sq[id].inflight) {
		n->sq[id].deleting = true;
		n->sq[id].deleting_cid = r->cid;
		return ST_LATER;
	}
	n->cq[n->sq[id].cqid].nr_sqs--;
	n->sq[id] = (struct nvme_sq){0};
	return ST_OK;
}

static u32 delete_cq(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	u16 id = low(cmd_dword(r, 10));

	if (!id || id > n->pairs || !n->cq[id].on)
		return ST_BAD_QID | ST_DNR;
	if (n->cq[id].nr_sqs)
		return ST_BAD_DELETION | ST_DNR;
	n->cq[id] = (struct nvme_cq){0};
	return ST_OK;
}

/* It keeps no room for its completion: that has to wait for an event anyway. */
static u32 async_event(struct nvme_req *r)
{
	struct nvme *n = r->nvme;

	if (n->nr_aers == NVME_MAX_AERS)
		return ST_TOO_MANY_AERS | ST_DNR;
	n->aer_cid[n->nr_aers++] = r->cid;
	n->cq[0].reserved--;
	n->sq[0].inflight--;
	return ST_LATER;
}

static u32 abort_command(struct nvme_req *r)
{
	r->result = 1; /* not aborted */
	return low(cmd_dword(r, 10)) > r->nvme->pairs ? ST_BAD_FIELD | ST_DNR : ST_OK;
}

u32 nvme_admin(struct nvme_req *r)
{
	switch (r->cmd[0]) {
	case ADM_DELETE_SQ: return delete_sq(r);
	case ADM_CREATE_SQ: return create_sq(r);
	case ADM_GET_LOG: return nvme_get_log(r);
	case ADM_DELETE_CQ: return delete_cq(r);
	case ADM_CREATE_CQ: return create_cq(r);
	case ADM_IDENTIFY: return nvme_identify(r);
	case ADM_ABORT: return abort_command(r);
	case ADM_SET_FEATURES: return nvme_set_feature(r);
	case ADM_GET_FEATURES: return nvme_get_feature(r);
	case ADM_ASYNC_EVENT: return async_event(r);
	default: return ST_BAD_OPCODE | ST_DNR;
	}
}
