/* SPDX-License-Identifier: MIT */
/*
 * tlb.c - the software TLB's fills, and the slow half of every memory access.
 *
 * What a view may hold is decided at fill time; context.c forgets it.
 */
#include "engine/soft/shadow.h"

/* --- fills ------------------------------------------------------------------------------- */

static bool canonical(u64 lin)
{
	return (u64)((i64)(lin << 16) >> 16) == lin;
}

/* Where an access ends up: host RAM, or a device at gpa. */
struct target {
	u8 *host, *ram; /* the same, but for a page that is shadowed */
	gpa_t gpa;
	struct page_info *page; /* of guest RAM, else NULL */
	bool rom;
	bool global, large;
	bool dirty; /* may be written, and has been: a store would change nothing in the tables */
};

static void raise_page_fault(struct x86_cpu *cpu, u64 lin, u32 error)
{
	x86_raise(cpu, &(struct x86_fault){
			       .vector = X86_PF, .has_error = true, .error = error, .cr2 = lin});
}

static void raise_not_canonical(struct x86_cpu *cpu, unsigned seg)
{
	x86_raise_err(cpu, seg == SEG_SS ? X86_SS : X86_GP, 0);
}

/* What is at the end of a walk. */
static void find_target(struct x86_cpu *cpu, const struct page_walk *w, struct target *t)
{
	struct machine *m = cpu->v.machine;
	gpa_t page = w->gpa & ~0xfffull;
	u8 *host;

	*t = (struct target){.gpa = w->gpa,
			     .global = w->global,
			     .large = w->page_bits > PAGE_BITS,
			     .dirty = w->writable && w->dirty};
	if (page == atomic_load_explicit(&cpu->v.lapic_page, memory_order_relaxed))
		return;
	/* A page that one region does not fill goes byte by byte through the bus. */
	host = x86_ram_frame(cpu, page);
	if (!host) {
		host = as_ram(m->mem, page, PAGE_SIZE_4K, false);
		t->rom = host != NULL;
	}
	if (!host)
		return;
	t->host = t->ram = host + (w->gpa - page);
	t->page = soft_page(soft_cpu(cpu)->soft, t->host);
}

/* Walk the page tables for lin; raises #PF, or #GP/#SS where lin is not canonical. */
static void translate(struct x86_cpu *cpu, unsigned seg, u64 lin, enum mem_access acc,
		      struct target *t)
{
	bool system = seg == SEG_SYSTEM;
	struct page_walk w;

	if (cpu->long_mode && !canonical(lin))
		raise_not_canonical(cpu, seg);
	if (!cpu->long_mode)
		lin = (u32)lin;
	if (x86_walk(cpu, lin, acc, !system && is_user(cpu), !system && cpu->st.rflags & FL_AC,
		     WALK_COMMIT, &w))
		raise_page_fault(cpu, lin, w.error);
	find_target(cpu, &w, t);
}

/* page may be in write TLBs at lin's place from now on. */
static void note_place(struct page_info *page, u64 lin)
{
	u16 place = (u16)(tlb_index(lin) + 1);
	u16 old = atomic_load_explicit(&page->place, memory_order_relaxed);

	while (old != place && old != PLACE_ANY)
		if (atomic_compare_exchange_weak(&page->place, &old,
						 old == PLACE_NONE ? place : PLACE_ANY))
			break;
}

/*
 * May page be stored to at lin without our seeing it?  Leaves our mark as a writer (invariant 2),
 * and takes it back if not: it was not there before, so we hold no entry.
 */
static bool claim_writer(struct soft_cpu *sc, struct page_info *page, u64 lin)
{
	u8 bit = (u8)(1u << sc->cpu->v.index);
	bool had = atomic_load_explicit(&page->writers, memory_order_relaxed) & bit;

	note_place(page, lin);
	if (!had)
		atomic_fetch_or(&page->writers, bit);
	if (!atomic_load(&page->code))
		return true;
	if (!had)
		atomic_fetch_and(&page->writers, (u8)~bit);
	return false;
}

