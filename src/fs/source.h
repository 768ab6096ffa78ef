/* SPDX-License-Identifier: MIT */
/*
 * source.h - where a file system is read from: bytes, whoever has them.
 *
 * This room reads what a disk holds and knows nothing of machines or images.  All of it is
 * hostile: what is found is checked against .size, bounded, and never believed.
 */
#ifndef FS_SOURCE_H
#define FS_SOURCE_H

#include "sundog/types.h"

struct fs_source {
	u64 size; /* bytes */
	/* All of [off, off + len), which the caller has checked against size; or -errno. */
	int (*read)(const struct fs_source *s, u64 off, void *buf, size_t len);
};

static inline int fs_read(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	return range_fits(off, len, s->size) ? s->read(s, off, buf, len) : -1;
}

/* detect.c: what is in [off, off + len): "an XFS file system"; NULL: nobody knows. */
const char *fs_describe(const struct fs_source *s, u64 off, u64 len);

#endif
