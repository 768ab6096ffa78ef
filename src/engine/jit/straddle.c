/* SPDX-License-Identifier: MIT */
/*
 * straddle.c - an instruction that crosses from the page of its block into the next one.
 *
 * The block ends in front of it, perhaps with a branch that is not taken, since what is in the next
 * page depends on the mapping, and on somebody else's bytes.  Its code may go on: if the page
 * behind is known, as executable and since when nothing was flushed (cpu->next_pages), and holds
 * the bytes that the instruction was made from.  Both are asked each time, in line; but in a region
 * the page behind is what it is.  The instruction's bytes in the first page are the block's, as if
 * they had been looked at (block->peek).
 */
#include "engine/jit/translate.h"
#include "isa/x86/system.h"

enum { MAX_INSN = 15 };

struct jit_straddle {
	struct op op; /* first: block.straddle */
	u8 bytes[MAX_INSN];
	u8 slot;    /* of cpu->next_pages */
	bool fixed; /* the page behind is always the same */
};

static const u8 *next_page(const struct block *b)
{
	return b->host - b->page_off + PAGE_SIZE_4K;
}

/* Where the page behind is: 32-bit code goes around 4 GiB. */
static u64 next_lin(const struct x86_cpu *cpu)
{
	return x86_cut_rip(cpu, cpu->st.gpr[GPR_PC] + PAGE_SIZE_4K);
}

/* Can the page behind not become another one for as long as b's code may run? */
static bool next_in_region(const struct jit *j, const struct block *b)
{
	return b->key & KEY_LARGE && soft_same_region(j->soft, b->host, next_page(b));
}

/* May what stands behind op come next? */
static bool goes_on(const struct tr *t, const struct op *op)
{
	return (tr_insn(op)->fn == exec_jcc && op->size == t->word) ||
	       !(tr_insn(op)->attr & (A_ENDS | A_SYNC));
}

void tr_find_straddle(struct tr *t, struct x86_cpu *cpu)
{
	struct block *b = t->b;
	const struct op *last = &b->ops[b->nr_ops - 1];
	unsigned off = last->off + last->len, first = PAGE_SIZE_4K - off;
	struct jit_straddle s = {.op = {.row = 0}}, *kept;
	const u8 *next;

	/* Translated anew: traces may have it, so its bytes stay the block's. */
	if (b->straddle) {
		b->peek[0].off = (u16)off;
		b->peek[0].len = (u16)first;
		return;
	}
	/* Its bytes are compared in memory itself, which a comparison in lockstep leaves alone. */
	if (t->j->lockstep)
		return;
	if (!cpu || !t->page || !goes_on(t, last) || off >= PAGE_SIZE_4K || first >= MAX_INSN ||
	    t->j->soft->split[off / 64] >> (off % 64) & 1)
		return;
	next = next_in_region(t->j, b) ? next_page(b)
				       : soft_known_code(soft_cpu(cpu), next_lin(cpu));
	if (!next)
		return;
	soft_claim_granules(t->page, off, first);
	for (unsigned i = 0; i < MAX_INSN; i++)
		s.bytes[i] = (u8)ram_load(
			i < first ? b->host - b->page_off + off + i : next + i - first, 1);
	if (x86_decode(s.bytes, MAX_INSN, b->key & KEY_CODE_SIZE, off, &s.op) <= 0 ||
	    off + s.op.len <= PAGE_SIZE_4K || !x86_has(cpu, insns[s.op.row].feature))
		return;
	kept = jit_meta_alloc(t->j, sizeof(*kept));
	if (!kept)
		return;
	s.fixed = next_in_region(t->j, b);
	s.slot = (u8)(((uintptr_t)b->host >> PAGE_BITS) % NEXT_PAGES);
	*kept = s;
	b->peek[0].off = (u16)off;
	b->peek[0].len = (u16)first;
	b->straddle = &kept->op;
}

/* cmp [T0 + at], size bytes; jne */
static void compare_bytes(struct tr *t, struct cold *c, unsigned at, unsigned size, const u8 *bytes)
{
	u64 imm = 0;

	memcpy(&imm, bytes, size);
	emit_insn(&t->e, &(struct enc){.o16 = size == 2,
				       .opcode = size == 1 ? 0x80 : 0x81,
				       .reg = 7,
				       .rm = {.kind = RM_MEM, .reg = H_T0, .disp = (i32)at},
				       .imm_size = (u8)size,
				       .imm = imm});
	c->from[c->nr_from++] = emit_jcc(&t->e, 5);
}

void tr_emit_straddle(struct tr *t, const struct op *op)
{
	const struct jit_straddle *s = (const struct jit_straddle *)op;
	i32 slot = CPU_OFF(next_pages) + (i32)(s->slot * sizeof(struct tlb_ent));
	unsigned first = PAGE_SIZE_4K - op->off, left = op->len - first, at = 0;
	const u8 *next = s->fixed ? next_page(t->steps[t->i].block) : NULL;
	struct cold *c;

	tr_spill_live(t, op);
	c = tr_new_cold(t);
	c->straddle = true;
	c->keep_t1 = t->pin.valid;
	c->hit = t->e.p;
	if (next) {
		emit_mov_imm(&t->e, H_T0, (u64)(uintptr_t)next);
	} else {
		emit_load_slot(&t->e, H_T0, GPR_SLOT(GPR_PC));
		emit_address(&t->e, t->word, H_T0, H_T0, -1, 0, PAGE_SIZE_4K + t->user);
		emit_op_slot(&t->e, 0x3b, H_T0, slot + (i32)offsetof(struct tlb_ent, tag));
		c->from[c->nr_from++] = emit_jcc(&t->e, 5);
		emit_load_slot(&t->e, H_T0, slot + (i32)offsetof(struct tlb_ent, host));
	}
	while (left) {
		unsigned size = left >= 4 ? 4 : left >= 2 ? 2 : 1;

		compare_bytes(t, c, at, size, s->bytes + first + at);
		at += size;
		left -= size;
	}
}

/*
 * Where it is not, or something waits, the run loop goes on in front of it, with what stands there
 * now.  Others are not let in meanwhile: code may hold host addresses.
 */
bool jit_straddle(struct x86_cpu *cpu, const struct op *op)
{
	const struct jit_straddle *s = (const struct jit_straddle *)op;
	unsigned first = PAGE_SIZE_4K - op->off;
	u64 next = next_lin(cpu);
	const u8 *page;

	cpu->st.rip = op_rip(cpu, op);
	page = s->fixed ? NULL : soft_fill_code(cpu, next);
	if (!page || atomic_load_explicit(&cpu->v.pending, memory_order_relaxed) ||
	    atomic_load_explicit(&cpu->jit_leave, memory_order_relaxed))
		return false;
	cpu->next_pages[s->slot] = (struct tlb_ent){next | (cpu->cpl == 3), (u64)(uintptr_t)page};
	cpu->pages_used = true;
	for (unsigned i = first; i < op->len; i++)
		if ((u8)ram_load(page + i - first, 1) != s->bytes[i])
			return false;
	return true;
}
