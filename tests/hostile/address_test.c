/* SPDX-License-Identifier: MIT */
/*
 * address_test.c - no address leads a guest out of its memory.
 *
 *	address_test [--engine E] [--seed S] [--addresses N]
 *
 * Each instruction of the table that has a memory operand, in several forms of address, is
 * translated with an address that is good and then run with such as are not: not canonical,
 * in the last page, around the end, in another page of the same TLB index, across the end of
 * what is mapped.  The interpreter does the same on a machine of its own; registers, the
 * exception, and in the end all of memory must be equal.
 */
#include "hostile/hostile.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "isa/x86/exec.h"
#include "isa/x86/insn.h"
#include "isa/x86/priv.h"
#include "sundog/clock.h"
#include "sundog/err.h"
#include "sundog/isa.h"

enum {
	AT_STACK = AT_STACKS + 0x4000,
	AT_IST_FLAGS = AT_IST - 0x18, /* in a fault's frame: see normal() */
	MAPPED_PAGES = 0x100,	      /* of the first 2 MiB */
	MAX_INSN = 15,
};

/* Where the bytes of an instruction are, how its operand is addressed. */
enum form { BY_RBX, BY_R11, BY_RSP, BY_RBP_DISP, BY_INDEX, BY_GS, NR_FORMS };

static struct {
	unsigned addresses;
	u64 seed;
	const char *engine;
} args = {.addresses = 12, .seed = 1, .engine = "jit,hot=1"};

static struct guest both[2];
static struct rng rng;
static u64 runs, endless;
static volatile sig_atomic_t ticks;

static struct x86_cpu *cpu_of(const struct guest *g)
{
	return x86_cpu(g->m->vcpus[0]);
}

/* --- machines ----------------------------------------------------------------------------- */

static void put_own_tables(struct guest *g)
{
	put_tables(g);
	for (unsigned i = 0; i < 512; i++) {
		put_val(g, AT_PML4 + 8 * i, i ? 0 : AT_PDPT + 7, 8);
		put_val(g, AT_PDPT + 8 * i, i ? 0 : AT_PD + 7, 8);
		put_val(g, AT_PD + 8 * i, 0, 8);
		put_val(g, AT_PT + 8 * i, i < MAPPED_PAGES ? (u64)i << 12 | 7 : 0, 8);
	}
	put_val(g, AT_PD, AT_PT + 7, 8);
	put_val(g, AT_PT + 8 * (AT_DATA / 4096 + 2), (AT_DATA + 0x2000) | 5, 8); /* read-only */
	for (u64 at = AT_DATA; at < AT_DATA + 0x3000; at += 8) /* all of it leads to a HLT */
		put_val(g, at, AT_HANDLERS + 0xc80, 8);
	put_halting_handlers(g);
}

static void fresh_memory(struct guest *g)
{
	memset(g->m->ram, 0, GUEST_MEMORY);
	g->rng.state = 1;
	put_own_tables(g);
	cpu_of(g)->v.ops->state_changed(&cpu_of(g)->v);
}

static void make(struct guest *g, struct machine_cfg *cfg, const char *engine)
{
	struct err e = {0};

	*cfg = (struct machine_cfg){
		.board = "pc",
		.engine = engine,
		.cpu = "max",
		.nr_cpus = 1,
		.memory = GUEST_MEMORY,
		.console = "none",
		.seed = 1,
	};
	g->m = machine_new(cfg, &e);
	if (!g->m) {
		printf("%s\n", e.msg);
		exit(1);
	}
	g->size = CODE64;
	fresh_memory(g);
	clock_resume(g->m);
}

/* --- cases --------------------------------------------------------------------------------------
 */

struct test {
	u8 bytes[MAX_INSN + 1];
	unsigned len;
	const struct insn *row;
	enum form form;
};

/* The registers with which t reaches address. */
static void aim(struct cpu_state *st, const struct test *t, u64 address)
{
	st->gpr[RSI] = st->gpr[RDI] = address;
	switch (t->form) {
	case BY_RBX: st->gpr[RBX] = address; break;
	case BY_R11: st->gpr[R11] = address; break;
	case BY_RSP: st->gpr[RSP] = address; break;
	case BY_RBP_DISP: st->gpr[RBP] = address - 0x40; break;
	case BY_INDEX: st->gpr[RBX] = address - 4 * st->gpr[R8] - 0x12345678; break;
	case BY_GS:
		st->seg[SEG_GS].base = address - 0x1000;
		st->gpr[RBX] = 0x1000;
		break;
	default: break;
	}
}

