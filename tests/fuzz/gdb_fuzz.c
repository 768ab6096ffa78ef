/* SPDX-License-Identifier: MIT */
/*
 * gdb_fuzz.c - gdb's protocol: packets, well framed or not, to the stub of a machine of two
 * vCPUs, which do not run meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>

#include "debug/gdb.h"
#include "fuzz/input.h"
#include "sundog/err.h"

static struct machine *machine(void)
{
	static const struct machine_cfg cfg = {.board = "pc",
					       .cpu = "x86-64-v2",
					       .nr_cpus = 2,
					       .memory = 16 << 20,
					       .console = "none"};
	static struct machine *m;
	struct err e = {0};

	if (m)
		return m;
	m = machine_new(&cfg, &e);
	if (!m) {
		fprintf(stderr, "%s\n", e.msg);
		exit(1);
	}
	return m;
}

static void feed(struct gdbstub *g, const u8 *data, size_t len)
{
	memcpy(g->rx, data, len);
	g->rx_len = len;
	g->rx_pos = 0;
	gdb_take_input(g);
	rsp_sent(&g->rsp, rsp_waiting(&g->rsp));
	g->resetting = g->closing = false; /* nobody runs the loop, which would do it */
}

/* A packet with bytes that have a meaning more often than not. */
static size_t make_packet(struct input *in, u8 *to)
{
	static const char letters[] = "?cCsSDgGHkmMpPqQRTvXzZ";
	static const char common[] = "0123456789abcdef,,;:=-.";
	static const char *const words[] = {
		"qSupported:swbreak+;",
		"qXfer:features:read:target.xml:",
		"qRcmd,",
		"vCont;",
		"qThreadExtraInfo,",
		"Qqemu.PhyMemMode:",
		"Qqemu.sstep=0x",
		"Z2,",
		"m1000,",
		"X1000,4:",
		"qRcmd,782f3969203078",
	};
	u64 kind = input_take(in, 1), len = input_take(in, 1) & 63;
	size_t n = 1;

	to[0] = '$';
	if (kind & 1)
		n += (size_t)sprintf((char *)to + 1, "%s", words[(kind >> 1) % ARRAY_SIZE(words)]);
	else
		to[n++] = (u8)letters[(kind >> 1) % (sizeof(letters) - 1)];
	while (len--) {
		u8 b = (u8)input_take(in, 1);

		to[n++] = b < 0xe0 ? (u8)common[b % (sizeof(common) - 1)] : b;
	}
	u8 sum = 0;

	for (size_t i = 1; i < n; i++)
		sum += to[i];
	return n + (size_t)sprintf((char *)to + n, "#%02x", sum);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct gdbstub *g = calloc(1, sizeof(*g));
	struct input in = {data, size};
	u8 packet[256];

	if (!g)
		return 0;
	g->m = machine();
	g->client.fd = -1;
	rsp_init(&g->rsp);
	if (input_take(&in, 1) & 1) {
		while (in.left)
			feed(g, packet, make_packet(&in, packet));
	} else {
		feed(g, in.data, in.left < sizeof(g->rx) ? in.left : sizeof(g->rx));
	}
	gdb_detach(g, false);
	rsp_destroy(&g->rsp);
	free(g);
	return 0;
}
