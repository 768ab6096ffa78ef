/* SPDX-License-Identifier: MIT */
/*
 * crash_test.c - faults in translated code are told and end the process; what is not ours
 * reaches its owner.  Bad code is planted through the code cache's writable mapping.
 */
#include "hostile/hostile.h"

#include <fcntl.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "engine/jit/jit.h"
#include "sundog/clock.h"
#include "sundog/err.h"

static struct guest g;
static struct x86_cpu *cpu;
static char told[16384]; /* what a child said on standard error */

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	printf("crash_test: %s\n%s\n", what, told);
	exit(1);
}

static struct machine *new_machine(const char *console)
{
	static struct machine_cfg cfg = {
		.board = "pc",
		.engine = "jit,hot=1",
		.cpu = "x86-64-v2",
		.nr_cpus = 1,
		.memory = GUEST_MEMORY,
		.seed = 1,
	};
	struct err e = {0};
	struct machine *m;

	cfg.console = console;
	m = machine_new(&cfg, &e);
	check(m, e.msg);
	return m;
}

/* mov rax, [rbx]; add rax, 0x11; hlt */
static const char code[] = "\x48\x8b\x03\x48\x83\xc0\x11\xf4";
enum { AT_ADD = AT_CODE + 3 };

static void run(void)
{
	struct vcpu *v = &cpu->v;

	cpu->st.rip = AT_CODE;
	cpu->st.activity = CPU_RUNNING;
	v->ops->run(v, 0);
}

/* The code has run, and is translated. */
static void start(const char *console, const char *bytes, size_t len)
{
	struct code c = {&g, AT_CODE, AT_CODE + 0x1000};

	g.m = new_machine(console);
	cpu = x86_cpu(g.m->vcpus[0]);
	g.size = CODE64;
	g.rng.state = g.cpu_rng[0].state = 1;
	put_tables(&g);
	clock_resume(g.m);
	emit(&c, bytes, len);
	enter_mode(&g, 0, CODE64, false);
	cpu->st.rflags = FL_FIXED;
	cpu->st.gpr[RBX] = cpu->st.gpr[RCX] = AT_DATA;
	put_val(&g, AT_DATA, 0x22, 8);
	cpu->v.ops->state_changed(&cpu->v);
	run();
	check(cpu->st.activity == CPU_HALTED && cpu->st.gpr[RAX] == 0x33, "the code runs");
}

/* Over the host code of the instruction at AT_ADD. */
static void plant(const void *bytes, size_t len)
{
	struct jit *j = jit_of(g.m->engine_priv);
	struct jit_place p;

	for (const u8 *rx = j->rx; rx < j->rx + j->size; rx++) {
		if (!jit_place(j, rx, &p) || !p.op || p.op->off != AT_ADD % 0x1000)
			continue;
		check((size_t)(p.end - rx) <= 64, "the code of one instruction");
		memcpy(j->rw + (rx - j->rx), bytes, len);
		return;
	}
	check(false, "the code of an instruction is found");
}

/* An address whose page does not exist although it is mapped. */
static void *beyond_end(void *at)
{
	int fd = memfd_create("empty", MFD_CLOEXEC);
	void *p = mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | (at ? MAP_FIXED : 0), fd, 0);

	check(p != MAP_FAILED, "a mapping of nothing");
	return p;
}

static void crash_ill(void)
{
	start("none", code, sizeof(code) - 1);
	plant("\x0f\x0b", 2);
	run();
}

static void crash_trap(void)
{
	start("none", code, sizeof(code) - 1);
	plant("\xcc", 1);
	run();
}

static void crash_segv(void)
{
	start("none", code, sizeof(code) - 1);
	plant("\x48\x8b\x04\x25\0\0\0\0", 8); /* mov rax, [0] */
	run();
}

static void crash_bus(void)
{
	u8 load[10] = {0x48, 0xa1}; /* movabs rax, [] */

	start("none", code, sizeof(code) - 1);
	st_le64(load + 2, (u64)(uintptr_t)beyond_end(NULL));
	plant(load, sizeof(load));
	run();
}

static void crash_fpe(void)
{
	start("none", code, sizeof(code) - 1);
	plant("\x31\xc9\xf7\xf1", 4); /* xor ecx, ecx; div ecx */
	run();
}

/* On a vCPU's own thread, which has lost its stack. */
static void crash_stack(void)
{
	struct err e = {0};

	start("none", code, sizeof(code) - 1);
	plant("\x31\xe4\x0f\x0b", 4); /* xor esp, esp; ud2 */
	cpu->st.rip = AT_CODE;
	cpu->st.activity = CPU_RUNNING;
	check(machine_start(g.m, &e) == 0, e.msg);
	machine_run(g.m);
}

/* In an exec function: it finds no memory where there should be some. */
static void crash_exec(void)
{
	start("none", "\x48\x8b\x03\x48\x83\xc0\x11\x0f\x01\x11\xf4", 11); /* ... lgdt [rcx] */
	cpu->st.gpr[RCX] = 0x800000;
	munmap((u8 *)g.m->ram + 0x800000, 4096);
	run();
}

/* The host cannot give a page of guest memory. */
static void no_memory(void)
{
	start("none", code, sizeof(code) - 1);
	beyond_end((u8 *)g.m->ram + 0x800000);
	cpu->st.gpr[RBX] = 0x800000;
	run();
}

