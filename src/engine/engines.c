/* SPDX-License-Identifier: MIT */
/* engines.c - the list of engines, fastest first: what --engine=auto tries in order. */
#include "engine/interp/interp.h"
#include "engine/jit/jit.h"

const struct engine_ops *const engines[] = {
	&jit_engine,
	&interp_engine,
	NULL,
};
