/* SPDX-License-Identifier: MIT */
/*
 * lockstep_test.c - random sequences on the translator in lockstep with the interpreter.
 *
 * Each sequence is translated when it first runs, and each entry of its code is compared.  The
 * first difference is made a small case and shown with all that lockstep knows of it.
 * --inject makes translated code wrong in each way that inject.c knows, and wants to see
 * every one of them found and made small.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lockstep/lockstep_test.h"

enum { BATCH = 256, MAX_TRIES = 100000, SMALL = 4, MAX_UNSURE = 10000 /* one in so many */ };

static struct {
	u64 seed, count, only;
	bool one, inject;
	const char *engine;
} opts = {.seed = 1, .count = 1000000, .engine = "jit,hot=1,lockstep=1,cache=128M"};

static u8 image[ARENA_SIZE];
static struct lockstep *ls;
static struct jit *jit;
static const struct bug *bug;
static bool loud;      /* show what is found */
static char *in_place; /* what lockstep made of it by itself */

static void translated(struct jit *j, struct jit_code *c)
{
	if (bug)
		inject_code(j, bug, c);
}

static void found(struct lockstep *l)
{
	size_t size;
	FILE *f;

	if (!loud)
		return;
	if (!bug)
		lockstep_dump(l, stdout);
	free(in_place);
	f = open_memstream(&in_place, &size);
	if (!f)
		abort();
	lockstep_reduce(l, f);
	fclose(f);
}

/* from: lockstep has four ways to compare, which take turns; this one is the first. */
static bool run(const struct test_case *c, unsigned from)
{
	struct outcome out;

	ls->differences = 0;
	ls->steps += (from - ls->steps) & 3;
	guest_run(c, &out);
	return ls->differences;
}

/* Once to translate it, once more with what is there by then. */
static bool differs(const struct test_case *c)
{
	guest_put(image, c);
	if (run(c, 1))
		return true;
	guest_put_data(image, c);
	return run(c, 2);
}

/* The same, with a bug put in between. */
static bool differs_by_bug(const struct test_case *c)
{
	const u8 *mark = jit->at;

	guest_put(image, c);
	if (run(c, 0))
		return true;
	if (jit->at < mark || !inject(jit, bug, mark))
		return false;
	guest_put_data(image, c);
	return run(c, 1);
}

static void new_image(u64 batch)
{
	gen_image(opts.seed, batch, image);
	guest_forget();
}

/* Made small and shown; how many instructions are left. */
static unsigned show(struct test_case *c, differs_fn *f)
{
	unsigned n = reduce_case(c, f);

	printf("made small, %u instructions:\n", n);
	print_case(c);
	loud = true;
	if (!f(c))
		printf("it comes and goes\n");
	loud = false;
	printf("%s\nin place, %s", ls->what, in_place ? in_place : "not at all\n");
	return n;
}

static bool run_all(void)
{
	static struct test_case c;
	u64 from = opts.one ? opts.only / BATCH * BATCH : 0;
	u64 to = opts.one ? opts.only + 1 : opts.count;

	for (u64 n = from; n < to; n++) {
		if (n % BATCH == 0)
			new_image(n / BATCH);
		gen_case(opts.seed, n, &c);
		if (opts.one && n == opts.only) { /* before what may be the end of us */
			print_case(&c);
			fflush(stdout);
		}
		if (!differs(&c))
			continue;
		printf("FAIL: translator and interpreter differ; rerun: lockstep_test --seed %llu "
		       "--case %llu\n",
		       (long long)opts.seed, (long long)n);
		print_case(&c);
		show(&c, differs);
		return false;
	}
	printf("%llu sequences, %llu entries of code compared, %llu instructions, %llu unsure; "
	       "seed %llu\n",
	       (long long)(to - from), (long long)ls->steps, (long long)ls->ops,
	       (long long)ls->unsure, (long long)opts.seed);
	if (ls->unsure * MAX_UNSURE > ls->steps) {
		printf("FAIL: too many are unsure\n");
		return false;
	}
	return true;
}

/* Is the bug found, and made small? */
static bool find_bug(void)
{
	static struct test_case c;

	for (u64 n = 0; n < MAX_TRIES; n++) {
		unsigned left;

		if (n % BATCH == 0)
			new_image(n / BATCH);
		gen_case(opts.seed, n, &c);
		if (!differs_by_bug(&c))
			continue;
		printf("%s: %s: found in case %llu\n", bug->name, bug->what, (long long)n);
		left = show(&c, differs_by_bug);
		if (left > SMALL)
			printf("FAIL: %u instructions are not few\n", left);
		if (!in_place || strncmp(in_place, "made small", 10)) {
			printf("FAIL: lockstep itself did not make it small\n");
			return false;
		}
		return left <= SMALL;
	}
	printf("FAIL: %s: %s: not found in %u cases\n", bug->name, bug->what, MAX_TRIES);
	return false;
}

static bool find_bugs(void)
{
	bool good = true;

	for (bug = bugs; bug < bugs + nr_bugs; bug++)
		good &= find_bug();
	return good;
}

static bool parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *o = argv[i], *v = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(o, "--inject")) {
			opts.inject = true;
			continue;
		}
		if (!strcmp(o, "--seed"))
			opts.seed = strtoull(v, NULL, 0);
		else if (!strcmp(o, "--count"))
			opts.count = strtoull(v, NULL, 0);
		else if (!strcmp(o, "--case"))
			opts.only = strtoull(v, NULL, 0), opts.one = true;
		else if (!strcmp(o, "--engine"))
			opts.engine = v;
		else
			return false;
		i++;
	}
	return true;
}

int main(int argc, char **argv)
{
	const struct gen_cfg gen = {
		.fsgsbase = true, .xcr0 = vector_components(), .row = -1, .wild = true};
	struct soft_cpu *sc;
	bool good;

	if (!parse(argc, argv)) {
		fputs("usage: lockstep_test [--seed S] [--count N] [--case K] [--engine E] "
		      "[--inject]\n",
		      stderr);
		return 2;
	}
	if (!guest_init(opts.engine))
		return 1;
	sc = soft_cpu(x86_cpu(guest_vcpu()));
	ls = sc->lockstep;
	if (!ls) {
		fputs("the engine has to be jit,lockstep=1\n", stderr);
		return 2;
	}
	ls->report = found;
	ls->translated = translated;
	jit = jit_of(sc->soft);
	gen_init(&gen);
	good = opts.inject ? find_bugs() : run_all();
	free(in_place);
	guest_fini();
	return !good;
}
