/* SPDX-License-Identifier: MIT */
/* opts.c - "type,key=value,..." into typed members. */
#include "sundog/opts.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "sundog/device.h"
#include "sundog/err.h"

struct opt {
	char *key, *value;
	struct opt *next;
};

struct opts {
	char *type;
	struct opt *first;
};

struct opts *opts_new(const char *type)
{
	struct opts *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	o->type = strdup(type);
	if (!o->type) {
		free(o);
		return NULL;
	}
	return o;
}

static void opt_free(struct opt *p)
{
	free(p->key);
	free(p->value);
	free(p);
}

void opts_free(struct opts *o)
{
	if (!o)
		return;
	while (o->first) {
		struct opt *p = o->first;

		o->first = p->next;
		opt_free(p);
	}
	free(o->type);
	free(o);
}

const char *opts_type(const struct opts *o)
{
	return o->type;
}

static struct opt *opt_find(const struct opts *o, const char *key)
{
	for (struct opt *p = o->first; p; p = p->next) {
		if (!strcmp(p->key, key))
			return p;
	}
	return NULL;
}

const char *opts_get(const struct opts *o, const char *key)
{
	const struct opt *p = opt_find(o, key);

	return p ? p->value : NULL;
}

int opts_set(struct opts *o, const char *key, const char *value)
{
	struct opt *p = opt_find(o, key), **end;
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	if (p) {
		free(p->value);
		p->value = copy;
		return 0;
	}
	p = calloc(1, sizeof(*p));
	if (p)
		p->key = strdup(key);
	if (!p || !p->key) {
		free(p);
		free(copy);
		return -ENOMEM;
	}
	p->value = copy;
	for (end = &o->first; *end; end = &(*end)->next)
		;
	*end = p;
	return 0;
}

struct opts *opts_copy(const struct opts *o)
{
	struct opts *c = opts_new(o->type);

	for (const struct opt *p = o->first; c && p; p = p->next) {
		if (opts_set(c, p->key, p->value)) {
			opts_free(c);
			c = NULL;
		}
	}
	return c;
}

/* One item of a spec into out (as long as what is left of it), ",," undoubled. */
static const char *take_item(const char *s, char *out)
{
	for (; *s; s++) {
		if (*s == ',') {
			if (s[1] != ',')
				return s + 1;
			s++;
		}
		*out++ = *s;
	}
	*out = '\0';
	return s;
}

static int add_item(struct opts *o, char *item, struct err *e)
{
	char *eq = strchr(item, '=');

	if (!*item || eq == item)
		return err_set(e, -EINVAL, "'%s': an option without a name", o->type);
	if (eq)
		*eq = '\0';
	if (opts_get(o, item))
		return err_set(e, -EINVAL, "'%s': option '%s' is given twice", o->type, item);
	/* A bare word switches something on. */
	if (opts_set(o, item, eq ? eq + 1 : "on"))
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

static struct opts *parse(const char *spec, bool path, struct err *e)
{
	char *item = calloc(1, strlen(spec) + 1);
	struct opts *o = NULL;
	size_t len = strlen(spec);

	if (!item) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	spec = take_item(spec, item);
	if (!*item || (!path && strchr(item, '='))) {
		err_set(e, -EINVAL, "'%s': a %s must come first, as in \"%s,key=value\"", item,
			path ? "file" : "type", path ? "file" : "type");
		goto fail;
	}
	o = opts_new(item);
	if (!o) {
		err_set(e, -ENOMEM, "out of memory");
		goto fail;
	}
	while (*spec) {
		memset(item, 0, len + 1);
		spec = take_item(spec, item);
		if (add_item(o, item, e))
			goto fail;
	}
	free(item);
	return o;
fail:
	free(item);
	opts_free(o);
	return NULL;
}

struct opts *opts_parse(const char *spec, struct err *e)
{
	return parse(spec, false, e);
}

struct opts *opts_parse_path(const char *spec, struct err *e)
{
	return parse(spec, true, e);
}

/* --- values ------------------------------------------------------------------------- */

int parse_u64(const char *s, u64 *val)
{
	char *end;
	unsigned long long v;

	/* strtoull takes blanks and signs; we do not. */
	if (!isdigit((unsigned char)*s))
		return -EINVAL;
	errno = 0;
	v = strtoull(s, &end, s[0] == '0' && (s[1] | 0x20) == 'x' ? 16 : 10);
	if (errno)
		return -ERANGE;
	if (*end)
		return -EINVAL;
	*val = v;
	return 0;
}

static int size_shift(char unit)
{
	switch (unit) {
	case 'b': return 0;
	case 'k': return 10;
	case 'm': return 20;
	case 'g': return 30;
	case 't': return 40;
	default: return -1;
	}
}

int parse_size(const char *s, u64 *val)
{
	char digits[32];
	size_t n = strlen(s);
	bool hex = n > 1 && s[0] == '0' && (s[1] | 0x20) == 'x';
	int shift = 0, r;
	u64 v;

	if (!n || n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, s, n + 1);
	if (!(hex ? isxdigit((unsigned char)s[n - 1]) : isdigit((unsigned char)s[n - 1]))) {
		shift = size_shift(s[n - 1] | 0x20);
		digits[n - 1] = '\0';
	}
	if (shift < 0)
		return -EINVAL;
	r = parse_u64(digits, &v);
	if (r)
		return r;
	if (v << shift >> shift != v)
		return -ERANGE;
	*val = v << shift;
	return 0;
}

/* Edits (insert, drop, replace, swap two) from a to b; both under 64 long. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[3][65], *pp = row[0], *p = row[1], *c = row[2];
	size_t la = strlen(a), lb = strlen(b);

	for (size_t j = 0; j <= lb; j++)
		p[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned *t = pp;

		c[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned d = p[j - 1] + (a[i - 1] != b[j - 1]);

			if (p[j] + 1 < d)
				d = p[j] + 1;
			if (c[j - 1] + 1 < d)
				d = c[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    pp[j - 2] + 1 < d)
				d = pp[j - 2] + 1;
			c[j] = d;
		}
		pp = p;
		p = c;
		c = t;
	}
	return p[lb];
}

const char *nearest(const char *s, const char *const *names)
{
	const char *best = NULL;
	size_t len = strlen(s);
	unsigned limit = len < 4 ? 1 : len < 8 ? 2 : 3, least = limit + 1;

	if (len >= 64)
		return NULL;
	for (; *names; names++) {
		unsigned d;

		if (strlen(*names) >= 64)
			continue;
		d = distance(s, *names);
		/* A clear beginning is near, too: "uart" for "uart16550". */
		if (len >= 3 && !strncmp(s, *names, len) && d > limit)
			d = limit;
		if (d < least) {
			least = d;
			best = *names;
		}
	}
	return best;
}

