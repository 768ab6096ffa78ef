/* SPDX-License-Identifier: MIT */
/*
 * exec_system.h - the privileged, far and interrupt instructions: exec functions by row.
 *
 * What a function needs of the op beyond its operands:
 *   lseg			FORM_REG_RM: op->imm is the enum seg_reg; size is the offset's
 *   call_far_imm, jmp_far_imm	imm is offset | selector << 32; size is the offset's
 *   call_far_mem, jmp_far_mem	FORM_RM, memory only; size is the offset's (2, 4, 8)
 *   ret_far			size is that of the stack slots; imm the bytes to release
 *   iret			size is that of the stack slots (REX.W: 8)
 *   int			imm is the vector
 *   mov_from_sreg, mov_to_sreg	reg is the plain enum seg_reg; size is that of the r/m operand
 *   push_sreg, pop_sreg	reg is the plain enum seg_reg; size is that of the stack slot
 *   mov_*_cr, mov_*_dr		reg is the plain number (REX.R included), rm the general register
 *   rdfsbase and so on		FORM_RM, register; size is 4 or 8
 *   str, sldt, smsw, lmsw, lldt, ltr, verr, verw: FORM_RM; size is the operand size
 *   lgdt, lidt, sgdt, sidt, invlpg: FORM_RM, memory only
 *   lar, lsl: FORM_REG_RM;  arpl: FORM_RM_REG;  invpcid: FORM_REG_RM, memory only
 */
#ifndef ISA_X86_EXEC_SYSTEM_H
#define ISA_X86_EXEC_SYSTEM_H

#include "isa/x86/decode.h"

/* exec_table.c: descriptor tables and selectors */
exec_fn exec_lgdt, exec_lidt, exec_sgdt, exec_sidt, exec_lldt, exec_sldt, exec_ltr, exec_str,
	exec_verr, exec_verw, exec_lar, exec_lsl, exec_arpl, exec_lseg, exec_push_sreg,
	exec_pop_sreg, exec_mov_from_sreg, exec_mov_to_sreg;
/* exec_far.c: transfers between segments, rings and tasks */
exec_fn exec_call_far_imm, exec_call_far_mem, exec_jmp_far_imm, exec_jmp_far_mem, exec_ret_far,
	exec_iret, exec_int, exec_int3, exec_into, exec_int1, exec_ud, exec_gp0;
/* exec_syscall.c */
exec_fn exec_syscall, exec_sysret, exec_sysenter, exec_sysexit, exec_swapgs, exec_rdfsbase,
	exec_rdgsbase, exec_wrfsbase, exec_wrgsbase;
/* exec_system.c: control, debug and model-specific registers, TLB, flags, halt */
exec_fn exec_lmsw, exec_smsw, exec_clts, exec_invd, exec_wbinvd, exec_invlpg, exec_invpcid,
	exec_hlt, exec_mov_from_cr, exec_mov_to_cr, exec_mov_from_dr, exec_mov_to_dr, exec_rdmsr,
	exec_wrmsr, exec_rdpmc, exec_rdtsc, exec_rdtscp, exec_rdpid, exec_cpuid, exec_clac,
	exec_stac, exec_xgetbv, exec_xsetbv, exec_monitor, exec_mwait, exec_cli, exec_sti;

#endif
