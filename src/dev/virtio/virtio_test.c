/* SPDX-License-Identifier: MIT */
/*
 * virtio_test.c - the transport, with the entropy device behind it: what a driver finds, the
 * rules of status and features, resets, interrupts of both kinds, saved state.
 */
#include "dev/virtio/driver.h"

#include <unistd.h>

#include "dev/devices.h"
#include "dev/pci/host.h"
#include "dev/virtio/virtio.h"

#define F_ALL \
	(VIRTIO_F(VERSION_1) | VIRTIO_F(RING_RESET) | VIRTIO_F(INDIRECT_DESC) | VIRTIO_F(EVENT_IDX))

enum { RING = 0x10000, DATA = 0x80000, INTX_PIN = 17 /* slot 1, INTA */ };
enum { OK = VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK };

static struct machine *m;
static struct device *rng;

static struct drv start(struct drv_ring *r, bool packed, bool msix)
{
	struct drv d;

	drv_plug(&d, m, 1, msix);
	CHECK(drv_negotiate(&d, F_ALL | (packed ? VIRTIO_F(RING_PACKED) : 0)));
	drv_ring_init(r, m, packed, true, 8, RING);
	drv_enable(&d, 0, r);
	drv_want_interrupt(r);
	drv_go(&d);
	CHECK(drv_read(&d, COMMON_STATUS, 1) == OK);
	return d;
}

static bool is_zero(gpa_t at, unsigned len)
{
	while (len--)
		if (tb_ram[at++])
			return false;
	return true;
}

/* One buffer there and back. */
static void ask(const struct drv *d, struct drv_ring *r, unsigned len)
{
	const struct drv_buf buf = {DATA, len, true};
	u32 got;

	memset(tb_ram + DATA, 0, len + 1);
	CHECK(drv_add(r, &buf, 1) >= 0);
	drv_kick(d, 0);
	CHECK(drv_used(r, &got) >= 0 && got == len);
	CHECK(!is_zero(DATA, len) && !tb_ram[DATA + len]);
}

/* A device with no hand in memory is one that is found by its capabilities alone. */
static void test_found(void)
{
	struct drv d;
	u32 types = 0;

	drv_plug(&d, m, 1, false);
	CHECK(as_load(m->mem, drv_config_addr(&d, 0), 4) == 0x10441af4);
	CHECK(as_load(m->mem, drv_config_addr(&d, 8), 4) == 0x00ff0001);
	CHECK(as_load(m->mem, drv_config_addr(&d, 0x2c), 4) == 0x11001af4);
	for (unsigned cap = (u8)as_load(m->mem, drv_config_addr(&d, 0x34), 1); cap;
	     cap = (u8)as_load(m->mem, drv_config_addr(&d, cap + 1), 1)) {
		u32 head = (u32)as_load(m->mem, drv_config_addr(&d, cap), 4);

		CHECK((head & 0xff) == 9 || (head & 0xff) == 0x11);
		if ((head & 0xff) != 9)
			continue;
		types |= 1u << (head >> 24);
		CHECK(as_load(m->mem, drv_config_addr(&d, cap + 4), 1) == 4);
	}
	CHECK(types == (1u << 1 | 1u << 2 | 1u << 3 | 1u << 5)); /* it has no configuration */
	CHECK(drv_offered(&d) == F_ALL);
	CHECK(drv_read(&d, COMMON_NR_QUEUES, 2) == 1);
	CHECK(drv_read(&d, COMMON_QUEUE_SIZE, 2) == 8);
	drv_write(&d, COMMON_QUEUE_SELECT, 1, 2);
	CHECK(drv_read(&d, COMMON_QUEUE_SIZE, 2) == 0);
	drv_write(&d, COMMON_QUEUE_ENABLE, 1, 2);
	drv_write(&d, COMMON_DEVICE_SELECT, 2, 4);
	CHECK(drv_read(&d, COMMON_DEVICE_FEATURES, 4) == 0);
	CHECK(drv_read(&d, DRV_DEVICE, 4) == 0);
}

