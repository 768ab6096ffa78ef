/* SPDX-License-Identifier: MIT */
/* counters.c - counters for people. */
#include "sundog/counters.h"

#include "sundog/machine.h"

struct printer {
	struct counter_sink sink;
	FILE *f;
};

static void print(struct counter_sink *s, const char *name, const char *doc, double value)
{
	struct printer *p = container_of(s, struct printer, sink);

	fprintf(p->f, "%15.*f  %s: %s\n", value == (double)(u64)value ? 0 : 2, value, name, doc);
}

void counters_print(struct machine *m, FILE *f)
{
	struct printer p = {{print}, f};

	if (m->engine->stats)
		m->engine->stats(m, &p.sink);
}
