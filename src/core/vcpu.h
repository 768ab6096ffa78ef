/* SPDX-License-Identifier: MIT */
/*
 * core/vcpu.h - a vCPU's thread, between machine.c (when it may run) and vcpu.c (how).
 */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "sundog/err.h"
#include "sundog/lock.h"
#include "sundog/machine.h"

struct vcpu_thread {
	struct vcpu *cpu;
	pthread_t tid;
	bool started; /* tid is to be joined */
	bool in_run;  /* counted in core->running; under core->lock */
	bool held;    /* a debugger keeps it out of run(); under core->lock */
	struct err err;

	_Atomic bool sleeping; /* in (or about to enter) the futex of a halt */

	struct lock lock;	 /* LOCK_VCPU: the host timer agrees with the deadline */
	_Atomic u64 deadline;	 /* CLOCK_GUEST ns; 0: none */
	_Atomic bool timer_live; /* there is a host timer, and the vCPU is not parked */
	timer_t timer;
};

/* vcpu->thread, before anything may call vcpu_raise() or vcpu_set_deadline(). */
int vcpu_thread_new(struct vcpu *cpu, struct err *e) must_check;
void vcpu_thread_free(struct vcpu *cpu);
int vcpu_thread_start(struct vcpu *cpu, struct err *e) must_check;
void vcpu_thread_join(struct vcpu *cpu);

/*
 * machine.c: wait until cpu may run, as long as that takes; own thread.  False: it never
 * will, end the thread.  Calls vcpu_park() and vcpu_unpark() around a wait.
 */
bool machine_gate(struct vcpu *cpu);

/* Own thread: no host timer goes off in between (the guest's clock may stand still). */
void vcpu_park(struct vcpu *cpu);
void vcpu_unpark(struct vcpu *cpu);

#endif