static unsigned put_operand(u8 *b, enum form form, unsigned reg)
{
	u8 r = (u8)(reg << 3);
	unsigned n = 0;

	switch (form) {
	case BY_RBP_DISP:
		b[n++] = 0x45 | r;
		b[n++] = 0x40;
		break;
	case BY_RSP:
		b[n++] = 0x04 | r;
		b[n++] = 0x24;
		break;
	case BY_INDEX: /* [rbx + r8 * 4 + disp32] */
		b[n++] = 0x84 | r;
		b[n++] = 0x83;
		st_le32(b + n, 0x12345678);
		n += 4;
		break;
	default: b[n++] = 0x03 | r; break;
	}
	return n;
}

static u8 rex_for(enum form form)
{
	return form == BY_R11 ? 0x41 : form == BY_INDEX ? 0x42 : 0x40;
}

/* The shortest vector that the row has, or the longest. */
static unsigned length_of(const struct insn *row, bool longest)
{
	if (!row->vex_l)
		return 0;
	return longest ? 31 - (unsigned)__builtin_clz(row->vex_l)
		       : (unsigned)__builtin_ctz(row->vex_l);
}

/* False: the row has no such form. */
static bool build(struct test *t, const struct insn *row, enum form form, bool wide, bool lock)
{
	unsigned n = 0;
	struct op op;
	int len;

	*t = (struct test){.row = row, .form = form};
	if (row->map == MAP_NONE || row->mrm == MRM_NONE || row->mrm & (MRM_MOD_REG | MRM_RM))
		return false;
	if (lock)
		t->bytes[n++] = 0xf0;
	if (form == BY_GS)
		t->bytes[n++] = 0x65;
	n += put_opcode(t->bytes + n, row, (u8)(rex_for(form) | wide << 3), 0, length_of(row, wide),
			row->evex & EV_MUST || (wide && row->evex & EV_K));
	n += put_operand(t->bytes + n, form, row->mrm & MRM_EXT ? row->mrm & 7u : RCX);
	memset(t->bytes + n, 1, MAX_INSN - n); /* an immediate */
	len = x86_decode(t->bytes, MAX_INSN, CODE64, 0, &op);
	t->len = len > 0 ? (unsigned)len : 0;
	return len > 0 && op.flags & OP_MEM && &insns[op.row] == row;
}

/* What has no ModRM byte: the stack, strings. */
static const struct {
	const char *bytes;
	u8 len;
	enum form form;
} plain[] = {
	{"\x53", 1, BY_RSP},	     {"\x41\x53", 2, BY_RSP},	  {"\x5b", 1, BY_RSP},
	{"\x41\x5b", 2, BY_RSP},     {"\x5c", 1, BY_RSP},	  {"\x6a\x7f", 2, BY_RSP},
	{"\x9c", 1, BY_RSP},	     {"\x9d", 1, BY_RSP},	  {"\xc3", 1, BY_RSP},
	{"\xc2\x08\0", 3, BY_RSP},   {"\xe8\0\0\0\0", 5, BY_RSP}, {"\xff\xd3", 2, BY_RSP},
	{"\xff\x33", 2, BY_RSP},     {"\x8f\x04\x24", 3, BY_RSP}, {"\x48\xcf", 2, BY_RSP},
	{"\xcb", 1, BY_RSP},	     {"\xc9", 1, BY_RBP_DISP},	  {"\xc8\x10\0\0", 4, BY_RSP},
	{"\xa4", 1, BY_RBX},	     {"\x48\xa5", 2, BY_RBX},	  {"\xaa", 1, BY_RBX},
	{"\x48\xab", 2, BY_RBX},     {"\xac", 1, BY_RBX},	  {"\x48\xad", 2, BY_RBX},
	{"\xa6", 1, BY_RBX},	     {"\x48\xae", 2, BY_RBX},	  {"\xf3\xa4", 2, BY_RBX},
	{"\xf3\x48\xa5", 3, BY_RBX}, {"\xf3\xaa", 2, BY_RBX},	  {"\xf3\x48\xab", 3, BY_RBX},
	{"\xf3\xa6", 2, BY_RBX},     {"\xf2\xae", 2, BY_RBX},	  {"\xd7", 1, BY_RBX},
	{"\xff\x23", 2, BY_RBX},     {"\xff\x13", 2, BY_RBX},	  {"\xff\x24\xcb", 3, BY_RBX},
};

