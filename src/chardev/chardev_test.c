/* SPDX-License-Identifier: MIT */
/* Tests of the chardevs on pipes and pseudo-terminals; the event loop is a fake of our own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <cmocka.h>

#include "chardev/term.h"
#include "sundog/chardev.h"
#include "sundog/err.h"
#include "sundog/loop.h"
#include "sundog/machine.h"
#include "sundog/unixsock.h"

enum { BIG = 100 << 10, PATIENCE_MS = 20000 };

/* A loop that runs tasks when asked to. */
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct task *queue[8];
static _Atomic int shutdown_asked;
static struct machine machine;

void loop_defer(struct loop *l, struct task *t)
{
	pthread_mutex_lock(&queue_lock);
	for (size_t i = 0; i < ARRAY_SIZE(queue); i++) {
		if (queue[i] == t)
			break;
		if (!queue[i]) {
			queue[i] = t;
			break;
		}
	}
	pthread_mutex_unlock(&queue_lock);
}

void loop_cancel(struct loop *l, struct task *t)
{
	pthread_mutex_lock(&queue_lock);
	for (size_t i = 0; i < ARRAY_SIZE(queue); i++)
		if (queue[i] == t)
			queue[i] = NULL;
	pthread_mutex_unlock(&queue_lock);
}

void machine_request_end(struct machine *m, int exit_code, const char *reason)
{
	shutdown_asked++;
}

bool machine_power_button(struct machine *m)
{
	return false;
}

static void run_tasks(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(queue); i++) {
		struct task *t;

		pthread_mutex_lock(&queue_lock);
		t = queue[i];
		queue[i] = NULL;
		pthread_mutex_unlock(&queue_lock);
		if (t)
			t->fn(t);
	}
}

/* A device that takes 16 bytes at a time, as a UART does. */
struct sink {
	u8 got[BIG + 16];
	size_t len, room;
	unsigned writable;
};

static size_t sink_room(void *opaque)
{
	return ((struct sink *)opaque)->room;
}

static void sink_input(void *opaque, const u8 *buf, size_t len)
{
	struct sink *s = opaque;

	assert_true(len <= s->room);
	assert_true(range_fits(s->len, len, sizeof(s->got)));
	memcpy(s->got + s->len, buf, len);
	s->len += len;
	s->room -= len;
}

static void sink_writable(void *opaque)
{
	((struct sink *)opaque)->writable++;
}

static struct sink *attach_sink(struct chardev *c)
{
	struct sink *s = calloc(1, sizeof(*s));
	struct chardev_client client = {NULL, sink_room, sink_input, sink_writable, s};

	assert_non_null(s);
	s->room = 16;
	chardev_attach(c, &client);
	return s;
}

/* Take input in small pieces until there are len bytes. */
static bool take_until(struct chardev *c, struct sink *s, size_t len)
{
	for (int ms = 0; ms < PATIENCE_MS && s->len < len; ms++) {
		size_t before = s->len;

		s->room = 16;
		chardev_kick(c);
		run_tasks();
		if (s->len == before)
			usleep(1000);
		else
			ms = 0;
	}
	return s->len >= len;
}

static void write_all(struct chardev *c, const u8 *buf, size_t len)
{
	for (int ms = 0; ms < PATIENCE_MS && len; ms++) {
		size_t n = chardev_write(c, buf, len);

		buf += n;
		len -= n;
		if (!n)
			usleep(1000);
	}
	assert_int_equal(len, 0);
}

static u8 *pattern(size_t len)
{
	u8 *p = malloc(len);

	assert_non_null(p);
	/* Printable, so that no terminal and no escape changes it. */
	for (size_t i = 0; i < len; i++)
		p[i] = (u8)('!' + (i * 7 + i / 251) % 90);
	return p;
}

/* stdin and stdout replaced for a while. */
struct redirect {
	int saved_in, saved_out;
};

