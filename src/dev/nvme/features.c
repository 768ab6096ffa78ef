/* SPDX-License-Identifier: MIT */
/*
 * features.c - Get and Set Features.
 *
 * Source: NVM Express Base Specification 1.4, "Get Features command", "Set Features command".
 * Nothing is saved; coalescing is accepted, and interrupts come as soon as there is something.
 */
#include "dev/nvme/nvme.h"

enum { SAVE = 1u << 31, OVER = 0x157, UNDER_SHIFT = 20, SENSOR_SHIFT = 16, NO_SENSOR = 15 };

static const struct feature {
	bool known;
	u32 dflt, kept; /* bits that Set Features changes; 0: nothing can be set */
} features[NVME_NR_FEATURES] = {
	[FEAT_ARBITRATION] = {true, 0, 0xffffff07},
	[FEAT_POWER] = {true, 0, 0xe0},
	[FEAT_TEMPERATURE] = {true, 0, 0},
	[FEAT_ERROR_RECOVERY] = {true, 0, 0xffff},
	[FEAT_WRITE_CACHE] = {true, 1, 1},
	[FEAT_NUM_QUEUES] = {true, 0, 0},
	[FEAT_COALESCING] = {true, 0, 0xffff},
	[FEAT_VECTOR] = {true, 0, 0},
	[FEAT_ATOMICITY] = {true, 0, 1},
	[FEAT_EVENTS] = {true, 0, FEAT_EVENTS_NAMESPACE | 0xff},
};

void nvme_reset_features(struct nvme *n)
{
	for (unsigned i = 0; i < NVME_NR_FEATURES; i++)
		n->feature[i] = features[i].dflt;
	n->over_temperature = OVER;
	n->under_temperature = 0;
}

/* Of the drive as a whole, over or under; other sensors there are none. */
static u32 *threshold(struct nvme *n, u32 which)
{
	unsigned sensor = which >> SENSOR_SHIFT & 15, type = which >> UNDER_SHIFT & 3;

	if ((sensor && sensor != NO_SENSOR) || type > 1)
		return NULL;
	return type ? &n->under_temperature : &n->over_temperature;
}

static u32 num_queues(const struct nvme *n)
{
	return (n->pairs - 1) << 16 | (n->pairs - 1);
}

static u32 check_feature(const struct nvme_req *r, u8 id)
{
	u32 nsid = cmd_nsid(r);

	if (id >= NVME_NR_FEATURES || !features[id].known)
		return ST_BAD_FIELD | ST_DNR;
	/* Error Recovery is the namespace's, all others the controller's. */
	if (id == FEAT_ERROR_RECOVERY && nsid != NVME_NSID && nsid != (u32)NVME_ALL_NS)
		return ST_BAD_NAMESPACE | ST_DNR;
	return ST_OK;
}

u32 nvme_get_feature(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	u8 id = (u8)cmd_dword(r, 10);
	u32 arg = cmd_dword(r, 11), status = check_feature(r, id);
	const u32 *temp;

	if (status)
		return status;
	switch (id) {
	case FEAT_TEMPERATURE:
		temp = threshold(n, arg);
		r->result = temp ? *temp : 0;
		return temp ? ST_OK : ST_BAD_FIELD | ST_DNR;
	case FEAT_NUM_QUEUES: r->result = num_queues(n); return ST_OK;
	case FEAT_VECTOR:
		r->result = (arg & 0xffff) | 1 << 16; /* not coalesced */
		return (arg & 0xffff) < n->msix.nr ? ST_OK : ST_BAD_FIELD | ST_DNR;
	default: r->result = n->feature[id]; return ST_OK;
	}
}

static u32 set_num_queues(struct nvme_req *r, u32 arg)
{
	struct nvme *n = r->nvme;

	if ((arg & 0xffff) == 0xffff || arg >> 16 == 0xffff)
		return ST_BAD_FIELD | ST_DNR;
	for (unsigned i = 1; i <= n->pairs; i++)
		if (n->cq[i].on || n->sq[i].on)
			return ST_SEQUENCE | ST_DNR;
	r->result = num_queues(n);
	return ST_OK;
}

u32 nvme_set_feature(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	u8 id = (u8)cmd_dword(r, 10);
	u32 arg = cmd_dword(r, 11), status = check_feature(r, id);
	u32 *temp;

	if (status)
		return status;
	if (cmd_dword(r, 10) & SAVE)
		return ST_NOT_SAVEABLE | ST_DNR;
	switch (id) {
	case FEAT_TEMPERATURE:
		temp = threshold(n, arg);
		if (!temp)
			return ST_BAD_FIELD | ST_DNR;
		*temp = arg & 0xffff;
		return ST_OK;
	case FEAT_NUM_QUEUES: return set_num_queues(r, arg);
	case FEAT_VECTOR: return (arg & 0xffff) < n->msix.nr ? ST_OK : ST_BAD_FIELD | ST_DNR;
	case FEAT_POWER: /* there is one state */
		if (arg & 31)
			return ST_BAD_FIELD | ST_DNR;
		break;
	default: break;
	}
	n->feature[id] = arg & features[id].kept;
	return ST_OK;
}
