/* SPDX-License-Identifier: MIT */
/*
 * trace.c - which trace points are on, and where their lines go.
 *
 * trace_on[] and what goes with it are globals that change: a test of it stands in every hot
 * path, so it has a fixed address.  They are written before threads start.
 */
#include "sundog/trace.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sundog/err.h"
#include "sundog/opts.h"

bool trace_on[NR_TRACES];

static const char *const trace_names[] = {
#define TRACE(name, ...) #name,
#include "sundog/trace.def"
#undef TRACE
	NULL,
};

/* What each line says, for the list: its format. */
static const char *const trace_formats[] = {
#define TRACE(name, fmt, ...) fmt,
#include "sundog/trace.def"
#undef TRACE
};

static FILE *out; /* NULL: standard error */
static u64 start; /* ns */
static _Thread_local char thread[12] = "-";

static u64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

void trace_thread(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(thread, sizeof(thread), fmt, ap);
	va_end(ap);
}

void trace_print(const char *name, const char *fmt, ...)
{
	u64 us = (now() - start) / 1000;
	char line[512];
	va_list ap;
	int n;

	n = snprintf(line, sizeof(line), "%4llu.%06llu %-5s %s ", (unsigned long long)us / 1000000,
		     (unsigned long long)us % 1000000, thread, name);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	strcat(line, "\n");
	/* In one piece: stdio locks each call. */
	fputs(line, out ? out : stderr);
}

int trace_to(const char *path, struct err *e)
{
	FILE *f = fopen(path, "we");

	if (!f) /* not one of the guest's inputs: err.h */
		return err_set(e, errno == EINVAL ? -EINVAL : -EIO,
			       "--trace-file: cannot write %s: %s", path, strerror(errno));
	out = f;
	return 0;
}

static int enable_one(const char *pattern, struct err *e)
{
	const char *near;
	bool found = false;

	for (unsigned i = 0; i < NR_TRACES; i++) {
		if (fnmatch(pattern, trace_names[i], 0))
			continue;
		trace_on[i] = true;
		found = true;
	}
	if (found)
		return 0;
	near = nearest(pattern, trace_names);
	if (near)
		return err_set(e, -EINVAL, "no trace point matches '%s': did you mean '%s'?",
			       pattern, near);
	return err_set(e, -EINVAL, "no trace point matches '%s': --trace=help lists them", pattern);
}

int trace_enable(const char *patterns, struct err *e)
{
	char one[128];

	while (*patterns) {
		size_t n = strcspn(patterns, ",");
		int r;

		if (n >= sizeof(one))
			return err_set(e, -EINVAL, "trace pattern too long (over %zu characters)",
				       sizeof(one) - 1);
		memcpy(one, patterns, n);
		one[n] = '\0';
		patterns += n;
		if (*patterns == ',')
			patterns++;
		if (!n)
			continue;
		r = enable_one(one, e);
		if (r)
			return r;
	}
	/* Line by line, so that nothing is lost however we end. */
	setvbuf(out ? out : stderr, NULL, _IOLBF, 0);
	start = now();
	return 0;
}

void trace_list(FILE *f)
{
	for (unsigned i = 0; i < NR_TRACES; i++)
		fprintf(f, "%-16s %s\n", trace_names[i], trace_formats[i]);
}
