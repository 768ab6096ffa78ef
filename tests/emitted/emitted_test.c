/* SPDX-License-Identifier: MIT */
/*
 * emitted_test.c - how many host instructions the translator makes of reference blocks.
 *
 *	emitted_test COUNTS            compare with the table: fails if a count has grown
 *	emitted_test --write COUNTS    write the table anew: growing is allowed on purpose only
 *	emitted_test --show NAME       the code of one block
 *
 * Two numbers for each: instructions in line, from the way in to the last way out, and all of
 * them, with what stands behind for misses.  They are found by the disassembler.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/jit/jit.h"
#include "hostile/hostile.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/isa.h"

extern const struct reference {
	const char *name;
	const u8 *begin, *end;
} reference_blocks[];

struct counts {
	unsigned line, all;
};

static struct guest g;
static struct x86_cpu *cpu;

/* --- making the code -------------------------------------------------------------------- */

/* A machine for each, so that there is no other code. */
static void make(void)
{
	static struct machine_cfg cfg = {
		.board = "pc",
		.engine = "jit,hot=1,cache=256K",
		.cpu = "x86-64-v2",
		.nr_cpus = 1,
		.memory = GUEST_MEMORY,
		.console = "none",
		.seed = 1,
	};
	struct err e = {0};

	g.m = machine_new(&cfg, &e);
	if (!g.m) {
		printf("%s\n", e.msg);
		exit(1);
	}
	cpu = x86_cpu(g.m->vcpus[0]);
	g.size = CODE64;
	g.rng.state = g.cpu_rng[0].state = 1;
	put_tables(&g);
	put_halting_handlers(&g);
	clock_resume(g.m);
}

/* Once, from its begin; it ends in a HLT, its own or that of an exception. */
static void run(const struct reference *r)
{
	struct code c = {&g, AT_CODE, AT_CODE + 0x1000};
	const u64 hlt = AT_HANDLERS;

	make();
	emit(&c, (const char *)r->begin, (size_t)(r->end - r->begin));
	EMIT(&c, "\xf4\xf4\xf4\xf4");
	put_val(&g, AT_CODE + 0x1000, 0xf4f4f4f4f4f4f4f4, 8); /* the other page */
	enter_mode(&g, 0, CODE64, false);
	cpu->st.rip = AT_CODE;
	cpu->st.rflags = FL_FIXED;
	cpu->st.lstar = hlt;
	cpu->st.gpr[RSP] = cpu->st.gpr[RBP] = AT_STACKS + 0x1800;
	cpu->st.gpr[RBX] = cpu->st.gpr[RSI] = cpu->st.gpr[RDI] = AT_DATA;
	cpu->st.gpr[RAX] = cpu->st.gpr[RCX] = 2;
	cpu->st.gpr[RDX] = 1;
	for (u64 at = AT_DATA; at < AT_DATA + 0x400; at += 8)
		put_val(&g, at, hlt, 8);
	for (u64 at = AT_STACKS + 0x1800; at < AT_STACKS + 0x1900; at += 8)
		put_val(&g, at, hlt, 8);
	cpu->st.seg[SEG_GS].base = AT_DATA;
	cpu->v.ops->state_changed(&cpu->v);
	cpu->v.ops->run(&cpu->v, 0);
}

/* --- counting ----------------------------------------------------------------------------- */

/* Of the code that is there for AT_CODE: how many, and with "show", which. */
static struct counts count(bool show)
{
	const struct jit *j = jit_of(g.m->engine_priv);
	const u8 *host = (const u8 *)g.m->ram + AT_CODE;
	unsigned last = 0;
	struct counts n = {0};
	bool behind = false;

	for (const u8 *rx = j->rx; rx < j->rx + j->size;) {
		char text[128];
		struct jit_place p;
		unsigned len, op;

		if (!jit_place(j, rx, &p) || p.block->host != host || atomic_load(&p.block->dead)) {
			rx++;
			continue;
		}
		/* Ops in order, and then those of the ways behind. */
		op = p.op ? (unsigned)(p.op - p.block->ops) : 0;
		behind |= op < last || (last && !p.op);
		last = op;
		for (; rx < p.end; rx += len) {
			len = cpu->v.isa->disasm(&cpu->v, (u64)(uintptr_t)rx, rx,
						 (unsigned)(p.end - rx), text, sizeof(text));
			if (strncmp(text, "nop", 3) != 0) { /* padding depends on the place */
				n.all++;
				n.line += !behind;
			}
			if (show)
				printf("%s %2u: %s\n", behind ? "  miss" : "", op, text);
		}
	}
	return n;
}

/* Of one block: made, counted, and forgotten. */
static struct counts count_one(const struct reference *r, bool show)
{
	struct counts n;

	run(r);
	n = count(show);
	machine_free(g.m);
	return n;
}

/* --- the table ---------------------------------------------------------------------------- */

static struct counts known(FILE *f, const char *name)
{
	struct counts n = {0};
	char line[128], what[64];
	unsigned in_line, all;

	rewind(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %u %u", what, &in_line, &all) == 3 && !strcmp(what, name))
			n = (struct counts){in_line, all};
	return n;
}

static bool judge(const char *name, struct counts now, struct counts was)
{
	if (now.line <= was.line && now.all <= was.all) {
		if (now.line < was.line || now.all < was.all)
			printf("%s: %u, %u instead of %u, %u: write the table anew\n", name,
			       now.line, now.all, was.line, was.all);
		return true;
	}
	printf("%s GREW: %u in line and %u in all, instead of %u and %u\n", name, now.line, now.all,
	       was.line, was.all);
	return false;
}

static int compare(const char *path, bool write)
{
	FILE *f = fopen(path, write ? "w" : "r");
	bool good = true;

	if (!f) {
		perror(path);
		return 1;
	}
	if (write)
		fputs("# Host instructions in line, and in all, for each block of blocks.S:\n"
		      "# written by emitted_test --write\n",
		      f);
	for (const struct reference *r = reference_blocks; r->name; r++) {
		struct counts n;

		n = count_one(r, false);
		if (!n.line) {
			printf("%s was not translated\n", r->name);
			good = false;
		}
		if (write)
			fprintf(f, "%-24s %4u %4u\n", r->name, n.line, n.all);
		else
			good &= judge(r->name, n, known(f, r->name));
	}
	fclose(f);
	return !good;
}

static int show(const char *name)
{
	for (const struct reference *r = reference_blocks; r->name; r++) {
		if (strcmp(r->name, name) != 0)
			continue;
		count_one(r, true);
		return 0;
	}
	fprintf(stderr, "there is no block %s\n", name);
	return 2;
}

int main(int argc, char **argv)
{
	int r = 2;

	if (argc == 2)
		r = compare(argv[1], false);
	else if (argc == 3 && strcmp(argv[1], "--write") == 0)
		r = compare(argv[2], true);
	else if (argc == 3 && strcmp(argv[1], "--show") == 0)
		r = show(argv[2]);
	else
		fputs("usage: emitted_test [--write] COUNTS | --show NAME\n", stderr);
	return r;
}
