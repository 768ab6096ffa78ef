/* SPDX-License-Identifier: MIT */
/* spec_test.c - what users write for a disk, and what it means. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sundog/block.h"
#include "sundog/err.h"

#define check(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			abort();                                                   \
		}                                                                  \
	} while (0)

static void check_bad(const char *text, const char *what)
{
	struct blk_spec s = {0};
	struct err e = {0};

	check(blk_spec_parse(&s, text, &e) == -EINVAL);
	if (!strstr(e.msg, what)) {
		fprintf(stderr, "%s: %s\n", text, e.msg);
		abort();
	}
	blk_spec_destroy(&s);
}

static void test_defaults(void)
{
	struct blk_spec s;
	struct err e;

	check(blk_spec_parse(&s, "a=b,,c.img", &e) == 0);
	check(!strcmp(s.cfg.file, "a=b,c.img") && !s.cfg.format && !s.cfg.overlay &&
	      !s.cfg.backing);
	check(!s.cfg.read_only && !s.cfg.direct && !s.cfg.unsafe && !s.cfg.no_lock && !s.cfg.log);
	check(s.cfg.on_error == BLK_STOP_ENOSPC && !s.cfg.id && !s.cfg.limits.iops);
	check(!strcmp(s.device, "virtio") && !*s.serial && !s.cfg.snapshot && !s.cfg.threads);
	blk_spec_destroy(&s);
}

static void test_all(void)
{
	struct blk_spec s;
	struct err e;

	check(blk_spec_parse(&s,
			     "file=x,format=qcow2,device=nvme,serial=S1,ro,id=d,cache=none,"
			     "on-error=stop,iops=5,bps_wr=1M,lock=off,aio=threads,snapshot=s,log=l",
			     &e) == 0);
	check(!strcmp(s.cfg.file, "x") && !strcmp(s.cfg.format, "qcow2") && s.cfg.read_only);
	check(!strcmp(s.device, "nvme") && !strcmp(s.serial, "S1") && !strcmp(s.cfg.id, "d"));
	check(s.cfg.direct && !s.cfg.unsafe && s.cfg.no_lock && s.cfg.threads);
	check(s.cfg.on_error == BLK_STOP && s.cfg.limits.iops == 5);
	check(s.cfg.limits.bps_write == 1 << 20 && !s.cfg.limits.bps);
	blk_spec_destroy(&s);
	check(blk_spec_parse(&s, "x,overlay,cache=unsafe", &e) == 0);
	check(s.cfg.overlay && !*s.cfg.overlay && s.cfg.unsafe);
	blk_spec_destroy(&s);
	check(blk_spec_parse(&s, "x,overlay=o", &e) == 0 && !strcmp(s.cfg.overlay, "o"));
	blk_spec_destroy(&s);
	check(blk_spec_parse(&s, "x,overlay=off", &e) == 0 && !s.cfg.overlay);
	blk_spec_destroy(&s);
}

int main(void)
{
	test_defaults();
	test_all();
	check_bad("", "a file must come first");
	check_bad("x,cache=nnoe", "did you mean none");
	check_bad("x,device=scsi", "device=scsi is unknown");
	check_bad("x,on-error=", "on-error= is unknown");
	check_bad("x,aio=native", "aio=native");
	check_bad("x,ro=maybe", "neither on nor off");
	check_bad("x,readonly", "has no option 'readonly'");
	check_bad("x,overlay,ro", "drop one");
	check_bad("x,overlay=", "names no file");
	check_bad("x,bps=1Q", "is not a size");
	return 0;
}
