/* SPDX-License-Identifier: MIT */
/* opts_fuzz.c - option strings, sizes and numbers: any text. */
#include "fuzz/input.h"

#include <stdlib.h>

#include "fuzz/fuzz_testbed.h"
#include "sundog/err.h"
#include "sundog/opts.h"

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	char *text = malloc(size + 1);
	struct err e = {0};
	struct opts *o;
	u64 val;

	CHECK(text);
	memcpy(text, data, size);
	text[size] = 0;
	o = opts_parse(text, &e);
	if (o) {
		struct opts *c = opts_copy(o);

		CHECK(c && strcmp(opts_type(c), opts_type(o)) == 0);
		opts_free(c);
	} else {
		CHECK(e.code && e.msg[0]);
	}
	opts_free(o);
	if (parse_size(text, &val) == 0 || parse_u64(text, &val) == 0)
		CHECK(text[0] >= '0' && text[0] <= '9');
	free(text);
	return 0;
}