static void test_status(void)
{
	struct drv d;

	drv_plug(&d, m, 1, false);
	CHECK(!drv_negotiate(&d, F_ALL | 1) && !drv_negotiate(&d, 1ull << VIRTIO_F_EVENT_IDX));
	drv_write(&d, COMMON_STATUS, OK, 1);
	CHECK(drv_read(&d, COMMON_STATUS, 1) == (VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER));
	drv_write(&d, COMMON_QUEUE_ENABLE, 1, 2); /* too early */
	CHECK(drv_read(&d, COMMON_QUEUE_ENABLE, 2) == 0);
	CHECK(drv_negotiate(&d, VIRTIO_F(VERSION_1)));
	drv_write(&d, COMMON_DRIVER_FEATURES, 0, 4); /* too late */
	CHECK(drv_read(&d, COMMON_DRIVER_FEATURES, 4) == 1);
	drv_write(&d, COMMON_STATUS, VIRTIO_NEEDS_RESET | VIRTIO_FAILED, 1);
	CHECK(drv_read(&d, COMMON_STATUS, 1) == (11 | VIRTIO_FAILED));
	drv_write(&d, COMMON_STATUS, 0, 1);
	CHECK(drv_read(&d, COMMON_STATUS, 1) == 0);
	drv_write(&d, COMMON_CONFIG_VECTOR, 2, 2);
	CHECK(drv_read(&d, COMMON_CONFIG_VECTOR, 2) == 0xffff);
	drv_write(&d, COMMON_CONFIG_VECTOR, 1, 2);
	CHECK(drv_read(&d, COMMON_CONFIG_VECTOR, 2) == 1);
	/* Halves and wholes of 64-bit registers. */
	drv_write(&d, COMMON_QUEUE_SELECT, 0, 2);
	drv_write(&d, COMMON_QUEUE_DESC, 0x123456789abcdef0, 8);
	drv_write(&d, COMMON_QUEUE_DRIVER + 4, 0x77, 4);
	CHECK(drv_read(&d, COMMON_QUEUE_DESC + 4, 4) == 0x12345678);
	CHECK(drv_read(&d, COMMON_QUEUE_DRIVER, 4) == 0);
	CHECK(drv_read(&d, COMMON_QUEUE_DRIVER + 4, 4) == 0x77);
}

static void test_msix(bool packed)
{
	static struct drv_ring r;
	struct drv d = start(&r, packed, true);
	unsigned before = tb.msis;

	ask(&d, &r, 16);
	CHECK(tb.msis == before + 1 && tb.msi.data == 0x41 && !tb.level[INTX_PIN]);
	ask(&d, &r, 16); /* not asked for one */
	CHECK(tb.msis == before + 1);
	drv_want_interrupt(&r);
	ask(&d, &r, 4095);
	CHECK(tb.msis == before + 2);
	CHECK(drv_read(&d, 0x1000, 1) == 0);
}

static void test_intx(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, false);

	ask(&d, &r, 16);
	CHECK(tb.level[INTX_PIN]);
	CHECK(drv_read(&d, 0x1000, 1) == VIRTIO_ISR_QUEUE && !tb.level[INTX_PIN]);
	CHECK(drv_read(&d, 0x1000, 1) == 0);
	drv_want_interrupt(&r);
	ask(&d, &r, 16);
	CHECK(tb.level[INTX_PIN]);
	drv_write(&d, COMMON_STATUS, 0, 1);
	CHECK(!tb.level[INTX_PIN]);
	/* Whoever switches to messages has no line any more. */
	d = start(&r, false, false);
	ask(&d, &r, 16);
	CHECK(tb.level[INTX_PIN]);
	drv_plug(&d, m, 1, true);
	CHECK(!tb.level[INTX_PIN]);
}

/* An interrupt that nobody has taken yet is there again where the machine goes on. */
static void test_intx_state(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, false);
	struct buf saved = {0};
	struct err e = {0};

	ask(&d, &r, 16);
	CHECK(device_save(rng, &saved) == 0);
	device_reset_all(m);
	CHECK(!tb.level[INTX_PIN]);
	CHECK(device_load(rng, &saved, &e) == 0);
	CHECK(tb.level[INTX_PIN]);
	CHECK(drv_read(&d, 0x1000, 1) == VIRTIO_ISR_QUEUE && !tb.level[INTX_PIN]);
	buf_destroy(&saved);
}

