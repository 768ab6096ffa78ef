/* SPDX-License-Identifier: MIT */
/* boards.c - the list of boards.  One line for each. */
#include "board/pc.h"

const struct board *const boards[] = {
	&board_pc,
	NULL,
};
