/* SPDX-License-Identifier: MIT */
/* fast.c - handlers for the frequent forms of the frequent instructions. */
#include "engine/interp/interp.h"

bool interp_is_direct(const struct op *op, block_key key)
{
	return false;
}

exec_fn *interp_fast(const struct op *op, block_key key)
{
	return NULL;
}
