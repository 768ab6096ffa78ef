/* SPDX-License-Identifier: MIT */
/*
 * code.c - memory for translated code: shared memory, mapped once to run and once to write, so
 * that no page is ever both.  Filled in halves: when both are full all blocks are given up, and
 * a half is filled again once every vCPU has passed the top of its run loop since.
 *
 * It is anonymous, and mapped a second time by mremap(2), which does that if the old size is 0:
 * perf(1) takes names from its map for memory without a file only.
 */
#include <sys/mman.h>

#include "engine/jit/jit.h"
#include "sundog/err.h"

enum { MIN_ROOM = 64 << 10 };

static int no_memory(struct err *e, int r)
{
	return err_set(e, r, "no memory for translated code (%s); use --engine interp",
		       strerror(-r));
}

int jit_code_init(struct jit *j, struct err *e)
{
	void *p = mmap(NULL, j->size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED && (errno == EPERM || errno == EACCES))
		return err_set(e, -EOPNOTSUPP,
			       "this host forbids executable memory (%s); lift that policy, or use "
			       "--engine interp",
			       strerror(errno));
	if (p == MAP_FAILED)
		return no_memory(e, -errno);
	j->rx = p;
	p = mremap(j->rx, 0, j->size, MREMAP_MAYMOVE);
	if (p == MAP_FAILED)
		return no_memory(e, -errno);
	j->rw = p;
	if (mprotect(j->rw, j->size, PROT_READ | PROT_WRITE))
		return no_memory(e, -errno);
	j->at = j->rw;
	j->dead[1] = 1; /* before all epochs */
	return 0;
}

void jit_code_destroy(struct jit *j)
{
	if (j->rw)
		munmap(j->rw, j->size);
	if (j->rx)
		munmap(j->rx, j->size);
}

u8 *jit_half_start(const struct jit *j, unsigned half)
{
	return half ? j->rw + j->size / NR_HALVES : j->stubs_end;
}

const u8 *jit_half_used(const struct jit *j, unsigned half)
{
	if (half == j->half)
		return j->at;
	return j->used[half] ? j->used[half] : jit_half_start(j, half);
}

static u8 *half_end(const struct jit *j, unsigned half)
{
	return j->rw + j->size / NR_HALVES * (half + 1);
}

static bool half_full(const struct jit *j)
{
	return half_end(j, j->half) - j->at < MIN_ROOM;
}

bool jit_code_full(const struct jit *j)
{
	return half_full(j) && !j->dead[!j->half];
}

void jit_code_flushed(struct jit *j, u64 epoch)
{
	for (unsigned i = 0; i < NR_HALVES; i++)
		j->dead[i] = epoch;
}

bool jit_code_room(struct jit *j, struct emit *e)
{
	if (half_full(j)) {
		unsigned other = !j->half;

		if (!j->dead[other] || !soft_all_past(j->soft, j->dead[other]))
			return false;
		j->used[j->half] = j->at;
		j->half = other;
		j->at = jit_half_start(j, other);
	}
	j->dead[j->half] = 0;
	*e = (struct emit){.p = j->at, .end = half_end(j, j->half)};
	return true;
}
