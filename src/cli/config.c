/* SPDX-License-Identifier: MIT */
/* Options from a YAML file: the events of libyaml against the table of options. */
#include "cli/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "cli/readfile.h"
#include "sundog/err.h"

/* A machine takes some lines; whoever names a disk image by mistake should hear it at once. */
enum { MAX_FILE = 256 << 10, MAX_OPTIONS = 128 };

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one being looked at */
	const char *name;
	char *dir; /* of the file: "" or ending in a slash */
	const struct option *table;
	bool seen[MAX_OPTIONS];
	void *obj;
	struct config *config;
	struct err *e;
};

static int no_memory(struct err *e)
{
	return err_set(e, -ENOMEM, "out of memory; close something");
}

/* An error at a place in the file. */
static int printf_fmt(3) wrong(struct reader *r, const yaml_mark_t *at, const char *fmt, ...)
{
	char text[200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return err_set(r->e, -EINVAL, "%s:%zu:%zu: %s", r->name, at->line + 1, at->column + 1,
		       text);
}

/* An error at the event being looked at. */
#define wrong_here(r, ...) wrong(r, &(r)->event.start_mark, __VA_ARGS__)

static int syntax_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;

	if (p->error == YAML_MEMORY_ERROR)
		return no_memory(r->e);
	if (p->error == YAML_READER_ERROR)
		return err_set(r->e, -EINVAL, "%s: %s at byte %zu; is it a text file?", r->name,
			       p->problem, p->problem_offset);
	return wrong(r, &p->problem_mark, "%s; see the examples in sundog(1)", p->problem);
}

/* The next event, without what we take from nobody. */
static int take(struct reader *r)
{
	const yaml_event_t *v = &r->event;
	const void *anchor = NULL, *tag = NULL;

	yaml_event_delete(&r->event);
	if (!yaml_parser_parse(&r->parser, &r->event))
		return syntax_error(r);
	switch (v->type) {
	case YAML_ALIAS_EVENT: anchor = v->data.alias.anchor; break;
	case YAML_SCALAR_EVENT:
		anchor = v->data.scalar.anchor;
		tag = v->data.scalar.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = v->data.sequence_start.anchor;
		tag = v->data.sequence_start.tag;
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = v->data.mapping_start.anchor;
		tag = v->data.mapping_start.tag;
		break;
	default: break;
	}
	if (anchor)
		return wrong_here(r, "anchors and aliases are not taken; write it out");
	if (tag)
		return wrong_here(r, "tags are not taken; leave it out");
	return 0;
}

static const char *scalar(const struct reader *r)
{
	return (const char *)r->event.data.scalar.value;
}

static bool is_plain(const struct reader *r, const char *const *words)
{
	if (r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (; *words; words++)
		if (strcmp(scalar(r), *words) == 0)
			return true;
	return false;
}

static bool is_true(const struct reader *r)
{
	return is_plain(r, (const char *const[]){"true", "True", "TRUE", NULL});
}

static bool is_false(const struct reader *r)
{
	return is_plain(r, (const char *const[]){"false", "False", "FALSE", NULL});
}

/* That the event is a scalar with something in it. */
static int check_scalar(struct reader *r, const char *key)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};

	if (r->event.type != YAML_SCALAR_EVENT)
		return wrong_here(r, "%s takes one value here, not a list or mapping", key);
	if (is_plain(r, nulls))
		return wrong_here(r, "%s has no value; give it one, or leave it out", key);
	if (strlen(scalar(r)) != r->event.data.scalar.length)
		return wrong_here(r, "%s has a NUL byte in its value; take it out", key);
	return 0;
}

/* Owned by the config from here on, also on failure; NULL is taken for no memory. */
static const char *keep(struct reader *r, char *s)
{
	if (s && !strlist_add(&r->config->strings, s))
		return s;
	free(s);
	no_memory(r->e);
	return NULL;
}

/* "a,b" is "a,,b" within a spec. */
static void put_doubled(const char *s, FILE *f)
{
	for (; *s; s++) {
		fputc(*s, f);
		if (*s == ',')
			fputc(',', f);
	}
}

/* --- paths ---------------------------------------------------------------------------- */

/* "none" is what options call no file; one that is called so can be written "./none". */
static bool is_relative(const char *path)
{
	return *path && *path != '/' && strcmp(path, "none") != 0;
}

static bool is_path_key(const struct option *o, const char *item, size_t len)
{
	const char *eq = memchr(item, '=', len), *k = o->path_keys;

	/* "on" is what a word without a value means. */
	if (!k || !eq || (item + len - eq == 3 && strncmp(eq, "=on", 3) == 0) ||
	    (item + len - eq == 4 && strncmp(eq, "=off", 4) == 0))
		return false;
	while (*k) {
		size_t n = strcspn(k, " ");

		if (n == eq - item && strncmp(k, item, n) == 0)
			return is_relative(eq + 1);
		k += n + (k[n] == ' ');
	}
	return false;
}

