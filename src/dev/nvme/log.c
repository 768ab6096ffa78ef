/* SPDX-License-Identifier: MIT */
/*
 * log.c - log pages, and the events that point to them.
 *
 * Source: NVM Express Base Specification 1.4, "Get Log Page command", "Asynchronous Event
 * Request command".
 */
#include "dev/nvme/nvme.h"

enum { RETAIN = 1 << 15, ERROR_SIZE = 64, SMART_SIZE = 512, TEMPERATURE_K = 300 };
enum { TYPE_ERROR = 0, TYPE_NOTICE = 2 };

static const struct event {
	u8 type, info, log;
} events[] = {
	[EVENT_BAD_DOORBELL] = {TYPE_ERROR, 0, LOG_ERRORS},
	[EVENT_BAD_DOORBELL_VALUE] = {TYPE_ERROR, 1, LOG_ERRORS},
	[EVENT_NS_CHANGED] = {TYPE_NOTICE, 0, LOG_CHANGED_NS},
};

void nvme_log_error(struct nvme *n, const struct nvme_req *r, u32 status)
{
	n->error[n->nr_errors % NVME_NR_ERRORS] = (struct nvme_error){
		.count = n->nr_errors + 1,
		.lba = r->sqid ? ld_le64(r->cmd + 40) : 0,
		.nsid = cmd_nsid(r),
		.sqid = r->sqid,
		.cid = r->cid,
		.status = (u16)(status << 1),
	};
	n->nr_errors++;
}

void nvme_add_event(struct nvme *n, enum nvme_event event)
{
	n->events |= (u8)(1 << event);
}

/* One of each type, until its log page has been read. */
void nvme_send_events(struct nvme *n)
{
	for (unsigned i = 0; n->events && i < ARRAY_SIZE(events); i++) {
		const struct event *ev = &events[i];

		if (!(n->events & 1 << i) || n->events_masked & 1 << ev->type)
			continue;
		if (!n->running || !n->nr_aers || !nvme_cq_room(&n->cq[0]))
			return;
		n->events &= (u8) ~(1 << i);
		n->events_masked |= (u8)(1 << ev->type);
		nvme_post(n, 0, n->aer_cid[--n->nr_aers],
			  (u32)ev->log << 16 | (u32)ev->info << 8 | ev->type, ST_OK);
	}
}

/* Newest first. */
static u32 error_log(const struct nvme *n, u8 *p)
{
	for (unsigned i = 0; i < NVME_NR_ERRORS && i < n->nr_errors; i++, p += ERROR_SIZE) {
		const struct nvme_error *err = &n->error[(n->nr_errors - 1 - i) % NVME_NR_ERRORS];

		st_le64(p, err->count);
		st_le16(p + 8, err->sqid);
		st_le16(p + 10, err->cid);
		st_le16(p + 12, err->status);
		st_le16(p + 14, 0xffff); /* no field of the command in particular */
		st_le64(p + 16, err->lba);
		st_le32(p + 24, err->nsid);
	}
	return NVME_NR_ERRORS * ERROR_SIZE;
}

static u32 smart_log(const struct nvme *n, u8 *p)
{
	st_le16(p + 1, TEMPERATURE_K);
	p[0] = TEMPERATURE_K >= n->over_temperature || TEMPERATURE_K <= n->under_temperature ? 2
											     : 0;
	p[3] = 100; /* spare, % */
	p[4] = 10;
	st_le64(p + 32, (n->sectors_read + 999) / 1000);
	st_le64(p + 48, (n->sectors_written + 999) / 1000);
	st_le64(p + 64, n->reads);
	st_le64(p + 80, n->writes);
	st_le64(p + 112, 1); /* power cycles */
	st_le64(p + 160, n->media_errors);
	st_le64(p + 176, n->nr_errors);
	return SMART_SIZE;
}

static u32 firmware_log(u8 *p)
{
	p[0] = 1; /* slot 1 runs; what is in it, Identify says */
	return SMART_SIZE;
}

static u32 changed_log(const struct nvme *n, u8 *p)
{
	st_le32(p, n->ns_changed ? NVME_NSID : 0);
	return NVME_PAGE;
}

/* The page and its size; 0: there is none such. */
static u32 fill(const struct nvme *n, u8 id, u8 *page)
{
	switch (id) {
	case LOG_ERRORS: return error_log(n, page);
	case LOG_SMART: return smart_log(n, page);
	case LOG_FIRMWARE: return firmware_log(page);
	case LOG_CHANGED_NS: return changed_log(n, page);
	default: return 0;
	}
}

/* Who has read a log page hears of the next event of its type. */
static void unmask(struct nvme *n, u8 id)
{
	for (unsigned i = 0; i < ARRAY_SIZE(events); i++)
		if (events[i].log == id)
			n->events_masked &= (u8) ~(1 << events[i].type);
	if (id == LOG_CHANGED_NS)
		n->ns_changed = false;
}

u32 nvme_get_log(struct nvme_req *r)
{
	struct nvme *n = r->nvme;
	u32 dw10 = cmd_dword(r, 10), size, status;
	u8 id = (u8)dw10, page[NVME_PAGE] = {0};
	u64 off = ld_le64(r->cmd + 48);
	u64 len = ((u64)(cmd_dword(r, 11) & 0xffff) << 16 | dw10 >> 16) * 4 + 4;

	size = fill(n, id, page);
	if (!size)
		return ST_BAD_LOG | ST_DNR;
	if (off % 4 || off > size)
		return ST_BAD_FIELD | ST_DNR;
	if (len > size - off)
		len = size - off;
	status = nvme_map(r, (u32)len);
	if (!status)
		status = nvme_give(r, page + off, (u32)len);
	if (!status && !(dw10 & RETAIN))
		unmask(n, id);
	return status;
}