static void test_needs_reset(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, true);
	const struct drv_buf bad = {TB_RAM, 16, true}, wrong_way = {DATA, 16, false};
	unsigned before = tb.msis;
	u32 len;

	CHECK(drv_add(&r, &bad, 1) >= 0);
	drv_kick(&d, 0);
	CHECK(drv_read(&d, COMMON_STATUS, 1) == (OK | VIRTIO_NEEDS_RESET));
	CHECK(tb.msis == before + 1 && tb.msi.data == 0x40);
	CHECK(drv_read(&d, COMMON_GENERATION, 1) != 0);
	drv_kick(&d, 0);
	CHECK(tb.msis == before + 1 && drv_used(&r, &len) < 0);

	d = start(&r, false, true);
	CHECK(drv_add(&r, &wrong_way, 1) >= 0);
	drv_kick(&d, 0);
	CHECK(drv_read(&d, COMMON_STATUS, 1) == (OK | VIRTIO_NEEDS_RESET));

	/* A queue that is nowhere. */
	drv_plug(&d, m, 1, true);
	CHECK(drv_negotiate(&d, F_ALL));
	r.desc = TB_RAM;
	drv_enable(&d, 0, &r);
	CHECK(drv_read(&d, COMMON_STATUS, 1) & VIRTIO_NEEDS_RESET);
	CHECK(!drv_negotiate(&d, F_ALL | VIRTIO_F(RING_PACKED))); /* not offered */
}

static void test_queue_reset(void)
{
	static struct drv_ring r;
	struct drv d = start(&r, false, true);

	ask(&d, &r, 10);
	drv_write(&d, COMMON_QUEUE_RESET, 1, 2);
	CHECK(!drv_read(&d, COMMON_QUEUE_RESET, 2) && !drv_read(&d, COMMON_QUEUE_ENABLE, 2));
	CHECK(drv_read(&d, COMMON_STATUS, 1) == OK);
	drv_kick(&d, 0);
	drv_ring_init(&r, m, false, true, 4, RING + 0x2000);
	drv_enable(&d, 0, &r);
	CHECK(drv_read(&d, COMMON_QUEUE_ENABLE, 2) == 1);
	ask(&d, &r, 10);
}

/* Without bus mastering it keeps its hands off memory. */
static void test_no_master(void)
{
	static struct drv_ring r;
	const struct drv_buf buf = {DATA, 16, true};
	struct drv d = start(&r, false, true);
	u32 len;

	as_store(m->mem, drv_config_addr(&d, 4), 2, 2);
	CHECK(drv_add(&r, &buf, 1) >= 0);
	drv_kick(&d, 0);
	CHECK(drv_used(&r, &len) < 0);
	as_store(m->mem, drv_config_addr(&d, 4), 6, 2);
	drv_kick(&d, 0);
	CHECK(drv_used(&r, &len) >= 0);
}

/* Everything can be done through configuration registers, too. */
static void test_window(void)
{
	static struct drv_ring r;
	const struct drv_buf buf = {DATA, 16, true};
	struct drv d = start(&r, false, true);
	unsigned cap = 0x40;
	u64 base;
	u32 len;

	while (as_load(m->mem, drv_config_addr(&d, cap + 3), 1) != 5 ||
	       as_load(m->mem, drv_config_addr(&d, cap), 1) != 9) {
		cap = (u8)as_load(m->mem, drv_config_addr(&d, cap + 1), 1);
		CHECK(cap);
	}
	base = drv_config_addr(&d, cap);
	as_store(m->mem, base + 8, COMMON_STATUS, 4);
	as_store(m->mem, base + 12, 1, 4);
	CHECK(as_load(m->mem, base + 16, 1) == OK);
	as_store(m->mem, base + 8, COMMON_NR_QUEUES, 4);
	as_store(m->mem, base + 12, 2, 4);
	CHECK(as_load(m->mem, base + 16, 2) == 1);
	/* Crooked, too long, elsewhere: what was there before. */
	as_store(m->mem, base + 8, COMMON_STATUS + 1, 4);
	CHECK(as_load(m->mem, base + 16, 4) == 1);
	as_store(m->mem, base + 12, 8, 4);
	CHECK(as_load(m->mem, base + 16, 4) == 1);
	as_store(m->mem, base + 12, 4, 4);
	as_store(m->mem, base + 8, 0x3ffe, 4);
	CHECK(as_load(m->mem, base + 16, 4) == 1);
	as_store(m->mem, base + 8, 0xfffffffc, 4);
	as_store(m->mem, base + 16, ~0u, 4);
	as_store(m->mem, base + 4, 1, 1);
	as_store(m->mem, base + 8, 0, 4);
	CHECK(as_load(m->mem, base + 16, 4) == ~0u);
	/* A notification. */
	as_store(m->mem, base + 4, 4, 1);
	CHECK(drv_add(&r, &buf, 1) >= 0);
	as_store(m->mem, base + 8, DRV_NOTIFY, 4);
	as_store(m->mem, base + 12, 2, 4);
	as_store(m->mem, base + 16, 0, 2);
	CHECK(drv_used(&r, &len) >= 0);
}

