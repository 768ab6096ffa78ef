/* SPDX-License-Identifier: MIT */
/* Trees as YAML, through libyaml's emitter. */
#include "cli/yaml.h"

#include <errno.h>
#include <string.h>

#include <yaml.h>

static bool emit(yaml_emitter_t *y, yaml_event_t *v, int made)
{
	return made && yaml_emitter_emit(y, v);
}

/* Strings are quoted, or "no" and "1e3" would come back as something else; keys are words. */
static bool emit_scalar(yaml_emitter_t *y, const char *s, bool plain)
{
	yaml_event_t v;

	return emit(y, &v,
		    yaml_scalar_event_initialize(&v, NULL, NULL, (const yaml_char_t *)s,
						 (int)strlen(s), plain, true,
						 YAML_ANY_SCALAR_STYLE));
}

static bool emit_tree(yaml_emitter_t *y, const json_t *t);

static bool emit_object(yaml_emitter_t *y, const json_t *t)
{
	yaml_event_t v;
	const char *key;
	json_t *value;

	if (!emit(y, &v,
		  yaml_mapping_start_event_initialize(&v, NULL, NULL, true,
						      YAML_BLOCK_MAPPING_STYLE)))
		return false;
	json_object_foreach((json_t *)t, key, value)
	{
		if (!emit_scalar(y, key, true) || !emit_tree(y, value))
			return false;
	}
	return emit(y, &v, yaml_mapping_end_event_initialize(&v));
}

static bool emit_array(yaml_emitter_t *y, const json_t *t)
{
	yaml_event_t v;

	if (!emit(y, &v,
		  yaml_sequence_start_event_initialize(&v, NULL, NULL, true,
						       YAML_BLOCK_SEQUENCE_STYLE)))
		return false;
	for (size_t i = 0; i < json_array_size(t); i++)
		if (!emit_tree(y, json_array_get(t, i)))
			return false;
	return emit(y, &v, yaml_sequence_end_event_initialize(&v));
}

static bool emit_tree(yaml_emitter_t *y, const json_t *t)
{
	char number[32];

	switch (json_typeof(t)) {
	case JSON_OBJECT: return emit_object(y, t);
	case JSON_ARRAY: return emit_array(y, t);
	case JSON_STRING: return emit_scalar(y, json_string_value(t), false);
	case JSON_INTEGER:
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(t));
		return emit_scalar(y, number, true);
	case JSON_TRUE: return emit_scalar(y, "true", true);
	case JSON_FALSE: return emit_scalar(y, "false", true);
	default: return emit_scalar(y, "null", true);
	}
}

int yaml_write(const json_t *tree, FILE *f)
{
	yaml_emitter_t y;
	yaml_event_t v;
	bool ok;

	if (!yaml_emitter_initialize(&y))
		return -ENOMEM;
	yaml_emitter_set_output_file(&y, f);
	yaml_emitter_set_unicode(&y, true);
	yaml_emitter_set_width(&y, -1);
	ok = emit(&y, &v, yaml_stream_start_event_initialize(&v, YAML_UTF8_ENCODING)) &&
	     emit(&y, &v, yaml_document_start_event_initialize(&v, NULL, NULL, NULL, true)) &&
	     emit_tree(&y, tree) && emit(&y, &v, yaml_document_end_event_initialize(&v, true)) &&
	     emit(&y, &v, yaml_stream_end_event_initialize(&v)) && yaml_emitter_flush(&y);
	yaml_emitter_delete(&y);
	return ok ? 0 : -ENOMEM;
}
