/* SPDX-License-Identifier: MIT */
/*
 * insn_test.c - every row of the instruction table on the host CPU and on an engine.
 *
 *   insn_test [--engine E] [--seed S] [--count N] [--case K] [--row R|NAME] [--rows]
 *
 * Registers, flags, segment selectors, FPU, memory, the exception that ends a case, its error
 * code and address must agree.  A failing case is printed ready to rerun: --case replays its
 * batch up to it, so that the caches are as they were.  Not compared:
 *   - flags that a row's fl_undef names, unless the host is an AMD, which we follow; there
 *     they are compared like the others
 *   - FIP, FDP, FOP: CPUs differ in when they save them
 *   - the upper halves of registers outside 64-bit code
 *   - CR2 within the operand if that is longer than 16 bytes, and in sequences
 *   - under a translator, flags at a fault that the instruction at fault, or one behind it
 *     in the straight line and over one branch, writes or leaves undefined before one reads
 *     them; and sequences there put no instruction into themselves that
 *     has to do with flags
 *   - shifts of 16-bit registers by SHLD and SHRD: undefined from a count of 16
 *   - bit P of the error code of a #PF that is not in a program's half: Linux hides it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "insn/insn_test.h"
#include "isa/x86/system.h"

#define TASK_TOP 0x7ffffffff000ull /* where Linux ends what programs may have */

enum { BATCH = 256, MAX_FAILURES = 20, MAX_HICCUPS = 5 };

static struct {
	u64 seed, count, only;
	bool one;
	int row;
	const char *name, *engine;
} opts = {.seed = 1, .count = 1200000, .row = -1, .engine = "interp"};

static bool amd;
static u8 image[ARENA_SIZE];
static u64 *ran, *went_on; /* by row */
static unsigned hiccups;   /* of the host: a preempted case once lost its FS base */
static u64 flat_cases;	   /* that ran, in code that is translated: 64-bit, flat 32-bit */
static u64 timeouts;	   /* endless loops, and long ones: few, or something is wrong */

/* --- comparing -------------------------------------------------------------------------------- */

static bool is_writable(unsigned page)
{
	return arena_rights[page] == RW || arena_rights[page] == RWX;
}

static const u8 *host_arena(void)
{
	return (const u8 *)(uintptr_t)ARENA;
}

/* Linear address of the memory operand. */
static u64 op_address(const struct test_case *c)
{
	const struct op *op = &c->op;
	u64 ea = (u64)(i64)op->disp, bits = 8 * op->asize;

	if (op->base < 16)
		ea += c->in.gpr[op->base];
	if (op->base == GPR_PC)
		ea = c->target - gen_seg_base(c, op->seg);
	if (op->index < 16)
		ea += c->in.gpr[op->index] << op->scale;
	return (bits < 64 ? ea & ((1ull << bits) - 1) : ea) + gen_seg_base(c, op->seg);
}

/* The FPU image that the row stored, without the pointers. */
static bool is_pointer_byte(const struct test_case *c, u64 lin)
{
	exec_fn *fn = c->seq ? NULL : insns[c->op.row].fn;
	u64 off = lin - op_address(c), env = c->op.size == 2 ? 6 : 12;

	if (c->seq) /* an environment may be stored anywhere */
		return false;
	if (fn == exec_fxsave || fn == exec_xsave || fn == exec_xsavec)
		return (off >= 6 && off < 24) || (off >= 28 && off < 32);
	if (fn == exec_fnstenv || fn == exec_fnsave)
		return off >= env && off < (env == 6 ? 14 : 28);
	return false;
}

/* Offset in the arena of the first difference, or -1. */
static i64 memory_differs(const struct test_case *c)
{
	for (unsigned p = 0; p < ARENA_PAGES; p++) {
		const u8 *a = host_arena() + p * PAGE, *b = guest_arena() + p * PAGE;

		if (!is_writable(p) || !memcmp(a, b, PAGE))
			continue;
		for (unsigned i = 0; i < PAGE; i++) {
			if (a[i] != b[i] && !is_pointer_byte(c, ARENA + p * PAGE + i))
				return p * PAGE + i;
		}
	}
	return -1;
}

