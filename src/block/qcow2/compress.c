/* SPDX-License-Identifier: MIT */
/* compress.c - compressed clusters, by zlib and zstd. */
#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "block/qcow2/qcow2.h"

enum { WINDOW_BITS = 12 }; /* of raw deflate, as QEMU writes it */

static int inflate_cluster(u8 *to, u32 to_len, const u8 *from, u32 len)
{
	z_stream z = {
		.next_in = (Bytef *)from, .avail_in = len, .next_out = to, .avail_out = to_len};
	int r = inflateInit2(&z, -MAX_WBITS);

	if (r != Z_OK)
		return -ENOMEM;
	(void)inflate(&z, Z_FINISH);
	r = z.avail_out ? -EIO : 0;
	inflateEnd(&z);
	return r;
}

static int unzstd_cluster(u8 *to, u32 to_len, const u8 *from, u32 len)
{
	ZSTD_DCtx *z = ZSTD_createDCtx();
	ZSTD_inBuffer in = {from, len, 0};
	ZSTD_outBuffer out = {to, to_len, 0};

	if (!z)
		return -ENOMEM;
	while (out.pos < out.size) {
		size_t before = in.pos + out.pos;

		if (ZSTD_isError(ZSTD_decompressStream(z, &out, &in)) || in.pos + out.pos == before)
			break;
	}
	ZSTD_freeDCtx(z);
	return out.pos == out.size ? 0 : -EIO;
}

void q_unpacked_forget(struct qcow *q, u64 cluster)
{
	struct qunpacked *u = &q->unpacked;

	lock(&u->lock);
	if (u->entry && cluster >= u->first && cluster <= u->last)
		u->entry = 0;
	unlock(&u->lock);
}

static void copy_out(const u8 *from, const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, from, iov[i].iov_len);
		from += iov[i].iov_len;
	}
}

static bool read_unpacked(struct qcow *q, u64 entry, u32 at, const struct iovec *iov, unsigned n)
{
	struct qunpacked *u = &q->unpacked;
	bool have;

	lock(&u->lock);
	have = u->entry == entry;
	if (have)
		copy_out(u->bytes + at, iov, n);
	unlock(&u->lock);
	return have;
}

/* Keep bytes, which is ours, for who goes on reading; returns what is to be freed for it. */
static u8 *keep_unpacked(struct qcow *q, u64 entry, u64 host, u32 len, u8 *bytes)
{
	struct qunpacked *u = &q->unpacked;
	u8 *old;

	lock(&u->lock);
	old = u->bytes;
	u->bytes = bytes;
	u->entry = entry;
	u->first = host >> q->cluster_bits;
	u->last = (host + len - 1) >> q->cluster_bits;
	unlock(&u->lock);
	return old;
}

/*
 * The clusters of the entry are in use until the caller's request ends, so what is kept here
 * is right, and is forgotten when one of them becomes free.
 */
int q_read_compressed(struct qcow *q, u64 entry, u64 off, const struct iovec *iov, unsigned n)
{
	u64 host;
	u32 len, at = (u32)(off & (q->cluster - 1));
	u8 *buf;
	int r;

	if (read_unpacked(q, entry, at, iov, n))
		return 0;
	q_compressed_at(q, entry, &host, &len);
	if (host < q->cluster || host >= hf_size(q->file))
		return q_corrupt(q, "bad compressed cluster", host);
	buf = malloc((size_t)q->cluster + len);
	if (!buf)
		return -ENOMEM;
	r = hf_pread(q->file, host, buf + q->cluster, len);
	if (r == 0 && q->compression)
		r = unzstd_cluster(buf, q->cluster, buf + q->cluster, len);
	else if (r == 0)
		r = inflate_cluster(buf, q->cluster, buf + q->cluster, len);
	if (r == 0) {
		copy_out(buf + at, iov, n);
		buf = keep_unpacked(q, entry, host, len, buf);
	}
	free(buf);
	return r;
}

/* How long it has become; 0: it did not become shorter. */
static u32 deflate_cluster(u8 *to, u32 room, const u8 *from, u32 len)
{
	z_stream z = {.next_in = (Bytef *)from, .avail_in = len, .next_out = to, .avail_out = room};
	int r = deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -WINDOW_BITS, 9,
			     Z_DEFAULT_STRATEGY);

	if (r != Z_OK)
		return 0;
	r = deflate(&z, Z_FINISH);
	deflateEnd(&z);
	return r == Z_STREAM_END ? room - z.avail_out : 0;
}