static u64 bad_address(void)
{
	static const u64 some[] = {
		0x0000800000000000, 0x00007fffffffffff, 0x00007ffffffffff9, 0xffff7fffffffffff,
		0xffff800000000000, 0x8000000000000000, 0x7fffffffffffffff, 0xffffffffffffffff,
		0xfffffffffffffff8, 0xfffffffffffffffd, 0xfffffffffffff000, 0xffffffffffffeffc,
		0xffffffff80000000, 0x00000000ffffffff, 0x100000000,	    0x4000000000000000,
		0xfffffffffff00000, 0x00000000000ffffc, 0x100000,	    0x1ffffc,
	};
	u64 v = rng_next(&rng), good = AT_DATA + (v & 0xfff);

	switch (rng_below(&rng, 8)) {
	case 0: return v; /* seldom canonical */
	case 1: return good ^ 1ull << (12 + (v >> 20) % 52);
	case 2: return good + ((rng_below(&rng, 1 << 20) + 1) << (TLB_BITS + 12));
	case 3: /* where an entry that is not valid may point to */
		return rng_below(&rng, 1024) << 12 | (v & 0xfff);
	case 4: return 0x1000ull * MAPPED_PAGES - (v & 63);
	case 5: return AT_DATA + 0x2000 - (v & 63) + (v & 64); /* on into what is read-only */
	default: return some[rng_below(&rng, ARRAY_SIZE(some))] + (v >> 60 ? 0 : v & 31);
	}
}

static void start_state(struct cpu_state *st)
{
	for (unsigned i = 0; i < NR_GPRS; i++)
		st->gpr[i] = 0x0101010101010101ull * i;
	st->gpr[RBX] = st->gpr[RBP] = st->gpr[R11] = AT_DATA;
	st->gpr[RSP] = AT_STACK;
	st->gpr[RCX] = 2;
	st->gpr[RDX] = 0;
	st->gpr[R8] = 5;
	/* Elements that a mask leaves out are not accessed. */
	st->kmask[1] = rng_below(&rng, 4) ? rng_next(&rng) : 0;
	st->rip = AT_CODE;
	st->rflags = FL_FIXED;
	st->cr2 = 0;
	st->activity = CPU_RUNNING;
}

/* Jumps may lead anywhere: what has not ended by the second tick is stopped. */
static void on_tick(int sig)
{
	if (++ticks < 2)
		return;
	for (unsigned i = 0; i < 2; i++)
		atomic_fetch_or(&cpu_of(&both[i])->v.pending, VCPU_STOP);
}

static enum vcpu_exit run_on(struct guest *g, const struct cpu_state *from)
{
	struct x86_cpu *cpu = cpu_of(g);

	ticks = 0;
	atomic_store(&cpu->v.pending, 0);
	cpu->st = *from;
	x86_state_changed(cpu); /* blocks and TLBs stay */
	return cpu->v.ops->run(&cpu->v, 0);
}

static void put_code(const struct test *t)
{
	u8 code[MAX_INSN + 3];

	memset(code, 0xf4, sizeof(code));
	memcpy(code, t->bytes, t->len);
	for (unsigned i = 0; i < 2; i++)
		if (dma_write(both[i].m->devices, AT_CODE, code, sizeof(code)))
			exit(1);
}

/* --- judging ------------------------------------------------------------------------------ */

static void normal(struct cpu_state *st, const struct test *t, bool elsewhere)
{
	/* At a fault only flags that are read next are kept; wild code shows undefined ones. */
	st->rflags &= elsewhere ? ~(u64)FL_ARITH : ~(u64)(t->row ? t->row->fl_undef : 0);
	st->gpr[GPR_PC] = 0;
}

static void complain(const struct test *t, u64 address, const struct cpu_state *i,
		     const struct cpu_state *j)
{
	char text[100];

	x86_isa.disasm(&cpu_of(&both[1])->v, AT_CODE, t->bytes, t->len, text, sizeof(text));
	printf("address_test: %s with %#llx differs (seed %llu)\n", text,
	       (unsigned long long)address, (unsigned long long)args.seed);
	printf("  interp: rip %#llx cr2 %#llx flags %#llx; jit: rip %#llx cr2 %#llx flags %#llx\n",
	       (unsigned long long)i->rip, (unsigned long long)i->cr2,
	       (unsigned long long)i->rflags, (unsigned long long)j->rip,
	       (unsigned long long)j->cr2, (unsigned long long)j->rflags);
	for (unsigned r = 0; r < NR_GPRS; r++)
		if (i->gpr[r] != j->gpr[r])
			printf("  register %u: %#llx, %#llx\n", r, (unsigned long long)i->gpr[r],
			       (unsigned long long)j->gpr[r]);
	exit(1);
}

static void compare(const struct test *t, u64 address, const struct cpu_state *from)
{
	enum vcpu_exit why[2];
	struct cpu_state st[2];

	for (unsigned i = 0; i < 2; i++) {
		why[i] = run_on(&both[i], from);
		st[i] = cpu_of(&both[i])->st;
		normal(&st[i], t, st[i].rip < AT_CODE || st[i].rip > AT_CODE + 64);
	}
	runs++;
	if (why[0] == VCPU_EXIT_KICKED || why[1] == VCPU_EXIT_KICKED) {
		endless++;
		fresh_memory(&both[0]);
		fresh_memory(&both[1]);
		put_code(t);
		return;
	}
	if (why[0] != why[1] || memcmp(&st[0], &st[1], sizeof(st[0])) != 0)
		complain(t, address, &st[0], &st[1]);
}

