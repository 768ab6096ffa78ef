/* SPDX-License-Identifier: MIT */
/* link.c - ways from code to code: direct branches linked, taken back, and handed over. */
#include "engine/jit/jit.h"
#include "sundog/trace.h"

static void set_rel32(u8 *site, const u8 *target)
{
	/* Within aligned eight bytes, so one store; only translated code reads it. */
	atomic_thread_fence(memory_order_release);
	*(volatile u32_una *)site = (u32)(i32)(target - (site + 4));
}

struct jit_link *jit_link_at(const struct jit *j, u64 ret)
{
	const u8 *p = (const u8 *)(uintptr_t)ret;
	struct jit_code *c = jit_code_at(j, p - 1);

	for (unsigned i = 0; c && i < c->nr_links; i++)
		if (jit_rx(j, c->link[i].out) + 5 == p)
			return &c->link[i];
	return NULL;
}

/* Where l enters c.  A way across pages brings RIP in T0. */
static u8 *entry_of(const struct jit *j, const struct jit_link *l, const struct jit_code *c)
{
	if (l->off < 0 || l->off >= PAGE_SIZE_4K)
		return jit_rw(j, c->far_entry);
	return jit_rw(j, l->shadow && c->trace ? c->body : c->entry);
}

/* l leaves the code again. */
static void cut_link(struct jit_link *l)
{
	l->to = NULL;
	set_rel32(l->site, l->out);
}

/* l leads to c, if it may: vector registers may have to be loaded, or the interpreter goes on. */
static bool lead_to(struct jit *j, struct jit_link *l, struct jit_code *c)
{
	if (l->shadow && c->vec)
		return false;
	l->to = c;
	l->next_in = c->incoming;
	c->incoming = l;
	set_rel32(l->site, entry_of(j, l, c));
	return true;
}

/* Where l goes in host memory. */
static const u8 *target_of(const struct jit_link *l)
{
	return l->from->block->host - l->from->block->page_off + l->off;
}

/* Can neither be without the other where it is? */
static bool same_place(const struct jit *j, const struct block *a, const struct block *b)
{
	return !(((uintptr_t)a->host ^ (uintptr_t)b->host) >> PAGE_BITS) ||
	       soft_same_region(j->soft, a->host, b->host);
}

/* Let l lead to b's code, if that is where it goes. */
static void link_to(struct jit *j, struct jit_link *l, struct block *b)
{
	struct jit_code *to = b->code;

	if (!to || l->to || l->from->dead || atomic_load(&b->dead) || target_of(l) != b->host ||
	    l->from->block->key != b->key || !same_place(j, l->from->block, b) ||
	    j->soft->split[b->page_off / 64] >> (b->page_off % 64) & 1)
		return;
	if (!lead_to(j, l, to))
		return;
	j->links++;
	trace_jit_link(l->from->far_entry, to->far_entry);
}

/*
 * Its memory may be reused as soon as this vCPU has passed the top of its run loop behind a
 * flush, so it is forgotten when the epoch changes, and not noted if it was given up already.
 */
void jit_note_link(struct soft_cpu *sc, struct jit_link *l)
{
	sc->engine_link = l && !l->from->dead ? l : NULL;
	sc->link_epoch = atomic_load(&sc->soft->epoch);
	if (sc->link_epoch != atomic_load(&sc->seen))
		sc->engine_link = NULL;
}

void jit_use_link(struct jit *j, struct soft_cpu *sc, struct block *b)
{
	if (sc->engine_link && sc->link_epoch == atomic_load(&sc->soft->epoch)) {
		pthread_mutex_lock(&j->soft->lock);
		link_to(j, sc->engine_link, b);
		pthread_mutex_unlock(&j->soft->lock);
	}
	sc->engine_link = NULL;
}

