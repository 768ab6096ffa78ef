/* SPDX-License-Identifier: MIT */
/*
 * options.h - one table per subcommand drives parsing, --help and "did you mean".
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "sundog/types.h"

struct err;

enum option_kind {
	OPTION_FLAG, /* bool */
	OPTION_STR,  /* const char * */
	OPTION_SIZE, /* u64, bytes: 512M */
	OPTION_NUM,  /* unsigned */
	OPTION_LIST, /* struct strlist: may be given again */
	OPTION_ADDR, /* const char *; the value may be left out: see .dflt */
};

struct option {
	const char *name; /* without the dashes; NULL ends a table */
	const char *arg;  /* the value's name in the help; NULL: none */
	const char *doc;  /* lines of help */
	enum option_kind kind;
	size_t offset;	  /* where the value goes */
	const char *dflt; /* OPTION_ADDR: the value when none is given */
};

/* Grows; always ended by a NULL. */
struct strlist {
	const char **items;
	size_t n;
};

int strlist_add(struct strlist *l, const char *s) must_check;
int strlist_insert(struct strlist *l, const char *s) must_check; /* in front */
void strlist_free(struct strlist *l);

/*
 * Fill obj from argv[0..argc), strings borrowed.  What is not an option goes to *rest; "--"
 * ends the options.  -EINVAL: unknown option (the nearest is named), missing or bad value.
 */
int options_parse(const struct option *table, int argc, char **argv, void *obj,
		  struct strlist *rest, struct err *e) must_check;

#endif
