/* SPDX-License-Identifier: MIT */
/*
 * block.c - the cache of decoded blocks, and code pages: building, finding, killing.
 *
 * See soft.h for the invariants; numbers in comments refer to them.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/soft/soft.h"
#include "isa/x86/insn.h"
#include "sundog/err.h"

enum { MAX_INSN = 15, GRANULE_BITS = 6 };

static unsigned block_hash(const u8 *host, block_key key)
{
	u64 h = (u64)(uintptr_t)host * 0x9e3779b97f4a7c15ull + key;

	return (unsigned)(h >> (64 - BLOCK_HASH_BITS));
}

static struct block *hash_find(struct soft *s, const u8 *host, block_key key)
{
	struct block *b =
		atomic_load_explicit(&s->hash[block_hash(host, key)], memory_order_acquire);

	for (; b; b = atomic_load_explicit(&b->next, memory_order_acquire))
		if (b->host == host && b->key == key &&
		    !atomic_load_explicit(&b->dead, memory_order_relaxed))
			return b;
	return NULL;
}

struct block *soft_block_at(struct soft *s, const u8 *host, block_key key)
{
	return hash_find(s, host, key);
}

/* --- memory for blocks ------------------------------------------------------------------- */

bool soft_all_past(struct soft *s, u64 e)
{
	for (unsigned i = 0; i < s->nr_cpus; i++) {
		u64 seen = s->cpus[i] ? atomic_load(&s->cpus[i]->seen) : 0;

		if (seen && seen < e)
			return false;
	}
	return true;
}

/* An empty chunk to fill: a retired one that nobody can be in any more, or a new one. */
static bool next_chunk(struct soft *s)
{
	for (unsigned i = 0; i < s->nr_chunks; i++) {
		struct chunk *c = &s->chunks[i];

		if (c->retired && soft_all_past(s, c->retired)) {
			*c = (struct chunk){.mem = c->mem};
			s->chunk = (int)i;
			s->live_chunks++;
			return true;
		}
	}
	if (s->nr_chunks == ARRAY_SIZE(s->chunks))
		return false;

	u8 *at = s->arena ? s->arena + (size_t)s->nr_chunks * CHUNK_SIZE : NULL;
	u8 *mem = mmap(at, CHUNK_SIZE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);

	if (mem == MAP_FAILED)
		return false;
	s->chunk = (int)s->nr_chunks;
	s->chunks[s->nr_chunks++] = (struct chunk){.mem = mem};
	s->live_chunks++;
	return true;
}

static size_t block_size(unsigned nr_ops)
{
	return (sizeof(struct block) + (nr_ops + OPS_AFTER) * sizeof(struct op) + 15) & ~(size_t)15;
}

static struct block *block_alloc(struct soft *s, unsigned nr_ops)
{
	size_t size = block_size(nr_ops);

	if (s->chunk < 0 || !range_fits(s->chunks[s->chunk].used, size, CHUNK_SIZE)) {
		if (s->live_chunks >= MAX_CHUNKS || !next_chunk(s))
			return NULL;
	}

	struct chunk *c = &s->chunks[s->chunk];
	struct block *b = (struct block *)(c->mem + c->used);

	c->used += size;
	memset(b, 0, sizeof(*b));
	return b;
}

/* Make every way through the block lead out (invariant 4), but slots to other pages. */
static void block_poison(struct soft *s, struct block *b)
{
	for (unsigned i = 0; i < b->nr_ops + OPS_AFTER; i++)
		if (b->ops[i].len)
			__atomic_store_n(&b->ops[i].fn, s->dead_op, __ATOMIC_RELEASE);
}

/* Give up a chunk: whoever runs in it gets out, and nobody comes back. */
static void retire_chunk(struct soft *s, struct chunk *c, u64 epoch)
{
	for (size_t at = 0; at < c->used;) {
		struct block *b = (struct block *)(c->mem + at);

		s->kills_flush += !atomic_load(&b->dead);
		if (s->killed && !atomic_load(&b->dead))
			s->killed(s, b);
		atomic_store(&b->dead, true);
		block_poison(s, b);
		at += block_size(b->nr_ops);
	}
	c->retired = epoch;
}

