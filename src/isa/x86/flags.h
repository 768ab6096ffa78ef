/* SPDX-License-Identifier: MIT */
/*
 * flags.h - the arithmetic flags, kept lazily in two words.
 *
 * Problem: nearly every ALU instruction writes six flags and almost none is read.  So an
 * instruction leaves behind its result and its carries, and readers take what they want:
 *
 *   cc_res   the result, sign-extended to 64 bits:  ZF = (cc_res == 0)
 *   cc_aux   bit 63      CF: carry (borrow) out of the top bit
 *            bit 62      carry into the top bit: OF = bit 63 ^ bit 62
 *            bit 3       AF: carry out of bit 3
 *            bit 0       SF = sign of cc_res ^ this
 *            bits 8..15  PF = even parity of (low byte of cc_res ^ these)
 *
 * The last two are zero except where flags were set as such (POPF, SAHF), which is how any
 * combination can be held.  st.rflags holds the other flags; x86_rflags() joins them.
 */
#ifndef ISA_X86_FLAGS_H
#define ISA_X86_FLAGS_H

#include "isa/x86/cpu.h"

static inline u64 sign_extend(u64 v, unsigned size)
{
	unsigned s = 64 - 8 * size;

	return (u64)((i64)(v << s) >> s);
}

static inline u64 zero_extend(u64 v, unsigned size)
{
	unsigned s = 64 - 8 * size;

	return v << s >> s;
}

/* carries: bit n is the carry out of bit n of a size-byte operation. */
static inline void flags_set_carries(struct x86_cpu *cpu, u64 res, u64 carries, unsigned size)
{
	cpu->cc_res = sign_extend(res, size);
	cpu->cc_aux = (carries & 8) | (carries >> (8 * size - 2) << 62);
}

static inline void flags_add(struct x86_cpu *cpu, u64 a, u64 b, u64 res, unsigned size)
{
	flags_set_carries(cpu, res, (a & b) | ((a | b) & ~res), size);
}

static inline void flags_sub(struct x86_cpu *cpu, u64 a, u64 b, u64 res, unsigned size)
{
	flags_set_carries(cpu, res, (~a & b) | ((~a | b) & res), size);
}

/* AND, OR, XOR, TEST: CF and OF clear, AF (undefined) clear. */
static inline void flags_logic(struct x86_cpu *cpu, u64 res, unsigned size)
{
	cpu->cc_res = sign_extend(res, size);
	cpu->cc_aux = 0;
}

static inline bool flag_cf(const struct x86_cpu *cpu)
{
	return cpu->cc_aux >> 63;
}

static inline bool flag_zf(const struct x86_cpu *cpu)
{
	return cpu->cc_res == 0;
}

static inline bool flag_sf(const struct x86_cpu *cpu)
{
	return (cpu->cc_res >> 63 ^ cpu->cc_aux) & 1;
}

static inline bool flag_of(const struct x86_cpu *cpu)
{
	return (cpu->cc_aux >> 63 ^ cpu->cc_aux >> 62) & 1;
}

static inline bool flag_af(const struct x86_cpu *cpu)
{
	return cpu->cc_aux >> 3 & 1;
}

static inline bool flag_pf(const struct x86_cpu *cpu)
{
	return !__builtin_parity((u8)(cpu->cc_res ^ cpu->cc_aux >> 8));
}

/* The six arithmetic flags as RFLAGS has them. */
static inline u64 flags_get(const struct x86_cpu *cpu)
{
	return (u64)flag_cf(cpu) << 0 | (u64)flag_pf(cpu) << 2 | (u64)flag_af(cpu) << 4 |
	       (u64)flag_zf(cpu) << 6 | (u64)flag_sf(cpu) << 7 | (u64)flag_of(cpu) << 11;
}

/* Set all six from RFLAGS layout. */
static inline void flags_put(struct x86_cpu *cpu, u64 fl)
{
	u64 cf = fl & 1, of = fl >> 11 & 1, sf = fl >> 7 & 1, pf = fl >> 2 & 1;

	cpu->cc_res = !(fl & FL_ZF);
	/* cc_res is 0 or 1: sign 0; parity even for 0, odd for 1. */
	cpu->cc_aux = cf << 63 | (cf ^ of) << 62 | (fl >> 4 & 1) << 3 | sf |
		      (pf ^ (cpu->cc_res == 0)) << 8;
}

/* Replace only the flags in mask. */
static inline void flags_change(struct x86_cpu *cpu, u64 mask, u64 fl)
{
	flags_put(cpu, (flags_get(cpu) & ~mask) | (fl & mask));
}

/* RFLAGS whole. */
static inline u64 x86_rflags(const struct x86_cpu *cpu)
{
	return (cpu->st.rflags & ~(u64)FL_ARITH) | flags_get(cpu);
}

/* Condition codes as in Jcc: 0 O, 1 NO, 2 B, ... 15 G. */
static inline bool flags_cond(const struct x86_cpu *cpu, unsigned cc)
{
	bool r;

	switch (cc >> 1) {
	case 0: r = flag_of(cpu); break;
	case 1: r = flag_cf(cpu); break;
	case 2: r = flag_zf(cpu); break;
	case 3: r = flag_cf(cpu) || flag_zf(cpu); break;
	case 4: r = flag_sf(cpu); break;
	case 5: r = flag_pf(cpu); break;
	case 6: r = flag_sf(cpu) != flag_of(cpu); break;
	default: r = flag_zf(cpu) || flag_sf(cpu) != flag_of(cpu); break;
	}
	return r ^ (cc & 1);
}

#endif
