/* SPDX-License-Identifier: MIT */
/* guestmem.c - the only accesses of the core to guest RAM. */
#include "sundog/guestmem.h"

#include <endian.h>

#define hidden_race __attribute__((no_sanitize("thread")))

typedef u16 __attribute__((aligned(1), may_alias)) u16_any;
typedef u32 __attribute__((aligned(1), may_alias)) u32_any;
typedef u64 __attribute__((aligned(1), may_alias)) u64_any;

/*
 * Each is one move, which an x86-64 host makes single-copy atomic when it is aligned, and
 * orders as acquire and release; the fences only tell the compiler.
 */
hidden_race u64 guestmem_load(const void *p, unsigned size)
{
	u64 v;

	switch (size) {
	case 1: v = *(const volatile u8 *)p; break;
	case 2: v = le16toh(*(const volatile u16_any *)p); break;
	case 4: v = le32toh(*(const volatile u32_any *)p); break;
	default: v = le64toh(*(const volatile u64_any *)p); break;
	}
	__atomic_signal_fence(__ATOMIC_ACQUIRE);
	return v;
}

hidden_race void guestmem_store(void *p, u64 val, unsigned size)
{
	__atomic_signal_fence(__ATOMIC_RELEASE);
	switch (size) {
	case 1: *(volatile u8 *)p = (u8)val; break;
	case 2: *(volatile u16_any *)p = htole16((u16)val); break;
	case 4: *(volatile u32_any *)p = htole32((u32)val); break;
	default: *(volatile u64_any *)p = htole64(val); break;
	}
}

/* Moves by the largest unit that ram's alignment allows, so that no aligned field is torn. */
static inline hidden_race void move(u8 *d, const u8 *s, uintptr_t ram, size_t len)
{
	while (len) {
		size_t n = !(ram & 7) && len >= 8   ? 8
			   : !(ram & 3) && len >= 4 ? 4
			   : !(ram & 1) && len >= 2 ? 2
						    : 1;

		switch (n) {
		case 8: *(volatile u64_any *)d = *(const volatile u64_any *)s; break;
		case 4: *(volatile u32_any *)d = *(const volatile u32_any *)s; break;
		case 2: *(volatile u16_any *)d = *(const volatile u16_any *)s; break;
		default: *(volatile u8 *)d = *(const volatile u8 *)s; break;
		}
		d += n;
		s += n;
		ram += n;
		len -= n;
	}
}

hidden_race void guestmem_read(void *buf, const void *ram, size_t len)
{
	move(buf, ram, (uintptr_t)ram, len);
	__atomic_signal_fence(__ATOMIC_ACQUIRE);
}

hidden_race void guestmem_write(void *ram, const void *buf, size_t len)
{
	__atomic_signal_fence(__ATOMIC_RELEASE);
	move(ram, buf, (uintptr_t)ram, len);
}
