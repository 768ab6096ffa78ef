/* SPDX-License-Identifier: MIT */
/*
 * perf.c - names for translated code in the form that perf(1) looks for: /tmp/perf-PID.map, a
 * line "start size name" for each piece, in hexadecimal.
 *
 * A name is that of the guest's linear address when the code was made: guest_ADDRESS, and of a
 * trace guest_trace_ADDRESS.  A place in the cache that is filled again has several lines; the last
 * one is true.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/jit/jit.h"
#include "sundog/err.h"

int jit_perf_open(struct jit *j, struct err *e)
{
	char path[64];
	int fd;

	if (!j->perf)
		return 0;
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	/* /tmp is everybody's: neither through a link, nor a file of somebody else's. */
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	j->perf_map = fd < 0 ? NULL : fdopen(fd, "w");
	if (j->perf_map)
		return 0;
	err_set(e, -EIO, "jit: perf=map: cannot write %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return e->code;
}

void jit_perf_close(struct jit *j)
{
	if (j->perf_map)
		fclose(j->perf_map);
	j->perf_map = NULL;
}

void jit_perf_code(struct jit *j, const struct jit_code *c, u64 lin)
{
	if (j->perf_map)
		fprintf(j->perf_map, "%llx %x guest_%s%llx\n",
			(unsigned long long)(uintptr_t)c->start, (unsigned)(c->end - c->start),
			c->trace ? "trace_" : "", (unsigned long long)lin);
}

void jit_perf_stubs(struct jit *j)
{
	if (j->perf_map)
		fprintf(j->perf_map, "%llx %x sundog_jit_stubs\n",
			(unsigned long long)(uintptr_t)j->rx, (unsigned)(j->stubs_end - j->rw));
}