void soft_block_leave(struct soft *s, struct block *b)
{
	pthread_mutex_lock(&s->lock);
	atomic_store(&b->dead, true);
	block_poison(s, b);
	pthread_mutex_unlock(&s->lock);
}

/* Give up all blocks.  In an exclusive section; soft->lock held. */
static void forget_blocks(struct soft_ctx *c)
{
	if (!c)
		return;
	for (unsigned n = 0; n < JC_ENTRIES; n++)
		c->jc[n].block = NULL;
	soft_clear_jumps(c);
}

static void flush_blocks_locked(struct soft *s)
{
	u64 e = atomic_fetch_add(&s->epoch, 1) + 1;

	for (unsigned i = 0; i < s->nr_chunks; i++)
		if (!s->chunks[i].retired)
			retire_chunk(s, &s->chunks[i], e);
	s->chunk = -1;
	s->live_chunks = 0;
	if (s->flushed)
		s->flushed(s, e);
	for (unsigned i = 0; i < ARRAY_SIZE(s->hash); i++)
		atomic_store_explicit(&s->hash[i], NULL, memory_order_relaxed);
	for (u64 i = 0; i < s->nr_pages; i++) {
		struct page_info *page = &s->pages[i];

		/* Written only if there is something: what was never used costs no memory. */
		if (!page->blocks && !atomic_load_explicit(&page->granules, memory_order_relaxed) &&
		    !atomic_load_explicit(&page->code, memory_order_relaxed))
			continue;
		page->blocks = NULL;
		atomic_store_explicit(&page->granules, 0, memory_order_relaxed);
		atomic_store_explicit(&page->code, false, memory_order_relaxed);
	}
	for (unsigned i = 0; i < s->nr_cpus; i++) {
		struct soft_cpu *sc = s->cpus[i];

		sc->link = NULL;
		sc->next = NULL;
		sc->engine_link = NULL;
		for (unsigned k = 0; k < NR_CONTEXTS; k++)
			forget_blocks(sc->ctxs[k]);
	}
}

void soft_flush_blocks(struct soft *s)
{
	pthread_mutex_lock(&s->lock);
	flush_blocks_locked(s);
	pthread_mutex_unlock(&s->lock);
}

void soft_state_changed(struct soft_cpu *sc)
{
	/* The others may run, as when this vCPU got an INIT. */
	soft_exclusive_begin(sc);
	soft_flush_blocks(sc->soft);
	soft_exclusive_end(sc);
	soft_leave(sc);
	soft_flush_all(sc->cpu, true);
}

static void flush_blocks(struct soft_cpu *sc)
{
	struct soft *s = sc->soft;

	soft_exclusive_begin(sc);
	pthread_mutex_lock(&s->lock);
	flush_blocks_locked(s);
	pthread_mutex_unlock(&s->lock);
	atomic_store(&sc->seen, atomic_load(&s->epoch)); /* we are at the top of our loop */
	soft_exclusive_end(sc);
	sc->stats.flushes++;
}

/* --- killing -------------------------------------------------------------------------------- */

static void block_kill_locked(struct soft *s, struct block *b)
{
	struct block *_Atomic *p = &s->hash[block_hash(b->host, b->key)];

	atomic_store(&b->dead, true);
	if (s->killed)
		s->killed(s, b);
	while (*p && *p != b)
		p = &(*p)->next;
	if (*p == b)
		*p = b->next;
	block_poison(s, b);
}

static u64 granule_mask(unsigned off, unsigned len)
{
	unsigned first = off >> GRANULE_BITS, last = (off + len - 1) >> GRANULE_BITS;

	return (~0ull << first) & (~0ull >> (63 - last));
}

static bool overlaps(unsigned a, unsigned a_len, unsigned b, unsigned b_len)
{
	return a < b + b_len && b < a + a_len;
}

