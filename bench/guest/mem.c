// SPDX-License-Identifier: MIT
/*
 * mem.c - memory classes: copies of 8 MB, by libc's memcpy() (which looks at CPUID for how) and
 * by the string instruction.
 */
#include <string.h>

#include "bench.h"

enum { BYTES = 8 << 20, COPIES = 16 };

static uint64_t *from, *to;

static void copy_setup(void)
{
	if (from)
		return;
	from = get_pages(BYTES);
	to = get_pages(BYTES);
	for (uint64_t i = 0; i < BYTES / 8; i++)
		from[i] = i * 0x9e3779b97f4a7c15u;
}

/* A few of the words; all of them would cost as much as the copies do. */
static uint64_t copy_check(void)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < BYTES / 8; i += 509)
		h = mix(h, to[i]);
	return h;
}

static uint64_t copy_libc(void)
{
	memset(to, 0, 4096);
	for (int i = 0; i < COPIES; i++) {
		memcpy(to, from, BYTES);
		__asm__ volatile("" ::: "memory");
	}
	return copy_check();
}

static uint64_t copy_movs(void)
{
	memset(to, 0, 4096);
	for (int i = 0; i < COPIES; i++) {
		void *d = to;
		const void *s = from;
		unsigned long n = BYTES;

		__asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n)::"memory");
	}
	return copy_check();
}

const struct bench mem_benches[] = {
	{"memcpy", "run", 1, 0x45002bbf591174c4, copy_libc, copy_setup},
	{"movs", "run", 1, 0x45002bbf591174c4, copy_movs, copy_setup},
	{0},
};
