/* SPDX-License-Identifier: MIT */
/*
 * machine.h - a virtual machine: a board with CPUs, memory and devices on it.
 *
 * One process may hold several: there is no global machine and no "current" one.
 */
#ifndef SUNDOG_MACHINE_H
#define SUNDOG_MACHINE_H

#include "sundog/device.h"
#include "sundog/engine.h"
#include "sundog/err.h"
#include "sundog/loop.h"

/* What the user asked for, parsed; strings are borrowed for the machine's life. */
struct machine_cfg {
	const char *board;  /* "pc" */
	const char *engine; /* "auto", "interp", "jit,hot=2" */
	const char *cpu;    /* model */
	unsigned nr_cpus;
	u64 memory;					/* bytes */
	const char *console;				/* chardev spec of COM1 */
	const char *kernel, *initrd, *append, *cmdline; /* NULL: not given */
	const char *const *modules;			/* multiboot: NULL-ended, or NULL */
	const char *const *devices;			/* --device specs, NULL-ended, or NULL */
	const char *const *disks;			/* --disk specs, NULL-ended, or NULL */
	int seed_fd;	/* above 0: what a first boot is told, one more disk; borrowed */
	bool no_initrd; /* leave out the one that is on a disk, too */
	bool no_reboot;
	bool stats;	 /* print the engine's counters at the end */
	u64 seed;	 /* 0: from the host */
	const char *gdb; /* address to listen on, or NULL */
};

enum { MACHINE_MAX_CPUS = 64 };

enum machine_state { MACHINE_BUILT, MACHINE_RUNNING, MACHINE_PAUSED, MACHINE_DOWN };

struct machine_core; /* core/machine.c: requests, stopping and starting the vCPUs */

/* What outsiders (the debugger, tests) want to be told; each may be NULL. */
struct machine_hooks {
	/* VCPU_EXIT_DEBUG, on the vCPU's thread, out of run(); e.g. machine_request_pause(). */
	void (*debug)(struct vcpu *cpu, void *opaque);
	/* A triple fault, the same way.  True: dealt with; else the autopsy and exit status 5. */
	bool (*shutdown)(struct vcpu *cpu, void *opaque);
	/* The machine has come to rest by a request, and after a reset; the loop's thread. */
	void (*paused)(struct machine *m, void *opaque);
	void (*was_reset)(struct machine *m, void *opaque);
	void *opaque;
};

/* Told when the machine goes on after a pause, and at its start: the loop's thread. */
struct run_hook {
	void (*fn)(struct run_hook *h);
	struct run_hook *next;
};

struct machine {
	const struct board *board;
	const struct engine_ops *engine;
	struct err passed_over; /* why "auto" left out the fastest engine; code 0: it did not */

	struct addrspace *mem; /* guest-physical memory */
	struct addrspace *pio; /* I/O ports; NULL where the ISA has none */
	struct loop *loop;
	struct device *devices;
	struct blk *disks;   /* block.h */
	struct vcpu **vcpus; /* nr_vcpus pointers: the ISA allocates what is around a vCPU */
	unsigned nr_vcpus;

	const struct isa_ops *isa;
	struct cpu_features *features; /* what the guest is shown, frozen */
	const struct machine_cfg *cfg;
	void *board_priv;		     /* the board's wiring */
	void *engine_priv;		     /* shared by the engine's vCPUs */
	struct machine_clock *machine_clock; /* core/clock.c */
	void *ram; /* guest RAM, mapped once from a sealed memfd; board.c cuts it in regions */
	u64 ram_size;
	int ram_fd;

	struct machine_core *core;
	bool engine_ready, board_built; /* what machine_free() has to undo */
	struct machine_hooks hooks;	/* set before machine_start() */
	struct control_listener
		*control;  /* src/control/; NULL: none.  Set before machine_start() */
	bool start_paused; /* a debugger gets the first word: set before machine_start() */
	_Atomic u64 guest_errors;

	struct lock lock; /* the lists above; device state has its device's lock */
	_Atomic enum machine_state state;
};

