/* SPDX-License-Identifier: MIT */
/* lapic_fake.h - vCPUs that are only what a local APIC sees of them, for tests and fuzzers. */
#ifndef DEV_INTC_LAPIC_FAKE_H
#define DEV_INTC_LAPIC_FAKE_H

#include <stdatomic.h>

#include "dev/fake.h"
#include "dev/intc/lapic.h"

enum { FAKE_CPUS = 4 };

static struct vcpu fake_cpu[FAKE_CPUS];
static struct vcpu *fake_cpus[FAKE_CPUS];
static u64 fake_deadline[FAKE_CPUS];

void vcpu_raise(struct vcpu *cpu, u32 bits)
{
	atomic_fetch_or(&cpu->pending, bits);
}

void vcpu_set_deadline(struct vcpu *cpu, u64 deadline)
{
	fake_deadline[cpu->index] = deadline;
}

static inline void fake_cpus_free(void)
{
	for (unsigned i = 0; i < FAKE_CPUS; i++) {
		if (fake_cpu[i].lapic)
			lapic_soft.destroy(&fake_cpu[i]);
	}
}

static inline void fake_cpus_new(void)
{
	struct err *e = NULL;

	fake_cpus_free();
	for (unsigned i = 0; i < FAKE_CPUS; i++) {
		memset(&fake_cpu[i], 0, sizeof(fake_cpu[i]));
		fake_cpu[i].machine = &fake_machine;
		fake_cpu[i].index = i;
		fake_cpus[i] = &fake_cpu[i];
		fake_deadline[i] = 0;
	}
	fake_machine.vcpus = fake_cpus;
	fake_machine.nr_vcpus = FAKE_CPUS;
	for (unsigned i = 0; i < FAKE_CPUS; i++)
		CHECK(lapic_soft.init(&fake_cpu[i], e) == 0);
}

/* Let time pass, calling a timer when it is due. */
static inline void fake_lapic_advance(u64 ns)
{
	u64 end = fake_now + ns;

	for (;;) {
		unsigned first = FAKE_CPUS;

		for (unsigned i = 0; i < FAKE_CPUS; i++) {
			if (fake_deadline[i] && fake_deadline[i] <= end &&
			    (first == FAKE_CPUS || fake_deadline[i] < fake_deadline[first]))
				first = i;
		}
		if (first == FAKE_CPUS)
			break;
		if (fake_deadline[first] > fake_now)
			fake_now = fake_deadline[first];
		fake_deadline[first] = 0;
		fake_timer_calls++;
		lapic_soft.timer(&fake_cpu[first]);
	}
	fake_now = end;
}

#endif
