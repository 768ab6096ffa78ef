/* SPDX-License-Identifier: MIT */
/* uart16550_fuzz.c - the serial port: registers, input from outside, a reader that comes and goes.
 */
#include "fuzz/fuzz_testbed.h"

static void extra(struct input *in)
{
	u8 what = (u8)input_take(in, 1);

	if (what & 1)
		tb_input("0123456789abcdefghij");
	else if (what & 2)
		tb_writable(what >> 2);
	else
		tb.out_room = what >> 2;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const specs[] = {"isa-serial", NULL};
	static const struct fuzz_range ports = {0x3f8, 8, false};

	fuzz_run(fuzz_machine(specs), data, size, &ports, 1, extra);
	return 0;
}