static void install(struct x86_cpu *cpu, u64 lin, enum mem_access acc, const struct target *t,
		    enum tlb_view_kind kind)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct tlb_view *v = &sc->ctx->views[kind];
	unsigned i = tlb_index(lin);
	u64 page = lin & ~0xfffull;
	struct tlb_ent ent = {page, (u64)(uintptr_t)(t->host - (lin & 0xfff))};

	v->rd[i] = ent;
	soft_set_bit(sc->ctx->local_rd[kind], i, !t->global);
	if (t->large) { /* stays set: what comes after may only be dropped too often */
		soft_set_bit(sc->ctx->large[kind], i, true);
		sc->ctx->large_gibs |= soft_gib_bit(lin);
	}
	if ((acc == MEM_WRITE || t->dirty) && t->page && claim_writer(sc, t->page, lin)) {
		v->wr[i] = ent;
		soft_set_bit(sc->ctx->local_wr[kind], i, !t->global);
		soft_set_bit(sc->ctx->used_wr[kind], i, true);
	}
	if (__builtin_expect(cpu->shadowed, 0)) {
		shadow_installed(sc->shadow, &v->rd[i], i);
		shadow_installed(sc->shadow, &v->wr[i], i);
	}
	sc->stats.tlb_fills++;
}

static const struct tlb_ent *lookup(struct x86_cpu *cpu, u64 lin, enum mem_access acc,
				    enum tlb_view_kind kind)
{
	struct tlb_view *v = &soft_cpu(cpu)->ctx->views[kind];
	unsigned i = tlb_index(lin);
	struct tlb_ent *t = acc == MEM_WRITE ? &v->wr[i] : &v->rd[i];

	return (lin ^ t->tag) < PAGE_SIZE_4K ? t : NULL;
}

/* The same, on a page's copy where there is to be one. */
static void resolve_shadow(struct x86_cpu *cpu, u64 lin, enum mem_access acc,
			   enum tlb_view_kind kind, bool hit, struct target *t)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	bool silent = hit;

	if (!soft_page(sc->soft, t->ram))
		return;
	if (!hit && sc->shadow->mode == SHADOW_REAL)
		silent = lookup(cpu, lin, acc, kind);
	else if (!hit && acc == MEM_WRITE)
		silent = t->page && claim_writer(sc, t->page, lin);
	t->host = shadow_fill(cpu, lin, acc, kind, silent, t->ram);
}

bool soft_fill(struct x86_cpu *cpu, u64 lin, enum mem_access acc)
{
	enum tlb_view_kind kind = soft_view_kind(cpu);
	struct page_walk w;
	struct target t;

	if (soft_cpu(cpu)->slow_access || cpu->shadowed || !canonical(lin))
		return false;
	if (x86_walk(cpu, lin, acc, is_user(cpu), cpu->st.rflags & FL_AC, WALK_RAM, &w))
		return false;
	find_target(cpu, &w, &t);
	if (!t.host)
		return false;
	install(cpu, lin, acc, &t, kind);
	return lookup(cpu, lin, acc, kind) != NULL;
}

/* lin within one page: host RAM or a device, with rights checked and the TLB filled. */
static void resolve(struct x86_cpu *cpu, unsigned seg, u64 lin, enum mem_access acc,
		    struct target *t)
{
	enum tlb_view_kind kind = seg != SEG_SYSTEM	   ? soft_view_kind(cpu)
				  : cpu->st.cr4 & CR4_SMAP ? VIEW_KERNEL
							   : VIEW_KERNEL_AC;
	const struct tlb_ent *ent = lookup(cpu, lin, acc, kind);

	if (ent) {
		u8 *host = tlb_host(ent, lin);

		*t = (struct target){.host = host, .ram = host};
	} else {
		translate(cpu, seg, lin, acc, t);
		if (t->host && !shadow_is(cpu, SHADOW_TRY))
			install(cpu, lin, acc, t, kind);
	}
	if (__builtin_expect(cpu->shadowed, 0) && t->host)
		resolve_shadow(cpu, lin, acc, kind, ent, t);
}

/* lin's page, at t, is in the instruction TLB from now on. */
static const u8 *install_code(struct x86_cpu *cpu, u64 lin, const struct target *t)
{
	struct soft_ctx *c = soft_cpu(cpu)->ctx;
	u64 page = lin & ~0xfffull;
	struct ex_ent *x = soft_ex(c, page);

	*x = (struct ex_ent){.tag = page | is_user(cpu),
			     .host = t->host - (lin & 0xfff),
			     .global = t->global,
			     .large = t->large,
			     .key = t->large ? soft_region_key(cpu, lin, t->host, t->global) : 0};
	soft_set_bit(c->local_ex, ex_index(page), !t->global);
	if (t->large)
		c->large_gibs |= soft_gib_bit(lin);
	return x->host;
}

