/* SPDX-License-Identifier: MIT */
/*
 * uart16550.c - 16550A serial port (QEMU's isa-serial), on a chardev.
 *
 * Source: National Semiconductor PC16550D data sheet.
 *
 *   offset  DLAB  read  write  reset  what
 *   0       0     RBR   THR    -      receive and transmit FIFOs, 16 bytes each way
 *   0       1     DLL   DLL    0x0c   divisor, low half
 *   1       0     IER   IER    0x00   interrupt enables
 *   1       1     DLM   DLM    0x00   divisor, high half
 *   2             IIR   FCR    0x01   interrupt cause; FIFO control
 *   3             LCR   LCR    0x00   line control
 *   4             MCR   MCR    0x08   modem control, loopback
 *   5             LSR   -      0x60   line status
 *   6             MSR   -      0xb0   modem status: CTS, DSR, DCD are always there
 *   7             SCR   SCR    0x00   scratch
 *
 * Output goes to the chardev at once; what it cannot take stays in the FIFO, with THRE
 * clear, until it has room.  Input is taken only while the FIFO has room, so a guest never
 * sees an overrun but in loopback mode, and only once the guest shows that it reads (it
 * enables the interrupt or polls), so that nothing is lost while its driver starts.
 *
 * Not modelled: the time that a character takes on the wire (but the receive timeout of four
 * character times is), parity and framing errors, character lengths below 8, the DMA signals
 * of FCR, and OUT2 as the gate of the interrupt: test suites forget to set it.
 */
#include "dev/devices.h"
#include "dev/isa.h"

#include <errno.h>

#include "sundog/chardev.h"
#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/trace.h"

enum { FIFO_SIZE = 16, CAPACITY = 32, NR_PORTS = 8, UART_CLOCK = 1843200, POLLING = 16 };

enum { IER_RDI = 1, IER_THRI = 2, IER_RLSI = 4, IER_MSI = 8 };
enum { IIR_MSI = 0, IIR_NONE = 1, IIR_THRI = 2, IIR_RDI = 4, IIR_RLSI = 6, IIR_TIMEOUT = 0xc };
enum { IIR_FIFOS = 0xc0, IIR_CAUSE = 0xf };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_KEPT = 0xc9 };
enum { LCR_STOP2 = 4, LCR_PARITY = 8, LCR_BREAK = 0x40, LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 0x10, MCR_KEPT = 0x1f };
enum {
	LSR_DR = 1,
	LSR_OE = 2,
	LSR_PE = 4,
	LSR_FE = 8,
	LSR_BI = 0x10,
	LSR_THRE = 0x20,
	LSR_TEMT = 0x40,
	LSR_FIFO_ERR = 0x80,
	LSR_ERRORS = LSR_OE | LSR_PE | LSR_FE | LSR_BI,
};
enum {
	MSR_DELTAS = 0xf,
	MSR_TERI = 4,
	MSR_CTS = 0x10,
	MSR_DSR = 0x20,
	MSR_RI = 0x40,
	MSR_DCD = 0x80
};

struct fifo {
	u8 data[CAPACITY];
	u8 head, count;
};

struct uart {
	struct device dev;
	struct region io;
	struct irq_line line;
	struct chardev *chr;

	u32 index, iobase, irq; /* options */
	const char *spec;

	struct fifo rx, tx;
	struct fifo held;    /* input that the guest cleared away: it has not arrived yet */
	u8 rx_err[CAPACITY]; /* LSR_BI of the byte at the same place in rx.data */
	u8 ier, fcr, lcr, mcr, msr, scr;
	u8 lsr_errors;	    /* OE, and BI of the byte on top of the FIFO */
	u8 polls;	    /* reads of LSR in a row: the guest waits for input */
	u8 thr_pending;	    /* the "transmitter empty" interrupt is due */
	u8 timeout_pending; /* bytes below the trigger level have waited long enough */
	u16 divisor;
	struct timer timeout;
};

static bool fifo_put(struct fifo *f, unsigned size, u8 byte)
{
	if (f->count >= size)
		return false;
	f->data[(f->head + f->count) % CAPACITY] = byte;
	f->count++;
	return true;
}

