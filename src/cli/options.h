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
	OPTION_FILE, /* struct config: a file with more options, see config.h */
};

struct option {
	const char *name; /* without the dashes; NULL ends a table */
	const char *arg;  /* the value's name in the help; NULL: none */
	const char *doc;  /* lines of help */
	enum option_kind kind;
	size_t offset;	  /* where the value goes */
	const char *dflt; /* OPTION_ADDR: the value when none is given */
	char letter;	  /* "-f" is short for it; 0: nothing is */
	/* The rest is for configuration files. */
	bool only_here; /* makes sense on the command line alone */
	/* The value begins with one of these ("a: b:", or ""), then comes a path; NULL: none does.
	 */
	const char *path;
	/* The value is "FIRST,key=value...", so it may be a mapping; what FIRST is called there. */
	const char *first;
	const char *path_keys; /* keys of such a spec whose values are paths: "a b"; or NULL */
};

/* The row called so, or NULL. */
const struct option *option_find(const struct option *table, const char *name, size_t len);
/* The name nearest to a wrong one, or NULL. */
const char *option_nearest(const struct option *table, const char *name);
/* Store a value, borrowed, as the row says.  -EINVAL: it is none for this option. */
int option_set(const struct option *table, const struct option *o, const char *value, void *obj,
	       struct err *e) must_check;

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
