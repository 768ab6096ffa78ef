/* SPDX-License-Identifier: MIT */
/*
 * Buffers and threads between a device and a backend's descriptors.
 *
 * Two threads do what may block.  The reader fills `in`, and stops reading when it is full,
 * so that what is not taken yet waits in the kernel.  The writer empties `out`.  Neither ever
 * holds the mutex over a system call, so a vCPU that writes never waits for the outside.
 * A task on the event loop carries input and "writable" to the device, under its lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "chardev/backend.h"
#include "sundog/chardev.h"
#include "sundog/err.h"
#include "sundog/loop.h"
#include "sundog/machine.h"

enum {
	OUT_SIZE = 64 << 10,
	PIPE_IN_SIZE = 64 << 10,
	/* A terminal is read on even when the guest takes nothing, to see Ctrl-A x. */
	TERMINAL_IN_SIZE = 1 << 20,
	WRITE_CHUNK = 4096,
	FLUSH_IDLE_MS = 500, /* at the end, give up on a reader that took nothing for so long */
	FLUSH_TOTAL_MS = 5000,
	WAKE_MS = 20,
	WAKE_SIGNAL = 6, /* after SIGRTMIN */
	ESCAPE = 1,	 /* Ctrl-A */
};

struct ring {
	u8 *buf;
	size_t size, head, used; /* head: where the oldest byte is */
};

struct chardev {
	struct machine *machine;
	const struct chardev_backend *backend;
	struct chardev_ends ends;
	struct chardev_client client; /* .room is NULL: nobody */
	struct task in_task, out_task;

	pthread_mutex_t lock; /* the innermost of all: guards what follows */
	pthread_cond_t in_room, out_work, out_taken;
	struct ring in, out;
	atomic_bool stop;   /* a wake-up signal follows, for calls that block */
	bool out_dead;	    /* nobody will ever read it */
	bool want_writable; /* the device was turned away */

	bool escaped; /* the reader's: Ctrl-A came last */
	int stop_fd;  /* readable: the reader shall end */
	pthread_t reader, writer;
	bool has_reader, has_writer;
};

static int ring_init(struct ring *r, size_t size)
{
	*r = (struct ring){.buf = malloc(size), .size = size};
	return r->buf ? 0 : -ENOMEM;
}

static size_t ring_put(struct ring *r, const u8 *buf, size_t len)
{
	size_t tail = (r->head + r->used) % r->size, first;

	if (len > r->size - r->used)
		len = r->size - r->used;
	first = len < r->size - tail ? len : r->size - tail;
	memcpy(r->buf + tail, buf, first);
	memcpy(r->buf, buf + first, len - first);
	r->used += len;
	return len;
}

/* The oldest bytes that lie in one piece. */
static size_t ring_peek(const struct ring *r, const u8 **p)
{
	size_t piece = r->size - r->head;

	*p = r->buf + r->head;
	return r->used < piece ? r->used : piece;
}

static void ring_drop(struct ring *r, size_t len)
{
	r->head = (r->head + len) % r->size;
	r->used -= len;
}

