/* SPDX-License-Identifier: MIT */
/*
 * i8042.c - PS/2 keyboard controller, with a keyboard and, but with aux=off, a mouse.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller" and "Keyboards"; Adam Chapweske, "The PS/2 Mouse Interface".
 *
 *   port  access  reset  what
 *   0x60  read    0      output buffer
 *   0x60  write          to the keyboard, or the parameter of a command
 *   0x64  read    0x14   status
 *   0x64  write          command
 *
 * Guests probe: the devices answer at once, so that it is over soon.  Nobody types or moves
 * yet.  Commands 0xd1 and 0xf0..0xff with bit 0 clear reset the machine.
 *
 * Not modelled: A20 (it is always on), the test inputs, passwords, wheels and extra buttons,
 * how long the wire takes.  Translation covers what a keyboard says of itself.
 */
#include "dev/devices.h"
#include "dev/isa.h"

#include "sundog/machine.h"

enum { DATA_PORT = 0x60, COMMAND_PORT = 0x64, QUEUE_SIZE = 16, RAM_SIZE = 32 };
enum { STS_OBF = 1, STS_SYS = 4, STS_COMMAND = 8, STS_UNLOCKED = 0x10, STS_AUX = 0x20 };
enum {
	CTR_KBD_INT = 1,
	CTR_AUX_INT = 2,
	CTR_SYS = 4,
	CTR_KBD_OFF = 0x10,
	CTR_AUX_OFF = 0x20,
	CTR_TRANSLATE = 0x40,
	CTR_RESET = CTR_KBD_INT | CTR_SYS | CTR_TRANSLATE | CTR_AUX_OFF,
};
enum { OUT_NOT_RESET = 1, OUT_A20 = 2, OUT_OBF = 0x10, OUT_AUX_OBF = 0x20 };
enum { ACK = 0xfa, RESEND = 0xfe, BAT_OK = 0xaa };
enum source { FROM_CONTROLLER, FROM_KBD, FROM_AUX };

struct ps2 {
	u8 queue[QUEUE_SIZE];
	u8 head, count;
	u8 command; /* its parameter comes next */
	u8 last;    /* byte sent, for 0xfe */
	u8 enabled, scan_set, rate, resolution, scaling, remote;
};

struct i8042 {
	struct device dev;
	struct region data, command;
	struct irq_line kbd_irq, aux_irq;
	bool has_aux; /* option */

	struct ps2 kbd, aux;
	u8 ram[RAM_SIZE]; /* [0] is the configuration byte */
	u8 status, obuf, source;
	u8 pending; /* a command whose parameter comes next */
};

bool i8042_has_mouse(const struct device *dev)
{
	return container_of(dev, const struct i8042, dev)->has_aux;
}

static void ps2_put(struct ps2 *p, u8 byte)
{
	if (p->count == QUEUE_SIZE)
		return;
	p->queue[(p->head + p->count) % QUEUE_SIZE] = byte;
	p->count++;
}

static u8 ps2_get(struct ps2 *p)
{
	p->last = p->queue[p->head % QUEUE_SIZE];
	p->head = (p->head + 1) % QUEUE_SIZE;
	p->count--;
	return p->last;
}

/* Scan code set 2 to 1, of the bytes that a keyboard sends without a key. */
static u8 translate(u8 byte)
{
	switch (byte) {
	case 0x00: return 0xff;
	case 0x01: return 0x43;
	case 0x02:
	case 0x83: return 0x41;
	case 0x03: return 0x3f;
	default: return byte;
	}
}

static void update_irqs(struct i8042 *k)
{
	bool full = k->status & STS_OBF;
	bool aux = k->source == FROM_AUX;

	irq_set(&k->kbd_irq, full && !aux && k->ram[0] & CTR_KBD_INT);
	irq_set(&k->aux_irq, full && aux && k->ram[0] & CTR_AUX_INT);
}

static void fill(struct i8042 *k, u8 byte, enum source from)
{
	k->obuf = byte;
	k->source = (u8)from;
	k->status |= STS_OBF;
	k->status &= ~STS_AUX;
	if (from == FROM_AUX)
		k->status |= STS_AUX;
}

/* The next byte that waits on an enabled port goes to the empty output buffer. */
static void deliver(struct i8042 *k)
{
	u8 ctr = k->ram[0];

	if (!(k->status & STS_OBF)) {
		if (k->kbd.count && !(ctr & CTR_KBD_OFF)) {
			u8 byte = ps2_get(&k->kbd);

			fill(k, ctr & CTR_TRANSLATE ? translate(byte) : byte, FROM_KBD);
		} else if (k->aux.count && !(ctr & CTR_AUX_OFF)) {
			fill(k, ps2_get(&k->aux), FROM_AUX);
		}
	}
	update_irqs(k);
}

static void kbd_defaults(struct ps2 *p)
{
	p->enabled = 1;
	p->scan_set = 2;
}

