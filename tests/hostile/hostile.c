/* SPDX-License-Identifier: MIT */
/*
 * hostile.c - run guests that try everything, and see that they hurt nobody but themselves.
 *
 *	hostile [--engine E] [--seconds N] [--seed S] [--kind NAME] [--ms N] [--max-mib N]
 *[--verbose]
 *
 * Each guest runs for a moment, two at a time in one process, and is then stopped.  Watched:
 * that the process survives, that the stop is obeyed within seconds, that no thread or
 * descriptor is left over, and that memory stays bounded.  What fails prints the kind and seed
 * that bring it back.
 */
#include "hostile/hostile.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/host.h"
#include "engine/soft/soft.h"
#include "sundog/err.h"

enum { STOP_LIMIT_MS = 10000, SIDE_BY_SIDE = 2 };

static struct {
	double seconds;
	u64 seed;
	const char *engine, *kind;
	unsigned ms, max_mib;
	bool verbose;
} args = {.engine = "interp", .seconds = 20, .seed = 1, .ms = 120, .max_mib = 256};

struct run {
	const struct guest_kind *kind;
	u64 seed;
	struct guest g;
	pthread_mutex_t lock; /* of g's memory as we fill it */
	_Atomic bool ended;
	_Atomic unsigned crashes, resets;
	int status;
	u64 instructions, entries; /* interpreted; into translated code */
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void sleep_ms(unsigned ms)
{
	struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

static _Noreturn void fail(const struct run *r, const char *what)
{
	printf("hostile: %s: --kind %s --seed %llu\n", what, r->kind->name,
	       (unsigned long long)r->seed);
	fflush(stdout);
	abort();
}

/* --- one guest ------------------------------------------------------------------------------- */

static void enter_cpu(struct run *r, unsigned cpu)
{
	struct vcpu *v = r->g.m->vcpus[cpu];

	r->kind->enter(&r->g, cpu);
	v->ops->state_changed(v);
}

/* A triple fault: on the vCPU's own thread.  It tries again with other registers. */
static bool on_shutdown(struct vcpu *cpu, void *opaque)
{
	struct run *r = opaque;

	/* Its tables may be gone: give it new ones now and then. */
	if (++r->crashes % 16 == 0) {
		pthread_mutex_lock(&r->lock);
		r->kind->memory(&r->g);
		pthread_mutex_unlock(&r->lock);
	}
	enter_cpu(r, cpu->index);
	return true;
}

/* The guest has reset the machine: it goes on with what is in memory. */
static void on_reset(struct machine *m, void *opaque)
{
	struct run *r = opaque;

	r->resets++;
	machine_stop_vcpus(m);
	for (unsigned i = 0; i < m->nr_vcpus; i++)
		enter_cpu(r, i);
	machine_start_vcpus(m);
}

/* Ask the machine to stop when its time is over, and see that it does. */
static void *stopper(void *arg)
{
	struct run *r = arg;
	double end = now() + args.ms / 1000.0;

	while (now() < end && !r->ended) {
		sleep_ms(5);
		/* What halts for good is no test of anything but the end. */
		for (unsigned i = 0; r->kind->prod && i < r->g.m->nr_vcpus; i++)
			vcpu_raise(r->g.m->vcpus[i], VCPU_NMI);
	}
	machine_request_shutdown(r->g.m, 99);
	end = now() + STOP_LIMIT_MS / 1000.0;
	while (!r->ended) {
		if (now() > end)
			fail(r, "the machine does not stop");
		sleep_ms(5);
	}
	return NULL;
}

static u64 entries(const struct soft *s)
{
	return soft_sum_stat(s, offsetof(struct soft_stats, exits_link)) +
	       soft_sum_stat(s, offsetof(struct soft_stats, exits_kicked)) +
	       soft_sum_stat(s, offsetof(struct soft_stats, exits_other));
}

static void run_machine(struct run *r)
{
	struct guest *g = &r->g;
	pthread_t thread;
	struct err e = {0};

	g->rng.state = r->seed * 0x9e3779b97f4a7c15 + 1;
	g->size = (enum code_size)(CODE16 + rng_below(&g->rng, 3));
	for (unsigned i = 0; i < GUEST_MAX_CPUS; i++)
		g->cpu_rng[i].state = rng_next(&g->rng) | 1;
	r->kind->memory(g);
	for (unsigned i = 0; i < g->m->nr_vcpus; i++)
		enter_cpu(r, i);
	g->m->hooks.shutdown = on_shutdown;
	g->m->hooks.was_reset = on_reset;
	g->m->hooks.opaque = r;
	if (machine_start(g->m, &e))
		fail(r, e.msg);
	if (pthread_create(&thread, NULL, stopper, r))
		fail(r, "no thread");
	r->status = machine_run(g->m);
	r->ended = true;
	pthread_join(thread, NULL);
	machine_stop_vcpus(g->m);
	for (unsigned i = 0; i < g->m->nr_vcpus; i++)
		r->instructions += g->m->vcpus[i]->icount;
	if (strcmp(g->m->engine->name, "jit") == 0)
		r->entries = entries(g->m->engine_priv);
	machine_start_vcpus(g->m);
}

static void *run_guest(void *arg)
{
	static const char *const devices[] = {"pc-testdev", NULL};
	struct run *r = arg;
	struct machine_cfg cfg = {
		.board = "pc",
		.engine = args.engine,
		.cpu = r->seed % 5 ? "max" : "x86-64-v2",
		.nr_cpus = r->kind->min_cpus + (unsigned)(r->seed % 3),
		.memory = GUEST_MEMORY,
		.console = "none",
		.devices = devices,
		.seed = 1,
	};
	struct err e = {0};

	r->g = (struct guest){.kind = r->kind, .m = machine_new(&cfg, &e)};
	if (!r->g.m)
		fail(r, e.msg);
	run_machine(r);
	machine_free(r->g.m);
	return NULL;
}

/* --- what is left over ------------------------------------------------------------------------ */

static unsigned count_entries(const char *dir)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n;
}

/* The most that there ever was. */
static unsigned long peak_mib(void)
{
	struct rusage ru;

	return getrusage(RUSAGE_SELF, &ru) ? 0 : (unsigned long)ru.ru_maxrss >> 10;
}

/* A thread that was joined may be seen a little longer. */
static bool settles_to(const char *dir, unsigned n)
{
	for (unsigned i = 0; i < 100; i++) {
		if (count_entries(dir) <= n)
			return true;
		sleep_ms(10);
	}
	return false;
}

static void run_side_by_side(struct run *runs, unsigned n)
{
	pthread_t threads[SIDE_BY_SIDE];

	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&threads[i], NULL, run_guest, &runs[i]))
			fail(&runs[i], "no thread");
	for (unsigned i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static const struct guest_kind *kind_of(u64 seed)
{
	for (unsigned i = 0; args.kind && i < nr_guest_kinds; i++)
		if (strcmp(guest_kinds[i].name, args.kind) == 0)
			return &guest_kinds[i];
	return &guest_kinds[seed % nr_guest_kinds];
}

static bool run_all(void)
{
	unsigned fds = 0, tasks = 0, guests = 0;
	unsigned long crashes = 0, resets = 0;
	u64 in_code = 0;
	double end = now() + args.seconds;

	for (u64 seed = args.seed; now() < end; seed += SIDE_BY_SIDE) {
		struct run runs[SIDE_BY_SIDE] = {0};

		for (unsigned i = 0; i < SIDE_BY_SIDE; i++) {
			pthread_mutex_init(&runs[i].lock, NULL);
			runs[i].kind = kind_of(seed + i);
			runs[i].seed = seed + i;
		}
		run_side_by_side(runs, SIDE_BY_SIDE);
		for (unsigned i = 0; i < SIDE_BY_SIDE; i++) {
			if (args.verbose)
				printf("%-8s %6llu: status %d, %llu instructions, %llu times in "
				       "code, %u crashes, %u resets\n",
				       runs[i].kind->name, (unsigned long long)runs[i].seed,
				       runs[i].status, (unsigned long long)runs[i].instructions,
				       (unsigned long long)runs[i].entries, runs[i].crashes,
				       runs[i].resets);
			pthread_mutex_destroy(&runs[i].lock);
			crashes += runs[i].crashes;
			resets += runs[i].resets;
			in_code += runs[i].entries;
		}
		guests += SIDE_BY_SIDE;
		if (!fds) { /* after the first: libraries have opened what they keep */
			fds = count_entries("/proc/self/fd");
			tasks = count_entries("/proc/self/task");
		}
		if (!settles_to("/proc/self/fd", fds))
			fail(&runs[0], "a descriptor is left over");
		if (!settles_to("/proc/self/task", tasks))
			fail(&runs[0], "a thread is left over");
		if (peak_mib() > args.max_mib)
			fail(&runs[0], "too much memory is used");
	}
	printf("%u guests, %lu triple faults, %lu resets, %llu times in translated code, "
	       "%lu MiB at most\n",
	       guests, crashes, resets, (unsigned long long)in_code, peak_mib());
	/* Runs with a budget are interpreted: those under the thread sanitizer. */
	if (!in_code && strncmp(args.engine, "jit", 3) == 0 && !args.kind && !host_run_budget()) {
		printf("hostile: nothing was translated\n");
		return false;
	}
	return true;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *val = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--verbose") == 0) {
			args.verbose = true;
			continue;
		}
		if (strcmp(argv[i], "--engine") == 0)
			args.engine = val;
		else if (strcmp(argv[i], "--seconds") == 0)
			args.seconds = strtod(val, NULL);
		else if (strcmp(argv[i], "--seed") == 0)
			args.seed = strtoull(val, NULL, 0);
		else if (strcmp(argv[i], "--kind") == 0)
			args.kind = val;
		else if (strcmp(argv[i], "--ms") == 0)
			args.ms = (unsigned)strtoul(val, NULL, 0);
		else if (strcmp(argv[i], "--max-mib") == 0)
			args.max_mib = (unsigned)strtoul(val, NULL, 0);
		else
			return 2;
		i++;
	}
	return !run_all();
}