static bool same_fx(const u8 *a, const u8 *b)
{
	bool same =
		!memcmp(a, b, 5) && !memcmp(a + 24, b + 24, 4) && !memcmp(a + 160, b + 160, 256);

	for (unsigned i = 32; i < 160; i += 16)
		same &= !memcmp(a + i, b + i, 10);
	return same;
}

static u64 flag_mask(const struct test_case *c)
{
	u64 mask = FL_ARITH | FL_TF | FL_DF | FL_IF | FL_AC | FL_NT | FL_ID | FL_RF;

	if (amd)
		return mask;
	return c->seq ? mask & ~(u64)FL_ARITH : mask & ~(u64)insns[c->op.row].fl_undef;
}

static u64 dead_behind(const struct test_case *c, const struct op *op, u64 next, unsigned branches);

/*
 * Flags that nothing reads any more from offset at of the code on, as far as the block and a
 * look over the branch at its end show: a translator need not have them if there is a fault.
 */
static u64 dead_flags(const struct test_case *c, u64 at, unsigned branches)
{
	u64 open = FL_ARITH, dead = 0;

	while (open && at < c->code_len) {
		const struct insn *in;
		struct op op;

		if (x86_decode(c->code + at, c->code_len - (unsigned)at, mode_code_size(c->mode), 0,
			       &op) <= 0)
			break;
		in = &insns[op.row];
		at += op.len;
		open &= ~(u64)in->fl_in;
		dead |= open & (in->fl_out | in->fl_undef | in->fl_maybe);
		open &= ~dead;
		if (in->attr & (A_ENDS | A_SYNC))
			return dead | (open & dead_behind(c, &op, at, branches));
	}
	return dead;
}

static u64 dead_behind(const struct test_case *c, const struct op *op, u64 next, unsigned branches)
{
	exec_fn *fn = insns[op->row].fn;
	u64 target = next + op->imm;

	if (!branches || (fn != exec_jcc && fn != exec_jmp_rel))
		return 0;
	if (fn == exec_jmp_rel)
		return dead_flags(c, target, branches - 1);
	return dead_flags(c, target, branches - 1) & dead_flags(c, next, branches - 1);
}

static bool same_gprs(const struct test_case *c, const struct regs *a, const struct regs *b)
{
	u64 mask = a->cs == SEL_CS64 && c->mode == MODE64 ? ~0ull : ~0u;

	for (unsigned i = 0; i < (c->mode == MODE64 ? 16 : 8); i++) {
		if ((a->gpr[i] ^ b->gpr[i]) & mask)
			return false;
	}
	if (!c->seq && insns[c->op.row].fn == exec_int1)
		return true; /* hypervisors have been seen to report it before the instruction */
	return !((a->rip ^ b->rip) & mask);
}

/* Operands that microcode moves piece by piece: which piece comes first is its own affair. */
static bool is_piecemeal(const struct test_case *c)
{
	const struct insn *in = &insns[c->op.row];

	return c->seq || in->dst == OPND_Menv || in->dst == OPND_Msave || in->src == OPND_Menv ||
	       in->src == OPND_Msave || in->feature == FEAT_FXSR || in->feature == FEAT_XSAVE ||
	       in->feature == FEAT_XSAVEC || in->fn == exec_iret || in->fn == exec_ret_far ||
	       in->fn == exec_popa || in->fn == exec_pusha || in->fn == exec_enter;
}

static bool calls(const struct test_case *c)
{
	exec_fn *fn = insns[c->op.row].fn;

	return !c->seq && (fn == exec_call_rel || fn == exec_call_rm || fn == exec_call_far_mem ||
			   fn == exec_call_far_imm);
}

