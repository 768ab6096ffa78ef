/* SPDX-License-Identifier: MIT */
/*
 * code.c - memory for translated code: shared memory, mapped once to run and once to write, so
 * that no page is ever both.  Filled in halves: when both are full all blocks are given up, and
 * a half is filled again once every vCPU has passed the top of its run loop since.  What is known
 * about the codes of a half lies elsewhere, is filled beside it and given up with it.
 *
 * Memory for blocks follows the code, so that code reaches them with 32 bits.
 *
 * It is anonymous, and mapped a second time by mremap(2), which does that if the old size is 0:
 * perf(1) takes names from its map for memory without a file only.
 */
#include <sys/mman.h>

#include "engine/jit/jit.h"
#include "sundog/err.h"

/* What one code may take of the cache, and META_MORE times as much beside it. */
enum { MIN_ROOM = 64 << 10, META_MORE = 3, MIN_CODE = 32 };

static u64 meta_half(const struct jit *j)
{
	return j->size / NR_HALVES * META_MORE;
}

static u64 index_half(const struct jit *j)
{
	return j->size / NR_HALVES / MIN_CODE;
}

static void *reserve(u64 size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		    -1, 0);
}

static int meta_init(struct jit *j, struct err *e)
{
	j->meta = reserve(NR_HALVES * meta_half(j));
	j->index = reserve(NR_HALVES * index_half(j) * sizeof(*j->index));
	j->guard = mmap(NULL, PAGE_SIZE_4K, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (j->meta == MAP_FAILED || j->index == MAP_FAILED || j->guard == MAP_FAILED)
		return err_set(e, -ENOMEM,
			       "not enough memory for the translator; "
			       "try --engine jit,cache=4M");
	return 0;
}

static void unmap(void *p, u64 size)
{
	if (p && p != MAP_FAILED)
		munmap(p, size);
}

static int no_memory(struct err *e, int r)
{
	return err_set(e, r, "no memory for translated code (%s); use --engine interp",
		       strerror(-r));
}

int jit_code_init(struct jit *j, struct err *e)
{
	void *p = mmap(NULL, j->size + BLOCK_ARENA, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return no_memory(e, -errno);
	j->arena = (u8 *)p + j->size;
	p = mmap(p, j->size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
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
	return meta_init(j, e);
}

void jit_code_destroy(struct jit *j)
{
	unmap(j->rw, j->size);
	if (j->arena)
		munmap(j->arena - j->size, j->size + BLOCK_ARENA);
	unmap(j->meta, NR_HALVES * meta_half(j));
	unmap(j->index, NR_HALVES * index_half(j) * sizeof(*j->index));
	unmap(j->guard, PAGE_SIZE_4K);
}

static u8 *half_start(const struct jit *j, unsigned half)
{
	return half ? j->rw + j->size / NR_HALVES : j->stubs_end;
}

static u8 *half_end(const struct jit *j, unsigned half)
{
	return j->rw + j->size / NR_HALVES * (half + 1);
}

static bool half_full(const struct jit *j)
{
	return half_end(j, j->half) - j->at < MIN_ROOM ||
	       meta_half(j) - j->meta_used < META_MORE * MIN_ROOM;
}

bool jit_code_full(const struct jit *j)
{
	return half_full(j) && !j->dead[!j->half];
}

void jit_code_flushed(struct jit *j, u64 epoch)
{
	for (unsigned i = 0; i < NR_HALVES; i++)
		j->dead[i] = epoch;
	j->next_way = 0; /* nothing leads through those that were */
}

bool jit_code_room(struct jit *j, struct emit *e)
{
	if (half_full(j)) {
		unsigned other = !j->half;

		if (!j->dead[other] || !soft_all_past(j->soft, j->dead[other]))
			return false;
		j->half = other;
		j->at = half_start(j, other);
		j->meta_used = 0;
		__atomic_store_n(&j->nr_codes[other], 0, __ATOMIC_RELAXED);
	}
	j->dead[j->half] = 0;
	*e = (struct emit){.p = j->at, .end = half_end(j, j->half)};
	return true;
}

void *jit_meta_alloc(struct jit *j, size_t size)
{
	u8 *p = j->meta + j->half * meta_half(j) + j->meta_used;

	size = (size + 15) & ~(size_t)15;
	if (!range_fits(j->meta_used, size, meta_half(j)))
		return NULL;
	j->meta_used += size;
	return p;
}

/* The code, written up to end, is there for good. */
bool jit_code_add(struct jit *j, struct jit_code *c, u8 *end)
{
	struct jit_code **index = j->index + j->half * index_half(j);
	unsigned n = j->nr_codes[j->half];

	if (n >= index_half(j))
		return false;
	c->end = jit_rx(j, end);
	j->at = (u8 *)(((uintptr_t)end + 7) & ~7ul);
	if (j->at - jit_rw(j, c->start) < MIN_CODE)
		j->at = jit_rw(j, c->start) + MIN_CODE;
	j->bytes += (u64)(j->at - jit_rw(j, c->start));
	index[n] = c;
	/* Pairs with jit_code_at(): what it finds is whole. */
	__atomic_store_n(&j->nr_codes[j->half], n + 1, __ATOMIC_RELEASE);
	return true;
}

struct jit_code *jit_code_at(const struct jit *j, const void *rx)
{
	const u8 *p = rx;
	u64 off = (u64)(p - j->rx);
	unsigned half = off >= j->size / NR_HALVES, low = 0, high;
	struct jit_code **index = j->index + half * index_half(j);

	if (off >= j->size)
		return NULL;
	high = __atomic_load_n(&j->nr_codes[half], __ATOMIC_ACQUIRE);
	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (index[middle]->end <= p)
			low = middle + 1;
		else
			high = middle;
	}
	/* Codes are in order, so the first that ends behind p. */
	if (low == __atomic_load_n(&j->nr_codes[half], __ATOMIC_ACQUIRE) || index[low]->start > p)
		return NULL;
	return index[low];
}

struct jit_room jit_code_mark(const struct jit *j)
{
	return (struct jit_room){j->at, j->meta_used, j->half, j->nr_codes[j->half]};
}

void jit_code_rewind(struct jit *j, const struct jit_room *room)
{
	if (room->half != j->half) /* the other half was begun */
		return;
	j->at = room->at;
	j->meta_used = room->meta_used;
	__atomic_store_n(&j->nr_codes[j->half], room->nr_codes, __ATOMIC_RELEASE);
}
