/* SPDX-License-Identifier: MIT */
/*
 * disk_reader.c - a process that reads a hostile disk, and can do nothing else.
 *
 * Guests write their disks and then ask for a reset, so the code that looks for a kernel there
 * meets whatever they like, and most of it is a library that was made for other purposes.  It
 * runs in a child that is forked for each look:
 *   - open descriptors: a socket to the parent and two files to write what was found to,
 *   - system calls: read, write, memory that is not executable, and little else (seccomp),
 *   - no memory that is shared with the parent: guest RAM, translated code and I/O rings are
 *     unmapped first,
 *   - bounded memory, CPU time and size of files.
 * The child asks for bytes of the disk and ends with a struct disk_found or a struct err; the
 * parent takes these as they are: strings with an end, and nothing but text in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "board/boot/disk.h"
#include "sundog/err.h"
#include "sundog/memfd.h"

enum { CHILD_SOCKET = 3, CHILD_KERNEL, CHILD_INITRD, CHILD_END, SAFE_FD = 64 };
enum { MAX_MEMORY = 256 << 20, MAX_SECONDS = 60, MAX_SILENCE = 300, MAX_READ = 1 << 20 };

/* The child's word: bytes that it wants, or (len 0) that struct answer follows. */
struct question {
	u64 off;
	u32 len;
};

struct answer {
	struct err err;
	struct disk_found found;
};

static int read_all(int fd, void *buf, size_t len)
{
	for (u8 *p = buf; len;) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_all(int fd, const void *buf, size_t len)
{
	for (const u8 *p = buf; len;) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* In the child. */

static int ask(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	for (u8 *to = buf; len;) {
		struct question q = {.off = off, .len = len < MAX_READ ? (u32)len : MAX_READ};
		i32 rc;

		if (write_all(CHILD_SOCKET, &q, sizeof(q)) ||
		    read_all(CHILD_SOCKET, &rc, sizeof(rc)))
			return -EIO;
		if (rc)
			return rc;
		if (read_all(CHILD_SOCKET, to, q.len))
			return -EIO;
		to += q.len;
		off += q.len;
		len -= q.len;
	}
	return 0;
}

static int put_kernel(void *opaque, const void *buf, size_t len)
{
	return write_all(CHILD_KERNEL, buf, len);
}

static int put_initrd(void *opaque, const void *buf, size_t len)
{
	return write_all(CHILD_INITRD, buf, len);
}

/* First out of the way, then to their places, then all others shut. */
static int keep_descriptors(int sock, int kernel, int initrd)
{
	int fds[] = {sock, kernel, initrd};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, SAFE_FD);
		if (fds[i] < 0)
			return -errno;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		if (dup2(fds[i], CHILD_SOCKET + (int)i) < 0)
			return -errno;
	if (close_range(0, CHILD_SOCKET - 1, 0) || close_range(CHILD_END, ~0u, 0))
		return -errno;
	return 0;
}

/* A line of /proc/self/maps: "7f..-7f.. rw-s ...". */
static int drop_if_shared(const char *line, u64 *mapped)
{
	uintptr_t from, to;
	char rights[5];

	if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s", &from, &to, rights) != 3)
		return -EIO;
	if (rights[3] == 's')
		return munmap((void *)from, to - from) ? -errno : 0;
	*mapped += to - from;
	return 0;
}

/* What is left is counted in *mapped. */
static int drop_shared_memory(u64 *mapped)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int r = f ? 0 : -errno;

	while (r == 0 && fgets(line, sizeof(line), f)) {
		size_t n = strlen(line);

		r = drop_if_shared(line, mapped);
		while (n && line[n - 1] != '\n' && fgets(line, sizeof(line), f))
			n = strlen(line); /* the rest of a long one */
	}
	if (f)
		fclose(f);
	return r;
}

static int limit(u64 mapped)
{
	const struct {
		int what;
		u64 most;
	} limits[] = {
		{RLIMIT_AS, mapped + MAX_MEMORY},
		{RLIMIT_CPU, MAX_SECONDS},
		{RLIMIT_FSIZE, DISK_INITRD_MAX},
		{RLIMIT_CORE, 0},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit r = {limits[i].most, limits[i].most};

		if (setrlimit(limits[i].what, &r))
			return -errno;
	}
	return 0;
}

/* What the C library's memory and this file need; all else fails. */
static int forbid_calls(void)
{
	static const int free_calls[] = {
		SCMP_SYS(read),	   SCMP_SYS(write), SCMP_SYS(munmap),	     SCMP_SYS(mremap),
		SCMP_SYS(madvise), SCMP_SYS(brk),   SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday),
		SCMP_SYS(time),	   SCMP_SYS(exit),  SCMP_SYS(exit_group),    SCMP_SYS(rt_sigreturn),
	};
	static const int memory_calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = ctx ? 0 : -ENOMEM;

	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(free_calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, free_calls[i], 0);
	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(memory_calls); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, memory_calls[i], 1,
				     SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_load(ctx);
	if (ctx)
		seccomp_release(ctx);
	return r;
}