static bool block_overlaps(const struct block *b, unsigned off, unsigned len)
{
	return overlaps(b->page_off, b->len, off, len) ||
	       overlaps(b->peek[0].off, b->peek[0].len, off, len) ||
	       overlaps(b->peek[1].off, b->peek[1].len, off, len);
}

static u64 block_granules(const struct block *b)
{
	u64 g = granule_mask(b->page_off, b->len);

	for (unsigned i = 0; i < ARRAY_SIZE(b->peek); i++)
		if (b->peek[i].len)
			g |= granule_mask(b->peek[i].off, b->peek[i].len);
	return g;
}

/* Kill the page's blocks that overlap [off, off + len); recompute what is left of it. */
static unsigned page_kill_locked(struct soft *s, struct page_info *page, unsigned off, unsigned len)
{
	struct block **p = &page->blocks;
	u64 granules = 0;
	unsigned killed = 0;

	while (*p) {
		struct block *b = *p;

		if (block_overlaps(b, off, len)) {
			*p = b->page_next;
			block_kill_locked(s, b);
			killed++;
		} else {
			granules |= block_granules(b);
			p = &b->page_next;
		}
	}
	atomic_store(&page->granules, granules);
	if (!page->blocks)
		atomic_store(&page->code, false);
	return killed;
}

void soft_kill_blocks(struct soft *s, u64 off, u64 len)
{
	for (u64 i = off >> PAGE_BITS; i < (off + len) >> PAGE_BITS; i++)
		if (s->pages[i].blocks)
			s->kills_flush += page_kill_locked(s, &s->pages[i], 0, PAGE_SIZE_4K);
}

static void page_written(struct soft *s, struct page_info *page, unsigned off, unsigned len,
			 u64 *kills)
{
	/*
	 * The store, then the look (invariant 3).  Both this and the claim change the word, so
	 * one comes after the other: we see the claim, or the builder sees our store.
	 */
	if (!(atomic_fetch_or(&page->granules, 0) & granule_mask(off, len)))
		return;
	pthread_mutex_lock(&s->lock);
	*kills += page_kill_locked(s, page, off, len);
	pthread_mutex_unlock(&s->lock);
}

static void code_written(struct soft *s, const void *p, u64 len, u64 *kills)
{
	u64 at = (u64)((const u8 *)p - (const u8 *)s->machine->ram);

	while (len) {
		unsigned off = at & 0xfff;
		unsigned n = len < PAGE_SIZE_4K - off ? (unsigned)len : PAGE_SIZE_4K - off;

		page_written(s, &s->pages[at >> PAGE_BITS], off, n, kills);
		at += n;
		len -= n;
	}
}

void soft_code_written(struct soft *s, const void *p, u64 len)
{
	code_written(s, p, len, &s->kills_store);
}

void soft_ram_written(struct x86_cpu *cpu, const void *host, u64 len)
{
	struct soft_cpu *sc = soft_cpu(cpu);

	if (sc && soft_page(sc->soft, host))
		soft_code_written(sc->soft, host, len);
}

/* --- building -------------------------------------------------------------------------------- */

/*
 * Mark page as holding code and take it out of all write TLBs (invariant 2).  Must not hold
 * soft->lock: it may have to stop the others.
 */
static void mark_code(struct soft_cpu *sc, struct page_info *page, const u8 *host_page)
{
	struct soft *s = sc->soft;
	u8 self = (u8)(1u << sc->cpu->v.index);
	u8 writers;

	atomic_store(&page->code, true);
	writers = atomic_load(&page->writers);
	if (writers & self) {
		soft_tlb_protect(s, page, host_page, self);
		writers = atomic_fetch_and(&page->writers, (u8)~self) & (u8)~self;
	}
	if (!writers)
		return;
	soft_exclusive_begin(sc);
	atomic_store(&page->code, true);
	soft_tlb_protect(s, page, host_page, 0xff & ((1u << s->nr_cpus) - 1));
	atomic_store(&page->writers, 0);
	atomic_store(&page->place, PLACE_NONE);
	soft_exclusive_end(sc);
}

