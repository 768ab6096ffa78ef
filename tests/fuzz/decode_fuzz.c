/* SPDX-License-Identifier: MIT */
/* decode_fuzz.c - the decoder, in every code size, on any bytes. */
#include "fuzz/input.h"

#include <stdlib.h>

#include "isa/x86/decode.h"
#include "isa/x86/insn.h"

static void check(bool ok)
{
	if (!ok)
		abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	for (size_t at = 1; at < size; at++) {
		unsigned avail = size - at < 15 ? (unsigned)(size - at) : 15;
		enum code_size cs = (enum code_size)(CODE16 + data[0] % 3);
		struct op op;
		int len = x86_decode(data + at, avail, cs, at & 0xfff, &op);

		check(len <= (int)avail && len >= -15);
		check(len || avail < 15);
		if (len > 0)
			check(op.row < nr_insns && op.len == len && insns[op.row].fn);
	}
	return 0;
}
