/* SPDX-License-Identifier: MIT */
/* The list of subcommands. */
#include "cli/cli.h"

const struct command *const commands[] = {
	&command_run,	  &command_doctor,  &command_ps,      &command_status,
	&command_console, &command_pause,   &command_resume,  &command_reset,
	&command_stop,	  &command_resize,  &command_hotplug, &command_unplug,
	&command_events,  &command_metrics, &command_img,     NULL,
};
