/* SPDX-License-Identifier: MIT */
/*
 * map.c - which instruction of a block host code belongs to, for those who look from outside:
 * signal handlers and profilers.
 *
 * Stored behind the code of a block, a byte or two an entry: how many bytes after the one before
 * it begins (MORE: that many, and more follows), and of the ways out of line, which come last,
 * the op.  The first nr_ops entries are those of the ops in order.
 */
#include "engine/jit/translate.h"

enum { MORE = 255 };

void tr_place(struct tr *t, unsigned op)
{
	u32 off = (u32)(t->e.p - (u8 *)t->code);

	if (t->nr_places < ARRAY_SIZE(t->place))
		t->place[t->nr_places++] = (struct tr_place){off, (u8)op};
}

void tr_store_map(struct tr *t)
{
	u32 at = 0;

	t->code->code_len = (u32)(t->e.p - (u8 *)t->code);
	t->code->nr_places = (u16)t->nr_places;
	for (unsigned i = 0; i < t->nr_places; i++) {
		const struct tr_place *p = &t->place[i];

		for (; p->off - at >= MORE; at += MORE)
			emit8(&t->e, MORE);
		emit8(&t->e, (u8)(p->off - at));
		at = p->off;
		if (i >= t->b->nr_ops)
			emit8(&t->e, p->op);
	}
}

/* The code that has the byte at rw in it.  Codes stand one behind the other. */
static const struct jit_code *code_at(const struct jit *j, const u8 *rw)
{
	for (unsigned half = 0; half < NR_HALVES; half++) {
		const u8 *p = jit_half_start(j, half), *end = jit_half_used(j, half);

		while (p < end && p <= rw) {
			const struct jit_code *c = (const struct jit_code *)(const void *)p;

			p += c->size;
			if (rw < p)
				return c;
		}
	}
	return NULL;
}

bool jit_place(const struct jit *j, const void *rx, struct jit_place *found)
{
	u64 in_cache = (u64)((const u8 *)rx - j->rx);
	const struct jit_code *c = in_cache < j->size ? code_at(j, j->rw + in_cache) : NULL;
	const u8 *p;
	u32 off, at = 0, begin;
	int op = -1;

	if (!c || (const u8 *)rx < c->far_entry)
		return false;
	begin = (u32)(c->far_entry - jit_rx(j, (const u8 *)c));
	off = (u32)(j->rw + in_cache - (const u8 *)c);
	p = (const u8 *)c + c->code_len;
	for (unsigned i = 0; i < c->nr_places; i++) {
		for (; *p == MORE; p++)
			at += MORE;
		at += *p++;
		if (at > off)
			break;
		begin = at;
		op = i < c->block->nr_ops ? (int)i : *p++;
	}
	*found = (struct jit_place){
		.block = c->block,
		.op = op < 0 ? NULL : &c->block->ops[op],
		.begin = jit_rx(j, (const u8 *)c) + begin,
		.end = jit_rx(j, (const u8 *)c) + (at > off ? at : c->code_len),
	};
	return off < c->code_len;
}