static void redirect(struct redirect *r, int in, int out)
{
	fflush(NULL);
	r->saved_in = dup(STDIN_FILENO);
	r->saved_out = dup(STDOUT_FILENO);
	assert_int_equal(dup2(in, STDIN_FILENO), STDIN_FILENO);
	assert_int_equal(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
}

static void redirect_end(struct redirect *r)
{
	dup2(r->saved_in, STDIN_FILENO);
	dup2(r->saved_out, STDOUT_FILENO);
	close(r->saved_in);
	close(r->saved_out);
}

static struct chardev *open_ok(const char *spec)
{
	struct err e = {0};
	struct chardev *c = chardev_open(&machine, spec, &e);

	if (!c)
		print_error("%s: %s\n", spec, e.msg);
	assert_non_null(c);
	return c;
}

struct feeder {
	int fd;
	const u8 *buf;
	size_t len;
};

static void *feed(void *opaque)
{
	struct feeder *f = opaque;

	while (f->len) {
		ssize_t n = write(f->fd, f->buf, f->len);

		if (n < 0)
			break;
		f->buf += n;
		f->len -= (size_t)n;
	}
	return NULL;
}

static void pipes_carry_everything(void **state)
{
	int in[2], out[2];
	u8 *sent = pattern(BIG), *back = malloc(BIG);
	struct redirect r;
	struct feeder f;
	pthread_t t;
	struct chardev *c;
	struct sink *s;

	assert_int_equal(pipe(in) | pipe(out), 0);
	redirect(&r, in[0], out[1]);
	c = open_ok("stdio");
	s = attach_sink(c);
	f = (struct feeder){in[1], sent, BIG};
	pthread_create(&t, NULL, feed, &f);
	assert_true(take_until(c, s, BIG));
	assert_memory_equal(s->got, sent, BIG);
	pthread_join(t, NULL);

	/* The end of the input is not the end of the chardev. */
	close(in[1]);
	usleep(20000);
	for (size_t done = 0, put = 0; done < BIG;) {
		ssize_t n;

		put += chardev_write(c, sent + put, BIG - put);
		n = read(out[0], back + done, BIG - done);
		assert_true(n > 0);
		done += (size_t)n;
	}
	assert_memory_equal(back, sent, BIG);
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(shutdown_asked, 0);
	chardev_close(c);
	redirect_end(&r);
	close(in[0]);
	close(out[0]);
	close(out[1]);
	free(s);
	free(sent);
	free(back);
}

static void slow_reader_blocks_nobody(void **state)
{
	int in[2], out[2];
	u8 *data = pattern(BIG), *back = malloc(4 * BIG);
	size_t total = 0, n;
	struct redirect r;
	struct chardev *c;
	struct sink *s;

	assert_int_equal(pipe(in) | pipe(out), 0);
	redirect(&r, in[0], out[1]);
	c = open_ok("stdio");
	s = attach_sink(c);
	/* Nobody reads: soon it takes no more, and says so at once. */
	for (int idle = 0; idle < 50;) {
		n = chardev_write(c, data, 1000);
		total += n;
		if (n) {
			idle = 0;
		} else {
			idle++;
			usleep(1000);
		}
	}
	assert_true(total < 4 * BIG);
	/* It was told when the pipe took some; from here on only a reader makes room. */
	run_tasks();
	s->writable = 0;
	/* Somebody reads: the device hears of it. */
	for (int ms = 0; ms < PATIENCE_MS && !s->writable; ms++) {
		struct pollfd p = {out[0], POLLIN, 0};

		if (poll(&p, 1, 1) > 0)
			assert_true(read(out[0], back, 4096) > 0);
		run_tasks();
	}
	assert_true(s->writable > 0);
	/* Closing with a reader that sleeps gives up after a while. */
	chardev_close(c);
	redirect_end(&r);
	close(in[0]);
	close(in[1]);
	close(out[0]);
	close(out[1]);
	free(s);
	free(data);
	free(back);
}

static void close_flushes(void **state)
{
	int in[2], out[2];
	u8 *data = pattern(60000), *back = malloc(60000);
	struct redirect r;
	struct chardev *c;

	assert_int_equal(pipe(in) | pipe(out), 0);
	redirect(&r, in[0], out[1]);
	c = open_ok("stdio");
	write_all(c, data, 60000);
	chardev_close(c);
	redirect_end(&r);
	close(out[1]);
	for (size_t done = 0; done < 60000;) {
		ssize_t n = read(out[0], back + done, 60000 - done);

		assert_true(n > 0);
		done += (size_t)n;
	}
	assert_memory_equal(back, data, 60000);
	close(in[0]);
	close(in[1]);
	close(out[0]);
	free(data);
	free(back);
}

static void broken_pipe_is_survived(void **state)
{
	int in[2], out[2], log[2], saved_err;
	char text[512] = "";
	u8 *data = pattern(1000);
	struct redirect r;
	struct chardev *c;

	assert_int_equal(pipe(in) | pipe(out) | pipe(log), 0);
	redirect(&r, in[0], out[1]);
	saved_err = dup(STDERR_FILENO);
	dup2(log[1], STDERR_FILENO);
	close(out[0]);
	c = open_ok("stdio");
	close(out[1]);
	for (int i = 0; i < 200; i++) {
		write_all(c, data, 1000);
		usleep(100);
	}
	chardev_close(c);
	dup2(saved_err, STDERR_FILENO);
	close(saved_err);
	close(log[1]);
	assert_true(read(log[0], text, sizeof(text) - 1) > 0);
	redirect_end(&r);
	assert_non_null(strstr(text, "cannot write"));
	/* Once. */
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	close(in[0]);
	close(in[1]);
	close(log[0]);
	free(data);
}

static bool is_raw(int fd)
{
	struct termios t;

	assert_int_equal(tcgetattr(fd, &t), 0);
	return !(t.c_lflag & (ICANON | ECHO | ISIG));
}

static void terminal_has_escapes(void **state)
{
	u8 *sent = pattern(BIG);
	int master, slave;
	struct redirect r;
	struct feeder f;
	struct chardev *c;
	struct sink *s;
	pthread_t t;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	redirect(&r, slave, slave);
	assert_false(is_raw(slave));
	c = open_ok("stdio");
	assert_true(is_raw(slave));
	s = attach_sink(c);
	assert_int_equal(write(master, "a\001\001b\001qc\003", 8), 8);
	assert_true(take_until(c, s, 5));
	assert_memory_equal(s->got, "a\001bc\003", 5);

	/* A paste. */
	s->len = 0;
	f = (struct feeder){master, sent, BIG};
	pthread_create(&t, NULL, feed, &f);
	assert_true(take_until(c, s, BIG));
	pthread_join(t, NULL);
	assert_memory_equal(s->got, sent, BIG);

	/* Quitting works while the guest takes nothing. */
	s->room = 0;
	f = (struct feeder){master, sent, BIG};
	feed(&f);
	assert_int_equal(shutdown_asked, 0);
	assert_int_equal(write(master, "\001x", 2), 2);
	for (int ms = 0; ms < PATIENCE_MS && !shutdown_asked; ms++)
		usleep(1000);
	assert_int_equal(shutdown_asked, 1);
	shutdown_asked = 0;
	chardev_close(c);
	assert_false(is_raw(slave));
	redirect_end(&r);
	close(master);
	close(slave);
	free(s);
	free(sent);
}

/* Fork a child with a raw terminal that waits; returns its pid. */
static pid_t raw_child(int *master, int *keep)
{
	int slave, ready[2];
	pid_t pid;
	char byte;

	assert_int_equal(openpty(master, &slave, NULL, NULL, NULL) | pipe(ready), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		alarm(60);
		login_tty(dup(slave));
		/* A session leader in the foreground: stopping it is allowed for a child only. */
		if (fork() > 0) {
			int st;

			signal(SIGHUP, SIG_IGN);
			signal(SIGTERM, SIG_IGN);
			while (wait(&st) < 0)
				;
			_exit(0);
		}
		if (term_acquire(STDIN_FILENO) != 1)
			_exit(1);
		dprintf(ready[1], "%d\n", getpid());
		for (;;)
			pause();
	}
	close(ready[1]);
	*keep = slave;
	{
		char text[32] = "";
		size_t n = 0;

		while (n < sizeof(text) - 1 && read(ready[0], &byte, 1) == 1 && byte != '\n')
			text[n++] = byte;
		close(ready[0]);
		pid = atoi(text);
	}
	assert_true(pid > 0);
	return pid;
}

static bool wait_raw(int fd, bool raw)
{
	for (int ms = 0; ms < PATIENCE_MS && is_raw(fd) != raw; ms++)
		usleep(1000);
	return is_raw(fd) == raw;
}

static void signals_restore_terminal(void **state)
{
	static const int signals[] = {SIGSEGV, SIGABRT, SIGQUIT, SIGBUS, SIGFPE, SIGILL};

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		int master, slave;
		pid_t pid = raw_child(&master, &slave);

		assert_true(is_raw(slave));
		kill(pid, signals[i]);
		assert_true(wait_raw(slave, false));
		kill(pid, SIGKILL);
		close(master);
		close(slave);
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void stop_and_continue(void **state)
{
	int master, slave;
	pid_t pid = raw_child(&master, &slave);

	kill(pid, SIGTSTP);
	assert_true(wait_raw(slave, false));
	kill(pid, SIGCONT);
	assert_true(wait_raw(slave, true));
	kill(pid, SIGTERM);
	kill(pid, SIGKILL);
	close(master);
	close(slave);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void file_takes_output(void **state)
{
	char path[] = "/tmp/sundog-chardev-XXXXXX", spec[64], back[8] = "";
	int fd = mkstemp(path);
	struct chardev *c;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "old", 3), 3);
	snprintf(spec, sizeof(spec), "file:%s", path);
	c = open_ok(spec);
	write_all(c, (const u8 *)"new!", 4);
	chardev_close(c);
	assert_int_equal(pread(fd, back, sizeof(back), 0), 4);
	assert_string_equal(back, "new!");
	close(fd);
	unlink(path);
}

static void nowhere_takes_all(void **state)
{
	struct chardev *c = open_ok("none");

	assert_int_equal(chardev_write(c, (const u8 *)"abc", 3), 3);
	chardev_close(c);
}

static void pty_comes_and_goes(void **state)
{
	int log[2], saved_err, fd;
	u8 *data = pattern(BIG);
	char text[256] = "", *name;
	struct chardev *c;
	struct sink *s;
	u8 back[16];

	assert_int_equal(pipe(log), 0);
	saved_err = dup(STDERR_FILENO);
	dup2(log[1], STDERR_FILENO);
	c = open_ok("pty");
	dup2(saved_err, STDERR_FILENO);
	close(saved_err);
	assert_true(read(log[0], text, sizeof(text) - 1) > 0);
	name = strstr(text, "/dev/");
	assert_non_null(name);
	name[strcspn(name, "\n")] = 0;
	s = attach_sink(c);
	/* Nobody there: it all goes nowhere. */
	write_all(c, data, BIG);
	for (int round = 0; round < 2; round++) {
		fd = open(name, O_RDWR | O_NOCTTY);
		assert_true(fd >= 0);
		s->len = 0;
		assert_int_equal(write(fd, "hello", 5), 5);
		assert_true(take_until(c, s, 5));
		assert_memory_equal(s->got, "hello", 5);
		tcflush(fd, TCIFLUSH);
		write_all(c, (const u8 *)"world", 5);
		assert_true(read(fd, back, sizeof(back)) > 0);
		close(fd);
	}
	chardev_close(c);
	close(log[0]);
	close(log[1]);
	free(s);
	free(data);
}

static bool read_all(int fd, u8 *buf, size_t len)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	while (len) {
		ssize_t n;

		if (poll(&p, 1, PATIENCE_MS) <= 0)
			return false;
		n = read(fd, buf, len);
		if (n == 0)
			return false;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* One that reads nothing, one that comes late, one that leaves while it types. */
static void socket_readers_come_and_go(void **state)
{
	enum { HISTORY = 64 << 10 };
	char dir[] = "/tmp/sdcXXXXXX", spec[64];
	u8 *sent = pattern(BIG), *back = malloc(BIG), end;
	int deaf, late;
	struct chardev *c;
	struct sink *s;

	assert_non_null(mkdtemp(dir));
	snprintf(spec, sizeof(spec), "socket:%s/c", dir);
	c = open_ok(spec);
	s = attach_sink(c);
	deaf = unix_connect(spec + 7);
	assert_true(deaf >= 0);
	for (int i = 0; i < 10; i++)
		write_all(c, sent, BIG);
	/* All of it has gone by when a typed byte comes back behind it. */
	assert_int_equal(write(deaf, "x", 1), 1);
	close(deaf);
	assert_true(take_until(c, s, 1));
	assert_int_equal(s->got[0], 'x');
	late = unix_connect(spec + 7);
	assert_true(late >= 0);
	write_all(c, (const u8 *)"\n", 1);
	/* The last 64 KiB, of which the newest may come a little later. */
	assert_true(read_all(late, back, HISTORY));
	while (back[HISTORY - 1] != '\n' || back[HISTORY - 2] != sent[BIG - 1]) {
		memmove(back, back + 1, HISTORY - 1);
		assert_true(read_all(late, back + HISTORY - 1, 1));
	}
	assert_memory_equal(back, sent + BIG - HISTORY + 1, HISTORY - 1);
	assert_int_equal(write(late, "typed", 5), 5);
	assert_true(take_until(c, s, 6));
	assert_memory_equal(s->got, "xtyped", 6);
	write_all(c, (const u8 *)"bye", 3);
	chardev_close(c);
	assert_true(read_all(late, back, 3));
	assert_memory_equal(back, "bye", 3);
	assert_false(read_all(late, &end, 1));
	assert_int_equal(access(spec + 7, F_OK), -1);
	close(late);
	assert_int_equal(rmdir(dir), 0);
	free(s);
	free(sent);
	free(back);
}

static void bad_specs(void **state)
{
	static const char *const bad[] = {
		"", "stdin", "file", "file:", "socket", "pty:x", "stdio:1"};
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_null(chardev_open(&machine, bad[i], &e));
		assert_int_equal(e.code, -EINVAL);
	}
	assert_null(chardev_open(&machine, "file:/nonexistent/x", &e));
	assert_non_null(strstr(e.msg, "/nonexistent/x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pipes_carry_everything),
		cmocka_unit_test(slow_reader_blocks_nobody),
		cmocka_unit_test(close_flushes),
		cmocka_unit_test(broken_pipe_is_survived),
		cmocka_unit_test(terminal_has_escapes),
		cmocka_unit_test(signals_restore_terminal),
		cmocka_unit_test(stop_and_continue),
		cmocka_unit_test(file_takes_output),
		cmocka_unit_test(nowhere_takes_all),
		cmocka_unit_test(pty_comes_and_goes),
		cmocka_unit_test(socket_readers_come_and_go),
		cmocka_unit_test(bad_specs),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
