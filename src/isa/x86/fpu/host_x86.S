/* SPDX-License-Identifier: MIT */
/*
 * host_x86.S - one native thunk for each vector and x87 instruction, and how they are called.
 *
 * The thunks come from the rows of opcodes_sse.def (VEC and its kin); see host.h for where
 * their operands are.  Each takes 8 bytes; the longest is 66 REX.W 0F 3A op ModRM imm8 RET.
 * A SIMD trap inside a thunk is sent by the SIGFPE handler to host_trap_landing, which
 * returns to the caller's caller: so no entry point may push anything before its call.
 */
#ifndef __x86_64__
#error "the interpreter's x87 and vector instructions run natively: the host must be x86-64"
#endif

#define ENTRY(name)                                                                              \
	.globl name;                                                                             \
	.type name, @function;                                                                   \
	.p2align 4;                                                                              \
	name:                                                                                    \
	.cfi_startproc
#define END(name)                                                                                \
	.cfi_endproc;                                                                            \
	.size name, .- name

/* struct host_regs */
#define R_RAX 8
#define R_RCX 16
#define R_RDX 24
#define R_RFLAGS 32
#define R_MM0 40
#define R_MM1 48
#define R_XMM0 56
#define R_XMM1 72

	.text

ENTRY(host_vec)
	movups	(%rsi), %xmm0
	movups	(%rdx), %xmm1
	call	*%rdi
	movups	%xmm0, (%rsi)
	xorl	%eax, %eax
	ret
END(host_vec)

ENTRY(host_vec_xmm0)
	movups	(%rsi), %xmm2
	movups	(%rdx), %xmm1
	movups	(%rcx), %xmm0
	call	*%rdi
	movups	%xmm2, (%rsi)
	xorl	%eax, %eax
	ret
END(host_vec_xmm0)

ENTRY(host_mmx)
	movq	(%rsi), %mm0
	movq	(%rdx), %mm1
	call	*%rdi
	movq	%mm0, (%rsi)
	emms
	ret
END(host_mmx)

	.macro	REGS_CALL
	movups	R_XMM0(%rsi), %xmm0
	movups	R_XMM1(%rsi), %xmm1
	movq	R_RAX(%rsi), %rax
	movq	R_RCX(%rsi), %rcx
	movq	R_RDX(%rsi), %rdx
	call	*%rdi
	pushfq
	.cfi_adjust_cfa_offset 8
	popq	R_RFLAGS(%rsi)
	.cfi_adjust_cfa_offset -8
	movq	%rax, R_RAX(%rsi)
	movq	%rcx, R_RCX(%rsi)
	movups	%xmm0, R_XMM0(%rsi)
	.endm

ENTRY(host_regs)
	REGS_CALL
	xorl	%eax, %eax
	ret
END(host_regs)

ENTRY(host_regs_mmx)
	movq	R_MM0(%rsi), %mm0
	movq	R_MM1(%rsi), %mm1
	REGS_CALL
	movq	%mm0, R_MM0(%rsi)
	emms
	xorl	%eax, %eax
	ret
END(host_regs_mmx)

/* Here with the stack as in the thunk: drop its return address, and return 1 for it. */
ENTRY(host_trap_landing)
	addq	$8, %rsp
	emms
	movl	$1, %eax
	ret
END(host_trap_landing)

/* The same in a thunk that has no other caller than C: vex.h. */
ENTRY(host_vec_landing)
	vzeroupper
	movl	$1, %eax
	ret
END(host_vec_landing)

ENTRY(host_x87)
	fxrstor64 (%rsi)
	movq	%rdx, %rcx
	call	*%rdi
	fxsave64 (%rsi)
	fninit
	ret
END(host_x87)

ENTRY(host_x87_flags)
	movq	%rcx, %r8
	fxrstor64 (%rsi)
	pushq	(%r8)
	.cfi_adjust_cfa_offset 8
	popfq
	.cfi_adjust_cfa_offset -8
	movq	%rdx, %rcx
	call	*%rdi
	pushfq
	.cfi_adjust_cfa_offset 8
	popq	(%r8)
	.cfi_adjust_cfa_offset -8
	fxsave64 (%rsi)
	fninit
	ret
END(host_x87_flags)

