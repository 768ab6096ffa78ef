/* SPDX-License-Identifier: MIT */
/*
 * pit.c - programmable interval timer of the PC/AT: Intel 8254, and system control port B.
 *
 * Source: Intel 8254 data sheet (231164), "Mode Definitions"; port 0x61: Intel ICH data
 * sheets, "NMI Status and Control Register".
 *
 *   0x40..0x42  counter 0..2: r/w as programmed
 *   0x43        w: control word, counter latch, read-back; reads 0
 *   0x61        bit 0 r/w gate of counter 2, 1 r/w speaker, 2 and 3 r/w NMI enables,
 *               4 r refresh toggle, 5 r OUT2; reset 0
 *
 * Reset: the data sheet leaves the counters undefined; here none counts and OUT is high, as
 * after control word 0x36 without a count.
 *
 * A counter is not stepped: its registers are computed from the number of clocks since it was
 * loaded, which comes from CLOCK_GUEST at 1193182 Hz without rounding errors adding up.
 *
 * Not modelled: the speaker's sound; counts that are illegal in modes 2 and 3 (1) count as 2;
 * in the clock between the write of a count and its load, reads give the new count.  Rising
 * edges of OUT0 that come less than TIMER_MIN_PERIOD_NS apart become one.
 */
#include "dev/timer/pit.h"

#include <errno.h>

#include "dev/map.h"
#include "dev/timer/limits.h"
#include "sundog/err.h"
#include "sundog/machine.h"

#define PIT_HZ 1193182ull

enum { RW_LATCH, RW_LSB, RW_MSB, RW_BOTH };
enum { PORT_B_GATE2 = 1, PORT_B_WRITABLE = 0xf, PORT_B_REFRESH = 0x10, PORT_B_OUT2 = 0x20 };
enum { REFRESH_NS = 15085 };

/*
 * A counting element.  Modes 0, 1, 4, 5: at clock t0 the count is ce, and falls; done means
 * that it has reached 0 before t0.  Modes 2, 3: a (half) cycle of a period of ce clocks began
 * at t0.  Where the gate holds the count, running is false and t0 means nothing.
 */
struct counter {
	u8 mode, rw;
	bool bcd, gate;
	u16 cr;		       /* the count register as written */
	u8 wr_low;	       /* first byte of two */
	bool wr_high, rd_high; /* the next byte is the second one */
	bool null;	       /* cr has not been loaded: with t0, status bit 6 */
	bool loaded;	       /* there is something to count */
	bool running, done;
	bool half; /* mode 3: the low half; mode 2: not used */
	u32 ce;
	u32 held; /* the count, while running is false */
	u64 t0;
	u8 latched; /* bytes of latch that wait to be read */
	u16 latch;
	bool has_status;
	u8 status;
};

struct pit {
	struct device dev;
	struct region regions[2];
	struct irq_line out0;
	struct timer timer;
	struct counter c[3];
	u8 port_b;
	u64 next_edge; /* clock of the next rising edge of OUT0 that is signalled; 0: none */
	u64 last_edge; /* clock in which the last one was */
};

static u64 ns_to_clocks(u64 ns)
{
	return (u64)((unsigned __int128)ns * PIT_HZ / 1000000000u);
}

/* The first ns of that clock. */
static u64 clocks_to_ns(u64 clocks)
{
	return (u64)(((unsigned __int128)clocks * 1000000000u + PIT_HZ - 1) / PIT_HZ);
}

static u64 pit_clock(struct pit *p)
{
	return ns_to_clocks(clock_now(p->dev.machine, CLOCK_GUEST));
}

static u32 modulus(const struct counter *c)
{
	return c->bcd ? 10000 : 65536;
}

/* The initial count that the count register means: 1..65536. */
static u32 initial_count(const struct counter *c)
{
	u32 n = c->cr;

	if (c->bcd)
		n = (n >> 12) * 1000 + (n >> 8 & 15) * 100 + (n >> 4 & 15) * 10 + (n & 15);
	n %= modulus(c);
	if (!n)
		n = modulus(c);
	if (n == 1 && (c->mode == 2 || c->mode == 3))
		n = 2;
	return n;
}

static u16 encode(const struct counter *c, u32 n)
{
	n %= modulus(c);
	if (!c->bcd)
		return (u16)n;
	return (u16)(n / 1000 << 12 | n / 100 % 10 << 8 | n / 10 % 10 << 4 | n % 10);
}

static bool is_cyclic(const struct counter *c)
{
	return c->mode == 2 || c->mode == 3;
}

/* Clocks until the (half) cycle that began at t0 ends. */
static u32 segment(const struct counter *c)
{
	if (c->mode == 2)
		return c->ce;
	return c->half ? c->ce / 2 : (c->ce + 1) / 2;
}

