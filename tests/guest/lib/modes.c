/* SPDX-License-Identifier: MIT */
/* modes.c - ways to run a test's code. */
#include "modes.h"

const struct mode modes[NR_MODES] = {
	{"kernel", false, 0},
	{"global", false, PTE_G},
	{"user", true, PTE_U},
};
const struct mode *mode = &modes[0];

u64 rights(void)
{
	/* As if in use: what is not may not be taken for known. */
	return PTE_P | PTE_W | PTE_A | PTE_D | mode->flags;
}

struct ctx context(const void *code)
{
	return mode->user ? ctx_user(code) : ctx_kernel(code);
}

const char *named(const char *a, const char *b, const char *c)
{
	static char buffer[80];
	const char *const parts[] = {a, b, c};
	unsigned n = 0;

	for (unsigned i = 0; i < 3; i++) {
		if (i)
			buffer[n++] = '-';
		for (const char *p = parts[i]; *p && n < sizeof(buffer) - 2; p++)
			buffer[n++] = *p;
	}
	buffer[n] = 0;
	return buffer;
}

bool ended(const struct ctx *c)
{
	return c->vector == DONE_VECTOR && !c->r12;
}
