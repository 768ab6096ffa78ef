/* SPDX-License-Identifier: MIT */
/*
 * elf.c - loading an ELF kernel by its physical addresses.
 *
 * Source: System V ABI, "Object Files"; the note format is that of the gABI, 4-byte aligned.
 */
#include "board/boot/elf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "sundog/err.h"

enum {
	EHDR32 = 52,
	EHDR64 = 64,
	PHDR32 = 32,
	PHDR64 = 56,
	MAX_PHNUM = 1024,
	NOTE_HEADER = 12,
	MAX_NOTES = 1 << 20
};
enum { EM_386 = 3, EM_X86_64 = 62, CLASS32 = 1, CLASS64 = 2, DATA_LSB = 1 };

bool elf_open(struct elf *elf, const struct boot_file *f)
{
	const u8 *d = f->head;
	u16 machine;

	if (f->size < EHDR32 || memcmp(d, "\x7f\x45\x4c\x46", 4) != 0 || d[5] != DATA_LSB)
		return false;
	machine = ld_le16(d + 18);
	if (machine != EM_386 && machine != EM_X86_64)
		return false;
	if (d[4] != CLASS32 && (d[4] != CLASS64 || f->size < EHDR64))
		return false;
	*elf = (struct elf){.file = f, .is64 = d[4] == CLASS64};
	elf->entry = elf->is64 ? ld_le64(d + 24) : ld_le32(d + 24);
	elf->phoff = elf->is64 ? ld_le64(d + 32) : ld_le32(d + 28);
	elf->phentsize = ld_le16(d + (elf->is64 ? 54 : 42));
	elf->phnum = ld_le16(d + (elf->is64 ? 56 : 44));
	return true;
}

bool elf_phdr(const struct elf *elf, u32 n, struct elf_phdr *ph)
{
	u32 need = elf->is64 ? PHDR64 : PHDR32;
	u64 off = (u64)n * elf->phentsize;
	u8 p[PHDR64];

	if (elf->phentsize < need || !range_fits(elf->phoff, off + need, elf->file->size) ||
	    boot_file_read(elf->file, elf->phoff + off, p, need))
		return false;
	*ph = (struct elf_phdr){.type = ld_le32(p)};
	if (elf->is64) {
		ph->offset = ld_le64(p + 8);
		ph->vaddr = ld_le64(p + 16);
		ph->paddr = ld_le64(p + 24);
		ph->filesz = ld_le64(p + 32);
		ph->memsz = ld_le64(p + 40);
		ph->align = ld_le64(p + 48);
	} else {
		ph->offset = ld_le32(p + 4);
		ph->vaddr = ld_le32(p + 8);
		ph->paddr = ld_le32(p + 12);
		ph->filesz = ld_le32(p + 16);
		ph->memsz = ld_le32(p + 20);
		ph->align = ld_le32(p + 28);
	}
	return true;
}

bool elf_truncated(const struct elf *elf)
{
	struct elf_phdr ph;

	for (u32 i = 0; i < elf->phnum && i < MAX_PHNUM; i++)
		if (!elf_phdr(elf, i, &ph) || !range_fits(ph.offset, ph.filesz, elf->file->size))
			return true;
	return false;
}

static int bad(struct boot *b, struct err *e, const char *why)
{
	return err_set(e, -ENOEXEC, "%s: damaged ELF file: %s; build or fetch it again",
		       b->kernel.path, why);
}

static int check_segment(struct boot *b, const struct elf_phdr *ph, struct err *e)
{
	if (!range_fits(ph->offset, ph->filesz, b->kernel.size))
		return bad(b, e, "a segment lies beyond its end");
	if (ph->filesz > ph->memsz)
		return bad(b, e, "a segment is larger in the file than in memory");
	if (ph->paddr < BOOT_HIGH)
		return err_set(e, -ENOEXEC,
			       "%s: a segment at 0x%" PRIx64
			       " is below 1 MiB, where the boot information goes; link it higher",
			       b->kernel.path, ph->paddr);
	if (ph->paddr > UINT64_MAX - ph->memsz)
		return bad(b, e, "a segment wraps around");
	if (!range_fits(ph->paddr, ph->memsz, b->low_end))
		return boot_no_room(b, ph->paddr + ph->memsz, e);
	return 0;
}

