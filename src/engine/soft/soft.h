/* SPDX-License-Identifier: MIT */
/*
 * soft.h - what the software engines share: TLB, block cache, code-page tracking, rendezvous.
 *
 * Problem.  Instructions are decoded once into blocks and run many times, on several vCPU
 * threads, while guests (and their devices) write to memory that may hold code.  A store must
 * cost a few host instructions, and yet no stale block may run.
 *
 * Invariants:
 *  1. A page is in a write TLB only if it may be stored to silently: RAM, writable, dirty bit
 *     set, and holding no code.  Where that is not so the slow path does the store.
 *  2. Before the first block of a page is published, the page is marked (page->code) and then
 *     taken out of every vCPU's write TLB; a fill sets its bit in page->writers before it
 *     looks at page->code.  So either the fill sees the mark or the marker sees the writer.
 *  3. A store to a marked page is done first, then kills the blocks that overlap it; a builder
 *     claims the granules first, then reads the bytes (both with full barriers in between).
 *  4. A dead block is never run again but may be running: all its ops are turned into one that
 *     leaves the block with RIP right.  So whoever is in it, or chained to it, gets out at the
 *     next instruction.
 *  5. Block memory is reused only after every vCPU has passed the top of its run loop since
 *     the block was unpublished (chunk->retired against cpu->seen).
 *  6. An exclusive section runs while every other vCPU is outside guest code: between blocks,
 *     out of run(), in a device access, or waiting itself.  It may change the others' TLBs
 *     and jump caches, so those are touched in guest code only (soft_enter()).  Nobody enters
 *     one with soft->lock held.
 *
 * Locks: soft->lock (blocks, page marks) is a leaf; soft->gate guards the rendezvous.
 */
#ifndef ENGINE_SOFT_H
#define ENGINE_SOFT_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "isa/x86/cpu.h"
#include "isa/x86/flags.h"
#include "isa/x86/mem.h"
#include "isa/x86/system.h"
#include "sundog/counters.h"
#include "sundog/machine.h"

/* --- blocks (block.c) --------------------------------------------------------------------- */

enum {
	MAX_CPUS = 8, /* bits in page_info.writers */
	BLOCK_MAX_OPS = 48,
	BLOCK_HASH_BITS = 18,
	CHUNK_SIZE = 4 << 20,
	MAX_CHUNKS = 32, /* block memory before all of it is flushed */
	BLOCK_ARENA = 2 * MAX_CHUNKS * CHUNK_SIZE,
};

/* What decoding depends on, beside the bytes. */
typedef u8 block_key;

/*
 * Straight-line code within one page.  ops[nr_ops] is what follows the last instruction:
 * a fall-through op, and for direct branches two link slots (taken, not taken).
 */
struct block {
	const u8 *host;		    /* where its bytes are: the key, with .key; never changes */
	struct block *_Atomic next; /* in the hash bucket */
	struct block *page_next;    /* of the same page */
	block_key key;
	u8 nr_ops;
	_Atomic bool dead;
	u16 len;      /* bytes of code */
	u16 page_off; /* offset in its page of the first byte */
	struct {
		u16 off, len;
	} peek[2];		   /* bytes elsewhere in the page that a translation depends on */
	_Atomic u16 runs;	   /* the translator's: how often it was entered */
	exec_fn *first;		   /* likewise: what ops[0].fn was before it counted */
	void *code;		   /* likewise, or NULL; soft->lock */
	i32 heat;		   /* likewise: counted down by its code */
	u16 live[2];		   /* likewise: flags that what follows reads: not taken, taken */
	struct jit_member *member; /* likewise: traces that it is part of */
	const struct op *straddle; /* likewise: what comes next and crosses the page; or NULL */
	struct op ops[];
};

enum { OPS_AFTER = 2 }; /* slots behind the last instruction; len 0: not to be poisoned */

struct chunk {
	u8 *mem;
	size_t used;
	u64 retired; /* soft->epoch at which it was given up; 0: in use */
};

