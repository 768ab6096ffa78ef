/* SPDX-License-Identifier: MIT */
/*
 * debug.c - stopping for a debugger at full speed.
 *
 * Execution points: no block may go on across an address whose offset in its page is that of
 * a point (soft->split), and blocks that begin at such an offset are never linked to, so
 * every way to a point passes the top of the run loop, which looks.  Watchpoints: the TLB
 * view in force always misses, so every access passes check_access(), and a hit poisons the
 * block that runs, which leads out of it after the instruction.
 */
#include "engine/soft/soft.h"

static void split_at(struct soft *s, const struct debug_req *req)
{
	for (unsigned i = 0; i < req->nr_points; i++)
		if (req->points[i].kind == DEBUG_EXEC)
			s->split[(req->points[i].addr & 0xfff) / 64] |=
				1ull << (req->points[i].addr % 64);
}

int soft_set_debug(struct vcpu *v, const struct debug_req *req)
{
	struct x86_cpu *cpu = x86_cpu(v);
	struct soft_cpu *sc = soft_cpu(cpu);
	struct soft *s = sc->soft;
	u64 before[ARRAY_SIZE(s->split)];

	sc->debug = *req;
	sc->debug_exec = sc->debug_hit = false;
	cpu->debug_watch = false;
	for (unsigned i = 0; i < req->nr_points; i++) {
		if (req->points[i].kind == DEBUG_EXEC)
			sc->debug_exec = true;
		else
			cpu->debug_watch = true;
	}
	cpu->debugged = req->step; /* one instruction at a time */
	sc->debugging = req->step || req->nr_points;

	memcpy(before, s->split, sizeof(before));
	memset(s->split, 0, sizeof(s->split));
	for (unsigned i = 0; i < s->nr_cpus; i++)
		if (s->cpus[i])
			split_at(s, &s->cpus[i]->debug);
	if (memcmp(before, s->split, sizeof(before)))
		soft_flush_blocks(s);
	x86_update_careful(cpu);
	soft_view_changed(cpu);
	return 0;
}

bool soft_debug_at(struct soft_cpu *sc, u64 lin)
{
	for (unsigned i = 0; i < sc->debug.nr_points; i++) {
		if (sc->debug.points[i].kind != DEBUG_EXEC || sc->debug.points[i].addr != lin)
			continue;
		sc->cpu->v.stop = (struct debug_stop){(int)i, lin};
		return true;
	}
	return false;
}

static bool kind_matches(u8 kind, enum mem_access acc)
{
	return kind == DEBUG_ACCESS || (kind == DEBUG_WRITE && acc == MEM_WRITE) ||
	       (kind == DEBUG_READ && acc == MEM_READ);
}

void soft_debug_access(struct soft_cpu *sc, u64 lin, unsigned size, enum mem_access acc)
{
	for (unsigned i = 0; i < sc->debug.nr_points; i++) {
		const struct debug_point *p = &sc->debug.points[i];

		if (p->kind == DEBUG_EXEC || !kind_matches(p->kind, acc) ||
		    (lin - p->addr >= p->len && p->addr - lin >= size))
			continue;
		if (!sc->debug_hit)
			sc->cpu->v.stop =
				(struct debug_stop){(int)i, lin - p->addr < p->len ? lin : p->addr};
		sc->debug_hit = true;
		/* Between instructions it is the last block, whose memory may be another's. */
		if (sc->cpu->op)
			soft_block_leave(sc->soft, sc->running);
		return;
	}
}
