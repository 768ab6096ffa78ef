/* SPDX-License-Identifier: MIT */
/*
 * engine.h - a CPU engine: something that can run guest instructions.
 *
 * An engine knows CPUs and nothing else.  It is handed vCPUs and an address space;
 * it reaches devices only through vcpu_load()/vcpu_store().  Boards and devices never
 * ask which engine is running: if one has to, this header is missing something.
 *
 * To add an engine: write a struct engine_ops in src/engine/<name>/, add it to
 * src/engine/engines.c, and make tests/guest/run.py --engine <name> pass.
 */
#ifndef SUNDOG_ENGINE_H
#define SUNDOG_ENGINE_H

#include "sundog/addrspace.h"
#include "sundog/debug.h"
#include "sundog/irq.h"

struct counter_sink; /* counters.h */
struct err;
struct param;
struct machine;
struct cpu_state;    /* opaque here; src/isa/x86/state.h has the x86 one */
struct cpu_features; /* opaque here: what the guest is shown */
struct isa_ops;	     /* isa.h: state table, reset, boot entry, page walk, disassembly, gdb */

/* Why run() came back.  Port and memory-mapped I/O are not here: see run(). */
enum vcpu_exit {
	VCPU_EXIT_KICKED,   /* vcpu_kick(), or the budget is spent */
	VCPU_EXIT_HALTED,   /* HLT, and nothing pending */
	VCPU_EXIT_SHUTDOWN, /* triple fault */
	VCPU_EXIT_DEBUG,    /* a step, breakpoint or watchpoint */
	VCPU_EXIT_ERROR,    /* the engine cannot go on: cpu->err says why */
};

/* Bits in cpu->pending.  Set from any thread, then vcpu_kick(). */
enum {
	VCPU_INTR = 1 << 0, /* the INTR pin is high: ask cpu->lapic for a vector */
	VCPU_NMI = 1 << 1,
	VCPU_INIT = 1 << 2,
	VCPU_SIPI = 1 << 3,
	VCPU_STOP = 1 << 4,	  /* leave run() as soon as you can */
	VCPU_TIMER = 1 << 5,	  /* the local APIC's deadline has come: call lapic->timer() */
	VCPU_RENDEZVOUS = 1 << 6, /* the engine's own: wait for an exclusive section */
};

/* An access of a vCPU to what is not plain RAM. */
struct vcpu_access {
	struct addrspace *as;
	u64 addr, val; /* val: stored, or what a load gives */
	unsigned size;
	bool write;
};

/* An engine that records a vCPU's accesses and replays them. */
struct vcpu_tap {
	/* True: val is known already, and no device is asked. */
	bool (*before)(struct vcpu *cpu, struct vcpu_access *a);
	void (*after)(struct vcpu *cpu, const struct vcpu_access *a); /* a device was asked */
};

struct vcpu {
	struct machine *machine;
	const struct isa_ops *isa;
	const struct engine_ops *ops;
	unsigned index;
	_Atomic u32 pending;
	_Atomic u8 sipi_vector; /* of the last SIPI; written before VCPU_SIPI is raised */
	struct err *err;

	/*
	 * The registers, in the one form all engines share.  Valid after ops->sync()
	 * on a vCPU that is not in run(): then complete and precise at an instruction
	 * boundary, event in flight, interrupt shadow and NMI mask included.  Reset,
	 * snapshots, gdb, moving a guest from one engine to another and the lock-step
	 * tests all rest on this.
	 */
	struct cpu_state *state;
	const struct lapic_ops *lapic_ops; /* its local interrupt controller: irq.h */
	void *lapic;			   /* what they work on */
	_Atomic u64 lapic_page;		   /* where its registers are mapped; ~0: nowhere */
	struct irq_line fpu_error;	   /* a pin: the CPU reports FPU errors here (x86: FERR#) */
	void *thread;			   /* core/vcpu.c: its thread, timer and halt */
	const struct vcpu_tap *tap;	   /* the engine's; normally NULL */
	struct debug_stop stop;		   /* why VCPU_EXIT_DEBUG */
	u64 icount; /* instructions retired; exact at return and, with a budget, at I/O */
	void *priv; /* the engine's: derived, rebuilt from state when it is gone */
};

