/* SPDX-License-Identifier: MIT */
/*
 * trace.c - which trace points are on.
 *
 * trace_on[] is the one global of the program that changes: a test of it stands in every hot
 * path, so it has a fixed address.  It is written before threads start.
 */
#include "sundog/trace.h"

#include <errno.h>
#include <fnmatch.h>

#include "sundog/err.h"
#include "sundog/opts.h"

bool trace_on[NR_TRACES];

static const char *const trace_names[] = {
#define TRACE(name, ...) #name,
#include "sundog/trace.def"
#undef TRACE
	NULL,
};

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
	/* Whole lines, though several threads write them. */
	setvbuf(stderr, NULL, _IOLBF, 0);
	return 0;
}

void trace_list(FILE *f)
{
	for (unsigned i = 0; i < NR_TRACES; i++)
		fprintf(f, "%s\n", trace_names[i]);
}
