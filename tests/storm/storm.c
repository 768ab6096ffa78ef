/* SPDX-License-Identifier: MIT */
/*
 * storm.c - a static program for Linux guests: storm [-s SECONDS]
 *
 * Time, signals, sleeps and hand-offs as fast as they go, on all CPUs at once: each for so many
 * seconds (default 2).  What must hold: no clock goes backwards, for nobody; every queued signal
 * is handled, and none changes the registers of who it interrupts; no sleep ends early; every
 * wake-up arrives (else it hangs).  How late sleeps end is printed, not judged.
 */
#include <errno.h>
#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum { MAX_THREADS = 16 };

static unsigned seconds = 2, cpus, failures;
static uint64_t end; /* of this part */

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static bool going(void)
{
	return now() < end;
}

static void judge(const char *what, bool good, const char *fmt, uint64_t a, uint64_t b)
{
	printf("%s %s: ", good ? "ok  " : "FAIL", what);
	printf(fmt, (unsigned long long)a, (unsigned long long)b);
	putchar('\n');
	fflush(stdout);
	failures += !good;
}

/* n threads run f(index) until the part is over, and have ended then. */
static void on_threads(unsigned n, void *(*f)(void *))
{
	pthread_t t[MAX_THREADS];

	end = now() + seconds * 1000000000ull;
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&t[i], NULL, f, (void *)(uintptr_t)i))
			exit(2);
	for (unsigned i = 0; i < n; i++)
		pthread_join(t[i], NULL);
}

/* --- time ----------------------------------------------------------------------------------- */

static _Atomic uint64_t latest_ns, latest_tsc, looks, backwards;

/* Later than what any thread had seen before we looked? */
static void look(_Atomic uint64_t *latest, uint64_t before, uint64_t t)
{
	if (t < before)
		backwards++;
	while (before < t && !atomic_compare_exchange_weak(latest, &before, t))
		;
}

static void *clock_thread(void *arg)
{
	uint64_t n = 0;

	for (; going(); n++) {
		uint64_t before = atomic_load(&latest_ns);

		look(&latest_ns, before, now());
		before = atomic_load(&latest_tsc);
		_mm_lfence();
		look(&latest_tsc, before, __rdtsc());
	}
	looks += n;
	return NULL;
}

static void clocks(void)
{
	on_threads(2 * cpus, clock_thread);
	judge("clocks", looks && !backwards, "%llu looks, %llu backwards", looks, backwards);
}

/* --- signals --------------------------------------------------------------------------------- */

static pthread_t worker[MAX_THREADS];
static _Atomic bool working[MAX_THREADS];
static _Atomic uint64_t sent, handled, ticks, wrong;
static volatile double clobber = 1;
static volatile long double clobber87 = 1;

static void use_registers(void)
{
	/* What the kernel has to put back. */
	clobber = sqrt(clobber + 2.25);
	clobber87 = clobber87 * 1.5L - 0.25L;
	if (clobber87 > 1e9L)
		clobber87 = 1;
}

static void on_queued(int sig, siginfo_t *info, void *context)
{
	use_registers();
	handled++;
}

static void on_tick(int sig)
{
	use_registers();
	ticks++;
}

static uint64_t work(uint64_t seed)
{
	uint64_t x = seed | 1, sum = 0, carries = 0;
	double d = 1;
	long double e = 1;

	for (unsigned i = 0; i < 2000; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		__asm__("add %2, %0\n adc $0, %1" : "+r"(sum), "+r"(carries) : "r"(x));
		d = d * 1.0000001 + 1e-9;
		e = e * 1.0000001L + 1e-9L;
	}
	return sum ^ carries << 32 ^ (uint64_t)(d * 1e15) ^ (uint64_t)(e * 1e15L);
}

static void *signal_thread(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, n = cpus + 1;
	uint64_t seed = me + 1, expect = work(seed);
	struct sigevent sev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	struct itimerspec its = {{0, 300000}, {0, 300000}};
	timer_t timer;

	sev._sigev_un._tid = (int)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &sev, &timer) == 0)
		timer_settime(timer, 0, &its, NULL);
	worker[me] = pthread_self();
	working[me] = true;
	while (going()) {
		unsigned to = (me + 1) % n;

		wrong += work(seed) != expect;
		/* Beyond the limit of queued signals it is refused. */
		if (working[to] && pthread_sigqueue(worker[to], SIGRTMIN, (union sigval){0}) == 0)
			sent++;
	}
	timer_delete(timer);
	/* Nobody may be sent to who has ended. */
	while (handled < sent)
		usleep(1000);
	usleep(200000);
	return NULL;
}

static void signals(void)
{
	struct sigaction queued = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigaction tick = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
	struct itimerval its = {{0, 500}, {0, 500}}, off = {{0}};

	sigaction(SIGRTMIN, &queued, NULL);
	sigaction(SIGUSR1, &tick, NULL);
	sigaction(SIGALRM, &tick, NULL);
	setitimer(ITIMER_REAL, &its, NULL);
	on_threads(cpus + 1, signal_thread);
	setitimer(ITIMER_REAL, &off, NULL);
	judge("signals", sent && sent == handled, "%llu sent, %llu handled", sent, handled);
	judge("registers under signals", ticks && !wrong, "%llu ticks, %llu wrong", ticks, wrong);
}

