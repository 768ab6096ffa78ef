/* SPDX-License-Identifier: MIT */
/* console.c - this terminal on the first serial port of a machine that runs. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chardev/term.h"
#include "cli/vm.h"
#include "sundog/unixsock.h"

enum { ESCAPE = 1 /* Ctrl-A */, LEAVE = 0x1d /* Ctrl-] */ };

struct session {
	int fd;
	bool terminal;
	bool escaped; /* Ctrl-A came last */
	bool left;    /* the user did */
	bool ended;   /* the machine's side did */
};

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static void on_end(int sig)
{
	term_restore();
	raise(sig); /* SA_RESETHAND: now it ends us */
}

static void restore_at_signals(void)
{
	struct sigaction a = {.sa_handler = on_end, .sa_flags = (int)SA_RESETHAND}, old;

	/* What was ignored when we were started, by nohup(1) say, stays ignored. */
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		if (sigaction(ending[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(ending[i], &a, NULL);
}

/* Take the keys that are ours out of what was typed; returns what is left. */
static size_t filter_keys(struct session *s, u8 *buf, size_t len)
{
	size_t kept = 0;

	for (size_t i = 0; i < len && !s->left; i++) {
		u8 ch = buf[i];

		if (ch == LEAVE || (s->escaped && (ch == 'd' || ch == 'D')))
			s->left = true;
		else if (s->escaped || ch != ESCAPE)
			buf[kept++] = ch;
		s->escaped = !s->escaped && ch == ESCAPE;
	}
	return kept;
}

static bool write_all(int fd, const u8 *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);
		struct pollfd p = {.fd = fd, .events = POLLOUT};

		if (n < 0 && errno == EAGAIN)
			poll(&p, 1, -1);
		else if (n < 0 && errno != EINTR)
			return false;
		if (n > 0) {
			buf += n;
			len -= (size_t)n;
		}
	}
	return true;
}

/* False: nothing more will come from this side. */
static bool pass_input(struct session *s)
{
	u8 buf[4096];
	ssize_t n = read(STDIN_FILENO, buf, sizeof(buf));
	size_t len;

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0) {
		shutdown(s->fd, SHUT_WR);
		return false;
	}
	len = s->terminal ? filter_keys(s, buf, (size_t)n) : (size_t)n;
	return write_all(s->fd, buf, len);
}

/* False: the machine has ended, or nobody takes what it says. */
static bool pass_output(struct session *s)
{
	u8 buf[4096];
	ssize_t n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		return write_all(STDOUT_FILENO, buf, (size_t)n);
	s->ended = n == 0 || (errno != EAGAIN && errno != EINTR);
	return !s->ended;
}

static void talk(struct session *s)
{
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			      {.fd = s->fd, .events = POLLIN}};

	while (!s->left) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents && !pass_input(s))
			p[0].fd = -1;
		if (p[1].revents && !pass_output(s))
			return;
	}
}

/* One reader too many is sent away by a machine that still listens. */
static bool still_listens(const char *path)
{
	int fd = unix_connect(path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int attach(const char *name, const char *path, struct err *e)
{
	struct session s = {0};

	if (!path)
		return err_set(e, -EPROTO, "%s does not say where its console is", name);
	s.fd = unix_connect(path);
	if (s.fd < 0)
		return err_set(e, s.fd, "cannot reach the console of %s: %s; has it ended?", name,
			       strerror(-s.fd));
	s.terminal = term_acquire(STDIN_FILENO) > 0;
	restore_at_signals();
	if (s.terminal)
		fprintf(stderr, "sundog: on the console of %s; Ctrl-A d or Ctrl-] leaves it\n",
			name);
	talk(&s);
	term_release();
	close(s.fd);
	if (s.ended && still_listens(path))
		return err_set(e, -EBUSY, "too many are on the console of %s; leave one", name);
	if (s.terminal)
		fprintf(stderr, "\nsundog: %s\n",
			s.left ? "left the console" : "the machine has ended");
	return 0;
}

static int console_main(int argc, char **argv)
{
	struct vm_args a = {0};
	struct err e = {0};
	json_t *ret;
	int status;

	if (!vm_parse(&command_console, argc, argv, 1, &a, &status))
		return vm_done(&a, status);
	ret = vm_call(a.rest.items[0], "console", NULL, &e);
	if (ret && a.json)
		vm_print_json(ret, JSON_INDENT(2));
	else if (ret)
		attach(a.rest.items[0], json_string_value(json_object_get(ret, "path")), &e);
	if (e.code)
		status = err_report(&e);
	json_decref(ret);
	return vm_done(&a, status);
}

static const struct option options[] = {
	{"json", NULL, "do not attach; tell where the console's socket is, as JSON", OPTION_FLAG,
	 offsetof(struct vm_args, json)},
	VM_OPTION_HELP,
	{NULL},
};

const struct command command_console = {
	.name = "console",
	.usage = "[OPTION]... NAME",
	.doc = "attach this terminal to a machine's console",
	.options = options,
	.help_tail = "The machine must have been started with --console socket (or --detach).\n"
		     "Keys: Ctrl-A d or Ctrl-] leaves the console and the machine running,\n"
		     "Ctrl-A Ctrl-A sends Ctrl-A.\n",
	.run = console_main,
};
