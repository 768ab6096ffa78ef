/* SPDX-License-Identifier: MIT */
/* manage.c - how a machine is reached while it runs: name, control socket, console, detaching. */
#include "cli/manage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sundog/err.h"

/* --- detaching -------------------------------------------------------------------------- */

/* The other process runs, and has said its name; or it has failed, and has said why. */
static void wait_for_machine(int fd, pid_t pid)
{
	char text[RUN_NAME_MAX + 2];
	ssize_t n;
	int status = EXIT_HOST << 8; /* if somebody ignores SIGCHLD, nobody knows */

	do
		n = read(fd, text, sizeof(text));
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		fwrite(text, 1, (size_t)n, stdout);
		exit(fflush(stdout) ? EXIT_HOST : 0);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_HOST);
}

int manage_detach(struct managed *g, struct err *e)
{
	int fds[2];
	pid_t pid;

	g->ready_fd = -1;
	g->taken.lock_fd = -1;
	if (!g->detach)
		return 0;
	if (pipe2(fds, O_CLOEXEC))
		return err_set(e, -errno, "cannot make a pipe: %s; raise the limits",
			       strerror(errno));
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return err_set(e, -errno, "cannot start a process: %s; raise the limits",
			       strerror(errno));
	if (pid > 0) {
		close(fds[1]);
		wait_for_machine(fds[0], pid);
	}
	close(fds[0]);
	setsid();
	g->ready_fd = fds[1];
	return 0;
}

/* Standard input, output and error to nowhere and to NAME.log. */
static int let_go(const struct managed *g, struct err *e)
{
	char log[RUN_PATH_MAX];
	int in, out, r = run_path(log, g->taken.name, "log", e);

	if (r)
		return r;
	in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		r = err_set(e, -EIO, "cannot write %s: %s; set SUNDOG_RUN_DIR", log,
			    strerror(errno));
	else if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
		 dup2(out, STDERR_FILENO) < 0)
		r = err_set(e, -errno, "cannot let go of the terminal: %s", strerror(errno));
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return r;
}

int manage_ready(struct managed *g, struct err *e)
{
	int r = g->detach ? let_go(g, e) : 0;

	if (r == 0 && g->detach && dprintf(g->ready_fd, "%s\n", g->taken.name) < 0)
		r = err_set(e, -errno, "whoever started this machine is gone");
	if (g->ready_fd >= 0)
		close(g->ready_fd);
	g->ready_fd = -1;
	return r;
}

/* --- name and sockets ------------------------------------------------------------------- */

static bool wants_socket(const struct managed *g)
{
	return !g->where || strcmp(g->where, "none") != 0;
}

/* The machine's name, unless the user says one, comes from here. */
static const char *what_boots(const struct machine_cfg *cfg)
{
	return cfg->kernel ? cfg->kernel : cfg->disks && cfg->disks[0] ? cfg->disks[0] : "vm";
}

static int claim(struct managed *g, const struct machine_cfg *cfg, struct err *e)
{
	int r = g->name ? run_claim(&g->taken, g->name, e)
			: run_claim_for(&g->taken, what_boots(cfg), e);

	if (r || !wants_socket(g))
		return r;
	if (!g->where)
		return run_path(g->socket, g->taken.name, "sock", e);
	if (strlen(g->where) >= sizeof(g->socket))
		return err_set(e, -EINVAL, "--control: the path is too long; use a shorter one");
	strcpy(g->socket, g->where);
	return 0;
}

/* What nobody asked for must not keep a machine from running. */
static int go_without(const struct managed *g, struct err *e)
{
	if (g->needed)
		return e->code;
	fprintf(stderr, "sundog: no control socket: %s\n", e->msg);
	*e = (struct err){0};
	return 0;
}

int manage_claim(struct managed *g, struct machine_cfg *cfg, struct err *e)
{
	const char *spec = cfg->console ? cfg->console : g->detach ? "socket" : "stdio";
	bool socket = strcmp(spec, "socket") == 0;

	g->needed = g->name || g->where || g->detach || socket;
	cfg->console = spec;
	if (g->detach && strcmp(spec, "stdio") == 0)
		return err_set(e, -EINVAL,
			       "--detach lets go of the terminal that --console stdio "
			       "needs; leave one out");
	if (!wants_socket(g) && !g->name && !socket && !g->detach)
		return 0;
	if (claim(g, cfg, e)) {
		run_release(&g->taken);
		g->socket[0] = '\0';
		return go_without(g, e);
	}
	if (socket) {
		char path[RUN_PATH_MAX];

		if (run_path(path, g->taken.name, "console", e))
			return e->code;
		snprintf(g->console, sizeof(g->console), "socket:%s", path);
		cfg->console = g->console;
	}
	return 0;
}

int manage_start(struct managed *g, struct machine *m, struct err *e)
{
	const char *spec = m->cfg->console;
	struct control_cfg cfg = {.name = g->taken.name, .path = g->socket};

	if (!g->socket[0])
		return 0;
	if (spec && strncmp(spec, "socket:", 7) == 0)
		cfg.console = spec + 7;
	g->control = control_start(m, &cfg, e);
	return g->control ? 0 : go_without(g, e);
}

void manage_stop(struct managed *g)
{
	control_stop(g->control);
}

void manage_free(struct managed *g)
{
	/* Who waits for the end of its connection finds the name free. */
	run_release(&g->taken);
	control_free(g->control);
	g->control = NULL;
	if (g->ready_fd >= 0)
		close(g->ready_fd);
	g->ready_fd = -1;
}
