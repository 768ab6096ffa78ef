/* SPDX-License-Identifier: MIT */
/*
 * code.c - memory for translated code: one memfd, mapped once to write and once to run, so
 * that no page is ever both.  Filled in halves: when one is full all blocks are given up, and
 * the half is filled again once every vCPU has passed the top of its run loop since.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "engine/jit/jit.h"
#include "sundog/err.h"

enum { MIN_ROOM = 64 << 10 };

int jit_code_init(struct jit *j, struct err *e)
{
	j->fd = memfd_create("sundog-code", MFD_CLOEXEC);
	if (j->fd < 0 || ftruncate(j->fd, CODE_SIZE))
		return err_set(e, -errno, "no memory for translated code: %s; try --engine interp",
			       strerror(errno));
	j->rw = mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, j->fd, 0);
	j->rx = mmap(NULL, CODE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, j->fd, 0);
	if (j->rw == MAP_FAILED || j->rx == MAP_FAILED)
		return err_set(e, -EPERM,
			       "this host forbids executable memory: %s; use --engine interp",
			       strerror(errno));
	j->at = j->rw;
	return 0;
}

void jit_code_destroy(struct jit *j)
{
	if (j->rw && j->rw != MAP_FAILED)
		munmap(j->rw, CODE_SIZE);
	if (j->rx && j->rx != MAP_FAILED)
		munmap(j->rx, CODE_SIZE);
	if (j->fd >= 0)
		close(j->fd);
}

static u8 *half_start(const struct jit *j, unsigned half)
{
	return half ? j->rw + CODE_SIZE / NR_HALVES : j->stubs_end;
}

static u8 *half_end(const struct jit *j, unsigned half)
{
	return j->rw + CODE_SIZE / NR_HALVES * (half + 1);
}

bool jit_code_full(const struct jit *j)
{
	return half_end(j, j->half) - j->at < MIN_ROOM && !j->retired[j->half];
}

bool jit_code_room(struct jit *j, struct emit *e)
{
	if (half_end(j, j->half) - j->at < MIN_ROOM) {
		unsigned other = !j->half;

		if (j->retired[other] && !soft_all_past(j->soft, j->retired[other]))
			return false;
		if (jit_code_full(j)) /* all blocks must go first */
			return false;
		j->retired[other] = 0;
		j->half = other;
		j->at = half_start(j, other);
	}
	*e = (struct emit){.p = j->at, .end = half_end(j, j->half)};
	return true;
}
