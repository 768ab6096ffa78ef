/* SPDX-License-Identifier: MIT */
/* fuzz_ports.h - an input as register accesses and time steps, for one device at a time. */
#ifndef TESTS_FUZZ_FUZZ_PORTS_H
#define TESTS_FUZZ_FUZZ_PORTS_H

#include "dev/fake.h"
#include "fuzz/input.h"

/*
 * Reads and writes of 1, 4 or 8 bytes at the device's own regions, time steps, and extra() for
 * what else can happen to it.
 */
static inline void fuzz_registers(struct input *in, void (*extra)(u8 op, u8 arg))
{
	while (in->left) {
		u8 op = (u8)input_take(in, 1);
		unsigned size = op & 4 ? 1 : op & 8 ? 4 : 8;
		const struct region *r = &fake_regions[(op >> 4) % fake_nr_regions];
		u64 addr;

		if ((op & 3) == 2) {
			fake_advance(input_step(in));
		} else if ((op & 3) == 3) {
			extra(op, (u8)input_take(in, 1));
		} else {
			addr = r->base + input_take(in, r->size > 256 ? 2 : 1) % r->size;
			if (op & 1)
				fake_read(addr & ~(u64)(size - 1), size);
			else
				fake_write(addr & ~(u64)(size - 1), input_take(in, size), size);
		}
	}
}

#endif
