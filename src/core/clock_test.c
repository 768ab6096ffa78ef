/* SPDX-License-Identifier: MIT */
/* clock_test.c - never backwards between threads, still while paused, TSC and ns agree. */
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "core/test.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/machine.h"

enum { THREADS = 3, READS = 60000 };

struct shared {
	struct machine m;
	_Atomic u64 latest;
	_Atomic bool done;
};

/* What another thread has seen is never later than what we read after seeing that. */
static void *reader(void *arg)
{
	struct shared *s = arg;

	for (int i = 0; i < READS; i++) {
		u64 seen = atomic_load(&s->latest), now = clock_tsc(&s->m);

		check(now >= seen);
		while (now > seen && !atomic_compare_exchange_weak(&s->latest, &seen, now))
			;
	}
	return NULL;
}

static void test_threads(void)
{
	struct shared s = {0};
	struct err e;
	pthread_t t[THREADS];

	check(!clock_init(&s.m, &e));
	clock_resume(&s.m);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, reader, &s);
	for (int i = 0; i < 200; i++) {
		u64 a, b;

		clock_pause(&s.m);
		a = clock_now(&s.m, CLOCK_GUEST);
		usleep(20);
		b = clock_now(&s.m, CLOCK_GUEST);
		check(a == b);
		clock_resume(&s.m);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	clock_destroy(&s.m);
}

static u64 raw_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (u64)ts.tv_sec * 1000000000 + (u64)ts.tv_nsec;
}

static void test_rate(void)
{
	struct machine m = {0};
	struct err e;
	u64 host0, host1, guest0, guest1, diff;

	check(!clock_init(&m, &e));
	check(clock_now(&m, CLOCK_GUEST) == 0 && clock_tsc(&m) == 0);
	check(clock_tsc_hz(&m) >= 1000000);
	clock_resume(&m);
	host0 = raw_ns();
	guest0 = clock_now(&m, CLOCK_GUEST);
	usleep(100000);
	guest1 = clock_now(&m, CLOCK_GUEST);
	host1 = raw_ns();
	/* The host's interval encloses the guest's; 1 % and half a millisecond of slack. */
	diff = host1 - host0;
	check(guest1 - guest0 <= diff + diff / 100);
	check(guest1 - guest0 + diff / 100 + 500000 >= 100000000);

	clock_pause(&m);
	for (u64 tsc = 12345; tsc < 1ull << 60; tsc = tsc * 3 + 1) {
		u64 ns = clock_from_tsc(&m, tsc);
		unsigned __int128 hz = clock_tsc_hz(&m);

		check(ns * hz / 1000000000 >= tsc && (ns - 1) * hz / 1000000000 < tsc);
	}
	check(clock_from_tsc(&m, UINT64_MAX) >= clock_from_tsc(&m, UINT64_MAX - 1));
	check(clock_wall(&m) / 1000000000 - (u64)time(NULL) + 2 < 4);
	clock_destroy(&m);
}

int main(void)
{
	test_threads();
	test_rate();
	return 0;
}