/* Saved in the middle of it, reset, loaded: it goes on where it was, and saves the same. */
static void test_state(bool packed)
{
	static struct drv_ring r;
	struct buf one = {0}, two = {0};
	struct drv d = start(&r, packed, true);
	struct err e = {0};

	for (unsigned i = 0; i < 13; i++)
		ask(&d, &r, 16);
	CHECK(device_save(rng, &one) == 0);
	device_reset_all(m);
	CHECK(as_load(m->mem, DRV_BAR + (1 << 20) + COMMON_STATUS, 1) == 0xff);
	CHECK(device_load(rng, &one, &e) == 0);
	CHECK(device_save(rng, &two) == 0);
	CHECK(one.len == two.len && !memcmp(one.data, two.data, one.len));
	CHECK(drv_read(&d, COMMON_STATUS, 1) == OK);
	drv_want_interrupt(&r);
	for (unsigned i = 0; i < 13; i++)
		ask(&d, &r, 16);
	/* What was saved may be damaged. */
	for (size_t i = 2; i < one.len; i += 1 + i / 100) {
		u8 was = one.data[i];

		one.data[i] = 0xff;
		one.pos = 0;
		if (device_load(rng, &one, &e) == 0)
			drv_kick(&d, 0);
		one.data[i] = was;
	}
	device_reset_all(m);
	buf_destroy(&one);
	buf_destroy(&two);
}

static void test_rate(struct device *slow)
{
	static struct drv_ring r;
	const struct drv_buf buf = {DATA, 1000, true};
	struct drv d;
	u32 len;

	clock_resume(m);
	drv_plug(&d, m, 2, true);
	CHECK(drv_negotiate(&d, F_ALL));
	drv_ring_init(&r, m, false, true, 8, RING);
	drv_enable(&d, 0, &r);
	drv_go(&d);
	CHECK(drv_add(&r, &buf, 1) >= 0 && drv_add(&r, &buf, 1) >= 0 && drv_add(&r, &buf, 1) >= 0);
	drv_kick(&d, 0);
	CHECK(drv_used(&r, &len) >= 0 && len == 1000);
	CHECK(drv_used(&r, &len) >= 0 && len == 500);
	CHECK(drv_used(&r, &len) < 0);
	for (unsigned i = 0; i < 10000 && drv_used(&r, &len) < 0; i++) {
		usleep(1000);
		loop_step(m->loop);
	}
	CHECK(len == 1000);
	clock_pause(m);
	device_del(slow);
}

int main(void)
{
	struct err e = {0};

	m = tb_new();
	tb_add(m, "q35-pcihost");
	rng = tb_add(m, "virtio-rng-pci");
	test_found();
	test_status();
	test_msix(false);
	device_reset_all(m); /* MSI-X is off */
	test_intx();
	device_reset_all(m);
	test_intx_state();
	test_needs_reset();
	test_queue_reset();
	test_no_master();
	test_window();
	test_state(false);
	device_del(rng);
	CHECK(!tb_try_add(m, "virtio-rng-pci,period=0", &e));
	rng = tb_add(m, "virtio-rng-pci,packed=on");
	test_msix(true);
	test_state(true);
	test_rate(tb_add(m, "virtio-rng-pci,max-bytes=1500,period=20"));
	tb_free(m);
	return 0;
}