const u8 *soft_fill_code(struct x86_cpu *cpu, u64 lin)
{
	const u8 *known = soft_known_code(soft_cpu(cpu), lin);
	struct page_walk w;
	struct target t;

	if (known)
		return known;
	if (!canonical(lin) || cpu->shadowed ||
	    x86_walk(cpu, lin, MEM_EXEC, is_user(cpu), false, WALK_RAM, &w))
		return NULL;
	find_target(cpu, &w, &t);
	return t.host ? install_code(cpu, lin, &t) : NULL;
}

const u8 *soft_fetch_page(struct x86_cpu *cpu, u64 lin, gpa_t *gpa)
{
	const u8 *known = soft_known_code(soft_cpu(cpu), lin);
	struct target t;

	if (known)
		return known;
	translate(cpu, SEG_CS, lin, MEM_EXEC, &t);
	*gpa = t.gpa & ~0xfffull;
	return t.host ? install_code(cpu, lin, &t) : NULL;
}

const u8 *soft_known_code(const struct soft_cpu *sc, u64 lin)
{
	const struct ex_ent *x = soft_ex(sc->ctx, lin);

	return x->tag == ((lin & ~0xfffull) | is_user(sc->cpu)) ? x->host : NULL;
}

/* --- slow accesses -------------------------------------------------------------------------- */

static void check_access(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size,
			 enum mem_access acc)
{
	if (seg == SEG_SYSTEM)
		return;
	/* All of it, before its first page may fault. */
	if (cpu->code64 && !(canonical(lin) && canonical(lin + size - 1)))
		raise_not_canonical(cpu, seg);
	if (soft_aligned_only(cpu) && lin & (size - 1))
		x86_raise_err(cpu, X86_AC, 0);
	if (soft_cpu(cpu)->slow_access)
		x86_note_data_access(cpu, lin, size, acc);
	if (cpu->debug_watch)
		soft_debug_access(soft_cpu(cpu), lin, size, acc);
}

static bool crosses(u64 lin, unsigned size)
{
	return (lin & 0xfff) + size > PAGE_SIZE_4K;
}

static u64 load_in_page(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size)
{
	struct target t;

	resolve(cpu, seg, lin, MEM_READ, &t);
	if (t.host)
		return ram_load(t.host, size);
	return vcpu_load(&cpu->v, cpu->v.machine->mem, t.gpa, size);
}

/* Bytes one by one: pages are resolved again for each, so nothing goes stale in between. */
static u64 load_bytes(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size)
{
	u64 v = 0;

	for (unsigned i = 0; i < size; i++)
		v |= load_in_page(cpu, seg, lin + i, 1) << (8 * i);
	return v;
}

static u64 cut_lin(const struct x86_cpu *cpu, u64 lin)
{
	return cpu->long_mode ? lin : (u32)lin;
}

u64 soft_load(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size)
{
	struct target t;

	lin = cut_lin(cpu, lin);
	soft_cpu(cpu)->stats.slow_loads++;
	check_access(cpu, seg, lin, size, MEM_READ);
	if (!crosses(lin, size))
		return load_in_page(cpu, seg, lin, size);
	resolve(cpu, seg, lin, MEM_READ, &t);
	resolve(cpu, seg, cut_lin(cpu, (lin | 0xfff) + 1), MEM_READ, &t);
	return load_bytes(cpu, seg, lin, size);
}

/* A store to RAM that the write TLB may not hold, or may. */
static void store_host(struct x86_cpu *cpu, const struct target *t, u64 val, unsigned size)
{
	struct soft *s = soft_cpu(cpu)->soft;

	if (t->rom)
		return;
	ram_store(t->host, val, size);
	if (soft_page(s, t->ram))
		soft_code_written(s, t->ram, size);
}

static void store_in_page(struct x86_cpu *cpu, unsigned seg, u64 lin, u64 val, unsigned size)
{
	struct target t;

	resolve(cpu, seg, lin, MEM_WRITE, &t);
	if (t.host)
		store_host(cpu, &t, val, size);
	else
		vcpu_store(&cpu->v, cpu->v.machine->mem, t.gpa, val, size);
}

void soft_store(struct x86_cpu *cpu, unsigned seg, u64 lin, u64 val, unsigned size)
{
	struct target t;

	lin = cut_lin(cpu, lin);
	soft_cpu(cpu)->stats.slow_stores++;
	check_access(cpu, seg, lin, size, MEM_WRITE);
	if (!crosses(lin, size)) {
		store_in_page(cpu, seg, lin, val, size);
		return;
	}
	resolve(cpu, seg, lin, MEM_WRITE, &t);
	resolve(cpu, seg, cut_lin(cpu, (lin | 0xfff) + 1), MEM_WRITE, &t);
	for (unsigned i = 0; i < size; i++)
		store_in_page(cpu, seg, cut_lin(cpu, lin + i), val >> (8 * i), 1);
}

