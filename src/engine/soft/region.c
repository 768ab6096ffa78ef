/* SPDX-License-Identifier: MIT */
/*
 * region.c - regions of code: pieces of RAM that the guest maps as a whole, by large pages.
 *
 * Problem.  A branch to another page may be linked only if it is sure that the page stays what it
 * is.  A kernel's text is mapped by large pages, one behind the other, as it lies in memory; so in
 * it what is n bytes further on for the guest is so in host memory.
 *
 * A region is a range of host memory of which that was found true, in units of a large page.
 * A context that fetches code from it looks at the page tables once (soft_ctx.regions), as
 * if its TLB had loaded all of the region's entries then; so dropping one of these drops all that
 * is known of the region.  Where the tables say otherwise the region shrinks to what is mapped as a
 * whole, and the blocks outside die.  Regions never grow, and do not overlap; what one has lost is
 * in none again, since an instruction TLB may still say that it is.
 *
 * Locks: soft->lock for regions themselves.
 */
#include "engine/soft/soft.h"

enum { MAX_REGION = 32 }; /* units: 64 MiB */

static unsigned unit_of(const struct soft *s, const u8 *host)
{
	return (unsigned)((u64)(host - (const u8 *)s->machine->ram) / LARGE_CODE);
}

bool soft_same_region(const struct soft *s, const u8 *a, const u8 *b)
{
	u8 id;

	if (!soft_page((struct soft *)s, a) || !soft_page((struct soft *)s, b))
		return false;
	id = s->region_of[unit_of(s, a)];
	return id && id != REGION_LOST && id == s->region_of[unit_of(s, b)];
}

bool soft_region_is_global(const struct soft_ctx *c, const u8 *host)
{
	const struct soft *s = c->sc->soft;
	u8 id = s->region_of[unit_of(s, host)];

	return id && id != REGION_LOST && (c->regions & ~c->local_regions) >> id & 1;
}

/* A mapping of host memory, as far as one unit tells. */
struct mapping {
	u64 delta; /* linear - host address */
	bool user, global;
};

/* Is the unit at host all RAM, and mapped like that, as executable, by entries in use? */
static bool maps_unit(struct x86_cpu *cpu, const struct mapping *m, const u8 *host)
{
	const struct machine *machine = cpu->v.machine;
	gpa_t apic = atomic_load_explicit(&cpu->v.lapic_page, memory_order_relaxed);
	u64 lin = (u64)(uintptr_t)host + m->delta;
	struct page_walk w;

	if (lin & (LARGE_CODE - 1) || x86_walk(cpu, lin, MEM_EXEC, m->user, false, WALK_PEEK, &w) ||
	    w.page_bits < LARGE_CODE_BITS || !w.exec || !w.accessed || w.user != m->user ||
	    w.global != m->global)
		return false;
	return as_ram(machine->mem, w.gpa, LARGE_CODE, true) == host &&
	       (apic ^ w.gpa) >= LARGE_CODE;
}

static bool same_gib(u64 a, u64 b)
{
	return (a ^ b) >> 30 == 0;
}

/* How far from unit on, in steps of +1 or -1, what is mapped reaches; unit itself is not asked. */
static unsigned reach(struct x86_cpu *cpu, const struct mapping *m, unsigned unit, int step,
		      unsigned most)
{
	const struct soft *s = soft_cpu(cpu)->soft;
	const u8 *ram = s->machine->ram;
	u64 lin = (u64)(uintptr_t)(ram + (u64)unit * LARGE_CODE) + m->delta;
	unsigned n = 0;

	for (; n < most; n++) {
		u64 next = (u64)unit + (u64)(i64)step * (n + 1);

		if (next >= s->nr_units || s->region_of[next] != s->region_of[unit] ||
		    !same_gib(lin, lin + (next - unit) * LARGE_CODE) ||
		    !maps_unit(cpu, m, ram + next * LARGE_CODE))
			break;
	}
	return n;
}

/* The units [lo, hi) around one that is mapped, in the same region or in none as that one. */
struct extent {
	unsigned lo, hi;
};

static struct extent look_around(struct x86_cpu *cpu, const struct mapping *m, unsigned unit)
{
	unsigned up = reach(cpu, m, unit, 1, MAX_REGION - 1);
	unsigned down = reach(cpu, m, unit, -1, MAX_REGION - 1 - up);

	return (struct extent){unit - down, unit + up + 1};
}

/* What of a region is not in x any more is lost.  Code in the page in front may reach into it. */
static void shrink(struct soft *s, u8 id, const struct extent *x)
{
	if (x->hi < s->nr_units && s->region_of[x->hi] == id)
		soft_kill_blocks(s, (u64)x->hi * LARGE_CODE - PAGE_SIZE_4K, PAGE_SIZE_4K);
	for (unsigned u = 0; u < s->nr_units; u++) {
		if (s->region_of[u] != id || (u >= x->lo && u < x->hi))
			continue;
		s->region_of[u] = REGION_LOST;
		soft_kill_blocks(s, (u64)u * LARGE_CODE, LARGE_CODE);
	}
}

/* 0: there cannot be one. */
static u8 new_region(struct soft *s, const struct extent *x)
{
	/* Somebody may have been here since we looked around. */
	for (unsigned u = x->lo; u < x->hi; u++)
		if (s->region_of[u])
			return 0;
	if (s->nr_regions == NR_REGIONS)
		return 0;
	s->nr_regions++;
	for (unsigned u = x->lo; u < x->hi; u++)
		s->region_of[u] = (u8)s->nr_regions;
	return (u8)s->nr_regions;
}

static u8 find_region(struct x86_cpu *cpu, const struct mapping *m, unsigned unit)
{
	struct soft *s = soft_cpu(cpu)->soft;
	struct extent x = look_around(cpu, m, unit);
	u8 id;

	pthread_mutex_lock(&s->lock);
	id = s->region_of[unit];
	if (id == REGION_LOST)
		id = 0;
	else if (id)
		shrink(s, id, &x);
	else
		id = new_region(s, &x);
	pthread_mutex_unlock(&s->lock);
	return id;
}

block_key soft_region_key(struct x86_cpu *cpu, u64 lin, const u8 *host, bool global)
{
	struct soft *s = soft_cpu(cpu)->soft;
	struct soft_ctx *c = soft_cpu(cpu)->ctx;
	struct mapping m = {lin - (u64)(uintptr_t)host, is_user(cpu), global};
	unsigned unit = unit_of(s, host);
	u8 id;

	if (!soft_page(s, host) || unit >= s->nr_units)
		return 0;
	id = s->region_of[unit];
	if (id == REGION_LOST)
		return 0;
	if (id && c->regions >> id & 1 && c->region_delta[id] == m.delta)
		return KEY_LARGE;
	if (cpu->shadowed || !maps_unit(cpu, &m, (u8 *)s->machine->ram + (u64)unit * LARGE_CODE))
		return 0;
	id = find_region(cpu, &m, unit);
	if (!id)
		return 0;
	c->regions |= 1ull << id;
	c->region_delta[id] = m.delta;
	soft_set_bit(&c->local_regions, id, !global);
	return KEY_LARGE;
}
