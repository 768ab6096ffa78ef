/* SPDX-License-Identifier: MIT */
/* random.c - random bytes for the guest: the host's, or repeatable ones from --seed. */
#include "board/boot/boot.h"

#include <errno.h>
#include <sys/random.h>

#include "sundog/clock.h"
#include "sundog/machine.h"

/* splitmix64: good enough where the user asked for a run that repeats. */
static u64 next(u64 *x)
{
	u64 z = *x += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void boot_random(struct boot *b, u8 *buf, size_t len)
{
	u64 x = b->m->cfg ? b->m->cfg->seed : 0;
	size_t done = 0;

	while (!x && done < len) {
		ssize_t n = getrandom(buf + done, len - done, 0);

		if (n > 0)
			done += (size_t)n;
		else if (errno != EINTR)
			x = clock_now(b->m,
				      CLOCK_HOST); /* no entropy from the host: say a little */
	}
	for (; done < len; done++)
		buf[done] = (u8)next(&x);
}
