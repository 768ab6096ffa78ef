/* SPDX-License-Identifier: MIT */
/*
 * disk.h - booting what a disk has: which kernel, which initrd, where the root is.
 *
 * A guest owns its disk and so chooses all of this at each reset.  That gains it nothing: what
 * comes out is run in the guest.  What could gain it something is a bug in the reading, so
 * that is done by a process that can do nothing else (disk_reader.c).
 */
#ifndef BOARD_BOOT_DISK_H
#define BOARD_BOOT_DISK_H

#include "fs/source.h"

struct err;

enum {
	DISK_KERNEL_MAX = 256 << 20,
	DISK_INITRD_MAX = 1 << 30,
	DISK_PATH_MAX = 512,
	DISK_ROOT_MAX = 256,
};

/* Plain data, since it goes from one process to another. */
struct disk_found {
	char kernel[DISK_PATH_MAX], initrd[DISK_PATH_MAX]; /* paths; initrd "": none */
	unsigned partition;	  /* that they are in; 0: the disk has no partitions */
	char root[DISK_ROOT_MAX]; /* "root=..." and the like, as a boot loader entry has it */
	char root_uuid[48];	  /* of the root file system; "": unknown */
	char root_partuuid[48];	  /* "": unknown, or no partitions */
	/* Not bool, since a hostile reader may say any byte. */
	u8 has_root;
	u8 dirty; /* the file system was not unmounted */
};

/* disk_find.c: looks, and copies both files to the sinks.  -ENOEXEC, -ENOENT and the like. */
struct disk_sinks {
	int (*kernel)(void *opaque, const void *buf, size_t len);
	int (*initrd)(void *opaque, const void *buf, size_t len);
	void *opaque;
};

int disk_find(const struct fs_source *s, struct disk_found *found, const struct disk_sinks *to,
	      struct err *e) must_check;

/*
 * disk_reader.c: the same by a process of its own, asking this one for bytes only.  The files
 * are new descriptors, the caller's from then on; *initrd -1: there is none.
 */
int disk_read_confined(const struct fs_source *s, struct disk_found *found, int *kernel,
		       int *initrd, struct err *e) must_check;

#endif
