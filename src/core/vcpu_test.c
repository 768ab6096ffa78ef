/* SPDX-License-Identifier: MIT */
/* vcpu_test.c - a machine with an engine that counts: halts, wake-ups, timers, pause, reset. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/test.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/isa.h"
#include "sundog/machine.h"
#include "sundog/opts.h"

enum { WAKES = 4000, RESET_PORT = 0x64, OFF_PORT = 0x65 };

/* What the "guest" of a fake vCPU does. */
enum program { PROG_COUNT_WAKES, PROG_SPIN, PROG_RESET, PROG_TIMER, PROG_TRIPLE };

struct fake_cpu {
	struct vcpu v;
	bool halted, waits_for_sipi;
	_Atomic u64 wakes, spins, timers, resets, after_request, sipis;
	_Atomic u64 last_late;
	u64 deadline;
};

static _Atomic enum program program;
static _Atomic unsigned port_resets;

static struct fake_cpu *fake(struct vcpu *cpu)
{
	return (struct fake_cpu *)cpu;
}

/* --- a fake ISA --------------------------------------------------------------------------- */

static struct vcpu *fake_new(struct machine *m, unsigned index, struct err *e)
{
	struct fake_cpu *f = calloc(1, sizeof(*f));

	return f ? &f->v : NULL;
}

static void fake_free(struct vcpu *cpu)
{
	free(cpu);
}

static void fake_reset(struct vcpu *cpu, enum vcpu_reset how)
{
	fake(cpu)->halted = false;
	fake(cpu)->waits_for_sipi = cpu->index != 0;
	fake(cpu)->resets++;
}

static void fake_init_signal(struct vcpu *cpu)
{
	fake_reset(cpu, RESET_INIT);
	fake(cpu)->waits_for_sipi = true;
}

static void fake_startup(struct vcpu *cpu, u8 vector)
{
	if (!fake(cpu)->waits_for_sipi)
		return;
	check(vector == 0x9a);
	fake(cpu)->sipis++;
	fake(cpu)->waits_for_sipi = false;
}

static bool fake_wakes(struct vcpu *cpu)
{
	u32 bits = fake(cpu)->waits_for_sipi ? VCPU_SIPI : VCPU_INTR | VCPU_NMI;

	return atomic_load(&cpu->pending) & bits;
}

static int fake_features(struct machine *m, const char *model, struct err *e)
{
	return 0;
}

static void fake_autopsy(struct vcpu *cpu, FILE *f)
{
	port_resets++;
}

static const char *const fake_models[] = {"fake", NULL};

const struct isa_ops x86_isa = {
	.name = "fake",
	.vcpu_new = fake_new,
	.vcpu_free = fake_free,
	.reset = fake_reset,
	.init_signal = fake_init_signal,
	.startup = fake_startup,
	.wakes = fake_wakes,
	.models = fake_models,
	.features = fake_features,
	.autopsy = fake_autopsy,
};

/* --- a fake local APIC ---------------------------------------------------------------------- */

static void fake_timer(struct vcpu *cpu)
{
	struct fake_cpu *f = fake(cpu);
	u64 now = clock_now(cpu->machine, CLOCK_GUEST);

	check(now >= f->deadline);
	if (now - f->deadline > atomic_load(&f->last_late))
		f->last_late = now - f->deadline;
	f->timers++;
	vcpu_raise(cpu, VCPU_INTR);
}

static u64 fake_read(struct vcpu *cpu, u32 reg)
{
	return 0xa5000000 | reg;
}

static void fake_write(struct vcpu *cpu, u32 reg, u64 val)
{
}

static const struct lapic_ops fake_lapic = {
	.name = "fake",
	.timer = fake_timer,
	.read = fake_read,
	.write = fake_write,
};

/* --- a fake engine -------------------------------------------------------------------------- */

static enum vcpu_exit run_program(struct vcpu *cpu)
{
	struct fake_cpu *f = fake(cpu);

	switch (atomic_load(&program)) {
	case PROG_COUNT_WAKES: f->halted = true; return VCPU_EXIT_HALTED;
	case PROG_SPIN: f->spins++; break;
	case PROG_RESET:
		if (f->resets < 5) {
			vcpu_store(cpu, cpu->machine->pio, RESET_PORT, 0xfe, 1);
			if (!(atomic_load(&cpu->pending) & VCPU_STOP))
				f->after_request++;
		} else {
			vcpu_store(cpu, cpu->machine->pio, OFF_PORT, 42, 1);
		}
		break;
	case PROG_TIMER:
		f->deadline = clock_now(cpu->machine, CLOCK_GUEST) + 200000;
		vcpu_set_deadline(cpu, f->deadline);
		f->halted = f->timers & 1;
		return f->halted ? VCPU_EXIT_HALTED : VCPU_EXIT_KICKED;
	case PROG_TRIPLE: return VCPU_EXIT_SHUTDOWN;
	}
	return VCPU_EXIT_KICKED;
}

static enum vcpu_exit fake_run(struct vcpu *cpu, u64 budget)
{
	struct fake_cpu *f = fake(cpu);

