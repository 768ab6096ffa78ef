/* SPDX-License-Identifier: MIT */
/*
 * fpu_test.c - x87, MMX and SSE rows against the host CPU: not what the thunk computes but what
 * is wrapped around it: operands, immediates, memory, MXCSR, traps, flags, images in memory.
 *
 * Each case is an encoding, a random state and random memory.  The host runs the very bytes
 * with the state loaded; the row's function runs on struct cpu_state.  Guest memory is the
 * host's, at the same addresses.  Seeded: pass the number that a failure prints to rerun it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "isa/x86/fpu/fpu.h"

/* The decoder's table without the other rooms: their functions are absent, and never run. */
#define INSN(map, pfx, op, mrm, name, fn, ...) exec_fn exec_##fn __attribute__((weak));
#include "isa/x86/opcodes_int.def"
#include "isa/x86/opcodes_system.def"
#undef INSN
exec_fn exec_ud __attribute__((weak)), exec_gp0 __attribute__((weak));
#include "isa/x86/decode.c"
#include "isa/x86/insn.c"

/* --- the host as judge --- */

struct judge {
	u8 fx[512];
	u64 rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rflags;
	const void *code;
	u64 trapped;
} __attribute__((aligned(64)));

struct judge *judge_now;
u64 judge_rax;
void judge_run(void);
extern const char judge_after[];

__asm__("	.text\n"
	"	.globl judge_run\n"
	"judge_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov judge_now(%rip), %rax\n"
	"	fxrstor64 (%rax)\n"
	"	push 632(%rax); popfq\n"
	"	mov 520(%rax), %rcx; mov 528(%rax), %rdx; mov 536(%rax), %rbx\n"
	"	mov 544(%rax), %rbp; mov 552(%rax), %rsi; mov 560(%rax), %rdi\n"
	"	mov 568(%rax), %r8; mov 576(%rax), %r9; mov 584(%rax), %r10\n"
	"	mov 592(%rax), %r11; mov 600(%rax), %r12; mov 608(%rax), %r13\n"
	"	mov 616(%rax), %r14; mov 624(%rax), %r15\n"
	"	push 640(%rax); mov 512(%rax), %rax\n"
	"	call *(%rsp)\n"
	"judge_after:\n"
	"	mov %rax, judge_rax(%rip)\n"
	"	mov judge_now(%rip), %rax\n"
	"	mov %rcx, 520(%rax); mov %rdx, 528(%rax); mov %rbx, 536(%rax)\n"
	"	pushfq; pop 632(%rax)\n"
	"	mov judge_rax(%rip), %rcx; mov %rcx, 512(%rax)\n"
	"	mov %rbp, 544(%rax); mov %rsi, 552(%rax); mov %rdi, 560(%rax)\n"
	"	mov %r8, 568(%rax); mov %r9, 576(%rax); mov %r10, 584(%rax)\n"
	"	mov %r11, 592(%rax); mov %r12, 600(%rax); mov %r13, 608(%rax)\n"
	"	mov %r14, 616(%rax); mov %r15, 624(%rax)\n"
	"	fxsave64 (%rax)\n"
	"	fninit\n"
	"	ldmxcsr judge_mxcsr(%rip)\n"
	"	add $8, %rsp\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	"	.section .rodata\n"
	"judge_mxcsr: .long 0x1f80\n"
	"	.text\n");

static u8 *code;

/* Also a test that host_x86.c hands on what is not its own. */
static void on_sigfpe(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	u64 rip = (u64)uc->uc_mcontext.gregs[REG_RIP];

	if (rip < (u64)(uintptr_t)code || rip >= (u64)(uintptr_t)code + 4096)
		abort();
	judge_now->trapped = 1;
	uc->uc_mcontext.gregs[REG_RIP] = (greg_t)judge_after;
	uc->uc_mcontext.gregs[REG_RSP] += 8;
}

/* --- the guest --- */

enum { PAGE = 4096, NR_PAGES = 3 }; /* the last one is not there */

static struct x86_cpu *cpu;
static struct tlb_view view;
static u8 *mem;
static u64 seed;
static struct cpu_features host_features;

static u64 rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed * 0x2545f4914f6cdd1dull;
}

void x86_raise(struct x86_cpu *c, const struct x86_fault *f)
{
	c->fault = *f;
	longjmp(c->on_fault, 1);
}

void x86_raise_err(struct x86_cpu *c, u8 vector, u32 error)
{
	x86_raise(c, &(struct x86_fault){.vector = vector, .has_error = true, .error = error});
}

