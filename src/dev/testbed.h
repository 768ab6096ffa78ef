/* SPDX-License-Identifier: MIT */
/*
 * testbed.h - a machine without CPUs, for unit tests and fuzzers of devices and boards: real
 * address spaces, clock, loop and devices; interrupt lines, console and requests that count.
 *
 * Included by exactly one file of a program.
 */
#ifndef DEV_TESTBED_H
#define DEV_TESTBED_H

#include "dev/check.h"
#include "sundog/chardev.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/opts.h"

enum { TB_LINES = 32, TB_OUT = 4096, TB_RAM = 1 << 20 };

/* What happened. */
static struct {
	bool level[TB_LINES];
	unsigned rises[TB_LINES];
	unsigned resets, shutdowns, pauses, msis;
	int exit_code;
	struct msi_msg msi;
	u8 out[TB_OUT];
	size_t out_len, out_room; /* room: what the console still takes */
	struct chardev_client client;
	unsigned kicks;
} tb;

static struct machine tb_machine;
static u8 tb_ram[TB_RAM];

void machine_request_reset(struct machine *m)
{
	tb.resets++;
}

void machine_request_shutdown(struct machine *m, int exit_code)
{
	tb.shutdowns++;
	tb.exit_code = exit_code;
}

void machine_request_pause(struct machine *m)
{
	tb.pauses++;
}

void machine_add_run_hook(struct machine *m, struct run_hook *h)
{
}

void machine_remove_run_hook(struct machine *m, struct run_hook *h)
{
}

struct chardev {
	int unused;
};

struct chardev *chardev_open(struct machine *m, const char *spec, struct err *e)
{
	static struct chardev only;

	return &only;
}

void chardev_close(struct chardev *c)
{
}

void chardev_attach(struct chardev *c, const struct chardev_client *client)
{
	tb.client = *client;
}

void chardev_detach(struct chardev *c)
{
	tb.client = (struct chardev_client){0};
}

size_t chardev_write(struct chardev *c, const u8 *buf, size_t len)
{
	size_t n = len < tb.out_room ? len : tb.out_room;

	for (size_t i = 0; i < n; i++)
		tb.out[tb.out_len++ % TB_OUT] = buf[i];
	tb.out_room -= n;
	return n;
}

void chardev_kick(struct chardev *c)
{
	tb.kicks++;
}

/* As the console's input does it; returns how much the device took. */
static inline size_t tb_input(const char *text)
{
	size_t room, len = strlen(text);

	lock(&tb.client.owner->lock);
	room = tb.client.room(tb.client.opaque);
	len = len < room ? len : room;
	if (len)
		tb.client.input(tb.client.opaque, (const u8 *)text, len);
	unlock(&tb.client.owner->lock);
	return len;
}

static inline void tb_writable(size_t room)
{
	tb.out_room = room;
	lock(&tb.client.owner->lock);
	tb.client.writable(tb.client.opaque);
	unlock(&tb.client.owner->lock);
}

static inline void tb_set(void *sink, unsigned pin, bool level)
{
	if (level && !tb.level[pin])
		tb.rises[pin]++;
	tb.level[pin] = level;
}

static inline struct irq_line tb_irq(struct machine *m, unsigned gsi)
{
	return (struct irq_line){.set = tb_set, .sink = &tb, .pin = gsi % TB_LINES};
}

static inline void tb_msi(struct machine *m, const struct msi_msg *msg)
{
	tb.msis++;
	tb.msi = *msg;
}

/* An empty machine with TB_RAM bytes of RAM at 0; time stands still until clock_resume(). */
static inline struct machine *tb_new(void)
{
	static const struct board board = {.name = "testbed", .irq = tb_irq, .msi = tb_msi};
	static struct region ram;
	struct machine *m = &tb_machine;
	struct err e = {0};

	memset(&tb, 0, sizeof(tb));
	memset(m, 0, sizeof(*m));
	memset(tb_ram, 0, sizeof(tb_ram));
	tb.out_room = TB_OUT;
	m->board = &board;
	lock_init(&m->lock, LOCK_MACHINE, "machine");
	m->mem = as_new("mem", 1ull << 52);
	m->pio = as_new("pio", 0x10000);
	m->loop = loop_new();
	CHECK(m->mem && m->pio && m->loop);
	loop_set_machine(m->loop, m);
	CHECK(clock_init(m, &e) == 0);
	ram = (struct region){.name = "ram", .size = TB_RAM, .kind = REGION_RAM, .host = tb_ram};
	CHECK(as_map(m->mem, &ram) == 0);
	return m;
}

static inline void tb_free(struct machine *m)
{
	device_del_all(m);
	clock_destroy(m);
	loop_free(m->loop);
	as_free(m->mem);
	as_free(m->pio);
	lock_destroy(&m->lock);
}

static inline struct device *tb_try_add(struct machine *m, const char *spec, struct err *e)
{
	struct opts *o = opts_parse(spec, e);
	struct device *dev = o ? device_add(m, o, e) : NULL;

	opts_free(o);
	return dev;
}

static inline struct device *tb_add(struct machine *m, const char *spec)
{
	struct err e = {0};
	struct device *dev = tb_try_add(m, spec, &e);

	if (!dev)
		fprintf(stderr, "%s: %s\n", spec, e.msg);
	CHECK(dev);
	return dev;
}

static inline u8 tb_in(struct machine *m, u16 port)
{
	return (u8)as_load(m->pio, port, 1);
}

static inline void tb_out(struct machine *m, u16 port, u8 val)
{
	as_store(m->pio, port, val, 1);
}

#endif