struct engine_ops {
	const char *name; /* "kvm", "jit", "interp": what the user types */
	const char *doc;  /* one line for --engine=help */
	/* Of "NAME,KEY=VALUE", which init() applies to what is its own; NULL: none. */
	const struct param *params;

	/* Can it run here, and fast?  0, or why not.  Called before anything is built. */
	int (*probe)(struct err *e);

	/*
	 * Reduce *f to what this engine can show a guest.  A machine's features are the
	 * chosen model cut down by every engine fit to run here (or those named by
	 * --engines), and frozen when it is born: then it can move between them.
	 */
	void (*limit_features)(struct cpu_features *f);

	int (*init)(struct machine *m, struct err *e);
	void (*destroy)(struct machine *m);
	int (*vcpu_init)(struct vcpu *cpu, struct err *e);
	void (*vcpu_destroy)(struct vcpu *cpu);

	/*
	 * Run, holding no lock, on any one thread at a time (normally the vCPU's own),
	 * until something in enum vcpu_exit happens.  At most "budget" instructions if
	 * that is not zero.  I/O is done in the middle of an instruction by calling
	 * vcpu_load()/vcpu_store(): an "add [mmio], eax" cannot be handed back half done.
	 * Of cpu->pending it serves INTR, NMI, RENDEZVOUS and, by vcpu_timer_due(), TIMER
	 * itself, and comes back for STOP, INIT and SIPI.  A vCPU that is halted (or waits for
	 * SIPI) comes back at once, HALTED, until isa->wakes() says that something ends it.
	 */
	enum vcpu_exit (*run)(struct vcpu *cpu, u64 budget);

	/* Any thread: make run() look at cpu->pending soon. */
	void (*kick)(struct vcpu *cpu);

	/* Bring cpu->state up to date (kvm: finish pending I/O first, then read lazily). */
	int (*sync)(struct vcpu *cpu, struct err *e);

	/*
	 * The outside changed cpu->state, or a page table or code page behind the
	 * engine's back (restore, gdb): forget what was derived from it.
	 */
	void (*state_changed)(struct vcpu *cpu);

	/*
	 * Around every vcpu_load() and vcpu_store(): the vCPU counts as stopped in between,
	 * since the device may wait for a lock that a vCPU waiting for us holds.  Optional.
	 */
	void (*access_begin)(struct vcpu *cpu);
	void (*access_end)(struct vcpu *cpu);

	u64 (*pc)(const struct vcpu *cpu); /* during an access too: for traces */

	/* Optional (NULL): no hardware help. */
	int (*set_debug)(struct vcpu *cpu, const struct debug_req *req);
	const struct lapic_ops *lapic; /* NULL: the one in src/dev/intc */

	/* Optional: its counters, one by one; no vCPU is in run(). */
	void (*stats)(struct machine *m, struct counter_sink *to);
};

extern const struct engine_ops *const engines[]; /* src/engine/engines.c, NULL-ended */

/*
 * How a vCPU reaches what is not plain RAM: its own local APIC page first (per vCPU and
 * movable, so never in m->mem), then the address space.  The engine is quiescent from
 * here on: no host pointer into guest RAM and no block pointer survives the call, since
 * the device may DMA, stop the machine, or wait for a lock that another vCPU holds.
 * The one place for traces, counted time and the replay log.
 */
u64 vcpu_load(struct vcpu *cpu, struct addrspace *as, u64 addr, unsigned size);
void vcpu_store(struct vcpu *cpu, struct addrspace *as, u64 addr, u64 val, unsigned size);

/* Set bits in cpu->pending and kick; wakes it from a halt.  Any thread. */
void vcpu_raise(struct vcpu *cpu, u32 bits);

/*
 * Raise VCPU_TIMER when CLOCK_GUEST reaches deadline (ns; 0: never).  One per vCPU, kept by
 * its own thread's timer.  Any thread that holds the local APIC's lock.
 */
void vcpu_set_deadline(struct vcpu *cpu, u64 deadline);

/* VCPU_TIMER was seen in cpu->pending: clears it and calls lapic_ops->timer().  Own thread. */
void vcpu_timer_due(struct vcpu *cpu);

#endif