/* Modes 2 and 3: bring t0 to the beginning of the (half) cycle that clock t is in. */
static void counter_settle(struct counter *c, u64 t)
{
	if (!is_cyclic(c) || !c->running || !c->loaded)
		return;
	while (t >= c->t0 && t - c->t0 >= segment(c)) {
		c->t0 += segment(c);
		if (c->mode == 3)
			c->half = !c->half;
		if (c->null) {
			c->ce = initial_count(c);
			c->null = false;
		} else {
			c->t0 += (t - c->t0) / c->ce * c->ce;
		}
	}
}

static u64 elapsed(const struct counter *c, u64 t)
{
	return c->running && t > c->t0 ? t - c->t0 : 0;
}

static bool counter_out(const struct counter *c, u64 t)
{
	u64 n = elapsed(c, t);

	if (!c->loaded)
		return c->mode != 0;
	switch (c->mode) {
	case 0: return c->done || n >= c->ce;
	case 1: return c->done || t < c->t0 || n >= c->ce;
	case 2: return !c->running || n != c->ce - 1;
	case 3: return !c->running || !c->half;
	default: return c->done || !c->running || n != c->ce;
	}
}

static u32 counter_value(const struct counter *c, u64 t)
{
	u64 n = elapsed(c, t);

	if (!c->loaded)
		return initial_count(c);
	if (is_cyclic(c) && !c->running)
		return c->held;
	if (c->mode == 2)
		return c->ce - (u32)n;
	if (c->mode == 3)
		return (c->ce & ~1u) - 2 * (u32)n;
	return (c->ce + modulus(c) - (u32)(n % modulus(c))) % modulus(c);
}

/* Hold the count as it is at clock t. */
static void counter_freeze(struct counter *c, u64 t)
{
	if (!c->running)
		return;
	c->held = counter_value(c, t);
	if (!is_cyclic(c) && elapsed(c, t) >= c->ce) {
		c->done = true;
		c->ce = c->held;
	} else if (!is_cyclic(c)) {
		c->ce -= (u32)elapsed(c, t);
	}
	c->running = false;
}

static void counter_load(struct counter *c, u64 t)
{
	c->ce = initial_count(c);
	c->held = c->ce;
	c->t0 = t + 1;
	c->loaded = true;
	c->null = false;
	c->done = false;
	c->half = false;
}

/* The count register is complete. */
static void counter_write_count(struct counter *c, u16 val, u64 t)
{
	c->cr = val;
	if (c->mode == 1 || c->mode == 5 || (is_cyclic(c) && c->loaded)) {
		c->null = true; /* waits for a trigger, or for the end of the cycle */
		return;
	}
	counter_load(c, t);
	c->running = c->gate;
}

static void counter_write(struct counter *c, u8 val, u64 t)
{
	switch (c->rw) {
	case RW_LSB: counter_write_count(c, val, t); return;
	case RW_MSB: counter_write_count(c, (u16)(val << 8), t); return;
	}
	if (c->wr_high) {
		counter_write_count(c, (u16)(val << 8 | c->wr_low), t);
	} else {
		c->wr_low = val;
		if (c->mode == 0)
			c->loaded = c->running = false; /* "disables counting" */
	}
	c->wr_high = !c->wr_high;
}

static void counter_set_gate(struct counter *c, bool gate, u64 t)
{
	bool rise = gate && !c->gate;

	c->gate = gate;
	switch (c->mode) {
	case 0:
	case 4:
		if (!gate) {
			counter_freeze(c, t);
		} else if (rise && c->loaded && !c->running) {
			/* Not before the load, if that is still to come. */
			c->t0 = c->t0 == t + 1 ? t + 1 : t;
			c->running = true;
		}
		break;
	case 1:
	case 5:
		if (rise) {
			counter_load(c, t);
			c->running = true;
		}
		break;
	default:
		if (!gate) {
			counter_freeze(c, t);
		} else if (rise && c->loaded) {
			counter_load(c, t);
			c->running = true;
		}
	}
}

static u8 counter_status(const struct counter *c, u64 t)
{
	bool null = c->null || (c->running && t < c->t0);

	return (u8)(counter_out(c, t) << 7 | null << 6 | c->rw << 4 | c->mode << 1 | c->bcd);
}

static void counter_latch(struct counter *c, u64 t)
{
	if (c->latched)
		return;
	c->latch = encode(c, counter_value(c, t));
	c->latched = c->rw == RW_BOTH ? 2 : 1;
}

