/* SPDX-License-Identifier: MIT */
/*
 * hot.c - instructions of the system's, and strings, in loops that are translated: REP MOVS and
 * STOS over pages, SYSCALL and SYSRET, FS and GS bases, control registers.
 *
 * Source: SDM volume 2, under each instruction.
 *
 * memory: 256M
 * qemu syscall-entry-flags*: TCG loses the arithmetic flags and DF
 * qemu sysret-rf: TCG loads RF from R11
 * qemu wrfsbase-noncanonical*: TCG stores any address
 */
#include "modes.h"

#define GIB (1ull << 30)
enum { PAGE = 4096, HEAT = 2500, FEW = 20 };

/* --- strings -----------------------------------------------------------------------------------
 */

CODE(movs1, "rep movsb\n" DONE_INSN)
CODE(movs2, "rep movsw\n" DONE_INSN)
CODE(movs4, "rep movsl\n" DONE_INSN)
CODE(movs8, "rep movsq\n" DONE_INSN)
CODE(stos1, "rep stosb\n" DONE_INSN)
CODE(stos2, "rep stosw\n" DONE_INSN)
CODE(stos4, "rep stosl\n" DONE_INSN)
CODE(stos8, "rep stosq\n" DONE_INSN)
static const struct string {
	const char *name;
	const u8 *code;
	bool movs;
	unsigned size;
} strings[] = {
	{"movsb", movs1, true, 1},  {"movsw", movs2, true, 2},	{"movsl", movs4, true, 4},
	{"movsq", movs8, true, 8},  {"stosb", stos1, false, 1}, {"stosw", stos2, false, 2},
	{"stosl", stos4, false, 4}, {"stosq", stos8, false, 8},
};

/* Three pages with none before and behind them, not as they lie in memory; and what they hold. */
#define WINDOW (TEST_VA + 32 * GIB + 16 * PAGE)
enum { WINDOW_SIZE = 3 * PAGE, STRING_ROUNDS = 160 };
static u8 shadow[WINDOW_SIZE] __attribute__((aligned(4096)));

static u32 rnd(u32 n)
{
	static u64 state = 1;

	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(state >> 33) % n;
}

/* A bare model: registers relative to the window, and the fault. */
struct model {
	s32 si, di;
	u32 n;
	bool fault, writing;
	s32 at;
};

static bool reaches(struct model *m, s32 at, unsigned size, bool writing)
{
	if (at >= 0 && at + (s32)size <= WINDOW_SIZE)
		return true;
	m->fault = true;
	m->writing = writing;
	m->at = at < 0 || at >= WINDOW_SIZE ? at : WINDOW_SIZE;
	return false;
}

static void run_model(struct model *m, const struct string *s, u64 ax, s32 step)
{
	for (; m->n; m->n--) {
		if ((s->movs && !reaches(m, m->si, s->size, false)) ||
		    !reaches(m, m->di, s->size, true))
			return;
		if (s->movs)
			memcpy(&ax, shadow + m->si, s->size);
		memcpy(shadow + m->di, &ax, s->size);
		m->di += step;
		m->si += s->movs ? step : 0;
	}
}

/* Near a page's end, or anywhere, or behind the other by little. */
static s32 place(const struct string *s, s32 other)
{
	switch (rnd(6)) {
	case 0: return (s32)rnd(WINDOW_SIZE);
	case 1: return other + 1;
	case 2: return other + (s32)s->size;
	case 3: return other - (s32)rnd(2 * s->size + 1);
	default: return (s32)(PAGE * rnd(4)) - 40 + (s32)rnd(80);
	}
}

static u32 count(const struct string *s)
{
	switch (rnd(5)) {
	case 0: return rnd(3);
	case 1: return rnd(2 * PAGE / s->size);
	default: return rnd(60);
	}
}

