/* SPDX-License-Identifier: MIT */
/*
 * machine.c - building a machine, and who may run when.
 *
 * A vCPU's thread passes machine_gate() each time it is out of run(), and waits there while
 * anyone has stopped the vCPUs (core->stops) or a request stands (core->requests).  A request
 * may come from inside a register write with a device's lock held, so it only notes what is
 * wanted, tells the vCPUs to leave run(), and hands the rest to the loop, which holds nothing.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "core/machine.h"
#include "core/vcpu.h"
#include "sundog/clock.h"
#include "sundog/control.h"
#include "sundog/isa.h"
#include "sundog/trace.h"

/* --- the gate --------------------------------------------------------------------------- */

static bool must_wait_locked(const struct machine_core *c, const struct vcpu_thread *t)
{
	return !c->quit && (c->stops || c->requests || t->held);
}

static bool gate_slow(struct vcpu *cpu)
{
	struct machine_core *c = cpu->machine->core;
	struct vcpu_thread *t = cpu->thread;
	bool quit;

	vcpu_park(cpu);
	lock(&c->lock);
	if (t->in_run) {
		t->in_run = false;
		c->running--;
		pthread_cond_broadcast(&c->changed);
	}
	while (must_wait_locked(c, t))
		lock_wait(&c->lock, &c->changed);
	quit = c->quit;
	if (!quit) {
		/* Set under this lock only, so no stop is missed. */
		atomic_fetch_and(&cpu->pending, ~(u32)VCPU_STOP);
		t->in_run = true;
		c->running++;
	}
	unlock(&c->lock);
	if (!quit)
		vcpu_unpark(cpu);
	return !quit;
}

bool machine_gate(struct vcpu *cpu)
{
	struct vcpu_thread *t = cpu->thread;

	if (t->in_run && !(atomic_load(&cpu->pending) & VCPU_STOP))
		return true;
	return gate_slow(cpu);
}

static void tell_vcpus_locked(struct machine *m)
{
	for (unsigned i = 0; i < m->nr_vcpus; i++)
		vcpu_raise(m->vcpus[i], VCPU_STOP);
}

void machine_stop_vcpus(struct machine *m)
{
	struct machine_core *c = m->core;

	lock(&c->lock);
	c->stops++;
	tell_vcpus_locked(m);
	while (c->running)
		lock_wait(&c->lock, &c->changed);
	unlock(&c->lock);
}

void machine_start_vcpus(struct machine *m)
{
	struct machine_core *c = m->core;

	lock(&c->lock);
	assert(c->stops);
	c->stops--;
	pthread_cond_broadcast(&c->changed);
	unlock(&c->lock);
}

void machine_hold_vcpu(struct vcpu *cpu, bool hold)
{
	struct machine_core *c = cpu->machine->core;
	struct vcpu_thread *t = cpu->thread;

	lock(&c->lock);
	t->held = hold;
	pthread_cond_broadcast(&c->changed);
	unlock(&c->lock);
}

/* --- pause and resume --------------------------------------------------------------------- */

/* Until no device has I/O in flight that would write to guest memory. */
static void quiesce_devices(struct machine *m, bool forget)
{
	for (struct device *dev = m->devices; dev; dev = dev->next) {
		if (dev->type->quiesce)
			dev->type->quiesce(dev, forget);
	}
}

/* False: it rested already. */
static bool come_to_rest(struct machine *m)
{
	if (atomic_load(&m->state) != MACHINE_RUNNING)
		return false;
	trace_machine_state("pause");
	machine_stop_vcpus(m);
	loop_hold(m->loop, true);
	quiesce_devices(m, false);
	clock_pause(m);
	atomic_store(&m->state, MACHINE_PAUSED);
	return true;
}

void machine_pause(struct machine *m)
{
	if (come_to_rest(m))
		control_event(m, CONTROL_PAUSED, NULL);
}

