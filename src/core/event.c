/* SPDX-License-Identifier: MIT */
/* event.c - telling a machine's listener. */
#include "sundog/event.h"

#include "sundog/machine.h"

void machine_event(struct machine *m, enum machine_event event, const struct event_note *note)
{
	if (m->listener)
		m->listener->event(m->listener, event, note);
}
