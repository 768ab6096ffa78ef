/* SPDX-License-Identifier: MIT */
/*
 * opts.h - options: "type,key=value,key=value", from the command line, a file or a socket.
 *
 * Parsed once, here; devices and backends get typed members by their param tables
 * (device.h) and never parse strings.
 */
#ifndef SUNDOG_OPTS_H
#define SUNDOG_OPTS_H

#include "sundog/types.h"

struct err;
struct param;

struct opts;

/* "isa-debugcon,iobase=0xe9,chardev=c0"; a comma in a value is doubled.  NULL and *e. */
struct opts *opts_parse(const char *spec, struct err *e);
/* The same for "path,key=value": a "=" in the path is part of it. */
struct opts *opts_parse_path(const char *spec, struct err *e);
struct opts *opts_new(const char *type);
struct opts *opts_copy(const struct opts *o); /* NULL: no memory */
void opts_free(struct opts *o);

const char *opts_type(const struct opts *o);
const char *opts_get(const struct opts *o, const char *key); /* NULL: not given */
int opts_set(struct opts *o, const char *key, const char *value) must_check;

/*
 * Fill obj's members from o by the table, defaults included.  Unknown keys and bad values
 * are errors that name the nearest key or the range.  String members (const char *; "" for
 * "none" if that is the default) point into o and the table.  Tables end with a row without
 * name; every table takes "id", which the core reads.
 */
int opts_apply(const struct opts *o, const struct param *params, void *obj, struct err *e);

/* "512M", "1G", "0x1000": bytes. */
int parse_size(const char *s, u64 *val) must_check;
int parse_u64(const char *s, u64 *val) must_check;
/* The nearest of names (NULL-ended) to s, or NULL if none is near: "did you mean". */
const char *nearest(const char *s, const char *const *names);

#endif
