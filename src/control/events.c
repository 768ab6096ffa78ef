/* SPDX-License-Identifier: MIT */
/* events.c - what a control socket tells without being asked. */
#include <time.h>

#include "control/server.h"

#define NOTE(member, type, doc)                                                     \
	{                                                                           \
#member, type, doc, .offset = offsetof(struct control_note, member) \
	}

static const struct field device_data[] = {
	NOTE(device, FIELD_STRING, "its id"),
	{NULL},
};

static const struct field shutdown_data[] = {
	NOTE(reason, FIELD_STRING,
	     "guest-off, guest-reset, guest-crash, guest-exit, control, key, signal, debugger, "
	     "host-error or engine-bug"),
	NOTE(status, FIELD_INT, "the exit status of the process"),
	{NULL},
};

static const struct field disk_data[] = {
	NOTE(device, FIELD_STRING, "the disk's id"),
	NOTE(operation, FIELD_STRING, "read, write, flush, discard or write-zeroes"),
	NOTE(reason, FIELD_STRING, "what the host said"),
	{NULL},
};

const struct control_event_row control_events[] = {
	[CONTROL_STARTED] = {"started", "the machine runs for the first time"},
	[CONTROL_PAUSED] = {"paused", "it has come to rest"},
	[CONTROL_RESUMED] = {"resumed", "it runs again"},
	[CONTROL_RESET] = {"reset", "the guest, or somebody else, has reset it"},
	[CONTROL_POWERDOWN] = {"powerdown-requested",
			       "the power button was pressed and the guest listens to it"},
	[CONTROL_SHUTDOWN] = {"shutdown", "it is off, and the process about to end", shutdown_data},
	[CONTROL_DEVICE_ADDED] = {"device-added", "a device was plugged in", device_data},
	[CONTROL_DEVICE_REMOVED] = {"device-removed", "a device is gone", device_data},
	[CONTROL_DISK_ERROR] = {"disk-error", "the host failed a disk's request", disk_data},
	{NULL},
};

static json_t *data_json(const struct field *f, const struct control_note *note)
{
	json_t *data = json_object();

	for (; f && f->name; f++) {
		const void *p = (const char *)note + f->offset;

		if (f->type == FIELD_INT)
			json_object_set_new(data, f->name, json_integer(*(const int *)p));
		else
			json_object_set_new(data, f->name, fields_text(*(const char *const *)p));
	}
	return data;
}

json_t *control_event_json(enum control_event event, const struct control_note *note)
{
	const struct control_event_row *row = &control_events[event];
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("{s:s,s:I,s:o}", "event", row->name, "time",
			 (json_int_t)now.tv_sec * 1000000000 + now.tv_nsec, "data",
			 data_json(note ? row->data : NULL, note));
}
