/* SPDX-License-Identifier: MIT */
/*
 * driver.c - runs a fuzzer's entry point without libFuzzer: on the files named, or on a fixed
 * number of reproducible random inputs.
 */
#include "fuzz/input.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 3000, MAX_SIZE = 1024 };

static int run_file(const char *name)
{
	static u8 data[1 << 20];
	FILE *f = fopen(name, "rb");
	size_t n;

	if (!f) {
		perror(name);
		return 1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	return 0;
}

int main(int argc, char **argv)
{
	u64 seed = 0x9e3779b97f4a7c15;
	u8 *data;

	if (argc > 1) {
		int rc = 0;

		for (int i = 1; i < argc; i++)
			rc |= run_file(argv[i]);
		return rc;
	}
	for (unsigned run = 0; run < RUNS; run++) {
		size_t size = 1 + run * 7 % MAX_SIZE;

		/* Of exactly that size, so that sanitizers see a read past its end. */
		data = malloc(size);
		if (!data)
			return 1;
		for (size_t i = 0; i < size; i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			data[i] = (u8)(seed >> 24);
		}
		LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
	return 0;
}
