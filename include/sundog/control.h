/* SPDX-License-Identifier: MIT */
/*
 * control.h - what the rest tells the clients of a machine's control socket.
 *
 * docs/control.md has the protocol; src/control/ is behind it.
 */
#ifndef SUNDOG_CONTROL_H
#define SUNDOG_CONTROL_H

#include "sundog/types.h"

struct machine;

/* In the order of the table in src/control/events.c, which says what each tells. */
enum control_event {
	CONTROL_STARTED,
	CONTROL_PAUSED,
	CONTROL_RESUMED,
	CONTROL_RESET,
	CONTROL_POWERDOWN,
	CONTROL_SHUTDOWN,
	CONTROL_DEVICE_ADDED,
	CONTROL_DEVICE_REMOVED,
	CONTROL_DISK_ERROR,
};

/* What an event tells; members that its row does not name are not looked at. */
struct control_note {
	const char *device;    /* its id */
	const char *operation; /* "read", "write", "flush" */
	const char *reason;
	int status; /* the exit status of the process */
};

/* Who passes events on: machine.control.  It takes leaves only, and never waits. */
struct control_listener {
	void (*event)(struct control_listener *l, enum control_event event,
		      const struct control_note *note);
};

/*
 * Tell all that subscribed; note may be NULL for events that tell nothing.  Any thread, with any
 * locks held: it takes a leaf and never waits for a client.
 */
void control_event(struct machine *m, enum control_event event, const struct control_note *note);

#endif
