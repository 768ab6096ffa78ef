/* SPDX-License-Identifier: MIT */
/*
 * vcpu.c - a vCPU's thread: running, halting, signals, its timer, its way to devices.
 *
 * No wake-up is lost: a halting vCPU says that it sleeps, then looks at cpu->pending, then
 * waits on a futex that compares the value it saw; who raises a bit sets it first and then
 * looks whether anyone sleeps.
 *
 * The deadline timer signals the vCPU's own thread.  Its handler reads the guest's clock and,
 * if the host's timer was early (the two clocks differ by some parts per million), sets it
 * again.  A halted vCPU does not rely on it: it waits no longer than until the deadline.
 */
#include "core/vcpu.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/host.h"
#include "sundog/clock.h"
#include "sundog/isa.h"
#include "sundog/trace.h"

enum { TIMER_SIGNAL_OFFSET = 2 }; /* from SIGRTMIN, which is no constant */
enum { SIGNAL_STACK = 64 << 10 }; /* with its guard page */

static struct vcpu_thread *thread_of(struct vcpu *cpu)
{
	return cpu->thread;
}

/* --- the deadline ---------------------------------------------------------------------- */

static struct timespec timespec_of(u64 ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
				 .tv_nsec = (long)(ns % 1000000000)};
}

/*
 * The guest's time d, which is to come, on the host's clock; too early rather than too late if
 * we are interrupted here.  False: it has come.
 */
static bool host_time_of(struct machine *m, u64 d, u64 *host)
{
	const u64 far = 1ull << 62;
	u64 then = clock_now(m, CLOCK_HOST), now = clock_now(m, CLOCK_GUEST);

	if (now >= d)
		return false;
	*host = then + (d - now < far ? d - now : far);
	return true;
}

/* To go off at host ns; 0: never. */
static void set_host_timer(struct vcpu_thread *t, u64 ns)
{
	struct itimerspec its = {.it_value = timespec_of(ns)};

	timer_settime(t->timer, TIMER_ABSTIME, &its, NULL);
}

/*
 * Make the host timer agree with the deadline, or raise VCPU_TIMER.  Safe in a signal handler.
 * Looks again afterwards: the handler may have interrupted, or run beside, a change.
 */
static bool follow_deadline(struct vcpu_thread *t)
{
	u64 d, host;

	do {
		d = atomic_load(&t->deadline);
		if (!d)
			return false;
		if (!host_time_of(t->cpu->machine, d, &host)) {
			atomic_fetch_or(&t->cpu->pending, VCPU_TIMER);
			return true;
		}
		set_host_timer(t, host);
	} while (atomic_load(&t->deadline) != d);
	return false;
}

static void on_timer_signal(int sig, siginfo_t *info, void *context)
{
	struct vcpu_thread *t = info->si_value.sival_ptr;
	int saved = errno;

	if (info->si_code == SI_TIMER && atomic_load(&t->timer_live))
		follow_deadline(t);
	errno = saved;
}

void vcpu_set_deadline(struct vcpu *cpu, u64 deadline)
{
	struct vcpu_thread *t = thread_of(cpu);
	bool due = false;

	lock(&t->lock);
	atomic_store(&t->deadline, deadline);
	/* Off or not ours to set: an armed timer goes off for nothing, once. */
	if (deadline && atomic_load(&t->timer_live))
		due = follow_deadline(t);
	unlock(&t->lock);
	/* A halted vCPU has to look how long it may sleep now. */
	if (due || atomic_load(&t->sleeping))
		vcpu_raise(cpu, VCPU_TIMER);
}

void vcpu_timer_due(struct vcpu *cpu)
{
	struct vcpu_thread *t = thread_of(cpu);
	u64 d;

	atomic_fetch_and(&cpu->pending, ~(u32)VCPU_TIMER);
	d = atomic_load(&t->deadline);
	if (!d || clock_now(cpu->machine, CLOCK_GUEST) < d)
		return; /* moved meanwhile: the timer is set for it */
	if (atomic_compare_exchange_strong(&t->deadline, &d, 0) && cpu->lapic_ops)
		cpu->lapic_ops->timer(cpu);
}

