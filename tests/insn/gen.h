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

/* ModRM and SIB; reg, rm, index and base have four bits. */
struct modrm {
	unsigned mod, reg, rm;
	bool sib;
	unsigned scale, index, base;
};

/* gen_insn.c */
void gen_byte(struct test_case *c, unsigned v); /* more code */
void set_gpr(struct test_case *c, unsigned n, u64 val);

/* gen_vex.c: a prefix for the row, and what vectors of indices need. */
void gen_vex(struct test_case *c, const struct insn *in, struct modrm *m, bool seq);
bool gen_is_vsib(const struct insn *in);
void gen_vsib(const struct test_case *c, struct modrm *m);
void gen_gather(struct test_case *c);

/* Append an encoding of the row to the code; false: it is not one (which may be wanted). */
bool gen_encoding(struct test_case *c, unsigned row, bool seq);
/* Choose registers and memory for the only instruction, once its place is known. */
void gen_operands(struct test_case *c);
void gen_sequence(struct test_case *c);

#endif
