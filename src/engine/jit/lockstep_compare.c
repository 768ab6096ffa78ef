/* SPDX-License-Identifier: MIT */
/* lockstep_compare.c - are the two where they ended the same, and if not, in what? */
#include "engine/jit/lockstep.h"
#include "isa/x86/flags.h"

static u16 flags_of(const struct lockstep_state *s)
{
	struct x86_cpu cpu;

	memcpy(&cpu.cc_res, s->derived, sizeof(s->derived));
	return (u16)flags_get(&cpu);
}

bool lockstep_say(struct lockstep *ls, const char *what)
{
	snprintf(ls->what, sizeof(ls->what), "%s", what);
	return true;
}

static bool flags_differ(struct lockstep *ls)
{
	u16 tried = flags_of(&ls->tried), real = (u16)flags_get(ls->cpu), read;

	if (tried == real)
		return false;
	read = lockstep_flags_read(ls->cpu, ls->cpu->st.rip, tried ^ real);
	if (read)
		snprintf(ls->what, sizeof(ls->what), "flags: 0x%03x by the code, 0x%03x is right",
			 tried & read, real & read);
	return read;
}

/* What is in the registers that makes a and b different; they do not count the same. */
static void name_register(struct lockstep *ls, const struct cpu_state *a, const struct cpu_state *b)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

	lockstep_say(ls, "registers that are neither general nor vectors");
	if (a->mxcsr != b->mxcsr)
		lockstep_say(ls, "mxcsr");
	if (memcmp(&a->x87, &b->x87, sizeof(a->x87)))
		lockstep_say(ls, "x87");
	for (unsigned i = 0; i < ARRAY_SIZE(a->v); i++)
		if (memcmp(&a->v[i], &b->v[i], sizeof(a->v[i])))
			snprintf(ls->what, sizeof(ls->what), "vector register %u", i);
	for (unsigned i = 0; i < NR_GPRS; i++)
		if (a->gpr[i] != b->gpr[i])
			snprintf(ls->what, sizeof(ls->what),
				 "%s: 0x%llx by the code, 0x%llx is right", names[i],
				 (unsigned long long)a->gpr[i], (unsigned long long)b->gpr[i]);
	if (a->rip != b->rip)
		snprintf(ls->what, sizeof(ls->what), "rip: 0x%llx by the code, 0x%llx is right",
			 (unsigned long long)a->rip, (unsigned long long)b->rip);
}

static bool registers_differ(struct lockstep *ls)
{
	struct cpu_state *a = &ls->tried.st, *b = &ls->cpu->st;

	/* What is not the guest's, or not there. */
	a->gpr[GPR_PC] = b->gpr[GPR_PC];
	a->rflags = (a->rflags & ~(u64)FL_ARITH) | (b->rflags & FL_ARITH);
	if (!memcmp(a, b, sizeof(*a)))
		return false;
	name_register(ls, a, b);
	return true;
}

/* What is derived from the registers, where translated code changes it by itself. */
static bool derived_differ(struct lockstep *ls)
{
	const struct x86_cpu *cpu = ls->cpu;
	struct x86_cpu t;

	memcpy(&t.cc_res, ls->tried.derived, sizeof(ls->tried.derived));
	if (t.cpl != cpu->cpl || t.code_size != cpu->code_size || t.code64 != cpu->code64 ||
	    t.stack_size != cpu->stack_size || t.long_mode != cpu->long_mode)
		return lockstep_say(ls, "the mode");
	if (memcmp(t.seg_base, cpu->seg_base, sizeof(t.seg_base)))
		return lockstep_say(ls, "a segment's base");
	return t.careful != cpu->careful && lockstep_say(ls, "traps");
}

static bool memory_differs(struct lockstep *ls)
{
	struct shadow *sh = soft_cpu(ls->cpu)->shadow;
	struct shadow_diff d;
	size_t size = sizeof(ls->what);
	int n;

	if (shadow_strayed(sh))
		return lockstep_say(ls, "memory beyond the end of a page was written");
	if (!shadow_compare(sh, &d))
		return false;
	n = snprintf(ls->what, size, "memory at offset 0x%x of a page, by the code:",
		     (unsigned)((uintptr_t)d.real & (PAGE_SIZE_4K - 1)));
	for (unsigned i = 0; i < d.len && i < 16; i++)
		n += snprintf(ls->what + n, size - (size_t)n, " %02x", d.tried[i]);
	n += snprintf(ls->what + n, size - (size_t)n, ", is right:");
	for (unsigned i = 0; i < d.len && i < 16; i++)
		n += snprintf(ls->what + n, size - (size_t)n, " %02x", d.real[i]);
	return true;
}

static bool faults_differ(struct lockstep *ls)
{
	const struct x86_fault *a = &ls->tried.fault, *b = &ls->cpu->fault;

	if (ls->end != END_FAULT && ls->real_end != END_FAULT)
		return false;
	if (ls->end != ls->real_end)
		return lockstep_say(ls, ls->end == END_FAULT ? "only the code raised an exception"
							     : "the code raised no exception");
	if (a->vector == b->vector && a->has_error == b->has_error && a->error == b->error &&
	    a->cr2 == b->cr2 && a->soft == b->soft && a->int1 == b->int1 && a->dr6 == b->dr6)
		return false;
	snprintf(ls->what, sizeof(ls->what),
		 "exception %u, error 0x%x, cr2 0x%llx by the code, %u, 0x%x, 0x%llx is right",
		 a->vector, a->error, (unsigned long long)a->cr2, b->vector, b->error,
		 (unsigned long long)b->cr2);
	return true;
}

bool lockstep_differs(struct lockstep *ls)
{
	const struct soft_cpu *sc = soft_cpu(ls->cpu);

	if (sc->shadow->overflow || atomic_load(&sc->soft->dma) != ls->dma) {
		ls->unsure++;
		return false;
	}
	return faults_differ(ls) || registers_differ(ls) || derived_differ(ls) ||
	       flags_differ(ls) || memory_differs(ls);
}
