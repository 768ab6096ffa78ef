/* SPDX-License-Identifier: MIT */
/*
 * crash.c - signals that must not happen while a vCPU runs: told so that the bug can be found.
 *
 * Translated code checks before it does, and exec functions raise what is the guest's to see; so
 * a fault signal on a vCPU's thread is our own fault.  It is mapped to the guest's instruction,
 * described on standard error, and ends the process with a status of its own.  The one
 * exception is a page of guest memory that the host cannot provide.
 *
 * Signal handlers belong to the process, whatever we would like: they are set with the first
 * machine and put back with the last.  Whatever is not ours goes to the handler that was there
 * before, and it also sees what is ours, after us: it may have a terminal to restore.
 *
 * Only what is safe in a signal handler is called, but for snprintf() and the disassembler,
 * which do no more than that either.
 */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/jit/translate.h"
#include "isa/x86/fpu/host.h"
#include "isa/x86/insn.h"
#include "sundog/err.h"
#include "sundog/isa.h"

enum { SHOWN = 32 /* bytes of host code on each side */ };

static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP};

static struct {
	pthread_mutex_t lock;
	unsigned users;
	bool set[ARRAY_SIZE(signals)];
	struct sigaction old[ARRAY_SIZE(signals)];
} hook = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local struct soft_cpu *watched;

/* One that faulted: what is known of it. */
struct crash {
	struct soft_cpu *sc;
	const struct x86_cpu *cpu;
	int sig;
	const siginfo_t *info;
	const greg_t *regs;
	const u8 *pc;
	bool in_cache; /* host code is in the code cache */
	bool in_block; /* ... and not in a shared routine: */
	struct jit_place place;
	const struct op *op; /* the guest's instruction, or NULL */
};

/* By number, as instructions name them. */
static const u8 ureg[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
			  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* --- words -------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static void out(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n >= (int)sizeof(line))
		n = sizeof(line) - 1;
	for (int done = 0; done < n;) {
		ssize_t r = write(STDERR_FILENO, line + done, (size_t)(n - done));

		if (r <= 0)
			return;
		done += (int)r;
	}
}

static const char *signal_name(int sig)
{
	switch (sig) {
	case SIGSEGV: return "SIGSEGV";
	case SIGBUS: return "SIGBUS";
	case SIGILL: return "SIGILL";
	case SIGFPE: return "SIGFPE";
	default: return "SIGTRAP";
	}
}

static void print_bytes(const char *what, const u8 *from, const u8 *at, const u8 *to)
{
	char text[3 * (2 * SHOWN + 16) + 8];
	size_t n = 0;

	for (const u8 *p = from; p < to && n + 8 < sizeof(text); p++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, p == at ? " <%02x>" : " %02x",
				      *p);
	text[n] = '\0';
	out("  %s:%s\n", what, text);
}

static void print_regs(const char *who, const u64 *val)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8 ", "r9 ", "r10", "r11", "r12", "r13", "r14", "r15"};

	for (unsigned i = 0; i < 16; i += 4)
		out("  %s: %s=%016llx %s=%016llx %s=%016llx %s=%016llx\n", who, names[i],
		    (unsigned long long)val[i], names[i + 1], (unsigned long long)val[i + 1],
		    names[i + 2], (unsigned long long)val[i + 2], names[i + 3],
		    (unsigned long long)val[i + 3]);
}

/* --- the dump -------------------------------------------------------------------------------- */

/* What a guest's register holds: in code the host's may be its home. */
static u64 guest_reg(const struct crash *c, unsigned g)
{
	int home = c->in_cache ? tr_home(g) : -1;

	return home < 0 ? c->cpu->st.gpr[g] : (u64)c->regs[ureg[home]];
}