/* CMPS has two operands that may fault: hosts differ in which one they read first. */
static bool compares_memory(const struct test_case *c, const struct outcome *h)
{
	u64 at = h->r.rip - c->in.rip;
	struct op op;

	return at < c->code_len &&
	       x86_decode(c->code + at, c->code_len - (unsigned)at,
			  c->mode == MODE64   ? CODE64
			  : c->mode == MODE16 ? CODE16
					      : CODE32,
			  0, &op) > 0 &&
	       insns[op.row].fn == exec_cmps;
}

/* Masked stores: which of two bad elements is found first. */
static bool is_masked_store(const struct test_case *c)
{
	return !c->seq && insns[c->op.row].fn == exec_avx_maskstore;
}

static bool same_fault(const struct test_case *c, const struct outcome *h, const struct outcome *g)
{
	u32 mask = h->cr2 >= TASK_TOP ? ~(u32)PF_P : ~0u;

	if (calls(c) && g->vector > X86_BP && h->vector > X86_BP)
		return true; /* a bad stack and a bad target: Intel's order is ours */
	if ((is_masked_store(c) || compares_memory(c, h)) && g->vector >= X86_SS &&
	    g->vector <= X86_PF && h->vector >= X86_SS && h->vector <= X86_PF)
		return true;
	/* With a mask, over the end of canonical addresses: element by element, or not. */
	if (!c->seq && c->op.evex & EVEX_AAA && h->vector == X86_PF && g->vector == X86_GP &&
	    h->cr2 >= TASK_TOP)
		return true;
	/* Over the end of the address space: some CPUs go around, and do not mind the limit. */
	if ((c->seq || insns[c->op.row].attr & A_AVX) && c->mode != MODE64 && h->vector == X86_PF &&
	    g->vector == X86_GP && (u32)h->cr2 > ~0u - 1024)
		return true;
	if (h->vector != g->vector)
		return false;
	if (h->vector == X86_PF && is_piecemeal(c) && h->cr2 - g->cr2 + 1024 < 2048)
		return true;
	if (h->vector == X86_PF)
		return h->cr2 == g->cr2 && !((h->error ^ g->error) & mask);
	return h->error == g->error;
}

static u64 may_differ(const struct test_case *c, const struct outcome *h)
{
	bool fault = h->vector != X86_BP && h->vector != X86_DB;

	return fault && (c->mode == MODE64 || c->mode == MODE32) && guest_translates()
		       ? dead_flags(c, h->r.rip - c->in.rip, 1)
		       : 0;
}

static bool is_maskmov(const struct test_case *c)
{
	exec_fn *fn = insns[c->op.row].fn;

	return !c->seq &&
	       (fn == exec_vec_maskmov || fn == exec_mmx_maskmov || fn == exec_avx_maskmovdqu);
}

/* Microcode that has been seen to do something before it faults. */
static bool is_half_done(const struct test_case *c, const struct outcome *h)
{
	exec_fn *fn = insns[c->op.row].fn;

	return !c->seq && h->vector != X86_BP &&
	       (fn == exec_call_far_mem || fn == exec_call_far_imm || fn == exec_popa);
}

/* The host's IRET clears null selectors before the test sees them. */
static bool same_sel(u16 a, u16 b)
{
	return a == b || (a < 4 && b < 4);
}

static const char *difference(const struct test_case *c, const struct outcome *h,
			      const struct outcome *g)
{
	const struct regs *a = &h->r, *b = &g->r;

	if (h->vector == VECTOR_TIMEOUT || g->vector == VECTOR_TIMEOUT) {
		timeouts++;
		return NULL;
	}
	if (h->r.fx[26] & 2)
		return NULL; /* MXCSR.MM, a feature that guests are not shown */
	if (is_maskmov(c) && h->vector != X86_BP)
		return NULL; /* CPUs may fault for bytes that are masked off */
	if (!same_fault(c, h, g))
		return "exception";
	if (is_half_done(c, h))
		return NULL;
	if (a->cs != b->cs || a->ss != b->ss || !same_sel(a->ds, b->ds) ||
	    !same_sel(a->es, b->es) || !same_sel(a->fs, b->fs) || !same_sel(a->gs, b->gs))
		return "selector";
	if (!same_gprs(c, a, b))
		return "register";
	if ((a->rflags ^ b->rflags) & flag_mask(c) & ~may_differ(c, h))
		return "flags";
	if (a->fs_base != b->fs_base || a->gs_base != b->gs_base)
		return "base of FS or GS";
	if (!same_fx(a->fx, b->fx))
		return "FPU";
	if (memcmp(a->v, b->v, sizeof(a->v)) || memcmp(a->k, b->k, sizeof(a->k)))
		return "vector";
	if (memory_differs(c) >= 0)
		return "memory";
	return NULL;
}

