/* SPDX-License-Identifier: MIT */
/*
 * control.h - the control socket of a machine, and who talks to it; docs/control.md.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <jansson.h>

#include "sundog/control.h"

struct control;
struct err;
struct machine;

enum {
	CONTROL_PROTOCOL = 1,		/* its version: told in the greeting */
	CONTROL_MAX_MESSAGE = 64 << 10, /* bytes of a request */
};

/* Strings are borrowed. */
struct control_cfg {
	const char *name;    /* the machine's */
	const char *path;    /* of the socket */
	const char *console; /* path of the console's socket; NULL: it is elsewhere */
};

/*
 * Listen, from a thread of its own.  Before machine_start(); sets m->control.  What clients want
 * of the machine is done on its loop's thread.
 */
struct control *control_start(struct machine *m, const struct control_cfg *cfg, struct err *e);
/* Nobody runs the loop any more: no request is taken from here on. */
void control_stop(struct control *c);
/* After machine_free(): clients see the end of the connection.  NULL is harmless. */
void control_free(struct control *c);

/* The whole protocol as JSON Schema (draft 2020-12); NULL: no memory. */
json_t *control_schema(void);

/* The name of an error code in a reply, and back. */
const char *control_code_name(int code);
int control_code(const char *name);

#endif
