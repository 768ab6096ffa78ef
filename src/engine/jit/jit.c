/* SPDX-License-Identifier: MIT */
/* jit.c - the engine "jit": counting, entering and leaving translated code, links and kills. */
#include "engine/jit/jit.h"

#include <asm/prctl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/jit/lockstep.h"
#include "engine/soft/run.h"
#include "isa/x86/flags.h"
#include "isa/x86/insn.h"
#include "sundog/err.h"
#include "sundog/opts.h"
#include "sundog/trace.h"

/* hot: what block.runs holds; cache: what a rel32 reaches. */
enum { MAX_HOT = 0xffff, MIN_CACHE = 256 << 10, MAX_CACHE = 1 << 30 };

/* --- flags between the two forms ---------------------------------------------------------- */

static u16 pack_flags(const struct x86_cpu *cpu)
{
	u64 fl = flags_get(cpu);

	return (u16)((fl & 0xff) << 8 | fl >> 11);
}

static void unpack_flags(struct x86_cpu *cpu)
{
	flags_put(cpu, (u64)(cpu->jit_flags >> 8) | (u64)(cpu->jit_flags & 1) << 11);
}

/* --- from code to C ----------------------------------------------------------------------- */

static void call_exec(struct x86_cpu *cpu, const struct op *op)
{
	u64 res, aux;

	soft_cpu(cpu)->stats.execs++;
	cpu->op = op;
	unpack_flags(cpu);
	if (__builtin_expect(cpu->shadowed, 0))
		lockstep_before_op(cpu, op);
	res = cpu->cc_res;
	aux = cpu->cc_aux;
	insns[op->row].fn(cpu, op);
	if (cpu->cc_res != res || cpu->cc_aux != aux)
		cpu->jit_flags = pack_flags(cpu);
	cpu->op = NULL;
}

/* PAUSE: who spins for long waits for a vCPU that may have no host CPU. */
static void spin(struct soft_cpu *sc)
{
	enum { YIELD_AFTER = 64, SAME_LOOP = 20000 /* cycles */ };
	u64 now = __builtin_ia32_rdtsc();

	sc->pauses = now - sc->last_pause < SAME_LOOP ? sc->pauses + 1 : 0;
	sc->last_pause = now;
	if (sc->pauses < YIELD_AFTER)
		return;
	sched_yield();
	sc->pauses = 0;
	sc->last_pause = __builtin_ia32_rdtsc();
}

bool jit_exec(struct x86_cpu *cpu, const struct op *op)
{
	const struct soft *s = soft_cpu(cpu)->soft;

	call_exec(cpu, op);
	if (insns[op->row].fn == exec_pause && s->nr_cpus > 1)
		spin(soft_cpu(cpu));
	if (__atomic_load_n(&op->fn, __ATOMIC_RELAXED) == s->dead_op) {
		cpu->st.rip = op_next_rip(cpu, op);
		return true;
	}
	return false;
}

const void *jit_find(struct x86_cpu *cpu)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	u64 lin = cpu->st.rip;
	const struct jump_ent *jump = &soft_jumps(sc)[jump_index(lin)];
	const struct jc_ent *j = &sc->ctx->jc[jc_index(lin)];
	const struct jit_code *c;

	sc->stats.jump_misses++;
	if (jump->lin == lin)
		return jump->code;
	if (!j->block || j->lin != lin || j->key != sc->key ||
	    atomic_load_explicit(&j->block->dead, memory_order_relaxed))
		return NULL;
	c = __atomic_load_n(&j->block->code, __ATOMIC_ACQUIRE);
	if (!c)
		return NULL;
	soft_add_jump(sc, lin, c->far_entry);
	return c->far_entry;
}

const void *jit_exec_last(struct x86_cpu *cpu, const struct op *op)
{
	call_exec(cpu, op);
	if (!(insns[op->row].attr & A_ENDS))
		cpu->st.rip = op_next_rip(cpu, op);
	/*
	 * Whatever the run loop looks at before it runs a block.  A shadow ends behind the next
	 * instruction, and code that was killed runs none.
	 */
	if (atomic_load_explicit(&cpu->v.pending, memory_order_relaxed) || cpu->careful ||
	    cpu->st.activity != CPU_RUNNING || !cpu->code64 || cpu->st.irq_shadow)
		return NULL;
	return jit_find(cpu);
}

/* --- links
 * ---------------------------------------------------------------------------------------- */

static u8 *writable(const struct jit *j, const void *rx)
{
	return j->rw + ((const u8 *)rx - j->rx);
}

static void set_rel32(u8 *site, const u8 *target)
{
	/* Within aligned eight bytes, so one store; only translated code reads it. */
	atomic_thread_fence(memory_order_release);
	*(volatile u32_una *)site = (u32)(i32)(target - (site + 4));
}

/* The block that was left through l goes to b from now on, if that is where it leads. */
static void link_to(struct jit *j, struct jit_link *l, struct block *b)
{
	struct jit_code *to;

	pthread_mutex_lock(&j->soft->lock);
	to = b->code;
	if (to && !l->to && !atomic_load(&b->dead) && !atomic_load(&l->from->block->dead) &&
	    l->off == b->page_off && l->from->block->key == b->key &&
	    !(((uintptr_t)l->from->block->host ^ (uintptr_t)b->host) >> PAGE_BITS) &&
	    !(j->soft->split[b->page_off / 64] >> (b->page_off % 64) & 1)) {
		l->to = to;
		l->next_in = to->incoming;
		to->incoming = l;
		set_rel32(l->site, writable(j, to->entry));
		j->links++;
		trace_jit_link(l->from->far_entry, to->far_entry);
	}
	pthread_mutex_unlock(&j->soft->lock);
}

