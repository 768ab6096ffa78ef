/* SPDX-License-Identifier: MIT */
/*
 * Accesses to guest RAM in a build with the thread sanitizer: not instrumented.
 *
 * A guest's CPUs race as they please; that is the guest's affair and no fault of ours, so these
 * are left out by name and everything else is watched.  The bulk ones call nothing, since the
 * sanitizer watches memmove() and memset() whoever calls them.
 */
#include "isa/x86/mem.h"

__attribute__((no_sanitize_thread)) u64 ram_load(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile u8 *)p;
	case 2: return *(const volatile u16_una *)p;
	case 4: return *(const volatile u32_una *)p;
	default: return *(const volatile u64_una *)p;
	}
}

__attribute__((no_sanitize_thread)) void ram_store(void *p, u64 val, unsigned size)
{
	switch (size) {
	case 1: *(volatile u8 *)p = (u8)val; break;
	case 2: *(volatile u16_una *)p = (u16)val; break;
	case 4: *(volatile u32_una *)p = (u32)val; break;
	default: *(volatile u64_una *)p = val; break;
	}
}

__attribute__((no_sanitize_thread)) void ram_move(void *dst, const void *src, u64 len)
{
	volatile u8 *d = dst;
	const volatile u8 *s = src;

	if ((uintptr_t)dst - (uintptr_t)src < len) { /* overlapping from above */
		while (len--)
			d[len] = s[len];
		return;
	}
	for (u64 i = 0; i < len; i++)
		d[i] = s[i];
}

__attribute__((no_sanitize_thread)) void ram_fill(void *dst, u64 val, u64 n, unsigned size)
{
	for (u8 *p = dst; n; n--, p += size)
		ram_store(p, val, size);
}

/* The sanitizer knows no fences; a locked operation is one on the hosts that have it. */
void ram_fence(void)
{
	u32 word = 0;

	__atomic_exchange_n(&word, 1, __ATOMIC_SEQ_CST);
}
