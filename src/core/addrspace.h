/* SPDX-License-Identifier: MIT */
/*
 * core/addrspace.h - what addrspace.c (the table) and access.c (its users) share.
 *
 * A reader keeps what as_enter() gave it until as_leave(), handlers included: that is what
 * as_synchronize() waits for.
 */
#ifndef CORE_ADDRSPACE_H
#define CORE_ADDRSPACE_H

#include <stdatomic.h>

#include "sundog/addrspace.h"
#include "sundog/lock.h"

struct as_entry {
	u64 last;		   /* r.base + r.size - 1 */
	struct region r;	   /* as it was when it was mapped */
	const struct region *orig; /* the owner's */
};

struct as_table {
	struct as_table *next; /* retired before this one */
	unsigned idle;	       /* bit p: parity p was seen idle since it was retired */
	size_t nr, cap;
	struct as_entry ent[]; /* sorted, disjoint */
};

enum { AS_SHARDS = 16 };

struct as_shard {
	_Atomic u32 active[2];
} __attribute__((aligned(64)));

struct addrspace {
	struct as_shard shard[AS_SHARDS];
	_Atomic(struct as_table *) table;
	_Atomic u32 parity;
	_Atomic(struct as_listener *) listeners;

	const char *name;
	u64 last; /* the highest address */
	struct lock update;
	_Atomic uintptr_t batch_owner; /* the thread whose batch is open, or 0 */

	/* Under the update lock. */
	unsigned batch_depth;
	struct as_table *work; /* the batch's table; NULL: nothing changed yet */
	struct as_table *retired;
};

struct as_reader {
	_Atomic u32 *count;
};

const struct as_table *as_enter(struct addrspace *as, struct as_reader *rd);
void as_leave(const struct as_reader *rd);
/* The entry that holds addr, or NULL. */
const struct as_entry *as_lookup(const struct as_table *t, u64 addr);

#endif
