/* SPDX-License-Identifier: MIT */
/*
 * pic.c - the pair of interrupt controllers of the PC/AT: Intel 8259A, and the ELCR.
 *
 * Source: Intel 8259A data sheet (231468); ELCR: Intel ICH data sheets, "Interrupt
 * Controller I/O Registers".
 *
 *   0x20, 0xa0    w: ICW1, OCW2, OCW3   r: IRR, ISR (OCW3) or the poll byte
 *   0x21, 0xa1    w: ICW2..4, OCW1      r: IMR, or the poll byte
 *   0x4d0, 0x4d1  ELCR, a bit per input: 1 is level-triggered; bits 0-2, 8 and 13 read 0
 *
 * Reset: all zero, priorities 0..7, and no interrupt until ICW1..4 have been written.
 *
 * Not modelled: MCS-80/85 mode (ICW4 bit 0 is taken as set), buffered mode (no effect in a
 * PC), ICW1 bit LTIM (the ELCR decides), and ICW3 (the slave is always on input 2).  An edge
 * stays latched when its input falls again before it is acknowledged.
 *
 * Locking: the pair's own lock, since inputs come with another device's lock held.
 */
#include "dev/intc/pic.h"

#include "dev/map.h"
#include "sundog/machine.h"
#include "sundog/trace.h"

enum { ICW1_IC4 = 0x01, ICW1_SNGL = 0x02, ICW1_INIT = 0x10 };
enum { ICW4_AEOI = 0x02, ICW4_SFNM = 0x10 };
enum {
	OCW3_RIS = 0x01,
	OCW3_RR = 0x02,
	OCW3_POLL = 0x04,
	OCW3 = 0x08,
	OCW3_SMM = 0x20,
	OCW3_ESMM = 0x40
};
enum { CASCADE = 2 };

/* What the next write to the odd port is, in the order of the data sheet. */
enum { WANT_OCW1, WANT_ICW2, WANT_ICW3, WANT_ICW4 };

struct chip {
	u8 lines; /* the inputs as they are */
	u8 irr, isr, imr, elcr;
	u8 base;   /* vector of IR0, from ICW2 */
	u8 lowest; /* the input with the lowest priority */
	u8 want;
	bool ready; /* initialised since reset */
	bool need_icw4, single, aeoi, rotate_aeoi, sfnm, smm, read_isr, poll;
	bool out; /* INT */
};

struct pic {
	struct device dev;
	struct lock intc_lock;
	struct irq_line intr;
	struct chip chip[2];
	struct region regions[3];
};

static const u8 elcr_mask[2] = {0xf8, 0xde};

/* The highest-priority input in set, or -1. */
static int chip_highest(const struct chip *c, u8 set)
{
	for (unsigned i = 1; i <= 8; i++) {
		unsigned n = (c->lowest + i) & 7;

		if (set & 1u << n)
			return (int)n;
	}
	return -1;
}

/* The input to be served now, or -1. */
static int chip_request(const struct chip *c, bool master)
{
	int req = chip_highest(c, c->irr & ~c->imr);
	u8 isr = c->isr;
	int cur;

	if (req < 0 || !c->ready || c->want != WANT_OCW1)
		return -1;
	if (c->smm)
		isr &= ~c->imr;
	if (master && c->sfnm)
		isr &= ~(1u << CASCADE);
	cur = chip_highest(c, isr);
	if (cur < 0)
		return req;
	return ((req - c->lowest - 1) & 7) < ((cur - c->lowest - 1) & 7) ? req : -1;
}

static void chip_set_line(struct chip *c, unsigned n, bool level)
{
	u8 bit = (u8)(1u << n);
	bool was = c->lines & bit;

	c->lines = level ? c->lines | bit : c->lines & ~bit;
	if (c->elcr & bit)
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	else if (level && !was)
		c->irr |= bit;
}

static void pic_update_locked(struct pic *p)
{
	struct chip *m = &p->chip[0], *s = &p->chip[1];
	bool out = chip_request(s, false) >= 0;

	if (out != s->out) {
		s->out = out;
		chip_set_line(m, CASCADE, out);
		if (!out)
			m->irr &= ~(1u << CASCADE);
	}
	out = chip_request(m, true) >= 0;
	if (out != m->out) {
		m->out = out;
		irq_set(&p->intr, out);
	}
}

/* What INTA (or a poll) does to the chip when input n is taken. */
static void chip_take(struct chip *c, unsigned n)
{
	u8 bit = (u8)(1u << n);

	if (!(c->elcr & bit))
		c->irr &= ~bit;
	if (!c->aeoi)
		c->isr |= bit;
	else if (c->rotate_aeoi)
		c->lowest = (u8)n;
}

/* INT of the slave falls while it is acknowledged: the next request is a new edge. */
static void slave_taken(struct pic *p)
{
	p->chip[1].out = false;
	chip_set_line(&p->chip[0], CASCADE, false);
}

