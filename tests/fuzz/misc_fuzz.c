/* SPDX-License-Identifier: MIT */
/* misc_fuzz.c - the small devices together. */
#include "fuzz/fuzz_testbed.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const specs[] = {
		"acpi-pm",
		"isa-debugcon,iobase=0x500",
		"isa-debug-exit",
		"port92",
		"pvpanic",
		"pc-testdev",
		NULL,
	};
	static const struct fuzz_range ranges[] = {
		{0x600, 0x28, false}, {0xe0, 12, false},     {0x500, 8, false},
		{0x92, 1, false},     {0x2000, 0x18, false}, {0xff000000, 0x10000, true},
	};

	fuzz_run(fuzz_machine(specs), data, size, ranges, ARRAY_SIZE(ranges), NULL);
	return 0;
}
