/* SPDX-License-Identifier: MIT */
/*
 * gdbstub.c - who is attached, and running and stopping the machine for it.
 *
 * All-stop: a vCPU that comes out of run() for the debugger leaves a note and asks the loop to
 * pause the machine; once it rests, one of the notes is told.  Notes that are not told: a
 * breakpoint will be hit again, a step has had its effect, and a watchpoint is kept for the
 * next resumption, which then ends at once.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "debug/gdb.h"
#include "sundog/err.h"

bool gdb_can_debug(const struct gdbstub *g)
{
	return g->m->engine->set_debug;
}

/* --- telling of a stop ----------------------------------------------------------------------- */

void gdb_add_stop(struct gdbstub *g, const char *reason)
{
	rsp_addf(&g->rsp, "T%02x%sthread:%x;", g->signal, reason, g->cpu + 1);
}

static void tell_stop(struct gdbstub *g, unsigned cpu, u8 sig, const char *reason)
{
	g->running = g->want_break = false;
	g->cpu = g->cont_cpu = cpu;
	g->signal = sig;
	rsp_begin(&g->rsp);
	gdb_add_stop(g, reason);
	rsp_end(&g->rsp);
}

static void tell_watch(struct gdbstub *g, unsigned cpu, u8 kind, gva_t addr)
{
	char reason[40];

	snprintf(reason, sizeof(reason), "%swatch:%llx;",
		 kind == DEBUG_READ	? "r"
		 : kind == DEBUG_ACCESS ? "a"
					: "",
		 (unsigned long long)addr);
	tell_stop(g, cpu, GDB_SIGTRAP, reason);
}

static void tell_debug(struct gdbstub *g, unsigned cpu)
{
	const struct debug_stop *stop = &g->m->vcpus[cpu]->stop;
	const struct gdb_point *p = stop->point >= 0 && stop->point < (int)g->nr_points
					    ? &g->points[stop->point]
					    : NULL;

	if (!p)
		tell_stop(g, cpu, GDB_SIGTRAP, "");
	else if (p->p.kind != DEBUG_EXEC)
		tell_watch(g, cpu, p->p.kind, stop->addr);
	else if (p->hard)
		tell_stop(g, cpu, GDB_SIGTRAP, g->hwbreak ? "hwbreak:;" : "");
	else
		tell_stop(g, cpu, GDB_SIGTRAP, g->swbreak ? "swbreak:;" : "");
}

/* The vCPU to tell of: one that crashed before one at a point, and the chosen one first. */
static bool choose_stop(const struct gdbstub *g, unsigned *cpu)
{
	for (int why = WHY_TRIPLE_FAULT; why > WHY_NOTHING; why--) {
		for (unsigned n = 0; n < g->m->nr_vcpus; n++) {
			*cpu = (g->cpu + n) % g->m->nr_vcpus;
			if (atomic_load(&g->cpus[*cpu].why) == why)
				return true;
		}
	}
	return false;
}

static void keep_watch(struct gdbstub *g, unsigned cpu)
{
	const struct debug_stop *stop = &g->m->vcpus[cpu]->stop;
	struct gdb_cpu *c = &g->cpus[cpu];

	if (atomic_load(&c->why) != WHY_DEBUG || stop->point < 0 ||
	    stop->point >= (int)g->nr_points || g->points[stop->point].p.kind == DEBUG_EXEC)
		return;
	c->later = g->points[stop->point].p;
	c->later_addr = stop->addr;
	c->has_later = true;
}

static void tell_why(struct gdbstub *g)
{
	unsigned cpu;

	if (!choose_stop(g, &cpu)) {
		tell_stop(g, g->cpu, GDB_SIGINT, "");
		return;
	}
	for (unsigned i = 0; i < g->m->nr_vcpus; i++) {
		if (i != cpu)
			keep_watch(g, i);
	}
	if (atomic_load(&g->cpus[cpu].why) == WHY_TRIPLE_FAULT)
		tell_stop(g, cpu, GDB_SIGSEGV, "");
	else
		tell_debug(g, cpu);
}

/* --- hooks ------------------------------------------------------------------------------------ */

static void on_debug(struct vcpu *cpu, void *opaque)
{
	struct gdbstub *g = opaque;

	/* Without a debugger the points are about to go. */
	if (!atomic_load(&g->attached))
		return;
	atomic_store(&g->cpus[cpu->index].why, WHY_DEBUG);
	machine_request_pause(g->m);
}

static bool on_shutdown(struct vcpu *cpu, void *opaque)
{
	struct gdbstub *g = opaque;

	if (!atomic_load(&g->attached))
		return false;
	cpu->isa->autopsy(cpu, stderr);
	atomic_store(&g->cpus[cpu->index].why, WHY_TRIPLE_FAULT);
	machine_request_pause(g->m);
	return true;
}

static void on_paused(struct machine *m, void *opaque)
{
	struct gdbstub *g = opaque;

	if (!atomic_load(&g->attached)) {
		/* Asked for by a debugger that went away meanwhile. */
		if (!g->untouched)
			machine_resume(m);
		return;
	}
	if (!g->running)
		return;
	tell_why(g);
	gdb_pump(g);
}

