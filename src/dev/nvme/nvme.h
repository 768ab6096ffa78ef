/* SPDX-License-Identifier: MIT */
/*
 * nvme.h - the parts of the NVMe controller: queues, requests, and who does what.
 *
 * A command is fetched into a request of a fixed pool, and only when its completion queue has
 * room for the completion, which is kept for it: so a completion always finds its entry, and
 * a slow driver stops the fetching and nothing else.  A request that the block layer keeps
 * across a reset belongs to an earlier life: it goes back to the pool and touches no queue.
 * The controller says that a reset is over (CSTS.RDY is 0) when the last one is back, so no
 * memory changes after that.
 *
 * Everything with the device's lock held.
 */
#ifndef DEV_NVME_NVME_H
#define DEV_NVME_NVME_H

#include "dev/nvme/spec.h"
#include "dev/pci/msix.h"
#include "sundog/block.h"
#include "sundog/loop.h"

enum { NVME_POOL = 512, NVME_MAX_PAIRS = 64, NVME_MAX_QUEUES = NVME_MAX_PAIRS + 1 };
enum { NVME_MAX_SEGS = NVME_MAX_PAGES + 1, NVME_NR_ERRORS = 4 };

struct nvme;

/* Guest memory that touches. */
struct nvme_seg {
	gpa_t addr;
	u32 len;
};

struct nvme_sq {
	bool on;
	u16 cqid;
	u32 size, head, tail; /* entries */
	u64 base;
	u32 inflight;	  /* requests */
	bool deleting;	  /* when the last is back ... */
	u16 deleting_cid; /* ... this admin command is done */
};

struct nvme_cq {
	bool on, irq_on, phase;
	u16 vector;
	u32 size, head, tail;
	u64 base;
	u32 reserved; /* entries kept for requests in flight */
	u32 nr_sqs;
	bool posted; /* since the last interrupt */
};

struct nvme_req {
	struct blk_req blk;
	struct nvme *nvme;
	struct nvme_req *next; /* free */
	u32 life;
	u16 sqid, cid;
	bool to_guest; /* data of a read: memory changes */
	u8 cmd[NVME_SQE];
	u32 result;	/* dword 0 of the completion */
	unsigned range; /* Dataset Management: the next one */
	unsigned nr_segs;
	struct nvme_seg *seg; /* NVME_MAX_SEGS */
	struct iovec *iov;    /* as many; the same memory */
};

/* Error Information, as the log has it. */
struct nvme_error {
	u64 count, lba;
	u32 nsid;
	u16 sqid, cid, status;
};

enum nvme_event { EVENT_BAD_DOORBELL, EVENT_BAD_DOORBELL_VALUE, EVENT_NS_CHANGED };

struct nvme {
	struct pci_dev pci;
	struct msix msix;
	struct blk *disk;
	struct blk_user user;
	struct task more; /* queues that were left with something in them */

	const char *drive, *serial; /* options */
	u32 pairs, block_size;
	unsigned lba_shift;
	u8 uuid[16];

	u32 intms, cc, csts, aqa;
	u64 asq, acq;
	bool running; /* queues are served */
	bool gone;    /* unplugged: an access that is late starts nothing */
	u32 life;
	u32 inflight; /* requests in the block layer, of all lives */

	struct nvme_sq sq[NVME_MAX_QUEUES];
	struct nvme_cq cq[NVME_MAX_QUEUES];
	struct nvme_req *pool, *free;
	struct nvme_seg *segs;
	struct iovec *iovs;
	struct blk_req flush; /* before a shutdown is complete */
	u32 flush_life;

	u32 feature[NVME_NR_FEATURES];
	u32 over_temperature, under_temperature;
	u16 aer_cid[NVME_MAX_AERS];
	u32 nr_aers;
	u8 events, events_masked; /* waiting; types that wait for their log page to be read */
	bool ns_changed;

	u64 reads, writes, sectors_read, sectors_written, media_errors, nr_errors;
	struct nvme_error error[NVME_NR_ERRORS];
};

/* Fields of a command. */
static inline u32 cmd_dword(const struct nvme_req *r, unsigned n)
{
	return ld_le32(r->cmd + 4 * n);
}

static inline u32 cmd_nsid(const struct nvme_req *r)
{
	return cmd_dword(r, 1);
}

static inline u64 cmd_prp1(const struct nvme_req *r)
{
	return ld_le64(r->cmd + 24);
}

/* queue.c */
int nvme_pool_new(struct nvme *n) must_check;
void nvme_pool_free(struct nvme *n);
void nvme_run_sq(struct nvme *n, unsigned id);
void nvme_run_all(struct nvme *n);
void nvme_complete(struct nvme_req *r, u32 status); /* the request is free after it */
void nvme_post(struct nvme *n, unsigned sqid, u16 cid, u32 result, u32 status);
void nvme_interrupts(struct nvme *n); /* for what was posted */
void nvme_update_intx(struct nvme *n);
u32 nvme_cq_room(const struct nvme_cq *cq); /* entries that nobody has or is promised */

/* prp.c: the memory of a command's data into r->seg; ST_OK or what is wrong. */
u32 nvme_map(struct nvme_req *r, u32 len);
/* Copy to or from it, at an offset; both ends are inside what was mapped. */
u32 nvme_give(struct nvme_req *r, const void *buf, u32 len);
u32 nvme_take(struct nvme_req *r, u32 off, void *buf, u32 len);
/* The same memory for the block layer. */
u32 nvme_map_iov(struct nvme_req *r, u32 len, bool to_guest);
void nvme_unmap_iov(struct nvme_req *r);

/* Commands: the status, or ST_LATER. */
u32 nvme_admin(struct nvme_req *r);	  /* admin.c */
u32 nvme_io(struct nvme_req *r);	  /* io.c */
u32 nvme_identify(struct nvme_req *r);	  /* identify.c */
u32 nvme_get_log(struct nvme_req *r);	  /* log.c */
u32 nvme_get_feature(struct nvme_req *r); /* features.c */
u32 nvme_set_feature(struct nvme_req *r);
void nvme_reset_features(struct nvme *n);

/* log.c */
void nvme_log_error(struct nvme *n, const struct nvme_req *r, u32 status);
void nvme_add_event(struct nvme *n, enum nvme_event event);
void nvme_send_events(struct nvme *n);

/* nvme.c */
void nvme_settle(struct nvme *n); /* n->inflight has gone to 0 */
void nvme_fail(struct nvme *n, const char *what);
u64 nvme_blocks(const struct nvme *n);

extern const struct device_type nvme_type;

#endif
