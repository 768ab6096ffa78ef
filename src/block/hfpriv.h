/* SPDX-License-Identifier: MIT */
/* hfpriv.h - what the files of hostfile.h share: hostfile.c, hfopen.c and hflock.c. */
#ifndef BLOCK_HFPRIV_H
#define BLOCK_HFPRIV_H

#include <pthread.h>
#include <sys/types.h>

#include "block/hostfile.h"

struct hostfile {
	int fd, dir;
	unsigned flags;
	char *name;
	dev_t dev;
	ino_t ino;
	bool is_device;			    /* a block device, whose size is fixed */
	u32 align, mem_align, bounce_align; /* what O_DIRECT wants; 1 without */
	pthread_rwlock_t blocks; /* O_DIRECT: held to write by writers of parts of them */
	_Atomic bool no_nowait;	 /* the file system has no RWF_NOWAIT */
	_Atomic bool lost;	 /* a sync has failed: bytes that counted as written are gone */
	struct blk_log *log;
};

#endif
