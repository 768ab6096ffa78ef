/* SPDX-License-Identifier: MIT */
/*
 * chardev.h - a stream of bytes between a device and the outside: stdio, pty, socket, file, none.
 *
 * Output never blocks a vCPU: chardev_write() takes what fits its buffer and returns how
 * much; a device that has more waits for .writable.  Input is pulled: the backend asks
 * .room before it reads from its descriptor, so nothing is ever dropped (a paste of 100 kB
 * waits in the kernel's pipe until the guest has taken it).  Inherited descriptors are never
 * made non-blocking: a reader or writer thread of our own does the blocking.
 *
 * Locking: chardev_write() from any thread; callbacks come from the event loop with the
 * owning device's lock held.
 */
#ifndef SUNDOG_CHARDEV_H
#define SUNDOG_CHARDEV_H

#include "sundog/types.h"

struct chardev;
struct device;
struct err;
struct loop;
struct machine;

struct chardev_client {
	struct device *owner;	      /* whose lock is held around the calls */
	size_t (*room)(void *opaque); /* bytes it can take now */
	void (*input)(void *opaque, const u8 *buf, size_t len); /* len <= room() */
	void (*writable)(void *opaque); /* the buffer has room again; may be NULL */
	void *opaque;
};

/* spec: "stdio", "pty", "file:PATH", "socket:PATH", "none", "null".  Console escapes only on a
 * terminal. */
struct chardev *chardev_open(struct machine *m, const char *spec, struct err *e);
void chardev_close(struct chardev *c); /* flushes what a reader still takes, bounded in time */

void chardev_attach(struct chardev *c, const struct chardev_client *client);
void chardev_detach(struct chardev *c);

/* Returns bytes taken (0: full).  Any thread. */
size_t chardev_write(struct chardev *c, const u8 *buf, size_t len);
/* The client has room again: look for input. */
void chardev_kick(struct chardev *c);

#endif
