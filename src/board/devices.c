/* SPDX-License-Identifier: MIT */
/*
 * devices.c - the devices of the board "pc": its own, and what --device says.
 *
 *   --device TYPE[,key=value...]	adds a device; one that the board has by itself is
 *					configured instead (of serial ports: that index)
 *   --device TYPE[,index=N],off	takes one of the board's own away
 */
#include "board/pc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "dev/devices.h"
#include "dev/intc/lapic.h"
#include "dev/intc/pic.h"
#include "dev/misc/acpipm.h"
#include "dev/misc/fwcfg.h"
#include "dev/pci/acpihp.h"
#include "dev/pci/host.h"
#include "dev/timer/hpet.h"
#include "dev/timer/pit.h"
#include "dev/timer/rtc.h"
#include "sundog/err.h"
#include "sundog/opts.h"

enum { MAX_USER = 64 };

/* What the board has, in the order in which it is made and reset. */
static const struct own {
	const struct device_type *type;
	const char *index; /* there are several: this one */
	bool fixed;	   /* the board does not work without it */
} own_devices[] = {
	/* clang-format off */
	{&isa_i8259_type, NULL, true},
	{&ioapic_type, NULL, true},
	{&hpet_type, NULL, false},
	{&isa_pit_type, NULL, true},
	{&mc146818rtc_type, NULL, true},
	{&pci_host_type, NULL, true},
	{&acpipm_type, NULL, true},
	{&acpihp_type, NULL, true},
	{&fwcfg_type, NULL, false},
	{&port92_type, NULL, false},
	{&i8042_type, NULL, false},
	{&pvpanic_type, NULL, false},
	{&uart16550_type, "0", false},
	{&uart16550_type, "1", false},
	/* clang-format on */
};

/* A --device argument. */
struct wish {
	struct opts *opts;
	bool off, used;
};

struct wishes {
	struct wish wish[MAX_USER];
	unsigned nr;
};

struct device *pc_find(struct machine *m, const struct device_type *type)
{
	for (struct device *d = m->devices; d; d = d->next)
		if (d->type == type)
			return d;
	return NULL;
}

static int unknown_type(const char *name, struct err *e)
{
	const char *names[64];
	const char *near;
	unsigned n = 0;

	for (; device_types[n] && n < ARRAY_SIZE(names) - 1; n++)
		names[n] = device_types[n]->name;
	names[n] = NULL;
	near = nearest(name, names);
	if (near)
		return err_set(e, -EINVAL, "--device %s: no such device; did you mean %s?", name,
			       near);
	return err_set(e, -EINVAL, "--device %s: no such device; --device help lists them", name);
}

static int parse_wish(struct wish *w, const char *spec, struct err *e)
{
	size_t len = strlen(spec);
	char *text = strdup(spec);

	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	w->off = len >= 4 && strcmp(spec + len - 4, ",off") == 0;
	if (w->off)
		text[len - 4] = 0;
	w->opts = opts_parse(text, e);
	free(text);
	if (!w->opts)
		return e->code ? e->code : err_set(e, -EINVAL, "--device %s: bad option", spec);
	if (!device_type_find(opts_type(w->opts)))
		return unknown_type(opts_type(w->opts), e);
	return 0;
}

static int parse_wishes(struct wishes *ws, const char *const *specs, struct err *e)
{
	for (; specs && *specs; specs++) {
		int rc;

		if (ws->nr == MAX_USER)
			return err_set(e, -EINVAL, "more than %d --device options", MAX_USER);
		rc = parse_wish(&ws->wish[ws->nr++], *specs, e);
		if (rc)
			return rc;
	}
	return 0;
}

static bool concerns(const struct wish *w, const struct own *own)
{
	const char *index = opts_get(w->opts, "index");

	if (w->used || strcmp(opts_type(w->opts), own->type->name) != 0)
		return false;
	return !own->index || strcmp(index ? index : "0", own->index) == 0;
}

/* What the board says of its own device where the user did not. */
static int set_defaults(struct opts *o, const struct own *own, const struct machine_cfg *cfg)
{
	int rc = 0;

	if (own->index && !opts_get(o, "index"))
		rc = opts_set(o, "index", own->index);
	if (rc == 0 && own->type == &uart16550_type && strcmp(own->index, "0") == 0 &&
	    !opts_get(o, "chardev"))
		rc = opts_set(o, "chardev", cfg->console ? cfg->console : "stdio");
	return rc;
}

static int add_own(struct pc *pc, const struct own *own, struct wishes *ws,
		   const struct machine_cfg *cfg, struct err *e)
{
	struct opts *fresh = NULL, *o = NULL;
	int rc = 0;

	for (unsigned i = 0; i < ws->nr; i++) {
		struct wish *w = &ws->wish[i];

		if (!concerns(w, own))
			continue;
		w->used = true;
		if (w->off && own->fixed)
			return err_set(e, -EINVAL, "--device %s,off: the board needs it",
				       own->type->name);
		if (w->off)
			return 0;
		o = w->opts;
	}
	if (!o)
		o = fresh = opts_new(own->type->name);
	if (!o || set_defaults(o, own, cfg) != 0)
		rc = err_set(e, -ENOMEM, "out of memory");
	else if (!device_add(pc->m, o, e))
		rc = e->code ? e->code : -EINVAL;
	opts_free(fresh);
	return rc;
}

