/* SPDX-License-Identifier: MIT */
/*
 * nvme.c - NVMe controller with one namespace (as QEMU's nvme): registers, reset, shutdown.
 *
 * Source: NVM Express Base Specification 1.4, "Controller Registers", "Controller Level Reset",
 * "Shutdown".  BAR 0:
 *
 *   offset  size  reset  what
 *   0x00    8            CAP: what the controller can do
 *   0x08    4            VS: 1.4
 *   0x0c    4     0      INTMS: a one masks; reads the mask
 *   0x10    4     0      INTMC: a one unmasks
 *   0x14    4     0      CC: configuration
 *   0x1c    4     0      CSTS: status
 *   0x24    4     0      AQA: sizes of the admin queues
 *   0x28    8     0      ASQ: address of the admin submission queue
 *   0x30    8     0      ACQ: and of the completion queue
 *   0x1000  4            a submission and a completion doorbell for each pair of queues
 *   0x2000  4096         MSI-X table and pending bits
 *
 * Not modelled: memory buffers (CMB, PMR), boot partitions, subsystem reset, shadow doorbells,
 * scatter-gather lists, metadata and protection information, more than one namespace.
 */
#include "dev/nvme/nvme.h"

#include <errno.h>

#include "sundog/err.h"
#include "sundog/machine.h"

enum { AT_MSIX = 0x2000, BAR_SIZE = 0x4000, VENDOR = 0x1b36, DEVICE = 0x0010, SUBVENDOR = 0x1af4 };
enum { CAP_TIMEOUT = 60 /* of 500 ms */, AQA_MASK = 0x0fff0fff, CC_WRITABLE = 0x00fffff1 };
enum { SHN_ABRUPT = 2, SERIAL_SIZE = 20 };
#define CAP_CQR (1ull << 16)
#define CAP_CSS_NVM (1ull << 37)
#define FNV_PRIME 0x100000001b3ull

u64 nvme_blocks(const struct nvme *n)
{
	return blk_size(n->disk) >> n->lba_shift;
}

void nvme_fail(struct nvme *n, const char *what)
{
	guest_error(&n->pci.dev, what);
	n->csts |= CSTS_CFS;
	n->running = false;
}

/* --- on, off and shutdown ------------------------------------------------------------------ */

/* No queues, a life that is over, and features as they are at first. */
static void stop(struct nvme *n)
{
	n->running = false;
	n->life++;
	memset(n->sq, 0, sizeof(n->sq));
	memset(n->cq, 0, sizeof(n->cq));
	n->nr_aers = 0;
	n->events = n->events_masked = 0;
	n->ns_changed = false;
	n->intms = 0;
	nvme_reset_features(n);
	nvme_update_intx(n);
}

static void start(struct nvme *n)
{
	u32 sq_last = n->aqa & 0xfff, cq_last = n->aqa >> 16;

	if (n->cc >> CC_MPS_SHIFT & 15 || n->cc >> CC_CSS_SHIFT & 7 || n->cc >> CC_AMS_SHIFT & 7 ||
	    !sq_last || !cq_last || n->asq % NVME_PAGE || n->acq % NVME_PAGE) {
		nvme_fail(n, "the controller is started with a bad configuration");
		return;
	}
	n->sq[0] = (struct nvme_sq){.on = true, .size = sq_last + 1, .base = n->asq};
	n->cq[0] = (struct nvme_cq){
		.on = true,
		.irq_on = true,
		.phase = true,
		.size = cq_last + 1,
		.base = n->acq,
		.nr_sqs = 1,
	};
	n->running = true;
	n->csts |= CSTS_RDY;
}

static void shutdown_done(struct nvme *n)
{
	n->csts = (n->csts & ~CSTS_SHST) | CSTS_SHST_COMPLETE;
}

static void flushed(struct blk_req *blk, int res)
{
	struct nvme *n = container_of(blk, struct nvme, flush);

	n->inflight--;
	if (n->flush_life == n->life && n->csts & CSTS_SHST_OCCURRING)
		shutdown_done(n);
	if (!n->inflight)
		nvme_settle(n);
}

