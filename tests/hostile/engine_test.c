/* SPDX-License-Identifier: MIT */
/*
 * engine_test.c - what software engines must not overlook, on one vCPU driven by hand.
 *
 * Each case was wrong once: it needs a real board, so it is not beside the engine's files.
 */
#include "hostile/hostile.h"

#include <stdio.h>
#include <stdlib.h>

#include "sundog/clock.h"
#include "sundog/err.h"

enum { AT_NMI = 0x48200 /* as in its gate */ };

static struct guest g;
static struct x86_cpu *cpu;

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	printf("engine_test: %s\n", what);
	exit(1);
}

static struct code start(u64 at)
{
	enter_mode(&g, 0, CODE64, false);
	cpu->st.rip = at;
	cpu->st.rflags = FL_FIXED;
	return (struct code){&g, at, at + 0x1000};
}

static void run_to_halt(const char *what)
{
	struct vcpu *v = &cpu->v;

	v->ops->state_changed(v);
	/* No budget: translators interpret what is counted. */
	check(v->ops->run(v, 0) == VCPU_EXIT_HALTED, what);
}

static u64 data(u64 at)
{
	return as_load(g.m->mem, at, 8);
}

/* A locked instruction on a register that counts must end. */
static void test_counter(void)
{
	struct code c = start(AT_CODE);

	emit_mov(&c, RBX, 0xfed00010); /* the HPET: on */
	EMIT(&c, "\xc7\x03\x01\0\0\0");
	emit_mov(&c, RBX, 0xfed000f0);
	EMIT(&c, "\xf0\x48\xff\x03\xf0\x48\x0f\xc1\x03\xf4"); /* lock inc, lock xadd, hlt */
	run_to_halt("LOCK on a counting register");
	c = start(AT_CODE + 0x1000);
	put_val(&g, AT_PT + 8 * 0x100, 0xfed00007, 8); /* page 0x100 is the HPET */
	emit_mov(&c, RBX, 0x1000ee);
	EMIT(&c, "\xf0\x48\xff\x03\xf4");
	run_to_halt("LOCK on a counting register, askew");
}

/* As a reset does it: the memory behind a block is another. */
static void test_replaced(void)
{
	struct code c = start(AT_CODE);

	EMIT(&c, "\xb8\x01\0\0\0\xf4");
	run_to_halt("first code");
	check(cpu->st.gpr[RAX] == 1, "first code runs");
	c = start(AT_CODE);
	EMIT(&c, "\xb8\x02\0\0\0\xf4");
	run_to_halt("second code");
	check(cpu->st.gpr[RAX] == 2, "code that was replaced while stopped runs");
}

/* A device writes over the end of a region and into the next one, where code is. */
static void test_dma(void)
{
	static const u8 code[6] = {0xb8, 2, 0, 0, 0, 0xf4};
	u8 buf[0x20] = {0};
	struct code c;

	put_val(&g, AT_PT + 8 * 0x100, 0x100007, 8);
	c = start(0x100000);

	EMIT(&c, "\xb8\x01\0\0\0\xf4");
	run_to_halt("code at 1 MiB");
	memcpy(buf + 0x10, code, sizeof(code));
	check(dma_write(g.m->devices, 0xffff0, buf, sizeof(buf)) == 0, "DMA over two regions");
	cpu->st.rip = 0x100000;
	cpu->st.activity = CPU_RUNNING;
	check(cpu->v.ops->run(&cpu->v, 0) == VCPU_EXIT_HALTED, "code after DMA");
	check(cpu->st.gpr[RAX] == 2, "code that a device wrote runs");
}

/* An interrupt between a block and its successor, with a handler at that offset in its page. */
static void test_link(void)
{
	u64 at = AT_CODE + 0x100;
	struct code c = start(at), handler = {&g, AT_NMI, AT_NMI + 64};

	put_val(&g, AT_DATA, 0, 8);
	put_val(&g, AT_IDT + 32, 0x00048e0000088200, 8);
	put_val(&g, AT_IDT + 40, 0, 8);
	EMIT(&handler, "\xff\x04\x25\0\0\x06\0\x48\xcf"); /* inc dword [AT_DATA]; iretq */
	EMIT(&c, "\x89\x03");				  /* mov [rbx], eax */
	emit_jmp(&c, AT_CODE + 0x200);
	c.at = AT_CODE + 0x200;
	emit_mov(&c, RBX, AT_DATA + 64);
	EMIT(&c, "\x49\xff\xc8"); /* dec r8 */
	EMIT(&c, "\x0f\x85");
	emit_val(&c, at - (c.at + 4), 4);
	EMIT(&c, "\xf4");
	cpu->st.gpr[RBX] = 0xfee00300; /* an NMI to ourselves, once */
	cpu->st.gpr[RAX] = 0x4400;
	cpu->st.gpr[R8] = 4;
	run_to_halt("an NMI between two blocks");
	check(data(AT_DATA) == 1 && cpu->st.gpr[R8] == 0, "one NMI, handled once");
}

/* A block that kills itself counts what it has run, and no more. */
static void test_count(void)
{
	struct code c = start(AT_CODE + 0x2000);
	u64 before = cpu->v.icount;

	emit_mov(&c, RBX, c.at + 14);
	EMIT(&c, "\xc6\x03\x90\x90\x90\x90\xf4"); /* mov byte [rbx], 0x90; nop, nop, nop; hlt */
	run_to_halt("a block that writes to itself");
	check(cpu->v.icount - before == 6, "its instructions counted");
}

int main(int argc, char **argv)
{
	const struct machine_cfg cfg = {
		.board = "pc",
		.engine = argc > 1 ? argv[1] : "interp",
		.cpu = "x86-64-v2",
		.nr_cpus = 1,
		.memory = GUEST_MEMORY,
		.console = "none",
		.seed = 1,
	};
	struct err e = {0};

	g.m = machine_new(&cfg, &e);
	check(g.m, e.msg);
	cpu = x86_cpu(g.m->vcpus[0]);
	g.size = CODE64;
	g.rng.state = g.cpu_rng[0].state = 1;
	put_tables(&g);
	clock_resume(g.m);
	test_counter();
	test_replaced();
	test_dma();
	test_link();
	if (!strcmp(g.m->engine->name, "interp"))
		test_count();
	machine_free(g.m);
	return 0;
}
