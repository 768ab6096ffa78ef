/* SPDX-License-Identifier: MIT */
/*
 * ext4.c - libext2fs over a source of bytes.
 *
 * libext2fs asks for one block at a time; reads are made larger by a small cache.  Every block
 * it asks for is counted, since damaged metadata can make it ask without end.
 */
#include "fs/ext4.h"

#include <errno.h>
#include <ext2fs/ext2fs.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sundog/err.h"

enum { LINE = 64 << 10, LINES = 16, SUPER = 1024, SUPER_SIZE = 1024, CHUNK = 64 << 10 };
enum { MAX_GROUPS = 1 << 20, MAX_READS = 8 << 20, MAX_SECTORS = 16 << 20 };

struct ext4 {
	const struct fs_source *src;
	u64 off, len;
	struct struct_io_channel io;
	u64 reads, sectors; /* so far: see the limits */
	struct {
		u64 at; /* + 1; 0: nothing */
		u8 *bytes;
	} lines[LINES];
	ext2_filsys fs;
};

/* Part of one line of the cache. */
static int read_line(struct ext4 *x, u64 off, u8 *to, size_t len)
{
	u64 at = off & ~(u64)(LINE - 1);
	unsigned n = at / LINE % LINES;
	size_t have = x->len - at < LINE ? (size_t)(x->len - at) : LINE;

	if (x->lines[n].at != at + 1) {
		x->lines[n].at = 0;
		if (!x->lines[n].bytes)
			x->lines[n].bytes = malloc(LINE);
		if (!x->lines[n].bytes)
			return -ENOMEM;
		if (fs_read(x->src, x->off + at, x->lines[n].bytes, have))
			return -EIO;
		x->lines[n].at = at + 1;
	}
	memcpy(to, x->lines[n].bytes + (off - at), len);
	return 0;
}

static int read_bytes(struct ext4 *x, u64 off, u8 *to, size_t len)
{
	if (!range_fits(off, len, x->len))
		return -EIO;
	while (len) {
		size_t n = LINE - (size_t)(off & (LINE - 1));

		if (n > len)
			n = len;
		if (read_line(x, off, to, n))
			return -EIO;
		off += n;
		to += n;
		len -= n;
	}
	return 0;
}

/* What libext2fs calls.  count: blocks, or if it is negative bytes. */
static errcode_t io_read64(io_channel io, unsigned long long block, int count, void *to)
{
	struct ext4 *x = container_of(io, struct ext4, io);
	u64 bs = (u64)io->block_size, len = count < 0 ? -(u64)count : (u64)count * bs;

	x->sectors += len / 512;
	if (++x->reads > MAX_READS || x->sectors > MAX_SECTORS || block > x->len / bs ||
	    read_bytes(x, block * bs, to, len)) {
		memset(to, 0, len);
		return EXT2_ET_SHORT_READ;
	}
	return 0;
}

static errcode_t io_read(io_channel io, unsigned long block, int count, void *to)
{
	return io_read64(io, block, count, to);
}

static errcode_t io_set_blksize(io_channel io, int size)
{
	io->block_size = size;
	return 0;
}

static errcode_t io_close(io_channel io)
{
	return 0;
}

static errcode_t io_flush(io_channel io)
{
	return 0;
}

static errcode_t io_open(const char *name, int flags, io_channel *io);

static const struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "a part of a disk",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_set_blksize,
	.read_blk = io_read,
	.read_blk64 = io_read64,
	.flush = io_flush,
};

/* A name is all that gets here through the library: it is the address of struct ext4. */
static errcode_t io_open(const char *name, int flags, io_channel *io)
{
	struct ext4 *x = (struct ext4 *)(uintptr_t)strtoull(name, NULL, 16);

	x->io = (struct struct_io_channel){
		.magic = EXT2_ET_MAGIC_IO_CHANNEL,
		.manager = (io_manager)&manager,
		.name = (char *)manager.name,
		.block_size = SUPER,
		.refcount = 1,
	};
	*io = &x->io;
	return 0;
}

/* What the library would believe and allocate for. */
static int check_super(struct ext4 *x, struct err *e)
{
	u8 sb[SUPER_SIZE];
	u64 blocks, per_group;
	u32 log;

	if (read_bytes(x, SUPER, sb, sizeof(sb)) || ld_le16(sb + 0x38) != EXT2_SUPER_MAGIC)
		return err_set(e, -ENOEXEC, "not an ext4 file system");
	log = ld_le32(sb + 0x18);
	blocks = ld_le32(sb + 0x04);
	if (ld_le32(sb + 0x60) & EXT4_FEATURE_INCOMPAT_64BIT)
		blocks |= (u64)ld_le32(sb + 0x150) << 32;
	per_group = ld_le32(sb + 0x20);
	if (log > EXT2_MAX_BLOCK_LOG_SIZE - EXT2_MIN_BLOCK_LOG_SIZE || !per_group ||
	    blocks / per_group >= MAX_GROUPS)
		return err_set(e, -ENOEXEC, "its ext4 file system is damaged; try e2fsck");
	if (blocks > x->len >> (EXT2_MIN_BLOCK_LOG_SIZE + log))
		return err_set(e, -ENOEXEC,
			       "its ext4 file system is larger than where it is; "
			       "the image is truncated");
	return 0;
}

