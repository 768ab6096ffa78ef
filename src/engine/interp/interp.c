/* SPDX-License-Identifier: MIT */
/*
 * interp.c - the engine "interp": the software engines' common part and nothing more, since a
 * translator needs all of it too, for the code that it does not translate.
 */
#include "engine/interp/interp.h"

#include "engine/soft/run.h"
#include "engine/soft/soft.h"

static int interp_probe(struct err *e)
{
	return 0;
}

const struct engine_ops interp_engine = {
	.name = "interp",
	.doc = "interpreter: runs everywhere, the reference for the other engines",
	.probe = interp_probe,
	.limit_features = soft_limit_features,
	.init = soft_run_init,
	.destroy = soft_destroy,
	.vcpu_init = soft_cpu_init,
	.vcpu_destroy = soft_cpu_destroy,
	.run = soft_run,
	.kick = soft_kick,
	.sync = soft_sync,
	.state_changed = soft_vcpu_state_changed,
	.access_begin = soft_access_begin,
	.access_end = soft_access_end,
	.pc = soft_pc,
	.set_debug = soft_set_debug,
	.stats = soft_put_stats,
};
