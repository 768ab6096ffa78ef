/* SPDX-License-Identifier: MIT */
/* inspect.c - guest memory as a debugger sees it: through the page tables, nothing changed. */
#include "isa/x86/inspect.h"

#include <errno.h>

#include "isa/x86/priv.h"
#include "sundog/machine.h"

int x86_translate(struct vcpu *v, gva_t va, gpa_t *pa, u64 *page_left)
{
	struct x86_cpu *cpu = x86_cpu(v);
	struct page_walk w;

	if (cpu->long_mode ? !x86_canonical(va) : va >> 32)
		return -EFAULT;
	if (x86_walk(cpu, va, MEM_READ, false, true, WALK_PEEK, &w))
		return -EFAULT;
	*pa = w.gpa;
	*page_left = (1ull << w.page_bits) - (va & ((1ull << w.page_bits) - 1));
	return 0;
}

unsigned x86_peek(struct x86_cpu *cpu, gva_t va, void *buf, unsigned len)
{
	unsigned done = 0;

	while (done < len) {
		u64 left;
		gpa_t pa;
		unsigned n;
		const void *p;

		if (x86_translate(&cpu->v, va + done, &pa, &left))
			break;
		n = len - done < left ? len - done : (unsigned)left;
		p = as_ram(cpu->v.machine->mem, pa, n, false);
		if (!p)
			break;
		for (unsigned i = 0; i < n; i++)
			((u8 *)buf)[done + i] = (u8)ram_load((const u8 *)p + i, 1);
		done += n;
	}
	return done;
}