/* Bytes that left, or -errno.  A pty without anybody at the other end takes all. */
static ssize_t write_some(struct chardev *c, const u8 *buf, size_t len)
{
	struct pollfd p = {.fd = c->ends.out_fd, .events = POLLOUT};
	ssize_t n;

	while (!c->stop) {
		if (c->ends.comes_and_goes && poll(&p, 1, -1) > 0 && (p.revents & POLLHUP))
			return (ssize_t)len;
		n = write(p.fd, buf, len);
		if (n >= 0)
			return n;
		/* Whoever shares the descriptor with us may have made it non-blocking. */
		if (errno == EAGAIN)
			poll(&p, 1, -1);
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static void *writer_main(void *opaque)
{
	struct chardev *c = opaque;
	const u8 *p;
	size_t len;
	ssize_t n;

	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (!c->out.used && !c->stop)
			pthread_cond_wait(&c->out_work, &c->lock);
		if (c->stop)
			break;
		len = ring_peek(&c->out, &p);
		len = len < WRITE_CHUNK ? len : WRITE_CHUNK;
		pthread_mutex_unlock(&c->lock);
		n = write_some(c, p, len);
		pthread_mutex_lock(&c->lock);
		if (n < 0) {
			fprintf(stderr,
				"sundog: %s: cannot write: %s; the guest's output is dropped "
				"from here on\n",
				c->backend->name, strerror((int)-n));
			c->out_dead = true;
			n = (ssize_t)c->out.used;
		}
		ring_drop(&c->out, (size_t)n);
		pthread_cond_broadcast(&c->out_taken);
		if (c->want_writable && c->out.used <= OUT_SIZE / 2) {
			c->want_writable = false;
			loop_defer(c->machine->loop, &c->out_task);
		}
		if (c->out_dead)
			break;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static const char help_text[] = "\r\n"
				"Ctrl-A x       end the virtual machine\r\n"
				"Ctrl-A p       press the machine's power button\r\n"
				"Ctrl-A h       this help\r\n"
				"Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

static void press_power_button(struct machine *m)
{
	if (!machine_power_button(m))
		fputs("\r\nsundog: the guest does not listen to the power button\r\n", stderr);
}

/* Take the escapes out of what was typed, in place; returns what is left. */
static size_t filter_escapes(struct chardev *c, u8 *buf, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len; i++) {
		u8 ch = buf[i];

		if (!c->escaped && ch == ESCAPE) {
			c->escaped = true;
			continue;
		}
		if (!c->escaped || ch == ESCAPE)
			buf[kept++] = ch;
		else if (ch == 'x' || ch == 'X')
			machine_request_end(c->machine, EXIT_GUEST_OFF, "key");
		else if (ch == 'p' || ch == 'P')
			press_power_button(c->machine);
		else if (ch == 'h' || ch == 'H' || ch == '?')
			fputs(help_text, stderr);
		c->escaped = false;
	}
	return kept;
}

/* Bytes read, 0 at the end of the input or of the chardev. */
static ssize_t read_some(struct chardev *c, u8 *buf, size_t len)
{
	struct pollfd p[2] = {{.fd = c->ends.in_fd, .events = POLLIN},
			      {.fd = c->stop_fd, .events = POLLIN}};
	ssize_t n;

	while (!c->stop) {
		if (poll(p, 2, -1) < 0 || p[1].revents)
			continue;
		n = read(c->ends.in_fd, buf, len);
		if (n > 0)
			return n;
		if (c->ends.comes_and_goes) {
			/* Nobody at the other end yet, and poll() would not wait for them. */
			if (p[0].revents & POLLHUP)
				poll(p + 1, 1, 50);
		} else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
			break;
		}
	}
	return 0;
}

static void *reader_main(void *opaque)
{
	struct chardev *c = opaque;
	u8 buf[4096];
	size_t len, left;
	ssize_t n;

	for (;;) {
		pthread_mutex_lock(&c->lock);
		while (c->in.used == c->in.size && !c->stop)
			pthread_cond_wait(&c->in_room, &c->lock);
		left = c->in.size - c->in.used;
		pthread_mutex_unlock(&c->lock);

		n = read_some(c, buf, left < sizeof(buf) ? left : sizeof(buf));
		if (n <= 0)
			return NULL;
		len = (size_t)n;
		if (c->ends.terminal)
			len = filter_escapes(c, buf, len);
		pthread_mutex_lock(&c->lock);
		ring_put(&c->in, buf, len);
		pthread_mutex_unlock(&c->lock);
		if (len)
			loop_defer(c->machine->loop, &c->in_task);
	}
}

static void input_task(struct task *t)
{
	struct chardev *c = container_of(t, struct chardev, in_task);
	u8 buf[256];
	const u8 *p;
	size_t room, len;

	while (c->client.room && (room = c->client.room(c->client.opaque)) > 0) {
		pthread_mutex_lock(&c->lock);
		len = ring_peek(&c->in, &p);
		len = len < room ? len : room;
		len = len < sizeof(buf) ? len : sizeof(buf);
		memcpy(buf, p, len);
		ring_drop(&c->in, len);
		pthread_cond_signal(&c->in_room);
		pthread_mutex_unlock(&c->lock);
		if (!len)
			return;
		c->client.input(c->client.opaque, buf, len);
	}
}

static void output_task(struct task *t)
{
	struct chardev *c = container_of(t, struct chardev, out_task);

	if (c->client.writable)
		c->client.writable(c->client.opaque);
}

void chardev_attach(struct chardev *c, const struct chardev_client *client)
{
	c->client = *client;
	c->in_task.owner = client->owner;
	c->out_task.owner = client->owner;
	chardev_kick(c);
}

void chardev_detach(struct chardev *c)
{
	c->client = (struct chardev_client){0};
	loop_cancel(c->machine->loop, &c->in_task);
	loop_cancel(c->machine->loop, &c->out_task);
}

size_t chardev_write(struct chardev *c, const u8 *buf, size_t len)
{
	size_t n = len;

	if (c->ends.out_fd < 0)
		return len;
	pthread_mutex_lock(&c->lock);
	if (!c->out_dead) {
		n = ring_put(&c->out, buf, len);
		if (n < len)
			c->want_writable = true;
		pthread_cond_signal(&c->out_work);
	}
	pthread_mutex_unlock(&c->lock);
	return n;
}

void chardev_kick(struct chardev *c)
{
	bool any;

	pthread_mutex_lock(&c->lock);
	any = c->in.used > 0;
	pthread_mutex_unlock(&c->lock);
	if (any)
		loop_defer(c->machine->loop, &c->in_task);
}

static const struct chardev_backend *find_backend(const char *spec, const char **arg, struct err *e)
{
	size_t len = strcspn(spec, ":");

	*arg = spec[len] ? spec + len + 1 : NULL;
	for (int i = 0; chardev_backends[i]; i++) {
		const struct chardev_backend *b = chardev_backends[i];

		if (strlen(b->name) != len || strncmp(b->name, spec, len) != 0)
			continue;
		if (b->arg && (!*arg || !**arg)) {
			err_set(e, -EINVAL, "%s needs a value; write %s:%s", b->name, b->name,
				b->arg);
			return NULL;
		}
		if (!b->arg && *arg) {
			err_set(e, -EINVAL, "%s takes no value; write just %s", b->name, b->name);
			return NULL;
		}
		return b;
	}
	err_set(e, -EINVAL, "there is no console \"%s\"; use stdio, pty, file:PATH, socket or none",
		spec);
	return NULL;
}

static void init_conditions(struct chardev *c)
{
	pthread_condattr_t a;

	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->in_room, NULL);
	pthread_cond_init(&c->out_work, NULL);
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&c->out_taken, &a);
	pthread_condattr_destroy(&a);
}