static void print_guest(const struct crash *c)
{
	const struct x86_cpu *cpu = c->cpu;
	u64 regs[16], rip = c->op ? op_rip(cpu, c->op) : cpu->st.rip;
	char text[128];

	for (unsigned g = 0; g < 16; g++)
		regs[g] = guest_reg(c, g);
	out("  guest rip: %016llx%s, cpl %u, cr3 %llx\n", (unsigned long long)rip,
	    c->op ? "" : " (or nearby)", cpu->cpl, (unsigned long long)cpu->st.cr3);
	if (c->op && c->place.block && c->place.block->host) {
		const struct block *b = c->place.block;
		/* Offsets of its ops are from the page's begin; it may not end in it. */
		const u8 *bytes = b->host + (c->op->off - b->page_off);
		struct vcpu *v = (struct vcpu *)&cpu->v;

		v->isa->disasm(v, rip, bytes, c->op->len, text, sizeof(text));
		out("  guest instruction: %s\n", text);
		print_bytes("guest bytes", bytes, NULL, bytes + c->op->len);
	} else if (c->op) {
		out("  guest instruction: one of row %u of the table, \"%s\"\n", c->op->row,
		    insns[c->op->row].name);
	}
	print_regs("guest", regs);
	if (c->place.block)
		out("  block: %u instructions, %u bytes at RAM offset %llx, key %x%s\n",
		    c->place.block->nr_ops, c->place.block->len,
		    (unsigned long long)(c->place.block->host -
					 (const u8 *)c->sc->soft->machine->ram),
		    c->place.block->key, atomic_load(&c->place.block->dead) ? ", dead" : "");
}

static void print_host(const struct crash *c)
{
	const struct jit *j = jit_of(c->sc->soft);
	u64 regs[16];

	for (unsigned i = 0; i < 16; i++)
		regs[i] = (u64)c->regs[ureg[i]];
	out("  host rip: %llx, %s%s, flags %llx, address %llx\n",
	    (unsigned long long)(uintptr_t)c->pc,
	    c->in_block	  ? "translated code"
	    : c->in_cache ? "a routine that all translated code shares"
			  : "a function of sundog",
	    c->in_block && !c->op ? ", the way into it" : "", (unsigned long long)c->regs[REG_EFL],
	    (unsigned long long)(uintptr_t)c->info->si_addr);
	if (c->in_cache) {
		const u8 *from = c->pc - j->rx > SHOWN ? c->pc - SHOWN : j->rx;
		const u8 *to = c->pc + SHOWN;
		struct vcpu *v = &c->sc->cpu->v;
		char text[128];

		if (c->in_block && from < c->place.begin)
			from = c->place.begin;
		if (to > j->rx + j->size)
			to = j->rx + j->size;
		v->isa->disasm(v, (u64)(uintptr_t)c->pc, c->pc, (unsigned)(to - c->pc), text,
			       sizeof(text));
		out("  host instruction: %s\n", text);
		if (c->in_block)
			out("  host code of this instruction: %llx to %llx\n",
			    (unsigned long long)(uintptr_t)c->place.begin,
			    (unsigned long long)(uintptr_t)c->place.end);
		print_bytes("host bytes", from, c->pc, to);
	}
	print_regs(" host", regs);
}

static void dump(const struct crash *c)
{
	const struct machine *m = c->sc->soft->machine;
	struct utsname u;

	out("sundog: engine bug: %s (code %d) on cpu%u; please report this with the lines below, "
	    "the kernel and the options\n",
	    signal_name(c->sig), c->info->si_code, c->cpu->v.index);
	out("  build: sundog %s, engine %s\n", SUNDOG_VERSION, m->cfg->engine);
	if (uname(&u) == 0)
		out("  host: %s %s %s; guest cpu %s, %u of them\n", u.sysname, u.release, u.machine,
		    m->cfg->cpu, m->nr_vcpus);
	print_guest(c);
	print_host(c);
}

/* --- the signal ------------------------------------------------------------------------------ */

static const struct sigaction *old_of(int sig)
{
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (signals[i] == sig)
			return &hook.old[i];
	return NULL;
}

/* To whoever handled it before us; false: nobody did. */
static bool call_old(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *old = old_of(sig);

	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, info, context);
	else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
		old->sa_handler(sig);
	else
		return false;
	return true;
}

