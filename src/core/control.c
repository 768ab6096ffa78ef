/* SPDX-License-Identifier: MIT */
/* control.c - events on their way to whoever listens. */
#include "sundog/control.h"

#include "sundog/machine.h"

void control_event(struct machine *m, enum control_event event, const struct control_note *note)
{
	if (m->control)
		m->control->event(m->control, event, note);
}