/* Up to the comma that is not doubled. */
static size_t item_length(const char *s)
{
	size_t n = 0;

	while (s[n] && (s[n] != ',' || s[n + 1] == ','))
		n += s[n] == ',' ? 2 : 1;
	return n;
}

/* All items behind the first, whose keys tell which of them are paths. */
static void put_items(const struct option *o, const char *dir, const char *s, FILE *f)
{
	while (*s) {
		size_t len = item_length(s + 1) + 1;

		if (is_path_key(o, s + 1, len - 1)) {
			size_t key = strcspn(s, "=") + 1;

			fwrite(s, 1, key, f);
			put_doubled(dir, f);
			fwrite(s + key, 1, len - key, f);
		} else {
			fwrite(s, 1, len, f);
		}
		s += len;
	}
}

/* Does a path stand in this value, and behind how many bytes? */
static bool find_path(const struct option *o, const char *value, size_t *at)
{
	const char *p = o->path;

	while (p) {
		*at = strcspn(p, " ");
		if (strncmp(value, p, *at) == 0)
			return is_relative(value + *at);
		p = p[*at] ? p + *at + 1 : NULL;
	}
	return false;
}

char *config_resolve(const struct option *o, const char *dir, const char *value)
{
	size_t len = strlen(value), prefix, size;
	size_t first = o->first ? strlen(o->first) : 0;
	char *out = NULL;
	FILE *f = open_memstream(&out, &size);

	if (!f)
		return NULL;
	/* "file=PATH,key=value" is another way to write "PATH,key=value". */
	if (first && strncmp(value, o->first, first) == 0 && value[first] == '=') {
		value += first + 1;
		len -= first + 1;
	}
	if (find_path(o, value, &prefix)) {
		fwrite(value, 1, prefix, f);
		if (o->first)
			put_doubled(dir, f);
		else
			fputs(dir, f);
		value += prefix;
		len -= prefix;
	}
	if (o->first)
		len = item_length(value);
	fwrite(value, 1, len, f);
	put_items(o, dir, value + len, f);
	if (fclose(f)) {
		free(out);
		return NULL;
	}
	return out;
}

/* --- values --------------------------------------------------------------------------- */

static int store(struct reader *r, const struct option *o, const yaml_mark_t *at, const char *value)
{
	const char *kept = keep(r, config_resolve(o, r->dir, value));
	int res = kept ? option_set(r->table, o, kept, r->obj, r->e) : -ENOMEM;

	if (res)
		err_prefix(r->e, "%s:%zu:%zu: ", r->name, at->line + 1, at->column + 1);
	return res;
}

static int set_flag(struct reader *r, const struct option *o)
{
	bool yes = is_plain(r, (const char *const[]){"yes", "on", NULL}) || is_true(r);

	if (!yes && !is_plain(r, (const char *const[]){"no", "off", NULL}) && !is_false(r))
		return wrong_here(r, "%s is true or false, not '%s'", o->name, scalar(r));
	*(bool *)((char *)r->obj + o->offset) = yes;
	return 0;
}

/* One pair of a mapping that stands for a spec; what comes first is left for the caller. */
static int read_pair(struct reader *r, const struct option *o, struct strlist *keys,
		     const char **first, FILE *f)
{
	const char *key;
	int res = check_scalar(r, "a key");

	if (res)
		return res;
	if (!*scalar(r) || scalar(r)[strcspn(scalar(r), ",=")])
		return wrong_here(r, "'%s' cannot be a key; see --%s help", scalar(r), o->name);
	for (size_t i = 0; i < keys->n; i++)
		if (strcmp(keys->items[i], scalar(r)) == 0)
			return wrong_here(r, "%s is given twice; leave one of them out", scalar(r));
	key = keep(r, strdup(scalar(r)));
	if (!key || strlist_add(keys, key))
		return no_memory(r->e);
	res = take(r);
	if (!res)
		res = check_scalar(r, key);
	if (res)
		return res;
	if (strcmp(key, o->first) == 0) {
		*first = keep(r, strdup(scalar(r)));
		return *first ? 0 : -ENOMEM;
	}
	fprintf(f, ",%s=", key);
	put_doubled(is_true(r) ? "on" : is_false(r) ? "off" : scalar(r), f);
	return 0;
}