int pic_ack(struct device *dev)
{
	struct pic *p = (struct pic *)dev;
	struct chip *m = &p->chip[0], *s = &p->chip[1];
	int n, vector;

	lock(&p->intc_lock);
	n = chip_request(m, true);
	if (n < 0) {
		vector = m->base + 7; /* the request has gone: a spurious IR7 */
	} else if (n != CASCADE) {
		chip_take(m, (unsigned)n);
		vector = m->base + n;
	} else {
		chip_take(m, CASCADE);
		n = chip_request(s, false);
		if (n >= 0)
			chip_take(s, (unsigned)n);
		vector = s->base + (n >= 0 ? n : 7);
		slave_taken(p);
	}
	pic_update_locked(p);
	unlock(&p->intc_lock);
	return vector;
}

static void chip_icw1(struct chip *c, u8 val)
{
	/* The edge sense circuit is reset: an input must rise again. */
	c->irr = c->lines & c->elcr;
	c->isr = c->imr = 0;
	c->lowest = 7;
	c->smm = c->read_isr = c->poll = c->rotate_aeoi = false;
	c->need_icw4 = val & ICW1_IC4;
	c->single = val & ICW1_SNGL;
	c->aeoi = c->sfnm = false;
	c->want = WANT_ICW2;
	c->ready = true;
}

static void chip_eoi(struct chip *c, int n, bool rotate)
{
	if (n < 0)
		return;
	c->isr &= ~(1u << n);
	if (rotate)
		c->lowest = (u8)n;
}

static void chip_ocw2(struct chip *c, u8 val)
{
	unsigned n = val & 7;

	switch (val >> 5) {
	case 0: c->rotate_aeoi = false; break;
	case 1:
	case 5:
		/* In special mask mode an EOI that names no level spares the masked ones. */
		chip_eoi(c, chip_highest(c, c->smm ? c->isr & ~c->imr : c->isr), val >> 5 == 5);
		break;
	case 2: break;
	case 3: chip_eoi(c, (int)n, false); break;
	case 4: c->rotate_aeoi = true; break;
	case 6: c->lowest = (u8)n; break;
	case 7: chip_eoi(c, (int)n, true); break;
	}
}

static void chip_write_even(struct chip *c, u8 val)
{
	if (val & ICW1_INIT) {
		chip_icw1(c, val);
	} else if (val & OCW3) {
		if (val & OCW3_POLL)
			c->poll = true;
		if (val & OCW3_RR)
			c->read_isr = val & OCW3_RIS;
		if (val & OCW3_ESMM)
			c->smm = val & OCW3_SMM;
	} else {
		chip_ocw2(c, val);
	}
}

static void chip_write_odd(struct chip *c, u8 val)
{
	u8 after_icw3 = c->need_icw4 ? WANT_ICW4 : WANT_OCW1;

	switch (c->want) {
	case WANT_ICW2:
		c->base = val & 0xf8;
		c->want = c->single ? after_icw3 : WANT_ICW3;
		break;
	case WANT_ICW3: c->want = after_icw3; break;
	case WANT_ICW4:
		c->aeoi = val & ICW4_AEOI;
		c->sfnm = val & ICW4_SFNM;
		c->want = WANT_OCW1;
		break;
	default: c->imr = val; break;
	}
}

static u64 chip_read(struct pic *p, unsigned which, u64 off)
{
	struct chip *c = &p->chip[which];
	int n;

	if (!c->poll)
		return off ? c->imr : c->read_isr ? c->isr : c->irr;
	c->poll = false;
	n = chip_request(c, which == 0);
	if (n < 0)
		return 0;
	chip_take(c, (unsigned)n);
	if (which == 1)
		slave_taken(p);
	pic_update_locked(p);
	return 0x80u | (unsigned)n;
}

static u64 pic_read(struct pic *p, unsigned which, u64 off)
{
	u64 val;

	lock(&p->intc_lock);
	val = chip_read(p, which, off);
	unlock(&p->intc_lock);
	return val;
}

static void pic_write(struct pic *p, unsigned which, u64 off, u8 val)
{
	lock(&p->intc_lock);
	if (off)
		chip_write_odd(&p->chip[which], val);
	else
		chip_write_even(&p->chip[which], val);
	pic_update_locked(p);
	unlock(&p->intc_lock);
}

static u64 master_read(void *dev, u64 off, unsigned size)
{
	return pic_read(dev, 0, off);
}

static void master_write(void *dev, u64 off, u64 val, unsigned size)
{
	pic_write(dev, 0, off, (u8)val);
}

static u64 slave_read(void *dev, u64 off, unsigned size)
{
	return pic_read(dev, 1, off);
}

static void slave_write(void *dev, u64 off, u64 val, unsigned size)
{
	pic_write(dev, 1, off, (u8)val);
}

