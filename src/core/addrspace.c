/* SPDX-License-Identifier: MIT */
/*
 * addrspace.c - the flat table of regions: lookup, change, reclaim.
 *
 * A table never changes once it is published.  A reader counts itself in (on one of a few
 * counters, picked by thread, of the current parity), loads the table pointer, works, and
 * counts itself out on the same counter.  A commit publishes a new table and retires the old
 * one, which is freed when both parities' counters have been seen at zero since: whoever had
 * the old table was counted before it was replaced, so is gone by then.  The parity flips
 * when the other one has drained; new readers leave the old one, so each drains in turn.
 *
 * The regions themselves belong to their owners, and readers use them as long as they are
 * counted in: as_synchronize() waits for that.  A table holds copies, since an owner moves
 * a region by unmapping it, changing its base and mapping it again.
 */
#include "core/addrspace.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Its address tells threads apart. */
static _Thread_local char thread_mark;

static struct as_table *table_new(size_t cap)
{
	struct as_table *t = calloc(1, sizeof(*t) + cap * sizeof(t->ent[0]));

	if (t)
		t->cap = cap;
	return t;
}

struct addrspace *as_new(const char *name, u64 size)
{
	struct addrspace *as = aligned_alloc(64, sizeof(*as));
	struct as_table *t = table_new(0);

	if (!as || !t) {
		free(as);
		free(t);
		return NULL;
	}
	memset(as, 0, sizeof(*as));
	as->name = name;
	as->last = size - 1; /* size 0: all of 2^64 */
	lock_init(&as->update, LOCK_ADDRSPACE, name);
	atomic_init(&as->table, t);
	return as;
}

void as_free(struct addrspace *as)
{
	if (!as)
		return;
	while (as->retired) {
		struct as_table *t = as->retired;

		as->retired = t->next;
		free(t);
	}
	free(as->work);
	free(atomic_load(&as->table));
	lock_destroy(&as->update);
	free(as);
}

/* --- readers ------------------------------------------------------------------------- */

/* Threads share a counter only if they must; which one is no matter for correctness. */
static struct as_shard *my_shard(struct addrspace *as)
{
	return &as->shard[((uintptr_t)&thread_mark >> 12) * 0x9e3779b1u >> 8 & (AS_SHARDS - 1)];
}

const struct as_table *as_enter(struct addrspace *as, struct as_reader *rd)
{
	unsigned parity = atomic_load_explicit(&as->parity, memory_order_relaxed) & 1;

	rd->count = &my_shard(as)->active[parity];
	/* Before the table is loaded: pairs with the loads in note_idle(). */
	atomic_fetch_add(rd->count, 1);
	return atomic_load(&as->table);
}

void as_leave(const struct as_reader *rd)
{
	atomic_fetch_sub_explicit(rd->count, 1, memory_order_release);
}

const struct as_entry *as_lookup(const struct as_table *t, u64 addr)
{
	size_t lo = 0, hi = t->nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->ent[mid].last < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->nr && t->ent[lo].r.base <= addr ? &t->ent[lo] : NULL;
}

const struct region *as_find(struct addrspace *as, u64 addr)
{
	struct as_reader rd;
	const struct as_entry *ent = as_lookup(as_enter(as, &rd), addr);
	const struct region *r = ent ? ent->orig : NULL;

	as_leave(&rd);
	return r;
}

/* --- reclaim ------------------------------------------------------------------------- */

static bool parity_idle(struct addrspace *as, unsigned parity)
{
	for (unsigned i = 0; i < AS_SHARDS; i++) {
		/* Pairs with as_leave(): what its reader did is over. */
		if (atomic_load(&as->shard[i].active[parity]))
			return false;
	}
	return true;
}

/* Which parities are idle at some moment from now on; moves new readers to an idle one. */
static unsigned note_idle(struct addrspace *as)
{
	unsigned parity = atomic_load(&as->parity) & 1, idle = 0;

	for (unsigned p = 0; p < 2; p++) {
		if (parity_idle(as, p))
			idle |= 1u << p;
	}
	if (idle & 1u << !parity)
		atomic_store(&as->parity, !parity);
	return idle;
}

static void reclaim_locked(struct addrspace *as)
{
	struct as_table **p = &as->retired;
	unsigned idle;

	if (!*p)
		return;
	idle = note_idle(as);
	while (*p) {
		struct as_table *t = *p;

		t->idle |= idle;
		if (t->idle == 3) {
			*p = t->next;
			free(t);
		} else {
			p = &t->next;
		}
	}
}

void as_synchronize(struct addrspace *as)
{
	unsigned idle = 0;

	for (;;) {
		lock(&as->update);
		idle |= note_idle(as);
		reclaim_locked(as);
		unlock(&as->update);
		if (idle == 3)
			return;
		usleep(20);
	}
}

/* --- changes ------------------------------------------------------------------------- */

static bool batch_is_mine(struct addrspace *as)
{
	/* Relaxed: only our own store can make it equal. */
	return atomic_load_explicit(&as->batch_owner, memory_order_relaxed) ==
	       (uintptr_t)&thread_mark;
}

