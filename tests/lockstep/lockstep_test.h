/* SPDX-License-Identifier: MIT */
/*
 * lockstep_test.h - random sequences of instructions on the translator in lockstep with the
 * interpreter; a difference becomes a small case.
 */
#ifndef TESTS_LOCKSTEP_LOCKSTEP_TEST_H
#define TESTS_LOCKSTEP_LOCKSTEP_TEST_H

#include "engine/jit/lockstep.h"
#include "insn/insn_test.h"

/* Runs a case; true: the two differed. */
typedef bool differs_fn(const struct test_case *c);

/* --- reduce.c -------------------------------------------------------------------------------- */

/*
 * Make c smaller while the two differ: fewer instructions, simpler registers, less memory.
 * Returns how many instructions are left.
 */
unsigned reduce_case(struct test_case *c, differs_fn *differs);

/* The code of c, an instruction a line, and what is not zero among its registers. */
void print_case(const struct test_case *c);

/* --- inject.c: bugs in translated code, to see that they are found ------------------------- */

struct bug {
	const char *name, *what;
};

extern const struct bug bugs[];
extern const unsigned nr_bugs;

/* Give code that was translated since mark a bug; false: there was none to be had. */
bool inject(struct jit *j, const struct bug *bug, const u8 *mark);
/* The same for c alone. */
bool inject_code(struct jit *j, const struct bug *bug, struct jit_code *c);

#endif
