/* SPDX-License-Identifier: MIT */
/*
 * gdbsock.c - the stub's sockets: one that listens, one with the client.
 *
 * A second client is told that it is one too many and closed.  What comes in waits in the
 * kernel while the client does not take what goes out.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "debug/gdb.h"
#include "sundog/err.h"
#include "sundog/unixsock.h"

enum { OUT_ENOUGH = 64 << 10 }; /* bytes to be sent that stop us from taking more in */

static const char busy[] = "$E.another debugger is attached#23";

/* --- the client ---------------------------------------------------------------------------------
 */

void gdb_drop(struct gdbstub *g)
{
	if (g->client.fd < 0)
		return;
	loop_unwatch(g->m->loop, &g->client);
	close(g->client.fd);
	g->client.fd = -1;
	g->rx_len = g->rx_pos = 0;
	rsp_destroy(&g->rsp);
	rsp_init(&g->rsp);
}

static void client_gone(struct gdbstub *g)
{
	gdb_drop(g);
	gdb_detach(g, false);
}

static bool can_take_more(const struct gdbstub *g)
{
	return !g->resetting && !g->closing && rsp_waiting(&g->rsp) < OUT_ENOUGH;
}

void gdb_take_input(struct gdbstub *g)
{
	while (g->rx_pos < g->rx_len && can_take_more(g)) {
		switch (rsp_byte(&g->rsp, g->rx[g->rx_pos++])) {
		case RSP_PACKET:
			if (!atomic_load(&g->attached) || g->running)
				gdb_attach(g);
			gdb_packet(g);
			break;
		case RSP_BREAK: gdb_break(g); break;
		case RSP_NOTHING: break;
		}
	}
}

/* False: the client is gone. */
static bool send_output(struct gdbstub *g)
{
	while (rsp_waiting(&g->rsp)) {
		ssize_t n = send(g->client.fd, g->rsp.out.data + g->rsp.out.pos,
				 rsp_waiting(&g->rsp), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		rsp_sent(&g->rsp, (size_t)n);
	}
	return true;
}

static void watch_client(struct gdbstub *g)
{
	u32 events = (can_take_more(g) ? EPOLLIN : 0) | (rsp_waiting(&g->rsp) ? EPOLLOUT : 0);

	if (events == g->client.events)
		return;
	g->client.events = events;
	loop_watch(g->m->loop, &g->client);
}

void gdb_pump(struct gdbstub *g)
{
	if (g->client.fd < 0)
		return;
	do {
		gdb_take_input(g);
		if (!send_output(g) || g->rsp.out.failed || g->rsp.last.failed) {
			client_gone(g);
			return;
		}
	} while (g->rx_pos < g->rx_len && can_take_more(g));
	if (g->closing && !rsp_waiting(&g->rsp)) {
		g->closing = false;
		client_gone(g);
		return;
	}
	watch_client(g);
}

static void on_client(struct watch *w, u32 events)
{
	struct gdbstub *g = container_of(w, struct gdbstub, client);

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && g->rx_pos == g->rx_len) {
		ssize_t n = recv(w->fd, g->rx, sizeof(g->rx), MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			client_gone(g);
			return;
		}
		g->rx_pos = 0;
		g->rx_len = n > 0 ? (size_t)n : 0;
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		client_gone(g);
		return;
	}
	gdb_pump(g);
}

/* It may have gone, and we have not come to notice: whoever is next must not suffer for it. */
static bool client_left(const struct gdbstub *g)
{
	struct pollfd p = {.fd = g->client.fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

static void on_listener(struct watch *w, u32 events)
{
	struct gdbstub *g = container_of(w, struct gdbstub, listener);
	int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC), one = 1;

	if (fd < 0)
		return; /* it went again */
	if (g->client.fd >= 0 && client_left(g))
		client_gone(g);
	if (g->client.fd >= 0) {
		if (send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			errno = 0; /* it need not know */
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* a Unix socket refuses */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	g->client = (struct watch){.fn = on_client, .fd = fd, .events = EPOLLIN};
	if (loop_watch(g->m->loop, &g->client)) {
		close(fd);
		g->client.fd = -1;
	}
}

/* --- listening -----------------------------------------------------------------------------------
 */

static int listen_unix(struct gdbstub *g, const char *path, struct err *e)
{
	int fd = unix_listen(path, e);

	if (fd < 0) {
		err_prefix(e, "--gdb: ");
		return fd;
	}
	g->unix_path = path;
	g->listener.fd = fd;
	fprintf(stderr, "sundog: waiting for a debugger: gdb -ex 'target remote %s'\n", path);
	return 0;
}

/* "host:port", ":port", "port", "[::1]:port". */
static int split_address(const char *addr, char *host, size_t size, const char **port,
			 struct err *e)
{
	const char *colon = strrchr(addr, ':');
	size_t len = colon ? (size_t)(colon - addr) : 0;

	*port = colon ? colon + 1 : addr;
	if (len > 2 && addr[0] == '[' && addr[len - 1] == ']') {
		addr++;
		len -= 2;
	}
	if (len >= size || !**port || strspn(*port, "0123456789") != strlen(*port) ||
	    strtoul(*port, NULL, 10) > UINT16_MAX)
		return err_set(
			e, -EINVAL,
			"--gdb %s is no address; write it like localhost:1234 or /path/socket",
			addr);
	snprintf(host, size, "%.*s", (int)len, addr);
	if (!len)
		snprintf(host, size, "localhost");
	return 0;
}

/* The port it became, if any would do. */
static unsigned bound_port(int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len))
		return 0;
	return ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
					      : ((struct sockaddr_in *)&ss)->sin_port);
}

static int bind_one(const struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, r;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 16)) {
		r = -errno;
		close(fd);
		return r;
	}
	return fd;
}

static int listen_tcp(struct gdbstub *g, const char *addr, struct err *e)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list;
	char host[128];
	const char *port;
	int r, fd = -EADDRNOTAVAIL;

	if (split_address(addr, host, sizeof(host), &port, e))
		return e->code;
	r = getaddrinfo(host, port, &hints, &list);
	if (r)
		return err_set(e, -EINVAL, "--gdb %s: %s; write it like localhost:1234", addr,
			       gai_strerror(r));
	/* IPv4 first: it is what gdb tries first for "localhost". */
	for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = ai->ai_family == AF_INET ? bind_one(ai) : fd;
	for (const struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
		fd = ai->ai_family != AF_INET ? bind_one(ai) : fd;
	freeaddrinfo(list);
	if (fd < 0)
		return err_set(e, fd, "cannot listen at %s: %s; name another: --gdb HOST:PORT",
			       addr, strerror(-fd));
	g->listener.fd = fd;
	fprintf(stderr, "sundog: waiting for a debugger: gdb -ex 'target remote %s%s%s:%u'\n",
		strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", bound_port(fd));
	return 0;
}

int gdb_listen(struct gdbstub *g, const char *addr, struct err *e)
{
	int r = strchr(addr, '/') ? listen_unix(g, addr, e) : listen_tcp(g, addr, e);

	if (r)
		return r;
	g->listener.fn = on_listener;
	g->listener.events = EPOLLIN;
	r = loop_watch(g->m->loop, &g->listener);
	if (r) {
		gdb_unlisten(g);
		return err_set(e, r, "cannot wait for a debugger: %s", strerror(-r));
	}
	return 0;
}

void gdb_unlisten(struct gdbstub *g)
{
	loop_unwatch(g->m->loop, &g->listener);
	close(g->listener.fd);
	if (g->unix_path)
		unlink(g->unix_path);
}
