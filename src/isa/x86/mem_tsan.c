/* SPDX-License-Identifier: MIT */
/*
 * Accesses to guest RAM in a build with the thread sanitizer: not instrumented.
 *
 * A guest's CPUs race as they please; that is the guest's affair and no fault of ours, so these
 * two are left out by name and everything else is watched.
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
