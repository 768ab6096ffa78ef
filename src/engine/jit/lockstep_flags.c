/* SPDX-License-Identifier: MIT */
/*
 * lockstep_flags.c - which flags may code read?  Those that it does not may differ.
 *
 * All ways from an address are followed through direct branches until every flag was
 * overwritten; where a way cannot be followed, or is too long, what is left counts as read.
 * Code is looked at as it was when the translator saw it.
 */
#include "engine/jit/lockstep.h"
#include "engine/jit/translate.h"
#include "isa/x86/exec.h"

enum { MAX_INSN = 15, MAX_WAYS = 64, MAX_LOOKS = 1024 };

/* Where to go on, with the flags that were not overwritten until there. */
struct way {
	u64 rip;
	u16 open;
};

struct look {
	struct x86_cpu *cpu;
	struct way ways[MAX_WAYS]; /* all that were met: those up to done are finished */
	unsigned nr, done;
	unsigned looks;
	u64 page; /* of the last byte, and where it is */
	const u8 *host;
};

static const u8 *host_page(struct x86_cpu *cpu, u64 lin)
{
	const struct ex_ent *x = soft_ex(soft_cpu(cpu)->ctx, lin);
	struct page_walk w;

	if (x->tag == (lin | is_user(cpu)))
		return x->host;
	if (x86_walk(cpu, lin, MEM_EXEC, is_user(cpu), false, WALK_PEEK, &w))
		return NULL;
	return as_ram(cpu->v.machine->mem, w.gpa, PAGE_SIZE_4K, false);
}

static int code_byte(struct look *l, u64 lin)
{
	u64 page = lin & ~0xfffull;

	if (!l->host || l->page != page) {
		l->host = host_page(l->cpu, page);
		l->page = page;
		if (l->host)
			l->host = shadow_before(soft_cpu(l->cpu)->shadow, l->host);
	}
	return l->host ? (int)ram_load(l->host + (lin & 0xfff), 1) : -1;
}

static u64 code_lin(const struct x86_cpu *cpu, u64 rip)
{
	u64 lin = cpu->seg_base[SEG_CS] + x86_cut_rip(cpu, rip);

	return cpu->long_mode && cpu->code64 ? lin : (u32)lin;
}

static bool decode(struct look *l, u64 rip, struct op *op)
{
	u8 bytes[MAX_INSN];
	unsigned n;

	for (n = 0; n < MAX_INSN; n++) {
		int b = code_byte(l, code_lin(l->cpu, rip + n));

		if (b < 0)
			break;
		bytes[n] = (u8)b;
	}
	if (x86_decode(bytes, n, l->cpu->code_size, code_lin(l->cpu, rip) & 0xfff, op) <= 0)
		return false;
	if (!x86_has(l->cpu, tr_insn(op)->feature))
		x86_op_without_feature(op);
	return true;
}

/* Another way; false: no room to remember it. */
static bool add_way(struct look *l, u64 rip, u16 open)
{
	for (unsigned i = 0; i < l->nr; i++) {
		if (l->ways[i].rip == rip && !(open & ~l->ways[i].open))
			return true;
	}
	if (l->nr == MAX_WAYS)
		return false;
	l->ways[l->nr++] = (struct way){rip, open};
	return true;
}

/* Follow one way to its end or a fork; flags that may be read on it. */
static u16 follow(struct look *l, struct way w)
{
	u16 read = 0;

	while (w.open) {
		struct op op;
		exec_fn *fn;

		if (l->looks++ == MAX_LOOKS || !decode(l, w.rip, &op))
			return read | w.open;
		fn = tr_insn(&op)->fn;
		read |= tr_insn(&op)->fl_in & w.open;
		w.open &= (u16)~tr_flags_killed(&op);
		w.rip += op.len;
		if (l->cpu->code_size != CODE64 && op.size == 2 && tr_insn(&op)->attr & A_ENDS)
			return read | w.open; /* the target is cut */
		if (fn == exec_jcc) {
			if (!add_way(l, w.rip + op.imm, w.open))
				return read | w.open;
		} else if (fn == exec_jmp_rel) { /* a loop ends where it was met before */
			return read | (add_way(l, w.rip + op.imm, w.open) ? 0 : w.open);
		} else if (tr_insn(&op)->attr & (A_ENDS | A_SYNC)) {
			return read | w.open;
		}
	}
	return read;
}

int lockstep_code_byte(struct x86_cpu *cpu, u64 rip)
{
	struct look l = {.cpu = cpu};

	return code_byte(&l, code_lin(cpu, rip));
}

u16 lockstep_flags_read(struct x86_cpu *cpu, u64 rip, u16 mask)
{
	struct look l = {.cpu = cpu, .ways = {{rip, mask}}, .nr = 1};
	u16 read = 0;

	while (l.done < l.nr && (read & mask) != mask)
		read |= follow(&l, l.ways[l.done++]);
	return read & mask;
}
