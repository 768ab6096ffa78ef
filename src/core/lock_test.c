/* SPDX-License-Identifier: MIT */
/* lock_test.c - what may be nested, and that a debug build stops what may not. */
#include <assert.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/test.h"
#include "sundog/lock.h"

static struct lock dev_a, dev_b, intc_a, intc_b, leaf;

/* Does fn end in an abort? In a child, with nothing on stderr. */
static bool aborts(void (*fn)(void))
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fclose(stderr);
		signal(SIGABRT, SIG_DFL);
		fn();
		_exit(0);
	}
	check(waitpid(pid, &status, 0) == pid);
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void in_order(void)
{
	lock(&dev_a);
	lock(&intc_a);
	lock(&intc_b);
	lock(&leaf);
	unlock(&intc_a); /* in any order */
	unlock(&leaf);
	unlock(&intc_b);
	unlock(&dev_a);
	lock(&dev_b);
	unlock(&dev_b);
}

static void two_devices(void)
{
	lock(&dev_a);
	lock(&dev_b);
}

static void backwards(void)
{
	lock(&leaf);
	lock(&dev_a);
}

static void not_held(void)
{
	unlock(&dev_a);
}

int main(void)
{
	bool checked = false;

	assert((checked = true));
	lock_init(&dev_a, LOCK_DEVICE, "a");
	lock_init(&dev_b, LOCK_DEVICE, "b");
	lock_init(&intc_a, LOCK_INTC, "c");
	lock_init(&intc_b, LOCK_INTC, "d");
	lock_init(&leaf, LOCK_LEAF, "e");
	in_order();
	check(!aborts(in_order));
	if (checked) {
		check(aborts(two_devices));
		check(aborts(backwards));
		check(aborts(not_held));
	}
	return 0;
}
