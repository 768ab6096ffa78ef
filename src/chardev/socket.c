/* SPDX-License-Identifier: MIT */
/*
 * The backend on a Unix socket, whose readers come and go: `sundog console` is one.
 *
 * A thread stands between the chardev, which has one end of a socket pair, and the clients.  It
 * keeps the last HISTORY bytes that the guest wrote.  A client is a place in them: a new one
 * begins with the oldest, and one that is too slow for the guest misses what was overwritten;
 * so the guest never waits for a reader.  What clients type is taken only as the chardev takes
 * it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chardev/backend.h"
#include "sundog/err.h"
#include "sundog/unixsock.h"

enum {
	HISTORY = 64 << 10,
	MAX_CLIENTS = 8,
	TYPED = 4096,
	RETRY_MS = 50,
	LINGER_MS = 500, /* at the end, for readers of what was written last */
};

struct reader {
	int fd;	  /* -1: nobody */
	u64 pos;  /* the next byte for it, counted from the machine's first */
	bool eof; /* it types nothing more */
};

struct relay {
	int guest;    /* our end of the pair */
	int listener; /* -1: at the end */
	pthread_t thread;
	u64 written; /* bytes of the guest, ever */
	struct reader readers[MAX_CLIENTS];
	size_t typed_len;
	u8 typed[TYPED]; /* on its way to the guest */
	u8 history[HISTORY];
	const char *path;
};

static void drop(struct reader *rd)
{
	close(rd->fd);
	rd->fd = -1;
}

