/* SPDX-License-Identifier: MIT */
/* server.h - inside the control socket: the server, its commands and its events. */
#ifndef CONTROL_SERVER_H
#define CONTROL_SERVER_H

#include <jansson.h>
#include <pthread.h>

#include "control/control.h"
#include "control/fields.h"
#include "sundog/device.h"
#include "sundog/loop.h"

enum { CONTROL_MAX_CLIENTS = 16 };

struct client;

struct control {
	struct control_listener listener;
	struct machine *m;
	struct control_cfg cfg;
	u64 born;		 /* CLOCK_HOST ns */
	struct timer stop_timer; /* the patience of "stop" */

	int listen_fd, wake_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* a leaf: clients' output and flags, .stopping */
	struct client *clients[CONTROL_MAX_CLIENTS];
	bool stopping;
};

/* A request on its way; on the loop's thread, no lock held. */
struct control_call {
	struct control *c;
	json_t *args;	/* checked by the command's table; an object */
	json_t *ret;	/* the reply's: filled in by run() */
	bool subscribe; /* the client wants events from now on */
};

struct control_command {
	const char *name, *doc;
	const struct field *args, *ret; /* NULL: none */
	int (*run)(struct control_call *call, struct err *e);
};

extern const struct control_command control_commands[]; /* ended by one without a name */

struct control_event_row {
	const char *name, *doc;
	const struct field *data; /* NULL: none */
};

extern const struct control_event_row control_events[]; /* the same; by enum control_event */
json_t *control_event_json(enum control_event event, const struct control_note *note);

/* What a line of a client is answered with, by the thread of the loop or, in tests, any. */
json_t *control_answer(struct control *c, json_t *request, bool *subscribe);
/* A line as a request; NULL and *answer: it is none. */
json_t *control_parse(const char *line, size_t len, json_t **answer);
json_t *control_error(json_t *id, int code, const char *msg);
json_t *control_greeting(const struct control *c);

/* commands.c: the patience of "stop" is at its end. */
void control_stop_now(struct timer *t);
/* hotplug.c */
int control_device_add(struct control_call *call, struct err *e);
int control_device_del(struct control_call *call, struct err *e);

#endif
