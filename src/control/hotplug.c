/* SPDX-License-Identifier: MIT */
/* hotplug.c - devices that come and go while the machine runs: the board does it. */
#include <errno.h>

#include "control/server.h"
#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/opts.h"

#define DISK "disk="

static struct device *add(struct machine *m, const char *spec, struct err *e)
{
	struct device *dev;
	struct opts *o;

	if (strncmp(spec, DISK, strlen(DISK)) == 0)
		return m->board->plug_disk(m, spec + strlen(DISK), e);
	o = opts_parse(spec, e);
	dev = o ? m->board->plug(m, o, e) : NULL;
	opts_free(o);
	return dev;
}

int control_device_add(struct control_call *call, struct err *e)
{
	struct machine *m = call->c->m;
	const char *spec = json_string_value(json_object_get(call->args, "spec"));
	struct device *dev;

	if (!m->board->plug || !m->board->plug_disk)
		return err_set(e, -EOPNOTSUPP, "the board has no place for more devices");
	dev = add(m, spec, e);
	if (!dev)
		return e->code ? e->code : err_set(e, -EIO, "the device refuses");
	json_object_set_new(call->ret, "id", fields_text(dev->id));
	return 0;
}

int control_device_del(struct control_call *call, struct err *e)
{
	struct machine *m = call->c->m;
	const char *id = json_string_value(json_object_get(call->args, "id"));
	struct device *dev = device_find(m, id);

	if (!dev)
		return err_set(e, -ENOENT, "no device \"%.60s\"; \"status\" lists them", id);
	if (!m->board->unplug)
		return err_set(e, -EOPNOTSUPP, "%.60s is the board's own; it stays", id);
	return m->board->unplug(m, dev, json_is_true(json_object_get(call->args, "force")), e);
}
