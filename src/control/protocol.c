/* SPDX-License-Identifier: MIT */
/* protocol.c - requests, replies, and the schema of all that goes over a control socket. */
#include <errno.h>

#include "control/server.h"
#include "sundog/err.h"
#include "sundog/opts.h"

/* --- error codes ------------------------------------------------------------------------ */

static const struct {
	const char *name;
	int code;
} codes[] = {
	/* clang-format off */
	{"bad-message", -EBADMSG},	/* not JSON, or not a request */
	{"too-large", -EMSGSIZE},
	{"unknown-command", -ENOSYS},
	{"bad-argument", -EINVAL},
	{"not-found", -ENOENT},
	{"busy", -EBUSY},		/* not now */
	{"unsupported", -EOPNOTSUPP},
	{"failed", -EIO},		/* the last: all others */
	/* clang-format on */
};

const char *control_code_name(int code)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(codes) - 1 && codes[i].code != code)
		i++;
	return codes[i].name;
}

int control_code(const char *name)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(codes) - 1 && strcmp(codes[i].name, name) != 0)
		i++;
	return codes[i].code;
}

json_t *control_error(json_t *id, int code, const char *msg)
{
	return json_pack("{s:O?,s:{s:s,s:o}}", "id", id ? id : json_null(), "error", "code",
			 control_code_name(code), "message", fields_text(msg));
}

/* --- requests --------------------------------------------------------------------------- */

static const struct field request_fields[] = {
	{"id", FIELD_ID, "comes back in the reply", true},
	{"command", FIELD_STRING, "what to do"},
	{"arguments", FIELD_OBJECT, "the command's", true},
	{NULL},
};

/* Only a good one comes back. */
static json_t *id_of(json_t *request)
{
	json_t *id = json_object_get(request, "id");

	return json_is_string(id) || json_is_integer(id) ? id : NULL;
}

json_t *control_parse(const char *line, size_t len, json_t **answer)
{
	json_error_t where;
	struct err e;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where);

	*answer = NULL;
	if (!request) {
		err_set(&e, -EBADMSG, "not JSON: %.120s (byte %d); send an object in one line",
			where.text, where.position);
	} else if (!json_is_object(request)) {
		err_set(&e, -EBADMSG, "not an object; send {\"command\": NAME}");
	} else if (fields_check(request_fields, request, &e) == 0) {
		return request;
	}
	*answer = control_error(id_of(request), -EBADMSG, e.msg);
	json_decref(request);
	return NULL;
}

static const struct control_command *find_command(const char *name, struct err *e)
{
	const char *names[64], *near;
	size_t n = 0;

	for (; control_commands[n].name && n < ARRAY_SIZE(names) - 1; n++) {
		if (strcmp(control_commands[n].name, name) == 0)
			return &control_commands[n];
		names[n] = control_commands[n].name;
	}
	names[n] = NULL;
	near = nearest(name, names);
	if (near)
		err_set(e, -ENOSYS, "no command \"%.40s\"; did you mean \"%s\"?", name, near);
	else
		err_set(e, -ENOSYS, "no command \"%.40s\"; \"commands\" lists them", name);
	return NULL;
}

json_t *control_answer(struct control *c, json_t *request, bool *subscribe)
{
	json_t *id = json_object_get(request, "id"), *args = json_object_get(request, "arguments");
	struct control_call call = {.c = c, .subscribe = *subscribe};
	struct err e = {0};
	const struct control_command *cmd =
		find_command(json_string_value(json_object_get(request, "command")), &e);
	json_t *answer;

	call.args = args ? json_incref(args) : json_object();
	call.ret = json_object();
	if (!cmd || fields_check(cmd->args, call.args, &e) || cmd->run(&call, &e)) {
		answer = control_error(id, e.code, e.msg);
		json_decref(call.ret);
	} else {
		*subscribe = call.subscribe;
		answer = json_pack("{s:O?,s:o}", "id", id ? id : json_null(), "return", call.ret);
	}
	json_decref(call.args);
	return answer;
}

