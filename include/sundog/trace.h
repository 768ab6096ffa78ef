/* SPDX-License-Identifier: MIT */
/*
 * trace.h - trace points: what happened, in order, at next to no cost when off.
 *
 * A trace point is one line in trace.def and one call, trace_<name>().
 * Turn them on with --trace='mmio_*,irq_*'.  There is no other debug printing.
 */
#ifndef SUNDOG_TRACE_H
#define SUNDOG_TRACE_H

#include <stdio.h>

#include "sundog/types.h"

/*
 * The one global that changes, and that two machines in a process share: set by
 * trace_enable() before threads start.
 */
extern bool trace_on[];

struct err;

/* Turn on all points that match one of the comma-separated patterns ("io_*,irq_*"). */
int trace_enable(const char *patterns, struct err *e) must_check;
void trace_list(FILE *f); /* every point, for --trace=help */

enum trace_id {
#define TRACE(name, ...) TRACE_##name,
#include "sundog/trace.def"
#undef TRACE
	NR_TRACES
};

/* TRACE(name, fmt, params, args): see trace.def. */
#define TRACE_ARGS(...) __VA_ARGS__
#define TRACE(name, fmt, params, args)                             \
	static inline void trace_##name(params)                    \
	{                                                          \
		if (__builtin_expect(trace_on[TRACE_##name], 0))   \
			fprintf(stderr, #name " " fmt "\n", args); \
	}
#include "sundog/trace.def"
#undef TRACE

#endif