static u8 fifo_get(struct fifo *f)
{
	u8 byte = f->data[f->head % CAPACITY];

	f->head = (f->head + 1) % CAPACITY;
	f->count--;
	return byte;
}

static unsigned fifo_size(const struct uart *u)
{
	return u->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned rx_trigger(const struct uart *u)
{
	static const u8 levels[] = {1, 4, 8, 14};

	return u->fcr & FCR_ENABLE ? levels[u->fcr >> 6] : 1;
}

/* The cause with the highest priority: data sheet, "Interrupt Control Functions". */
static u8 uart_cause(const struct uart *u)
{
	if (u->ier & IER_RLSI && u->lsr_errors)
		return IIR_RLSI;
	if (u->ier & IER_RDI && u->rx.count >= rx_trigger(u))
		return IIR_RDI;
	if (u->ier & IER_RDI && u->timeout_pending)
		return IIR_TIMEOUT;
	if (u->ier & IER_THRI && u->thr_pending)
		return IIR_THRI;
	if (u->ier & IER_MSI && u->msr & MSR_DELTAS)
		return IIR_MSI;
	return IIR_NONE;
}

static void uart_update(struct uart *u)
{
	irq_set(&u->line, uart_cause(u) != IIR_NONE);
}

static u64 four_chars_ns(const struct uart *u)
{
	unsigned bits = 1 + 5 + (u->lcr & 3) + !!(u->lcr & LCR_PARITY) + 1 + !!(u->lcr & LCR_STOP2);
	u64 divisor = u->divisor ? u->divisor : 1;

	return 4 * bits * 16 * divisor * 1000000000ull / UART_CLOCK;
}

static void uart_timeout_restart(struct uart *u)
{
	struct machine *m = u->dev.machine;

	u->timeout_pending = 0;
	if (u->fcr & FCR_ENABLE && u->rx.count)
		timer_arm(m->loop, &u->timeout, clock_now(m, CLOCK_GUEST) + four_chars_ns(u));
	else
		timer_cancel(m->loop, &u->timeout);
}

static void uart_timed_out(struct timer *t)
{
	struct uart *u = container_of(t, struct uart, timeout);

	u->timeout_pending = u->rx.count != 0;
	uart_update(u);
}

/* A break is an error of the byte on top of the FIFO, and shows when it gets there. */
static void uart_show_top(struct uart *u)
{
	if (u->rx.count)
		u->lsr_errors |= u->rx_err[u->rx.head % CAPACITY];
}

static void uart_receive(struct uart *u, u8 byte, u8 error)
{
	unsigned at = (u->rx.head + u->rx.count) % CAPACITY;

	if (!fifo_put(&u->rx, fifo_size(u), byte)) {
		/* Without FIFOs the new byte replaces the old one. */
		u->lsr_errors |= LSR_OE;
		if (!(u->fcr & FCR_ENABLE))
			u->rx.data[u->rx.head % CAPACITY] = byte;
		return;
	}
	u->rx_err[at] = error;
	if (u->rx.count == 1)
		uart_show_top(u);
	uart_timeout_restart(u);
}

/* Hand the transmit FIFO to the chardev, as much as it takes. */
static void uart_transmit(struct uart *u)
{
	bool had = u->tx.count != 0;

	while (u->tx.count) {
		u8 byte = u->tx.data[u->tx.head % CAPACITY];

		if (u->mcr & MCR_LOOP)
			uart_receive(u, byte, 0);
		else if (chardev_write(u->chr, &byte, 1) == 0)
			break;
		fifo_get(&u->tx);
	}
	if (had && !u->tx.count)
		u->thr_pending = 1;
}

/*
 * Does the guest take input?  Before its driver is there, it would only throw bytes away: it
 * must have enabled the interrupt, or look at LSR again and again.
 */
static bool uart_accepts(const struct uart *u)
{
	return !(u->mcr & MCR_LOOP) && (u->ier & IER_RDI || u->polls >= POLLING);
}

static size_t uart_room(void *opaque)
{
	struct uart *u = opaque;
	unsigned size = fifo_size(u);

	if (!uart_accepts(u) || u->held.count || u->rx.count >= size)
		return 0;
	return size - u->rx.count;
}

/* Something has changed that may let input in. */
static void uart_refill(struct uart *u)
{
	while (u->held.count && uart_accepts(u) && u->rx.count < fifo_size(u))
		uart_receive(u, fifo_get(&u->held), 0);
	if (uart_room(u))
		chardev_kick(u->chr);
}

/*
 * The guest clears its FIFO of noise.  There is none on our wire, and a driver does it while
 * it starts: what has come from outside comes again.
 */
static void uart_clear_rx(struct uart *u)
{
	struct fifo held = {.count = 0};

	if (!(u->mcr & MCR_LOOP)) {
		while (u->rx.count)
			fifo_put(&held, CAPACITY, fifo_get(&u->rx));
		while (u->held.count)
			fifo_put(&held, CAPACITY, fifo_get(&u->held));
		u->held = held;
	}
	u->rx.count = 0;
	u->timeout_pending = 0;
	timer_cancel(u->dev.machine->loop, &u->timeout);
}

static void uart_input(void *opaque, const u8 *buf, size_t len)
{
	struct uart *u = opaque;

	for (size_t i = 0; i < len; i++)
		uart_receive(u, buf[i], 0);
	uart_update(u);
}

static void uart_writable(void *opaque)
{
	struct uart *u = opaque;

	uart_transmit(u);
	uart_update(u);
}

static u8 uart_read_rbr(struct uart *u)
{
	u8 byte;

	if (!u->rx.count)
		return u->rx.data[u->rx.head % CAPACITY];
	byte = fifo_get(&u->rx);
	uart_show_top(u);
	uart_timeout_restart(u);
	uart_refill(u);
	uart_update(u);
	return byte;
}

static u8 uart_read_iir(struct uart *u)
{
	u8 cause = uart_cause(u);

	if (cause == IIR_THRI) {
		u->thr_pending = 0;
		uart_update(u);
	}
	return cause | (u->fcr & FCR_ENABLE ? IIR_FIFOS : 0);
}

static u8 uart_read_lsr(struct uart *u)
{
	u8 lsr = u->lsr_errors;

	lsr |= u->rx.count ? LSR_DR : 0;
	lsr |= u->tx.count ? 0 : LSR_THRE | LSR_TEMT;
	if (u->fcr & FCR_ENABLE) {
		for (unsigned i = 0; i < u->rx.count; i++)
			if (u->rx_err[(u->rx.head + i) % CAPACITY])
				lsr |= LSR_FIFO_ERR;
	}
	u->lsr_errors = 0;
	if (u->polls < POLLING && ++u->polls == POLLING)
		uart_refill(u);
	uart_update(u);
	return lsr;
}

static u8 uart_read_msr(struct uart *u)
{
	u8 msr = u->msr;

	u->msr &= ~MSR_DELTAS;
	uart_update(u);
	return msr;
}

static u64 uart_read(void *opaque, u64 off, unsigned size)
{
	struct uart *u = opaque;

	if (off != 5)
		u->polls = 0;
	switch (off) {
	case 0: return u->lcr & LCR_DLAB ? u->divisor & 0xff : uart_read_rbr(u);
	case 1: return u->lcr & LCR_DLAB ? u->divisor >> 8 : u->ier;
	case 2: return uart_read_iir(u);
	case 3: return u->lcr;
	case 4: return u->mcr;
	case 5: return uart_read_lsr(u);
	case 6: return uart_read_msr(u);
	default: return u->scr;
	}
}

static void uart_write_thr(struct uart *u, u8 byte)
{
	u->thr_pending = 0;
	uart_update(u); /* the line falls before it rises again: its input may be edge-triggered */
	if (!fifo_put(&u->tx, fifo_size(u), byte))
		trace_guest_error(u->dev.id, "transmit FIFO overrun");
	uart_transmit(u);
	uart_update(u);
}

static void uart_write_ier(struct uart *u, u8 val)
{
	u8 risen = val & ~u->ier;

	u->ier = val & 0xf;
	if (risen & IER_THRI && !u->tx.count)
		u->thr_pending = 1;
	uart_refill(u);
	uart_update(u);
}

static void uart_write_fcr(struct uart *u, u8 val)
{
	bool toggled = (val ^ u->fcr) & FCR_ENABLE;

	/* The other bits are taken only with ENABLE set. */
	u->fcr = val & FCR_ENABLE ? val & FCR_KEPT : 0;
	if (toggled || (val & FCR_ENABLE && val & FCR_CLEAR_RX)) {
		uart_clear_rx(u);
	}
	if (toggled || (val & FCR_ENABLE && val & FCR_CLEAR_TX)) {
		if (u->tx.count)
			u->thr_pending = 1;
		u->tx.count = 0;
	}
	uart_refill(u);
	uart_update(u);
}

static void uart_write_lcr(struct uart *u, u8 val)
{
	bool breaks = val & ~u->lcr & LCR_BREAK;

	u->lcr = val;
	if (breaks && u->mcr & MCR_LOOP)
		uart_receive(u, 0, LSR_BI);
	uart_update(u);
}

/* New levels of the modem inputs: the delta bits remember changes. */
static void uart_set_modem(struct uart *u, u8 levels)
{
	u8 changed = (u->msr ^ levels) & 0xf0;
	u8 deltas = changed >> 4;

	if (levels & MSR_RI) /* the trailing edge of RI counts, not its leading edge */
		deltas &= ~MSR_TERI;
	u->msr = levels | (u->msr & MSR_DELTAS) | deltas;
}

static void uart_write_mcr(struct uart *u, u8 val)
{
	u8 levels = MSR_CTS | MSR_DSR | MSR_DCD;

	u->mcr = val & MCR_KEPT;
	if (u->mcr & MCR_LOOP) {
		levels = u->mcr & MCR_RTS ? MSR_CTS : 0;
		levels |= u->mcr & MCR_DTR ? MSR_DSR : 0;
		levels |= u->mcr & MCR_OUT1 ? MSR_RI : 0;
		levels |= u->mcr & MCR_OUT2 ? MSR_DCD : 0;
	}
	uart_set_modem(u, levels);
	uart_transmit(u);
	uart_refill(u);
	uart_update(u);
}

static void uart_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct uart *u = opaque;
	u8 v = (u8)val;

	u->polls = 0;
	switch (off) {
	case 0:
		if (u->lcr & LCR_DLAB)
			u->divisor = (u->divisor & 0xff00) | v;
		else
			uart_write_thr(u, v);
		break;
	case 1:
		if (u->lcr & LCR_DLAB)
			u->divisor = (u16)((u->divisor & 0xff) | v << 8);
		else
			uart_write_ier(u, v);
		break;
	case 2: uart_write_fcr(u, v); break;
	case 3: uart_write_lcr(u, v); break;
	case 4: uart_write_mcr(u, v); break;
	case 7: u->scr = v; break;
	default: break; /* LSR and MSR are read-only */
	}
}