void soft_claim_granules(struct page_info *page, unsigned off, unsigned len)
{
	/* Then the bytes are read (invariant 3): pairs with the one in page_written(). */
	if (off + len > PAGE_SIZE_4K)
		len = PAGE_SIZE_4K - off;
	atomic_fetch_or(&page->granules, granule_mask(off, len));
}

/* Where the row's CPUID feature is not shown to the guest: #UD, or what the bytes were before. */
static void gate(struct x86_cpu *cpu, struct op *op)
{
	if (!x86_has(cpu, insns[op->row].feature))
		x86_op_without_feature(op);
}

/*
 * Decode from the page into ops until the block ends.  Returns the number of ops; 0 if the
 * first instruction does not fit in the page.
 */
static unsigned decode_ops(struct x86_cpu *cpu, const u8 *page, unsigned off, struct op *ops)
{
	const struct soft *s = soft_cpu(cpu)->soft;
	unsigned n = 0;

	while (n < BLOCK_MAX_OPS && off < PAGE_SIZE_4K) {
		u8 bytes[MAX_INSN];
		unsigned avail = PAGE_SIZE_4K - off < MAX_INSN ? PAGE_SIZE_4K - off : MAX_INSN;
		struct op *op = &ops[n];
		int len;

		for (unsigned i = 0; i < avail; i++)
			bytes[i] = (u8)ram_load(page + off + i, 1);
		len = x86_decode(bytes, avail, cpu->code_size, off, op);
		if (!len)
			break;
		gate(cpu, op);
		off += op->len;
		n++;
		if (len < 0 || insns[op->row].attr & (A_ENDS | A_SYNC))
			break;
		if (off < PAGE_SIZE_4K && s->split[off / 64] >> (off % 64) & 1)
			break;
	}
	return n;
}

static void fill_block(struct soft *s, struct block *b, const struct op *ops, unsigned n)
{
	memcpy(b->ops, ops, n * sizeof(*ops));
	b->nr_ops = (u8)n;
	b->page_off = ops[0].off;
	b->len = (u16)(ops[n - 1].off + ops[n - 1].len - ops[0].off);
	for (unsigned i = 0; i < n; i++)
		b->ops[i].fn = s->handler(&b->ops[i], b->key);
	s->finish(s, b);
}

static void publish_locked(struct soft *s, struct block *b, struct page_info *page)
{
	struct block *_Atomic *head = &s->hash[block_hash(b->host, b->key)];

	if (page) {
		b->page_next = page->blocks;
		page->blocks = b;
	}
	atomic_store_explicit(&b->next, *head, memory_order_relaxed);
	atomic_store_explicit(head, b, memory_order_release);
}

enum build { BUILT, BUILD_FULL, BUILD_CROSSES };

static enum build build_locked(struct x86_cpu *cpu, const u8 *host_page, unsigned off,
			       block_key key, struct page_info *page, struct block **out)
{
	struct soft *s = soft_cpu(cpu)->soft;
	struct op ops[BLOCK_MAX_OPS];
	u64 before = 0;
	unsigned n, len;
	struct block *b = hash_find(s, host_page + off, key);

	*out = b;
	if (b)
		return BUILT;
	if (page) {
		before = atomic_load(&page->granules);
		soft_claim_granules(page, off, PAGE_SIZE_4K - off);
	}
	n = decode_ops(cpu, host_page, off, ops);
	if (page) {
		len = n ? ops[n - 1].off + ops[n - 1].len - off : 0;
		atomic_store(&page->granules, before | (len ? granule_mask(off, len) : 0));
	}
	if (!n)
		return BUILD_CROSSES;
	b = block_alloc(s, n);
	if (!b)
		return BUILD_FULL;
	b->host = host_page + off;
	b->key = key;
	fill_block(s, b, ops, n);
	publish_locked(s, b, page);
	*out = b;
	soft_cpu(cpu)->stats.blocks++;
	soft_cpu(cpu)->stats.ops += n;
	return BUILT;
}

