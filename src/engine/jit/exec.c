/* SPDX-License-Identifier: MIT */
/* exec.c - what translated code calls: instructions that it does not do itself, and ways on. */
#include <sched.h>

#include "engine/jit/lockstep.h"
#include "isa/x86/flags.h"
#include "isa/x86/insn.h"

void jit_pack_flags(struct x86_cpu *cpu)
{
	u64 fl = flags_get(cpu);

	cpu->jit_flags = (u16)((fl & 0xff) << 8 | fl >> 11);
}

void jit_unpack_flags(struct x86_cpu *cpu)
{
	flags_put(cpu, (u64)(cpu->jit_flags >> 8) | (u64)(cpu->jit_flags & 1) << 11);
}

static void call_exec(struct x86_cpu *cpu, const struct op *op)
{
	u64 res, aux;

	soft_cpu(cpu)->stats.execs++;
	cpu->op = op;
	jit_unpack_flags(cpu);
	if (__builtin_expect(cpu->shadowed, 0))
		lockstep_before_op(cpu, op);
	res = cpu->cc_res;
	aux = cpu->cc_aux;
	insns[op->row].fn(cpu, op);
	if (cpu->cc_res != res || cpu->cc_aux != aux)
		jit_pack_flags(cpu);
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
	if (__builtin_expect(atomic_load_explicit(&cpu->jit_leave, memory_order_relaxed), 0)) {
		cpu->st.rip = op_next_rip(cpu, op);
		return true;
	}
	return false;
}

const void *jit_find(struct x86_cpu *cpu)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	u64 lin = cpu->st.rip;
	const void *code = soft_find_old_jump(sc, lin);
	const struct jit_code *c;
	struct block *b;

	if (code)
		return code;
	sc->stats.jump_misses++;
	b = soft_known_block(sc, lin);
	c = b ? __atomic_load_n((struct jit_code **)&b->code, __ATOMIC_ACQUIRE) : NULL;
	if (!c)
		return NULL;
	soft_add_jump(sc, lin, b, c->far_entry);
	return c->far_entry;
}

/*
 * Where the CPU is now: may code run on there?  Whatever the run loop looks at before it runs a
 * block.  A shadow ends behind the next instruction, and code that was killed runs none.
 */
static const void *go_on(struct x86_cpu *cpu)
{
	const void *code;

	if (atomic_load_explicit(&cpu->v.pending, memory_order_relaxed) || cpu->careful ||
	    cpu->st.activity != CPU_RUNNING || !jit_runs_here(cpu) || cpu->st.irq_shadow)
		return NULL;
	code = soft_find_jump(soft_cpu(cpu), cpu->st.rip);
	return code ? code : jit_find(cpu);
}

const void *jit_exec_last(struct x86_cpu *cpu, const struct op *op)
{
	call_exec(cpu, op);
	if (!(insns[op->row].attr & A_ENDS))
		cpu->st.rip = op_next_rip(cpu, op);
	return go_on(cpu);
}

/* The mark of the instruction in whose code the byte before ret is. */
static const struct jit_mark *mark_before(const struct jit_code *c, u64 ret)
{
	return jit_mark_at(c, (const void *)(uintptr_t)(ret - 1));
}

const void *jit_slow(struct x86_cpu *cpu, u64 ret)
{
	struct jit *j = jit_of(soft_cpu(cpu)->soft);
	const struct jit_code *c = jit_code_at(j, (const void *)(uintptr_t)(ret - 1));
	const struct jit_mark *m = mark_before(c, ret);
	u8 vec = cpu->vec_again;

	cpu->vec_again = 0;
	if (insns[jit_mark_op(c, m)->row].attr & (A_ENDS | A_SYNC))
		return jit_exec_last(cpu, jit_mark_op(c, m));
	if (jit_exec(cpu, jit_mark_op(c, m)))
		return NULL;
	cpu->vec_want = vec;
	if (vec && !jit_vec_wanted(cpu)) {
		cpu->st.rip = op_next_rip(cpu, jit_mark_op(c, m));
		return NULL;
	}
	cpu->vec_again = cpu->vec_want;
	return c->start + m[1].at;
}

bool jit_vec(struct x86_cpu *cpu, u64 ret)
{
	struct jit *j = jit_of(soft_cpu(cpu)->soft);
	const struct jit_code *c;

	if (jit_vec_wanted(cpu))
		return true;
	c = jit_code_at(j, (const void *)(uintptr_t)(ret - 1));
	cpu->st.rip = op_rip(cpu, jit_mark_op(c, mark_before(c, ret)));
	return false;
}

static unsigned random_slot(const struct op *op)
{
	return (unsigned)((uintptr_t)op / sizeof(*op)) % NR_RANDOM;
}

bool jit_is_random(const struct jit *j, const struct op *op)
{
	return j->random[random_slot(op)] == op;
}

/* A trace from b, which takes over from c, its code, if it is still that. */
static void make_trace(struct x86_cpu *cpu, struct block *b, const struct jit_code *c)
{
	struct jit *j = jit_of(soft_cpu(cpu)->soft);
	struct jit_code *new;

	if (b->code != c || atomic_load(&b->dead))
		return;
	new = jit_translate_trace(j, b);
	if (!new)
		return;
	jit_replace(j, b, new);
	jit_link_all(j, new);
	jit_report_translated(cpu, b);
}

void jit_sample(struct x86_cpu *cpu, u64 ret)
{
	enum { EACH = 1000 /* misses */, ENOUGH = 4 };
	struct jit *j = jit_of(soft_cpu(cpu)->soft);
	struct jit_code *c = jit_code_at(j, (const void *)(uintptr_t)(ret - 1));
	const struct jit_mark *m = mark_before(c, ret);

	cpu->page_misses = EACH;
	pthread_mutex_lock(&j->soft->lock);
	/* Who has the most votes is found without counting those of each. */
	if (m->step == c->voted)
		c->votes++;
	else if (c->votes)
		c->votes--;
	else
		c->voted = m->step;
	if (c->votes >= ENOUGH && c->steps) {
		const struct op *op = c->steps[c->voted];

		c->votes = 0;
		j->random[random_slot(op)] = op;
		make_trace(cpu, c->block, c);
	}
	pthread_mutex_unlock(&j->soft->lock);
}

const void *jit_hot(struct x86_cpu *cpu, u64 ret)
{
	struct jit *j = jit_of(soft_cpu(cpu)->soft);
	struct block *b = jit_code_at(j, (const void *)(uintptr_t)(ret - 1))->block;
	struct jit_code *c;

	cpu->st.rip = cpu->st.gpr[GPR_PC] + b->page_off;
	pthread_mutex_lock(&j->soft->lock);
	c = b->code;
	b->heat = INT32_MAX;
	if (c && !c->trace)
		make_trace(cpu, b, c);
	/* Once more the first code: that it was entered by cannot poll, nor be in want of anything.
	 */
	while (c && c->older)
		c = c->older;
	pthread_mutex_unlock(&j->soft->lock);
	if (!c) /* it may have been entered in the shadow of STI */
		cpu->st.irq_shadow = true;
	return c ? c->body : NULL;
}
