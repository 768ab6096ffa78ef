/* SPDX-License-Identifier: MIT */
/*
 * lockstep_reduce.c - a difference made small, where it was found.
 *
 * The way that was run is gone through block by block, each translated alone, until one is
 * found in which the two differ.  Then its instructions are left out one by one, and registers
 * are made zero, while they still do.  Memory is put back after each run.
 */
#include <stdlib.h>

#include "engine/jit/lockstep.h"

enum { MAX_BLOCKS = 1 << 20, ROOM = BLOCK_MAX_OPS + OPS_AFTER };

struct reduction {
	struct lockstep *ls;
	struct block *b; /* what is tried; room for the largest */
	/* How all was when the difference was found. */
	struct lockstep_state found;
	struct shadow_page page[SHADOW_PAGES];
	unsigned nr_pages;
};

/* The block as it was decoded, less op n of it (-1: all of it). */
static bool copy_block(struct block *to, const struct block *from, int n)
{
	unsigned nr = 0;

	memcpy((void *)to, (const void *)from, sizeof(*from));
	for (unsigned i = 0; i < from->nr_ops; i++)
		if ((int)i != n)
			to->ops[nr++] = from->ops[i];
	to->nr_ops = (u8)nr;
	to->code = NULL;
	to->straddle = NULL;
	atomic_store(&to->dead, false);
	return nr;
}

/* Do the two differ on b alone?  Memory is as the interpreter left it afterwards. */
static bool run_both(struct lockstep *ls, struct block *b)
{
	struct soft_cpu *sc = soft_cpu(ls->cpu);
	struct jit *j = jit_of(sc->soft);
	struct jit_code *c;
	struct jit_room room = jit_code_mark(j);
	bool differs;

	ls->start.st.rip = ls->start.st.gpr[GPR_PC] + b->ops[0].off;
	pthread_mutex_lock(&sc->soft->lock);
	c = jit_translate(j, b, NULL);
	pthread_mutex_unlock(&sc->soft->lock);
	if (c && ls->translated)
		ls->translated(j, c);
	differs = c && lockstep_run_block(ls, b, c);
	/* Nobody else will ever run it. */
	jit_code_rewind(j, &room);
	return differs;
}

/* The same, and memory is as before. */
static bool block_differs(struct lockstep *ls, struct block *b)
{
	bool differs = run_both(ls, b);

	shadow_undo(ls->cpu);
	return differs;
}

/* --- what is put back at the end ------------------------------------------------------------ */

static void keep(struct reduction *r)
{
	struct shadow *sh = soft_cpu(r->ls->cpu)->shadow;

	r->found.st = r->ls->cpu->st;
	memcpy(r->found.derived, &r->ls->cpu->cc_res, sizeof(r->found.derived));
	for (unsigned i = 0; i < sh->before.nr; i++) {
		struct shadow_page *p = &r->page[r->nr_pages];

		p->host = sh->before.page[i].host;
		p->copy = malloc(PAGE_SIZE_4K);
		if (!p->copy)
			break;
		ram_move(p->copy, p->host, PAGE_SIZE_4K);
		r->nr_pages++;
	}
}

static void put_back(struct reduction *r)
{
	struct soft *s = soft_cpu(r->ls->cpu)->soft;

	for (unsigned i = 0; i < r->nr_pages; i++) {
		ram_move(r->page[i].host, r->page[i].copy, PAGE_SIZE_4K);
		soft_code_written(s, r->page[i].host, PAGE_SIZE_4K);
		free(r->page[i].copy);
	}
	r->ls->cpu->st = r->found.st;
	memcpy(&r->ls->cpu->cc_res, r->found.derived, sizeof(r->found.derived));
	shadow_set_mode(r->ls->cpu, SHADOW_REAL);
}

/* --- making it small ------------------------------------------------------------------------- */

/* The block that the interpreter would run from ls->start; NULL: it faults. */
static const struct block *block_there(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;

	/* In the mode that it was, which is not that of the handler of a fault. */
	cpu->st = ls->start.st;
	memcpy(&cpu->cc_res, ls->start.derived, sizeof(ls->start.derived));
	soft_view_changed(cpu);
	return setjmp(cpu->on_fault) ? NULL : soft_find_block(cpu);
}

/* The first block of the way in which the two differ, from the state in front of it. */
static bool find_block(struct reduction *r)
{
	struct lockstep *ls = r->ls;
	u64 left = ls->missed_ops;

	for (unsigned i = 0; i < MAX_BLOCKS; i++) {
		const struct block *b = block_there(ls);

		if (!b || !copy_block(r->b, b, -1))
			return false;
		ls->start.st.gpr[GPR_PC] = ls->start.st.rip - b->ops[0].off;
		if (run_both(ls, r->b)) {
			shadow_undo(ls->cpu);
			return true;
		}
		if (ls->end != END_AT || !ls->nr_ops || ls->nr_ops >= left)
			return false;
		left -= ls->nr_ops;
		ls->start.st = ls->cpu->st;
		memcpy(ls->start.derived, &ls->cpu->cc_res, sizeof(ls->start.derived));
		shadow_forget(soft_cpu(ls->cpu)->shadow);
	}
	return false;
}

static void drop_ops(struct reduction *r)
{
	struct block *whole = malloc(sizeof(*whole) + ROOM * sizeof(struct op));

	if (!whole)
		return;
	for (int i = r->b->nr_ops - 1; i >= 0; i--) {
		copy_block(whole, r->b, -1);
		if (!copy_block(r->b, whole, i) || !block_differs(r->ls, r->b))
			copy_block(r->b, whole, -1);
	}
	free(whole);
}

static void zero_registers(struct reduction *r)
{
	struct cpu_state *st = &r->ls->start.st;

	for (unsigned i = 0; i < NR_GPRS; i++) {
		u64 was = st->gpr[i];

		st->gpr[i] = 0;
		if (was && !block_differs(r->ls, r->b))
			st->gpr[i] = was;
	}
}

static void show(const struct reduction *r, FILE *f)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
	const struct lockstep_state *s = &r->ls->start;

	fputs("made small:\n ", f);
	for (unsigned i = 0; i < NR_GPRS; i++)
		if (s->st.gpr[i])
			fprintf(f, " %s=%llx", names[i], (unsigned long long)s->st.gpr[i]);
	fputc('\n', f);
	for (unsigned i = 0; i < r->b->nr_ops; i++)
		lockstep_put_op(r->ls, s->st.gpr[GPR_PC] + r->b->ops[i].off, f);
	fprintf(f, "  %s\n", r->ls->what);
}

void lockstep_reduce(struct lockstep *ls, FILE *f)
{
	struct shadow *sh = soft_cpu(ls->cpu)->shadow;
	struct reduction r = {.ls = ls};

	r.b = malloc(sizeof(*r.b) + ROOM * sizeof(struct op));
	if (!r.b || sh->overflow || ls->nr_log || ls->released) {
		fputs("not made small: a device was asked, or there is no room\n", f);
		free(r.b);
		return;
	}
	keep(&r);
	shadow_undo(ls->cpu);
	if (!find_block(&r)) {
		fputs("not made small: no block of the way differs alone\n", f);
	} else {
		drop_ops(&r);
		zero_registers(&r);
		block_differs(ls, r.b); /* once more, for what differs */
		show(&r, f);
	}
	put_back(&r);
	free(r.b);
}