/* --- sleeps ---------------------------------------------------------------------------------- */

static _Atomic uint64_t naps, early, latest_end, missed;

static void note_end(uint64_t due)
{
	uint64_t t = now(), late = t - due, most = latest_end;

	naps++;
	if (t < due) {
		early++;
		return;
	}
	while (most < late && !atomic_compare_exchange_weak(&latest_end, &most, late))
		;
}

static void nap(unsigned round)
{
	uint64_t ns = 1000 + round * 7919 % 2000000, due = now() + ns;
	struct timespec ts = {0, (long)ns};

	if (round % 2) {
		ts = (struct timespec){(time_t)(due / 1000000000), (long)(due % 1000000000)};
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
			;
	} else {
		while (nanosleep(&ts, &ts) && errno == EINTR)
			;
	}
	note_end(due);
}

/* As many expiries as there was room for. */
static void *timerfd_thread(void *arg)
{
	const uint64_t interval = 1000000;
	struct itimerspec its = {{0, (long)interval}, {0, (long)interval}};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	uint64_t before = now(), after, count = 0, n, least;

	timerfd_settime(fd, 0, &its, NULL);
	after = now(); /* it began somewhere in between */
	while (going())
		if (read(fd, &n, sizeof(n)) == sizeof(n))
			count += n;
	least = (now() - after) / interval;
	if (read(fd, &n, sizeof(n)) == sizeof(n))
		count += n;
	missed += count < least || count > (now() - before) / interval;
	close(fd);
	return NULL;
}

static void *sleep_thread(void *arg)
{
	if ((uintptr_t)arg % 2)
		return timerfd_thread(arg);
	for (unsigned i = 0; going(); i++)
		nap(i);
	return NULL;
}

static void sleeps(void)
{
	on_threads(2 * cpus, sleep_thread);
	judge("sleeps", naps && !early, "%llu, %llu early", naps, early);
	judge("timerfd", !missed, "%llu wrong counts; a sleep ended %llu us late at most", missed,
	      latest_end / 1000);
}

/* --- hand-offs ------------------------------------------------------------------------------- */

static _Atomic uint32_t word[MAX_THREADS / 2];
static int pipes[MAX_THREADS][2];
static _Atomic uint64_t by_futex, by_pipe;

static void futex(_Atomic uint32_t *w, int op, uint32_t val)
{
	syscall(SYS_futex, w, op | FUTEX_PRIVATE_FLAG, val, NULL, NULL, 0);
}

/* Even ones wait for even numbers; who ends leaves one that frees the other. */
static void *futex_thread(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	_Atomic uint32_t *w = &word[me / 2];
	uint32_t v;

	while (going()) {
		while ((v = atomic_load(w)) % 2 != me % 2 && v < 1u << 31)
			futex(w, FUTEX_WAIT, v);
		if (v >= 1u << 31)
			break;
		atomic_store(w, v + 1);
		futex(w, FUTEX_WAKE, 1);
		by_futex++;
	}
	atomic_store(w, 1u << 31);
	futex(w, FUTEX_WAKE, 1);
	return NULL;
}

static void *pipe_thread(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	char c = 0;

	if (me % 2 == 0 && write(pipes[me][1], &c, 1) != 1)
		return NULL;
	while (read(pipes[me ^ 1][0], &c, 1) == 1) {
		if (!going())
			c = 1;
		if (write(pipes[me][1], &c, 1) != 1 || c)
			break;
		by_pipe++;
	}
	return NULL;
}

static void hand_offs(void)
{
	unsigned n = 2 * cpus < MAX_THREADS ? 2 * cpus : MAX_THREADS;

	on_threads(n, futex_thread);
	for (unsigned i = 0; i < n; i++)
		if (pipe(pipes[i]))
			exit(2);
	on_threads(n, pipe_thread);
	judge("hand-offs", by_futex && by_pipe, "%llu by futex, %llu by pipe", by_futex, by_pipe);
}

/* --- children ----------------------------------------------------------------------------------
 */

static void children(void)
{
	uint64_t born = 0, buried = 0;

	end = now() + seconds * 1000000000ull;
	while (going()) {
		unsigned n = 0;

		for (; n < 4; n++) {
			pid_t pid = fork();

			if (pid == 0)
				_exit((int)(work(n) & 63));
			if (pid < 0)
				break;
		}
		born += n;
		for (; n; n--)
			buried += wait(NULL) > 0;
	}
	judge("children", born && born == buried, "%llu born, %llu buried", born, buried);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "-s") == 0)
		seconds = (unsigned)atoi(argv[2]);
	cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus > MAX_THREADS / 2)
		cpus = MAX_THREADS / 2;
	clocks();
	signals();
	sleeps();
	hand_offs();
	children();
	printf("storm: %u failures\n", failures);
	return failures != 0;
}
