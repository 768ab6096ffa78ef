/* SPDX-License-Identifier: MIT */
/*
 * paging.c - page walks: 32-bit, PAE and 4-level paging.
 *
 * The walk reads the entries, settles the rights, and only then sets accessed and dirty bits,
 * each by compare-and-exchange against the entry it has read; if another CPU changed one in
 * between, the walk begins anew.
 *
 * Source: SDM volume 3A, "Paging".
 */
#include "isa/x86/insn.h"
#include "isa/x86/priv.h"
#include "sundog/machine.h"

enum {
	PTE_P = 1 << 0,
	PTE_W = 1 << 1,
	PTE_U = 1 << 2,
	PTE_A = 1 << 5,
	PTE_D = 1 << 6,
	PTE_PS = 1 << 7,
	PTE_G = 1 << 8,
};
#define PTE_NX (1ull << 63)

/* Walks begun anew before giving up on a page table that never stands still. */
enum { WALK_TRIES = 100 };

struct walk_format {
	u8 nr_levels;
	u8 entry_size;
	u8 bits; /* of the linear address per level */
	const char *const *names;
};

static const char *const names_long[] = {"PML4E", "PDPTE", "PDE", "PTE"};
static const struct walk_format format_long = {4, 8, 9, names_long};
/* PAE's PDPTEs are registers, so the walk has two levels. */
static const struct walk_format format_pae = {2, 8, 9, names_long + 2};
static const struct walk_format format_32 = {2, 4, 10, names_long + 2};

u64 x86_phys_mask(const struct x86_cpu *cpu)
{
	return (1ull << cpu->v.machine->features->phys_bits) - 1;
}

u8 *x86_ram_frame(struct x86_cpu *cpu, gpa_t page)
{
	struct frame_ent *f = &cpu->frames[page >> 12 & (FRAME_CACHE - 1)];
	u8 *host;

	if (f->host && f->gpa == page)
		return f->host;
	host = as_ram(cpu->v.machine->mem, page, 4096, true);
	if (host)
		*f = (struct frame_ent){page, host};
	return host;
}

/* What is not memory is read as a device when it counts, and is nothing to a debugger. */
static u64 entry_read(struct x86_cpu *cpu, gpa_t gpa, unsigned size, enum walk_mode mode)
{
	struct addrspace *mem = cpu->v.machine->mem;
	u8 *frame = mode != WALK_PEEK ? x86_ram_frame(cpu, gpa & ~0xfffull) : NULL;
	u8 *host = frame ? frame + (gpa & 0xfff) : as_ram(mem, gpa, size, false);

	if (host && cpu->shadowed && mode == WALK_COMMIT)
		host = soft_shadow(cpu, host, false);
	if (host)
		return ram_load(host, size);
	return mode != WALK_COMMIT ? 0 : vcpu_load(&cpu->v, mem, gpa, size);
}

/* Set bits in an entry if it still is what we read; what is not RAM stays as it is. */
static bool entry_set(struct x86_cpu *cpu, const struct walk_step *s, unsigned size, u64 set,
		      enum mem_access acc)
{
	u8 *host, *at;
	u64 old = s->entry;

	if ((old & set) == set)
		return true;
	host = as_ram(cpu->v.machine->mem, s->entry_gpa, size, true);
	if (!host)
		return true;
	at = cpu->shadowed ? soft_shadow(cpu, host, true) : host;
	if (!ram_cmpxchg(at, &old, old | set, size))
		return false;
	if (cpu->shadowed)
		soft_shadow_walked(cpu, host, set, size, acc == MEM_EXEC);
	soft_ram_written(cpu, host, size);
	return true;
}

