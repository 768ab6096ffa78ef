/* SPDX-License-Identifier: MIT */
/* i8042_fuzz.c - the keyboard controller with both its devices. */
#include "fuzz/fuzz_testbed.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const specs[] = {"i8042,aux=on", NULL};
	static const struct fuzz_range ports[] = {{0x60, 1, false}, {0x64, 1, false}};

	fuzz_run(fuzz_machine(specs), data, size, ports, ARRAY_SIZE(ports), NULL);
	return 0;
}