static struct block *build(struct x86_cpu *cpu, const u8 *host_page, unsigned off, block_key key)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct page_info *page = soft_page(sc->soft, host_page);

	for (;;) {
		struct block *b;
		enum build r;

		if (page)
			mark_code(sc, page, host_page);
		pthread_mutex_lock(&sc->soft->lock);
		/* A kill in between may have cleared the mark and let a writer in: again. */
		if (page && (!atomic_load(&page->code) || atomic_load(&page->writers))) {
			pthread_mutex_unlock(&sc->soft->lock);
			continue;
		}
		r = build_locked(cpu, host_page, off, key, page, &b);
		pthread_mutex_unlock(&sc->soft->lock);
		if (r == BUILT)
			return b;
		if (r == BUILD_CROSSES)
			return NULL;
		flush_blocks(sc);
	}
}

/* --- one instruction, not cached ---------------------------------------------------------------
 */

/* The bytes at lin, as far as they are needed: across the page, from a device. */
static unsigned fetch(struct x86_cpu *cpu, u64 lin, u8 *bytes, unsigned have, unsigned want)
{
	while (have < want) {
		u64 at = cpu->long_mode ? lin + have : (u32)(lin + have);
		unsigned off = at & 0xfff;
		unsigned n = want - have < PAGE_SIZE_4K - off ? want - have : PAGE_SIZE_4K - off;
		gpa_t gpa;
		const u8 *page = soft_fetch_page(cpu, at, &gpa);

		for (unsigned i = 0; i < n; i++)
			bytes[have + i] = page ? (u8)ram_load(page + off + i, 1)
					       : (u8)vcpu_load(&cpu->v, cpu->v.machine->mem,
							       gpa + off + i, 1);
		have += n;
	}
	return have;
}

struct block *soft_one_shot(struct x86_cpu *cpu)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct block *b = sc->shot;
	u64 lin = cpu->st.rip + cpu->seg_base[SEG_CS];
	unsigned off = lin & 0xfff;
	unsigned first = PAGE_SIZE_4K - off < MAX_INSN ? PAGE_SIZE_4K - off : MAX_INSN;
	u8 *bytes = sc->shot_bytes;
	struct op op;

	/* The second page only if the instruction really reaches into it: it may not be there. */
	fetch(cpu, lin, bytes, 0, first);
	for (unsigned n = first; !x86_decode(bytes, n, cpu->code_size, off, &op) && n < MAX_INSN;
	     n++)
		fetch(cpu, lin, bytes, n, n + 1);
	gate(cpu, &op);
	b->host = NULL;
	b->key = sc->key;
	fill_block(sc->soft, b, &op, 1);
	sc->stats.one_shots++;
	return b;
}

static struct straddle *straddle_at(struct soft_cpu *sc, u64 lin)
{
	return &sc->straddles[(lin >> PAGE_BITS ^ lin >> (PAGE_BITS + 6)) % NR_STRADDLES];
}

/* Are the bytes at lin, across the page, those that it was made from?  May raise. */
static bool same_bytes(struct x86_cpu *cpu, u64 lin, const u8 *bytes, unsigned len)
{
	unsigned first = PAGE_SIZE_4K - (lin & 0xfff);
	const u8 *page;
	gpa_t gpa;

	page = soft_fetch_page(cpu, lin, &gpa);
	if (!page)
		return false;
	for (unsigned i = 0; i < first; i++)
		if ((u8)ram_load(page + (lin & 0xfff) + i, 1) != bytes[i])
			return false;
	lin += first;
	page = soft_fetch_page(cpu, cpu->long_mode ? lin : (u32)lin, &gpa);
	if (!page)
		return false;
	for (unsigned i = first; i < len; i++)
		if ((u8)ram_load(page + i - first, 1) != bytes[i])
			return false;
	return true;
}

