/* SPDX-License-Identifier: MIT */
/*
 * server.c - the control socket's thread: clients, lines in, lines out.
 *
 * Clients are not trusted to be well, only to be this user.  What one can make us hold is
 * bounded: a line of CONTROL_MAX_MESSAGE bytes, of which the rest is skipped, one request at a
 * time, OUT_MAX bytes that it has not read.  One that reads nothing is asked nothing more, and
 * dropped when events have filled its queue; so nobody who tells something ever waits.
 *
 * The thread parses; requests are served by a task on the machine's loop, whose answer goes to
 * the client's queue.  The lock is a leaf and is held over no system call but send(), which
 * does not block.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/server.h"
#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/unixsock.h"

enum {
	OUT_ENOUGH = 16 << 10, /* bytes to be sent that stop us from taking more requests */
	OUT_MAX = 512 << 10,
	RETRY_MS = 50,
	LINGER_MS = 500, /* at the end, for clients to read what was said last */
};

struct client {
	struct control *c;
	struct task task; /* serves .request on the loop */
	json_t *request;
	int fd;
	bool eof;      /* it sends nothing more */
	bool skipping; /* the rest of a line that is too long */
	size_t in_len;
	char in[CONTROL_MAX_MESSAGE + 1]; /* with the newline */

	/* Under the lock: */
	bool busy; /* the loop has .request, and this client */
	bool gone; /* to be closed as soon as it is not busy */
	bool subscribed;
	struct buf out; /* from .pos on */
};

static size_t waiting(const struct client *cl)
{
	return cl->out.len - cl->out.pos;
}

static void wake(struct control *c)
{
	if (eventfd_write(c->wake_fd, 1))
		return; /* full: it wakes as well */
}

/* --- output ----------------------------------------------------------------------------- */

static void queue_line_locked(struct client *cl, const char *text, size_t len)
{
	struct buf *b = &cl->out;

	if (cl->gone)
		return;
	if (b->pos) {
		memmove(b->data, b->data + b->pos, waiting(cl));
		b->len -= b->pos;
		b->pos = 0;
	}
	if (!range_fits(b->len, len + 1, OUT_MAX)) {
		cl->gone = true;
		return;
	}
	buf_add(b, text, len);
	buf_add(b, "\n", 1);
	cl->gone = b->failed;
}

/* Takes message, which is NULL if there was no memory for it. */
static void queue_message(struct client *cl, json_t *message)
{
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

	json_decref(message);
	pthread_mutex_lock(&cl->c->lock);
	if (text)
		queue_line_locked(cl, text, strlen(text));
	else
		cl->gone = true;
	pthread_mutex_unlock(&cl->c->lock);
	free(text);
}

static void send_output_locked(struct client *cl)
{
	while (!cl->gone && waiting(cl)) {
		ssize_t n = send(cl->fd, cl->out.data + cl->out.pos, waiting(cl),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0)
			cl->out.pos += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			cl->gone = true;
	}
}

static void on_event(struct control_listener *l, enum control_event event,
		     const struct control_note *note)
{
	struct control *c = container_of(l, struct control, listener);
	json_t *message = control_event_json(event, note);
	char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;

	json_decref(message);
	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; text && i < CONTROL_MAX_CLIENTS; i++) {
		if (c->clients[i] && c->clients[i]->subscribed)
			queue_line_locked(c->clients[i], text, strlen(text));
	}
	pthread_mutex_unlock(&c->lock);
	free(text);
	wake(c);
}

/* --- requests --------------------------------------------------------------------------- */

/* On the loop's thread. */
static void serve(struct task *t)
{
	struct client *cl = container_of(t, struct client, task);
	struct control *c = cl->c;
	bool subscribe = cl->subscribed; /* changed here only */
	json_t *answer = control_answer(c, cl->request, &subscribe);

	json_decref(cl->request);
	cl->request = NULL;
	queue_message(cl, answer);
	pthread_mutex_lock(&c->lock);
	cl->subscribed = subscribe;
	cl->busy = false; /* from here on the client may go */
	pthread_mutex_unlock(&c->lock);
	wake(c);
}

static void take_line(struct client *cl, const char *line, size_t len)
{
	json_t *answer;
	json_t *request = control_parse(line, len, &answer);

	if (!request) {
		queue_message(cl, answer);
		return;
	}
	cl->request = request;
	pthread_mutex_lock(&cl->c->lock);
	cl->busy = true;
	pthread_mutex_unlock(&cl->c->lock);
	loop_defer(cl->c->m->loop, &cl->task);
}

