// SPDX-License-Identifier: MIT
/* int.c - integer classes: loops, calls, branches, table look-ups, pointers. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* --- sieve: how many primes there are below a million -------------------------------------- */

enum { SIEVE = 1000000, SIEVES = 4 };

static uint8_t composite[SIEVE];

static uint64_t primes(void)
{
	uint64_t n = 0;

	memset(composite, 0, sizeof(composite));
	for (unsigned i = 2; i < SIEVE; i++) {
		if (composite[i])
			continue;
		n++;
		for (uint64_t k = (uint64_t)i * i; k < SIEVE; k += i)
			composite[k] = 1;
	}
	return n;
}

static uint64_t sieve(void)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < SIEVES; i++)
		n += primes();
	return n;
}

/* --- fib: calls and returns ----------------------------------------------------------------- */

/* The compiler is not to unfold the recursion. */
static __attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) uint64_t
fib_calls(unsigned n)
{
	if (n < 2)
		return n;
	return fib_calls(n - 1) + fib_calls(n - 2);
}

static uint64_t fib(void)
{
	return fib_calls(30);
}

/* --- quicksort: branches that cannot be foretold --------------------------------------------- */

enum { SORTED = 100000 };

static uint32_t numbers[SORTED];

static void quicksort(uint32_t *a, long n)
{
	while (n > 1) {
		uint32_t pivot = a[n / 2];
		long i = 0, k = n - 1;

		while (i <= k) {
			uint32_t t;

			while (a[i] < pivot)
				i++;
			while (a[k] > pivot)
				k--;
			if (i > k)
				break;
			t = a[i];
			a[i++] = a[k];
			a[k--] = t;
		}
		quicksort(a, k + 1);
		a += i;
		n -= i;
	}
}

static uint64_t sort(void)
{
	uint64_t state = 88172645463325252u, h = 0;

	for (unsigned i = 0; i < SORTED; i++)
		numbers[i] = (uint32_t)next_random(&state);
	quicksort(numbers, SORTED);
	for (unsigned i = 0; i < SORTED; i++)
		h = numbers[i] < numbers[i ? i - 1 : 0] ? ~0ull : mix(h, numbers[i]);
	return h;
}

/* --- crc: each look-up waits for the one before ------------------------------------------------
 */

enum { CRC_BYTES = 65536, CRC_ROUNDS = 64 };

static uint32_t crc_table[256];
static uint8_t crc_data[CRC_BYTES];

static void crc_setup(void)
{
	uint64_t state = 1234567;

	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
		crc_table[i] = c;
	}
	for (unsigned i = 0; i < CRC_BYTES; i++)
		crc_data[i] = (uint8_t)next_random(&state);
}

static uint64_t crc(void)
{
	uint32_t c = ~0u;

	for (unsigned r = 0; r < CRC_ROUNDS; r++)
		for (unsigned i = 0; i < CRC_BYTES; i++)
			c = c >> 8 ^ crc_table[(c ^ crc_data[i]) & 0xff];
	return ~c;
}

/* --- tree: from node to node through 1.5 MB ------------------------------------------------- */

enum { NODES = 49152, WALKS = 6 };

struct node {
	struct node *left, *right;
	uint64_t key, pad;
};

static struct node nodes[NODES], *root;

static void tree_setup(void)
{
	uint64_t state = 42;

	root = NULL;
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &nodes[i], **p = &root;

		*n = (struct node){.key = next_random(&state)};
		while (*p)
			p = n->key < (*p)->key ? &(*p)->left : &(*p)->right;
		*p = n;
	}
}

static uint64_t walk(const struct node *n, uint64_t h)
{
	while (n) {
		h = walk(n->left, h);
		h = h * 31 + n->key;
		n = n->right;
	}
	return h;
}

static uint64_t tree(void)
{
	uint64_t h = 0;

	for (unsigned i = 0; i < WALKS; i++)
		h = walk(root, h);
	return h;
}

/* --- hash: random places in 512 KB --------------------------------------------------------------
 */

enum { SLOTS = 65536, HASHED = 10000000 };

static uint64_t slots[SLOTS];

static uint64_t hash(void)
{
	uint64_t h = 0;

	memset(slots, 0, sizeof(slots));
	for (uint64_t i = 1; i <= HASHED; i++)
		slots[i * 0x9e3779b97f4a7c15u >> 48] += i;
	for (unsigned i = 0; i < SLOTS; i++)
		h = mix(h, slots[i]);
	return h;
}

/* --- indirect: calls through a table, in a random order ------------------------------------------
 */

enum { CALLED = 256, CALL_ROUNDS = 10000 };

typedef uint64_t op_fn(uint64_t);

#define OPS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define OP(n)                                                        \
	static __attribute__((noinline)) uint64_t op_##n(uint64_t v) \
	{                                                            \
		return (v ^ v >> (n + 1)) + n * 77 + 1;              \
	}
OPS(OP)
#define NAME(n) op_##n,
static op_fn *const ops[] = {OPS(NAME)};
static op_fn *called[CALLED];

static void indirect_setup(void)
{
	uint64_t state = 99;

	for (unsigned i = 0; i < CALLED; i++)
		called[i] = ops[next_random(&state) >> 60];
}

static uint64_t indirect(void)
{
	uint64_t v = 1;

	for (unsigned r = 0; r < CALL_ROUNDS; r++)
		for (unsigned i = 0; i < CALLED; i++)
			v = called[i](v);
	return v;
}

const struct bench int_benches[] = {
	{"sieve", "run", 1, SIEVES * 78498, sieve, NULL},
	{"fib", "run", 1, 832040, fib, NULL},
	{"qsort", "run", 1, 0x238ba7a4e16c060a, sort, NULL},
	{"crc", "run", 1, 0x482c6ab2, crc, crc_setup},
	{"tree", "run", 1, 0xea25a93e3616a132, tree, tree_setup},
	{"hash", "run", 1, 0xf20f25e351958a14, hash, NULL},
	{"indirect", "run", 1, 0x5666fbfb, indirect, indirect_setup},
	{0},
};