/* The block of an instruction at lin that goes across the page, if it was met before. */
static struct block *find_straddle(struct x86_cpu *cpu, u64 lin)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	const struct straddle *t;

	if ((lin & 0xfff) + MAX_INSN <= PAGE_SIZE_4K)
		return NULL;
	t = straddle_at(sc, lin);
	if (!t->block || t->lin != lin || t->block->key != sc->key || atomic_load(&t->block->dead))
		return NULL;
	return same_bytes(cpu, lin, t->bytes, t->block->len) ? t->block : NULL;
}

static void keep_straddle(struct x86_cpu *cpu, u64 lin, const struct block *b)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct straddle *t = straddle_at(sc, lin);
	size_t size = sizeof(*b) + (1 + OPS_AFTER) * sizeof(struct op);

	if (sc->key & KEY_LIMITED || (lin & 0xfff) + b->len <= PAGE_SIZE_4K)
		return;
	if (!t->block)
		t->block = malloc(size);
	if (!t->block)
		return;
	memcpy((void *)t->block, (const void *)b, size);
	t->lin = lin;
	/* The very bytes that were decoded: others may have written since. */
	memcpy(t->bytes, sc->shot_bytes, sizeof(t->bytes));
}

/* --- finding -----------------------------------------------------------------------------------
 */

static void check_rip(struct x86_cpu *cpu)
{
	if (!cpu->code64 && cpu->st.rip > cpu->st.seg[SEG_CS].limit)
		x86_raise_gp(cpu, 0);
}

/* An entry that another one drove out of its place in the jump cache is next to it: swap them. */
static struct block *second_place(const struct soft_cpu *sc, u64 lin)
{
	struct jc_ent *first = &sc->ctx->jc[jc_index(lin)];
	struct jc_ent *second = &sc->ctx->jc[jc_index(lin) ^ 1], ent = *second;

	if (!ent.block || ent.lin != lin || ent.key != sc->key || ent.key & KEY_LIMITED ||
	    atomic_load_explicit(&ent.block->dead, memory_order_relaxed))
		return NULL;
	*second = *first;
	*first = ent;
	return ent.block;
}

/* To the jump cache; lin's page is in the instruction TLB. */
static void note_block(struct soft_cpu *sc, u64 lin, struct block *b)
{
	struct jc_ent *j = &sc->ctx->jc[jc_index(lin)];
	bool global = soft_ex(sc->ctx, lin)->global;

	if (j->block) /* not what is empty over what is not */
		sc->ctx->jc[jc_index(lin) ^ 1] = *j;
	*j = (struct jc_ent){lin, b, sc->key, global};
	sc->ctx->jc_used |= jc_group_bit(lin);
	if (!global)
		sc->ctx->jc_local |= jc_group_bit(lin);
}

struct block *soft_known_block(struct soft_cpu *sc, u64 lin)
{
	const struct ex_ent *x = soft_ex(sc->ctx, lin);
	const struct jc_ent *j = &sc->ctx->jc[jc_index(lin)];
	struct block *b = j->block;

	if (b && j->lin == lin && j->key == sc->key &&
	    !atomic_load_explicit(&b->dead, memory_order_relaxed))
		return b;
	if (sc->key & KEY_LIMITED || x->tag != ((lin & ~0xfffull) | is_user(sc->cpu)))
		return NULL;
	b = hash_find(sc->soft, x->host + (lin & 0xfff), sc->key | x->key);
	if (b)
		note_block(sc, lin, b);
	return b;
}

