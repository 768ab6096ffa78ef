/* SPDX-License-Identifier: MIT */
/*
 * map.c - which instruction host code belongs to: where each begins is marked when the code is
 * made.
 */
#include "engine/jit/jit.h"

const struct jit_mark *jit_mark_at(const struct jit_code *c, const void *rx)
{
	unsigned at = (unsigned)((const u8 *)rx - c->start);
	unsigned low = 0, high = c->nr_marks;

	while (high - low > 1) {
		unsigned middle = (low + high) / 2;

		if (c->mark[middle].at <= at)
			low = middle;
		else
			high = middle;
	}
	return &c->mark[low];
}

bool jit_place(const struct jit *j, const void *rx, struct jit_place *found)
{
	const struct jit_code *c = jit_code_at(j, rx);
	const struct jit_mark *m;

	if (!c || !c->nr_marks)
		return false;
	m = jit_mark_at(c, rx);
	*found = (struct jit_place){.block = c->block, .begin = c->start, .end = c->end};
	if (c->start + m->at > (const u8 *)rx) { /* the way in */
		found->end = c->start + m->at;
		return true;
	}
	found->op = jit_mark_op(c, m);
	found->begin = c->start + m->at;
	if (m + 1 < c->mark + c->nr_marks)
		found->end = c->start + m[1].at;
	return true;
}
