/* SPDX-License-Identifier: MIT */
/*
 * dryrun.h - options printed as a configuration file.
 */
#ifndef CLI_DRYRUN_H
#define CLI_DRYRUN_H

#include <stdio.h>

#include "cli/options.h"

/*
 * Every option that has a value, but those for the command line alone; relative paths are made
 * absolute.  config_parse() takes both forms, since JSON is YAML.
 */
int print_options(const struct option *table, const void *obj, bool json, FILE *f,
		  struct err *e) must_check;

#endif
