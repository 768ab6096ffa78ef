/* SPDX-License-Identifier: MIT */
/*
 * core/host.h - what the core asks of the host's CPU and its build; host_*.c are the only files
 * that may differ by host.
 */
#ifndef CORE_HOST_H
#define CORE_HOST_H

#include "sundog/types.h"

/* A counter that runs at one rate on all CPUs, sleep included?  Else host_tsc() is not used. */
bool host_tsc_invariant(void);
u64 host_tsc_nominal_hz(void); /* what the host says of its rate, 0: nothing exact */
u64 host_tsc(void);	       /* read in program order with loads */

/*
 * How many instructions an engine may run before its thread should come up for air: 0, no
 * limit, unless the build delays signals until a library call (ThreadSanitizer).
 */
u64 host_run_budget(void);
/* A library call at which such a build delivers them. */
void host_poll_signals(void);

#endif