static void on_reset(struct machine *m, void *opaque)
{
	struct gdbstub *g = opaque;

	if (!g->resetting)
		return;
	g->resetting = false;
	rsp_send(&g->rsp, "OK");
	gdb_pump(g);
}

/* --- running ---------------------------------------------------------------------------------- */

static void set_debug(struct gdbstub *g, bool on)
{
	struct debug_req req = {0};

	if (on) {
		req.nr_points = g->nr_points;
		req.no_irqs = !g->step_irqs;
		for (unsigned i = 0; i < g->nr_points; i++)
			req.points[i] = g->points[i].p;
	}
	for (unsigned i = 0; i < g->m->nr_vcpus; i++) {
		struct gdb_cpu *c = &g->cpus[i];

		req.step = on && c->action == ACT_STEP;
		if (gdb_can_debug(g))
			g->m->engine->set_debug(g->m->vcpus[i], &req);
		machine_hold_vcpu(g->m->vcpus[i], on && c->action == ACT_STOP);
	}
}

/* A watchpoint that was hit, could not be told, and is still wanted. */
static bool tell_later(struct gdbstub *g)
{
	for (unsigned i = 0; i < g->m->nr_vcpus; i++) {
		struct gdb_cpu *c = &g->cpus[i];

		if (!c->has_later || c->action == ACT_STOP)
			continue;
		c->has_later = false;
		for (unsigned k = 0; k < g->nr_points; k++) {
			const struct debug_point *p = &g->points[k].p;

			if (p->kind != c->later.kind || p->addr != c->later.addr)
				continue;
			tell_watch(g, i, p->kind, c->later_addr);
			return true;
		}
	}
	return false;
}

/* Page tables or code may have been written: see engine.h. */
static void forget_derived(struct gdbstub *g)
{
	for (unsigned i = 0; g->written && i < g->m->nr_vcpus; i++)
		g->m->engine->state_changed(g->m->vcpus[i]);
	g->written = false;
}

void gdb_resume(struct gdbstub *g)
{
	forget_derived(g);
	if (tell_later(g))
		return;
	for (unsigned i = 0; i < g->m->nr_vcpus; i++)
		atomic_store(&g->cpus[i].why, WHY_NOTHING);
	set_debug(g, true);
	g->running = true;
	g->untouched = false;
	machine_resume(g->m);
}

void gdb_break(struct gdbstub *g)
{
	if (!g->running)
		return;
	g->want_break = true;
	machine_request_pause(g->m);
}

void gdb_attach(struct gdbstub *g)
{
	if (!atomic_load(&g->attached)) {
		g->cpu = 0;
		g->cont_cpu = MACHINE_MAX_CPUS;
		g->signal = GDB_SIGTRAP;
		g->phys = g->step_irqs = g->swbreak = g->hwbreak = false;
		atomic_store(&g->attached, true);
	}
	/* A client that speaks while the machine runs, and not by Ctrl-C, wants its attention. */
	g->running = false;
	machine_pause(g->m);
}

void gdb_detach(struct gdbstub *g, bool run)
{
	if (!atomic_load(&g->attached))
		return;
	atomic_store(&g->attached, false);
	g->running = g->resetting = g->want_break = false;
	g->nr_points = 0;
	for (unsigned i = 0; i < g->m->nr_vcpus; i++)
		g->cpus[i].has_later = false;
	machine_stop_vcpus(g->m);
	forget_derived(g);
	set_debug(g, false);
	machine_start_vcpus(g->m);
	if (!run && g->untouched)
		return;
	g->untouched = false;
	machine_resume(g->m);
}

void gdb_kill(struct gdbstub *g)
{
	g->closing = true;
	machine_request_end(g->m, EXIT_GUEST_OFF, "debugger");
}

void gdb_reset(struct gdbstub *g)
{
	g->resetting = true;
	machine_request_reset(g->m);
}

/* --- beginning and end --------------------------------------------------------------------------
 */

struct gdbstub *gdbstub_start(struct machine *m, const char *addr, struct err *e)
{
	struct gdbstub *g = calloc(1, sizeof(*g));

	if (!g) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	g->m = m;
	g->client.fd = -1;
	g->untouched = true;
	rsp_init(&g->rsp);
	if (gdb_listen(g, addr, e)) {
		free(g);
		return NULL;
	}
	m->hooks = (struct machine_hooks){.debug = on_debug,
					  .shutdown = on_shutdown,
					  .paused = on_paused,
					  .was_reset = on_reset,
					  .opaque = g};
	m->start_paused = true;
	return g;
}

void gdbstub_stop(struct gdbstub *g, int status)
{
	if (!g)
		return;
	if (g->client.fd >= 0 && (g->running || g->resetting)) {
		rsp_begin(&g->rsp);
		rsp_addf(&g->rsp, "W%02x", status & 0xff);
		rsp_end(&g->rsp);
	}
	g->closing = true;
	gdb_pump(g);
	gdb_drop(g);
	gdb_unlisten(g);
	rsp_destroy(&g->rsp);
	g->m->hooks = (struct machine_hooks){0};
	free(g);
}
