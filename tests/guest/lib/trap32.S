/* SPDX-License-Identifier: MIT */
/* trap32.S - 256 entries, and the way into a context and back. */
	.text
	.code32
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
	push %eax
	push %ecx
	push %edx
	push %ebx
	push %ebp
	push %esi
	push %edi
	mov %esp, %ebx		/* struct ctx */
	push %ds
	push %es
	push %fs
	push %gs
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	cld
	mov %esp, %ebp
	and $~15, %esp
	sub $12, %esp
	push %ebx
	call trap_c
	mov %ebp, %esp
	pop %gs
	pop %fs
	pop %es
	pop %ds
	pop %edi
	pop %esi
	pop %ebp
	pop %ebx
	pop %edx
	pop %ecx
	pop %eax
	add $8, %esp
	iret

/* ctx_enter(ctx, &saved_sp): offsets are those of struct ctx. */
	.globl ctx_enter
ctx_enter:
	mov 4(%esp), %eax
	mov 8(%esp), %edx
	push %ebx
	push %ebp
	push %esi
	push %edi
	pushf
	mov %esp, (%edx)
	testl $0x20000, 44(%eax)
	jz 1f
	push 68(%eax)		/* gs, fs, ds, es */
	push 64(%eax)
	push 60(%eax)
	push 56(%eax)
	push 52(%eax)
	push 48(%eax)
	jmp 3f
1:	testb $3, 40(%eax)
	jz 2f
	push 52(%eax)		/* ss, sp */
	push 48(%eax)
	jmp 3f
2:	mov 48(%eax), %esp	/* ring 0: its own stack at once */
3:	push 44(%eax)		/* flags, cs, ip */
	push 40(%eax)
	push 36(%eax)
	mov 0(%eax), %edi
	mov 4(%eax), %esi
	mov 8(%eax), %ebp
	mov 12(%eax), %ebx
	mov 16(%eax), %edx
	testl $0x20000, 44(%eax)
	jnz 4f
	mov 64(%eax), %fs
	mov 68(%eax), %gs
	mov 56(%eax), %es
4:	mov 20(%eax), %ecx
	push 24(%eax)
	testl $0x20000, 44(%eax)
	jnz 5f
	mov 60(%eax), %ds
5:	pop %eax
	.globl ctx_iret
ctx_iret:
	iret

/* ctx_leave(sp): return from ctx_enter().  By IRET, which lets NMIs in again. */
	.globl ctx_leave
ctx_leave:
	mov 4(%esp), %eax
	mov $0x10, %ecx
	mov %ecx, %ds
	mov %ecx, %es
	mov %ecx, %fs
	mov %ecx, %gs
	mov %ecx, %ss
	lea 4(%eax), %esp
	mov (%eax), %edx
	and $~0x4000, %edx	/* NT would make it a task switch */
	push %edx
	push $0x08
	push $1f
	iret
1:	pop %edi
	pop %esi
	pop %ebp
	pop %ebx
	ret
	.section .note.GNU-stack, "", @progbits
