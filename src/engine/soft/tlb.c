/* SPDX-License-Identifier: MIT */
/*
 * tlb.c - the software TLB: fills, flushes, address-space contexts, and the slow half of
 * every memory access.
 *
 * Each PCID has a context holding three views (user, kernel, kernel with AC), so a change of
 * address space is a change of pointer.  What a view may hold is decided at fill time.
 */
#include <stdlib.h>

#include "engine/soft/shadow.h"
#include "isa/x86/flags.h"
#include "sundog/err.h"

/* Page caches without an entry; see page_cache in cpu.h. */
#define NO_PAGE (1ull << 63)

static void pages_clear(struct x86_cpu *cpu)
{
	struct page_cache *p = &cpu->pages[0][0][0];
	u64 host = (u64)(uintptr_t)soft_cpu(cpu)->soft->no_page;

	if (!cpu->pages_used)
		return;
	for (unsigned i = 0; i < sizeof(cpu->pages) / sizeof(*p); i++)
		p[i] = (struct page_cache){NO_PAGE, host, host - NO_PAGE};
	for (unsigned i = 0; i < NEXT_PAGES; i++)
		cpu->next_pages[i].tag = NO_PAGE;
	cpu->pages_used = false;
}

static void view_clear(struct tlb_view *v)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		v->rd[i].tag = v->wr[i].tag = tlb_invalid_tag(i);
}

/* Forget the jump cache's entries in the groups, but those to keep. */
static void jc_drop(struct soft_ctx *c, u64 groups, bool (*keep)(const struct jc_ent *j, u64 lin),
		    u64 lin)
{
	for (; groups; groups &= groups - 1) {
		struct jc_ent *j = &c->jc[(unsigned)__builtin_ctzll(groups) * JC_GROUP];

		for (unsigned i = 0; i < JC_GROUP; i++)
			if (!keep || !keep(&j[i], lin))
				j[i].block = NULL;
	}
}

/*
 * No entry is an entry for this address, for which there never is another one: it leads to the
 * routine that looks further.
 */
#define NO_LIN (~0ull)

static void jumps_clear(const struct soft *s, struct jumps *j)
{
	if (!j->used)
		return;
	for (unsigned i = 0; i < JUMP_ENTRIES; i++)
		j->ent[i] = (struct jump_ent){NO_LIN, s->no_jump};
	memset(j->pages, 0, sizeof(j->pages));
	j->large = 0;
	j->half[0] = j->half[1] = false;
	j->used = j->local = false;
}

void soft_clear_jumps(struct soft_ctx *c)
{
	for (unsigned k = 0; k < ARRAY_SIZE(c->jumps); k++)
		jumps_clear(c->soft, &c->jumps[k]);
}

static unsigned jump_page(u64 lin)
{
	u64 page = lin >> PAGE_BITS;

	return (unsigned)(page ^ page >> JUMP_PAGE_BITS) & ((1 << JUMP_PAGE_BITS) - 1);
}

static u64 gib_bit(u64 lin)
{
	return 1ull << (lin >> 30 & 63);
}

void soft_add_jump(struct soft_cpu *sc, u64 lin, const void *code)
{
	struct jumps *j = &sc->ctx->jumps[!!(sc->key & KEY_USER)];
	const struct ex_ent *x = &sc->ctx->ex[lin >> PAGE_BITS & (EX_ENTRIES - 1)];
	const struct jc_ent *b = &sc->ctx->jc[jc_index(lin)];
	bool known = x->tag == ((lin & ~0xfffull) | is_user(sc->cpu));
	struct jump_ent *own = &j->ent[jump_index(lin)], *next = &j->ent[jump_index(lin) ^ 1];

	if (lin == NO_LIN)
		return;
	if (own->lin != lin)
		*next = *own;
	*own = (struct jump_ent){lin, code};
	j->pages[jump_page(lin) / 64] |= 1ull << jump_page(lin) % 64;
	j->used = j->half[lin >> 63] = true;
	/* What the instruction TLB has forgotten may be any page, but for what is kept beside. */
	if (!(known ? x->global : b->block && b->lin == lin && b->global))
		j->local = true;
	if (!known || x->large)
		j->large |= gib_bit(lin);
}

/* Forget those in the page, and if it may be a large one, all in the GiB. */
static void jumps_drop_page(struct soft_ctx *c, u64 page)
{
	for (unsigned k = 0; k < ARRAY_SIZE(c->jumps); k++) {
		struct jumps *j = &c->jumps[k];

		if (j->half[page >> 63] &&
		    (j->pages[jump_page(page) / 64] >> jump_page(page) % 64 & 1 ||
		     j->large & gib_bit(page)))
			jumps_clear(c->soft, j);
	}
}

