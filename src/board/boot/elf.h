/* SPDX-License-Identifier: MIT */
/* elf.h - reading an ELF kernel of 32 or 64 bits that is not to be trusted. */
#ifndef BOARD_BOOT_ELF_H
#define BOARD_BOOT_ELF_H

#include "board/boot/boot.h"

struct elf {
	const struct boot_file *file;
	bool is64;
	u64 entry, phoff;
	u32 phnum, phentsize;
};

struct elf_phdr {
	u32 type;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};

enum { PT_LOAD = 1, PT_NOTE = 4 };

/* Is it a little-endian x86 executable?  Header only. */
bool elf_open(struct elf *elf, const struct boot_file *f);
/* Program header n, or false: it does not lie in the file. */
bool elf_phdr(const struct elf *elf, u32 n, struct elf_phdr *ph);

bool elf_truncated(const struct elf *elf); /* a program header or what it names is not there */

/* All PT_LOADs lie in the file and in RAM; b->plan.base and .size are what they span. */
int elf_check(struct boot *b, const struct elf *elf, struct err *e);
int elf_load(struct boot *b, const struct elf *elf, struct err *e);

/* The entry as a physical address: kernels linked high name a virtual one. */
u64 elf_entry(const struct elf *elf);

/* Copies the descriptor of a note, up to size bytes: its length, 0 if there is none. */
u32 elf_note(const struct elf *elf, const char *name, u32 type, u8 *desc, u32 size);

#endif