/* "microvm", "pc": which devices, at which addresses, on which lines. */
struct board {
	const char *name, *doc;
	unsigned max_cpus;
	int (*build)(struct machine *m, const struct machine_cfg *cfg, struct err *e);
	void (*destroy)(struct machine *m);
	/* After all devices and vCPUs were reset: put boot images back, set the entry state. */
	int (*reset)(struct machine *m, struct err *e);
	/* The guest asks for a reset: because it has crashed?  Then it ends, status 5; or NULL. */
	bool (*crashed)(struct machine *m);
	/*
	 * As if somebody pressed it; any thread, holding no device's lock.  False: the guest does
	 * not listen to it.  NULL: there is none.
	 */
	bool (*power_button)(struct machine *m);
	/*
	 * Devices that come and go while the machine runs; the loop's thread, holding nothing.
	 * plug: a device, realized and announced to the guest, or NULL and *e.  plug_disk: the
	 * same for a disk, as --disk takes it.  unplug: ask the guest to let go of what was
	 * plugged into a slot; it goes, on the loop, when the guest says so, which may be never.
	 * With force it has gone at the return, and the guest finds out.  Events tell of both; each
	 * may be NULL.
	 */
	struct device *(*plug)(struct machine *m, const struct opts *o, struct err *e);
	struct device *(*plug_disk)(struct machine *m, const char *spec, struct err *e);
	int (*unplug)(struct machine *m, struct device *dev, bool force, struct err *e);
	struct irq_line (*irq)(struct machine *m, unsigned gsi); /* an input of its controllers */
	/* A local APIC message (MSI, IOAPIC): 0xfee00000 form. */
	void (*msi)(struct machine *m, const struct msi_msg *msg);
};

extern const struct board *const boards[]; /* src/board/boards.c */

struct machine *machine_new(const struct machine_cfg *cfg, struct err *e);
void machine_free(struct machine *m); /* devices in reverse order, then the rest */

int machine_start(struct machine *m, struct err *e);
/*
 * These two from the loop's thread, or while nobody runs the loop; others use the requests.
 * Returns with every vCPU out of run(), block I/O drained and device callbacks held.
 * Never with a device lock held: from there use machine_request_pause().
 */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);

/* From the same threads. */
void machine_add_run_hook(struct machine *m, struct run_hook *h);
void machine_remove_run_hook(struct machine *m, struct run_hook *h);

/*
 * The vCPUs only: returns with all of them out of run().  Nests; for short work on their
 * state.  Never from a vCPU's thread, nor with a device lock held.
 */
void machine_stop_vcpus(struct machine *m);
void machine_start_vcpus(struct machine *m);

/*
 * Keep one vCPU out of run() while the others go on: a debugger steps a single thread.  Set
 * while the vCPUs are stopped.
 */
void machine_hold_vcpu(struct vcpu *cpu, bool hold);

/* Any thread, also from a register write: done later, by the loop. */
void machine_request_pause(struct machine *m);
void machine_request_reset(struct machine *m); /* the vCPU that asks runs no further */
void machine_request_shutdown(struct machine *m, int exit_code); /* process exit status */
/* The same, with a word for who wants it, for the event "shutdown"; a string constant. */
void machine_request_end(struct machine *m, int exit_code, const char *reason);
/*
 * Press the power button; any thread, holding no device's lock.  False: there is none, the guest
 * does not listen to it, or the machine does not run.
 */
bool machine_power_button(struct machine *m);
/* Exit statuses of the process; a debug-exit device makes its own. */
enum {
	EXIT_GUEST_OFF,
	EXIT_HOST,
	EXIT_USAGE,
	EXIT_INPUT,
	EXIT_CANNOT,
	EXIT_GUEST_CRASH,
	EXIT_ENGINE_BUG, /* the engine is wrong, and said where */
};

/* The run loop: until shutdown; returns the exit status.  The caller's thread runs the loop. */
int machine_run(struct machine *m);

#endif
