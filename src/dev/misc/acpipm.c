/* SPDX-License-Identifier: MIT */
/*
 * acpipm.c - ACPI fixed hardware: power button, soft-off, PM timer, one GPE block.
 *
 * Source: ACPI Specification 6.4, "ACPI Hardware Specification".  The ports are where QEMU's
 * q35 has them, and S5 is sleep type 0 as there: test suites power off without tables, by
 * writing 0x2000 to port 0x604.
 *
 *   offset  size  reset  what
 *   0x00    2     0      PM1 status: TMR, GBL, PWRBTN, RTC, WAK; a one clears
 *   0x02    2     0      PM1 enable
 *   0x04    2     1      PM1 control: SCI_EN is always 1; SLP_EN with type 0 powers off
 *   0x08    4            PM timer, 24 bits at 3.579545 MHz
 *   0x20    4     0      GPE0 status; a one clears
 *   0x24    4     0      GPE0 enable
 *
 * Not modelled: sleep states but S5, SMI_CMD (there is no SMM), the RTC's wake event.
 */
#include "dev/misc/acpipm.h"

#include "dev/isa.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { STS_TMR = 1, STS_GBL = 0x20, STS_PWRBTN = 0x100, STS_RTC = 0x400, STS_WAK = 0x8000 };
enum { STS_ALL = STS_TMR | STS_GBL | STS_PWRBTN | STS_RTC | STS_WAK };
enum { EN_ALL = STS_TMR | STS_GBL | STS_PWRBTN | STS_RTC };
enum { CNT_SCI_EN = 1, CNT_KEPT = 0x1c02, CNT_SLP_EN = 0x2000, CNT_SLP_TYP_SHIFT = 10, SLP_S5 = 0 };
enum { PM_HZ = 3579545, PM_BITS = 24, NS_PER_S = 1000000000 };

struct acpipm {
	struct device dev;
	struct region io;
	struct irq_line sci;
	u32 iobase, irq; /* options */

	u16 status, enable, control;
	u32 gpe_status, gpe_enable;
	u64 toggles_seen; /* changes of the timer's top bit that the guest has cleared */
	struct timer overflow;
};

u32 acpipm_iobase(const struct device *dev)
{
	return container_of(dev, struct acpipm, dev)->iobase;
}

static u64 pm_ticks(struct acpipm *pm)
{
	u64 now = clock_now(pm->dev.machine, CLOCK_GUEST);

	return now / NS_PER_S * PM_HZ + now % NS_PER_S * PM_HZ / NS_PER_S;
}

/* How often the top bit has changed: each time sets TMR_STS. */
static u64 pm_toggles(struct acpipm *pm)
{
	return pm_ticks(pm) >> (PM_BITS - 1);
}

static u16 pm_status(struct acpipm *pm)
{
	return pm->status | (pm_toggles(pm) != pm->toggles_seen ? STS_TMR : 0);
}

static void pm_update(struct acpipm *pm)
{
	struct loop *loop = pm->dev.machine->loop;
	u16 status = pm_status(pm);

	irq_set(&pm->sci, status & pm->enable & EN_ALL || pm->gpe_status & pm->gpe_enable);
	if (pm->enable & STS_TMR && !(status & STS_TMR)) {
		u64 ticks = (pm_toggles(pm) + 1) << (PM_BITS - 1);

		/* One ns more than the division gives: never before the change. */
		timer_arm(loop, &pm->overflow,
			  ticks / PM_HZ * NS_PER_S + ticks % PM_HZ * NS_PER_S / PM_HZ + 1);
	} else {
		timer_cancel(loop, &pm->overflow);
	}
}

static void pm_overflowed(struct timer *t)
{
	pm_update(container_of(t, struct acpipm, overflow));
}

bool acpipm_power_button(struct device *dev)
{
	struct acpipm *pm = container_of(dev, struct acpipm, dev);
	bool wanted;

	lock(&dev->lock);
	pm->status |= STS_PWRBTN;
	wanted = pm->enable & STS_PWRBTN;
	pm_update(pm);
	unlock(&dev->lock);
	return wanted;
}

void acpipm_raise_gpe(struct device *dev, unsigned n)
{
	struct acpipm *pm = container_of(dev, struct acpipm, dev);

	lock(&dev->lock);
	pm->gpe_status |= 1u << n;
	pm_update(pm);
	unlock(&dev->lock);
}

static void write_status(struct acpipm *pm, u16 val)
{
	pm->status &= ~(val & STS_ALL);
	if (val & STS_TMR)
		pm->toggles_seen = pm_toggles(pm);
}

static void write_control(struct acpipm *pm, u16 val)
{
	pm->control = (val & CNT_KEPT) | CNT_SCI_EN;
	if (!(val & CNT_SLP_EN))
		return;
	if ((val >> CNT_SLP_TYP_SHIFT & 7) == SLP_S5)
		machine_request_shutdown(pm->dev.machine, EXIT_GUEST_OFF);
	else
		guest_error(&pm->dev, "sleep type that _Sx does not name");
}

