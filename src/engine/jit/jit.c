/* SPDX-License-Identifier: MIT */
/* jit.c - the engine "jit": counting, entering and leaving translated code, links and kills. */
#include "engine/jit/jit.h"

#include <asm/prctl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/jit/lockstep.h"
#include "engine/soft/run.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/opts.h"
#include "sundog/trace.h"

/* hot: what block.runs holds; cache: what a rel32 reaches. */
enum { MAX_HOT = 0xffff, MIN_CACHE = 256 << 10, MAX_CACHE = 1 << 30 };

/* --- into code
 * ---------------------------------------------------------------------------------------- */

/* Branches from other pages find b's code from now on. */
static void enter_jump_cache(struct x86_cpu *cpu, struct soft_cpu *sc, const struct block *b,
			     const struct jit_code *c)
{
	u64 lin = cpu->st.gpr[GPR_PC] + b->page_off;

	soft_add_jump(sc, lin, b, c->far_entry);
}

static struct block *block_of(const struct op *op)
{
	return (struct block *)((char *)op - offsetof(struct block, ops));
}

/* Watched or counted runs are interpreted. */
static bool must_interpret(const struct soft_cpu *sc)
{
	return sc->debugging || sc->counted;
}

struct jit_link *jit_enter(struct x86_cpu *cpu, const struct jit_code *c)
{
	struct jit *j = jit_of(soft_cpu(cpu)->soft);
	struct jit_link *l = NULL;
	u64 ret;

	atomic_store_explicit(&cpu->jit_leave, false, memory_order_relaxed);
	jit_pack_flags(cpu);
	/* Not to the poll, since the loop has looked: something that waits must not stop us. */
	ret = j->stubs.enter(cpu, c->trace ? c->body : c->entry);
	jit_unpack_flags(cpu);
	if (ret) {
		l = jit_link_at(j, ret);
		cpu->st.rip = x86_cut_rip(cpu, cpu->st.gpr[GPR_PC] + (u64)(i64)l->off);
		if (l->way) /* what it led to is gone */
			soft_drop_way(soft_cpu(cpu), l->way);
	}
	return l;
}

static void h_count(struct x86_cpu *cpu, const struct op *op);

static void h_enter(struct x86_cpu *cpu, const struct op *op)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct block *b = block_of(op);
	struct jit *j = jit_of(sc->soft);
	const struct jit_code *c = __atomic_load_n(&b->code, __ATOMIC_ACQUIRE);
	struct jit_link *l;

	if (__builtin_expect(!c, 0)) { /* killed with another block of its trace */
		h_count(cpu, op);
		return;
	}
	if (__builtin_expect(must_interpret(sc) || !jit_runs_here(cpu) ||
				     (c->vec && !jit_vec_ready(cpu, c->vec)),
			     0)) {
		b->first(cpu, op);
		return;
	}
	jit_use_link(j, sc, b);
	enter_jump_cache(cpu, sc, b, c);
	cpu->v.icount -= b->nr_ops; /* not counted in code */
	sc->running = NULL;
	l = sc->lockstep ? lockstep_enter(cpu, b) : jit_enter(cpu, c);
	jit_report_exit(cpu, l);
	if (l)
		jit_note_link(sc, l);
}