static int add_wishes(struct pc *pc, struct wishes *ws, struct err *e)
{
	for (unsigned i = 0; i < ws->nr; i++) {
		struct wish *w = &ws->wish[i];

		if (w->used)
			continue;
		if (w->off)
			return err_set(e, -EINVAL, "--device %s,off: the board has none by itself",
				       opts_type(w->opts));
		if (!device_add(pc->m, w->opts, e))
			return e->code ? e->code : -EINVAL;
	}
	return 0;
}

/* Our local APICs, unless the engine has its own. */
static int wire_controllers(struct pc *pc, struct err *e)
{
	struct lapic_wiring w = {
		.ack = pic_ack,
		.pic = pc->pic,
		.eoi = ioapic_eoi,
		.ioapic = pc->ioapic,
	};

	pc_init_lines(pc);
	pic_connect(pc->pic, lapic_lint(pc->m, 0));
	pc->m->vcpus[0]->fpu_error = pc_irq(pc->m, 13);
	for (unsigned i = 0; i < pc->m->nr_vcpus; i++) {
		struct vcpu *cpu = pc->m->vcpus[i];
		int rc;

		if (cpu->lapic_ops)
			continue;
		rc = lapic_soft.init(cpu, e);
		if (rc)
			return rc;
		cpu->lapic_ops = &lapic_soft;
		lapic_connect(cpu, &w);
	}
	return 0;
}

/* The PIT and the RTC go through the HPET, which can take their interrupts over. */
static void wire_timers(struct pc *pc)
{
	static const u8 routes[] = {2, 8, 16, 17, 18, 19, 20, 21, 22, 23};
	struct machine *m = pc->m;
	struct device *hpet = pc_find(m, &hpet_type);
	struct irq_line irq0 = pc_irq(m, 0), irq8 = pc_irq(m, 8);

	if (hpet) {
		hpet_connect_legacy(hpet, HPET_LEGACY_PIT, irq0);
		hpet_connect_legacy(hpet, HPET_LEGACY_RTC, irq8);
		for (unsigned i = 0; i < ARRAY_SIZE(routes); i++)
			hpet_connect(hpet, routes[i], pc_ioapic_only(pc, routes[i]));
		irq0 = hpet_input(hpet, HPET_LEGACY_PIT);
		irq8 = hpet_input(hpet, HPET_LEGACY_RTC);
	}
	pit_connect(pc_find(m, &isa_pit_type), irq0);
	rtc_connect(pc_find(m, &mc146818rtc_type), irq8);
}

/* Memory sizes where firmware leaves them: RBIL, "CMOS Memory Map". */
static void fill_cmos(struct pc *pc)
{
	struct device *rtc = pc_find(pc->m, &mc146818rtc_type);
	u64 low = pc->boot.low_end, high = pc_high_ram(pc->m) >> 16;
	u64 ext = (low - BOOT_HIGH) >> 10;
	u64 above16 = low > 16 << 20 ? (low - (16 << 20)) >> 16 : 0;

	ext = ext > 0xffff ? 0xffff : ext;
	above16 = above16 > 0xffff ? 0xffff : above16;
	rtc_set_cmos(rtc, 0x14, 0x06); /* FPU and mouse port */
	rtc_set_cmos(rtc, 0x15, 640 & 0xff);
	rtc_set_cmos(rtc, 0x16, 640 >> 8);
	rtc_set_cmos(rtc, 0x17, (u8)ext);
	rtc_set_cmos(rtc, 0x18, (u8)(ext >> 8));
	rtc_set_cmos(rtc, 0x30, (u8)ext);
	rtc_set_cmos(rtc, 0x31, (u8)(ext >> 8));
	rtc_set_cmos(rtc, 0x34, (u8)above16);
	rtc_set_cmos(rtc, 0x35, (u8)(above16 >> 8));
	rtc_set_cmos(rtc, 0x5b, (u8)high);
	rtc_set_cmos(rtc, 0x5c, (u8)(high >> 8));
	rtc_set_cmos(rtc, 0x5d, (u8)(high >> 16));
	rtc_set_cmos(rtc, 0x5f, (u8)(pc->m->nr_vcpus - 1));
}

static int add_all(struct pc *pc, struct wishes *ws, const struct machine_cfg *cfg, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < ARRAY_SIZE(own_devices); i++) {
		rc = add_own(pc, &own_devices[i], ws, cfg, e);
		if (rc || own_devices[i].type != &ioapic_type)
			continue;
		/* From here on, devices may ask for interrupt lines. */
		pc->pic = pc_find(pc->m, &isa_i8259_type);
		pc->ioapic = pc_find(pc->m, &ioapic_type);
		rc = wire_controllers(pc, e);
	}
	if (rc == 0)
		rc = add_wishes(pc, ws, e);
	if (rc)
		return rc;
	wire_timers(pc);
	pc_wire_hotplug(pc);
	fill_cmos(pc);
	return 0;
}

int pc_add_devices(struct pc *pc, const struct machine_cfg *cfg, struct err *e)
{
	struct wishes ws = {0};
	int rc = parse_wishes(&ws, cfg->devices, e);

	if (rc == 0)
		rc = add_all(pc, &ws, cfg, e);
	for (unsigned i = 0; i < ws.nr; i++)
		opts_free(ws.wish[i].opts);
	return rc;
}