/*
 * The way out that was taken, until the next block is entered.  Its memory may be reused as
 * soon as this vCPU has passed the top of its run loop behind a flush, so it is forgotten
 * when the epoch changes, and not noted if it was given up already.
 */
static void note_link(struct soft_cpu *sc, struct jit_link *l)
{
	sc->engine_link = atomic_load(&l->from->block->dead) ? NULL : l;
	sc->link_epoch = atomic_load(&sc->soft->epoch);
	if (sc->link_epoch != atomic_load(&sc->seen))
		sc->engine_link = NULL;
}

static void use_link(struct jit *j, struct soft_cpu *sc, struct block *b)
{
	if (sc->engine_link && sc->link_epoch == atomic_load(&sc->soft->epoch))
		link_to(j, sc->engine_link, b);
	sc->engine_link = NULL;
}

static void drop_outgoing(struct jit_code *c)
{
	for (unsigned i = 0; i < c->nr_links; i++) {
		struct jit_link *l = &c->link[i], **p;

		if (!l->to)
			continue;
		for (p = &l->to->incoming; *p && *p != l; p = &(*p)->next_in)
			;
		if (*p)
			*p = l->next_in;
		l->to = NULL;
		set_rel32(l->site, l->out);
	}
}

/* A block died: nothing leads to its code any more (jit.h, rule 5). */
static void killed(struct soft *s, struct block *b)
{
	struct jit *j = jit_of(s);
	struct jit_code *c = b->code;
	u8 *entry;
	u64 jump;
	i32 d;

	if (!c)
		return;
	jit_report_killed(s, b);
	__atomic_store_n(&b->code, NULL, __ATOMIC_RELAXED);
	while (c->incoming) {
		struct jit_link *l = c->incoming;

		c->incoming = l->next_in;
		l->to = NULL;
		set_rel32(l->site, l->out);
	}
	drop_outgoing(c);
	/* jmp leave_rip over the eight-byte NOP at the far entry. */
	entry = writable(j, c->far_entry);
	d = (i32)(j->stubs.leave_rip - (entry + 5));
	jump = 0x90909000000000e9ull | (u64)(u32)d << 8;
	__atomic_store_n((u64 *)(void *)entry, jump, __ATOMIC_RELEASE);
}

static void flushed(struct soft *s, u64 epoch)
{
	trace_jit_flush(epoch);
	jit_code_flushed(jit_of(s), epoch);
}

/* --- into code
 * ---------------------------------------------------------------------------------------- */

/* Branches from other pages find b's code from now on. */
static void enter_jump_cache(struct x86_cpu *cpu, struct soft_cpu *sc, const struct block *b,
			     const struct jit_code *c)
{
	u64 lin = cpu->st.gpr[GPR_PC] + b->page_off;

	soft_add_jump(sc, lin, c->far_entry);
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
	struct jit_link *l;

	cpu->jit_flags = pack_flags(cpu);
	l = jit_of(soft_cpu(cpu)->soft)->stubs.enter(cpu, c->entry);
	unpack_flags(cpu);
	if (l)
		cpu->st.rip = cpu->st.gpr[GPR_PC] + l->off;
	return l;
}

static void h_enter(struct x86_cpu *cpu, const struct op *op)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct block *b = block_of(op);
	struct jit *j = jit_of(sc->soft);
	const struct jit_code *c = __atomic_load_n(&b->code, __ATOMIC_ACQUIRE);
	struct jit_link *l;

	if (__builtin_expect(!c || must_interpret(sc) || (c->vec && !jit_vec_ready(cpu, c->vec)),
			     0)) {
		b->first(cpu, op);
		return;
	}
	use_link(j, sc, b);
	enter_jump_cache(cpu, sc, b, c);
	cpu->v.icount -= b->nr_ops; /* not counted in code */
	sc->running = NULL;
	l = sc->lockstep ? lockstep_enter(cpu, b) : jit_enter(cpu, c);
	jit_report_exit(cpu, l);
	if (l)
		note_link(sc, l);
}

static bool translate(struct soft *s, struct block *b)
{
	struct jit *j = jit_of(s);
	struct jit_code *c = NULL;

	pthread_mutex_lock(&s->lock);
	if (!atomic_load(&b->dead) && !b->code) {
		c = jit_translate(j, b);
		if (c) {
			__atomic_store_n(&b->code, c, __ATOMIC_RELEASE);
			__atomic_store_n(&b->ops[0].fn, h_enter, __ATOMIC_RELEASE);
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

	if (atomic_fetch_add_explicit(&b->runs, 1, memory_order_relaxed) + 1u ==
		    jit_of(sc->soft)->hot &&
	    translate(sc->soft, b)) {
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
	if (b->host && (b->key & KEY_CODE_SIZE) == CODE64)
		b->ops[0].fn = h_count;
}

/* --- the engine
 * ----------------------------------------------------------------------------------------- */

static const struct param params[] = {
	{"hot", PARAM_U32, offsetof(struct jit, hot), "4", "runs before a block is translated"},
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
	s->finish = finish;
	s->killed = killed;
	s->flushed = flushed;
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
