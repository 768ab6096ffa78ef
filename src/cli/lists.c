/* SPDX-License-Identifier: MIT */
/* What "help" as an option's value prints. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "chardev/backend.h"
#include "cli/lists.h"
#include "sundog/block.h"
#include "sundog/device.h"
#include "sundog/engine.h"
#include "sundog/err.h"
#include "sundog/isa.h"
#include "sundog/opts.h"

void list_engines(FILE *f)
{
	fprintf(f, "%-20s %s\n", "auto", "the first of these that works here; the default");
	for (int i = 0; engines[i]; i++)
		fprintf(f, "%-20s %s\n", engines[i]->name, engines[i]->doc);
}

void list_cpus(FILE *f)
{
	for (int i = 0; x86_isa.models[i]; i++)
		fprintf(f, "%s\n", x86_isa.models[i]);
}

void list_devices(FILE *f)
{
	for (int i = 0; device_types[i]; i++)
		fprintf(f, "%-20s %s\n", device_types[i]->name, device_types[i]->doc);
	fputs("\n--device NAME,help lists the options of one.\n", f);
}

void list_consoles(FILE *f)
{
	for (int i = 0; chardev_backends[i]; i++) {
		const struct chardev_backend *b = chardev_backends[i];
		int n = fprintf(f, b->arg ? "%s:%s" : "%s", b->name, b->arg);

		fprintf(f, "%*s %s\n", n < 20 ? 20 - n : 0, "", b->doc);
	}
}

static void list_params(const struct param *p, FILE *f)
{
	for (; p && p->name; p++)
		fprintf(f, "  %-18s %s (default: %s)\n", p->name, p->doc ? p->doc : "",
			!p->dflt   ? "none, must be given"
			: *p->dflt ? p->dflt
				   : "none");
}

void list_disk_keys(FILE *f)
{
	fputs("FILE[,KEY=VALUE]...: the image, and\n", f);
	fprintf(f, "  %-18s %s\n", "id",
		"how --device and the control socket call it (default: diskN)");
	list_params(blk_params, f);
}

int list_device(const char *name, FILE *f, struct err *e)
{
	const char *names[128], *near;
	size_t n = 0;

	for (; device_types[n] && n < ARRAY_SIZE(names) - 1; n++) {
		const struct device_type *t = device_types[n];

		names[n] = t->name;
		if (strcmp(t->name, name) != 0)
			continue;
		fprintf(f, "%s: %s\n", t->name, t->doc);
		list_params(t->params, f);
		return 0;
	}
	names[n] = NULL;
	near = nearest(name, names);
	if (near)
		return err_set(e, -EINVAL, "there is no device %s; did you mean %s?", name, near);
	return err_set(e, -EINVAL, "there is no device %s; --device help lists them", name);
}
