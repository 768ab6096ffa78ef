/* SPDX-License-Identifier: MIT */
/* fwcfg_fuzz.c - fw_cfg by its ports, and by DMA commands of random content. */
#include "fuzz/fuzz_testbed.h"

#include "dev/misc/fwcfg.h"

enum { COMMAND = 0x1000 };

static void extra(struct input *in)
{
	struct machine *m = &tb_machine;

	for (unsigned i = 0; i < 16; i++)
		tb_ram[COMMAND + i] = (u8)input_take(in, 1);
	tb_ram[COMMAND + 2] = 0; /* few keys exist, and lengths of GiB are slow */
	tb_ram[COMMAND + 4] = 0;
	as_store(m->pio, 0x514, 0, 4);
	as_store(m->pio, 0x518, __builtin_bswap32(COMMAND), 4);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static const char *const specs[] = {"fw_cfg", NULL};
	static const struct fuzz_range ports = {0x510, 12, false};
	static bool filled;
	struct machine *m = fuzz_machine(specs);

	if (!filled)
		fwcfg_add_file(m->devices, "opt/x", "hello", 5);
	filled = true;
	fuzz_run(m, data, size, &ports, 1, extra);
	return 0;
}
