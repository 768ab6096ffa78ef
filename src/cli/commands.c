/* SPDX-License-Identifier: MIT */
/* The list of subcommands. */
#include "cli/cli.h"

const struct command *const commands[] = {&command_run, &command_doctor, &command_img, NULL};