static int open_fs(struct ext4 *x, struct err *e)
{
	char name[32];
	errcode_t rc;
	int r = check_super(x, e);

	if (r)
		return r;
	snprintf(name, sizeof(name), "%" PRIxPTR, (uintptr_t)x);
	rc = ext2fs_open2(name, NULL, EXT2_FLAG_64BITS | EXT2_FLAG_SKIP_MMP, 0, 0,
			  (io_manager)&manager, &x->fs);
	if (rc == EXT2_ET_UNSUPP_FEATURE || rc == EXT2_ET_RO_UNSUPP_FEATURE)
		return err_set(e, -ENOEXEC,
			       "its ext4 file system has features that are unknown here; "
			       "use --kernel");
	if (rc == EXT2_ET_NO_MEMORY)
		return err_set(e, -ENOMEM, "its ext4 file system takes too much memory to read");
	if (rc)
		return err_set(e, -ENOEXEC, "its ext4 file system is damaged; try e2fsck");
	return 0;
}

struct ext4 *ext4_open(const struct fs_source *s, u64 off, u64 len, struct err *e)
{
	struct ext4 *x = calloc(1, sizeof(*x));

	if (!x) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	x->src = s;
	x->off = off;
	x->len = len;
	if (open_fs(x, e) == 0)
		return x;
	ext4_close(x);
	return NULL;
}

void ext4_close(struct ext4 *x)
{
	if (!x)
		return;
	if (x->fs)
		ext2fs_free(x->fs);
	for (unsigned i = 0; i < LINES; i++)
		free(x->lines[i].bytes);
	free(x);
}

const u8 *ext4_uuid(const struct ext4 *x)
{
	return x->fs->super->s_uuid;
}

bool ext4_is_dirty(const struct ext4 *x)
{
	return ext2fs_has_feature_journal_needs_recovery(x->fs->super);
}

/* An inode number out of a directory may be any. */
static bool valid(const struct ext4 *x, ext2_ino_t ino)
{
	return ino >= EXT2_ROOT_INO && ino <= x->fs->super->s_inodes_count;
}

static bool find(struct ext4 *x, const char *path, ext2_ino_t *ino)
{
	return ext2fs_namei_follow(x->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, ino) == 0 &&
	       valid(x, *ino);
}

bool ext4_exists(struct ext4 *x, const char *path)
{
	ext2_ino_t ino;

	return ext2fs_namei(x->fs, EXT2_ROOT_INO, EXT2_ROOT_INO, path, &ino) == 0 && valid(x, ino);
}

bool ext4_is_file(struct ext4 *x, const char *path)
{
	struct ext2_inode inode;
	ext2_ino_t ino;

	return find(x, path, &ino) && ext2fs_read_inode(x->fs, ino, &inode) == 0 &&
	       LINUX_S_ISREG(inode.i_mode);
}

struct listing {
	int (*each)(void *opaque, const char *name);
	void *opaque;
	int rc;
};

static int list_entry(ext2_ino_t dir, int kind, struct ext2_dir_entry *de, int offset,
		      int block_size, char *buf, void *opaque)
{
	struct listing *l = opaque;
	char name[EXT2_NAME_LEN + 1];
	int len = ext2fs_dirent_name_len(de);

	memcpy(name, de->name, (size_t)len);
	name[len] = 0;
	if (strlen(name) == (size_t)len)
		l->rc = l->each(l->opaque, name);
	return l->rc ? DIRENT_ABORT : 0;
}

int ext4_list(struct ext4 *x, const char *path, int (*each)(void *opaque, const char *name),
	      void *opaque)
{
	struct listing l = {.each = each, .opaque = opaque};
	ext2_ino_t ino;

	if (!find(x, path, &ino) || ext2fs_check_directory(x->fs, ino))
		return 0;
	(void)ext2fs_dir_iterate2(x->fs, ino, 0, NULL, list_entry, &l);
	return l.rc;
}

static int copy(struct ext4 *x, const char *path, ext2_file_t file, u64 size,
		int (*sink)(void *opaque, const void *buf, size_t len), void *opaque, struct err *e)
{
	u8 *buf = malloc(CHUNK);
	int r = buf ? 0 : err_set(e, -ENOMEM, "out of memory");

	for (u64 done = 0; r == 0 && done < size;) {
		unsigned n = 0, left = size - done < CHUNK ? (unsigned)(size - done) : CHUNK;

		/* Not CHUNK: inline data have no end but that of their room. */
		if (ext2fs_file_read(file, buf, left, &n) || !n)
			r = err_set(e, -ENOEXEC, "%s in it is damaged; try e2fsck", path);
		else if (sink(opaque, buf, n))
			r = err_set(e, -EIO, "%s in it cannot be copied", path);
		done += n;
	}
	free(buf);
	return r;
}

int ext4_load(struct ext4 *x, const char *path, u64 max,
	      int (*sink)(void *opaque, const void *buf, size_t len), void *opaque, struct err *e)
{
	struct ext2_inode inode;
	ext2_file_t file;
	ext2_ino_t ino;
	u64 size;
	int r;

	if (!find(x, path, &ino))
		return err_set(e, -ENOENT, "%s is not in it, or a link that leads nowhere", path);
	if (ext2fs_read_inode(x->fs, ino, &inode) || !LINUX_S_ISREG(inode.i_mode))
		return err_set(e, -ENOEXEC, "%s in it is not a regular file", path);
	if (inode.i_flags & EXT4_ENCRYPT_FL)
		return err_set(e, -ENOEXEC, "%s in it is encrypted; use --kernel", path);
	size = EXT2_I_SIZE(&inode);
	if (size > max)
		return err_set(e, -EFBIG,
			       "%s in it has %" PRIu64 " bytes, %" PRIu64
			       " are the most; use --kernel",
			       path, size, max);
	if (ext2fs_file_open2(x->fs, ino, &inode, 0, &file))
		return err_set(e, -ENOEXEC, "%s in it is damaged; try e2fsck", path);
	r = copy(x, path, file, size, sink, opaque, e);
	ext2fs_file_close(file);
	return r;
}