static void mouse_defaults(struct ps2 *p)
{
	p->enabled = 0;
	p->rate = 100;
	p->resolution = 2;
	p->scaling = p->remote = 0;
}

static void kbd_parameter(struct ps2 *p, u8 val)
{
	u8 command = p->command;

	p->command = 0;
	ps2_put(p, ACK);
	if (command != 0xf0)
		return;
	if (val == 0)
		ps2_put(p, p->scan_set);
	else if (val <= 3)
		p->scan_set = val;
}

static void kbd_command(struct ps2 *p, u8 val)
{
	ps2_put(p, val >= 0xed ? ACK : RESEND);
	switch (val) {
	case 0xed:
	case 0xf0:
	case 0xf3: p->command = val; break;
	case 0xf2:
		ps2_put(p, 0xab);
		ps2_put(p, 0x83);
		break;
	case 0xf4: p->enabled = 1; break;
	case 0xf5:
		kbd_defaults(p);
		p->enabled = 0;
		break;
	case 0xf6: kbd_defaults(p); break;
	case 0xff:
		kbd_defaults(p);
		ps2_put(p, BAT_OK);
		break;
	default: break;
	}
}

static void kbd_write(struct ps2 *p, u8 val)
{
	if (p->command) {
		kbd_parameter(p, val);
		return;
	}
	if (val == RESEND) {
		ps2_put(p, p->last);
		return;
	}
	p->count = 0; /* a command cuts off what was being said */
	if (val == 0xee)
		ps2_put(p, 0xee); /* echo has no acknowledge */
	else
		kbd_command(p, val);
}

static void mouse_report(struct ps2 *p, u8 first, u8 second, u8 third)
{
	ps2_put(p, first);
	ps2_put(p, second);
	ps2_put(p, third);
}

static void mouse_parameter(struct ps2 *p, u8 val)
{
	if (p->command == 0xf3)
		p->rate = val;
	else
		p->resolution = val & 3;
	p->command = 0;
	ps2_put(p, ACK);
}

static void mouse_command(struct ps2 *p, u8 val)
{
	ps2_put(p, val >= 0xe6 ? ACK : RESEND);
	switch (val) {
	case 0xe6:
	case 0xe7: p->scaling = val & 1; break;
	case 0xe8:
	case 0xf3: p->command = val; break;
	case 0xe9:
		mouse_report(p, (u8)(p->remote << 6 | p->enabled << 5 | p->scaling << 4),
			     p->resolution, p->rate);
		break;
	case 0xea: p->remote = 0; break;
	case 0xeb: mouse_report(p, 0x08, 0, 0); break;
	case 0xf0: p->remote = 1; break;
	case 0xf2: ps2_put(p, 0); break;
	case 0xf4: p->enabled = 1; break;
	case 0xf5: p->enabled = 0; break;
	case 0xf6: mouse_defaults(p); break;
	case 0xff:
		mouse_defaults(p);
		ps2_put(p, BAT_OK);
		ps2_put(p, 0);
		break;
	default: break;
	}
}

static void mouse_write(struct ps2 *p, u8 val)
{
	if (p->command) {
		mouse_parameter(p, val);
		return;
	}
	if (val == RESEND) {
		ps2_put(p, p->last);
		return;
	}
	p->count = 0;
	mouse_command(p, val);
}

static u8 output_port(const struct i8042 *k)
{
	u8 val = OUT_NOT_RESET | OUT_A20;

	if (k->status & STS_OBF)
		val |= k->source == FROM_AUX ? OUT_AUX_OBF : OUT_OBF;
	return val;
}

/* The byte that follows a controller command. */
static void write_parameter(struct i8042 *k, u8 val)
{
	u8 command = k->pending;

	k->pending = 0;
	if (command >= 0x60 && command <= 0x7f) {
		k->ram[command & (RAM_SIZE - 1)] = val;
		k->status = (u8)((k->status & ~STS_SYS) | (k->ram[0] & CTR_SYS));
		return;
	}
	switch (command) {
	case 0xd1:
		if (!(val & OUT_NOT_RESET))
			machine_request_reset(k->dev.machine);
		break;
	case 0xd2: fill(k, val, FROM_KBD); break;
	case 0xd3: fill(k, val, k->has_aux ? FROM_AUX : FROM_CONTROLLER); break;
	case 0xd4:
		k->ram[0] &= ~CTR_AUX_OFF;
		if (k->has_aux)
			mouse_write(&k->aux, val);
		break;
	default: break;
	}
}

/* Commands without a parameter. */
static void run_command(struct i8042 *k, u8 val)
{
	switch (val) {
	case 0xa7: k->ram[0] |= CTR_AUX_OFF; break;
	case 0xa8: k->ram[0] &= ~CTR_AUX_OFF; break;
	case 0xa9: fill(k, k->has_aux ? 0 : 1, FROM_CONTROLLER); break; /* 1: clock stuck low */
	case 0xaa:
		k->status |= STS_SYS;
		k->ram[0] |= CTR_SYS;
		fill(k, 0x55, FROM_CONTROLLER);
		break;
	case 0xab: fill(k, 0, FROM_CONTROLLER); break;
	case 0xad: k->ram[0] |= CTR_KBD_OFF; break;
	case 0xae: k->ram[0] &= ~CTR_KBD_OFF; break;
	case 0xc0: fill(k, 0x80, FROM_CONTROLLER); break; /* not locked */
	case 0xd0: fill(k, output_port(k), FROM_CONTROLLER); break;
	default: break; /* A20 and what nobody knows */
	}
}