static u64 elcr_read(void *dev, u64 off, unsigned size)
{
	struct pic *p = dev;
	u64 val;

	lock(&p->intc_lock);
	val = p->chip[off].elcr;
	unlock(&p->intc_lock);
	return val;
}

static void elcr_write(void *dev, u64 off, u64 val, unsigned size)
{
	struct pic *p = dev;
	struct chip *c = &p->chip[off];
	u8 changed;

	lock(&p->intc_lock);
	val &= elcr_mask[off];
	changed = c->elcr ^ (u8)val;
	c->elcr = (u8)val;
	/* A level is what the line says; an edge has yet to come. */
	c->irr = (c->irr & ~changed) | (changed & c->elcr & c->lines);
	pic_update_locked(p);
	unlock(&p->intc_lock);
}

static const struct io_ops master_ops = {master_read, master_write, IO_8};
static const struct io_ops slave_ops = {slave_read, slave_write, IO_8};
static const struct io_ops elcr_ops = {elcr_read, elcr_write, IO_8};

static void pic_line(void *sink, unsigned pin, bool level)
{
	struct pic *p = sink;

	trace_irq_line("pic", pin, level);
	lock(&p->intc_lock);
	chip_set_line(&p->chip[pin >> 3], pin & 7, level);
	pic_update_locked(p);
	unlock(&p->intc_lock);
}

struct irq_line pic_input(struct device *dev, unsigned n)
{
	if (n > 15 || n == CASCADE)
		return (struct irq_line){0};
	return (struct irq_line){.set = pic_line, .sink = dev, .pin = n};
}

void pic_connect(struct device *dev, struct irq_line intr)
{
	((struct pic *)dev)->intr = intr;
}

static int pic_realize(struct device *dev, struct err *e)
{
	struct pic *p = (struct pic *)dev;
	const struct region regions[] = {
		{"pic-master", 0x20, 2, REGION_IO, .ops = &master_ops, .opaque = p},
		{"pic-slave", 0xa0, 2, REGION_IO, .ops = &slave_ops, .opaque = p},
		{"elcr", 0x4d0, 2, REGION_IO, .ops = &elcr_ops, .opaque = p},
	};

	lock_init(&p->intc_lock, LOCK_INTC, "pic");
	memcpy(p->regions, regions, sizeof(regions));
	return dev_map(dev, dev->machine->pio, p->regions, ARRAY_SIZE(p->regions), e);
}

static void pic_unrealize(struct device *dev)
{
	struct pic *p = (struct pic *)dev;

	dev_unmap(dev->machine->pio, p->regions, ARRAY_SIZE(p->regions));
	lock_destroy(&p->intc_lock);
}

static void pic_reset(struct device *dev)
{
	struct pic *p = (struct pic *)dev;

	lock(&p->intc_lock);
	for (unsigned i = 0; i < 2; i++) {
		u8 lines = p->chip[i].lines;

		p->chip[i] = (struct chip){.lines = lines, .lowest = 7};
	}
	chip_set_line(&p->chip[0], CASCADE, false);
	irq_set(&p->intr, false);
	unlock(&p->intc_lock);
}

static const struct state_field chip_state[] = {
	STATE_FIELD(struct chip, lines, STATE_INT),
	STATE_FIELD(struct chip, irr, STATE_INT),
	STATE_FIELD(struct chip, isr, STATE_INT),
	STATE_FIELD(struct chip, imr, STATE_INT),
	STATE_FIELD(struct chip, elcr, STATE_INT),
	STATE_FIELD(struct chip, base, STATE_INT),
	STATE_FIELD(struct chip, lowest, STATE_INT),
	STATE_FIELD(struct chip, want, STATE_INT),
	STATE_FIELD(struct chip, ready, STATE_INT),
	STATE_FIELD(struct chip, need_icw4, STATE_INT),
	STATE_FIELD(struct chip, single, STATE_INT),
	STATE_FIELD(struct chip, aeoi, STATE_INT),
	STATE_FIELD(struct chip, rotate_aeoi, STATE_INT),
	STATE_FIELD(struct chip, sfnm, STATE_INT),
	STATE_FIELD(struct chip, smm, STATE_INT),
	STATE_FIELD(struct chip, read_isr, STATE_INT),
	STATE_FIELD(struct chip, poll, STATE_INT),
	STATE_FIELD(struct chip, out, STATE_INT),
	{0},
};

static const struct state_field pic_state[] = {
	{"chip", STATE_ARRAY, offsetof(struct pic, chip), sizeof(struct chip), 1, chip_state, 2},
	{0},
};

const struct device_type isa_i8259_type = {
	.name = "isa-i8259",
	.doc = "pair of 8259A interrupt controllers",
	.size = sizeof(struct pic),
	.version = 1,
	.state = pic_state,
	.realize = pic_realize,
	.unrealize = pic_unrealize,
	.reset = pic_reset,
};
