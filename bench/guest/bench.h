/* SPDX-License-Identifier: MIT */
/*
 * bench.h - the measured work: one struct per class, in tables by file.
 *
 * A run does a fixed amount of work and returns a checksum of what it computed, which is the
 * same on every right CPU; the frame in bench.c times it.  Plain C, SSE2, little of libc.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdint.h>
#include <stdnoreturn.h>

struct bench {
	const char *name;
	const char *unit; /* what the nanoseconds are per */
	unsigned units;	  /* of them in one run */
	uint64_t expect;  /* the checksum */
	uint64_t (*run)(void);
	void (*setup)(void); /* not timed; or NULL */
};

extern const struct bench int_benches[], fp_benches[], mem_benches[], os_benches[],
	program_benches[], disk_benches[]; /* name NULL ends */

extern const char *disk_file; /* natively: what the disk benches read; NULL: disks */

/* Print a checksum of what a program has put out. */
void program_output(const char *name);

/* Pseudo-random numbers, the same everywhere (xorshift64). */
static inline uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

static inline uint64_t mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x9e3779b97f4a7c15u;
}

/* Say what failed, and end. */
noreturn void fail(const char *what);

/* Bytes of anonymous memory. */
void *get_pages(unsigned long bytes);

#endif