/* A shutdown is complete when all is on the disk that was written before. */
static void flush_for_shutdown(struct nvme *n)
{
	n->flush = (struct blk_req){.op = BLK_FLUSH, .done = flushed, .owner = &n->pci.dev};
	n->flush_life = n->life;
	if (blk_submit(n->disk, &n->flush) != BLK_PENDING) {
		shutdown_done(n);
		return;
	}
	n->inflight++;
}

void nvme_settle(struct nvme *n)
{
	if (n->inflight || n->gone)
		return;
	if (!(n->cc & CC_EN))
		n->csts &= ~(u32)(CSTS_RDY | CSTS_CFS);
	else if (!n->running && !(n->csts & (CSTS_CFS | CSTS_RDY)))
		start(n);
	if (n->csts & CSTS_SHST_OCCURRING)
		flush_for_shutdown(n);
}

static void write_cc(struct nvme *n, u32 val)
{
	u32 old = n->cc, shn = val >> CC_SHN_SHIFT & 3;

	n->cc = val & CC_WRITABLE;
	if (old & CC_EN && !(val & CC_EN)) {
		stop(n);
		n->csts &= ~(u32)CSTS_SHST;
	}
	if (shn && shn <= SHN_ABRUPT && !(n->csts & CSTS_SHST))
		n->csts |= CSTS_SHST_OCCURRING;
	else if (!shn)
		n->csts &= ~(u32)CSTS_SHST;
	nvme_settle(n);
}

/* --- doorbells ------------------------------------------------------------------------------ */

static void bad_doorbell(struct nvme *n, enum nvme_event event)
{
	guest_error(&n->pci.dev, "a doorbell of no queue, or a value beyond its end");
	nvme_add_event(n, event);
	nvme_interrupts(n);
}

static void ring_sq(struct nvme *n, unsigned id, u32 tail)
{
	if (!n->sq[id].on) {
		bad_doorbell(n, EVENT_BAD_DOORBELL);
	} else if (tail >= n->sq[id].size) {
		bad_doorbell(n, EVENT_BAD_DOORBELL_VALUE);
	} else {
		n->sq[id].tail = tail;
		nvme_run_sq(n, id);
	}
}

/* Entries between head and tail, and no others, can be taken. */
static bool is_filled(const struct nvme_cq *cq, u32 head)
{
	if (cq->head <= cq->tail)
		return head >= cq->head && head <= cq->tail;
	return head >= cq->head || head <= cq->tail;
}

static void ring_cq(struct nvme *n, unsigned id, u32 head)
{
	struct nvme_cq *cq = &n->cq[id];
	bool was_full;

	if (!cq->on) {
		bad_doorbell(n, EVENT_BAD_DOORBELL);
	} else if (head >= cq->size || !is_filled(cq, head)) {
		bad_doorbell(n, EVENT_BAD_DOORBELL_VALUE);
	} else {
		was_full = !nvme_cq_room(cq);
		cq->head = head;
		if (was_full)
			nvme_run_all(n);
		else if (!msix_is_on(&n->msix))
			nvme_update_intx(n);
	}
}

static void ring(struct nvme *n, u32 off, u32 val)
{
	unsigned id = off / 8;

	if (!n->running)
		return;
	if (id > n->pairs)
		bad_doorbell(n, EVENT_BAD_DOORBELL);
	else if (off & 4)
		ring_cq(n, id, val & 0xffff);
	else
		ring_sq(n, id, val & 0xffff);
}

static void run_more(struct task *t)
{
	nvme_run_all(container_of(t, struct nvme, more));
}

/* --- registers ------------------------------------------------------------------------------ */

static u32 read_register(const struct nvme *n, u64 off)
{
	u64 cap = (NVME_MAX_ENTRIES - 1) | CAP_CQR | (u64)CAP_TIMEOUT << 24 | CAP_CSS_NVM;

	switch (off) {
	case NVME_CAP: return (u32)cap;
	case NVME_CAP + 4: return (u32)(cap >> 32);
	case NVME_VS: return NVME_VERSION;
	case NVME_INTMS:
	case NVME_INTMC: return n->intms;
	case NVME_CC: return n->cc;
	case NVME_CSTS: return n->csts;
	case NVME_AQA: return n->aqa;
	case NVME_ASQ: return (u32)n->asq;
	case NVME_ASQ + 4: return (u32)(n->asq >> 32);
	case NVME_ACQ: return (u32)n->acq;
	case NVME_ACQ + 4: return (u32)(n->acq >> 32);
	default: return 0;
	}
}

