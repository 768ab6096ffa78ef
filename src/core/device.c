/* SPDX-License-Identifier: MIT */
/* device.c - adding, finding, resetting and removing devices. */
#include "sundog/device.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "sundog/err.h"
#include "sundog/machine.h"
#include "sundog/opts.h"
#include "sundog/trace.h"

const struct device_type *device_type_find(const char *name)
{
	for (const struct device_type *const *t = device_types; *t; t++) {
		if (!strcmp((*t)->name, name))
			return *t;
	}
	return NULL;
}

struct device *device_find(struct machine *m, const char *id)
{
	struct device *dev;

	lock(&m->lock);
	for (dev = m->devices; dev && strcmp(dev->id, id); dev = dev->next)
		;
	unlock(&m->lock);
	return dev;
}

static const struct device_type *find_type(const char *name, struct err *e)
{
	const struct device_type *type = device_type_find(name);
	const char *names[256], *near;
	size_t n = 0;

	if (type)
		return type;
	while (n < ARRAY_SIZE(names) - 1 && device_types[n]) {
		names[n] = device_types[n]->name;
		n++;
	}
	names[n] = NULL;
	near = nearest(name, names);
	if (near)
		err_set(e, -EINVAL, "no device '%s': did you mean '%s'?", name, near);
	else
		err_set(e, -EINVAL, "no device '%s': --device=help lists them", name);
	return NULL;
}

/* The id the user gave, or the first free of type0, type1, ...  NULL and *e. */
static char *choose_id(struct machine *m, const struct device_type *type, const struct opts *o,
		       struct err *e)
{
	const char *given = opts_get(o, "id");
	char text[80];
	char *id = NULL;

	if (given) {
		if (!*given || device_find(m, given)) {
			err_set(e, -EINVAL, "%s: id '%s' is %s", type->name, given,
				*given ? "taken" : "empty");
			return NULL;
		}
		id = strdup(given);
	}
	for (unsigned i = 0; !given && !id; i++) {
		snprintf(text, sizeof(text), "%s%u", type->name, i);
		if (device_find(m, text))
			continue;
		id = strdup(text);
		if (!id)
			break;
	}
	if (!id)
		err_set(e, -ENOMEM, "out of memory");
	return id;
}

static void device_free(struct device *dev)
{
	lock_destroy(&dev->lock);
	opts_free(dev->strings);
	free((char *)dev->id);
	free(dev);
}

/* At the end: reset and, backwards, removal go in the order of adding. */
static void link_device(struct machine *m, struct device *dev)
{
	struct device **p;

	lock(&m->lock);
	for (p = &m->devices; *p; p = &(*p)->next)
		;
	*p = dev;
	unlock(&m->lock);
}

static void unlink_device(struct machine *m, struct device *dev)
{
	struct device **p;

	lock(&m->lock);
	for (p = &m->devices; *p && *p != dev; p = &(*p)->next)
		;
	if (*p)
		*p = dev->next;
	unlock(&m->lock);
}

static void reset_device(struct device *dev)
{
	if (!dev->type->reset)
		return;
	lock(&dev->lock);
	dev->type->reset(dev);
	unlock(&dev->lock);
}

/* A handler may still run that was entered before the regions were unmapped. */
static void wait_for_accesses(struct machine *m)
{
	if (m->mem)
		as_synchronize(m->mem);
	if (m->pio)
		as_synchronize(m->pio);
}

struct device *device_add(struct machine *m, const struct opts *o, struct err *e)
{
	const struct device_type *type = find_type(opts_type(o), e);
	struct device *dev;

	if (!type)
		return NULL;
	dev = calloc(1, type->size);
	if (!dev) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	dev->type = type;
	dev->machine = m;
	lock_init(&dev->lock, LOCK_DEVICE, type->name);
	dev->strings = opts_copy(o);
	if (!dev->strings) {
		err_set(e, -ENOMEM, "out of memory");
		goto fail;
	}
	dev->id = choose_id(m, type, o, e);
	if (!dev->id || opts_apply(dev->strings, type->params, dev, e))
		goto fail;
	if (type->realize && type->realize(dev, e)) {
		err_prefix(e, "%s: ", dev->id);
		wait_for_accesses(m);
		goto fail;
	}
	link_device(m, dev);
	reset_device(dev);
	return dev;
fail:
	device_free(dev);
	return NULL;
}

void device_del(struct device *dev)
{
	struct machine *m = dev->machine;

	unlink_device(m, dev);
	if (dev->type->unrealize)
		dev->type->unrealize(dev);
	wait_for_accesses(m);
	device_free(dev);
}

void device_reset_all(struct machine *m)
{
	/* Devices come and go on this thread only; a reset takes the devices' locks, not m's. */
	for (struct device *dev = m->devices; dev; dev = dev->next)
		reset_device(dev);
}

void device_del_all(struct machine *m)
{
	while (m->devices) {
		struct device *last = m->devices;

		while (last->next)
			last = last->next;
		device_del(last);
	}
}

void guest_error(struct device *dev, const char *what)
{
	trace_guest_error(dev->id, what);
	atomic_fetch_add_explicit(&dev->machine->guest_errors, 1, memory_order_relaxed);
}
