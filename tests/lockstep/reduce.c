/* SPDX-License-Identifier: MIT */
/*
 * reduce.c - a case in which the two differ, made small.
 *
 * Its code is taken apart into instructions.  One after the other is left out, and branches
 * and RIP-relative operands of the others are made to lead where they led; then registers and
 * memory are made plain.  Whatever makes the difference go away is taken back.
 */
#include <stdio.h>
#include <string.h>

#include "isa/x86/exec.h"
#include "isa/x86/flags.h"
#include "lockstep/lockstep_test.h"

enum { MAX_PARTS = MAX_CODE, OUTSIDE = -1 };

/* An instruction of the sequence. */
struct part {
	u8 bytes[15], len;
	u8 rel_at, rel_len; /* a displacement from its end */
	int to;		    /* the part it leads to, or OUTSIDE */
	i64 to_off;	    /* bytes behind that one's begin; OUTSIDE: behind the code's begin */
};

struct parts {
	struct part p[MAX_PARTS];
	unsigned nr;
};

static i64 rel_of(const struct part *p)
{
	u64 v = 0;

	memcpy(&v, p->bytes + p->rel_at, p->rel_len);
	return (i64)sign_extend(v, p->rel_len);
}

static void find_rel(struct part *p, const struct op *op)
{
	exec_fn *fn = insns[op->row].fn;

	if (fn == exec_jcc || fn == exec_jmp_rel || fn == exec_call_rel) {
		p->rel_len = op->opcode >= 0x70 && op->opcode < 0x80 ? 1
			     : op->opcode == 0xeb		     ? 1
								     : 4;
		p->rel_at = p->len - p->rel_len;
	} else if (op->flags & OP_MEM && op->base == GPR_PC && !(op->flags & OP_EA_SLOW)) {
		/* Before the immediate, if there is one. */
		for (unsigned at = p->len - 4u; at > 0; at--) {
			u32 v = ld_le32(p->bytes + at);

			if ((i32)v == op->disp - op->off - op->len) {
				p->rel_at = (u8)at;
				p->rel_len = 4;
				return;
			}
		}
	}
}

static void take_apart(const struct test_case *c, struct parts *ps)
{
	unsigned starts[MAX_PARTS + 1];

	ps->nr = 0;
	for (unsigned at = 0; at < c->code_len;) {
		struct part *p = &ps->p[ps->nr];
		struct op op;
		int len = x86_decode(c->code + at, c->code_len - at, mode_code_size(c->mode),
				     (c->code_off + at) % PAGE, &op);

		if (len <= 0)
			len = 1;
		*p = (struct part){.len = (u8)len, .to = OUTSIDE};
		memcpy(p->bytes, c->code + at, p->len);
		if (len > 1)
			find_rel(p, &op);
		starts[ps->nr++] = at;
		at += p->len;
	}
	for (unsigned i = 0; i < ps->nr; i++) {
		struct part *p = &ps->p[i];

		if (!p->rel_len)
			continue;
		p->to_off = starts[i] + p->len + rel_of(p);
		for (unsigned k = 0; k < ps->nr; k++) {
			if (p->to_off < starts[k] || p->to_off >= starts[k] + ps->p[k].len)
				continue;
			p->to = (int)k;
			p->to_off -= starts[k];
			break;
		}
	}
}

/* Where part n begins. */
static i64 start_of(const struct parts *ps, unsigned n)
{
	i64 at = 0;

	for (unsigned i = 0; i < n && i < ps->nr; i++)
		at += ps->p[i].len;
	return at;
}

static void put_together(const struct parts *ps, struct test_case *c)
{
	unsigned at = 0;

	for (unsigned i = 0; i < ps->nr; i++) {
		struct part p = ps->p[i];
		i64 to = p.to == OUTSIDE ? p.to_off : start_of(ps, (unsigned)p.to) + p.to_off;
		i64 rel = to - (at + p.len);

		memcpy(p.bytes + p.rel_at, &rel, p.rel_len);
		memcpy(c->code + at, p.bytes, p.len);
		at += p.len;
	}
	/* INT3 is what follows, as it did. */
	memset(c->code + at, 0xcc, MAX_CODE - at);
	c->code_len = at;
	c->nr_pokes = c->nr_data_pokes;
	gen_put_code(c);
}

