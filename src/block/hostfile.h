/* SPDX-License-Identifier: MIT */
/*
 * hostfile.h - the host file that an image lies in: all that formats know of the host.
 *
 * Offsets and lengths are bytes of any alignment, also with O_DIRECT, which bounces what the
 * host would refuse.  Reads behind the end give zeroes.  All functions block, and may be called
 * from several threads; 0 or a negative errno.
 */
#ifndef BLOCK_HOSTFILE_H
#define BLOCK_HOSTFILE_H

#include <sys/uio.h>

#include "sundog/types.h"

struct blk_log;
struct err;
struct hostfile;

enum {
	HF_WRITE = 1,
	HF_DIRECT = 2,
	HF_CREATE = 4,	/* new, and an existing one is an error */
	HF_NO_LOCK = 8, /* others may write it */
	HF_UNSAFE = 16, /* hf_sync() does nothing */
};

/*
 * dirfd: AT_FDCWD for paths of the user's.  Else path comes from an image, and has to lie
 * below that folder: no "..", no absolute path, no symbolic link that leads out of it (-EXDEV).
 */
struct hostfile *hf_open(int dirfd, const char *path, unsigned flags, struct err *e);
struct hostfile *hf_from_fd(int fd, const char *name, unsigned flags, struct err *e); /* takes fd */
/* What HF_NO_LOCK has left out: against others that write it, or any others if we do. */
int hf_lock(struct hostfile *f, struct err *e) must_check;
void hf_close(struct hostfile *f);

const char *hf_name(const struct hostfile *f);
int hf_fd(const struct hostfile *f);
/* The folder it lies in, for hf_open(); -1: it has none.  Borrowed. */
int hf_dir(const struct hostfile *f);
u64 hf_size(struct hostfile *f);
bool hf_same(const struct hostfile *a, const struct hostfile *b); /* two of one file? */

int hf_preadv(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n) must_check;
int hf_pwritev(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n) must_check;
/* The same, and on the medium. */
int hf_pwritev_dsync(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n) must_check;
int hf_pread(struct hostfile *f, u64 off, void *buf, size_t len) must_check;
int hf_pwrite(struct hostfile *f, u64 off, const void *buf, size_t len) must_check;
/*
 * All that was written before is on the medium.  After one that failed all fail, but with
 * O_DIRECT: what the host's page cache has lost comes back by no further try.
 */
int hf_sync(struct hostfile *f) must_check;
/*
 * Reads as zeroes from here on; unmap: and gives its space back if that is possible.  The
 * file need not grow by that.
 */
int hf_zero(struct hostfile *f, u64 off, u64 len, bool unmap) must_check;
/* The bytes are not needed any more: what is read there is undefined.  Never fails. */
void hf_discard(struct hostfile *f, u64 off, u64 len);
int hf_truncate(struct hostfile *f, u64 size) must_check;
/* Make sure that there is room, so that writes do not meet ENOSPC. */
int hf_allocate(struct hostfile *f, u64 off, u64 len) must_check;
/* How much from off on is alike: *data says whether it is data or a hole. */
int hf_extent(struct hostfile *f, u64 off, u64 *len, bool *data) must_check;

/* --- for the block core ------------------------------------------------------------------- */

/* What the page cache has, without waiting; -EAGAIN: not all of it is there. */
int hf_try_preadv(struct hostfile *f, u64 off, const struct iovec *iov, unsigned n) must_check;
/* May hf_fd() be read and written past these functions, with these buffers? */
bool hf_takes_async(const struct hostfile *f, u64 off, const struct iovec *iov, unsigned n);
bool hf_is_cached(const struct hostfile *f); /* by the host's page cache: no O_DIRECT */
bool hf_is_unsafe(const struct hostfile *f);
/* A write with RWF_DSYNC past these functions has failed, with -errno. */
void hf_dsync_failed(struct hostfile *f, int r);
/* What is done to the file from here on is recorded there: see log.h.  Borrowed. */
void hf_set_log(struct hostfile *f, struct blk_log *log);

#endif
