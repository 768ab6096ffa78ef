/* SPDX-License-Identifier: MIT */
/*
 * exec.h - the integer instructions: one function per row of opcodes.def.
 *
 * What a function needs of the op beyond its operands:
 *   jcc, setcc, cmovcc    the condition is the low four bits of op->opcode
 *   shifts, rotates	   the count is CL if OP_CL, else imm (1 for the D0 and D1 forms)
 *   in, out		   bit 3 of op->opcode: port in DX, else in imm
 *   push, pop		   FORM_RM, FORM_REG or FORM_IMM; size is that of the stack slot
 *   near branches	   size is the operand size (8 in 64-bit code); ret: imm is the bytes to
 *			   release, 0 for C3
 *   loop, jcxz, strings, xlat: asize is the width of the counter, index, address
 *   strings, xlat	   seg is that of the source (DS or the override), even without ModRM
 *   cbw, cwd		   size is that of the destination (of AX for cwd)
 *   movzx8 ... movsx32	   size is that of the destination; rm is coded for the source's size
 *   movnti, movbe, crc32  size: crc32's is that of the source, its destination is 4 or (REX.W) 8
 *   bswap		   FORM_RM or FORM_REG
 */
#ifndef ISA_X86_EXEC_H
#define ISA_X86_EXEC_H

#include "isa/x86/decode.h"

/* exec_alu.c */
exec_fn exec_add, exec_adc, exec_sub, exec_sbb, exec_and, exec_or, exec_xor, exec_cmp, exec_test,
	exec_inc, exec_dec, exec_neg, exec_not, exec_adcx, exec_adox;
/* exec_shift.c */
exec_fn exec_shl, exec_shr, exec_sar, exec_rol, exec_ror, exec_rcl, exec_rcr, exec_shld, exec_shrd;
/* exec_mul.c */
exec_fn exec_mul, exec_imul1, exec_imul2, exec_imul3, exec_div, exec_idiv;
/* exec_bit.c */
exec_fn exec_bt, exec_bts, exec_btr, exec_btc, exec_bsf, exec_bsr, exec_tzcnt, exec_lzcnt,
	exec_popcnt, exec_bswap, exec_crc32;
/* exec_bmi.c: sized by REX.W; vvvv is a general register */
exec_fn exec_andn, exec_blsr, exec_blsmsk, exec_blsi, exec_bzhi, exec_bextr, exec_pext, exec_pdep,
	exec_mulx, exec_shlx, exec_shrx, exec_sarx, exec_rorx;
/* exec_mov.c */
exec_fn exec_mov, exec_movzx8, exec_movzx16, exec_movsx8, exec_movsx16, exec_movsx32, exec_lea,
	exec_xchg, exec_xadd, exec_cmpxchg, exec_cmpxchg8b, exec_cmpxchg16b, exec_cmovcc,
	exec_setcc, exec_movbe, exec_movnti, exec_cbw, exec_cwd, exec_xlat;
/* exec_stack.c */
exec_fn exec_push, exec_pop, exec_pusha, exec_popa, exec_enter, exec_leave, exec_pushf, exec_popf;
/* exec_branch.c: near, none of them far */
exec_fn exec_call_rel, exec_call_rm, exec_jmp_rel, exec_jmp_rm, exec_jcc, exec_loop, exec_loope,
	exec_loopne, exec_jcxz, exec_ret;
/* exec_string.c and exec_io.c */
exec_fn exec_movs, exec_cmps, exec_stos, exec_lods, exec_scas, exec_ins, exec_outs, exec_in,
	exec_out;
/* exec_bcd.c */
exec_fn exec_aaa, exec_aas, exec_aam, exec_aad, exec_daa, exec_das, exec_salc;
/* exec_misc.c */
exec_fn exec_lahf, exec_sahf, exec_clc, exec_stc, exec_cmc, exec_cld, exec_std, exec_nop,
	exec_pause, exec_bound, exec_lfence, exec_mfence, exec_sfence, exec_clflush,
	exec_clflushopt, exec_clwb, exec_rdrand, exec_rdseed;

#endif
