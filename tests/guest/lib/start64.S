/* SPDX-License-Identifier: MIT */
/* start64.S - from multiboot's 32-bit entry, or a real-mode start of a further CPU, to C. */
	.section .multiboot, "ax"
	.code32
	.balign 4
	.long 0x1badb002, 0, -0x1badb002

	.globl _start
_start:
	cli
	mov $boot_stack_end, %esp
	lgdt boot_gdtr
	/* The tables: 4 GiB onto themselves by 2 MiB pages, for all rings. */
	movl $page_pdpt + 7, page_pml4
	mov $page_pd + 7, %eax
	mov $page_pdpt, %edi
	mov $4, %ecx
1:	mov %eax, (%edi)
	add $4096, %eax
	add $8, %edi
	loop 1b
	mov $0x87, %eax
	mov $page_pd, %edi
	mov $2048, %ecx
1:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 1b
	mov $main_entry, %ebx

to_long:			/* %ebx: where to, %esp: stack */
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x620, %eax	/* PAE, OSFXSR, OSXMMEXCPT */
	mov %eax, %cr4
	mov $page_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	mov $0x901, %eax	/* SCE, LME, NXE */
	xor %edx, %edx
	wrmsr
	mov $0x80010033, %eax	/* PG, WP, NE, ET, MP, PE */
	mov %eax, %cr0
	ljmp $0x08, $1f
	.code64
1:	jmp *%rbx

main_entry:
	xor %edi, %edi
	call cpu_init
	call main
	call finish

	.text
	.code64
ap_entry:
	mov ap_index, %edi
	call ap_main
1:	hlt
	jmp 1b

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
	ljmpl $0x18, $ap_32
	.balign 4
ap_gdtr:
	.word boot_gdt_end - boot_gdt - 1
	.long boot_gdt
ap_start_end:

	.code32
ap_32:	mov $0x10, %eax
	mov %eax, %ds
	/* One at a time: the index is ours until ap_main() says that it has it. */
	mov ap_stack, %esp
	mov $ap_entry, %ebx
	jmp to_long

	.data
	.balign 16
boot_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00cf9b000000ffff
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
	.globl page_pml4, page_pdpt, page_pd
page_pml4:
	.skip 4096
page_pdpt:
	.skip 4096
page_pd:
	.skip 4 * 4096
boot_stack:
	.skip 32768
boot_stack_end:
	.section .note.GNU-stack, "", @progbits
