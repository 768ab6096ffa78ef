/* SPDX-License-Identifier: MIT */
/* paging.h - page tables of 64-bit payloads: the identity map, and pages beyond it. */
#ifndef GUEST_PAGING_H
#define GUEST_PAGING_H

#include "guest.h"

extern u64 page_pml4[512], page_pdpt[512], page_pd[4 * 512];

/* Where a test's own mappings go: far from the identity map. */
#define TEST_VA 0x400000000000ull

enum { LEVEL_4K, LEVEL_2M, LEVEL_1G };

/* A fresh, cleared page of memory below 4 GiB. */
void *page_alloc(void);
/*
 * The entry that maps va at this level, in the space of a PML4 or in the one that runs; tables on
 * the way are made with all rights.
 */
u64 *pte_in(u64 *pml4, u64 va, unsigned level);
u64 *pte_of(u64 va, unsigned level);
/* Map, and forget what the TLB had of it. */
void map(u64 va, u64 pa, u64 flags, unsigned level);

#endif