void x86_raise_noerr(struct x86_cpu *c, u8 vector)
{
	x86_raise(c, &(struct x86_fault){.vector = vector});
}

void x86_raise_ud(struct x86_cpu *c)
{
	x86_raise_noerr(c, X86_UD);
}

void x86_raise_gp(struct x86_cpu *c, u16 error)
{
	x86_raise_err(c, X86_GP, error);
}

bool x86_has(const struct x86_cpu *c, unsigned feature)
{
	return true;
}

u64 op_ea_slow(const struct x86_cpu *c, const struct op *op)
{
	abort();
}

u64 x86_seg_linear(struct x86_cpu *c, unsigned seg, u64 off, unsigned size, enum mem_access acc)
{
	return off;
}

static void *host_of(u64 lin, unsigned len, enum mem_access acc)
{
	u64 off = lin - (u64)(uintptr_t)mem;

	if (!range_fits(off, len, (NR_PAGES - 1) * PAGE))
		x86_raise_err(cpu, X86_PF, acc == MEM_WRITE ? PF_W : 0);
	return mem + off;
}

u64 soft_load(struct x86_cpu *c, unsigned seg, u64 lin, unsigned size)
{
	return ram_load(host_of(lin, size, MEM_READ), size);
}

void soft_store(struct x86_cpu *c, unsigned seg, u64 lin, u64 val, unsigned size)
{
	ram_store(host_of(lin, size, MEM_WRITE), val, size);
}

void mem_read_buf(struct x86_cpu *c, unsigned seg, u64 off, void *buf, unsigned len)
{
	memcpy(buf, host_of(off, len, MEM_READ), len);
}

void mem_write_buf(struct x86_cpu *c, unsigned seg, u64 off, const void *buf, unsigned len)
{
	memcpy(host_of(off, len, MEM_WRITE), buf, len);
}

void mem_probe(struct x86_cpu *c, unsigned seg, u64 off, unsigned len, enum mem_access acc)
{
	host_of(off, len, acc);
}

/* The second page goes through the TLB's inline path, the first through the slow one. */
static void tlb_init(void)
{
	u64 page = (u64)(uintptr_t)mem + PAGE;

	for (unsigned i = 0; i < TLB_ENTRIES; i++) {
		view.rd[i] = (struct tlb_ent){.tag = (u64)(i ^ 1) << PAGE_BITS};
		view.wr[i] = view.rd[i];
	}
	view.rd[page >> PAGE_BITS & (TLB_ENTRIES - 1)] = (struct tlb_ent){.tag = page};
	view.wr[page >> PAGE_BITS & (TLB_ENTRIES - 1)] = (struct tlb_ent){.tag = page};
}

/* --- random states --- */

static void random_ext(u64 *mant, u16 *sexp)
{
	u64 r = rnd();

	*sexp = (u16)(rnd() & 0x8000);
	*mant = rnd() | 1ull << 63;
	switch (r % 10) {
	case 0: *mant = 0; break;					      /* zero */
	case 1: *mant >>= 1 + r / 16 % 40; break;			      /* denormal */
	case 2: break;							      /* pseudo-denormal */
	case 3: *sexp |= 0x7fff, *mant = 1ull << 63; break;		      /* infinity */
	case 4: *sexp |= 0x7fff; break;					      /* NaN */
	case 5: *sexp |= rnd() & 0x7fff; break;				      /* anything */
	case 6: *sexp |= rnd() & 0x7fff, *mant &= ~(1ull << 63); break;	      /* unnormal */
	case 7: *sexp |= 0x3fff + (r / 16 % 64), *mant &= ~0ull << 40; break; /* integers */
	default: *sexp |= 0x3fff - 20 + r / 16 % 60; break;
	}
}

static u32 random_float(void)
{
	u32 r = (u32)rnd();

	switch (rnd() % 8) {
	case 0: return r & 0x80000000;
	case 1: return (r & 0x80000000) | 0x7f800000;
	case 2: return r & 0x807fffff;
	case 3: return (r & 0x807fffff) | 0x7f800000;
	case 4: return r;
	default: return (r & 0x80ffffff) | 0x3f000000;
	}
}

static void random_vec(u8 *p)
{
	u64 kind = rnd() % 4;

	for (unsigned i = 0; i < 4; i++) {
		u32 f = random_float();

		if (kind == 0)
			f = (u32)rnd();
		if (kind == 1 && i % 2 == 0)
			f = rnd() & 1 ? 0 : (u32)rnd();
		if (kind == 1 && i % 2)
			f = (f & 0x800fffff) | (u32)(0x380 + rnd() % 0x90) << 20;
		st_le32(p + 4 * i, f);
	}
}

