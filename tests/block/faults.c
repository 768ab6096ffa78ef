/* SPDX-License-Identifier: MIT */
/*
 * faults.c - preloaded, makes system calls on files fail: FAULTS="pwritev2:3:5 fdatasync:1:28" lets
 * the 3rd pwritev2() and all later ones fail with errno 5; "fdatasync:1:5:1" only one.  Blind to
 * io_uring.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

/* True: this call is to fail, and errno says how. */
static int fails(const char *name, _Atomic unsigned *count)
{
	const char *p = getenv("FAULTS");
	size_t len = strlen(name);

	for (; p && *p; p += strcspn(p, " "), p += strspn(p, " ")) {
		unsigned from, code, n, most = ~0u;

		if (strncmp(p, name, len) || sscanf(p + len, ":%u:%u:%u", &from, &code, &most) < 2)
			continue;
		n = atomic_fetch_add(count, 1) + 1;
		if (n < from || n - from >= most)
			return 0;
		errno = (int)code;
		return 1;
	}
	return 0;
}

#define FAULTY(type, name, params, args)                                      \
	type name params                                                      \
	{                                                                     \
		static _Atomic unsigned count;                                \
		type(*real) params = (type(*) params)dlsym(RTLD_NEXT, #name); \
                                                                              \
		return fails(#name, &count) ? -1 : real args;                 \
	}

FAULTY(ssize_t, preadv, (int fd, const struct iovec *iov, int n, off_t off), (fd, iov, n, off))
FAULTY(ssize_t, preadv2, (int fd, const struct iovec *iov, int n, off_t off, int flags),
       (fd, iov, n, off, flags))
FAULTY(ssize_t, pwritev2, (int fd, const struct iovec *iov, int n, off_t off, int flags),
       (fd, iov, n, off, flags))
FAULTY(int, fdatasync, (int fd), (fd))
FAULTY(int, ftruncate, (int fd, off_t len), (fd, len))
FAULTY(int, fallocate, (int fd, int mode, off_t off, off_t len), (fd, mode, off, len))
