/* SPDX-License-Identifier: MIT */
/* loop_test.c - order of timers, tasks from threads, watches, holding back, owners' locks. */
#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/test.h"
#include "sundog/device.h"
#include "sundog/err.h"
#include "sundog/loop.h"
#include "sundog/machine.h"

const struct device_type *const device_types[] = {NULL};

static struct {
	struct loop *loop;
	struct machine m;
	struct device dev;
} t;

struct tick {
	struct timer timer;
	int nr;
};

static int order[16], nr_order;

static void on_tick(struct timer *timer)
{
	struct tick *k = container_of(timer, struct tick, timer);

	check(clock_now(&t.m, timer->clock) > 0);
	check(timer->deadline == 0);
	order[nr_order++] = k->nr;
	if (k->nr == 9)
		loop_stop(t.loop, 99);
}

static void test_timers(void)
{
	u64 now = clock_now(&t.m, CLOCK_GUEST), host = clock_now(&t.m, CLOCK_HOST);
	static const int sorted[] = {7, 1, 2, 3, 9};
	struct tick k[10] = {0};

	for (int i = 0; i < 10; i++) {
		k[i].nr = i;
		k[i].timer.fn = on_tick;
		k[i].timer.owner = i & 1 ? &t.dev : NULL;
		k[i].timer.clock = i == 5 ? CLOCK_HOST : CLOCK_GUEST;
	}
	timer_arm(t.loop, &k[9].timer, now + 9000000);
	timer_arm(t.loop, &k[3].timer, now + 3000000);
	timer_arm(t.loop, &k[7].timer, now + 1000000);
	timer_arm(t.loop, &k[1].timer, now + 1000000); /* same time: as armed */
	timer_arm(t.loop, &k[5].timer, host + 5000000);
	timer_arm(t.loop, &k[4].timer, now + 2000000);
	timer_arm(t.loop, &k[2].timer, now + 2000000);
	timer_cancel(t.loop, &k[4].timer);
	timer_cancel(t.loop, &k[8].timer);	       /* not armed: nothing */
	timer_arm(t.loop, &k[3].timer, now + 7000000); /* later after all */
	check(loop_run(t.loop) == 99);
	check(clock_now(&t.m, CLOCK_GUEST) >= now + 9000000);
	check(nr_order == 6);
	/* The host clock's may come anywhere among those of the guest's if we are late. */
	for (int i = 0, n = 0; i < 6; i++)
		if (order[i] != 5)
			check(order[i] == sorted[n++]);
}

/* --- tasks from threads --------------------------------------------------------------------- */

enum { THREADS = 3, DEFERS = 2000 };

struct job {
	struct task task;
	_Atomic u64 wanted, served; /* every wish is served by a run that comes after it */
	_Atomic unsigned runs;
};

static void on_job(struct task *task)
{
	struct job *j = container_of(task, struct job, task);

	j->runs++;
	atomic_store(&j->served, atomic_load(&j->wanted));
}

static void *deferrer(void *arg)
{
	struct job *j = arg;

	for (int i = 0; i < DEFERS; i++) {
		u64 mine = atomic_fetch_add(&j->wanted, 1) + 1;

		loop_defer(t.loop, &j->task);
		if (i % 50)
			continue;
		for (int spin = 0; atomic_load(&j->served) < mine; spin++) {
			check(spin < 200000);
			usleep(10);
		}
	}
	return NULL;
}

static void *runner(void *arg)
{
	return (void *)(intptr_t)loop_run(t.loop);
}

static void test_tasks(void)
{
	struct job j = {.task = {.fn = on_job, .owner = &t.dev}};
	pthread_t run, th[THREADS];
	void *result;

	pthread_create(&run, NULL, runner, NULL);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&th[i], NULL, deferrer, &j);
	for (int i = 0; i < THREADS; i++)
		pthread_join(th[i], NULL);
	loop_stop(t.loop, 5);
	pthread_join(run, &result);
	check((intptr_t)result == 5);
	loop_step(t.loop);
	check(j.served == THREADS * DEFERS && j.runs <= THREADS * DEFERS + 1);

	loop_defer(t.loop, &j.task);
	loop_defer(t.loop, &j.task);
	j.runs = 0;
	loop_step(t.loop);
	check(j.runs == 1);
	loop_defer(t.loop, &j.task);
	loop_cancel(t.loop, &j.task);
	loop_step(t.loop);
	check(j.runs == 1);
}

