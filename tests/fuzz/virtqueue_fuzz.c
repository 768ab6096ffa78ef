/* SPDX-License-Identifier: MIT */
/*
 * virtqueue_fuzz.c - a virtqueue of either kind in memory that the input writes to, before and
 * between pops.
 *
 * The first byte chooses kind and features, the second the size; then each op is a byte.
 */
#include "dev/testbed.h"
#include "fuzz/input.h"

#include "dev/virtio/virtio_ids.h"
#include "dev/virtio/virtqueue.h"

enum { SEGS = 16, NR_CHAINS = 8, DESC = 0x1000, DRIVER = 0x2000, DEVICE = 0x3000, DATA = 0x4000 };

const struct device_type *const device_types[] = {NULL};

static struct {
	struct vq_chain chain;
	struct iovec iov[SEGS];
	struct vq_seg seg[SEGS];
	bool taken;
} slots[NR_CHAINS];

/* Something that could be a descriptor, in the ring or in a table; or any bytes anywhere. */
static void poke(struct machine *m, struct input *in, bool packed)
{
	u8 what = (u8)input_take(in, 1);
	gpa_t at = (what & 1 ? DATA : DESC) + (what >> 1 & 31) * 16u;

	if (what & 0x80) {
		as_store(m->mem, DESC + (input_take(in, 2) & 0x3fff), input_take(in, 2), 2);
		return;
	}
	as_store(m->mem, at, what & 0x40 ? input_take(in, 8) : DATA + input_take(in, 2) % 0x1000,
		 8);
	as_store(m->mem, at + 8, input_take(in, 2) & (what & 0x40 ? 0xffff : 0x1ff), 4);
	as_store(m->mem, at + (packed ? 14 : 12), input_take(in, packed ? 2 : 1), 2);
	as_store(m->mem, at + (packed ? 12 : 14), input_take(in, 1) & 31, 2);
}

static void check_chain(const struct vq_chain *c)
{
	u64 sum = 0;

	CHECK(c->nr_out + c->nr_in <= SEGS && c->nr_out + c->nr_in > 0);
	for (unsigned i = 0; i < c->nr_out + c->nr_in; i++) {
		const u8 *p = c->iov[i].iov_base;

		CHECK(p >= tb_ram && range_fits((u64)(p - tb_ram), c->iov[i].iov_len, TB_RAM));
		sum += c->iov[i].iov_len;
	}
	CHECK(sum == c->out_len + c->in_len);
}

static void pop(struct virtqueue *q, unsigned i)
{
	struct vq_chain *c = &slots[i].chain;
	u8 buf[64];
	int rc;

	if (slots[i].taken)
		return;
	*c = (struct vq_chain){.iov = slots[i].iov, .seg = slots[i].seg, .max = SEGS};
	rc = vq_pop(q, c);
	CHECK(rc == 0 || rc == 1 || (rc == -22 && q->error));
	if (rc != 1)
		return;
	check_chain(c);
	slots[i].taken = true;
	if (vq_take(c, buf, sizeof(buf)) && c->in_len >= sizeof(buf))
		CHECK(vq_give(c, buf, sizeof(buf)));
}

static void use(struct virtqueue *q, unsigned i, u32 written)
{
	u8 *last;

	if (!slots[i].taken)
		return;
	slots[i].taken = false;
	last = vq_last(&slots[i].chain);
	CHECK(!last || (last >= tb_ram && last < tb_ram + TB_RAM));
	vq_push(q, &slots[i].chain, written);
}

static void start(struct virtqueue *q, struct input *in, u64 features)
{
	vq_reset(q);
	q->size = (u16)(1 + input_take(in, 1) % 64);
	q->desc = DESC;
	q->driver = DRIVER;
	q->device = DEVICE;
	(void)!vq_start(q, features);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static struct machine *m;
	static struct device dev = {.id = "fuzz"};
	struct input in = {data, size};
	u8 kind = (u8)input_take(&in, 1);
	u64 features = (kind & 1 ? VIRTIO_F(RING_PACKED) : 0) |
		       (kind & 2 ? VIRTIO_F(EVENT_IDX) : 0) |
		       (kind & 4 ? VIRTIO_F(INDIRECT_DESC) : 0);
	struct virtqueue q;

	if (!m)
		m = tb_new();
	dev.machine = m;
	memset(tb_ram, 0, DATA + 0x2000);
	memset(slots, 0, sizeof(slots));
	vq_init(&q, &dev, 0, 64);
	start(&q, &in, features);
	while (in.left) {
		u8 op = (u8)input_take(&in, 1);

		switch (op & 7) {
		case 0: pop(&q, op >> 3 & 7); break;
		case 1: use(&q, op >> 3 & 7, op); break;
		case 2: (void)!vq_flush(&q); break;
		case 3: op & 8 ? vq_hush(&q) : (void)!vq_rearm(&q); break;
		case 4: /* an index, as a driver moves it */
			as_store(m->mem, DRIVER + 2, as_load(m->mem, DRIVER + 2, 2) + 1, 2);
			break;
		case 5:
			if (op >> 3 == 0)
				start(&q, &in, features);
			break;
		default: poke(m, &in, kind & 1); break;
		}
	}
	for (unsigned i = 0; i < NR_CHAINS; i++)
		use(&q, i, 0);
	CHECK(q.busy == 0);
	return 0;
}
