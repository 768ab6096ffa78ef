/* SPDX-License-Identifier: MIT */
/*
 * The backend on our standard input and output.
 *
 * The descriptors are inherited and shared with whoever started us: their flags stay as they
 * are.  A terminal goes raw while the machine runs; see term.h.  Several devices may write
 * here (a console and a debug console, say); the first to open it gets the input.
 */
#include <errno.h>
#include <unistd.h>

#include "chardev/backend.h"
#include "chardev/term.h"

static int stdio_open(struct chardev_ends *ends, const char *arg, struct err *e)
{
	int r = term_acquire(STDIN_FILENO);

	ends->out_fd = STDOUT_FILENO;
	if (r == -EBUSY)
		return 0;
	ends->terminal = r > 0;
	ends->in_fd = STDIN_FILENO;
	return 0;
}

static void stdio_close(struct chardev_ends *ends)
{
	if (ends->in_fd >= 0)
		term_release();
}

const struct chardev_backend chardev_stdio = {
	.name = "stdio",
	.doc = "this terminal, or what stdin and stdout are redirected to",
	.open = stdio_open,
	.close = stdio_close,
};
