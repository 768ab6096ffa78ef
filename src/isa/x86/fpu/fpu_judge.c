/* SPDX-License-Identifier: MIT */
/* fpu_judge.c - the host CPU as judge of x87, MMX and SSE rows: see fpu_judge.h. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "isa/x86/fpu/fpu_judge.h"

/* The decoder's table without the other rooms: their functions are absent, and never run. */
#define INSN(map, pfx, op, mrm, name, fn, ...) exec_fn exec_##fn __attribute__((weak));
#include "isa/x86/opcodes_int.def"
#include "isa/x86/opcodes_system.def"
#undef INSN
exec_fn exec_ud __attribute__((weak)), exec_gp0 __attribute__((weak));
#include "isa/x86/decode.c"
#include "isa/x86/insn.c"

/* --- the host as judge --- */

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

u8 *code;

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

struct x86_cpu *cpu;
static struct tlb_view view;
u8 *mem;
u64 seed;
struct cpu_features host_features;

u64 rnd(void)
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

void mem_align_fault(struct x86_cpu *c, unsigned seg, u64 off, unsigned size, unsigned align,
		     enum mem_access acc)
{
	abort();
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
	view.rd[page >> PAGE_BITS & (TLB_ENTRIES - 1)] =
		(struct tlb_ent){.tag = page, .host = page};
	view.wr[page >> PAGE_BITS & (TLB_ENTRIES - 1)] =
		(struct tlb_ent){.tag = page, .host = page};
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

void random_vec(u8 *p)
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

void random_state(bool unmasked)
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

u8 mem_before[2 * PAGE], mem_host[2 * PAGE];
unsigned long cases, failures;
u64 case_seed;

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

void explain(const struct insn *in, const char *what, const struct judge *j)
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
bool run_guest(struct op *op, unsigned len)
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

void compare(const struct insn *in, const struct judge *j, bool xmm_trap)
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

const struct insn *row_named(const char *name)
{
	for (unsigned i = 0; i < nr_insns; i++) {
		if (!strcmp(insns[i].name, name))
			return &insns[i];
	}
	abort();
}

void check(bool ok, const char *what)
{
	cases++;
	if (!ok) {
		failures++;
		printf("failed: %s\n", what);
	}
}

bool faults_at(u64 addr, unsigned len, u8 vector)
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

void judge_host(struct judge *j)
{
	memcpy(mem_before, mem, 2 * PAGE);
	to_judge(j);
	judge_now = j;
	judge_run();
	memcpy(mem_host, mem, 2 * PAGE);
	memcpy(mem, mem_before, 2 * PAGE);
}

void judge_init(int argc, char **argv)
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
}

int judge_verdict(void)
{
	printf("%lu cases, %lu failed\n", cases, failures);
	return failures != 0;
}
