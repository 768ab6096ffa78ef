/* SPDX-License-Identifier: MIT */
/* trap64.S - 256 entries, and the way into a context and back. */
	.text
	.code64
	.balign 16
	.globl trap_stubs
trap_stubs:
	.set v, 0
	.rept 256
	.balign 16
	.if !(v == 8 || (v >= 10 && v <= 14) || v == 17 || v == 21)
	push $0
	.endif
	push $v
	jmp trap_common
	.set v, v + 1
	.endr

	.balign 16
trap_common:
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	cld
	mov %rsp, %rdi
	mov %rsp, %rbp
	and $~15, %rsp
	call trap_c
	mov %rbp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq

/* ctx_enter(ctx, &saved_sp): offsets are those of struct ctx. */
	.globl ctx_enter
ctx_enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	pushfq
	mov %rsp, (%rsi)
	push 168(%rdi)		/* ss, sp, flags, cs, ip */
	push 160(%rdi)
	push 152(%rdi)
	push 144(%rdi)
	push 136(%rdi)
	mov 176(%rdi), %eax
	mov %eax, %es
	mov 184(%rdi), %eax
	mov %eax, %ds
	mov 0(%rdi), %r15
	mov 8(%rdi), %r14
	mov 16(%rdi), %r13
	mov 24(%rdi), %r12
	mov 32(%rdi), %r11
	mov 40(%rdi), %r10
	mov 48(%rdi), %r9
	mov 56(%rdi), %r8
	mov 72(%rdi), %rsi
	mov 80(%rdi), %rbp
	mov 88(%rdi), %rbx
	mov 96(%rdi), %rdx
	mov 104(%rdi), %rcx
	mov 112(%rdi), %rax
	mov 64(%rdi), %rdi
	.globl ctx_iret
ctx_iret:
	iretq

/* ctx_leave(sp): return from ctx_enter().  By IRET, which lets NMIs in again. */
	.globl ctx_leave
ctx_leave:
	lea 8(%rdi), %rax
	mov $0x10, %ecx
	mov %ecx, %ds
	mov %ecx, %es
	push %rcx
	push %rax
	push (%rdi)
	push $0x08
	lea 1f(%rip), %rax
	push %rax
	iretq
1:	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
	.section .note.GNU-stack, "", @progbits