static const struct io_ops uart_io = {
	.read = uart_read,
	.write = uart_write,
	.sizes = IO_8,
};

static int uart_realize(struct device *dev, struct err *e)
{
	static const struct {
		u16 iobase, irq;
	} com[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};
	struct uart *u = container_of(dev, struct uart, dev);
	struct machine *m = dev->machine;
	int rc;

	if (u->index >= ARRAY_SIZE(com))
		return err_set(e, -EINVAL, "index=%u: there are COM1 to COM4, 0 to 3", u->index);
	if (!u->iobase)
		u->iobase = com[u->index].iobase;
	if (!u->irq)
		u->irq = com[u->index].irq;
	if (u->irq > 15)
		return err_set(e, -EINVAL, "irq=%u: must be 1 to 15", u->irq);
	u->chr = chardev_open(m, u->spec, e);
	if (!u->chr)
		return e->code ? e->code : -EIO;
	u->timeout = (struct timer){.owner = dev, .fn = uart_timed_out, .clock = CLOCK_GUEST};
	u->line = m->board->irq(m, u->irq);
	rc = isa_map(dev, &u->io, u->iobase, NR_PORTS, &uart_io, u, e);
	if (rc) {
		chardev_close(u->chr);
		return rc;
	}
	chardev_attach(u->chr, &(struct chardev_client){
				       .owner = dev,
				       .room = uart_room,
				       .input = uart_input,
				       .writable = uart_writable,
				       .opaque = u,
			       });
	return 0;
}

