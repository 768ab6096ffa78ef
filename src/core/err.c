/* SPDX-License-Identifier: MIT */
/* err.c - errors with a reason. */
#include "sundog/err.h"

#include <stdarg.h>
#include <stdio.h>

/* Names in it may be an image's or a client's; what would command a terminal is '?'. */
static void tame(struct err *e)
{
	for (u8 *p = (u8 *)e->msg; *p; p++) {
		bool c1 = *p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0; /* U+0080 to U+009F */

		if (c1)
			p[1] = '?';
		if (c1 || *p < ' ' || *p == 0x7f)
			*p = '?';
	}
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return code;
	e->code = code;
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	tame(e);
	return code;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;
	int n;

	if (!e)
		return;
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(e->msg))
		snprintf(e->msg + n, sizeof(e->msg) - (size_t)n, "%s", old);
	tame(e);
}
