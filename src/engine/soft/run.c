/* SPDX-License-Identifier: MIT */
/*
 * run.c - the interpreter: runs decoded blocks, one handler per instruction.
 *
 * Every op's fn is a handler that does its instruction and then tail-calls the next op's, so
 * a block runs without returning to a central loop.  h_exec() serves every instruction
 * through its row's exec function; handlers.c has handlers for the frequent forms, made from the
 * same semantic bodies.  What follows the last instruction of a block is an op too:
 *
 *   h_fall   leave the block: RIP is the address of this op
 *   h_link   a direct branch's target, not looked up yet: leave, and ask the loop to link
 *   h_far    a target in another page: leave
 *   h_goto   the same, linked: name the next block (imm) and leave
 *
 * Links stay within one page and one mode, where what RIP + n means cannot change while the
 * block runs; they need no unlinking, because a dead block leads out by its first op.
 */
#include "engine/soft/run.h"
#include "isa/x86/flags.h"
#include "isa/x86/insn.h"
#include "isa/x86/system.h"
#include "sundog/err.h"
#include "sundog/isa.h"
#include "sundog/trace.h"

/* --- handlers that are not instructions ---------------------------------------------------- */

static void h_fall(struct x86_cpu *cpu, const struct op *op)
{
	cpu->st.rip = op_rip_cut(cpu, op);
}

/* In place of every op of a dead block. */
static void h_dead(struct x86_cpu *cpu, const struct op *op)
{
	const struct block *b = soft_cpu(cpu)->running;

	/* All of its instructions were counted when it was entered. */
	if (op < &b->ops[b->nr_ops])
		cpu->v.icount -= (u64)(&b->ops[b->nr_ops] - op);
	cpu->st.rip = op_rip_cut(cpu, op);
}

static void h_link(struct x86_cpu *cpu, const struct op *op)
{
	cpu->st.rip = op_rip_cut(cpu, op);
	soft_cpu(cpu)->link = (struct op *)op;
}

/* Out of the page: a direct branch (two ops before) that may leave the canonical range. */
static void h_far(struct x86_cpu *cpu, const struct op *op)
{
	u64 rip = x86_cut_rip(cpu, cpu->st.gpr[GPR_PC] + op->imm);

	if (__builtin_expect(cpu->code64 && (u64)((i64)(rip << 16) >> 16) != rip, 0)) {
		cpu->op = op - 2;
		x86_raise_gp(cpu, 0);
	}
	cpu->st.rip = rip;
}

static void h_goto(struct x86_cpu *cpu, const struct op *op)
{
	/* Pairs with link_slot(), through fn. */
	soft_cpu(cpu)->next =
		(struct block *)(uintptr_t)__atomic_load_n(&op->imm, __ATOMIC_RELAXED);
}

/* --- instructions ---------------------------------------------------------------------------- */

static void h_exec(struct x86_cpu *cpu, const struct op *op)
{
	cpu->op = op;
	insns[op->row].fn(cpu, op);
	soft_go(cpu, op + 1);
}

static void h_exec_last(struct x86_cpu *cpu, const struct op *op)
{
	cpu->op = op;
	insns[op->row].fn(cpu, op);
}

static exec_fn *choose(const struct op *op, block_key key)
{
	exec_fn *fast = soft_fast(op, key);

	if (fast)
		return fast;
	return insns[op->row].attr & A_ENDS ? h_exec_last : h_exec;
}

/* A slot behind the block that stands for an address as far from the page's begin as off. */
static void slot(struct op *op, i64 off)
{
	bool in_page = off >= 0 && off < PAGE_SIZE_4K;

	*op = (struct op){
		.fn = in_page ? h_link : h_far, .off = (u16)off, .imm = (u64)off, .len = in_page};
}