static u32 zstd_cluster(u8 *to, u32 room, const u8 *from, u32 len)
{
	size_t n = ZSTD_compress(to, room, from, len, ZSTD_CLEVEL_DEFAULT);

	return ZSTD_isError(n) ? 0 : (u32)n;
}

/* Room for len bytes, behind the last ones if they fit, and counted. */
static int alloc_bytes(struct qcow *q, u32 len, u64 *host)
{
	u64 in = q->packed & (q->cluster - 1), left = in ? q->cluster - in : 0, used = 0, got;
	u64 cluster = q->packed >> q->cluster_bits, at = q->packed, next;
	bool fresh;
	int r = in ? q_rc_get(q, cluster, &used) : 0;

	if (r == 0 && used >= q_rc_max(q->refcount_order))
		left = 0;
	/* Counted first, so that it stays ours whatever the search for another one frees. */
	if (r == 0 && left)
		r = q_rc_add(q, cluster, 1, 1);
	if (r)
		return r;
	if (left < len) {
		r = q_alloc(q, 1, false, &next, &got, &fresh);
		if (left && (r || next != (cluster + 1) << q->cluster_bits))
			r = q_rc_add(q, cluster, 1, -1) ? -EIO : r;
		if (r)
			return r;
		if (!left || next != (cluster + 1) << q->cluster_bits)
			at = next;
	}
	*host = at;
	q->packed = at + len;
	return 0;
}

static void free_bytes(struct qcow *q, u64 host, u32 len)
{
	u64 first = host >> q->cluster_bits, last = (host + len - 1) >> q->cluster_bits;

	(void)!q_rc_add(q, first, last - first + 1, -1);
}

static int link_compressed(struct qcow *q, u64 off, u64 host, u32 len)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	u64 more = (host % BLK_SECTOR + len - 1) / BLK_SECTOR;
	u32 k = q_l2_index(q, off);
	struct qpage *p;
	int r = q_l2_for_write(q, off, &p);

	if (r == 0)
		r = q_free_entry(q, q_entry(q, p, k));
	if (r == 0)
		q_set_entry(q, p, k, Q_COMPRESSED | more << x | host, 0);
	return r;
}

/* Under q->big from end to end: these writes are a tool's, and small. */
static int store_compressed(struct qcow *q, u64 off, const u8 *data, u32 len)
{
	unsigned x = 62 - (q->cluster_bits - 8);
	u64 host;
	int r;

	lock(&q->big);
	q_wait_busy(q, off >> q->cluster_bits, 1);
	r = q_begin_writing_locked(q);
	if (r == 0)
		r = alloc_bytes(q, len, &host);
	if (r == 0) {
		r = (host + len) >> (x < 56 ? x : 56) ? -EFBIG : 0;
		if (r == 0)
			r = hf_pwrite(q->file, host, data, len);
		if (r == 0)
			r = link_compressed(q, off, host, len);
		if (r)
			free_bytes(q, host, len);
	}
	unlock(&q->big);
	return r;
}

int qcow2_write_compressed(struct blk *b, u64 off, const void *buf, size_t len)
{
	struct qcow *q = b->priv;
	struct iovec iov = {(void *)buf, len};
	u8 *tmp;
	u32 n;
	int r;

	if (q->data != q->file)
		return -EOPNOTSUPP;
	if (off & (q->cluster - 1) || len > q->cluster ||
	    (len < q->cluster && off + len != b->size))
		return -EINVAL;
	tmp = calloc(2, q->cluster);
	if (!tmp)
		return -ENOMEM;
	memcpy(tmp, buf, len);
	if (q->compression)
		n = zstd_cluster(tmp + q->cluster, q->cluster - 1, tmp, q->cluster);
	else
		n = deflate_cluster(tmp + q->cluster, q->cluster - 1, tmp, q->cluster);
	r = n ? store_compressed(q, off, tmp + q->cluster, n) : qcow2_write(b, off, &iov, 1);
	free(tmp);
	return r;
}
