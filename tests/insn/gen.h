/* SPDX-License-Identifier: MIT */
/* gen.h - gen.c, gen_insn.c and gen_seq.c among themselves. */
#ifndef TESTS_INSN_GEN_H
#define TESTS_INSN_GEN_H

#include "insn/insn_test.h"

u64 rnd(void);
bool one_in(unsigned n);

u64 data_pointer(unsigned size); /* into the writable pages */
u64 pick_target(unsigned size);	 /* anywhere */
void random_vec(u8 *p);
void random_ext(u8 *p);
void random_fx(u8 fx[512]);
void random_regs(struct test_case *c);
void poke(struct test_case *c, u64 lin, const void *bytes, unsigned len);
const struct gen_cfg *gen_cfg(void);

/* Append an encoding of the row to the code; false: it is not one (which may be wanted). */
bool gen_encoding(struct test_case *c, unsigned row, bool seq);
/* Choose registers and memory for the only instruction, once its place is known. */
void gen_operands(struct test_case *c);
void gen_sequence(struct test_case *c);

#endif