static void same_memory(const struct test *t, u64 from, u64 to)
{
	const u8 *i = both[0].m->ram, *j = both[1].m->ram;

	if (memcmp(i + from, j + from, to - from) == 0)
		return;
	while (i[from] == j[from])
		from++;
	printf("address_test: row %s: memory at %#llx differs: %#x, %#x\n",
	       t->row ? t->row->name : "-", (unsigned long long)from, i[from], j[from]);
	complain(t, from, &cpu_of(&both[0])->st, &cpu_of(&both[1])->st);
}

/* Translated with a good address, then the others. */
static void try(const struct test *t, const struct cpu_state *base)
{
	struct cpu_state st = *base;

	put_code(t);
	for (unsigned i = 0; i <= args.addresses; i++) {
		u64 address = i % 4 ? bad_address() : AT_DATA + 64 * rng_below(&rng, 8);

		start_state(&st);
		st.seg[SEG_GS] = base->seg[SEG_GS];
		aim(&st, t, address);
		compare(t, address, &st);
	}
	same_memory(t, AT_STACKS, AT_IST_FLAGS);
	same_memory(t, AT_IST_FLAGS + 8, AT_DATA + 0x3000);
}

/* Devices, and what changes the rules for all that follows. */
static bool left_out(const struct insn *row)
{
	exec_fn *const fns[] = {exec_lgdt, exec_lidt, exec_invpcid, exec_invlpg};

	for (unsigned i = 0; i < ARRAY_SIZE(fns); i++)
		if (row->fn == fns[i])
			return true;
	return false;
}

/* Pages may count as accessed and written by stores of which a mask leaves nothing. */
static void forget_accesses(void)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned n = 0; n < MAPPED_PAGES; n++)
			((u64 *)(void *)((u8 *)both[i].m->ram + AT_PT))[n] |= 0x60; /* A, D */
}

static void try_row(const struct insn *row, const struct cpu_state *base)
{
	struct test t = {0};

	for (unsigned f = 0; f < NR_FORMS; f++)
		for (unsigned k = 0; k < 4; k++)
			if (build(&t, row, f, k & 1, k & 2))
				try(&t, base);
	if (map_is_evex(row->map))
		forget_accesses();
	same_memory(&t, 0, AT_STACKS);
	same_memory(&t, AT_DATA, MAPPED_PAGES << 12);
}

static void try_rows(const struct cpu_state *base)
{
	struct test t;

	for (unsigned r = 0; r < nr_insns; r++)
		if (!left_out(&insns[r]))
			try_row(&insns[r], base);
	for (unsigned i = 0; i < ARRAY_SIZE(plain); i++) {
		t = (struct test){.len = plain[i].len, .form = plain[i].form};
		memcpy(t.bytes, plain[i].bytes, t.len);
		for (unsigned k = 0; k < 16; k++)
			try(&t, base);
	}
}

static bool parse(int argc, char **argv)
{
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seed") == 0)
			args.seed = strtoull(argv[i + 1], NULL, 0);
		else if (strcmp(argv[i], "--engine") == 0)
			args.engine = argv[i + 1];
		else if (strcmp(argv[i], "--addresses") == 0)
			args.addresses = (unsigned)strtoul(argv[i + 1], NULL, 0);
		else
			return false;
	}
	return argc % 2 == 1;
}

int main(int argc, char **argv)
{
	static const struct itimerval tick = {{.tv_usec = 20000}, {.tv_usec = 20000}};
	struct machine_cfg cfg[2];

	if (!parse(argc, argv)) {
		fputs("usage: address_test [--engine E] [--seed S] [--addresses N]\n", stderr);
		return 2;
	}
	rng.state = args.seed * 2 + 1;
	make(&both[0], &cfg[0], "interp");
	make(&both[1], &cfg[1], args.engine);
	signal(SIGALRM, on_tick);
	setitimer(ITIMER_REAL, &tick, NULL);
	for (unsigned user = 0; user < 2; user++) {
		struct cpu_state base;

		for (unsigned i = 0; i < 2; i++) {
			both[i].cpu_rng[0].state = 1;
			enter_mode(&both[i], 0, CODE64, user);
			cpu_of(&both[i])->st.cr4 |= CR4_OSXSAVE;
			cpu_of(&both[i])->st.xcr0 = x86_xcr0_allowed(cpu_of(&both[i]));
			cpu_of(&both[i])->v.ops->state_changed(&cpu_of(&both[i])->v);
		}
		base = cpu_of(&both[0])->st;
		try_rows(&base);
	}
	printf("%llu runs, %llu without end\n", (unsigned long long)runs,
	       (unsigned long long)endless);
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	for (unsigned i = 0; i < 2; i++)
		machine_free(both[i].m);
	return 0;
}