static void finish(struct soft *s, struct block *b)
{
	struct op *last = &b->ops[b->nr_ops - 1];
	unsigned next = last->off + last->len;

	slot(&last[1], next);
	if (insns[last->row].attr & A_SYNC && last[1].fn == h_link)
		last[1].fn = h_fall; /* what follows is to be looked up anew each time */
	last[2] = (struct op){0};
	if (soft_is_direct(last, b->key))
		slot(&last[2], next + (i64)last->imm);
}

/* --- the loop --------------------------------------------------------------------------------- */

/* Link the slot through which the last block was left, if it may be. */
static void link_slot(struct soft_cpu *sc, struct block *b)
{
	const struct block *last = sc->running;
	struct op *from = sc->link;

	sc->link = NULL;
	/* An interrupt may have come in between: is b what the slot stands for? */
	if (!last || !b->host || !last->host || from->off != b->page_off || last->key != b->key ||
	    ((uintptr_t)last->host ^ (uintptr_t)b->host) >> PAGE_BITS || b->key & KEY_LIMITED)
		return;
	if (sc->soft->split[b->page_off / 64] >> (b->page_off % 64) & 1)
		return; /* every way in is looked at: there may be a breakpoint */
	__atomic_store_n(&from->imm, (u64)(uintptr_t)b, __ATOMIC_RELAXED);
	__atomic_store_n(&from->fn, h_goto, __ATOMIC_RELEASE);
}

static struct block *next_block(struct x86_cpu *cpu, struct soft_cpu *sc)
{
	u64 lin = cpu->st.rip + cpu->seg_base[SEG_CS];
	const struct jc_ent *j;
	struct block *b;

	if (!cpu->long_mode)
		lin = (u32)lin;
	j = &sc->ctx->jc[jc_index(lin)];
	b = j->block;
	if (__builtin_expect(!b || j->lin != lin || j->key != sc->key ||
				     atomic_load_explicit(&b->dead, memory_order_relaxed) ||
				     j->key & KEY_LIMITED,
			     0))
		b = soft_find_block(cpu);
	if (sc->link)
		link_slot(sc, b);
	cpu->st.gpr[GPR_PC] = cpu->st.rip - b->ops[0].off;
	return b;
}

/* External events at an instruction boundary.  False: leave run(). */
static bool events(struct x86_cpu *cpu, struct soft_cpu *sc)
{
	struct vcpu *v = &cpu->v;
	u32 p = atomic_load(&v->pending);

	sc->stats.kicks++;
	if (p & (VCPU_STOP | VCPU_INIT | VCPU_SIPI))
		return false;
	if (p & VCPU_RENDEZVOUS) {
		atomic_fetch_and(&v->pending, ~VCPU_RENDEZVOUS);
		soft_leave(sc);
		soft_enter(sc);
		if (atomic_exchange(&sc->flush_due, false))
			soft_flush_all(cpu, true);
	}
	if (p & VCPU_TIMER) {
		soft_leave(sc);
		vcpu_timer_due(v);
		soft_enter(sc);
	}
	if (sc->debug.step && sc->debug.no_irqs && cpu->st.activity == CPU_RUNNING)
		return true;
	if (p & VCPU_NMI && !cpu->st.nmi_masked && !cpu->st.irq_shadow) {
		atomic_fetch_and(&v->pending, ~VCPU_NMI);
		cpu->st.activity = CPU_RUNNING;
		sc->delivered = true;
		x86_nmi(cpu);
	}
	if (atomic_load(&v->pending) & VCPU_INTR && cpu->st.rflags & FL_IF && !cpu->st.irq_shadow) {
		int vector;

		atomic_fetch_and(&v->pending, ~VCPU_INTR);
		soft_leave(sc);
		vector = v->lapic_ops->ack(v);
		soft_enter(sc);
		if (vector >= 0) {
			sc->stats.interrupts++;
			cpu->st.activity = CPU_RUNNING;
			sc->delivered = true;
			trace_vcpu_interrupt(v->index, (u8)vector, cpu->st.rip);
			x86_interrupt(cpu, (u8)vector);
		}
	}
	return true;
}