static void go_on(struct machine *m)
{
	trace_machine_state("resume");
	atomic_store(&m->state, MACHINE_RUNNING);
	clock_resume(m);
	loop_hold(m->loop, false);
	machine_start_vcpus(m);
	for (struct run_hook *h = m->core->run_hooks; h; h = h->next)
		h->fn(h);
}

void machine_resume(struct machine *m)
{
	if (atomic_load(&m->state) != MACHINE_PAUSED)
		return;
	control_event(m, CONTROL_RESUMED, NULL);
	go_on(m);
}

void machine_add_run_hook(struct machine *m, struct run_hook *h)
{
	h->next = m->core->run_hooks;
	m->core->run_hooks = h;
}

void machine_remove_run_hook(struct machine *m, struct run_hook *h)
{
	struct run_hook **p = &m->core->run_hooks;

	while (*p && *p != h)
		p = &(*p)->next;
	if (*p)
		*p = h->next;
}

/* --- requests ----------------------------------------------------------------------------- */

static void request(struct machine *m, enum machine_request what)
{
	struct machine_core *c = m->core;

	lock(&c->lock);
	c->requests |= what;
	tell_vcpus_locked(m);
	unlock(&c->lock);
	loop_defer(m->loop, &c->task);
}

void machine_request_pause(struct machine *m)
{
	request(m, REQUEST_PAUSE);
}

void machine_request_reset(struct machine *m)
{
	request(m, REQUEST_RESET);
}

void machine_request_end(struct machine *m, int exit_code, const char *reason)
{
	struct machine_core *c = m->core;

	lock(&c->lock);
	/* The first reason counts. */
	if (!(c->requests & REQUEST_SHUTDOWN)) {
		c->exit_code = exit_code;
		c->reason = reason;
	}
	c->requests |= REQUEST_SHUTDOWN;
	tell_vcpus_locked(m);
	unlock(&c->lock);
	loop_defer(m->loop, &c->task);
}

void machine_request_shutdown(struct machine *m, int exit_code)
{
	const char *reason = "guest-exit"; /* a debug-exit device's own status */

	switch (exit_code) {
	case EXIT_GUEST_OFF: reason = "guest-off"; break;
	case EXIT_HOST: reason = "host-error"; break;
	case EXIT_GUEST_CRASH: reason = "guest-crash"; break;
	case EXIT_ENGINE_BUG: reason = "engine-bug"; break;
	}
	machine_request_end(m, exit_code, reason);
}

bool machine_power_button(struct machine *m)
{
	if (!m->board->power_button || atomic_load(&m->state) != MACHINE_RUNNING ||
	    !m->board->power_button(m))
		return false;
	control_event(m, CONTROL_POWERDOWN, NULL);
	return true;
}

int machine_reset_now(struct machine *m, struct err *e)
{
	trace_machine_state("reset");
	device_reset_all(m);
	/*
	 * A read that is late must not land in what the next boot loads, nor a write on what it
	 * writes.  After the reset: before, what is done lets devices take more from their queues.
	 */
	quiesce_devices(m, true);
	for (unsigned i = 0; i < m->nr_vcpus; i++) {
		struct vcpu *cpu = m->vcpus[i];

		atomic_fetch_and(&cpu->pending, (u32)VCPU_STOP);
		vcpu_set_deadline(cpu, 0);
		if (cpu->lapic_ops && cpu->lapic_ops->reset)
			cpu->lapic_ops->reset(cpu, false);
		m->isa->reset(cpu, RESET_POWER_ON);
	}
	if (m->board->reset && m->board->reset(m, e))
		return e->code ? e->code : -EIO;
	for (unsigned i = 0; i < m->nr_vcpus; i++)
		m->vcpus[i]->ops->state_changed(m->vcpus[i]);
	return 0;
}

