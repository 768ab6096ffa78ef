/* SPDX-License-Identifier: MIT */
/* lockstep.c - translated code against the interpreter: trying, following, comparing. */
#include "engine/jit/lockstep.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "isa/x86/exec.h"
#include "isa/x86/flags.h"
#include "isa/x86/insn.h"
#include "sundog/err.h"

/* What setjmp(on_fault) returns besides X86_JMP_FAULT and X86_JMP_RESTART: the try was stopped. */
enum { JMP_STOPPED = 3 };

/*
 * Straight code goes no further than a page without a poll, and is where it leaves no more than
 * a few times before.  Code that is left to itself runs for FAR_NS, or a little longer.
 */
enum { MAX_OPS = 2 * PAGE_SIZE_4K, MAX_OPS_FAR = 1 << 28, MAX_MISSES = 3, FAR_NS = 1000000 };

static struct lockstep *lockstep_of(const struct x86_cpu *cpu)
{
	return soft_cpu(cpu)->lockstep;
}

/* --- states -------------------------------------------------------------------------------- */

static void save(struct lockstep_state *s, const struct x86_cpu *cpu)
{
	s->st = cpu->st;
	s->fault = cpu->fault;
	memcpy(s->derived, &cpu->cc_res, sizeof(s->derived));
}

/* A change of the shadow's mode must follow: the view is among what is derived. */
static void load(const struct lockstep_state *s, struct x86_cpu *cpu)
{
	cpu->st = s->st;
	memcpy(&cpu->cc_res, s->derived, sizeof(s->derived));
}

/* --- the try ------------------------------------------------------------------------------- */

static _Noreturn void stop(struct lockstep *ls, enum lockstep_end end)
{
	ls->end = end;
	ls->cpu->st.rip = op_rip(ls->cpu, ls->cpu->op);
	longjmp(ls->cpu->on_fault, JMP_STOPPED);
}

static void no_room(struct x86_cpu *cpu)
{
	stop(lockstep_of(cpu), END_GIVEN_UP);
}

bool lockstep_repeats(const struct op *op)
{
	exec_fn *const fns[] = {exec_rdtsc,  exec_rdtscp,     exec_rdrand,    exec_rdseed,
				exec_rdpmc,  exec_rdmsr,      exec_wrmsr,     exec_xsetbv,
				exec_invlpg, exec_invpcid,    exec_mov_to_cr, exec_mov_to_dr,
				exec_lmsw,   exec_mov_from_cr};

	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++)
		if (insns[op->row].fn == fns[i])
			return false;
	return true;
}

void lockstep_before_op(struct x86_cpu *cpu, const struct op *op)
{
	if (!lockstep_repeats(op))
		stop(lockstep_of(cpu), END_OP);
}

static void try_once(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;
	unsigned depth = soft_cpu(cpu)->alone;

	ls->at = 0;
	ls->link = NULL;
	ls->end = END_AT;
	switch (setjmp(cpu->on_fault)) {
	case 0: ls->link = jit_enter(cpu, ls->code); break;
	case X86_JMP_FAULT: ls->end = END_FAULT; break;
	default: break; /* a string instruction between two rounds; or stopped */
	}
	soft_thrown(soft_cpu(cpu), depth);
}

/*
 * The code of the block that is entered, from the first state, on copies.  The views of the TLB
 * are empty, so every page is met out of line first; in every other comparison once more, with
 * what the views know by then.
 */
static void try_code(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;

	save(&ls->real, cpu);
	load(&ls->start, cpu);
	shadow_set_mode(cpu, SHADOW_TRY);
	if (ls->far)
		atomic_fetch_add(&ls->far_run, 1);
	else
		atomic_fetch_or(&cpu->v.pending, SOFT_LEAVE_CODE);
	try_once(ls);
	if (ls->warm && ls->end <= END_OP && !atomic_load(&ls->code->block->dead)) {
		save(&ls->tried, cpu);
		load(&ls->start, cpu);
		if (shadow_rewind(cpu))
			try_once(ls);
		else
			load(&ls->tried, cpu);
	}
	if (ls->far)
		atomic_fetch_add(&ls->far_run, 1);
	atomic_fetch_and(&cpu->v.pending, ~(u32)SOFT_LEAVE_CODE);
	save(&ls->tried, cpu);
	load(&ls->real, cpu);
	shadow_set_mode(cpu, SHADOW_REAL);
}

/* --- devices -------------------------------------------------------------------------------- */

static bool same_access(const struct vcpu_access *a, const struct vcpu_access *b)
{
	return a->as == b->as && a->addr == b->addr && a->size == b->size && a->write == b->write &&
	       (!a->write || a->val == b->val);
}