struct block *soft_find_block(struct x86_cpu *cpu)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	u64 lin = cpu->st.rip + cpu->seg_base[SEG_CS];
	gpa_t gpa;
	const u8 *page;
	block_key key;
	struct block *b;

	cpu->op = NULL;
	if (__builtin_expect(atomic_load_explicit(&sc->soft->flush_wanted, memory_order_relaxed),
			     0) &&
	    atomic_exchange(&sc->soft->flush_wanted, false))
		flush_blocks(sc);
	if (!cpu->long_mode)
		lin = (u32)lin;
	b = second_place(sc, lin);
	if (!b)
		b = find_straddle(cpu, lin);
	if (b)
		return b;
	sc->stats.lookups++;
	check_rip(cpu);
	page = soft_fetch_page(cpu, lin, &gpa);
	if (!page)
		return soft_one_shot(cpu);
	key = sc->key | soft_ex(sc->ctx, lin)->key;
	b = hash_find(sc->soft, page + (lin & 0xfff), key);
	if (!b)
		b = build(cpu, page, lin & 0xfff, key);
	if (!b) {
		b = soft_one_shot(cpu);
		keep_straddle(cpu, lin, b);
		return b;
	}
	/* Near the end of a code segment every instruction is checked by itself. */
	if (sc->key & KEY_LIMITED && cpu->st.rip + b->len - 1 > cpu->st.seg[SEG_CS].limit) {
		b = soft_one_shot(cpu);
		if (cpu->st.rip + b->len - 1 > cpu->st.seg[SEG_CS].limit)
			x86_raise_gp(cpu, 0);
		return b;
	}
	note_block(sc, lin, b);
	return b;
}

/* --- set-up --------------------------------------------------------------------------------------
 */

static void on_written(struct as_listener *l, gpa_t addr, u64 len)
{
	struct soft *s = container_of(l, struct soft, listener);

	atomic_fetch_add(&s->dma, 1);
	/* Page by page: it may go over several regions that touch. */
	while (len) {
		u64 left = PAGE_SIZE_4K - (addr & (PAGE_SIZE_4K - 1));
		u64 n = len < left ? len : left;
		void *p = as_ram(s->machine->mem, addr, n, true);

		if (p && soft_page(s, p))
			code_written(s, p, n, &s->kills_dma);
		addr += n;
		len -= n;
	}
}

static void on_map_change(struct as_listener *l, const struct region *r)
{
	struct soft *s = container_of(l, struct soft, listener);

	if (r->kind == REGION_IO)
		return;
	for (unsigned i = 0; i < s->nr_cpus; i++) {
		if (!s->cpus[i])
			continue;
		atomic_store(&s->cpus[i]->flush_due, true);
		atomic_fetch_or(&s->cpus[i]->cpu->v.pending, VCPU_RENDEZVOUS);
	}
}

int soft_init(struct machine *m, struct err *e)
{
	struct soft *s = calloc(1, sizeof(*s));

	if (!s)
		return err_set(e, -ENOMEM, "not enough memory for the block cache");
	s->machine = m;
	s->nr_pages = m->ram_size >> PAGE_BITS;
	s->nr_units = (unsigned)(m->ram_size / LARGE_CODE);
	s->region_of = calloc(s->nr_units + 1u, sizeof(*s->region_of));
	s->pages = mmap(NULL, s->nr_pages * sizeof(*s->pages) + 1, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->pages == MAP_FAILED || !s->region_of) {
		if (s->pages != MAP_FAILED)
			munmap(s->pages, s->nr_pages * sizeof(*s->pages) + 1);
		free((void *)s->region_of);
		free(s);
		return err_set(e, -ENOMEM, "not enough memory to track code pages");
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->gate, NULL);
	pthread_cond_init(&s->idle, NULL);
	pthread_cond_init(&s->open, NULL);
	s->chunk = -1;
	s->epoch = 1;
	s->listener = (struct as_listener){
		.mapped = on_map_change, .unmapped = on_map_change, .written = on_written};
	m->engine_priv = s;
	as_listen(m->mem, &s->listener);
	return 0;
}

void soft_destroy(struct machine *m)
{
	struct soft *s = m->engine_priv;

	if (!s)
		return;
	as_unlisten(m->mem, &s->listener);
	for (unsigned i = 0; i < s->nr_chunks && !s->arena; i++)
		munmap(s->chunks[i].mem, CHUNK_SIZE);
	munmap(s->pages, s->nr_pages * sizeof(*s->pages) + 1);
	free((void *)s->region_of);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->gate);
	pthread_cond_destroy(&s->idle);
	pthread_cond_destroy(&s->open);
	free(s);
	m->engine_priv = NULL;
}
