/* SPDX-License-Identifier: MIT */
/* shadow.c - copies of pages for a run that must leave no trace, and views that lead to them. */
#include "engine/soft/shadow.h"

#include <stdlib.h>

enum { STRIDE = PAGE_SIZE_4K + 2 * SHADOW_GUARD, GUARD_BYTE = 0xa5 };

static u8 *page_of(const u8 *host)
{
	return (u8 *)((uintptr_t)host & ~(uintptr_t)(PAGE_SIZE_4K - 1));
}

static bool set_init(struct shadow_set *set)
{
	/* For vectors as aligned as the pages themselves. */
	set->mem = aligned_alloc(SHADOW_GUARD, SHADOW_PAGES * STRIDE);
	if (!set->mem)
		return false;
	memset(set->mem, GUARD_BYTE, SHADOW_PAGES * STRIDE);
	return true;
}

struct shadow *shadow_new(void (*full)(struct x86_cpu *cpu))
{
	struct shadow *sh = calloc(1, sizeof(*sh));

	if (!sh)
		return NULL;
	sh->full = full;
	if (!set_init(&sh->tried) || !set_init(&sh->before)) {
		shadow_free(sh);
		return NULL;
	}
	for (unsigned k = 0; k < NR_VIEWS; k++)
		for (unsigned i = 0; i < TLB_ENTRIES; i++)
			sh->views[k].rd[i].tag = sh->views[k].wr[i].tag = tlb_invalid_tag(i);
	return sh;
}

void shadow_free(struct shadow *sh)
{
	if (!sh)
		return;
	free(sh->tried.mem);
	free(sh->before.mem);
	free(sh);
}

static struct shadow_page *set_find(struct shadow_set *set, const u8 *host)
{
	for (unsigned i = 0; i < set->nr; i++)
		if (set->page[i].host == host)
			return &set->page[i];
	return NULL;
}

static struct shadow_page *set_add(struct shadow_set *set, u8 *host, const u8 *from)
{
	struct shadow_page *p;

	if (set->nr == SHADOW_PAGES)
		return NULL;
	p = &set->page[set->nr];
	*p = (struct shadow_page){host, set->mem + set->nr * STRIDE + SHADOW_GUARD, false, false};
	set->nr++;
	ram_move(p->copy, from, PAGE_SIZE_4K);
	return p;
}

static void clear_views(struct shadow *sh)
{
	for (unsigned i = 0; i < sh->nr_filled; i++)
		sh->filled[i].ent->tag = tlb_invalid_tag(sh->filled[i].index);
	sh->nr_filled = 0;
}

void shadow_installed(struct shadow *sh, struct tlb_ent *ent, unsigned index)
{
	if (sh->nr_installed < SHADOW_FILLS)
		sh->installed[sh->nr_installed++] = (struct shadow_entry){ent, index};
	else
		sh->overflow = true;
}

/* What was walked for once is to be walked for by another try, too. */
static void drop_installed(struct shadow *sh)
{
	for (unsigned i = 0; i < sh->nr_installed; i++)
		sh->installed[i].ent->tag = tlb_invalid_tag(sh->installed[i].index);
	sh->nr_installed = 0;
}

void shadow_set_mode(struct x86_cpu *cpu, enum shadow_mode mode)
{
	struct shadow *sh = soft_cpu(cpu)->shadow;

	clear_views(sh);
	if (mode == SHADOW_TRY) {
		sh->tried.nr = sh->nr_walks = 0;
		drop_installed(sh);
	}
	sh->mode = mode;
	cpu->shadowed = mode != SHADOW_OFF;
	soft_view_changed(cpu);
}

void shadow_forget(struct shadow *sh)
{
	sh->tried.nr = sh->before.nr = sh->nr_installed = 0;
	sh->overflow = false;
}

const u8 *shadow_before(struct shadow *sh, const u8 *host)
{
	u8 *page = page_of(host);
	const struct shadow_page *p = set_find(&sh->before, page);

	return p ? p->copy + (host - page) : host;
}

/*
 * The page to use for the page of RAM at host.  A copy is made when the page is read, too: who
 * has its address may write it by another one.
 */
static u8 *use_page(struct x86_cpu *cpu, u8 *host, bool write)
{
	struct shadow *sh = soft_cpu(cpu)->shadow;
	struct shadow_page *p;

	if (sh->mode == SHADOW_REAL) {
		if (write && !set_find(&sh->before, host) && !set_add(&sh->before, host, host))
			sh->overflow = true;
		return host;
	}
	p = set_find(&sh->tried, host);
	if (!p)
		p = set_add(&sh->tried, host, shadow_before(sh, host));
	if (sh->tried.nr >= SHADOW_MANY)
		atomic_fetch_or(&cpu->v.pending, SOFT_LEAVE_CODE);
	if (!p)
		sh->full(cpu);
	return p->copy;
}

static void put_entry(struct shadow *sh, struct tlb_ent *ent, unsigned index, u64 lin,
		      const u8 *page)
{
	if (sh->nr_filled == SHADOW_FILLS)
		clear_views(sh);
	sh->filled[sh->nr_filled++] = (struct shadow_entry){ent, index};
	*ent = (struct tlb_ent){lin & ~0xfffull, (u64)(uintptr_t)page};
}