/* The try asks a device: what it said is in the log, or the interpreter has to ask first. */
static void replay(struct lockstep *ls, struct vcpu_access *a)
{
	if (ls->at == ls->nr_log) {
		ls->asked = *a;
		stop(ls, END_DEVICE);
	}
	if (!same_access(a, &ls->log[ls->at])) {
		lockstep_say(ls, "an access to a device");
		stop(ls, END_DIFFERS);
	}
	a->val = ls->log[ls->at++].val;
}

static bool is_string(const struct op *op)
{
	exec_fn *const fns[] = {exec_movs, exec_stos, exec_lods, exec_cmps,
				exec_scas, exec_ins,  exec_outs};

	if (!(op->flags & (OP_REP | OP_REPNE)))
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++)
		if (insns[op->row].fn == fns[i])
			return true;
	return false;
}

/* The interpreter asks one: as the try would have? */
static void before_device(struct lockstep *ls, const struct vcpu_access *a)
{
	struct soft_cpu *sc = soft_cpu(ls->cpu);

	if (ls->released || ls->asked_by_op || ls->end == END_DIFFERS)
		return;
	ls->asked_by_op = true;
	if (ls->end != END_DEVICE || !same_access(a, &ls->asked)) {
		lockstep_say(ls, "an access to a device");
		ls->end = END_DIFFERS;
	} else if (lockstep_differs(ls)) {
		ls->end = END_DIFFERS;
	}
	/*
	 * What is repeated goes on in one go, which the try would not do; a long way is not gone
	 * again; and with other vCPUs, the device may wait for what one of them has to do.
	 */
	ls->released = ls->far || sc->soft->nr_cpus > 1 || is_string(ls->cpu->op);
	if (ls->released)
		soft_thrown(sc, 0);
}

static bool tap_before(struct vcpu *v, struct vcpu_access *a)
{
	struct lockstep *ls = lockstep_of(x86_cpu(v));

	if (shadow_is(ls->cpu, SHADOW_TRY)) {
		replay(ls, a);
		return true;
	}
	if (shadow_is(ls->cpu, SHADOW_REAL))
		before_device(ls, a);
	return false;
}

static void tap_after(struct vcpu *v, const struct vcpu_access *a)
{
	struct lockstep *ls = lockstep_of(x86_cpu(v));

	if (ls->nr_log == LOCKSTEP_LOG)
		ls->released = true;
	else
		ls->log[ls->nr_log++] = *a;
}

static const struct vcpu_tap tap = {.before = tap_before, .after = tap_after};

/* --- the interpreter ------------------------------------------------------------------------ */

static u64 count_of(const struct op *op, const struct cpu_state *st)
{
	return op->asize == 8 ? st->gpr[RCX] : zero_extend(st->gpr[RCX], op->asize);
}

/*
 * The rounds of a repeated instruction that the try did before it left in the middle of it; 0
 * if it did not.  Who stands at the instruction again by a loop may look the same: then the
 * interpreter does those rounds, finds that other things differ, and does the rest.
 */
static u64 rounds(const struct lockstep *ls, const struct op *op)
{
	const struct cpu_state *a = &ls->cpu->st, *b = &ls->tried.st;
	u64 n, bytes, mask;

	if (!is_string(op) || ls->end == END_FAULT || b->rip != op_rip(ls->cpu, op) ||
	    count_of(op, a) <= count_of(op, b))
		return 0;
	n = count_of(op, a) - count_of(op, b);
	bytes = n * op->size;
	mask = op->asize == 8 ? ~0ull : zero_extend(~0ull, op->asize);
	if (a->rflags & FL_DF)
		bytes = -bytes;
	return !((b->gpr[RDI] - a->gpr[RDI] - bytes) & mask) ||
			       !((b->gpr[RSI] - a->gpr[RSI] - bytes) & mask)
		       ? n
		       : 0;
}

/* Has a repeated instruction that did some rounds no more to do? */
static bool string_ended(const struct x86_cpu *cpu, const struct op *op)
{
	exec_fn *fn = insns[op->row].fn;

	if (!count_of(op, &cpu->st))
		return true;
	return (fn == exec_cmps || fn == exec_scas) && flag_zf(cpu) != !!(op->flags & OP_REP);
}

/* Hold back what is more than n rounds. */
static void limit_rounds(struct lockstep *ls, const struct op *op, u64 n)
{
	ls->limit = n;
	ls->limit_asize = op->asize;
	ls->count = ls->cpu->st.gpr[RCX];
	ls->cpu->st.gpr[RCX] = n;
}

