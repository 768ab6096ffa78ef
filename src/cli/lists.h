/* SPDX-License-Identifier: MIT */
/*
 * lists.h - what "help" as an option's value prints, and turning trace points on.
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
void list_traces(FILE *f);
/* The options of one device; -EINVAL and the nearest if there is no such device. */
int list_device(const char *name, FILE *f, struct err *e);

/* "mmio_*,irq_set": -EINVAL if a pattern matches nothing. */
int trace_enable(const char *patterns, struct err *e);

#endif