static void random_state(bool unmasked)
{
	struct cpu_state *st = &cpu->st;
	struct x87_state *x = &st->x87;

	for (unsigned i = 0; i < NR_GPRS; i++)
		st->gpr[i] = rnd() & 1 ? rnd() : rnd() % 40;
	st->gpr[RDI] = (u64)(uintptr_t)mem + PAGE + 256;
	if (rnd() % 3 == 0)
		st->gpr[RDI] -= PAGE;
	flags_put(cpu, rnd() & FL_ARITH);
	for (unsigned i = 0; i < 16; i++)
		random_vec(st->v[i].b);
	for (unsigned i = 0; i < 16; i++)
		st->v[i].q[2] = st->v[i].q[7] = 0x1234567890abcdefull + i;
	for (unsigned i = 0; i < 64; i += 16) {
		random_vec(mem + 256 + i);
		random_vec(mem + PAGE + 256 + i);
	}
	st->mxcsr = (u32)rnd() & 0xe07f;
	st->mxcsr |= unmasked ? (u32)rnd() & MXCSR_MASKS : MXCSR_MASKS;
	x->fcw = (u16)((rnd() & 0xf00) | 0x40 | (unmasked ? rnd() & 0x3f : 0x3f));
	x->fsw = (u16)(rnd() & 0x7f7f & (x->fcw | ~FSW_EXC));
	x->ftw = rnd() % 3 ? 0xff : (u8)rnd();
	for (unsigned i = 0; i < 8; i++)
		random_ext(&x->st[i].mant, &x->st[i].sexp);
	x->fip = x->fdp = x->fop = 0;
	if (rnd() % 4) {
		/* An 80-bit, 64-bit or 32-bit number of any class to load. */
		u16 sexp;
		u64 mant;

		random_ext(&mant, &sexp);
		st_le64(mem + PAGE + 256, mant);
		st_le16(mem + PAGE + 264, sexp);
	}
}

/* --- one case --- */

static u8 mem_before[2 * PAGE], mem_host[2 * PAGE];
static unsigned long cases, failures;
static u64 case_seed;

static void to_judge(struct judge *j)
{
	const u64 *g = cpu->st.gpr;

	x86_fxsave_image(&cpu->st, j->fx, true);
	j->rax = g[RAX], j->rcx = g[RCX], j->rdx = g[RDX], j->rbx = g[RBX], j->rbp = g[RBP];
	j->rsi = g[RSI], j->rdi = g[RDI];
	memcpy(&j->r8, g + R8, 64);
	j->rflags = flags_get(cpu) | FL_FIXED;
	j->code = code;
	j->trapped = 0;
}

static bool same_fx(const u8 *a, const u8 *b)
{
	bool same =
		!memcmp(a, b, 6) && !memcmp(a + 24, b + 24, 4) && !memcmp(a + 160, b + 160, 256);

	for (unsigned i = 32; i < 160; i += 16)
		same &= !memcmp(a + i, b + i, 10);
	return same;
}

static void explain(const struct insn *in, const char *what, const struct judge *j)
{
	u8 fx[512];

	if (failures++ > 20)
		return;
	x86_fxsave_image(&cpu->st, fx, true);
	printf("%s: %s differs; seed %#llx, code", in->name, what, (unsigned long long)case_seed);
	for (unsigned i = 0; i < 10; i++)
		printf(" %02x", code[i]);
	printf("\n  fault %d, host %s\n", cpu->fault.vector, j->trapped ? "trapped" : "went on");
	for (unsigned i = 0; i < 416; i++) {
		if (fx[i] != j->fx[i])
			printf("  fx[%u] %02x, host %02x\n", i, fx[i], j->fx[i]);
	}
	for (unsigned i = 0; i < 2 * PAGE; i++) {
		if (mem[i] != mem_host[i])
			printf("  mem[%u] %02x, host %02x\n", i, mem[i], mem_host[i]);
	}
	printf("  flags %#llx, host %#llx\n", (unsigned long long)flags_get(cpu),
	       (unsigned long long)(j->rflags & FL_ARITH));
}

/* Run what is in code[]; false if it faulted. */
static bool run_guest(struct op *op, unsigned len)
{
	op->off = 0;
	if (x86_decode(code, len, CODE64, 0, op) != (int)len)
		abort();
	cpu->fault.vector = 0xff;
	cpu->st.gpr[GPR_PC] = 0x400000;
	if (setjmp(cpu->on_fault))
		return false;
	insns[op->row].fn(cpu, op);
	return true;
}

