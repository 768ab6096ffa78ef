/* SPDX-License-Identifier: MIT */
/*
 * fields.h - the members of JSON objects as tables: arguments, replies, events.
 *
 * From one table come the check of what a client sends, the JSON Schema of what it gets, and so
 * the manual, which a test compares with the schema.
 */
#ifndef CONTROL_FIELDS_H
#define CONTROL_FIELDS_H

#include <jansson.h>

#include "sundog/types.h"

struct err;

enum field_type {
	FIELD_BOOL,
	FIELD_INT,
	FIELD_NUMBER,
	FIELD_STRING,
	FIELD_ID,     /* what a client chooses: a string, an integer or null */
	FIELD_OBJECT, /* of .sub; any if that is NULL */
	FIELD_LIST,   /* of objects of .sub; of strings if that is NULL */
};

struct field {
	const char *name; /* NULL ends a table */
	enum field_type type;
	const char *doc;
	bool optional;
	i64 max;		 /* FIELD_INT: from 0 to this; 0: no limit */
	const struct field *sub; /* FIELD_OBJECT, FIELD_LIST */
	size_t offset;		 /* of events: in struct control_note */
};

/* Is obj what the table says?  A NULL table has no members.  -EINVAL and what is wrong. */
int fields_check(const struct field *table, json_t *obj, struct err *e) must_check;
/* {"type": "object", ...}; NULL: no memory. */
json_t *fields_schema(const struct field *table);
/* A string of any bytes: where it is not UTF-8, '?'s take their place. */
json_t *fields_text(const char *s);

#endif
