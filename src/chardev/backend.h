/* SPDX-License-Identifier: MIT */
/*
 * backend.h - what a chardev backend is: a way to get two descriptors.
 *
 * A backend opens its end and fills in the descriptors; buffering, threads and the calls to
 * the device are common (chardev.c).  To add one: write its ops, add it to backends.c.
 */
#ifndef CHARDEV_BACKEND_H
#define CHARDEV_BACKEND_H

#include "sundog/types.h"

struct err;

struct chardev_ends {
	int in_fd, out_fd;   /* -1: no such direction */
	bool terminal;	     /* a person types: look for the Ctrl-A escapes */
	void *priv;	     /* the backend's */
	bool comes_and_goes; /* a pty: nobody may be there; output then goes nowhere */
};

struct chardev_backend {
	const char *name; /* what stands before the colon */
	const char *arg;  /* what stands after it, or NULL */
	const char *doc;
	int (*open)(struct chardev_ends *ends, const char *arg, struct err *e);
	void (*close)(struct chardev_ends *ends);
};

extern const struct chardev_backend *const chardev_backends[]; /* NULL-ended */

extern const struct chardev_backend chardev_stdio, chardev_pty, chardev_file, chardev_socket,
	chardev_none, chardev_null;

#endif
