/* SPDX-License-Identifier: MIT */
/*
 * parts.h - the partitions of a disk, numbered as Linux numbers them.
 *
 * Sources: UEFI Specification, "GUID Partition Table (GPT) Disk Layout"; for MBR and logical
 * partitions, what Linux does (block/partitions/msdos.c).  Sectors are of 512 bytes.
 */
#ifndef FS_PARTS_H
#define FS_PARTS_H

#include "fs/source.h"

struct err;

enum part_table { PARTS_NONE, PARTS_MBR, PARTS_GPT };
enum { PARTS_MAX = 128, PART_UUID_LEN = 37 };

struct part {
	unsigned number;	  /* /dev/nvme0n1p1: 1; 0: the whole disk */
	u64 off, len;		  /* bytes, within the disk */
	u8 type[16];		  /* GPT: a GUID as it is on the disk; MBR: one byte */
	char uuid[PART_UUID_LEN]; /* Linux' PARTUUID; "" for the whole disk */
};

struct parts {
	enum part_table table;
	struct part list[PARTS_MAX]; /* PARTS_NONE: one, the disk */
	unsigned n;
};

/* 0, or -ENOEXEC: a table is there but damaged, or -EIO. */
int parts_read(const struct fs_source *s, struct parts *p, struct err *e) must_check;

/* "Linux root (x86-64)" of the Discoverable Partitions Specification? */
bool part_is_linux_root(const struct parts *p, const struct part *part);

/* The usual form of 16 bytes, in the order given. */
void fs_format_uuid(char out[PART_UUID_LEN], const u8 uuid[16]);

#endif
