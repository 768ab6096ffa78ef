/* SPDX-License-Identifier: MIT */
/*
 * adbits.c - page-table entries changed by two CPUs at once: accessed and dirty bits are set
 * by locked cycles, so that nobody's change is lost.
 *
 * Source: SDM volume 3A, "Accessed and Dirty Flags", "Propagation of Paging-Structure Changes".
 *
 * cpus: 2
 */
#include "apic.h"
#include "paging.h"

enum { ROUNDS = 20000, PAGES = 8, RW = PTE_P | PTE_W };
#define ONE (1ull << 52) /* a counter in the bits that the CPU ignores: seven of them */

static volatile bool done, go;

static u64 *entry(unsigned i)
{
	return pte_of(TEST_VA + i * 4096, LEVEL_4K);
}

/* The second CPU reads and writes all the time, forgetting translations as it goes. */
static void toucher(unsigned cpu)
{
	while (!go)
		pause();
	for (unsigned n = 0; !done; n++) {
		volatile u64 *p = (volatile u64 *)(TEST_VA + n % PAGES * 4096);

		invlpg(p);
		if (n & 8)
			*p = n;
		else
			(void)*p;
	}
}

int main(void)
{
	u64 count[PAGES] = {0};
	bool ok = true;

	apic_enable();
	for (unsigned i = 0; i < PAGES; i++)
		map(TEST_VA + i * 4096, (reg_t)page_alloc(), RW, LEVEL_4K);
	check("second-cpu", smp_start(2, toucher), 2);
	go = true;
	for (unsigned n = 0; n < ROUNDS; n++) {
		unsigned i = n % PAGES;
		u64 *e = entry(i);

		__atomic_fetch_add(e, ONE, __ATOMIC_SEQ_CST);
		__atomic_fetch_and(e, ~(u64)(PTE_A | PTE_D), __ATOMIC_SEQ_CST);
		count[i]++;
		ok &= (*e >> 52 & 0x7f) == (count[i] & 0x7f);
		if ((count[i] & 0x7f) == 0x7f) { /* before it runs over into bit 59 */
			__atomic_fetch_and(e, ~(0x7full << 52), __ATOMIC_SEQ_CST);
			count[i] = 0;
		}
	}
	check_true("no-update-lost", ok);
	done = true;
	return 0;
}
