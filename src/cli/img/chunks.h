/* SPDX-License-Identifier: MIT */
/*
 * chunks.h - work on a whole disk, piece by piece, on several threads.
 *
 * The pieces are given out in the order of their offsets.  What next() calls alike and no work
 * is skipped, however large; work comes in pieces of at most CHUNK bytes that begin at
 * multiples of the unit.
 */
#ifndef CLI_IMG_CHUNKS_H
#define CLI_IMG_CHUNKS_H

#include "sundog/types.h"

struct err;

enum { CHUNK = 2 << 20 };

struct chunks {
	u64 size;	  /* of the disk, bytes */
	u32 unit;	  /* a power of 2, at most CHUNK */
	unsigned threads; /* 0: as many as are good on this host */
	unsigned buffers; /* of CHUNK bytes, for each thread */
	const char *what; /* for the progress line */
	bool quiet;

	/*
	 * 1: what is at off has to be worked on; 0: it has not; or -errno and *e.  *len comes
	 * as what is left and goes as how much is alike.  One thread at a time.
	 */
	int (*next)(void *opaque, u64 off, u64 *len, struct err *e);
	/* 0, 1: nothing behind this piece matters any more, or -errno and *e. */
	int (*work)(void *opaque, u64 off, size_t len, u8 *buf, struct err *e);
	void *opaque;
};

/* 0, or -errno and *e of the first piece that failed. */
int chunks_run(const struct chunks *c, struct err *e) must_check;

#endif
