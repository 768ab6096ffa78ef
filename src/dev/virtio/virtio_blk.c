/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.c - virtio block device (as QEMU's virtio-blk-pci).
 *
 * Source: VIRTIO 1.2, "Block Device".  Its configuration:
 *
 *   offset  size  what
 *   0       8     capacity in sectors of 512 bytes
 *   8       4     bytes a data buffer may have
 *   12      4     data buffers a request may have
 *   20      4     block size in bytes
 *   24      1     log2 of how many of them make a physical block
 *   26      2, 4  least and best size of I/O, in blocks (0: nothing to say)
 *   32      1     writable: 1 after a reset, the disk caches writes; 0: each write is durable
 *   34      2     queues
 *   36      4, 4, 4  discard: sectors and ranges a request, alignment in sectors
 *   48      4, 4, 1  write zeroes: sectors and ranges a request, whether it may unmap
 *
 * A request's first 16 bytes say what it is, its last byte takes the status; however the
 * driver cuts it into buffers.  Requests are served where the driver notifies: what the host
 * has in memory is finished before the notification returns, with one interrupt for all.
 *
 * Not modelled: geometry, lifetime, secure erase, zones, SCSI commands.
 */
#include "dev/devices.h"

#include <errno.h>
#include <stdlib.h>

#include "dev/virtio/virtio.h"
#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/guestmem.h"
#include "sundog/machine.h"

enum { /* feature bits */
       F_SIZE_MAX = 1,
       F_SEG_MAX = 2,
       F_RO = 5,
       F_BLK_SIZE = 6,
       F_FLUSH = 9,
       F_TOPOLOGY = 10,
       F_CONFIG_WCE = 11,
       F_MQ = 12,
       F_DISCARD = 13,
       F_WRITE_ZEROES = 14,
};

enum { /* configuration */
       CFG_CAPACITY = 0,
       CFG_SIZE_MAX = 8,
       CFG_SEG_MAX = 12,
       CFG_BLK_SIZE = 20,
       CFG_PHYSICAL_EXP = 24,
       CFG_WRITEBACK = 32,
       CFG_NUM_QUEUES = 34,
       CFG_DISCARD_SECTORS = 36,
       CFG_DISCARD_RANGES = 40,
       CFG_DISCARD_ALIGN = 44,
       CFG_ZEROES_SECTORS = 48,
       CFG_ZEROES_RANGES = 52,
       CFG_ZEROES_UNMAP = 56,
       CFG_SIZE = 60,
};

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { HEADER_SIZE = 16, RANGE_SIZE = 16, ID_SIZE = 20, RANGE_UNMAP = 1 };
enum { MAX_SEGS = 254, MAX_SEG = 1 << 20, MAX_RANGE = 1 << 22 /* sectors */ };
enum { BUDGET = 256, BUDGET_BYTES = 256 << 10 /* for each of it */ };

struct vblk;

struct request {
	struct blk_req blk;
	struct vblk *dev;
	struct virtqueue *queue;
	struct request *next; /* free */
	struct vq_chain chain;
	void *status; /* in guest memory */
	u32 written;
};

/* A queue's requests, made with the device. */
struct pool {
	struct request *all, *free;
	struct iovec *iov;
	struct vq_seg *seg;
	bool waits; /* there was none left: look at the queue when one comes back */
	bool again; /* the queue was left with something in it, and more will see to it */
};

struct vblk {
	struct virtio virtio;
	struct blk *disk;
	struct blk_user user;
	struct pool pool[VIRTIO_MAX_QUEUES];
	struct task more;
	bool fua; /* what the driver has written is durable when we say it is done */

	const char *drive, *serial; /* options */
	u32 num_queues, queue_size, block_size, physical_size;
	bool discard, write_zeroes, config_wce;
};

/* --- requests ------------------------------------------------------------------------------ */

static u8 status_of(int res)
{
	if (res == 0)
		return S_OK;
	return res == -EOPNOTSUPP ? S_UNSUPP : S_IOERR;
}

static void put_back(struct pool *p, struct request *r)
{
	r->next = p->free;
	p->free = r;
}

static void complete(struct request *r, int res)
{
	struct pool *p = &r->dev->pool[r->queue->index];

	if (vq_is_current(r->queue, &r->chain))
		guestmem_store(r->status, status_of(res), 1);
	vq_push(r->queue, &r->chain, r->written);
	put_back(p, r);
}

static void done(struct blk_req *blk, int res)
{
	struct request *r = container_of(blk, struct request, blk);
	struct vblk *d = r->dev;
	struct virtqueue *q = r->queue;

	complete(r, res);
	virtio_flush(&d->virtio, q);
	if (d->pool[q->index].waits)
		virtio_notify(&d->virtio, q->index);
}

static int submit(struct request *r, enum blk_op op, const struct iovec *iov, unsigned iovcnt)
{
	r->blk.op = op;
	r->blk.iov = iov;
	r->blk.iovcnt = iovcnt;
	return blk_submit(r->dev->disk, &r->blk);
}

static bool to_bytes(u64 sectors, u64 *bytes)
{
	*bytes = sectors * BLK_SECTOR;
	return sectors <= UINT64_MAX / BLK_SECTOR;
}

static int serve_data(struct request *r, bool in, u64 sector)
{
	struct vq_chain *c = &r->chain;

	r->blk.len = in ? c->in_len : c->out_len;
	/* However it is cut: what is done at one go has an end. */
	if (r->blk.len > (u64)MAX_SEGS * MAX_SEG)
		return -EINVAL;
	if (r->blk.len % BLK_SECTOR || !to_bytes(sector, &r->blk.offset))
		return -EINVAL;
	r->blk.flags = !in && r->dev->fua ? BLK_FUA : 0;
	return in ? submit(r, BLK_READ, c->in, c->nr_in) : submit(r, BLK_WRITE, c->out, c->nr_out);
}

static int serve_flush(struct request *r)
{
	r->blk.offset = r->blk.len = 0;
	r->blk.flags = 0;
	return submit(r, BLK_FLUSH, NULL, 0);
}

static int serve_id(struct request *r)
{
	char id[ID_SIZE] = {0};

	memcpy(id, r->dev->serial, strlen(r->dev->serial)); /* at most as long */
	return vq_give(&r->chain, id, r->chain.in_len < ID_SIZE ? r->chain.in_len : ID_SIZE)
		       ? 0
		       : -EINVAL;
}

/* One range: that is what the configuration says. */
static int serve_range(struct request *r, enum blk_op op)
{
	bool offered = op == BLK_DISCARD ? r->dev->discard : r->dev->write_zeroes;
	u32 allowed = op == BLK_DISCARD ? 0 : RANGE_UNMAP;
	u8 range[RANGE_SIZE];
	u32 sectors, flags;

	if (!offered)
		return -EOPNOTSUPP;
	if (r->chain.out_len != RANGE_SIZE || !vq_take(&r->chain, range, RANGE_SIZE))
		return -EINVAL;
	sectors = ld_le32(range + 8);
	flags = ld_le32(range + 12);
	if (flags & ~allowed)
		return -EOPNOTSUPP;
	if (sectors > MAX_RANGE || !to_bytes(ld_le64(range), &r->blk.offset))
		return -EINVAL;
	r->blk.len = (u64)sectors * BLK_SECTOR;
	r->blk.flags = (flags & RANGE_UNMAP ? BLK_UNMAP : 0) | (r->dev->fua ? BLK_FUA : 0);
	return submit(r, op, NULL, 0);
}

static int serve(struct request *r, u32 type, u64 sector)
{
	switch (type) {
	case T_IN: return serve_data(r, true, sector);
	case T_OUT: return serve_data(r, false, sector);
	case T_FLUSH: return serve_flush(r);
	case T_GET_ID: return serve_id(r);
	case T_DISCARD: return serve_range(r, BLK_DISCARD);
	case T_WRITE_ZEROES: return serve_range(r, BLK_WRITE_ZEROES);
	default: return -EOPNOTSUPP;
	}
}

/* -EINVAL: not even a request. */
static int start(struct request *r)
{
	u8 header[HEADER_SIZE];
	u32 type;
	int res;

	r->written = (u32)r->chain.in_len;
	r->status = vq_last(&r->chain);
	if (!r->status || !vq_take(&r->chain, header, HEADER_SIZE))
		return -EINVAL;
	type = ld_le32(header);
	if (type != T_IN && type != T_GET_ID)
		r->written = 1;
	res = serve(r, type, ld_le64(header + 8));
	if (res != BLK_PENDING)
		complete(r, res);
	return 0;
}

/* --- queues -------------------------------------------------------------------------------- */

static struct request *take_request(struct pool *p)
{
	struct request *r = p->free;

	if (r)
		p->free = r->next;
	return r;
}

/* What a request takes of the budget: it may be many megabytes, copied here and now. */
static unsigned cost(const struct vq_chain *c, unsigned left)
{
	u64 n = 1 + (c->in_len + c->out_len) / BUDGET_BYTES;

	return n < left ? (unsigned)n : left;
}

/* 1: a chain was taken and may be done already.  0: there is none.  Else: the driver is wrong. */
static int run_one(struct vblk *d, struct virtqueue *q, struct request *r, unsigned *left)
{
	struct pool *p = &d->pool[q->index];
	int rc = virtio_pop(&d->virtio, q, &r->chain);

	if (rc <= 0) {
		put_back(p, r);
		return rc;
	}
	*left -= cost(&r->chain, *left);
	rc = start(r);
	if (rc == 0)
		return 1;
	vq_push(q, &r->chain, 0);
	put_back(p, r);
	virtio_fail(&d->virtio, "a request without header or status");
	return rc;
}

/*
 * All that is in the queue, but not for ever: a driver on another CPU may put more in as fast
 * as we take it out, and we are in an access of this one.
 */
static void vblk_notified(struct virtio *v, struct virtqueue *q)
{
	struct vblk *d = container_of(v, struct vblk, virtio);
	struct pool *p = &d->pool[q->index];
	unsigned left = BUDGET;
	int rc = 1;

	vq_hush(q);
	p->waits = false;
	while (rc > 0 && left) {
		struct request *r = take_request(p);

		if (!r) {
			p->waits = true;
			break;
		}
		rc = run_one(d, q, r, &left);
		if (rc == 0 && virtio_rearm(v, q)) {
			left--;
			rc = 1;
		}
	}
	if (!left && rc > 0) {
		p->again = true;
		loop_defer(v->pci.dev.machine->loop, &d->more);
	}
	virtio_flush(v, q);
}

static void run_more(struct task *t)
{
	struct vblk *d = container_of(t, struct vblk, more);

	for (unsigned i = 0; i < d->virtio.nr_queues; i++) {
		if (!d->pool[i].again)
			continue;
		d->pool[i].again = false;
		virtio_notify(&d->virtio, i);
	}
}

static void vblk_queue_reset(struct virtio *v, struct virtqueue *q)
{
	struct vblk *d = container_of(v, struct vblk, virtio);

	d->pool[q->index].waits = d->pool[q->index].again = false;
}

/* --- configuration ------------------------------------------------------------------------- */

/* "Device Operation" of the block device: when a completed write has to be durable. */
static void update_fua(struct vblk *d)
{
	struct virtio *v = &d->virtio;

	v->config_writable[CFG_WRITEBACK] = virtio_has(v, F_CONFIG_WCE) ? 0xff : 0;
	if (virtio_has(v, F_CONFIG_WCE))
		d->fua = !v->config[CFG_WRITEBACK];
	else
		d->fua = !virtio_has(v, F_FLUSH);
}

static void vblk_config_written(struct virtio *v)
{
	v->config[CFG_WRITEBACK] &= 1;
	update_fua(container_of(v, struct vblk, virtio));
}

static void vblk_features_set(struct virtio *v)
{
	v->config[CFG_WRITEBACK] = 1;
	update_fua(container_of(v, struct vblk, virtio));
}

static const struct virtio_ops vblk_ops = {
	.id = VIRTIO_ID_BLOCK,
	.class_code = 0x010000,
	.config_size = CFG_SIZE,
	.notified = vblk_notified,
	.queue_reset = vblk_queue_reset,
	.features_set = vblk_features_set,
	.config_written = vblk_config_written,
};

static u64 features(struct vblk *d)
{
	u64 f = 1u << F_SIZE_MAX | 1u << F_SEG_MAX | 1u << F_BLK_SIZE | 1u << F_FLUSH |
		1u << F_TOPOLOGY | 1u << F_MQ;

	d->discard &= !blk_is_read_only(d->disk);
	d->write_zeroes &= !blk_is_read_only(d->disk);
	return f | (u64)blk_is_read_only(d->disk) << F_RO | (u64)d->config_wce << F_CONFIG_WCE |
	       (u64)d->discard << F_DISCARD | (u64)d->write_zeroes << F_WRITE_ZEROES;
}

static unsigned max_segs(const struct vblk *d)
{
	return d->queue_size - 2 < MAX_SEGS ? d->queue_size - 2 : MAX_SEGS;
}

static void fill_config(struct vblk *d)
{
	u8 *c = d->virtio.config;

	st_le64(c + CFG_CAPACITY, blk_size(d->disk) / BLK_SECTOR);
	st_le32(c + CFG_SIZE_MAX, MAX_SEG);
	st_le32(c + CFG_SEG_MAX, max_segs(d));
	st_le32(c + CFG_BLK_SIZE, d->block_size);
	c[CFG_PHYSICAL_EXP] = (u8)__builtin_ctz(d->physical_size / d->block_size);
	c[CFG_WRITEBACK] = 1;
	st_le16(c + CFG_NUM_QUEUES, (u16)d->num_queues);
	if (d->discard) {
		st_le32(c + CFG_DISCARD_SECTORS, MAX_RANGE);
		st_le32(c + CFG_DISCARD_RANGES, 1);
		st_le32(c + CFG_DISCARD_ALIGN, d->physical_size / BLK_SECTOR);
	}
	if (d->write_zeroes) {
		st_le32(c + CFG_ZEROES_SECTORS, MAX_RANGE);
		st_le32(c + CFG_ZEROES_RANGES, 1);
		c[CFG_ZEROES_UNMAP] = 1;
	}
}

static void resized(struct device *dev)
{
	struct vblk *d = (struct vblk *)dev;

	st_le64(d->virtio.config + CFG_CAPACITY, blk_size(d->disk) / BLK_SECTOR);
	virtio_config_changed(&d->virtio);
}

/* --- the device ---------------------------------------------------------------------------- */

static void free_pools(struct vblk *d)
{
	for (unsigned i = 0; i < VIRTIO_MAX_QUEUES; i++) {
		free(d->pool[i].all);
		free(d->pool[i].iov);
		free(d->pool[i].seg);
	}
}

/* As many requests as chains can be in flight: the memory is touched when they are used. */
static int make_pool(struct vblk *d, unsigned i)
{
	struct pool *p = &d->pool[i];
	unsigned n = d->queue_size, max = max_segs(d) + 2;

	p->all = calloc(n, sizeof(*p->all));
	p->iov = calloc((size_t)n * max, sizeof(*p->iov));
	p->seg = calloc((size_t)n * max, sizeof(*p->seg));
	if (!p->all || !p->iov || !p->seg)
		return -ENOMEM;
	while (n--) {
		struct request *r = &p->all[n];

		r->dev = d;
		r->queue = &d->virtio.queue[i];
		r->blk.done = done;
		r->blk.owner = &d->virtio.pci.dev;
		r->chain.iov = p->iov + (size_t)n * max;
		r->chain.seg = p->seg + (size_t)n * max;
		r->chain.max = max;
		put_back(p, r);
	}
	return 0;
}

static bool is_block_size(u32 size)
{
	return size >= BLK_SECTOR && size <= 65536 && !(size & (size - 1));
}

static int check_options(struct vblk *d, struct err *e)
{
	unsigned cpus = d->virtio.pci.dev.machine->nr_vcpus;

	if (!d->num_queues)
		d->num_queues = cpus ? cpus : 1;
	if (d->num_queues > VIRTIO_MAX_QUEUES)
		return err_set(e, -EINVAL, "num-queues=%u: at most %d", d->num_queues,
			       VIRTIO_MAX_QUEUES);
	if (d->queue_size < 4)
		return err_set(e, -EINVAL, "queue-size=%u: at least 4", d->queue_size);
	if (!is_block_size(d->block_size) || !is_block_size(d->physical_size) ||
	    d->physical_size < d->block_size)
		return err_set(e, -EINVAL,
			       "block sizes %u and %u: powers of two from 512 to 65536, the "
			       "physical one not the smaller",
			       d->block_size, d->physical_size);
	if (strlen(d->serial) > ID_SIZE)
		return err_set(e, -EINVAL, "serial=%s: at most %d bytes", d->serial, ID_SIZE);
	d->user = (struct blk_user){.owner = &d->virtio.pci.dev, .resized = resized};
	d->disk = blk_claim(d->virtio.pci.dev.machine, d->drive, &d->user, e);
	return d->disk ? 0 : e->code;
}

static int vblk_realize(struct device *dev, struct err *e)
{
	struct vblk *d = (struct vblk *)dev;
	int rc = check_options(d, e);

	d->more = (struct task){.owner = dev, .fn = run_more};
	for (unsigned i = 0; rc == 0 && i < d->num_queues; i++)
		if (make_pool(d, i))
			rc = err_set(e, -ENOMEM, "out of memory");
	if (rc == 0)
		rc = virtio_realize(&d->virtio, &vblk_ops, features(d), d->num_queues,
				    d->queue_size, e);
	if (rc && d->disk)
		blk_release(d->disk, &d->user);
	if (rc)
		free_pools(d);
	return rc;
}

static void vblk_quiesce(struct device *dev, bool forget)
{
	struct blk *disk = ((struct vblk *)dev)->disk;

	if (forget)
		blk_cancel_waiting(disk, dev);
	blk_drain(disk);
}

static void vblk_unrealize(struct device *dev)
{
	struct vblk *d = (struct vblk *)dev;

	virtio_unrealize(&d->virtio);
	loop_cancel(dev->machine->loop, &d->more);
	vblk_quiesce(dev, true);
	blk_release(d->disk, &d->user);
	free_pools(d);
}

static void vblk_reset(struct device *dev)
{
	struct vblk *d = (struct vblk *)dev;

	virtio_reset(&d->virtio);
	fill_config(d);
}

static int vblk_post_load(struct device *dev, struct err *e)
{
	struct vblk *d = (struct vblk *)dev;
	int rc = virtio_post_load(&d->virtio, e);

	if (rc)
		return rc;
	update_fua(d);
	/* What had been put off when the state was saved. */
	for (unsigned i = 0; i < d->num_queues; i++)
		d->pool[i].again = true;
	loop_defer(dev->machine->loop, &d->more);
	return 0;
}

static const struct param vblk_params[] = {
	{"drive", PARAM_STR, offsetof(struct vblk, drive), NULL, "id of a disk"},
	{"serial", PARAM_STR, offsetof(struct vblk, serial), "", "what the guest finds, 20 bytes"},
	{"num-queues", PARAM_U32, offsetof(struct vblk, num_queues), "0",
	 "queues; 0: one for each vCPU"},
	{"queue-size", PARAM_U32, offsetof(struct vblk, queue_size), "256", "4 to 1024"},
	{"logical_block_size", PARAM_U32, offsetof(struct vblk, block_size), "512", "bytes"},
	{"physical_block_size", PARAM_U32, offsetof(struct vblk, physical_size), "512", "bytes"},
	{"discard", PARAM_BOOL, offsetof(struct vblk, discard), "on", "offer it"},
	{"write-zeroes", PARAM_BOOL, offsetof(struct vblk, write_zeroes), "on", "offer it"},
	{"config-wce", PARAM_BOOL, offsetof(struct vblk, config_wce), "on",
	 "the guest may turn the write cache off"},
	VIRTIO_PARAMS(struct vblk),
	{0},
};

static const struct state_field vblk_state[] = {
	{"virtio", STATE_STRUCT, offsetof(struct vblk, virtio), sizeof(struct virtio), 1,
	 virtio_state},
	{0},
};

const struct device_type virtio_blk_type = {
	.name = "virtio-blk-pci",
	.doc = "virtio disk",
	.size = sizeof(struct vblk),
	.version = 1,
	.params = vblk_params,
	.state = vblk_state,
	.realize = vblk_realize,
	.unrealize = vblk_unrealize,
	.reset = vblk_reset,
	.quiesce = vblk_quiesce,
	.post_load = vblk_post_load,
};
