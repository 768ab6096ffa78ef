/* SPDX-License-Identifier: MIT */
/* fields.c - checking JSON objects by tables, and telling the tables as JSON Schema. */
#include "control/fields.h"

#include <errno.h>
#include <stdlib.h>

#include "sundog/err.h"
#include "sundog/opts.h"

enum { MAX_FIELDS = 32 };

static const struct field *find_field(const struct field *table, const char *name)
{
	for (; table && table->name; table++)
		if (strcmp(table->name, name) == 0)
			return table;
	return NULL;
}

static int unknown(const struct field *table, const char *name, struct err *e)
{
	const char *names[MAX_FIELDS], *near;
	size_t n = 0;

	for (; table && table->name && n < MAX_FIELDS - 1; table++)
		names[n++] = table->name;
	names[n] = NULL;
	near = nearest(name, names);
	if (near)
		return err_set(e, -EINVAL, "no member \"%.40s\"; did you mean \"%s\"?", name, near);
	return err_set(e, -EINVAL, "no member \"%.40s\"; the command \"schema\" lists them", name);
}

static int check_value(const struct field *f, json_t *v, struct err *e)
{
	static const char *const wanted[] = {
		[FIELD_BOOL] = "true or false",	 [FIELD_INT] = "an integer",
		[FIELD_NUMBER] = "a number",	 [FIELD_STRING] = "a string",
		[FIELD_ID] = "a string or null", [FIELD_OBJECT] = "an object",
		[FIELD_LIST] = "an array",
	};
	bool good = false;

	switch (f->type) {
	case FIELD_BOOL: good = json_is_boolean(v); break;
	case FIELD_INT: good = json_is_integer(v); break;
	case FIELD_NUMBER: good = json_is_number(v); break;
	case FIELD_STRING: good = json_is_string(v); break;
	case FIELD_ID: good = json_is_string(v) || json_is_integer(v) || json_is_null(v); break;
	case FIELD_OBJECT: good = json_is_object(v); break;
	case FIELD_LIST: good = json_is_array(v); break;
	}
	if (!good)
		return err_set(e, -EINVAL, "\"%s\" must be %s", f->name, wanted[f->type]);
	if (f->type == FIELD_INT && f->max &&
	    (json_integer_value(v) < 0 || json_integer_value(v) > f->max))
		return err_set(e, -EINVAL, "\"%s\" must be from 0 to %lld", f->name,
			       (long long)f->max);
	return 0;
}

int fields_check(const struct field *table, json_t *obj, struct err *e)
{
	const char *key;
	json_t *v;

	json_object_foreach(obj, key, v)
	{
		const struct field *f = find_field(table, key);
		int r = f ? check_value(f, v, e) : unknown(table, key, e);

		if (r)
			return r;
	}
	for (; table && table->name; table++) {
		if (!table->optional && !json_object_get(obj, table->name))
			return err_set(e, -EINVAL, "\"%s\" is missing: %s", table->name,
				       table->doc);
	}
	return 0;
}

json_t *fields_text(const char *s)
{
	json_t *text = json_string(s ? s : "");
	char *copy = text ? NULL : strdup(s);

	for (char *p = copy; p && *p; p++)
		*p = *p & 0x80 ? '?' : *p;
	if (copy)
		text = json_string(copy);
	free(copy);
	return text;
}

static json_t *value_schema(const struct field *f)
{
	json_t *items;

	switch (f->type) {
	case FIELD_BOOL: return json_pack("{s:s}", "type", "boolean");
	case FIELD_INT:
		if (!f->max)
			return json_pack("{s:s}", "type", "integer");
		return json_pack("{s:s,s:i,s:I}", "type", "integer", "minimum", 0, "maximum",
				 (json_int_t)f->max);
	case FIELD_NUMBER: return json_pack("{s:s}", "type", "number");
	case FIELD_STRING: return json_pack("{s:s}", "type", "string");
	case FIELD_ID: return json_pack("{s:[sss]}", "type", "string", "integer", "null");
	case FIELD_OBJECT:
		return f->sub ? fields_schema(f->sub) : json_pack("{s:s}", "type", "object");
	case FIELD_LIST:
		items = f->sub ? fields_schema(f->sub) : json_pack("{s:s}", "type", "string");
		return json_pack("{s:s,s:o}", "type", "array", "items", items);
	}
	return NULL;
}

json_t *fields_schema(const struct field *table)
{
	json_t *members = json_object(), *required = json_array();

	for (; table && table->name; table++) {
		json_t *s = value_schema(table);

		json_object_set_new(s, "description", json_string(table->doc));
		json_object_set_new(members, table->name, s);
		if (!table->optional)
			json_array_append_new(required, json_string(table->name));
	}
	return json_pack("{s:s,s:o,s:o,s:b}", "type", "object", "properties", members, "required",
			 required, "additionalProperties", 0);
}
