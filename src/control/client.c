/* SPDX-License-Identifier: MIT */
/* client.c - the other end of a control socket. */
#include "control/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/control.h"
#include "control/rundir.h"
#include "sundog/err.h"
#include "sundog/opts.h"
#include "sundog/unixsock.h"

enum {
	ANSWER_MS = 10000, /* a machine that says nothing for so long is stuck or stopped */
	READ_SIZE = 16 << 10,
	MESSAGE_MAX = 16 << 20,
};

static int no_such_machine(const char *who, struct err *e)
{
	char **names = run_list(e);
	const char *near;

	if (!names)
		return e->code;
	near = nearest(who, (const char *const *)names);
	if (near)
		err_set(e, -ENOENT, "no machine \"%.70s\" runs; did you mean \"%s\"?", who, near);
	else
		err_set(e, -ENOENT, "no machine \"%.70s\" runs; sundog ps lists those that do",
			who);
	run_list_free(names);
	return -ENOENT;
}

static int connect_name(const char *who, struct err *e)
{
	char path[RUN_PATH_MAX];
	pid_t pid;
	int r;

	if (strlen(who) > RUN_NAME_MAX)
		return no_such_machine(who, e);
	r = run_path(path, who, "sock", e);
	if (r)
		return r;
	r = unix_connect(path);
	if (r >= 0)
		return r;
	pid = run_owner(who);
	if (!pid)
		return no_such_machine(who, e);
	if (r == -EAGAIN)
		return err_set(e, r, "%s (process %d) does not answer; is it stopped?", who,
			       (int)pid);
	return err_set(e, r, "cannot reach %s (process %d): %s; was it started with --control?",
		       who, (int)pid, strerror(-r));
}

static int connect_path(const char *path, struct err *e)
{
	int fd = unix_connect(path);

	if (fd < 0)
		err_set(e, fd, "cannot reach %s: %s; sundog ps lists the machines that run", path,
			strerror(-fd));
	return fd;
}

/* Set *e to what an answer says that went wrong. */
static int take_error(json_t *answer, struct err *e)
{
	const char *code = "failed", *message = "the machine's answer makes no sense";

	json_unpack(answer, "{s:{s:s,s:s}}", "error", "code", &code, "message", &message);
	return err_set(e, control_code(code), "%s", message);
}

static int check_greeting(json_t *greeting, struct err *e)
{
	int protocol = -1;

	if (json_object_get(greeting, "error"))
		return take_error(greeting, e); /* too many clients */
	if (json_unpack(greeting, "{s:{s:i}}", "sundog", "protocol", &protocol))
		return err_set(e, -EPROTO, "this is no machine of Sundog's; name another");
	if (protocol != CONTROL_PROTOCOL)
		return err_set(e, -EPROTO,
			       "the machine speaks version %d of the protocol, this is %d; use "
			       "the sundog that started it",
			       protocol, CONTROL_PROTOCOL);
	return 0;
}

int control_connect(struct control_client *c, const char *who, struct err *e)
{
	json_t *greeting;
	int r;

	*c = (struct control_client){.fd = -1};
	c->fd = strchr(who, '/') ? connect_path(who, e) : connect_name(who, e);
	if (c->fd < 0)
		return c->fd;
	greeting = control_next(c, ANSWER_MS, e);
	r = greeting ? check_greeting(greeting, e) : e->code;
	json_decref(greeting);
	if (r)
		err_prefix(e, "%.70s: ", who);
	return r;
}

void control_close(struct control_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	*c = (struct control_client){.fd = -1};
}

/* Wait until the socket is ready; 0 or -errno. */
static int wait_for(struct control_client *c, short events, int timeout_ms, struct err *e)
{
	struct pollfd p = {.fd = c->fd, .events = events};
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return err_set(e, n ? -errno : -ETIMEDOUT, "the machine does not answer; is it stopped?");
}

static int connection_ended(struct err *e)
{
	return err_set(e, -ECONNRESET, "the machine has ended; sundog ps lists those that run");
}

static int make_room(struct control_client *c, struct err *e)
{
	char *buf;

	if (c->pos) {
		memmove(c->buf, c->buf + c->pos, c->len - c->pos);
		c->len -= c->pos;
		c->pos = 0;
	}
	if (c->cap - c->len >= READ_SIZE)
		return 0;
	if (c->len > MESSAGE_MAX)
		return err_set(e, -EPROTO, "a message has no end; is this a machine of Sundog's?");
	buf = realloc(c->buf, c->cap * 2 + READ_SIZE);
	if (!buf)
		return err_set(e, -ENOMEM, "out of memory; close something");
	c->buf = buf;
	c->cap = c->cap * 2 + READ_SIZE;
	return 0;
}

static int receive(struct control_client *c, int timeout_ms, struct err *e)
{
	int r = make_room(c, e);
	ssize_t n;

	if (r == 0)
		r = wait_for(c, POLLIN, timeout_ms, e);
	if (r)
		return r;
	n = recv(c->fd, c->buf + c->len, c->cap - c->len, MSG_DONTWAIT);
	if (n > 0)
		c->len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		return connection_ended(e);
	return 0;
}

json_t *control_next(struct control_client *c, int timeout_ms, struct err *e)
{
	json_t *message;
	size_t len;
	char *nl;

	while (!c->buf || !(nl = memchr(c->buf + c->pos, '\n', c->len - c->pos)))
		if (receive(c, timeout_ms, e))
			return NULL;
	len = (size_t)(nl - (c->buf + c->pos));
	message = json_loadb(c->buf + c->pos, len, 0, NULL);
	c->pos += len + 1;
	if (!message)
		err_set(e, -EPROTO, "what came is not JSON; is this a machine of Sundog's?");
	return message;
}

static int send_text(struct control_client *c, const char *text, size_t len, struct err *e)
{
	while (len) {
		ssize_t n = send(c->fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return connection_ended(e);
		if (n < 0 && wait_for(c, POLLOUT, ANSWER_MS, e))
			return e->code;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int send_request(struct control_client *c, const char *command, json_t *args, struct err *e)
{
	json_t *request = json_pack("{s:i,s:s,s:o}", "id", 1, "command", command, "arguments",
				    args ? args : json_object());
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int r = -EINVAL;

	json_decref(request);
	if (text)
		r = send_text(c, text, strlen(text), e);
	else
		err_set(e, r, "an argument is not UTF-8; write it in UTF-8");
	if (r == 0)
		r = send_text(c, "\n", 1, e);
	free(text);
	return r;
}

/* What a reply returns, or NULL and *e. */
static json_t *take_reply(json_t *reply, struct err *e)
{
	json_t *ret = json_object_get(reply, "return");

	json_incref(ret);
	if (!ret)
		take_error(reply, e);
	json_decref(reply);
	return ret;
}

json_t *control_request(struct control_client *c, const char *command, json_t *args, struct err *e)
{
	json_t *message;

	if (send_request(c, command, args, e))
		return NULL;
	while ((message = control_next(c, ANSWER_MS, e)) && json_object_get(message, "event"))
		json_decref(message);
	return message ? take_reply(message, e) : NULL;
}