static void not_ours(int sig, siginfo_t *info, void *context)
{
	if (call_old(sig, info, context))
		return;
	/* A fault happens again on return; a signal that was sent does not. */
	sigaction(sig, old_of(sig), NULL);
	if (info->si_code <= 0)
		raise(sig);
}

static bool no_memory(const struct crash *c)
{
	const struct machine *m = c->sc->soft->machine;
	u64 off = (u64)((const u8 *)c->info->si_addr - (const u8 *)m->ram);

	return c->sig == SIGBUS && off < m->ram_size;
}

/* The host's instruction for a guest's, which may trap: isa/x86/fpu has a handler for it. */
static bool in_thunk(const struct crash *c)
{
	greg_t rip = c->regs[REG_RIP];

	return c->sig == SIGFPE && rip >= (greg_t)host_thunks_start &&
	       rip < (greg_t)host_thunks_end;
}

/*
 * An address that only looked as if its page cache held it: that had no entry, and names the guard
 * page.  On as if the check had failed, as the routine that it would have called returns.
 */
static bool at_guard(const struct crash *c, ucontext_t *uc)
{
	const struct jit *j = jit_of(c->sc->soft);
	u64 *rsp = (u64 *)uc->uc_mcontext.gregs[REG_RSP];

	if (c->sig != SIGSEGV || !c->op ||
	    (u64)((const u8 *)c->info->si_addr - (const u8 *)j->guard) >= PAGE_SIZE_4K)
		return false;
	*--rsp = (u64)(uintptr_t)c->pc + 1;
	uc->uc_mcontext.gregs[REG_RSP] = (greg_t)rsp;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)jit_rx(j, j->stubs.slow);
	return true;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	static atomic_flag one = ATOMIC_FLAG_INIT;
	ucontext_t *uc = context;
	struct soft_cpu *sc = watched;
	struct crash c = {.sc = sc, .sig = sig, .info = info, .regs = uc->uc_mcontext.gregs};
	const struct jit *j;

	if (!sc || info->si_code <= 0 || in_thunk(&c)) {
		not_ours(sig, info, context);
		return;
	}
	j = jit_of(sc->soft);
	c.cpu = sc->cpu;
	c.pc = (const u8 *)(uintptr_t)c.regs[REG_RIP];
	c.in_cache = (u64)(c.pc - j->rx) < j->size;
	c.in_block = c.in_cache && jit_place(j, c.pc, &c.place);
	c.op = c.in_block ? c.place.op : c.in_cache ? NULL : c.cpu->op;
	if (at_guard(&c, uc))
		return;
	while (atomic_flag_test_and_set(&one)) /* another vCPU's is being told */
		pause();
	if (no_memory(&c))
		out("sundog: the host has no memory left for the guest's; give it less with "
		    "--memory, or the host more\n");
	else
		dump(&c);
	call_old(sig, info, context);
	_exit(no_memory(&c) ? EXIT_HOST : EXIT_ENGINE_BUG);
}

void jit_crash_watch(struct soft_cpu *sc)
{
	watched = sc;
}

int jit_crash_hook(struct err *e)
{
	struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	int r = 0;

	pthread_mutex_lock(&hook.lock);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		if (hook.set[i])
			continue;
		if (sigaction(signals[i], &sa, &hook.old[i]))
			r = err_set(e, -errno, "cannot handle signals: %s", strerror(errno));
		else
			hook.set[i] = true;
	}
	if (r == 0)
		hook.users++;
	pthread_mutex_unlock(&hook.lock);
	return r;
}

void jit_crash_unhook(void)
{
	struct sigaction now;

	pthread_mutex_lock(&hook.lock);
	hook.users--;
	for (size_t i = 0; i < ARRAY_SIZE(signals) && !hook.users; i++) {
		/* Whoever came after us and is still there may call us. */
		if (sigaction(signals[i], NULL, &now) || now.sa_sigaction != on_fault)
			continue;
		sigaction(signals[i], &hook.old[i], NULL);
		hook.set[i] = false;
	}
	pthread_mutex_unlock(&hook.lock);
}
