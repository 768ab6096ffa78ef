/* SPDX-License-Identifier: MIT */
/*
 * gdbmem.c - guest memory as the debugger sees it: RAM, through the page tables of the chosen
 * vCPU or by physical address.  Devices are left alone: to read one has side effects.
 */
#include <errno.h>

#include "debug/gdb.h"

enum { PAGE = 4096 };

/* Where addr lies, and how much of len follows it there; 0: nowhere. */
static size_t piece(struct gdbstub *g, u64 addr, size_t len, gpa_t *pa)
{
	struct vcpu *cpu = gdb_vcpu(g);
	u64 left = PAGE - addr % PAGE, mapped;

	*pa = addr;
	if (!g->phys) {
		if (cpu->isa->translate(cpu, addr, pa, &mapped))
			return 0;
		left = mapped < left ? mapped : left;
	}
	return len < left ? len : left;
}

size_t gdb_read_mem(struct gdbstub *g, u64 addr, u8 *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		gpa_t pa;
		size_t n = piece(g, addr + done, len - done, &pa);

		if (!n || as_peek(g->m->mem, pa, buf + done, n))
			break;
		done += n;
	}
	return done;
}

int gdb_write_mem(struct gdbstub *g, u64 addr, const u8 *buf, size_t len)
{
	size_t n;
	gpa_t pa;

	for (size_t done = 0; done < len; done += n) {
		n = piece(g, addr + done, len - done, &pa);
		if (!n || !as_ram(g->m->mem, pa, n, true))
			return -EFAULT;
	}
	for (size_t done = 0; done < len; done += n) {
		n = piece(g, addr + done, len - done, &pa);
		/* It may have been a page table that we wrote. */
		if (!n || as_poke(g->m->mem, pa, buf + done, n))
			return -EFAULT;
	}
	g->written = g->written || len;
	return 0;
}
