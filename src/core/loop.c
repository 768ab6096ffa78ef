/* SPDX-License-Identifier: MIT */
/*
 * loop.c - the event loop on epoll.
 *
 * Two descriptors wake it: an eventfd for tasks and requests, a timerfd for timers.  Arming a
 * timer that comes before all others sets the timerfd, which needs no wake-up of the loop.
 * The timerfd counts on the host's clock and the guest's runs by the TSC; a timer that is
 * early by that difference is set again for the rest, so deadlines never drift.
 *
 * Locking: loop->lock (a leaf) guards the lists.  A callback's owner is locked first, then the
 * list is looked at again: whoever cancelled meanwhile held that lock.
 */
#include "sundog/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "sundog/device.h"
#include "sundog/lock.h"

enum { MAX_EVENTS = 16, NR_CLOCKS = 2 };

struct loop {
	struct machine *machine;
	struct lock lock;
	pthread_cond_t idle; /* a callback has ended */
	int epfd, wakefd, timerfd;

	struct timer *timers[NR_CLOCKS]; /* sorted */
	struct task *tasks, **tasks_end;
	struct watch *watches;
	struct epoll_event ready[MAX_EVENTS]; /* what epoll gave; unwatching clears it there */

	_Atomic bool woken; /* the eventfd has been written to */
	bool stop, held;
	int result;
	bool busy; /* a callback of a device runs, on ... */
	pthread_t runner;
};

static int add_own(struct loop *l, int fd, void *tag)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = tag};

	return fd < 0 ? -1 : epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev);
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	lock_init(&l->lock, LOCK_LEAF, "loop");
	pthread_cond_init(&l->idle, NULL);
	l->tasks_end = &l->tasks;
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	l->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->epfd < 0 || add_own(l, l->wakefd, &l->wakefd) ||
	    add_own(l, l->timerfd, &l->timerfd)) {
		loop_free(l);
		return NULL;
	}
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	if (l->epfd >= 0)
		close(l->epfd);
	if (l->wakefd >= 0)
		close(l->wakefd);
	if (l->timerfd >= 0)
		close(l->timerfd);
	pthread_cond_destroy(&l->idle);
	lock_destroy(&l->lock);
	free(l);
}

void loop_set_machine(struct loop *l, struct machine *m)
{
	l->machine = m;
}

static void wake(struct loop *l)
{
	u64 one = 1;

	/* A full counter wakes, too. */
	if (!atomic_exchange(&l->woken, true) && write(l->wakefd, &one, sizeof(one)) < 0)
		return;
}

/* Hold the owner's lock and be the running callback. */
static void enter(struct loop *l, struct device *owner)
{
	if (owner)
		lock(&owner->lock);
	lock(&l->lock);
}

static void leave(struct loop *l, struct device *owner)
{
	lock(&l->lock);
	l->busy = false;
	pthread_cond_broadcast(&l->idle);
	unlock(&l->lock);
	if (owner)
		unlock(&owner->lock);
}

static void start_callback_locked(struct loop *l)
{
	l->busy = true;
	l->runner = pthread_self();
	unlock(&l->lock);
}

/* Nothing to do after all. */
static void back_out_locked(struct loop *l, struct device *owner)
{
	unlock(&l->lock);
	if (owner)
		unlock(&owner->lock);
}

/* --- timers --------------------------------------------------------------------------- */

static bool clock_held(const struct loop *l, const struct timer *t)
{
	return l->held && (t->clock == CLOCK_GUEST || t->owner);
}

/* The first timer of a clock that may run now. */
static struct timer *first_timer(const struct loop *l, enum clock c)
{
	struct timer *t = l->timers[c];

	while (t && clock_held(l, t))
		t = t->next;
	return t;
}