void vcpu_park(struct vcpu *cpu)
{
	struct vcpu_thread *t = thread_of(cpu);

	lock(&t->lock);
	atomic_store(&t->timer_live, false);
	set_host_timer(t, 0);
	unlock(&t->lock);
}

void vcpu_unpark(struct vcpu *cpu)
{
	struct vcpu_thread *t = thread_of(cpu);

	lock(&t->lock);
	atomic_store(&t->timer_live, true);
	follow_deadline(t);
	unlock(&t->lock);
}

/* --- pending bits and halting ---------------------------------------------------------- */

/* Of this process only; a time to wait for is one of CLOCK_MONOTONIC. */
static long futex(_Atomic u32 *word, int op, u32 val, const struct timespec *until)
{
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, val, until, NULL,
		       FUTEX_BITSET_MATCH_ANY);
}

void vcpu_raise(struct vcpu *cpu, u32 bits)
{
	struct vcpu_thread *t = thread_of(cpu);

	/* Sequentially consistent, as is the look at .sleeping: pairs with halt_once(). */
	atomic_fetch_or(&cpu->pending, bits);
	if (t && atomic_load(&t->sleeping))
		futex(&cpu->pending, FUTEX_WAKE, 1, NULL);
	if (cpu->ops && cpu->ops->kick)
		cpu->ops->kick(cpu);
}

/* Sleep until a bit changes or the deadline comes. */
static void halt_once(struct vcpu *cpu, u32 seen)
{
	struct vcpu_thread *t = thread_of(cpu);
	struct timespec until;
	u64 d, host = 0;

	atomic_store(&t->sleeping, true);
	d = atomic_load(&t->deadline);
	if (!d || host_time_of(cpu->machine, d, &host)) {
		until = timespec_of(host);
		futex(&cpu->pending, FUTEX_WAIT_BITSET, seen, d ? &until : NULL);
	}
	atomic_store(&t->sleeping, false);
	if (d && clock_now(cpu->machine, CLOCK_GUEST) >= d)
		atomic_fetch_or(&cpu->pending, VCPU_TIMER);
}

/* Until there is something for run() or for our caller to do. */
static void halt(struct vcpu *cpu)
{
	const u32 for_caller = VCPU_STOP | VCPU_INIT | VCPU_SIPI | VCPU_RENDEZVOUS;

	for (;;) {
		u32 pending = atomic_load(&cpu->pending);

		if (pending & VCPU_TIMER) {
			vcpu_timer_due(cpu);
			continue;
		}
		if ((pending & for_caller) || cpu->isa->wakes(cpu))
			return;
		halt_once(cpu, pending);
	}
}

static void take_signals(struct vcpu *cpu)
{
	u32 pending = atomic_load(&cpu->pending);

	if (!(pending & (VCPU_INIT | VCPU_SIPI)))
		return;
	if (pending & VCPU_INIT) {
		atomic_fetch_and(&cpu->pending, ~(u32)VCPU_INIT);
		trace_vcpu_signal(cpu->index, "INIT", 0);
		cpu->isa->init_signal(cpu);
	}
	if (pending & VCPU_SIPI) {
		u8 vector;

		atomic_fetch_and(&cpu->pending, ~(u32)VCPU_SIPI);
		vector = atomic_load(&cpu->sipi_vector);
		trace_vcpu_signal(cpu->index, "SIPI", vector);
		cpu->isa->startup(cpu, vector); /* which ignores it unless it waits for one */
	}
	cpu->ops->state_changed(cpu);
}

/* --- the thread ------------------------------------------------------------------------- */

static void triple_fault(struct vcpu *cpu)
{
	struct machine *m = cpu->machine;
	struct err e = {0};

	if (cpu->ops->sync && cpu->ops->sync(cpu, &e))
		fprintf(stderr, "sundog: cpu%u: registers may be stale: %s\n", cpu->index, e.msg);
	if (m->hooks.shutdown && m->hooks.shutdown(cpu, m->hooks.opaque))
		return;
	cpu->isa->autopsy(cpu, stderr);
	machine_request_shutdown(m, EXIT_GUEST_CRASH);
}