json_t *control_greeting(const struct control *c)
{
	return json_pack("{s:{s:s,s:i,s:o}}", "sundog", "version", SUNDOG_VERSION, "protocol",
			 CONTROL_PROTOCOL, "name", fields_text(c->cfg.name));
}

/* --- the schema ------------------------------------------------------------------------- */

static const struct field greeting_data[] = {
	{"version", FIELD_STRING, "Sundog's version"},
	{"protocol", FIELD_INT, "the version of this protocol"},
	{"name", FIELD_STRING, "the machine's name"},
	{NULL},
};
static const struct field greeting_fields[] = {
	{"sundog", FIELD_OBJECT, "who speaks", .sub = greeting_data},
	{NULL},
};
static const struct field error_data[] = {
	{"code", FIELD_STRING, "one of a fixed set"},
	{"message", FIELD_STRING, "for people: cause; cure"},
	{NULL},
};
static const struct field return_fields[] = {
	{"id", FIELD_ID, "the request's"},
	{"return", FIELD_OBJECT, "what the command's entry in \"returns\" says"},
	{NULL},
};
static const struct field error_fields[] = {
	{"id", FIELD_ID, "the request's, if it could be read"},
	{"error", FIELD_OBJECT, "why not", .sub = error_data},
	{NULL},
};

static const struct field event_fields[] = {
	{"event", FIELD_STRING, "its name"},
	{"time", FIELD_INT, "ns since 1970, by the host's clock"},
	{"data", FIELD_OBJECT, "what the event tells"},
	{NULL},
};

/* The table's schema, where one member is this word and another as told. */
static json_t *variant(const struct field *table, const char *key, const char *word,
		       const char *doc, const char *data, const struct field *sub)
{
	json_t *s = fields_schema(table), *members = json_object_get(s, "properties"), *d;
	bool needed = false;

	json_object_set_new(members, key, json_pack("{s:s}", "const", word));
	d = fields_schema(sub);
	json_object_set_new(members, data, d);
	for (; sub && sub->name; sub++)
		needed |= !sub->optional;
	if (needed && strcmp(data, "arguments") == 0)
		json_array_append_new(json_object_get(s, "required"), json_string(data));
	json_object_set_new(s, "description", json_string(doc));
	return s;
}

static json_t *code_enum(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
		json_array_append_new(list, json_string(codes[i].name));
	return json_pack("{s:s,s:o}", "type", "string", "enum", list);
}

static json_t *error_schema(void)
{
	json_t *s = fields_schema(error_fields), *error;

	error = json_object_get(json_object_get(s, "properties"), "error");
	json_object_set_new(json_object_get(error, "properties"), "code", code_enum());
	return s;
}

json_t *control_schema(void)
{
	json_t *requests = json_array(), *returns = json_object(), *events = json_array();

	for (const struct control_command *cmd = control_commands; cmd->name; cmd++) {
		json_array_append_new(requests, variant(request_fields, "command", cmd->name,
							cmd->doc, "arguments", cmd->args));
		json_object_set_new(returns, cmd->name, fields_schema(cmd->ret));
	}
	for (const struct control_event_row *row = control_events; row->name; row++)
		json_array_append_new(events, variant(event_fields, "event", row->name, row->doc,
						      "data", row->data));
	return json_pack("{s:s,s:s,s:i,s:{s:o,s:{s:o},s:{s:o},s:{s:[oo]},s:o},s:[{s:s},{s:s},{s:"
			 "s}]}",
			 "$schema", "https://json-schema.org/draft/2020-12/schema", "title",
			 "Control socket of Sundog", "x-protocol", CONTROL_PROTOCOL, "$defs",
			 "greeting", fields_schema(greeting_fields), "request", "oneOf", requests,
			 "event", "oneOf", events, "reply", "oneOf", fields_schema(return_fields),
			 error_schema(), "returns", returns, "oneOf", "$ref", "#/$defs/greeting",
			 "$ref", "#/$defs/reply", "$ref", "#/$defs/event");
}
