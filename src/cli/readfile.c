/* SPDX-License-Identifier: MIT */
/* Small files that a user names, whole; pipes too. */
#include "cli/readfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sundog/err.h"

/* Up to max bytes; how many, or -errno. */
static ssize_t read_up_to(int fd, char *buf, size_t max)
{
	size_t len = 0;

	while (len < max) {
		ssize_t n = read(fd, buf + len, max - len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0)
			len += n;
	}
	return (ssize_t)len;
}

char *read_file(const char *path, size_t max, const char *what, size_t *len, struct err *e)
{
	char *text = malloc(max + 2);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd < 0 ? -errno : text ? read_up_to(fd, text, max + 1) : -ENOMEM;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		err_set(e, (int)n, "cannot read %s: %s; name %s", path, strerror((int)-n), what);
	else if ((size_t)n > max)
		err_set(e, -EFBIG, "%s is larger than %zu KiB; name %s", path, max >> 10, what);
	if (n < 0 || (size_t)n > max) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	*len = n;
	return text;
}