static void run_block(struct x86_cpu *cpu, struct soft_cpu *sc, struct block *b)
{
	sc->running = b;
	cpu->v.icount += b->nr_ops;
	soft_go(cpu, b->ops);
}

/* What follows an instruction, or one round of a repeated one, while all are watched. */
static void after_step(struct x86_cpu *cpu, bool tf, bool shadow)
{
	cpu->op = NULL;
	if (tf && !cpu->skip_step)
		cpu->st.pending_db |= DR6_BS;
	if (shadow)
		cpu->st.irq_shadow = cpu->st.shadow_is_movss = false;
	x86_check_traps(cpu);
}

/* One instruction, with all that watches instructions: single-step, breakpoints, shadows. */
static void step(struct x86_cpu *cpu, struct soft_cpu *sc)
{
	struct block *b;
	bool shadow = cpu->st.irq_shadow, tf = cpu->st.rflags & FL_TF;

	cpu->op = NULL;
	/* A trap of the instruction before, which was not watched yet: a task switch. */
	if (cpu->st.pending_db)
		x86_check_traps(cpu);
	if (cpu->careful)
		x86_check_insn_breakpoint(cpu, cpu->st.rip + cpu->seg_base[SEG_CS]);
	b = soft_one_shot(cpu);
	cpu->st.gpr[GPR_PC] = cpu->st.rip - b->ops[0].off;
	sc->link = NULL;
	cpu->skip_step = false;
	run_block(cpu, sc, b);
	after_step(cpu, tf, shadow);
}

/* A fault or a restart was thrown: put RIP and the count right, and deliver. */
static bool thrown(struct x86_cpu *cpu, struct soft_cpu *sc, int how)
{
	soft_thrown(sc, 0);
	if (cpu->op && sc->running) /* its instructions were counted when it was entered */
		cpu->v.icount -= sc->running->nr_ops - (u64)(cpu->op - sc->running->ops);
	cpu->op = NULL;
	sc->next = NULL;
	sc->link = NULL;
	if (how == X86_JMP_RESTART) { /* a string instruction, between two elements */
		if (cpu->careful)
			after_step(cpu, cpu->st.rflags & FL_TF, cpu->st.irq_shadow);
		return true;
	}
	sc->debug_hit = false; /* the instruction did not happen */
	sc->delivered = true;
	sc->stats.exceptions++;
	trace_vcpu_exception(cpu->v.index, cpu->fault.vector, cpu->fault.error, cpu->st.rip,
			     cpu->fault.cr2);
	return x86_deliver_fault(cpu);
}

/* Has the debugger asked to stop here?  start: v->icount when run() was entered. */
static bool debug_stop(struct x86_cpu *cpu, struct soft_cpu *sc, u64 start)
{
	bool moved = cpu->v.icount != start || sc->delivered;

	if (sc->debug_hit) {
		sc->debug_hit = false;
		return true;
	}
	if (sc->debug.step && moved) {
		cpu->v.stop = (struct debug_stop){-1, cpu->st.rip};
		return true;
	}
	return sc->debug_exec && cpu->st.activity == CPU_RUNNING &&
	       soft_debug_at(sc, cpu->st.rip + cpu->seg_base[SEG_CS]);
}

static enum vcpu_exit run_loop(struct x86_cpu *cpu, struct soft_cpu *sc, u64 start, u64 end)
{
	struct vcpu *v = &cpu->v;

