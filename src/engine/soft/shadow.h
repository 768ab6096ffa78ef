/* SPDX-License-Identifier: MIT */
/*
 * shadow.h - running the same code twice: first on copies of the pages that it writes, then on
 * the pages themselves, and comparing what is in them.
 *
 * While a vCPU's shadow is on, its accesses go by views of the TLB that are the shadow's and
 * begin empty, so that each page is met once on the slow path:
 *
 *   SHADOW_TRY    a page is copied when it is met, and the copy is used.  Nothing becomes
 *                 visible: not the data, not the bits of page tables, not what the TLB holds.
 *   SHADOW_REAL   the page itself is written, but kept as it was before, so that another try
 *                 finds the memory that the first one found, and the TLB.
 *
 * Owned and touched by the vCPU's thread.  The caller sees to it that nobody else writes
 * memory meanwhile, or puts up with differences.
 */
#ifndef ENGINE_SOFT_SHADOW_H
#define ENGINE_SOFT_SHADOW_H

#include "engine/soft/soft.h"

enum shadow_mode { SHADOW_OFF, SHADOW_TRY, SHADOW_REAL };

enum {
	SHADOW_PAGES = 256,
	SHADOW_MANY = 192,
	SHADOW_FILLS = 1024,
	SHADOW_WALKS = 64,
	SHADOW_GUARD = 64
};

/* A page of guest RAM and its copy. */
struct shadow_page {
	u8 *host, *copy;
	bool written, walked; /* by instructions; bits of page tables, by walks */
};

struct shadow_set {
	struct shadow_page page[SHADOW_PAGES];
	unsigned nr;
	u8 *mem; /* the copies, each between two guards */
};

/* An entry of a view that is in use. */
struct shadow_entry {
	struct tlb_ent *ent;
	unsigned index;
};

/* Bits that a walk has set in an entry of a page table. */
struct shadow_walk {
	u8 *host;
	u64 set;
	unsigned size;
};

struct shadow {
	enum shadow_mode mode;
	struct tlb_view views[NR_VIEWS];
	struct shadow_entry filled[SHADOW_FILLS];
	unsigned nr_filled;
	struct shadow_entry installed[SHADOW_FILLS]; /* SHADOW_REAL: in the vCPU's own views */
	unsigned nr_installed;
	struct shadow_set tried, before;	/* copies that were written; pages as they were */
	bool overflow;				/* SHADOW_REAL: more pages than fit */
	struct shadow_walk walks[SHADOW_WALKS]; /* of the try */
	unsigned nr_walks;
	/* At SHADOW_MANY pages code is to leave at its next poll.  No room in a try: called to
	 * leave it, does not return. */
	void (*full)(struct x86_cpu *cpu);
};

struct shadow *shadow_new(void (*full)(struct x86_cpu *cpu)); /* NULL: no memory */
void shadow_free(struct shadow *sh);

/* Another mode, with empty views.  SHADOW_TRY also forgets what was tried. */
void shadow_set_mode(struct x86_cpu *cpu, enum shadow_mode mode);

/*
 * SHADOW_TRY: copies are as when they were made, but the views know all that was met, so that
 * another try finds it there.  False: that would not be the same.
 */
bool shadow_rewind(struct x86_cpu *cpu);

/* Forget all copies. */
void shadow_forget(struct shadow *sh);

static inline bool shadow_is(const struct x86_cpu *cpu, enum shadow_mode mode)
{
	return cpu->shadowed && soft_cpu(cpu)->shadow->mode == mode;
}

/*
 * For the TLB: an access to lin in RAM at host was checked; silent: the view may hold it.
 * Returns where it is to go.
 */
u8 *shadow_fill(struct x86_cpu *cpu, u64 lin, enum mem_access acc, enum tlb_view_kind kind,
		bool silent, u8 *host);

/* For the TLB: an entry was made in one of the vCPU's own views. */
void shadow_installed(struct shadow *sh, struct tlb_ent *ent, unsigned index);

/* The byte at host as it was before SHADOW_REAL began. */
const u8 *shadow_before(struct shadow *sh, const u8 *host);

/* Bytes in which the two runs left memory different. */
struct shadow_diff {
	const u8 *tried, *real;
	unsigned len; /* up to the last one of the page */
};

/* False: they left the same. */
bool shadow_compare(struct shadow *sh, struct shadow_diff *d);

/* Take back what SHADOW_REAL wrote, and forget all copies. */
void shadow_undo(struct x86_cpu *cpu);

/* Was something written beside a copy? */
bool shadow_strayed(const struct shadow *sh);

#endif
