/* SPDX-License-Identifier: MIT */
/*
 * The backend on a new pseudo-terminal, for screen(1), picocom(1) and scripts.
 *
 * It behaves like a serial socket: somebody may plug in, leave and come back.  While nobody
 * is there, output goes nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "chardev/backend.h"
#include "sundog/err.h"

static int pty_open(struct chardev_ends *ends, const char *arg, struct err *e)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	struct termios t;
	char name[64];

	if (fd < 0)
		goto fail;
	if (grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, name, sizeof(name)) != 0)
		goto fail;
	/* Opening and closing the other end makes poll() say "nobody there" from the start. */
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		goto fail;
	if (tcgetattr(slave, &t) == 0) {
		cfmakeraw(&t);
		tcsetattr(slave, TCSANOW, &t);
	}
	close(slave);
	/* This one is ours alone, so not blocking on it hurts nobody. */
	fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
	ends->in_fd = ends->out_fd = fd;
	ends->comes_and_goes = true;
	fprintf(stderr, "sundog: the console is on %s\n", name);
	return 0;
fail:
	err_set(e, -errno, "cannot make a pseudo-terminal: %s; is /dev/pts mounted?",
		strerror(errno));
	if (fd >= 0)
		close(fd);
	return e->code;
}

static void pty_close(struct chardev_ends *ends)
{
	close(ends->in_fd);
}

const struct chardev_backend chardev_pty = {
	.name = "pty",
	.doc = "a new pseudo-terminal, whose name is printed",
	.open = pty_open,
	.close = pty_close,
};
