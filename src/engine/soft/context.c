/* SPDX-License-Identifier: MIT */
/*
 * context.c - address spaces: the contexts of a vCPU, their jump caches, which view of the TLB is
 * current, and what is forgotten when.
 *
 * Each PCID has a context holding three views (user, kernel, kernel with AC), so a change of
 * address space is a change of pointer.  tlb.c fills them.
 */
#include <stdlib.h>

#include "engine/soft/shadow.h"
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

static void jumps_clear(struct soft_cpu *sc, struct jumps *j)
{
	if (!j->used)
		return;
	j->age = ++sc->jumps_age;
	for (unsigned i = 0; i < JUMP_ENTRIES; i++)
		j->ent[i] = (struct jump_ent){NO_LIN, sc->soft->no_jump};
	memset(j->ways, 0xff, sizeof(j->ways)); /* NO_LIN, likewise */
	memset(j->pages, 0, sizeof(j->pages));
	j->large = 0;
	j->half[0] = j->half[1] = false;
	j->used = j->local = false;
}

void soft_clear_jumps(struct soft_ctx *c)
{
	for (unsigned k = 0; k < ARRAY_SIZE(c->jumps); k++)
		jumps_clear(c->sc, &c->jumps[k]);
}

static unsigned jump_page(u64 lin)
{
	u64 page = lin >> PAGE_BITS;

	return (unsigned)(page ^ page >> JUMP_PAGE_BITS) & ((1 << JUMP_PAGE_BITS) - 1);
}

/* To where lin belongs, and what is there to the place next to it, if it is something. */
static void put_jump(struct jumps *j, u64 lin, const void *code)
{
	struct jump_ent *own = &j->ent[jump_index(lin)], *next = &j->ent[jump_index(lin) ^ 1];

	if (own->lin != lin && own->lin != NO_LIN)
		*next = *own;
	*own = (struct jump_ent){lin, code};
}

static struct old_jump *old_jump(const struct soft_cpu *sc, const struct jumps *j, u64 lin)
{
	return &sc->old_jumps[((u32)lin * (u32)JUMP_MULTIPLIER >> 16 ^ j->age) % OLD_JUMPS];
}

const void *soft_find_old_jump(struct soft_cpu *sc, u64 lin)
{
	struct jumps *j = soft_jumps(sc);
	const struct old_jump *o = old_jump(sc, j, lin);

	if (lin == NO_LIN || o->lin != lin || o->age != j->age)
		return NULL;
	put_jump(j, lin, o->code);
	return o->code;
}

/* Is what the block at lin was fetched by global?  Without proof it is not. */
static bool is_global_code(const struct soft_cpu *sc, u64 lin, const struct block *b)
{
	const struct jc_ent *e = &sc->ctx->jc[jc_index(lin)];

	if (b->key & KEY_LARGE)
		return soft_region_is_global(sc->ctx, b->host);
	if (soft_known_code(sc, lin))
		return soft_ex(sc->ctx, lin)->global;
	return e->block && e->lin == lin && e->global;
}

void soft_add_jump(struct soft_cpu *sc, u64 lin, const struct block *b, const void *code)
{
	struct jumps *j = soft_jumps(sc);

	if (lin == NO_LIN)
		return;
	put_jump(j, lin, code);
	*old_jump(sc, j, lin) = (struct old_jump){lin, j->age, code};
	j->pages[jump_page(lin) / 64] |= 1ull << jump_page(lin) % 64;
	j->used = j->half[lin >> 63] = true;
	if (!is_global_code(sc, lin, b))
		j->local = true;
	/* What the instruction TLB has forgotten may be of any page. */
	if (b->key & KEY_LARGE || !soft_known_code(sc, lin) || soft_ex(sc->ctx, lin)->large)
		j->large |= soft_gib_bit(lin);
}

static u64 *way_of(struct soft_cpu *sc, unsigned way)
{
	return &soft_jumps(sc)->ways[way % NR_WAYS];
}

void soft_add_way(struct soft_cpu *sc, unsigned way)
{
	*way_of(sc, way) = sc->cpu->st.gpr[GPR_PC] + way / NR_WAYS;
}