static void on_wake(int sig)
{
}

static int start_threads(struct chardev *c)
{
	/* No SA_RESTART: it is there to interrupt. */
	struct sigaction wake = {.sa_handler = on_wake};
	size_t in_size = c->ends.terminal ? TERMINAL_IN_SIZE : PIPE_IN_SIZE;

	sigaction(SIGRTMIN + WAKE_SIGNAL, &wake, NULL);
	c->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (c->stop_fd < 0)
		return -errno;
	if (ring_init(&c->in, in_size) || ring_init(&c->out, OUT_SIZE))
		return -ENOMEM;
	if (c->ends.out_fd >= 0) {
		int r = pthread_create(&c->writer, NULL, writer_main, c);

		if (r)
			return -r;
		c->has_writer = true;
	}
	if (c->ends.in_fd >= 0) {
		int r = pthread_create(&c->reader, NULL, reader_main, c);

		if (r)
			return -r;
		c->has_reader = true;
	}
	return 0;
}

struct chardev *chardev_open(struct machine *m, const char *spec, struct err *e)
{
	const char *arg;
	const struct chardev_backend *b = find_backend(spec, &arg, e);
	struct chardev *c;
	int r;

	if (!b)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c) {
		err_set(e, -ENOMEM, "out of memory; close something");
		return NULL;
	}
	c->machine = m;
	c->backend = b;
	c->ends = (struct chardev_ends){.in_fd = -1, .out_fd = -1};
	c->in_task.fn = input_task;
	c->out_task.fn = output_task;
	c->stop_fd = -1;
	init_conditions(c);
	if (b->open(&c->ends, arg, e)) {
		free(c);
		return NULL;
	}
	r = start_threads(c);
	if (r) {
		chardev_close(c);
		err_set(e, r, "%s: cannot start its threads: %s; raise the process limit", b->name,
			strerror(-r));
		return NULL;
	}
	return c;
}

static struct timespec in_ms(clockid_t clock, unsigned ms)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_nsec += (long)ms * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static bool is_past(struct timespec t)
{
	struct timespec now = in_ms(CLOCK_MONOTONIC, 0);

	return now.tv_sec > t.tv_sec || (now.tv_sec == t.tv_sec && now.tv_nsec >= t.tv_nsec);
}

/* Give the reader of our output the time to take it, as long as it takes any. */
static void flush_locked(struct chardev *c)
{
	struct timespec end = in_ms(CLOCK_MONOTONIC, FLUSH_TOTAL_MS);

	while (c->has_writer && c->out.used && !is_past(end)) {
		struct timespec idle = in_ms(CLOCK_MONOTONIC, FLUSH_IDLE_MS);

		if (pthread_cond_timedwait(&c->out_taken, &c->lock, &idle) == ETIMEDOUT)
			break;
	}
	if (c->has_writer && c->out.used)
		fprintf(stderr, "sundog: %s: nobody read the last %zu bytes of output\n",
			c->backend->name, c->out.used);
}

/* A call that blocks comes back with EINTR; one that was just about to, by the next signal. */
static void end_thread(pthread_t t)
{
	struct timespec end = in_ms(CLOCK_REALTIME, WAKE_MS);

	while (pthread_timedjoin_np(t, NULL, &end) == ETIMEDOUT) {
		pthread_kill(t, SIGRTMIN + WAKE_SIGNAL);
		end = in_ms(CLOCK_REALTIME, WAKE_MS);
	}
}

void chardev_close(struct chardev *c)
{
	pthread_mutex_lock(&c->lock);
	flush_locked(c);
	c->stop = true;
	pthread_cond_broadcast(&c->in_room);
	pthread_cond_broadcast(&c->out_work);
	pthread_mutex_unlock(&c->lock);
	if (c->has_reader) {
		eventfd_write(c->stop_fd, 1);
		end_thread(c->reader);
	}
	if (c->has_writer)
		end_thread(c->writer);
	chardev_detach(c);
	c->backend->close(&c->ends);
	if (c->stop_fd >= 0)
		close(c->stop_fd);
	pthread_cond_destroy(&c->in_room);
	pthread_cond_destroy(&c->out_work);
	pthread_cond_destroy(&c->out_taken);
	pthread_mutex_destroy(&c->lock);
	free(c->in.buf);
	free(c->out.buf);
	free(c);
}