	for (;;) {
		u32 p = atomic_load(&cpu->pending);
		enum vcpu_exit why;

		if (p & (VCPU_STOP | VCPU_INIT | VCPU_SIPI))
			return VCPU_EXIT_KICKED;
		if (p & VCPU_TIMER)
			vcpu_timer_due(cpu);
		if (f->waits_for_sipi)
			return VCPU_EXIT_HALTED;
		if (p & VCPU_INTR) {
			atomic_fetch_and(&cpu->pending, ~(u32)VCPU_INTR);
			f->wakes++;
			f->halted = false;
		}
		if (f->halted)
			return VCPU_EXIT_HALTED;
		why = run_program(cpu);
		if (why != VCPU_EXIT_KICKED)
			return why;
		/* A running guest waits for its timer without a halt. */
		while (program == PROG_TIMER && !atomic_load(&cpu->pending))
			usleep(20);
		if (budget)
			return why;
	}
}

static void fake_state_changed(struct vcpu *cpu)
{
}

static u64 fake_pc(const struct vcpu *cpu)
{
	return 0;
}

static const struct engine_ops fake_engine = {
	.name = "fake",
	.doc = "counts",
	.run = fake_run,
	.state_changed = fake_state_changed,
	.pc = fake_pc,
	.lapic = &fake_lapic,
};

const struct engine_ops *const engines[] = {&fake_engine, NULL};
/* A device that always has something waiting, until it is reset and told to forget it. */
static unsigned waiting_resets, forgotten;

static void waiting_reset(struct device *dev)
{
	waiting_resets++;
}

static void waiting_quiesce(struct device *dev, bool forget)
{
	/* What is done before the reset could make it start more. */
	check(!forget || waiting_resets == forgotten + 1 || waiting_resets == forgotten + 2);
	forgotten = forget ? waiting_resets : forgotten;
}

static const struct device_type waiting_type = {
	.name = "waiting",
	.size = sizeof(struct device),
	.params = (const struct param[]){{0}},
	.reset = waiting_reset,
	.quiesce = waiting_quiesce,
};

const struct device_type *const device_types[] = {&waiting_type, NULL};

/* --- a fake board --------------------------------------------------------------------------- */

static u64 port_read(void *dev, u64 off, unsigned size)
{
	return 0;
}

static void port_write(void *opaque, u64 off, u64 val, unsigned size)
{
	struct machine *m = opaque;

	if (off == 0) {
		port_resets++;
		machine_request_reset(m);
	} else {
		machine_request_shutdown(m, (int)val);
	}
}

static const struct io_ops port_ops = {port_read, port_write, IO_8};
static struct region ports = {
	.name = "reset", .base = RESET_PORT, .size = 2, .kind = REGION_IO, .ops = &port_ops};

static int fake_build(struct machine *m, const struct machine_cfg *cfg, struct err *e)
{
	struct opts *o = opts_new("waiting");
	struct device *dev = device_add(m, o, e);

	opts_free(o);
	ports.opaque = m;
	return dev ? as_map(m->pio, &ports) : e->code;
}

static void fake_destroy(struct machine *m)
{
	as_unmap(m->pio, &ports);
	device_del_all(m);
}

static const struct board fake_board = {
	.name = "fake", .build = fake_build, .destroy = fake_destroy};
const struct board *const boards[] = {&fake_board, NULL};

/* --- the tests ------------------------------------------------------------------------------ */

static struct machine *start(enum program p, unsigned cpus, const struct machine_cfg *extra)
{
	static struct machine_cfg cfg;
	struct machine *m;
	struct err e;

	cfg = extra ? *extra : (struct machine_cfg){0};
	cfg.board = "fake";
	cfg.engine = "auto";
	cfg.nr_cpus = cpus;
	cfg.memory = 1 << 20;
	program = p;
	port_resets = 0;
	waiting_resets = forgotten = 0;
	m = machine_new(&cfg, &e);
	check(m);
	check(!machine_start(m, &e));
	return m;
}

static void *loop_thread(void *arg)
{
	return (void *)(intptr_t)machine_run(arg);
}

static int finish(struct machine *m, pthread_t loop)
{
	void *status;

	pthread_join(loop, &status);
	check(atomic_load(&m->state) == MACHINE_DOWN);
	machine_free(m);
	return (int)(intptr_t)status;
}

static bool soon(_Atomic u64 *counter, u64 at_least)
{
	for (int i = 0; i < 20000; i++) {
		if (atomic_load(counter) >= at_least)
			return true;
		usleep(i < 100 ? 10 : 500);
	}
	return false;
}

/* Each raise waits for its wake: a lost one hangs and fails. */
static void test_wakes(void)
{
	struct machine *m = start(PROG_COUNT_WAKES, 1, NULL);
	struct fake_cpu *f = fake(m->vcpus[0]);
	pthread_t t;

	pthread_create(&t, NULL, loop_thread, m);
	for (u64 i = 1; i <= WAKES; i++) {
		vcpu_raise(&f->v, VCPU_INTR);
		for (u64 spin = 0; atomic_load(&f->wakes) < i; spin++) {
			if (spin > 2000)
				check(soon(&f->wakes, i));
		}
	}
	machine_request_shutdown(m, 7);
	machine_request_shutdown(m, 8); /* too late */
	check(finish(m, t) == 7);
}