static u64 with_low(u64 old, u32 val)
{
	return (old & ~0xffffffffull) | (val & ~(u32)(NVME_PAGE - 1));
}

static u64 with_high(u64 old, u32 val)
{
	return (u32)old | (u64)val << 32;
}

static void write_register(struct nvme *n, u64 off, u32 val)
{
	switch (off) {
	case NVME_INTMS:
		n->intms |= val;
		nvme_update_intx(n);
		break;
	case NVME_INTMC:
		n->intms &= ~val;
		nvme_update_intx(n);
		break;
	case NVME_CC: write_cc(n, val); break;
	case NVME_AQA: n->aqa = val & AQA_MASK; break;
	case NVME_ASQ: n->asq = with_low(n->asq, val); break;
	case NVME_ASQ + 4: n->asq = with_high(n->asq, val); break;
	case NVME_ACQ: n->acq = with_low(n->acq, val); break;
	case NVME_ACQ + 4: n->acq = with_high(n->acq, val); break;
	default: guest_error(&n->pci.dev, "a write to a register that cannot be written"); break;
	}
}

static u64 bar_read(void *opaque, u64 off, unsigned size)
{
	struct nvme *n = opaque;
	u64 val;

	if (off >= AT_MSIX)
		return off - AT_MSIX < MSIX_SIZE ? msix_read(&n->msix, off - AT_MSIX, size) : 0;
	val = read_register(n, off);
	if (size == 8)
		val |= (u64)read_register(n, off + 4) << 32;
	return val;
}

static void bar_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct nvme *n = opaque;

	if (off >= AT_MSIX) {
		if (off - AT_MSIX < MSIX_SIZE)
			msix_write(&n->msix, off - AT_MSIX, val, size);
		return;
	}
	for (unsigned i = 0; i < size; i += 4) {
		u32 word = (u32)(val >> 8 * i);

		if (off + i >= NVME_DOORBELLS)
			ring(n, (u32)(off + i - NVME_DOORBELLS), word);
		else
			write_register(n, off + i, word);
	}
}

static const struct io_ops bar_io = {
	.read = bar_read,
	.write = bar_write,
	.sizes = IO_32 | IO_64,
};

static void config_written(struct pci_dev *p, unsigned off, unsigned size)
{
	struct nvme *n = (struct nvme *)p;

	msix_config_written(&n->msix);
	nvme_run_all(n); /* it may have become a bus master */
}

static void resized(struct device *dev)
{
	struct nvme *n = (struct nvme *)dev;

	if (n->running && n->feature[FEAT_EVENTS] & FEAT_EVENTS_NAMESPACE) {
		n->ns_changed = true;
		nvme_add_event(n, EVENT_NS_CHANGED);
		nvme_interrupts(n);
	}
}

/* --- the device ----------------------------------------------------------------------------- */

/* FNV-1a. */
static u64 hash(u64 h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (u8)*text) * FNV_PRIME;
	return h;
}

/* The same at each start, another for each disk: version 8 of RFC 9562, of what names it. */
static void make_uuid(struct nvme *n)
{
	st_be64(n->uuid, hash(hash(0xcbf29ce484222325ull, n->drive), n->serial));
	st_be64(n->uuid + 8, hash(hash(0x84222325cbf29ce4ull, n->serial), n->drive));
	n->uuid[6] = (n->uuid[6] & 0x0f) | 0x80;
	n->uuid[8] = (n->uuid[8] & 0x3f) | 0x80;
}

static int check_options(struct nvme *n, struct err *e)
{
	unsigned cpus = n->pci.dev.machine->nr_vcpus;

	if (!n->pairs)
		n->pairs = cpus ? cpus : 1;
	if (n->pairs > NVME_MAX_PAIRS)
		return err_set(e, -EINVAL, "max_ioqpairs=%u: at most %d", n->pairs, NVME_MAX_PAIRS);
	if (n->block_size != 512 && n->block_size != 4096)
		return err_set(e, -EINVAL, "logical_block_size=%u: 512 or 4096", n->block_size);
	if (strlen(n->serial) > SERIAL_SIZE)
		return err_set(e, -EINVAL, "serial=%s: at most %d bytes", n->serial, SERIAL_SIZE);
	n->lba_shift = (unsigned)__builtin_ctz(n->block_size);
	n->user = (struct blk_user){.owner = &n->pci.dev, .resized = resized};
	n->disk = blk_claim(n->pci.dev.machine, n->drive, &n->user, e);
	return n->disk ? 0 : e->code;
}