static bool would_block(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* What a reader has not got yet, in one piece. */
static size_t next_piece(const struct relay *r, struct reader *rd, const u8 **p)
{
	size_t at, left;

	if (r->written - rd->pos > HISTORY)
		rd->pos = r->written - HISTORY;
	at = rd->pos % HISTORY;
	left = (size_t)(r->written - rd->pos);
	*p = r->history + at;
	return left < HISTORY - at ? left : HISTORY - at;
}

static void send_to(struct relay *r, struct reader *rd)
{
	const u8 *p;
	size_t len;

	while ((len = next_piece(r, rd, &p)) > 0) {
		ssize_t n = send(rd->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			if (!would_block())
				drop(rd);
			return;
		}
		rd->pos += (size_t)n;
	}
}

/* From the guest; false: the chardev has closed its end. */
static bool take_output(struct relay *r)
{
	size_t at = r->written % HISTORY;
	ssize_t n = recv(r->guest, r->history + at, HISTORY - at, MSG_DONTWAIT);

	if (n > 0)
		r->written += (u64)n;
	return n > 0 || (n < 0 && would_block());
}

static void take_typed(struct relay *r, struct reader *rd)
{
	ssize_t n;

	if (r->typed_len)
		return; /* another was faster */
	n = recv(rd->fd, r->typed, sizeof(r->typed), MSG_DONTWAIT);
	if (n > 0)
		r->typed_len = (size_t)n;
	else if (n == 0)
		rd->eof = true;
	else if (!would_block())
		drop(rd);
}

static void pass_typed(struct relay *r)
{
	ssize_t n = send(r->guest, r->typed, r->typed_len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n <= 0)
		return;
	r->typed_len -= (size_t)n;
	memmove(r->typed, r->typed + n, r->typed_len);
}

static void accept_reader(struct relay *r)
{
	int fd = unix_accept(r->listener);

	if (fd < 0) {
		/* Out of descriptors: it would be tried again at once, over and over. */
		if (fd != -EAGAIN && fd != -EACCES)
			poll(NULL, 0, RETRY_MS);
		return;
	}
	for (unsigned i = 0; i < MAX_CLIENTS; i++) {
		struct reader *rd = &r->readers[i];

		if (rd->fd >= 0)
			continue;
		*rd = (struct reader){.fd = fd};
		return;
	}
	close(fd);
}

/*
 * With nothing to wait for, a reader that hung up must not wake us.  One that types no more may
 * still read.
 */
static struct pollfd reader_poll(const struct relay *r, const struct reader *rd)
{
	struct pollfd p = {.fd = rd->fd};

	if (!rd->eof && !r->typed_len)
		p.events |= POLLIN;
	if (rd->pos < r->written)
		p.events |= POLLOUT;
	if (!p.events && !rd->eof)
		p.fd = -1;
	return p;
}

static void serve_reader(struct relay *r, struct reader *rd, const struct pollfd *p)
{
	if (p->revents & ~POLLOUT && p->events & POLLIN)
		take_typed(r, rd);
	else if (rd->eof && p->revents & (POLLHUP | POLLERR))
		drop(rd);
	if (rd->fd >= 0)
		send_to(r, rd);
}

/* One round of waiting and doing; false: the chardev has closed its end. */
static bool relay_round(struct relay *r)
{
	enum { GUEST = MAX_CLIENTS, LISTENER, ALL };
	struct pollfd p[ALL];
	bool open = true;

	for (unsigned i = 0; i < MAX_CLIENTS; i++)
		p[i] = reader_poll(r, &r->readers[i]);
	p[GUEST] = (struct pollfd){.fd = r->guest, .events = POLLIN};
	if (r->typed_len)
		p[GUEST].events |= POLLOUT;
	p[LISTENER] = (struct pollfd){.fd = r->listener, .events = POLLIN};
	if (poll(p, ALL, -1) < 0)
		return true;
	if (p[GUEST].revents & POLLOUT)
		pass_typed(r);
	if (p[GUEST].revents & ~POLLOUT)
		open = take_output(r);
	for (unsigned i = 0; i < MAX_CLIENTS; i++)
		if (r->readers[i].fd >= 0)
			serve_reader(r, &r->readers[i], &p[i]);
	if (p[LISTENER].revents)
		accept_reader(r);
	return open;
}

/* Whoever reads gets the last words. */
static void linger(struct relay *r)
{
	for (unsigned i = 0; i < MAX_CLIENTS; i++) {
		struct reader *rd = &r->readers[i];
		struct pollfd p = {.fd = rd->fd, .events = POLLOUT};

		while (rd->fd >= 0 && rd->pos < r->written && poll(&p, 1, LINGER_MS) > 0)
			send_to(r, rd);
		if (rd->fd >= 0)
			drop(rd);
	}
}

static void stop_listening(struct relay *r)
{
	if (r->listener < 0)
		return;
	close(r->listener);
	unlink(r->path);
	r->listener = -1;
}

static void *relay_main(void *opaque)
{
	struct relay *r = opaque;

	while (relay_round(r))
		;
	/* First, so that a reader whose connection ends can see that this is all over. */
	stop_listening(r);
	linger(r);
	return NULL;
}

static void relay_free(struct relay *r)
{
	stop_listening(r);
	if (r->guest >= 0)
		close(r->guest);
	free(r);
}

static int relay_start(struct relay *r, int pair[2], struct err *e)
{
	int s;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair))
		return err_set(e, -errno, "cannot make a pair of sockets: %s; raise the limits",
			       strerror(errno));
	r->guest = pair[1];
	s = pthread_create(&r->thread, NULL, relay_main, r);
	if (s) {
		close(pair[0]);
		return err_set(e, -s, "cannot start the console's thread: %s; raise the limits",
			       strerror(s));
	}
	return 0;
}

static int socket_open(struct chardev_ends *ends, const char *arg, struct err *e)
{
	struct relay *r = calloc(1, sizeof(*r));
	int pair[2];

	if (!r)
		return err_set(e, -ENOMEM, "out of memory; close something");
	r->path = arg;
	r->guest = -1;
	for (unsigned i = 0; i < MAX_CLIENTS; i++)
		r->readers[i].fd = -1;
	r->listener = unix_listen(arg, e);
	if (r->listener < 0 || relay_start(r, pair, e)) {
		relay_free(r);
		return e->code;
	}
	ends->in_fd = ends->out_fd = pair[0];
	ends->priv = r;
	return 0;
}

static void socket_close(struct chardev_ends *ends)
{
	struct relay *r = ends->priv;

	close(ends->in_fd);
	pthread_join(r->thread, NULL);
	relay_free(r);
}

const struct chardev_backend chardev_socket = {
	.name = "socket",
	.arg = "PATH",
	.doc = "a Unix socket; who connects sees the last 64 KiB, too",
	.open = socket_open,
	.close = socket_close,
};
