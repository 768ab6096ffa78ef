/* SPDX-License-Identifier: MIT */
/* start32.S - from multiboot's entry, or a real-mode start of a further CPU, to C. */
	.section .multiboot, "ax"
	.code32
	.balign 4
	.long 0x1badb002, 0, -0x1badb002

	.globl _start
_start:
	cli
	mov $boot_stack_end, %esp
	lgdt boot_gdtr
	ljmp $0x08, $1f
1:	call common
	push $0
	call cpu_init
	call main
	call finish

common:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x600, %eax	/* OSFXSR, OSXMMEXCPT */
	mov %eax, %cr4
	mov $0x33, %eax		/* NE, ET, MP, PE */
	mov %eax, %cr0
	ret

	.text
/* Copied to where the start-up IPI points; runs with that CS and IP 0. */
	.globl ap_start, ap_start_end
	.code16
ap_start:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl (ap_gdtr - ap_start) + 0x8000
	mov $0x11, %eax
	mov %eax, %cr0
	ljmpl $0x08, $ap_32
	.balign 4
ap_gdtr:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
ap_start_end:

	.code32
ap_32:	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %ss
	mov ap_stack, %esp
	call common
	push ap_index
	call ap_main
1:	hlt
	jmp 1b

	.data
	.balign 16
boot_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
boot_gdt_end:
boot_gdtr:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
	.globl ap_index, ap_stack
ap_index:
	.long 0
ap_stack:
	.long 0

	.bss
	.balign 4096
boot_stack:
	.skip 32768
boot_stack_end:
	.section .note.GNU-stack, "", @progbits