/* {type: isa-debugcon, iobase: 0xe9} is "isa-debugcon,iobase=0xe9". */
static int read_spec(struct reader *r, const struct option *o)
{
	const yaml_mark_t at = r->event.start_mark;
	const char *first = NULL, *rest = NULL;
	struct strlist keys = {0};
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	int res = f ? take(r) : no_memory(r->e);

	while (!res && r->event.type != YAML_MAPPING_END_EVENT) {
		res = read_pair(r, o, &keys, &first, f);
		if (!res)
			res = take(r);
	}
	strlist_free(&keys);
	if (f && fclose(f) && !res)
		res = no_memory(r->e);
	rest = keep(r, text);
	if (res || !rest)
		return res ? res : -ENOMEM;
	if (!first)
		return wrong(r, &at, "%s is missing; write {%s: ..., key: value}", o->first,
			     o->first);

	f = open_memstream(&text, &size);
	if (!f)
		return no_memory(r->e);
	put_doubled(first, f);
	fputs(rest, f);
	if (fclose(f))
		return no_memory(r->e);
	first = keep(r, text);
	return first ? store(r, o, &at, first) : -ENOMEM;
}

/* A value, or one of a list. */
static int read_item(struct reader *r, const struct option *o)
{
	const yaml_mark_t at = r->event.start_mark;
	int res;

	if (r->event.type == YAML_MAPPING_START_EVENT && o->first)
		return read_spec(r, o);
	res = check_scalar(r, o->name);
	if (res)
		return res;
	if (o->kind == OPTION_FLAG)
		return set_flag(r, o);
	if (o->kind == OPTION_ADDR && is_false(r))
		return 0;
	return store(r, o, &at, o->kind == OPTION_ADDR && is_true(r) ? o->dflt : scalar(r));
}

static int read_value(struct reader *r, const struct option *o)
{
	int res = 0;

	if (o->kind != OPTION_LIST || r->event.type != YAML_SEQUENCE_START_EVENT)
		return read_item(r, o);
	for (;;) {
		res = take(r);
		if (res || r->event.type == YAML_SEQUENCE_END_EVENT)
			return res;
		res = read_item(r, o);
		if (res)
			return res;
	}
}

/* --- the file ------------------------------------------------------------------------- */

static int read_option(struct reader *r)
{
	const struct option *o;
	const char *near;
	size_t row;
	int res = check_scalar(r, "the name of an option");

	if (res)
		return res;
	o = option_find(r->table, scalar(r), strlen(scalar(r)));
	if (!o) {
		near = option_nearest(r->table, scalar(r));
		if (near)
			return wrong_here(r, "unknown key %s; did you mean %s?", scalar(r), near);
		return wrong_here(r, "unknown key %s; --help lists the options", scalar(r));
	}
	if (o->only_here)
		return wrong_here(r, "%s is for the command line only; leave it out", o->name);
	row = o - r->table;
	if (row >= MAX_OPTIONS || r->seen[row])
		return wrong_here(r, "%s is given twice; %s", o->name,
				  o->kind == OPTION_LIST ? "make it a list"
							 : "leave one of them out");
	r->seen[row] = true;
	res = take(r);
	return res ? res : read_value(r, o);
}

static int read_document(struct reader *r)
{
	int res = take(r); /* the start of the stream */

	if (!res)
		res = take(r);
	if (!res && r->event.type == YAML_STREAM_END_EVENT)
		return err_set(r->e, -EINVAL, "%s is empty; write options as 'name: value'",
			       r->name);
	if (!res)
		res = take(r);
	if (!res && r->event.type != YAML_MAPPING_START_EVENT)
		return wrong_here(r, "options are written as 'name: value'; see sundog(1)");
	if (!res)
		res = take(r);
	while (!res && r->event.type != YAML_MAPPING_END_EVENT) {
		res = read_option(r);
		if (!res)
			res = take(r);
	}
	if (!res)
		res = take(r); /* the document's end */
	if (!res)
		res = take(r);
	if (!res && r->event.type != YAML_STREAM_END_EVENT)
		return wrong_here(r, "a second document begins; a file describes one machine");
	return res;
}

int config_parse(const struct option *table, const char *name, const void *text, size_t len,
		 void *obj, struct config *c, struct err *e)
{
	struct reader r = {.name = name, .table = table, .obj = obj, .config = c, .e = e};
	const char *slash = strrchr(name, '/');
	int res;

	r.dir = strndup(name, slash ? slash + 1 - name : 0);
	if (!r.dir)
		return no_memory(e);
	if (!yaml_parser_initialize(&r.parser)) {
		free(r.dir);
		return no_memory(e);
	}
	yaml_parser_set_input_string(&r.parser, text, len);
	res = read_document(&r);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	free(r.dir);
	return res;
}

int config_read(const struct option *table, const char *file, void *obj, struct config *c,
		struct err *e)
{
	size_t len;
	char *text = read_file(file, MAX_FILE, "a YAML file", &len, e);
	int res = text ? config_parse(table, file, text, len, obj, c, e) : e->code;

	free(text);
	return res;
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < c->strings.n; i++)
		free((char *)c->strings.items[i]);
	strlist_free(&c->strings);
}
