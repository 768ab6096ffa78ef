/* SPDX-License-Identifier: MIT */
/*
 * ioapic.c - I/O APIC with 24 pins: Intel 82093AA, with the EOI register of later ones.
 *
 * Source: Intel 82093AA data sheet (290566); EOI register and ExtINT: Intel ICH9 data sheet,
 * "APIC Memory-Mapped Registers".
 *
 *   0xfec00000  IOREGSEL  index of the register behind IOWIN; reset 0
 *   0xfec00010  IOWIN     0x00 ID (bits 27..24), 0x01 version 0x170020, 0x02 arbitration ID
 *                         0x10 + 2n, 0x11 + 2n: redirection table, reset 0x10000 (masked)
 *   0xfec00040  EOI       w: vector, as an EOI message
 *
 * Not modelled: delivery status (always idle), boot by serial bus.  Wires say asserted or
 * not, so the polarity bit is kept and has no other effect.  An edge on a masked pin is
 * lost, as the data sheet says.
 *
 * Locking: its own lock, since pins are set with another device's lock held; the message to
 * the local APICs is sent with it held, so that lowering a pin cannot overtake it.
 */
#include "dev/intc/ioapic.h"

#include "dev/map.h"
#include "sundog/machine.h"
#include "sundog/trace.h"

enum { IOREGSEL = 0x00, IOWIN = 0x10, IOEOI = 0x40 };
enum { IOAPICID = 0, IOAPICVER = 1, IOAPICARB = 2, IOREDTBL = 0x10 };

enum {
	RTE_VECTOR = 0xff,
	RTE_MODE_SHIFT = 8,
	RTE_LOGICAL = 1 << 11,
	RTE_STATUS = 1 << 12,
	RTE_REMOTE_IRR = 1 << 14,
	RTE_LEVEL = 1 << 15,
	RTE_MASKED = 1 << 16,
	RTE_WRITABLE = 0x1afff,
};

struct ioapic {
	struct device dev;
	struct lock intc_lock;
	struct region region;
	u32 lines; /* a bit per pin: asserted */
	u8 index;
	u32 id;
	u64 rte[IOAPIC_PINS];
};

static void ioapic_send(struct ioapic *io, u64 rte)
{
	struct machine *m = io->dev.machine;
	unsigned mode = rte >> RTE_MODE_SHIFT & 7;
	/* Only fixed and lowest priority can be level-triggered at the receiver. */
	bool level = (rte & RTE_LEVEL) && mode <= 1;
	struct msi_msg msg = {
		.addr = 0xfee00000u | (rte >> 56) << 12 | (rte & RTE_LOGICAL ? 1u << 2 : 0),
		.data = (u32)(rte & RTE_VECTOR) | mode << 8 | 1u << 14 | (u32)level << 15,
	};

	m->board->msi(m, &msg);
}

/* A level-triggered pin that is asserted sends, once until its EOI. */
static void ioapic_level_locked(struct ioapic *io, unsigned pin)
{
	u64 *rte = &io->rte[pin];

	if (!(io->lines & 1u << pin) || !(*rte & RTE_LEVEL) ||
	    (*rte & (RTE_MASKED | RTE_REMOTE_IRR)))
		return;
	if ((*rte >> RTE_MODE_SHIFT & 7) <= 1)
		*rte |= RTE_REMOTE_IRR;
	ioapic_send(io, *rte);
}

static void ioapic_line(void *sink, unsigned pin, bool level)
{
	struct ioapic *io = sink;
	u32 bit = 1u << pin;
	bool was;

	trace_irq_line("ioapic", pin, level);
	lock(&io->intc_lock);
	was = io->lines & bit;
	io->lines = level ? io->lines | bit : io->lines & ~bit;
	if (level && !was) {
		if (io->rte[pin] & RTE_LEVEL)
			ioapic_level_locked(io, pin);
		else if (!(io->rte[pin] & RTE_MASKED))
			ioapic_send(io, io->rte[pin]);
	}
	unlock(&io->intc_lock);
}

struct irq_line ioapic_input(struct device *dev, unsigned n)
{
	if (n >= IOAPIC_PINS)
		return (struct irq_line){0};
	return (struct irq_line){.set = ioapic_line, .sink = dev, .pin = n};
}

static void ioapic_eoi_locked(struct ioapic *io, u8 vector)
{
	for (unsigned i = 0; i < IOAPIC_PINS; i++) {
		u64 *rte = &io->rte[i];

		if ((*rte & RTE_VECTOR) != vector || !(*rte & RTE_REMOTE_IRR))
			continue;
		*rte &= ~(u64)RTE_REMOTE_IRR;
		ioapic_level_locked(io, i);
	}
}

