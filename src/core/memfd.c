/* SPDX-License-Identifier: MIT */
/* memfd.c - making memfds on hosts old and new. */
#include "sundog/memfd.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* MFD_NOEXEC_SEAL of <linux/memfd.h>: C libraries learned of it late. */
enum { NOEXEC_SEAL = 8 };

int memfd_new(const char *name, u64 size)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | NOEXEC_SEAL), r;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create(name, flags);
	if (fd < 0) /* EACCES is for files of the user's: err.h */
		return errno == EACCES ? -EPERM : -errno;
	if (ftruncate(fd, (off_t)size) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}
