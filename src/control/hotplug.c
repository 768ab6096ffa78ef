/* SPDX-License-Identifier: MIT */
/*
 * hotplug.c - devices that come and go while the machine runs.
 *
 * What the board was built with is wired to it and stays; only what was added here is removed
 * here.
 */
#include <errno.h>

#include "control/server.h"
#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/opts.h"

int control_device_add(struct control_call *call, struct err *e)
{
	struct control *c = call->c;
	struct opts *o = opts_parse(json_string_value(json_object_get(call->args, "spec")), e);
	struct control_note note = {0};
	struct device *dev;

	if (!o)
		return e->code;
	dev = device_add(c->m, o, e);
	opts_free(o);
	if (!dev)
		return e->code ? e->code : err_set(e, -EIO, "the device refuses");
	json_object_set_new(c->plugged, dev->id, json_true());
	json_object_set_new(call->ret, "id", fields_text(dev->id));
	note.device = dev->id;
	control_event(c->m, CONTROL_DEVICE_ADDED, &note);
	return 0;
}

int control_device_del(struct control_call *call, struct err *e)
{
	struct control *c = call->c;
	const char *id = json_string_value(json_object_get(call->args, "id"));
	struct device *dev = device_find(c->m, id);
	struct control_note note = {.device = id};

	if (!dev)
		return err_set(e, -ENOENT, "no device \"%.60s\"; \"status\" lists them", id);
	if (!json_object_get(c->plugged, id))
		return err_set(e, -EOPNOTSUPP, "%.60s is the board's own; it stays", id);
	json_object_del(c->plugged, id);
	device_del(dev);
	control_event(c->m, CONTROL_DEVICE_REMOVED, &note);
	return 0;
}