/* Set the timerfd for what is first. */
static void program_timer_locked(struct loop *l)
{
	const u64 far = 1ull << 62;
	/* Before the other clocks: too early rather than too late if we are interrupted here. */
	u64 host = clock_now(l->machine, CLOCK_HOST), best = UINT64_MAX;
	struct itimerspec its = {0};

	for (unsigned c = 0; c < NR_CLOCKS; c++) {
		const struct timer *t = first_timer(l, c);
		u64 now, left;

		if (!t)
			continue;
		now = clock_now(l->machine, c);
		left = t->deadline > now ? t->deadline - now : 0;
		if (left < best)
			best = left < far ? left : far;
	}
	if (best != UINT64_MAX) {
		its.it_value.tv_sec = (time_t)((host + best) / 1000000000);
		its.it_value.tv_nsec = (long)((host + best) % 1000000000);
	}
	timerfd_settime(l->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
}

static bool timer_remove_locked(struct loop *l, struct timer *t)
{
	for (struct timer **p = &l->timers[t->clock]; *p; p = &(*p)->next) {
		if (*p != t)
			continue;
		*p = t->next;
		return true;
	}
	return false;
}

void timer_arm(struct loop *l, struct timer *t, u64 deadline)
{
	struct timer **p;

	lock(&l->lock);
	if (t->deadline)
		timer_remove_locked(l, t);
	t->deadline = deadline ? deadline : 1;
	for (p = &l->timers[t->clock]; *p && (*p)->deadline <= t->deadline; p = &(*p)->next)
		;
	t->next = *p;
	*p = t;
	if (first_timer(l, t->clock) == t)
		program_timer_locked(l);
	unlock(&l->lock);
}

void timer_cancel(struct loop *l, struct timer *t)
{
	lock(&l->lock);
	/* The timerfd may go off for nothing; that is cheaper than setting it each time. */
	if (t->deadline)
		timer_remove_locked(l, t);
	t->deadline = 0;
	unlock(&l->lock);
}

static bool timer_due(const struct loop *l, const struct timer *t)
{
	return t->deadline && t->deadline <= clock_now(l->machine, t->clock);
}

/* Is t still in the list and due?  It may be gone altogether: only its address is used. */
static bool still_due_locked(struct loop *l, enum clock c, struct timer *t)
{
	struct timer *p = l->timers[c];

	while (p && p != t)
		p = p->next;
	return p && timer_due(l, p) && !clock_held(l, p);
}

static bool run_one_timer(struct loop *l, enum clock c)
{
	struct device *owner;
	struct timer *t;

	lock(&l->lock);
	t = first_timer(l, c);
	if (!t || !timer_due(l, t)) {
		unlock(&l->lock);
		return false;
	}
	owner = t->owner;
	unlock(&l->lock);

	enter(l, owner);
	if (!still_due_locked(l, c, t)) {
		back_out_locked(l, owner);
		return true;
	}
	timer_remove_locked(l, t);
	t->deadline = 0;
	start_callback_locked(l);
	t->fn(t);
	leave(l, owner);
	return true;
}

static void run_timers(struct loop *l)
{
	/* Bounded: a timer that is always due again leaves room for the rest. */
	for (unsigned c = 0; c < NR_CLOCKS; c++) {
		for (int i = 0; i < 64 && run_one_timer(l, c); i++)
			;
	}
	lock(&l->lock);
	program_timer_locked(l);
	unlock(&l->lock);
}

/* --- tasks ---------------------------------------------------------------------------- */

void loop_defer(struct loop *l, struct task *t)
{
	lock(&l->lock);
	if (!atomic_load(&t->queued)) {
		atomic_store(&t->queued, true);
		t->next = NULL;
		*l->tasks_end = t;
		l->tasks_end = &t->next;
	}
	unlock(&l->lock);
	wake(l);
}

static bool task_remove_locked(struct loop *l, struct task *t)
{
	for (struct task **p = &l->tasks; *p; p = &(*p)->next) {
		if (*p != t)
			continue;
		*p = t->next;
		if (!*p)
			l->tasks_end = p;
		return true;
	}
	return false;
}

void loop_cancel(struct loop *l, struct task *t)
{
	lock(&l->lock);
	if (task_remove_locked(l, t))
		atomic_store(&t->queued, false);
	unlock(&l->lock);
}

/* The first that may run now. */
static struct task *first_task(const struct loop *l)
{
	struct task *t = l->tasks;

	while (t && l->held && t->owner)
		t = t->next;
	return t;
}

static bool run_one_task(struct loop *l)
{
	struct device *owner;
	struct task *t;

	lock(&l->lock);
	t = first_task(l);
	owner = t ? t->owner : NULL;
	unlock(&l->lock);
	if (!t)
		return false;

	enter(l, owner);
	if ((l->held && owner) || !task_remove_locked(l, t)) {
		back_out_locked(l, owner);
		return true;
	}
	/* Before fn: what is deferred from now on runs again. */
	atomic_store(&t->queued, false);
	start_callback_locked(l);
	t->fn(t);
	leave(l, owner);
	return true;
}

/* --- watches -------------------------------------------------------------------------- */

static int watch_ctl(struct loop *l, int op, struct watch *w)
{
	struct epoll_event ev = {.events = w->events, .data.ptr = w};

	return epoll_ctl(l->epfd, op, w->fd, &ev) ? -errno : 0;
}

static struct watch **find_watch(struct loop *l, const struct watch *w)
{
	struct watch **p = &l->watches;

	while (*p && *p != w)
		p = &(*p)->next;
	return p;
}

int loop_watch(struct loop *l, struct watch *w)
{
	int r = 0;

	lock(&l->lock);
	if (*find_watch(l, w)) {
		if (!w->parked)
			r = watch_ctl(l, EPOLL_CTL_MOD, w);
	} else {
		w->parked = l->held && w->owner;
		if (!w->parked)
			r = watch_ctl(l, EPOLL_CTL_ADD, w);
		if (!r) {
			w->next = l->watches;
			l->watches = w;
		}
	}
	unlock(&l->lock);
	return r;
}

void loop_unwatch(struct loop *l, struct watch *w)
{
	struct watch **p;

	lock(&l->lock);
	p = find_watch(l, w);
	if (*p) {
		*p = w->next;
		if (!w->parked)
			watch_ctl(l, EPOLL_CTL_DEL, w);
	}
	for (int i = 0; i < MAX_EVENTS; i++) {
		if (l->ready[i].data.ptr == w)
			l->ready[i].data.ptr = NULL;
	}
	unlock(&l->lock);
}

/* Take what belongs to a device out of epoll, which would report it over and over. */
static void park_watches_locked(struct loop *l, bool park)
{
	for (struct watch *w = l->watches; w; w = w->next) {
		if (!w->owner || w->parked == park)
			continue;
		w->parked = park;
		watch_ctl(l, park ? EPOLL_CTL_DEL : EPOLL_CTL_ADD, w);
	}
}

static void run_watch(struct loop *l, int i)
{
	struct device *owner = NULL;
	struct watch *w;
	u32 events;

	lock(&l->lock);
	w = l->ready[i].data.ptr;
	if (w)
		owner = w->owner;
	unlock(&l->lock);
	if (!w)
		return;

	enter(l, owner);
	w = l->ready[i].data.ptr;
	if (!w || w->parked) {
		back_out_locked(l, owner);
		return;
	}
	events = l->ready[i].events;
	start_callback_locked(l);
	w->fn(w, events);
	leave(l, owner);
}

/* --- the loop ------------------------------------------------------------------------- */

static void drain(int fd)
{
	u64 n;

	if (read(fd, &n, sizeof(n)) < 0)
		return; /* nothing in it: someone was faster */
}

static void wait_and_run(struct loop *l, int timeout_ms)
{
	struct epoll_event got[MAX_EVENTS];
	int n = epoll_wait(l->epfd, got, MAX_EVENTS, timeout_ms);

	lock(&l->lock);
	memset(l->ready, 0, sizeof(l->ready));
	for (int i = 0; i < n; i++) {
		struct watch *w = got[i].data.ptr;

		if (got[i].data.ptr == &l->timerfd) {
			drain(l->timerfd);
		} else if (got[i].data.ptr == &l->wakefd) {
			drain(l->wakefd);
			/* Before the tasks are looked at: a later one writes again. */
			atomic_store(&l->woken, false);
		} else if (*find_watch(l, w)) {
			/* Else it was unwatched since epoll_wait(). */
			l->ready[i] = got[i];
		}
	}
	unlock(&l->lock);

	run_timers(l);
	for (int i = 0; i < 64 && run_one_task(l); i++)
		;
	for (int i = 0; i < n; i++)
		run_watch(l, i);
	lock(&l->lock);
	if (first_task(l))
		wake(l);
	unlock(&l->lock);
}

int loop_run(struct loop *l)
{
	int result;

	lock(&l->lock);
	while (!l->stop) {
		unlock(&l->lock);
		wait_and_run(l, -1);
		lock(&l->lock);
	}
	l->stop = false;
	result = l->result;
	unlock(&l->lock);
	return result;
}

void loop_step(struct loop *l)
{
	wait_and_run(l, 0);
}

void loop_stop(struct loop *l, int result)
{
	lock(&l->lock);
	l->stop = true;
	l->result = result;
	unlock(&l->lock);
	wake(l);
}

void loop_hold(struct loop *l, bool hold)
{
	lock(&l->lock);
	while (hold && l->busy && !pthread_equal(l->runner, pthread_self()))
		lock_wait(&l->lock, &l->idle);
	l->held = hold;
	park_watches_locked(l, hold);
	program_timer_locked(l);
	unlock(&l->lock);
	wake(l);
}