u8 *shadow_fill(struct x86_cpu *cpu, u64 lin, enum mem_access acc, enum tlb_view_kind kind,
		bool silent, u8 *host)
{
	struct shadow *sh = soft_cpu(cpu)->shadow;
	unsigned i = lin >> PAGE_BITS & (TLB_ENTRIES - 1);
	u8 *page = use_page(cpu, page_of(host), acc == MEM_WRITE);

	if (acc == MEM_WRITE && sh->mode == SHADOW_TRY)
		set_find(&sh->tried, page_of(host))->written = true;
	put_entry(sh, &sh->views[kind].rd[i], i, lin, page);
	if (acc == MEM_WRITE && silent)
		put_entry(sh, &sh->views[kind].wr[i], i, lin, page);
	return page + (host - page_of(host));
}

/* --- for walks of the page tables -------------------------------------------------------- */

u8 *soft_shadow(struct x86_cpu *cpu, u8 *host, bool write)
{
	u8 *page = page_of(host);

	struct shadow *sh = soft_cpu(cpu)->shadow;
	const struct shadow_page *p;

	if (!soft_page(soft_cpu(cpu)->soft, host))
		return host;
	if (!write && sh->mode == SHADOW_TRY) { /* not copied only to be looked at */
		p = set_find(&sh->tried, page);
		return p ? p->copy + (host - page) : (u8 *)shadow_before(sh, host);
	}
	return use_page(cpu, page, write) + (host - page);
}

static void set_bits(struct shadow_set *set, const u8 *host, u64 bits, unsigned size)
{
	const struct shadow_page *p = set_find(set, page_of(host));
	u8 *at;

	if (!p)
		return;
	at = p->copy + (host - page_of(host));
	ram_store(at, ram_load(at, size) | bits, size);
}

void soft_shadow_walked(struct x86_cpu *cpu, u8 *host, u64 set, unsigned size, bool fetch)
{
	struct shadow *sh = soft_cpu(cpu)->shadow;
	struct shadow_page *p;

	if (sh->mode == SHADOW_TRY) {
		p = set_find(&sh->tried, page_of(host));
		if (p)
			p->walked = true;
		if (sh->nr_walks < SHADOW_WALKS)
			sh->walks[sh->nr_walks] = (struct shadow_walk){host, set, size};
		sh->nr_walks++; /* too many: no rewind */
	} else if (fetch) {
		/* The try fetches nothing: what it has is as if it had. */
		set_bits(&sh->tried, host, set, size);
		set_bits(&sh->before, host, set, size);
	}
}

bool shadow_rewind(struct x86_cpu *cpu)
{
	struct shadow *sh = soft_cpu(cpu)->shadow;

	if (sh->nr_walks > SHADOW_WALKS)
		return false;
	/* What the walks set will not be set again; nor would it be in what is written meanwhile.
	 */
	for (unsigned i = 0; i < sh->tried.nr; i++)
		if (sh->tried.page[i].written && sh->tried.page[i].walked)
			return false;
	for (unsigned i = 0; i < sh->tried.nr; i++) {
		const struct shadow_page *p = &sh->tried.page[i];

		if (p->written)
			ram_move(p->copy, shadow_before(sh, p->host), PAGE_SIZE_4K);
	}
	cpu->shadowed = true;
	soft_view_changed(cpu);
	return true;
}

void shadow_undo(struct x86_cpu *cpu)
{
	struct soft_cpu *sc = soft_cpu(cpu);

	for (unsigned i = 0; i < sc->shadow->before.nr; i++) {
		const struct shadow_page *p = &sc->shadow->before.page[i];

		ram_move(p->host, p->copy, PAGE_SIZE_4K);
		soft_code_written(sc->soft, p->host, PAGE_SIZE_4K);
	}
	shadow_forget(sc->shadow);
}

/* --- comparing ----------------------------------------------------------------------------- */

static bool page_compare(const u8 *tried, const u8 *real, struct shadow_diff *d)
{
	unsigned first = 0, last = PAGE_SIZE_4K - 1;

	if (!memcmp(tried, real, PAGE_SIZE_4K))
		return false;
	while (first < PAGE_SIZE_4K && tried[first] == real[first])
		first++;
	while (last > first && tried[last] == real[last])
		last--;
	*d = (struct shadow_diff){tried + first, real + first, last + 1 - first};
	return true;
}

bool shadow_compare(struct shadow *sh, struct shadow_diff *d)
{
	for (unsigned i = 0; i < sh->tried.nr; i++)
		if ((sh->tried.page[i].written || sh->tried.page[i].walked) &&
		    page_compare(sh->tried.page[i].copy, sh->tried.page[i].host, d))
			return true;
	/* What only the second run wrote. */
	for (unsigned i = 0; i < sh->before.nr; i++) {
		const struct shadow_page *p = &sh->before.page[i],
					 *t = set_find(&sh->tried, p->host);

		if (!(t && (t->written || t->walked)) && page_compare(p->copy, p->host, d))
			return true;
	}
	return false;
}

bool shadow_strayed(const struct shadow *sh)
{
	for (unsigned i = 0; i < sh->tried.nr; i++) {
		const u8 *copy = sh->tried.page[i].copy;

		for (unsigned k = 0; k < SHADOW_GUARD; k++)
			if (copy[-1 - (int)k] != GUARD_BYTE || copy[PAGE_SIZE_4K + k] != GUARD_BYTE)
				return true;
	}
	return false;
}