/* Bits that must be zero in a present entry of this level (0 is the last one). */
static u64 reserved_bits(const struct x86_cpu *cpu, const struct walk_format *f, unsigned level,
			 u64 entry)
{
	u64 above = ~x86_phys_mask(cpu);
	u64 rsvd;

	if (f->entry_size == 4) {
		unsigned bits = cpu->v.machine->features->phys_bits;

		if (level != 1 || !(entry & PTE_PS) || !(cpu->st.cr4 & CR4_PSE))
			return 0;
		bits = bits > 40 ? 40 : bits;
		return 0x3fffffull & ~((1ull << (bits - 19)) - 1);
	}
	/* Bits 52 to 62 are the system's in 4-level paging, reserved in PAE paging. */
	rsvd = above & (f == &format_long ? 0xfffffffffffffull : 0x7fffffffffffffffull);
	if (!(cpu->st.efer & EFER_NXE))
		rsvd |= PTE_NX;
	if (level == 3 || (level == 2 && !x86_has(cpu, FEAT_PDPE1GB)))
		rsvd |= PTE_PS;
	if (level && (entry & PTE_PS))
		rsvd |= ((1ull << (12 + 9 * level)) - 1) & ~0x1fffull;
	return rsvd;
}

static bool is_large(const struct x86_cpu *cpu, const struct walk_format *f, unsigned level,
		     u64 entry)
{
	if (!level || !(entry & PTE_PS))
		return false;
	return f->entry_size == 8 || (cpu->st.cr4 & CR4_PSE);
}

static gpa_t leaf_base(const struct x86_cpu *cpu, const struct walk_format *f, unsigned page_bits,
		       u64 entry)
{
	u64 base = entry & x86_phys_mask(cpu) & ~((1ull << page_bits) - 1);

	if (f->entry_size == 4) {
		base &= 0xffffffff;
		if (page_bits == 22)
			base |= (entry >> 13 & 0xff) << 32;
	}
	return base;
}

enum walk_result { WALK_OK, WALK_NOT_PRESENT, WALK_RESERVED };

/* Read the entries down to the page; fills all of w but error. */
static enum walk_result walk_entries(struct x86_cpu *cpu, u64 lin, const struct walk_format *f,
				     gpa_t table, enum walk_mode mode, struct page_walk *w)
{
	u64 entry = 0;

	w->nr_steps = 0;
	w->user = w->writable = w->exec = w->accessed = true;
	for (unsigned level = f->nr_levels; level-- > 0;) {
		unsigned shift = 12 + f->bits * level;
		u64 index = lin >> shift & ((1u << f->bits) - 1);
		struct walk_step *s = &w->step[w->nr_steps++];

		s->level = f->names[f->nr_levels - 1 - level];
		s->entry_gpa = table + index * f->entry_size;
		s->entry = entry = entry_read(cpu, s->entry_gpa, f->entry_size, mode);
		if (!(entry & PTE_P))
			return WALK_NOT_PRESENT;
		if (entry & reserved_bits(cpu, f, level, entry))
			return WALK_RESERVED;
		w->user &= !!(entry & PTE_U);
		w->writable &= !!(entry & PTE_W);
		w->accessed &= !!(entry & PTE_A);
		w->exec &= f->entry_size == 4 || !(entry & PTE_NX);
		w->page_bits = (u8)shift;
		if (is_large(cpu, f, level, entry))
			break;
		table = leaf_base(cpu, f, 12, entry);
	}
	w->gpa = leaf_base(cpu, f, w->page_bits, entry) | (lin & ((1ull << w->page_bits) - 1));
	w->global = (entry & PTE_G) && (cpu->st.cr4 & CR4_PGE);
	w->dirty = !!(entry & PTE_D);
	return WALK_OK;
}

static bool allowed(const struct x86_cpu *cpu, const struct page_walk *w, enum mem_access acc,
		    bool user, bool ac)
{
	if (acc == MEM_EXEC) {
		if (!w->exec)
			return false;
		return user ? w->user : !(w->user && (cpu->st.cr4 & CR4_SMEP));
	}
	if (user)
		return w->user && (w->writable || acc == MEM_READ);
	if (w->user && (cpu->st.cr4 & CR4_SMAP) && !ac)
		return false;
	return acc == MEM_READ || w->writable || !(cpu->st.cr0 & CR0_WP);
}