/* One frame of guest RAM. */
struct page_info {
	_Atomic u64 granules; /* 64-byte pieces that blocks were made from */
	struct block *blocks; /* soft->lock */
	_Atomic u8 writers;   /* vCPUs that may hold it in a write TLB */
	_Atomic bool code;
	_Atomic u16 place; /* where in those: PLACE_*, or tlb_index() + 1 */
};

enum { PLACE_NONE = 0, PLACE_ANY = 0xffff };

struct jit_link;
struct lockstep;
struct shadow;
struct jit_member;

/* --- per vCPU ------------------------------------------------------------------------------ */

/*
 * The jump cache is in groups: those of a page in the lower half of the address space are all in
 * one, so that forgetting it need not look at all of them.  Kernels' may be anywhere.
 */
enum { JC_GROUP_BITS = 6, JC_GROUP = 1 << JC_GROUP_BITS, JC_GROUPS = 64 };
enum { JC_ENTRIES = JC_GROUPS * JC_GROUP, EX_ENTRIES = 512, NR_CONTEXTS = 8 };

struct jc_ent { /* jump cache: linear address to block, for one context */
	u64 lin;
	struct block *block;
	block_key key;
	bool global;
};

/*
 * A translator's jump cache: code that runs at lin, in the mode of the table.  An entry may
 * also be in the place next to its own (index ^ 1), where a newer one put it.
 */
enum { JUMP_BITS = 12, JUMP_ENTRIES = 1 << JUMP_BITS, JUMP_PAGE_BITS = 9 };

/*
 * No entry is an entry for this address, for which there never is another one: it leads to the
 * routine that looks further.
 */
#define NO_LIN (~0ull)

struct jump_ent {
	u64 lin;
	const void *code; /* where there is no entry: soft->no_jump */
};

/*
 * A way is a direct branch of translated code to another page, by a number of its own.  In this
 * context, from the page at lin, it leads to the place that it always leads to, if to any, while
 * ways[n % NR_WAYS] is lin + n / NR_WAYS.
 */
enum { NR_WAYS = 1024, MAX_WAY = NR_WAYS * (PAGE_SIZE_4K - 1) };

/* That of one of the modes, with what is known of its entries, so as to keep what is good. */
struct jumps {
	struct jump_ent ent[JUMP_ENTRIES] __attribute__((aligned(64)));
	u64 ways[NR_WAYS];
	u64 age;			       /* another one each time it is emptied */
	u64 pages[(1 << JUMP_PAGE_BITS) / 64]; /* hashes of pages that have entries */
	bool used, local;		       /* there are entries, that are not global */
	bool half[2]; /* ... in the lower, the upper of the address space */
	u64 large;    /* hashes of GiBs with entries in large pages */
};

/*
 * The modes, for which the same address may be other code.  Translated code goes from the first to
 * the second and back by itself (jit/ring.c).
 */
enum { JUMPS_KERNEL, JUMPS_USER, JUMPS_COMPAT, NR_JUMPS };

struct ex_ent {	 /* instruction TLB */
	u64 tag; /* page | user; all ones: invalid */
	const u8 *host;
	bool global, large;
	block_key key; /* KEY_LARGE or 0 */
};

/* Regions of code: 2 MiB and more that the guest maps as one piece (region.c). */
enum {
	LARGE_CODE_BITS = 21,
	LARGE_CODE = 1 << LARGE_CODE_BITS,
	NR_REGIONS = 63,
	REGION_LOST = 0xff
};

/*
 * What jump caches have had no room for, of all a vCPU's contexts and modes: in force while the
 * jump cache that it is from has the age.
 */
enum { OLD_JUMPS = 1 << 15 };

struct old_jump {
	u64 lin, age;
	const void *code;
};