/* --- telling ------------------------------------------------------------------------------------
 */

static void print_code(const struct test_case *c)
{
	char text[128];

	for (unsigned at = 0; at < c->code_len;) {
		unsigned n = guest_disasm(c, c->in.rip + at, c->code + at, c->code_len - at, text,
					  sizeof(text));

		printf("  %8llx:", (long long)(c->in.rip + at));
		for (unsigned i = 0; i < n; i++)
			printf(" %02x", c->code[at + i]);
		printf("  %s\n", text);
		at += n;
	}
}

static void print_regs(const struct test_case *c, const struct outcome *h, const struct outcome *g)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
	const struct regs *in = &c->in, *a = &h->r, *b = &g->r;

	printf("  %-6s %16s %16s %16s\n", "", "before", "host", "engine");
	for (unsigned i = 0; i < (c->mode == MODE64 ? 16 : 8); i++)
		printf("  %-6s %16llx %16llx %16llx%s\n", names[i], (long long)in->gpr[i],
		       (long long)a->gpr[i], (long long)b->gpr[i],
		       a->gpr[i] == b->gpr[i] ? "" : " <");
	printf("  %-6s %16llx %16llx %16llx%s\n", "rip", (long long)in->rip, (long long)a->rip,
	       (long long)b->rip, a->rip == b->rip ? "" : " <");
	printf("  %-6s %16llx %16llx %16llx%s\n", "rflags", (long long)in->rflags,
	       (long long)a->rflags, (long long)b->rflags,
	       (a->rflags ^ b->rflags) & flag_mask(c) ? " <" : "");
	printf("  %-6s %16llx %16llx %16llx\n", "fsbase", (long long)in->fs_base,
	       (long long)a->fs_base, (long long)b->fs_base);
	printf("  %-6s %16llx %16llx %16llx\n", "gsbase", (long long)in->gs_base,
	       (long long)a->gs_base, (long long)b->gs_base);
	printf("  %-6s %x %x %x %x %x %x\n", "before", in->cs, in->ss, in->ds, in->es, in->fs,
	       in->gs);
	printf("  %-6s %x %x %x %x %x %x\n", "host", a->cs, a->ss, a->ds, a->es, a->fs, a->gs);
	printf("  %-6s %x %x %x %x %x %x\n", "engine", b->cs, b->ss, b->ds, b->es, b->fs, b->gs);
}

static void print_vectors(const struct regs *in, const struct regs *a, const struct regs *b)
{
	for (unsigned i = 0, lines = 0; i < 32 * 8 && lines < 12; i++) {
		u64 x = a->v[i / 8].q[i % 8], y = b->v[i / 8].q[i % 8];

		if (x != y)
			lines += !!printf("  v%u.q[%u]: before %llx host %llx engine %llx\n", i / 8,
					  i % 8, (long long)in->v[i / 8].q[i % 8], (long long)x,
					  (long long)y);
	}
	for (unsigned i = 0; i < 8; i++)
		if (a->k[i] != b->k[i])
			printf("  k%u: before %llx host %llx engine %llx\n", i, (long long)in->k[i],
			       (long long)a->k[i], (long long)b->k[i]);
}

static void print_fault(const char *who, const struct outcome *o)
{
	printf("  %-6s vector %d error %#x cr2 %#llx\n", who, o->vector, o->error,
	       o->vector == X86_PF ? (long long)o->cr2 : 0);
}

