/* SPDX-License-Identifier: MIT */
/*
 * memory.c - where the RAM of the board "pc" is, and what the guest is told of it.
 *
 * The machine's RAM is one piece on the host; it is cut at the VGA hole (whose 128 KiB stay
 * unused) and at the PCI hole below 4 GiB, after which it goes on.
 */
#include "board/pc.h"

#include <errno.h>
#include <inttypes.h>

#include "sundog/err.h"

static u64 low_ram(const struct machine *m)
{
	return m->ram_size < PC_LOW_RAM_MAX ? m->ram_size : PC_LOW_RAM_MAX;
}

u64 pc_high_ram(const struct machine *m)
{
	return m->ram_size - low_ram(m);
}

static int map(struct pc *pc, struct region *r, const char *name, u64 base, u64 size, u64 at)
{
	if (!size)
		return 0;
	*r = (struct region){
		.name = name,
		.base = base,
		.size = size,
		.kind = REGION_RAM,
		.host = (u8 *)pc->m->ram + at,
	};
	return as_map(pc->m->mem, r);
}

int pc_map_ram(struct pc *pc, struct err *e)
{
	struct machine *m = pc->m;
	u64 low = low_ram(m);
	int rc;

	if (m->ram_size < 4 << 20 || m->ram_size & 0xfff)
		return err_set(e, -EINVAL,
			       "memory of %" PRIu64
			       " bytes: the board needs at least 4 MiB, in pages of 4 KiB",
			       m->ram_size);
	if (pc_high_ram(m) > PC_WINDOW64 - PC_HIGH_RAM)
		return err_set(e, -EINVAL,
			       "%" PRIu64 " GiB of memory: the board takes at most %" PRIu64 " GiB",
			       m->ram_size >> 30,
			       (u64)(PC_WINDOW64 - PC_HIGH_RAM + PC_LOW_RAM_MAX) >> 30);
	as_begin(m->mem);
	rc = map(pc, &pc->ram_low, "ram-low", 0, PC_RAM_HOLE, 0);
	if (rc == 0)
		rc = map(pc, &pc->ram_shadow, "ram-shadow", PC_SHADOW, BOOT_HIGH - PC_SHADOW,
			 PC_SHADOW);
	if (rc == 0)
		rc = map(pc, &pc->ram_main, "ram-main", BOOT_HIGH, low - BOOT_HIGH, BOOT_HIGH);
	if (rc == 0)
		rc = map(pc, &pc->ram_high, "ram-high", PC_HIGH_RAM, pc_high_ram(m), low);
	as_commit(m->mem);
	return rc ? err_set(e, rc, "cannot map the guest's RAM: %s", strerror(-rc)) : 0;
}

void pc_unmap_ram(struct pc *pc)
{
	struct region *all[] = {&pc->ram_low, &pc->ram_shadow, &pc->ram_main, &pc->ram_high};

	as_begin(pc->m->mem);
	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->size)
			as_unmap(pc->m->mem, all[i]);
	as_commit(pc->m->mem);
}

static void add(struct boot *b, u64 base, u64 end, u32 type)
{
	if (end > base)
		b->map[b->nr_ranges++] = (struct mem_range){base, end - base, type};
}

void pc_memory_map(struct pc *pc)
{
	struct boot *b = &pc->boot;

	b->low_end = low_ram(pc->m);
	b->nr_ranges = 0;
	add(b, 0, PC_EBDA, MEM_RAM);
	add(b, PC_EBDA, PC_RAM_HOLE, MEM_RESERVED);
	add(b, PC_TABLES, BOOT_HIGH, MEM_RESERVED);
	add(b, BOOT_HIGH, b->low_end, MEM_RAM);
	add(b, PC_ECAM, PC_ECAM + (256 << 20), MEM_RESERVED);
	add(b, PC_HIGH_RAM, PC_HIGH_RAM + pc_high_ram(pc->m), MEM_RAM);
}
