/* SPDX-License-Identifier: MIT */
/*
 * scatter.h - an image format for tests: blocks of 4 KiB anywhere in the file, some nowhere,
 * and sometimes moved.  The map is in memory, and outlives closing; one image at a time.
 */
#ifndef TESTS_BLOCK_SCATTER_H
#define TESTS_BLOCK_SCATTER_H

#include "sundog/types.h"

void scatter_reset(u64 size, unsigned room);
/* How many blocks may be allocated yet before -ENOSPC. */
void scatter_room(unsigned blocks);

#endif