static void jc_clear(struct soft_ctx *c)
{
	jc_drop(c, c->jc_used, NULL, 0);
	c->jc_used = c->jc_local = 0;
	soft_clear_jumps(c);
}

static bool is_global(const struct jc_ent *j, u64 lin)
{
	return j->global;
}

static bool other_page(const struct jc_ent *j, u64 lin)
{
	return (j->lin ^ lin) >> PAGE_BITS != 0;
}

static bool same_gib(u64 a, u64 b)
{
	return (a ^ b) >> 30 == 0;
}

static bool other_gib(const struct jc_ent *j, u64 lin)
{
	return !same_gib(j->lin, lin);
}

static void ctx_clear(struct soft_ctx *c)
{
	for (unsigned i = 0; i < NR_VIEWS; i++)
		view_clear(&c->views[i]);
	for (unsigned i = 0; i < EX_ENTRIES; i++)
		c->ex[i].tag = ~0ull;
	memset(c->global_rd, 0, sizeof(c->global_rd));
	memset(c->global_wr, 0, sizeof(c->global_wr));
	memset(c->large, 0, sizeof(c->large));
	c->large_gibs = 0;
	jc_clear(c);
}

/* All but global translations. */
static void ctx_clear_local(struct soft_ctx *c)
{
	for (unsigned k = 0; k < NR_VIEWS; k++) {
		struct tlb_view *v = &c->views[k];

		for (unsigned i = 0; i < TLB_ENTRIES; i++) {
			if (!(c->global_rd[k][i / 64] >> (i % 64) & 1))
				v->rd[i].tag = tlb_invalid_tag(i);
			if (!(c->global_wr[k][i / 64] >> (i % 64) & 1))
				v->wr[i].tag = tlb_invalid_tag(i);
		}
	}
	for (unsigned i = 0; i < EX_ENTRIES; i++)
		if (!c->ex[i].global)
			c->ex[i].tag = ~0ull;
	jc_drop(c, c->jc_local, is_global, 0);
	c->jc_local = 0;
	for (unsigned k = 0; k < ARRAY_SIZE(c->jumps); k++)
		if (c->jumps[k].local)
			jumps_clear(c->soft, &c->jumps[k]);
}

/*
 * The TLB holds large pages as fragments of 4 KiB, all of which go when one address in the page
 * does.  How large they are is not kept, so all fragments in the GiB go.
 */
static void ctx_clear_fragments(struct soft_ctx *c, u64 page)
{
	for (unsigned k = 0; k < NR_VIEWS; k++) {
		struct tlb_view *v = &c->views[k];

		for (unsigned w = 0; w < TLB_ENTRIES / 64; w++) {
			for (u64 bits = c->large[k][w]; bits; bits &= bits - 1) {
				unsigned i = 64 * w + (unsigned)__builtin_ctzll(bits);

				if (same_gib(v->rd[i].tag, page))
					v->rd[i].tag = tlb_invalid_tag(i);
				if (same_gib(v->wr[i].tag, page))
					v->wr[i].tag = tlb_invalid_tag(i);
			}
		}
	}
	for (unsigned i = 0; i < EX_ENTRIES; i++)
		if (c->ex[i].large && same_gib(c->ex[i].tag, page))
			c->ex[i].tag = ~0ull;
	jc_drop(c, c->jc_used, other_gib, page);
}

static void ctx_clear_page(struct soft_ctx *c, u64 page)
{
	unsigned i = page >> PAGE_BITS & (TLB_ENTRIES - 1);
	unsigned x = page >> PAGE_BITS & (EX_ENTRIES - 1);

	for (unsigned k = 0; k < NR_VIEWS; k++) {
		if (c->views[k].rd[i].tag == page)
			c->views[k].rd[i].tag = tlb_invalid_tag(i);
		if (c->views[k].wr[i].tag == page)
			c->views[k].wr[i].tag = tlb_invalid_tag(i);
	}
	if ((c->ex[x].tag & ~1ull) == page)
		c->ex[x].tag = ~0ull;
	jc_drop(c, c->jc_used & ((i64)page < 0 ? ~0ull : jc_group_bit(page)), other_page, page);
	jumps_drop_page(c, page);
	if (c->large_gibs & gib_bit(page))
		ctx_clear_fragments(c, page);
}