static bool translate(struct soft *s, struct block *b, struct x86_cpu *cpu)
{
	struct jit *j = jit_of(s);
	struct jit_code *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (!atomic_load(&b->dead) && !b->code) {
		c = jit_translate(j, b, cpu);
		if (c) {
			b->heat = (i32)j->trace;
			__atomic_store_n(&b->code, c, __ATOMIC_RELEASE);
			__atomic_store_n(&b->ops[0].fn, h_enter, __ATOMIC_RELEASE);
			jit_link_all(j, c);
		} else { /* again later, if it still exists then */
			atomic_store(&b->runs, 0);
			j->refused++;
			if (jit_code_full(j))
				atomic_store(&s->flush_wanted, true);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return c != NULL;
}

static void h_count(struct x86_cpu *cpu, const struct op *op)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct block *b = block_of(op);

	if (jit_runs_here(cpu) &&
	    atomic_fetch_add_explicit(&b->runs, 1, memory_order_relaxed) + 1u ==
		    jit_of(sc->soft)->hot &&
	    translate(sc->soft, b, cpu)) {
		jit_report_translated(cpu, b);
		h_enter(cpu, op);
	} else {
		b->first(cpu, op);
	}
}

/* The interpreter's, and then counting where it pays. */
static void finish(struct soft *s, struct block *b)
{
	jit_of(s)->interp_finish(s, b);
	b->first = b->ops[0].fn;
	if (b->host && jit_can_translate(b->key))
		b->ops[0].fn = h_count;
}

/* --- the engine
 * ----------------------------------------------------------------------------------------- */

static const struct param params[] = {
	{"hot", PARAM_U32, offsetof(struct jit, hot), "4", "runs before a block is translated"},
	{"trace", PARAM_U32, offsetof(struct jit, trace), "4000",
	 "runs of its code before a block is made the head of a trace"},
	{"cache", PARAM_SIZE, offsetof(struct jit, size), "32M", "room for translated code"},
	{"perf", PARAM_STR, offsetof(struct jit, perf), "none",
	 "\"map\": name translated code in /tmp/perf-PID.map, for perf(1)"},
	{"lockstep", PARAM_U32, offsetof(struct jit, lockstep), "0",
	 "compare every so many-th entry of code with the interpreter"},
	{NULL},
};

static int jit_options(struct jit *j, const char *spec, struct err *e)
{
	struct opts *o = opts_parse(spec ? spec : "jit", e);
	int r = o ? opts_apply(o, params, j, e) : e->code;

	if (r == 0 && strcmp(j->perf, "map") != 0 && strcmp(j->perf, "none") != 0)
		r = err_set(e, -EINVAL, "jit: perf=%s is neither none nor map", j->perf);
	j->perf = r == 0 && strcmp(j->perf, "map") == 0 ? "map" : NULL; /* not from opts */
	opts_free(o);
	if (r)
		return r;
	if (!j->hot || j->hot > MAX_HOT)
		return err_set(e, -EINVAL, "jit: hot=%u must be from 1 to %u", j->hot, MAX_HOT);
	if (!j->trace || j->trace > INT32_MAX)
		return err_set(e, -EINVAL, "jit: trace=%u must be from 1 to %d", j->trace,
			       INT32_MAX);
	j->size &= ~(u64)(NR_HALVES * PAGE_SIZE_4K - 1);
	if (j->size < MIN_CACHE || j->size > MAX_CACHE)
		return err_set(e, -EINVAL, "jit: cache must be from %uK to %uM", MIN_CACHE >> 10,
			       MAX_CACHE >> 20);
	return 0;
}

static int jit_probe(struct err *e)
{
	struct jit j = {.size = MIN_CACHE};
	int r = jit_code_init(&j, e);

	jit_code_destroy(&j);
	return r;
}

static int jit_init(struct machine *m, struct err *e)
{
	struct jit *j = calloc(1, sizeof(*j));
	struct soft *s;
	int r;

	if (!j)
		return err_set(e, -ENOMEM, "not enough memory for the translator");
	r = jit_options(j, m->cfg->engine, e);
	if (r == 0)
		r = jit_code_init(j, e);
	if (r == 0)
		r = jit_perf_open(j, e);
	if (r == 0)
		r = soft_run_init(m, e);
	if (r == 0 && jit_crash_hook(e)) {
		soft_destroy(m);
		r = e->code;
	}
	if (r) {
		jit_perf_close(j);
		jit_code_destroy(j);
		free(j);
		return r;
	}
	s = m->engine_priv;
	j->soft = s;
	j->interp_finish = s->finish;
	jit_make_stubs(j);
	jit_perf_stubs(j);
	s->engine_data = j;
	s->arena = j->arena;
	s->finish = finish;
	s->killed = jit_killed;
	s->flushed = jit_flushed;
	s->no_jump = jit_rx(j, j->stubs.jump);
	s->no_page = j->guard;
	return 0;
}

static void jit_destroy(struct machine *m)
{
	struct soft *s = m->engine_priv;
	struct jit *j = s ? jit_of(s) : NULL;

	soft_destroy(m);
	if (j) {
		jit_code_destroy(j);
		jit_crash_unhook();
		jit_perf_close(j);
	}
	free(j);
}

static void jit_vcpu_destroy(struct vcpu *v)
{
	lockstep_free(x86_cpu(v));
	soft_cpu_destroy(v);
}

static int jit_vcpu_init(struct vcpu *v, struct err *e)
{
	struct machine *m = v->machine;
	int r;

	x86_cpu(v)->self = x86_cpu(v);
	x86_cpu(v)->host_mxcsr = 0x1f80; /* as the ABI has it */
	r = soft_cpu_init(v, e);
	if (r == 0 && jit_of(m->engine_priv)->lockstep) {
		r = lockstep_new(x86_cpu(v), e);
		if (r)
			jit_vcpu_destroy(v);
	}
	return r;
}

/* %gs is free in user space: it is the vCPU while its thread runs it. */
static enum vcpu_exit jit_run(struct vcpu *v, u64 budget)
{
	struct soft_cpu *sc = soft_cpu(x86_cpu(v));
	enum vcpu_exit why;

	syscall(SYS_arch_prctl, ARCH_SET_GS, (unsigned long)(uintptr_t)x86_cpu(v));
	sc->counted = budget != 0;
	x86_cpu(v)->tsc_native = clock_tsc_delta(v->machine, &x86_cpu(v)->tsc_delta);
	jit_crash_watch(sc);
	why = soft_run(v, budget);
	jit_crash_watch(NULL);
	return why;
}

const struct engine_ops jit_engine = {
	.name = "jit",
	.doc = "translator: hot guest code as host code",
	.params = params,
	.probe = jit_probe,
	.limit_features = soft_limit_features,
	.init = jit_init,
	.destroy = jit_destroy,
	.vcpu_init = jit_vcpu_init,
	.vcpu_destroy = jit_vcpu_destroy,
	.run = jit_run,
	.kick = soft_kick,
	.sync = soft_sync,
	.state_changed = soft_vcpu_state_changed,
	.access_begin = soft_access_begin,
	.access_end = soft_access_end,
	.pc = soft_pc,
	.set_debug = soft_set_debug,
	.stats = jit_stats,
};
