/* SPDX-License-Identifier: MIT */
/*
 * start.S - the way into 64-bit C for the payload: from PVH on the first CPU, from a SIPI at
 * 0x8000 on the second.  The first 4 GiB are mapped one to one.
 */
	.section .note.pvh, "a", @note
	.long 4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long pvh_start

	.text
	.code32
	.globl pvh_start
pvh_start:
	cli
	mov $stack_top, %esp
	mov $main, %ebx
enter_long:
	mov %cr4, %eax
	or $0x620, %eax		/* PAE, and SSE */
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	and $~4, %eax
	or $0x80000002, %eax
	mov %eax, %cr0
	lgdt gdtr
	ljmp $8, $in_long

	.code64
in_long:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %ebp, %ebp
	call *%rbx
1:	hlt
	jmp 1b

	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	lgdtl %cs:(gdtr_low - trampoline)
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	ljmpl $24, $second
gdtr_low:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	.code32
second:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $stack2_top, %esp
	mov $second_main, %ebx
	jmp enter_long

	.data
	.balign 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* 8: 64-bit code */
	.quad 0x00cf93000000ffff	/* 16: data */
	.quad 0x00cf9b000000ffff	/* 24: 32-bit code */
gdt_end:
gdtr:
	.word gdt_end - gdt - 1
	.quad gdt

	.balign 4096
pml4:
	.quad pdpt + 3
	.fill 511, 8, 0
pdpt:
	.quad pd + 0x0003, pd + 0x1003, pd + 0x2003, pd + 0x3003
	.fill 508, 8, 0
pd:
	.set i, 0
	.rept 2048
	.quad i * 0x200000 + 0x83
	.set i, i + 1
	.endr

	.bss
	.balign 16
	.skip 16384
stack_top:
	.skip 16384
stack2_top:

	.section .note.GNU-stack, "", @progbits
