/* SPDX-License-Identifier: MIT */
/* lock.c - mutexes that know their place in the lock order. */
#include "sundog/lock.h"

#include <assert.h>
#include <stdio.h>

#include "sundog/types.h"

/* What this thread holds, oldest first: only for the checks of debug builds. */
enum { MAX_HELD = 16 };

static _Thread_local struct {
	const struct lock *lock[MAX_HELD];
	unsigned nr;
} held;

static bool may_nest(const struct lock *outer, const struct lock *inner)
{
	if (outer == inner)
		return false;
	if (outer->rank == inner->rank)
		return outer->rank == LOCK_INTC;
	return outer->rank < inner->rank;
}

/* True if l may be taken now; what is wrong is said, since the assertion cannot. */
__attribute__((unused)) static bool order_ok(const struct lock *l)
{
	for (unsigned i = 0; i < held.nr; i++) {
		if (may_nest(held.lock[i], l))
			continue;
		fprintf(stderr, "lock order: %s (rank %d) taken with %s (rank %d) held\n", l->name,
			l->rank, held.lock[i]->name, held.lock[i]->rank);
		return false;
	}
	return true;
}

__attribute__((unused)) static bool note_taken(const struct lock *l)
{
	if (held.nr == MAX_HELD)
		return false;
	held.lock[held.nr++] = l;
	return true;
}

__attribute__((unused)) static bool note_released(const struct lock *l)
{
	for (unsigned i = held.nr; i-- > 0;) {
		if (held.lock[i] != l)
			continue;
		held.nr--;
		for (; i < held.nr; i++)
			held.lock[i] = held.lock[i + 1];
		return true;
	}
	return false;
}

void lock_init(struct lock *l, enum lock_rank rank, const char *name)
{
	pthread_mutex_init(&l->mutex, NULL);
	l->rank = rank;
	l->name = name;
}

void lock_destroy(struct lock *l)
{
	pthread_mutex_destroy(&l->mutex);
}

void lock(struct lock *l)
{
	assert(order_ok(l));
	pthread_mutex_lock(&l->mutex);
	assert(note_taken(l));
}

void unlock(struct lock *l)
{
	assert(note_released(l));
	pthread_mutex_unlock(&l->mutex);
}

void lock_wait(struct lock *l, pthread_cond_t *c)
{
	pthread_cond_wait(c, &l->mutex);
}