static const char *exit_name(enum vcpu_exit why)
{
	switch (why) {
	case VCPU_EXIT_KICKED: return "kicked";
	case VCPU_EXIT_HALTED: return "halted";
	case VCPU_EXIT_SHUTDOWN: return "shutdown";
	case VCPU_EXIT_DEBUG: return "debug";
	case VCPU_EXIT_ERROR: return "error";
	}
	return "?";
}

static void act_on_exit(struct vcpu *cpu, enum vcpu_exit why)
{
	struct machine *m = cpu->machine;

	switch (why) {
	case VCPU_EXIT_KICKED: break;
	case VCPU_EXIT_HALTED: halt(cpu); break;
	case VCPU_EXIT_SHUTDOWN: triple_fault(cpu); break;
	case VCPU_EXIT_DEBUG:
		if (m->hooks.debug)
			m->hooks.debug(cpu, m->hooks.opaque);
		break;
	case VCPU_EXIT_ERROR:
		fprintf(stderr, "sundog: cpu%u: %s\n", cpu->index,
			cpu->err && cpu->err->code ? cpu->err->msg : "the engine failed");
		machine_request_shutdown(m, EXIT_HOST);
		break;
	}
}

/* Handlers of faults have a stack of their own: the thread's may be what is wrong. */
static void *new_signal_stack(stack_t *old)
{
	const size_t guard = 4096;
	stack_t ss = {.ss_size = SIGNAL_STACK - guard};
	u8 *p = mmap(NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

	if (p == MAP_FAILED)
		return NULL; /* then they have the thread's */
	mprotect(p, guard, PROT_NONE);
	ss.ss_sp = p + guard;
	if (sigaltstack(&ss, old) == 0)
		return p;
	munmap(p, SIGNAL_STACK);
	return NULL;
}

static void free_signal_stack(void *p, const stack_t *old)
{
	if (!p)
		return;
	sigaltstack(old, NULL);
	munmap(p, SIGNAL_STACK);
}

static void *vcpu_main(void *arg)
{
	struct vcpu *cpu = arg;
	struct vcpu_thread *t = thread_of(cpu);
	stack_t old_stack;
	void *stack;
	struct sigevent sev = {
		.sigev_notify = SIGEV_THREAD_ID,
		.sigev_signo = SIGRTMIN + TIMER_SIGNAL_OFFSET,
		.sigev_value.sival_ptr = t,
	};
	sigset_t set;

	trace_thread("cpu%u", cpu->index);
	sev._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &sev, &t->timer)) {
		fprintf(stderr, "sundog: cpu%u: no timer: %s\n", cpu->index, strerror(errno));
		machine_request_shutdown(cpu->machine, EXIT_HOST);
		return NULL;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + TIMER_SIGNAL_OFFSET);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	stack = new_signal_stack(&old_stack);

	while (machine_gate(cpu)) {
		enum vcpu_exit why;

		take_signals(cpu);
		why = cpu->ops->run(cpu, host_run_budget());
		if (trace_on[TRACE_vcpu_exit])
			trace_vcpu_exit(cpu->index, exit_name(why), cpu->ops->pc(cpu));
		act_on_exit(cpu, why);
		host_poll_signals();
	}

	/* Nothing of ours may arrive once the timer is gone. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	vcpu_park(cpu);
	timer_delete(t->timer);
	free_signal_stack(stack, &old_stack);
	return NULL;
}

int vcpu_thread_new(struct vcpu *cpu, struct err *e)
{
	struct vcpu_thread *t = calloc(1, sizeof(*t));

	if (!t)
		return err_set(e, -ENOMEM, "out of memory");
	t->cpu = cpu;
	lock_init(&t->lock, LOCK_VCPU, "vcpu");
	cpu->thread = t;
	if (!cpu->err)
		cpu->err = &t->err;
	return 0;
}

void vcpu_thread_free(struct vcpu *cpu)
{
	struct vcpu_thread *t = thread_of(cpu);

	if (!t)
		return;
	lock_destroy(&t->lock);
	if (cpu->err == &t->err)
		cpu->err = NULL;
	cpu->thread = NULL;
	free(t);
}

int vcpu_thread_start(struct vcpu *cpu, struct err *e)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
	struct vcpu_thread *t = thread_of(cpu);
	struct sigaction sa = {.sa_sigaction = on_timer_signal,
			       .sa_flags = SA_SIGINFO | SA_RESTART};
	char name[16];
	sigset_t all, old;
	int r;

	if (sigaction(SIGRTMIN + TIMER_SIGNAL_OFFSET, &sa, NULL))
		return err_set(e, -errno, "cannot handle the timer signal: %s", strerror(errno));
	/* Signals meant for the process are for the main thread; faults are our own. */
	sigfillset(&all);
	for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t->tid, NULL, vcpu_main, cpu);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r)
		return err_set(e, -r, "cannot start the thread of cpu%u: %s", cpu->index,
			       strerror(r));
	t->started = true;
	snprintf(name, sizeof(name), "vcpu%u", cpu->index);
	pthread_setname_np(t->tid, name);
	return 0;
}