/* Tables that translated code finds its way in want to be aligned. */
static struct soft_ctx *ctx_new(void)
{
	struct soft_ctx *c = aligned_alloc(_Alignof(struct soft_ctx), sizeof(*c));

	if (c)
		memset((void *)c, 0, sizeof(*c));
	return c;
}

static struct soft_ctx *ctx_find(struct soft_cpu *sc, u16 pcid)
{
	for (unsigned i = 0; i < NR_CONTEXTS; i++)
		if (sc->ctxs[i] && sc->ctxs[i]->valid && sc->ctxs[i]->pcid == pcid)
			return sc->ctxs[i];
	return NULL;
}

/* The context for pcid: the one it has, a new one, or the least recently used one emptied. */
static struct soft_ctx *ctx_get(struct soft_cpu *sc, u16 pcid)
{
	struct soft_ctx *c = ctx_find(sc, pcid);
	unsigned victim = 0;

	if (!c) {
		for (unsigned i = 0; i < NR_CONTEXTS; i++) {
			if (!sc->ctxs[i] || !sc->ctxs[i]->valid) {
				victim = i;
				break;
			}
			if (sc->ctxs[i]->used < sc->ctxs[victim]->used)
				victim = i;
		}
		c = sc->ctxs[victim];
		if (!c)
			c = sc->ctxs[victim] = ctx_new();
		if (!c) /* out of memory: the first context always exists */
			c = sc->ctxs[0];
		c->soft = sc->soft;
		c->jumps[0].used = c->jumps[1].used = true; /* zero is not empty */
		ctx_clear(c);
		c->pcid = pcid;
		c->valid = true;
	}
	c->used = ++sc->clock;
	return c;
}

static enum tlb_view_kind view_kind(const struct x86_cpu *cpu)
{
	if (is_user(cpu))
		return VIEW_USER;
	return cpu->st.cr4 & CR4_SMAP && !(cpu->st.rflags & FL_AC) ? VIEW_KERNEL : VIEW_KERNEL_AC;
}

static bool aligned_only(const struct x86_cpu *cpu)
{
	return is_user(cpu) && cpu->st.cr0 & CR0_AM && cpu->st.rflags & FL_AC;
}

static bool watches_data(const struct x86_cpu *cpu)
{
	for (unsigned i = 0; i < 4; i++)
		if (cpu->st.dr7 >> (2 * i) & 3 && cpu->st.dr7 >> (16 + 4 * i) & 1)
			return true;
	return cpu->debug_watch;
}

static struct tlb_view *view_of(const struct x86_cpu *cpu, enum tlb_view_kind kind)
{
	struct soft_cpu *sc = soft_cpu(cpu);

	return sc->slow_access ? &sc->no_view
	       : cpu->shadowed ? &sc->shadow->views[kind]
			       : &sc->ctx->views[kind];
}

void soft_view_changed(struct x86_cpu *cpu)
{
	struct soft_cpu *sc = soft_cpu(cpu);

	if (!sc)
		return;
	sc->slow_access = aligned_only(cpu) || watches_data(cpu);
	sc->key = (block_key)(cpu->code_size | (is_user(cpu) ? KEY_USER : 0) |
			      (!cpu->code64 && cpu->st.seg[SEG_CS].limit != ~0u ? KEY_LIMITED : 0));
	cpu->jump_cache = soft_jumps(sc);
	if (sc->slow_access || sc->shadow)
		pages_clear(cpu);
	for (unsigned ac = 0; ac < 2; ac++) {
		enum tlb_view_kind kind =
			cpu->st.cr4 & CR4_SMAP && !ac ? VIEW_KERNEL : VIEW_KERNEL_AC;

		cpu->view_ac[ac] = view_of(cpu, kind);
		/* Not what only AC allows: page caches do not know of it. */
		cpu->pages_fill_ac[ac] = !sc->slow_access && !(cpu->st.cr4 & CR4_SMAP && ac);
	}
	cpu->view = view_of(cpu, view_kind(cpu));
	cpu->pages_fill =
		is_user(cpu) ? !sc->slow_access : cpu->pages_fill_ac[!!(cpu->st.rflags & FL_AC)];
}

static u16 current_pcid(const struct x86_cpu *cpu)
{
	return cpu->st.cr4 & CR4_PCIDE ? cpu->st.cr3 & 0xfff : 0;
}