static u8 counter_read(struct counter *c, u64 t)
{
	u16 val;
	bool high = c->rw == RW_MSB;

	if (c->has_status) {
		c->has_status = false;
		return c->status;
	}
	if (c->latched) {
		val = c->latch;
		c->latched--;
		if (c->rw == RW_BOTH)
			high = c->latched == 0;
	} else {
		val = encode(c, counter_value(c, t));
		if (c->rw == RW_BOTH) {
			high = c->rd_high;
			c->rd_high = !c->rd_high;
		}
	}
	return (u8)(high ? val >> 8 : val);
}

static void counter_program(struct counter *c, u8 val)
{
	bool gate = c->gate;
	u8 mode = val >> 1 & 7;

	*c = (struct counter){
		.gate = gate,
		.mode = mode > 5 ? mode - 4 : mode,
		.rw = val >> 4 & 3,
		.bcd = val & 1,
		.null = true,
	};
}

/* Bits 1..3 name the counters; bits 5 and 4, when clear, say what to latch. */
static void pit_read_back(struct pit *p, u8 val, u64 t)
{
	for (unsigned i = 0; i < 3; i++) {
		struct counter *c = &p->c[i];

		if (!(val & 2u << i))
			continue;
		if (!(val & 0x20))
			counter_latch(c, t);
		if (!(val & 0x10) && !c->has_status) {
			c->status = counter_status(c, t);
			c->has_status = true;
		}
	}
}

static void pit_control(struct pit *p, u8 val, u64 t)
{
	unsigned n = val >> 6;

	if (n == 3)
		pit_read_back(p, val, t);
	else if ((val >> 4 & 3) == RW_LATCH)
		counter_latch(&p->c[n], t);
	else
		counter_program(&p->c[n], val);
}

/* The first clock after t in which OUT rises, or 0.  The counter is settled. */
static u64 next_rise(const struct counter *c, u64 t)
{
	u64 edge;

	if (!c->loaded || !c->running)
		return 0;
	if (is_cyclic(c)) {
		edge = c->t0 + segment(c);
		if (c->mode == 3 && !c->half)
			edge += c->null ? initial_count(c) / 2 : c->ce / 2;
		return edge;
	}
	if (c->done)
		return 0;
	edge = c->t0 + c->ce + (c->mode >= 4);
	return edge > t ? edge : 0;
}

/* Bring counters, OUT0 and the timer to clock t.  Before and after each access. */
static void pit_update(struct pit *p, u64 t)
{
	struct counter *c = &p->c[0];
	u64 edge, soonest;

	for (unsigned i = 0; i < 3; i++)
		counter_settle(&p->c[i], t);
	if (p->next_edge && t >= p->next_edge) {
		irq_set(&p->out0, false);
		irq_set(&p->out0, true);
		p->last_edge = t;
	}
	/* The wire stays high between the edges of the cyclic modes. */
	irq_set(&p->out0, is_cyclic(c) || counter_out(c, t));

	edge = next_rise(c, t);
	soonest = p->last_edge + ns_to_clocks(TIMER_MIN_PERIOD_NS);
	if (is_cyclic(c) && edge && edge < soonest)
		edge += (soonest - edge + c->ce - 1) / c->ce * c->ce;
	p->next_edge = edge;
	if (edge)
		timer_arm(p->dev.machine->loop, &p->timer, clocks_to_ns(edge));
	else
		timer_cancel(p->dev.machine->loop, &p->timer);
}

static void pit_timer(struct timer *timer)
{
	struct pit *p = container_of(timer, struct pit, timer);

	pit_update(p, pit_clock(p));
}

static u64 pit_read(void *dev, u64 off, unsigned size)
{
	struct pit *p = dev;
	u64 t = pit_clock(p);

	if (off == 3)
		return 0;
	counter_settle(&p->c[off], t);
	return counter_read(&p->c[off], t);
}

static void pit_write(void *dev, u64 off, u64 val, unsigned size)
{
	struct pit *p = dev;
	u64 t = pit_clock(p);

	pit_update(p, t);
	if (off == 3)
		pit_control(p, (u8)val, t);
	else
		counter_write(&p->c[off], (u8)val, t);
	pit_update(p, t);
}

static u64 port_b_read(void *dev, u64 off, unsigned size)
{
	struct pit *p = dev;
	u64 t = pit_clock(p);
	u8 val = p->port_b;

	counter_settle(&p->c[2], t);
	if (counter_out(&p->c[2], t))
		val |= PORT_B_OUT2;
	if (clock_now(p->dev.machine, CLOCK_GUEST) / REFRESH_NS & 1)
		val |= PORT_B_REFRESH;
	return val;
}

static void port_b_write(void *dev, u64 off, u64 val, unsigned size)
{
	struct pit *p = dev;
	u64 t = pit_clock(p);

	counter_settle(&p->c[2], t);
	p->port_b = val & PORT_B_WRITABLE;
	counter_set_gate(&p->c[2], val & PORT_B_GATE2, t);
}

