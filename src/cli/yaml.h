/* SPDX-License-Identifier: MIT */
/*
 * yaml.h - trees as YAML.
 *
 * A tree is jansson's: what can be said in JSON is what configurations consist of.
 */
#ifndef CLI_YAML_H
#define CLI_YAML_H

#include <stdio.h>

#include <jansson.h>

#include "sundog/types.h"

/* Objects, arrays, strings, integers, booleans; strings come back as strings.  0, -ENOMEM. */
int yaml_write(const json_t *tree, FILE *f) must_check;

#endif
