/* SPDX-License-Identifier: MIT */
/* Parsing a command line by a table of options. */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config.h"
#include "cli/options.h"
#include "sundog/err.h"
#include "sundog/opts.h"

int strlist_add(struct strlist *l, const char *s)
{
	const char **items = realloc(l->items, (l->n + 2) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	l->items = items;
	items[l->n++] = s;
	items[l->n] = NULL;
	return 0;
}

int strlist_insert(struct strlist *l, const char *s)
{
	int r = strlist_add(l, s);

	if (r)
		return r;
	memmove(l->items + 1, l->items, (l->n - 1) * sizeof(*l->items));
	l->items[0] = s;
	return 0;
}

void strlist_free(struct strlist *l)
{
	free(l->items);
	*l = (struct strlist){0};
}

const char *option_nearest(const struct option *table, const char *name)
{
	const char *names[64];
	size_t n = 0;

	for (const struct option *o = table; o->name && n < ARRAY_SIZE(names) - 1; o++)
		names[n++] = o->name;
	names[n] = NULL;
	return nearest(name, names);
}

static int unknown_option(const struct option *table, const char *name, size_t len, struct err *e)
{
	char *given = strndup(name, len);
	const char *near = given ? option_nearest(table, given) : NULL;

	if (near)
		err_set(e, -EINVAL, "unknown option --%s; did you mean --%s?", given, near);
	else
		err_set(e, -EINVAL, "unknown option --%.*s; --help lists them all", (int)len, name);
	free(given);
	return -EINVAL;
}

const struct option *option_find(const struct option *table, const char *name, size_t len)
{
	for (const struct option *o = table; o->name; o++)
		if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

int option_set(const struct option *table, const struct option *o, const char *value, void *obj,
	       struct err *e)
{
	char *p = (char *)obj + o->offset;
	u64 n;

	switch (o->kind) {
	case OPTION_FLAG: *(bool *)p = true; return 0;
	case OPTION_STR:
	case OPTION_ADDR: *(const char **)p = value; return 0;
	case OPTION_SIZE:
		if (parse_size(value, (u64 *)p))
			return err_set(e, -EINVAL,
				       "--%s %s is not a size; write it like 512M or 2G", o->name,
				       value);
		return 0;
	case OPTION_NUM:
		if (parse_u64(value, &n) || n > UINT_MAX)
			return err_set(e, -EINVAL, "--%s %s is not a number; write it like 4",
				       o->name, value);
		*(unsigned *)p = (unsigned)n;
		return 0;
	case OPTION_LIST:
		if (strlist_add((struct strlist *)p, value))
			return err_set(e, -ENOMEM, "out of memory; close something");
		return 0;
	case OPTION_FILE: return config_read(table, value, obj, (struct config *)p, e);
	}
	return 0;
}

/* "1234", ":1234", "host:1234": a file to boot hardly looks like this. */
static bool looks_like_address(const char *s)
{
	const char *colon;
	size_t digits;

	if (!s || s[0] == '-' || strchr(s, '/'))
		return false;
	colon = strrchr(s, ':');
	s = colon ? colon + 1 : s;
	digits = strspn(s, "0123456789");
	return digits > 0 && !s[digits];
}

static const struct option *find_letter(const struct option *table, char letter)
{
	if (letter == 'h') /* for all */
		return option_find(table, "help", strlen("help"));
	for (const struct option *o = table; o->name; o++)
		if (o->letter == letter)
			return o;
	return NULL;
}

/* Handles argv[0], perhaps with argv[1]; returns how many it used, or -errno. */
static int parse_one(const struct option *table, int argc, char **argv, void *obj, struct err *e)
{
	const char *name = argv[0] + 2, *value = NULL;
	size_t len = strcspn(name, "=");
	const struct option *o;
	int used = 1, r;

	if (argv[0][1] != '-') {
		o = argv[0][2] ? NULL : find_letter(table, argv[0][1]);
		name += strlen(name);
		len = 0;
		if (!o)
			return err_set(e, -EINVAL,
				       "unknown option %s; options begin with --, see --help",
				       argv[0]);
	} else {
		o = option_find(table, name, len);
		if (!o)
			return unknown_option(table, name, len, e);
	}
	if (name[len])
		value = name + len + 1;
	if (!o->arg && value)
		return err_set(e, -EINVAL, "--%s takes no value; write just --%s", o->name,
			       o->name);
	if (o->kind == OPTION_ADDR && !value) {
		value = o->dflt;
		if (argc > 1 && looks_like_address(argv[1]))
			value = argv[used++];
	} else if (o->arg && !value) {
		if (argc < 2)
			return err_set(e, -EINVAL, "--%s needs a value; write --%s %s", o->name,
				       o->name, o->arg);
		value = argv[used++];
	}
	r = option_set(table, o, value, obj, e);
	return r ? r : used;
}

int options_parse(const struct option *table, int argc, char **argv, void *obj,
		  struct strlist *rest, struct err *e)
{
	bool only_rest = false;
	int i = 0, r;

	while (i < argc) {
		if (!only_rest && strcmp(argv[i], "--") == 0) {
			only_rest = true;
			i++;
		} else if (only_rest || argv[i][0] != '-' || !argv[i][1] ||
			   isdigit((u8)argv[i][1])) {
			if (strlist_add(rest, argv[i++]))
				return err_set(e, -ENOMEM, "out of memory; close something");
		} else {
			r = parse_one(table, argc - i, argv + i, obj, e);
			if (r < 0)
				return r;
			i += r;
		}
	}
	return 0;
}