static int walk_fault(const struct x86_cpu *cpu, struct page_walk *w, enum mem_access acc,
		      bool user, u32 error)
{
	bool nx = (cpu->st.efer & EFER_NXE) && (cpu->st.cr4 & CR4_PAE);

	w->error = error | (acc == MEM_WRITE ? PF_W : 0) | (user ? PF_U : 0);
	if (acc == MEM_EXEC && (nx || (cpu->st.cr4 & CR4_SMEP)))
		w->error |= PF_I;
	return -1;
}

/* The first table and the format; false if PAE's PDPTE is not present. */
static bool walk_root(struct x86_cpu *cpu, u64 lin, const struct walk_format **f, gpa_t *table)
{
	if (cpu->st.efer & EFER_LMA) {
		*f = &format_long;
		*table = cpu->st.cr3 & x86_phys_mask(cpu) & ~0xfffull;
		return true;
	}
	if (cpu->st.cr4 & CR4_PAE) {
		u64 pdpte = cpu->st.pdpte[lin >> 30 & 3];

		*f = &format_pae;
		*table = pdpte & x86_phys_mask(cpu) & ~0xfffull;
		return pdpte & PTE_P;
	}
	*f = &format_32;
	*table = cpu->st.cr3 & 0xfffff000;
	return true;
}

static bool walk_commit(struct x86_cpu *cpu, const struct walk_format *f, enum mem_access acc,
			struct page_walk *w)
{
	for (unsigned i = 0; i < w->nr_steps; i++) {
		bool last = i == w->nr_steps - 1;
		u64 set = PTE_A | (last && acc == MEM_WRITE ? PTE_D : 0);

		if (!entry_set(cpu, &w->step[i], f->entry_size, set, acc))
			return false;
		w->step[i].entry |= set;
	}
	w->dirty |= acc == MEM_WRITE;
	w->accessed = true;
	return true;
}

int x86_walk(struct x86_cpu *cpu, u64 lin, enum mem_access acc, bool user, bool ac,
	     enum walk_mode mode, struct page_walk *w)
{
	const struct walk_format *f;
	gpa_t table;

	/* But the steps, of which there are none yet. */
	w->gpa = 0;
	w->page_bits = 0;
	w->user = w->writable = w->exec = w->accessed = w->global = w->dirty = false;
	w->nr_steps = 0;
	w->error = 0;
	if (!(cpu->st.cr0 & CR0_PG)) {
		w->gpa = (u32)lin;
		w->page_bits = 12;
		w->user = w->writable = w->exec = w->accessed = w->dirty = true;
		return 0;
	}
	if (!walk_root(cpu, lin, &f, &table))
		return walk_fault(cpu, w, acc, user, 0);
	for (unsigned i = 0; i < WALK_TRIES; i++) {
		enum walk_result res = walk_entries(cpu, lin, f, table, mode, w);

		if (res == WALK_NOT_PRESENT)
			return walk_fault(cpu, w, acc, user, 0);
		if (res == WALK_RESERVED)
			return walk_fault(cpu, w, acc, user, PF_P | PF_RSVD);
		if (mode == WALK_PEEK)
			return 0;
		if (!allowed(cpu, w, acc, user, ac))
			return walk_fault(cpu, w, acc, user, PF_P);
		if (walk_commit(cpu, f, acc, w))
			return 0;
	}
	/* Something else writes these entries all the time: fault, and let it be tried again. */
	return walk_fault(cpu, w, acc, user, PF_P);
}

bool x86_load_pdptes(struct x86_cpu *cpu, u64 cr3)
{
	gpa_t table = cr3 & 0xffffffe0;
	u64 rsvd = (~x86_phys_mask(cpu)) | 0x1e6;
	u64 pdpte[4];

	for (unsigned i = 0; i < 4; i++) {
		pdpte[i] = entry_read(cpu, table + 8 * i, 8, WALK_COMMIT);
		if ((pdpte[i] & PTE_P) && (pdpte[i] & rsvd))
			return false;
	}
	memcpy(cpu->st.pdpte, pdpte, sizeof(pdpte));
	return true;
}