/* --- param tables ------------------------------------------------------------------- */

static int apply_bool(const char *v, bool *out)
{
	static const char *const yes[] = {"on", "yes", "true", "1"};
	static const char *const no[] = {"off", "no", "false", "0"};

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcmp(v, yes[i]) || !strcmp(v, no[i])) {
			*out = !strcmp(v, yes[i]);
			return 0;
		}
	}
	return -EINVAL;
}

static int apply_one(const struct opts *o, const struct param *p, const char *v, void *member,
		     struct err *e)
{
	u64 n;

	switch (p->type) {
	case PARAM_BOOL:
		if (apply_bool(v, member))
			return err_set(e, -EINVAL, "%s: %s='%s' is neither on nor off", o->type,
				       p->name, v);
		return 0;
	case PARAM_U32:
		if (parse_u64(v, &n) || n > UINT32_MAX)
			return err_set(e, -EINVAL,
				       "%s: %s='%s' is not a number from 0 to 0xffffffff", o->type,
				       p->name, v);
		*(u32 *)member = (u32)n;
		return 0;
	case PARAM_SIZE:
		if (parse_size(v, member))
			return err_set(e, -EINVAL,
				       "%s: %s='%s' is not a size: bytes, or with K, M, G or T",
				       o->type, p->name, v);
		return 0;
	case PARAM_STR:
	case PARAM_BACKEND: *(const char **)member = v; return 0;
	}
	return 0;
}

/* "id" names any device and is the core's. */
static int check_keys(const struct opts *o, const struct param *params, struct err *e)
{
	const char *names[64] = {"id"}, *near;
	size_t n = 1;

	for (const struct param *p = params; p && p->name && n < ARRAY_SIZE(names) - 1; p++)
		names[n++] = p->name;
	for (const struct opt *it = o->first; it; it = it->next) {
		size_t i = 0;

		while (i < n && strcmp(names[i], it->key))
			i++;
		if (i < n)
			continue;
		near = nearest(it->key, names);
		if (near)
			return err_set(e, -EINVAL, "%s has no option '%s': did you mean '%s'?",
				       o->type, it->key, near);
		return err_set(e, -EINVAL, "%s has no option '%s'", o->type, it->key);
	}
	return 0;
}

int opts_apply(const struct opts *o, const struct param *params, void *obj, struct err *e)
{
	int r = check_keys(o, params, e);

	if (r)
		return r;
	for (const struct param *p = params; p && p->name; p++) {
		const char *v = opts_get(o, p->name);

		if (!v)
			v = p->dflt;
		if (!v)
			return err_set(e, -EINVAL, "%s needs %s=... (%s)", o->type, p->name,
				       p->doc ? p->doc : "no default");
		r = apply_one(o, p, v, (char *)obj + p->offset, e);
		if (r)
			return r;
	}
	return 0;
}
