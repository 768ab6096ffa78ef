/* SPDX-License-Identifier: MIT */
/*
 * state.c - a device's state to bytes and back, as its table says.
 *
 * Format: the type's version (2 bytes), then each field in the order of the table: integers
 * little-endian in their size, a timer as its deadline (8 bytes), a blob as it is.  A field
 * newer than the saved version keeps the value that reset gave it.
 */
#include <errno.h>
#include <stdlib.h>

#include "sundog/device.h"
#include "sundog/err.h"
#include "sundog/loop.h"
#include "sundog/machine.h"

void buf_add(struct buf *b, const void *p, size_t len)
{
	if (b->failed || !len)
		return;
	if (len > b->cap - b->len) {
		size_t cap = (b->len + len) * 2;
		u8 *data = realloc(b->data, cap);

		if (!data) {
			b->failed = true;
			return;
		}
		b->data = data;
		b->cap = cap;
	}
	memcpy(b->data + b->len, p, len);
	b->len += len;
}

const void *buf_take(struct buf *b, size_t len)
{
	const u8 *p = b->data + b->pos;

	if (b->failed || !range_fits(b->pos, len, b->len)) {
		b->failed = true;
		return NULL;
	}
	b->pos += len;
	return p;
}

void buf_destroy(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

static void save_int(struct buf *b, const void *p, size_t size)
{
	u8 out[8];
	u64 v = 0;

	switch (size) {
	case 1: v = *(const u8 *)p; break;
	case 2: v = *(const u16 *)p; break;
	case 4: v = *(const u32 *)p; break;
	case 8: v = *(const u64 *)p; break;
	default: b->failed = true; return; /* our own table is wrong */
	}
	st_le64(out, v);
	buf_add(b, out, size);
}

static void load_int(struct buf *b, void *p, size_t size)
{
	const u8 *in = buf_take(b, size);

	if (!in)
		return;
	switch (size) {
	case 1: *(u8 *)p = *in; break;
	case 2: *(u16 *)p = ld_le16(in); break;
	case 4: *(u32 *)p = ld_le32(in); break;
	case 8: *(u64 *)p = ld_le64(in); break;
	default: b->failed = true; break;
	}
}

static void save_fields(const struct state_field *f, const u8 *obj, struct buf *b)
{
	for (; f->name; f++) {
		const u8 *p = obj + f->offset;
		size_t n = f->kind == STATE_ARRAY ? f->count : 1;

		switch (f->kind) {
		case STATE_INT: save_int(b, p, f->size); break;
		case STATE_TIMER:
			save_int(b, &((const struct timer *)(const void *)p)->deadline, 8);
			break;
		case STATE_BLOB: buf_add(b, p, f->size); break;
		case STATE_STRUCT:
		case STATE_ARRAY:
			for (size_t i = 0; i < n; i++) {
				if (f->sub)
					save_fields(f->sub, p + i * f->size, b);
				else
					save_int(b, p + i * f->size, f->size);
			}
			break;
		}
	}
}

static void load_timer(struct device *dev, struct timer *t, struct buf *b)
{
	u64 deadline = 0;

	load_int(b, &deadline, 8);
	timer_cancel(dev->machine->loop, t);
	if (deadline)
		timer_arm(dev->machine->loop, t, deadline);
}

static void load_fields(struct device *dev, const struct state_field *f, u16 version, u8 *obj,
			struct buf *b)
{
	for (; f->name && !b->failed; f++) {
		u8 *p = obj + f->offset;
		size_t n = f->kind == STATE_ARRAY ? f->count : 1;
		const void *in;

		if (f->since > version)
			continue;
		switch (f->kind) {
		case STATE_INT: load_int(b, p, f->size); break;
		case STATE_TIMER: load_timer(dev, (struct timer *)(void *)p, b); break;
		case STATE_BLOB:
			in = buf_take(b, f->size);
			if (in)
				memcpy(p, in, f->size);
			break;
		case STATE_STRUCT:
		case STATE_ARRAY:
			for (size_t i = 0; i < n; i++) {
				if (f->sub)
					load_fields(dev, f->sub, version, p + i * f->size, b);
				else
					load_int(b, p + i * f->size, f->size);
			}
			break;
		}
	}
}

int device_save(struct device *dev, struct buf *b)
{
	save_int(b, &dev->type->version, 2);
	if (dev->type->state)
		save_fields(dev->type->state, (const u8 *)dev, b);
	return b->failed ? -ENOMEM : 0;
}

int device_load(struct device *dev, struct buf *b, struct err *e)
{
	u16 version = 0;

	load_int(b, &version, 2);
	if (!b->failed && version > dev->type->version)
		return err_set(e, -EINVAL, "%s: state of version %u, we know up to %u", dev->id,
			       version, dev->type->version);
	if (dev->type->state)
		load_fields(dev, dev->type->state, version, (u8 *)dev, b);
	if (b->failed)
		return err_set(e, -EINVAL, "%s: the saved state is cut short", dev->id);
	return dev->type->post_load ? dev->type->post_load(dev, e) : 0;
}
