/* SPDX-License-Identifier: MIT */
/*
 * mem.h - guest memory as an instruction sees it: segment, page tables, TLB, RAM or device.
 *
 * Every access names its segment, so that a bad address raises the right fault (#SS or #GP,
 * #PF).  The hit path is inline; the rest is in engine/soft, which provides the functions
 * named soft_*.  No host pointer lives across an access that may reach a device.
 *
 * Precision: an instruction that writes must have no fault left when its first byte becomes
 * visible.  A write within one page is one check; for anything wider or several operands
 * use mem_probe() first.
 */
#ifndef ISA_X86_MEM_H
#define ISA_X86_MEM_H

#include "isa/x86/cpu.h"

enum { PAGE_BITS = 12, PAGE_SIZE_4K = 1 << PAGE_BITS };

/* Where a page's entry is in a TLB's table. */
static inline unsigned tlb_index(u64 lin)
{
	return lin >> PAGE_BITS & (TLB_ENTRIES - 1);
}

enum mem_access { MEM_READ, MEM_WRITE, MEM_EXEC };

/* Besides enum seg_reg: an access by the CPU itself, linear and as supervisor. */
enum { SEG_SYSTEM = NR_SEGS };

/* Guest RAM accessors: plain moves on the host, relaxed atomics to the compiler. */
typedef u16 __attribute__((aligned(1), may_alias)) u16_una;
typedef u32 __attribute__((aligned(1), may_alias)) u32_una;
typedef u64 __attribute__((aligned(1), may_alias)) u64_una;

#ifdef __SANITIZE_THREAD__
u64 ram_load(const void *p, unsigned size); /* uninstrumented: mem_tsan.c */
void ram_store(void *p, u64 val, unsigned size);
void ram_fence(void);
#else
static inline __attribute__((always_inline)) u64 ram_load(const void *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile u8 *)p;
	case 2: return *(const volatile u16_una *)p;
	case 4: return *(const volatile u32_una *)p;
	default: return *(const volatile u64_una *)p;
	}
}

static inline __attribute__((always_inline)) void ram_store(void *p, u64 val, unsigned size)
{
	switch (size) {
	case 1: *(volatile u8 *)p = (u8)val; break;
	case 2: *(volatile u16_una *)p = (u16)val; break;
	case 4: *(volatile u32_una *)p = (u32)val; break;
	default: *(volatile u64_una *)p = val; break;
	}
}

