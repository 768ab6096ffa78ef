/* SPDX-License-Identifier: MIT */
/* The list of chardev backends. */
#include "chardev/backend.h"

const struct chardev_backend *const chardev_backends[] = {
	&chardev_stdio, &chardev_pty,  &chardev_file, &chardev_socket,
	&chardev_none,	&chardev_null, NULL,
};
