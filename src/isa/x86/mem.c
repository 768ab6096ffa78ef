/* SPDX-License-Identifier: MIT */
/*
 * mem.c - guest memory accesses that are not one small number, and slow effective addresses.
 */
#include "isa/x86/mem.h"
#include "isa/x86/operand.h"

u64 op_ea_slow(const struct x86_cpu *cpu, const struct op *op)
{
	u64 ea = cpu->st.gpr[op->base] + (cpu->st.gpr[op->index] << op->scale) + (u64)(i64)op->disp;

	if (op->base == GPR_PC)
		ea += op->off + op->len;
	else if (op->base == GPR_ZERO && op->index == GPR_ZERO && op->modrm == 0)
		ea = op->imm; /* moffs */
	return op->asize == 8 ? ea : zero_extend(ea, op->asize);
}

/* What is left of [lin, lin + len) in the page of lin. */
static unsigned in_page(u64 lin, u64 len)
{
	u64 left = PAGE_SIZE_4K - (lin & (PAGE_SIZE_4K - 1));

	return (unsigned)(len < left ? len : left);
}

/* Linear addresses have 32 bits outside 64-bit code. */
static u64 lin_add(const struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned n)
{
	return cpu->code64 || seg == SEG_SYSTEM ? lin + n : (u32)(lin + n);
}

/* The largest access that fits n bytes. */
static unsigned piece(unsigned n)
{
	return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}

/* soft_host(), but for what the TLB knows. */
static void *host_addr(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned len,
		       enum mem_access acc)
{
	const struct tlb_ent *t;

	if (acc != MEM_EXEC) {
		t = acc == MEM_WRITE ? mem_view(cpu, seg)->wr : mem_view(cpu, seg)->rd;
		t += tlb_index(lin);
		if ((lin ^ t->tag) <= PAGE_SIZE_4K - len)
			return tlb_host(t, lin);
	}
	return soft_host(cpu, seg, lin, len, acc);
}

/* Vectors are what is read and written most. */
static void copy_bytes(void *dst, const void *src, unsigned len)
{
	if (len != 16) {
		ram_move(dst, src, len);
		return;
	}
	ram_store(dst, ram_load(src, 8), 8);
	ram_store((u8 *)dst + 8, ram_load((const u8 *)src + 8, 8), 8);
}

static bool is_canonical(u64 lin)
{
	return (u64)((i64)(lin << 16) >> 16) == lin;
}

static void probe_lin(struct x86_cpu *cpu, unsigned seg, u64 lin, unsigned len, enum mem_access acc)
{
	/* Where addresses end to be canonical, that fault comes before those of the pages. */
	if (cpu->code64 && !is_canonical(lin + len - 1))
		host_addr(cpu, seg, lin + len - 1, 1, acc);
	while (len) {
		unsigned n = in_page(lin, len);

		host_addr(cpu, seg, lin, n, acc);
		lin = lin_add(cpu, seg, lin, n);
		len -= n;
	}
}

void mem_align_fault(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned size, unsigned align,
		     enum mem_access acc)
{
	u64 lin = mem_linear(cpu, seg, off, size, acc);

	if (cpu->cpl != 3 || !(cpu->st.cr0 & CR0_AM) || !(lin & (align - 1)))
		return;
	/* Not canonical is worse: the access itself will find out. */
	if (!cpu->code64 || (is_canonical(lin) && is_canonical(lin + size - 1)))
		x86_raise(cpu, &(struct x86_fault){.vector = X86_AC, .has_error = true});
}

void mem_probe(struct x86_cpu *cpu, unsigned seg, u64 off, unsigned len, enum mem_access acc)
{
	probe_lin(cpu, seg, mem_linear(cpu, seg, off, len, acc), len, acc);
}

static void read_in_page(struct x86_cpu *cpu, unsigned seg, u64 lin, u8 *buf, unsigned len)
{
	const void *host = host_addr(cpu, seg, lin, len, MEM_READ);
	u64 val;

	if (host) {
		copy_bytes(buf, host, len);
		return;
	}
	while (len) {
		unsigned n = piece(len);

		val = soft_load(cpu, seg, lin, n);
		memcpy(buf, &val, n);
		lin += n;
		buf += n;
		len -= n;
	}
}