static bool same_memory(void)
{
	const u64 *a = (const u64 *)WINDOW, *b = (const u64 *)shadow;

	for (unsigned i = 0; i < WINDOW_SIZE / 8; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

static bool as_model(const struct ctx *c, const struct model *m, const struct string *s)
{
	reg_t error = (m->writing ? PF_W : 0) | (mode->user ? PF_U : 0);

	if (c->cx != m->n || c->si != WINDOW + (u64)(reg_t)m->si ||
	    c->di != WINDOW + (u64)(reg_t)m->di || !same_memory())
		return false;
	if (!m->fault)
		return c->vector == DONE_VECTOR;
	return c->vector == PF && c->error == error && c->cr2 == WINDOW + (u64)(reg_t)m->at &&
	       c->ip == (reg_t)s->code;
}

static bool try_string(const struct string *s)
{
	struct ctx c = context(s->code), begin;
	struct model m = {.si = place(s, PAGE - 20), .n = count(s)};
	bool down = rnd(4) == 0;

	m.di = place(s, m.si);
	c.ax = (u64)rnd(~0u) << 33 ^ rnd(~0u);
	c.cx = m.n;
	c.si = WINDOW + (u64)(reg_t)m.si;
	c.di = WINDOW + (u64)(reg_t)m.di;
	c.flags |= down ? FL_DF : 0;
	begin = c;
	ctx_run(&c);
	run_model(&m, s, begin.ax, down ? -(s32)s->size : (s32)s->size);
	if (as_model(&c, &m, s))
		return true;
	print("  %s of %lx from %lx to %lx, df %x: %lx left, rsi %lx, rdi %lx, vector %lx, cr2 "
	      "%lx; "
	      "expected %x left, memory %s\n",
	      s->name, begin.cx, begin.si, begin.di, down, c.cx, c.si, c.di, c.vector, c.cr2, m.n,
	      same_memory() ? "right" : "wrong");
	memcpy((void *)WINDOW, shadow, WINDOW_SIZE);
	return false;
}

static void rep_strings(void)
{
	for (unsigned i = 0; i < 3; i++)
		map(WINDOW + (2 - i) * PAGE, (reg_t)page_alloc(), rights(), LEVEL_4K);
	for (unsigned i = 0; i < WINDOW_SIZE; i++)
		((u8 *)WINDOW)[i] = shadow[i] = (u8)(i * 7 + (i >> 8));
	for (unsigned i = 0; i < ARRAY_SIZE(strings); i++) {
		unsigned wrong = 0;

		for (unsigned n = 0; n < STRING_ROUNDS && wrong < 3; n++)
			wrong += !try_string(&strings[i]);
		check(named("rep", strings[i].name, mode->name), wrong, 0);
	}
}

/* --- SYSCALL and SYSRET ------------------------------------------------------------------------
 */

enum { MSR_STAR = 0xc0000081, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK, MSR_FS_BASE = 0xc0000100 };
enum { FL_USUAL = FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF | FL_OF };

/* R14: R11; R15: the flags in ring 0; then others. */
CODE(system_entry, "mov %r11, %r14; pushfq; pop %r15; cmp %rsp, %rsp; sysretq\n")
/* Flags out of R9; R10 are those that SFMASK leaves.  R8 gathers what is wrong of R15. */
CODE(system_calls, "1: imul $0x9e3779b1, %r12d, %ebx; shr $7, %ebx; and %r9d, %ebx; or $2, %ebx\n"
		   "push %rbx; popfq; syscall; pushfq; pop %rax\n"
		   "cmp %rbx, %rax; jne 2f; cmp %rbx, %r14; jne 2f\n"
		   "mov %rbx, %rdx; and %r10, %rdx; or $2, %rdx; xor %r15, %rdx; or %rdx, %r8\n"
		   "dec %r12; jnz 1b\n2: cld\n" DONE_INSN)
CODE(to_user, "sysretq\n")
CODE(user_place, "nop\n" DONE_INSN)

static void hot_syscalls(u64 mask, u64 flags)
{
	static const char digits[] = "0123456789abcdef";
	char name[8] = {0};
	struct ctx c = ctx_user(system_calls);

	for (unsigned i = 0; i < 6; i++)
		name[i] = digits[mask >> 4 * (5 - i) & 15];
	wrmsr(MSR_SFMASK, mask);
	c.r9 = flags;
	c.r10 = ~mask;
	c.r12 = HEAT;
	ctx_run(&c);
	if (!ended(&c))
		print("  flags %lx, behind %lx, in R11 %lx, in ring 0 %lx\n", c.bx, c.ax, c.r14,
		      c.r15);
	check_true(named("syscall", flags & FL_AC ? "ac" : "loop", name), ended(&c));
	check(named("syscall-entry-flags", flags & FL_AC ? "ac" : "loop", name), c.r8, 0);
}

static struct ctx sysret(u64 rcx, u64 r11)
{
	struct ctx c = ctx_kernel(to_user);

	c.cx = rcx;
	c.r11 = r11;
	ctx_run(&c);
	return c;
}

static u64 sysret_flags(u64 r11)
{
	struct ctx c = sysret((reg_t)user_place, r11);

	return c.vector == DONE_VECTOR && c.cs == SEL_UCODE64 && c.ss == SEL_UDATA ? c.flags : 0;
}

static void sysrets(void)
{
	static const u64 bits[] = {FL_CF, FL_OF, FL_DF, FL_NT, FL_ID, FL_AC, FL_USUAL, FL_IOPL3};
	bool ok = true;
	struct ctx c;

	for (unsigned i = 0; i < 50 * ARRAY_SIZE(bits); i++) {
		u64 r11 = FL_1 | bits[i % ARRAY_SIZE(bits)] | bits[i / 3 % ARRAY_SIZE(bits)];

		ok &= sysret_flags(r11) == r11;
	}
	check_true("sysret-flags", ok);
	check("sysret-rf", sysret_flags(FL_RF | FL_ZF | FL_OF), FL_1 | FL_ZF | FL_OF);
	check("sysret-reserved-bits", sysret_flags(~0ull << 32 | FL_CF | 0x28 | 1 << 15),
	      FL_1 | FL_CF);
	/* Linux says it comes at once; the manuals do not say. */
	c = sysret((reg_t)user_place, FL_TF);
	write_dr6(0xffff0ff0);
	check("sysret-tf", c.vector, DB);
	check_true("sysret-tf-at", c.cs == SEL_UCODE64 && (c.ip == (reg_t)user_place ||
							   c.ip == (reg_t)user_place + 1));
	check_true("sysret-tf-flag", c.flags & FL_TF);
	/* Intel: in ring 0, before anything changes.  AMD: in ring 3, at the target. */
	c = sysret(1ull << 47, FL_1);
	check("sysret-noncanonical", c.vector, GP);
	check_true("sysret-noncanonical-at",
		   c.cs & 3 ? c.ip == 1ull << 47 : c.ip == (reg_t)to_user);
	check("sysret-once-more", sysret_flags(FL_1 | FL_PF), FL_1 | FL_PF);
}

static void syscalls(void)
{
	static const u64 masks[] = {0,
				    FL_DF,
				    FL_IF | FL_DF,
				    FL_USUAL,
				    FL_CF | FL_OF | FL_TF,
				    FL_USUAL | FL_IF | FL_TF | FL_AC,
				    FL_USUAL | FL_IF | FL_TF | FL_AC | FL_DF,
				    0x257fd5};

	wrmsr(MSR_STAR, (u64)SEL_CODE << 32 | (u64)0x20 << 48);
	wrmsr(MSR_LSTAR, (reg_t)system_entry);
	for (unsigned i = 0; i < ARRAY_SIZE(masks); i++) {
		hot_syscalls(masks[i], FL_USUAL | FL_DF);
		hot_syscalls(masks[i], FL_USUAL | FL_DF | FL_AC | FL_ID);
	}
	sysrets();
}

/* --- bases and control registers ---------------------------------------------------------------
 */

/* All of a base, half of it, and that it is used at once. */
CODE(base_loop, "1: imul $0x1234567, %r12, %rax\n"
		"wrfsbase %rax; rdfsbase %rdx; cmp %rax, %rdx; jne 2f\n"
		"neg %rax; wrgsbase %rax; rdgsbase %rdx; cmp %rax, %rdx; jne 2f\n"
		"wrgsbase %eax; rdgsbase %rdx; mov %eax, %ecx; cmp %rcx, %rdx; jne 2f\n"
		"mov $-1, %rdx; rdfsbase %edx; imul $0x1234567, %r12, %rax\n"
		"mov %eax, %eax; cmp %rax, %rdx; jne 2f\n"
		"lea (,%r12,8), %rax; neg %rax; add %rsi, %rax; wrfsbase %rax; wrgsbase %rax\n"
		"mov %fs:(,%r12,8), %rdx; cmp %rbp, %rdx; jne 2f\n"
		"mov %gs:(,%r12,8), %rdx; cmp %rbp, %rdx; jne 2f\n"
		"dec %r12; jnz 1b\n2:" DONE_INSN)
CODE(write_fs, "wrfsbase %rax\n" DONE_INSN)

static bool write_base(u64 base)
{
	struct ctx c = context(write_fs);

	c.ax = base;
	ctx_run(&c);
	return c.vector == DONE_VECTOR && rdmsr(MSR_FS_BASE) == base;
}

static void bases(void)
{
	static const u64 found = 0x1122334455667788;
	reg_t cr4 = read_cr4();
	struct ctx c = context(base_loop);
	bool ok = true;

	if (!cpu_has(7, 0, EBX, 0)) {
		skip("fsgsbase", "not in CPUID");
		return;
	}
	write_cr4(cr4 | CR4_FSGSBASE);
	c.si = (reg_t)&found;
	c.bp = found;
	c.r12 = HEAT;
	ctx_run(&c);
	check_true(named("base", "loop", mode->name), ended(&c));
	for (u64 i = 0; i < FEW; i++)
		ok &= write_base(i << 40);
	check_true(named("wrfsbase", "hot", mode->name), ok);
	c = context(write_fs);
	c.ax = 1ull << 47;
	ctx_run(&c);
	check_trap(named("wrfsbase-noncanonical", "faults", mode->name), &c, GP, 0, write_fs);
	check(named("wrfsbase-noncanonical", "stays", mode->name), rdmsr(MSR_FS_BASE),
	      (FEW - 1ull) << 40);
	write_cr4(cr4);
	c = context(write_fs);
	ctx_run(&c);
	check_trap(named("wrfsbase", "off", mode->name), &c, UD, 0, write_fs);
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_FS_BASE + 1, 0);
}

CODE(read_0, "mov %cr0, %rax\n" DONE_INSN)
CODE(read_2, "mov %cr2, %rax\n" DONE_INSN)
CODE(read_3, "mov %cr3, %rax\n" DONE_INSN)
CODE(read_4, "mov %cr4, %rax\n" DONE_INSN)

static u64 read_by(const u8 *code)
{
	struct ctx c = ctx_kernel(code);

	ctx_run(&c);
	return c.ax;
}

/* Each changes all the time, by what is harmless. */
static void control_registers(void)
{
	static const u8 *const codes[] = {read_0, read_2, read_3, read_4};
	reg_t cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();
	bool ok[4] = {true, true, true, true};

	for (u64 i = 0; i < HEAT; i++) {
		write_cr0(cr0 ^ (i & 1 ? CR0_TS : 0) ^ (i & 2 ? CR0_AM : 0));
		write_cr2(i << 50 | i);
		write_cr3(cr3 | (i & 3) << 3);
		write_cr4(cr4 ^ (i & 4 ? CR4_TSD : 0));
		ok[0] &= read_by(read_0) == (cr0 ^ (i & 1 ? CR0_TS : 0) ^ (i & 2 ? CR0_AM : 0));
		ok[1] &= read_by(read_2) == (i << 50 | i);
		ok[2] &= read_by(read_3) == (cr3 | (i & 3) << 3);
		ok[3] &= read_by(read_4) == (cr4 ^ (i & 4 ? CR4_TSD : 0));
		asm volatile("clts");
		ok[0] &= !(read_cr0() & CR0_TS);
	}
	write_cr0(cr0);
	write_cr3(cr3);
	write_cr4(cr4);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const names[] = {"cr0", "cr2", "cr3", "cr4"};
		struct ctx c = ctx_user(codes[i]);

		check_true(named(names[i], "read", "hot"), ok[i]);
		ctx_run(&c);
		check_trap(named(names[i], "read", "user"), &c, GP, 0, codes[i]);
	}
}
int main(void)
{
	for (mode = modes; mode < modes + NR_MODES; mode++) {
		rep_strings();
		bases();
	}
	mode = modes;
	syscalls();
	control_registers();
	return 0;
}
