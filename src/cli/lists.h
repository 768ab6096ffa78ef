/* SPDX-License-Identifier: MIT */
/*
 * lists.h - what "help" as an option's value prints; trace points list themselves (trace.h).
 */
#ifndef CLI_LISTS_H
#define CLI_LISTS_H

#include <stdio.h>

#include "sundog/types.h"

struct err;

void list_engines(FILE *f);
void list_cpus(FILE *f);
void list_devices(FILE *f);
void list_consoles(FILE *f);
void list_disk_keys(FILE *f);
/* The options of one device; -EINVAL and the nearest if there is no such device. */
int list_device(const char *name, FILE *f, struct err *e);

#endif
