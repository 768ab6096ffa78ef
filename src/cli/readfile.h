/* SPDX-License-Identifier: MIT */
/*
 * readfile.h - small files that a user names, whole.
 */
#ifndef CLI_READFILE_H
#define CLI_READFILE_H

#include "sundog/types.h"

struct err;

/*
 * Its bytes, with a NUL behind them; free() them.  NULL: it cannot be read, or has more than
 * max bytes (-EFBIG); what says in the message what it should be: "a YAML file".
 */
char *read_file(const char *path, size_t max, const char *what, size_t *len, struct err *e);

#endif
