/* SPDX-License-Identifier: MIT */
/* Options printed as a configuration file: what --dry-run does. */
#include "cli/dryrun.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/config.h"
#include "cli/yaml.h"
#include "sundog/err.h"

static json_t *string_of(const struct option *o, const char *dir, const char *value)
{
	char *s = config_resolve(o, dir, value);
	/* Names of files need not be UTF-8; what is not cannot be written in either form. */
	json_t *t = s ? json_string(s) : NULL;

	free(s);
	return t;
}

static json_t *list_of(const struct option *o, const char *dir, const struct strlist *l)
{
	json_t *t = json_array();

	for (size_t i = 0; i < l->n; i++) {
		if (json_array_append_new(t, string_of(o, dir, l->items[i]))) {
			json_decref(t);
			return NULL;
		}
	}
	return t;
}

/* JSON's integers end where ours go on. */
static json_t *size_of(u64 bytes)
{
	if (bytes > INT64_MAX)
		return json_sprintf("%llu", (unsigned long long)bytes);
	return json_integer((json_int_t)bytes);
}

/* The value in obj; *absent: there is none. */
static json_t *value_of(const struct option *o, const char *dir, const void *obj, bool *absent)
{
	const char *p = (const char *)obj + o->offset;
	const struct strlist *l = (const struct strlist *)p;

	*absent = false;
	switch (o->kind) {
	case OPTION_FLAG: return json_boolean(*(const bool *)p);
	case OPTION_SIZE: return size_of(*(const u64 *)p);
	case OPTION_NUM: return json_integer(*(const unsigned *)p);
	case OPTION_STR:
	case OPTION_ADDR:
		*absent = !*(const char *const *)p;
		return *absent ? NULL : string_of(o, dir, *(const char *const *)p);
	case OPTION_LIST: *absent = !l->n; return *absent ? NULL : list_of(o, dir, l);
	case OPTION_FILE: break;
	}
	*absent = true;
	return NULL;
}

static json_t *tree_of(const struct option *table, const char *dir, const void *obj, struct err *e)
{
	json_t *t = json_object();

	for (const struct option *o = table; o->name; o++) {
		bool absent;
		json_t *value = o->only_here ? NULL : value_of(o, dir, obj, &absent);

		if (o->only_here || absent)
			continue;
		if (json_object_set_new(t, o->name, value)) {
			err_set(e, -EINVAL,
				"--%s is not UTF-8 text; such a machine cannot be "
				"printed",
				o->name);
			json_decref(t);
			return NULL;
		}
	}
	return t;
}

int print_options(const struct option *table, const void *obj, bool json, FILE *f, struct err *e)
{
	char *cwd = getcwd(NULL, 0), *dir = NULL;
	json_t *t;
	bool ok;

	if (!cwd || asprintf(&dir, "%s/", cwd) < 0) {
		free(cwd);
		return err_set(e, -errno, "the current folder has no name; change to another");
	}
	free(cwd);
	t = tree_of(table, dir, obj, e);
	free(dir);
	if (!t)
		return e->code;
	ok = json ? !json_dumpf(t, f, JSON_INDENT(2)) && fputc('\n', f) != EOF : !yaml_write(t, f);
	json_decref(t);
	if (!ok || fflush(f))
		return err_set(e, -EIO, "cannot print the machine; is the disk full?");
	return 0;
}