void soft_cr3_written(struct x86_cpu *cpu, bool keep_pcid)
{
	struct soft_cpu *sc = soft_cpu(cpu);

	if (!sc)
		return;
	pages_clear(cpu);
	sc->ctx = ctx_get(sc, current_pcid(cpu));
	if (!keep_pcid)
		ctx_clear_local(sc->ctx);
	soft_view_changed(cpu);
}

void soft_flush_page(struct x86_cpu *cpu, u64 lin)
{
	struct soft_cpu *sc = soft_cpu(cpu);

	if (!sc)
		return;
	pages_clear(cpu);
	for (unsigned i = 0; i < NR_CONTEXTS; i++)
		if (sc->ctxs[i] && sc->ctxs[i]->valid)
			ctx_clear_page(sc->ctxs[i], lin & ~0xfffull);
}

void soft_flush_page_pcid(struct x86_cpu *cpu, u16 pcid, u64 lin)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct soft_ctx *c = sc ? ctx_find(sc, pcid) : NULL;

	if (!c)
		return;
	pages_clear(cpu);
	ctx_clear_page(c, lin & ~0xfffull);
}

void soft_flush_pcid(struct x86_cpu *cpu, u16 pcid, bool globals)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct soft_ctx *c = sc ? ctx_find(sc, pcid) : NULL;

	if (!c)
		return;
	pages_clear(cpu);
	if (globals)
		ctx_clear(c);
	else
		ctx_clear_local(c);
}

static void flush_contexts(struct soft_cpu *sc, bool globals)
{
	memset(sc->cpu->frames, 0, sizeof(sc->cpu->frames));
	pages_clear(sc->cpu);
	for (unsigned i = 0; i < NR_CONTEXTS; i++) {
		struct soft_ctx *c = sc->ctxs[i];

		if (!c || !c->valid)
			continue;
		if (c != sc->ctx && globals) {
			jc_clear(c);
			c->valid = false; /* emptied when it is taken again */
		} else if (globals) {
			ctx_clear(c);
		} else {
			ctx_clear_local(c);
		}
	}
	sc->ctx = ctx_get(sc, current_pcid(sc->cpu));
	soft_view_changed(sc->cpu);
}

void soft_flush_all(struct x86_cpu *cpu, bool globals)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	bool outside;

	if (!sc)
		return;
	/* INIT and reset come here out of run(): others may be changing our tables (invariant 6).
	 */
	outside = !atomic_load(&sc->in_guest);
	if (outside)
		soft_enter(sc);
	flush_contexts(sc, globals);
	if (outside)
		soft_leave(sc);
}

static void view_protect(struct tlb_view *v, u64 host_page)
{
	for (unsigned i = 0; i < TLB_ENTRIES; i++)
		if (v->wr[i].tag != tlb_invalid_tag(i) && v->wr[i].host == host_page)
			v->wr[i].tag = tlb_invalid_tag(i);
}

void soft_tlb_protect(struct soft *s, const u8 *host_page, u8 cpus)
{
	for (unsigned i = 0; i < s->nr_cpus; i++) {
		if (!(cpus >> i & 1))
			continue;
		pages_clear(s->cpus[i]->cpu);
		for (unsigned n = 0; s->cpus[i]->shadow && n < NR_VIEWS; n++)
			view_protect(&s->cpus[i]->shadow->views[n], (u64)(uintptr_t)host_page);
		for (unsigned k = 0; k < NR_CONTEXTS; k++) {
			struct soft_ctx *c = s->cpus[i]->ctxs[k];

			for (unsigned n = 0; c && c->valid && n < NR_VIEWS; n++)
				view_protect(&c->views[n], (u64)(uintptr_t)host_page);
		}
	}
}

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

	*t = (struct target){.gpa = w->gpa, .global = w->global, .large = w->page_bits > PAGE_BITS};
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

static void set_bit(u64 *bits, unsigned i, bool on)
{
	bits[i / 64] = (bits[i / 64] & ~(1ull << i % 64)) | (u64)on << i % 64;
}

/*
 * May page be stored to without our seeing it?  Leaves our mark as a writer (invariant 2),
 * and takes it back if not: it was not there before, so we hold no entry.
 */