void mem_read_buf(struct x86_cpu *cpu, unsigned seg, u64 off, void *buf, unsigned len)
{
	u64 lin = mem_linear(cpu, seg, off, len, MEM_READ);
	u8 *b = buf;

	if (in_page(lin, len) < len)
		probe_lin(cpu, seg, lin, len, MEM_READ);
	while (len) {
		unsigned n = in_page(lin, len);

		read_in_page(cpu, seg, lin, b, n);
		lin = lin_add(cpu, seg, lin, n);
		b += n;
		len -= n;
	}
}

static void write_in_page(struct x86_cpu *cpu, unsigned seg, u64 lin, const u8 *buf, unsigned len)
{
	void *host = host_addr(cpu, seg, lin, len, MEM_WRITE);
	u64 val;

	if (host) {
		copy_bytes(host, buf, len);
		return;
	}
	while (len) {
		unsigned n = piece(len);

		val = 0;
		memcpy(&val, buf, n);
		soft_store(cpu, seg, lin, val, n);
		lin += n;
		buf += n;
		len -= n;
	}
}

void mem_write_buf(struct x86_cpu *cpu, unsigned seg, u64 off, const void *buf, unsigned len)
{
	u64 lin = mem_linear(cpu, seg, off, len, MEM_WRITE);
	const u8 *b = buf;

	if (in_page(lin, len) < len)
		probe_lin(cpu, seg, lin, len, MEM_WRITE);
	while (len) {
		unsigned n = in_page(lin, len);

		write_in_page(cpu, seg, lin, b, n);
		lin = lin_add(cpu, seg, lin, n);
		b += n;
		len -= n;
	}
}

/* __sync and not __atomic: clang calls a library for the latter if p may be unaligned. */
bool ram_cmpxchg(void *p, u64 *old, u64 val, unsigned size)
{
	u64 want = *old;

	switch (size) {
	case 1: *old = __sync_val_compare_and_swap((u8 *)p, (u8)want, (u8)val); break;
	case 2: *old = __sync_val_compare_and_swap((u16 *)p, (u16)want, (u16)val); break;
	case 4: *old = __sync_val_compare_and_swap((u32 *)p, (u32)want, (u32)val); break;
	default: *old = __sync_val_compare_and_swap((u64 *)p, want, val); break;
	}
	return *old == want;
}

/* Inline because of -mcx16. */
bool ram_cmpxchg16(void *p, u64 old[2], const u64 val[2])
{
	unsigned __int128 want = (unsigned __int128)old[1] << 64 | old[0];
	unsigned __int128 new = (unsigned __int128)val[1] << 64 | val[0];
	unsigned __int128 found = __sync_val_compare_and_swap((unsigned __int128 *)p, want, new);

	old[0] = (u64)found;
	old[1] = (u64)(found >> 64);
	return found == want;
}

bool mem_cmpxchg16b(struct x86_cpu *cpu, unsigned seg, u64 off, u64 old[2], const u64 val[2])
{
	u64 lin = mem_linear(cpu, seg, off, 16, MEM_WRITE);
	void *host = host_addr(cpu, seg, lin, 16, MEM_WRITE);

	return host ? ram_cmpxchg16(host, old, val) : soft_cmpxchg16b_slow(cpu, seg, lin, old, val);
}

void *mem_span(struct x86_cpu *cpu, unsigned seg, u64 off, u64 *len, enum mem_access acc)
{
	const struct seg *s = &cpu->st.seg[seg];
	u64 lin;

	/* Where the limit cuts it, every element has to be checked. */
	if (!cpu->code64) {
		if ((s->attr & (SEG_CODE | SEG_EC)) == SEG_EC)
			return NULL;
		if (!range_fits(off, *len, (u64)s->limit + 1))
			return NULL;
	}
	lin = mem_linear(cpu, seg, off, 1, acc);
	*len = in_page(lin, *len);
	return host_addr(cpu, seg, lin, (unsigned)*len, acc);
}
