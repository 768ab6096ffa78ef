/* SPDX-License-Identifier: MIT */
/*
 * control_fuzz.c - lines of a control socket's client, well formed or not, to a machine that does
 * not run; nobody runs its loop.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control/server.h"
#include "fuzz/input.h"
#include "sundog/err.h"
#include "sundog/machine.h"

static struct control *control(void)
{
	static const struct machine_cfg cfg = {.board = "pc",
					       .cpu = "x86-64-v2",
					       .nr_cpus = 2,
					       .memory = 16 << 20,
					       .console = "none"};
	static struct control c = {.cfg = {.name = "fuzz", .path = "/none", .console = "/none"}};
	struct err e = {0};

	if (c.m)
		return &c;
	c.m = machine_new(&cfg, &e);
	if (!c.m) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	c.plugged = json_object();
	c.stop_timer = (struct timer){.fn = control_stop_now, .clock = CLOCK_HOST};
	return &c;
}

/* An answer must be one line of JSON. */
static void answer(json_t *a)
{
	char *text = a ? json_dumps(a, JSON_COMPACT) : NULL;

	if (!text || strchr(text, '\n'))
		abort();
	free(text);
	json_decref(a);
}

static void feed(const char *line, size_t len)
{
	json_t *a, *request = control_parse(line, len, &a);
	bool subscribe = false;

	if (request)
		a = control_answer(control(), request, &subscribe);
	json_decref(request);
	answer(a);
}

/* A request that is more often right than wrong. */
static size_t make_request(struct input *in, char *to, size_t size)
{
	static const char *const args[] = {
		"{}",
		"{\"timeout\":%u}",
		"{\"subscribe\":true}",
		"{\"spec\":\"isa-debug-exit,iobase=%u\"}",
		"{\"spec\":\"isa-debugcon,iobase=%u,chardev=null\"}",
		"{\"id\":\"isa-debug-exit0\"}",
		"{\"id\":\"isa-debugcon0\"}",
		"{\"id\":%u}",
		"{\"spec\":\"%c,%c=%c\"}",
	};
	char arg[96];
	unsigned n = 0, which, value = (unsigned)input_take(in, 2);

	while (control_commands[n].name)
		n++;
	which = (unsigned)input_take(in, 1) % n;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(arg, sizeof(arg), args[input_take(in, 1) % ARRAY_SIZE(args)], value, value, value);
#pragma GCC diagnostic pop
	return (size_t)snprintf(to, size, "{\"id\":%u,\"command\":\"%s\",\"arguments\":%s}", value,
				control_commands[which].name, arg);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, size};
	char line[256];

	if (input_take(&in, 1) & 1) {
		while (in.left)
			feed(line, make_request(&in, line, sizeof(line)));
	} else {
		feed((const char *)in.data, in.left);
	}
	machine_resume(control()->m);
	return 0;
}
