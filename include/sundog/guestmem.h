/* SPDX-License-Identifier: MIT */
/*
 * guestmem.h - plain moves to and from guest RAM, which every vCPU changes under us.
 *
 * The races are the guest's own, as on the hardware: the accessors promise single-copy
 * atomicity of aligned accesses and nothing else, and are hidden from ThreadSanitizer.  They
 * take what as_ram(), as_ram_window() and dma_map() gave; whoever writes says so by dma_unmap().
 */
#ifndef SUNDOG_GUESTMEM_H
#define SUNDOG_GUESTMEM_H

#include "sundog/types.h"

/* size: 1, 2, 4 or 8, at any alignment.  Loads acquire, stores release. */
u64 guestmem_load(const void *p, unsigned size);
void guestmem_store(void *p, u64 val, unsigned size);

void guestmem_read(void *buf, const void *ram, size_t len);
void guestmem_write(void *ram, const void *buf, size_t len);

#endif