void jit_try_way(struct x86_cpu *cpu, struct jit_link *l)
{
	enum { EACH = 8 /* misses */ };
	struct soft_cpu *sc = soft_cpu(cpu);
	struct jit *j = jit_of(sc->soft);
	u64 lin = x86_cut_rip(cpu, cpu->st.gpr[GPR_PC] + (u64)(i64)l->off);
	struct block *b = soft_known_block(sc, lin);

	cpu->way_misses = EACH;
	if (!b || lin == NO_LIN || j->soft->split[b->page_off / 64] >> (b->page_off % 64) & 1)
		return;
	pthread_mutex_lock(&j->soft->lock);
	if (b->code && !atomic_load(&b->dead) && !l->from->dead) {
		struct jit_code *c = b->code;

		/*
		 * Never to another place: contexts that know it as good go on to do so when what
		 * it led to is gone.
		 */
		if (!l->place) {
			l->place = b->host;
			l->place_key = b->key;
		}
		if (!l->to && l->place == b->host && l->place_key == b->key && lead_to(j, l, c))
			j->links++;
		if (l->to == c) {
			soft_add_jump(sc, lin, b, c->far_entry);
			soft_add_way(sc, l->way);
		}
	}
	pthread_mutex_unlock(&j->soft->lock);
}

void jit_link_all(struct jit *j, struct jit_code *c)
{
	for (unsigned i = 0; i < c->nr_links; i++) {
		struct block *b = soft_block_at(j->soft, target_of(&c->link[i]), c->block->key);

		if (b)
			link_to(j, &c->link[i], b);
	}
}

static void drop_outgoing(struct jit_code *c)
{
	for (unsigned i = 0; i < c->nr_links; i++) {
		struct jit_link *l = &c->link[i], **p;

		if (!l->to)
			continue;
		for (p = &l->to->incoming; *p && *p != l; p = &(*p)->next_in)
			;
		if (*p)
			*p = l->next_in;
		cut_link(l);
	}
}

/*
 * A jump over the instruction at the far entry, which is at the begin of aligned eight bytes and
 * longer than the jump: who runs it meanwhile does the one or the other.
 */
static void redirect_far(struct jit *j, struct jit_code *c, const u8 *target)
{
	u8 *entry = jit_rw(j, c->far_entry);
	u64 was = __atomic_load_n((u64 *)(void *)entry, __ATOMIC_RELAXED);
	u32 d = (u32)(i32)(target - (entry + 5));

	was = (was & ~0xffffffffffull) | 0xe9 | (u64)d << 8;
	__atomic_store_n((u64 *)(void *)entry, was, __ATOMIC_RELEASE);
}

void jit_replace(struct jit *j, struct block *b, struct jit_code *c)
{
	struct jit_code *old = b->code;

	c->older = old;
	__atomic_store_n(&b->code, c, __ATOMIC_RELEASE);
	while (old->incoming) {
		struct jit_link *l = old->incoming;

		old->incoming = l->next_in;
		if (!lead_to(j, l, c))
			cut_link(l);
	}
	redirect_far(j, old, jit_rw(j, c->far_entry));
}

/* Nothing leads to c any more. */
static void kill_code(struct jit *j, struct jit_code *c)
{
	struct block *b = c->block;

	if (c->dead)
		return;
	c->dead = true;
	while (c->incoming) {
		struct jit_link *l = c->incoming;

		c->incoming = l->next_in;
		cut_link(l);
	}
	drop_outgoing(c);
	redirect_far(j, c, j->stubs.leave_rip);
	if (c->older)
		kill_code(j, c->older);
	if (b->code != c)
		return;
	/* The block may live on, if it was another one of the trace that died: from the start. */
	__atomic_store_n(&b->code, NULL, __ATOMIC_RELEASE);
	atomic_store(&b->runs, 0);
}

void jit_killed(struct soft *s, struct block *b)
{
	struct jit *j = jit_of(s);

	if (!b->code && !b->member)
		return;
	if (b->code) {
		jit_report_killed(s, b);
		kill_code(j, b->code);
	}
	for (struct jit_member *m = b->member; m; m = m->next)
		kill_code(j, m->code);
	b->member = NULL;
	for (unsigned i = 0; i < s->nr_cpus; i++)
		if (s->cpus[i])
			atomic_store(&s->cpus[i]->cpu->jit_leave, true);
}

void jit_flushed(struct soft *s, u64 epoch)
{
	trace_jit_flush(epoch);
	jit_code_flushed(jit_of(s), epoch);
}
