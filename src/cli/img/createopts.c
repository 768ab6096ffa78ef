/* SPDX-License-Identifier: MIT */
/* createopts.c - how a new image is to be: the keys of --option. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/img/img.h"
#include "sundog/device.h"
#include "sundog/opts.h"

struct parsed {
	u64 cluster_size;
	u32 refcount_bits;
	bool lazy_refcounts, extended_l2, data_file_raw;
	const char *compat, *compression, *data_file, *prealloc;
};

#define AT(member) offsetof(struct parsed, member)
#define PREALLOCATION                                                                  \
	{                                                                              \
		"preallocation", PARAM_STR, AT(prealloc), "off", "off, falloc or full" \
	}

static const struct param raw_params[] = {
	PREALLOCATION,
	{NULL},
};

static const struct param qcow2_params[] = {
	{"cluster_size", PARAM_SIZE, AT(cluster_size), "0", "512 to 2M"},
	{"compat", PARAM_STR, AT(compat), "1.1", "0.10 (v2) or 1.1 (v3)"},
	{"refcount_bits", PARAM_U32, AT(refcount_bits), "0", "1 to 64"},
	{"compression_type", PARAM_STR, AT(compression), "", "zlib or zstd"},
	{"lazy_refcounts", PARAM_BOOL, AT(lazy_refcounts), "off", ""},
	{"extended_l2", PARAM_BOOL, AT(extended_l2), "off", ""},
	{"data_file", PARAM_STR, AT(data_file), "", "a raw file for the guest's bytes"},
	{"data_file_raw", PARAM_BOOL, AT(data_file_raw), "off", ""},
	PREALLOCATION,
	{NULL},
};

static int choose(const char *key, const char *value, const char *const *names, struct err *e)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], value) == 0)
			return i;
	return err_set(e, -EINVAL, "%s=%s is unknown; see --help", key, value);
}

/* "FORMAT,KEY=VALUE,...": what opts_parse() takes. */
static char *join(const char *format, const struct strlist *list)
{
	size_t len = strlen(format) + 1;
	char *s;

	for (size_t i = 0; i < list->n; i++)
		len += strlen(list->items[i]) + 1;
	s = malloc(len);
	if (!s)
		return NULL;
	strcpy(s, format);
	for (size_t i = 0; i < list->n; i++)
		strcat(strcat(s, ","), list->items[i]);
	return s;
}

static int interpret(const struct parsed *p, struct blk_create *c, struct err *e)
{
	static const char *const compats[] = {"0.10", "1.1", "v2", "v3", NULL};
	static const char *const compressions[] = {"zlib", "zstd", NULL};
	static const char *const preallocs[] = {
		[PREALLOC_OFF] = "off",
		[PREALLOC_METADATA] = "metadata",
		[PREALLOC_FALLOC] = "falloc",
		[PREALLOC_FULL] = "full",
		NULL,
	};
	int r;

	if (p->cluster_size > 2 << 20)
		return err_set(e, -EINVAL, "cluster_size is at most 2M; the default is 64K");
	c->cluster_size = (u32)p->cluster_size;
	c->refcount_bits = p->refcount_bits;
	c->lazy_refcounts = p->lazy_refcounts;
	c->extended_l2 = p->extended_l2;
	c->data_file_raw = p->data_file_raw;
	c->data_file = p->data_file && *p->data_file ? p->data_file : NULL;
	if (p->compat) {
		r = choose("compat", p->compat, compats, e);
		if (r < 0)
			return r;
		c->version = r % 2 ? 3 : 2;
	}
	if (p->compression && *p->compression) {
		r = choose("compression_type", p->compression, compressions, e);
		if (r < 0)
			return r;
		c->compression = compressions[r];
	}
	r = choose("preallocation", p->prealloc, preallocs, e);
	if (r < 0)
		return r;
	c->prealloc = (enum blk_prealloc)r;
	return 0;
}

int img_create_options(const struct strlist *list, struct blk_create *c, struct opts **opts,
		       struct err *e)
{
	struct parsed p = {0};
	char *spec = join(c->format, list);
	int r;

	*opts = NULL;
	if (!spec)
		return img_no_memory(e);
	*opts = opts_parse(spec, e);
	free(spec);
	if (!*opts)
		return e->code;
	r = opts_apply(*opts, strcmp(c->format, "raw") ? qcow2_params : raw_params, &p, e);
	return r ? r : interpret(&p, c, e);
}
