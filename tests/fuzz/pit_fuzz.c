/* SPDX-License-Identifier: MIT */
/* pit_fuzz.c - the 8254 and port 0x61: register accesses and time. */
#include "dev/timer/pit.h"
#include "fuzz/fuzz_ports.h"

static struct device *pit;

static void extra(u8 op, u8 arg)
{
	if (op == 0xff)
		isa_pit_type.reset(pit);
	else
		fake_now += arg * 1000ull; /* the loop comes late */
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size < 512 ? size : 512};

	pit = fake_device(&isa_pit_type, NULL);
	fuzz_registers(&in, extra);
	fake_free(pit);
	return 0;
}
