/* SPDX-License-Identifier: MIT */
/* lockstep_report.c - a difference for people: what ran, as what, and from which state to which. */
#include "engine/jit/lockstep.h"
#include "isa/x86/flags.h"
#include "isa/x86/inspect.h"

enum { MAX_INSN = 15 };

static unsigned put_insn(const struct lockstep *ls, u64 at, const u8 *bytes, unsigned n, FILE *f)
{
	char text[128];
	unsigned len = x86_disasm(&ls->cpu->v, at, bytes, n, text, sizeof(text));

	fprintf(f, "  %016llx  ", (unsigned long long)at);
	for (unsigned i = 0; i < MAX_INSN; i++) {
		if (i < len)
			fprintf(f, "%02x", bytes[i]);
		else if (i < 11)
			fputs("  ", f);
	}
	fprintf(f, "  %s\n", text);
	return len;
}

void lockstep_put_op(const struct lockstep *ls, u64 rip, FILE *f)
{
	u8 bytes[MAX_INSN];
	unsigned n = 0;

	for (; n < MAX_INSN; n++) {
		int b = lockstep_code_byte(ls->cpu, rip + n);

		if (b < 0)
			break;
		bytes[n] = (u8)b;
	}
	put_insn(ls, rip, bytes, n, f);
}

static void put_guest(const struct lockstep *ls, FILE *f)
{
	u64 first = ls->nr_ops > LOCKSTEP_TRACE ? ls->nr_ops - LOCKSTEP_TRACE : 0;

	fprintf(f, "guest instructions (%llu):\n", (unsigned long long)ls->missed_ops);
	for (u64 i = first; i < ls->missed_ops; i++)
		lockstep_put_op(ls, ls->trace[i % LOCKSTEP_TRACE], f);
}

static void put_host(const struct lockstep *ls, FILE *f)
{
	const u8 *p = ls->code->entry, *end = ls->code->end;

	fputs("host code of the block that was entered:\n", f);
	while (p < end)
		p += put_insn(ls, (u64)(uintptr_t)p, p, MAX_INSN, f);
}

static void put_state(const char *name, const struct lockstep_state *s, FILE *f)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
	struct x86_cpu t;

	memcpy(&t.cc_res, s->derived, sizeof(s->derived));
	fprintf(f, "%s:\n ", name);
	for (unsigned i = 0; i < NR_GPRS; i++)
		fprintf(f, " %s=%016llx%s", names[i], (unsigned long long)s->st.gpr[i],
			i % 4 == 3 ? "\n " : "");
	fprintf(f, " rip=%016llx flags=%03llx rflags=%08llx cpl=%u cr0=%llx cr2=%llx\n",
		(unsigned long long)s->st.rip, (unsigned long long)flags_get(&t),
		(unsigned long long)s->st.rflags, t.cpl, (unsigned long long)s->st.cr0,
		(unsigned long long)s->st.cr2);
	fprintf(f, "  fs=%llx gs=%llx mxcsr=%x fsw=%x\n",
		(unsigned long long)s->st.seg[SEG_FS].base,
		(unsigned long long)s->st.seg[SEG_GS].base, s->st.mxcsr, s->st.x87.fsw);
}

/* Vectors only where they differ: there are many. */
static void put_vectors(const struct cpu_state *a, const struct cpu_state *b, FILE *f)
{
	for (unsigned i = 0; i < ARRAY_SIZE(a->v); i++) {
		if (!memcmp(&a->v[i], &b->v[i], sizeof(a->v[i])))
			continue;
		fprintf(f, "  v%u: %016llx %016llx by the code, %016llx %016llx is right\n", i,
			(unsigned long long)a->v[i].q[1], (unsigned long long)a->v[i].q[0],
			(unsigned long long)b->v[i].q[1], (unsigned long long)b->v[i].q[0]);
	}
}

void lockstep_dump(const struct lockstep *ls, FILE *f)
{
	fprintf(f, "sundog: cpu%u: lockstep: translator and interpreter differ: %s\n",
		ls->cpu->v.index, ls->what);
	put_guest(ls, f);
	put_state("before", &ls->start, f);
	put_state("by the code", &ls->tried, f);
	put_state("by the interpreter", &ls->missed, f);
	put_vectors(&ls->tried.st, &ls->missed.st, f);
	put_host(ls, f);
}
