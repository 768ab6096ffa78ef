/* SPDX-License-Identifier: MIT */
/*
 * event.h - what happens to a machine, for whoever listens: its control socket (docs/control.md).
 */
#ifndef SUNDOG_EVENT_H
#define SUNDOG_EVENT_H

#include "sundog/types.h"

struct machine;

/* In the order of the table in src/control/events.c, which says what each tells. */
enum machine_event {
	EVENT_STARTED,
	EVENT_PAUSED,
	EVENT_RESUMED,
	EVENT_RESET,
	EVENT_POWERDOWN,
	EVENT_SHUTDOWN,
	EVENT_DEVICE_ADDED,
	EVENT_DEVICE_REMOVED,
	EVENT_DISK_ERROR,
};

/* What an event tells; members that its row does not name are not looked at. */
struct event_note {
	const char *device;    /* its id */
	const char *operation; /* "read", "write", "flush" */
	const char *reason;
	int status; /* the exit status of the process */
};

struct machine_listener {
	void (*event)(struct machine_listener *l, enum machine_event event,
		      const struct event_note *note);
};

/*
 * Tell m->listener, if there is one.  note may be NULL for events that tell nothing.  Any thread,
 * with any locks held: a listener takes a leaf and never waits.
 */
void machine_event(struct machine *m, enum machine_event event, const struct event_note *note);

#endif