/* Part n is gone; who led to it leads to the one behind it. */
static void drop(struct parts *ps, unsigned n)
{
	memmove(&ps->p[n], &ps->p[n + 1], (ps->nr - n - 1) * sizeof(ps->p[0]));
	ps->nr--;
	for (unsigned i = 0; i < ps->nr; i++) {
		if (ps->p[i].to > (int)n)
			ps->p[i].to--;
		else if (ps->p[i].to == (int)n)
			ps->p[i].to_off = 0;
	}
}

/* c becomes what less makes of it, if engines still differ about that. */
static bool adopt(struct test_case *c, struct parts *all, const struct parts *less,
		  differs_fn *differs)
{
	struct test_case t = *c;

	put_together(less, &t);
	if (!differs(&t))
		return false;
	*c = t;
	*all = *less;
	return true;
}

static bool fewer_instructions(struct test_case *c, differs_fn *differs)
{
	static struct parts all, less;
	bool any = false;

	take_apart(c, &all);
	for (unsigned i = all.nr; i-- > 0;) {
		less = all;
		drop(&less, i);
		any |= adopt(c, &all, &less, differs);
	}
	return any;
}

/* Immediates: nothing, if it may be that. */
static bool simpler_instructions(struct test_case *c, differs_fn *differs)
{
	static struct parts all, less;
	bool any = false;

	take_apart(c, &all);
	for (unsigned i = 0; i < all.nr; i++) {
		struct op op;
		struct part *p = &all.p[i];
		unsigned imm;

		if (x86_decode(p->bytes, p->len, mode_code_size(c->mode), 0, &op) <= 0 ||
		    p->rel_len || !(op.form == FORM_RM_IMM || op.form == FORM_IMM) || !op.imm)
			continue;
		imm = op.size < 4 ? op.size : 4;
		if (imm >= p->len)
			continue;
		less = all;
		memset(less.p[i].bytes + p->len - imm, 0, imm);
		any |= adopt(c, &all, &less, differs);
	}
	return any;
}

static bool plain_registers(struct test_case *c, differs_fn *differs)
{
	bool any = false;

	for (unsigned i = 0; i < 16; i++) {
		static const u64 plain[] = {0, 1, ARENA + PAGE_DATA * PAGE};

		for (unsigned k = 0; k < ARRAY_SIZE(plain); k++) {
			struct test_case t = *c;

			if (t.in.gpr[i] <= 1 || t.in.gpr[i] == plain[k])
				break;
			t.in.gpr[i] = plain[k];
			if (!differs(&t))
				continue;
			*c = t;
			any = true;
			break;
		}
	}
	if (c->in.rflags & ~(u64)(FL_FIXED | FL_IF)) {
		struct test_case t = *c;

		t.in.rflags = FL_FIXED | FL_IF;
		if (differs(&t)) {
			*c = t;
			any = true;
		}
	}
	return any;
}

static bool less_memory(struct test_case *c, differs_fn *differs)
{
	bool any = false;

	for (unsigned i = c->nr_data_pokes; i-- > 0;) {
		struct test_case t = *c;

		memmove(&t.pokes[i], &t.pokes[i + 1], (t.nr_pokes - i - 1) * sizeof(t.pokes[0]));
		t.nr_pokes--;
		t.nr_data_pokes--;
		if (!differs(&t))
			continue;
		*c = t;
		any = true;
	}
	return any;
}

unsigned reduce_case(struct test_case *c, differs_fn *differs)
{
	enum { MAX_PASSES = 8 };
	static struct parts ps;
	bool any = true;

	for (unsigned i = 0; any && i < MAX_PASSES; i++) {
		any = fewer_instructions(c, differs);
		any |= simpler_instructions(c, differs);
		any |= less_memory(c, differs);
		any |= plain_registers(c, differs);
	}
	take_apart(c, &ps);
	return ps.nr;
}

void print_case(const struct test_case *c)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	printf("  %s-bit code, ring %u, rflags %llx\n ", c->mode == MODE64 ? "64" : "32",
	       c->ring0 ? 0 : 3, (unsigned long long)c->in.rflags);
	for (unsigned i = 0; i < 16; i++)
		if (c->in.gpr[i])
			printf(" %s=%llx", names[i], (unsigned long long)c->in.gpr[i]);
	putchar('\n');
	for (unsigned at = 0; at < c->code_len;) {
		char text[128];
		unsigned n = guest_disasm(c, c->in.rip + at, c->code + at, c->code_len - at, text,
					  sizeof(text));

		printf("  %llx:", (unsigned long long)c->in.rip + at);
		for (unsigned i = 0; i < n && at + i < c->code_len; i++)
			printf(" %02x", c->code[at + i]);
		printf("  %s\n", text);
		at += n;
	}
}