static void compare(const struct insn *in, const struct judge *j, bool xmm_trap)
{
	const u64 *g = cpu->st.gpr;
	u64 r8[8];
	u8 fx[512];

	memcpy(r8, &j->r8, sizeof(r8));
	x86_fxsave_image(&cpu->st, fx, true);
	if (xmm_trap != !!j->trapped)
		return explain(in, "trap", j);
	if (!same_fx(fx, j->fx))
		return explain(in, "state", j);
	if (!xmm_trap && flags_get(cpu) != (j->rflags & FL_ARITH))
		return explain(in, "RFLAGS", j);
	if (g[RAX] != j->rax || g[RCX] != j->rcx || g[RDX] != j->rdx || g[RBX] != j->rbx ||
	    g[RSI] != j->rsi || g[RBP] != j->rbp || memcmp(g + R8, r8, 64))
		return explain(in, "a general register", j);
	if (memcmp(mem, mem_host, 2 * PAGE))
		return explain(in, "memory", j);
	for (unsigned i = 0; i < 16; i++)
		if (cpu->st.v[i].q[2] != 0x1234567890abcdefull + i)
			return explain(in, "the upper part of a register", j);
}

static void one_case(const struct insn *in, unsigned len)
{
	static struct judge j;
	bool done;
	struct op op;

	cases++;
	memcpy(mem_before, mem, 2 * PAGE);
	to_judge(&j);
	judge_now = &j;
	judge_run();
	memcpy(mem_host, mem, 2 * PAGE);
	memcpy(mem, mem_before, 2 * PAGE);
	done = run_guest(&op, len);
	if (&insns[op.row] != in)
		return explain(in, "the row", &j);
	compare(in, &j, !done && cpu->fault.vector == X86_XM);
	if (host_mxcsr_get() & ~MXCSR_FLAGS & ~MXCSR_MASKS)
		explain(in, "the host's MXCSR", &j);
}

/* Encode the row with random registers or [rdi]; returns the length. */
static unsigned encode(const struct insn *in, bool to_mem, unsigned imm)
{
	static const u8 prefix[] = {[PFX_66] = 0x66, [PFX_F3] = 0xf3, [PFX_F2] = 0xf2};
	unsigned reg = rnd() & 7, rm = rnd() & 7, n = 0;
	bool is_x87 = in->map == MAP_P1;
	u8 rex = 0x40 | (rnd() & 5), modrm;

	if (rnd() % 3 == 0)
		rex |= 8;
	if (in->mrm & MRM_EXT)
		reg = in->mrm & 7;
	if (in->mrm & MRM_RM)
		rm = in->mrm >> 3 & 7;
	if (to_mem)
		rex &= ~1, modrm = (u8)(reg << 3 | RDI);
	else
		modrm = (u8)(0xc0 | reg << 3 | rm);
	/* Not RSP, which is the judge's stack. */
	if (operands[in->dst].kind <= OK_REG || operands[in->src].kind <= OK_REG) {
		if (reg == RSP && !(in->mrm & MRM_EXT))
			rex |= 4;
		if (!to_mem && rm == RSP)
			rex |= 1;
	}
	if (in->pfx > PFX_NP)
		code[n++] = prefix[in->pfx];
	if (!is_x87 || rnd() % 2)
		code[n++] = is_x87 ? 0x40 : rex;
	if (in->map != MAP_P1)
		code[n++] = 0x0f;
	if (in->map == MAP_P38 || in->map == MAP_P3A)
		code[n++] = in->map == MAP_P38 ? 0x38 : 0x3a;
	code[n++] = in->op;
	if (in->mrm != MRM_NONE)
		code[n++] = modrm;
	if (in->imm == OPND_Ib)
		code[n++] = (u8)imm;
	code[n] = 0xc3;
	return n;
}

/* Rows that have tests of their own: what they store depends on more than the operands. */
static bool row_is_apart(const struct insn *in)
{
	return in->op == 0xae || in->op == 0xc7 || in->op == 0x9b || in->dst == OPND_Menv ||
	       in->src == OPND_Menv || in->dst == OPND_Msave || in->src == OPND_Msave;
}

static bool row_is_ours(const struct insn *in)
{
	return in->map != MAP_NONE && host_features.have[in->feature / 8] >> in->feature % 8 & 1 &&
	       (in->attr & (A_SSE | A_FPU)) && !row_is_apart(in);
}

static bool is_mem_kind(unsigned o)
{
	unsigned k = operands[o].kind;

	return k == OK_RM || k == OK_MEM || k == OK_VRM || k == OK_MMX_RM;
}

