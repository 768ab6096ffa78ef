/* SPDX-License-Identifier: MIT */
/*
 * ext4.h - reading files of an ext2, ext3 or ext4 file system, by libext2fs.
 *
 * The journal is not replayed: after a crash, what was not yet written to its place is not
 * seen (ext4_is_dirty() tells).  Symbolic links lead only to places inside.  How much is read
 * in all is bounded, so that metadata that goes in circles ends.  libext2fs was written for
 * tools that trust their memory to it: see board/boot/disk_reader.c for where this may run.
 */
#ifndef FS_EXT4_H
#define FS_EXT4_H

#include "fs/source.h"

struct err;
struct ext4;

/* In [off, off + len) of the source, which is borrowed.  NULL: -ENOEXEC or -ENOMEM in *e. */
struct ext4 *ext4_open(const struct fs_source *s, u64 off, u64 len, struct err *e);
void ext4_close(struct ext4 *fs); /* NULL: nothing */

const u8 *ext4_uuid(const struct ext4 *fs); /* 16 bytes */
bool ext4_is_dirty(const struct ext4 *fs);  /* its journal has changes */

/* Is there something of this name?  The last link is not followed. */
bool ext4_exists(struct ext4 *fs, const char *path);
/* Is there a regular file, links followed? */
bool ext4_is_file(struct ext4 *fs, const char *path);

/* Each name in a directory, until each() returns other than 0, which is returned. */
int ext4_list(struct ext4 *fs, const char *path, int (*each)(void *opaque, const char *name),
	      void *opaque) must_check;

/*
 * All of a file, to sink(), which returns 0 or -errno.  -ENOENT: it is not there; -EFBIG:
 * longer than max; -ENOEXEC: not a file, encrypted or damaged; or what sink() said.
 */
int ext4_load(struct ext4 *fs, const char *path, u64 max,
	      int (*sink)(void *opaque, const void *buf, size_t len), void *opaque,
	      struct err *e) must_check;

#endif