static void print_failure(const struct test_case *c, const char *what, bool again,
			  const struct outcome *h, const struct outcome *g)
{
	static const char *const modes[] = {"64-bit", "32-bit", "32-bit, DS limited", "16-bit"};
	i64 at = memory_differs(c);

	printf("FAIL %s: %s differs%s; rerun: insn_test --engine %s --seed %llu --case %llu\n",
	       c->seq ? "sequence" : insns[c->op.row].name, what, again ? " the second time" : "",
	       opts.engine, (long long)opts.seed, (long long)c->number);
	printf("  %s code, row %u\n", modes[c->mode], c->op.row);
	print_code(c);
	print_regs(c, h, g);
	print_fault("host", h);
	print_fault("engine", g);
	for (unsigned i = 0, lines = 0; i < 416 && lines < 12; i++) {
		if (h->r.fx[i] != g->r.fx[i] && (i < 5 || (i >= 24 && i < 28) || i >= 32))
			lines += !!printf("  fx[%u]: before %02x host %02x engine %02x\n", i,
					  c->in.fx[i], h->r.fx[i], g->r.fx[i]);
	}
	print_vectors(&c->in, &h->r, &g->r);
	if (at >= 0)
		printf("  memory at %llx: host %02x engine %02x\n", (long long)ARENA + at,
		       host_arena()[at], guest_arena()[at]);
}

/* --- running ------------------------------------------------------------------------------------
 */

/* LOCK VERW and its kin have been seen to run. */
static bool locks_group_6(const struct test_case *c)
{
	for (unsigned i = 0; i + 1 < c->code_len; i++)
		if (c->code[i] == 0x0f && !c->code[i + 1])
			return memchr(c->code, 0xf0, i);
	return false;
}

/* What no two CPUs need agree on. */
static bool is_undefined(const struct test_case *c)
{
	exec_fn *fn = insns[c->op.row].fn;

	if (c->seq)
		return false;
	if (row_exception(c->op.row) || locks_group_6(c))
		return true;
	if ((fn == exec_shld || fn == exec_shrd) && c->op.size == 2 && !amd)
		return (c->op.flags & OP_CL ? c->in.gpr[RCX] & 31 : c->op.imm & 31) >= 16;
	/* Components that only the host has. */
	if (insns[c->op.row].feature == FEAT_XSAVE || insns[c->op.row].feature == FEAT_XSAVEC)
		return c->in.gpr[RAX] & ~3ull || c->in.gpr[RDX];
	if (is_piecemeal(c) && c->mode != MODE64 && (u32)op_address(c) > ~0u - 1024)
		return true;
	/* AMD's do not ask for alignment. */
	if (insns[c->op.row].feature == FEAT_SHA && c->op.flags & OP_MEM)
		return op_address(c) & 15;
	/* With nothing to store, the segment may be looked at or not. */
	if (fn == exec_mmx_maskmov || fn == exec_vec_maskmov || fn == exec_avx_maskmovdqu)
		return c->op.seg == SEG_CS;
	/* INT 80h enters the host's kernel. */
	return fn == exec_int && (u8)c->op.imm == 0x80;
}

/* On both sides; what differs, or NULL. */
static const char *run_case(const struct test_case *c, bool quiet, bool *again, struct outcome *h,
			    struct outcome *g)
{
	const char *what = NULL;

	host_put(image, c);
	host_run(c, h);
	for (int i = 0; i <= c->twice && !what; i++) {
		guest_put(image, c);
		guest_run(c, g);
		what = quiet ? NULL : difference(c, h, g);
		*again = i;
	}
	return what;
}

static bool check_case(const struct test_case *c, bool quiet)
{
	struct outcome h, g;
	const char *what;
	bool again;

	host_current = c;
	if (is_undefined(c))
		return true;
	what = run_case(c, quiet, &again, &h, &g);
	if (what && hiccups < MAX_HICCUPS && !run_case(c, quiet, &again, &h, &g)) {
		printf("case %llu: %s differed once and not again\n", (long long)c->number, what);
		hiccups++;
	} else if (what) {
		what = run_case(c, quiet, &again, &h, &g);
		print_failure(c, what ? what : "something", again, &h, &g);
		return false;
	}
	flat_cases += c->mode == MODE64 || c->mode == MODE32;
	if (!c->seq) {
		ran[c->op.row]++;
		went_on[c->op.row] += h.vector == X86_BP || insns[c->op.row].attr & A_ENDS;
	}
	return true;
}