void *soft_host(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size, enum mem_access acc)
{
	struct target t;
	struct page_info *page;

	lin = cut_lin(cpu, lin);
	check_access(cpu, seg, lin, 1, acc);
	resolve(cpu, seg, lin, acc, &t);
	if (!t.host || crosses(lin, size))
		return NULL;
	/* Piece by piece, then, so that each is looked at. */
	if (soft_cpu(cpu)->slow_access && soft_watches_data(cpu))
		return NULL;
	if (acc != MEM_WRITE)
		return t.host;
	page = soft_page(soft_cpu(cpu)->soft, t.ram);
	return page && claim_writer(soft_cpu(cpu), page, lin) ? t.host : NULL;
}

u64 soft_rmw_slow(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size, struct mem_rmw *r)
{
	struct target t, t2;

	lin = cut_lin(cpu, lin);
	check_access(cpu, seg, lin, size, MEM_READ);
	check_access(cpu, seg, lin, size, MEM_WRITE);
	resolve(cpu, seg, lin, MEM_WRITE, &t);
	r->lin = lin;
	r->host = NULL;
	if (crosses(lin, size)) {
		resolve(cpu, seg, cut_lin(cpu, (lin | 0xfff) + 1), MEM_WRITE, &t2);
		return load_bytes(cpu, seg, lin, size);
	}
	if (!t.host)
		return vcpu_load(&cpu->v, cpu->v.machine->mem, t.gpa, size);
	if (!t.rom) {
		struct page_info *page = soft_page(soft_cpu(cpu)->soft, t.ram);

		if (page && claim_writer(soft_cpu(cpu), page, lin))
			r->host = t.host;
	}
	return ram_load(t.host, size);
}

static bool cmpxchg_alone(struct x86_cpu *cpu, struct mem_rmw *r, u64 *old, u64 val)
{
	u64 found = soft_load(cpu, r->seg, r->lin, r->size);
	bool same = found == *old;

	if (same)
		soft_store(cpu, r->seg, r->lin, val, r->size);
	*old = found;
	return same;
}

bool soft_cmpxchg_slow(struct x86_cpu *cpu, struct mem_rmw *r, u64 *old, u64 val)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct target t, last;
	bool same;

	resolve(cpu, r->seg, r->lin, MEM_WRITE, &t);
	last = t;
	if (crosses(r->lin, r->size)) {
		resolve(cpu, r->seg, cut_lin(cpu, (r->lin | 0xfff) + 1), MEM_WRITE, &last);
	} else if (t.host && !t.rom) {
		same = ram_cmpxchg(t.host, old, val, r->size);
		if (same && soft_page(sc->soft, t.ram))
			soft_code_written(sc->soft, t.ram, r->size);
		return same;
	}
	/*
	 * The bus has no locked cycle for a device; and a register that counts is never what
	 * it was: comparing would keep us here for ever.
	 */
	if (!t.host || !last.host) {
		soft_store(cpu, r->seg, r->lin, val, r->size);
		return true;
	}
	/* A fault in here (another vCPU may change the page tables) ends the section, too. */
	soft_exclusive_begin(sc);
	same = cmpxchg_alone(cpu, r, old, val);
	soft_exclusive_end(sc);
	return same;
}

bool soft_cmpxchg16b_slow(struct x86_cpu *cpu, unsigned seg, u64 lin, u64 old[2], const u64 val[2])
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct target t;
	u64 found[2];
	bool same;

	lin = cut_lin(cpu, lin);
	check_access(cpu, seg, lin, 16, MEM_READ);
	check_access(cpu, seg, lin, 16, MEM_WRITE);
	resolve(cpu, seg, lin, MEM_WRITE, &t);
	if (t.host && !t.rom) {
		same = ram_cmpxchg16(t.host, old, val);
		if (same && soft_page(sc->soft, t.ram))
			soft_code_written(sc->soft, t.ram, 16);
		return same;
	}
	found[0] = soft_load(cpu, seg, lin, 8);
	found[1] = soft_load(cpu, seg, lin + 8, 8);
	same = found[0] == old[0] && found[1] == old[1];
	soft_store(cpu, seg, lin, same ? val[0] : found[0], 8);
	soft_store(cpu, seg, lin + 8, same ? val[1] : found[1], 8);
	old[0] = found[0];
	old[1] = found[1];
	return same;
}

_Noreturn void x86_restart(struct x86_cpu *cpu)
{
	longjmp(cpu->on_fault, X86_JMP_RESTART);
}