/* The translations of one address space (PCID). */
struct soft_ctx {
	struct soft_cpu *sc;
	u16 pcid;
	bool valid;
	u64 used;	       /* for the choice of a victim */
	u64 jc_used, jc_local; /* groups of jc with entries, with such that are not global */
	struct tlb_view views[NR_VIEWS];
	/* Entries that are not global, which are what goes most often. */
	u64 local_rd[NR_VIEWS][TLB_ENTRIES / 64], local_wr[NR_VIEWS][TLB_ENTRIES / 64];
	u64 local_ex[EX_ENTRIES / 64];
	u64 used_wr[NR_VIEWS][TLB_ENTRIES / 64]; /* entries that are not empty, and some that are */
	u64 large_gibs;				 /* hashes of GiBs with fragments of large pages */
	u64 large[NR_VIEWS][TLB_ENTRIES / 64];	 /* entries that may be such fragments */
	u64 regions,
		local_regions; /* bits: which are mapped, at region_delta; which not globally */
	u64 region_delta[NR_REGIONS + 1]; /* linear - host address */
	struct ex_ent ex[EX_ENTRIES];
	struct jc_ent jc[JC_ENTRIES];
	struct jumps jumps[NR_JUMPS];
};

/* An instruction across the end of a page is in no block that is shared: one that a CPU met. */
enum { NR_STRADDLES = 64 };

struct straddle {
	u64 lin;
	struct block *block; /* of that instruction, or NULL */
	u8 bytes[16];	     /* what it was made from: both pages are looked at each time */
};

/* One line for each in soft/stats.c. */
struct soft_stats {
	u64 blocks, ops, one_shots, lookups, tlb_fills, slow_loads, slow_stores, exclusives,
		flushes, interrupts, exceptions, kicks;
	/* A translator's: how code was left, and what it left to C. */
	u64 exits_link, exits_kicked, exits_other, jump_misses, execs;
};

struct soft_cpu {
	struct x86_cpu *cpu;
	struct soft *soft;
	struct block *next; /* a block may name its successor here: interp */
	struct op *link;    /* the slot through which a block was left: to be linked */
	block_key key;	    /* of the code that runs now */
	struct block *running;
	struct soft_ctx *ctx;
	struct soft_ctx *ctxs[NR_CONTEXTS];
	u64 clock;	  /* for soft_ctx.used */
	_Atomic u64 seen; /* soft->epoch at the top of the run loop; 0: not in run() */
	_Atomic bool in_guest;
	unsigned alone;		    /* inside its own exclusive sections, so many deep */
	_Atomic bool flush_due;	    /* the memory map changed: empty the TLB at the next poll */
	struct tlb_view no_view;    /* always misses: alignment checks, data breakpoints */
	bool slow_access;	    /* no_view is in force */
	struct shadow *shadow;	    /* shadow.h: runs of this vCPU are compared; or NULL */
	struct old_jump *old_jumps; /* OLD_JUMPS of them */
	u64 jumps_age;
	struct block *shot; /* room for one instruction that must not be cached */
	u8 shot_bytes[16];  /* what it was decoded from */
	struct straddle straddles[NR_STRADDLES];
	struct lockstep *lockstep;    /* a translator's: it is checked */
	struct jit_link *engine_link; /* a translator's: the branch it was left through */
	u64 link_epoch;		      /* when that was */
	u64 last_pause;		      /* a translator's: host's time stamp of the last PAUSE */
	unsigned pauses;	      /* ... and how many came in a row */
	bool counted;		      /* run() has a budget: instructions are counted */
	struct debug_req debug;
	bool debugging;	 /* there is a request */
	bool debug_hit;	 /* a watchpoint was touched: leave after this instruction */
	bool delivered;	 /* an event was, since run() was entered: that is a step */
	bool debug_exec; /* there are execution points */
	struct soft_stats stats;
};

