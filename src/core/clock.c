/* SPDX-License-Identifier: MIT */
/*
 * clock.c - the guest's time: a count of ticks that stands still or runs with the host's.
 *
 * ticks = base while paused, else base + (host ticks now - host ticks then).  Host ticks are
 * the invariant TSC, else ns of CLOCK_MONOTONIC_RAW.  All else (ns, wall clock) is computed
 * from ticks by one ratio that never changes, so that the clocks agree to the tick.
 *
 * Readers use a sequence count and take no lock: a signal handler reads the clock, too.  The
 * only writer is who pauses and resumes, with all vCPUs stopped.
 */
#include "sundog/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "core/host.h"
#include "sundog/err.h"
#include "sundog/machine.h"

#define NS_PER_S 1000000000ull

struct machine_clock {
	bool use_tsc;
	u64 hz;
	u64 wall_base; /* ns since 1970 at tick 0 */

	_Atomic u32 seq; /* odd: being changed */
	_Atomic bool running;
	_Atomic u64 base, host_base;
};

static u64 host_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * NS_PER_S + (u64)ts.tv_nsec;
}

static u64 host_ticks(const struct machine_clock *c)
{
	return c->use_tsc ? host_tsc() : host_ns(CLOCK_MONOTONIC_RAW);
}

/* a * b / c without overflow in between; saturates. */
static u64 mul_div(u64 a, u64 b, u64 c)
{
	unsigned __int128 v = (unsigned __int128)a * b / c;

	return v > UINT64_MAX ? UINT64_MAX : (u64)v;
}

static u64 ticks_now(const struct machine_clock *c)
{
	u64 base = atomic_load(&c->base), then = atomic_load(&c->host_base), now;

	if (!atomic_load(&c->running))
		return base;
	now = host_ticks(c);
	/* Counters of two sockets may differ by a little. */
	return now > then ? base + (now - then) : base;
}

static u64 read_ticks(const struct machine_clock *c)
{
	for (;;) {
		u32 seq = atomic_load(&c->seq);
		u64 ticks = ticks_now(c);

		/*
		 * Unchanged: the host's counter was read before a pause that is to come read
		 * it, so nobody has seen more than what the clock then stands at.
		 */
		if (!(seq & 1) && atomic_load(&c->seq) == seq)
			return ticks;
	}
}

u64 clock_now(struct machine *m, enum clock which)
{
	if (which == CLOCK_HOST || !m || !m->machine_clock)
		return host_ns(CLOCK_MONOTONIC);
	return mul_div(read_ticks(m->machine_clock), NS_PER_S, m->machine_clock->hz);
}

u64 clock_tsc(struct machine *m)
{
	return read_ticks(m->machine_clock);
}

u64 clock_tsc_hz(struct machine *m)
{
	return m->machine_clock->hz;
}

bool clock_tsc_delta(struct machine *m, u64 *delta)
{
	const struct machine_clock *c = m->machine_clock;

	*delta = atomic_load(&c->base) - atomic_load(&c->host_base);
	return c->use_tsc && atomic_load(&c->running);
}

u64 clock_from_tsc(struct machine *m, u64 tsc)
{
	u64 hz = m->machine_clock->hz;
	unsigned __int128 v = ((unsigned __int128)tsc * NS_PER_S + hz - 1) / hz;

	return v > UINT64_MAX ? UINT64_MAX : (u64)v;
}

u64 clock_wall(struct machine *m)
{
	return m->machine_clock->wall_base + clock_now(m, CLOCK_GUEST);
}

/* --- birth, pause, resume ------------------------------------------------------------- */

/* A TSC reading and the time it was taken at, between two looks at the clock close together. */
static void sample(u64 *tsc, u64 *ns)
{
	u64 best = UINT64_MAX;

	for (int i = 0; i < 8; i++) {
		u64 before = host_ns(CLOCK_MONOTONIC_RAW), t = host_tsc();
		u64 after = host_ns(CLOCK_MONOTONIC_RAW);

		if (after - before >= best)
			continue;
		best = after - before;
		*tsc = t;
		*ns = before + (after - before) / 2;
	}
}

static u64 measure_tsc_hz(void)
{
	struct timespec ten_ms = {.tv_nsec = 10000000};
	u64 tsc0, ns0, tsc1, ns1;

	sample(&tsc0, &ns0);
	nanosleep(&ten_ms, NULL);
	sample(&tsc1, &ns1);
	return ns1 > ns0 && tsc1 > tsc0 ? mul_div(tsc1 - tsc0, NS_PER_S, ns1 - ns0) : 0;
}

int clock_init(struct machine *m, struct err *e)
{
	struct machine_clock *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->hz = NS_PER_S;
	if (host_tsc_invariant()) {
		u64 hz = host_tsc_nominal_hz();

		if (!hz)
			hz = measure_tsc_hz();
		/* A TSC below 1 MHz is no TSC. */
		if (hz >= 1000000) {
			c->use_tsc = true;
			c->hz = hz;
		}
	}
	c->wall_base = host_ns(CLOCK_REALTIME);
	m->machine_clock = c;
	return 0;
}

void clock_destroy(struct machine *m)
{
	free(m->machine_clock);
	m->machine_clock = NULL;
}

static void set_running(struct machine_clock *c, bool running)
{
	u64 ticks;

	atomic_fetch_add(&c->seq, 1);
	ticks = ticks_now(c);
	atomic_store(&c->base, ticks);
	atomic_store(&c->host_base, host_ticks(c));
	atomic_store(&c->running, running);
	atomic_fetch_add(&c->seq, 1);
}

void clock_pause(struct machine *m)
{
	if (atomic_load(&m->machine_clock->running))
		set_running(m->machine_clock, false);
}

void clock_resume(struct machine *m)
{
	if (!atomic_load(&m->machine_clock->running))
		set_running(m->machine_clock, true);
}
