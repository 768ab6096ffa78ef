/* SPDX-License-Identifier: MIT */
/*
 * emitted_test.c - how many host instructions the translator makes of reference blocks.
 *
 *	emitted_test COUNTS            compare with the table: fails if a count has grown
 *	emitted_test --write COUNTS    write the table anew: growing is allowed on purpose only
 *	emitted_test --show NAME       the code of one block, first and as a trace
 *
 * Each block has two numbers for its first code and two for the trace that begins with it:
 * instructions in line, from the way in to the last way out, and all of them, with what stands
 * behind for misses.  They are found by the disassembler.
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
	unsigned line, all, trace_line, trace_all;
};

enum { MAX_REGIONS = 512 };

static struct guest g;
static struct x86_cpu *cpu;

/* --- making the code -------------------------------------------------------------------- */

/* A machine for each, so that there is no other code. */
static void make(const char *engine)
{
	static struct machine_cfg cfg = {
		.board = "pc",
		.cpu = "x86-64-v2",
		.nr_cpus = 1,
		.memory = GUEST_MEMORY,
		.console = "none",
		.seed = 1,
	};
	struct err e = {0};

	cfg.engine = engine;
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

static void put_block(const struct reference *r, const char *engine)
{
	struct code c = {&g, AT_CODE, AT_CODE + 0x1000};

	make(engine);
	emit(&c, (const char *)r->begin, (size_t)(r->end - r->begin));
	EMIT(&c, "\xf4\xf4\xf4\xf4");
	put_val(&g, AT_CODE + 0x1000, 0xf4f4f4f4f4f4f4f4, 8); /* the other page */
	enter_mode(&g, 0, CODE64, false);
	cpu->v.ops->state_changed(&cpu->v);
}

/* Once, from its begin; it ends in a HLT, its own or that of an exception. */
static void run(void)
{
	const u64 hlt = AT_HANDLERS;

	cpu->st.rip = AT_CODE;
	cpu->st.activity = CPU_RUNNING;
	cpu->st.rflags = FL_FIXED;
	cpu->st.lstar = hlt;
	cpu->st.gpr[RSP] = cpu->st.gpr[RBP] = AT_STACKS + 0x1800;
	cpu->st.gpr[RBX] = cpu->st.gpr[RSI] = cpu->st.gpr[RDI] = AT_DATA;
	cpu->st.gpr[RAX] = cpu->st.gpr[RCX] = 2;
	cpu->st.gpr[RDX] = AT_DATA + 1; /* where some loops end */
	for (u64 at = AT_DATA; at < AT_DATA + 0x400; at += 8)
		put_val(&g, at, hlt, 8);
	for (u64 at = AT_STACKS + 0x1800; at < AT_STACKS + 0x1900; at += 8)
		put_val(&g, at, hlt, 8);
	cpu->st.seg[SEG_GS].base = AT_DATA;
	x86_state_changed(cpu);
	cpu->v.ops->run(&cpu->v, 0);
}

/* --- counting ----------------------------------------------------------------------------- */

/* Has the instruction come before?  Then this is what stands behind for its misses. */
static bool seen_before(const struct op *op)
{
	static const struct op *seen[MAX_REGIONS];
	static unsigned nr;

	if (!op)
		nr = 0;
	for (unsigned i = 0; i < nr; i++)
		if (seen[i] == op)
			return true;
	if (op && nr < MAX_REGIONS)
		seen[nr++] = op;
	return false;
}

/* Of a piece of code: how many, and with "show", which. */
static void count_piece(const struct jit_code *c, unsigned *line, unsigned *all, bool show)
{
	const struct jit *j = jit_of(g.m->engine_priv);
	const struct op *last = NULL;
	bool behind = false;

	seen_before(NULL);
	for (const u8 *rx = c->start; rx < c->end;) {
		char text[128];
		struct jit_place p;

		if (!jit_place(j, rx, &p))
			return;
		/* One may have two pieces, one behind the other. */
		if (p.op != last || !p.op)
			behind |= p.op ? seen_before(p.op) : *line && last;
		last = p.op;
		for (; rx < p.end; rx += x86_isa.disasm(&cpu->v, 0, rx, 15, text, sizeof(text))) {
			x86_isa.disasm(&cpu->v, (u64)(uintptr_t)rx, rx, 15, text, sizeof(text));
			if (strncmp(text, "nop", 3) != 0) { /* padding depends on the place */
				++*all;
				*line += !behind;
			}
			if (show)
				printf("%s%03x: %s\n", behind ? "  behind " : "",
				       p.op ? p.op->off : 0xfff, text);
		}
	}
}

static const struct jit_code *code_of_block(void)
{
	const u8 *host = (const u8 *)g.m->ram + AT_CODE;
	struct soft *s = g.m->engine_priv;

	for (const struct block *b = soft_page(s, host)->blocks; b; b = b->page_next)
		if (b->host == host && !atomic_load(&b->dead))
			return b->code;
	return NULL;
}

/* Of one block: made, counted, and forgotten; as first code, or as a trace. */
static void count_as(const struct reference *r, bool trace, struct counts *n, bool show)
{
	const struct jit_code *c;

	put_block(r,
		  trace ? "jit,hot=1,trace=1,cache=256K" : "jit,hot=1,trace=1000000000,cache=256K");
	for (unsigned i = 0; i < 4; i++)
		run();
	c = code_of_block();
	if (show)
		printf("--- %s\n", trace ? "as a trace" : "first code");
	if (c && c->trace == trace)
		count_piece(c, trace ? &n->trace_line : &n->line, trace ? &n->trace_all : &n->all,
			    show);
	machine_free(g.m);
}

static struct counts count_one(const struct reference *r, bool show)
{
	struct counts n = {0};

	count_as(r, false, &n, show);
	count_as(r, true, &n, show);
	return n;
}

/* --- the table ---------------------------------------------------------------------------- */

static struct counts known(FILE *f, const char *name)
{
	struct counts n, found = {0};
	char line[128], what[64];

	rewind(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %u %u %u %u", what, &n.line, &n.all, &n.trace_line,
			   &n.trace_all) == 5 &&
		    !strcmp(what, name))
			found = n;
	return found;
}

static bool judge(const char *name, struct counts now, struct counts was)
{
	const char *how = NULL;
	bool grew = now.line > was.line || now.all > was.all || now.trace_line > was.trace_line ||
		    now.trace_all > was.trace_all;

	if (grew)
		how = "GREW";
	else if (memcmp(&now, &was, sizeof(now)) != 0)
		how = "is shorter, write the table anew";
	if (how)
		printf("%s %s: %u, %u and as a trace %u, %u; it was %u, %u and %u, %u\n", name, how,
		       now.line, now.all, now.trace_line, now.trace_all, was.line, was.all,
		       was.trace_line, was.trace_all);
	return !grew;
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
		fputs("# Host instructions in line and in all, then those as a trace, for each "
		      "block "
		      "of\n# blocks.S: written by emitted_test --write\n",
		      f);
	for (const struct reference *r = reference_blocks; r->name; r++) {
		struct counts n;

		n = count_one(r, false);
		if (!n.line || !n.trace_line) {
			printf("%s was not translated\n", r->name);
			good = false;
		}
		if (write)
			fprintf(f, "%-24s %4u %4u %4u %4u\n", r->name, n.line, n.all, n.trace_line,
				n.trace_all);
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