static void write_command(struct i8042 *k, u8 val)
{
	k->status |= STS_COMMAND;
	k->pending = 0;
	if (val >= 0x20 && val <= 0x3f)
		fill(k, k->ram[val & (RAM_SIZE - 1)], FROM_CONTROLLER);
	else if ((val >= 0x60 && val <= 0x7f) || (val >= 0xd1 && val <= 0xd4))
		k->pending = val;
	else if (val >= 0xf0 && !(val & 1))
		machine_request_reset(k->dev.machine);
	else
		run_command(k, val);
}

static u64 data_read(void *opaque, u64 off, unsigned size)
{
	struct i8042 *k = opaque;
	u8 byte = k->obuf;

	k->status &= (u8) ~(STS_OBF | STS_AUX);
	update_irqs(k); /* the line falls before the next byte raises it */
	deliver(k);
	return byte;
}

static void data_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct i8042 *k = opaque;

	k->status &= (u8)~STS_COMMAND;
	if (k->pending) {
		write_parameter(k, (u8)val);
	} else {
		k->ram[0] &= (u8)~CTR_KBD_OFF;
		kbd_write(&k->kbd, (u8)val);
	}
	deliver(k);
}

static u64 status_read(void *opaque, u64 off, unsigned size)
{
	return ((struct i8042 *)opaque)->status;
}

static void command_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct i8042 *k = opaque;

	write_command(k, (u8)val);
	deliver(k);
}

static const struct io_ops data_io = {data_read, data_write, IO_8};
static const struct io_ops command_io = {status_read, command_write, IO_8};

static int i8042_realize(struct device *dev, struct err *e)
{
	struct i8042 *k = container_of(dev, struct i8042, dev);
	struct machine *m = dev->machine;
	int rc;

	k->kbd_irq = m->board->irq(m, 1);
	if (k->has_aux)
		k->aux_irq = m->board->irq(m, 12);
	rc = isa_map(dev, &k->data, DATA_PORT, 1, &data_io, k, e);
	if (rc)
		return rc;
	rc = isa_map(dev, &k->command, COMMAND_PORT, 1, &command_io, k, e);
	if (rc)
		isa_unmap(dev, &k->data);
	return rc;
}

static void i8042_unrealize(struct device *dev)
{
	struct i8042 *k = container_of(dev, struct i8042, dev);

	isa_unmap(dev, &k->data);
	isa_unmap(dev, &k->command);
}

static void i8042_reset(struct device *dev)
{
	struct i8042 *k = container_of(dev, struct i8042, dev);

	k->kbd = k->aux = (struct ps2){0};
	kbd_defaults(&k->kbd);
	mouse_defaults(&k->aux);
	memset(k->ram, 0, sizeof(k->ram));
	k->ram[0] = CTR_RESET;
	k->status = STS_UNLOCKED | STS_SYS;
	k->obuf = k->source = k->pending = 0;
	update_irqs(k);
}

static int i8042_post_load(struct device *dev, struct err *e)
{
	struct i8042 *k = container_of(dev, struct i8042, dev);

	k->kbd.count = k->kbd.count > QUEUE_SIZE ? QUEUE_SIZE : k->kbd.count;
	k->aux.count = k->aux.count > QUEUE_SIZE ? QUEUE_SIZE : k->aux.count;
	update_irqs(k);
	return 0;
}

static const struct param i8042_params[] = {
	{"aux", PARAM_BOOL, offsetof(struct i8042, has_aux), "on", "a mouse is plugged in"},
	{0},
};

static const struct state_field i8042_state[] = {
	STATE_FIELD(struct i8042, kbd, STATE_BLOB),    STATE_FIELD(struct i8042, aux, STATE_BLOB),
	STATE_FIELD(struct i8042, ram, STATE_BLOB),    STATE_FIELD(struct i8042, status, STATE_INT),
	STATE_FIELD(struct i8042, obuf, STATE_INT),    STATE_FIELD(struct i8042, source, STATE_INT),
	STATE_FIELD(struct i8042, pending, STATE_INT), {0},
};

const struct device_type i8042_type = {
	.name = "i8042",
	.doc = "PS/2 keyboard controller and keyboard",
	.size = sizeof(struct i8042),
	.version = 1,
	.params = i8042_params,
	.state = i8042_state,
	.realize = i8042_realize,
	.unrealize = i8042_unrealize,
	.reset = i8042_reset,
	.post_load = i8042_post_load,
};
