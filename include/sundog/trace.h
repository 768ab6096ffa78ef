/* SPDX-License-Identifier: MIT */
/*
 * trace.h - trace points: what happened, when, on which thread, at next to no cost when off.
 *
 * A trace point is one line in trace.def and one call, trace_<name>().
 * Turn them on with --trace='io_*,irq_*'.  There is no other debug printing.  A line is
 *
 *	seconds thread name what
 *
 * where the seconds count from when tracing was turned on, by the host's monotonic clock, and
 * the thread is cpuN, loop, or - for all others.  Lines are whole, though threads race.
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
/* Into a file instead of standard error; before trace_enable(). */
int trace_to(const char *path, struct err *e) must_check;
void trace_list(FILE *f); /* every point, for --trace=help */

/* What the calling thread is called in traces: "cpu%u". */
void trace_thread(const char *fmt, ...) printf_fmt(1);

/* For the trace points below only. */
void trace_print(const char *name, const char *fmt, ...) printf_fmt(2);

enum trace_id {
#define TRACE(name, ...) TRACE_##name,
#include "sundog/trace.def"
#undef TRACE
	NR_TRACES
};

/* TRACE(name, fmt, params, args): see trace.def. */
#define TRACE_ARGS(...) __VA_ARGS__
#define TRACE(name, fmt, params, args)                           \
	static inline void trace_##name(params)                  \
	{                                                        \
		if (__builtin_expect(trace_on[TRACE_##name], 0)) \
			trace_print(#name, fmt, args);           \
	}
#include "sundog/trace.def"
#undef TRACE

#endif
