/* SPDX-License-Identifier: MIT */
/* host_x86.c - the time stamp counter of x86-64 hosts; other hosts have none that counts. */
#include <pthread.h>

#include "core/host.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>

bool host_tsc_invariant(void)
{
	unsigned a, b, c, d;

	/* SDM 3B, "Invariant TSC"; hypervisors pass the bit on only if it is true. */
	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
}

u64 host_tsc_nominal_hz(void)
{
	unsigned a, b, c, d;

	/* SDM 3B, "Determining the Processor Base Frequency": crystal * EBX / EAX. */
	if (__get_cpuid(0x15, &a, &b, &c, &d) && a && b && c)
		return (u64)c * b / a;
	/* The timing leaf that hypervisors agree on: kHz.  Leaf 0x16 is rounded: no use. */
	if (__get_cpuid(1, &a, &b, &c, &d) && (c & 1u << 31)) {
		__cpuid(0x40000000, a, b, c, d);
		if (a >= 0x40000010 && a < 0x40010000) {
			__cpuid(0x40000010, a, b, c, d);
			return (u64)a * 1000;
		}
	}
	return 0;
}

u64 host_tsc(void)
{
	u64 tsc;

	/* Neither before the loads that precede it nor after those that follow. */
	_mm_lfence();
	tsc = __rdtsc();
	_mm_lfence();
	return tsc;
}

#else

bool host_tsc_invariant(void)
{
	return false;
}

u64 host_tsc_nominal_hz(void)
{
	return 0;
}

u64 host_tsc(void)
{
	return 0;
}

#endif

#if defined(__SANITIZE_THREAD__)
#define RUN_BUDGET 20000
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RUN_BUDGET 20000
#endif
#endif
#ifndef RUN_BUDGET
#define RUN_BUDGET 0
#endif

u64 host_run_budget(void)
{
	return RUN_BUDGET;
}

void host_poll_signals(void)
{
	pthread_mutex_t here = PTHREAD_MUTEX_INITIALIZER;

	if (!RUN_BUDGET)
		return;
	pthread_mutex_lock(&here);
	pthread_mutex_unlock(&here);
	pthread_mutex_destroy(&here);
}