void soft_drop_way(struct soft_cpu *sc, unsigned way)
{
	*way_of(sc, way) = NO_LIN;
}

/* Forget those in the page, and if it may be a large one, all in the GiB. */
static void jumps_drop_page(struct soft_ctx *c, u64 page)
{
	for (unsigned k = 0; k < ARRAY_SIZE(c->jumps); k++) {
		struct jumps *j = &c->jumps[k];

		if (j->half[page >> 63] &&
		    (j->pages[jump_page(page) / 64] >> jump_page(page) % 64 & 1 ||
		     j->large & soft_gib_bit(page)))
			jumps_clear(c->sc, j);
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
	memset(c->local_rd, 0, sizeof(c->local_rd));
	memset(c->local_wr, 0, sizeof(c->local_wr));
	memset(c->local_ex, 0, sizeof(c->local_ex));
	memset(c->used_wr, 0, sizeof(c->used_wr));
	c->regions = c->local_regions = 0;
	memset(c->large, 0, sizeof(c->large));
	c->large_gibs = 0;
	jc_clear(c);
}

/* One that holds zeros, or what was there before: neither is empty. */
static void ctx_clear_new(struct soft_ctx *c)
{
	for (unsigned k = 0; k < ARRAY_SIZE(c->jumps); k++)
		c->jumps[k].used = true;
	ctx_clear(c);
}

/* Empty the entries that have a bit, and clear the bits. */
static void drop_local(struct tlb_ent *ent, u64 *local)
{
	for (unsigned w = 0; w < TLB_ENTRIES / 64; w++) {
		for (u64 bits = local[w]; bits; bits &= bits - 1) {
			unsigned i = 64 * w + (unsigned)__builtin_ctzll(bits);

			ent[i].tag = tlb_invalid_tag(i);
		}
		local[w] = 0;
	}
}

/* All but global translations. */
static void ctx_clear_local(struct soft_ctx *c)
{
	for (unsigned k = 0; k < NR_VIEWS; k++) {
		drop_local(c->views[k].rd, c->local_rd[k]);
		drop_local(c->views[k].wr, c->local_wr[k]);
	}
	for (unsigned w = 0; w < EX_ENTRIES / 64; w++) {
		for (u64 bits = c->local_ex[w]; bits; bits &= bits - 1)
			c->ex[64 * w + (unsigned)__builtin_ctzll(bits)].tag = ~0ull;
		c->local_ex[w] = 0;
	}
	c->regions &= ~c->local_regions;
	jc_drop(c, c->jc_local, is_global, 0);
	c->jc_local = 0;
	for (unsigned k = 0; k < ARRAY_SIZE(c->jumps); k++)
		if (c->jumps[k].local)
			jumps_clear(c->sc, &c->jumps[k]);
}

/*
 * The TLB holds large pages as fragments of 4 KiB, all of which go when one address in the page
 * does.  How large they are is not kept, so all fragments in the GiB go, and regions of code.
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
	c->regions = 0;
}

static void ctx_clear_page(struct soft_ctx *c, u64 page)
{
	unsigned i = tlb_index(page);
	struct ex_ent *x = soft_ex(c, page);

	for (unsigned k = 0; k < NR_VIEWS; k++) {
		if (c->views[k].rd[i].tag == page)
			c->views[k].rd[i].tag = tlb_invalid_tag(i);
		if (c->views[k].wr[i].tag == page)
			c->views[k].wr[i].tag = tlb_invalid_tag(i);
	}
	if ((x->tag & ~1ull) == page)
		x->tag = ~0ull;
	jc_drop(c, c->jc_used & ((i64)page < 0 ? ~0ull : jc_group_bit(page)), other_page, page);
	jumps_drop_page(c, page);
	if (c->large_gibs & soft_gib_bit(page))
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
		c->sc = sc;
		ctx_clear_new(c);
		c->pcid = pcid;
		c->valid = true;
	}
	c->used = ++sc->clock;
	return c;
}

bool soft_watches_data(const struct x86_cpu *cpu)
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
	sc->slow_access = soft_aligned_only(cpu) || soft_watches_data(cpu);
	sc->key = (block_key)(cpu->code_size | (is_user(cpu) ? KEY_USER : 0) |
			      (!cpu->code64 && cpu->st.seg[SEG_CS].limit != ~0u ? KEY_LIMITED : 0));
	cpu->jump_cache = soft_jumps(sc)->ent;
	if (sc->slow_access || sc->shadow)
		pages_clear(cpu);
	for (unsigned ac = 0; ac < 2; ac++) {
		enum tlb_view_kind kind =
			cpu->st.cr4 & CR4_SMAP && !ac ? VIEW_KERNEL : VIEW_KERNEL_AC;

		cpu->view_ac[ac] = view_of(cpu, kind);
		/* Not what only AC allows: page caches do not know of it. */
		cpu->pages_fill_ac[ac] = !sc->slow_access && !(cpu->st.cr4 & CR4_SMAP && ac);
	}
	cpu->view = view_of(cpu, soft_view_kind(cpu));
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

