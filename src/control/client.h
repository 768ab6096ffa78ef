/* SPDX-License-Identifier: MIT */
/* client.h - the other end of a control socket. */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include <jansson.h>

#include "sundog/types.h"

struct err;

struct control_client {
	int fd;
	char *buf; /* what has come, from .pos on */
	size_t pos, len, cap;
};

/*
 * who: a machine's name, or the path of a socket (with a slash in it).  -ENOENT and the nearest
 * name if there is no such machine.  The caller closes, also after a failure.
 */
int control_connect(struct control_client *c, const char *who, struct err *e) must_check;
void control_close(struct control_client *c);

/*
 * Send a command (takes args; NULL: none) and wait for what it returns; events meanwhile are
 * passed over.  NULL and *e, with the code that the machine gave.
 */
json_t *control_request(struct control_client *c, const char *command, json_t *args, struct err *e);

/*
 * The next message.  NULL and *e: -ECONNRESET at the end of the connection, -ETIMEDOUT; timeout_ms
 * -1 waits for ever.
 */
json_t *control_next(struct control_client *c, int timeout_ms, struct err *e);

#endif