static bool is_blank(const char *line, size_t len)
{
	while (len && strchr(" \t\r", line[len - 1]) && line[len - 1])
		len--;
	return len == 0;
}

/* May another request of this client be looked at? */
static bool is_ready(struct client *cl)
{
	bool ready;

	pthread_mutex_lock(&cl->c->lock);
	ready = !cl->busy && !cl->gone && !cl->c->stopping && waiting(cl) < OUT_ENOUGH;
	pthread_mutex_unlock(&cl->c->lock);
	return ready;
}

static void take_lines(struct client *cl)
{
	char *start = cl->in, *end = cl->in + cl->in_len, *nl = NULL;

	while (is_ready(cl) && (nl = memchr(start, '\n', (size_t)(end - start)))) {
		if (!cl->skipping && !is_blank(start, (size_t)(nl - start)))
			take_line(cl, start, (size_t)(nl - start));
		cl->skipping = false;
		start = nl + 1;
	}
	cl->in_len = (size_t)(end - start);
	memmove(cl->in, start, cl->in_len);
	if (cl->in_len < sizeof(cl->in) || memchr(cl->in, '\n', cl->in_len))
		return;
	if (!cl->skipping)
		queue_message(cl, control_error(NULL, -EMSGSIZE,
						"a line of more than 64 KiB; send less"));
	cl->skipping = true;
	cl->in_len = 0;
}

static void receive(struct client *cl)
{
	ssize_t n = recv(cl->fd, cl->in + cl->in_len, sizeof(cl->in) - cl->in_len, MSG_DONTWAIT);

	if (n > 0)
		cl->in_len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		cl->eof = true;
}

/* --- clients ---------------------------------------------------------------------------- */

static void free_client(struct client *cl)
{
	close(cl->fd);
	json_decref(cl->request);
	buf_destroy(&cl->out);
	free(cl);
}

static int add_client(struct control *c, int fd)
{
	struct client *cl = calloc(1, sizeof(*cl));
	int slot = -1;

	if (!cl)
		return -ENOMEM;
	cl->c = c;
	cl->fd = fd;
	cl->task.fn = serve;
	pthread_mutex_lock(&c->lock);
	for (int i = 0; i < CONTROL_MAX_CLIENTS && slot < 0; i++)
		slot = c->clients[i] ? -1 : i;
	if (slot >= 0)
		c->clients[slot] = cl;
	pthread_mutex_unlock(&c->lock);
	if (slot < 0) {
		free(cl);
		return -EBUSY;
	}
	queue_message(cl, control_greeting(c));
	return 0;
}

static void refuse(int fd)
{
	json_t *error = control_error(NULL, -EBUSY, "too many clients; close one");
	char *text = error ? json_dumps(error, JSON_COMPACT) : NULL;

	json_decref(error);
	if (text && dprintf(fd, "%s\n", text) < 0)
		errno = 0; /* it need not know */
	free(text);
}

static void accept_clients(struct control *c)
{
	int fd;

	while ((fd = unix_accept(c->listen_fd)) >= 0 || fd == -EACCES) {
		if (fd < 0 || add_client(c, fd) == 0)
			continue;
		refuse(fd);
		close(fd);
	}
	/* Out of descriptors: it would be tried again at once, over and over. */
	if (fd != -EAGAIN)
		poll(NULL, 0, RETRY_MS);
}

/* Serve what is there, without waiting; false: it is gone. */
static bool serve_client(struct client *cl)
{
	size_t before;
	bool gone;

	/* Room for output lets lines in that have waited, and those make output. */
	do {
		pthread_mutex_lock(&cl->c->lock);
		send_output_locked(cl);
		pthread_mutex_unlock(&cl->c->lock);
		before = cl->in_len;
		take_lines(cl);
	} while (cl->in_len != before);
	pthread_mutex_lock(&cl->c->lock);
	gone = !cl->busy && (cl->gone || (cl->eof && !waiting(cl) && !cl->in_len));
	pthread_mutex_unlock(&cl->c->lock);
	return !gone;
}

/* What to wait for; with nothing to wait for, a client that hung up must not wake us. */
static struct pollfd client_poll(struct client *cl)
{
	struct pollfd p = {.fd = cl->fd};

	pthread_mutex_lock(&cl->c->lock);
	if (!cl->gone && !cl->eof && !cl->busy && cl->in_len < sizeof(cl->in))
		p.events |= POLLIN;
	if (!cl->gone && waiting(cl))
		p.events |= POLLOUT;
	pthread_mutex_unlock(&cl->c->lock);
	if (!p.events)
		p.fd = -1;
	return p;
}