/* rdi: thunk, rsi: 80-bit ST(0), rdx: 80-bit ST(1), or memory for [rcx]; returns FSW. */
ENTRY(host_x87_two)
	fldt	(%rdx)
	fldt	(%rsi)
	call	*%rdi
	fnstsw	%ax
	fstpt	(%rsi)
	fstpt	(%rdx)
	ret
END(host_x87_two)

ENTRY(host_x87_one)
	movq	%rdx, %rcx
	fldt	(%rsi)
	call	*%rdi
	fnstsw	%ax
	fstpt	(%rsi)
	ret
END(host_x87_one)

ENTRY(host_x87_push)
	movq	%rdx, %rcx
	call	*%rdi
	fnstsw	%ax
	fstpt	(%rsi)
	ret
END(host_x87_push)

ENTRY(host_x87_popped)
	movq	%rdx, %rcx
	fldt	(%rsi)
	call	*%rdi
	fnstsw	%ax
	ret
END(host_x87_popped)

	.globl	host_thunks_start, host_thunks_end, host_x87_reg_thunks, host_x87_mem_thunks
	.p2align 4
host_thunks_start:

/* Every encoding of D8 to DF; the rows say which are instructions, others are never called. */
host_x87_reg_thunks:
	.set	esc, 0xd8
	.rept	8
	.set	modrm, 0xc0
	.rept	64
	.byte	esc, modrm, 0xc3, 0xcc
	.set	modrm, modrm + 1
	.endr
	.set	esc, esc + 1
	.endr

host_x87_mem_thunks:
	.set	esc, 0xd8
	.rept	8
	.set	modrm, 0x01
	.rept	8
	.byte	esc, modrm, 0xc3, 0xcc
	.set	modrm, modrm + 8
	.endr
	.set	esc, esc + 1
	.endr

#define BYTES_PFX_NP
#define BYTES_PFX_66 .byte 0x66;
#define BYTES_PFX_F3 .byte 0xf3;
#define BYTES_PFX_F2 .byte 0xf2;
#define BYTES_MAP_P2 .byte 0x0f;
#define BYTES_MAP_P38 .byte 0x0f, 0x38;
#define BYTES_MAP_P3A .byte 0x0f, 0x3a;

#define THUNK(name)                                                                              \
	.globl name;                                                                             \
	.p2align 3;                                                                              \
	name:
/* One thunk, and 256 of them; rex is empty or .byte 0x48; */
#define ONE(map, pfx, rex, op, modrm)                                                            \
	.p2align 3;                                                                              \
	BYTES_PFX_##pfx rex BYTES_MAP_##map .byte op, modrm, 0xc3;
#define ALL_IMM(map, pfx, rex, op, modrm)                                                        \
	.set	imm, 0;                                                                          \
	.rept	256;                                                                             \
	.p2align 3;                                                                              \
	BYTES_PFX_##pfx rex BYTES_MAP_##map .byte op, modrm, imm, 0xc3;                          \
	.set	imm, imm + 1;                                                                    \
	.endr;

#define INSN(...)
#define VEC(map, pfx, op, ...)                                                                   \
	THUNK(host_t_##map##_##pfx##_##op) ONE(map, pfx, , op, 0xc1)
#define VECF VEC
#define VEC0(map, pfx, op, ...)                                                                  \
	THUNK(host_t_##map##_##pfx##_##op) ONE(map, pfx, , op, 0xd1)
#define VECY(map, pfx, op, ...)                                                                  \
	THUNK(host_t_##map##_##pfx##_##op)                                                       \
	ONE(map, pfx, , op, 0xc1)                                                                \
	ONE(map, pfx, .byte 0x48;, op, 0xc1)
#define VECI(map, pfx, op, ...)                                                                  \
	THUNK(host_t_##map##_##pfx##_##op) ALL_IMM(map, pfx, , op, 0xc1)
#define VECS(map, pfx, op, ...)                                                                  \
	THUNK(host_t_##map##_##pfx##_##op)                                                       \
	ALL_IMM(map, pfx, , op, 0xc1)                                                            \
	ALL_IMM(map, pfx, .byte 0x48;, op, 0xc1)
#define VECG(map, pfx, op, ext, ...)                                                             \
	THUNK(host_t_##map##_##pfx##_##op##_##ext) ALL_IMM(map, pfx, , op, 0xc0 | ext << 3)

#include "isa/x86/opcodes_sse.def"

	.p2align 3
host_thunks_end:
	.section .note.GNU-stack, "", @progbits
