/* SPDX-License-Identifier: MIT */
/* hpet_fuzz.c - the HPET: register accesses, time, and the lines that go through it. */
#include "dev/timer/hpet.h"
#include "fuzz/fuzz_ports.h"

static struct device *hpet;
static struct fake_sink sinks[4];

static void extra(u8 op, u8 arg)
{
	struct irq_line l = hpet_input(hpet, arg & 1);

	if (op == 0xff)
		hpet_type.reset(hpet);
	else if (op & 4)
		irq_set(&l, arg & 2);
	else
		fake_now += arg * 1000ull; /* the loop comes late */
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size < 512 ? size : 512};

	hpet = fake_device(&hpet_type, NULL);
	hpet_connect_legacy(hpet, HPET_LEGACY_PIT, fake_line(&sinks[0]));
	hpet_connect_legacy(hpet, HPET_LEGACY_RTC, fake_line(&sinks[1]));
	hpet_connect(hpet, 16, fake_line(&sinks[2]));
	hpet_connect(hpet, 23, fake_line(&sinks[3]));
	fuzz_registers(&in, extra);
	fake_free(hpet);
	return 0;
}