/* The count as it is now; no round at all leaves the upper half of it. */
static void all_rounds(struct lockstep *ls)
{
	u64 *rcx = &ls->cpu->st.gpr[RCX], done = ls->limit - *rcx;

	if (!ls->limit)
		return;
	*rcx = ls->count - done;
	if (done && ls->limit_asize < 8)
		*rcx = zero_extend(*rcx, ls->limit_asize);
	ls->limit = 0;
}

/* One instruction, or a part of a repeated one. */
static void run_op(struct lockstep *ls, const struct op *op)
{
	struct x86_cpu *cpu = ls->cpu;
	u64 n = rounds(ls, op);

	ls->trace[ls->nr_ops++ % LOCKSTEP_TRACE] = op_rip(cpu, op);
	cpu->op = op;
	if (n)
		limit_rounds(ls, op, n);
	insns[op->row].fn(cpu, op);
	cpu->op = NULL;
	if (n) {
		all_rounds(ls);
		if (!string_ended(cpu, op)) {
			cpu->st.rip = op_rip(cpu, op);
			return;
		}
	}
	if (!(insns[op->row].attr & A_ENDS))
		cpu->st.rip = op_next_rip(cpu, op);
}

/* Did the try change nothing at all?  Then it stands where it began, whatever is done next. */
static bool tried_nothing(const struct lockstep *ls)
{
	return !memcmp(&ls->tried.st, &ls->start.st, sizeof(ls->start.st));
}

/*
 * In front of op (NULL: not known yet), is this where the try left?  Code that leaves by the way
 * back of a loop has been there before, so the first time may not be it.
 */
static bool arrived(struct lockstep *ls, const struct op *op)
{
	const struct cpu_state *st = &ls->cpu->st;

	if (ls->end == END_DEVICE || ls->end == END_FAULT || st->rip != ls->tried.st.rip ||
	    !(ls->nr_ops || tried_nothing(ls)))
		return false;
	/* Where counts differ it may have done a part of a string instruction. */
	if (op ? rounds(ls, op) : st->gpr[RCX] != ls->tried.st.gpr[RCX])
		return false;
	if (ls->seen_at == ls->nr_ops) /* looked at already */
		return false;
	if (!lockstep_differs(ls))
		return ls->arrived = true;
	ls->seen_at = ls->nr_ops;
	if (ls->misses++) {
		if (ls->misses <= MAX_MISSES || ls->far)
			return false;
		ls->end = END_DIFFERS;
		return true;
	}
	ls->missed_at = ls->nr_ops;
	save(&ls->missed, ls->cpu);
	memcpy(ls->missed_what, ls->what, sizeof(ls->what));
	return false;
}

/* Is there more to do before the two are compared, or the try is begun anew? */
static bool goes_on(struct lockstep *ls)
{
	if (ls->arrived || ls->released || ls->asked_by_op || ls->end >= END_GIVEN_UP)
		return false;
	if (ls->nr_ops == (ls->far ? MAX_OPS_FAR : MAX_OPS)) {
		lockstep_say(ls, "the interpreter never came to where the code left");
		ls->end = END_DIFFERS;
		return false;
	}
	return true;
}

static void run_block_ops(struct lockstep *ls, const struct block *b)
{
	struct x86_cpu *cpu = ls->cpu;

	cpu->st.gpr[GPR_PC] = cpu->st.rip - b->ops[0].off;
	for (unsigned i = 0; i < b->nr_ops; i++) {
		const struct op *op = &b->ops[i];

		if (ls->only) /* some may have been left out in front of it */
			cpu->st.rip = op_rip(cpu, op);
		if (i && arrived(ls, op))
			return;
		run_op(ls, op);
		if (!goes_on(ls) || cpu->st.rip != op_next_rip(cpu, op) || atomic_load(&b->dead))
			return;
	}
}

/* Up to where the try ended; ls->real_end says how. */
static void follow(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;
	unsigned depth = soft_cpu(cpu)->alone;

	ls->asked_by_op = ls->arrived = false;
	ls->real_end = END_AT;
	ls->misses = 0;
	ls->seen_at = ~0ull;
	switch (setjmp(cpu->on_fault)) {
	case X86_JMP_FAULT:
		all_rounds(ls);
		soft_thrown(soft_cpu(cpu), ls->released ? 0 : depth);
		ls->real_end = END_FAULT;
		if (!ls->released && !ls->asked_by_op && ls->end < END_GIVEN_UP &&
		    lockstep_differs(ls))
			ls->end = END_DIFFERS;
		return;
	case X86_JMP_RESTART: /* between two rounds: something is pending */
		all_rounds(ls);
		cpu->op = NULL;
		break;
	default: break;
	}
	while (goes_on(ls)) {
		const struct block *b = ls->only;

		if (arrived(ls, NULL))
			return;
		if (b && ls->nr_ops) { /* at its end */
			if (!ls->misses)
				lockstep_say(ls, "where it leads");
			ls->end = END_DIFFERS;
			return;
		}
		if (!b)
			b = soft_find_block(cpu);
		if (ls->nr_ops)
			cpu->st.irq_shadow = cpu->st.shadow_is_movss = false;
		cpu->st.gpr[GPR_PC] = cpu->st.rip - b->ops[0].off;
		if (arrived(ls, &b->ops[0]))
			return;
		run_block_ops(ls, b);
	}
}

