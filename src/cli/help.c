/* SPDX-License-Identifier: MIT */
/* --help, from the tables of commands and options; and how an error is reported. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "sundog/err.h"

enum { DOC_COLUMN = 26 };

int err_status(int code)
{
	switch (code) {
	case -EINVAL: return EXIT_USAGE;
	case -ENOENT:
	case -EACCES:
	case -EISDIR:
	case -ENOTDIR:
	case -ENAMETOOLONG:
	case -ELOOP:
	case -ENOEXEC:
	case -EFBIG: return EXIT_INPUT;
	case -EOPNOTSUPP:
	case -ENODEV: return EXIT_CANNOT;
	default: return EXIT_HOST;
	}
}

int err_report(const struct err *e)
{
	fprintf(stderr, "sundog: %s\n", e->msg);
	return err_status(e->code);
}

/* One option; further lines of its text are set under the first. */
static void print_option(const struct option *o, FILE *f)
{
	const char *doc = o->doc;
	int n = fprintf(f, "  --%s", o->name);

	if (o->kind == OPTION_ADDR)
		n += fprintf(f, " [%s]", o->arg);
	else if (o->arg)
		n += fprintf(f, " %s", o->arg);
	if (o->letter)
		n += fprintf(f, ", -%c", o->letter);
	if (n >= DOC_COLUMN) {
		fputc('\n', f);
		n = 0;
	}
	while (*doc) {
		size_t len = strcspn(doc, "\n");

		fprintf(f, "%*s%.*s\n", DOC_COLUMN - n, "", (int)len, doc);
		n = 0;
		doc += len + (doc[len] == '\n');
	}
}

void print_command_help(const struct command *c, FILE *f)
{
	fprintf(f, "Usage: sundog %s %s\n\n%s\n\nOptions:\n", c->name, c->usage, c->doc);
	for (const struct option *o = c->options; o->name; o++)
		print_option(o, f);
	fprintf(f, "\n%s", c->help_tail);
}

void print_help(FILE *f)
{
	fputs("Sundog runs an unmodified operating system on a second machine beside the real\n"
	      "one, without needing hardware virtualization.\n"
	      "\n"
	      "Usage: sundog COMMAND [OPTION]...\n"
	      "\n"
	      "Commands:\n",
	      f);
	for (int i = 0; commands[i]; i++)
		fprintf(f, "  %-10s %s\n", commands[i]->name, commands[i]->doc);
	fputs("\n"
	      "  --help     this text; after a command, that command's options\n"
	      "  --version  the version\n"
	      "\n"
	      "Examples:\n"
	      "  sundog run vmlinuz --initrd initrd.img     boot Linux, console on this terminal\n"
	      "  sundog run --memory 1G --cpus 4 vmlinuz    more of everything\n"
	      "  sundog run hobby-os.elf                    a multiboot or PVH kernel\n"
	      "  sundog img create disk.qcow2 20G           an empty disk\n"
	      "  sundog doctor                              what this host can do\n"
	      "\n"
	      "On the terminal: Ctrl-A x quits, Ctrl-A h helps.\n",
	      f);
}
