// SPDX-License-Identifier: MIT
/* os.c - what a kernel and its CPU do together: system calls, processes, faults, switches. */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { SYSCALLS = 100000, FORKS = 200, FAULTS = 4096, TRIPS = 2000 };

/* getppid() has nothing to do but to be called. */
static uint64_t null_syscall(void)
{
	long first = syscall(SYS_getppid);
	uint64_t same = 0;

	for (unsigned i = 0; i < SYSCALLS; i++)
		same += syscall(SYS_getppid) == first;
	return same;
}

static uint64_t fork_wait(void)
{
	uint64_t sum = 0;

	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(i & 0x7f);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			fail("fork");
		sum += WIFEXITED(status) && WEXITSTATUS(status) == (i & 0x7f);
	}
	return sum;
}

static uint64_t page_faults(void)
{
	volatile uint64_t *p = get_pages(FAULTS * 4096ul);
	uint64_t sum = 0;

	for (unsigned i = 0; i < FAULTS; i++) {
		volatile uint64_t *word = &p[i * 512 + i % 512];

		*word += i; /* it was zero */
		sum += *word;
	}
	munmap((void *)p, FAULTS * 4096ul);
	return sum;
}

/* The other end: sends back what it gets, plus one, until the pipe is closed. */
static void echo(int in, int out)
{
	uint64_t word;

	while (read(in, &word, sizeof(word)) == sizeof(word)) {
		word++;
		if (write(out, &word, sizeof(word)) != sizeof(word))
			break;
	}
	_exit(0);
}

static uint64_t round_trips(void)
{
	int there[2], back[2];
	uint64_t word = 0;
	pid_t pid;

	if (pipe(there) || pipe(back))
		fail("pipe");
	pid = fork();
	if (pid < 0)
		fail("fork");
	if (pid == 0) {
		close(there[1]);
		echo(there[0], back[1]);
	}
	for (unsigned i = 0; i < TRIPS; i++)
		if (write(there[1], &word, sizeof(word)) != sizeof(word) ||
		    read(back[0], &word, sizeof(word)) != sizeof(word))
			fail("pipe");
	close(there[0]);
	close(there[1]);
	close(back[0]);
	close(back[1]);
	waitpid(pid, NULL, 0);
	return word;
}

const struct bench os_benches[] = {
	{"syscall", "call", SYSCALLS, SYSCALLS, null_syscall, NULL},
	{"fork", "child", FORKS, FORKS, fork_wait, NULL},
	{"fault", "page", FAULTS, FAULTS *(FAULTS - 1ull) / 2, page_faults, NULL},
	{"pipe", "round trip", TRIPS, TRIPS, round_trips, NULL},
	{0},
};
