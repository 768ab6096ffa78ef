/* SPDX-License-Identifier: MIT */
/*
 * blocks.S - reference blocks of guest code: what compilers and kernels make much of.
 *
 * Each ends with what ends it, or with a jump within the page; emitted_test.c appends a HLT.
 * RBX, RSI, RDI, RBP and GS are good addresses.
 */
	.macro	block name
	.pushsection .rodata
8:	.asciz	"\name"
	.popsection
	.pushsection .data.rel.ro, "aw"
	.quad	8b, 9f
	.popsection
	.text
9:
	.endm

	/* The end of one that no branch ends; then its address. */
	.macro	on
	jmp	7f
7:
	.endm

	.macro	end
	.pushsection .data.rel.ro, "aw"
	.quad	9f
	.popsection
9:
	.endm

	.pushsection .data.rel.ro, "aw"
	.balign	8
	.globl	reference_blocks
reference_blocks:
	.popsection

	/* --- nothing, moves, arithmetic ------------------------------------------------ */
	block	empty
	on
	end
	block	alu_registers
	add	%rcx, %rax
	sub	%rdx, %rax
	xor	%esi, %edi
	and	$15, %eax
	lea	8(%rax,%rcx,4), %rdx
	on
	end
	block	alu_memory_registers /* R9 to R11 live in memory */
	add	%r10, %r9
	mov	%r11, %rax
	lea	8(%r9,%r10,4), %r11
	on
	end
	block	shifts
	shl	$3, %rax
	shr	%cl, %rdx
	sar	$31, %esi
	rol	$8, %edi
	on
	end
	block	setcc_cmov
	cmp	%rcx, %rax
	setl	%dl
	cmovg	%rsi, %rdi
	on
	end
	block	multiply_divide
	imul	%rcx, %rax
	mul	%rcx
	xor	%edx, %edx
	mov	$7, %ecx
	div	%rcx
	on
	end

	/* --- loads and stores ------------------------------------------------------------ */
	block	load
	mov	(%rbx), %rax
	on
	end
	block	load_index
	mov	16(%rbx,%rcx,8), %rax
	on
	end
	block	loads_of_one_base
	mov	(%rbx), %rax
	mov	8(%rbx), %rcx
	mov	16(%rbx), %rdx
	mov	24(%rbx), %esi
	on
	end
	block	load_gs
	mov	%gs:8, %rax
	on
	end
	block	load_narrow
	movzbl	(%rbx), %eax
	movswq	2(%rbx), %rcx
	on
	end
	block	store
	mov	%rax, (%rbx)
	on
	end
	block	stores_of_one_base
	mov	%rax, (%rbx)
	movl	$0, 8(%rbx)
	movb	%cl, 16(%rbx)
	on
	end
	block	copy
	mov	(%rsi), %rax
	mov	%rax, (%rdi)
	on
	end
	block	read_modify_write
	addq	$1, (%rbx)
	orl	%ecx, 8(%rbx)
	on
	end
	block	locked
	lock	incl (%rbx)
	lock	xadd %rax, 8(%rbx)
	lock	cmpxchg %rcx, 16(%rbx)
	on
	end
	block	flags_over_a_load /* carries live across memory accesses */
	add	(%rbx), %rax
	adc	8(%rbx), %rdx
	adc	$0, %rcx
	on
	end

	/* --- the stack ----------------------------------------------------------------------- */
	block	push_pop
	push	%rax
	pop	%rcx
	on
	end
	block	prologue
	push	%rbp
	mov	%rsp, %rbp
	push	%rbx
	sub	$24, %rsp
	on
	end
	block	epilogue
	add	$24, %rsp
	pop	%rbx
	pop	%rbp
	ret
	end
	block	spills
	mov	%rax, 8(%rsp)
	mov	16(%rsp), %rcx
	add	24(%rsp), %rdx
	on
	end

	/* --- branches ------------------------------------------------------------------------- */
	block	compare_branch
	cmp	%rcx, %rax
	jb	1f
	nop
1:	end
	block	compare_memory_branch
	cmpl	$5, 8(%rbx)
	jne	1f
	nop
1:	end
	block	count_down
1:	dec	%ecx
	jnz	1b
	end
	block	call_in_page
	call	1f
1:	end
	block	call_indirect
	lea	1f(%rip), %rax
	call	*%rax
1:	end
	block	call_memory
	call	*(%rbx)
	end
	block	jump_table
	jmp	*(%rbx,%rcx,8)
	end
	block	return
	ret
	end
	block	jump_to_other_page
	jmp	. + 0x1000
	end

	/* --- loops of the benchmarks ------------------------------------------------------------ */
	block	sieve_inner
1:	movb	$0, (%rbx,%rax)
	add	%rcx, %rax
	cmp	%rdx, %rax
	jbe	1b
	end
	block	crc_inner
1:	movzbl	(%rsi), %eax
	inc	%rsi
	xor	%cl, %al
	shr	$8, %ecx
	movzbl	%al, %eax
	xor	(%rbx,%rax,4), %ecx
	cmp	%rsi, %rdx
	jne	1b
	end
	block	tree_walk
1:	cmp	16(%rbx), %rax
	je	2f
	end
	block	matmul_inner
1:	movsd	(%rsi,%rax,8), %xmm1
	mulsd	(%rdi), %xmm1
	add	$8, %rdi
	addsd	%xmm1, %xmm0
	inc	%rax
	cmp	%rax, %rcx
	jne	1b
	end
	block	memcpy_vector
1:	movups	(%rsi,%rax), %xmm0
	movups	%xmm0, (%rdi,%rax)
	add	$16, %rax
	cmp	%rdx, %rax
	jb	1b
	end
	block	sse_registers
	addpd	%xmm1, %xmm0
	mulpd	%xmm2, %xmm0
	cvtsi2sd %eax, %xmm3
	ucomisd	%xmm3, %xmm0
	on
	end

	/* --- strings, system -------------------------------------------------------------------- */
	block	string_one
	stosb
	lodsl
	on
	end
	block	rep_movsb
	rep	movsb
	on
	end
	block	rep_stosq
	rep	stosq
	on
	end
	block	syscall
	syscall
	end
	block	syscall_entry
	swapgs
	mov	%rsp, %gs:0x14
	mov	%gs:0x1c, %rsp
	push	%rax
	on
	end
	block	interrupt_return
	iretq
	end
	block	cli_sti
	cli
	nop
	sti
	end
	block	save_interrupt_flag
	pushf
	pop	%rax
	cli
	on
	end
	block	time_stamp
	rdtsc
	shl	$32, %rdx
	or	%rdx, %rax
	on
	end

	/* Where tree_walk goes: not in any block. */
2:	nop
	.pushsection .data.rel.ro, "aw"
	.quad	0, 0, 0
	.popsection
	.section .note.GNU-stack, "", @progbits