	for (;;) {
		struct block *b = sc->next;

		cpu->op = NULL;
		if (b) { /* RIP is implied; make it so if we have to stop here */
			sc->next = NULL;
			if (__builtin_expect(!atomic_load_explicit(&v->pending,
								   memory_order_relaxed) &&
						     v->icount < end,
					     1)) {
				run_block(cpu, sc, b);
				continue;
			}
			cpu->st.rip = op_rip_cut(cpu, &b->ops[0]);
		}
		atomic_store_explicit(&sc->seen,
				      atomic_load_explicit(&sc->soft->epoch, memory_order_relaxed),
				      memory_order_release);
		/* Before anything is served: a stop must not be lost for a kick. */
		if (__builtin_expect(sc->debugging, 0) && debug_stop(cpu, sc, start))
			return VCPU_EXIT_DEBUG;
		if (__builtin_expect(atomic_load_explicit(&v->pending, memory_order_relaxed), 0)) {
			if (cpu->st.irq_shadow && cpu->st.activity == CPU_RUNNING) {
				if (atomic_load(&v->pending) & (VCPU_STOP | VCPU_INIT | VCPU_SIPI))
					return VCPU_EXIT_KICKED;
				step(cpu, sc);
				continue;
			}
			if (!events(cpu, sc))
				return VCPU_EXIT_KICKED;
			if (sc->debugging && debug_stop(cpu, sc, start)) /* at a handler */
				return VCPU_EXIT_DEBUG;
		}
		if (__builtin_expect(cpu->st.activity != CPU_RUNNING, 0))
			return cpu->st.activity == CPU_SHUTDOWN ? VCPU_EXIT_SHUTDOWN
								: VCPU_EXIT_HALTED;
		if (v->icount >= end)
			return VCPU_EXIT_KICKED;
		if (__builtin_expect(cpu->careful, 0)) {
			step(cpu, sc);
			continue;
		}
		cpu->st.irq_shadow = cpu->st.shadow_is_movss = false;
		run_block(cpu, sc, next_block(cpu, sc));
	}
}

enum vcpu_exit soft_run(struct vcpu *v, u64 budget)
{
	struct x86_cpu *cpu = x86_cpu(v);
	struct soft_cpu *sc = soft_cpu(cpu);
	enum vcpu_exit why;
	volatile u64 start = v->icount, end = budget ? start + budget : ~0ull;
	int how;

	flags_put(cpu, cpu->st.rflags);
	sc->delivered = false;
	soft_enter(sc);
	/* Only now: whoever flushes the blocks clears these of all vCPUs that are outside. */
	sc->next = NULL;
	sc->link = NULL;
	sc->engine_link = NULL;
	how = setjmp(cpu->on_fault);
	if (how && !thrown(cpu, sc, how))
		why = VCPU_EXIT_SHUTDOWN;
	else
		why = run_loop(cpu, sc, start, end);
	cpu->op = NULL;
	atomic_store(&sc->seen, 0);
	soft_leave(sc);
	cpu->st.rflags = x86_rflags(cpu);
	return why;
}

void soft_kick(struct vcpu *v)
{
	/* The loop polls v->pending at every block. */
}

int soft_sync(struct vcpu *v, struct err *e)
{
	return 0; /* run() leaves the state complete */
}

void soft_vcpu_state_changed(struct vcpu *v)
{
	struct x86_cpu *cpu = x86_cpu(v);

	x86_state_changed(cpu);
	soft_state_changed(soft_cpu(cpu));
}

u64 soft_pc(const struct vcpu *v)
{
	const struct x86_cpu *cpu = (const struct x86_cpu *)v;

	return cpu->op ? op_rip(cpu, cpu->op) : cpu->st.rip;
}

void soft_access_begin(struct vcpu *v)
{
	soft_leave(soft_cpu(x86_cpu(v)));
}

void soft_access_end(struct vcpu *v)
{
	soft_enter(soft_cpu(x86_cpu(v)));
}

void soft_limit_features(struct cpu_features *f)
{
	/* It runs all that the decoder knows, but vectors natively. */
	x86_fpu_limit_features(f);
}

int soft_run_init(struct machine *m, struct err *e)
{
	struct soft *s;
	int r = soft_init(m, e);

	if (r)
		return r;
	s = m->engine_priv;
	s->dead_op = h_dead;
	s->handler = choose;
	s->finish = finish;
	return 0;
}
