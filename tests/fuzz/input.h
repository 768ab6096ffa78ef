/* SPDX-License-Identifier: MIT */
/* input.h - a fuzzer's input, taken piece by piece; zeros when it has run out. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include "sundog/types.h"

struct input {
	const u8 *data;
	size_t left;
};

static inline u64 input_take(struct input *in, unsigned bytes)
{
	u64 val = 0;

	for (unsigned i = 0; i < bytes && in->left; i++) {
		val |= (u64)*in->data++ << (8 * i);
		in->left--;
	}
	return val;
}

/* A time step in ns: mostly short, at times up to a second. */
static inline u64 input_step(struct input *in)
{
	u64 val = input_take(in, 3);

	return (val & 0xfffff) << (val >> 20 & 0xf ? val >> 20 & 3 : 10);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#endif