static bool is_reg_kind(unsigned o)
{
	return operands[o].kind != OK_MEM;
}

static void row_cases(const struct insn *in, unsigned rounds, bool unmasked)
{
	bool mem_form = is_mem_kind(in->dst) || is_mem_kind(in->src);
	bool reg_form = is_reg_kind(in->dst) && is_reg_kind(in->src);

	if (in->mrm & MRM_MOD_REG)
		mem_form = false;
	if (in->mrm & MRM_MOD_MEM)
		reg_form = false;
	if (in->imm == OPND_Ib && !unmasked)
		rounds = rounds < 512 ? 512 : rounds;
	for (unsigned i = 0; i < rounds; i++) {
		case_seed = seed;
		random_state(unmasked);
		one_case(in, encode(in, mem_form && (!reg_form || rnd() & 1), i & 0xff));
	}
}

static void test_rows(bool unmasked)
{
	for (unsigned i = 0; i < nr_insns; i++) {
		if (row_is_ours(&insns[i]))
			row_cases(&insns[i], 200, unmasked);
	}
}

/* --- faults --- */

static const struct insn *row_named(const char *name)
{
	for (unsigned i = 0; i < nr_insns; i++) {
		if (!strcmp(insns[i].name, name))
			return &insns[i];
	}
	abort();
}

static void check(bool ok, const char *what)
{
	cases++;
	if (!ok) {
		failures++;
		printf("failed: %s\n", what);
	}
}

static bool faults_at(u64 addr, unsigned len, u8 vector)
{
	struct cpu_state before;
	struct op op;

	cpu->st.gpr[RDI] = addr;
	before = cpu->st;
	if (run_guest(&op, len))
		return vector == 0xff;
	before.gpr[GPR_PC] = cpu->st.gpr[GPR_PC];
	return cpu->fault.vector == vector && !memcmp(&before, &cpu->st, sizeof(before));
}

static void test_faults(void)
{
	u64 base = (u64)(uintptr_t)mem, end = base + 2 * PAGE;

	for (unsigned i = 0; i < nr_insns; i++) {
		const struct insn *in = &insns[i];
		unsigned len, size = 0;

		if (!row_is_ours(in) || in->mrm & MRM_MOD_REG)
			continue;
		if (is_mem_kind(in->dst))
			size = operands[in->dst].mem;
		if (is_mem_kind(in->src))
			size = operands[in->src].mem;
		if (!size)
			continue;
		random_state(false);
		len = encode(in, true, 0);
		check(faults_at(base + 8, len, in->attr & A_ALIGN ? X86_GP : 0xff), in->name);
		random_state(false);
		memcpy(mem_before, mem, 2 * PAGE);
		check(faults_at(end - (in->attr & A_ALIGN ? 0 : 1), len, size == 1 ? 0xff : X86_PF),
		      in->name);
		check(size == 1 || !memcmp(mem_before, mem, 2 * PAGE), "a faulting store");
	}
}

static u8 vector_of(const char *name)
{
	const struct insn *in = row_named(name);
	struct op op;

	return run_guest(&op, encode(in, is_mem_kind(in->src) || is_mem_kind(in->dst), 0))
		       ? 0xff
		       : cpu->fault.vector;
}

static unsigned ferr_raised;
static bool ferr_level;

static void on_ferr(void *sink, unsigned pin, bool level)
{
	ferr_raised += level;
	ferr_level = level;
}

