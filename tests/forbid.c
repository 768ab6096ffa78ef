/* SPDX-License-Identifier: MIT */
/*
 * forbid.c - a host that forbids things: forbid WHAT COMMAND... runs COMMAND on one.
 *
 *	exec	no shared memory may be mapped to run (what is linked dynamically is private)
 *	wx	as systemd's MemoryDenyWriteExecute: nothing that is or was writable may be run
 *
 * By seccomp filters, for this process and what it becomes.  77: the host has no seccomp.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SKIPPED = 77 };

#define ARG(n) offsetof(struct seccomp_data, args[n])
#define LOAD(off) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, off)
#define IF_EQUAL(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
#define IF_BITS(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, k, yes, no)
#define MASK(k) BPF_STMT(BPF_ALU | BPF_AND | BPF_K, k)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

static struct sock_filter no_exec[] = {
	LOAD(offsetof(struct seccomp_data, nr)),
	IF_EQUAL(SYS_mmap, 0, 5),
	LOAD(ARG(2)),
	IF_BITS(PROT_EXEC, 0, 3),
	LOAD(ARG(3)),
	IF_BITS(MAP_SHARED, 0, 1),
	REFUSE(EPERM),
	ALLOW,
};

static struct sock_filter no_wx[] = {
	LOAD(offsetof(struct seccomp_data, nr)),
	IF_EQUAL(SYS_mprotect, 0, 2),
	LOAD(ARG(2)),
	IF_BITS(PROT_EXEC, 4, 5),
	IF_EQUAL(SYS_mmap, 0, 4),
	LOAD(ARG(2)),
	MASK(PROT_WRITE | PROT_EXEC),
	IF_EQUAL(PROT_WRITE | PROT_EXEC, 0, 1),
	REFUSE(EPERM),
	ALLOW,
};

static const struct {
	const char *name;
	struct sock_fprog prog;
} filters[] = {
	{"exec", {sizeof(no_exec) / sizeof(*no_exec), no_exec}},
	{"wx", {sizeof(no_wx) / sizeof(*no_wx), no_wx}},
};

int main(int argc, char **argv)
{
	const struct sock_fprog *prog = NULL;

	for (size_t i = 0; i < sizeof(filters) / sizeof(*filters); i++)
		if (argc > 2 && strcmp(argv[1], filters[i].name) == 0)
			prog = &filters[i].prog;
	if (!prog) {
		fprintf(stderr, "usage: forbid exec|wx COMMAND...\n");
		return 2;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, prog)) {
		fprintf(stderr, "no seccomp here: %s\n", strerror(errno));
		return SKIPPED;
	}
	execvp(argv[2], argv + 2);
	fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
	return 1;
}
