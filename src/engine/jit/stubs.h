/* SPDX-License-Identifier: MIT */
/* stubs.h - pieces that shared routines and code in line have in common. */
#ifndef ENGINE_JIT_STUBS_H
#define ENGINE_JIT_STUBS_H

#include "engine/jit/jit.h"

void stub_load_guest(struct emit *e);
void stub_compare_pending(struct emit *e); /* equal: no event is pending */

/* Flags to cpu->jit_flags; they stay in the host's, too.  And back. */
void stub_save_flags(struct emit *e, unsigned scratch);
void stub_load_flags(struct emit *e, unsigned scratch);

/* T0: linear address.  T1: the TLB's entry for it, and T0 ^= its tag. */
void stub_tlb_entry(struct emit *e, bool write);
void stub_t0_entry(struct emit *e, u8 opcode, u32 disp); /* op r10, [r11 + disp] */
/* T1: such an entry, found.  T1 = host - linear address. */
void stub_pin_entry(struct emit *e, bool write);
void stub_cmp_t0(struct emit *e, u32 imm);

/* Equal: T0 is canonical.  T1 is lost. */
void stub_compare_canonical(struct emit *e);

/* sub dword gs:[counter], 1; if that is negative: call routine */
void stub_count_down(struct emit *e, i32 counter, const u8 *routine);

/* flow.c: pieces of these.  T1: op.  T0 = the address behind it; T1 is op again.  64-bit code. */
void stub_next_of_op(struct emit *e);
/* The exec function does cpu->jit_op, and what follows. */
void stub_by_kept_op(struct emit *e, const struct jit_stubs *s);
/* To T0, which is RIP, and st.rip if need be. */
void stub_go_to(struct emit *e, const struct jit_stubs *s);

/* system.c: reg = RFLAGS as PUSHF shows them; jit_flags has the arithmetic ones.  RAX is lost. */
void stub_rflags(struct emit *e, unsigned reg);

/* ring.c: syscall, sysret, iret */
void jit_make_ring_stubs(struct emit *e, struct jit_stubs *s);
/* string.c: rep_... */
void jit_make_string_stubs(struct emit *e, struct jit_stubs *s);

/* flow.c: the routines for jumps, calls and returns. */
void jit_make_flow_stubs(struct emit *e, struct jit_stubs *s);

#endif