static void test_modes(void)
{
	static const struct {
		u64 cr0, cr4;
		u8 fadd, fwait, fnop_free, mmx, sse;
	} t[] = {
		{CR0_NE, CR4_OSFXSR, 0xff, 0xff, 0xff, 0xff, 0xff},
		{CR0_NE | CR0_TS, CR4_OSFXSR, X86_NM, 0xff, X86_NM, X86_NM, X86_NM},
		{CR0_NE | CR0_TS | CR0_MP, CR4_OSFXSR, X86_NM, X86_NM, X86_NM, X86_NM, X86_NM},
		{CR0_NE | CR0_EM, CR4_OSFXSR, X86_NM, 0xff, X86_NM, X86_UD, X86_UD},
		{CR0_NE, 0, 0xff, 0xff, 0xff, 0xff, X86_UD},
		{CR0_NE | CR0_TS, 0, X86_NM, 0xff, X86_NM, X86_NM, X86_UD},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++) {
		random_state(false);
		cpu->st.cr0 = t[i].cr0;
		cpu->st.cr4 = t[i].cr4;
		check(vector_of("fadd") == t[i].fadd, "fadd by CR0 and CR4");
		check(vector_of("fwait") == t[i].fwait, "fwait by CR0 and CR4");
		check(vector_of("fnstcw") == t[i].fnop_free, "fnstcw by CR0 and CR4");
		check(vector_of("emms") == t[i].mmx, "emms by CR0 and CR4");
		check(vector_of("addps") == t[i].sse, "addps by CR0 and CR4");
	}
	/* An exception is pending. */
	cpu->st.cr0 = CR0_NE;
	cpu->st.cr4 = CR4_OSFXSR;
	random_state(false);
	cpu->st.x87.fsw |= FSW_ZE | FSW_ES;
	cpu->st.x87.fcw &= ~FSW_ZE;
	check(vector_of("fadd") == X86_MF, "#MF at fadd");
	check(vector_of("fwait") == X86_MF, "#MF at fwait");
	check(vector_of("emms") == X86_MF, "#MF at emms");
	check(vector_of("fnstcw") == 0xff, "no #MF at fnstcw");
	check(vector_of("addps") == 0xff, "no #MF at addps");
	cpu->st.cr0 = 0;
	cpu->ferr = (struct irq_line){.set = on_ferr};
	check(vector_of("fwait") == 0xff && ferr_raised == 1, "FERR with CR0.NE clear");
	check(vector_of("fnclex") == 0xff && !x87_pending(&cpu->st.x87) && !ferr_level, "fnclex");
	cpu->ferr = (struct irq_line){0};
	cpu->st.cr0 = CR0_NE;

	/* #XM is #UD unless the system asked for it. */
	random_state(false);
	memset(cpu->st.v, 0, sizeof(cpu->st.v));
	memset(mem, 0, 2 * PAGE);
	cpu->st.mxcsr = 0;
	check(vector_of("divps") == X86_UD, "unmasked division without OSXMMEXCPT");
	check(cpu->st.mxcsr == 1, "MXCSR.IE");
	cpu->st.cr4 |= CR4_OSXMMEXCPT;
	cpu->st.mxcsr = 0;
	check(vector_of("divps") == X86_XM, "unmasked division");
	cpu->st.cr0 = CR0_PE | CR0_NE;
	cpu->st.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
}

/* --- images in memory --- */

/* The bytes in code[] on both; then memory and state must be the same but for skip[]. */
static void image_case(const u8 *bytes, unsigned len, const char *name)
{
	static struct judge j;
	struct op op;
	unsigned at = 0;

	memset(mem + 1024, 0xa5, 1024);
	memcpy(mem_before, mem, 2 * PAGE);
	memcpy(code, bytes, len);
	code[len] = 0xc3;
	to_judge(&j);
	judge_now = &j;
	judge_run();
	memcpy(mem_host, mem, 2 * PAGE);
	memcpy(mem, mem_before, 2 * PAGE);
	while (at < len) {
		u8 one[16] = {0};
		int n = x86_decode(bytes + at, len - at, CODE64, 0, &op);

		memcpy(one, bytes + at, n);
		memcpy(code, one, 16);
		if (!run_guest(&op, n))
			break;
		at += n;
	}
	memcpy(code, bytes, len);
	check(at == len, name);
	compare(row_named(name), &j, false);
}

static void test_env(void)
{
	/* [rdi] to [rbx]: fldenv, fnstenv; frstor, fnsave; with 66 as well. */
	static const struct {
		const char *name;
		u8 len, b[8];
	} t[] = {
		{"fnstenv", 4, {0xd9, 0x27, 0xd9, 0x33}},
		{"fnstenv", 6, {0x66, 0xd9, 0x27, 0x66, 0xd9, 0x33}},
		{"fnsave", 4, {0xdd, 0x27, 0xdd, 0x33}},
		{"fnsave", 6, {0x66, 0xdd, 0x27, 0x66, 0xdd, 0x33}},
		{"fldcw", 4, {0xd9, 0x2f, 0xd9, 0x3b}},
	};

	for (unsigned i = 0; i < 200 * ARRAY_SIZE(t); i++) {
		unsigned n = i % ARRAY_SIZE(t);
		u8 *env = mem + 256;

		case_seed = seed;
		random_state(false);
		cpu->st.gpr[RDI] = (u64)(uintptr_t)env;
		cpu->st.gpr[RBX] = (u64)(uintptr_t)mem + 1024;
		for (unsigned k = 0; k < 128; k++)
			env[k] = (u8)rnd();
		if (rnd() % 4)
			env[0] |= 0x3f; /* else something is pending afterwards */
		/* The host gives selectors as it likes. */
		env[16] = env[17] = env[24] = env[25] = 0;
		if (t[n].b[0] == 0x66)
			env[8] = env[9] = env[12] = env[13] = 0;
		image_case(t[n].b, t[n].len, t[n].name);
	}
}

