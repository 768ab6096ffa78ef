/* SPDX-License-Identifier: MIT */
/* cache.c - L2 tables and refcount blocks in memory, and the commit that writes them back. */
#include <errno.h>
#include <stdlib.h>

#include "block/qcow2/qcow2.h"

int q_cache_init(struct qcache *c, u32 slots, u32 limit)
{
	*c = (struct qcache){.slots = slots, .limit = limit};
	c->page = calloc(slots ? slots : 1, sizeof(*c->page));
	c->hand = &c->pages;
	return c->page ? 0 : -ENOMEM;
}

int q_cache_grow(struct qcache *c, u32 slots)
{
	struct qpage **page = calloc(slots ? slots : 1, sizeof(*page));

	if (!page)
		return -ENOMEM;
	memcpy(page, c->page, (slots < c->slots ? slots : c->slots) * sizeof(*page));
	free(c->page);
	c->page = page;
	c->slots = slots;
	return 0;
}

void q_cache_free(struct qcache *c)
{
	while (c->pages) {
		struct qpage *p = c->pages;

		c->pages = p->next;
		free(p);
	}
	free(c->page);
	*c = (struct qcache){0};
}

void q_page_dirty(struct qpage *p, u32 off, u32 len)
{
	u32 lo = off / BLK_SECTOR * BLK_SECTOR;
	u32 hi = (off + len + BLK_SECTOR - 1) / BLK_SECTOR * BLK_SECTOR;

	if (p->lo == p->hi) {
		p->lo = lo;
		p->hi = hi;
		return;
	}
	p->lo = lo < p->lo ? lo : p->lo;
	p->hi = hi > p->hi ? hi : p->hi;
}

/* Drop the first clean page that was not used since the hand last came by. */
static bool evict(struct qcow *q, struct qcache *c)
{
	for (u32 i = 0; i < 2 * c->nr; i++) {
		struct qpage *p = *c->hand;

		if (!p) {
			c->hand = &c->pages;
			p = *c->hand;
		}
		if (p->used || p->fresh || p->lo != p->hi) {
			p->used = false;
			c->hand = &p->next;
			continue;
		}
		lock(&q->map);
		*c->hand = p->next;
		c->page[p->slot] = NULL;
		unlock(&q->map);
		c->nr--;
		free(p);
		return true;
	}
	return false;
}

static int make_room(struct qcow *q, struct qcache *c)
{
	int r;

	if (c->nr < c->limit || evict(q, c))
		return 0;
	r = q_commit_locked(q);
	/* Refcounts that have fallen are nobody's hurry, so a commit leaves them. */
	if (r == 0 && c == &q->rb)
		r = q_write_refcounts_locked(q);
	if (r == 0)
		evict(q, c);
	return r;
}

struct qpage *q_page_get(struct qcow *q, struct qcache *c, u32 slot, u64 host, bool load, int *r)
{
	struct qpage *p = c->page[slot];

	*r = 0;
	if (p) {
		p->used = true;
		return p;
	}
	*r = make_room(q, c);
	if (*r)
		return NULL;
	p = calloc(1, sizeof(*p) + q->cluster);
	if (!p) {
		*r = -ENOMEM;
		return NULL;
	}
	p->host = host;
	p->slot = slot;
	p->used = true;
	*r = load ? hf_pread(q->file, host, p->data, q->cluster) : 0;
	if (*r) {
		free(p);
		return NULL;
	}
	p->next = c->pages;
	if (c->hand == &c->pages)
		c->hand = &p->next;
	c->pages = p;
	c->nr++;
	lock(&q->map);
	c->page[slot] = p;
	unlock(&q->map);
	return p;
}

void q_page_drop(struct qcow *q, struct qcache *c, u32 slot)
{
	struct qpage *p = c->page[slot], **pp = &c->pages;

	if (!p)
		return;
	while (*pp != p)
		pp = &(*pp)->next;
	if (c->hand == &p->next)
		c->hand = pp;
	lock(&q->map);
	*pp = p->next;
	c->page[slot] = NULL;
	unlock(&q->map);
	c->nr--;
	free(p);
}

/*
 * After a failed sync the host has forgotten what it could not write, so nothing that was
 * written before can be relied on: no more changes.  Lack of room may be harmless; if the host's
 * page cache has lost something by it, the next sync fails for more than that (hostfile.h).
 */
int q_sync(struct qcow *q)
{
	int r = q->data != q->file ? hf_sync(q->data) : 0;

	if (r == 0)
		r = hf_sync(q->file);
	if (r && r != -ENOSPC && r != -EDQUOT) {
		lock(&q->map);
		q->failed = true;
		unlock(&q->map);
	}
	return r;
}

static int write_page(struct qcow *q, struct qpage *p)
{
	u32 lo = p->fresh ? 0 : p->lo, hi = p->fresh ? q->cluster : p->hi;

	return lo == hi ? 0 : hf_pwrite(q->file, p->host + lo, p->data + lo, hi - lo);
}

