/* SPDX-License-Identifier: MIT */
/* The backend that writes a file, emptied first.  There is no input. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "chardev/backend.h"
#include "sundog/err.h"

static int file_open(struct chardev_ends *ends, const char *arg, struct err *e)
{
	int fd = open(arg, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	if (fd < 0)
		return err_set(e, -EIO, "cannot write %s: %s; name a file that can be created", arg,
			       strerror(errno));
	ends->out_fd = fd;
	return 0;
}

static void file_close(struct chardev_ends *ends)
{
	close(ends->out_fd);
}

const struct chardev_backend chardev_file = {
	.name = "file",
	.arg = "PATH",
	.doc = "output to a file, no input",
	.open = file_open,
	.close = file_close,
};