/* --- cancel with the owner's lock held ------------------------------------------------------- */

static _Atomic bool forbidden;

static void on_forbidden(struct timer *timer)
{
	check(!atomic_load(&forbidden));
}

static void test_cancel_race(void)
{
	struct timer timer = {.fn = on_forbidden, .owner = &t.dev};
	pthread_t run;

	pthread_create(&run, NULL, runner, NULL);
	for (int i = 0; i < 2000; i++) {
		lock(&t.dev.lock);
		atomic_store(&forbidden, false);
		timer_arm(t.loop, &timer, clock_now(&t.m, CLOCK_GUEST) + 1000);
		unlock(&t.dev.lock);
		for (volatile int spin = 0; spin < i % 400; spin++)
			;
		lock(&t.dev.lock);
		timer_cancel(t.loop, &timer);
		atomic_store(&forbidden, true);
		unlock(&t.dev.lock);
	}
	loop_stop(t.loop, 0);
	pthread_join(run, NULL);
}

/* --- watches and holding --------------------------------------------------------------------- */

struct pipe_watch {
	struct watch watch;
	unsigned bytes;
};

static void on_readable(struct watch *w, u32 events)
{
	struct pipe_watch *p = container_of(w, struct pipe_watch, watch);
	char c;

	check(events & EPOLLIN);
	check(read(w->fd, &c, 1) == 1);
	p->bytes++;
}

static void test_watch(void)
{
	struct tick k = {.timer = {.fn = on_tick, .owner = &t.dev}};
	struct pipe_watch p = {.watch = {.fn = on_readable, .events = EPOLLIN, .owner = &t.dev}};
	struct job own = {.task = {.fn = on_job, .owner = &t.dev}}, free_job = {.task.fn = on_job};
	int fd[2];

	check(!pipe(fd));
	p.watch.fd = fd[0];
	check(!loop_watch(t.loop, &p.watch));
	check(write(fd[1], "abc", 3) == 3);
	loop_step(t.loop);
	check(p.bytes == 1);

	loop_hold(t.loop, true);
	loop_defer(t.loop, &own.task);
	loop_defer(t.loop, &free_job.task);
	nr_order = 0;
	timer_arm(t.loop, &k.timer, 1);
	for (int i = 0; i < 3; i++)
		loop_step(t.loop);
	check(p.bytes == 1 && !own.runs && free_job.runs == 1 && nr_order == 0);
	loop_hold(t.loop, false);
	for (int i = 0; i < 2; i++)
		loop_step(t.loop);
	check(p.bytes == 3 && own.runs == 1 && nr_order == 1);

	p.watch.events = 0;
	check(!loop_watch(t.loop, &p.watch));
	check(write(fd[1], "d", 1) == 1);
	loop_step(t.loop);
	check(p.bytes == 3);
	loop_unwatch(t.loop, &p.watch);
	loop_unwatch(t.loop, &p.watch); /* not there: nothing */
	close(fd[0]);
	close(fd[1]);
}

int main(void)
{
	struct err e;

	t.loop = loop_new();
	check(t.loop && !clock_init(&t.m, &e));
	t.m.loop = t.loop;
	loop_set_machine(t.loop, &t.m);
	clock_resume(&t.m);
	t.dev.machine = &t.m;
	lock_init(&t.dev.lock, LOCK_DEVICE, "dev");

	test_timers();
	test_tasks();
	test_cancel_race();
	test_watch();

	lock_destroy(&t.dev.lock);
	loop_free(t.loop);
	clock_destroy(&t.m);
	return 0;
}
