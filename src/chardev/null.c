/* SPDX-License-Identifier: MIT */
/* The backends that lead nowhere: output is dropped, input never comes. */
#include "chardev/backend.h"

static int null_open(struct chardev_ends *ends, const char *arg, struct err *e)
{
	return 0;
}

static void null_close(struct chardev_ends *ends)
{
}

const struct chardev_backend chardev_none = {
	.name = "none",
	.doc = "nothing is connected",
	.open = null_open,
	.close = null_close,
};

const struct chardev_backend chardev_null = {
	.name = "null",
	.doc = "the same, by QEMU's name",
	.open = null_open,
	.close = null_close,
};