int elf_check(struct boot *b, const struct elf *elf, struct err *e)
{
	u64 low = UINT64_MAX, high = 0, total = 0;
	struct elf_phdr ph;

	if (elf->phnum > MAX_PHNUM)
		return bad(b, e, "too many program headers");
	for (u32 i = 0; i < elf->phnum; i++) {
		int rc;

		if (!elf_phdr(elf, i, &ph))
			return bad(b, e, "its program headers lie beyond its end");
		if (ph.type != PT_LOAD || !ph.memsz)
			continue;
		rc = check_segment(b, &ph, e);
		if (rc)
			return rc;
		total += ph.memsz;
		low = ph.paddr < low ? ph.paddr : low;
		high = ph.paddr + ph.memsz > high ? ph.paddr + ph.memsz : high;
	}
	if (!high)
		return bad(b, e, "it has nothing to load");
	if (total > high - low)
		return bad(b, e, "segments overlap");
	b->plan.base = low;
	b->plan.size = high - low;
	return 0;
}

int elf_load(struct boot *b, const struct elf *elf, struct err *e)
{
	struct elf_phdr ph;
	int rc = elf_check(b, elf, e); /* the file may have changed since */

	for (u32 i = 0; rc == 0 && i < elf->phnum; i++) {
		if (!elf_phdr(elf, i, &ph) || ph.type != PT_LOAD || !ph.memsz)
			continue;
		rc = boot_put_file(b, ph.paddr, elf->file, ph.offset, ph.filesz, e);
		if (rc == 0 && boot_clear(b, ph.paddr + ph.filesz, ph.memsz - ph.filesz))
			rc = err_set(e, -ENOEXEC, "%s: does not fit in guest memory",
				     b->kernel.path);
	}
	return rc;
}

u64 elf_entry(const struct elf *elf)
{
	struct elf_phdr ph;

	for (u32 i = 0; i < elf->phnum && i < MAX_PHNUM; i++) {
		if (!elf_phdr(elf, i, &ph))
			break;
		if (ph.type == PT_LOAD && elf->entry >= ph.vaddr &&
		    elf->entry - ph.vaddr < ph.memsz)
			return elf->entry - ph.vaddr + ph.paddr;
	}
	return elf->entry;
}

static u64 align_up(u64 v, u64 align)
{
	return (v + align - 1) & ~(align - 1);
}

/* One PT_NOTE segment; every step moves forward, and the end is inside the file. */
static u32 find_note(const u8 *p, u64 len, u64 align, const char *name, u32 type, u8 *desc,
		     u32 size)
{
	u64 at = 0, name_len = strlen(name) + 1;

	align = align == 8 ? 8 : 4;
	while (range_fits(at, NOTE_HEADER, len)) {
		u64 namesz = ld_le32(p + at), descsz = ld_le32(p + at + 4);
		u64 name_at = at + NOTE_HEADER;
		u64 desc_at = align_up(name_at + namesz, align);

		if (!range_fits(name_at, namesz, len) || !range_fits(desc_at, descsz, len))
			return 0;
		if (ld_le32(p + at + 8) == type && namesz == name_len &&
		    memcmp(p + name_at, name, name_len) == 0) {
			memcpy(desc, p + desc_at, descsz < size ? descsz : size);
			return (u32)descsz;
		}
		at = align_up(desc_at + descsz, align);
	}
	return 0;
}

u32 elf_note(const struct elf *elf, const char *name, u32 type, u8 *desc, u32 size)
{
	struct elf_phdr ph;

	for (u32 i = 0; i < elf->phnum && i < MAX_PHNUM; i++) {
		u32 len = 0;
		u8 *notes;

		if (!elf_phdr(elf, i, &ph))
			return 0;
		if (ph.type != PT_NOTE || ph.filesz > MAX_NOTES)
			continue;
		notes = malloc(ph.filesz + 1);
		if (notes && boot_file_read(elf->file, ph.offset, notes, ph.filesz) == 0)
			len = find_note(notes, ph.filesz, ph.align, name, type, desc, size);
		free(notes);
		if (len)
			return len;
	}
	return 0;
}