static void uart_unrealize(struct device *dev)
{
	struct uart *u = container_of(dev, struct uart, dev);

	isa_unmap(dev, &u->io);
	timer_cancel(dev->machine->loop, &u->timeout);
	chardev_detach(u->chr);
	chardev_close(u->chr);
}

static void uart_reset(struct device *dev)
{
	struct uart *u = container_of(dev, struct uart, dev);

	timer_cancel(dev->machine->loop, &u->timeout);
	u->rx = u->tx = u->held = (struct fifo){0};
	u->polls = 0;
	memset(u->rx_err, 0, sizeof(u->rx_err));
	u->ier = u->fcr = u->lcr = u->scr = 0;
	u->mcr = MCR_OUT2;
	u->msr = MSR_CTS | MSR_DSR | MSR_DCD;
	u->lsr_errors = u->thr_pending = u->timeout_pending = 0;
	u->divisor = 12; /* 9600 baud */
	uart_update(u);
}

/* Put the line back to what the restored registers say. */
static int uart_post_load(struct device *dev, struct err *e)
{
	struct uart *u = container_of(dev, struct uart, dev);

	if (u->rx.count > FIFO_SIZE || u->tx.count > FIFO_SIZE || u->held.count > CAPACITY)
		return err_set(e, -EINVAL, "%s: FIFO count out of range", dev->id);
	uart_update(u);
	return 0;
}

