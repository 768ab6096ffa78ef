/* SPDX-License-Identifier: MIT */
/* stats.c - the software engines' counters, summed over the vCPUs, for --stats. */
#include <inttypes.h>

#include "engine/soft/soft.h"

static const struct {
	const char *name, *doc;
	size_t offset;
} counters[] = {
#define COUNTER(name, doc)                                    \
	{                                                     \
#name, doc, offsetof(struct soft_stats, name) \
	}
	COUNTER(blocks, "blocks decoded"),
	COUNTER(ops, "instructions in them"),
	COUNTER(one_shots, "instructions decoded to run once"),
	COUNTER(lookups, "blocks looked up, past the jump cache"),
	COUNTER(tlb_fills, "TLB entries filled"),
	COUNTER(slow_loads, "loads past the TLB"),
	COUNTER(slow_stores, "stores past the TLB"),
	COUNTER(exclusives, "times all other vCPUs were stopped"),
	COUNTER(flushes, "times all blocks were given up"),
	COUNTER(interrupts, "interrupts delivered"),
	COUNTER(exceptions, "exceptions delivered"),
	COUNTER(kicks, "times something waited when a block ended"),
#undef COUNTER
};

void soft_print_count(FILE *f, u64 n, const char *name, const char *doc)
{
	fprintf(f, "%15" PRIu64 "  %s: %s\n", n, name, doc);
}

u64 soft_sum_stat(const struct soft *s, size_t offset)
{
	u64 sum = 0;

	for (unsigned i = 0; i < s->nr_cpus; i++)
		if (s->cpus[i])
			sum += *(u64 *)(void *)((char *)&s->cpus[i]->stats + offset);
	return sum;
}

void soft_print_stats(struct machine *m, FILE *f)
{
	const struct soft *s = m->engine_priv;
	u64 instructions = 0;

	for (unsigned i = 0; i < m->nr_vcpus; i++)
		instructions += m->vcpus[i]->icount;
	soft_print_count(f, instructions, "instructions",
			 s->engine_data ? "interpreted; translated code does not count them"
					: "run");
	for (unsigned n = 0; n < ARRAY_SIZE(counters); n++)
		soft_print_count(f, soft_sum_stat(s, counters[n].offset), counters[n].name,
				 counters[n].doc);
	soft_print_count(f, s->kills_store, "kills_store", "blocks that a CPU's store changed");
	soft_print_count(f, s->kills_dma, "kills_dma", "blocks that a device changed");
	soft_print_count(f, s->kills_flush, "kills_flush", "blocks given up with all others");
}