/* Per machine. */
struct soft {
	struct machine *machine;
	pthread_mutex_t lock;
	struct block *_Atomic hash[1 << BLOCK_HASH_BITS];
	struct chunk chunks[2 * MAX_CHUNKS];
	unsigned nr_chunks; /* in use or retired */
	u8 *arena; /* a translator's: address space for all of them, near its code; or NULL */
	int chunk; /* filled now; -1: none */
	unsigned live_chunks;
	_Atomic u64 epoch;
	struct page_info *pages; /* by offset in m->ram */
	u64 nr_pages;
	/* By LARGE_CODE bytes of m->ram: a region's number, 0, or REGION_LOST; soft->lock. */
	_Atomic u8 *region_of;
	unsigned nr_units, nr_regions;
	struct as_listener listener;
	/* Offsets in a page at which no block may go on, since a point may be there. */
	u64 split[PAGE_SIZE_4K / 64];
	exec_fn *dead_op; /* the engine's: leave the block with RIP right */
	exec_fn *(*handler)(const struct op *op,
			    block_key key);		 /* the engine's choice for a decoded op */
	void (*finish)(struct soft *s, struct block *b); /* fills ops[nr_ops...] */

	/* A translator's; NULL without one.  soft->lock is held. */
	void (*killed)(struct soft *s, struct block *b);
	void (*flushed)(struct soft *s, u64 epoch);
	void *engine_data;
	const void *no_jump;
	void *no_page;	 /* its page caches without an entry name this: never to be touched */
	_Atomic u64 dma; /* how often somebody else than a vCPU wrote memory */
	u64 kills_store, kills_dma, kills_flush; /* blocks that died; soft->lock */
	_Atomic bool flush_wanted;		 /* give up all blocks at the next look-up */

	pthread_mutex_t gate;
	pthread_cond_t idle, open;
	_Atomic bool exclusive;
	unsigned nr_cpus;
	struct soft_cpu *cpus[MAX_CPUS];
};

/* A bit in vcpu->pending that no event sets: translated code is to leave at its next poll. */
enum { SOFT_LEAVE_CODE = 1 << 31 };

static inline void soft_set_bit(u64 *bits, unsigned i, bool on)
{
	bits[i / 64] = (bits[i / 64] & ~(1ull << i % 64)) | (u64)on << i % 64;
}

/* The tag of entry i of a TLB when it is empty: no address that indexes it can match. */
static inline u64 tlb_invalid_tag(unsigned i)
{
	return (u64)((i ^ 1) & (TLB_ENTRIES - 1)) << PAGE_BITS;
}

/* --- set-up -------------------------------------------------------------------------------- */

int soft_init(struct machine *m, struct err *e);
void soft_destroy(struct machine *m);
int soft_cpu_init(struct vcpu *v, struct err *e);
void soft_cpu_destroy(struct vcpu *v);

/* engine_ops.stats */
void soft_put_stats(struct machine *m, struct counter_sink *to);
/* A counter of struct soft_stats, summed over all vCPUs; an engine puts its own, too. */
struct soft_counter {
	const char *name, *doc;
	size_t offset;
};
#define SOFT_COUNTER(n, d)                                                       \
	{                                                                        \
		.name = #n, .doc = (d), .offset = offsetof(struct soft_stats, n) \
	}
u64 soft_sum_stat(const struct soft *s, size_t offset);
void soft_put_counters(const struct soft *s, struct counter_sink *to, const struct soft_counter *c,
		       unsigned nr);

static inline struct soft_cpu *soft_cpu(const struct x86_cpu *cpu)
{
	return cpu->soft;
}

/* --- contexts (context.c) ------------------------------------------------------------------- */

static inline bool is_user(const struct x86_cpu *cpu)
{
	return cpu->cpl == 3;
}

/* The view of an access that is not the system's own: by CPL and AC. */
static inline enum tlb_view_kind soft_view_kind(const struct x86_cpu *cpu)
{
	if (is_user(cpu))
		return VIEW_USER;
	return cpu->st.cr4 & CR4_SMAP && !(cpu->st.rflags & FL_AC) ? VIEW_KERNEL : VIEW_KERNEL_AC;
}

/* Do unaligned accesses raise #AC? */
static inline bool soft_aligned_only(const struct x86_cpu *cpu)
{
	return is_user(cpu) && cpu->st.cr0 & CR0_AM && cpu->st.rflags & FL_AC;
}

/* Does a breakpoint of the guest or of a debugger look at data accesses? */
bool soft_watches_data(const struct x86_cpu *cpu);

