/* SPDX-License-Identifier: MIT */
/* counters.h - counters on their way to whoever shows them: people, the control socket. */
#ifndef SUNDOG_COUNTERS_H
#define SUNDOG_COUNTERS_H

#include <stdio.h>

#include "sundog/types.h"

struct machine;

struct counter_sink {
	/* name: [a-z0-9_]+; doc: one line; whole numbers are exact up to 2^53. */
	void (*put)(struct counter_sink *s, const char *name, const char *doc, double value);
};

static inline void counter_put(struct counter_sink *s, const char *name, const char *doc,
			       double value)
{
	s->put(s, name, doc, value);
}

/* The engine's, a line each. No vCPU is in run(). */
void counters_print(struct machine *m, FILE *f);

#endif
