// SPDX-License-Identifier: MIT
/*
 * bench.c - runs and times the classes: bench [-c] [-p] [-d[FILE]] [-n REPEATS] [CLASS...]
 *
 * Prints "name: ns per unit" for each class, the median of its repeats, and at the end
 * "bench: done".  With -c it is CPU time, of children too: on a busy host, but not in a guest,
 * whose kernel does not know when its CPU was away.  With -p the classes are programs, in a tree
 * that has them; with -d they are reads of disks, natively of FILE.  A wrong result ends it with
 * status 1.  As a guest's init it powers off when it has done, and what the kernel's command line
 * has behind "--" are its arguments; the argument "off" alone powers off at once.
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

enum { MAX_REPEATS = 15 };

/* A slow machine stops repeating a class after so long, having done it MIN_REPEATS times. */
static const uint64_t enough_ns = 1500000000;
enum { MIN_REPEATS = 3 };

/* The kernel's work first: how long a fork takes depends on the memory used until then. */
static const struct bench *const tables[] = {os_benches, int_benches, fp_benches, mem_benches,
					     NULL};
static const struct bench *const program_tables[] = {program_benches, NULL};
static const struct bench *const disk_tables[] = {disk_benches, NULL};

static bool cpu_time, programs;

static noreturn void finish(int status)
{
	fflush(stdout);
	if (getpid() == 1) {
		sync();
		reboot(RB_POWER_OFF);
	}
	exit(status);
}

void fail(const char *what)
{
	printf("bench: FAIL: %s: %s\n", what, strerror(errno));
	finish(1);
}

void *get_pages(unsigned long bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	/* Fault by fault, on every host; kernels without huge pages refuse, which is as good. */
	madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

static uint64_t used_by(int who)
{
	struct rusage r;

	getrusage(who, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000 +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
}

static uint64_t now(void)
{
	struct timespec t;

	if (cpu_time)
		return used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN);
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Whoever watches us may compare our clock with its own. */
static void mark(void)
{
	printf("bench: clock %llu\n", (unsigned long long)now());
	fflush(stdout);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void measure(const struct bench *b, unsigned repeats)
{
	uint64_t took[MAX_REPEATS], all = 0;
	unsigned n = 0;

	mark();
	if (b->setup)
		b->setup();
	while (n < repeats && (n < MIN_REPEATS || all < enough_ns)) {
		uint64_t start = now(), sum = b->run();

		took[n] = now() - start;
		all += took[n++];
		if (sum != b->expect) {
			printf("bench: FAIL: %s computed %#llx instead of %#llx\n", b->name,
			       (unsigned long long)sum, (unsigned long long)b->expect);
			finish(1);
		}
	}
	qsort(took, n, sizeof(took[0]), compare);
	printf("%s: %.1f ns per %s\n", b->name, (double)took[n / 2] / b->units, b->unit);
	if (programs)
		program_output(b->name);
	mark();
}

/* Two processes that talk to each other are to switch, not to run side by side. */
static void stay_on_this_cpu(void)
{
	cpu_set_t set;
	int cpu = sched_getcpu();

	CPU_ZERO(&set);
	CPU_SET(cpu < 0 ? 0 : cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static bool wanted(const char *name, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const struct bench *const *table = tables;
	unsigned repeats = 7;
	int option;

	while ((option = getopt(argc, argv, "cpd::n:")) != -1) {
		if (option == 'n')
			repeats = (unsigned)strtoul(optarg, NULL, 10);
		cpu_time |= option == 'c';
		programs |= option == 'p';
		if (option == 'p')
			table = program_tables;
		if (option == 'd') {
			table = disk_tables;
			disk_file = optarg;
		}
		if (option == '?' || !repeats || repeats > MAX_REPEATS) {
			fprintf(stderr,
				"usage: bench [-c] [-p] [-d[FILE]] [-n 1...%d] [CLASS...]\n",
				MAX_REPEATS);
			return 2;
		}
	}
	if (argv[optind] && strcmp(argv[optind], "off") == 0)
		finish(0);
	stay_on_this_cpu();
	for (const struct bench *const *t = table; *t; t++)
		for (const struct bench *b = *t; b->name; b++)
			if (wanted(b->name, argv + optind))
				measure(b, repeats);
	puts("bench: done");
	finish(0);
}