static int nvme_realize(struct device *dev, struct err *e)
{
	static const struct pci_ids ids = {
		.vendor = VENDOR,
		.device = DEVICE,
		.subvendor = SUBVENDOR,
		.subdevice = 0x1100,
		.class_code = 0x010802,
		.revision = 2,
		.pin = 1,
	};
	struct nvme *n = (struct nvme *)dev;
	int rc = check_options(n, e);

	if (rc)
		return rc;
	make_uuid(n);
	n->more = (struct task){.owner = dev, .fn = run_more};
	pci_init(&n->pci, &ids);
	n->pci.config_written = config_written;
	pci_add_bar(&n->pci, 0, BAR_SIZE, PCI_BAR_64, &bar_io, n);
	rc = msix_init(&n->msix, &n->pci, n->pairs + 1, 0, AT_MSIX, e);
	if (rc == 0 && nvme_pool_new(n))
		rc = err_set(e, -ENOMEM, "out of memory");
	if (rc == 0)
		rc = pci_attach(&n->pci, -1, e);
	if (rc) {
		blk_release(n->disk, &n->user);
		nvme_pool_free(n);
	}
	return rc;
}

static void nvme_quiesce(struct device *dev, bool forget)
{
	struct blk *disk = ((struct nvme *)dev)->disk;

	if (forget)
		blk_cancel_waiting(disk, dev);
	blk_drain(disk);
}

static void nvme_unrealize(struct device *dev)
{
	struct nvme *n = (struct nvme *)dev;

	pci_detach(&n->pci);
	lock(&dev->lock);
	n->gone = true;
	stop(n);
	unlock(&dev->lock);
	loop_cancel(dev->machine->loop, &n->more);
	nvme_quiesce(dev, true);
	blk_release(n->disk, &n->user);
	nvme_pool_free(n);
}

static void nvme_reset(struct device *dev)
{
	struct nvme *n = (struct nvme *)dev;

	n->cc = n->aqa = 0;
	n->asq = n->acq = 0;
	stop(n);
	n->csts = n->inflight ? n->csts & CSTS_RDY : 0;
	msix_reset(&n->msix);
	pci_reset(&n->pci);
}

static bool is_queue(bool on, u32 size, u32 head, u32 tail)
{
	return !on || (size >= 2 && size <= 4096 && head < size && tail < size);
}

static u32 count_sqs(const struct nvme *n, unsigned cqid)
{
	u32 nr = 0;

	for (unsigned i = 0; i < NVME_MAX_QUEUES; i++)
		nr += n->sq[i].on && n->sq[i].cqid == cqid;
	return nr;
}

/* What was saved is no more to be trusted than the guest is. */
static bool is_sound(const struct nvme *n)
{
	bool sound = n->nr_aers <= NVME_MAX_AERS && (!n->running || (n->sq[0].on && n->cq[0].on));

	for (unsigned i = 0; i < NVME_MAX_QUEUES; i++) {
		const struct nvme_sq *sq = &n->sq[i];
		const struct nvme_cq *cq = &n->cq[i];

		sound &= is_queue(sq->on, sq->size, sq->head, sq->tail);
		sound &= is_queue(cq->on, cq->size, cq->head, cq->tail);
		sound &= i <= n->pairs || (!sq->on && !cq->on);
		sound &= !sq->on || (sq->cqid <= n->pairs && n->cq[sq->cqid].on);
		sound &= cq->nr_sqs == count_sqs(n, i);
	}
	return sound;
}

static int nvme_post_load(struct device *dev, struct err *e)
{
	struct nvme *n = (struct nvme *)dev;

	if (!is_sound(n)) {
		stop(n);
		return err_set(e, -EINVAL, "%s: what was saved has impossible queues", dev->id);
	}
	pci_post_load(&n->pci);
	nvme_update_intx(n);
	/* What had been put off when the state was saved. */
	loop_defer(dev->machine->loop, &n->more);
	return 0;
}

