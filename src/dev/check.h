/* SPDX-License-Identifier: MIT */
/* check.h - how the unit tests and fuzzers of devices fail. */
#ifndef DEV_CHECK_H
#define DEV_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

#endif