static void entry_protect(struct tlb_view *v, unsigned i, u64 host_page)
{
	if (v->wr[i].tag != tlb_invalid_tag(i) && v->wr[i].host == host_page)
		v->wr[i].tag = tlb_invalid_tag(i);
}

/* used: bits for the entries that are not empty; NULL: that may be any. */
static void view_protect(struct tlb_view *v, const u64 *used, u16 place, u64 host_page)
{
	if (place != PLACE_ANY) {
		entry_protect(v, place - 1u, host_page);
		return;
	}
	for (unsigned w = 0; w < TLB_ENTRIES / 64; w++)
		for (u64 bits = used ? used[w] : ~0ull; bits; bits &= bits - 1)
			entry_protect(v, 64 * w + (unsigned)__builtin_ctzll(bits), host_page);
}

void soft_tlb_protect(struct soft *s, const struct page_info *page, const u8 *host_page, u8 cpus)
{
	u16 place = atomic_load(&page->place);

	if (place == PLACE_NONE)
		return;
	for (unsigned i = 0; i < s->nr_cpus; i++) {
		if (!(cpus >> i & 1))
			continue;
		pages_clear(s->cpus[i]->cpu);
		for (unsigned n = 0; s->cpus[i]->shadow && n < NR_VIEWS; n++)
			view_protect(&s->cpus[i]->shadow->views[n], NULL, place,
				     (u64)(uintptr_t)host_page);
		for (unsigned k = 0; k < NR_CONTEXTS; k++) {
			struct soft_ctx *c = s->cpus[i]->ctxs[k];

			for (unsigned n = 0; c && c->valid && n < NR_VIEWS; n++)
				view_protect(&c->views[n], c->used_wr[n], place,
					     (u64)(uintptr_t)host_page);
		}
	}
}

/* --- set-up ----------------------------------------------------------------------------------- */

int soft_cpu_init(struct vcpu *v, struct err *e)
{
	struct x86_cpu *cpu = x86_cpu(v);
	struct soft *s = v->machine->engine_priv;
	struct soft_cpu *sc = calloc(1, sizeof(*sc));
	struct soft_ctx *c = ctx_new();
	struct old_jump *old_jumps = calloc(OLD_JUMPS, sizeof(*old_jumps));
	struct block *shot = calloc(1, sizeof(*shot) + (1 + OPS_AFTER) * sizeof(struct op));

	if (!sc || !c || !old_jumps || !shot || v->index >= ARRAY_SIZE(s->cpus)) {
		free(sc);
		free(c);
		free(old_jumps);
		free(shot);
		return err_set(e, -ENOMEM, "not enough memory for a vCPU's translation tables");
	}
	sc->cpu = cpu;
	sc->soft = s;
	sc->old_jumps = old_jumps;
	sc->shot = shot;
	sc->ctxs[0] = sc->ctx = c;
	c->sc = sc;
	c->valid = true;
	ctx_clear_new(c);
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
	free(sc->old_jumps);
	free(sc->shot);
	free(sc);
	x86_cpu(v)->soft = NULL;
}