void ioapic_eoi(struct device *dev, u8 vector)
{
	struct ioapic *io = (struct ioapic *)dev;

	lock(&io->intc_lock);
	ioapic_eoi_locked(io, vector);
	unlock(&io->intc_lock);
}

static void rte_write(struct ioapic *io, unsigned n, u32 val)
{
	unsigned pin = n >> 1;
	u64 *rte = &io->rte[pin];

	if (n & 1) {
		*rte = (u32)*rte | (u64)(val & 0xff000000u) << 32;
		return;
	}
	*rte = (*rte & ~(u64)RTE_WRITABLE) | (val & RTE_WRITABLE);
	/* An edge has nothing to wait for: systems without the EOI register rely on it. */
	if (!(*rte & RTE_LEVEL))
		*rte &= ~(u64)RTE_REMOTE_IRR;
	ioapic_level_locked(io, pin);
}

static u32 window_read(struct ioapic *io)
{
	unsigned n = io->index;

	switch (n) {
	case IOAPICID:
	case IOAPICARB: return io->id;
	case IOAPICVER: return 0x20 | (IOAPIC_PINS - 1) << 16;
	}
	n -= IOREDTBL;
	if (n >= 2 * IOAPIC_PINS)
		return 0;
	return n & 1 ? (u32)(io->rte[n >> 1] >> 32) : (u32)io->rte[n >> 1];
}

static void window_write(struct ioapic *io, u32 val)
{
	unsigned n = io->index;

	if (n == IOAPICID)
		io->id = val & 0x0f000000;
	else if (n >= IOREDTBL && n < IOREDTBL + 2 * IOAPIC_PINS)
		rte_write(io, n - IOREDTBL, val);
}

static u64 ioapic_read(void *dev, u64 off, unsigned size)
{
	struct ioapic *io = dev;
	u32 val = 0;

	lock(&io->intc_lock);
	if (off == IOREGSEL)
		val = io->index;
	else if (off == IOWIN)
		val = window_read(io);
	unlock(&io->intc_lock);
	return val;
}

static void ioapic_write(void *dev, u64 off, u64 val, unsigned size)
{
	struct ioapic *io = dev;

	lock(&io->intc_lock);
	if (off == IOREGSEL)
		io->index = (u8)val;
	else if (off == IOWIN && size == 4)
		window_write(io, (u32)val);
	else if (off == IOEOI)
		ioapic_eoi_locked(io, (u8)val);
	unlock(&io->intc_lock);
}

static const struct io_ops ioapic_ops = {ioapic_read, ioapic_write, IO_8 | IO_32};

static int ioapic_realize(struct device *dev, struct err *e)
{
	struct ioapic *io = (struct ioapic *)dev;

	lock_init(&io->intc_lock, LOCK_INTC, "ioapic");
	io->region = (struct region){
		.name = "ioapic",
		.base = 0xfec00000,
		.size = 0x1000,
		.kind = REGION_IO,
		.ops = &ioapic_ops,
		.opaque = io,
	};
	return dev_map(dev, dev->machine->mem, &io->region, 1, e);
}

static void ioapic_unrealize(struct device *dev)
{
	struct ioapic *io = (struct ioapic *)dev;

	dev_unmap(dev->machine->mem, &io->region, 1);
	lock_destroy(&io->intc_lock);
}

static void ioapic_reset(struct device *dev)
{
	struct ioapic *io = (struct ioapic *)dev;

	lock(&io->intc_lock);
	io->index = 0;
	io->id = 0;
	for (unsigned i = 0; i < IOAPIC_PINS; i++)
		io->rte[i] = RTE_MASKED;
	unlock(&io->intc_lock);
}

static const struct state_field ioapic_state[] = {
	STATE_FIELD(struct ioapic, lines, STATE_INT),
	STATE_FIELD(struct ioapic, index, STATE_INT),
	STATE_FIELD(struct ioapic, id, STATE_INT),
	{"rte", STATE_ARRAY, offsetof(struct ioapic, rte), sizeof(u64), 1, NULL, IOAPIC_PINS},
	{0},
};

const struct device_type ioapic_type = {
	.name = "ioapic",
	.doc = "I/O APIC with 24 pins",
	.size = sizeof(struct ioapic),
	.version = 1,
	.state = ioapic_state,
	.realize = ioapic_realize,
	.unrealize = ioapic_unrealize,
	.reset = ioapic_reset,
};
