/* SPDX-License-Identifier: MIT */
/*
 * debug.h - what a debugger asks of an engine: points to stop at, and single steps.
 *
 * A request replaces the one before.  It is per vCPU, set while the vCPU is not in run();
 * run() then comes back with VCPU_EXIT_DEBUG and vcpu->stop says why.  An execution point
 * stops before its instruction, a watchpoint after the one that touched it.
 */
#ifndef SUNDOG_DEBUG_H
#define SUNDOG_DEBUG_H

#include "sundog/types.h"

enum debug_kind { DEBUG_EXEC, DEBUG_WRITE, DEBUG_READ, DEBUG_ACCESS };

struct debug_point {
	u8 kind; /* enum debug_kind */
	gva_t addr;
	u64 len; /* bytes; DEBUG_EXEC: ignored */
};

enum { DEBUG_MAX_POINTS = 64 };

struct debug_req {
	bool step;    /* stop after one instruction, or at the first of a handler */
	bool no_irqs; /* while stepping: interrupts wait, unless the vCPU is halted */
	unsigned nr_points;
	struct debug_point points[DEBUG_MAX_POINTS];
};

/*
 * Why VCPU_EXIT_DEBUG: a step (point < 0), or which point, and where: for a watchpoint the
 * first byte of it that was touched.
 */
struct debug_stop {
	int point;
	gva_t addr;
};

#endif