/* A bit for the GiB of lin, as in soft_ctx.large_gibs. */
static inline u64 soft_gib_bit(u64 lin)
{
	return 1ull << (lin >> 30 & 63);
}

/* --- blocks -------------------------------------------------------------------------------- */

/*
 * KEY_LIMITED: the code segment ends before 4 GiB, so every way into a block is checked
 * against its limit: no links, no jump cache.
 * KEY_LARGE: the code is fetched by way of a region (region.c).  So what is n bytes away in the
 * region is so in host memory, too, for as long as the code may run at all.  Not in soft_cpu.key,
 * since it depends on the page.
 */
enum { KEY_CODE_SIZE = 3, KEY_USER = 1 << 2, KEY_LIMITED = 1 << 3, KEY_LARGE = 1 << 4 };

static inline unsigned jc_index(u64 lin)
{
	u64 page = lin >> PAGE_BITS, within = lin ^ lin >> 3 ^ lin >> JC_GROUP_BITS;

	if ((i64)lin < 0)
		return (unsigned)(lin ^ page * 0x9e3) % JC_ENTRIES;
	return (unsigned)((page ^ page >> 6) % JC_GROUPS * JC_GROUP + within % JC_GROUP);
}

/* A bit for the group of lin, as in soft_ctx.jc_used. */
static inline u64 jc_group_bit(u64 lin)
{
	return 1ull << (jc_index(lin) / JC_GROUP);
}

/* The place in the instruction TLB that is lin's page's. */
static inline unsigned ex_index(u64 lin)
{
	return lin >> PAGE_BITS & (EX_ENTRIES - 1);
}

static inline struct ex_ent *soft_ex(struct soft_ctx *c, u64 lin)
{
	return &c->ex[ex_index(lin)];
}

/*
 * The block at st.rip, built if need be; may raise.  A block that must run alone and is not
 * cached (it crosses a page, or lies in a device) comes back too: it is cpu's own.
 */
struct block *soft_find_block(struct x86_cpu *cpu);

/* One instruction at st.rip, decoded afresh, in a block of its own. */
struct block *soft_one_shot(struct x86_cpu *cpu);

/* Memory at host RAM address p was written: kill what was made from it. */
void soft_code_written(struct soft *s, const void *p, u64 len);

/* The translator's jump cache for the code that runs now. */
static inline struct jumps *soft_jumps(const struct soft_cpu *sc)
{
	unsigned n = !(sc->key & KEY_USER)		   ? JUMPS_KERNEL
		     : (sc->key & KEY_CODE_SIZE) == CODE64 ? JUMPS_USER
							   : JUMPS_COMPAT;

	return &sc->ctx->jumps[n];
}

/* A multiplication, since translated code does it in two instructions. */
enum { JUMP_MULTIPLIER = 0x61c88647 };

static inline unsigned jump_index(u64 lin)
{
	return (u32)lin * (u32)JUMP_MULTIPLIER >> (32 - JUMP_BITS);
}

/* Where code for lin is entered that runs where the CPU is, as far as is known there; or NULL. */
static inline const void *soft_find_jump(const struct soft_cpu *sc, u64 lin)
{
	const struct jump_ent *e = soft_jumps(sc)->ent;
	unsigned i = jump_index(lin);

	if (lin == NO_LIN)
		return NULL;
	return e[i].lin == lin ? e[i].code : e[i ^ 1].lin == lin ? e[i ^ 1].code : NULL;
}

/* The same of what the jump cache has lost. */
const void *soft_find_old_jump(struct soft_cpu *sc, u64 lin);

/* Code for lin, where the CPU is, may be entered at code: that of the block. */
void soft_add_jump(struct soft_cpu *sc, u64 lin, const struct block *b, const void *code);

/* Code may be left by that way from where the CPU is, or not any more. */
void soft_add_way(struct soft_cpu *sc, unsigned way);
void soft_drop_way(struct soft_cpu *sc, unsigned way);

