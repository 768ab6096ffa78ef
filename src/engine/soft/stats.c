/* SPDX-License-Identifier: MIT */
/* stats.c - the software engines' counters, summed over the vCPUs, for --stats. */
#include "engine/soft/soft.h"

static const struct soft_counter counters[] = {
	SOFT_COUNTER(blocks, "blocks decoded"),
	SOFT_COUNTER(ops, "instructions in them"),
	SOFT_COUNTER(one_shots, "instructions decoded to run once"),
	SOFT_COUNTER(lookups, "blocks looked up, past the jump cache"),
	SOFT_COUNTER(tlb_fills, "TLB entries filled"),
	SOFT_COUNTER(slow_loads, "loads past the TLB"),
	SOFT_COUNTER(slow_stores, "stores past the TLB"),
	SOFT_COUNTER(exclusives, "times all other vCPUs were stopped"),
	SOFT_COUNTER(flushes, "times all blocks were given up"),
	SOFT_COUNTER(interrupts, "interrupts delivered"),
	SOFT_COUNTER(exceptions, "exceptions delivered"),
	SOFT_COUNTER(kicks, "times something waited when a block ended"),
};

u64 soft_sum_stat(const struct soft *s, size_t offset)
{
	u64 sum = 0;

	for (unsigned i = 0; i < s->nr_cpus; i++)
		if (s->cpus[i])
			sum += *(u64 *)(void *)((char *)&s->cpus[i]->stats + offset);
	return sum;
}

void soft_put_counters(const struct soft *s, struct counter_sink *to, const struct soft_counter *c,
		       unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		counter_put(to, c[i].name, c[i].doc, (double)soft_sum_stat(s, c[i].offset));
}

void soft_put_stats(struct machine *m, struct counter_sink *to)
{
	const struct soft *s = m->engine_priv;
	u64 instructions = 0;

	for (unsigned i = 0; i < m->nr_vcpus; i++)
		instructions += m->vcpus[i]->icount;
	counter_put(to, "instructions",
		    s->engine_data ? "interpreted; translated code does not count them" : "run",
		    (double)instructions);
	soft_put_counters(s, to, counters, ARRAY_SIZE(counters));
	counter_put(to, "kills_store", "blocks that a CPU's store changed", (double)s->kills_store);
	counter_put(to, "kills_dma", "blocks that a device changed", (double)s->kills_dma);
	counter_put(to, "kills_flush", "blocks given up with all others", (double)s->kills_flush);
}