/* Standard input is a terminal, which the machine makes raw. */
static void crash_raw(void)
{
	start("stdio", code, sizeof(code) - 1);
	plant("\x0f\x0b", 2);
	run();
}

static int in_child(void (*f)(void), int terminal)
{
	int fds[2], status;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	check(pipe(fds) == 0, "a pipe");
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		if (terminal >= 0) {
			setsid();
			dup2(terminal, STDIN_FILENO);
			dup2(terminal, STDOUT_FILENO);
		}
		f();
		_exit(99);
	}
	close(fds[1]);
	while ((r = read(fds[0], told + n, sizeof(told) - 1 - n)) > 0)
		n += (size_t)r;
	told[n] = '\0';
	close(fds[0]);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static const struct {
	void (*f)(void);
	int status;
	const char *words[6];
} crashes[] = {
	{crash_ill,
	 6,
	 {"engine bug: SIGILL", "guest rip: 0000000000020003", "add rax, 0x11", "ud2", "<0f> 0b",
	  "rbx=0000000000060000"}},
	{crash_trap, 6, {"engine bug: SIGTRAP", "guest rip: 0000000000020003", "add rax, 0x11"}},
	{crash_segv,
	 6,
	 {"engine bug: SIGSEGV", "guest rip: 0000000000020003", "add rax, 0x11", "address 0\n",
	  "block: 3 instructions, 8 bytes at RAM offset 20000"}},
	{crash_bus, 6, {"engine bug: SIGBUS", "guest rip: 0000000000020003", "add rax, 0x11"}},
	{crash_fpe,
	 6,
	 {"engine bug: SIGFPE", "guest rip: 0000000000020003", "add rax, 0x11", "div ecx"}},
	{crash_stack,
	 6,
	 {"engine bug: SIGILL", "guest rip: 0000000000020003", "rsp=0000000000000000"}},
	{crash_exec,
	 6,
	 {"engine bug: SIGSEGV", "guest rip: 0000000000020007", "lgdt", "a function of sundog"}},
	{no_memory, 1, {"sundog: the host has no memory left"}},
};

static void test_crashes(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(crashes); i++) {
		check(in_child(crashes[i].f, -1) == crashes[i].status, crashes[i].words[0]);
		for (size_t k = 0; k < ARRAY_SIZE(crashes[i].words); k++)
			check(!crashes[i].words[k] || strstr(told, crashes[i].words[k]),
			      crashes[i].words[k]);
	}
}

static void test_terminal(void)
{
	struct termios before, after;
	int master, slave;

	check(openpty(&master, &slave, NULL, NULL, NULL) == 0, "a terminal");
	tcgetattr(slave, &before);
	check(in_child(crash_raw, slave) == 6, "a crash with a raw terminal");
	tcgetattr(slave, &after);
	check(before.c_lflag & ICANON && before.c_lflag == after.c_lflag, "terminal restored");
	close(master);
	close(slave);
}

static sigjmp_buf out;

static void on_segv(int sig)
{
	siglongjmp(out, 1);
}

static bool owner_gets_it(void)
{
	volatile u64 nowhere = 8;

	if (sigsetjmp(out, 1))
		return true;
	*(volatile int *)(uintptr_t)nowhere = 1;
	return false;
}

/* The program's own handler lives on, under several machines and after them. */
static void test_owner(void)
{
	struct sigaction sa = {.sa_handler = on_segv}, now;
	struct machine *a, *b;

	sigaction(SIGSEGV, &sa, NULL);
	a = new_machine("none");
	b = new_machine("none");
	check(owner_gets_it(), "a fault of the program's own, with two machines");
	machine_free(a);
	check(owner_gets_it(), "a fault of the program's own, with one machine");
	machine_free(b);
	sigaction(SIGSEGV, NULL, &now);
	check(now.sa_handler == on_segv, "the program's handler is back");
	check(owner_gets_it(), "a fault of the program's own, with none");
	a = new_machine("none");
	sigaction(SIGSEGV, &sa, NULL); /* over the machine's */
	machine_free(a);
	a = new_machine("none");
	check(owner_gets_it(), "a handler that came after the machine's");
	machine_free(a);
	signal(SIGSEGV, SIG_DFL);
}

/* No page is ever writable and executable. */
static void test_maps(void)
{
	char line[512], rights[8];
	unsigned code_maps = 0;
	void *begin;
	FILE *f;

	start("none", code, sizeof(code) - 1);
	f = fopen("/proc/self/maps", "r");
	check(f, "/proc/self/maps");
	while (fgets(line, sizeof(line), f)) {
		check(sscanf(line, "%*s %7s", rights) == 1, line);
		check(!(strchr(rights, 'w') && strchr(rights, 'x')), line);
		check(sscanf(line, "%p", &begin) == 1, line);
		code_maps += begin == jit_of(g.m->engine_priv)->rx && strchr(rights, 'x');
	}
	check(code_maps == 1, "the code cache is mapped to run once");
	fclose(f);
	machine_free(g.m);
}

int main(void)
{
	test_crashes();
	test_terminal();
	test_owner();
	test_maps();
	return 0;
}