static int write_pages(struct qcow *q, struct qcache *c, bool fresh)
{
	int r = 0;

	for (struct qpage *p = c->pages; p && r == 0; p = p->next)
		if (p->fresh == fresh)
			r = write_page(q, p);
	return r;
}

static void pages_clean(struct qcache *c, bool fresh)
{
	for (struct qpage *p = c->pages; p; p = p->next) {
		if (p->fresh != fresh)
			continue;
		p->fresh = false;
		p->lo = p->hi = 0;
	}
}

static int write_l1(struct qcow *q)
{
	u32 lo = q->l1_lo / 64 * 64, hi = (q->l1_hi + 63) / 64 * 64, n;
	u8 *buf;
	int r;

	if (q->l1_lo == q->l1_hi)
		return 0;
	hi = hi > q->l1_size ? q->l1_size : hi;
	n = hi - lo;
	buf = malloc(n * 8ul);
	if (!buf)
		return -ENOMEM;
	for (u32 i = 0; i < n; i++)
		st_be64(buf + i * 8, q->l1[lo + i]);
	r = hf_pwrite(q->file, q->l1_off + lo * 8ull, buf, n * 8ul);
	free(buf);
	return r;
}

int q_write_refcounts_locked(struct qcow *q)
{
	int r;

	if (!q->rb_dirty)
		return 0;
	r = write_pages(q, &q->rb, false);
	if (r == 0)
		r = q_sync(q);
	if (r)
		return r;
	pages_clean(&q->rb, false);
	q->rb_dirty = false;
	return 0;
}

static int drop_refs(struct qcow *q, u64 cluster, u64 nr)
{
	u64 free_from = cluster;

	for (u64 i = 0; i <= nr; i++) {
		u64 left = 1;
		int r = i < nr ? q_rc_add(q, cluster + i, 1, -1) : 0;

		if (r == 0 && i < nr)
			r = q_rc_get(q, cluster + i, &left);
		if (r == 0 && i < nr && left == 0)
			continue;
		if (cluster + i > free_from)
			hf_discard(q->file, free_from << q->cluster_bits,
				   (cluster + i - free_from) << q->cluster_bits);
		free_from = cluster + i + 1;
		if (r)
			return r;
	}
	return 0;
}

/* Is a request under way that may still use what limbo holds? */
static bool limbo_in_use(struct qcow *q)
{
	bool in_use = false;

	lock(&q->map);
	for (struct qop *op = q->ops; op; op = op->next)
		in_use |= op->gen < q->limbo_gen;
	unlock(&q->map);
	return in_use;
}

/* An error here leaks clusters, and harms nothing else. */
void q_reap_locked(struct qcow *q)
{
	struct qrefs refs = q->limbo;

	if (!refs.nr || q->corrupt || limbo_in_use(q))
		return;
	q->limbo = (struct qrefs){0};
	blk_quiesce_begin(q->b);
	for (size_t i = 0; i < refs.nr; i++)
		if (drop_refs(q, refs.ref[i].cluster, refs.ref[i].nr))
			break;
	blk_quiesce_end(q->b);
	free(refs.ref);
}

static void freed_to_limbo(struct qcow *q)
{
	if (!q->freed.nr)
		return;
	if (!q->limbo.nr) {
		free(q->limbo.ref);
		q->limbo = q->freed;
		q->freed = (struct qrefs){0};
	} else {
		for (size_t i = 0; i < q->freed.nr; i++)
			if (q_refs_add(&q->limbo, q->freed.ref[i].cluster, q->freed.ref[i].nr))
				break;
		q->freed.nr = 0;
	}
	lock(&q->map);
	q->limbo_gen = ++q->gen;
	unlock(&q->map);
}

static int commit_order(struct qcow *q)
{
	int r = 0;

	if (!(q->incompatible & QI_DIRTY) && q->rb_dirty)
		r = write_pages(q, &q->rb, false);
	if (r == 0)
		r = write_pages(q, &q->l2, true);
	if (r == 0)
		r = q_sync(q);
	if (r)
		return r;
	if (!(q->incompatible & QI_DIRTY)) {
		pages_clean(&q->rb, false);
		q->rb_dirty = false;
	}
	pages_clean(&q->l2, true);
	r = write_pages(q, &q->l2, false);
	if (r == 0)
		r = write_l1(q);
	if (r == 0)
		r = q_sync(q);
	if (r)
		return r;
	pages_clean(&q->l2, false);
	q->l1_lo = q->l1_hi = 0;
	q->l2_dirty = false;
	return 0;
}

int q_commit_locked(struct qcow *q)
{
	int r;

	if (!q->l2_dirty)
		return 0;
	if (q->corrupt || q->failed)
		return -EIO;
	r = commit_order(q);
	if (r)
		return r;
	freed_to_limbo(q);
	return 0;
}

int q_defer_locked(struct qcow *q, u64 cluster, u64 nr)
{
	return q_refs_add(&q->freed, cluster, nr);
}