/* All registers but the timer are bytes to the bus: assemble what it asks for. */
static u8 pm_byte(struct acpipm *pm, unsigned off)
{
	u8 regs[ACPIPM_PORTS] = {0};

	st_le16(regs, pm_status(pm));
	st_le16(regs + 2, pm->enable);
	st_le16(regs + ACPIPM_CONTROL, pm->control);
	st_le32(regs + ACPIPM_GPE0, pm->gpe_status);
	st_le32(regs + ACPIPM_GPE0 + 4, pm->gpe_enable);
	return regs[off];
}

static u64 pm_read(void *opaque, u64 off, unsigned size)
{
	struct acpipm *pm = opaque;
	u64 val = 0;

	if (off >= ACPIPM_TIMER && off < ACPIPM_TIMER + 4)
		return (pm_ticks(pm) & ((1u << PM_BITS) - 1)) >> 8 * (off - ACPIPM_TIMER);
	for (unsigned i = 0; i < size; i++)
		val |= (u64)pm_byte(pm, (unsigned)off + i) << 8 * i;
	return val;
}

/* Put byte number n of an aligned 16- or 32-bit register. */
static u32 with_byte(u32 old, unsigned n, u8 byte)
{
	return (old & ~(0xffu << 8 * n)) | (u32)byte << 8 * n;
}

static void pm_write_byte(struct acpipm *pm, unsigned off, u8 byte)
{
	unsigned n = off & 3;

	switch (off) {
	case 0:
	case 1: write_status(pm, (u16)(byte << 8 * n)); break;
	case 2:
	case 3: pm->enable = (u16)with_byte(pm->enable, n - 2, byte) & EN_ALL; break;
	case ACPIPM_GPE0 + 0:
	case ACPIPM_GPE0 + 1:
	case ACPIPM_GPE0 + 2:
	case ACPIPM_GPE0 + 3: pm->gpe_status &= ~((u32)byte << 8 * n); break;
	case ACPIPM_GPE0 + 4:
	case ACPIPM_GPE0 + 5:
	case ACPIPM_GPE0 + 6:
	case ACPIPM_GPE0 + 7: pm->gpe_enable = with_byte(pm->gpe_enable, n, byte); break;
	default: break; /* the timer is read-only */
	}
}

static void pm_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct acpipm *pm = opaque;

	if (off == ACPIPM_CONTROL && size >= 2)
		write_control(pm, (u16)val);
	else if (off == ACPIPM_CONTROL || off == ACPIPM_CONTROL + 1)
		write_control(pm, (u16)with_byte(pm->control, off & 1, (u8)val));
	else
		for (unsigned i = 0; i < size; i++)
			pm_write_byte(pm, (unsigned)off + i, (u8)(val >> 8 * i));
	pm_update(pm);
}

static const struct io_ops pm_io = {
	.read = pm_read,
	.write = pm_write,
	.sizes = IO_8 | IO_16 | IO_32,
};

static int acpipm_realize(struct device *dev, struct err *e)
{
	struct acpipm *pm = container_of(dev, struct acpipm, dev);
	struct machine *m = dev->machine;

	pm->overflow = (struct timer){.owner = dev, .fn = pm_overflowed, .clock = CLOCK_GUEST};
	pm->sci = m->board->irq(m, pm->irq);
	return isa_map(dev, &pm->io, pm->iobase, ACPIPM_PORTS, &pm_io, pm, e);
}

static void acpipm_unrealize(struct device *dev)
{
	struct acpipm *pm = container_of(dev, struct acpipm, dev);

	isa_unmap(dev, &pm->io);
	timer_cancel(dev->machine->loop, &pm->overflow);
}

static void acpipm_reset(struct device *dev)
{
	struct acpipm *pm = container_of(dev, struct acpipm, dev);

	pm->status = pm->enable = 0;
	pm->control = CNT_SCI_EN;
	pm->gpe_status = pm->gpe_enable = 0;
	pm->toggles_seen = pm_toggles(pm);
	pm_update(pm);
}

static int acpipm_post_load(struct device *dev, struct err *e)
{
	pm_update(container_of(dev, struct acpipm, dev));
	return 0;
}

static const struct param acpipm_params[] = {
	{"iobase", PARAM_U32, offsetof(struct acpipm, iobase), "0x600", "first I/O port"},
	{"irq", PARAM_U32, offsetof(struct acpipm, irq), "9", "interrupt (SCI)"},
	{0},
};

static const struct state_field acpipm_state[] = {
	STATE_FIELD(struct acpipm, status, STATE_INT),
	STATE_FIELD(struct acpipm, enable, STATE_INT),
	STATE_FIELD(struct acpipm, control, STATE_INT),
	STATE_FIELD(struct acpipm, gpe_status, STATE_INT),
	STATE_FIELD(struct acpipm, gpe_enable, STATE_INT),
	STATE_FIELD(struct acpipm, toggles_seen, STATE_INT),
	STATE_FIELD(struct acpipm, overflow, STATE_TIMER),
	{0},
};

const struct device_type acpipm_type = {
	.name = "acpi-pm",
	.doc = "ACPI power button, soft-off and PM timer",
	.size = sizeof(struct acpipm),
	.version = 1,
	.params = acpipm_params,
	.state = acpipm_state,
	.realize = acpipm_realize,
	.unrealize = acpipm_unrealize,
	.reset = acpipm_reset,
	.post_load = acpipm_post_load,
};
