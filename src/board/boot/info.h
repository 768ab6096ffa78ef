/* SPDX-License-Identifier: MIT */
/* info.h - what PVH and multiboot share: modules, and tables below 640 KiB. */
#ifndef BOARD_BOOT_INFO_H
#define BOARD_BOOT_INFO_H

#include "board/boot/boot.h"

/* A growing area of tables and strings; .rc remembers the first failure. */
struct info {
	struct boot *b;
	u64 at;
	int rc;
};

/* Copy p there, 8-aligned; the address, 0 after a failure. */
u32 info_add(struct info *info, const void *p, u64 len);
u32 info_string(struct info *info, const char *s);

/* The initrd, if there is one, and then the modules. */
struct info_module {
	const struct boot_file *file;
	const char *args; /* path and arguments */
	u64 at;
};

bool info_module(struct boot *b, unsigned n, struct info_module *mod);

enum module_place {
	MODULES_HIGH,	/* at the top of RAM: out of the way of a kernel that grows */
	MODULES_FOLLOW, /* right after the kernel: what small kernels map anyway */
};

/* Find room above floor, all in one piece; each begins on a page. */
int info_place_modules(struct boot *b, u64 floor, enum module_place where, struct err *e);
int info_put_modules(struct boot *b, struct err *e) must_check;

#endif
