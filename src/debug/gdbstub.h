/* SPDX-License-Identifier: MIT */
/*
 * gdbstub.h - a machine debugged by gdb, over TCP or a Unix socket.
 *
 * A machine with a stub starts paused and waits for a debugger.  It runs on the machine's loop
 * and never blocks it.
 */
#ifndef DEBUG_GDBSTUB_H
#define DEBUG_GDBSTUB_H

struct err;
struct gdbstub;
struct machine;

/*
 * addr: "host:port" (port 0: one that is free), ":port" and "port" for localhost, or a path for
 * a Unix socket.  Before machine_start(): takes the machine's hooks.  NULL and *e.
 */
struct gdbstub *gdbstub_start(struct machine *m, const char *addr, struct err *e);

/* Nobody runs the loop any more; status: how the process will end, which the debugger is told. */
void gdbstub_stop(struct gdbstub *g, int status);

#endif