/* Every row must have been run, and must have got through at times. */
static unsigned check_coverage(void)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < nr_insns; i++) {
		if (row_exception(i) || (opts.row >= 0 && i != (unsigned)opts.row))
			continue;
		if (!ran[i] || (!went_on[i] && !row_always_faults(i))) {
			printf("row %u, %s: %s\n", i, insns[i].name,
			       ran[i] ? "never got through" : "no test");
			bad++;
		}
	}
	return bad;
}

static unsigned run_cases(void)
{
	u64 from = opts.one ? opts.only / BATCH * BATCH : 0;
	u64 to = opts.one ? opts.only + 1 : opts.count;
	static struct test_case c;
	unsigned failed = 0;

	for (u64 n = from; n < to && failed < MAX_FAILURES; n++) {
		if (n % BATCH == 0) {
			gen_image(opts.seed, n / BATCH, image);
			guest_forget();
		}
		if (n == from)
			host_fill_ro(image);
		gen_case(opts.seed, n, &c);
		failed += !check_case(&c, opts.one && n != opts.only);
	}
	printf("%llu cases, %u failed, %llu without end; seed %llu\n", (long long)(to - from),
	       failed, (long long)timeouts, (long long)opts.seed);
	return failed + (timeouts * 2000 > to - from && !opts.one);
}

static void list_rows(void)
{
	for (unsigned i = 0; i < nr_insns; i++) {
		const char *why = row_exception(i);

		printf("%u %s%s%s\n", i, insns[i].name, why ? ": not run: " : "", why ? why : "");
	}
}

static bool parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i += 2) {
		const char *o = argv[i], *v = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(o, "--rows")) {
			list_rows();
			exit(0);
		}
		if (!v)
			return false;
		if (!strcmp(o, "--seed"))
			opts.seed = strtoull(v, NULL, 0);
		else if (!strcmp(o, "--count"))
			opts.count = strtoull(v, NULL, 0);
		else if (!strcmp(o, "--case"))
			opts.only = strtoull(v, NULL, 0), opts.one = true;
		else if (!strcmp(o, "--engine"))
			opts.engine = v;
		else if (!strcmp(o, "--row"))
			opts.row = atoi(v);
		else
			return false;
	}
	return opts.row < (int)nr_insns;
}

int main(int argc, char **argv)
{
	struct host_caps caps = {0};
	unsigned bad;

	if (!parse(argc, argv)) {
		fputs("usage: insn_test [--engine E] [--seed S] [--count N] [--case K] [--row R] "
		      "[--rows]\n",
		      stderr);
		return 2;
	}
	ran = calloc(2 * (size_t)nr_insns, sizeof(*ran));
	if (!ran || !host_init(&caps) || !guest_init(opts.engine))
		return 1;
	host_take_signals();
	went_on = ran + nr_insns;
	amd = host_cpu_is_amd();
	setvbuf(stdout, NULL, _IOLBF, 0);
	gen_init(&(struct gen_cfg){.fsgsbase = caps.fsgsbase,
				   .ldt = caps.ldt,
				   .cs32 = caps.cs32,
				   .xcr0 = vector_components(),
				   .row = opts.row,
				   .patch_no_flags = guest_translates()});
	bad = run_cases();
	if (!bad && !opts.one && guest_translates() && guest_translated() < flat_cases) {
		printf("%llu cases in flat code, but only %llu blocks were translated\n",
		       (long long)flat_cases, (long long)guest_translated());
		bad = 1;
	}
	if (!bad && !opts.one && opts.count >= 1000000)
		bad = check_coverage();
	guest_fini();
	free(ran);
	return bad != 0;
}
