/* SPDX-License-Identifier: MIT */
/* report.c - what the translator does, told to traces, profilers, and at the end as counters. */
#include "engine/jit/jit.h"
#include "engine/jit/lockstep.h"
#include "sundog/trace.h"

void jit_report_translated(struct x86_cpu *cpu, const struct block *b)
{
	struct jit *j = jit_of(soft_cpu(cpu)->soft);
	const struct jit_code *c = __atomic_load_n(&b->code, __ATOMIC_ACQUIRE);
	u64 lin = cpu->st.gpr[GPR_PC] + b->page_off;
	u32 len;

	if (!c) /* killed meanwhile */
		return;
	len = (u32)(c->end - c->far_entry);
	trace_jit_translate(lin, b->nr_ops, b->len, len, c->far_entry);
	jit_perf_code(j, c, lin);
}

void jit_report_killed(const struct soft *s, const struct block *b)
{
	const struct jit_code *c = b->code;

	jit_of(s)->kills++;
	trace_jit_kill(c->far_entry, (u64)(b->host - (const u8 *)s->machine->ram), b->len);
}

void jit_report_exit(struct x86_cpu *cpu, const struct jit_link *l)
{
	struct soft_stats *st = &soft_cpu(cpu)->stats;
	bool kicked = atomic_load_explicit(&cpu->v.pending, memory_order_relaxed);

	if (kicked)
		st->exits_kicked++;
	else if (l)
		st->exits_link++;
	else
		st->exits_other++;
	trace_jit_exit(cpu->v.index, cpu->st.rip,
		       kicked ? "kicked"
		       : l    ? "branch without a link"
			      : "no code for it");
}

static const struct soft_counter counters[] = {
	SOFT_COUNTER(execs, "instructions that code left to C"),
	SOFT_COUNTER(jump_misses, "ways on that the jump cache lacked"),
	SOFT_COUNTER(exits_link, "times code was left by a branch without a link"),
	SOFT_COUNTER(exits_kicked, "times code was left since something waited"),
	SOFT_COUNTER(exits_other, "times code was left since there was none to go on with"),
};

void jit_stats(struct machine *m, struct counter_sink *to)
{
	const struct soft *s = m->engine_priv;
	const struct jit *j = jit_of(s);

	soft_put_stats(m, to);
	soft_put_counters(s, to, counters, ARRAY_SIZE(counters));
	counter_put(to, "translated", "blocks translated", (double)j->translated);
	counter_put(to, "traces", "of those, heads of traces", (double)j->traces);
	counter_put(to, "guest_code", "bytes of the guest's code in them", (double)j->guest_bytes);
	counter_put(to, "code", "bytes that they became", (double)j->bytes);
	counter_put(to, "expansion", "bytes of code for each of the guest's",
		    j->guest_bytes ? (double)j->bytes / (double)j->guest_bytes : 0.0);
	counter_put(to, "links", "direct branches linked", (double)j->links);
	counter_put(to, "kills_code", "blocks with code that died", (double)j->kills);
	counter_put(to, "refused", "translations put off for lack of room", (double)j->refused);
	if (j->lockstep)
		lockstep_stats(s, to);
}
