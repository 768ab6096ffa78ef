/* SPDX-License-Identifier: MIT */
/* rtc_fuzz.c - the real-time clock: register accesses and time. */
#include "dev/timer/rtc.h"
#include "fuzz/fuzz_ports.h"

static struct device *rtc;

static void set_options(struct device *dev)
{
	const char *base = "utc";

	memcpy((char *)dev + mc146818rtc_type.params[0].offset, &base, sizeof(base));
}

static void extra(u8 op, u8 arg)
{
	/* The registers of the chip itself, which random accesses rarely address. */
	fake_out(0x70, arg & 15);
	if (op & 4)
		fake_out(0x71, (u8)(op & 0xf8) | arg >> 4);
	else
		fake_in(0x71);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size < 512 ? size : 512};

	rtc = fake_device(&mc146818rtc_type, set_options);
	fuzz_registers(&in, extra);
	fake_free(rtc);
	return 0;
}