static const struct param uart_params[] = {
	{"index", PARAM_U32, offsetof(struct uart, index), "0", "0 to 3: COM1 to COM4"},
	{"iobase", PARAM_U32, offsetof(struct uart, iobase), "0", "first I/O port (0: by index)"},
	{"irq", PARAM_U32, offsetof(struct uart, irq), "0", "ISA interrupt (0: by index)"},
	{"chardev", PARAM_STR, offsetof(struct uart, spec), "none", "where the bytes go"},
	{0},
};

static const struct state_field uart_state[] = {
	STATE_FIELD(struct uart, rx, STATE_BLOB),
	STATE_FIELD(struct uart, tx, STATE_BLOB),
	STATE_FIELD(struct uart, held, STATE_BLOB),
	STATE_FIELD(struct uart, rx_err, STATE_BLOB),
	STATE_FIELD(struct uart, ier, STATE_INT),
	STATE_FIELD(struct uart, fcr, STATE_INT),
	STATE_FIELD(struct uart, lcr, STATE_INT),
	STATE_FIELD(struct uart, mcr, STATE_INT),
	STATE_FIELD(struct uart, msr, STATE_INT),
	STATE_FIELD(struct uart, scr, STATE_INT),
	STATE_FIELD(struct uart, lsr_errors, STATE_INT),
	STATE_FIELD(struct uart, polls, STATE_INT),
	STATE_FIELD(struct uart, thr_pending, STATE_INT),
	STATE_FIELD(struct uart, timeout_pending, STATE_INT),
	STATE_FIELD(struct uart, divisor, STATE_INT),
	STATE_FIELD(struct uart, timeout, STATE_TIMER),
	{0},
};

const struct device_type uart16550_type = {
	.name = "isa-serial",
	.doc = "16550A serial port",
	.size = sizeof(struct uart),
	.version = 1,
	.params = uart_params,
	.state = uart_state,
	.realize = uart_realize,
	.unrealize = uart_unrealize,
	.reset = uart_reset,
	.post_load = uart_post_load,
};
