/* SPDX-License-Identifier: MIT */
/* opts_test.c - option strings, sizes, suggestions, param tables; errors and traces with them. */
#include <errno.h>

#include "core/test.h"
#include "sundog/device.h"
#include "sundog/err.h"
#include "sundog/opts.h"
#include "sundog/trace.h"

static void test_parse(void)
{
	struct err e;
	struct opts *o = opts_parse("uart,iobase=0x3f8,chardev=file:a,,b,loud", &e), *c;

	check(o && !strcmp(opts_type(o), "uart"));
	check(!strcmp(opts_get(o, "iobase"), "0x3f8"));
	check(!strcmp(opts_get(o, "chardev"), "file:a,b"));
	check(!strcmp(opts_get(o, "loud"), "on"));
	check(!opts_get(o, "quiet"));
	check(!opts_set(o, "loud", "off") && !strcmp(opts_get(o, "loud"), "off"));
	c = opts_copy(o);
	opts_free(o);
	check(!strcmp(opts_get(c, "chardev"), "file:a,b"));
	opts_free(c);

	o = opts_parse("plain", &e);
	check(o && !strcmp(opts_type(o), "plain"));
	opts_free(o);
	check(!opts_parse("", &e) && e.code == -EINVAL);
	check(!opts_parse("a=b", &e) && e.code == -EINVAL);
	check(!opts_parse("t,=b", &e));
	check(!opts_parse("t,a=1,a=2", &e) && strstr(e.msg, "twice"));

	o = opts_parse_path("/tmp/a=1,,b.img,ro", &e);
	check(o && !strcmp(opts_type(o), "/tmp/a=1,b.img") && !strcmp(opts_get(o, "ro"), "on"));
	opts_free(o);
	check(!opts_parse_path(",ro", &e) && strstr(e.msg, "a file must come first"));
}

static void test_numbers(void)
{
	u64 v;

	check(!parse_size("512M", &v) && v == 512u << 20);
	check(!parse_size("1g", &v) && v == 1u << 30);
	check(!parse_size("0x1000", &v) && v == 0x1000);
	check(!parse_size("0x1bK", &v) && v == 0x1b * 1024);
	check(!parse_size("0x1b", &v) && v == 0x1b); /* a digit, not a unit */
	check(!parse_size("16", &v) && v == 16);
	check(parse_size("", &v) == -EINVAL);
	check(parse_size("M", &v) == -EINVAL);
	check(parse_size("-1", &v) == -EINVAL);
	check(parse_size("1X", &v) == -EINVAL);
	check(parse_size("1MB", &v) == -EINVAL);
	check(parse_size("99999999T", &v) == -ERANGE);
	check(parse_size("99999999999999999999999999999999999999", &v));
	check(!parse_u64("18446744073709551615", &v) && v == UINT64_MAX);
	check(parse_u64("18446744073709551616", &v) == -ERANGE);
	check(parse_u64(" 1", &v) && parse_u64("+1", &v) && parse_u64("1 ", &v) &&
	      parse_u64("", &v));
}

static void test_nearest(void)
{
	static const char *const names[] = {"isa-debug-exit", "uart16550", "hpet", NULL};

	check(!strcmp(nearest("isa-debug-exti", names), "isa-debug-exit"));
	check(!strcmp(nearest("uart", names), "uart16550"));
	check(!strcmp(nearest("hept", names), "hpet"));
	check(!nearest("virtio-gpu", names));
	check(!nearest("", names));
}

struct thing {
	bool on;
	u32 port;
	u64 size;
	const char *name;
};

static const struct param thing_params[] = {
	{"on", PARAM_BOOL, offsetof(struct thing, on), "off", "?"},
	{"port", PARAM_U32, offsetof(struct thing, port), "0xe9", "?"},
	{"size", PARAM_SIZE, offsetof(struct thing, size), "1M", "?"},
	{"name", PARAM_STR, offsetof(struct thing, name), NULL, "what it is called"},
	{NULL},
};

static int apply(const char *spec, struct thing *t, struct err *e)
{
	static struct opts *o;
	int r;

	opts_free(o); /* the last one: strings point into it */
	o = spec ? opts_parse(spec, e) : NULL;
	r = o ? opts_apply(o, thing_params, t, e) : 0;
	return r;
}

static void test_apply(void)
{
	struct thing t;
	struct err e;

	check(!apply("thing,name=x,id=t0", &t, &e));
	check(!t.on && t.port == 0xe9 && t.size == 1 << 20 && !strcmp(t.name, "x"));
	check(!apply("thing,on,name=,port=7,size=4K", &t, &e));
	check(t.on && t.port == 7 && t.size == 4096 && !*t.name);
	check(apply("thing", &t, &e) == -EINVAL && strstr(e.msg, "what it is called"));
	check(apply("thing,name=x,prot=1", &t, &e) == -EINVAL && strstr(e.msg, "'port'"));
	check(apply("thing,name=x,port=0x100000000", &t, &e) == -EINVAL);
	check(apply("thing,name=x,on=maybe", &t, &e) == -EINVAL);
	check(apply("thing,name=x,size=big", &t, &e) == -EINVAL);
	apply(NULL, &t, &e);
}

static void test_err_and_trace(void)
{
	struct err e;

	check(err_set(&e, -ENOENT, "no %s", "luck") == -ENOENT && e.code == -ENOENT);
	err_prefix(&e, "disk%d: ", 0);
	check(!strcmp(e.msg, "disk0: no luck"));
	for (int i = 0; i < 100; i++)
		err_prefix(&e, "again: ");
	check(strlen(e.msg) == sizeof(e.msg) - 1);

	check(trace_enable("oi_read", &e) == -EINVAL && strstr(e.msg, "'io_read'"));
	check(!trace_on[TRACE_io_read]);
	check(!trace_enable("io_*,guest_error", &e));
	check(trace_on[TRACE_io_read] && trace_on[TRACE_io_write] && trace_on[TRACE_guest_error]);
	check(!trace_on[TRACE_dma_read]);
}

static void test_one_line(void)
{
	struct err e;

	err_set(&e, -EINVAL, "\x1b[31m%s",
		"a\nb\tc\x7f \xc3\xa9 \xc2\x9b"
		"2J \xc2");
	err_prefix(&e, "%s: ", "\r");
	check(strcmp(e.msg, "?: ?[31ma?b?c? \xc3\xa9 ??2J \xc2") == 0);
}

int main(void)
{
	test_parse();
	test_one_line();
	test_numbers();
	test_nearest();
	test_apply();
	test_err_and_trace();
	return 0;
}