static void do_reset(struct machine *m)
{
	struct err e = {0};

	if (m->board->crashed && m->board->crashed(m)) {
		machine_request_shutdown(m, EXIT_GUEST_CRASH);
		return;
	}
	if (m->cfg && m->cfg->no_reboot) {
		machine_request_end(m, EXIT_GUEST_OFF, "guest-reset");
		return;
	}
	machine_stop_vcpus(m);
	if (machine_reset_now(m, &e)) {
		fprintf(stderr, "sundog: cannot reset the machine: %s\n", e.msg);
		machine_request_shutdown(m, e.code == -ENOEXEC ? EXIT_INPUT : EXIT_HOST);
	}
	machine_start_vcpus(m);
	control_event(m, CONTROL_RESET, NULL);
	if (m->hooks.was_reset)
		m->hooks.was_reset(m, m->hooks.opaque);
}

static void do_pause(struct machine *m)
{
	machine_pause(m);
	if (m->hooks.paused)
		m->hooks.paused(m, m->hooks.opaque);
}

/* On the loop's thread, no lock held. */
static void serve_requests(struct task *t)
{
	struct machine_core *c = container_of(t, struct machine_core, task);
	struct machine *m = c->machine;
	u32 todo;

	lock(&c->lock);
	todo = c->requests;
	unlock(&c->lock);

	if (todo & REQUEST_RESET)
		do_reset(m);
	if (todo & REQUEST_PAUSE)
		do_pause(m);

	lock(&c->lock);
	/* A shutdown stands for ever: no vCPU runs again. */
	c->requests &= ~todo | REQUEST_SHUTDOWN;
	todo = c->requests;
	pthread_cond_broadcast(&c->changed);
	unlock(&c->lock);

	if (todo & REQUEST_SHUTDOWN) {
		struct control_note note = {.reason = c->reason, .status = c->exit_code};

		come_to_rest(m);
		trace_machine_state("down");
		atomic_store(&m->state, MACHINE_DOWN);
		control_event(m, CONTROL_SHUTDOWN, &note);
		loop_stop(m->loop, c->exit_code);
	}
}

/* --- running ------------------------------------------------------------------------------- */

int machine_start(struct machine *m, struct err *e)
{
	for (unsigned i = 0; i < m->nr_vcpus; i++) {
		int r = vcpu_thread_start(m->vcpus[i], e);

		if (r)
			return r; /* machine_free() ends those that stand at the gate */
	}
	/* From here on the vCPUs are stopped once, as machine_core_new() left them. */
	loop_hold(m->loop, true);
	atomic_store(&m->state, MACHINE_PAUSED);
	control_event(m, CONTROL_STARTED, NULL);
	if (!m->start_paused)
		go_on(m);
	return 0;
}

int machine_run(struct machine *m)
{
	trace_thread("loop");
	return loop_run(m->loop);
}

int machine_core_new(struct machine *m, struct err *e)
{
	struct machine_core *c = calloc(1, sizeof(*c));

	if (!c)
		return err_set(e, -ENOMEM, "out of memory");
	c->machine = m;
	lock_init(&c->lock, LOCK_LEAF, "machine core");
	pthread_cond_init(&c->changed, NULL);
	c->stops = 1;
	c->task.fn = serve_requests;
	m->core = c;
	return 0;
}

void machine_core_quit(struct machine *m)
{
	struct machine_core *c = m->core;

	lock(&c->lock);
	c->quit = true;
	tell_vcpus_locked(m);
	pthread_cond_broadcast(&c->changed);
	unlock(&c->lock);
	for (unsigned i = 0; i < m->nr_vcpus; i++)
		vcpu_thread_join(m->vcpus[i]);
}

void machine_core_free(struct machine *m)
{
	if (!m->core)
		return;
	if (m->loop)
		loop_cancel(m->loop, &m->core->task);
	pthread_cond_destroy(&m->core->changed);
	lock_destroy(&m->core->lock);
	free(m->core);
	m->core = NULL;
}