static void test_sipi(void)
{
	struct machine *m = start(PROG_COUNT_WAKES, 4, NULL);
	pthread_t t;

	pthread_create(&t, NULL, loop_thread, m);
	for (unsigned i = 1; i < 4; i++) {
		struct fake_cpu *f = fake(m->vcpus[i]);

		vcpu_raise(&f->v, VCPU_INIT);
		check(soon(&f->resets, 2));
		f->v.sipi_vector = 0x9a;
		vcpu_raise(&f->v, VCPU_SIPI);
		check(soon(&f->sipis, 1));
		vcpu_raise(&f->v, VCPU_INTR);
		check(soon(&f->wakes, 1));
	}
	machine_request_shutdown(m, 0);
	check(finish(m, t) == 0);
}

static void test_pause(void)
{
	struct machine *m = start(PROG_SPIN, 3, NULL);
	struct fake_cpu *f = fake(m->vcpus[0]);

	for (int i = 0; i < 50; i++) {
		u64 n, now;

		check(soon(&f->spins, atomic_load(&f->spins) + 1));
		machine_pause(m);
		machine_pause(m);
		n = f->spins;
		now = clock_now(m, CLOCK_GUEST);
		usleep(200);
		check(f->spins == n);
		check(clock_now(m, CLOCK_GUEST) == now);
		machine_resume(m);
		machine_stop_vcpus(m);
		machine_stop_vcpus(m);
		machine_start_vcpus(m);
		n = f->spins;
		usleep(50);
		check(f->spins == n);
		machine_start_vcpus(m);
	}
	machine_free(m); /* from the midst of it */
}

static void test_reset(void)
{
	struct machine *m = start(PROG_RESET, 2, NULL);
	struct fake_cpu *f = fake(m->vcpus[0]);
	pthread_t t;
	void *status;

	pthread_create(&t, NULL, loop_thread, m);
	pthread_join(t, &status);
	check((intptr_t)status == 42);
	check(f->after_request == 0);
	check(f->resets == 5); /* one at birth */
	check(port_resets == 4);
	check(waiting_resets == 6 &&
	      forgotten == 6); /* two at birth: the device's and the machine's */
	machine_free(m);

	m = start(PROG_RESET, 1, &(struct machine_cfg){.no_reboot = true});
	check(machine_run(m) == EXIT_GUEST_OFF);
	machine_free(m);
}

static void test_timer(void)
{
	struct machine *m = start(PROG_TIMER, 1, NULL);
	struct fake_cpu *f = fake(m->vcpus[0]);
	pthread_t t;

	pthread_create(&t, NULL, loop_thread, m);
	check(soon(&f->timers, 300));
	machine_request_shutdown(m, 0);
	check(finish(m, t) == 0);
}

static void test_triple_fault(void)
{
	struct machine *m = start(PROG_TRIPLE, 1, NULL);

	check(machine_run(m) == EXIT_GUEST_CRASH);
	check(port_resets == 1);
	machine_free(m);
}

static void test_lapic_page(void)
{
	struct machine *m = start(PROG_COUNT_WAKES, 1, NULL);
	struct vcpu *cpu = m->vcpus[0];

	machine_stop_vcpus(m);
	check(vcpu_load(cpu, m->mem, 0xfee00020, 4) == 0xffffffff);
	cpu->lapic_page = 0xfee00000;
	check(vcpu_load(cpu, m->mem, 0xfee00020, 4) == 0xa5000020);
	check(vcpu_load(cpu, m->mem, 0xfee00023, 1) == 0xa5);
	check(vcpu_load(cpu, m->mem, 0xfee00024, 4) == 0);
	check(vcpu_load(cpu, m->pio, 0xfee00020, 4) == 0xffffffff);
	machine_start_vcpus(m);
	machine_free(m);
}

static void test_refusals(void)
{
	struct machine_cfg cfg = {.board = "fake", .engine = "auto", .nr_cpus = 1, .memory = 4096};
	struct machine_cfg bad;
	struct err e;

	bad = cfg;
	bad.engine = "fak";
	check(!machine_new(&bad, &e) && e.code == -EINVAL && strstr(e.msg, "'fake'"));
	bad = cfg;
	bad.memory = 4097;
	check(!machine_new(&bad, &e) && e.code == -EINVAL);
	bad = cfg;
	bad.nr_cpus = 1000;
	check(!machine_new(&bad, &e) && e.code == -EINVAL);
	bad = cfg;
	bad.board = "zoo";
	check(!machine_new(&bad, &e) && e.code == -EINVAL);
}

int main(void)
{
	test_refusals();
	test_wakes();
	test_sipi();
	test_pause();
	test_reset();
	test_timer();
	test_triple_fault();
	test_lapic_page();
	return 0;
}