static void set_batch_owner(struct addrspace *as, const char *mark)
{
	atomic_store_explicit(&as->batch_owner, (uintptr_t)mark, memory_order_relaxed);
}

void as_begin(struct addrspace *as)
{
	if (batch_is_mine(as)) {
		as->batch_depth++;
		return;
	}
	lock(&as->update);
	set_batch_owner(as, &thread_mark);
	as->batch_depth = 1;
}

static bool has_entry(const struct as_table *t, const struct as_entry *ent)
{
	const struct as_entry *other = as_lookup(t, ent->r.base);

	return other && other->orig == ent->orig && other->r.base == ent->r.base &&
	       other->last == ent->last && other->r.kind == ent->r.kind &&
	       other->r.host == ent->r.host;
}

/* Tell the listeners of what is in a and not in b. */
static void tell_difference(struct addrspace *as, const struct as_table *a,
			    const struct as_table *b, bool mapped)
{
	for (size_t i = 0; i < a->nr; i++) {
		if (has_entry(b, &a->ent[i]))
			continue;
		for (struct as_listener *l = atomic_load(&as->listeners); l; l = l->next) {
			if (mapped && l->mapped)
				l->mapped(l, &a->ent[i].r);
			if (!mapped && l->unmapped)
				l->unmapped(l, &a->ent[i].r);
		}
	}
}

static void publish_locked(struct addrspace *as)
{
	struct as_table *t = as->work, *old;

	as->work = NULL;
	/* Before the counters are looked at: pairs with as_enter(). */
	old = atomic_exchange(&as->table, t);
	tell_difference(as, old, t, false);
	tell_difference(as, t, old, true);
	old->idle = 0;
	old->next = as->retired;
	as->retired = old;
	reclaim_locked(as);
}

void as_commit(struct addrspace *as)
{
	assert(batch_is_mine(as) && as->batch_depth);
	if (as->batch_depth > 1) {
		as->batch_depth--;
		return;
	}
	while (as->work)
		publish_locked(as);
	as->batch_depth = 0;
	set_batch_owner(as, NULL);
	unlock(&as->update);
}

/* The batch's own table, with room for one more; NULL: no memory. */
static struct as_table *work_table(struct addrspace *as)
{
	const struct as_table *from = as->work ? as->work : atomic_load(&as->table);
	struct as_table *t = as->work;

	if (t && t->nr < t->cap)
		return t;
	t = table_new(from->nr + from->nr / 2 + 8);
	if (!t)
		return NULL;
	memcpy(t->ent, from->ent, from->nr * sizeof(t->ent[0]));
	t->nr = from->nr;
	free(as->work);
	as->work = t;
	return t;
}

static int map_locked(struct addrspace *as, const struct region *r)
{
	struct as_table *t;
	u64 last;
	size_t i;

	if (!r->size || r->base > as->last || r->size - 1 > as->last - r->base)
		return -EINVAL;
	last = r->base + (r->size - 1);
	t = work_table(as);
	if (!t)
		return -ENOMEM;
	for (i = 0; i < t->nr && t->ent[i].last < r->base; i++)
		;
	if (i < t->nr && t->ent[i].r.base <= last)
		return -EEXIST;
	memmove(&t->ent[i + 1], &t->ent[i], (t->nr - i) * sizeof(t->ent[0]));
	t->ent[i] = (struct as_entry){.last = last, .r = *r, .orig = r};
	t->nr++;
	return 0;
}

int as_map(struct addrspace *as, const struct region *r)
{
	int err;

	as_begin(as);
	err = map_locked(as, r);
	as_commit(as);
	return err;
}

void as_unmap(struct addrspace *as, const struct region *r)
{
	struct as_table *t;

	as_begin(as);
	t = work_table(as);
	/* Our own few kilobytes, not the guest's doing; and a region must not outlive this. */
	if (!t)
		abort();
	for (size_t i = 0; i < t->nr; i++) {
		if (t->ent[i].orig != r)
			continue;
		t->nr--;
		memmove(&t->ent[i], &t->ent[i + 1], (t->nr - i) * sizeof(t->ent[0]));
		break;
	}
	as_commit(as);
}

/* --- listeners ----------------------------------------------------------------------- */

void as_listen(struct addrspace *as, struct as_listener *l)
{
	const struct as_table *t;

	as_begin(as);
	l->next = atomic_load(&as->listeners);
	atomic_store(&as->listeners, l);
	t = atomic_load(&as->table);
	for (size_t i = 0; l->mapped && i < t->nr; i++)
		l->mapped(l, &t->ent[i].r);
	as_commit(as);
}

void as_unlisten(struct addrspace *as, struct as_listener *l)
{
	struct as_listener *p;

	as_begin(as);
	p = atomic_load(&as->listeners);
	if (p == l) {
		atomic_store(&as->listeners, l->next);
	} else {
		while (p && p->next != l)
			p = p->next;
		if (p)
			p->next = l->next;
	}
	as_commit(as);
}
