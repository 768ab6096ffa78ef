/* SPDX-License-Identifier: MIT */
/*
 * unixsock.h - Unix stream sockets for this user alone.
 *
 * A socket's file has mode 0600, and who connects must be this user or root.  Descriptors do
 * not block and do not survive exec().
 */
#ifndef SUNDOG_UNIXSOCK_H
#define SUNDOG_UNIXSOCK_H

#include "sundog/types.h"

struct err;

/* A descriptor that listens at path; one left over from a dead process is replaced. */
int unix_listen(const char *path, struct err *e) must_check;
/* A descriptor, or -errno; -EACCES: somebody else, who was turned away. */
int unix_accept(int listener) must_check;
/* A descriptor, or -errno; -ECONNREFUSED: nobody listens there any more. */
int unix_connect(const char *path) must_check;

#endif