static const struct io_ops pit_ops = {pit_read, pit_write, IO_8};
static const struct io_ops port_b_ops = {port_b_read, port_b_write, IO_8};

void pit_connect(struct device *dev, struct irq_line out0)
{
	((struct pit *)dev)->out0 = out0;
}

static int pit_realize(struct device *dev, struct err *e)
{
	struct pit *p = (struct pit *)dev;
	const struct region regions[] = {
		{"pit", 0x40, 4, REGION_IO, .ops = &pit_ops, .opaque = p, .owner = dev},
		{"port-b", 0x61, 1, REGION_IO, .ops = &port_b_ops, .opaque = p, .owner = dev},
	};

	p->timer = (struct timer){.owner = dev, .fn = pit_timer, .clock = CLOCK_GUEST};
	memcpy(p->regions, regions, sizeof(regions));
	return dev_map(dev, dev->machine->pio, p->regions, ARRAY_SIZE(p->regions), e);
}

static void pit_unrealize(struct device *dev)
{
	struct pit *p = (struct pit *)dev;

	timer_cancel(dev->machine->loop, &p->timer);
	dev_unmap(dev->machine->pio, p->regions, ARRAY_SIZE(p->regions));
}

static void pit_reset(struct device *dev)
{
	struct pit *p = (struct pit *)dev;

	for (unsigned i = 0; i < 3; i++)
		p->c[i] = (struct counter){.mode = 3, .rw = RW_BOTH, .null = true, .gate = i < 2};
	p->port_b = 0;
	p->next_edge = p->last_edge = 0;
	timer_cancel(dev->machine->loop, &p->timer);
	irq_set(&p->out0, true);
}

/* A saved counter is only trusted as far as arithmetic goes. */
static int pit_post_load(struct device *dev, struct err *e)
{
	struct pit *p = (struct pit *)dev;
	u64 t = pit_clock(p);

	for (unsigned i = 0; i < 3; i++) {
		struct counter *c = &p->c[i];

		if (c->mode > 5 || c->rw > 3 || c->ce > 65536 || c->held > 65536 ||
		    (is_cyclic(c) && c->loaded && c->ce < 2) || c->t0 > t + 1 || c->latched > 2)
			return err_set(e, -EINVAL, "%s: counter %u is damaged", dev->id, i);
	}
	p->port_b &= PORT_B_WRITABLE;
	if (p->last_edge > t)
		p->last_edge = t;
	pit_update(p, t);
	return 0;
}

static const struct state_field counter_state[] = {
	STATE_FIELD(struct counter, mode, STATE_INT),
	STATE_FIELD(struct counter, rw, STATE_INT),
	STATE_FIELD(struct counter, bcd, STATE_INT),
	STATE_FIELD(struct counter, gate, STATE_INT),
	STATE_FIELD(struct counter, cr, STATE_INT),
	STATE_FIELD(struct counter, wr_low, STATE_INT),
	STATE_FIELD(struct counter, wr_high, STATE_INT),
	STATE_FIELD(struct counter, rd_high, STATE_INT),
	STATE_FIELD(struct counter, null, STATE_INT),
	STATE_FIELD(struct counter, loaded, STATE_INT),
	STATE_FIELD(struct counter, running, STATE_INT),
	STATE_FIELD(struct counter, done, STATE_INT),
	STATE_FIELD(struct counter, half, STATE_INT),
	STATE_FIELD(struct counter, ce, STATE_INT),
	STATE_FIELD(struct counter, held, STATE_INT),
	STATE_FIELD(struct counter, t0, STATE_INT),
	STATE_FIELD(struct counter, latched, STATE_INT),
	STATE_FIELD(struct counter, latch, STATE_INT),
	STATE_FIELD(struct counter, has_status, STATE_INT),
	STATE_FIELD(struct counter, status, STATE_INT),
	{0},
};

static const struct state_field pit_state[] = {
	{"c", STATE_ARRAY, offsetof(struct pit, c), sizeof(struct counter), 1, counter_state, 3},
	STATE_FIELD(struct pit, port_b, STATE_INT),
	STATE_FIELD(struct pit, next_edge, STATE_INT),
	STATE_FIELD(struct pit, last_edge, STATE_INT),
	{0},
};

const struct device_type isa_pit_type = {
	.name = "isa-pit",
	.doc = "8254 interval timer and port 0x61",
	.size = sizeof(struct pit),
	.version = 1,
	.state = pit_state,
	.realize = pit_realize,
	.unrealize = pit_unrealize,
	.reset = pit_reset,
	.post_load = pit_post_load,
};
