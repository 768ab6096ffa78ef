/* SPDX-License-Identifier: MIT */
/* disk_reader_test.c - somebody who takes over the reading process gains nothing by it. */
#include "board/boot/disk_reader.c"

#include "dev/check.h"

static u8 *shared;

static bool forbidden(long r)
{
	return r < 0 && errno == EPERM;
}

/* In the child: the number of the first thing that it could do and should not. */
static int try_everything(int sock, int kernel, int initrd)
{
	const size_t big = 2 * (size_t)MAX_MEMORY;
	void *p;

	if (confine(sock, kernel, initrd))
		return 1;
	if (!forbidden(open("/etc/passwd", O_RDONLY)) ||
	    !forbidden(socket(AF_UNIX, SOCK_STREAM, 0)))
		return 2;
	if (!forbidden(fork()) || !forbidden(kill(getppid(), 0)))
		return 3;
	p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		return 4;
	p = mmap(NULL, big, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED)
		return 5;
	if (mprotect((void *)((uintptr_t)try_everything & ~0xfffull), 4096,
		     PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
		return 6;
	if (write(2, "x", 1) >= 0 || write(CHILD_END, "x", 1) >= 0 || write(SAFE_FD, "x", 1) >= 0)
		return 7;
	if (write(CHILD_KERNEL, "x", 1) != 1 || write(CHILD_INITRD, "x", 1) != 1)
		return 8;
	*(volatile u8 *)shared = 1; /* a fault: it is not there */
	return 9;
}

static int status_of(int (*f)(int sock, int kernel, int initrd))
{
	int socks[2], k = memfd_new("k", 0), i = memfd_new("i", 0), status;
	pid_t child;

	CHECK(k >= 0 && i >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, socks) == 0);
	child = fork();
	CHECK(child >= 0);
	if (child == 0)
		_exit(f(socks[1], k, i));
	CHECK(waitpid(child, &status, 0) == child);
	close(socks[0]);
	close(socks[1]);
	close(k);
	close(i);
	return status;
}

static void test_confined(void)
{
	int status;

	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	status = status_of(try_everything);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
		fprintf(stderr, "status %x\n", status);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && *shared == 0);
	munmap(shared, 4096);
}

static int zeroes(const struct fs_source *s, u64 off, void *buf, size_t len)
{
	memset(buf, 0, len);
	return 0;
}

/* What serve() says to a child that sends this and then hangs up. */
static int served(const void *bytes, size_t len, struct answer *a)
{
	const struct fs_source s = {1 << 20, zeroes};
	int socks[2], r;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, socks) == 0);
	CHECK(write(socks[1], bytes, len) == (ssize_t)len && shutdown(socks[1], SHUT_WR) == 0);
	r = serve(&s, socks[0], MAX_SILENCE, a);
	close(socks[0]);
	close(socks[1]);
	return r;
}

static void test_lies(void)
{
	static struct {
		struct question ask, done;
		struct answer a;
	} talk;
	struct answer a;

	CHECK(served(&talk, 0, &a) == -EIO && served(&talk, 3, &a) == -EIO);
	/* More than there is, or than anybody may ask for: an error, and it goes on. */
	talk.ask = (struct question){.off = ~0ull, .len = 2};
	memset(&talk.a, 0xff, sizeof(talk.a));
	CHECK(served(&talk, sizeof(talk), &a) == 0);
	tame_answer(&a);
	CHECK(a.err.code == -EIO || a.err.code == -1);
	CHECK(strlen(a.err.msg) == sizeof(a.err.msg) - 1 && a.err.msg[0] == '?');
	CHECK(strlen(a.found.kernel) == DISK_PATH_MAX - 1 && a.found.kernel[5] == '?');
	CHECK(strlen(a.found.root) == DISK_ROOT_MAX - 1);
	talk.ask = (struct question){.len = 0xffffffff};
	CHECK(served(&talk, sizeof(talk), &a) == 0);
	CHECK(served(&talk, offsetof(typeof(talk), a) + sizeof(a) - 1, &a) == -EIO);
}

/* One that asks and asks, and takes no answer. */
static void test_deaf(void)
{
	const struct fs_source s = {MAX_READ, zeroes};
	const struct question q[4] = {{.len = MAX_READ}, {.len = MAX_READ}};
	struct answer a;
	int socks[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, socks) == 0);
	CHECK(write(socks[1], q, sizeof(q)) == sizeof(q));
	CHECK(serve(&s, socks[0], 1, &a) == -EIO);
	close(socks[0]);
	close(socks[1]);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_confined();
	test_lies();
	test_deaf();
	return 0;
}
