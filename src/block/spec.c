/* SPDX-License-Identifier: MIT */
/* spec.c - a disk's options, as a user writes them. */
#include <errno.h>

#include "sundog/block.h"
#include "sundog/err.h"
#include "sundog/opts.h"

#define SPEC(member) offsetof(struct blk_spec, member)

/* Named as QEMU's -drive names them, where it has them. */
const struct param blk_params[] = {
	{"format", PARAM_STR, SPEC(cfg.format), "", "raw or qcow2; else the file's name says it"},
	{"device", PARAM_STR, SPEC(device), "virtio", "virtio, nvme, or none: --device uses it"},
	{"serial", PARAM_STR, SPEC(serial), "", "the serial number that the guest sees"},
	{"ro", PARAM_BOOL, SPEC(cfg.read_only), "off", "the guest cannot write"},
	{"overlay", PARAM_STR, SPEC(cfg.overlay), "off",
	 "leave FILE as it is: writes go to this qcow2 file, or are thrown away at the end"},
	{"backing", PARAM_STR, SPEC(cfg.backing), "",
	 "the backing image, instead of what FILE says"},
	{"backing-format", PARAM_STR, SPEC(cfg.backing_format), "", "its format"},
	{"snapshot", PARAM_STR, SPEC(cfg.snapshot), "", "read this internal snapshot; with ro"},
	{"cache", PARAM_STR, SPEC(cache), "writeback",
	 "writeback, none (O_DIRECT) or unsafe (flushes are not waited for)"},
	{"aio", PARAM_STR, SPEC(aio), "io_uring", "io_uring, if the host has it, or threads"},
	{"lock", PARAM_BOOL, SPEC(lock), "on", "off: others may have it open, too"},
	{"on-error", PARAM_STR, SPEC(on_error), "enospc",
	 "report errors to the guest, stop the machine, or stop it on enospc only"},
	{"iops", PARAM_SIZE, SPEC(cfg.limits.iops), "0", "operations a second; 0: no limit"},
	{"iops_rd", PARAM_SIZE, SPEC(cfg.limits.iops_read), "0", "of them reads"},
	{"iops_wr", PARAM_SIZE, SPEC(cfg.limits.iops_write), "0", "of them writes"},
	{"bps", PARAM_SIZE, SPEC(cfg.limits.bps), "0", "bytes a second; 0: no limit"},
	{"bps_rd", PARAM_SIZE, SPEC(cfg.limits.bps_read), "0", "of them read"},
	{"bps_wr", PARAM_SIZE, SPEC(cfg.limits.bps_write), "0", "of them written"},
	{"log", PARAM_STR, SPEC(cfg.log), "", "record what is written to FILE there, for tests"},
	{NULL},
};

/* The index of a value in the NULL-ended names. */
static int choose(const struct blk_spec *s, const char *key, const char *value,
		  const char *const *names, struct err *e)
{
	const char *near = nearest(value, names);

	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], value) == 0)
			return i;
	return err_set(e, -EINVAL, "%s: %s=%s is unknown%s%s; --disk help lists what there is",
		       s->cfg.file, key, value, near ? "; did you mean " : "", near ? near : "");
}

static const char *null_if_empty(const char *s)
{
	return *s ? s : NULL;
}

static int interpret(struct blk_spec *s, struct err *e)
{
	static const char *const caches[] = {"writeback", "none", "unsafe", NULL};
	static const char *const policies[] = {"report", "stop", "enospc", NULL};
	static const char *const aios[] = {"io_uring", "threads", NULL};
	static const char *const devices[] = {"virtio", "nvme", "none", NULL};
	struct blk_cfg *cfg = &s->cfg;
	int cache = choose(s, "cache", s->cache, caches, e);
	int policy = cache < 0 ? cache : choose(s, "on-error", s->on_error, policies, e);
	int device = policy < 0 ? policy : choose(s, "device", s->device, devices, e);
	int aio = device < 0 ? device : choose(s, "aio", s->aio, aios, e);

	if (aio < 0)
		return aio;
	cfg->threads = aio == 1;
	cfg->direct = cache == 1;
	cfg->unsafe = cache == 2;
	cfg->no_lock = !s->lock;
	cfg->on_error = (enum blk_on_error)policy;
	cfg->format = null_if_empty(cfg->format);
	cfg->backing = null_if_empty(cfg->backing);
	cfg->backing_format = null_if_empty(cfg->backing_format);
	cfg->snapshot = null_if_empty(cfg->snapshot);
	cfg->log = null_if_empty(cfg->log);
	if (strcmp(cfg->overlay, "on") == 0)
		cfg->overlay = "";
	else if (strcmp(cfg->overlay, "off") == 0)
		cfg->overlay = NULL;
	else if (!*cfg->overlay)
		return err_set(e, -EINVAL,
			       "%s: overlay= names no file; write overlay, or overlay=FILE",
			       cfg->file);
	if (cfg->overlay && cfg->read_only)
		return err_set(e, -EINVAL,
			       "%s: an overlay takes writes, which ro forbids; drop one",
			       cfg->file);
	return 0;
}

int blk_spec_parse(struct blk_spec *s, const char *text, struct err *e)
{
	int r;

	*s = (struct blk_spec){0};
	if (strncmp(text, "file=", 5) == 0)
		text += 5;
	s->opts = opts_parse_path(text, e);
	if (!s->opts)
		return e->code;
	s->cfg.file = opts_type(s->opts);
	r = opts_apply(s->opts, blk_params, s, e);
	s->cfg.id = opts_get(s->opts, "id");
	return r ? r : interpret(s, e);
}

void blk_spec_destroy(struct blk_spec *s)
{
	opts_free(s->opts);
	*s = (struct blk_spec){0};
}