static const struct param nvme_params[] = {
	{"drive", PARAM_STR, offsetof(struct nvme, drive), NULL, "id of a disk"},
	{"serial", PARAM_STR, offsetof(struct nvme, serial), "", "what the guest finds, 20 bytes"},
	{"max_ioqpairs", PARAM_U32, offsetof(struct nvme, pairs), "0",
	 "I/O queues; 0: one for each vCPU"},
	{"logical_block_size", PARAM_U32, offsetof(struct nvme, block_size), "512",
	 "512 or 4096 bytes"},
	{0},
};

static const struct state_field sq_state[] = {
	STATE_FIELD(struct nvme_sq, on, STATE_INT),
	STATE_FIELD(struct nvme_sq, cqid, STATE_INT),
	STATE_FIELD(struct nvme_sq, size, STATE_INT),
	STATE_FIELD(struct nvme_sq, head, STATE_INT),
	STATE_FIELD(struct nvme_sq, tail, STATE_INT),
	STATE_FIELD(struct nvme_sq, base, STATE_INT),
	{0},
};

static const struct state_field cq_state[] = {
	STATE_FIELD(struct nvme_cq, on, STATE_INT),
	STATE_FIELD(struct nvme_cq, irq_on, STATE_INT),
	STATE_FIELD(struct nvme_cq, phase, STATE_INT),
	STATE_FIELD(struct nvme_cq, vector, STATE_INT),
	STATE_FIELD(struct nvme_cq, size, STATE_INT),
	STATE_FIELD(struct nvme_cq, head, STATE_INT),
	STATE_FIELD(struct nvme_cq, tail, STATE_INT),
	STATE_FIELD(struct nvme_cq, base, STATE_INT),
	STATE_FIELD(struct nvme_cq, nr_sqs, STATE_INT),
	{0},
};

/* Nothing is in flight when it is saved. */
static const struct state_field nvme_state[] = {
	STATE_FIELD(struct nvme, pci.config, STATE_BLOB),
	{"msix", STATE_STRUCT, offsetof(struct nvme, msix), sizeof(struct msix), 1, msix_state},
	STATE_FIELD(struct nvme, intms, STATE_INT),
	STATE_FIELD(struct nvme, cc, STATE_INT),
	STATE_FIELD(struct nvme, csts, STATE_INT),
	STATE_FIELD(struct nvme, aqa, STATE_INT),
	STATE_FIELD(struct nvme, asq, STATE_INT),
	STATE_FIELD(struct nvme, acq, STATE_INT),
	STATE_FIELD(struct nvme, running, STATE_INT),
	{"sq", STATE_ARRAY, offsetof(struct nvme, sq), sizeof(struct nvme_sq), 1, sq_state,
	 NVME_MAX_QUEUES},
	{"cq", STATE_ARRAY, offsetof(struct nvme, cq), sizeof(struct nvme_cq), 1, cq_state,
	 NVME_MAX_QUEUES},
	{"feature", STATE_ARRAY, offsetof(struct nvme, feature), 4, 1, NULL, NVME_NR_FEATURES},
	STATE_FIELD(struct nvme, over_temperature, STATE_INT),
	STATE_FIELD(struct nvme, under_temperature, STATE_INT),
	{"aer_cid", STATE_ARRAY, offsetof(struct nvme, aer_cid), 2, 1, NULL, NVME_MAX_AERS},
	STATE_FIELD(struct nvme, nr_aers, STATE_INT),
	STATE_FIELD(struct nvme, events, STATE_INT),
	STATE_FIELD(struct nvme, events_masked, STATE_INT),
	STATE_FIELD(struct nvme, ns_changed, STATE_INT),
	{0},
};

const struct device_type nvme_type = {
	.name = "nvme",
	.doc = "NVMe disk",
	.size = sizeof(struct nvme),
	.version = 1,
	.params = nvme_params,
	.state = nvme_state,
	.realize = nvme_realize,
	.unrealize = nvme_unrealize,
	.reset = nvme_reset,
	.quiesce = nvme_quiesce,
	.post_load = nvme_post_load,
};
