/* SPDX-License-Identifier: MIT */
/* paging.c - page tables of 64-bit payloads. */
#include "paging.h"

extern u8 _end[];
static u8 *next_page;

void *page_alloc(void)
{
	u8 *p = next_page ? next_page : (u8 *)(((reg_t)_end + 0xfffff) & ~0xffffful);

	next_page = p + 4096;
	return memset(p, 0, 4096);
}

u64 *pte_in(u64 *table, u64 va, unsigned level)
{
	for (unsigned l = 3; l > level; l--) {
		u64 *e = &table[va >> (12 + 9 * l) & 511];

		if (!(*e & PTE_P))
			*e = (reg_t)page_alloc() | PTE_P | PTE_W | PTE_U;
		table = (u64 *)(reg_t)(*e & PTE_ADDR);
	}
	return &table[va >> (12 + 9 * level) & 511];
}

u64 *pte_of(u64 va, unsigned level)
{
	return pte_in(page_pml4, va, level);
}

void map(u64 va, u64 pa, u64 flags, unsigned level)
{
	*pte_of(va, level) = pa | flags | (level ? PTE_PS : 0);
	invlpg((void *)va);
}