static void drop_client(struct control *c, unsigned i)
{
	struct client *cl = c->clients[i];

	pthread_mutex_lock(&c->lock);
	c->clients[i] = NULL;
	pthread_mutex_unlock(&c->lock);
	free_client(cl);
}

/* A half line that ends a connection is not a request. */
static void forget_half_line(struct client *cl)
{
	if (cl->eof && !memchr(cl->in, '\n', cl->in_len))
		cl->in_len = 0;
}

static void serve_clients(struct control *c, const struct pollfd *polled)
{
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		struct client *cl = c->clients[i];

		if (!cl)
			continue;
		if (polled[i].revents & ~POLLOUT && polled[i].events & POLLIN)
			receive(cl);
		forget_half_line(cl);
		if (!serve_client(cl))
			drop_client(c, i);
	}
}

static bool is_stopping(struct control *c)
{
	bool stopping;

	pthread_mutex_lock(&c->lock);
	stopping = c->stopping;
	pthread_mutex_unlock(&c->lock);
	return stopping;
}

static void *server_main(void *opaque)
{
	struct control *c = opaque;
	struct pollfd p[CONTROL_MAX_CLIENTS + 2];

	while (!is_stopping(c)) {
		eventfd_t n;

		for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++)
			p[i] = c->clients[i] ? client_poll(c->clients[i])
					     : (struct pollfd){.fd = -1};
		p[CONTROL_MAX_CLIENTS] = (struct pollfd){.fd = c->listen_fd, .events = POLLIN};
		p[CONTROL_MAX_CLIENTS + 1] = (struct pollfd){.fd = c->wake_fd, .events = POLLIN};
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		if (p[CONTROL_MAX_CLIENTS + 1].revents && eventfd_read(c->wake_fd, &n))
			continue;
		serve_clients(c, p);
		if (p[CONTROL_MAX_CLIENTS].revents)
			accept_clients(c);
	}
	return NULL;
}

/* --- life ------------------------------------------------------------------------------- */

static void free_control(struct control *c)
{
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++)
		if (c->clients[i])
			free_client(c->clients[i]);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

struct control *control_start(struct machine *m, const struct control_cfg *cfg, struct err *e)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		err_set(e, -ENOMEM, "out of memory; close something");
		return NULL;
	}
	c->listener.event = on_event;
	c->m = m;
	c->cfg = *cfg;
	c->born = clock_now(m, CLOCK_HOST);
	c->stop_timer = (struct timer){.fn = control_stop_now, .clock = CLOCK_HOST};
	pthread_mutex_init(&c->lock, NULL);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->listen_fd = unix_listen(cfg->path, e);
	if (c->listen_fd < 0) {
		free_control(c);
		return NULL;
	}
	r = c->wake_fd < 0 ? EMFILE : pthread_create(&c->thread, NULL, server_main, c);
	if (r) {
		err_set(e, -r, "cannot start the control socket's thread: %s; raise the limits",
			strerror(r));
		unlink(cfg->path);
		free_control(c);
		return NULL;
	}
	m->control = &c->listener;
	return c;
}

static int ms_until(const struct control *c, u64 end)
{
	u64 now = clock_now(c->m, CLOCK_HOST);

	return now < end ? (int)((end - now) / 1000000) : 0;
}

/* Whoever reads gets what was said last; whoever does not is not waited for long. */
static void linger(struct client *cl, u64 end)
{
	struct pollfd p = {.fd = cl->fd, .events = POLLOUT};

	do {
		pthread_mutex_lock(&cl->c->lock);
		send_output_locked(cl);
		p.fd = cl->gone || !waiting(cl) ? -1 : cl->fd;
		pthread_mutex_unlock(&cl->c->lock);
	} while (p.fd >= 0 && poll(&p, 1, ms_until(cl->c, end)) > 0);
}

void control_stop(struct control *c)
{
	u64 end;

	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_mutex_unlock(&c->lock);
	wake(c);
	pthread_join(c->thread, NULL);
	timer_cancel(c->m->loop, &c->stop_timer);
	end = clock_now(c->m, CLOCK_HOST) + LINGER_MS * 1000000ull;
	for (unsigned i = 0; i < CONTROL_MAX_CLIENTS; i++) {
		if (!c->clients[i])
			continue;
		loop_cancel(c->m->loop, &c->clients[i]->task);
		linger(c->clients[i], end);
	}
	unlink(c->cfg.path);
}

void control_free(struct control *c)
{
	if (c)
		free_control(c);
}