void vcpu_thread_join(struct vcpu *cpu)
{
	struct vcpu_thread *t = thread_of(cpu);

	if (!t || !t->started)
		return;
	pthread_join(t->tid, NULL);
	t->started = false;
}

/* --- the way to devices ------------------------------------------------------------------ */

/* Registers are 32 bits at multiples of 16; SDM 3A, "Local APIC Block Diagram". */
static u64 lapic_load(struct vcpu *cpu, u32 off, unsigned size)
{
	u32 reg = off & ~15u, byte = off & 15u;
	u64 val = byte < 4 ? (u32)cpu->lapic_ops->read(cpu, reg) >> byte * 8 : 0;

	if (size < 8)
		val &= (1ull << size * 8) - 1;
	trace_io_read("lapic", off, size, val);
	return val;
}

static void lapic_store(struct vcpu *cpu, u32 off, u64 val, unsigned size)
{
	trace_io_write("lapic", off, size, val);
	/* Narrow or askew writes are undefined: ignored. */
	if (!(off & 15) && size >= 4)
		cpu->lapic_ops->write(cpu, off, (u32)val);
}

static bool is_lapic(struct vcpu *cpu, const struct addrspace *as, u64 addr)
{
	return (addr & ~0xfffull) == atomic_load_explicit(&cpu->lapic_page, memory_order_relaxed) &&
	       as == cpu->machine->mem && cpu->lapic_ops;
}

static u64 load(struct vcpu *cpu, struct addrspace *as, u64 addr, unsigned size)
{
	u64 val;

	if (cpu->ops->access_begin)
		cpu->ops->access_begin(cpu);
	if (is_lapic(cpu, as, addr))
		val = lapic_load(cpu, addr & 0xfff, size);
	else
		val = as_load(as, addr, size);
	if (cpu->ops->access_end)
		cpu->ops->access_end(cpu);
	return val;
}

static void store(struct vcpu *cpu, struct addrspace *as, u64 addr, u64 val, unsigned size)
{
	if (cpu->ops->access_begin)
		cpu->ops->access_begin(cpu);
	if (is_lapic(cpu, as, addr))
		lapic_store(cpu, addr & 0xfff, val, size);
	else
		as_store(as, addr, val, size);
	if (cpu->ops->access_end)
		cpu->ops->access_end(cpu);
}

/* By way of who records what devices say. */
static u64 tapped(struct vcpu *cpu, struct vcpu_access a)
{
	if (cpu->tap->before(cpu, &a))
		return a.val;
	if (a.write)
		store(cpu, a.as, a.addr, a.val, a.size);
	else
		a.val = load(cpu, a.as, a.addr, a.size);
	if (cpu->tap)
		cpu->tap->after(cpu, &a);
	return a.val;
}

u64 vcpu_load(struct vcpu *cpu, struct addrspace *as, u64 addr, unsigned size)
{
	if (__builtin_expect(cpu->tap != NULL, 0))
		return tapped(cpu, (struct vcpu_access){as, addr, 0, size, false});
	return load(cpu, as, addr, size);
}

void vcpu_store(struct vcpu *cpu, struct addrspace *as, u64 addr, u64 val, unsigned size)
{
	if (__builtin_expect(cpu->tap != NULL, 0))
		tapped(cpu, (struct vcpu_access){as, addr, val, size, true});
	else
		store(cpu, as, addr, val, size);
}