/* Empty a context's. */
void soft_clear_jumps(struct soft_ctx *c);

/*
 * Make room in the TLB's current view for an access to the byte at lin, as translated code
 * makes it.  False if there is no entry then, for whatever reason: nothing is raised.
 */
bool soft_fill(struct x86_cpu *cpu, u64 lin, enum mem_access acc);

/*
 * The block of the code at host in the mode, if there is one.  soft->lock held, or a vCPU in guest
 * code asks.
 */
struct block *soft_block_at(struct soft *s, const u8 *host, block_key key);
/* The block at lin, where the CPU is, if nothing has to be made or raised to find it. */
struct block *soft_known_block(struct soft_cpu *sc, u64 lin);

/* [off, off + len) of the page are code now.  soft->lock held. */
void soft_claim_granules(struct page_info *page, unsigned off, unsigned len);

/* Kill the blocks in [off, off + len) of m->ram, whole pages.  soft->lock held. */
void soft_kill_blocks(struct soft *s, u64 off, u64 len);

/* --- regions of code (region.c) ------------------------------------------------------------- */

/* KEY_LARGE or 0 for the code at lin, which is fetched from host through a large page. */
block_key soft_region_key(struct x86_cpu *cpu, u64 lin, const u8 *host, bool global);
/* Is the region of the code at host mapped globally in the context, as far as is known? */
bool soft_region_is_global(const struct soft_ctx *c, const u8 *host);
/* Are a and b in one region?  soft->lock held. */
bool soft_same_region(const struct soft *s, const u8 *a, const u8 *b);

/* Has every vCPU passed the top of its run loop since epoch e (invariant 5)? */
bool soft_all_past(struct soft *s, u64 e);

/* Make whoever runs in b leave it after the instruction it is in. */
void soft_block_leave(struct soft *s, struct block *b);

/* Forget all blocks.  No vCPU is in run(), or this is an exclusive section. */
void soft_flush_blocks(struct soft *s);

/* Registers or memory changed behind our back: forget what sc and the block cache know. */
void soft_state_changed(struct soft_cpu *sc);

/* --- debugger (debug.c) -------------------------------------------------------------------- */

int soft_set_debug(struct vcpu *v, const struct debug_req *req);
/* An access to [lin, lin + size): is it watched? */
void soft_debug_access(struct soft_cpu *sc, u64 lin, unsigned size, enum mem_access acc);
/* Is there an execution point at lin?  Says so in vcpu->stop. */
bool soft_debug_at(struct soft_cpu *sc, u64 lin);

/* --- rendezvous ---------------------------------------------------------------------------- */

void soft_enter(struct soft_cpu *sc);
void soft_leave(struct soft_cpu *sc);
void soft_exclusive_begin(struct soft_cpu *sc);
void soft_exclusive_end(struct soft_cpu *sc);

/* A fault was thrown: end the exclusive sections that it may have been thrown from. */
static inline void soft_thrown(struct soft_cpu *sc, unsigned depth)
{
	while (sc->alone > depth)
		soft_exclusive_end(sc);
}

/* Take a frame out of the write TLBs of all vCPUs in the mask (they are stopped, or it is us). */
void soft_tlb_protect(struct soft *s, const struct page_info *page, const u8 *host_page, u8 cpus);

/* The host page and rights for an instruction fetch at lin; NULL: a device.  May raise. */
const u8 *soft_fetch_page(struct x86_cpu *cpu, u64 lin, gpa_t *gpa);

/* The same, but nothing is raised: NULL for whatever reason. */
const u8 *soft_fill_code(struct x86_cpu *cpu, u64 lin);

/* The same from the instruction TLB alone; NULL: it is not there. */
const u8 *soft_known_code(const struct soft_cpu *sc, u64 lin);

static inline struct page_info *soft_page(struct soft *s, const void *host)
{
	u64 off = (u64)((const u8 *)host - (const u8 *)s->machine->ram);

	return off < s->machine->ram_size ? &s->pages[off >> PAGE_BITS] : NULL;
}

#endif
