/* SPDX-License-Identifier: MIT */
/*
 * fuzz_testbed.h - register accesses to devices on a testbed machine, as the input says.
 *
 * An access is a byte (bit 0: write; bits 1, 2: log2 of the size; bit 3: a value of all ones
 * or a power of two; bits 4..6: which range; bit 7: not an access but extra()), two bytes of
 * offset, and the value.
 */
#ifndef TESTS_FUZZ_FUZZ_TESTBED_H
#define TESTS_FUZZ_FUZZ_TESTBED_H

#include "dev/testbed.h"
#include "fuzz/input.h"

struct fuzz_range {
	u64 base, size;
	bool mmio;
};

/* A machine with these devices, made once; every input begins with a reset. */
static inline struct machine *fuzz_machine(const char *const *specs)
{
	static struct machine *m;

	if (!m) {
		m = tb_new();
		for (; *specs; specs++)
			tb_add(m, *specs);
		clock_resume(m);
	}
	device_reset_all(m);
	tb.out_room = TB_OUT;
	return m;
}

static inline void fuzz_access(struct machine *m, struct input *in, u8 op,
			       const struct fuzz_range *r)
{
	struct addrspace *as = r->mmio ? m->mem : m->pio;
	u64 addr = r->base + input_take(in, 2) % r->size;
	unsigned size = 1u << (op >> 1 & 3);
	u64 val;

	if (!r->mmio && size == 8)
		size = 4;
	if (!(op & 1)) {
		as_load(as, addr, size);
		return;
	}
	val = op & 8 ? 1ull << (input_take(in, 1) & 63) : input_take(in, size);
	if (op & 8 && val == 1)
		val = ~0ull;
	as_store(as, addr, size == 8 ? val : val & ((1ull << 8 * size) - 1), size);
}

static inline void fuzz_run(struct machine *m, const u8 *data, size_t len,
			    const struct fuzz_range *r, unsigned nr, void (*extra)(struct input *))
{
	struct input in = {data, len};

	while (in.left) {
		u8 op = (u8)input_take(&in, 1);

		if (op & 0x80 && extra)
			extra(&in);
		else if (op & 0x80)
			device_reset_all(m);
		else
			fuzz_access(m, &in, op, &r[(op >> 4 & 7) % nr]);
	}
	loop_step(m->loop);
}

#endif