/* Stores before it are seen before loads after it are done. */
static inline void ram_fence(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#endif

/*
 * Segment and offset to linear address, for size bytes; checks limit, type and presence
 * outside 64-bit code.  In 64-bit code non-canonical addresses are found by the TLB miss.
 */
u64 x86_seg_linear(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size,
		   enum mem_access acc); /* segment.c */

static inline __attribute__((always_inline)) u64
mem_linear(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size, enum mem_access acc)
{
	if (seg == SEG_SYSTEM)
		return off;
	if (__builtin_expect(cpu->code64, 1))
		return off + cpu->seg_base[seg];
	if (cpu->seg_flat >> seg & 1 && off + size - 1 <= 0xffffffff)
		return off;
	return x86_seg_linear(cpu, seg, off, size, acc);
}

/* Slow paths (engine/soft/tlb.c): fill, page crossing, devices, code pages, #AC. */
u64 soft_load(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size);
void soft_store(struct x86_cpu *cpu, unsigned seg, u64 lin, u64 val, unsigned size);

/*
 * The host address of lin for size bytes within one page, if it is RAM that may be accessed
 * so directly (for writes: not a code page); NULL if the slow path must do it.  Raises the
 * fault if the access faults.
 */
void *soft_host(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size, enum mem_access acc);

/* The TLB's tables that hold what an access by way of seg may hit. */
static inline __attribute__((always_inline)) struct tlb_view *mem_view(struct x86_cpu *cpu,
								       unsigned seg)
{
	return seg != SEG_SYSTEM ? cpu->view : cpu->view_ac[0];
}

static inline __attribute__((always_inline)) u64 mem_load_lin(struct x86_cpu *cpu, unsigned seg,
							      u64 lin, unsigned size)
{
	const struct tlb_ent *t = &mem_view(cpu, seg)->rd[tlb_index(lin)];

	if (__builtin_expect((lin ^ t->tag) <= PAGE_SIZE_4K - size, 1))
		return ram_load(tlb_host(t, lin), size);
	return soft_load(cpu, seg, lin, size);
}

static inline __attribute__((always_inline)) void mem_store_lin(struct x86_cpu *cpu, unsigned seg,
								u64 lin, u64 val, unsigned size)
{
	const struct tlb_ent *t = &mem_view(cpu, seg)->wr[tlb_index(lin)];

	if (__builtin_expect((lin ^ t->tag) <= PAGE_SIZE_4K - size, 1)) {
		ram_store(tlb_host(t, lin), val, size);
		return;
	}
	soft_store(cpu, seg, lin, val, size);
}

/* size: 1, 2, 4, 8. */
static inline __attribute__((always_inline)) u64 mem_read(struct x86_cpu *cpu, unsigned seg,
							  u64 off, unsigned size)
{
	return mem_load_lin(cpu, seg, mem_linear(cpu, seg, off, size, MEM_READ), size);
}

static inline __attribute__((always_inline)) void mem_write(struct x86_cpu *cpu, unsigned seg,
							    u64 off, u64 val, unsigned size)
{
	mem_store_lin(cpu, seg, mem_linear(cpu, seg, off, size, MEM_WRITE), val, size);
}

/*
 * Alignment checks (EFLAGS.AC) for size bytes that do not go by one load or store: #AC unless
 * the address is a multiple of align.
 */
void mem_align_fault(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size, unsigned align,
		     enum mem_access acc);

static inline void mem_check_align(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size,
				   unsigned align, enum mem_access acc)
{
	if (__builtin_expect(cpu->st.rflags & FL_AC, 0))
		mem_align_fault(cpu, seg, off, size, align, acc);
}

/* Any length up to 4096: all of it or a fault and nothing. */
void mem_read_buf(struct x86_cpu *cpu, unsigned seg, u64 off, void *buf, unsigned len);
void mem_write_buf(struct x86_cpu *cpu, unsigned seg, u64 off, const void *buf, unsigned len);

/* Raise the fault that an access of len bytes would raise; else do nothing. */
void mem_probe(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned len, enum mem_access acc);

/*
 * Read-modify-write.  mem_rmw_begin() checks for writing (so a fault says "write"), fills r
 * and returns the old value; mem_rmw_end() writes the new one.  With a LOCK prefix loop:
 *
 *	u64 old = mem_rmw_begin(cpu, seg, off, size, &r);
 *	while (!mem_rmw_cmpxchg(cpu, &r, &old, f(old)))   // old: what was found
 *		;
 *
 * which is atomic against the other vCPUs whatever the alignment (page-crossing stops them).
 */
struct mem_rmw {
	void *host; /* NULL: device, code page or page crossing: the slow way, by lin */
	u64 lin;
	u8 seg;
	u8 size;
};

u64 soft_rmw_slow(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned size, struct mem_rmw *r);
bool soft_cmpxchg_slow(struct x86_cpu *cpu, struct mem_rmw *r, u64 *old, u64 val);
/* CMPXCHG16B where soft_host() said NULL: a code page or a device; lin is aligned. */
bool soft_cmpxchg16b_slow(struct x86_cpu *cpu, unsigned seg, u64 lin, u64 old[2], const u64 val[2]);

static inline __attribute__((always_inline)) u64
mem_rmw_begin(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size, struct mem_rmw *r)
{
	u64 lin = mem_linear(cpu, seg, off, size, MEM_WRITE);
	const struct tlb_ent *t = &mem_view(cpu, seg)->wr[tlb_index(lin)];

	r->lin = lin;
	r->seg = (u8)seg;
	r->size = (u8)size;
	if (__builtin_expect((lin ^ t->tag) <= PAGE_SIZE_4K - size, 1)) {
		r->host = tlb_host(t, lin);
		return ram_load(r->host, size);
	}
	return soft_rmw_slow(cpu, seg, lin, size, r);
}

static inline void mem_rmw_end(struct x86_cpu *cpu, const struct mem_rmw *r, u64 val)
{
	if (__builtin_expect(r->host != NULL, 1))
		ram_store(r->host, val, r->size);
	else
		soft_store(cpu, r->seg, r->lin, val, r->size);
}

bool ram_cmpxchg(void *p, u64 *old, u64 val, unsigned size); /* any alignment; mem.c */
bool ram_cmpxchg16(void *p, u64 old[2], const u64 val[2]);   /* p is aligned; mem.c */

static inline bool mem_rmw_cmpxchg(struct x86_cpu *cpu, struct mem_rmw *r, u64 *old, u64 val)
{
	if (__builtin_expect(r->host != NULL, 1))
		return ram_cmpxchg(r->host, old, val, r->size);
	return soft_cmpxchg_slow(cpu, r, old, val);
}

/*
 * CMPXCHG16B (off is 16-byte aligned, or #GP was raised already): old[] is replaced by what
 * was found; true if it was exchanged.  Checks for writing in any case.
 */
bool mem_cmpxchg16b(struct x86_cpu *cpu, unsigned seg, u64 off, u64 old[2], const u64 val[2]);

/* Guest RAM in bulk, under any race the guest makes: n elements of size bytes.  mem.c */
void ram_move(void *dst, const void *src, u64 len);
void ram_fill(void *dst, u64 val, u64 n, unsigned size);

/*
 * For string instructions: a host pointer to [off, off + *len) where *len comes in as the
 * bytes wanted and goes out as those in this page; NULL if the slow way must be taken
 * element by element.  Raises faults.  Good until the next access of any kind but through
 * pointers got the same way.
 */
void *mem_span(struct x86_cpu *cpu, unsigned seg, u64 off, u64 *len, enum mem_access acc);

#endif
