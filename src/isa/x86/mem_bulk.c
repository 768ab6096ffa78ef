/* SPDX-License-Identifier: MIT */
/* mem_bulk.c - guest RAM in bulk; mem_tsan.c has these for the thread sanitizer. */
#include "isa/x86/mem.h"
#include "isa/x86/operand.h"

void ram_move(void *dst, const void *src, u64 len)
{
	memmove(dst, src, len);
}

void ram_fill(void *dst, u64 val, u64 n, unsigned size)
{
	u8 *p = dst;

	if (val == zero_extend((val & 0xff) * 0x0101010101010101ull, size)) {
		memset(dst, (u8)val, n * size);
		return;
	}
	for (; n; n--, p += size)
		ram_store(p, val, size);
}
