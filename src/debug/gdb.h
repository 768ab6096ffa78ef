/* SPDX-License-Identifier: MIT */
/*
 * gdb.h - what the files of the gdb stub share.
 *
 *   rsp.c         framing
 *   gdbsock.c     listening, and bytes to and from the one client
 *   gdbstub.c     who is attached; running and stopping the machine for it
 *   gdbpacket.c   the packets
 *   gdbmem.c      guest memory as the debugger sees it
 *   gdbmonitor.c  the "monitor" command
 *
 * All of it runs on the loop's thread but the two hooks that tell why a vCPU came out of
 * run(), which only leave a note (gdb_cpu.why) and ask for a pause.  A thread is a vCPU: its
 * id is its index and one.
 */
#ifndef DEBUG_GDB_H
#define DEBUG_GDB_H

#include <stdatomic.h>

#include "debug/gdbstub.h"
#include "debug/rsp.h"
#include "sundog/isa.h"
#include "sundog/machine.h"

enum { GDB_SIGINT = 2, GDB_SIGTRAP = 5, GDB_SIGSEGV = 11 };

/* Why a vCPU asked for the stop. */
enum gdb_why { WHY_NOTHING, WHY_DEBUG, WHY_TRIPLE_FAULT };

enum gdb_action { ACT_STOP, ACT_CONTINUE, ACT_STEP };

struct gdb_cpu {
	_Atomic int why;	/* enum gdb_why; since it was resumed */
	enum gdb_action action; /* of the last resumption */
	/* A watchpoint that was hit while another vCPU's stop was told: to be told next. */
	bool has_later;
	struct debug_point later;
	gva_t later_addr;
};

struct gdb_point {
	struct debug_point p;
	bool hard; /* Z1, not Z0: the same to us */
};

struct gdbstub {
	struct machine *m;

	/* gdbsock.c */
	struct watch listener, client; /* client.fd -1: none */
	const char *unix_path;	       /* to be removed at the end, or NULL */
	u8 rx[4096];
	size_t rx_len, rx_pos; /* what has come and is not looked at yet */

	struct rsp rsp;

	/* gdbstub.c */
	_Atomic bool attached; /* a client has said something sensible */
	bool untouched;	       /* nobody has let the machine run yet */
	bool running;	       /* the client waits for a stop reply */
	bool resetting;	       /* ... for the end of a reset */
	bool closing;	       /* the client is to be dropped */
	bool want_break;       /* Ctrl-C */
	bool written;	       /* memory was: derived state may be stale */
	struct gdb_cpu cpus[MACHINE_MAX_CPUS];
	unsigned cpu;	   /* the one that packets are about */
	unsigned cont_cpu; /* for s and c: MACHINE_MAX_CPUS for all */

	struct gdb_point points[DEBUG_MAX_POINTS];
	unsigned nr_points;

	/* What the client asked for. */
	bool phys;	       /* memory packets have physical addresses */
	bool step_irqs;	       /* interrupts come in while stepping */
	bool swbreak, hwbreak; /* it knows these stop reasons */
	u8 signal;	       /* of the last stop */
};

/* --- gdbsock.c --- */

int gdb_listen(struct gdbstub *g, const char *addr, struct err *e);
void gdb_unlisten(struct gdbstub *g);
void gdb_take_input(struct gdbstub *g); /* what is in rx */
/* Handle what has come in, send what there is to send, wait for more of either. */
void gdb_pump(struct gdbstub *g);
void gdb_drop(struct gdbstub *g); /* close the client's connection */

/* --- gdbstub.c --- */

/* The client spoke: stop the machine, if it is not. */
void gdb_attach(struct gdbstub *g);
/* It is gone, or wants to be: no more points, and the machine runs. */
void gdb_detach(struct gdbstub *g, bool run);
void gdb_break(struct gdbstub *g);
/* Let the vCPUs do their .action; a stop reply comes later, or at once. */
void gdb_resume(struct gdbstub *g);
void gdb_kill(struct gdbstub *g);
void gdb_reset(struct gdbstub *g);
void gdb_add_stop(struct gdbstub *g, const char *reason);
bool gdb_can_debug(const struct gdbstub *g); /* can the engine stop at points? */

static inline struct vcpu *gdb_vcpu(const struct gdbstub *g)
{
	return g->m->vcpus[g->cpu];
}

/* --- gdbpacket.c --- */

void gdb_packet(struct gdbstub *g); /* handles rsp.in */

/* --- gdbmem.c --- */

/* As much of [addr, addr + len) as is RAM or ROM; returns how much. */
size_t gdb_read_mem(struct gdbstub *g, u64 addr, u8 *buf, size_t len);
/* All of it or -EFAULT and nothing. */
int gdb_write_mem(struct gdbstub *g, u64 addr, const u8 *buf, size_t len);

/* --- gdbmonitor.c --- */

void gdb_monitor(struct gdbstub *g, char *line); /* answers, too */

#endif
