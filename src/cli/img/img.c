/* SPDX-License-Identifier: MIT */
/* img.c - sundog img: the table of its subcommands, and which one is meant. */
#include "cli/img/img.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sundog/opts.h"

static const struct img_command *const table[] = {
	&img_create, &img_info,	    &img_check, &img_convert, &img_resize,
	&img_commit, &img_snapshot, &img_map,	&img_compare, &img_rebase,
};

static void print_list(FILE *f)
{
	fputs("Usage: sundog img COMMAND [OPTION]... FILE...\n"
	      "\n"
	      "Make disk images, look at them and change them; no machine may be using them.\n"
	      "\n"
	      "Commands:\n",
	      f);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		fprintf(f, "  %-10s %s\n", table[i]->c.name + strlen("img "), table[i]->c.doc);
	fputs("\n"
	      "  --help     this text; after a command, that command's options\n"
	      "\n"
	      "Examples:\n"
	      "  sundog img create disk.qcow2 20G                        an empty disk\n"
	      "  sundog img convert disk.raw disk.qcow2 --compressed     another format\n"
	      "  sundog img create --backing base.qcow2 today.qcow2      what changes, only\n"
	      "  sundog img check disk.qcow2                             is it sound?\n",
	      f);
}

static int unknown(const char *name)
{
	const char *names[ARRAY_SIZE(table) + 1] = {NULL}, *near;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		names[i] = table[i]->c.name + strlen("img ");
	near = nearest(name, names);
	err_set(&e, -EINVAL, "unknown command img %s; %s%s%s", name,
		near ? "did you mean img " : "see sundog img --help", near ? near : "",
		near ? "?" : "");
	return err_report(&e);
}

static int check_count(const struct img_command *c, const struct img_args *a, struct err *e)
{
	if (a->rest.n < c->min_args)
		return err_set(e, -EINVAL, "too little; write sundog %s %s", c->c.name, c->c.usage);
	if (a->rest.n > c->max_args)
		return err_set(e, -EINVAL, "%s is one too many; write sundog %s %s",
			       a->rest.items[c->max_args], c->c.name, c->c.usage);
	return 0;
}

static int run(const struct img_command *c, int argc, char **argv)
{
	struct img_args a = {0};
	struct err e = {0};
	int r = options_parse(c->c.options, argc, argv, &a, &a.rest, &e);

	if (r == 0 && a.help) {
		print_command_help(&c->c, stdout);
	} else {
		if (r == 0)
			r = check_count(c, &a, &e);
		if (r == 0)
			r = c->run(&a, &e);
		if (fflush(stdout) && r >= 0)
			r = err_set(&e, -errno, "cannot write the output: %s; where does it go?",
				    strerror(errno));
	}
	if (r < 0) {
		int status = err_report(&e);

		r = c->error_status ? c->error_status : status;
	}
	strlist_free(&a.create_options);
	strlist_free(&a.rest);
	return r;
}

static int img_main(int argc, char **argv)
{
	if (argc < 1) {
		print_list(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h") || !strcmp(argv[0], "help")) {
		print_list(stdout);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(table[i]->c.name + strlen("img "), argv[0]) == 0)
			return run(table[i], argc - 1, argv + 1);
	return unknown(argv[0]);
}

const struct command command_img = {
	.name = "img",
	.usage = "COMMAND [OPTION]... FILE...",
	.doc = "make, look at, convert and change disk images",
	.run = img_main,
};
