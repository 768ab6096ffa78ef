/* SPDX-License-Identifier: MIT */
/*
 * rendezvous.c - stopping the other vCPUs for a moment: exclusive sections.
 *
 * in_guest and exclusive are written and then the other one read, each with full barriers
 * (sequentially consistent atomics), so one of the two sides sees the other.
 */
#include "engine/soft/soft.h"

void soft_enter(struct soft_cpu *sc)
{
	struct soft *s = sc->soft;

	if (sc->alone)
		return;
	atomic_store(&sc->in_guest, true);
	if (__builtin_expect(!atomic_load(&s->exclusive), 1))
		return;

	pthread_mutex_lock(&s->gate);
	atomic_store(&sc->in_guest, false);
	pthread_cond_broadcast(&s->idle);
	while (atomic_load(&s->exclusive))
		pthread_cond_wait(&s->open, &s->gate);
	atomic_store(&sc->in_guest, true);
	pthread_mutex_unlock(&s->gate);
}

void soft_leave(struct soft_cpu *sc)
{
	struct soft *s = sc->soft;

	if (sc->alone)
		return;
	atomic_store(&sc->in_guest, false);
	if (__builtin_expect(!atomic_load(&s->exclusive), 1))
		return;

	pthread_mutex_lock(&s->gate);
	pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->gate);
}

static bool others_in_guest(const struct soft *s, const struct soft_cpu *self)
{
	for (unsigned i = 0; i < s->nr_cpus; i++)
		if (s->cpus[i] && s->cpus[i] != self && atomic_load(&s->cpus[i]->in_guest))
			return true;
	return false;
}

void soft_exclusive_begin(struct soft_cpu *sc)
{
	struct soft *s = sc->soft;

	if (sc->alone++)
		return;
	pthread_mutex_lock(&s->gate);
	/* Count as stopped while waiting for somebody else's section. */
	while (atomic_load(&s->exclusive)) {
		atomic_store(&sc->in_guest, false);
		pthread_cond_broadcast(&s->idle);
		pthread_cond_wait(&s->open, &s->gate);
	}
	atomic_store(&sc->in_guest, true);
	atomic_store(&s->exclusive, true);
	for (unsigned i = 0; i < s->nr_cpus; i++)
		if (s->cpus[i] && s->cpus[i] != sc && atomic_load(&s->cpus[i]->in_guest))
			atomic_fetch_or(&s->cpus[i]->cpu->v.pending, VCPU_RENDEZVOUS);
	while (others_in_guest(s, sc))
		pthread_cond_wait(&s->idle, &s->gate);
	pthread_mutex_unlock(&s->gate);
	sc->stats.exclusives++;
}

void soft_exclusive_end(struct soft_cpu *sc)
{
	struct soft *s = sc->soft;

	if (--sc->alone)
		return;
	pthread_mutex_lock(&s->gate);
	atomic_store(&s->exclusive, false);
	pthread_cond_broadcast(&s->open);
	pthread_mutex_unlock(&s->gate);
}
