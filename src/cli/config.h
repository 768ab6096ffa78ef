/* SPDX-License-Identifier: MIT */
/*
 * config.h - options from a YAML file, through the same table as those of the command line.
 *
 * Keys are names of options.  What may be given again takes a list; "type,key=value" may be
 * written as a mapping.  Paths in it are relative to the file's folder, so that a folder with
 * a machine in it can be moved.  What YAML has besides (tags, anchors, aliases, several
 * documents) is refused: nothing here needs it, and readers are surprised by it.
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "cli/options.h"

/* Owns the strings that options from files point to. */
struct config {
	struct strlist strings;
};

/* -EINVAL: "FILE:LINE:COLUMN: ..."; obj may then be half filled.  -errno: cannot be read. */
int config_read(const struct option *table, const char *file, void *obj, struct config *c,
		struct err *e) must_check;
/* The same from memory; name is for messages and says where relative paths start. */
int config_parse(const struct option *table, const char *name, const void *text, size_t len,
		 void *obj, struct config *c, struct err *e) must_check;
void config_free(struct config *c);

/*
 * A value with its relative paths put behind dir ("" or ending in a slash), as the row says
 * where it has any.  Allocated; NULL: no memory.
 */
char *config_resolve(const struct option *o, const char *dir, const char *value);

#endif
