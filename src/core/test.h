/* SPDX-License-Identifier: MIT */
/* core/test.h - checks for the unit tests of this room: on in every build, and said where. */
#ifndef CORE_TEST_H
#define CORE_TEST_H

#include <stdio.h>
#include <stdlib.h>

#include "sundog/types.h"

#define check(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

#endif