/* --- code that is left to itself ---------------------------------------------------------------
 */

/* Brings it back after a while. */
static void *watch(void *arg)
{
	struct timespec pause = {.tv_nsec = FAR_NS / 2};
	struct lockstep *ls = arg;
	u64 last = 0;

	while (!atomic_load(&ls->stop)) {
		u64 run = atomic_load(&ls->far_run);

		if (run & 1 && run == last)
			atomic_fetch_or(&ls->cpu->v.pending, SOFT_LEAVE_CODE);
		last = run;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* Every other two comparisons; a few of a sample, which they would else make up. */
static bool is_far_one(const struct lockstep *ls)
{
	return ls->every == 1 ? ls->steps & 2 : ls->steps % 4096 == 2;
}

/* Is there one who would bring it back? */
static bool may_go_far(struct lockstep *ls)
{
	sigset_t all, before;

	if (!ls->watched) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &before);
		ls->watched = !pthread_create(&ls->watch, NULL, watch, ls);
		pthread_sigmask(SIG_SETMASK, &before, NULL);
	}
	return ls->watched;
}

/* --- a comparison ------------------------------------------------------------------------------
 */

static void begin(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;

	memcpy(ls->outer, cpu->on_fault, sizeof(ls->outer));
	cpu->v.tap = &tap;
	shadow_forget(soft_cpu(cpu)->shadow);
	ls->nr_log = 0;
	ls->nr_ops = 0;
	ls->released = false;
	ls->far = is_far_one(ls) && soft_cpu(cpu)->soft->nr_cpus == 1 && may_go_far(ls);
	ls->warm = ls->steps & 1 && !ls->far;
	ls->dma = atomic_load(&soft_cpu(cpu)->soft->dma);
	ls->epoch = atomic_load(&soft_cpu(cpu)->soft->epoch);
	save(&ls->start, cpu);
}

static void end(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;

	shadow_set_mode(cpu, SHADOW_OFF);
	cpu->v.tap = NULL;
	memcpy(cpu->on_fault, ls->outer, sizeof(ls->outer));
	soft_thrown(soft_cpu(cpu), 0);
	cpu->v.icount += ls->nr_ops;
	ls->steps++;
	ls->ops += ls->nr_ops;
}

/* The instruction that could not be repeated, or one so as to get on. */
static void run_one(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;
	const struct block *b = soft_find_block(cpu);
	const struct op *op = b->ops;

	cpu->st.gpr[GPR_PC] = cpu->st.rip - op->off;
	cpu->v.icount++;
	cpu->op = op;
	insns[op->row].fn(cpu, op);
	cpu->op = NULL;
	if (!(insns[op->row].attr & A_ENDS))
		cpu->st.rip = op_next_rip(cpu, op);
}

bool lockstep_run_block(struct lockstep *ls, const struct block *b, const struct jit_code *c)
{
	const struct jit_code *code = ls->code;

	ls->code = c;
	ls->only = b;
	ls->nr_log = 0;
	ls->nr_ops = 0;
	load(&ls->start, ls->cpu);
	try_code(ls);
	if (ls->end != END_DEVICE)
		follow(ls);
	ls->code = code;
	ls->only = NULL;
	return ls->end == END_DIFFERS || (ls->misses && !ls->arrived);
}

/* A device that is writing memory says so when it is done: has one? */
static bool memory_moved(const struct lockstep *ls)
{
	struct timespec a_while = {.tv_nsec = 20000000};

	nanosleep(&a_while, NULL);
	return atomic_load(&soft_cpu(ls->cpu)->soft->dma) != ls->dma;
}

static void found(struct lockstep *ls)
{
	if (memory_moved(ls)) {
		ls->unsure++;
		return;
	}
	if (!ls->misses)
		save(&ls->missed, ls->cpu);
	else /* the first time was it, then */
		memcpy(ls->what, ls->missed_what, sizeof(ls->what));
	ls->missed_ops = ls->misses ? ls->missed_at : ls->nr_ops;
	if (!ls->differences++)
		ls->report(ls);
}