static bool claim_writer(struct soft_cpu *sc, struct page_info *page)
{
	u8 bit = (u8)(1u << sc->cpu->v.index);
	bool had = atomic_load_explicit(&page->writers, memory_order_relaxed) & bit;

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
	unsigned i = lin >> PAGE_BITS & (TLB_ENTRIES - 1);
	u64 page = lin & ~0xfffull;
	struct tlb_ent ent = {page, (u64)(uintptr_t)(t->host - (lin & 0xfff))};

	v->rd[i] = ent;
	set_bit(sc->ctx->global_rd[kind], i, t->global);
	if (t->large) { /* stays set: what comes after may only be dropped too often */
		set_bit(sc->ctx->large[kind], i, true);
		sc->ctx->large_gibs |= gib_bit(lin);
	}
	if (acc == MEM_WRITE && t->page && claim_writer(sc, t->page)) {
		v->wr[i] = ent;
		set_bit(sc->ctx->global_wr[kind], i, t->global);
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
	unsigned i = lin >> PAGE_BITS & (TLB_ENTRIES - 1);
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
		silent = t->page && claim_writer(sc, t->page);
	t->host = shadow_fill(cpu, lin, acc, kind, silent, t->ram);
}

bool soft_fill(struct x86_cpu *cpu, u64 lin, enum mem_access acc)
{
	enum tlb_view_kind kind = view_kind(cpu);
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
	enum tlb_view_kind kind = seg != SEG_SYSTEM	   ? view_kind(cpu)
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

const u8 *soft_fetch_page(struct x86_cpu *cpu, u64 lin, gpa_t *gpa)
{
	struct soft_ctx *c = soft_cpu(cpu)->ctx;
	u64 page = lin & ~0xfffull;
	struct ex_ent *x = &c->ex[page >> PAGE_BITS & (EX_ENTRIES - 1)];
	struct target t;

	if (x->tag == (page | is_user(cpu)))
		return x->host;
	translate(cpu, SEG_CS, lin, MEM_EXEC, &t);
	*gpa = t.gpa & ~0xfffull;
	if (!t.host)
		return NULL;
	*x = (struct ex_ent){page | is_user(cpu), t.host - (lin & 0xfff), t.global, t.large};
	if (t.large)
		c->large_gibs |= gib_bit(lin);
	return x->host;
}

const u8 *soft_known_code(const struct soft_cpu *sc, u64 lin)
{
	const struct ex_ent *x = &sc->ctx->ex[lin >> PAGE_BITS & (EX_ENTRIES - 1)];

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
	if (aligned_only(cpu) && lin & (size - 1))
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
	if (soft_cpu(cpu)->slow_access && watches_data(cpu))
		return NULL;
	if (acc != MEM_WRITE)
		return t.host;
	page = soft_page(soft_cpu(cpu)->soft, t.ram);
	return page && claim_writer(soft_cpu(cpu), page) ? t.host : NULL;
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

		if (page && claim_writer(soft_cpu(cpu), page))
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

/* --- set-up ----------------------------------------------------------------------------------- */

int soft_cpu_init(struct vcpu *v, struct err *e)
{
	struct x86_cpu *cpu = x86_cpu(v);
	struct soft *s = v->machine->engine_priv;
	struct soft_cpu *sc = calloc(1, sizeof(*sc));
	struct soft_ctx *c = ctx_new();
	struct block *shot = calloc(1, sizeof(*shot) + (1 + OPS_AFTER) * sizeof(struct op));

	if (!sc || !c || !shot || v->index >= ARRAY_SIZE(s->cpus)) {
		free(sc);
		free(c);
		free(shot);
		return err_set(e, -ENOMEM, "not enough memory for a vCPU's translation tables");
	}
	sc->cpu = cpu;
	sc->soft = s;
	sc->shot = shot;
	sc->ctxs[0] = sc->ctx = c;
	c->soft = s;
	c->jumps[0].used = c->jumps[1].used = true;
	c->valid = true;
	ctx_clear(c);
	view_clear(&sc->no_view);
	cpu->soft = sc;
	cpu->pages_used = true; /* zero is not empty */
	pages_clear(cpu);
	s->cpus[v->index] = sc;
	if (s->nr_cpus <= v->index)
		s->nr_cpus = v->index + 1;
	x86_state_changed(cpu);
	return 0;
}

void soft_cpu_destroy(struct vcpu *v)
{
	struct soft_cpu *sc = x86_cpu(v)->soft;

	if (!sc)
		return;
	sc->soft->cpus[v->index] = NULL;
	for (unsigned i = 0; i < NR_CONTEXTS; i++)
		free(sc->ctxs[i]);
	for (unsigned i = 0; i < NR_STRADDLES; i++)
		free(sc->straddles[i].block);
	free(sc->shot);
	free(sc);
	x86_cpu(v)->soft = NULL;
}