static void test_pointers(void)
{
	struct op op;

	random_state(false);
	cpu->st.seg[SEG_CS].sel = 0x33;
	cpu->st.seg[SEG_DS].sel = 0x2b;
	memcpy(code, "\xd9\x07", 2); /* fld dword [rdi] */
	check(run_guest(&op, 2), "fld");
	check(cpu->st.x87.fip == 0x400000 && cpu->st.x87.fcs == 0x33 && cpu->st.x87.fop == 0x107 &&
		      cpu->st.x87.fdp == cpu->st.gpr[RDI] && cpu->st.x87.fds == 0x2b,
	      "FIP, FOP and FDP after a load");
	memcpy(code, "\xd9\xe8", 2); /* fld1 */
	check(run_guest(&op, 2), "fld1");
	check(cpu->st.x87.fop == 0x1e8 && cpu->st.x87.fdp == cpu->st.gpr[RDI],
	      "FOP and FDP after a register form");
	memcpy(code, "\xdb\xe2", 2); /* fnclex */
	check(run_guest(&op, 2), "fnclex");
	check(cpu->st.x87.fop == 0x1e8, "control instructions leave FOP");
}

/* The formats of real mode, which the host cannot show: SDM volume 1, figures 8-10 and 8-12. */
static void test_env_real(void)
{
	u8 *img = mem + 1024;
	struct op op;

	random_state(false);
	cpu->st.cr0 = CR0_NE;
	cpu->st.x87.fip = 0x1234;
	cpu->st.x87.fcs = 0xf000;
	cpu->st.x87.fdp = 0x0010;
	cpu->st.x87.fds = 0x2345;
	cpu->st.x87.fop = 0x123;
	cpu->st.gpr[RDI] = (u64)(uintptr_t)img;
	memcpy(code, "\xd9\x37", 2); /* fnstenv [rdi] */
	check(run_guest(&op, 2), "fnstenv");
	check(ld_le16(img + 12) == 0x1234 && ld_le32(img + 16) == (0xf000 | 0x123) &&
		      ld_le16(img + 20) == 0x3460 && ld_le32(img + 24) == 0x2000,
	      "the 32-bit real format");
	memcpy(code, "\x66\xd9\x37", 3);
	check(run_guest(&op, 3), "fnstenv");
	check(ld_le16(img + 6) == 0x1234 && ld_le16(img + 8) == (0xf000 | 0x123) &&
		      ld_le16(img + 10) == 0x3460 && ld_le16(img + 12) == 0x2000,
	      "the 16-bit real format");
	memcpy(code, "\x66\xd9\x27", 3); /* fldenv [rdi] */
	check(run_guest(&op, 3), "fldenv");
	check(cpu->st.x87.fip == 0xf1234 && cpu->st.x87.fcs == 0 && cpu->st.x87.fdp == 0x23460 &&
		      cpu->st.x87.fop == 0x123,
	      "fldenv of the 16-bit real format");
	cpu->st.cr0 = CR0_PE | CR0_NE;
}

/* FIP, FOP and FDP are ours, and the host's are unlike between vendors. */
static void clear_pointers(u8 *img)
{
	memset(img + 6, 0, 18);
}

static void test_xsave(void)
{
	/* xsave64 [rdi], xsavec64 [rdi], fxsave64 [rdi] */
	static const struct {
		const char *name;
		u8 len, b[4];
	} t[] = {{"xsave", 4, {0x48, 0x0f, 0xae, 0x27}},
		 {"xsavec", 4, {0x48, 0x0f, 0xc7, 0x27}},
		 {"fxsave", 4, {0x48, 0x0f, 0xae, 0x07}}};

	for (unsigned i = 0; i < 300; i++) {
		unsigned n = i % ARRAY_SIZE(t);
		static struct judge j;
		struct op op;

		case_seed = seed;
		random_state(false);
		cpu->st.x87.ftw |= 1;
		cpu->st.gpr[RDI] = (u64)(uintptr_t)mem + 1024;
		cpu->st.gpr[RAX] = i / 3 % 4;
		cpu->st.gpr[RDX] = 0;
		memset(mem + 1024, 0xa5, 1024);
		memset(mem + 1024 + 512, 0, 64);
		memcpy(mem_before, mem, 2 * PAGE);
		memcpy(code, t[n].b, t[n].len);
		code[t[n].len] = 0xc3;
		to_judge(&j);
		judge_now = &j;
		judge_run();
		memcpy(mem_host, mem, 2 * PAGE);
		memcpy(mem, mem_before, 2 * PAGE);
		check(run_guest(&op, t[n].len), t[n].name);
		/* Padding behind ST(i) and what the host keeps as MXCSR_MASK. */
		clear_pointers(mem + 1024);
		clear_pointers(mem_host + 1024);
		if (mem[1024 + 28] != 0xa5)
			memcpy(mem_host + 1024 + 28, mem + 1024 + 28, 4);
		for (unsigned k = 0; k < 8; k++)
			memcpy(mem_host + 1024 + 42 + 16 * k, mem + 1024 + 42 + 16 * k, 6);
		compare(row_named(t[n].name), &j, false);
	}
}

