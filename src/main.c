/* SPDX-License-Identifier: MIT */
/* Picks the subcommand. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "sundog/err.h"
#include "sundog/opts.h"

/*
 * Were one of the three standard descriptors closed, the next file we open would take its
 * place, and the guest's output would go there.
 */
static void hold_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static int unknown_command(const char *name)
{
	const char *names[64], *near;
	struct err e;
	size_t n = 0;

	for (; commands[n] && n < ARRAY_SIZE(names) - 3; n++)
		names[n] = commands[n]->name;
	names[n++] = "--help";
	names[n++] = "--version";
	names[n] = NULL;
	near = nearest(name, names);
	if (near)
		err_set(&e, -EINVAL, "unknown command %s; did you mean %s?", name, near);
	else
		err_set(&e, -EINVAL, "unknown command %s; see sundog --help", name);
	return err_report(&e);
}

static const struct command *find_command(const char *name)
{
	for (int i = 0; commands[i]; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

/* "sundog help img create" is "sundog img create --help". */
static int help_on(int argc, char **argv)
{
	const struct command *c = find_command(argv[0]);
	char *args[] = {argc > 1 ? argv[1] : "--help", "--help"};

	return c ? c->run(argc > 1 ? 2 : 1, args) : unknown_command(argv[0]);
}

int main(int argc, char **argv)
{
	const struct command *c;

	hold_standard_fds();
	/* A reader that goes away is an error of one write(), not the end of the machine. */
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
		puts("sundog " SUNDOG_VERSION);
		return 0;
	}
	if (strcmp(argv[1], "help") == 0 && argc > 2)
		return help_on(argc - 2, argv + 2);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		print_help(stdout);
		return 0;
	}
	c = find_command(argv[1]);
	if (!c)
		return unknown_command(argv[1]);
	return c->run(argc - 2, argv + 2);
}