static struct jit_link *compare_entry(struct lockstep *ls)
{
	struct x86_cpu *cpu = ls->cpu;
	struct soft_cpu *sc = soft_cpu(cpu);

	begin(ls);
	for (;;) {
		try_code(ls);
		/* Did it leave in front of where the interpreter is?  Code counts its runs. */
		if (ls->end <= END_OP && ls->end != END_FAULT && ls->at < ls->nr_log)
			ls->end = END_GIVEN_UP;
		follow(ls);
		if (ls->end != END_DEVICE || !ls->asked_by_op || ls->released ||
		    ls->real_end == END_FAULT)
			break;
		ls->replays++;
	}
	if (ls->end == END_GIVEN_UP)
		ls->unsure++;
	if (ls->end == END_DIFFERS)
		found(ls);
	end(ls);
	if (ls->real_end == END_FAULT)
		longjmp(cpu->on_fault, X86_JMP_FAULT);
	if (ls->end == END_OP || !ls->nr_ops)
		run_one(ls);
	return ls->end == END_AT && ls->epoch == atomic_load(&sc->soft->epoch) ? ls->link : NULL;
}

/* Up to the next poll, so that what is compared may begin behind any of them. */
static struct jit_link *enter_once(struct x86_cpu *cpu, const struct jit_code *c)
{
	struct jit_link *l;

	atomic_fetch_or(&cpu->v.pending, SOFT_LEAVE_CODE);
	l = jit_enter(cpu, c);
	atomic_fetch_and(&cpu->v.pending, ~(u32)SOFT_LEAVE_CODE);
	return l;
}

struct jit_link *lockstep_enter(struct x86_cpu *cpu, struct block *b)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct lockstep *ls = sc->lockstep;

	if (--ls->left)
		return enter_once(cpu, b->code);
	ls->left = ls->every;
	if (sc->soft->nr_cpus > 1)
		soft_exclusive_begin(sc);
	ls->code = __atomic_load_n(&b->code, __ATOMIC_ACQUIRE);
	/* Implied where a link led here. */
	cpu->st.rip = x86_cut_rip(cpu, cpu->st.gpr[GPR_PC] + b->page_off);
	if (!ls->code) { /* killed while we waited: the loop looks again */
		soft_thrown(sc, 0);
		return NULL;
	}
	return compare_entry(ls);
}

/* --- set-up --------------------------------------------------------------------------------------
 */

static void report(struct lockstep *ls)
{
	lockstep_dump(ls, stderr);
	lockstep_reduce(ls, stderr);
	machine_request_shutdown(ls->cpu->v.machine, EXIT_ENGINE_BUG);
}

int lockstep_new(struct x86_cpu *cpu, struct err *e)
{
	struct soft_cpu *sc = soft_cpu(cpu);
	struct lockstep *ls = calloc(1, sizeof(*ls));

	sc->lockstep = ls;
	sc->shadow = shadow_new(no_room);
	if (!ls || !sc->shadow)
		return err_set(e, -ENOMEM, "not enough memory to compare the translator");
	ls->cpu = cpu;
	ls->report = report;
	ls->every = ls->left = jit_of(sc->soft)->lockstep;
	return 0;
}

void lockstep_free(struct x86_cpu *cpu)
{
	struct soft_cpu *sc = soft_cpu(cpu);

	if (!sc)
		return;
	if (sc->lockstep && sc->lockstep->watched) {
		atomic_store(&sc->lockstep->stop, true);
		pthread_join(sc->lockstep->watch, NULL);
	}
	free(sc->lockstep);
	shadow_free(sc->shadow);
	sc->lockstep = NULL;
	sc->shadow = NULL;
}

void lockstep_stats(const struct soft *s, struct counter_sink *to)
{
	u64 steps = 0, ops = 0, replays = 0, unsure = 0, differences = 0;

	for (unsigned i = 0; i < s->nr_cpus; i++) {
		const struct lockstep *ls = s->cpus[i] ? s->cpus[i]->lockstep : NULL;

		if (!ls)
			continue;
		steps += ls->steps;
		ops += ls->ops;
		replays += ls->replays;
		unsure += ls->unsure;
		differences += ls->differences;
	}
	counter_put(to, "compared", "entries compared with the interpreter", (double)steps);
	counter_put(to, "compared_ops", "instructions in them", (double)ops);
	counter_put(to, "replays", "begun anew behind an access to a device", (double)replays);
	counter_put(to, "unsure", "not compared after all", (double)unsure);
	counter_put(to, "differences", "found", (double)differences);
}