static void test_xsave_round_trip(void)
{
	static const u8 save[][4] = {{0x48, 0x0f, 0xae, 0x27}, {0x48, 0x0f, 0xc7, 0x27}};
	static const u8 restore[] = {0x48, 0x0f, 0xae, 0x2f};
	static u8 area[1024];
	struct cpu_state before;
	struct op op;

	for (unsigned i = 0; i < 100; i++) {
		random_state(false);
		if (i % 3 == 0)
			exec_fninit(cpu, &op), memset(cpu->st.x87.st, 0, 128);
		if (i % 5 == 0)
			memset(cpu->st.v, 0, sizeof(cpu->st.v));
		cpu->st.gpr[RDI] = (u64)(uintptr_t)mem + 1024;
		cpu->st.gpr[RAX] = 3;
		cpu->st.gpr[RDX] = 0;
		memset(mem + 1024, 0, 1024);
		before = cpu->st;
		memcpy(code, save[i % 2], 4);
		check(run_guest(&op, 4), "a save");
		check((mem[1024 + 512] & 1) == (i % 3 != 0), "XSTATE_BV of x87");
		memcpy(area, mem + 1024, 1024);
		random_state(false);
		memcpy(mem + 1024, area, 1024);
		memcpy(cpu->st.gpr, before.gpr, sizeof(before.gpr));
		memcpy(code, restore, 4);
		check(run_guest(&op, 4), "xrstor");
		if (i % 2 || i % 5)
			check(cpu->st.mxcsr == before.mxcsr, "MXCSR restored");
		check(!memcmp(&cpu->st.x87, &before.x87, sizeof(before.x87)), "x87 restored");
		for (unsigned k = 0; k < 16; k++)
			check(!memcmp(&cpu->st.v[k], &before.v[k], 16), "vectors restored");
	}
	/* Restores that must be refused. */
	memset(mem + 1024, 0, 1024);
	cpu->st.gpr[RAX] = 3;
	memcpy(code, restore, 4);
	check(faults_at((u64)(uintptr_t)mem + 1024 + 16, 4, X86_GP), "xrstor alignment");
	mem[1024 + 512] = 4;
	check(faults_at((u64)(uintptr_t)mem + 1024, 4, X86_GP), "a component not in XCR0");
	mem[1024 + 512] = 3;
	mem[1024 + 520] = 1;
	check(faults_at((u64)(uintptr_t)mem + 1024, 4, X86_GP), "a reserved header bit");
	mem[1024 + 520] = 0;
	mem[1024 + 26] = 1;
	check(faults_at((u64)(uintptr_t)mem + 1024, 4, X86_GP), "a reserved MXCSR bit");
}

int main(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = on_sigfpe, .sa_flags = SA_SIGINFO | SA_NODEFER};

	seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 0x9e3779b97f4a7c15ull;
	sigaction(SIGFPE, &sa, NULL);
	cpu = aligned_alloc(64, (sizeof(*cpu) + 63) & ~63ull);
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		    0);
	mem = mmap(NULL, NR_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	memset(cpu, 0, sizeof(*cpu));
	x86_fpu_reset(&cpu->st, false);
	memset(host_features.have, 0xff, sizeof(host_features.have));
	x86_fpu_limit_features(&host_features);
	tlb_init();
	cpu->view = &view;
	cpu->code64 = true;
	cpu->code_size = CODE64;
	cpu->st.cr0 = CR0_PE | CR0_NE;
	cpu->st.cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	cpu->st.xcr0 = 3;
	test_rows(false);
	test_rows(true);
	test_faults();
	test_modes();
	test_env();
	test_env_real();
	test_pointers();
	test_xsave();
	test_xsave_round_trip();
	printf("%lu cases, %lu failed\n", cases, failures);
	return failures != 0;
}