/* The parent's handlers are about its terminal and its translated code. */
static void default_signals(void)
{
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
}

static int confine(int sock, int kernel, int initrd)
{
	u64 mapped = 0;
	int r;

	default_signals();
	r = prctl(PR_SET_PDEATHSIG, SIGKILL) ? -errno : keep_descriptors(sock, kernel, initrd);
	if (r == 0)
		r = drop_shared_memory(&mapped);
	if (r == 0)
		r = limit(mapped);
	return r ? r : forbid_calls();
}

static void run_child(u64 size, int sock, int kernel, int initrd)
{
	const struct fs_source s = {.size = size, .read = ask};
	const struct disk_sinks to = {.kernel = put_kernel, .initrd = put_initrd};
	struct question done = {0};
	struct answer a = {0};
	int r = confine(sock, kernel, initrd);

	if (r)
		err_set(&a.err, r,
			"the process that reads disks cannot be confined: %s; "
			"use --kernel",
			strerror(-r));
	else if (disk_find(&s, &a.found, &to, &a.err) == 0)
		a.err.code = 0;
	r = write_all(CHILD_SOCKET, &done, sizeof(done));
	_exit(r || write_all(CHILD_SOCKET, &a, sizeof(a)));
}

/* In the parent. */

static void tame(char *s, size_t size)
{
	s[size - 1] = 0;
	for (; *s; s++)
		if (*s < 0x20 || *s > 0x7e)
			*s = '?';
}

static void tame_answer(struct answer *a)
{
	struct disk_found *f = &a->found;

	tame(a->err.msg, sizeof(a->err.msg));
	tame(f->kernel, sizeof(f->kernel));
	tame(f->initrd, sizeof(f->initrd));
	tame(f->root, sizeof(f->root));
	tame(f->root_uuid, sizeof(f->root_uuid));
	tame(f->root_partuuid, sizeof(f->root_partuuid));
	if (a->err.code > 0 || a->err.code < -4095)
		a->err.code = -EIO;
}

static int serve_one(const struct fs_source *s, int sock, const struct question *q, u8 *buf)
{
	i32 rc = q->len > MAX_READ ? -EINVAL : fs_read(s, q->off, buf, q->len);

	if (write_all(sock, &rc, sizeof(rc)))
		return -EIO;
	return rc ? 0 : write_all(sock, buf, q->len);
}

/* Until the child has said what it found; -EIO: it ended before that, or says or hears nothing. */
static int serve(const struct fs_source *s, int sock, unsigned patience_s, struct answer *a)
{
	const struct timeval silence = {.tv_sec = patience_s};
	u8 *buf = malloc(MAX_READ);
	struct question q;
	int r = buf ? 0 : -ENOMEM;

	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) ||
	    setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence)))
		r = -errno;
	while (r == 0) {
		r = read_all(sock, &q, sizeof(q));
		if (r == 0 && !q.len) {
			r = read_all(sock, a, sizeof(*a));
			break;
		}
		if (r == 0)
			r = serve_one(s, sock, &q, buf);
	}
	free(buf);
	return r;
}

static int talk(const struct fs_source *s, int socks[2], const int fds[2], struct answer *a,
		struct err *e)
{
	pid_t child = fork();
	int status = 0, r;

	if (child < 0)
		return err_set(e, -errno, "no process to read the disk with: %s", strerror(errno));
	if (child == 0)
		run_child(s->size, socks[1], fds[0], fds[1]);
	close(socks[1]);
	socks[1] = -1;
	r = serve(s, socks[0], MAX_SILENCE, a);
	if (r)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (r)
		return err_set(e, -ENOEXEC,
			       "its file system is damaged in a way that its reader does not "
			       "survive; try e2fsck, or use --kernel");
	tame_answer(a);
	if (a->err.code) {
		*e = a->err;
		return e->code;
	}
	return 0;
}

int disk_read_confined(const struct fs_source *s, struct disk_found *found, int *kernel,
		       int *initrd, struct err *e)
{
	int socks[2] = {-1, -1}, fds[2] = {-1, -1};
	struct answer a = {0};
	int r = 0;

	fds[0] = memfd_new("kernel", 0);
	fds[1] = memfd_new("initrd", 0);
	if (fds[0] < 0 || fds[1] < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks))
		r = err_set(e, -EMFILE, "no descriptors to read the disk with; raise ulimit -n");
	if (r == 0)
		r = talk(s, socks, fds, &a, e);
	*found = a.found;
	if (r || !found->initrd[0]) {
		if (fds[1] >= 0)
			close(fds[1]);
		fds[1] = -1;
	}
	if (r && fds[0] >= 0) {
		close(fds[0]);
		fds[0] = -1;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(socks); i++)
		if (socks[i] >= 0)
			close(socks[i]);
	*kernel = fds[0];
	*initrd = fds[1];
	return r;
}
